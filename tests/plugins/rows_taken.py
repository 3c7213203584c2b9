"""Which rows of which tables a run of tests took: `pytest -p rows_taken`, as `make coverage` does, in one process.

At the end every row that nothing took is named. What is counted is the row that the running table took, as its guards,
which are pure, say when they are asked again.
"""

from __future__ import annotations

from typing import Any

from recorder import Recorder

from insitu.protocol.engine import Step, Table
from insitu.protocol.parties.tables import TABLES

_TAKEN: set[int] = set()
_RECORDERS = {id(table): Recorder(table) for table in TABLES}
_STEP = Table.step


def _counting(table: Table[Any, Any], state: Any, data: Any, event: object) -> Step[Any, Any]:
    step = _STEP(table, state, data, event)
    recorder = _RECORDERS.get(id(table))
    if recorder is not None:
        _TAKEN.add(id(recorder.arrow_of(state, data, event).row))
    return step


def never_taken() -> list[str]:
    """The rows that nothing took, for people."""
    return [
        f"{table.name}: {', '.join(state.name for state in row.sources)} on {row.on.__name__}"
        + ("" if row.when is None else f" if {row.when.__name__}")
        for table in TABLES
        for row in table.rows
        if id(row) not in _TAKEN
    ]


def pytest_configure() -> None:
    """From the beginning, so that every test counts."""
    Table.step = _counting  # type: ignore[method-assign]


def pytest_unconfigure() -> None:
    """As it was."""
    Table.step = _STEP  # type: ignore[method-assign]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name them."""
    missing = never_taken()
    terminalreporter.section("rows of tables")
    taken = sum(len(table.rows) for table in TABLES) - len(missing)
    terminalreporter.line(f"{taken} of {taken + len(missing)} rows were taken")
    for row in missing:
        terminalreporter.line(f"never taken: {row}")
