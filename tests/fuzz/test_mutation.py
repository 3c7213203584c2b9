"""What the mutator makes: everything that it promises, and the same again from the same seed."""

from __future__ import annotations

from random import Random

import pytest

from insitu.fuzz import TARGETS, Mutator, Shape
from insitu.fuzz.items import head, read_all, write_all
from insitu.fuzz.mutation import LONGEST, cut, joined
from insitu.fuzz.tlv import read_tlv, write_tlv
from insitu.protocol.messages import DecodeError, decode, encode

SEED = encode({0: 5, 1: b"\x82\x01\x02", 2: [{"a": 1}, -7, True], 3: "text"})


def mutated(shape: Shape, seed: bytes, times: int, number: int = 1) -> list[bytes]:
    mutator = Mutator(shape, Random(number))
    return [mutator.mutate(seed, [seed]) for _ in range(times)]


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_seeds_are_read_and_written_as_they_are(target):
    for seed in target.seeds():
        if target.shape is Shape.CBOR and (items := read_all(seed)) is not None:
            assert write_all(items) == seed
        if target.shape is Shape.FRAMES:
            assert len(cut(seed)) >= 1
            assert joined(cut(seed)) == seed or seed.endswith(cut(seed)[-1])
        if target.shape is Shape.DER and (values := read_tlv(seed)) is not None:
            assert write_tlv(values) == seed


@pytest.mark.parametrize("data", [b"\x1c", b"\x82\x01", b"\xff", b"\x5f", b"\x9b" + b"\xff" * 8, b"\x81" * 500])
def test_what_is_no_cbor_is_not_taken_apart(data):
    assert read_all(data) is None


@pytest.mark.parametrize(
    "data", [b"\x9f\x01\xff", b"\x18\x01", b"\xbf\xff", b"\x5f\x41a\xff", b"\xf9\x3c\x00", b"\xf8\x18"]
)
def test_what_no_encoder_writes_is_kept(data):
    items = read_all(data)
    assert items is not None
    assert write_all(items) == data


def test_heads():
    assert head(0, 23) == b"\x17"
    assert head(0, 24) == b"\x18\x18"
    assert head(1, 1 << 32) == b"\x3b" + (1 << 32).to_bytes(8, "big")
    assert head(0, 5, 26) == b"\x1a\0\0\0\x05"
    assert head(4, 0, 31) == b"\x9f"


def test_a_mutator_repeats_itself():
    assert mutated(Shape.CBOR, SEED, 200) == mutated(Shape.CBOR, SEED, 200)
    assert mutated(Shape.CBOR, SEED, 200) != mutated(Shape.CBOR, SEED, 200, 2)


def test_every_way_to_be_refused_comes():
    """All that the codec knows to say, and things that it takes."""
    said = set()
    for data in mutated(Shape.CBOR, SEED, 2_500):
        assert len(data) <= LONGEST
        try:
            decode(data)
            said.add("accepted")
        except DecodeError as error:
            said.add(f"{error.summary.split(' at byte')[0]}, {error.got if 'ngth' in error.got else ''}".strip(", "))
    assert said >= {
        "accepted",
        "a map key twice",
        "map keys out of order",
        "a tag that has no place here",
        "a value outside the subset",
        "bytes after the item",
        "data ends inside an item",
        "nested too deep",
        "not a head, an indefinite length",
        "not a map key",
        "not a text string",
        "not the shortest encoding",
        "too many items",
    }


@pytest.mark.parametrize("shape", Shape, ids=lambda shape: shape.name.lower())
def test_nothing_stops_a_mutator(shape):
    """Not what is empty, not what is not of its shape, not what it made itself."""
    mutator = Mutator(shape, Random(5))
    pool = [
        b"",
        b"\0",
        b"\xff" * 40,
        SEED,
        joined([SEED, b""]),
        bytes.fromhex("3009020101300404020500"),
        "ü=%?".encode(),
    ]
    for number in range(2_000):
        data = mutator.mutate(pool[number % len(pool)], pool)
        assert type(data) is bytes
        if number % 40 == 0:
            pool.append(data)


def test_der_keeps_its_form_or_breaks_it_on_purpose():
    made = mutated(Shape.DER, bytes.fromhex("300c300506032a030405000303000102"), 2_000)
    whole = [data for data in made if read_tlv(data) is not None]
    assert 200 < len(whole) < len(made) - 200


def test_half_of_what_is_changed_is_written_well():
    """Else hardly anything would come past the reader."""
    read = 0
    made = mutated(Shape.CBOR, SEED, 1_000)
    for data in made:
        try:
            decode(data)
        except DecodeError:
            continue
        read += data != SEED
    assert read > 300
