"""The mistakes that `make mutation` makes, on a small module of their own; whose tests are asked; what is left."""

from __future__ import annotations

import ast
import os
import runpy
import signal
import tomllib
from pathlib import Path
from typing import Any

import pytest
from mutants import found_in, mutants_of, mutated, parsed
from own_tests import PARTS

ROOT = Path(__file__).parents[2]
RUNNER = runpy.run_path(str(ROOT / "tests" / "mutation.py"))
LEFT = tomllib.loads((ROOT / "tests" / "plugins" / "mutants_left.toml").read_text(encoding="utf-8"))["left"]
SOURCE = '''
"""A docstring."""
done = []
LIMIT = 9
Both = Small | Large


def told(size: int, *, late: bool = False) -> str:
    count = 3
    count += 2
    if 0 < size < 3 and not late:
        done.append(size + count)
        return "small"
    if size == LIMIT:
        raise ValueError(f"no {size + 0}")
    for each in range(2):
        done.append(each)
    return "large"
'''


def behaviour(tree: ast.Module) -> list[object]:
    """What the module does with a few arguments."""
    names: dict[str, Any] = {"Small": int, "Large": str}
    exec(compile(tree, "mutant", "exec"), names)
    did: list[object] = []
    for size in range(12):
        for late in ({}, {"late": True}, {"late": False}):
            try:
                did.append(names["told"](size, **late))
            except ValueError as error:
                did.append(str(error))
    return [*did, *names["done"]]


def test_every_mistake_changes_something():
    tree = parsed(SOURCE)
    found = list(found_in(tree))
    usual = behaviour(tree)
    assert len(found) > 20
    assert len({(number, way) for number, _, way, _ in found}) == len(found)
    for number, _, way, _ in found:
        assert behaviour(mutated(tree, number, way)) != usual, way
    assert behaviour(tree) == usual


def test_annotations_docstrings_and_texts_are_left_alone():
    ways = {line: [way for _, lines, way, _ in found_in(parsed(SOURCE)) if lines.start == line] for line in range(20)}
    assert not any(ways[line] for line in (2, 3, 5))
    assert ways[15] == ["nothing is raised"]


def test_a_mistake_knows_the_function_that_it_is_made_in():
    within = {lines.start: inside for _, lines, _, inside in found_in(parsed(SOURCE))}
    assert (within[4], within[8]) == (None, None), "a constant, and the value of an argument that is not given"
    assert {inside for line, inside in within.items() if line > 8} == {8}


@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_its_files_and_tests(name: str):
    part = PARTS[name]
    assert all(list(ROOT.glob(pattern)) for pattern in part.patterns)
    assert all(list((ROOT / folder).glob("**/test_*.py")) for folder in part.tests)


def test_what_nothing_can_come_of_is_still_there_and_says_why():
    for each in LEFT:
        there = {(mutant.text, mutant.way) for mutant in mutants_of(ROOT / each["file"])}
        assert {(each["line"], way) for way in each["ways"]} <= there, each
        assert len(each["why"]) > 20


def test_a_mistake_is_put_into_living_functions(tmp_path: Path):
    """Also into methods, whoever holds them by now; and a function that closes over other names is not mistaken."""
    path = tmp_path / "living.py"
    path.write_text(
        "from functools import wraps\n\n\n"
        "class Box:\n    @property\n    def size(self):\n        return 3\n\n\n"
        "def outer(limit):\n    def inner(size):\n        return size < limit\n    return inner\n"
    )
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    box, held = names["Box"](), names["outer"]
    functions = RUNNER["living"]({str(path)})
    tree = parsed(path.read_text())
    for number, _, way, within in found_in(tree):
        code = RUNNER["code_at"](compile(mutated(tree, number, way), str(path), "exec"), within)
        (function,) = functions[str(path), within]
        function.__code__ = code
    assert (box.size, held(3)(3), held(3)(4)) == (4, True, False)


def test_what_is_forked_says_how_it_ended():
    """A mistake that ends the process, or does not end at all, is noticed."""

    def hang() -> int:
        while True:
            pass

    ends = {
        "well": (lambda: RUNNER["NOT_NOTICED"], 60),
        "failed": (lambda: RUNNER["NOTICED"], 60),
        "raised": (lambda: 1 // 0, 60),
        "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), 60),
        "hangs": (hang, 0.2),
    }
    codes = dict(RUNNER["results"](ends, 2, lambda name: (RUNNER["forked"](ends[name][0]), ends[name][1])))
    assert codes == {"well": 0, "failed": 1, "raised": 1, "killed": 1, "hangs": 1}
