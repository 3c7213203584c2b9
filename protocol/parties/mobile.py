"""The mobile: near the module on a local link, far from the unit on another one; it conveys a number between them (A9).

It judges nothing but that each side speaks of the module at which its person stands; unit and module compare. One
conveyance each time. `Send` goes to the module, `Forward` to the unit, which is called for that (mobile_call.py where
the link proves nothing itself).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..channel.trust.conveyed import NumberCame, WordCame
from ..engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    Fault,
    Forward,
    ProtocolError,
    Send,
    Show,
    StartTimer,
    StopTimer,
    Table,
    reason_of,
    row,
)
from ..messages import Conveyance, Number, Passage, Verdict, decode_message

MODULE_SECONDS: Final = 300.0
"""How long the mobile waits for the module, which waits in turn for its unit."""
UNIT_SECONDS: Final = 30.0
"""How long calling the unit and its word may take (SECURITY: resource limits)."""


class MobileState(Enum):
    """Where one conveyance can be."""

    READY = auto()
    CONVEYED = auto()
    VOUCHED = auto()
    REFUSED = auto()
    LOST = auto()


S = MobileState


@dataclass(frozen=True, slots=True)
class Begun:
    """The local link stands."""


@dataclass(frozen=True, slots=True)
class Conveyed:
    """For the person: the unit's answer about this module."""

    serial: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class MobileData:
    """What the mobile knows.

    Attributes:
        serial: the module at which its person stands.
        number: fresh from its entropy, for the case that it is to make it.

    """

    serial: str
    number: bytes = field(repr=False)


def it_is_that_module(data: MobileData, event: Conveyance) -> bool:
    """The one at which the person stands says so itself."""
    return event.serial == data.serial


def the_number_is_there(data: MobileData, event: Conveyance) -> bool:
    """Module or unit made it."""
    return it_is_that_module(data, event) and event.random is not None


def the_unit_vouches(data: MobileData, event: Verdict) -> bool:
    """For this module."""
    return event.serial == data.serial and event.binding is not None


_AWAIT_UNIT: Final = (StopTimer("module"), StartTimer("unit", UNIT_SECONDS))


def await_module(data: MobileData, _: Begun) -> tuple[MobileData, Effects]:
    """The module speaks first."""
    return data, [StartTimer("module", MODULE_SECONDS)]


def convey(data: MobileData, event: Conveyance) -> tuple[MobileData, Effects]:
    """As it came."""
    return data, [Forward(event), *_AWAIT_UNIT]


def make_and_convey(data: MobileData, event: Conveyance) -> tuple[MobileData, Effects]:
    """Our number, both ways."""
    known = replace(event, random=data.number)
    return data, [Send(Number(data.number)), Forward(known), *_AWAIT_UNIT]


def bring_back(data: MobileData, event: Verdict) -> tuple[MobileData, Effects]:
    """The unit's word, to the module."""
    return data, [StopTimer("unit"), Send(event), Show(Conveyed(data.serial, accepted=True)), Close()]


def bring_back_refusal(data: MobileData, _: Verdict) -> tuple[MobileData, Effects]:
    """The module need not wait any longer."""
    note = Show(Conveyed(data.serial, accepted=False))
    return data, [
        StopTimer("unit"),
        Send(Verdict(serial=data.serial)),
        note,
        Close(Fault.UNTRUSTED, "the unit refused"),
    ]


def not_this_one(data: MobileData, event: Conveyance) -> tuple[MobileData, Effects]:
    """A person stands at one module and is connected with another."""
    return data, [Close(Fault.UNTRUSTED, f"the module at the local link is {event.serial!r}, not {data.serial!r}")]


def give_up(data: MobileData, event: ChannelLost | DeadlinePassed) -> tuple[MobileData, Effects]:
    """One of the two is gone."""
    return data, [Close(Fault.TIMEOUT, reason_of(event))]


MOBILE: Final = Table[MobileState, MobileData](
    "mobile",
    MobileState,
    S.READY,
    [
        # in, on, if, do, then
        row(S.READY, Begun, None, await_module, S.READY),
        row(S.READY, Conveyance, the_number_is_there, convey, S.CONVEYED),
        row(S.READY, Conveyance, it_is_that_module, make_and_convey, S.CONVEYED),
        row(S.READY, Conveyance, None, not_this_one, S.REFUSED),
        row(S.CONVEYED, Verdict, the_unit_vouches, bring_back, S.VOUCHED),
        row(S.CONVEYED, Verdict, None, bring_back_refusal, S.REFUSED),
        row((S.READY, S.CONVEYED), DeadlinePassed, None, give_up, S.LOST),
        row((S.READY, S.CONVEYED), ChannelLost, None, give_up, S.LOST),
    ],
)


# Frames of its links: each takes what belongs there, and nothing else ----------------------------------------


def from_module(frame: bytes) -> Conveyance | Passage:
    """What the mobile takes over its local link. A Passage is none of its table's.

    Raises:
        ProtocolError: anything else.

    """
    message = decode_message(frame)
    if not isinstance(message, (Conveyance, Passage)):
        raise _astray("mobile", "Conveyance or Passage", message)
    return message


def from_unit(frame: bytes) -> Verdict:
    """What the mobile takes over its long-distance link.

    Raises:
        ProtocolError: anything else.

    """
    message = decode_message(frame)
    if not isinstance(message, Verdict):
        raise _astray("mobile", "Verdict", message)
    return message


def at_module(frame: bytes) -> NumberCame | WordCame | Passage:
    """What a module takes from a mobile: events that nobody in the channel can cause, and what only passes through.

    Raises:
        ProtocolError: anything else.

    """
    match message := decode_message(frame):
        case Number(number):
            return NumberCame(number)
        case Verdict(serial, binding):
            return WordCame(serial, binding)
        case Passage():
            return message
    raise _astray("module", "Number, Verdict or Passage", message)


def at_unit(frame: bytes) -> Conveyance:
    """What a unit takes from a mobile: a whole conveyance.

    Raises:
        ProtocolError: anything else.

    """
    message = decode_message(frame)
    if not isinstance(message, Conveyance) or message.random is None:
        raise _astray("unit", "Conveyance with a number", message)
    return message


def _astray(who: str, expected: str, got: object) -> ProtocolError:
    return ProtocolError("a frame of a mobile's link", who=who, expected=expected, got=type(got).__name__)
