"""A desk runs a party that has no wire at the moment: manufacturer, card, a module on the bench or reset by hand.

Same tables, same ports as over a link; an event goes in, all that follows from it is performed, the notes come out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Generic, TypeVar

from .engine import (
    Close,
    EnvironmentFault,
    Refused,
    Send,
    Show,
    StartTimer,
    StateError,
    Step,
    StopTimer,
    Table,
    TableError,
    UsageError,
)
from .ports import Ports, perform

S = TypeVar("S", bound=Enum)
D = TypeVar("D")


class Desk(Generic[S, D]):
    """One party at its desk.

    Args:
        table, state, data: the party, in the state in which the desk finds it.
        ports: its surroundings.
        rests: where it has to be once an event is through, by what it knows then; None: there is no such place, since
            further events belong to the same business.

    Attributes:
        state: where the party is.
        data: what it knows.

    """

    def __init__(
        self, table: Table[S, D], state: S, data: D, ports: Ports, *, rests: Callable[[D], S] | None = None
    ) -> None:
        self._table = table
        self.state = state
        self.data = data
        self._ports = ports
        self._rests = rests

    def submit(self, event: object) -> list[object]:
        """Take one event to its end; the notes that were shown on the way, in order.

        Raises:
            StateError: the party's state has no place for the event; nothing has changed.
            ProtocolError: the event carries what the party cannot accept, say a certificate; nothing has changed.
            EnvironmentFault: key memory or storage failed; durable state is as before the step that failed.
                The desk is of no more use: make a new one from the durable record.
            TableError: the event is through, and the party is not where it has to be; a mistake in the table.

        """
        notes: list[object] = []
        events = deque([event])
        while events:
            step = self._step(events.popleft())
            self.state, self.data = step.state, step.data
            for effect in step.effects:
                match effect:
                    case Close(fault, reason):
                        if fault is not None:
                            self._check_rest()
                            raise EnvironmentFault(reason, who=self._table.party)
                    case Send(message):
                        raise UsageError("no link here", who=self._table.party, got=type(message).__name__)
                    case StartTimer() | StopTimer():
                        pass
                    case _:
                        if isinstance(effect, Show):
                            notes.append(effect.note)
                        answer = perform(effect, self._ports)
                        if answer is not None:
                            events.append(answer)
        self._check_rest()
        return notes

    def _check_rest(self) -> None:
        if self._rests is not None and self.state is not (rest := self._rests(self.data)):
            summary = "an event is through, and the party is somewhere on its way"
            raise TableError(summary, who=self._table.party, expected=rest.name, got=self.state.name)

    def _step(self, event: object) -> Step[S, D]:
        try:
            return self._table.step(self.state, self.data, event)
        except Refused as error:  # no peer is here: it is the caller who asked for what cannot be now
            raise StateError(error.summary, who=error.who, expected=error.expected, got=error.got) from error
