"""Both tables of a mobile's call over a channel of ours (A9)."""

from __future__ import annotations

from typing import Any

import pytest
from world import World

from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.channel.trust.calling import by_key
from insitu.protocol.channel.trust.conveyed import NumberConveyed
from insitu.protocol.engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Fault,
    Forward,
    KeyKind,
    Refused,
    Send,
    StartTimer,
    StopTimer,
)
from insitu.protocol.messages import Conveyance, Intent, Number, Purpose, TrustOption, Verdict
from insitu.protocol.parties.mobile_call import (
    CALL_SECONDS,
    CALLED,
    CALLING,
    CalledData,
    CalledState,
    CallingData,
    CallingState,
    WordFound,
)

SAID = Conveyance(serial="SN-1", binding=bytes(32), random=bytes(16))
WORD = Verdict(serial="SN-1", binding=bytes(32))
C, U = CallingState, CalledState


def opened(world: World, purpose: Purpose = Purpose.CONVEY) -> ChannelOpened:
    public = world.vault("phone").generate("mobile", KeyKind.P256, b"").public
    return ChannelOpened(Peer("phone", None, public), Intent(purpose, TrustOption.CONVEYED), bytes(32), at=0)


def test_a_call_seen_from_the_mobile(world: World):
    step = CALLING.step(C.READY, CallingData(SAID), opened(world))
    assert (step.state, list(step.effects)) == (C.CONVEYED, [Send(SAID), StartTimer("unit", CALL_SECONDS)])
    step = CALLING.step(step.state, step.data, WORD)
    assert (step.state, list(step.effects)) == (C.ANSWERED, [StopTimer("unit"), Close()])
    assert step.data.word == WORD


def test_a_call_seen_from_the_unit(world: World):
    event = opened(world)
    step = CALLED.step(U.LISTENING, CalledData(), event)
    assert (step.state, list(step.effects)) == (U.AWAITING_CONVEYANCE, [StartTimer("mobile", CALL_SECONDS)])
    step = CALLED.step(step.state, step.data, SAID)
    assert step.state is U.ASKING
    _, forward = step.effects
    assert isinstance(forward, Forward)
    assert forward.message == NumberConveyed("SN-1", bytes(32), bytes(16), by_key(event.peer.public))
    step = CALLED.step(step.state, step.data, WordFound(WORD))
    assert (step.state, list(step.effects)) == (U.ANSWERED, [Send(WORD), Close()])


@pytest.mark.parametrize("purpose", sorted(set(Purpose) - {Purpose.CONVEY}), ids=lambda each: each.name)
def test_a_channel_for_something_else_is_no_call(world: World, purpose):
    """Nobody gets the number over it, nor is heard."""
    event = opened(world, purpose)
    with pytest.raises(Refused):
        CALLING.step(C.READY, CallingData(SAID), event)
    with pytest.raises(Refused):
        CALLED.step(U.LISTENING, CalledData(), event)


def test_what_the_module_gave_its_mobile_without_a_number_is_none():
    asked = Conveyance(serial="SN-1", binding=bytes(32))
    with pytest.raises(Refused):
        CALLED.step(U.AWAITING_CONVEYANCE, CalledData("key 00"), asked)


@pytest.mark.parametrize(
    ("table", "state", "data"),
    [
        (CALLING, C.CONVEYED, CallingData(SAID)),
        (CALLED, U.AWAITING_CONVEYANCE, CalledData("key 00")),
    ],
    ids=["mobile", "unit"],
)
def test_a_side_that_hears_nothing_hangs_up(table: Any, state: Any, data: Any):
    late = table.step(state, data, DeadlinePassed("x"))
    assert [each.fault for each in late.effects if isinstance(each, Close)] == [Fault.TIMEOUT]
    lost = table.step(state, data, ChannelLost("cut"))
    assert late.state is lost.state
    assert late.state.name == "FAILED"
    assert not any(isinstance(each, (Send, Forward)) for each in (*late.effects, *lost.effects))


def test_nothing_else_is_heard():
    for said in (SAID, Number(bytes(16)), WORD):
        for table, state, data, takes in (
            (CALLING, C.READY, CallingData(SAID), ()),
            (CALLING, C.CONVEYED, CallingData(SAID), (WORD,)),
            (CALLED, U.LISTENING, CalledData(), ()),
            (CALLED, U.AWAITING_CONVEYANCE, CalledData("key 00"), (SAID,)),
            (CALLED, U.ASKING, CalledData("key 00"), ()),
        ):
            if said not in takes:
                with pytest.raises(Refused):
                    table.step(state, data, said)  # type: ignore[arg-type]


def test_no_number_shows():
    shown = repr([CallingData(SAID, WORD), WordFound(WORD), SAID, WORD])
    assert "\\x00" not in shown
    assert "00" * 16 not in shown
