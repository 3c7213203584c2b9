"""How handshakes end without a session: what the other side is told, and what stays here (actions in refusals.py)."""

from __future__ import annotations

import pytest
from edhoc_pair import Setting, run

from insitu.protocol.channel.edhoc import (
    INITIATOR,
    RESPONDER,
    CredentialFound,
    CredentialUnknown,
    ErrorCode,
    ErrorMessage,
    HandshakeFailed,
    InitiatorState,
    Kid,
    Method,
    PeerRefused,
    ResponderState,
    X5Chain,
    advance,
)
from insitu.protocol.channel.edhoc.messages import read_error
from insitu.protocol.engine import (
    Agree,
    ChannelLost,
    DeadlinePassed,
    EnvironmentFault,
    Fault,
    KeyOperationFailed,
    ProtocolError,
    Refused,
    Sign,
    Started,
)

STATES = [
    *(state for state in InitiatorState if state.name not in ("ESTABLISHED", "FAILED")),
    *(state for state in ResponderState if state.name not in ("ESTABLISHED", "FAILED")),
]


def end_in(state, setting=None):
    """One side in `state`, on the way to a good end."""
    setting = setting or Setting(Method.SIGNATURES, 3)
    initiator, responder = setting.initiator(), setting.responder()
    end = initiator if isinstance(state, InitiatorState) else responder
    table = INITIATOR if end is initiator else RESPONDER
    if state is table.initial:
        return end
    run(initiator, responder)
    fresh = setting.initiator() if end is initiator else setting.responder()
    for event in end.events:
        step = advance(fresh.state, fresh.data, event)
        fresh.state, fresh.data = step.state, step.data
        if fresh.state is state:
            return fresh
    raise AssertionError(state)


@pytest.mark.parametrize("kind", ["kid", "x5t", "x5chain", "kccs"])
@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_an_unknown_credential(kind, side):
    """Code 3 where a reference is unknown, never where the credential itself was sent (section 6.4)."""
    setting = Setting(Method.SIGNATURES, 3, kind, kind)
    initiator, responder = setting.initiator(), setting.responder()
    judge, other = (initiator, responder) if side == "initiator" else (responder, initiator)
    judge.find = lambda _: CredentialUnknown("never seen before")
    frames = run(initiator, responder)
    told = read_error(frames[-1])
    if kind in ("kid", "x5t"):
        assert frames[-1] == b"\x03\xf5"
        assert told == ErrorMessage(ErrorCode.UNKNOWN_CREDENTIAL)
    else:
        assert told == ErrorMessage(ErrorCode.UNSPECIFIED, text="refused")
    assert judge.failed
    assert judge.error.summary == "never seen before"
    assert other.failed
    assert isinstance(other.error, PeerRefused)


@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_a_kind_of_credential_that_is_not_admitted(side):
    """Refused before anybody is asked, with code 1 (section 6.4)."""
    setting = Setting(Method.SIGNATURES, 3, "kid", "kid")
    kinds = frozenset({X5Chain})
    initiator = setting.initiator(peer_kinds=kinds if side == "initiator" else frozenset({Kid}))
    responder = setting.responder(peer_kinds=kinds if side == "responder" else frozenset({Kid}))
    frames = run(initiator, responder)
    judge = initiator if side == "initiator" else responder
    assert judge.queries == []
    assert read_error(frames[-1]) == ErrorMessage(ErrorCode.UNSPECIFIED, text="refused")
    assert "ID_CRED (expected X5Chain, got Kid)" in str(judge.error)


@pytest.mark.parametrize("state", STATES)
def test_a_failure_in_any_state(state):
    end = end_in(state)
    error = ProtocolError("something inside", who="test", got="detail", fault=Fault.UNSUPPORTED)
    (answer,) = end.feed(HandshakeFailed(error))
    assert end.failed
    assert end.error is error
    assert end.closed.fault is Fault.UNSUPPORTED
    text = "unsupported" if state is ResponderState.LISTENING else "refused"
    assert read_error(answer) == ErrorMessage(ErrorCode.UNSPECIFIED, text=text), "one word, no detail"


@pytest.mark.parametrize("state", STATES)
def test_an_error_message_in_any_state(state):
    end = end_in(state)
    assert end.receive(ErrorMessage(ErrorCode.UNSPECIFIED, text="why\x1b[31m not").encode()) == []
    assert end.failed
    assert isinstance(end.error, PeerRefused)
    assert "\x1b" not in str(end.error)
    assert end.closed.fault is end.error.fault


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", [ChannelLost("unplugged"), DeadlinePassed("handshake")])
def test_silence_in_any_state(state, event):
    end = end_in(state)
    assert end.feed(event) == [], "nobody is there to be told"
    assert end.failed
    assert end.closed.fault is Fault.TIMEOUT


@pytest.mark.parametrize("state", [InitiatorState.AUTHENTICATED, ResponderState.APPROACHED])
@pytest.mark.parametrize("method", [Method.SIGNATURES, Method.STATIC])
def test_key_memory_that_fails(state, method):
    end = end_in(state, Setting(method, 3))
    (answer,) = end.feed(KeyOperationFailed("token unplugged"))
    assert read_error(answer) == ErrorMessage(ErrorCode.UNSPECIFIED, text="unavailable")
    assert isinstance(end.error, EnvironmentFault)
    assert "token unplugged" in str(end.error)
    assert end.closed.fault is Fault.UNAVAILABLE


@pytest.mark.parametrize("state", STATES)
def test_an_event_that_has_no_place_ends_it(state):
    end = end_in(state)
    wrong = CredentialFound(Setting().initiator_credential) if state.name not in ("ANSWERED", "CLAIMED") else Started()
    if state is ResponderState.ANSWERED:
        wrong = CredentialFound(Setting().initiator_credential)
    (answer,) = end.feed(wrong)
    assert end.failed
    assert isinstance(end.error, Refused)
    assert end.error.state == state.name
    assert read_error(answer).code == ErrorCode.UNSPECIFIED


@pytest.mark.parametrize("state", [InitiatorState.FAILED, ResponderState.FAILED])
def test_nothing_follows_a_failure(state):
    setting = Setting(Method.STATIC, 3)
    end = setting.initiator() if isinstance(state, InitiatorState) else setting.responder()
    end.feed(ChannelLost())
    for event in (Started(), ChannelLost(), HandshakeFailed(ProtocolError("again"))):
        with pytest.raises(Refused):
            end.feed(event)
    assert end.failed


def test_key_operations_are_asked_for_by_method():
    for method in Method:
        initiator, responder = Setting(method, 3).initiator(), Setting(method, 3).responder()
        run(initiator, responder)
        for end, signs in ((initiator, method.initiator_signs), (responder, method.responder_signs)):
            asked = [type(effect) for effect in end.effects if isinstance(effect, Sign | Agree)]
            assert asked == [Sign if signs else Agree]
