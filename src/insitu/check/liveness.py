"""Liveness: from every state that was reached, if nobody interferes any more, the module gets to what it is there for.

Not by luck, but by the most ordinary course: frames arrive, people answer, deadlines pass where nothing arrives. Then
people see to what they must see to (another job, another TAN, a lock), and the parties meet once more; how, and what
counts as a good end, the world says (`Scenario.ends_well`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from .invariants import Violation
from .scenario import Scenario
from .state import AMISS, Move, State

Look: TypeAlias = Callable[[State, Move, State], Violation | None]
_LONGEST: Final = 200
"""Moves after which an ordinary course is none."""


class Liveness:
    """Looks whether all can end well; the same question is answered once.

    Args:
        scenario: where.
        look: what is wrong with a move on the way, or with the state after it; None: a search looks at them.

    Attributes:
        found: what that said, where it said something.

    """

    def __init__(self, scenario: Scenario, look: Look | None = None) -> None:
        self.found: Violation | None = None
        self._scenario = scenario
        self._look = look
        self._quiet: dict[tuple[object, ...], State | str] = {}
        self._ends: dict[tuple[object, ...], str] = {}

    def stuck(self, state: State) -> Violation | None:
        """Why it cannot; None: it can."""
        about = state.stores, tuple(slot[:4] for slot in state.slots), state.beside
        if about not in self._quiet:
            self._quiet[about] = self.settled(state)
        settled = self._quiet[about]
        if isinstance(settled, State):
            end = settled.stores, settled.beside
            if end not in self._ends:
                self._ends[end] = self._scenario.ends_well(settled, self.settled)
            settled = self._ends[end]
        return Violation(all_can_end_well.__name__, settled) if settled else None

    def settled(self, state: State, first: str = "") -> State | str:
        """Everything that runs has come to its end; or why it does not. `first`: a kind of move that waits for none."""
        for _ in range(_LONGEST):
            following = self._following(state, first)
            if following is None and all(map(self._scenario.rests, state.slots)):
                return state
            following = following or next(self._scenario.deadlines(state), None)
            if following is None:
                waiting = next(slot.end for slot in state.slots if not self._scenario.rests(slot))
                session = self._scenario.ends[waiting].session
                return f"{session.party} waits for ever, in {session.state.name} {session.proving}"
            wrong = self.wrong(state, *following)
            if wrong:
                return wrong
            state = following[1]
        return "it never comes to rest"

    def _following(self, state: State, first: str) -> tuple[Move, State] | None:
        moves = self._scenario.honest_moves(state)
        if not first:
            return next(moves, None)
        return min(moves, key=lambda each: (each[0].kind != first, each[0].kind in AMISS), default=None)

    def wrong(self, before: State, move: Move, after: State) -> str:
        """What is wrong with a move; empty: nothing."""
        self.found = None if self._look is None else self._look(before, move, after)
        return "" if self.found is None else self.found.what


def all_can_end_well() -> None:
    """The name of the invariant."""
