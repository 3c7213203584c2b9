"""Tables: a party's whole life as rows, refused when wrong as they are built, run by a pure `step`.

How it works. A row says: in these states, on this event, if this guard holds, do this action, then be in that
state. `Table` checks the rows once, compiles them to one `transitions.Machine` without a model, and from then
on never changes. `step` fires the machine on a small cell that lives for one call, so a table serves any
number of sessions and a failed step leaves no trace: state and data go in, a Step comes out, or an error.

There is no default row. What no row accepts is refused with an error that lists what would have been accepted.

Purity is a contract: guards and actions take frozen values and answer with new ones. The engine adds that
nothing else can change, on success or failure: no session is registered anywhere, no state is kept between steps.

Two rules say what may live here: nothing that knows a particular party, and nothing that performs an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeVar, cast

from .effects import Effects
from .errors import Fault, InsituError, ProtocolError
from .machine import Cell, LeanMachine

S = TypeVar("S", bound=Enum)
D = TypeVar("D")
E = TypeVar("E")


class _Stay(Enum):
    STAY = "STAY"


STAY: Final = _Stay.STAY
"""As a row's last field: remain in the state that the row was entered from."""


class TableError(InsituError):
    """A table that must not exist: a programmer's mistake, nearly always raised while the table is built."""


class Refused(ProtocolError):
    """The event has no place in this state: no row for it, or no row whose guard holds.

    Attributes:
        state: name of the state, unchanged.
        event: name of the event.
        accepted: names of the events that the state accepts.
        guards: names of the guards that did not hold; empty when there is no row at all.

    """

    def __init__(
        self, party: str, state: Enum, event: str, accepted: Sequence[str], guards: Sequence[str] = ()
    ) -> None:
        self.state = state.name
        self.event = event
        self.accepted = tuple(accepted)
        self.guards = tuple(guards)
        if guards:
            summary = f"{event} refused in state {state.name}"
            expected = " or ".join(guard.replace("_", " ") for guard in guards)
            got = ""
        else:
            summary = f"{event} has no place in state {state.name}"
            expected = ", ".join(self.accepted) or "nothing more"
            got = event
        fault = Fault.UNTRUSTED if guards else Fault.UNEXPECTED
        super().__init__(summary, who=party, expected=expected, got=got, fault=fault)


@dataclass(frozen=True, slots=True)
class Row(Generic[S]):
    """One line of a table. Made by `row`, which checks that guard and action fit the event."""

    sources: tuple[S, ...]
    on: type[Any]
    when: Callable[[Any, Any], bool] | None
    do: Callable[[Any, Any], tuple[Any, Effects]] | None
    then: S | _Stay


@dataclass(frozen=True, slots=True)
class Arrow(Generic[S]):
    """One way to go: a row as seen from one of its sources, where no earlier row takes every event first.

    Attributes:
        source: the state left.
        row: the row that allows it.
        target: the state entered; the source itself where the row says STAY.

    """

    source: S
    row: Row[S]
    target: S


def row(
    sources: S | Iterable[S],
    on: type[E],
    when: Callable[[D, E], bool] | None,
    do: Callable[[D, E], tuple[D, Effects]] | None,
    then: S | _Stay,
) -> Row[S]:
    """In `sources`, on an event of type `on`, if `when` holds, do `do`, then be in `then`.

    A guard answers True or False and may instead raise a ProtocolError, which refuses the event with that
    reason. An action returns the new data and the effects. Both are pure.
    """
    states = (sources,) if isinstance(sources, Enum) else tuple(sources)
    return Row(states, on, when, do, then)


def given(value: D | None) -> D:
    """What the rows guarantee to be there in this state; narrows the type for actions and guards.

    Raises:
        TableError: the guarantee does not hold, which is a mistake in the table.

    """
    if value is None:
        raise TableError("a row was taken without the data that it needs")
    return value


@dataclass(frozen=True, slots=True)
class Step(Generic[S, D]):
    """The outcome of one event: the new state, the new data, and what is to be done, in order."""

    state: S
    data: D
    effects: Effects


class Table(Generic[S, D]):
    """The rows of one party, checked and compiled.

    Args:
        party: the name that errors and diagrams carry.
        states: the enumeration of all states; the order is that of the diagram.
        initial: where a new party begins. Further entry points (a party that wakes up in the state that its
            durable record names) go into `entries`.
        rows: tried in order. A later row may name a state in which an earlier one already takes every such
            event; it then counts for its other states only.
        entries: states besides `initial` in which a session may begin.
        name: of the table, where a party has more than one.

    Attributes:
        arrows: every row from every source in which it can fire, in the order of the rows. The one source of
            the run time and of the diagrams.

    Raises:
        TableError: on an unknown or unreachable state, a row that can never fire, two events of one name,
            a guard or action without a name, or no rows at all.

    """

    def __init__(
        self,
        party: str,
        states: type[S],
        initial: S,
        rows: Sequence[Row[S]],
        *,
        entries: Iterable[S] = (),
        name: str = "",
    ) -> None:
        self.party: Final = party
        self.name: Final = name or party
        self.states: Final = tuple(states)
        self.initial: Final = initial
        self.entries: Final = tuple(dict.fromkeys((initial, *entries)))
        self.rows: Final = tuple(rows)
        _check_words(self, states)
        self.arrows: Final = tuple(_arrows(self.rows))
        _check_ways(self)
        machine = _compile(self)
        accepts: dict[S, dict[type, None]] = {state: {} for state in self.states}
        guards: dict[tuple[str, type], list[str]] = {}
        for arrow in self.arrows:
            accepts[arrow.source][arrow.row.on] = None
            names = guards.setdefault((arrow.source.name, arrow.row.on), [])
            if arrow.row.when is not None:
                names.append(arrow.row.when.__name__)
        self._accepts = {state: tuple(events) for state, events in accepts.items()}
        self._guards = guards
        self._fire: dict[tuple[str, type], Callable[[Cell], bool]] = {
            (state, event): machine.events[_trigger(event)].trigger for state, event in guards
        }
        self._by_name = {state.name: state for state in self.states}

    def __repr__(self) -> str:
        return f"<Table {self.party}: {len(self.states)} states, {len(self.rows)} rows>"

    @property
    def events(self) -> tuple[type, ...]:
        """All event types that any row names, in the order of the rows."""
        return tuple(dict.fromkeys(r.on for r in self.rows))

    def accepts(self, state: S) -> tuple[type, ...]:
        """The event types that `state` has a row for, in the order of the rows."""
        return self._accepts[state]

    def step(self, state: S, data: D, event: object) -> Step[S, D]:
        """What `event` does in `state` with `data`. Pure: the arguments are unchanged whatever happens.

        An event counts by its exact type: a row for a class says nothing about its subclasses.

        Raises:
            Refused: no row accepts the event.
            ProtocolError: raised by a guard or an action that found what it cannot accept.

        """
        name, kind = state.name, type(event)
        fire = self._fire.get((name, kind))
        if fire is None:
            raise Refused(self.party, state, kind.__name__, self._names(state))
        cell = Cell(name, data, event)
        if not fire(cell):
            raise Refused(self.party, state, kind.__name__, self._names(state), self._guards[name, kind])
        return Step(self._by_name[cell.state], cast("D", cell.data), cell.effects)

    def _names(self, state: S) -> list[str]:
        return [event.__name__ for event in self._accepts[state]]


def _check_words(table: Table[S, Any], states: type[S]) -> None:
    """Refuse what cannot be read: states and events that are none, callbacks without a name."""
    known = ", ".join(state.name for state in table.states)
    if not table.rows:
        raise _wrong(table, "a table needs rows", expected="at least one row", got="none")
    for state in table.entries:
        if not isinstance(state, states):
            raise _wrong(table, "unknown initial state", expected=known, got=state)
    names: dict[str, type] = {}
    for number, r in enumerate(table.rows, 1):
        if not isinstance(r.on, type):
            raise _wrong(table, f"row {number} names no event", expected="one class of events", got=r.on)
        where = f"row {number} ({r.on.__name__})"
        for state in (*r.sources, *(() if isinstance(r.then, _Stay) else (r.then,))):
            if not isinstance(state, states):
                raise _wrong(table, f"{where} names an unknown state", expected=known, got=state)
        for callback in (r.when, r.do):
            if callback is not None and not getattr(callback, "__name__", "").isidentifier():
                raise _wrong(table, f"{where} has a guard or action without a name", got=callback)
        if names.setdefault(r.on.__name__, r.on) is not r.on:
            raise _wrong(table, "two events of one name", expected="one event type a name", got=r.on.__name__)


def _check_ways(table: Table[S, Any]) -> None:
    """Refuse what can never happen: rows without an arrow, states that no arrow leads to."""
    live = {id(arrow.row) for arrow in table.arrows}
    for number, r in enumerate(table.rows, 1):
        if id(r) not in live:
            reason = "earlier rows take every such event first" if r.sources else "it has no source state"
            raise _wrong(table, f"row {number} ({r.on.__name__}) can never fire: {reason}")
        live.discard(id(r))
    reached = set(table.entries)
    grown = True
    while grown:
        targets = {arrow.target for arrow in table.arrows if arrow.source in reached}
        grown = not targets <= reached
        reached |= targets
    if lost := [state.name for state in table.states if state not in reached]:
        begin = " or ".join(state.name for state in table.entries)
        raise _wrong(table, "unreachable state", expected=f"a way from {begin}", got=", ".join(lost))


def _wrong(table: Table[S, Any], summary: str, *, expected: str = "", got: object = "") -> TableError:
    return TableError(summary, who=table.party, expected=expected, got=got)


def _arrows(rows: Iterable[Row[S]]) -> Iterator[Arrow[S]]:
    """The rows from each of their sources, without those that an earlier row leaves nothing to."""
    taken: dict[tuple[S, type], list[Callable[..., bool] | None]] = {}
    for r in rows:
        for source in r.sources:
            earlier = taken.setdefault((source, r.on), [])
            if None not in earlier and r.when not in earlier:
                earlier.append(r.when)
                yield Arrow(source, r, source if isinstance(r.then, _Stay) else r.then)


def _trigger(event: type) -> str:
    """The name `transitions` knows an event by; a space keeps it apart from its own names ("state")."""
    return f"on {event.__name__}"


def _compile(table: Table[S, Any]) -> LeanMachine:
    machine = LeanMachine([state.name for state in table.states])
    for arrow in table.arrows:
        row = arrow.row
        machine.add_transition(_trigger(row.on), arrow.source.name, arrow.target.name, when=row.when, do=row.do)
    return machine
