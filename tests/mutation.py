"""Small mistakes made on purpose, one at a time: does a test notice? `make mutation` (minutes).

`python tests/mutation.py PART [--sample N] [--seed S] [--jobs J] [--json]`, where PART is engine, codec, channel or
parties. What counts as a mistake, plugins/mutants.py says; which tests are asked, plugins/own_tests.py. Nothing is
written into the sources. Prints the mutants that nothing noticed, and the score; plugins/mutants_left.toml says of
which ones nothing can come, and why.

How it is fast. Everything is imported and all tests are collected once; a run of them all tells which test takes which
line. Then a process is forked for each mutant: it puts the mutated code into the living function and runs the tests
that take the line, quickest first, until one fails. What is made as a module is read (constants, defaults, tables)
cannot be changed so, and what nobody noticed may have been done before the fork: for those a process is forked that
has imported nothing of the product yet, in which the mutated module takes the place of the real one, and all tests of
the part may run.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib.abc
import importlib.machinery
import json
import os
import random
import resource
import signal
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "plugins"))

from mutants import Mutant, mutants_of, mutated, parsed  # noqa: E402
from own_tests import PARTS  # noqa: E402

LEFT = ROOT / "tests" / "plugins" / "mutants_left.toml"
LEAST_SECONDS, MOST_SECONDS = 20.0, 300.0
"""A mutant whose tests take much longer than without it hangs, and is noticed by that."""
MOST_BYTES = 4 << 30
"""Nor may it eat the machine."""
ARGUMENTS = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
NOTICED, NOT_NOTICED, NOT_HERE = 1, 0, 3
"""How a forked process ends; NOT_HERE: this mutant cannot be put into a living function."""


# Forks -------------------------------------------------------------------------------------------------------


def forked(work: Callable[[], int]) -> int:
    """The number of a silent process that does this and ends with the answer."""
    child = os.fork()
    if child:
        return child
    code = NOTICED
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def results(
    mutants: Iterable[Mutant], jobs: int, work: Callable[[Mutant], tuple[Callable[[], int], float]]
) -> Iterator[tuple[Mutant, int]]:
    """How each mutant ended, so many at once; `work` says what its process does and how many seconds that may take."""
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = iter(mutants)
    more = True
    while more or running:
        while more and len(running) < jobs:
            mutant = next(waiting, None)
            if mutant is None:
                more = False
                break
            todo, seconds = work(mutant)
            running[forked(todo)] = (mutant, time.monotonic() + seconds)
        for child, (mutant, until) in list(running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if not done and time.monotonic() > until:
                with suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                done, status = os.waitpid(child, 0)
            if done:
                del running[child]
                code = os.waitstatus_to_exitcode(status)
                yield mutant, code if code in (NOT_NOTICED, NOT_HERE) else NOTICED
        time.sleep(0.005)


def allowed(seconds: float) -> float:
    """How long a mutant may take whose tests take so long without it."""
    return min(MOST_SECONDS, LEAST_SECONDS + 5 * seconds)


# In living functions -----------------------------------------------------------------------------------------


@dataclass
class Watched:
    """What a run of all tests without any mutant has shown.

    Attributes:
        seconds: that each test takes.
        lines: by file and line, the tests that take it.
        failed: whether one failed.

    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    failed: bool = False

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Those that come by the mistake, quickest first."""
        by_line = self.lines.get(str(mutant.path), {})
        found = {test for line in mutant.lines for test in by_line.get(line, ())}
        return sorted(found, key=lambda test: self.seconds[test])


class Server:
    """A pytest plugin in whose place of a test run all mutants are tried."""

    def __init__(
        self, files: Sequence[Path], mutants: Sequence[Mutant], jobs: int, told: Callable[[Any], None]
    ) -> None:
        self._files = files
        self._mutants = mutants
        self._jobs = jobs
        self._told = told

    def pytest_configure(self) -> None:
        """A failure need not be made small, only found; and no example is remembered from mutant to mutant."""
        plain_hypothesis()

    def pytest_runtestloop(self, session: Any) -> bool:
        """Instead of the tests."""
        watched = self._watch(session)
        self._told({"seconds": watched.seconds, "failed": watched.failed})
        if watched.failed:
            return True
        items = {item.nodeid: item for item in session.items}
        first, second = sorted(session.items, key=lambda item: watched.seconds[item.nodeid])[:2]
        first.config.hook.pytest_runtest_protocol(item=first, nextitem=second)  # what all tests share is made once
        functions = living({str(path) for path in self._files})

        def work(mutant: Mutant) -> tuple[Callable[[], int], float]:
            tests = watched.tests_of(mutant)
            seconds = sum(watched.seconds[test] for test in tests)
            return lambda: self._try(mutant, functions, session, [items[test] for test in tests]), allowed(seconds)

        for mutant, code in results(self._mutants, self._jobs, work):
            self._told([mutant.where, mutant.number, mutant.way, code])
        return True

    def _watch(self, session: Any) -> Watched:
        """All tests, once, in a process of their own."""
        reading, writing = os.pipe()

        def run() -> int:
            import coverage

            seen = coverage.Coverage(data_file=None, config_file=False, include=[str(path) for path in self._files])
            watched = Watched()
            seen.start()
            for item, following in zip(session.items, [*session.items[1:], None], strict=True):
                seen.switch_context(item.nodeid)
                begun = time.monotonic()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                watched.seconds[item.nodeid] = time.monotonic() - begun
            seen.stop()
            data = seen.get_data()
            for name in data.measured_files():
                by_line = data.contexts_by_lineno(name)
                watched.lines[name] = {line: [test for test in tests if test] for line, tests in by_line.items()}
            watched.failed = bool(session.testsfailed)
            with os.fdopen(writing, "w", encoding="utf-8") as file:
                json.dump([watched.seconds, watched.lines, watched.failed], file)
            return 0

        child = forked(run)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as file:
            text = file.read()
        os.waitpid(child, 0)
        if not text:
            return Watched(failed=True)
        seconds, lines, failed = json.loads(text)
        numbered = {name: {int(line): tests for line, tests in by_line.items()} for name, by_line in lines.items()}
        return Watched(seconds, numbered, failed)

    def _try(
        self, mutant: Mutant, functions: dict[tuple[str, int], list[FunctionType]], session: Any, items: list[Any]
    ) -> int:
        found = [] if mutant.within is None else functions.get((str(mutant.path), mutant.within), [])
        tree = mutated(parsed(mutant.path.read_text(encoding="utf-8")), mutant.number, mutant.way)
        code = code_at(compile(tree, str(mutant.path), "exec"), mutant.within)
        if not found or code is None or not items:
            return NOT_HERE
        try:
            for function in found:
                function.__code__ = code.replace(co_filename=function.__code__.co_filename)
        except ValueError:  # it closes over other names now
            return NOT_HERE
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return NOTICED
        return NOT_NOTICED


def living(paths: set[str]) -> dict[tuple[str, int], list[FunctionType]]:
    """All functions of these files that are in memory, by file and first line."""
    found: dict[tuple[str, int], list[FunctionType]] = {}
    names: dict[str, str] = {}
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            name = each.__code__.co_filename
            path = names.setdefault(name, os.path.realpath(name))
            if path in paths:
                found.setdefault((path, each.__code__.co_firstlineno), []).append(each)
    return found


def code_at(code: CodeType, line: int | None) -> CodeType | None:
    """The outermost function in this code that begins there; a class body is looked through."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_firstlineno == line and each.co_flags & 0x2:  # CO_NEWLOCALS: a function
                return each
            if (found := code_at(each, line)) is not None:
                return found
    return None


def plain_hypothesis() -> None:
    """Generate only, and the same examples every time."""
    from hypothesis import Phase, settings

    settings.register_profile("mutation", parent=settings(), phases=[Phase.explicit, Phase.generate], database=None)
    settings.load_profile("mutation")


# As a module is read -----------------------------------------------------------------------------------------


class Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutated module where the real one is asked for."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        relative = path.relative_to(ROOT).with_suffix("")
        self._name = "insitu." + ".".join(relative.parts).removesuffix(".__init__")
        self._path = path
        self._tree = tree

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Of this one module only."""
        if fullname != self._name:
            return None
        is_package = self._path.name == "__init__.py"
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=str(self._path), is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [str(self._path.parent)]
        spec.has_location = True
        return spec

    def create_module(self, spec: object) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant."""
        exec(compile(self._tree, str(self._path), "exec"), vars(module))


class Quickest:
    """A pytest plugin that puts the quickest tests first."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds

    def pytest_configure(self) -> None:
        """As in the server."""
        plain_hypothesis()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """In place."""
        items.sort(key=lambda item: self._seconds.get(item.nodeid, 0.0))


def tried_anew(mutant: Mutant, tests: tuple[str, ...], seconds: dict[str, float]) -> int:
    """Import everything with this mutant, and run all tests."""
    import pytest

    tree = parsed(mutant.path.read_text(encoding="utf-8"))
    sys.meta_path.insert(0, Instead(mutant.path, mutated(tree, mutant.number, mutant.way)))
    return NOT_NOTICED if pytest.main([*ARGUMENTS, *tests], plugins=[Quickest(seconds)]) == 0 else NOTICED


# All together ------------------------------------------------------------------------------------------------


def served(part: str, mutants: Sequence[Mutant], jobs: int) -> Iterator[Any]:
    """What the server tells, from a process of its own, so that nothing of the product is imported here."""
    reading, writing = os.pipe()

    def run() -> int:
        import pytest

        def told(what: Any) -> None:
            os.write(writing, (json.dumps(what) + "\n").encode())

        os.close(reading)
        return int(
            pytest.main([*ARGUMENTS, *PARTS[part].tests], plugins=[Server(PARTS[part].files, mutants, jobs, told)])
        )

    child = forked(run)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
    os.waitpid(child, 0)


def reasons() -> dict[tuple[str, str, str], str]:
    """Why nothing comes of some mutants, by file, line without a mistake, and way."""
    listed = tomllib.loads(LEFT.read_text(encoding="utf-8"))["left"]
    return {(each["file"], each["line"], way): each["why"] for each in listed for way in each["ways"]}


def main() -> int:
    """Mutate one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--sample", type=int, default=0, help="so many mutants, by chance; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="so many mutants at once")
    parser.add_argument("--only", default="", help="mutants whose line of the report has this")
    parser.add_argument("--json", action="store_true", help="the report as one line of JSON, the rest to stderr")
    given = parser.parse_args()
    os.chdir(ROOT)
    os.environ["CI"] = "1"  # Hypothesis repeats its examples
    said = sys.stderr if given.json else sys.stdout
    begun = time.monotonic()
    import cryptography.x509  # noqa: F401 - once, and not in every child
    import pytest  # noqa: F401
    import trio  # noqa: F401

    tests = PARTS[given.part].tests
    made = [mutant for path in PARTS[given.part].files for mutant in mutants_of(path)]
    asked = [mutant for mutant in made if given.only in str(mutant)]
    chosen = random.Random(given.seed).sample(asked, min(given.sample, len(asked))) if given.sample else asked
    within = [mutant for mutant in chosen if mutant.within is not None]
    messages = served(given.part, within, given.jobs) if within else iter([{"seconds": {}, "failed": False}])
    watched = next(messages, {"failed": True})
    if watched["failed"]:
        print("the tests fail without any mutant", file=sys.stderr)
        return 2
    noticed: set[tuple[str, int, str]] = set()
    for count, (where, number, way, code) in enumerate(messages, 1):
        if code == NOTICED:
            noticed.add((where, number, way))
        if count % 50 == 0:
            print(f"{len(noticed)} of {count} noticed, {time.monotonic() - begun:.0f} s", file=said, flush=True)
    print(f"{len(noticed)} noticed in living functions, {time.monotonic() - begun:.0f} s", file=said, flush=True)
    why, explained = reasons(), 0
    seconds = watched["seconds"]
    again = [each for each in chosen if (each.where, each.number, each.way) not in noticed]
    limit = allowed(sum(seconds.values()))
    for mutant, code in results(again, given.jobs, lambda each: (lambda: tried_anew(each, tests, seconds), limit)):
        if code != NOT_NOTICED:
            noticed.add((mutant.where, mutant.number, mutant.way))
        elif (mutant.where, mutant.text, mutant.way) in why:
            explained += 1
        else:
            print(f"not noticed: {mutant}", file=said, flush=True)
    score = round(100 * len(noticed) / max(1, len(chosen) - explained), 1)
    report = {
        "part": given.part,
        "mutants": len(made),
        "tried": len(chosen),
        "seed": given.seed,
        "noticed": len(noticed),
        "explained": explained,
        "score": score,
        "seconds": round(time.monotonic() - begun),
    }
    print(
        f"{given.part}: {len(noticed)} of {len(chosen)} mutants noticed, nothing can come of {explained}: {score} %; "
        f"{len(made)} in all, {report['seconds']} s",
        file=said,
    )
    if given.json:
        print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
