"""A monotonic counter behind a command of the operator's, for example one in a TPM's non-volatile memory.

The command is run as `COMMAND read`, and writes the number in decimal digits; and as `COMMAND advance N`, and sees to
it that the number is N, durably, before it ends with exit code 0. What the rule with the number is stands in
protocol/stores/counter.py.

A hardware counter may begin anywhere and grow by one only: the command then subtracts the value that it began at, and
counts up step by step. It is run at each write of the store; mind how many writes the hardware allows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ..protocol.engine import EnvironmentFault, UsageError
from ..protocol.stores.counter import LARGEST_COUNT, CounterFailed, checked_step
from .hook import HOOK_SECONDS, output_of

_WHO: Final = "counter"
_NUMBER: Final = re.compile(rb"([0-9]{1,19})\s*")


class CommandCounter:
    """A MonotonicCounter behind a command. Calls block for as long as the command runs.

    Args:
        argv: program and arguments; no shell is involved.
        seconds: after that a command is ended, and the call fails.

    Raises:
        UsageError: no program.

    """

    def __init__(self, argv: Sequence[str], *, seconds: float = HOOK_SECONDS) -> None:
        if not argv:
            raise UsageError("counter command", who=_WHO, expected="a program")
        self._argv = tuple(argv)
        self._seconds = seconds

    def read(self) -> int:
        """See MonotonicCounter."""
        found = _NUMBER.fullmatch(self._run("read"))
        count = int(found[1]) if found else -1
        if not 0 <= count <= LARGEST_COUNT:
            raise CounterFailed(
                f"answer of {self._argv[0]}", who=_WHO, expected=f"0 to {LARGEST_COUNT} in digits", got="something else"
            )
        return count

    def advance(self, to: int) -> None:
        """See MonotonicCounter; the number is read back, so a command that did nothing is noticed."""
        if not checked_step(self.read(), to):
            return
        self._run("advance", str(to))
        if (count := self.read()) != to:
            raise CounterFailed(f"{self._argv[0]} did not advance", who=_WHO, expected=to, got=count)

    def _run(self, *arguments: str) -> bytes:
        try:
            return output_of((*self._argv, *arguments), who=_WHO, seconds=self._seconds)
        except EnvironmentFault as error:
            raise CounterFailed(error.summary, who=_WHO, expected=error.expected, got=error.got) from None
