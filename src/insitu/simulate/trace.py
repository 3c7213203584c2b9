"""What happened, line by line: the last lines for people, a digest of all for comparing runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Final

TAIL: Final = 120
"""Lines that are kept."""


class Trace:
    """The trace of one run.

    Args:
        clock: seconds since the run began.
        write: gets each line as well, where somebody wants to read along.

    Attributes:
        events: how many lines there were.
        tail: the last of them.

    """

    def __init__(self, clock: Callable[[], float], also: Callable[[str], None] | None = None) -> None:
        self._clock = clock
        self._also = also
        self._digest = sha256()
        self.events = 0
        self.tail: deque[str] = deque(maxlen=TAIL)

    def write(self, who: str, what: str, data: bytes = b"") -> None:
        """One event; of `data`, what is in it counts and is not shown."""
        line = f"{self._clock():12.3f}  {who:<14} {what}"
        self.events += 1
        self._digest.update(line.encode() + data)
        self.tail.append(line)
        if self._also is not None:
            self._also(line)

    @property
    def digest(self) -> str:
        """SHA-256 of all that happened, in hexadecimal digits."""
        return self._digest.hexdigest()
