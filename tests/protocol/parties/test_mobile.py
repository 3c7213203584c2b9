"""The mobile's table and the frames of its links: what it conveys, between whom, and how it ends (A9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from insitu.protocol.channel.trust.conveyed import NumberCame, WordCame
from insitu.protocol.engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Fault,
    Forward,
    ProtocolError,
    Refused,
    Send,
    Show,
    StartTimer,
    StopTimer,
)
from insitu.protocol.messages import (
    Conveyance,
    Number,
    NumberSettled,
    Passage,
    Verdict,
    encode_message,
)
from insitu.protocol.parties.mobile import (
    MOBILE,
    MODULE_SECONDS,
    UNIT_SECONDS,
    Begun,
    Conveyed,
    MobileData,
    MobileState,
    at_module,
    at_unit,
    from_module,
    from_unit,
)

S = MobileState
DATA = MobileData("SN-1", bytes(range(16)))
SAID = Conveyance(serial="SN-1", binding=bytes(32), random=bytes(16))
ASKED = replace(SAID, random=None)
WORD = Verdict(serial="SN-1", binding=bytes(32))
NO = Verdict(serial="SN-1")
UNIT_AWAITED = [StopTimer("module"), StartTimer("unit", UNIT_SECONDS)]
TAKEN: dict[tuple[MobileState, Any], tuple[MobileState, list[Any]]] = {
    (S.READY, Begun()): (S.READY, [StartTimer("module", MODULE_SECONDS)]),
    (S.READY, SAID): (S.CONVEYED, [Forward(SAID), *UNIT_AWAITED]),
    (S.READY, ASKED): (
        S.CONVEYED,
        [Send(Number(DATA.number)), Forward(replace(SAID, random=DATA.number)), *UNIT_AWAITED],
    ),
    (S.READY, replace(SAID, serial="SN-2")): (
        S.REFUSED,
        [Close(Fault.UNTRUSTED, "the module at the local link is 'SN-2', not 'SN-1'")],
    ),
    (S.READY, replace(ASKED, serial="SN-2")): (
        S.REFUSED,
        [Close(Fault.UNTRUSTED, "the module at the local link is 'SN-2', not 'SN-1'")],
    ),
    (S.CONVEYED, WORD): (
        S.VOUCHED,
        [StopTimer("unit"), Send(WORD), Show(Conveyed("SN-1", accepted=True)), Close()],
    ),
    **{
        (S.CONVEYED, refusal): (
            S.REFUSED,
            [
                StopTimer("unit"),
                Send(NO),
                Show(Conveyed("SN-1", accepted=False)),
                Close(Fault.UNTRUSTED, "the unit refused"),
            ],
        )
        for refusal in (NO, replace(WORD, serial="SN-2"))
    },
    **{
        (state, gone): (S.LOST, [Close(Fault.TIMEOUT, reason)])
        for state in (S.READY, S.CONVEYED)
        for gone, reason in (
            (ChannelLost("out of reach"), "out of reach"),
            (DeadlinePassed("unit"), "no answer in time (unit)"),
        )
    },
}


@pytest.mark.parametrize(("state", "event"), TAKEN)
def test_every_row(state: MobileState, event: Any):
    step = MOBILE.step(state, DATA, event)
    assert (step.state, list(step.effects)) == TAKEN[state, event]
    assert step.data == DATA


def test_one_conveyance_each_time():
    for state in (S.CONVEYED, S.VOUCHED, S.REFUSED, S.LOST):
        with pytest.raises(Refused):
            MOBILE.step(state, DATA, SAID)
    for state in (S.READY, S.VOUCHED, S.REFUSED, S.LOST):
        with pytest.raises(Refused):
            MOBILE.step(state, DATA, WORD)


def test_a_number_is_not_shown():
    assert bytes(range(16)).hex() not in repr(DATA)
    assert repr(DATA) == "MobileData(serial='SN-1')"


# Frames of its links

PASSAGE = Passage(b"frame")
TAKES: dict[Any, dict[Any, object]] = {
    from_module: {SAID: SAID, ASKED: ASKED, PASSAGE: PASSAGE},
    from_unit: {WORD: WORD, NO: NO},
    at_module: {
        Number(DATA.number): NumberCame(DATA.number),
        WORD: WordCame("SN-1", bytes(32)),
        NO: WordCame("SN-1", None),
        PASSAGE: PASSAGE,
    },
    at_unit: {SAID: SAID},
}


@pytest.mark.parametrize("read", TAKES, ids=lambda each: each.__name__)
def test_each_link_takes_what_belongs_there(read: Any):
    for message in (SAID, ASKED, WORD, NO, Number(DATA.number), NumberSettled(), PASSAGE):
        if message in TAKES[read]:
            assert read(encode_message(message)) == TAKES[read][message]
        else:
            with pytest.raises(ProtocolError, match="a frame of a mobile's link") as refusal:
                read(encode_message(message))
            assert refusal.value.got == type(message).__name__
