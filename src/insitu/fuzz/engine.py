"""The engine that is always there: inputs from a seed, one after the other, each held against its target's sentence.

It knows no coverage. What it keeps for further mutation are inputs with an *outcome* that was not seen before, say
another reason for a refusal. With the same seed, corpus and code the inputs are the same. guided.py runs the same
targets with the same mutator under atheris, which does know coverage.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from random import Random
from types import FrameType
from typing import Any, Final

from .findings import Finding
from .mutation import Mutator
from .target import FRAME_MEMORY, Broken, Run, Target

HANGS_AFTER: Final = 10.0
"""Seconds after which an input is given up."""
WEIGHED: Final = 2_048
"""Memory is measured for one input in so many: that takes time."""
POOL: Final = 512
"""Inputs that are kept for mutation at most, besides the seeds."""
EMPTY_SHARE: Final = 0.1
"""Share of the time that goes into measuring what the engine itself costs."""


@dataclass
class Report:
    """One run over one target.

    Attributes:
        target: name.
        engine: which one chose the inputs.
        seed: where they came from.
        runs: inputs that the target took.
        seconds: how long that took, the making of the inputs included.
        processor_seconds: how much of a processor that took; less where the machine had other things to do.
        empty_per_second: how many a second the same engine gives to a target that does nothing.
        outcomes: how often each came.
        findings: what broke the target's sentence, one of each kind.

    """

    target: str
    engine: str
    seed: int
    runs: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    empty_per_second: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Inputs a second."""
        return self.runs / self.seconds if self.seconds else 0.0

    @property
    def ratio(self) -> float:
        """Time of one input, as a multiple of what it takes with a target that does nothing."""
        return self.empty_per_second / self.per_second if self.per_second else 0.0

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "target": self.target,
            "engine": self.engine,
            "seed": self.seed,
            "runs": self.runs,
            "seconds": round(self.seconds, 3),
            "processor_seconds": round(self.processor_seconds, 3),
            "per_second": round(self.per_second, 1),
            "empty_per_second": round(self.empty_per_second, 1),
            "ratio": round(self.ratio, 2),
            "outcomes": len(self.outcomes),
            "findings": [{"what": each.what, "where": each.where, "digest": each.digest} for each in self.findings],
        }


class Examiner:
    """Holds inputs against a target's sentence and its limits of time and memory.

    Args:
        target: the target.
        slack: by how much what the input may cost is multiplied, where other things slow the code down.

    """

    def __init__(self, target: Target, *, slack: float = 1.0) -> None:
        self._target = target
        self._seconds = target.seconds * slack
        self._run: Run = target.make()
        self._number = 0

    def examine(self, data: bytes) -> str | Finding:
        """The outcome of an input, or what is wrong with it."""
        self._number += 1
        try:
            if self._number % WEIGHED == 1:
                self._weigh(data)
            begun = time.process_time()
            outcome = self._run(data)
            if time.process_time() - begun > self._seconds:
                self._time_again(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # that is the question
            return Finding.of(self._target, data, error)
        return outcome

    def _time_again(self, data: bytes) -> None:
        """Three times more, since other things happen on a machine; the best counts."""
        best = float("inf")
        for _ in range(3):
            begun = time.process_time()
            self._run(data)
            best = min(best, time.process_time() - begun)
        if best > self._seconds:
            raise Broken(f"took too long: {best * 1000:.0f} ms, at most {self._seconds * 1000:.0f} ms")

    def _weigh(self, data: bytes) -> None:
        self._run(data)  # what is made once counts for nobody
        tracemalloc.start()
        try:
            self._run(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if peak > FRAME_MEMORY:
            raise Broken(f"took too much memory: {peak >> 20} MiB, at most {FRAME_MEMORY >> 20} MiB")


def fuzz(
    target: Target,
    *,
    seconds: float | None = None,
    runs: int | None = None,
    seed: int = 0,
    corpus: Sequence[bytes] = (),
    found: Callable[[Finding], None] = lambda finding: None,
) -> Report:
    """Give a target inputs until the time is over or enough were given.

    Args:
        target: what takes them.
        seconds: wall clock; None: no limit.
        runs: inputs; None: no limit. The seeds themselves come first and count.
        seed: the same gives the same inputs.
        corpus: inputs to begin with; empty: the target's own seeds.
        found: gets each finding as it is made, once for each kind.

    """
    report = Report(target.name, "built-in", seed)
    seeds = list(corpus) or target.seeds()
    examiner = Examiner(target)
    kinds: set[tuple[str, str]] = set()
    empty = 0.0 if seconds is None else seconds * EMPTY_SHARE
    inputs = _Inputs(target, seeds, seed)
    limit = None if seconds is None else seconds - empty
    begun, worked = time.monotonic(), time.process_time()
    with given_up_after(HANGS_AFTER):
        for data in _until(inputs, limit, runs):
            outcome = _examined(examiner, data)
            report.runs += 1
            if isinstance(outcome, str):
                if outcome not in report.outcomes:
                    inputs.keep(data)
                report.outcomes[outcome] += 1
            elif outcome.kind not in kinds:
                kinds.add(outcome.kind)
                report.findings.append(outcome)
                found(outcome)
        report.seconds = time.monotonic() - begun
        report.processor_seconds = time.process_time() - worked
        report.empty_per_second = _empty(target, seeds, seed, empty or 0.1, report.runs)
    return report


def replay(target: Target, data: bytes) -> str | Finding:
    """The outcome of one input, or what is wrong with it; its memory is measured, too."""
    with given_up_after(HANGS_AFTER):
        return _examined(Examiner(target), data)


def _examined(examiner: Examiner, data: bytes) -> str | Finding:
    _wind()
    return examiner.examine(data)


def _until(inputs: Iterator[bytes], seconds: float | None, runs: int | None) -> Iterator[bytes]:
    end = None if seconds is None else time.monotonic() + seconds
    for data in islice(inputs, runs):
        yield data
        if end is not None and time.monotonic() >= end:
            return


def _empty(target: Target, seeds: list[bytes], seed: int, seconds: float, most: int) -> float:
    """Inputs a second of the same kind, made the same way, for a target that does nothing."""
    nothing = Examiner(Target(target.name, "", target.shape, target.seconds, lambda: lambda data: "", lambda: ()))
    done, begun = 0, time.monotonic()
    for data in _until(_Inputs(target, seeds, seed), seconds, max(most, 1)):
        _examined(nothing, data)
        done += 1
    return done / max(time.monotonic() - begun, 1e-9)


class _Inputs(Iterator[bytes]):
    """The seeds, and then what mutation makes of them and of what was kept."""

    def __init__(self, target: Target, seeds: list[bytes], seed: int) -> None:
        self._chance = Random(f"{target.name}/{seed}")  # noqa: S311 - it is to repeat
        self._mutator = Mutator(target.shape, self._chance)
        self._pool = list(seeds)
        self._given = count()
        self._seeds = len(seeds)

    def __next__(self) -> bytes:
        number = next(self._given)
        if number < self._seeds:
            return self._pool[number]
        return self._mutator.mutate(self._chance.choice(self._pool or [b""]), self._pool)

    def keep(self, data: bytes) -> None:
        """Remember an input that was worth it."""
        if len(self._pool) < self._seeds + POOL and data not in self._pool:
            self._pool.append(data)


# Inputs that never end ---------------------------------------------------------------------------------------


@contextmanager
def given_up_after(seconds: float) -> Iterator[None]:
    """Within the block, an input that computes for longer is given up with Broken, where the system has such a clock.

    It counts what this process computes; a target that waits has a clock of its own.
    """
    if sys.platform == "win32" or not _is_main():
        yield
        return

    def give_up(number: int, frame: FrameType | None) -> None:
        raise Broken(f"no end after {seconds:g} s")

    before = signal.signal(signal.SIGVTALRM, give_up)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _wind() -> None:
    if sys.platform != "win32" and _is_main():
        signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_AFTER)


def _is_main() -> bool:
    """Signals come to the main thread only."""
    return threading.current_thread() is threading.main_thread()
