"""A row whose guard or action does not fit its event is an error of the type checker, not of a day in the field."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[3]
SOURCE = """
from enum import Enum
from insitu.protocol.engine import STAY, Effects, Table, row

class Door(Enum):
    OPEN = 1

class Knocked:
    pass

class Rang:
    pass

def somebody_is_in(data: int, event: Rang) -> bool:
    return data > 0

def somebody_asks(data: str, event: Rang) -> bool:
    return data != ""

def let_in(data: int, event: Rang) -> tuple[int, Effects]:
    return data + 1, []

def sleep(data: int, event: Rang) -> int:
    return data

TABLE: Table[Door, int] = Table("door", Door, Door.OPEN, [
    row(Door.OPEN, Rang, somebody_is_in, let_in, STAY),     # fits
    row(Door.OPEN, Knocked, somebody_is_in, None, STAY),    # wrong: guard of another event
    row(Door.OPEN, Knocked, None, let_in, STAY),            # wrong: action of another event
    row(Door.OPEN, Rang, let_in, None, STAY),               # wrong: an action is no guard
    row(Door.OPEN, Rang, None, sleep, STAY),                # wrong: an action answers data and effects
    row(Door.OPEN, Rang, somebody_asks, let_in, STAY),      # wrong: guard and action of different data
])
"""


def test_wrong_rows_are_found_by_the_type_checker(tmp_path: Path):
    file = tmp_path / "door.py"
    file.write_text(SOURCE)
    report, errors, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"), str(file)]
    )
    found = {int(line) for line in re.findall(r"door\.py:(\d+): error", report)}
    assert found == {n for n, line in enumerate(SOURCE.splitlines(), 1) if "# wrong" in line}, report + errors
