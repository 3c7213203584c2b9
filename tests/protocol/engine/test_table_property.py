"""Tables against a plain reading of the same rows: on random tables and events both do the same.

`interpret` says what rows mean in a dozen lines without `transitions`; `faults` says, by trying every answer
that the guards could give, whether a table may exist at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, partial
from itertools import product
from typing import Any

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.protocol.engine import STAY, Fault, ProtocolError, Refused, Row, Send, Show, Step, Table, TableError, row

STATES: list[Any] = [Enum(f"States{n}", [f"S{i}" for i in range(n)]) for n in range(1, 5)]


class Foreign(Enum):
    S0 = 1


@dataclass(frozen=True, slots=True)
class Data:
    total: int = 0
    seen: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Knock:
    n: int


@dataclass(frozen=True, slots=True)
class Ring:
    n: int


@dataclass(frozen=True, slots=True)
class Call:
    n: int


TWIN = dataclass(frozen=True, slots=True)(type("Knock", (), {"__annotations__": {"n": "int"}}))
EVENTS = (Knock, Ring, Call)


@cache
def guard(modulus: int, remainder: int, raises_at: int) -> Callable[[Data, Any], bool]:
    """Holds for numbers with this remainder; at one number it refuses with a reason of its own."""

    def holds(data: Data, event: Any) -> bool:
        if event.n == raises_at:
            raise ProtocolError(f"{event.n} of all numbers", fault=Fault.UNSUPPORTED)
        return (data.total + event.n) % modulus == remainder

    holds.__name__ = f"sum_modulo_{modulus}_is_{remainder}_but_{raises_at}"
    return holds


@cache
def action(sends: int, raises_at: int) -> Callable[[Data, Any], tuple[Data, list[Any]]]:
    """Adds the number and sends that many messages; at one number it stops half-way."""

    def add(data: Data, event: Any) -> tuple[Data, list[Any]]:
        changed = replace(data, total=data.total + event.n, seen=(*data.seen, event.n))
        if event.n == raises_at:
            raise ArithmeticError(changed)
        return changed, [Send((event.n, i)) for i in range(sends)] + [Show(data.total)]

    add.__name__ = f"add_and_send_{sends}_but_{raises_at}"
    return add


# The plain reading


@dataclass(frozen=True)
class Refusal:
    """What a refused event leaves to say: where, what would have been accepted, which guards did not hold."""

    state: str
    event: str
    accepted: tuple[str, ...]
    guards: tuple[str, ...]


def interpret(rows: Sequence[Row[Any]], state: Enum, data: Data, event: object) -> Step[Any, Data] | Refusal:
    """What the rows say: the first row that fits and holds."""
    failed = []
    for r in rows:
        if state in r.sources and r.on is type(event):
            if r.when is None or r.when(data, event):
                new, effects = (data, ()) if r.do is None else r.do(data, event)
                return Step(state if r.then is STAY else r.then, new, tuple(effects))
            failed.append(r.when.__name__)
    accepted = dict.fromkeys(r.on.__name__ for r in rows if state in r.sources)
    return Refusal(state.name, type(event).__name__, tuple(accepted), tuple(dict.fromkeys(failed)))


def outcome(step: Callable[[], object]) -> object:
    """Errors as values, so that they compare."""
    try:
        return step()
    except Refused as refused:
        return Refusal(refused.state, refused.event, refused.accepted, refused.guards)
    except (ProtocolError, ArithmeticError) as error:
        return type(error), str(error)


def firing(rows: Sequence[Row[Any]]) -> set[tuple[Enum, int]]:
    """The (state, index of row) pairs that some combination of answers by the guards lets fire."""
    guards = list({r.when for r in rows if r.when is not None})
    found = set()
    for answers in product([False, True], repeat=len(guards)):
        truth = {None: True, **dict(zip(guards, answers, strict=True))}
        for state, event in {(source, r.on) for r in rows for source in r.sources}:
            fired = [i for i, r in enumerate(rows) if state in r.sources and r.on is event and truth[r.when]]
            found.update((state, i) for i in fired[:1])
    return found


def faults(states: Any, entries: Sequence[Enum], rows: Sequence[Row[Any]]) -> set[str]:
    """Every reason for which this table must not exist."""
    named = {s for r in rows for s in (*r.sources, r.then) if s is not STAY}
    found = set()
    if not rows:
        found.add("a table needs rows")
    if not named <= set(states):
        found.add("unknown state")
    if any(callback.__name__ == "<lambda>" for r in rows for callback in (r.when, r.do) if callback):
        found.add("without a name")
    if len({r.on for r in rows}) > len({r.on.__name__ for r in rows}):
        found.add("two events of one name")
    pairs = firing(rows)
    if {i for _, i in pairs} != set(range(len(rows))):
        found.add("can never fire")
    reached = set(entries)
    for _ in states:
        reached |= {rows[i].then for state, i in pairs if state in reached and rows[i].then is not STAY}
    if not set(states) <= reached:
        found.add("unreachable state")
    return found


# Random rows


guards = st.builds(guard, st.integers(1, 3), st.integers(0, 1), st.integers(0, 12))
actions = st.builds(action, st.integers(0, 2), st.integers(0, 12))
seldom = st.integers(0, 60).map(lambda n: n == 60)


@st.composite
def row_lists(draw: st.DrawFn, states: Any, *, wild: bool) -> list[Row[Any]]:
    """Any rows; `wild` ones may also have nameless guards, states of another table and twins of events."""

    def unlikely(value: object, instead: st.SearchStrategy[Any]) -> Any:
        return value if wild and draw(seldom) else draw(instead)

    return [
        row(
            unlikely([Foreign.S0], st.lists(st.sampled_from(states), min_size=0 if wild else 1, max_size=4)),
            unlikely(TWIN, st.sampled_from(EVENTS)),
            unlikely(lambda *_: True, st.none() | guards),
            unlikely(lambda data, _: (data, ()), st.none() | actions),
            unlikely(Foreign.S0, st.just(STAY) | st.sampled_from(states)),
        )
        for _ in range(draw(st.integers(0 if wild else 1, 7)))
    ]


@st.composite
def tables(draw: st.DrawFn) -> Table[Any, Data]:
    """Tables that may exist: random rows without those that cannot fire; states left over become entries."""
    states = list(draw(st.sampled_from(STATES)))
    rows = draw(row_lists(states, wild=False))
    alive = {i for _, i in firing(rows)}
    rows = [r for i, r in enumerate(rows) if i in alive]
    return Table("random", type(states[0]), states[0], rows, entries=states[1:])


events = st.builds(lambda kind, n: kind(n), st.sampled_from([*EVENTS, *EVENTS, TWIN]), st.integers(0, 12))


@given(table=tables(), events=st.lists(events, max_size=12), start=st.integers(0, 3))
@settings(max_examples=300)
def test_step_does_what_the_rows_say(table: Table[Any, Data], events: list[Any], start: int):
    state, data = table.entries[start % len(table.entries)], Data()
    for event in events:
        before = repr(data)
        ours = outcome(partial(table.step, state, data, event))
        assert ours == outcome(partial(interpret, table.rows, state, data, event))
        assert repr(data) == before
        note(type(ours).__name__)
        if isinstance(ours, Step):
            state, data = ours.state, ours.data


@given(choice=st.data(), states=st.sampled_from(STATES))
@settings(max_examples=500)
def test_a_table_is_refused_exactly_when_it_has_a_fault(choice: st.DataObject, states: Any):
    rows = choice.draw(row_lists(list(states), wild=True))
    entries = choice.draw(st.lists(st.sampled_from(list(states)), max_size=2))
    wrong = faults(states, [states.S0, *entries], rows)
    note(f"{len(wrong)} faults")
    if wrong:
        with pytest.raises(TableError, match="|".join(wrong)):
            Table[Any, Data]("random", states, states.S0, rows, entries=entries)
    else:
        table = Table[Any, Data]("random", states, states.S0, rows, entries=entries)
        assert {(arrow.source, rows.index(arrow.row)) for arrow in table.arrows} == firing(rows)
