"""Items out of a CDDL specification, and those that just miss it: for tests of whoever reads and writes such items.

Nothing is taken from the classes that are tested: what a message may be is read from specs/messages.cddl alone, by the
trees of `cddl_validator`, and for the same part of CDDL. `items` answers with a Hypothesis strategy; `near_misses`
with every way in which one entry of a map can be wrong by as little as possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cddl_validator import PRELUDE, Cddl, Unsupported, _literal, _occurrence
from cddlparser import ast
from cddlparser.tokens import Tokens
from hypothesis import strategies as st

from insitu.protocol.messages import encode

MOST = 80
"""Bytes or elements by which a generated string or array is at most longer than it must be."""
STRANGERS: tuple[Any, ...] = (None, True, -1, 0, 1, 2**64 - 1, "", "x", b"", b"\x00", (), (0,), {}, {0: 0})
"""One value or more of every type, for where none of that type belongs."""


def items(cddl: Cddl, rule: str) -> st.SearchStrategy[Any]:
    """Items that match the rule."""
    return _items(cddl, cddl.rules[rule])


def _items(cddl: Cddl, node: ast.CDDLNode) -> st.SearchStrategy[Any]:
    match node:
        case ast.Type():
            return st.one_of([_items(cddl, choice) for choice in node.types])
        case ast.GroupEntry():
            return _items(cddl, node.type)
        case ast.Value():
            return st.just(_literal(node))
        case ast.Typename() if node.name in cddl.rules:
            return _items(cddl, cddl.rules[node.name])
        case ast.Typename():
            return _plain(node.name)
        case ast.Map():
            return st.one_of([_map(cddl, choice.groupEntries) for choice in node.groupChoices])
        case ast.Array():
            return st.one_of([_array(cddl, choice.groupEntries) for choice in node.groupChoices])
        case ast.Group():
            (choice,) = node.groupChoices
            (entry,) = choice.groupEntries
            return _items(cddl, entry)
        case ast.Range():
            low, high = _ends(cddl, node)
            return st.integers(low, high) | st.sampled_from([low, high])
        case ast.Operator():
            return _controlled(cddl, node)
        case ast.ChoiceFrom():
            group = cddl._as_group(node.target)
            assert group is not None
            return st.one_of([_items(cddl, each.type) for choice in group.groupChoices for each in choice.groupEntries])
    raise Unsupported(type(node).__name__)


def _plain(name: str) -> st.SearchStrategy[Any]:
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "uint": st.integers(0, 2**64 - 1),
        "bool": st.booleans(),
        "true": st.just(True),
        "false": st.just(False),
        "bstr": st.binary(max_size=MOST),
        "tstr": st.text(st.characters(codec="utf-8"), max_size=MOST),
        "nil": st.none(),
    }
    if name not in kinds:
        raise Unsupported(f"items of {name}")
    return kinds[name]


def _ends(cddl: Cddl, node: ast.CDDLNode) -> tuple[int, int]:
    """The least and the greatest number, of a range or of one number that stands for itself."""
    while isinstance(node, ast.Type | ast.GroupEntry | ast.Group):
        (node,) = node.getChildren() if not isinstance(node, ast.GroupEntry) else (node.type,)
        if isinstance(node, ast.GroupChoice):
            (node,) = node.groupEntries
    if isinstance(node, ast.Range):
        inclusive = node.rangeop.type == Tokens.INCLRANGE
        return cddl._number(node.min), cddl._number(node.max) - (not inclusive)
    return cddl._number(node), cddl._number(node)


def _map(cddl: Cddl, entries: list[ast.GroupEntry]) -> st.SearchStrategy[dict[Any, Any]]:
    required = {_key(entry): _items(cddl, entry.type) for entry in entries if _occurrence(entry)[0] > 0}
    optional = {_key(entry): _items(cddl, entry.type) for entry in entries if _occurrence(entry)[0] == 0}
    return st.fixed_dictionaries(required, optional=optional)


def _key(entry: ast.GroupEntry) -> Any:
    if entry.key is None or not isinstance(entry.key.type, ast.Value) or _occurrence(entry)[1] > 1:
        raise Unsupported("a map entry without a key of its own")
    return _literal(entry.key.type)


def _array(cddl: Cddl, entries: list[ast.GroupEntry]) -> st.SearchStrategy[tuple[Any, ...]]:
    parts = []
    for entry in entries:
        least, most = _occurrence(entry)
        elements = st.lists(_items(cddl, entry.type), min_size=least, max_size=int(min(most, least + 3)))
        parts.append(elements)
    return st.tuples(*parts).map(lambda found: tuple(item for part in found for item in part))


def _controlled(cddl: Cddl, node: ast.Operator) -> st.SearchStrategy[Any]:
    base, control = _kind(cddl, node.type), node.name.literal
    if control == "size" and base == "uint":
        return st.integers(0, 256 ** cddl._number(node.controller) - 1)
    if control == "size":
        low, high = _ends(cddl, node.controller)
        lengths = st.integers(low, min(high, low + MOST)) | st.just(low)
        if base == "bstr":
            return lengths.flatmap(lambda size: st.binary(min_size=size, max_size=size))
        texts = st.text(st.characters(codec="utf-8"), min_size=(low + 3) // 4, max_size=min(high, low + MOST))
        return texts.filter(lambda text: low <= len(text.encode()) <= high)
    if control == "regexp":
        assert isinstance(node.controller, ast.Value)
        return st.from_regex(str(_literal(node.controller)), fullmatch=True)
    if control in ("and", "within"):
        return _items(cddl, node.controller).filter(lambda item: cddl._type(node, item))
    if control == "cbor":
        return _items(cddl, node.controller).map(encode)
    return _items(cddl, node.type).filter(lambda item: cddl._type(node, item))


def _kind(cddl: Cddl, node: ast.CDDLNode) -> str:
    """The name in the prelude behind this, if there is one."""
    while True:
        match node:
            case ast.Type(types=[only]):
                node = only
            case ast.GroupEntry():
                node = node.type
            case ast.Operator():
                node = node.type
            case ast.Typename() if node.name in cddl.rules:
                node = cddl.rules[node.name]
            case ast.Typename() if node.name in PRELUDE:
                return {"bytes": "bstr", "text": "tstr"}.get(node.name, node.name)
            case _:
                return ""


# Near misses -------------------------------------------------------------------------------------------------


def near_misses(cddl: Cddl, rule: str, item: Any) -> Iterator[tuple[str, Any]]:
    """Every way in which this map or array can be wrong in one entry, with what was done to it.

    A few of them match all the same, where the entry that was changed may be missing.
    """
    node = compound(cddl, rule)
    assert node is not None
    entries = [entry for choice in node.groupChoices for entry in choice.groupEntries]
    yield from _maps(cddl, entries, item) if isinstance(item, dict) else _arrays(cddl, entries, item)


def compound(cddl: Cddl, rule: str) -> ast.Map | ast.Array | None:
    """The map or array that the rule is, or None."""
    node: ast.CDDLNode = cddl.rules[rule]
    while not isinstance(node, ast.Map | ast.Array):
        children = [node.type] if isinstance(node, ast.GroupEntry) else node.getChildren()
        if len(children) != 1 or isinstance(node, ast.Operator):
            return None
        (node,) = children
    return node


def _maps(cddl: Cddl, entries: list[ast.GroupEntry], item: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for entry in entries:
        key = _key(entry)
        if _occurrence(entry)[0] > 0:
            yield f"without {key}", {each: value for each, value in item.items() if each != key}
        yield f"{key} as a text", {(str(key) if each == key else each): value for each, value in item.items()}
        for value in _outside(cddl, entry.type, item.get(key)):
            yield f"{key}: {value!r}"[:80], item | {key: value}
    for stranger in (max(key for key in item if type(key) is int) + 50, -1, "", b""):
        yield f"with {stranger!r}", item | {stranger: 0}


def _arrays(cddl: Cddl, entries: list[ast.GroupEntry], item: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    yield "one less", item[:-1]
    yield "one more", (*item, None)
    yield "a map", dict(enumerate(item))
    for at, entry in enumerate(entries):
        for value in _outside(cddl, entry.type, item[at]):
            yield f"{at}: {value!r}"[:80], (*item[:at], value, *item[at + 1 :])


def _outside(cddl: Cddl, node: ast.CDDLNode, value: Any) -> Iterator[Any]:
    """Values that just do not match, beside one that does."""
    candidates: list[Any] = [*STRANGERS]
    match value:
        case bool():
            candidates += [int(value), str(value)]
        case int():
            candidates += [-1 - value, float(value) if value < 2**53 else -1.5, str(value), bytes([value % 256])]
        case bytes() | str():
            candidates += [value + value[:1], value[:-1], value[1:], value * 2]
            candidates += [value.hex()] if isinstance(value, bytes) else [value.encode(), value + "\n", value + "\x00"]
        case tuple():
            candidates += [
                (*value, None),
                dict(enumerate(value)),
                *((*value[:-1], each) for each in STRANGERS if value),
            ]
        case dict():
            candidates += [tuple(value.values()), *({**value, key: None} for key in value)]
            candidates += [{each: value[each] for each in value if each != key} for key in value]
    for low, high in _bounds(cddl, node):
        candidates += [low - 1, high + 1]
        candidates += [bytes(size) for size in (low - 1, high + 1) if 0 <= size <= 40_000]
        candidates += ["x" * size for size in (low - 1, high + 1) if 0 <= size <= 40_000]
    for each in candidates:
        if not cddl._type(node, each):
            yield each


def _bounds(cddl: Cddl, node: ast.CDDLNode) -> Iterator[tuple[int, int]]:
    """The least and greatest number or length of everything that this may be."""
    match node:
        case ast.Range():
            yield _ends(cddl, node)
        case ast.Operator() if node.name.literal == "size" and _kind(cddl, node.type) != "uint":
            yield _ends(cddl, node.controller)
        case ast.Operator() if node.name.literal == "size":
            yield 0, 256 ** cddl._number(node.controller) - 1
        case ast.Typename() if node.name in cddl.rules:
            yield from _bounds(cddl, cddl.rules[node.name])
        case ast.Type():
            for choice in node.types:
                yield from _bounds(cddl, choice)
        case ast.GroupEntry():
            yield from _bounds(cddl, node.type)
        case ast.ChoiceFrom():
            yield from ((0, number) for number in range(16))
