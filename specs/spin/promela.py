"""Promela out of the tables: every row becomes code, in the order of the rows, under the map in abstraction.py.

`tables()` is the text of tables.pml, which life.pml includes; `make specs` writes it. What a step means is the
session's: nothing happens on a refusal but that the session ends; the write before the send, or neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from abstraction import ACTIONS, EITHER, GUARDS, NOT_ENTERED, NOT_PLAYED, PLAYED, Did

from insitu.protocol.engine import Arrow, Table

HERE: Final = Path(__file__).parent
TABLES: Final = HERE / "tables.pml"
MODEL: Final = HERE / "life.pml"
OF_EACH: Final = frozenset({"unit", "work", "central"})
"""Parties of which the model has more than one: their variables are arrays, `d` is the index."""


def tables(
    unguarded: Collection[str] = (),
    reversed_in: Collection[str] = (),
    instead: Mapping[str, Table[Any, Any]] = MappingProxyType({}),
) -> str:
    """The tables as inline code; for tests that want SPIN to notice, with something taken away.

    Args:
        unguarded: guards that hold always.
        reversed_in: actions whose effects come in the opposite order.
        instead: tables that stand for others.

    """
    lines = ["/* Generated from the tables (make specs); do not edit. */"]
    events: dict[str, None] = {}
    for name in PLAYED:
        lines.append(f"mtype = {{ {', '.join(f'{name.upper()}_{state.name}' for state in PLAYED[name].states)} }};")
        events |= dict.fromkeys(arrow.row.on.__name__ for arrow in arrows(name))
        events |= dict.fromkeys(sent.kind.split()[1] for each in ACTIONS[name].values() for sent in each if _sent(sent))
    lines.append(f"mtype = {{ {', '.join(events)} }};")
    for name in PLAYED:
        lines += ["", f"/* {PLAYED[name].name} */", f"inline {name}_step(d) {{", "  if"]
        for (source, event), group in groupby(sorted_arrows(name, instead.get(name)), key=_place):
            lines.append(f"  :: {_state(name)} == {name.upper()}_{source} && event == {event} ->")
            lines += [f"     {line}" for line in _tried(name, list(group), unguarded, reversed_in)]
        lines += ["  :: else -> refused = true", "  fi", "}"]
    return "\n".join(lines) + "\n"


def arrows(name: str, table: Table[Any, Any] | None = None) -> list[Arrow[Any]]:
    """The arrows of a table that the model plays, in the order of the rows."""
    return [
        arrow
        for arrow in (table or PLAYED[name]).arrows
        if arrow.row.on.__name__ not in NOT_PLAYED[name] and arrow.source.name not in NOT_ENTERED[name]
    ]


def sorted_arrows(name: str, table: Table[Any, Any] | None = None) -> list[Arrow[Any]]:
    """The same, those of one state and event together and still in order."""
    played = PLAYED[name]

    def place(arrow: Arrow[Any]) -> tuple[int, int]:
        return played.states.index(arrow.source), played.events.index(arrow.row.on)

    return sorted(arrows(name, table), key=place)


def _place(arrow: Arrow[Any]) -> tuple[str, str]:
    return arrow.source.name, arrow.row.on.__name__


def _state(name: str) -> str:
    return f"{name}_state[d]" if name in OF_EACH else f"{name}_state"


def _sent(did: Did) -> bool:
    return did.kind.startswith("Send ")


def _tried(
    name: str, left: list[Arrow[Any]], unguarded: Collection[str], reversed_in: Collection[str]
) -> Iterator[str]:
    """The first arrow whose guard holds; if none does, a refusal."""
    if not left:
        yield "refused = true"
        return
    first, *rest = left
    when = first.row.when
    guard = "true" if when is None or when.__name__ in unguarded else GUARDS[name][when.__name__]
    taken = list(_taken(name, first, reversed_in))
    if guard == "true":
        yield from taken
        return
    yield "if"
    yield f":: {'true' if guard == EITHER else f'({guard})'} ->"
    yield from (f"   {line}" for line in taken)
    yield f":: {'true' if guard == EITHER else 'else'} ->"
    yield from (f"   {line}" for line in _tried(name, rest, unguarded, reversed_in))
    yield "fi"


def _taken(name: str, arrow: Arrow[Any], reversed_in: Collection[str]) -> Iterator[str]:
    """Be in the new state, and do what the action does; where a write comes, power may fail around it."""
    do = arrow.row.do
    yield f"{_state(name)} = {name.upper()}_{arrow.target.name};"
    effects = () if do is None else ACTIONS[name][do.__name__]
    if do is not None and do.__name__ in reversed_in:
        effects = tuple(reversed(effects))
    yield from _done(name, arrow, list(effects))


def _done(name: str, arrow: Arrow[Any], left: list[Did]) -> Iterator[str]:
    if not left:
        yield "skip"
        return
    first, *rest = left
    code = first.code
    for macro in ("SEND(", "ASK(", "CLOSE("):
        code = code.replace(macro, f"{name.upper()}_{macro}")
    if first.kind != "Persist":
        yield f"{code};"
        yield from _done(name, arrow, rest)
        return
    yield "if"
    if name == "central":  # the registry refuses a write that another session came before; the step is undone
        yield f":: c_stale[d] -> {_state(name)} = {name.upper()}_{arrow.source.name}; refused = true"
        yield f":: else -> {code};"
    else:
        yield ":: POWER_FAILS(d) -> dark = true"
        yield f":: POWER_FAILS(d) -> {code}; dark = true"
        yield f":: {code};"
    yield from (f"   {line}" for line in _done(name, arrow, rest))
    yield "fi"


def main() -> None:
    """Write tables.pml."""
    TABLES.write_text(tables(), encoding="utf-8")


if __name__ == "__main__":
    main()
