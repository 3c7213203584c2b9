"""Events that all parties share: plain data that keeps secrets out of reprs and pickles."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from insitu.protocol.engine import (
    Agreed,
    ChannelLost,
    DeadlinePassed,
    KeyHandle,
    KeyKind,
    KeyOperationFailed,
    KeyPairMade,
    PakeStarted,
    PublicKey,
    Signed,
    Started,
    UsageError,
    reason_of,
)

SECRET = "correct horse 4711"
EXAMPLES: list[Any] = [
    ChannelLost("line unplugged"),
    DeadlinePassed("peer"),
    KeyPairMade(KeyHandle("operating", PublicKey(KeyKind.P256, b"\x04" + bytes(64)))),
    Signed(bytes(64)),
    Agreed(SECRET.encode()),
    PakeStarted(SECRET.encode()),
    KeyOperationFailed("token removed"),
]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_event_cannot_be_changed_and_never_shows_a_secret(event: Any):
    with pytest.raises(FrozenInstanceError):
        setattr(event, fields(event)[0].name, None)
    assert SECRET not in repr(event)
    assert SECRET.encode().hex() not in repr(event)


def test_events_without_fields_are_equal():
    assert Started() == Started()


@pytest.mark.parametrize("escape", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda escape: escape.__name__)
def test_shared_secret_is_neither_pickled_nor_copied(escape: Any):
    with pytest.raises(UsageError, match="neither pickled nor copied") as caught:
        escape(Agreed(SECRET.encode()))
    assert SECRET not in str(caught.value)


def test_secrets_compare():
    assert Agreed(b"1") == Agreed(b"1")
    assert Agreed(b"1") != Agreed(b"2")


def test_reason_is_made_from_the_event_that_ends_a_session():
    assert reason_of(DeadlinePassed("peer")) == "no answer in time (peer)"
    assert reason_of(ChannelLost("line unplugged")) == "line unplugged"
    assert reason_of(KeyOperationFailed("token removed")) == "token removed"
    assert reason_of(ChannelLost()) == "ChannelLost"
    assert reason_of(Started()) == "Started"
