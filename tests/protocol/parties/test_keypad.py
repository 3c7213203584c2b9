"""The keypad's table: what keys lead to, slips, corrections, time, and silence about what was typed (A7, S9)."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.engine import DeadlinePassed, Effect, Show, StartTimer, StopTimer, UsageError
from insitu.protocol.keys.codes import BASE32, DECIMAL, write_symbols
from insitu.protocol.keys.tans import read_tan
from insitu.protocol.parties.keypad import (
    KEY_SECONDS,
    KEYPAD,
    MOST_KEYS,
    MOST_SLIPS,
    CancelKeyed,
    CorrectionKeyed,
    EnterKeyed,
    KeypadData,
    KeypadState,
    SymbolKeyed,
    TanAsked,
)
from insitu.protocol.progress import KeysAwaited, KeysRefused

TAN = "2718281828459045"
CODE = write_symbols(TAN, DECIMAL).replace(" ", "")
ENTER, CORRECTION, CANCEL = EnterKeyed(), CorrectionKeyed(), CancelKeyed()


class Pad:
    def __init__(self) -> None:
        self.state = KeypadState.READY
        self.data = KeypadData()
        self.effects: list[Effect] = []
        self.press(TanAsked("unit-1"))

    def press(self, *events: object) -> Pad:
        for event in events:
            step = KEYPAD.step(self.state, self.data, event)
            self.state, self.data = step.state, step.data
            self.effects += step.effects
        return self

    def type(self, text: str) -> Pad:
        return self.press(*map(SymbolKeyed, text))

    @property
    def notes(self) -> list[Any]:
        return [effect.note for effect in self.effects if isinstance(effect, Show)]


def test_a_tan():
    pad = Pad().type(CODE).press(ENTER)
    assert pad.state is KeypadState.KEYED
    assert read_tan(pad.data.typed) == TAN
    assert pad.notes == [KeysAwaited("module", "unit-1", KEY_SECONDS)]
    assert isinstance(pad.effects[-1], StopTimer)


def test_letters_are_read_as_people_write_them():
    code = write_symbols("0K1L1L2Z3Y4X5W6V".replace("L", "M"), BASE32).replace(" ", "")
    pad = Pad().type(code.lower().replace("0", "o")).press(ENTER)
    assert pad.state is KeypadState.KEYED


def test_a_correction_takes_the_last_one_back():
    pad = Pad().press(CORRECTION).type(CODE[:5] + "9").press(CORRECTION).type(CODE[5:]).press(ENTER)
    assert pad.data.typed == CODE


def test_slips_cost_nothing_at_first():
    pad = Pad()
    for left in range(MOST_SLIPS - 1, 0, -1):
        pad.type(CODE[:-1] + str((int(CODE[-1]) + 1) % 10)).press(ENTER)
        assert pad.state is KeypadState.KEYING
        assert pad.data.typed == ""
        assert isinstance(pad.notes[-1], KeysRefused)
        assert pad.notes[-1].left == left
    assert pad.type(CODE).press(ENTER).state is KeypadState.KEYED


def test_after_three_it_is_over():
    pad = Pad()
    for _ in range(MOST_SLIPS):
        pad.type("12").press(ENTER)
    assert (pad.state, pad.data.typed) == (KeypadState.GIVEN_UP, "")
    assert "length of a TAN" in pad.data.reason


@pytest.mark.parametrize(("event", "says"), [(CANCEL, "cancelled"), (DeadlinePassed("key"), "no key for 60 seconds")])
def test_who_gives_up_leaves_nothing_behind(event, says):
    pad = Pad().type(CODE[:7]).press(event)
    assert (pad.state, pad.data.typed) == (KeypadState.GIVEN_UP, "")
    assert says in pad.data.reason


def test_every_key_gives_time_for_the_next():
    pad = Pad().type("123").press(CORRECTION)
    assert sum(isinstance(effect, StartTimer) for effect in pad.effects) == 5
    assert all(effect.seconds == KEY_SECONDS for effect in pad.effects if isinstance(effect, StartTimer))


def test_somebody_leans_on_it():
    pad = Pad().type("7" * 5000)
    assert len(pad.data.typed) == MOST_KEYS
    assert pad.press(ENTER).state is KeypadState.KEYING


@given(st.lists(st.sampled_from([*map(SymbolKeyed, "0123456789ABCZ"), CORRECTION, ENTER, CANCEL]), max_size=80))
def test_whatever_is_pressed_only_a_tan_comes_out_and_nothing_is_told(events):
    pad = Pad()
    for event in events:
        if pad.state is not KeypadState.KEYING:
            break
        typed = pad.data.typed
        pad.press(event)
        assert len(typed) < 4 or typed not in repr((pad.data, pad.effects, event))
    if pad.state is KeypadState.KEYED:
        read_tan(pad.data.typed)


def test_what_was_typed_is_neither_shown_nor_pickled():
    data = Pad().type(CODE).data
    for each in (data, SymbolKeyed("7")):
        assert "7" not in repr(each)
        with pytest.raises(UsageError):
            pickle.dumps(each)
