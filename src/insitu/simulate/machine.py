"""A computer on which one program of ours runs: it can lose its power at any moment, and its clock can be wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import trio

from ..protocol.engine import InsituError
from ..transports.errors import TransportError
from .power import PowerCut
from .surroundings import Surroundings

HERE: ContextVar[Machine] = ContextVar("machine")
"""The machine on which a task runs."""


class Machine:
    """A computer.

    Args:
        world: where it stands.
        name: among all others.

    Attributes:
        on: it has power, and its program runs.
        killed: its program was ended last, and power stayed: what was not synced is there.
        ahead: by how many seconds its clock is ahead of the true time.

    """

    def __init__(self, world: Surroundings, name: str) -> None:
        self.world = world
        self.name = name
        self.on = False
        self.killed = False
        self.ahead = 0
        self.chance = world.chance.of(name)
        self._scope = trio.CancelScope()
        self._unplug: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def now(self) -> int:
        """What its clock shows, unix seconds."""
        return self.world.now() + self.ahead

    def steady(self) -> int:
        """What a clock shows that nobody can set, seconds."""
        return self.world.uptime()

    def note(self, shown: object) -> None:
        """Something that its program shows."""
        self.world.see_note(self.name, shown)

    def tell(self, line: str) -> None:
        """A line for people that its program writes."""
        self.world.see_line(self.name, line)

    def at_power_cut(self, unplug: Callable[[], None]) -> None:
        """Have this called when power goes, before anything of the program can notice."""
        self._unplug.append(unplug)

    def lose_power(self, *, killed: bool = False) -> None:
        """Everything on it stops: at the next checkpoint of each task; nothing it does until then has any effect."""
        if self.on:
            self.on, self.killed = False, killed
            self.world.trace.write(self.name, "is killed" if killed else "loses its power")
            for unplug in self._unplug:
                unplug()
            self._unplug.clear()
            self._scope.cancel()

    def check_power(self) -> None:
        """Called by whatever a program may do that others see.

        Raises:
            PowerCut: there is no power.

        """
        if not self.on:
            raise PowerCut

    async def run(self, program: Callable[[], Awaitable[None]]) -> None:
        """Run the program; whenever it ended, by a power cut or by itself, start it again after a while."""
        HERE.set(self)
        while True:
            await self._run_once(program)
            await trio.sleep(self.chance.between(1, 60))

    async def _run_once(self, program: Callable[[], Awaitable[None]]) -> None:
        self.on = True
        self._scope = trio.CancelScope()
        try:
            with self._scope:
                await program()
        except BaseException as error:
            if not self._is_expected(error):
                raise
        finally:
            self.lose_power(killed=True)

    def _is_expected(self, error: BaseException) -> bool:
        """Whether a program may end by this: by what a power cut leads to, or one of our errors."""
        if isinstance(error, BaseExceptionGroup):
            return min(map(self._is_expected, error.exceptions))  # each of them is told
        if isinstance(error, (InsituError, TransportError)):
            self.tell(f"ended: {error}")  # its supervisor logs it, and starts it again
            return True
        return not self.on and isinstance(error, (PowerCut, trio.Cancelled))
