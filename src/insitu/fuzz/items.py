"""CBOR as an attacker writes it: a tree that keeps every head as it stood, and writes heads that no encoder would.

Not the codec of the product, on purpose: what is changed here must be able to be wrong. Knows the forms of RFC 8949
and nothing of any message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

DEEPEST: Final = 64
"""Nesting at which reading gives up; what lies deeper is only ever written."""
MOST: Final = 5_000
"""Items at which reading gives up."""

ARRAY, MAP, TAG, OTHER = 4, 5, 6, 7
RAW: Final = 8
"""The major type of what is no item: its content is written as it is."""
INDEFINITE: Final = 31


@dataclass
class Node:
    """One item.

    Attributes:
        major: its major type, 0 to 7, or RAW.
        value: the argument of its head; of strings, arrays and maps it is written as given only when `lies`.
        info: the low five bits of the head; None: as short as may be.
        content: of a byte or text string.
        inner: the items that a byte string holds as its content; they are written instead of `content`.
        children: of an array, a map (keys and values in turn) or a tag.
        lies: the length is written as `value` says, whatever is there.

    """

    major: int
    value: int = 0
    info: int | None = None
    content: bytes = b""
    inner: list[Node] | None = None
    children: list[Node] = field(default_factory=list)
    lies: bool = False

    def write(self) -> bytes:
        """The bytes of this item."""
        parts: list[bytes] = []
        value = self.value
        content = self.content if self.inner is None else write_all(self.inner)
        if not self.lies and self.major in (2, 3):
            value = len(content)
        elif not self.lies and self.major in (ARRAY, MAP):
            value = len(self.children) // (2 if self.major == MAP else 1)
        if self.major != RAW:
            parts.append(head(self.major, value, self.info))
        if self.major in (2, 3, RAW):
            parts.append(content)
        parts += [child.write() for child in self.children]
        if self.info == INDEFINITE and self.major in (2, 3, ARRAY, MAP):
            parts.append(b"\xff")
        return b"".join(parts)

    def copy(self) -> Node:
        """The same, to be changed."""
        inner = None if self.inner is None else [each.copy() for each in self.inner]
        children = [each.copy() for each in self.children]
        return Node(self.major, self.value, self.info, self.content, inner, children, self.lies)

    def tidy(self) -> None:
        """Be as an encoder would write it: shortest heads, true lengths, map keys in order and each once."""
        self.lies = False
        self.info = None if self.major != OTHER else self.info
        for each in (*self.children, *(self.inner or ())):
            each.tidy()
        if self.major == MAP:
            pairs = {self.children[at].write(): self.children[at + 1] for at in range(0, len(self.children) - 1, 2)}
            keys = {
                key: self.children[at]
                for at in range(0, len(self.children) - 1, 2)
                if (key := self.children[at].write())
            }
            self.children = [each for key in sorted(pairs) for each in (keys[key], pairs[key])]

    def walk(self) -> Iterator[Node]:
        """The item itself, and all that lie in it."""
        yield self
        for each in (*self.children, *(self.inner or ())):
            yield from each.walk()


def head(major: int, value: int, info: int | None = None) -> bytes:
    """The head of an item: as short as may be, or with these low five bits and whatever part of `value` they carry."""
    if info is None:
        info = value if value < 24 else next((24 + n for n in range(4) if value >> (8 << n) == 0), 27)
    width = 1 << info - 24 if 24 <= info < 28 else 0
    return bytes((major << 5 | info & 31,)) + (value & (1 << 8 * width) - 1).to_bytes(width, "big")


def write_all(items: list[Node]) -> bytes:
    """Items one after the other."""
    return b"".join(each.write() for each in items)


def read_all(data: bytes) -> list[Node] | None:
    """The items that `data` holds one after the other; None where it is something else."""
    reader = _Reader(data)
    try:
        return reader.items()
    except (IndexError, ValueError):
        return None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._left = MOST

    def items(self, depth: int = 0) -> list[Node]:
        found: list[Node] = []
        while self._at < len(self._data):
            found.append(self.item(depth))
        return found

    def item(self, depth: int) -> Node:
        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            raise ValueError
        first = self._data[self._at]
        major, info = first >> 5, first & 31
        self._at += 1
        if 27 < info < INDEFINITE or (info == INDEFINITE and major in (0, 1, TAG)):
            raise ValueError
        value = info if info < 24 else 0
        if 24 <= info < 28:
            value = int.from_bytes(self._take(1 << info - 24), "big")
        shortest = head(major, value)
        node = Node(major, value, None if shortest[0] == first else info)
        if info == INDEFINITE:
            self._until_break(node, depth)
        elif major in (2, 3):
            node.content = self._take(value)
            node.inner = inner_items(node.content) if major == 2 else None
        elif major in (ARRAY, MAP, TAG):
            times = 1 if major == TAG else value * (2 if major == MAP else 1)
            if times > self._left:
                raise ValueError
            node.children = [self.item(depth + 1) for _ in range(times)]
        return node

    def _until_break(self, node: Node, depth: int) -> None:
        if node.major == OTHER:
            raise ValueError
        while self._data[self._at] != 0xFF:
            node.children.append(self.item(depth + 1))
        self._at += 1

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError
        self._at += size
        return taken


def inner_items(content: bytes) -> list[Node] | None:
    """The items within a byte string, where it holds an array or map of them and nothing else."""
    if len(content) < 3 or content[0] >> 5 not in (ARRAY, MAP, TAG):
        return None
    found = read_all(content)
    return found if found is not None and len(found) <= 4 else None
