"""A mobile's call to the unit over a channel of ours (A9), both sides: one conveyance there, the unit's word back.

Whether the mobile is one that may convey, the terms judged before (channel/trust/calling.py); whether the conveyance
agrees, the session with the module does (channel/trust/conveyed.py), to which it is handed on. Over other links the
same two messages travel without these tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..channel.opened import ChannelOpened
from ..channel.trust.calling import by_key
from ..channel.trust.conveyed import NumberConveyed
from ..engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    Fault,
    Forward,
    Send,
    StartTimer,
    StopTimer,
    Table,
    given,
    reason_of,
    row,
)
from ..engine.secret_keys import Unshown
from ..messages import Conveyance, Purpose, Verdict
from .mobile import UNIT_SECONDS

CALL_SECONDS: Final = UNIT_SECONDS
"""How long either side waits for the other, a machine (SECURITY: resource limits)."""


# The mobile's side -------------------------------------------------------------------------------------------


class CallingState(Enum):
    """Where a call can be, seen from the mobile."""

    READY = auto()
    CONVEYED = auto()
    ANSWERED = auto()
    FAILED = auto()


C = CallingState


@dataclass(frozen=True, slots=True)
class CallingData:
    """What the mobile knows of one call.

    Attributes:
        conveyance: what it brings.
        word: the unit's; None before.

    """

    conveyance: Conveyance = field(repr=False)
    word: Verdict | None = field(default=None, repr=False)


def it_is_a_call(_: object, event: ChannelOpened) -> bool:
    """Each side admits no key but those that people were told; here only the purpose is left to be looked at."""
    return event.intent.purpose is Purpose.CONVEY


def say(data: CallingData, _: ChannelOpened) -> tuple[CallingData, Effects]:
    """The unit has proved itself: it may see the number."""
    return data, [Send(data.conveyance), StartTimer("unit", CALL_SECONDS)]


def hear(data: CallingData, event: Verdict) -> tuple[CallingData, Effects]:
    """The unit's word, for the module."""
    return replace(data, word=event), [StopTimer("unit"), Close()]


def hang_up(data: CallingData, event: ChannelLost | DeadlinePassed) -> tuple[CallingData, Effects]:
    """No answer."""
    fault = Fault.TIMEOUT if isinstance(event, DeadlinePassed) else None
    return data, [StopTimer("unit"), Close(fault, reason_of(event))]


CALLING: Final = Table[CallingState, CallingData](
    "mobile",
    CallingState,
    C.READY,
    [
        # in, on, if, do, then
        row(C.READY, ChannelOpened, it_is_a_call, say, C.CONVEYED),
        row(C.CONVEYED, Verdict, None, hear, C.ANSWERED),
        row(C.CONVEYED, DeadlinePassed, None, hang_up, C.FAILED),
        row((C.READY, C.CONVEYED), ChannelLost, None, hang_up, C.FAILED),
    ],
    name="mobile-calling",
)


# The unit's side ---------------------------------------------------------------------------------------------


class CalledState(Enum):
    """Where a call can be, seen from the unit."""

    LISTENING = auto()
    AWAITING_CONVEYANCE = auto()
    ASKING = auto()
    ANSWERED = auto()
    FAILED = auto()


U = CalledState


@dataclass(frozen=True, slots=True)
class WordFound(Unshown):
    """What the sessions with modules say to a conveyance."""

    word: Verdict = field(repr=False)


@dataclass(frozen=True, slots=True)
class CalledData:
    """What the unit knows of one call.

    Attributes:
        mobile: which one it is, by the key that it proved.

    """

    mobile: str | None = None


def there_is_a_number(_: CalledData, event: Conveyance) -> bool:
    """What the module alone gives its mobile is no conveyance yet."""
    return event.random is not None


def await_conveyance(_: CalledData, event: ChannelOpened) -> tuple[CalledData, Effects]:
    """Let it say what it brings."""
    return CalledData(by_key(event.peer.public)), [StartTimer("mobile", CALL_SECONDS)]


def ask(data: CalledData, event: Conveyance) -> tuple[CalledData, Effects]:
    """The session that it is for knows whether it agrees."""
    said = NumberConveyed(event.serial, event.binding, given(event.random), given(data.mobile))
    return data, [StopTimer("mobile"), Forward(said)]


def answer(data: CalledData, event: WordFound) -> tuple[CalledData, Effects]:
    """Our word; the mobile brings it to the module."""
    return data, [Send(event.word), Close()]


def give_up(data: CalledData, event: ChannelLost | DeadlinePassed) -> tuple[CalledData, Effects]:
    """The mobile is gone."""
    fault = Fault.TIMEOUT if isinstance(event, DeadlinePassed) else None
    return data, [StopTimer("mobile"), Close(fault, reason_of(event))]


CALLED: Final = Table[CalledState, CalledData](
    "unit",
    CalledState,
    U.LISTENING,
    [
        # in, on, if, do, then
        row(U.LISTENING, ChannelOpened, it_is_a_call, await_conveyance, U.AWAITING_CONVEYANCE),
        row(U.AWAITING_CONVEYANCE, Conveyance, there_is_a_number, ask, U.ASKING),
        row(U.ASKING, WordFound, None, answer, U.ANSWERED),
        row(U.AWAITING_CONVEYANCE, DeadlinePassed, None, give_up, U.FAILED),
        row((U.LISTENING, U.AWAITING_CONVEYANCE, U.ASKING), ChannelLost, None, give_up, U.FAILED),
    ],
    name="mobile-called",
)
