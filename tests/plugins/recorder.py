"""Watches tables at work: which arrows were taken, with which state, data and event, for tests to go on from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

from insitu.protocol.engine import Arrow, Refused, Step, Table


@dataclass(frozen=True)
class Moment:
    """One step that was taken."""

    state: Any
    data: Any
    event: Any
    step: Step[Any, Any]
    arrow: Arrow[Any]

    def __repr__(self) -> str:
        return f"{self.state.name} --{type(self.event).__name__}--> {self.step.state.name}"


@dataclass
class Recorder:
    """The steps of one table.

    Attributes:
        table: what is watched.
        moments: the steps that it took, in order.

    """

    table: Table[Any, Any]
    moments: list[Moment] = field(default_factory=list)

    @contextmanager
    def watching(self) -> Iterator[Recorder]:
        """Record every step of the table, whoever takes it."""
        original = Table.step

        def step(table: Table[Any, Any], state: Any, data: Any, event: object) -> Step[Any, Any]:
            taken = original(table, state, data, event)
            if table is self.table:
                self.moments.append(Moment(state, data, event, taken, self.arrow_of(state, data, event)))
            return taken

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Table, "step", step)
            yield self

    def arrow_of(self, state: Enum, data: object, event: object) -> Arrow[Any]:
        """The arrow that this event takes: guards are pure, so they can be asked again."""
        for arrow in self.table.arrows:
            row = arrow.row
            if arrow.source is state and row.on is type(event) and (row.when is None or row.when(data, event)):
                return arrow
        raise AssertionError("a step without an arrow")

    def at(self, state: Enum, event: type | None = None) -> Moment:
        """The first step from this state, on this kind of event if it matters."""
        for moment in self.moments:
            if moment.state is state and (event is None or type(moment.event) is event):
                return moment
        raise AssertionError(f"never in {state.name}" if event is None else f"{event.__name__} never in {state.name}")

    def data_in(self, state: Enum) -> list[Any]:
        """The data with which a state was left, one for each way in which it was left."""
        return [moment.data for moment in self.moments if moment.state is state]

    def missing(self) -> list[str]:
        """The arrows that were never taken."""
        taken = {id(moment.arrow) for moment in self.moments}
        return [describe(arrow) for arrow in self.table.arrows if id(arrow) not in taken]


def describe(arrow: Arrow[Any]) -> str:
    """An arrow for people."""
    when = "" if arrow.row.when is None else f" if {arrow.row.when.__name__}"
    return f"{arrow.source.name} --{arrow.row.on.__name__}{when}--> {arrow.target.name}"


def classified(recorder: Recorder, events: Iterable[object]) -> dict[tuple[str, str], str]:
    """What each state says to each event: "accepted", or "refused" with everything as before.

    Every state is tried with data that it was left with in the recorded steps, as far as there is any. Fails if a
    refusal is not a Refused, or if anything of the data has changed by it.
    """
    table = recorder.table
    found: dict[tuple[str, str], str] = {}
    for state in table.states:
        for event in events:
            name = type(event).__name__
            known = type(event) in table.accepts(state)
            for data in recorder.data_in(state)[:3] or [None]:
                before = repr(data)
                if known:
                    found[state.name, name] = "accepted"
                    continue
                with pytest.raises(Refused) as refusal:
                    table.step(state, data, event)
                assert refusal.value.state == state.name
                assert refusal.value.event == name
                assert refusal.value.accepted == tuple(each.__name__ for each in table.accepts(state))
                assert repr(data) == before
                found[state.name, name] = "refused"
    return found


def one_of_each(*recorders: Recorder) -> list[object]:
    """One recorded event of each kind, over all tables given."""
    kinds: dict[type, object] = {}
    for recorder in recorders:
        for moment in recorder.moments:
            kinds.setdefault(type(moment.event), moment.event)
    return list(kinds.values())
