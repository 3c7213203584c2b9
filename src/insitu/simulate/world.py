"""A simulated world: its machines in their surroundings, the links between them, and the maker of all modules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ..protocol.keys.vault import MemoryVault
from ..shell.manufacturer import Manufacturer
from ..transports.links import lay_memory_lines
from .clock import JumpingClock
from .machine import Machine
from .network import Network
from .plan import Plan
from .surroundings import Surroundings


class World(Surroundings):
    """A world, for those who live in it.

    Attributes:
        network: all links.
        machines: those that were switched on.
        manufacturer, root: who made all modules, and his root certificate, DER.

    """

    def __init__(self, plan: Plan, clock: JumpingClock, also: Callable[[str], None] | None = None) -> None:
        """See Surroundings."""
        super().__init__(plan, clock, also)
        self.network = Network(self)
        lay_memory_lines(self.network.lay, self.network.resolve)
        self.machines: list[Machine] = []
        maker = self.chance.of("manufacturer")
        vault = MemoryVault(maker.of("keys").draw, repeatable=True)
        self.manufacturer = Manufacturer(vault, entropy=maker.of("draws").draw, now=self.now)
        self.root = self.manufacturer.establish("Maker")

    def switch_on(self, machine: Machine, program: Callable[[], Awaitable[None]], nursery: trio.Nursery) -> None:
        """Let a machine run from now on."""
        self.machines.append(machine)
        nursery.start_soon(self._keep_running, machine, program)

    async def _keep_running(self, machine: Machine, program: Callable[[], Awaitable[None]]) -> None:
        try:
            await machine.run(program)
        except Exception as error:
            self.fail_by(error)
