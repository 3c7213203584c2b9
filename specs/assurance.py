"""Writes the figures in assurance.md anew, of assurance.json, where the last figures of each method stand.

`python specs/assurance.py` writes the document (`make specs` does); `python specs/assurance.py DIR` takes in the
reports first that a run of `make check` left in DIR; `python specs/assurance.py DIR FILE` writes what assurance.json
would be then into FILE, and nothing else (`make check` does). A report is named for its method and has one JSON object
a line, as the commands write it with --json; the long tests leave JUnit XML instead, with a property for each figure of
a test (pytest: `record_property`). What assurance.json keeps of a report, one entry for each method:

    {"check": {"date": "2026-11-28", "figures": [{...}, ...]}, "simulate": ...}

date: of the report, UTC. figures: objects of the report, or what they came to in all (METHODS). A method that
has no report in DIR keeps its entry, so that what takes hours (mutation) may be measured by itself. A further
method is a name in METHODS, with a function that tells its figures in Markdown.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from insitu.check.judge import invariants

HERE: Final = Path(__file__).resolve().parent
DOCUMENT: Final = HERE / "assurance.md"
SUMMARY: Final = HERE / "assurance.json"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"

Figures: TypeAlias = list[dict[str, Any]]


# Reports -------------------------------------------------------------------------------------------------------


def _searches(found: Figures) -> Figures:
    """Without ways to what was found."""
    return [{name: each[name] for name in each if name not in ("trace", "powers", "steps")} for each in found]


def _last(found: Figures) -> Figures:
    """What all of them came to."""
    return found[-1:]


def _all(found: Figures) -> Figures:
    return found


def read_lines(path: Path) -> Figures:
    """The objects in a report, one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def read_tests(path: Path) -> Figures:
    """The tests in a report of pytest, with the figures that they recorded; several of a function are one."""
    found: dict[str, dict[str, Any]] = {}
    for case in ET.parse(path).iter("testcase"):  # noqa: S314 - our own report
        name = f"{case.get('classname', '').rpartition('.')[2]}: {case.get('name', '').partition('[')[0]}"
        about = found.setdefault(name, {"test": name, "runs": 0, "passed": 0, "seconds": 0.0})
        about["runs"] += 1
        about["passed"] += not any(case.findall(kind) for kind in ("failure", "error", "skipped"))
        about["seconds"] = round(about["seconds"] + float(case.get("time", 0)), 1)
        for figure in case.iter("property"):
            name = figure.get("name", "")
            about[name] = about.get(name, 0) + int(figure.get("value", 0))
    return list(found.values())


def taken_in(summary: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The summary with the reports in the directory in it."""
    after = dict(summary)
    for name, (kept, _) in METHODS.items():
        for path, read in ((directory / f"{name}.jsonl", read_lines), (directory / f"{name}.xml", read_tests)):
            if path.is_file() and (found := read(path)):
                day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
                after[name] = {"date": day, "figures": kept(found)}
    return after


# Figures, for people ---------------------------------------------------------------------------------------------


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _table(heads: tuple[str, ...], rows: Iterable[Iterable[object]]) -> str:
    return _row(heads) + f"|{'---|' * len(heads)}\n" + "".join(map(_row, rows))


def _check(found: Figures) -> str:
    plain = [each for each in found if each["world"] != "an attack"]
    attacks = [each for each in found if each["world"] == "an attack"]
    names = ("option", "variant", "world", "states", "transitions", "depth")
    heads = ("option", "unit", "world", "states", "moves", "depth", "searched", "seconds", "found wrong")
    rows = [
        (
            *(each[name] for name in names),
            "to the end" if each["complete"] else "in part",
            each["seconds"],
            "nothing" if each["as_expected"] else each["violation"]["what"],
        )
        for each in plain
    ]
    states, moves = (sum(each[name] for each in plain) for name in ("states", "transitions"))
    again = sum(each["as_expected"] for each in attacks)
    looked_for = "".join(f"- `{name}`: {what}\n" for name, what in invariants())
    return (
        f"{_table(heads, rows)}\nIn all {states:,} states and {moves:,} moves; "
        f"of {len(attacks)} attacks that must be found, {again} were. What is looked for:\n\n{looked_for}"
    )


def _mutants(found: Figures) -> str:
    (each,) = found
    reasons = Counter(each["survivors"].values())
    told = "".join(f"- {number}: {reason}\n" for reason, number in reasons.most_common())
    names = ("table", "mutants", "killed", "beyond")
    rows = [[one[name] for name in names] for one in each.get("tables", ())]
    by_table = f"{_table(names, rows)}\n" if rows else ""
    return (
        f"Mutants of the tables: {each['mutants']}; {each['refused']} refused by the table as it was built, "
        f"{each['stuck']} by the ordinary course, {each['caught']} by an invariant: {each['killed']} killed "
        f"({100 * each['killed'] / each['mutants']:.0f} %). {len(each['beyond'])} rows and guards are beyond these "
        f"worlds; {each.get('seconds', 'some')} seconds of processor time.\n\n{by_table}"
        f"{each['mutants'] - each['killed']} survive, {len(each['unexplained'])} without a reason why that is "
        f"harmless; the others, so many by each reason:\n\n{told}"
    )


def _spin(found: Figures) -> str:
    heads = ("world", "claim", "holds", "states", "depth", "seconds")
    return _table(
        heads,
        [
            (*(each[name] for name in heads[:2]), "yes" if each["holds"] else "NO", *(each[name] for name in heads[3:]))
            for each in found
        ],
    )


def _tests(found: Figures) -> str:
    usual = ("test", "runs", "passed", "seconds")
    heads = (*usual, "figures")

    def figures_of(each: dict[str, Any]) -> str:
        return ", ".join(f"{each[name]:,} {name}" for name in each if name not in usual) or "-"

    return _table(heads, [(*(each[name] for name in usual), figures_of(each)) for each in found])


def _simulation(found: Figures) -> str:
    (each,) = found
    troubles = ", ".join(f"{number:,} x {name}" for name, number in each["injected"].items())
    return (
        f"{each['worlds']:,} worlds, {each['lives']:,} life cycles of modules, {each['events']:,} events, "
        f"{each['hours']:,} hours in {each['cpu_seconds']:,} seconds of a processor; {len(each['violations'])} "
        f"violations. What went wrong in them: {troubles}.\n"
    )


def _fuzzing(found: Figures) -> str:
    runs, seconds = sum(each["runs"] for each in found), sum(each["seconds"] for each in found)
    broken = sum(len(each["findings"]) for each in found)
    heads = ("target", "inputs", "a second", "ratio to an empty target", "findings")
    rows = [(each["target"], each["runs"], each["per_second"], each["ratio"], len(each["findings"])) for each in found]
    return f"{_table(heads, rows)}\n{runs:,} inputs in {seconds:,.0f} seconds, {broken} findings.\n"


def _fuzzed(found: Figures) -> str:
    heads = ("target", "runs", "inputs", "minutes of a processor", "findings")
    rows = [
        (
            each["target"],
            each["reports"],
            f"{each['inputs']:,}",
            f"{each['processor_seconds'] / 60:.1f}",
            each["findings"],
        )
        for each in found
    ]
    return _table(heads, rows)


def _plain(found: Figures) -> str:
    """Whatever the objects say, one a row."""
    heads = tuple(dict.fromkeys(name for each in found for name in each))
    return _table(heads, [[each.get(name, "-") for name in heads] for each in found])


METHODS: Final[dict[str, tuple[Callable[[Figures], Figures], Callable[[Figures], str]]]] = {
    "check": (_searches, _check),
    "mutants": (_last, _mutants),
    "spin": (_all, _spin),
    "long": (_all, _tests),
    "simulate": (_last, _simulation),
    "fuzz": (_all, _fuzzing),
    "fuzzed": (_all, _fuzzed),
    "coverage": (_all, _plain),
    "mutation": (_all, _plain),
}
"""By the name of the report: what is kept of its objects, and how they are told."""
TITLES: Final = {
    "check": "Model checker",
    "mutants": "Mutants of the tables",
    "spin": "SPIN",
    "long": "Long tests: learned models, lives led by the tables, larger worlds for SPIN",
    "simulate": "Simulation",
    "fuzz": "Fuzzing",
    "fuzzed": "Fuzzing: all longer runs so far, as `insitu fuzz --sum` adds them up",
    "coverage": "Coverage",
    "mutation": "Mutants of the code",
}


def figures(summary: dict[str, Any]) -> str:
    """The block, for this summary."""
    lines = ["Each on a machine with two cores, which others used as well while what takes hours was run.\n"]
    for name, (_, told) in METHODS.items():
        if name in summary:
            entry = summary[name]
            lines.append(f"\n### {TITLES[name]}\n\nMeasured on {entry['date']}.\n\n{told(entry['figures'])}")
    return "".join(lines)


def written(document: str, block: str) -> str:
    """The document with this block of figures."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + block + END + after


def main() -> None:
    """Take in the reports, if any, and write the document anew."""
    reports, others = sys.argv[1:2], sys.argv[2:]
    summary = json.loads(SUMMARY.read_text(encoding="utf-8"))
    if reports:
        summary = taken_in(summary, Path(reports[0]))
        Path(others[0] if others else SUMMARY).write_text(as_text(summary), encoding="utf-8")
    if not others:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), figures(summary)), encoding="utf-8")


def as_text(summary: dict[str, Any]) -> str:
    """As a file: one object a line, so that a difference between two runs can be read."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {_entry(summary[name])}" for name in sorted(summary)) + "\n}\n"


def _entry(entry: dict[str, Any]) -> str:
    rows = ",\n  ".join(map(json.dumps, entry["figures"]))
    return f'{{"date": "{entry["date"]}", "figures": [\n  {rows}]}}'


if __name__ == "__main__":
    main()
