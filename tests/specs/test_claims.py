"""specs/claims.md keeps its word: every requirement once, and nothing named there that is not here."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from insitu.protocol.parties.tables import TABLES

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
IDS = [
    f"{letter}{number}"
    for letter, last in {"L": 14, "A": 9, "K": 5, "V": 2, "M": 3, "S": 13}.items()
    for number in range(1, last + 1)
]
ARROWS = {
    (table.name, arrow.source.name, arrow.row.on.__name__, arrow.target.name)
    for table in TABLES
    for arrow in table.arrows
}
ARROW = re.compile(r"([\w-]+): (\w+) --(\w+)--> (\w+)")


@dataclass(frozen=True)
class Claim:
    """One line: the places and tests as written, without their backticks."""

    id: str
    places: tuple[str, ...]
    tests: tuple[str, ...]


def rows(text: str) -> list[list[str]]:
    """The cells of all table lines that begin with an id."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\|\s*[A-Z]\d+\s*\|", line)
    ]


def read_claims(text: str) -> list[Claim]:
    def items(cell: str) -> tuple[str, ...]:
        return tuple(item.strip().strip("`") for item in cell.split("<br>") if item.strip() not in ("", "-"))

    return [Claim(cells[0], items(cells[1]), items(cells[2])) for cells in rows(text)]


def complaints(claim: Claim) -> list[str]:
    """What is wrong with a claim; nothing, if it holds."""
    wrong = []
    for place in claim.places:
        arrow = ARROW.fullmatch(place)
        if arrow and arrow.groups() not in ARROWS:
            wrong.append(f"no such row: {place}")
        elif not arrow and not (ROOT / place).exists():
            wrong.append(f"neither a row nor a file: {place}")
    wrong += [f"no such test: {test}" for test in claim.tests if not is_a_test(test)]
    if not (claim.places and claim.tests):
        wrong.append("neither shown by place and test nor marked as open")
    return [f"{claim.id}: {complaint}" for complaint in wrong]


def is_a_test(name: str) -> bool:
    """`tests/file.py::test_function`, or with a class between; the file must define it. So may the public suites."""
    path, *inner = name.split("::")
    file = ROOT / path
    if not (
        path.startswith(("tests/", "src/insitu/conformance.py"))
        and inner
        and inner[-1].startswith("test_")
        and file.is_file()
    ):
        return False
    scope: ast.AST = ast.parse(file.read_text(encoding="utf-8"))
    for part in inner:
        for node in ast.iter_child_nodes(scope):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == part:
                scope = node
                break
        else:
            return False
    return True


CLAIMS = read_claims((SPECS / "claims.md").read_text(encoding="utf-8"))


def test_requirements_list_every_id_once():
    listed = [cells[0] for cells in rows((SPECS / "requirements.md").read_text(encoding="utf-8"))]
    assert Counter(listed) == Counter(IDS)


def test_claims_answer_for_every_id_once():
    assert Counter(claim.id for claim in CLAIMS) == Counter(IDS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_claim_holds(claim: Claim):
    assert complaints(claim) == []


@pytest.mark.parametrize(
    ("where", "tests", "complaint"),
    [
        ("`specs`", "`tests/specs/test_claims.py::test_claim_holds`", None),
        ("`specs`", "-", "neither shown"),
        ("-", "`tests/specs/test_claims.py::test_claim_holds`", "neither shown"),
        ("`nowhere`", "`tests/specs/test_claims.py::test_claim_holds`", "neither a row nor a file"),
        ("`module: NOWHERE --Nothing--> NOWHERE`", "-", "no such row"),
        ("`specs`", "`tests/specs/test_claims.py::test_nothing`", "no such test"),
        ("`specs`", "`tests/specs/test_claims.py::Claim::test_claim_holds`", "no such test"),
        ("`specs`", "`tests/specs/test_claims.py`", "no such test"),
        ("`specs`", "`tests/specs/test_claims.py::complaints`", "no such test"),
    ],
)
def test_the_checker_itself(where: str, tests: str, complaint: str | None):
    (claim,) = read_claims(f"| id | where | tests |\n|---|---|---|\n| L1 | {where} | {tests} |\n")
    found = complaints(claim)
    assert any(complaint in line for line in found) if complaint else found == []
