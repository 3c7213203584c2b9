"""Tables: a party's whole life as rows, refused when wrong as they are built, run by a pure `step`.

How it works. A row says: in these states, on this event, if this guard holds, do this action, then be in that
state. `Table` checks the rows once, compiles them to one `transitions.Machine` without a model, and from then
on never changes. `step` fires the machine on a small cell that lives for one call, so a table serves any
number of sessions and a failed step leaves no trace: state and data go in, a Step comes out, or an error.

There is no default row. What no row accepts is refused with an error that lists what would have been accepted.

Two rules say what may live here: nothing that knows a particular party, and nothing that performs an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast

from transitions import EventData, Machine

from .effects import Effect, Effects
from .errors import Fault, InsituError, ProtocolError

S = TypeVar("S", bound=Enum)
D = TypeVar("D")
E = TypeVar("E")


class _Stay(Enum):
    STAY = "STAY"


STAY: Final = _Stay.STAY
"""As a row's last field: remain in the state that the row was entered from."""


class TableError(InsituError):
    """A table that must not exist: raised while it is built, so only ever by a programmer's mistake."""


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


@dataclass(frozen=True, slots=True)
class Step(Generic[S, D]):
    """The outcome of one event: the new state, the new data, and what is to be done, in order."""

    state: S
    data: D
    effects: Effects


class _Cell:
    """What `transitions` moves: alive for one step, seen by nobody else."""

    __slots__ = ("data", "effects", "event", "state")

    def __init__(self, state: str, data: object, event: object) -> None:
        self.state = state
        self.data = data
        self.event = event
        self.effects: Sequence[Effect] = ()


class Table(Generic[S, D]):
    """The rows of one party, checked and compiled.

    Args:
        party: the name that errors and diagrams carry.
        states: the enumeration of all states; the order is that of the diagram.
        initial: where a new party begins. Further entry points (a party that wakes up in the state that its
            durable record names) go into `entries`.
        rows: tried in order.
        entries: states besides `initial` in which a session may begin.

    Raises:
        TableError: on an unknown or unreachable state, a row that can never fire, two events of one name,
            or a guard or action without a name.

    """

    def __init__(
        self,
        party: str,
        states: type[S],
        initial: S,
        rows: Sequence[Row[S]],
        *,
        entries: Iterable[S] = (),
    ) -> None:
        self.party: Final = party
        self.states: Final = tuple(states)
        self.initial: Final = initial
        self.entries: Final = (initial, *entries)
        self.rows: Final = tuple(rows)
        self._state_type = states
        _check(self)
        self._machine = _compile(self)
        self._fire: dict[type, Callable[[_Cell], bool]] = {
            r.on: self._machine.events[r.on.__name__].trigger for r in self.rows
        }
        self._by_name = {state.name: state for state in self.states}
        accepts: dict[S, dict[type, None]] = {state: {} for state in self.states}
        for r in self.rows:
            for source in r.sources:
                accepts[source][r.on] = None
        self._accepts = {state: tuple(events) for state, events in accepts.items()}
        self._pairs = frozenset((state.name, event) for state, events in accepts.items() for event in events)

    def __repr__(self) -> str:
        return f"<Table {self.party}: {len(self.states)} states, {len(self.rows)} rows>"

    @property
    def events(self) -> tuple[type, ...]:
        """All event types that any row names, in the order of the rows."""
        return tuple(self._fire)

    def accepts(self, state: S) -> tuple[type, ...]:
        """The event types that `state` has a row for, in the order of the rows."""
        return self._accepts[state]

    def step(self, state: S, data: D, event: object) -> Step[S, D]:
        """What `event` does in `state` with `data`. Pure: the arguments are unchanged whatever happens.

        Raises:
            Refused: no row accepts the event.
            ProtocolError: raised by a guard or an action that found what it cannot accept.

        """
        kind = type(event)
        name = state.name
        if (name, kind) not in self._pairs:
            raise Refused(self.party, state, kind.__name__, self._names(state))
        cell = _Cell(name, data, event)
        if not self._fire[kind](cell):
            guards = [r.when.__name__ for r in self.rows if r.on is kind and state in r.sources and r.when]
            raise Refused(self.party, state, kind.__name__, self._names(state), guards)
        return Step(self._by_name[cell.state], cast("D", cell.data), cell.effects)

    def _names(self, state: S) -> list[str]:
        return [event.__name__ for event in self._accepts[state]]


def _check(table: Table[S, Any]) -> None:
    """Refuse the faults that a reader of the rows could overlook."""

    def refuse(summary: str, **details: object) -> TableError:
        return TableError(summary, who=table.party, **details)

    if not table.rows:
        raise refuse("a table needs rows", expected="at least one row", got="none")
    names: dict[str, type] = {}
    taken: dict[tuple[S, type], list[Callable[..., object] | None]] = {}
    known = [state.name for state in table.states]
    for number, r in enumerate(table.rows, 1):
        where = f"row {number} ({r.on.__name__})"
        for state in (*r.sources, *(() if isinstance(r.then, _Stay) else (r.then,))):
            if state not in table.states:
                raise refuse(f"{where} names an unknown state", expected=known, got=state)
        if not r.sources:
            raise refuse(f"{where} can never fire: it has no source state")
        for callback in (r.when, r.do):
            if callback is not None and not getattr(callback, "__name__", "<lambda>").isidentifier():
                raise refuse(f"{where} has a guard or action without a name", got=callback)
        if names.setdefault(r.on.__name__, r.on) is not r.on:
            raise refuse("two events of one name", expected="one event type a name", got=r.on.__name__)
        open_to_it = False
        for source in r.sources:
            earlier = taken.setdefault((source, r.on), [])
            if None not in earlier and r.when not in earlier:
                open_to_it = True
            earlier.append(r.when)
        if not open_to_it:
            raise refuse(f"{where} can never fire: earlier rows take every such event first")
    for state in table.entries:
        if state not in table.states:
            raise refuse("unknown initial state", expected=[s.name for s in table.states], got=state)
    reached = set(table.entries)
    grown = True
    while grown:
        targets = {r.then for r in table.rows if not isinstance(r.then, _Stay) and not reached.isdisjoint(r.sources)}
        grown = not targets <= reached
        reached |= targets
    if lost := [state.name for state in table.states if state not in reached]:
        raise refuse("unreachable state", expected=f"a way from {table.initial.name}", got=", ".join(lost))


def _compile(table: Table[S, Any]) -> Machine:
    machine = Machine(
        model=None,
        states=[state.name for state in table.states],
        initial=None,
        auto_transitions=False,
        send_event=True,
        queued=False,
    )
    for r in table.rows:
        machine.add_transition(
            r.on.__name__,
            [state.name for state in r.sources],
            "=" if isinstance(r.then, _Stay) else r.then.name,
            conditions=None if r.when is None else partial(_guard, r.when),
            before=None if r.do is None else partial(_act, r.do),
        )
    return machine


def _guard(when: Callable[[Any, Any], bool], fired: EventData) -> bool:
    cell: Any = fired.model
    return when(cell.data, cell.event)


def _act(do: Callable[[Any, Any], tuple[Any, Effects]], fired: EventData) -> None:
    cell: Any = fired.model
    cell.data, cell.effects = do(cell.data, cell.event)


def given(value: D | None) -> D:
    """What the rows guarantee to be there in this state; narrows the type for actions and guards.

    Raises:
        TableError: the guarantee does not hold, which is a mistake in the table.

    """
    if value is None:
        raise TableError("a row was taken without the data that it needs")
    return value
