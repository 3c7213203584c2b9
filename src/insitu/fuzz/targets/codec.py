"""The codec: items, messages and durable records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import cbor2

from ...protocol.engine import UsageError
from ...protocol.messages import (
    MESSAGES,
    RECORD_LIMITS,
    CardRecord,
    CentralRecord,
    DecodeError,
    KeyOrder,
    ManufacturerRecord,
    ModuleRecord,
    decode,
    decode_message,
    decode_record,
    decode_sequence,
    encode,
    encode_message,
    encode_record,
)
from ...protocol.messages.codec import MAX_BYTES, MAX_DEPTH, MAX_ITEMS, Item
from ..items import TAG, Node, read_all
from ..target import Shape, check, outcome_of, target

TAGS: Final = frozenset({16, 18})
RECORDS: Final[tuple[type[Any], ...]] = (ModuleRecord, CardRecord, ManufacturerRecord, CentralRecord, KeyOrder)


def item_seeds() -> Iterator[bytes]:
    """Items of every kind, at their bounds."""
    for item in (0, 23, 24, 255, 256, 65_536, (1 << 64) - 1, -1, -(1 << 64), b"", b"\0" * 24, "", "ü", True, None):
        yield encode(item)
    yield encode([[[[[[[[1]]]]]]]])
    yield encode(list(range(300)))
    yield encode({0: 1, 1: b"x" * 300, 24: [1, 2, {-1: "a", "b": False}], -1: None, "key": {}})
    yield encode(cbor2.CBORTag(18, [b"\xa1\x01\x26", {}, None, bytes(64)]))


def message_seeds() -> Iterator[bytes]:
    """One message of each class, with the least that its fields allow and with a little more."""
    for cls in MESSAGES:
        for extra in (0, 1):
            made = sample(cls, extra)
            if made is not None:
                yield encode_message(made)


def sequence_seeds() -> Iterator[bytes]:
    """Items one after the other."""
    yield b""
    yield from (b"".join(islice(item_seeds(), start, start + 3)) for start in range(5))


def record_seeds() -> Iterator[bytes]:
    """A record of each class, its class by the first byte."""
    for place, cls in enumerate(RECORDS):
        for extra in (0, 1):
            made = sample(cls, extra)
            if made is not None:
                yield bytes((place,)) + encode_record(made)


@target("codec", Shape.CBOR, item_seeds)
def codec(data: bytes) -> str:
    """What decode takes is just what encode makes, read as cbor2 reads it; DecodeError is the only error.

    That is: what is accepted encodes to the same bytes, and nothing is refused that encode makes of what cbor2 reads.
    """
    try:
        item = decode(data, allowed_tags=TAGS)
    except DecodeError as error:
        check(not _should_decode(data), "refused what encode makes")
        return outcome_of(error)
    check(encode(item) == data, "another encoding was accepted")
    check(decode(bytearray(data), allowed_tags=TAGS) == item, "a bytearray is read differently")
    check(decode(memoryview(data), allowed_tags=TAGS) == item, "a view is read differently")
    check(_plain(item) == _plain(cbor2.loads(data)) or has_tags(data), "cbor2 reads something else")
    return f"accepted {type(item).__name__}"


def _should_decode(data: bytes) -> bool:
    """Whether `data` is an item within the limits that encode writes exactly so, by what cbor2 reads."""
    if len(data) > 4_096 or has_tags(data):
        return False
    try:
        item = cbor2.loads(data)
        return encode(item) == data and _count(item) <= MAX_ITEMS
    except (cbor2.CBORDecodeError, UsageError, ValueError, RecursionError, OverflowError, TypeError):
        return False


def has_tags(data: bytes) -> bool:
    """Whether tags occur, or nobody can tell: cbor2 gives them meanings that cost minutes."""
    items = read_all(data)
    return items is None or any(node.major == TAG for node in _all(items))


def _all(items: list[Node]) -> Iterator[Node]:
    for item in items:
        yield from item.walk()


def _plain(item: Any) -> Any:  # noqa: ANN401 - whatever either reader answers
    """Arrays as lists, and every value with its type, so that 1 and True differ."""
    if isinstance(item, list | tuple):
        return [_plain(each) for each in item]
    if isinstance(item, dict):
        return {(type(key), key): _plain(value) for key, value in item.items()}
    return type(item), item


def _count(item: Any) -> int:  # noqa: ANN401
    if isinstance(item, list | tuple):
        return sum(1 + _count(each) for each in item)
    if isinstance(item, dict):
        return sum(2 + _count(each) for each in item.values())
    return 0


@target("codec-sequence", Shape.CBOR, sequence_seeds)
def codec_sequence(data: bytes) -> str:
    """A sequence is taken as the items in it are, one by one in their order; DecodeError is the only error."""
    try:
        items = decode_sequence(data)
    except DecodeError as error:
        return outcome_of(error)
    check(b"".join(map(encode, items)) == data, "another encoding was accepted")
    check(tuple(decode(encode(item)) for item in items) == items, "an item alone is read differently")
    return f"accepted {min(len(items), 9)}"


@target("codec-items", Shape.CBOR, item_seeds)
def codec_items(data: bytes) -> str:
    """Whatever encode takes decode gives back; UsageError is the only error for what it does not take."""
    if has_tags(data) or len(data) > MAX_BYTES:
        return "not for cbor2"
    try:
        item: Item = cbor2.loads(data)
    except Exception as error:  # the reference's own refusals
        return type(error).__name__
    try:
        encoded = encode(item)
    except UsageError as error:
        return outcome_of(error)
    if _count(item) > MAX_ITEMS or len(encoded) > MAX_BYTES:
        return "beyond the limits"
    check(_plain(decode(encoded, max_depth=MAX_DEPTH)) == _plain(item), "another item came back")
    return f"encoded {type(item).__name__}"


@target("messages", Shape.CBOR, message_seeds)
def messages(data: bytes) -> str:
    """What decode_message takes encodes to the same bytes and shows no secret; DecodeError is the only error."""
    try:
        made = decode_message(data)
    except DecodeError as error:
        check(len(str(error)) < 2_000, "an error repeats what came")
        return outcome_of(error)
    check(encode_message(made) == data, "another encoding was accepted")
    shows_no_secret(made)
    return f"accepted {type(made).__name__}"


@target("durable-records", Shape.CBOR, record_seeds)
def durable_records(data: bytes) -> str:
    """What is taken as a record of a store encodes to the same bytes and shows no secret; else DecodeError."""
    cls = RECORDS[data[0] % len(RECORDS)] if data else ModuleRecord
    try:
        made = decode_record(cls, data[1:], **RECORD_LIMITS)
    except DecodeError as error:
        return f"{cls.__name__} {outcome_of(error)}"
    check(encode_record(made) == data[1:], "another encoding was accepted")
    shows_no_secret(made)
    return f"accepted {cls.__name__}"


def shows_no_secret(made: object) -> None:
    """A repr contains no secret of the object: neither as it is, nor in hexadecimal."""
    layout = type(made).__wire_layout__  # type: ignore[attr-defined]
    shown = repr(made)
    for field in layout.fields:
        value = getattr(made, field.name)
        if field.secret is None or not isinstance(value, bytes | str) or len(value) < 8:
            continue
        hidden = value[: len(value) - field.secret.tail]
        text = hidden.hex() if isinstance(hidden, bytes) else hidden
        check(len(hidden) < 8 or text not in shown, f"{field.name} shows")


def sample(cls: type[Any], extra: int) -> Any:  # noqa: ANN401 - an object of cls
    """An object of a declared class: of values that its fields allow; None where its fields must fit one another."""
    from .samples import made_of

    try:
        return made_of(cls, extra)
    except (UsageError, dataclasses.FrozenInstanceError):
        return None
