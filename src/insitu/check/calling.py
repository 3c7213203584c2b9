"""The worlds in which a mobile calls a unit over a channel of ours (A9): two lines, and an intruder at any end.

The unit was told of two mobiles. The honest one brings what a module gave it; the other was stolen, so that the thief
conveys what he likes, as that mobile and no other. What the unit's session with the module says to a conveyance is the
world's here: whether that is right, the worlds of the trust option conveyed search.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from ..protocol.channel.trust import MobileCalling, UnitCalled
from ..protocol.channel.trust.calling import by_key
from ..protocol.channel.trust.conveyed import NumberConveyed
from ..protocol.engine import Forward, KeyHandle, given
from ..protocol.keys.certificates import key_digest
from ..protocol.messages import NUMBER_BYTES, Conveyance, Message, Purpose, TrustOption, Verdict
from ..protocol.parties.mobile_call import (
    CALLED,
    CALLING,
    CalledData,
    CalledState,
    CallingData,
    CallingState,
    WordFound,
)
from ..protocol.ports import Ports
from ..protocol.progress import SessionEnded
from .channel import CheckedSession, SymbolicHandshake
from .intruder import Intruder, Sayings
from .memory import CheckedVault, fresh_pair
from .parties import Party
from .scenario import Scenario
from .seen import SeenState
from .state import IDLE, NOBODY, Fact, Local, Place, Slot, State
from .world import SERIAL, STOLEN, Loot, Store, beginning

_MOBILE, _UNIT = range(2)
"""Which store is whose, and which place the first of whose."""
BROUGHT: Final = Conveyance(SERIAL, bytes(range(32)), bytes(range(NUMBER_BYTES)))
"""What the module gave the honest mobile, as its end of the channel is."""
_OVER: Final[Fact] = ("over",)


def word_for(said: NumberConveyed) -> Verdict:
    """What the session with the module says: it vouches for what its own end of the channel is."""
    agrees = (said.serial, said.binding, said.number) == (BROUGHT.serial, BROUGHT.binding, BROUGHT.random)
    return Verdict(said.serial, said.binding if agrees else None)


@dataclass(frozen=True)
class _Ends(Party):
    """What both parties have in common: a key of their own."""

    def own(self, store: Store) -> KeyHandle:
        """The key of who has this store."""
        return given(store.vault.find("own"))


@dataclass(frozen=True)
class MobileParty(_Ends):
    """A mobile that was told of the unit's key. `unit`: digest of it."""

    unit: bytes

    def begin(self, store: Store, name: str) -> CheckedSession:
        """As `ByChannel.ask` begins one."""
        terms = MobileCalling.of("mobile", self.own(store), self.unit)
        handshake = SymbolicHandshake(terms, name, purpose=Purpose.CONVEY)
        return CheckedSession(CALLING, CallingState.READY, CallingData(BROUGHT), handshake)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        return Ports(store.vault)


@dataclass(frozen=True)
class CalledParty(_Ends):
    """A unit, and the mobiles that it was told of."""

    mobiles: frozenset[str]

    def begin(self, store: Store, name: str) -> CheckedSession:
        """As `Calls` begins one."""
        terms = UnitCalled.of("unit", self.own(store), self.mobiles)
        handshake = SymbolicHandshake(terms, name, purposes=frozenset({Purpose.CONVEY}))
        return CheckedSession(CALLED, CalledState.LISTENING, CalledData(), handshake)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        return Ports(store.vault, forward=forwarded.append)


class _Thief(Intruder):
    """The intruder, with the stolen mobile."""

    def sayings(self, victim: CheckedSession, known: frozenset[Message]) -> Sayings:
        """See Intruder."""
        yield from super().sayings(victim, known)
        if Conveyance in victim.accepted:
            number = given(BROUGHT.random)
            yield "without a number", Conveyance(SERIAL, BROUGHT.binding)
            yield "of another channel", Conveyance(SERIAL, bytes(32), number)
            yield "of another module", Conveyance(STOLEN, BROUGHT.binding, number)


def _pair(name: str) -> tuple[CheckedVault, KeyHandle]:
    vault, key = fresh_pair(name)
    vault.commit(b"", frozenset({key.label}))
    vault.restart()
    return vault, key


class Calling(Scenario):
    """Mobiles and a unit.

    Args:
        crashes: how many there may be.
        runs: calls of the mobile, and on each line of the unit.

    """

    def __init__(self, *, crashes: int = 0, runs: tuple[int, int, int] = (2, 2, 0)) -> None:
        start = beginning(TrustOption.CONVEYED)
        (mobile, mine), (unit, its), (vault, stolen) = map(_pair, ("mobile", "unit", "stolen mobile"))
        self.mobile, self.stolen = by_key(mine.public), by_key(stolen.public)
        thief = _Thief(start, TrustOption.CONVEYED, frozenset())
        thief.loot = [thief.own, Loot("the stolen mobile", vault, stolen)]
        called = CalledParty(frozenset({self.mobile, self.stolen}))
        places = (
            Place("mobile", MobileParty(key_digest(its.public)), _MOBILE, runs[0], calls=True),
            Place("unit, line 1", called, _UNIT, runs[1]),
            Place("unit, line 2", called, _UNIT, runs[2]),
        )
        super().__init__(start, places, thief, (Purpose.CONVEY, Purpose.STATUS))
        self._begins = Store(mobile), Store(unit)
        self._crashes = crashes

    def initial(self) -> State:
        """See Scenario."""
        return self.beginning(self._begins, (self._crashes,))

    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """See Scenario."""
        match note:
            case Conveyance() if place == _MOBILE:
                yield ("conveyed",)
            case Forward(NumberConveyed() as said):
                yield "asked", said.mobile, said.serial, said.binding, said.number
            case Verdict(serial, binding):
                yield "told", serial, binding
            case SessionEnded(_, reason):
                yield (*_OVER, reason)

    def consequences(self, before: State, after: State, place: int, local: Local) -> State:
        """See Scenario: the session with the module is asked, and says its word; an end that is untrue is told."""
        for said in local.forwarded:
            assert isinstance(said, NumberConveyed)  # noqa: S101 - nothing else is handed on
            after = self.ordered(after, place, WordFound(word_for(said)))
        over = [fact for fact in local.facts if fact[0] == _OVER[0]]
        if not over:
            return after
        lasting = [fact for fact in local.facts if fact not in over]
        session = local.done.last or self.ends[before.slots[place].end].session
        is_answered = session.state in (CallingState.ANSWERED, CalledState.ANSWERED)
        if is_answered == any(fact[1] for fact in over):
            lasting.append(("untrue", self.places[place].name, session.state.name))
        if place == _MOBILE and is_answered:
            word = session.data.word
            lasting.append(("answered", word and word.serial, word and word.binding))
        return after._replace(facts=self.happened(before.facts, tuple(lasting)))

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario: the mobile calls once more, and has the unit's word."""
        joined = self.joined(state._replace(slots=tuple(Slot(IDLE, NOBODY, (), (), 1) for _ in state.slots)), 1)
        if joined is None:
            return "mobile and unit cannot meet any more"
        end = settle(joined._replace(facts=self.initial().facts))
        if isinstance(end, str):
            return end
        said = self.facts[end.facts]
        return "" if ("answered", SERIAL, BROUGHT.binding) in said else "the mobile does not get the unit's word"


# What must hold --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeenCalling(SeenState):
    """A state, for the invariants."""

    scenario: Calling


def a9_what_is_asked_a_mobile_conveyed(seen: SeenCalling) -> str:
    """A9: under the name of the key that it proved in that call; the honest mobile's only what that one brought."""
    brought = (BROUGHT.serial, BROUGHT.binding, BROUGHT.random)
    for fact in seen.facts:
        if fact[0] == "asked" and fact[1] not in (seen.scenario.mobile, seen.scenario.stolen):
            return "the unit asks about what no mobile conveyed that it was told of"
        if (
            fact[0] == "asked"
            and fact[1] == seen.scenario.mobile
            and (fact[2:] != brought or ("conveyed",) not in seen.facts)
        ):
            return "the unit asks in the name of a mobile about what that one did not bring"
    return ""


def a9_a_mobile_has_the_word_for_what_it_brought(seen: SeenCalling) -> str:
    """A9: nobody else's, and none that the unit did not give."""
    words = {fact[1:] for fact in seen.facts if fact[0] == "answered"}
    told = {fact[1:] for fact in seen.facts if fact[0] == "told"}
    if words - {(BROUGHT.serial, BROUGHT.binding)}:
        return "the mobile has a word that is for something else"
    return "the mobile has a word that the unit did not give" if words - told else ""


def a9_a_call_ends_where_it_says(seen: SeenCalling) -> str:
    """A9: answered is where the word was given and taken, in good order."""
    return seen.untrue_end


OF_A_STATE: Final = (
    a9_what_is_asked_a_mobile_conveyed,
    a9_a_mobile_has_the_word_for_what_it_brought,
    a9_a_call_ends_where_it_says,
)


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    return state.facts
