"""Byte strings that cross as integers where that is shorter (RFC 9528 section 3.3.2): C_I, C_R, kid."""

from __future__ import annotations

from ...messages.codec import DecodeError, Item, encode, kind_of

_ONE_BYTE_INTEGERS = frozenset((*range(0x18), *range(0x20, 0x38)))
"""The encodings of -24 to 23."""


def encode_identifier(identifier: bytes) -> bytes:
    """The identifier as it crosses: itself where it is the encoding of a small integer, else a byte string."""
    if len(identifier) == 1 and identifier[0] in _ONE_BYTE_INTEGERS:
        return identifier
    return encode(identifier)


def decode_identifier(item: Item, name: str) -> bytes:
    """The identifier behind the item that crossed.

    Raises:
        DecodeError: none, or not in the encoding that it must have.

    """
    if type(item) is int and -24 <= item < 24:
        return encode(item)
    if type(item) is not bytes:
        raise DecodeError(name, expected="a byte string or an integer of one byte", got=kind_of(item))
    if len(item) == 1 and item[0] in _ONE_BYTE_INTEGERS:
        raise DecodeError(name, expected="an integer of one byte", got="the same as a byte string")
    return item
