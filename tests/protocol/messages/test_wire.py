from __future__ import annotations

import copy
import dataclasses
import pickle
from enum import IntEnum
from typing import Annotated, Any

import pytest

from insitu.protocol.engine import Fault, UsageError
from insitu.protocol.messages import (
    DecodeError,
    FieldError,
    Key,
    RefusedAs,
    Secret,
    Size,
    Within,
    array,
    decode_record,
    encode,
    encode_record,
    message,
    record,
)


class Colour(IntEnum):
    RED = 0
    GREEN = 1


@array
class Point:
    y: Annotated[int, Key(1)]
    x: Annotated[int, Key(0)]


@record
class Shape:
    """Everything that a field can be, with keys out of order."""

    name: Annotated[str, Key(30), Size(1, 8)]
    colour: Annotated[Colour, Key(2)]
    filled: Annotated[bool, Key(3)]
    corners: Annotated[tuple[Point, ...], Key(4), Size(1, 4)]
    centre: Annotated[Point | None, Key(5)] = None
    tags: Annotated[tuple[Annotated[bytes, Size(2)], ...] | None, Key(6)] = None


@message(200)
class Move:
    by: Annotated[Point, Key(1)]
    times: Annotated[int, Key(2), Within(1, 9), RefusedAs(Fault.UNSUPPORTED)] = 1


@record
class Purse:
    pin: Annotated[str, Key(1), Size(4), Secret()]
    card: Annotated[str, Key(2), Secret(tail=4)]
    count: Annotated[int, Key(3)] = 0


@record
class Span:
    first: Annotated[int, Key(1)]
    last: Annotated[int, Key(2)]

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise UsageError("a span ends before it begins", expected=f"at least {self.first}", got=self.last)


SHAPE = Shape("box", Colour.GREEN, True, (Point(y=2, x=1),), Point(y=4, x=3), (b"ab", b"cd"))
SHAPE_ITEM: dict[int | str, Any] = {2: 1, 3: True, 4: ((1, 2),), 5: (3, 4), 6: (b"ab", b"cd"), 30: "box"}


def test_every_kind_of_field_travels() -> None:
    data = encode_record(SHAPE)
    assert data == encode(SHAPE_ITEM)
    assert data.hex() == "a6020103f5048182010205820304068242616242636418" + "1e63626f78"
    back = decode_record(Shape, data)
    assert back == SHAPE
    assert back.colour is Colour.GREEN
    assert decode_record(Shape, bytearray(data)) == SHAPE


def test_an_absent_field_is_left_out() -> None:
    small = Shape("box", Colour.RED, False, (Point(0, 0),))
    assert encode_record(small) == encode({2: 0, 3: False, 4: [[0, 0]], 30: "box"})
    assert decode_record(Shape, encode_record(small)) == small


def test_objects_are_frozen_equal_hashable_and_slim() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SHAPE.name = "other"  # type: ignore[misc]
    assert not hasattr(SHAPE, "__dict__")
    assert hash(SHAPE) == hash(decode_record(Shape, encode_record(SHAPE)))
    assert dataclasses.replace(SHAPE, name="bar").name == "bar"
    assert repr(Point(1, 2)) == "Point(x=2, y=1)"
    assert pickle.loads(pickle.dumps(Point(1, 2))) == Point(1, 2)


def refused(name: str, expected: str, got: str) -> str:
    return f"{name} does not allow this value (expected {expected}, got {got})"


REFUSALS: list[tuple[object, str]] = [
    ((), "not Shape (expected a map, got an array)"),
    ({**SHAPE_ITEM, 7: 0}, "Shape has unknown keys (expected only 2, 3, 4, 5, 6, 30, got 7)"),
    ({**SHAPE_ITEM, "x": 0, -1: 0}, "Shape has unknown keys (expected only 2, 3, 4, 5, 6, 30, got -1, 'x')"),
    ({key: SHAPE_ITEM[key] for key in SHAPE_ITEM if key != 3}, "Shape.filled is missing (expected true or false)"),
    ({**SHAPE_ITEM, 5: None}, "Shape.centre is null (expected Point, got null)"),
    ({**SHAPE_ITEM, 3: None}, "Shape.filled is null (expected true or false, got null)"),
    ({**SHAPE_ITEM, 3: 1}, refused("Shape.filled", "true or false", "1")),
    ({**SHAPE_ITEM, 2: 2}, refused("Shape.colour", "one of 0 RED, 1 GREEN", "2")),
    ({**SHAPE_ITEM, 2: True}, refused("Shape.colour", "one of 0 RED, 1 GREEN", "True")),
    ({**SHAPE_ITEM, 30: ""}, refused("Shape.name", "a text of 1 to 8 bytes", "''")),
    ({**SHAPE_ITEM, 30: b"box"}, refused("Shape.name", "a text of 1 to 8 bytes", "3 bytes")),
    ({**SHAPE_ITEM, 4: ()}, refused("Shape.corners", "1 to 4 times Point", "an array of 0")),
    ({**SHAPE_ITEM, 4: 5}, refused("Shape.corners", "1 to 4 times Point", "5")),
    ({**SHAPE_ITEM, 4: (5,)}, "not Point (expected an array, got an integer)"),
    ({**SHAPE_ITEM, 4: ((1,),)}, "Point.y is missing (expected an integer from 0 to 9223372036854775807)"),
    ({**SHAPE_ITEM, 5: (1, 2, 3)}, "Point has unknown keys (expected only 0, 1, got 2)"),
    ({**SHAPE_ITEM, 5: {0: 1, 1: 2}}, "not Point (expected an array, got a map)"),
    ({**SHAPE_ITEM, 6: (b"abc",)}, refused("Shape.tags", "0 to 65535 times 2 bytes", "an array of 1")),
]


@pytest.mark.parametrize(("item", "reason"), REFUSALS)
def test_refuses_what_a_peer_may_not_send(item: object, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_record(Shape, encode(item))
    assert str(caught.value) == f"codec: {reason}"
    assert caught.value.fault is Fault.MALFORMED
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_same_value_is_the_callers_fault_when_an_object_is_made() -> None:
    with pytest.raises(FieldError) as caught:
        Shape("much too long", Colour.RED, True, (Point(0, 0),))
    assert isinstance(caught.value, UsageError)
    assert caught.value.field == "Shape.name"
    assert caught.value.expected == "a text of 1 to 8 bytes"
    assert caught.value.got == "'much too long'"
    with pytest.raises(FieldError, match=r"Point\.x does not allow this value"):
        dataclasses.replace(Point(1, 2), x=-1)


def test_a_field_may_choose_the_code_that_the_peer_is_told() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_record(Move, encode({0: 200, 1: [1, 2], 2: 10}))
    assert caught.value.fault is Fault.UNSUPPORTED


def test_a_default_of_a_field_that_is_not_optional_travels() -> None:
    move = Move(Point(1, 2))
    assert encode_record(move) == encode({0: 200, 1: [2, 1], 2: 1})
    assert decode_record(Move, encode_record(move)) == move
    with pytest.raises(DecodeError, match=r"Move\.times is missing"):
        decode_record(Move, encode({0: 200, 1: [2, 1]}))


@pytest.mark.parametrize(
    ("item", "got"),
    [
        ({1: [2, 1], 2: 1}, "none"),
        ({0: 201, 1: [2, 1], 2: 1}, "201"),
        ({0: True, 1: [2, 1], 2: 1}, "True"),
        ([], "none"),
    ],
)
def test_a_message_carries_its_number(item: object, got: str) -> None:
    with pytest.raises(DecodeError, match=rf"not Move \(expected message number 200, got {got}\)"):
        decode_record(Move, encode(item))


def test_the_number_of_a_message_is_a_key_that_it_knows() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_record(Move, encode({0: 200, 1: [2, 1], 2: 1, 9: 0}))
    assert str(caught.value) == "codec: Move has unknown keys (expected only 0, 1, 2, got 9)"


def test_a_class_may_check_how_its_fields_fit_together() -> None:
    assert Span(1, 1).last == 1
    with pytest.raises(UsageError, match="a span ends before it begins"):
        Span(2, 1)
    with pytest.raises(DecodeError) as caught:
        decode_record(Span, encode({1: 2, 2: 1}))
    assert str(caught.value) == "codec: Span: a span ends before it begins (expected at least 2, got 1)"
    assert caught.value.__context__ is None
    with pytest.raises(FieldError, match=r"Span\.last"):
        Span(1, -1)


def test_limits_are_those_of_the_codec() -> None:
    data = encode_record(SHAPE)
    for limit in ({"max_bytes": len(data) - 1}, {"max_depth": 2}, {"max_items": 18}):
        with pytest.raises(DecodeError):
            decode_record(Shape, data, **limit)  # type: ignore[arg-type]
    assert decode_record(Shape, data, max_bytes=len(data), max_depth=3, max_items=19)


SECRET = "4111111111111234"


def test_secrets_show_in_no_repr() -> None:
    purse = Purse("0815", SECRET)
    assert repr(purse) == "Purse(pin=<not shown>, card='************1234', count=0)"
    assert decode_record(Purse, encode_record(purse)) == purse


@pytest.mark.parametrize(
    "make",
    [
        lambda: Purse("08151", SECRET),
        lambda: Purse("0815", 4111111111111234),  # type: ignore[arg-type]
        lambda: Purse("0815", SECRET, SECRET),  # type: ignore[arg-type]
        lambda: Purse("0815", SECRET, -4111111111111234),
        lambda: decode_record(Purse, encode({1: "0815", 2: 4111111111111234, 3: 0})),
        lambda: decode_record(Purse, encode({1: SECRET, 2: SECRET, 3: 0})),
        lambda: decode_record(Purse, encode({1: "0815", 2: "1", 3: SECRET})),
        lambda: decode_record(Purse, encode({1: "0815", 2: "1", 3: 0, SECRET: 0})),
        lambda: decode_record(Purse, encode({1: "0815", 2: "1", 3: 0, 4111111111111234: 0})),
    ],
)
def test_no_error_about_a_class_with_secrets_shows_a_value(make: Any) -> None:
    with pytest.raises((UsageError, DecodeError)) as caught:
        make()
    error = caught.value
    for text in (str(error), repr(error), str(vars(error))):
        assert "1234" not in text
        assert "0815" not in text
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_secrets_are_never_pickled(leak: Any) -> None:
    with pytest.raises(UsageError, match="Purse holds a secret and is never pickled"):
        leak(Purse("0815", SECRET))
    with pytest.raises(UsageError, match="never pickled"):
        leak([{"purse": Purse("0815", SECRET)}]) if leak is not copy.copy else leak(Purse("0815", SECRET))


def declare_twice() -> None:
    @record
    class Twice:
        one: Annotated[int, Key(1)]
        two: Annotated[int, Key(1)]


def declare_number_key() -> None:
    @message(1)
    class Numbered:
        one: Annotated[int, Key(0)]


def declare_gap() -> None:
    @array
    class Gap:
        one: Annotated[int, Key(0)]
        two: Annotated[int, Key(2)]


def declare_optional_element() -> None:
    @array
    class Optional:
        one: Annotated[int | None, Key(0)] = None


def declare_optional_without_default() -> None:
    @record
    class NoDefault:
        one: Annotated[int | None, Key(0)]


def declare_message_within() -> None:
    @record
    class Within:
        one: Annotated[Move, Key(0)]


def declare_nothing_known() -> None:
    @record
    class Unknown:
        one: Annotated[float, Key(0)]


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (declare_twice, "Twice uses a key twice"),
        (declare_number_key, "Numbered uses a key twice"),
        (declare_gap, "Gap is not an array"),
        (declare_optional_element, "Optional is not an array"),
        (declare_optional_without_default, "NoDefault.one has the wrong default"),
        (declare_message_within, "field one is not declared as it must be"),
        (declare_nothing_known, "field one is not declared as it must be"),
    ],
)
def test_refuses_declarations_that_mean_nothing(declare: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        declare()


def test_refuses_classes_that_are_not_declared() -> None:
    with pytest.raises(UsageError, match=r"not a declared class \(expected a message or a record, got dict\)"):
        encode_record({})
    with pytest.raises(UsageError, match="not a declared class"):
        decode_record(int, b"\x00")

    class Heir(Span):
        pass

    with pytest.raises(UsageError, match="not a declared class"):
        encode_record(Heir(1, 2))
