from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from cbor2 import CBORTag
from hypothesis import example, given
from hypothesis import strategies as st

from insitu.protocol.engine import Fault, ProtocolError, UsageError
from insitu.protocol.messages.codec import MAX_BYTES, MAX_DEPTH, DecodeError, decode, decode_sequence, encode

INTEGERS = st.integers(-(2**64), 2**64 - 1) | st.sampled_from([-1, 0, 23, 24, 255, 256, 2**16, 2**32, 2**64 - 1])
TEXTS = st.text(st.characters(codec="utf-8"))
LEAVES = INTEGERS | st.binary() | TEXTS | st.booleans() | st.none()
ITEMS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5).map(tuple) | st.dictionaries(INTEGERS | TEXTS, inner, max_size=5),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same kinds all the way down: 1 is not True here."""
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def fits_the_depth(item: object) -> bool:
    try:
        encode(item)
    except UsageError:
        return False
    return True


# Examples from RFC 8949, appendix A, as far as they lie in the subset.
EXAMPLES: list[tuple[str, object]] = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("1864", 100),
    ("1903e8", 1000),
    ("1a000f4240", 1_000_000),
    ("1b000000e8d4a51000", 1_000_000_000_000),
    ("1bffffffffffffffff", 2**64 - 1),
    ("20", -1),
    ("3863", -100),
    ("3903e7", -1000),
    ("3bffffffffffffffff", -(2**64)),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("40", b""),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("60", ""),
    ("6449455446", "IETF"),
    ("62225c", '"\\'),
    ("62c3bc", "\u00fc"),
    ("64f0908591", "\U00010151"),
    ("80", ()),
    ("8301820203820405", (1, (2, 3), (4, 5))),
    ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", tuple(range(1, 26))),
    ("a0", {}),
    ("a201020304", {1: 2, 3: 4}),
    ("a26161016162820203", {"a": 1, "b": (2, 3)}),
    ("826161a161626163", ("a", {"b": "c"})),
]

REFUSED: dict[str, str] = {
    # not the shortest, or not definite
    "1800": "not the shortest",
    "1817": "not the shortest",
    "190018": "not the shortest",
    "1a0000ffff": "not the shortest",
    "1b00000000ffffffff": "not the shortest",
    "3800": "not the shortest",
    "580100": "not the shortest",
    "7800": "not the shortest",
    "9800": "not the shortest",
    "b800": "not the shortest",
    "5f4100ff": "an indefinite length",
    "7f6161ff": "an indefinite length",
    "9fff": "an indefinite length",
    "bfff": "an indefinite length",
    "1c": "reserved bits",
    "1f": "an indefinite length",
    # cut short, or too long
    "": "ends inside",
    "18": "ends inside",
    "1901": "ends inside",
    "41": "ends inside",
    "5903e800": "ends inside",
    "6161ff": "bytes after",
    "0000": "bytes after",
    "81": "ends inside",
    "a1": "ends inside",
    "a100": "ends inside",
    # beyond the subset
    "f7": "undefined",
    "e0": "a simple value",
    "f3": "a simple value",
    "f820": "a simple value",
    "f93c00": "a float",
    "fa3f800000": "a float",
    "fb3ff0000000000000": "a float",
    "ff": "a break",
    # maps
    "a202000100": "out of order",
    "a201000100": "twice",
    "a2616200616100": "out of order",
    "a262616100616200": "out of order",
    "a220000100": "out of order",
    "a1f93c0000": "not a map key",
    "a1f500": "not a map key",
    "a1f600": "not a map key",
    "a1410000": "got a byte string",
    "a18000": "got an array",
    "a1a000": "got a map",
    "a1c10000": "got a tag",
    # tags: none is asked for
    "c000": "tag 0",
    "c24101": "tag 2",
    "c4821a000f423f01": "tag 4",
    "d81c80": "tag 28",
    "d81c81d81d00": "tag 28",
    "d81d00": "tag 29",
    "d823615b": "tag 35",
    "d9d9f700": "tag 55799",
    # text
    "61ff": "not a text",
    "62c328": "not a text",
    "63eda080": "not a text",
    "61c3": "not a text",
}


@pytest.mark.parametrize(("data", "item"), EXAMPLES)
def test_examples_of_the_rfc(data: str, item: object) -> None:
    assert encode(item).hex() == data
    assert same(decode(bytes.fromhex(data)), item)


@pytest.mark.parametrize(("data", "reason"), REFUSED.items())
def test_refuses_what_is_not_the_one_encoding(data: str, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(bytes.fromhex(data))
    assert reason in str(caught.value)
    assert isinstance(caught.value, ProtocolError)
    assert caught.value.fault is Fault.MALFORMED
    assert caught.value.who == "codec"


def test_map_keys_are_sorted_bytewise_not_by_length() -> None:
    # RFC 8949, 4.2.1: 10, 100, -1, "z", "aa"; RFC 7049 would put -1 before 100.
    item = {"aa": 0, "z": 0, -1: 0, 100: 0, 10: 0}
    assert encode(item).hex() == "a50a001864002000617a0062616100"
    assert list(decode(encode(item))) == [10, 100, -1, "z", "aa"]  # type: ignore[arg-type]


def test_error_says_where() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(bytes.fromhex("8301a20200010003"))
    assert caught.value.offset == 5
    assert str(caught.value) == "codec: map keys out of order at byte 5 (expected keys in ascending bytewise order)"


def test_depth_counts_containers_inside_one_another() -> None:
    assert decode(b"\x81" * MAX_DEPTH + b"\x00")
    with pytest.raises(DecodeError, match="nested too deep"):
        decode(b"\x81" * (MAX_DEPTH + 1) + b"\x00")
    assert decode(b"\x00", max_depth=0) == 0
    with pytest.raises(DecodeError, match="nested too deep"):
        decode(b"\x80", max_depth=0)
    with pytest.raises(DecodeError, match="nested too deep"):
        decode(b"\xc1\xc1\x00", max_depth=1, allowed_tags=frozenset({1}))


def test_bytes_are_limited() -> None:
    longest = encode(bytes(MAX_BYTES - 3))
    assert len(longest) == MAX_BYTES
    assert decode(longest) == bytes(MAX_BYTES - 3)
    with pytest.raises(DecodeError, match=r"too long \(expected at most 65536 bytes, got 65537 bytes\)"):
        decode(longest + b"\x00")
    with pytest.raises(DecodeError, match="too long"):
        decode_sequence(b"\x00\x00\x00", max_bytes=2)


@pytest.mark.parametrize(
    ("data", "items"), [("83000000", 3), ("a200000100", 4), ("8180", 1), ("82a1000080", 4), ("c1c100", 2)]
)
def test_items_are_limited(data: str, items: int) -> None:
    tags = frozenset({1})
    decode(bytes.fromhex(data), max_items=items, allowed_tags=tags)
    with pytest.raises(DecodeError, match="too many items"):
        decode(bytes.fromhex(data), max_items=items - 1, allowed_tags=tags)


def test_takes_any_kind_of_bytes() -> None:
    assert decode(bytearray(b"\x41\x00")) == decode(memoryview(b"\x41\x00")) == b"\x00"
    assert type(decode(bytearray(b"\x41\x00"))) is bytes


def test_tags_are_accepted_only_where_named() -> None:
    data = bytes.fromhex("d28043")[:2]
    assert decode(data, allowed_tags=frozenset({18})) == CBORTag(18, ())
    assert encode(CBORTag(18, [])) == data
    with pytest.raises(DecodeError, match="expected tag 16 or tag 17, got tag 18"):
        decode(data, allowed_tags=frozenset({16, 17}))


def test_content_of_an_allowed_tag_stays_uninterpreted() -> None:
    tags = frozenset({2, 4, 35})
    assert decode(bytes.fromhex("c24101"), allowed_tags=tags) == CBORTag(2, b"\x01")
    assert decode(bytes.fromhex("c4821a000f423f01"), allowed_tags=tags) == CBORTag(4, (999_999, 1))
    assert decode(bytes.fromhex("d823615b"), allowed_tags=tags) == CBORTag(35, "[")


def test_sequences() -> None:
    assert decode_sequence(b"") == ()
    assert decode_sequence(bytes.fromhex("0041ff8101")) == (0, b"\xff", (1,))
    with pytest.raises(DecodeError, match="ends inside an item at byte 1"):
        decode_sequence(bytes.fromhex("0041"))
    with pytest.raises(DecodeError, match="too many items"):
        decode_sequence(bytes(5), max_items=4)
    assert decode_sequence(bytes(5), max_items=5) == (0,) * 5


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (1.0, "an item of the subset, got a Python float"),
        (2**64, "an integer of 64 bits, got a longer one"),
        (-(2**64) - 1, "an integer of 64 bits, got a longer one"),
        ({1, 2}, "an item of the subset, got a Python set"),
        ({True: 0}, "an integer or a text string as map key, got a boolean"),
        ({b"": 0}, "an integer or a text string as map key, got a byte string"),
        ({None: 0}, "an integer or a text string as map key, got null"),
        ({(): 0}, "an integer or a text string as map key, got an array"),
        ({"\ud800": 0}, "Unicode text, got a lone surrogate"),
        ("\udfff", "Unicode text, got a lone surrogate"),
        (object(), "an item of the subset, got a Python object"),
        (bytearray(), "an item of the subset, got a Python bytearray"),
        ([[1.5]], "an item of the subset, got a Python float"),
        ({0: {0: 2**64}}, "an integer of 64 bits, got a longer one"),
        (cbor2.undefined, "an item of the subset"),
        (CBORTag(1, 1.5), "an item of the subset, got a Python float"),
    ],
)
def test_refuses_to_encode_what_lies_outside_the_subset(item: object, reason: str) -> None:
    with pytest.raises(UsageError, match=f"codec: cannot be encoded.*{reason}"):
        encode(item)


def test_refuses_to_encode_what_contains_itself() -> None:
    line: list[object] = []
    line.append(line)
    table: dict[int, object] = {}
    table[0] = table
    for endless in (line, table, CBORTag(1, line), CBORTag(1, table)):
        with pytest.raises(UsageError, match="expected less nesting"):
            encode(endless)


@pytest.mark.parametrize(
    ("around", "head"),
    [(lambda item: [item], b"\x81"), (lambda item: {0: item}, b"\xa1\x00"), (lambda item: CBORTag(1, item), b"\xc1")],
    ids=["array", "map", "tag"],
)
def test_any_container_counts_as_depth_where_it_is_written(around: Callable[[object], object], head: bytes) -> None:
    nested: object = 0
    for _ in range(MAX_DEPTH):
        nested = around(nested)
    assert encode(nested) == head * MAX_DEPTH + b"\x00"
    with pytest.raises(UsageError, match="less nesting"):
        encode(around(nested))


def test_neither_error_shows_a_value() -> None:
    with pytest.raises(UsageError) as usage:
        encode(["4111111111111111", 2**70])
    assert "41111" not in str(usage.value)
    with pytest.raises(DecodeError) as refused:
        decode(b"\x70" + b"4111111111111111" + b"\x00")
    assert "41111" not in str(refused.value)
    with pytest.raises(DecodeError) as undecodable:
        decode(b"\x644111\xff"[:5] + b"\xff")
    assert undecodable.value.__cause__ is None
    assert undecodable.value.__context__ is None


@given(ITEMS.filter(fits_the_depth))
def test_round_trip(item: object) -> None:
    data = encode(item)
    back = decode(data)
    assert encode(back) == data
    assert same(back, decode(encode(back)))
    assert cbor2.loads(data, immutable=False) == cbor2.loads(cbor2.dumps(item))


@given(st.lists(ITEMS.filter(fits_the_depth), max_size=4))
def test_a_sequence_is_its_items_one_after_the_other(items: list[object]) -> None:
    back = decode_sequence(b"".join(map(encode, items)))
    assert [encode(item) for item in back] == [encode(item) for item in items]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An encoding with a few bytes changed, added, taken out, or a head replaced by a hostile one."""
    data = bytearray(encode(draw(ITEMS.filter(fits_the_depth))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        piece = draw(
            st.binary(min_size=1, max_size=3)
            | st.sampled_from([bytes.fromhex(head) for head in REFUSED if head])
            | st.sampled_from([bytes.fromhex(head) for head, _ in EXAMPLES])
        )
        data[at : at + draw(st.integers(0, 2))] = piece
    return bytes(data)


@given(damaged() | st.binary(max_size=64))
@example(b"")
def test_decodes_exactly_the_deterministic_encodings(data: bytes) -> None:
    """Whatever comes: a DecodeError, or an item whose one encoding the data is. And cbor2 agrees on which."""
    try:
        item = decode(data)
    except DecodeError:
        assert not is_deterministic_by_cbor2(data)
    else:
        assert encode(item) == data
        assert is_deterministic_by_cbor2(data)


def is_deterministic_by_cbor2(data: bytes) -> bool:
    """A second opinion: read by cbor2, written by `encode`, nothing lost."""
    try:
        item = cbor2.loads(data)
    except Exception:
        return False
    try:
        return encode(item) == data and not has_tags(item)
    except UsageError:
        return False


def has_tags(item: object) -> bool:
    """Whether cbor2 read a tag that it leaves to others; `decode` admits none unless told so."""
    if isinstance(item, dict):
        return any(map(has_tags, (*item.keys(), *item.values())))
    return isinstance(item, cbor2.CBORTag) or (isinstance(item, (list, tuple)) and any(map(has_tags, item)))
