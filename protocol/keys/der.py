"""The few DER forms that the certificate profile needs: writing them, and reading them strictly.

Only X.690 encoding lives here; what a certificate must say is in `profile.py`. There is no general ASN.1
parser: a reader walks along and names what it expects, anything else is a `DerError`.
"""

from __future__ import annotations

from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
UTF8_STRING: Final = 0x0C
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31


class DerError(Exception):
    """Not the DER that was expected here; never leaves this package."""


def element(tag: int, *contents: bytes) -> bytes:
    """One element: tag (one byte), definite minimal length, the contents joined."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*contents: bytes) -> bytes:
    """A SEQUENCE of these elements."""
    return element(SEQUENCE, *contents)


def bit_string(data: bytes) -> bytes:
    """A BIT STRING of whole bytes."""
    return element(BIT_STRING, b"\x00", data)


def object_identifier(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER; arcs may have any size (X.690 section 8.19)."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    encoded = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        encoded += bytes(reversed(groups))
    return element(OBJECT_IDENTIFIER, bytes(encoded))


class Reader:
    """Walks over consecutive elements; every step says what must come."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = start
        self._end = len(data) if end is None else end

    @property
    def rest(self) -> bytes:
        """All that has not been read, as it stands."""
        return self._data[self._at : self._end]

    def _header(self, tag: int) -> tuple[int, int]:
        """Where the content of the next element begins and ends; its tag must be `tag`."""
        data, at, end = self._data, self._at, self._end
        if at + 2 > end or data[at] != tag:
            raise DerError(f"tag {tag:#04x} expected")
        size = data[at + 1]
        at += 2
        if size >= 0x80:
            width = size & 0x7F
            if not 1 <= width <= 2 or at + width > end:
                raise DerError("length expected in one to three bytes")
            size = int.from_bytes(data[at : at + width], "big")
            at += width
            if size < (0x80 if width == 1 else 0x100):
                raise DerError("shortest form of the length expected")
        if at + size > end:
            raise DerError("ends too early")
        return at, at + size

    def take(self, tag: int) -> bytes:
        """The content of the next element."""
        start, end = self._header(tag)
        self._at = end
        return self._data[start:end]

    def whole(self, tag: int) -> bytes:
        """The next element with its header."""
        begin = self._at
        _, end = self._header(tag)
        self._at = end
        return self._data[begin:end]

    def enter(self, tag: int) -> Reader:
        """A reader for the inside of the next element."""
        start, end = self._header(tag)
        self._at = end
        return Reader(self._data, start, end)

    def skip(self, literal: bytes) -> bool:
        """Pass over exactly these bytes if they come next; say whether they did."""
        end = self._at + len(literal)
        if end > self._end or not self._data.startswith(literal, self._at):
            return False
        self._at = end
        return True

    def next_is(self, tag: int) -> bool:
        """Whether an element with this tag comes next."""
        return self._at < self._end and self._data[self._at] == tag

    def finish(self) -> None:
        """Nothing may be left.

        Raises:
            DerError: something is.

        """
        if self._at != self._end:
            raise DerError("end expected")
