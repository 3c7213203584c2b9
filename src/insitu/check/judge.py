"""Looks whether the invariants hold, each once for what it depends on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..protocol.engine import InsituError
from ..protocol.messages import ModuleRecord
from . import calling, delivering, edhoc, enrolling, keying, listing, lost_card, office_rules, standing, syncing
from . import invariants as personal
from . import work_invariants as work
from .calling import Calling
from .delivering import ByMadeKey, Delivering
from .edhoc import Shaking
from .enrolling import MutualEnrolling
from .invariants import Violation, s13_both_ends_want_the_same
from .keying import Keying
from .listing import Listing
from .lost_card import LostCard
from .memory import CheckedVault
from .office import Office
from .operating import Operating
from .parties import Done
from .personalizing import Personalizing
from .scenario import Scenario
from .standing import Standing
from .state import IDLE, Move, State
from .syncing import Syncing
from .tokens import ByToken


@dataclass(frozen=True)
class Rules:
    """What must hold in a kind of world.

    Attributes:
        seen: a state as the invariants see it.
        of_a_state, of_a_move: the invariants; each says what is wrong, or nothing.
        depends: what of a state they look at.
        of_the_module: those of what the first party keeps, where that is a module that was delivered.
        of_an_answer: of what a desk did with what it was asked.
        not_held: of a move, and known not to hold: they count only where they are asked for by name.

    """

    seen: Callable[[Any, State], Any]
    of_a_state: tuple[Callable[[Any], str], ...]
    of_a_move: tuple[Callable[[Any, Move, Any], str], ...]
    depends: Callable[[State], Hashable]
    of_the_module: tuple[Callable[[ModuleRecord, CheckedVault], str], ...] = personal.OF_THE_MODULE
    of_an_answer: tuple[Callable[[Done, dict[str, bytes]], str], ...] = ()
    not_held: tuple[Callable[[Any, Move, Any], str], ...] = ()


RULES: Final[dict[type[Scenario], Rules]] = {
    Personalizing: Rules(personal.Seen, personal.OF_A_STATE, personal.OF_A_MOVE, personal.depends),
    Operating: Rules(work.SeenAtWork, work.OF_A_STATE, work.OF_A_MOVE, work.depends),
    LostCard: Rules(work.SeenAtWork, lost_card.OF_A_STATE, work.OF_A_MOVE, work.depends),
    Listing: Rules(
        listing.SeenWithLists, listing.OF_A_STATE, listing.OF_A_MOVE, listing.depends, not_held=listing.NOT_HELD
    ),
    Delivering: Rules(
        delivering.SeenAtBench, delivering.OF_A_STATE, delivering.OF_A_MOVE, delivering.depends, of_the_module=()
    ),
    ByMadeKey: Rules(personal.Seen, delivering.OF_A_MADE_KEY, personal.OF_A_MOVE, personal.depends),
    Syncing: Rules(
        *(syncing.SeenInLogs, syncing.OF_A_STATE, syncing.OF_A_MOVE, syncing.depends),
        of_the_module=(),
        not_held=syncing.NOT_HELD,
    ),
    MutualEnrolling: Rules(
        *(enrolling.SeenEnrolling, enrolling.OF_A_STATE, enrolling.OF_A_MOVE, enrolling.depends), of_the_module=()
    ),
    Shaking: Rules(personal.Seen, edhoc.OF_A_STATE, personal.OF_A_MOVE, personal.depends),
    Calling: Rules(calling.SeenCalling, calling.OF_A_STATE, (), calling.depends, of_the_module=()),
    Keying: Rules(keying.SeenKeying, keying.OF_A_STATE, (), keying.depends, of_the_module=()),
    ByToken: Rules(personal.Seen, personal.OF_A_STATE, personal.OF_A_MOVE, personal.depends),
    Office: Rules(
        *(office_rules.SeenAtDesks, office_rules.OF_A_STATE, office_rules.OF_A_MOVE, office_rules.depends),
        of_the_module=(),
        of_an_answer=office_rules.OF_AN_ANSWER,
    ),
    Standing: Rules(standing.SeenByStanding, standing.OF_A_STATE, standing.OF_A_MOVE, standing.depends),
}
"""By the kind of world."""


class Judge:
    """All invariants or some of them.

    Args:
        scenario: where.
        only: the names of those that count; None: all.

    """

    def __init__(self, scenario: Scenario, only: frozenset[str] | None = None) -> None:
        def counts(invariant: Callable[..., str]) -> bool:
            return only is None or invariant.__name__ in only

        self._scenario = scenario
        self._rules = rules = RULES[type(scenario)]
        self._of_a_state = list(filter(counts, rules.of_a_state))
        asked_for = (each for each in rules.not_held if only is not None)
        self._of_a_move = list(filter(counts, (*rules.of_a_move, *asked_for)))
        self._of_the_module = list(filter(counts, rules.of_the_module))
        self._of_a_session = list(filter(counts, (*personal.OF_A_SESSION, *rules.of_an_answer)))
        self._modules: dict[int, Violation | None] = {}
        self._states: dict[Hashable, Violation | None] = {}
        self._moves: dict[Hashable, Violation | None] = {}
        self._links: dict[tuple[int, int], Violation | None] = {}
        self._looked_at = 0

    def state(self, state: State) -> Violation | None:
        """What is wrong with a state."""
        about = self._rules.depends(state)
        if about not in self._states:
            seen = self._rules.seen(self._scenario, state)
            self._states[about] = _first(self._of_a_state, seen)
        return self._module(state.stores[0]) or self._states[about] or self._link(state)

    def move(self, before: State, move: Move, after: State) -> Violation | None:
        """What is wrong with a move."""
        old, new = self._rules.depends(before), self._rules.depends(after)
        if old == new:
            return None
        about = old, new, move.kind, move.who
        if about not in self._moves:
            one, other = self._rules.seen(self._scenario, before), self._rules.seen(self._scenario, after)
            self._moves[about] = _first(self._of_a_move, one, move, other)
        return self._moves[about]

    def all(self, before: State, move: Move, after: State) -> Violation | None:
        """What is wrong with a move, the state after it, or what a session did."""
        return self.move(before, move, after) or self.state(after) or self.sessions()

    def sessions(self) -> Violation | None:
        """What is wrong with anything that a session did since the last call."""
        for done, before in self._scenario.steps[self._looked_at :]:
            self._looked_at += 1
            found = _first(self._of_a_session, done, before)
            if found is not None:
                return found
        return None

    def _module(self, store: int) -> Violation | None:
        if self._of_the_module and store not in self._modules:
            record, vault = self._scenario.module_record(store), self._scenario.stores[store].vault
            self._modules[store] = _first(self._of_the_module, record, vault)
        return self._modules.get(store)

    def _link(self, state: State) -> Violation | None:
        for slot in state.slots:
            if slot.peer >= 0 and slot.end != IDLE and state.slots[slot.peer].end != IDLE:
                about = slot.end, state.slots[slot.peer].end
                if about not in self._links:
                    one, other = (self._scenario.ends[number].session for number in about)
                    self._links[about] = _first([s13_both_ends_want_the_same], one, other)
                if self._links[about] is not None:
                    return self._links[about]
        return None


def _first(every: Iterable[Callable[..., str]], *seen: object) -> Violation | None:
    """The first of these that does not hold: which says what is wrong, or comes upon what cannot even be read."""
    for each in every:
        try:
            what = each(*seen)
        except InsituError as error:
            what = str(error)
        if what:
            return Violation(each.__name__, what)
    return None


def invariants() -> Iterator[tuple[str, str]]:
    """Name of each, and the first line of what it says."""
    every = dict.fromkeys(
        each for rules in RULES.values() for each in (*rules.of_a_state, *rules.of_a_move, *rules.of_an_answer)
    )
    for each in (*personal.OF_THE_MODULE, *every, s13_both_ends_want_the_same, *personal.OF_A_SESSION):
        yield each.__name__, (each.__doc__ or "").split("\n", 1)[0]
