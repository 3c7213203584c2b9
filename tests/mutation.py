"""Small mistakes made on purpose, one at a time: does a test notice? `make mutation` (minutes to hours).

`python tests/mutation.py PART [--sample N] [--seed S]`, where PART is engine, codec or channel. For each mutant a
process is forked, in which the mutated module takes the place of the real one, and the tests of that part run until
one fails. Nothing is written into the sources. Prints the mutants that nothing noticed, and the score.

What is mutated: comparisons, `and` and `or`, `not`, conditions, numbers, True and False, arithmetic, raised errors, and
statements that only call something. Not mutated: docstrings, annotations, and the texts of errors.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ("diagram", "effects", "errors", "events", "keys", "machine", "secret_keys", "table")
"""Without those that run a type checker, which sees no mutant, and those that take a minute by themselves."""
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "engine": (
        ("protocol/engine/*.py",),
        tuple(f"tests/protocol/engine/test_{name}.py" for name in ENGINE),
    ),
    "codec": (
        ("protocol/messages/codec.py", "protocol/messages/wire.py", "protocol/messages/fields.py"),
        ("tests/protocol/messages",),
    ),
    "channel": (
        ("protocol/channel/*.py", "protocol/channel/edhoc/*.py", "protocol/channel/trust/*.py"),
        ("tests/protocol/channel", "tests/protocol/test_session.py", "tests/protocol/test_formal_options.py"),
    ),
}
SECONDS = 120
"""A mutant whose tests take longer hangs, and is noticed by that."""
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


class Mutants(ast.NodeVisitor):
    """The places of one module where a mistake can be made."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int, str]] = []
        self.number = 0

    def visit(self, node: ast.AST) -> None:
        """Number every node in order, and note what can be done to it."""
        node.number = self.number  # type: ignore[attr-defined]
        self.number += 1
        for way in ways(node):
            self.found.append((node.number, getattr(node, "lineno", 0), way))  # type: ignore[attr-defined]
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.JoinedStr):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.visit(child)


def ways(node: ast.AST) -> Iterator[str]:
    """What can be done to this node."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in SWAPPED:
            yield f"{type(op).__name__} becomes {SWAPPED[type(op)].__name__}"
        case ast.BoolOp():
            yield f"{type(node.op).__name__} becomes {SWAPPED[type(node.op)].__name__}"
        case ast.BinOp() if type(node.op) in SWAPPED:
            yield f"{type(node.op).__name__} becomes {SWAPPED[type(node.op)].__name__}"
        case ast.UnaryOp(op=ast.Not()):
            yield "not is left out"
        case ast.If() | ast.IfExp() | ast.While():
            yield "the condition holds always"
            yield "the condition holds never"
        case ast.Constant(value=bool()):
            yield "the other truth value"
        case ast.Constant(value=int()):
            yield "one more"
        case ast.Raise():
            yield "nothing is raised"
        case ast.Expr(value=ast.Call()):
            yield "not called"


def mutated(tree: ast.Module, number: int, way: str) -> ast.Module:
    """A copy of the tree with that done."""
    made = copy.deepcopy(tree)
    for node in ast.walk(made):
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                setattr(node, name, [_instead(each, number, way) for each in value])
            elif isinstance(value, ast.AST):
                setattr(node, name, _instead(value, number, way))
    return ast.fix_missing_locations(made)


def _instead(node: ast.AST, number: int, way: str) -> ast.AST:
    if getattr(node, "number", -1) != number:
        return node
    match node:
        case ast.Compare(ops=[op]):
            node.ops = [SWAPPED[type(op)]()]  # type: ignore[list-item]
        case ast.BoolOp() | ast.BinOp():
            node.op = SWAPPED[type(node.op)]()  # type: ignore[assignment]
        case ast.UnaryOp():
            return node.operand
        case ast.If() | ast.IfExp() | ast.While():
            node.test = ast.Constant("always" in way)
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant(value=int(value)):
            node.value = value + 1
        case ast.Raise() | ast.Expr():
            return ast.copy_location(ast.Pass(), node)
    return node


class Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutated module where the real one is asked for."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self._name, self._path, self._tree = name, path, tree

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Of this one module only."""
        if fullname != self._name:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=str(self._path), is_package=self._is_package)
        if self._is_package:
            spec.submodule_search_locations = [str(self._path.parent)]
        spec.has_location = True
        return spec

    @property
    def _is_package(self) -> bool:
        return self._path.name == "__init__.py"

    def create_module(self, spec: object) -> None:
        """As usual."""

    def exec_module(self, module: object) -> None:
        """Run the mutant."""
        exec(compile(self._tree, str(self._path), "exec"), vars(module))


def is_noticed(path: Path, tree: ast.Module, tests: tuple[str, ...]) -> bool:
    """Whether a test fails, or hangs, with this mutant."""
    name = "insitu." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.environ["CI"] = "1"  # Hypothesis repeats its examples
        sys.meta_path.insert(0, Instead(name, path, tree))
        os._exit(run_tests(tests))
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def run_tests(tests: tuple[str, ...]) -> int:
    """0: nothing fails."""
    import pytest

    try:
        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *(str(ROOT / test) for test in tests)]))
    except BaseException:
        return 1


def main() -> int:
    """Mutate one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--sample", type=int, default=0, help="so many mutants, by chance; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sources, tests = PARTS[given.part]
    os.chdir(ROOT)
    import cryptography.x509  # noqa: F401 - once, and not in every child
    import pytest  # noqa: F401
    import trio  # noqa: F401

    made: list[tuple[Path, ast.Module, int, int, str]] = []
    for path in sorted(path for source in sources for path in ROOT.glob(source)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        mutants = Mutants()
        mutants.visit(tree)
        made += [(path, tree, *each) for each in mutants.found]
    chosen = random.Random(given.seed).sample(made, min(given.sample, len(made))) if given.sample else made
    if is_noticed(Path(ROOT / "protocol/none.py"), ast.parse(""), tests) is not False:
        print("the tests fail without any mutant")
        return 2
    noticed = 0
    for count, (path, tree, number, line, way) in enumerate(chosen, 1):
        if is_noticed(path, mutated(tree, number, way), tests):
            noticed += 1
        else:
            print(f"not noticed: {path.relative_to(ROOT)}:{line}: {way}", flush=True)
        if count % 5 == 0:
            print(f"{noticed} of {count}", flush=True)
    print(f"{given.part}: {noticed} of {len(chosen)} mutants noticed ({noticed / len(chosen):.1%}), {len(made)} in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
