from __future__ import annotations

from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

import pytest

from insitu.protocol.engine import Fault, UsageError
from insitu.protocol.messages.fields import (
    Field,
    Key,
    Matches,
    RefusedAs,
    Secret,
    Size,
    Within,
    holds_secrets,
    read_field,
    shown,
)


class Colour(IntEnum):
    RED = 0
    GREEN = 7


class Curve(Enum):
    P256 = "P-256"
    ED25519 = "Ed25519"


def field(annotation: Any) -> Field:
    return read_field("name", annotation, lambda cls: None)


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Annotated[int, Key(1)], [0, 2**63 - 1], [-1, 2**63, True, 1.0, "1", None, Colour.RED]),
        (Annotated[int, Key(1), Within(-5, 5)], [-5, 5], [-6, 6]),
        (Annotated[bytes, Key(1)], [b"", bytes(65_535)], [bytes(65_536), bytearray(), "", None]),
        (Annotated[bytes, Key(1), Size(32)], [bytes(32)], [bytes(31), bytes(33), b""]),
        (Annotated[bytes, Key(1), Size(1, 3)], [b"a", b"abc"], [b"", b"abcd"]),
        (
            Annotated[str, Key(1), Size(0, 4)],
            ["", "abcd", "\u00fc\u00fc"],
            ["abcde", "\u00fc\u00fc\u00fc", b"", "\ud800"],
        ),
        (Annotated[str, Key(1), Size(2, 4)], ["ab", "\u00fc"], ["a", ""]),
        (Annotated[str, Key(1), Matches("[0-9]+")], ["0", "99"], ["", "9x", "9\n", "\u0663"]),
        (Annotated[bool, Key(1)], [True, False], [0, 1, None, "true"]),
        (Annotated[Colour, Key(1)], [Colour.RED], [0, 7, 1, Curve.P256]),
        (Annotated[Curve, Key(1)], [Curve.ED25519], ["P-256", Colour.RED]),
        (Annotated[tuple[int, ...], Key(1), Size(1, 2)], [(1,), (1, 2)], [(), (1, 2, 3), [1], (b"",), (True,)]),
        (Annotated[tuple[Annotated[bytes, Size(2)], ...], Key(1)], [(), (b"ab",)], [(b"a",), (b"ab", b"abc")]),
        (Annotated[int | None, Key(1)], [None, 3], [-1, "3"]),
        (Annotated[Annotated[bytes, Size(2)] | None, Key(1)], [None, b"ab"], [b"a", b""]),
    ],
)
def test_accepts_what_is_declared_and_nothing_else(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    accepts = field(annotation).accepts
    assert [value for value in good if not accepts(value)] == []
    assert [value for value in bad if accepts(value)] == []


def test_what_an_annotation_says() -> None:
    read = field(Annotated[str | None, Key(9), Size(1, 5), Secret(tail=2), RefusedAs(Fault.UNSUPPORTED)])
    assert (read.name, read.key, read.optional, read.secret) == ("name", 9, True, Secret(2))
    assert read.fault is Fault.UNSUPPORTED
    assert read.kind.expected == "a text of 1 to 5 bytes"
    plain = field(Annotated[bytes, Key(0), Size(32)])
    assert (plain.optional, plain.secret, plain.fault) == (False, None, Fault.MALFORMED)
    assert plain.kind.expected == "32 bytes"
    assert holds_secrets([plain, read])
    assert not holds_secrets([plain])


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Annotated[int, Key(1)], "an integer from 0 to 9223372036854775807"),
        (Annotated[int, Key(1), Within(1, 1)], "1"),
        (Annotated[bool, Key(1)], "true or false"),
        (Annotated[Colour, Key(1)], "one of 0 RED, 7 GREEN"),
        (Annotated[str, Key(1), Size(3), Matches("[A-Z]+")], "a text of 3 bytes that matches [A-Z]+"),
        (Annotated[tuple[bool, ...], Key(1), Size(0, 9)], "0 to 9 times true or false"),
    ],
)
def test_expectations_in_words(annotation: Any, expected: str) -> None:
    assert field(annotation).kind.expected == expected


def test_enumerations_are_turned_by_value_and_kind() -> None:
    colour = field(Annotated[Colour, Key(1)]).kind
    assert colour.to_item is not None
    assert colour.from_item is not None
    assert type(colour.to_item(Colour.GREEN)) is int
    assert colour.from_item(7) is Colour.GREEN
    assert [colour.from_item(item) for item in (False, 1, "RED", b"", (), {})] == [False, 1, "RED", b"", (), {}]
    curve = field(Annotated[Curve, Key(1)]).kind
    assert curve.from_item is not None
    assert curve.from_item("P-256") is Curve.P256

    class Mixed(Enum):
        NUMBER = 1
        NAME = "1"

    mixed = field(Annotated[Mixed, Key(1)]).kind
    assert mixed.from_item is not None
    assert [mixed.from_item(item) for item in (1, "1")] == [Mixed.NUMBER, Mixed.NAME]


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        Annotated[int, Size(1)],
        Annotated[int, Key(1), Key(2)],
        Annotated[int, Key(-1)],
        Annotated[float, Key(1)],
        Annotated[int | str, Key(1)],
        Annotated[int | str | None, Key(1)],
        Annotated[list[int], Key(1)],
        Annotated[tuple[int, str], Key(1)],
        Annotated[dict[int, int], Key(1)],
        Annotated[object, Key(1)],
        Annotated[Literal["a"], Key(1)],
        Annotated[tuple[Annotated[str, Secret()], ...], Key(1)],
    ],
)
def test_refuses_annotations_that_mean_nothing(annotation: Any) -> None:
    with pytest.raises(UsageError, match="field name is not declared as it must be"):
        field(annotation)


def test_refuses_enumerations_that_cannot_travel() -> None:
    class Half(Enum):
        HALF = 0.5

    with pytest.raises(UsageError, match="not an enumeration for the wire"):
        field(Annotated[Half, Key(1)])


def test_repr_of_a_secret_shows_its_tail_at_most() -> None:
    card = field(Annotated[str | None, Key(1), Secret(tail=4)])
    assert card.in_repr("4111111111111234") == "'************1234'"
    assert card.in_repr("1234") == "<not shown>"
    assert card.in_repr(None) == "None"
    assert field(Annotated[str, Key(1), Secret(tail=1)]).in_repr("12") == "'*2'"
    pin = field(Annotated[bytes, Key(1), Secret()])
    assert pin.in_repr(b"1234") == "<not shown>"
    assert field(Annotated[int, Key(1)]).in_repr(3) == "3"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"secret?", "7 bytes"),
        ("short", "'short'"),
        ("x" * 40, repr("x" * 40)),
        ("x" * 41, "a text string of 41 characters"),
        (5, "5"),
        (2**64 - 1, "18446744073709551615"),
        (2**64, "a very large integer"),
        (True, "True"),
        ((1, 2), "an array of 2"),
        ({}, "a map of 0"),
        (None, "null"),
        (1.5, "a Python float"),
    ],
)
def test_values_in_errors_are_short(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_key_is_whatever_one_item_of_cbor_can_say() -> None:
    """RFC 8949 section 3.1: an unsigned integer has at most 64 bits."""
    for number in (0, 18_446_744_073_709_551_615):
        assert field(Annotated[int, Key(number)]).key == number
    for number in (-1, 18_446_744_073_709_551_616):
        with pytest.raises(UsageError, match="exactly one Key, not negative"):
            field(Annotated[int, Key(number)])
