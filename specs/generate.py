"""Draws specs/states/*.mmd from the tables, and the README's table of trust options (`make specs`).

Nothing is decided here: tables and descriptions are the source, the tests compare what is committed with them, and a
file that no table answers for is removed.
"""

from __future__ import annotations

from pathlib import Path

from insitu.protocol.channel.trust.options import DESCRIPTIONS
from insitu.protocol.engine import mermaid
from insitu.protocol.parties.tables import TABLES

STATES = Path(__file__).parent / "states"
README = Path(__file__).parents[1] / "README.md"
MARK = "<!-- trust options -->\n"


def diagrams() -> dict[str, str]:
    """File name -> content, one for each table."""
    return {f"{table.name}.mmd": mermaid(table) for table in TABLES}


def options() -> str:
    """The table of trust options, in Markdown."""
    lines = ["| option | needs | protects against | does not protect against |", "|---|---|---|---|"]
    lines += [
        f"| `{option.text}` | {about.needs} | {about.protects} | {about.leaves} |"
        for option, about in DESCRIPTIONS.items()
    ]
    return "\n".join(lines) + "\n"


def with_options(readme: str) -> str:
    """The README with the table as it is now; it ends at the first empty line after its mark."""
    before, _, rest = readme.partition(MARK)
    return f"{before}{MARK}{options()}\n{rest.partition(chr(10) * 2)[2]}"


def main() -> None:
    """Write them all."""
    STATES.mkdir(exist_ok=True)
    drawn = diagrams()
    for old in STATES.glob("*.mmd"):
        if old.name not in drawn:
            old.unlink()
    for name, text in drawn.items():
        (STATES / name).write_text(text, encoding="utf-8")
    README.write_text(with_options(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
