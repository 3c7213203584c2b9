"""Bytes and characters changed without knowing what they mean."""

from __future__ import annotations

from random import Random
from typing import Final

EDGES: Final = (0x00, 0x01, 0x17, 0x18, 0x1F, 0x7F, 0x80, 0xFE, 0xFF)
SIGNS: Final = (*"\0\n\r\t ,;:=%?&/\\\"'[]{}0OIl-+.#~", "\x1b", "\u202e", "\xfc", "\u0660", "\uff11", "\U0001f600")


def mutate_bytes(data: bytes, other: bytes, chance: Random) -> bytes:
    """`data` with one thing changed; parts of `other` may come into it."""
    size = len(data)
    at = chance.randrange(size + 1)
    end = min(size, at + chance.choice((1, 1, 2, 4, 8, 32)))
    match chance.randrange(9):
        case 0 if size:
            at = min(at, size - 1)
            return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
        case 1:
            return data[:at] + bytes((chance.choice(EDGES),)) + data[at + 1 :]
        case 2:
            return data[:at] + data[end:]
        case 3:
            return data[:at] + data[at:end] * chance.choice((2, 3, 50)) + data[end:]
        case 4:
            return data[:at] + chance.randbytes(chance.choice((1, 1, 2, 4, 16))) + data[at:]
        case 5:
            return data[:at]
        case 6 if other:
            start = chance.randrange(len(other))
            return data[:at] + other[start : start + chance.choice((1, 4, 16, 64, 4_096))] + data[end:]
        case 7:
            return data + chance.randbytes(chance.choice((1, 2, 16)))
        case _:
            return data[:at] + chance.randbytes(end - at) + data[end:]


def mutate_text(data: bytes, other: bytes, chance: Random) -> bytes:
    """Likewise for text in UTF-8; sometimes what comes is none."""
    text = data.decode(errors="replace")
    at = chance.randrange(len(text) + 1)
    end = at + chance.choice((0, 1, 1, 2, 8))
    match chance.randrange(7):
        case 0 | 1:
            text = text[:at] + chance.choice(SIGNS) + text[end:]
        case 2:
            text = text[:at] + text[end:]
        case 3:
            text = text[:at] + text[at:end] * chance.choice((2, 3, 300)) + text[end:]
        case 4:
            donor = other.decode(errors="replace")
            start = chance.randrange(len(donor) + 1)
            text = text[:at] + donor[start : start + chance.choice((1, 4, 16))] + text[end:]
        case 5:
            text = (
                text[:at] + chance.choice((str(chance.choice((0, -1, 1 << 31, 1 << 64))), "1e999", "null")) + text[end:]
            )
        case _:
            return mutate_bytes(data, other, chance)
    return text.encode()
