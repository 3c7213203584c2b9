"""Deterministic CBOR, strictly: items to bytes and back. Knows nothing of any message.

The subset (RFC 8949): integers of 64 bits, byte strings, text strings, arrays, maps with integer or text keys,
false, true and null; tags only where the caller names them. Encoding is the core deterministic one (RFC 8949,
4.2.1: shortest heads, definite lengths, map keys in bytewise order), and decoding accepts nothing else, so that
an item has exactly one encoding: decode(data) == item if and only if encode(item) == data.

Writing is left to cbor2, once the item is known to lie in the subset and its maps are in order. Reading is done
here, in one pass over the heads, because cbor2 cannot be told to refuse what must be refused;
specs/decisions/0002-strict-codec.md has the measurements.

What a peer may cost us is bounded before it is spent: bytes by `max_bytes`, nesting by `max_depth`, and the
number of items by `max_items`; a declared length is believed only as far as there are bytes to fill it.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, TypeAlias, cast

import cbor2
from cbor2 import CBORTag

from ..engine import Fault, ProtocolError, UsageError

Item: TypeAlias = "int | bytes | str | bool | tuple[Item, ...] | dict[int | str, Item] | CBORTag | None"
"""What `decode` answers. Arrays come as tuples; `encode` takes lists as well."""

MAX_BYTES: Final = 65_536
MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 4_096

_LEAST: Final = (24, 0x100, 0x1_0000, 0x1_0000_0000)
"""The smallest argument that needs 1, 2, 4, 8 bytes after the head."""
_KINDS: Final = (
    *("an integer", "an integer", "a byte string", "a text string", "an array", "a map", "a tag"),
    "a simple value or float",
)
_SIMPLE: Final[dict[int, bool | None]] = {0xF4: False, 0xF5: True, 0xF6: None}
_REFUSED: Final = {0xF7: "undefined", 0xF9: "a float", 0xFA: "a float", 0xFB: "a float", 0xFF: "a break"}


class DecodeError(ProtocolError):
    """Bytes from the peer that are not what they should be: the only error that decoding raises.

    Attributes:
        offset: where in the data the fault lies, in bytes; None where the fault is not in the encoding.

    """

    def __init__(
        self,
        summary: str,
        *,
        expected: object = "",
        got: object = "",
        offset: int | None = None,
        fault: Fault = Fault.MALFORMED,
    ) -> None:
        where = "" if offset is None else f" at byte {offset}"
        super().__init__(f"{summary}{where}", who="codec", expected=expected, got=got, fault=fault)
        self.offset = offset


def encode(item: object, *, max_depth: int = MAX_DEPTH) -> bytes:
    """The one deterministic encoding of `item` (RFC 8949, 4.2.1).

    Takes what `decode` answers; lists count as arrays, and map keys may stand in any order.

    Raises:
        UsageError: the item lies outside the subset or is nested deeper than `max_depth`.

    """
    return cbor2.dumps(_in_order(item, max_depth))


def decode(
    data: bytes | bytearray | memoryview,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
    allowed_tags: frozenset[int] = frozenset(),
) -> Item:
    """The item that `data` is the deterministic encoding of, with nothing before or after it.

    Args:
        data: the encoding, whole.
        max_bytes: longer data is refused unread.
        max_depth: arrays, maps and tags that may lie inside one another; 0 admits none.
        max_items: elements, keys, values and tag contents in all; the outermost item is not counted.
        allowed_tags: the tag numbers to accept; they come back as `cbor2.CBORTag`, their content uninterpreted.

    Raises:
        DecodeError: anything else, whatever it is.

    """
    reader = _Reader(data, max_bytes, max_items, allowed_tags)
    item, end = reader.item(0, max_depth)
    if end != reader.size:
        raise DecodeError("bytes after the item", expected=f"{end} bytes", got=f"{reader.size} bytes", offset=end)
    return item


def decode_sequence(
    data: bytes | bytearray | memoryview,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
    allowed_tags: frozenset[int] = frozenset(),
) -> tuple[Item, ...]:
    """The items of a CBOR sequence (RFC 8742): none for empty data; arguments and errors as for `decode`."""
    reader = _Reader(data, max_bytes, max_items, allowed_tags)
    items: list[Item] = []
    position = 0
    while position < reader.size:
        reader.spend(1, position)
        item, position = reader.item(position, max_depth)
        items.append(item)
    return tuple(items)


class _Reader:
    """One pass over one input. Positions are passed along; only the budget of items changes."""

    __slots__ = ("data", "left", "limit", "size", "tags")

    def __init__(
        self, data: bytes | bytearray | memoryview, max_bytes: int, max_items: int, tags: frozenset[int]
    ) -> None:
        self.data = bytes(data)
        self.size = len(self.data)
        if self.size > max_bytes:
            raise DecodeError("too long", expected=f"at most {max_bytes} bytes", got=f"{self.size} bytes")
        self.left = self.limit = max_items
        self.tags = tags

    def item(self, at: int, depth: int) -> tuple[Item, int]:
        """The item at `at`, and where it ends; `depth` more levels may lie inside one another."""
        if at >= self.size:
            self.truncated(at)
        data = self.data
        head = data[at]
        if head >= 0xE0:
            if head not in _SIMPLE:
                got = _REFUSED.get(head, "a simple value")
                raise DecodeError("a value outside the subset", expected="false, true or null", got=got, offset=at)
            return _SIMPLE[head], at + 1
        value = head & 0x1F
        start = at + 1
        if value >= 24:
            if value == 24 and start < self.size and data[start] >= 24:  # the usual case of `argument`
                value = data[start]
                start += 1
            else:
                value, start = self.argument(at, value)
        major = head >> 5
        if major == 0:
            return value, start
        if major == 1:
            return -1 - value, start
        if major < 4:
            end = start + value
            if end > self.size:
                self.truncated(at)
            string = data[start:end]
            return (string if major == 2 else self.text(string, at)), end
        if not depth:
            raise DecodeError("nested too deep", expected="a plain item", got=_KINDS[major], offset=at)
        if major == 4:
            return self.array(value, at, start, depth - 1)
        if major == 5:
            return self.map(value, at, start, depth - 1)
        if value not in self.tags:
            expected = " or ".join(f"tag {tag}" for tag in sorted(self.tags)) or "no tag"
            raise DecodeError("a tag that has no place here", expected=expected, got=f"tag {value}", offset=at)
        self.spend(1, at)
        content, end = self.item(start, depth - 1)
        return CBORTag(value, content), end

    def argument(self, at: int, info: int) -> tuple[int, int]:
        """The argument in the 1, 2, 4 or 8 bytes after the head (RFC 8949, 3), and where it ends."""
        width = info - 24
        if width > 3:
            got = "an indefinite length" if width == 7 else "reserved bits"
            raise DecodeError("not a head", expected="a length or value", got=got, offset=at)
        end = at + 1 + (1 << width)
        if end > self.size:
            self.truncated(at)
        value = int.from_bytes(self.data[at + 1 : end], "big")
        if value < _LEAST[width]:
            raise DecodeError(
                "not the shortest encoding",
                expected="the shortest head",
                got=f"{value} in {1 << width} bytes",
                offset=at,
            )
        return value, end

    def array(self, count: int, at: int, start: int, depth: int) -> tuple[tuple[Item, ...], int]:
        self.spend(count, at)
        elements: list[Item] = []
        position = start
        for _ in range(count):
            element, position = self.item(position, depth)
            elements.append(element)
        return tuple(elements), position

    def map(self, count: int, at: int, start: int, depth: int) -> tuple[dict[int | str, Item], int]:
        self.spend(2 * count, at)
        data = self.data
        entries: dict[int | str, Item] = {}
        previous = b""
        position = start
        for _ in range(count):
            key, end = self.key(position)
            encoded = data[position:end]
            if encoded <= previous:
                summary = "a map key twice" if encoded == previous else "map keys out of order"
                raise DecodeError(summary, expected="keys in ascending bytewise order", offset=position)
            previous = encoded
            entries[key], position = self.item(end, depth)
        return entries, position

    def key(self, at: int) -> tuple[int | str, int]:
        if at < self.size and self.data[at] < 24:  # the usual key
            return self.data[at], at + 1
        if at < self.size and (major := self.data[at] >> 5) not in (0, 1, 3):
            raise DecodeError("not a map key", expected="an integer or a text string", got=_KINDS[major], offset=at)
        key, end = self.item(at, 0)
        return cast("int | str", key), end

    def text(self, string: bytes, at: int) -> str:
        try:
            return string.decode()
        except UnicodeDecodeError:
            pass  # raised outside: the chained error would carry the bytes
        raise DecodeError("not a text string", expected="UTF-8", offset=at)

    def spend(self, count: int, at: int) -> None:
        """Book `count` items before any of them is read: a declared length costs nothing."""
        self.left -= count
        if self.left < 0:
            raise DecodeError("too many items", expected=f"at most {self.limit}", offset=at)

    def truncated(self, at: int) -> NoReturn:
        raise DecodeError("data ends inside an item", expected="more bytes", got=f"{self.size} bytes", offset=at)


def kind_of(item: object) -> str:
    """What kind of item this is, for error messages: never its value."""
    if item is None:
        return "null"
    return _NAMES.get(type(item), f"a Python {type(item).__name__}")


_NAMES: Final[dict[type, str]] = {
    bool: "a boolean",
    int: "an integer",
    bytes: "a byte string",
    str: "a text string",
    tuple: "an array",
    list: "an array",
    dict: "a map",
    CBORTag: "a tag",
}


def _in_order(item: Any, depth: int) -> object:  # noqa: ANN401 - the caller's, judged here
    """`item` with all maps in bytewise order of their encoded keys; refuses what lies outside the subset."""
    kind = type(item)
    if kind is int:
        if -(1 << 64) <= item < 1 << 64:
            return item
        raise _outside("an integer of 64 bits", "a longer one")
    if kind is bytes or kind is bool or item is None:
        return item
    if kind is str:
        if item.isascii() or _is_unicode(item):
            return item
        raise _outside("Unicode text", "a lone surrogate")
    if kind not in _CONTAINERS:
        raise _outside("an item of the subset", kind_of(item))
    if not depth:
        raise _outside("less nesting", kind_of(item))
    if kind is dict:
        return {_in_order(key, 0): _in_order(item[key], depth - 1) for key in sorted(item, key=_rank)}
    if kind is CBORTag:
        return CBORTag(item.tag, _in_order(item.value, depth - 1))
    return [_in_order(element, depth - 1) for element in item]


_CONTAINERS: Final = frozenset((tuple, list, dict, CBORTag))


def _rank(key: Any) -> tuple[int, int, bytes]:  # noqa: ANN401 - the caller's, judged here
    """Sorts as the encoded keys do bytewise: by major type, then argument, then content."""
    if type(key) is int:
        return (0, key, b"") if key >= 0 else (1, -1 - key, b"")
    if type(key) is not str:
        raise _outside("an integer or a text string as map key", kind_of(key))
    content = key.encode(errors="replace")  # what cannot be encoded is refused with the entry
    return 3, len(content), content


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _outside(expected: str, got: str) -> UsageError:
    return UsageError("cannot be encoded", who="codec", expected=expected, got=got)
