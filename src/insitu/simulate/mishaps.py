"""What befalls machines in a simulated world: crashes, seclusion, clocks that jump, cards and stores in wrong hands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from ..protocol.channel.trust.operating import SKEW_SECONDS
from .bank import Bank
from .chance import Chance
from .machine import Machine
from .plan import Trouble
from .stores import InFile
from .world import World

JUMPS: Final = (60, 3600, 24 * 3600)
"""Seconds by which a clock may jump, at most. That of a unit goes no further ahead than hosts put up with: a card
certifies nothing for an earlier time than it did before, so that all would wait until that time has come."""


class Mishaps:
    """What befalls the machines of one world."""

    def __init__(self, world: World, banks: Sequence[Bank]) -> None:
        self.world = world
        self._sites = [site for bank in banks for site in bank.sites]
        self._technicians = [bank.technician for bank in banks]
        self._units = [each.machine for each in self._technicians]
        self._clocks = [*self._units, *(site.machine for site in self._sites)]

    def begin(self, nursery: trio.Nursery) -> None:
        """From now on, until the world is calm."""
        world = self.world
        files = [site for site in self._sites if isinstance(site.store, InFile)]
        for trouble, strike, many in (
            (Trouble.CRASH, self._crash, len(world.machines)),
            (Trouble.PARTITION, self._seclude, len(world.machines)),
            (Trouble.CLOCK, self._set_clock, len(self._clocks)),
            (Trouble.CARD_REMOVED, self._remove_card, len(self._units)),
            (Trouble.OLD_COPY, self._put_back, len(files)),
        ):
            nursery.start_soon(world.visit, trouble, "world", world.plan.of(trouble) * many, strike)

    async def _crash(self, chance: Chance) -> None:
        machine = chance.one_of(self.world.machines)
        self.world.count(Trouble.CRASH, machine.name)
        machine.lose_power(killed=chance.happens(0.5))

    async def _seclude(self, chance: Chance) -> None:
        machine = chance.one_of(self.world.machines)
        self.world.count(Trouble.PARTITION, machine.name)
        self.world.network.seclude(machine, chance.between(10, 600), cut=chance.happens(0.5))

    async def _set_clock(self, chance: Chance) -> None:
        machine = chance.one_of(self._clocks)
        most = chance.one_of(JUMPS)
        self.world.count(Trouble.CLOCK, machine.name)
        machine.ahead = chance.whole(-most, min(most, SKEW_SECONDS) if machine in self._units else most)

    async def _remove_card(self, chance: Chance) -> None:
        technician = chance.one_of(self._technicians)
        self.world.count(Trouble.CARD_REMOVED, technician.machine.name)
        technician.store.absent_until = trio.current_time() + chance.between(1, 120)

    async def _put_back(self, chance: Chance) -> None:
        """Somebody copies a store, and puts the copy of before back while the machine is off."""
        stores = [(site.machine, site.store) for site in self._sites]
        files: list[tuple[Machine, InFile]] = [(each, store) for each, store in stores if isinstance(store, InFile)]
        machine, store = chance.one_of(files)
        machine.lose_power()
        if store.put_back():
            self.world.count(Trouble.OLD_COPY, machine.name)
        store.take_copy()
