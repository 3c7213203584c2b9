"""Writes the figures in assurance.md anew, of the reports that `make check` left: python specs/assurance.py [DIR].

A report is a file of JSON, one object a line, as `insitu check --json` writes it; the date is that of the newest one.
What a report does not say is not in the figures.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE / "assurance.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def reports(directory: Path) -> tuple[list[dict[str, Any]], str]:
    """All objects of all reports, and the day of the newest."""
    files = sorted(directory.glob("*.jsonl"))
    newest = max((path.stat().st_mtime for path in files), default=0.0)
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [json.loads(line) for line in lines], datetime.fromtimestamp(newest, UTC).date().isoformat()


def figures(found: list[dict[str, Any]], day: str) -> str:
    """The block, for these reports."""
    plain = [each for each in found if each.get("world") not in (None, "an attack")]
    attacks = [each for each in found if each.get("world") == "an attack"]
    scores = [each for each in found if "mutants" in each]
    lines = [f"Measured on {day}, on a machine with two cores that others used as well.\n\n"]
    if plain:
        lines.append("| option | unit | world | states | moves | depth | searched | seconds | found wrong |\n")
        lines.append("|---|---|---|---|---|---|---|---|---|\n")
        for each in plain:
            how_far = "to the end" if each["complete"] else "in part"
            wrong = "nothing" if each["as_expected"] else each["violation"]["what"]
            cells = [each[name] for name in ("option", "variant", "world", "states", "transitions", "depth")]
            lines.append("| " + " | ".join(map(str, [*cells, how_far, each["seconds"], wrong])) + " |\n")
        states, moves = (sum(each[name] for each in plain) for name in ("states", "transitions"))
        found_again = sum(each["as_expected"] for each in attacks)
        lines.append(f"\nIn all {states:,} states and {moves:,} moves; ")
        lines.append(f"of {len(attacks)} attacks that must be found, {found_again} were.\n")
    for each in scores:
        survived, unexplained = each["mutants"] - each["killed"], len(each["unexplained"])
        lines.append(
            f"\nMutants of the tables: {each['mutants']}; {each['refused']} refused by the table as it was built, "
            f"{each['stuck']} by the ordinary course, {each['caught']} by an invariant: {each['killed']} killed "
            f"({100 * each['killed'] / each['mutants']:.0f} %). Of {survived} survivors {each['over']} change where a "
            f"session goes that is over with that step, {survived - each['over'] - unexplained} are explained one by "
            f"one, {unexplained} are not. {len(each['beyond'])} rows and guards are beyond these worlds.\n"
        )
    return "".join(lines)


def written(document: str, block: str) -> str:
    """The document with this block of figures."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + block + END + after


def main() -> None:
    """Write it anew."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "checked"
    found, day = reports(directory)
    if not found:
        sys.exit(f"no reports in {directory}: make check writes them")
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), figures(found, day)), encoding="utf-8")


if __name__ == "__main__":
    main()
