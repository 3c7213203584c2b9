"""specs/assurance.md: each invariant has its line, and the figures are made by a script of what was measured."""

from __future__ import annotations

import json
import os
import re
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
SCRIPT = runpy.run_path(str(SPECS / "assurance.py"))
DOCUMENT = (SPECS / "assurance.md").read_text(encoding="utf-8")

SEARCH = {
    "option": "tan",
    "variant": "field",
    "world": "side by side",
    "powers": ["rival"],
    "as_expected": True,
    "states": 1200,
    "transitions": 5000,
    "depth": 9,
    "complete": True,
    "seconds": 1.5,
    "violation": None,
    "trace": [],
}
SCORE = {
    "mutants": 10,
    "killed": 8,
    "refused": 5,
    "stuck": 2,
    "caught": 1,
    "over": 1,
    "unexplained": [],
    "survivors": {"a row": "Nobody looks.", "another": "Nobody looks."},
    "beyond": ["x"],
    "tables": [{"table": "card", "mutants": 10, "killed": 8, "beyond": 1}],
    "seconds": 7,
}
WORLDS = {
    "worlds": 3,
    "events": 5000,
    "lives": 20,
    "hours": 1.5,
    "cpu_seconds": 9.0,
    "injected": {"loss": 7},
    "violations": [],
}
TARGET = {"target": "codec", "runs": 4000, "seconds": 2.0, "per_second": 2000.0, "ratio": 2.1, "findings": []}
CLAIM = {"world": "two units", "claim": "s1", "holds": True, "states": 90, "depth": 7, "seconds": 0.1, "trace": []}
LINES: dict[str, list[dict[str, Any]]] = {
    "check": [SEARCH, {**SEARCH, "world": "an attack"}],
    "mutants": [{"mutant": "a row", "fate": "stuck", "by": ""}, SCORE],
    "spin": [CLAIM],
    "simulate": [{"seed": 1}, WORLDS],
    "fuzz": [TARGET],
    "fuzzed": [{"target": "codec", "reports": 2, "inputs": 9000, "processor_seconds": 66.0, "findings": 1}],
    "mutation": [{"part": "engine", "noticed": 9}, {"part": "codec", "noticed": 8}],
}
TESTS = """<testsuites><testsuite>
<testcase classname="tests.protocol.test_learned" name="test_it[one]" time="2.0">
<properties><property name="words" value="1200"/></properties></testcase>
<testcase classname="tests.protocol.test_learned" name="test_it[two]" time="1.5"><failure/></testcase>
</testsuite></testsuites>"""


def test_every_invariant_has_a_line():
    assert re.findall(r"^\| S(\d+) \|", DOCUMENT, re.MULTILINE) == [str(number) for number in range(1, 14)]


def test_the_figures_are_those_of_the_summary():
    """`make specs` writes them."""
    summary = json.loads((SPECS / "assurance.json").read_text(encoding="utf-8"))
    assert SCRIPT["written"](DOCUMENT, SCRIPT["figures"](summary)) == DOCUMENT
    assert summary.keys() <= SCRIPT["METHODS"].keys()
    assert SCRIPT["METHODS"].keys() == SCRIPT["TITLES"].keys()


def test_reports_become_figures(tmp_path: Path):
    for name, lines in LINES.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
        os.utime(tmp_path / f"{name}.jsonl", (0, 0))
    (tmp_path / "long.xml").write_text(TESTS)
    before = {"coverage": {"date": "2026-01-02", "figures": [{"part": "engine", "branches": "100 %"}]}}
    summary = SCRIPT["taken_in"](before, tmp_path)
    assert summary["coverage"] == before["coverage"]
    assert json.loads(SCRIPT["as_text"](summary)) == summary
    block = SCRIPT["figures"](summary)
    for said in (
        "Measured on 1970-01-01.",
        "Measured on 2026-01-02.",
        "| tan | field | side by side | 1200 | 5000 | 9 | to the end | 1.5 | nothing |\n",
        "In all 1,200 states and 5,000 moves; of 1 attacks that must be found, 1 were. What is looked for:",
        "10; 5 refused by the table",
        "8 killed (80 %)",
        "- 2: Nobody looks.\n",
        "| two units | s1 | yes | 90 | 7 | 0.1 |\n",
        "| test_learned: test_it | 2 | 1 | 3.5 | 1,200 words |\n",
        "20 life cycles of modules, 5,000 events",
        "7 x loss",
        "| codec | 4000 | 2000.0 | 2.1 | 0 |\n",
        "| codec | 2 | 9,000 | 1.1 | 1 |\n",
        "4,000 inputs in 2 seconds, 0 findings.",
        "| part | noticed |\n|---|---|\n| engine | 9 |\n| codec | 8 |\n",
    ):
        assert said in block
    document = SCRIPT["written"](DOCUMENT, block)
    assert document.count(block) == 1
    assert SCRIPT["written"](document, block) == document


def test_a_report_that_is_not_there_changes_nothing(tmp_path: Path):
    (tmp_path / "check.jsonl").touch()
    before = {"check": {"date": "2026-01-02", "figures": [SEARCH]}}
    assert SCRIPT["taken_in"](before, tmp_path) == before


def test_make_check_leaves_a_report_of_each_method_but_those_that_take_hours():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    left = re.findall(r"\$\(CHECKED\)/(\w+)\.(?:jsonl|xml)", recipe)
    assert sorted(left) == sorted(SCRIPT["METHODS"].keys() - {"mutation", "fuzzed"})
