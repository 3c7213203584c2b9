"""Draws specs/states/*.mmd from the tables (`make specs`).

Nothing is decided here: the tables are the source, the tests compare what is committed with them, and a file that no
table answers for is removed.
"""

from __future__ import annotations

from pathlib import Path

from insitu.protocol.engine import mermaid
from insitu.protocol.parties.tables import TABLES

STATES = Path(__file__).parent / "states"


def diagrams() -> dict[str, str]:
    """File name -> content, one for each table."""
    return {f"{table.name}.mmd": mermaid(table) for table in TABLES}


def main() -> None:
    """Write them all."""
    STATES.mkdir(exist_ok=True)
    drawn = diagrams()
    for old in STATES.glob("*.mmd"):
        if old.name not in drawn:
            old.unlink()
    for name, text in drawn.items():
        (STATES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
