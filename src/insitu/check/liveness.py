"""Liveness: from every state that was reached, if nobody interferes any more, the module gets personalized.

Not by luck, but by the most ordinary course: frames arrive, people answer, deadlines pass where nothing arrives. Then
people see to what they must see to (another job, another TAN, a lock), and module and unit meet once more.
"""

from __future__ import annotations

from typing import Final

from ..protocol.engine import InsituError
from ..protocol.messages import ModuleCondition
from .invariants import Violation
from .scenario import Scenario
from .state import IDLE, NOBODY, Slot, State

_LONGEST: Final = 200
"""Moves after which an ordinary course is none."""


class Liveness:
    """Looks whether all can end well; the same question is answered once."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._quiet: dict[tuple[object, ...], State | str] = {}
        self._ends: dict[tuple[int, ...], str] = {}

    def stuck(self, state: State) -> Violation | None:
        """Why it cannot; None: it can."""
        about = state.stores, tuple(slot[:4] for slot in state.slots), state.mobile
        if about not in self._quiet:
            self._quiet[about] = self._settled(state)
        settled = self._quiet[about]
        if isinstance(settled, State):
            about_stores = settled.stores
            if about_stores not in self._ends:
                self._ends[about_stores] = self._personalized(settled)
            settled = self._ends[about_stores]
        return Violation(all_can_end_well.__name__, settled) if settled else None

    def _settled(self, state: State) -> State | str:
        """Everything that runs comes to its end."""
        for _ in range(_LONGEST):
            if all(slot.end == IDLE for slot in state.slots):
                return state
            following = next(self._scenario.honest_moves(state), None) or next(self._scenario.deadlines(state), None)
            if following is None:
                waiting = next(slot.end for slot in state.slots if slot.end != IDLE)
                session = self._scenario.ends[waiting].session
                return f"{session.party} waits for ever, in {session.state.name} {session.proving}"
            state = following[1]
        return "it never comes to rest"

    def _personalized(self, state: State) -> str:
        """Module and unit meet, prepared by people."""
        try:
            state = self._scenario.prepared(state)
        except InsituError as error:
            return f"people cannot prepare a personalization: {error}"
        slots = tuple(Slot(IDLE, NOBODY, (), (), 1) for _ in state.slots)
        joined = self._scenario.joined(state._replace(slots=slots), 1)
        if joined is None:
            return "module and unit cannot meet any more"
        end = self._settled(joined)
        if isinstance(end, str):
            return end
        record = self._scenario.module_record(end.stores[0])
        return "" if record.condition is ModuleCondition.OPERATING else "the module does not get personalized any more"


def all_can_end_well() -> None:
    """The name of the invariant."""
