"""Does an item match a CDDL specification (RFC 8610)? A small backtracking validator over cddlparser's trees.

For the tests of this project: it knows the part of CDDL that specs/messages.cddl may use and refuses, as it is
built, a specification that goes beyond: values, ranges, choices, maps with cuts, arrays with occurrences, groups,
unwrapping, tags, &(...), and the controls .size .regexp .cbor .cborseq .eq .ne .lt .le .gt .ge .and .within.
No generics, no sockets (/= //=), no floats. Items are those of insitu's codec.

Cuts (RFC 8610, 3.5.4): once a key with a cut has matched, its pair belongs to that entry, so that a wrong value
fails the whole alternative of the group instead of falling through to a wildcard. "key: type" always cuts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

import cddlparser
from cbor2 import CBORTag
from cddlparser import ast
from cddlparser.tokens import Tokens

from insitu.protocol.messages.codec import DecodeError, decode, decode_sequence

PRELUDE: dict[str, Callable[[Any], bool]] = {
    "any": lambda item: True,
    "uint": lambda item: type(item) is int and item >= 0,
    "nint": lambda item: type(item) is int and item < 0,
    "int": lambda item: type(item) is int,
    "bstr": lambda item: type(item) is bytes,
    "bytes": lambda item: type(item) is bytes,
    "tstr": lambda item: type(item) is str,
    "text": lambda item: type(item) is str,
    "bool": lambda item: type(item) is bool,
    "true": lambda item: item is True,
    "false": lambda item: item is False,
    "nil": lambda item: item is None,
    "null": lambda item: item is None,
}


class Unsupported(Exception):
    """The specification uses what this validator does not know, or a name that nobody defines."""


class Cddl:
    """A specification, ready to be matched against.

    Args:
        text: the CDDL; its first rule is the one that `matches` uses unless told otherwise.

    """

    def __init__(self, text: str) -> None:
        tree = cddlparser.parse(text)
        self.rules: dict[str, ast.Type | ast.GroupEntry] = {}
        for rule in tree.rules:
            if rule.assign.type != Tokens.ASSIGN or rule.name.parameters is not None:
                raise Unsupported(f"rule {rule.name.name}: only plain name = ... rules")
            if rule.name.name in self.rules:
                raise Unsupported(f"rule {rule.name.name} is defined twice")
            self.rules[rule.name.name] = rule.type
        self.start = tree.rules[0].name.name
        for node in self.rules.values():
            self._check(node)

    def matches(self, item: object, rule: str = "") -> bool:
        """Whether `item` matches `rule`; the first rule when none is named."""
        return self._type(self.rules[rule or self.start], item)

    def _check(self, node: ast.CDDLNode) -> None:
        """Refuse at once what `_type` could not decide."""
        if isinstance(node, ast.Typename) and (
            node.parameters is not None or not (node.name in self.rules or node.name in PRELUDE)
        ):
            raise Unsupported(f"name {node.name}")
        if isinstance(node, ast.Operator) and node.name.literal not in CONTROLS:
            raise Unsupported(f"control .{node.name.literal}")
        if isinstance(node, ast.Value):
            _literal(node)
        for child in node.getChildren():
            is_bareword = isinstance(node, ast.Memberkey) and node.hasColon and isinstance(child, ast.Typename)
            if not is_bareword:
                self._check(child)

    def _type(self, node: ast.CDDLNode, item: Any) -> bool:
        match node:
            case ast.Type():
                return any(self._type(choice, item) for choice in node.types)
            case ast.GroupEntry():  # a rule that the parser could not tell from a group
                return node.key is None and node.occurrence is None and self._type(node.type, item)
            case ast.Value():
                literal = _literal(node)
                return type(item) is type(literal) and item == literal
            case ast.Typename():
                if node.name in self.rules:
                    return self._type(self.rules[node.name], item)
                return PRELUDE[node.name](item)
            case ast.Map():
                return type(item) is dict and any(not left for left in self._members(node, item, frozenset(item)))
            case ast.Array():
                return type(item) in (tuple, list) and any(end == len(item) for end in self._elements(node, item, 0))
            case ast.Group():  # a type in parentheses, where the parser expected a group
                (choice,) = node.groupChoices
                (entry,) = choice.groupEntries
                return self._type(entry, item)
            case ast.Range():
                low, high = self._number(node.min), self._number(node.max)
                inclusive = node.rangeop.type == Tokens.INCLRANGE
                return type(item) is int and low <= item and (item <= high if inclusive else item < high)
            case ast.Operator():
                return self._type(node.type, item) and CONTROLS[node.name.literal](self, item, node.controller)
            case ast.ChoiceFrom():
                group = self._as_group(node.target)
                assert group is not None
                return any(self._type(e.type, item) for choice in group.groupChoices for e in choice.groupEntries)
            case ast.Tag():
                return self._tag(node, item)
        raise Unsupported(type(node).__name__)

    def _tag(self, node: ast.Tag, item: Any) -> bool:
        if node.numericPart is None:
            return True
        major, _, number = node.numericPart.literal.partition(".")
        if major != "6" or node.typePart is None:
            raise Unsupported(f"#{node.numericPart.literal}")
        if type(item) is not CBORTag or (number and item.tag != int(number)):
            return False
        return self._type(node.typePart, item.value)

    def _number(self, node: ast.CDDLNode) -> int:
        while not isinstance(node, ast.Value):
            match node:
                case ast.Type(types=[only]):
                    node = only
                case ast.GroupEntry():
                    node = node.type
                case ast.Typename() if node.name in self.rules:
                    node = self.rules[node.name]
                case _:
                    raise Unsupported("a range whose ends are not numbers")
        value = _literal(node)
        if not isinstance(value, int):
            raise Unsupported("a range whose ends are not numbers")
        return value

    def _as_group(self, node: ast.CDDLNode) -> ast.Group | None:
        """The group that this node stands for within another group; None when it is a type."""
        match node:
            case ast.Type(types=[only]):
                return self._as_group(only)
            case ast.GroupEntry():
                plain = node.key is None and node.occurrence is None
                return self._as_group(node.type) if plain else ast.Group([ast.GroupChoice([node])])
            case ast.Typename() if node.name in self.rules:
                if node.unwrapped is None:
                    return self._as_group(self.rules[node.name])
                target = self.rules[node.name]
                while not isinstance(target, ast.Group):
                    (target,) = target.getChildren()
                return target
            case ast.Map() | ast.Array():
                return None
            case ast.Group():
                return node
        return None

    # Arrays: every function yields the positions up to which the elements can be matched.

    def _elements(self, group: ast.Group, items: Sequence[Any], at: int) -> Iterator[int]:
        if not group.groupChoices:
            yield at
        for choice in group.groupChoices:
            yield from self._in_turn(choice.groupEntries, items, at)

    def _in_turn(self, entries: Sequence[ast.GroupEntry], items: Sequence[Any], at: int) -> Iterator[int]:
        if not entries:
            yield at
            return
        least, most = _occurrence(entries[0])
        for end in self._times(entries[0], items, at, least, most):
            yield from self._in_turn(entries[1:], items, end)

    def _times(self, entry: ast.GroupEntry, items: Sequence[Any], at: int, least: int, most: float) -> Iterator[int]:
        if most > 0:
            for end in self._once(entry, items, at):
                if end > at or least > 0:
                    yield from self._times(entry, items, end, max(0, least - 1), most - 1)
        if least == 0:
            yield at

    def _once(self, entry: ast.GroupEntry, items: Sequence[Any], at: int) -> Iterator[int]:
        group = self._as_group(entry.type) if entry.key is None else None
        if group is not None:
            yield from self._elements(group, items, at)
        elif at < len(items) and self._type(entry.type, items[at]):
            yield at + 1

    # Maps: every function yields the sets of keys that are left when the pairs matched so far are taken out.

    def _members(self, group: ast.Group, pairs: Mapping[Any, Any], left: frozenset[Any]) -> Iterator[frozenset[Any]]:
        if not group.groupChoices:
            yield left
        for choice in group.groupChoices:
            yield from self._all_of(choice.groupEntries, pairs, left)

    def _all_of(
        self, entries: Sequence[ast.GroupEntry], pairs: Mapping[Any, Any], left: frozenset[Any]
    ) -> Iterator[frozenset[Any]]:
        if not entries:
            yield left
            return
        for rest in self._taken(entries[0], pairs, left):
            yield from self._all_of(entries[1:], pairs, rest)

    def _taken(self, entry: ast.GroupEntry, pairs: Mapping[Any, Any], left: frozenset[Any]) -> Iterator[frozenset[Any]]:
        least, most = _occurrence(entry)
        if entry.key is None:
            group = self._as_group(entry.type)
            if group is None or most > 1:
                raise Unsupported("a map entry without a key")
            yield from self._members(group, pairs, left)
            if least == 0:
                yield left
            return
        fitting_keys = self._keys(entry.key, left)
        fitting = [key for key in fitting_keys if self._type(entry.type, pairs[key])]
        if entry.key.hasCut:
            if len(fitting) == len(fitting_keys) and least <= len(fitting) <= most:
                yield left.difference(fitting)
            return
        for count in range(int(min(most, len(fitting))), least - 1, -1):
            for chosen in combinations(fitting, count):
                yield left.difference(chosen)

    def _keys(self, key: ast.Memberkey, left: frozenset[Any]) -> list[Any]:
        """Those that are left and fit; most keys are literals, which need not be looked for one by one."""
        if key.hasColon and isinstance(key.type, ast.Typename):
            only: int | str | bytes = key.type.name
        elif isinstance(key.type, ast.Value):
            only = _literal(key.type)
        else:
            return [each for each in left if self._type(key.type, each)]
        return [each for each in left if each == only and type(each) is type(only)] if only in left else []


def _occurrence(entry: ast.GroupEntry) -> tuple[int, float]:
    if entry.occurrence is None:
        return 1, 1
    if entry.occurrence.tokens[0].type == Tokens.QUEST:  # the parser says 0 to infinity
        return 0, 1
    return int(entry.occurrence.n), entry.occurrence.m


def _literal(node: ast.Value) -> int | str | bytes:
    return _value(node.type, node.value)


@cache
def _value(kind: str, text: str) -> int | str | bytes:
    match kind:
        case "number" if re.fullmatch(r"-?(0x[0-9A-Fa-f]+|0b[01]+|[0-9]+)", text):
            return int(text, 0)
        case "text":
            return str(json.loads(f'"{text}"'))
        case "hex":
            return bytes.fromhex(text)
        case "bytes":
            return text.encode()
    raise Unsupported(f"literal {text}")


def _size(cddl: Cddl, item: Any, controller: ast.CDDLNode) -> bool:
    if type(item) is int:
        return 0 <= item < 256 ** cddl._number(controller)
    return cddl._type(controller, len(item.encode() if isinstance(item, str) else item))


def _regexp(cddl: Cddl, item: Any, controller: ast.CDDLNode) -> bool:
    assert isinstance(controller, ast.Value)
    return re.fullmatch(str(_literal(controller)), item) is not None


def _cbor(cddl: Cddl, item: Any, controller: ast.CDDLNode) -> bool:
    try:
        return cddl._type(controller, decode(item))
    except DecodeError:
        return False


def _cborseq(cddl: Cddl, item: Any, controller: ast.CDDLNode) -> bool:
    try:
        return cddl._type(controller, decode_sequence(item))
    except DecodeError:
        return False


CONTROLS: dict[str, Callable[[Cddl, Any, ast.CDDLNode], bool]] = {
    "size": _size,
    "regexp": _regexp,
    "cbor": _cbor,
    "cborseq": _cborseq,
    "and": lambda cddl, item, controller: cddl._type(controller, item),
    "within": lambda cddl, item, controller: cddl._type(controller, item),
    "eq": lambda cddl, item, controller: cddl._type(controller, item),
    "ne": lambda cddl, item, controller: not cddl._type(controller, item),
    "lt": lambda cddl, item, controller: item < cddl._number(controller),
    "le": lambda cddl, item, controller: item <= cddl._number(controller),
    "gt": lambda cddl, item, controller: item > cddl._number(controller),
    "ge": lambda cddl, item, controller: item >= cddl._number(controller),
}
