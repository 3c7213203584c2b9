"""How things are measured here: medians of interleaved repeats in one run, so that a ratio compares like with like.

Only clocks, medians and results live here; what is measured is in the other files.
"""

from __future__ import annotations

import cProfile
import gc
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import CodeType
from typing import Final, TypeAlias

clock: Final = time.thread_time
"""Seconds of processor time of this thread: other programs on the machine count as little as can be."""

Sample: TypeAlias = Callable[[], Awaitable[float]]
"""Does the thing once and answers how many seconds it took; what is not to be measured happens outside its clock."""

WARM_UP: Final = 3


@dataclass(slots=True)
class Result:
    """One line of the table.

    Attributes:
        id: stable name.
        what: in words, with the unit of the value.
        value: measured.
        goal: the most that the value should be; None where there is none, which then counts as met.
        note: what else was found, one line.
        why: for a goal that was missed: the profile that says why.

    """

    id: str
    what: str
    value: float
    goal: float | None = None
    note: str = ""
    why: str = field(default="", repr=False)

    @property
    def met(self) -> bool:
        """Whether the value keeps the goal."""
        return self.goal is None or self.value <= self.goal

    def as_json(self) -> dict[str, object]:
        """The entry of bench.json."""
        return {"id": self.id, "value": round(self.value, 4), "goal": self.goal, "met": self.met}


async def medians(samples: Mapping[str, Sample], repeats: int) -> dict[str, float]:
    """The median of each sample in seconds, after a warm-up; in every round each is taken once, by turns first.

    Garbage is collected between rounds and not within samples, as `timeit` does it.
    """
    for _ in range(WARM_UP):
        for take in samples.values():
            await take()
    taken: dict[str, list[float]] = {name: [] for name in samples}
    names = deque(samples)
    gc.collect()
    gc.freeze()
    gc.disable()
    for _ in range(repeats):
        gc.collect()
        for name in names:
            taken[name].append(await samples[name]())
        names.rotate()
    gc.enable()
    gc.unfreeze()
    return {name: median(seconds) for name, seconds in taken.items()}


def batch(run: Callable[[], object], times: int = 1) -> Sample:
    """The sample of a function that does the thing `times` times over: seconds for one."""

    async def sample() -> float:
        started = clock()
        run()
        return (clock() - started) / times

    return sample


_PROFILED: Final = 50
_LINES: Final = 25


async def profile(take: Sample) -> str:
    """Where the time of a sample goes: the functions with the most time of their own, per run."""
    profiler = cProfile.Profile()
    for _ in range(_PROFILED):
        profiler.enable()
        await take()
        profiler.disable()
    entries = sorted(profiler.getstats(), key=lambda entry: -entry.inlinetime)
    total = sum(entry.inlinetime for entry in entries)
    lines = [f"{total / _PROFILED * 1e6:8.1f} us under the profiler, {len(entries)} functions; own time of each:"]
    for entry in entries[:_LINES]:
        own, calls = entry.inlinetime / _PROFILED * 1e6, entry.callcount / _PROFILED
        lines.append(f"{own:8.1f} us {calls:6.1f} calls  {_name(entry.code)}")
    return "\n".join(lines)


def _name(code: CodeType | str) -> str:
    if isinstance(code, str):
        return code
    return f"{Path(code.co_filename).name}:{code.co_firstlineno} {code.co_qualname}"
