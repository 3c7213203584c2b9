"""A central system in a simulated world, on a machine and a registry that fail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from ..protocol.messages import Authorize, PayOut
from ..protocol.parties.central_data import ModuleContacted
from ..protocol.stores.memory_registry import MemoryRegistry
from ..protocol.stores.registry import Attention, Change, Known, RegistryAway
from ..shell.central import Central
from ..shell.central_program import CentralProgram
from ..transports.addresses import Address
from .history import HostDecided, ModuleAdmitted, RegistryWrote
from .machine import Machine
from .plan import Trouble
from .power import PowerCut
from .stores import InMemory
from .world import World

LIMIT: Final = 50_000
"""Minor units up to which hosts approve."""
WATCH_SECONDS: Final = 4.0
"""Between two looks into the registry for what concerns open sessions: less often than in the field, since who writes
there on the same machine says so at once, and each look costs as much as a message."""


class Registry(MemoryRegistry):
    """A registry that sometimes does not answer, and whose every write is seen. It outlives its machine."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine
        self._chance = machine.chance.of("registry")

    def known(self, serial: str, fingerprint: bytes, certificate_number: int, issuer: bytes) -> Known:
        """See Registry."""
        self._check_answers()
        return super().known(serial, fingerprint, certificate_number, issuer)

    def attention(self) -> Attention:
        """See Registry."""
        self._check_answers()
        return super().attention()

    def commit(self, change: Change, *, at: int) -> None:
        """See Registry; power may go before and after it."""
        self._check_answers()
        machine = self._machine
        cut = machine.world.befalls(Trouble.POWER_CUT, self._chance, machine.name)
        if not cut or self._chance.happens(0.5):
            before = self.module(change.entry.serial)
            super().commit(change, at=at)
            machine.world.see(RegistryWrote(machine.name, before, change.entry, change))
        if cut:
            machine.lose_power()
            raise PowerCut

    def _check_answers(self) -> None:
        self._machine.check_power()
        if self._machine.world.befalls(Trouble.REGISTRY_AWAY, self._chance, self._machine.name):
            raise RegistryAway("the registry does not answer", who="registry", got="a simulated failure")


@dataclass
class Door:
    """A port of a host: the modules of one card call there, and are shown the certificate that this card made.

    Attributes:
        address: where.
        certificate: what is shown, DER; None: the one that is installed.
        central, program: what is at work there, as the host's machine has them now.

    """

    address: Address
    certificate: bytes | None
    central: Central
    program: CentralProgram


class Host:
    """A central system.

    Attributes:
        registry: its registry.
        doors: its ports; operators work at the first one.
        request: for a certificate, DER.

    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.machine = Machine(world, name)
        self.registry = Registry(self.machine)
        self.store = InMemory(self.machine, lambda record, vault: None)
        self._draws = self.machine.chance.of("draws").draw
        self._money = self.machine.chance.of("money")
        self.machine.on = True  # until the world begins, nothing runs on it
        self.doors: list[Door] = []
        self.request = self.add_door(None).central.establish(name.capitalize().replace("-", " "))

    @property
    def central(self) -> Central:
        """That at which operators work."""
        return self.doors[0].central

    def add_door(self, certificate: bytes | None) -> Door:
        """One more port."""
        name = f"{self.machine.name}/{len(self.doors)}" if self.doors else self.machine.name
        address = Address("memory", name)
        self.world.network.places[name] = self.machine
        self.doors.append(Door(address, certificate, *self._at_work(address, certificate)))
        return self.doors[-1]

    def show(self, door: Door, certificate: bytes) -> None:
        """Show this certificate there from now on; what is installed stands at the first door."""
        if door is self.doors[0]:
            self.store.spared = True
            self.central.install(certificate)
            self.store.spared = False
        else:
            door.certificate = certificate
            self.machine.lose_power(killed=True)  # its program was begun with the other one

    def nudge(self) -> None:
        """Something was written into the registry."""
        for door in self.doors:
            door.program.nudge()

    def _at_work(self, address: Address, certificate: bytes | None) -> tuple[Central, CentralProgram]:
        central = Central(
            self.store.open(),
            self.registry,
            certificate=certificate,
            decide=self._decide,
            blocking=False,
            entropy=self._draws,
            now=self.world.now,
            show=self._show,
        )
        return central, CentralProgram(central, address, tell=self.machine.tell, watch_seconds=WATCH_SECONDS)

    async def run(self) -> None:
        """Its program, from the start."""
        self.store.spared = False
        async with trio.open_nursery() as nursery:
            for door in self.doors:
                door.central, door.program = self._at_work(door.address, door.certificate)
                nursery.start_soon(partial(door.program.run, ready=lambda _: None))

    def _decide(self, serial: str, asked: Authorize) -> PayOut:
        approved = self._money.happens(0.9) and asked.amount <= LIMIT
        amount = asked.amount if approved else 0
        self.world.see(HostDecided(serial, asked.number, amount))
        return PayOut(number=asked.number, approved=approved, amount=amount, reference=f"{serial}/{asked.number}")

    def _show(self, note: object) -> None:
        self.machine.note(note)
        if isinstance(note, ModuleContacted):
            self.world.see(ModuleAdmitted(self.machine.name, note.entry))
