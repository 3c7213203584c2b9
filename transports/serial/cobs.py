"""Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): bytes without a zero, so that zero can delimit.

Pure functions on bytes. Up to 254 bytes the price is one byte.
"""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 254
"""Bytes in the longest group; its code 255 stands for no zero."""


def encode(data: bytes) -> bytes:
    """`data` stuffed: no byte of the result is zero. The delimiter is not part of it."""
    if len(data) < _LONGEST:
        return b"".join(_group(part) for part in data.split(b"\0"))
    out = bytearray()
    parts = data.split(b"\0")
    last = len(parts) - 1
    for place, part in enumerate(parts):
        rest = part
        while len(rest) >= _LONGEST:
            out.append(_LONGEST + 1)
            out += rest[:_LONGEST]
            rest = rest[_LONGEST:]
        if rest or len(part) < _LONGEST or place < last:
            out += _group(rest)
    return bytes(out)


def decode(stuffed: bytes) -> bytes | None:
    """What was stuffed, or None where these bytes cannot be the result of `encode` (noise)."""
    out = bytearray()
    place, end, code = 0, len(stuffed), 0
    while place < end:
        if code == _LONGEST + 1 and stuffed[place:] == b"\x01":
            return None  # the longest group ends the data by itself: nothing is written behind it
        code = stuffed[place]
        following = place + code
        if code == 0 or following > end:
            return None
        out += stuffed[place + 1 : following]
        place = following
        if code <= _LONGEST and place < end:
            out.append(0)
    return None if 0 in stuffed or not stuffed else bytes(out)


def _group(part: bytes) -> bytes:
    return bytes((len(part) + 1,)) + part
