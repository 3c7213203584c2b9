"""A record taken apart, for media where writing is dear and nothing can be changed in place.

Long byte strings lie beside the record, each in a part named by its SHA-256, so that what did not change is not
written again: the entries of a card's log, certificates, messages. Where an array of them is long, every so many
references to them make a part themselves. What is left is short. It names all the parts, so that whoever vouches for
it vouches for all of the record. Its CDDL, with the record's own items where nothing is said:

    skeleton = { * (int / tstr) => any / part / [* any / part / group] } / bstr / part
    part = #6.44701(bstr .size 32)     ; a byte string
    group = #6.44702(bstr .size 32)    ; [64* any / part / group], some more elements of the array
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from cbor2 import CBORTag

from ..messages.codec import DecodeError, Item, decode, encode
from .atomic import LARGEST

SHORTEST: Final = 128
"""Bytes of a string that lies beside the record."""
GROUP: Final = 64
"""References that make a part."""

_PART: Final = 44701
_GROUP: Final = 44702
TAGS: Final = frozenset((_PART, _GROUP))
"""CBOR tags that a skeleton has."""
DEPTH: Final = 12
"""A record's own nesting, and the tags."""


def taken_apart(record: bytes) -> tuple[Item, dict[bytes, bytes]]:
    """What is left of the record, and its parts by their digests; a record that is no map is taken as it is."""
    parts: dict[bytes, bytes] = {}
    try:
        whole = _decode(record)
    except DecodeError:
        whole = None
    if not isinstance(whole, dict):
        return _shortened(record, parts), parts
    return {key: _shortened(value, parts) for key, value in whole.items()}, parts


def put_together(skeleton: Item, read: Callable[[bytes], bytes]) -> bytes:
    """The record, as it was.

    Args:
        skeleton: what is left of it.
        read: gets a digest, and answers with that part.

    Raises:
        DecodeError: the skeleton or a part is none.
        KeyError: `read` has no such part.

    """
    if isinstance(skeleton, dict):
        return encode({key: _lengthened(value, read) for key, value in skeleton.items()}, max_depth=DEPTH)
    record = _lengthened(skeleton, read)
    if not isinstance(record, bytes):
        raise DecodeError("record that was taken apart", expected="a map or bytes", got=type(record).__name__)
    return record


def digests_in(skeleton: Item, parts: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """The digests of all parts that belong to it; those that are missing among `parts`, too.

    Raises:
        DecodeError: a part is no item of the codec.

    """
    values = skeleton.values() if isinstance(skeleton, dict) else (skeleton,)
    for value in values:
        yield from _digests(value, parts)


def _digests(value: Item, parts: Mapping[bytes, bytes]) -> Iterator[bytes]:
    match value:
        case CBORTag(tag=44701, value=bytes(digest)):
            yield digest
        case CBORTag(tag=44702, value=bytes(digest)):
            yield digest
            if digest in parts:
                yield from _digests(_decoded(parts[digest]), parts)
        case tuple():
            for each in value:
                yield from _digests(each, parts)


def _shortened(value: Item, parts: dict[bytes, bytes]) -> Item:
    match value:
        case bytes() if len(value) >= SHORTEST:
            return CBORTag(_PART, _put(value, parts))
        case tuple() if any(isinstance(each, bytes) and len(each) >= SHORTEST for each in value):
            return _grouped(tuple(_shortened(each, parts) for each in value), parts)
    return value


def _grouped(elements: tuple[Item, ...], parts: dict[bytes, bytes]) -> tuple[Item, ...]:
    """As few elements as it takes; groups are full and begin at the first element, so that appending changes none."""
    while len(elements) >= 2 * GROUP:
        full = len(elements) // GROUP * GROUP
        groups = (encode(elements[start : start + GROUP], max_depth=DEPTH) for start in range(0, full, GROUP))
        elements = (*(CBORTag(_GROUP, _put(group, parts)) for group in groups), *elements[full:])
    return elements


def _put(content: bytes, parts: dict[bytes, bytes]) -> bytes:
    digest = hashlib.sha256(content).digest()
    parts[digest] = content
    return digest


def _lengthened(value: Item, read: Callable[[bytes], bytes]) -> Item:
    match value:
        case CBORTag(tag=44701, value=bytes(digest)):
            return read(digest)
        case tuple():
            return tuple(element for each in value for element in _elements(each, read))
    return value


def _elements(value: Item, read: Callable[[bytes], bytes]) -> tuple[Item, ...]:
    match value:
        case CBORTag(tag=44702, value=bytes(digest)):
            return tuple(element for each in _decoded(read(digest)) for element in _elements(each, read))
        case CBORTag(tag=44701, value=bytes(digest)):
            return (read(digest),)
    return (value,)


def _decoded(group: bytes) -> tuple[Item, ...]:
    content = _decode(group, TAGS)
    return content if isinstance(content, tuple) else (content,)


def _decode(data: bytes, tags: frozenset[int] = frozenset()) -> Item:
    return decode(data, max_bytes=LARGEST, max_depth=DEPTH, max_items=LARGEST, allowed_tags=tags)
