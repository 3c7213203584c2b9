"""Stages and what else holds secrets: used once, never copied, never shown (S9)."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle

import pytest
from edhoc_pair import Setting, run

from insitu.protocol.channel.edhoc import (
    INITIATOR,
    RESPONDER,
    Established,
    InitiatorState,
    Method,
    ResponderState,
    Stage,
    advance,
)
from insitu.protocol.channel.edhoc.config import Entropy
from insitu.protocol.channel.edhoc.curves import EphemeralKey
from insitu.protocol.channel.edhoc.initiator import AwaitingMessage2, Ready
from insitu.protocol.channel.edhoc.stages import Secretive
from insitu.protocol.engine import KeyKind, UsageError


def everything():
    """Every stage of two handshakes, before and after use, and what the stages hold that is secret itself."""
    found: list[object] = [Entropy(bytes(range(64)), "test"), EphemeralKey.generate(KeyKind.P256, bytes(range(40)))]
    for method in (Method.SIGNATURES, Method.STATIC):
        setting = Setting(method, 3)
        initiator, responder = setting.initiator(), setting.responder()
        found += [initiator.data, responder.data]
        run(initiator, responder)
        found += [*initiator.stages, *responder.stages]
    found.append(found[-1].key_update(b""))
    found.append(found[-1].keys)
    return found


@pytest.mark.parametrize("held", everything(), ids=lambda held: type(held).__name__)
def test_neither_copied_nor_pickled(held):
    assert isinstance(held, Secretive)
    for copier in (copy.copy, copy.deepcopy, *(lambda it, p=p: pickle.dumps(it, p) for p in range(6))):
        with pytest.raises(UsageError, match="never"):
            copier(held)
    with pytest.raises(TypeError):
        dataclasses.replace(held)
    with pytest.raises(TypeError):
        dataclasses.asdict(held)


@pytest.mark.parametrize("held", everything(), ids=lambda held: type(held).__name__)
def test_shown_by_name_only(held):
    assert repr(held) == str(held) == f"<{type(held).__name__}>"


def test_no_secret_in_any_repr():
    """Events, effects, stages and facts of a whole handshake, shown: none of them shows a key."""
    setting = Setting(Method.STATIC, 3)
    initiator, responder = setting.initiator(), setting.responder()
    run(initiator, responder)
    secrets = {value for end in (initiator, responder) for stage in end.stages for value in _octets_of(stage)}
    assert len(secrets) == 7, "five pseudorandom keys and two plaintexts"
    shown = repr([(end.events, end.stages, end.queries, end.data.facts) for end in (initiator, responder)])
    shown += repr([setting.initiator_config, setting.responder_config])
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


def _octets_of(stage):
    stage = stage.keys if isinstance(stage, Established) else stage
    names = [name for kind in type(stage).__mro__ for name in getattr(kind, "__slots__", ())]
    values = {name: getattr(stage, name) for name in names if name.startswith(("prk", "_prk", "plaintext"))}
    return {value for value in values.values() if len(value) >= 16}


@pytest.mark.parametrize("table", [INITIATOR, RESPONDER], ids=lambda table: table.party)
def test_every_stage_is_used_once(table):
    """The same data cannot be taken further a second time: no second answer under one key, no second guess."""
    setting = Setting(Method.SIGNATURES, 3)
    initiator, responder = setting.initiator(), setting.responder()
    end = initiator if table is INITIATOR else responder
    states, stages = [end.state], [end.data]
    run(initiator, responder)
    fresh = setting.initiator() if table is INITIATOR else setting.responder()
    states, stages = [fresh.state], [fresh.data]
    for event in end.events:
        step = advance(states[-1], stages[-1], event)
        states.append(step.state)
        stages.append(step.data)
    assert states[-1].name == "ESTABLISHED"
    for state, stage, event in zip(states[:-1], stages[:-1], end.events, strict=True):
        assert stage.spent
        with pytest.raises(UsageError, match="used twice"):
            advance(state, stage, event)


def test_a_failed_check_uses_the_stage_up():
    setting = Setting(Method.STATIC, 3)
    initiator, responder = setting.initiator(), setting.responder()
    frames = run(initiator, responder)
    again = setting.initiator()
    again.feed(initiator.events[0])
    state, stage = again.state, again.data
    again.receive(frames[1][:-1] + b"\x00")
    assert again.failed
    assert stage.spent
    with pytest.raises(UsageError, match="used twice"):
        advance(state, stage, initiator.events[1])


def test_a_refused_event_leaves_the_stage_for_the_refusal_only():
    setting = Setting(Method.STATIC, 3)
    initiator = setting.initiator()
    stage = initiator.data
    initiator.receive(b"\x40")
    assert initiator.failed
    assert stage.spent


def test_data_of_another_state_is_refused():
    setting = Setting(Method.STATIC, 3)
    initiator = setting.initiator()
    with pytest.raises(UsageError, match="expected AwaitingMessage2, got Ready"):
        initiator.data.take(AwaitingMessage2)
    assert not initiator.data.spent
    assert isinstance(initiator.data.take(Ready), Ready)


@pytest.mark.parametrize("held", everything(), ids=lambda held: type(held).__name__)
def test_frozen(held):
    if not isinstance(held, Stage) or type(held).__name__ == "Failed":
        return
    name = next(iter(inspect.signature(type(held)).parameters))
    with pytest.raises((AttributeError, TypeError)):
        setattr(held, name, None)
    with pytest.raises((AttributeError, TypeError)):
        held.something_else = 1


@pytest.mark.parametrize("held", everything(), ids=lambda held: type(held).__name__)
def test_a_stage_is_itself_only(held):
    """Not what it holds: nobody compares secrets by comparing stages."""
    if isinstance(held, Stage):
        twin = type(held)(**{name: getattr(held, name) for name in inspect.signature(type(held)).parameters})
        assert twin != held
        assert len({twin, held}) == 2


def test_states_without_an_end_accept_every_way_to_stop():
    for table, states in ((INITIATOR, InitiatorState), (RESPONDER, ResponderState)):
        for state in states:
            accepted = {event.__name__ for event in table.accepts(state)}
            ends = {"ErrorReceived", "HandshakeFailed", "ChannelLost", "DeadlinePassed"}
            assert (ends <= accepted) == (state.name not in ("ESTABLISHED", "FAILED"))


def test_established_is_the_only_stage_with_keys_for_others():
    """The exporter exists where both sides are authenticated and nowhere before."""
    setting = Setting(Method.SIGNATURES, 3)
    initiator, responder = setting.initiator(), setting.responder()
    run(initiator, responder)
    for stage in [*initiator.stages, *responder.stages]:
        assert hasattr(stage, "exporter") == isinstance(stage, Established)
