"""Many worlds, one seed after the other, in as many processes as wanted; each is a run of its own that repeats."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from math import inf
from multiprocessing import get_context

from .plan import Plan, Trouble
from .run import Verdict, run_world


@dataclass
class Total:
    """What many worlds come to.

    Attributes:
        worlds, events, lives, hours: how many of each; simulated hours.
        cpu: processor seconds.
        injected: how often each trouble befell somebody.
        violated: the verdicts with a violation.

    """

    worlds: int = 0
    events: int = 0
    lives: int = 0
    hours: float = 0.0
    cpu: float = 0.0
    injected: Counter[Trouble] = field(default_factory=Counter)
    violated: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict, cpu: float) -> None:
        """One more world."""
        self.worlds += 1
        self.events += verdict.events
        self.lives += verdict.lives
        self.hours += verdict.hours
        self.cpu += cpu
        self.injected.update(verdict.injected)
        if verdict.invariant:
            self.violated.append(verdict)


def timed(plan: Plan, also: Callable[[str], None] | None = None) -> tuple[Verdict, float]:
    """A world's verdict, and the processor seconds that it took; `also` gets each line of the trace."""
    began = time.process_time()
    verdict = run_world(plan, also)
    return verdict, time.process_time() - began


def run_worlds(
    plans: Iterator[Plan], total: Total, *, jobs: int = 1, lives: float = inf, seconds: float = inf
) -> Iterator[tuple[Verdict, float]]:
    """Run worlds until there are no more plans, or enough; each verdict as it comes, with its processor seconds.

    Args:
        plans: of the worlds, in order.
        total: what they come to.
        jobs: processes at work at once; 1: this one.
        lives: life cycles after which no further world begins.
        seconds: real seconds after which no further world begins.

    """
    until = time.monotonic() + seconds

    def more() -> Plan | None:
        return next(plans, None) if total.lives < lives and time.monotonic() < until else None

    if jobs == 1:
        while (plan := more()) is not None:
            done = timed(plan)
            total.add(*done)
            yield done
        return
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL)
    ) as pool:
        running: set[Future[tuple[Verdict, float]]] = set()
        while True:
            while len(running) < jobs and (plan := more()) is not None:
                running.add(pool.submit(timed, plan))
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                done = future.result()
                total.add(*done)
                yield done
