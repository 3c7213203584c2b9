"""Small mistakes that can be made in a module, one at a time; `tests/mutation.py` asks whether a test notices them.

What is changed: comparisons, `and` and `or`, `not`, conditions, loops, numbers, True and False, arithmetic, raised
errors, and statements that only call something. Not changed: docstrings, annotations, decorators and the texts of
errors.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from own_tests import ROOT

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


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        path: the file.
        number: of the node in it.
        lines: the lines that a run has taken which comes by the mistake: the node's own.
        way: what is done, for people.
        within: the outermost function whose body has it, as its first line (that of a decorator, if there is one);
            None: it is made as the module is read.

    """

    path: Path
    number: int
    lines: range
    way: str
    within: int | None

    @property
    def where(self) -> str:
        """The file, from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """The line with the mistake, as it stands in the file without one."""
        return self.path.read_text(encoding="utf-8").splitlines()[self.lines.start - 1].strip()

    def __str__(self) -> str:
        return f"{self.where}:{self.lines.start}: {self.way}: {self.text}"


def mutants_of(path: Path) -> list[Mutant]:
    """All mistakes that can be made in this file, in the order of its text."""
    return [Mutant(path, *each) for each in found_in(parsed(path.read_text(encoding="utf-8")))]


def parsed(source: str) -> ast.Module:
    """The tree, its nodes numbered."""
    tree = ast.parse(source)
    for number, node in enumerate(ast.walk(tree)):
        node.number = number  # type: ignore[attr-defined]
    return tree


def found_in(node: ast.AST, within: int | None = None) -> Iterator[tuple[int, range, str, int | None]]:
    """Number, lines, way and function of every mistake in a numbered tree."""
    line = getattr(node, "lineno", 1)
    for way in ways(node):
        yield node.number, range(line, getattr(node, "end_lineno", line) + 1), way, within  # type: ignore[attr-defined]
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.JoinedStr):
            continue
        inside = within
        if within is None and name == "body" and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = min(line, *(each.lineno for each in node.decorator_list)) if node.decorator_list else line
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from found_in(child, inside)


def ways(node: ast.AST) -> Iterator[str]:
    """What can be done to this node."""
    match node:
        case ast.Compare():
            for place, op in enumerate(node.ops):
                if type(op) in SWAPPED:
                    which = "" if len(node.ops) == 1 else f"comparison {place + 1}: "
                    yield f"{which}{type(op).__name__} becomes {SWAPPED[type(op)].__name__}"
        case ast.BoolOp():
            yield f"{type(node.op).__name__} becomes {SWAPPED[type(node.op)].__name__}"
        case ast.BinOp() | ast.AugAssign() if type(node.op) in SWAPPED and not _is_union(node):
            yield f"{type(node.op).__name__} becomes {SWAPPED[type(node.op)].__name__}"
        case ast.UnaryOp(op=ast.Not()):
            yield "not is left out"
        case ast.If() | ast.IfExp() | ast.While():
            yield "the condition holds always"
            yield "the condition holds never"
        case ast.For():
            yield "the loop never runs"
        case ast.Constant(value=bool()):
            yield "the other truth value"
        case ast.Constant(value=int() | float()):
            yield "one more"
        case ast.Raise():
            yield "nothing is raised"
        case ast.Expr(value=ast.Call()):
            yield "not called"


def _is_union(node: ast.BinOp | ast.AugAssign) -> bool:
    """`A | B` of types, which is a kind of annotation wherever it stands: `&` would be noticed at import already."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.BitOr):
        return False
    return any(
        isinstance(each, ast.Name) and each.id[:1].isupper() and not each.id.isupper()
        for each in (node.left, node.right)
    ) or any(isinstance(each, ast.BinOp) and _is_union(each) for each in (node.left, node.right))


def mutated(tree: ast.Module, number: int, way: str) -> ast.Module:
    """A copy of the numbered tree with that done."""
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
        case ast.Compare():
            place = int(way.split()[1][:-1]) - 1 if way.startswith("comparison") else 0
            node.ops[place] = SWAPPED[type(node.ops[place])]()  # type: ignore[call-overload]
        case ast.BoolOp() | ast.BinOp() | ast.AugAssign():
            node.op = SWAPPED[type(node.op)]()  # type: ignore[assignment]
        case ast.UnaryOp():
            return node.operand
        case ast.If() | ast.IfExp() | ast.While():
            node.test = ast.Constant("always" in way)
        case ast.For():
            node.iter = ast.Tuple([], ast.Load())
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant(value=(int() | float()) as value):
            node.value = value + 1
        case ast.Raise() | ast.Expr():
            return ast.copy_location(ast.Pass(), node)
    return node
