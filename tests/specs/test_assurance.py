"""specs/assurance.md: each invariant has its line, and the figures are made by a script of what was measured."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

SPECS = Path(__file__).parents[2] / "specs"
SCRIPT = runpy.run_path(str(SPECS / "assurance.py"))


def test_every_invariant_has_a_line():
    text = (SPECS / "assurance.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| S(\d+) \|", text, re.MULTILINE) == [str(number) for number in range(1, 14)]


def test_figures_are_made_of_reports(tmp_path):
    plain = {
        "option": "tan",
        "variant": "field",
        "world": "side by side",
        "as_expected": True,
        "states": 1200,
        "transitions": 5000,
        "depth": 9,
        "complete": True,
        "seconds": 1.5,
        "violation": None,
    }
    score = {
        "mutants": 10,
        "killed": 8,
        "refused": 5,
        "stuck": 2,
        "caught": 1,
        "over": 1,
        "unexplained": [],
        "beyond": ["x"],
    }
    lines = [plain, {**plain, "world": "an attack"}, score]
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    found, day = SCRIPT["reports"](tmp_path)
    block = SCRIPT["figures"](found, day)
    assert f"Measured on {day}" in block
    assert "| tan | field | side by side | 1200 | 5000 | 9 | to the end | 1.5 | nothing |\n" in block
    assert "In all 1,200 states and 5,000 moves; of 1 attacks that must be found, 1 were." in block
    assert "10; 5 refused by the table" in block
    assert "8 killed (80 %)" in block
    document = SCRIPT["written"]((SPECS / "assurance.md").read_text(encoding="utf-8"), block)
    assert document.count(block) == 1
    assert SCRIPT["written"](document, block) == document
