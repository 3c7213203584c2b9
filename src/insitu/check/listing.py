"""The worlds with revocation lists (S5): units whose cards are given the manufacturer's lists, a module that knows one.

They are those of personalizing.py, and of the lists (world.py, LISTED) there is one more in each: whoever has a unit's
computer may give it any of them, also an older one. The module got its list from its central system, at work, and was
reset since. Against a list that never came no list helps: that is one of the attacks that must be found.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ..protocol.engine import given
from ..protocol.keys.certificates import CertificateRefused
from ..protocol.keys.revocation import read_crl
from ..protocol.messages import ModuleCondition, TrustOption
from . import invariants as personal
from .intruder import Power
from .liveness import Liveness
from .networked import NetworkedUnit
from .operating import Budget, Operating
from .parties import Done, Party, UnitParty
from .personalizing import Personalizing
from .state import IDLE, Limits, Local, Move, State, Variant
from .world import BANKS, LISTED, RIVAL, SERIAL, Store, card_of

GIVEN: Final = 4
"""Where in `State.left` it says how many more lists somebody may give to units."""
_MODULE: Final = 0


@dataclass(frozen=True)
class Lists:
    """Which of the manufacturer's lists are where, by number from 1; 0: none. See LISTED.

    Attributes:
        at_units: the one that the units' cards have as it begins.
        given: those that somebody may give to a unit.
        times: how often.
        at_module: whether the module was sent one, the one that names the rival.

    """

    at_units: int = 0
    given: tuple[int, ...] = ()
    times: int = 0
    at_module: bool = False


class Listing(Personalizing):
    """A personalization, and the manufacturer's lists; for the other arguments see Personalizing."""

    def __init__(
        self,
        option: TrustOption,
        lists: Lists,
        powers: frozenset[Power] = frozenset(),
        *,
        variant: Variant = Variant.FIELD,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(option, powers, variant=variant, limits=limits)
        self._lists = lists
        self._at_card: dict[int, int] = {}

    def initial(self) -> State:
        """See Scenario."""
        first = super().initial()
        stores = list(first.stores)
        if self._lists.at_module:
            stores[_MODULE] = self.store_number(module_that_knows_a_list())
        first = first._replace(stores=tuple(stores), left=(*first.left, self._lists.times))
        for place in (1, 2) if self._lists.at_units else ():
            first = given(self._given(first, place, self._lists.at_units))
        return first

    def at_card(self, store: int) -> int:
        """The number of the list that the card with this store has."""
        if store not in self._at_card:
            crl = card_of(self.stores[store].vault.fork()).heard
            self._at_card[store] = 0 if crl is None else crl.number
        return self._at_card[store]

    def at_module(self, store: int) -> int:
        """The number of the list that the module with this store has."""
        crl = self.module_record(store).crl
        return 0 if crl is None else read_crl(crl, self.start.root).number

    def goes_by(self, state: State, place: int) -> int:
        """The number of the list that the unit had when the session began that runs there, or was the last to run."""
        about = place, state.slots[place].runs
        return next(int(str(fact[3])) for fact in self.facts[state.facts] if fact[:3] == ("goes by", *about))

    def consequences(self, before: State, after: State, place: int, local: Local) -> State:
        """See Scenario; by which list a session of a unit goes."""
        after = super().consequences(before, after, place, local)
        if place != _MODULE and before.slots[place].end == IDLE and after.slots[place].end != IDLE:
            about = place, after.slots[place].runs, self.at_card(before.stores[self.places[place].store])
            after = after._replace(facts=self.happened(after.facts, (("goes by", *about),)))
        return after

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario: somebody gives a unit a list."""
        yield from super().others(state)
        for place in (1, 2) if state.left[GIVEN] else ():
            if state.slots[place].end == IDLE or self.variant is Variant.NETWORKED:
                for number in self._lists.given:
                    after = self._given(state, place, number)
                    if after is not None and after != state:
                        made = Move("list", self.places[place].name, "", f"somebody gives it list {number}")
                        yield made, self.less(after, GIVEN)

    def _given(self, state: State, place: int, number: int) -> State | None:
        return self.people(state, place, ("list", number), lambda party, store: _heeds(party, store, number))

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario; whom a list names, the unit turns away, and that is the end of it."""
        why = super().ends_well(state, settle)
        number = self.at_card(state.stores[1])
        if not names(SERIAL, number) and not names(BANKS[0], number):
            return why
        record = self.module_record(state.stores[_MODULE])
        turned_away = why or record.condition is ModuleCondition.OPERATING
        return "" if turned_away else "a module is personalized that the list names"


def names(name: str, number: int) -> bool:
    """Whether the list of this number names this module or customer; each names all that the one before did."""
    return number > LISTED.index(name)


def _heeds(party: Party, store: Store, number: int) -> Done:
    """What comes of a list that somebody gives to a unit."""
    assert isinstance(party, (UnitParty, NetworkedUnit))  # noqa: S101 - only units get one from people
    unit = UnitParty(party.option, party.start, party.bank).program(store)
    try:
        unit.heed(party.start.lists[number - 1])
    except CertificateRefused:
        if not names(party.bank, number):
            raise  # else the unit says whom it names, and heeds it
    return Done(None, store)


@lru_cache(maxsize=1)
def module_that_knows_a_list() -> Store:
    """The module after its central system sent it a list, and after somebody reset it."""
    world = Operating({Budget.LISTED: 1, Budget.BY_HAND: 1})
    settled = Liveness(world).settled
    state = given(world.joined(world.initial(), 1))
    for kind in ("listed", "by_hand"):
        at_rest = settled(state)
        assert isinstance(at_rest, State)  # noqa: S101 - the ordinary course
        if kind == "by_hand":
            at_rest = world.closed(at_rest)
        state = next(after for move, after in world.others(at_rest) if move.kind == kind)
    return world.stores[state.stores[_MODULE]]


# What must hold --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeenWithLists(personal.Seen):
    """A state, for the invariants, with the lists."""

    scenario: Listing

    @property
    def lists(self) -> tuple[int, ...]:
        """The numbers of those that module and units have."""
        module, *units = self.state.stores
        return self.scenario.at_module(module), *map(self.scenario.at_card, units)


def s5_no_older_list_takes_the_place_of_a_newer(before: SeenWithLists, move: Move, after: SeenWithLists) -> str:
    """S5: the number of the list that a module or a card has never falls."""
    fell = any(new < old for old, new in zip(before.lists, after.lists, strict=True))
    return f"list {before.lists} became {after.lists}" if fell else ""


def s5_a_unit_turns_away_whom_its_list_names(before: SeenWithLists, move: Move, after: SeenWithLists) -> str:
    """S5: a session certifies nothing if the module, or the unit's own bank, was on the list with which it began."""
    world = before.scenario
    if before.issued == after.issued:
        return ""
    place = next(number for number, each in enumerate(world.places) if each.name == move.who)
    number = world.goes_by(before.state, place)
    named = [name for name in (SERIAL, BANKS[0]) if names(name, number)]
    return f"a certificate is made, and list {number} names {named[0]}" if named else ""


def s5_a_unit_turns_away_whom_a_list_names_that_came_meanwhile(
    before: SeenWithLists, move: Move, after: SeenWithLists
) -> str:
    """S5: the same by the list that the unit has by now, while the session runs. It is known not to hold."""
    world = before.scenario
    if before.issued == after.issued:
        return ""
    number = world.at_card(before.state.stores[1])
    return f"a certificate is made, and list {number} came before" if names(SERIAL, number) else ""


def s5_a_module_turns_away_whom_its_list_names(seen: SeenWithLists) -> str:
    """S5: no module begins to operate with what a customer certified who is on its list."""
    record = seen.record
    if record.condition is not ModuleCondition.OPERATING or not names(RIVAL, seen.lists[_MODULE]):
        return ""
    rival = card_of(seen.scenario.start.rival.fork()).customer.der
    return f"{SERIAL} operates with what {RIVAL} certified, which is on its list" if record.customer == rival else ""


OF_A_STATE: Final = (*personal.OF_A_STATE, s5_a_module_turns_away_whom_its_list_names)
OF_A_MOVE: Final = (
    *personal.OF_A_MOVE,
    s5_no_older_list_takes_the_place_of_a_newer,
    s5_a_unit_turns_away_whom_its_list_names,
)
NOT_HELD: Final = (s5_a_unit_turns_away_whom_a_list_names_that_came_meanwhile,)
"""Known not to hold: looked at only where that must be found."""


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    return personal.depends(state), tuple(slot.runs for slot in state.slots)
