"""The committed diagrams are what the tables say today, and every table fits its page."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from insitu.protocol.engine import Table, mermaid
from insitu.protocol.parties.tables import TABLES

SPECS = Path(__file__).parents[2] / "specs"
STATES = SPECS / "states"


def test_every_table_has_a_diagram_and_every_diagram_a_table():
    assert {path.name for path in STATES.iterdir()} == {f"{table.name}.mmd" for table in TABLES}


def test_tables_have_different_names():
    assert len({table.name for table in TABLES}) == len(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_diagram_is_up_to_date(table: Table[Any, Any]):
    committed = (STATES / f"{table.name}.mmd").read_text(encoding="utf-8")
    assert committed == mermaid(table), "run `make specs`"


def test_drawing_them_anew_leaves_no_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    generate = runpy.run_path(str(SPECS / "generate.py"))
    monkeypatch.setitem(generate["main"].__globals__, "STATES", tmp_path)
    (tmp_path / "gone.mmd").write_text("a table that is no more")
    generate["main"]()
    drawn = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert drawn == {f"{table.name}.mmd": mermaid(table) for table in TABLES}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_fits_one_screen(table: Table[Any, Any]):
    assert len(table.rows) <= 40
