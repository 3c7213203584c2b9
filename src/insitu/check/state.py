"""What a state of the search is made of, in numbers and small words; what they stand for, the scenario knows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from ..protocol.messages import (
    Certificates,
    Enroll,
    Message,
    ModuleKey,
    Number,
    NumberWanted,
    PakeShare,
    Personalized,
    Proof,
    Ticket,
    TrustOption,
)
from .parties import Done, Party

INTRUDER: Final = -1
NOBODY: Final = -2
IDLE: Final = -1
AMISS: Final = frozenset({"crash", "fail"})
"""Kinds of moves that are no ordinary ones: the power is cut, key memory fails."""
CUT: Final = 0
"""The number of the frame that is none: the end of the link."""

USEFUL: Final = (ModuleKey, Personalized, Proof, PakeShare, Ticket, Number, NumberWanted, Certificates, Enroll)
"""What the intruder remembers of what he hears; the rest he can make himself, or has no use for."""


class Slot(NamedTuple):
    """A place for one session at a time.

    Attributes:
        end: the session, by number; IDLE: none.
        peer: the slot at the other end of the link, INTRUDER or NOBODY.
        inbox: the frames that are under way to it, by number, in order.
        orders: what came over a second link, by number, in order.
        runs: how many sessions may still begin here.

    """

    end: int
    peer: int
    inbox: tuple[int, ...]
    orders: tuple[int, ...]
    runs: int


class State(NamedTuple):
    """All that there is.

    Attributes:
        stores: by number, in the order of the scenario's.
        slots: in the order of the scenario's places.
        known: what the intruder has heard, by number.
        facts: what has happened, by number.
        left: how often what is bounded may still happen; crashes first.
        beside: what else there is, by number, as the world has it.

    """

    stores: tuple[int, ...]
    slots: tuple[Slot, ...]
    known: int
    facts: int
    left: tuple[int, ...]
    beside: int


def with_slot(state: State, place: int, slot: Slot) -> State:
    """The same, with this slot at this place."""
    slots = list(state.slots)
    slots[place] = slot
    return state._replace(slots=tuple(slots))


Fact: TypeAlias = tuple[object, ...]
"""Something that happened, and matters for the invariants: its kind first."""


class Move(NamedTuple):
    """What happens next, for whoever reads a trace.

    Attributes:
        kind: of move.
        who: the place where it happens; empty for people.
        whom: the place that it comes from; empty for nobody in particular.
        text: what it is.

    """

    kind: str
    who: str
    whom: str = ""
    text: str = ""


@dataclass(frozen=True)
class Place:
    """Where sessions of one party take place.

    Attributes:
        name: for people.
        party: whose.
        store: which, by its place in the scenario.
        runs: how many sessions there may be, one after the other.
        calls: they are begun from here; otherwise they are waited for.

    """

    name: str
    party: Party
    store: int
    runs: int
    calls: bool = False


@dataclass(frozen=True)
class Local:
    """`Done` in numbers: what an event does in a slot, whatever else is in the world."""

    end: int
    store: int
    sent: tuple[int, ...]
    heard: tuple[Message, ...]
    facts: tuple[Fact, ...]
    forwarded: tuple[object, ...]
    crashes: tuple[tuple[int, tuple[int, ...], tuple[Fact, ...]], ...]
    done: Done


class Variant(Enum):
    """How the unit stands to the modules; the value is for people."""

    FIELD = "field"
    """It goes to one module at a time, whose job two people approved before."""
    NETWORKED = "networked"
    """It listens, two sessions run at a time, and people approve a module's key while it waits."""

    @property
    def options(self) -> tuple[TrustOption, ...]:
        """Those that such a unit can have."""
        cable = (TrustOption.PHYSICAL, TrustOption.SHIPPED_KEY)
        return tuple(option for option in TrustOption if self is Variant.FIELD or option not in cable)


@dataclass
class Limits:
    """How often what may happen any number of times happens at most.

    Attributes:
        module, first, second: sessions of the module, of the first bank's unit, of the second's.
        crashes, resets, jobs: of any party; of the module, by hand; further approved jobs.
        failures: of key memory, each of one operation.

    """

    module: int = 2
    first: int = 2
    second: int = 1
    crashes: int = 1
    resets: int = 1
    jobs: int = 1
    failures: int = 0
