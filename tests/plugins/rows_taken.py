"""Which rows of which tables a run of tests took: `pytest -p rows_taken --rows-of PACKAGE`, in one process.

As `make coverage` does for channel and parties; PACKAGE is the one whose tables are asked for. At the end every row
that nothing took is named, and if there is one, the run has failed. What is counted is the row that the running table
took, as its guards, which are pure, say when they are asked again.
"""

from __future__ import annotations

from typing import Any

import pytest
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


def tables_of(package: str) -> list[Table[Any, Any]]:
    """Those that it defines."""
    return [table for table in TABLES if type(table.initial).__module__.startswith(package)]


def never_taken(package: str) -> list[str]:
    """The rows that nothing took, for people."""
    return [
        f"{table.name}: {', '.join(state.name for state in row.sources)} on {row.on.__name__}"
        + ("" if row.when is None else f" if {row.when.__name__}")
        for table in tables_of(package)
        for row in table.rows
        if id(row) not in _TAKEN
    ]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Whose tables."""
    parser.addoption("--rows-of", default="insitu", metavar="PACKAGE", help="the tables of this package only")


def pytest_configure() -> None:
    """From the beginning, so that every test counts."""
    Table.step = _counting  # type: ignore[method-assign]


def pytest_unconfigure() -> None:
    """As it was."""
    Table.step = _STEP  # type: ignore[method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail, unless something else has failed already."""
    if session.exitstatus == pytest.ExitCode.OK and never_taken(session.config.getoption("--rows-of")):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name them."""
    package = config.getoption("--rows-of")
    missing = never_taken(package)
    terminalreporter.section("rows of tables")
    there = sum(len(table.rows) for table in tables_of(package))
    terminalreporter.line(f"{there - len(missing)} of {there} rows were taken")
    for row in missing:
        terminalreporter.line(f"never taken: {row}")
