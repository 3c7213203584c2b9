"""Small mistakes made on purpose, one at a time: does a test notice? `make mutation` (minutes).

`python tests/mutation.py PART [--sample N] [--seed S] [--jobs J] [--only TEXT] [--again FILE] [--json]`, where PART is
engine, codec, channel or parties. What counts as a mistake, plugins/mutants.py says; which tests are asked,
plugins/own_tests.py. Nothing is written into the sources. Prints the mutants that nothing noticed, and the score;
plugins/mutants_left.toml says of which ones nothing can come, and why. What was printed, kept in a file, is tried anew
by --again, once there are more tests.

How it is fast. Everything is imported and all tests are collected once; a run of them all tells which test takes which
line. Then a process is forked for each mutant: it puts the mutated code into the living function and runs the tests
that take the line, quickest first, until one fails. What is made as a module is read (constants, defaults, tables)
cannot be changed so, and what nobody noticed may have been done before the fork: those are tried in a second process,
which imports everything once more, and forks for each mutant of a module when that module is asked for: the child
reads it with the mistake and goes on importing, and all tests of the part may run, first those that take a line of it.
"""

from __future__ import annotations

import argparse
import gc
import importlib.abc
import importlib.machinery
import json
import os
import random
import re
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
MOST_OF_A_TEST = 10.0
"""So many seconds of a processor more than five times what it took without a mutant a test may take, or it hangs."""
MOST_BYTES = 4 << 30
"""Nor may it eat the machine."""
ARGUMENTS = ("-x", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist")
NOTICED, NOT_NOTICED, NOT_HERE = 1, 0, 3
"""How a forked process ends; NOT_HERE: this mutant cannot be put into a living function."""


# Forks -------------------------------------------------------------------------------------------------------


def split() -> int:
    """Fork: the number of the new process, or 0 in it, which is silent and in a group of its own."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
    return child


def forked(work: Callable[[], int]) -> int:
    """The number of a process that does this and ends with the answer."""
    child = split()
    if child:
        return child
    code = NOTICED
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def results(
    mutants: Iterable[Mutant], jobs: int, begin: Callable[[Mutant], tuple[int, float]]
) -> Iterator[tuple[Mutant, int]]:
    """How each mutant ended, so many at once; `begin` forks: the number, and how many seconds that may take."""
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = iter(mutants)
    more = True
    while more or running:
        while more and len(running) < jobs:
            mutant = next(waiting, None)
            if mutant is None:
                more = False
                break
            child, seconds = begin(mutant)
            running[child] = (mutant, time.monotonic() + seconds)
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


def end_if_longer(seconds: float) -> None:
    """End this process if its next test goes on for much longer than this, whatever else the machine does."""
    signal.setitimer(signal.ITIMER_PROF, MOST_OF_A_TEST + 5 * seconds)


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

    def near(self) -> dict[str, list[str]]:
        """By file, the tests that take any line of it."""
        return {
            name: sorted({test for tests in lines.values() for test in tests}) for name, lines in self.lines.items()
        }


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
        self._told({"seconds": watched.seconds, "near": watched.near(), "failed": watched.failed})
        if watched.failed:
            return True
        items = {item.nodeid: item for item in session.items}
        first = min(session.items, key=lambda item: watched.seconds[item.nodeid])
        # What all tests share is made once; what fewer share must go again, whichever test comes next.
        first.config.hook.pytest_runtest_protocol(item=first, nextitem=session)
        functions = living({str(path) for path in self._files})

        def begin(mutant: Mutant) -> tuple[int, float]:
            tests = watched.tests_of(mutant)
            seconds = sum(watched.seconds[test] for test in tests)
            asked = [(items[test], watched.seconds[test]) for test in tests]
            return forked(lambda: self._try(mutant, functions, session, asked)), allowed(seconds)

        for mutant, code in results(self._mutants, self._jobs, begin):
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
        self,
        mutant: Mutant,
        functions: dict[tuple[str, int], list[FunctionType]],
        session: Any,
        asked: list[tuple[Any, float]],
    ) -> int:
        found = [] if mutant.within is None else functions.get((str(mutant.path), mutant.within), [])
        tree = mutated(parsed(mutant.path.read_text(encoding="utf-8")), mutant.number, mutant.way)
        code = code_at(compile(tree, str(mutant.path), "exec"), mutant.within)
        if not found or code is None or not asked:
            return NOT_HERE
        try:
            for function in found:
                function.__code__ = code.replace(co_filename=function.__code__.co_filename)
        except ValueError:  # it closes over other names now
            return NOT_HERE
        for (item, seconds), (following, _) in zip(asked, [*asked[1:], (None, 0.0)], strict=True):
            end_if_longer(seconds)
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


class Turned(Exception):
    """Said in a process that has just been forked: it is the one with this mistake from now on."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(str(mutant))
        self.mutant = mutant


class Reader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """A pytest plugin that loads the modules with mutants in them: in a fork with each mutant, and here without any.

    Here no test runs; in the forks all, first those that take a line of the module, quickest first.
    """

    def __init__(
        self, mutants: Iterable[Mutant], jobs: int, watched: dict[str, Any], told: Callable[[Any], None]
    ) -> None:
        self._modules: dict[str, list[Mutant]] = {}
        for mutant in mutants:
            self._modules.setdefault(module_name(mutant.path), []).append(mutant)
        self._jobs = jobs
        self._seconds: dict[str, float] = watched["seconds"]
        self._near: dict[str, list[str]] = watched["near"]
        self._told = told
        self._mutant: Mutant | None = None
        sys.meta_path.insert(0, self)

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Of modules with mutants, as long as none was put in."""
        if self._mutant is not None or fullname not in self._modules:
            return None
        file = self._modules[fullname][0].path
        is_package = file.name == "__init__.py"
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=str(file), is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [str(file.parent)]
        spec.has_location = True
        return spec

    def create_module(self, spec: object) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Try all mutants of it, then run it; in a fork, run the mutant."""
        mutants = self._modules[module.__name__]
        tree = parsed(mutants[0].path.read_text(encoding="utf-8"))
        try:
            for mutant, code in results(mutants, self._jobs, self._begin):
                self._told([mutant.where, mutant.number, mutant.way, code])
        except Turned as turned:
            self._mutant = turned.mutant
            tree = mutated(tree, turned.mutant.number, turned.mutant.way)
        exec(compile(tree, str(mutants[0].path), "exec"), vars(module))

    def _begin(self, mutant: Mutant) -> tuple[int, float]:
        child = split()
        if not child:
            raise Turned(mutant)
        return child, allowed(sum(self._seconds.values()))

    def pytest_configure(self) -> None:
        """As in the server."""
        plain_hypothesis()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """In place."""
        if self._mutant is not None:
            near = set(self._near.get(str(self._mutant.path), ()))
            items.sort(key=lambda item: (item.nodeid not in near, self._seconds.get(item.nodeid, 0.0)))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """As in the server; a test may be newer than the run without a mutant."""
        end_if_longer(self._seconds.get(nodeid, 0.0))

    def pytest_runtestloop(self) -> bool | None:
        """No tests where there is no mistake."""
        return True if self._mutant is None else None


def module_name(path: Path) -> str:
    """Under which a file is imported."""
    return "insitu." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


# All together ------------------------------------------------------------------------------------------------


def served(part: str, plugin: Callable[[Callable[[Any], None]], Any]) -> Iterator[Any]:
    """What a plugin tells in a process of its own, so that nothing of the product is imported here."""
    reading, writing = os.pipe()

    def run() -> int:
        import pytest

        def told(what: Any) -> None:
            os.write(writing, (json.dumps(what) + "\n").encode())

        os.close(reading)
        return NOT_NOTICED if pytest.main([*ARGUMENTS, *PARTS[part].tests], plugins=[plugin(told)]) == 0 else NOTICED

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


def unnumbered(line: str) -> str:
    """A printed line without the number of the line in the file, which may have become another."""
    return re.sub(r"(?<=\.py):\d+:", "", line, count=1)


def main() -> int:
    """Mutate one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--sample", type=int, default=0, help="so many mutants, by chance; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="so many mutants at once")
    parser.add_argument("--only", default="", help="mutants whose line of the report has this")
    parser.add_argument(
        "--again", type=Path, help="those that this file calls not noticed: what an earlier run printed"
    )
    parser.add_argument("--json", action="store_true", help="the report as one line of JSON, the rest to stderr")
    given = parser.parse_args()
    os.chdir(ROOT)
    os.environ["CI"] = "1"  # Hypothesis repeats its examples
    said = sys.stderr if given.json else sys.stdout
    begun = time.monotonic()
    import cryptography.x509  # noqa: F401 - once, and not in every child
    import pytest  # noqa: F401
    import trio  # noqa: F401

    made = [mutant for path in PARTS[given.part].files for mutant in mutants_of(path)]
    asked = [mutant for mutant in made if given.only in str(mutant)]
    if given.again:
        left = {unnumbered(line.partition(": ")[2]) for line in given.again.read_text(encoding="utf-8").splitlines()}
        asked = [mutant for mutant in asked if unnumbered(str(mutant)) in left]
    chosen = random.Random(given.seed).sample(asked, min(given.sample, len(asked))) if given.sample else asked
    within = [mutant for mutant in chosen if mutant.within is not None]
    messages = served(given.part, lambda told: Server(PARTS[given.part].files, within, given.jobs, told))
    watched = next(messages, {"failed": True})
    if watched["failed"]:
        print("the tests fail without any mutant", file=sys.stderr)
        return 2
    why = reasons()
    left = {(each.where, each.number, each.way): each for each in chosen}

    def heard(messages: Iterator[Any], words: str) -> None:
        for count, (where, number, way, code) in enumerate(messages, 1):
            if code == NOTICED:
                del left[where, number, way]
            elif code == NOT_NOTICED:
                print(f"{words}: {left[where, number, way]}", file=said, flush=True)
            if count % 50 == 0:
                print(f"{len(chosen) - len(left)} noticed, {time.monotonic() - begun:.0f} s", file=said, flush=True)

    heard(messages, "not noticed yet")
    print(
        f"{len(chosen) - len(left)} noticed in living functions, {time.monotonic() - begun:.0f} s",
        file=said,
        flush=True,
    )
    explained = {key for key, each in left.items() if (each.where, each.text, each.way) in why}
    again = [each for key, each in left.items() if key not in explained]
    heard(served(given.part, lambda told: Reader(again, given.jobs, watched, told)), "not noticed")
    noticed = len(chosen) - len(left)
    score = round(100 * noticed / max(1, len(chosen) - len(explained)), 1)
    report = {
        "part": given.part,
        "mutants": len(made),
        "tried": len(chosen),
        "seed": given.seed,
        "noticed": noticed,
        "explained": len(explained),
        "score": score,
        "seconds": round(time.monotonic() - begun),
    }
    print(
        f"{given.part}: {noticed} of {len(chosen)} mutants noticed, nothing can come of {len(explained)}: "
        f"{score} %; {len(made)} in all, {report['seconds']} s",
        file=said,
    )
    if given.json:
        print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
