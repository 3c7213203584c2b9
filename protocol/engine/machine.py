"""The `transitions` machine behind a table: its arrows and triggers, cut down to what tables use.

A stock transition walks nine lists of callbacks and offers fourteen log records; a table has one guard and one
action and logs nothing, and those empty walks took four fifths of a step. So the machine is built with classes of
its own for transitions and events, as `transitions` provides for (`transition_cls`, `event_cls`). What an arrow is
stays the library's: states, triggers, arrows by source in the order of the rows, whatever exports or draws them.

Which rows there are, and what is wrong with them, is for `table.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from transitions import Event, Machine, Transition

from .effects import Effects


class Cell:
    """What a step moves: alive for that step, seen by nobody else."""

    __slots__ = ("data", "effects", "event", "state")

    def __init__(self, state: str, data: object, event: object) -> None:
        self.state = state
        self.data = data
        self.event = event
        self.effects: Effects = ()


class _Arrow(Transition):
    """A transition with at most one guard and one action, both called on data and event of the cell."""

    def __init__(
        self,
        source: str,
        dest: str,
        *_callbacks: None,
        when: Callable[[Any, Any], bool] | None = None,
        do: Callable[[Any, Any], tuple[Any, Effects]] | None = None,
        **_more_callbacks: None,
    ) -> None:
        super().__init__(source, dest)
        self.when = when
        self.do = do
        self.target = dest

    def execute(self, cell: Cell) -> bool:  # type: ignore[override]
        """Whether the guard held; if so, the cell has moved. An exception leaves no trace but in the cell."""
        if self.when is not None and not self.when(cell.data, cell.event):
            return False
        if self.do is not None:
            cell.data, effects = self.do(cell.data, cell.event)
            cell.effects = tuple(effects)
        cell.state = self.target
        return True


class _Trigger(Event):
    """An event that tries the arrows from the cell's state in order and takes the first whose guard holds."""

    transitions: defaultdict[str, list[_Arrow]]  # type: ignore[assignment]

    def trigger(self, cell: Cell) -> bool:  # type: ignore[override]
        """Whether an arrow was taken."""
        for arrow in self.transitions[cell.state]:  # noqa: SIM110 - half the time of any()
            if arrow.execute(cell):
                return True
        return False


class LeanMachine(Machine):
    """A machine without models, made of these."""

    transition_cls = _Arrow
    event_cls = _Trigger

    def __init__(self, states: list[str]) -> None:
        super().__init__(model=None, states=states, initial=None, auto_transitions=False)
