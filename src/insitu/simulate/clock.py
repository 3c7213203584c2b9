"""The clock of a simulated world: time passes only when nobody has anything to do.

trio's own MockClock does the same in two turns of the loop, and asks the real clock each time. This one can also have
something done at a time, without a task that waits for it: most of what happens in a world is that a message arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf

import trio


class JumpingClock(trio.abc.Clock):
    """It stands still while tasks run; then it is the next deadline, at once."""

    def __init__(self) -> None:
        self._time = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def start_clock(self) -> None:
        """Nothing to be done."""

    def current_time(self) -> float:
        """Seconds since the run began."""
        return self._time

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Have this called at that time; of the same time, in the order in which they were asked for."""
        heappush(self._due, (when, next(self._numbers), what))

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Called when all tasks wait: until `deadline`, or until something is due, which is now."""
        due = self._due
        if due and due[0][0] <= deadline:
            self._time = max(self._time, due[0][0])
            while due and due[0][0] <= self._time:
                heappop(due)[2]()
            return 0.0
        if deadline < inf:
            self._time = max(self._time, deadline)
            return 0.0
        return inf
