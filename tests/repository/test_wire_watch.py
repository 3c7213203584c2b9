"""The watch over the wire is on, in every test and without asking, and it would bark."""

from __future__ import annotations

from typing import Annotated

from wire_watch import Watch

from insitu.protocol.messages import (
    Intent,
    Key,
    Purpose,
    ResetDone,
    TrustOption,
    decode_intent,
    decode_message,
    encode_intent,
    encode_message,
    encode_record,
    record,
)
from insitu.protocol.messages.wire import Layout


def test_is_on_without_asking() -> None:
    assert Layout.to_item.__qualname__.startswith("Watch.")
    assert Layout.from_item.__qualname__.startswith("Watch.")


def test_sees_messages_and_intents_both_ways(wire_watch: Watch) -> None:
    assert wire_watch.seen == 0
    data = encode_message(ResetDone(1))
    assert wire_watch.seen == 1
    decode_message(data)
    assert wire_watch.seen == 2
    decode_intent.cache_clear()
    decode_intent(encode_intent(Intent(Purpose.STATUS, TrustOption.PHYSICAL)))
    assert wire_watch.seen == 4
    assert wire_watch.violations == []


def test_begins_anew_with_every_test(wire_watch: Watch) -> None:
    assert wire_watch.seen == 0


def test_notices_what_does_not_match(wire_watch: Watch) -> None:
    forged = ResetDone(1)
    object.__setattr__(forged, "epoch", -1)  # past the constructor's checks, as a wrong declaration would be
    encode_message(forged)
    assert wire_watch.violations == [("ResetDone", {0: 21, 1: -1})]
    wire_watch.violations.clear()  # else this test would fail, which is the point


def test_leaves_the_classes_of_tests_alone(wire_watch: Watch) -> None:
    @record
    class Own:
        value: Annotated[int, Key(1)]

    encode_record(Own(1))
    assert wire_watch.seen == 0
