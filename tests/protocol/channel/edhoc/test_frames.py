from __future__ import annotations

import pytest
from edhoc_pair import Setting, run
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.channel.edhoc import (
    ErrorMessage,
    ErrorReceived,
    HandshakeFailed,
    InitiatorState,
    Message1Received,
    Message2Received,
    Message3Received,
    Message4Received,
    Method,
    ResponderState,
    classify,
)
from insitu.protocol.engine import Fault, Started

STATES = [*InitiatorState, *ResponderState]
AWAITED = {
    **dict.fromkeys(InitiatorState, Message2Received),
    InitiatorState.COMMITTED: Message4Received,
    InitiatorState.ESTABLISHED: Message4Received,
    **dict.fromkeys(ResponderState, Message3Received),
    ResponderState.LISTENING: Message1Received,
}
FRAMES = run(Setting(Method.STATIC, 3).initiator(), Setting(Method.STATIC, 3).responder())


@pytest.mark.parametrize("state", STATES)
def test_what_a_message_is_taken_for(state):
    for frame in FRAMES[1:]:
        event = classify(state, frame)
        assert type(event) is (HandshakeFailed if state is ResponderState.LISTENING else AWAITED[state])
    opening = classify(state, FRAMES[0])
    assert type(opening) is (Message1Received if state is ResponderState.LISTENING else HandshakeFailed)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("encoded", ["0160", "0202", "02820203", "03f5", "0060", "1863f6"])
def test_an_error_is_an_error_in_every_state(state, encoded):
    event = classify(state, bytes.fromhex(encoded))
    assert isinstance(event, ErrorReceived)
    assert isinstance(event.message, ErrorMessage)


@given(st.sampled_from(STATES), st.binary(max_size=80))
def test_any_bytes_become_an_event(state, frame):
    event = classify(state, frame)
    assert isinstance(event, ErrorReceived | HandshakeFailed | AWAITED[state])
    if isinstance(event, HandshakeFailed):
        assert event.error.fault is Fault.MALFORMED


@given(st.binary(max_size=80), st.data())
def test_any_bytes_end_a_handshake_that_waits(frame, data):
    """Whatever comes that is not the message awaited: FAILED, with at most one error message as the answer."""
    setting = Setting(Method.STATIC, 3, "kid", "kid")
    end = data.draw(st.sampled_from([setting.initiator(), setting.responder()]))
    if isinstance(end.state, InitiatorState):
        end.feed(Started())
    elif data.draw(st.booleans()):
        end.receive(FRAMES[0])
    before = list(end.sent)
    end.receive(frame)
    assert end.failed
    assert len(end.sent) <= len(before) + 1
