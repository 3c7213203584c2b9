"""The keypad at a module, with the operator at it: keys in, a TAN out (A7). A table without I/O.

What was keyed in is shown to nobody, not even to the operator: a pad echoes nothing. A slip costs no TAN, since the
check symbol is verified here, and the operator may begin again a few times. Which bytes of a pad are which keys, and
whose clock runs, is for the shell.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..engine import DeadlinePassed, Effects, Show, StartTimer, StopTimer, Table, row
from ..engine.secret_keys import Unshown
from ..keys.codes import CodeRefused
from ..keys.tans import read_tan
from ..progress import KeysAwaited, KeysRefused

KEY_TIMER: Final = "key"
"""Of the wait for the next key."""
KEY_SECONDS: Final = 60.0
"""How long an operator may take for it."""
MOST_KEYS: Final = 64
"""What is keyed in beyond them is dropped; no TAN is that long."""
MOST_SLIPS: Final = 3
"""Times that something else than a TAN may be entered."""


class KeypadState(Enum):
    """Where a pad can be."""

    READY = auto()
    KEYING = auto()
    KEYED = auto()
    GIVEN_UP = auto()


K = KeypadState


@dataclass(frozen=True, slots=True)
class TanAsked:
    """The module wants a TAN.

    Attributes:
        peer: the name that the unit gives itself; nothing is proved yet.

    """

    peer: str


@dataclass(frozen=True, slots=True)
class SymbolKeyed(Unshown):
    """A key with a digit or letter on it."""

    symbol: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CorrectionKeyed:
    """The last symbol was a slip."""


@dataclass(frozen=True, slots=True)
class EnterKeyed:
    """That is all."""


@dataclass(frozen=True, slots=True)
class CancelKeyed:
    """The operator does not want."""


Key = SymbolKeyed | CorrectionKeyed | EnterKeyed | CancelKeyed


@dataclass(frozen=True, slots=True)
class KeypadData(Unshown):
    """What a pad knows.

    Attributes:
        typed: since the operator began.
        slips: how often something else than a TAN was entered.
        reason: why it was given up; nothing that was typed is in it.

    """

    typed: str = field(default="", repr=False)
    slips: int = 0
    reason: str = ""


# Guards ------------------------------------------------------------------------------------------------------


def it_is_a_tan(data: KeypadData, event: EnterKeyed) -> bool:
    """Whole, with the check symbol that belongs to it."""
    return not _what_is_wrong(data)


def the_operator_may_begin_again(data: KeypadData, event: EnterKeyed) -> bool:
    """Slips happen."""
    return data.slips + 1 < MOST_SLIPS


# Actions -----------------------------------------------------------------------------------------------------

_WAIT: Final = StartTimer(KEY_TIMER, KEY_SECONDS)


def ask(data: KeypadData, event: TanAsked) -> tuple[KeypadData, Effects]:
    """From the beginning."""
    return KeypadData(), [Show(KeysAwaited("module", event.peer, KEY_SECONDS)), _WAIT]


def add(data: KeypadData, event: SymbolKeyed) -> tuple[KeypadData, Effects]:
    """One more."""
    return replace(data, typed=(data.typed + event.symbol)[:MOST_KEYS]), [_WAIT]


def correct(data: KeypadData, _: CorrectionKeyed) -> tuple[KeypadData, Effects]:
    """One less."""
    return replace(data, typed=data.typed[:-1]), [_WAIT]


def take(data: KeypadData, _: EnterKeyed) -> tuple[KeypadData, Effects]:
    """It is for the module."""
    return data, [StopTimer(KEY_TIMER)]


def begin_again(data: KeypadData, _: EnterKeyed) -> tuple[KeypadData, Effects]:
    """No TAN was burnt."""
    slips = data.slips + 1
    return KeypadData(slips=slips), [Show(KeysRefused("module", _what_is_wrong(data), MOST_SLIPS - slips)), _WAIT]


def refuse(data: KeypadData, _: EnterKeyed) -> tuple[KeypadData, Effects]:
    """Whoever is there has no TAN."""
    return KeypadData(reason=_what_is_wrong(data)), [StopTimer(KEY_TIMER)]


def give_up(data: KeypadData, _: CancelKeyed) -> tuple[KeypadData, Effects]:
    """As the operator wishes."""
    return KeypadData(reason="the operator cancelled"), [StopTimer(KEY_TIMER)]


def time_out(data: KeypadData, _: DeadlinePassed) -> tuple[KeypadData, Effects]:
    """Nobody is there, or has gone; what was typed does not lie about for the next one."""
    return KeypadData(reason=f"no key for {KEY_SECONDS:g} seconds"), []


def _what_is_wrong(data: KeypadData) -> str:
    """Empty for a TAN. Symbols are told by place, never by content (S9)."""
    try:
        read_tan(data.typed)
    except CodeRefused as error:
        return str(error)
    return ""


KEYPAD: Final = Table[KeypadState, KeypadData](
    "keypad",
    KeypadState,
    K.READY,
    [
        # in, on, if, do, then
        row(K.READY, TanAsked, None, ask, K.KEYING),
        row(K.KEYING, SymbolKeyed, None, add, K.KEYING),
        row(K.KEYING, CorrectionKeyed, None, correct, K.KEYING),
        row(K.KEYING, EnterKeyed, it_is_a_tan, take, K.KEYED),
        row(K.KEYING, EnterKeyed, the_operator_may_begin_again, begin_again, K.KEYING),
        row(K.KEYING, EnterKeyed, None, refuse, K.GIVEN_UP),
        row(K.KEYING, CancelKeyed, None, give_up, K.GIVEN_UP),
        row(K.KEYING, DeadlinePassed, None, time_out, K.GIVEN_UP),
    ],
)
