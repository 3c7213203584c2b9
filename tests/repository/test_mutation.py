"""The mistakes that `make mutation` makes, on a small module of their own."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MUTATION = runpy.run_path(str(ROOT / "tests" / "mutation.py"))
SOURCE = '''
"""A docstring."""
done = []


def told(size: int, *, late: bool = False) -> str:
    if size < 3 and not late:
        done.append(size + 1)
        return "small"
    if size == 9:
        raise ValueError(f"no {size + 0}")
    return "large"
'''


def mutants() -> tuple[ast.Module, list[tuple[int, int, str]]]:
    """The module and what can be done to it."""
    tree = ast.parse(SOURCE)
    found = MUTATION["Mutants"]()
    found.visit(tree)
    return tree, found.found


def behaviour(tree: ast.Module) -> list[object]:
    """What the module does with a few arguments."""
    names: dict[str, Any] = {}
    exec(compile(tree, "mutant", "exec"), names)
    did: list[object] = []
    for size in range(11):
        for late in ({}, {"late": True}, {"late": False}):
            try:
                did.append(names["told"](size, **late))
            except ValueError as error:
                did.append(str(error))
    return [*did, *names["done"]]


def test_every_mistake_changes_something():
    tree, found = mutants()
    usual = behaviour(tree)
    assert len(found) == len(set(found)) > 12
    for number, _, way in found:
        assert behaviour(MUTATION["mutated"](tree, number, way)) != usual, way
    assert behaviour(tree) == usual


def test_annotations_docstrings_and_texts_are_left_alone():
    lines = {line for _, line, _ in mutants()[1]}
    assert not lines & {2, 3}
    assert [way for _, line, way in mutants()[1] if line == 11] == ["nothing is raised"]


@pytest.mark.parametrize("part", MUTATION["PARTS"])
def test_every_part_has_its_sources_and_tests(part: str):
    sources, tests = MUTATION["PARTS"][part]
    assert all(list(ROOT.glob(source)) for source in sources)
    assert all((ROOT / test).exists() for test in tests)
