"""What holds for every message alike; the bytes of each are in the test file of its module."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any

import pytest
from cbor2 import CBORTag
from cddl_validator import Cddl
from hypothesis import assume, given
from hypothesis import strategies as st
from message_strategies import messages

from insitu.protocol.engine import UsageError
from insitu.protocol.messages import (
    MESSAGES,
    DecodeError,
    Intent,
    Key,
    Purpose,
    TrustOption,
    decode,
    decode_message,
    decode_record,
    encode,
    encode_message,
    encode_record,
    message,
)
from insitu.protocol.messages.wire import layout_of

LEAVES: list[Any] = [0, 1, 2, 3, -1, 7, 256, 2**64 - 1, True, False, None, "", "x", "EUR", "4111111111111111", "a" * 65]
LEAVES += [b"", bytes(15), bytes(16), bytes(31), bytes(32), bytes(33), bytes(34), bytes(63), bytes(64), bytes(4097)]
LEAVES += [(), (0,), {}, {0: 1}, CBORTag(1, 0)]


def test_numbers_are_those_of_the_protocol() -> None:
    assert {layout_of(cls).number: cls.__name__ for cls in MESSAGES} == {
        1: "GenerateKeyPair",
        2: "ModuleKey",
        3: "Certificates",
        4: "Personalized",
        5: "Status",
        6: "Proof",
        7: "PakeShare",
        8: "Ticket",
        9: "ApprovalAwaited",
        10: "NumberWanted",
        11: "Number",
        12: "NumberSettled",
        13: "Conveyance",
        14: "Verdict",
        15: "Passage",
        16: "Authorize",
        17: "PayOut",
        18: "ResetRequest",
        19: "ResetChallenge",
        20: "ResetCommand",
        21: "ResetDone",
        22: "Greeting",
        23: "Welcome",
        24: "Payload",
        25: "Outcome",
        26: "Received",
        27: "Instruct",
        28: "LoadKey",
        29: "KeyLoaded",
        30: "Declined",
        31: "FaultNotice",
        32: "Revocations",
        33: "Beat",
        34: "TimeTold",
        35: "CallReported",
        40: "Enroll",
        41: "Enrolled",
        42: "LogOffered",
        43: "LogWanted",
        44: "LogPart",
        45: "LogRead",
    }


def test_every_message_is_named_in_the_specification(cddl: Cddl) -> None:
    text = cddl.rules["Message"].serialize()
    assert re.findall(r"\w+", text) == [cls.__name__ for cls in MESSAGES]


@given(messages())
def test_round_trip(original: Any) -> None:
    data = encode_message(original)
    assert decode_message(data) == original
    assert decode_message(memoryview(data)) == original
    assert encode(decode(data)) == data
    assert encode_record(original) == data
    assert decode_record(type(original), data) == original


@given(messages())
def test_matches_its_rule_and_no_other_message(cddl: Cddl, original: Any) -> None:
    item = decode(encode_message(original))
    assert cddl.matches(item)
    assert [cls for cls in MESSAGES if cddl.matches(item, cls.__name__)] == [type(original)]


@st.composite
def changed(draw: st.DrawFn) -> dict[Any, Any]:
    """The map of a message with an entry changed, added, taken out or given another message's number."""
    item = decode(encode_message(draw(messages())))
    assert isinstance(item, dict)
    for _ in range(draw(st.integers(1, 2))):
        key: Any = draw(st.sampled_from([*item, 0, 1, 2, 3, 4, 5, 6, -1, "", "x"]))
        value = item.get(key)
        change = draw(st.sampled_from(["set", "drop", "longer", "shorter"]))
        if change == "drop":
            item.pop(key, None)
        elif change == "longer" and isinstance(value, bytes | str):
            item[key] = value + value[:1]
        elif change == "shorter" and isinstance(value, bytes | str):
            item[key] = value[1:]
        else:
            item[key] = draw(st.sampled_from(LEAVES))
    return item


@given(changed())
def test_classes_and_specification_refuse_the_same(cddl: Cddl, item: dict[Any, Any]) -> None:
    """Two descriptions, written separately: the fields of the classes and the CDDL of their docstrings."""
    try:
        decode_message(encode(item))
        accepted = True
    except DecodeError:
        accepted = False
    assert accepted == cddl.matches(item)


@given(messages(), st.data())
def test_damaged_bytes_give_a_message_or_one_error(original: Any, data: st.DataObject) -> None:
    encoded = bytearray(encode_message(original))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(encoded)))
        encoded[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    with suppress(DecodeError):
        back = decode_message(bytes(encoded))
        assert encode_message(back) == bytes(encoded)


@given(messages(), st.data())
def test_every_proper_beginning_is_refused(original: Any, data: st.DataObject) -> None:
    encoded = encode_message(original)
    with pytest.raises(DecodeError):
        decode_message(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(DecodeError):
        decode_message(encoded + b"\x00")


@given(st.binary(max_size=100))
def test_random_bytes_are_refused(data: bytes) -> None:
    assume(not data.startswith((b"\xa2\x00", b"\xa3\x00")))
    with pytest.raises(DecodeError):
        decode_message(data)


@pytest.mark.parametrize(
    ("item", "got"),
    [
        (0, "expected a map, got an integer"),
        ([0, 1], "expected a map, got an array"),
        ({}, "expected a known message number under key 0, got none"),
        ({1: 0}, "expected a known message number under key 0, got none"),
        ({0: 99}, "expected a known message number under key 0, got 99"),
        ({0: "1"}, "expected a known message number under key 0, got '1'"),
        ({0: True, 1: 1}, "expected a known message number under key 0, got True"),
        ({"0": 1}, "expected a known message number under key 0, got none"),
        ({0: b"\x01"}, "expected a known message number under key 0, got 1 byte"),
    ],
)
def test_refuses_what_is_no_message(item: object, got: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_message(encode(item))
    assert str(caught.value) == f"codec: not a message ({got})"


def test_refuses_to_encode_what_is_no_message() -> None:
    @message(21)
    class Impostor:
        epoch: Annotated[int, Key(1)]

    with pytest.raises(UsageError, match=r"not a message \(expected a class of MESSAGES, got Impostor\)"):
        encode_message(Impostor(1))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not a message"):
        encode_message(Intent(Purpose.OPERATE, TrustOption.PHYSICAL))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not a declared class"):
        encode_message(object())  # type: ignore[arg-type]
