"""How many wrong attempts at a secret one link may make in a row (SECURITY: resource limits).

Wrong attempts for one module are counted durably and lock it in the end (A6, A7). So that nobody locks module after
module, or one over and over, from where he is, a link has fewer attempts than lock, and then a pause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from ..protocol.engine import StateError
from .keeping import steady_clock

MOST_FROM_ONE: Final = 3
"""Wrong attempts in a row that one link may make: fewer than lock a module."""
PAUSE_SECONDS: Final = 900
"""After which it may make as many again."""
MOST_LINKS: Final = 4096
"""Remembered at a time; whoever has so many addresses is held up by the locks for each module."""


class LinkPaused(StateError):
    """Too many wrong attempts came over this link."""


@dataclass(slots=True)
class _Count:
    wrong: int
    last: int


class LinkLimit:
    """Counts wrong attempts by link; for any thread, in memory only.

    Args:
        steady: seconds by a clock that nobody can set.

    """

    def __init__(self, steady: Callable[[], int] = steady_clock) -> None:
        self._steady = steady
        self._counts: dict[str, _Count] = {}
        self._one = Lock()

    def begin(self, origin: str) -> None:
        """An attempt over the link from `origin`, which counts as wrong for now; without an origin, none is counted.

        Raises:
            LinkPaused: it must not be made.

        """
        if not origin:
            return
        with self._one:
            now = self._steady()
            count = self._counts.pop(origin, _Count(0, now))
            wait = count.last + PAUSE_SECONDS - now
            if count.wrong >= MOST_FROM_ONE and wait > 0:
                self._counts[origin] = count
                expected, got = f"another attempt in {wait} seconds", f"{count.wrong} wrong ones"
                raise LinkPaused("attempts over this link", who=origin, expected=expected, got=got)
            while len(self._counts) >= MOST_LINKS:
                del self._counts[next(iter(self._counts))]  # whose last attempt is longest ago
            self._counts[origin] = _Count(1 if wait <= 0 else count.wrong + 1, now)

    def right(self, origin: str) -> None:
        """The attempt was right: those before do not count any more."""
        with self._one:
            self._counts.pop(origin, None)
