"""Somebody else's machine with a module's serial number: made by another maker, it knows none of the secrets."""

from __future__ import annotations

from contextlib import suppress

from ..protocol.engine import InsituError
from ..protocol.keys.codes import DECIMAL, write_symbols
from ..protocol.keys.vault import MemoryVault
from ..protocol.parties.module_data import IdentityMade
from ..shell.local_link import LocalPort
from ..shell.manufacturer import Manufacturer
from ..shell.module import Module
from ..transports.errors import TransportError
from ..transports.links import Address, Link, serve_links
from .machine import HERE, Machine
from .terminal import Terminal

TAN_DIGITS = 16


class Impostor:
    """It waits at a place of its own, to which a technician is led astray.

    Attributes:
        place: where.

    """

    def __init__(self, terminal: Terminal) -> None:
        self.place = terminal.impostor_place
        self.machine = Machine(terminal.world, self.place)
        self._terminal = terminal
        self._chance = self.machine.chance
        terminal.world.network.places[self.place] = self.machine

    async def run(self) -> None:
        """It answers whoever comes, each time as a module that was never personalized."""
        HERE.set(self.machine)
        self.machine.on = True
        await serve_links(Address("memory", self.place), self._meet)

    async def _meet(self, link: Link) -> None:
        with suppress(InsituError, TransportError):
            await self._module().meet_unit(link.stream, self._terminal.option, wired=link.attests_wired)

    def _module(self) -> Module:
        draw, world = self._chance.draw, self._terminal.world
        maker = Manufacturer(MemoryVault(draw, repeatable=True), entropy=draw, now=world.now)
        root = maker.establish("Maker")
        module = Module(
            MemoryVault(draw, repeatable=True),
            enter=lambda _: write_symbols(f"{self._chance.whole(0, 10**TAN_DIGITS - 1):0{TAN_DIGITS}d}", DECIMAL),
            mobile=LocalPort(tell=self.machine.tell).open,
            entropy=draw,
            now=world.now,
            steady=world.uptime,
        )

        def certify(made: IdentityMade) -> bytes:
            return maker.certify_identity(made.serial, made.key.public)

        module.initialize(self._terminal.serial, root, certify, shipped_key=draw(16))
        module.agree_on(draw(16).hex().encode())
        return module
