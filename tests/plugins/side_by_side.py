"""Several of the shell's calls at once, under trio, and what became of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from insitu.protocol.engine import InsituError
from insitu.protocol.parties.central_data import ModuleContacted


class Outcome:
    """What became of a call: its result or our error. Any other exception is a failure of the test."""

    result: Any = None
    error: InsituError | None = None
    at: float = 0.0

    async def of(self, work: Callable[[], Any]) -> None:
        try:
            self.result = await work()
        except InsituError as error:
            self.error = error
        self.at = trio.current_time()


async def together(*work: Callable[[], Any]) -> list[Outcome]:
    """All calls at once; how they ended."""
    outcomes = [Outcome() for _ in work]
    async with trio.open_nursery() as nursery:
        for outcome, each in zip(outcomes, work, strict=True):
            nursery.start_soon(outcome.of, each)
    return outcomes


def setting(event: trio.Event) -> Callable[[object], None]:
    """Sets the event as soon as a module is in contact."""
    return lambda note: event.set() if isinstance(note, ModuleContacted) else None


async def closed(stream: trio.abc.Stream) -> bool:
    try:
        await stream.send_all(b"x")
    except trio.ClosedResourceError:
        return True
    return False
