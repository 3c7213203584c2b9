"""What the documents in specs/ point at is there: files, headings, tests, decisions in order."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
DOCUMENTS = sorted(path for path in SPECS.rglob("*.md") if "vectors" not in path.parts)
DECISIONS = sorted((SPECS / "decisions").glob("*.md"))
LINK = re.compile(r"\]\(([^)\s]*)\)")
NAMED = re.compile(r"`((?:tests|protocol|transports|specs|src|scripts)/[\w./-]*)(?:::([\w:]+))?`")
IS_A_TEST = runpy.run_path(str(Path(__file__).with_name("test_claims.py")))["is_a_test"]


def anchors(path: Path) -> set[str]:
    """The headings of a document, as links spell them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def broken(path: Path, text: str) -> list[str]:
    """Links to nowhere, and names of files and tests that are not there."""
    wrong = []
    for target in LINK.findall(text):
        file, _, anchor = target.partition("#")
        if "://" in file:
            continue
        there = path if not file else (path.parent / file)
        if not there.exists() or (anchor and anchor not in anchors(there)):
            wrong.append(target)
    for file, test in NAMED.findall(text):
        if not (IS_A_TEST(f"{file}::{test}") if test else any(ROOT.glob(file.rstrip("/")))):
            wrong.append(f"{file}::{test}" if test else file)
    return wrong


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_everything_named_is_there(path: Path):
    assert broken(path, path.read_text(encoding="utf-8")) == []


def test_the_checker_itself():
    here = SPECS / "protocol.md"
    assert broken(here, "[a](#frames) [b](messages.cddl) `protocol/session.py` `tests/`") == []
    assert broken(here, "`tests/specs/test_documents.py::test_the_checker_itself`") == []
    for wrong in (
        "[a](#no-such-heading)",
        "[a](nothing.md)",
        "[a](requirements.md#nothing)",
        "`protocol/nothing.py`",
        "`tests/specs/test_documents.py::test_nothing`",
    ):
        assert len(broken(here, wrong)) == 1


def test_decisions_are_numbered_without_gaps_and_say_what_was_decided():
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in DECISIONS:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}: ")
        assert "**Decision.**" in text
        assert len(text.splitlines()) <= 40


def test_every_attack_but_the_open_ones_has_a_test():
    text = (SPECS / "attacks.md").read_text(encoding="utf-8")
    answered = text.partition("## What option physical")[0]
    rows = [
        line for line in answered.splitlines() if line.startswith("|") and not line.startswith(("|---", "| attack"))
    ]
    assert len(rows) > 20
    assert [row for row in rows if "`tests/" not in row] == []


def test_every_table_of_states_is_linked():
    text = (SPECS / "protocol.md").read_text(encoding="utf-8")
    assert [path.name for path in (SPECS / "states").iterdir() if f"(states/{path.name})" not in text] == []
