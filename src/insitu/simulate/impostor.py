"""Somebody else's machine with a module's serial number: made by another maker, it knows none of the secrets."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

import trio

from ..protocol.engine import InsituError
from ..protocol.keys.codes import DECIMAL, write_symbols
from ..protocol.keys.vault import MemoryVault
from ..protocol.parties.module_data import IdentityMade
from ..shell.local_link import LocalPort
from ..shell.manufacturer import Manufacturer
from ..shell.module import Module
from ..transports.errors import TransportError
from ..transports.links import Address, Link, open_link, serve_links
from .chance import Chance
from .machine import HERE, Machine
from .plan import Trouble
from .terminal import Terminal

TAN_DIGITS: Final = 16
CALLS: Final = 60
"""Calls to a unit in the network for each visit that it would have met."""


class Impostor:
    """It waits at a place of its own, to which a technician is led astray; and calls a unit in the network.

    Args:
        terminal: whose serial number it has.
        unit: where it calls.

    Attributes:
        place: where.

    """

    def __init__(self, terminal: Terminal, unit: Address) -> None:
        self.place = terminal.impostor_place
        self.machine = Machine(terminal.world, self.place)
        self._terminal = terminal
        self._unit = unit
        self._chance = self.machine.chance
        terminal.world.network.places[self.place] = self.machine

    async def run(self) -> None:
        """It answers whoever comes, each time as a module that was never personalized."""
        HERE.set(self.machine)
        self.machine.on = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_links, Address("memory", self.place), self._meet))
            nursery.start_soon(self._terminal.world.visit, Trouble.IMPOSTOR, self.place, self._calls(), self._call)

    def _calls(self) -> float:
        """How often it calls the unit in the network, an hour."""
        return CALLS * self._terminal.world.plan.of(Trouble.IMPOSTOR) if self._terminal.may_call else 0.0

    async def _call(self, _: Chance) -> None:
        self._terminal.world.count(Trouble.IMPOSTOR, self.place)
        with suppress(InsituError, TransportError):
            await self._meet(await open_link(self._unit))

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
