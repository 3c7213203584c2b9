"""A central system in a simulated world, on a machine and a registry that fail."""

from __future__ import annotations

from typing import Final

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


class Host:
    """A central system.

    Attributes:
        central: as its program has it now.
        registry: its registry.
        program: what runs.

    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.machine = Machine(world, name)
        self.registry = Registry(self.machine)
        self.store = InMemory(self.machine, lambda record, vault: None)
        self.address = Address("memory", name)
        self._draws = self.machine.chance.of("draws").draw
        self._money = self.machine.chance.of("money")
        self.machine.on = True  # until the world begins, nothing runs on it
        self.central = self._started()
        self.program = self._served()
        world.network.places[name] = self.machine

    def _started(self) -> Central:
        return Central(
            self.store.open(),
            self.registry,
            decide=self._decide,
            blocking=False,
            entropy=self._draws,
            now=self.world.now,
            show=self._show,
        )

    def _served(self) -> CentralProgram:
        return CentralProgram(
            self.central, self.address, tell=lambda line: self.world.see_line(self.machine.name, line)
        )

    async def run(self) -> None:
        """Its program, from the start."""
        self.store.spared = False
        self.central = self._started()
        self.program = self._served()
        await self.program.run(ready=lambda _: None)

    def _decide(self, serial: str, asked: Authorize) -> PayOut:
        approved = self._money.happens(0.9) and asked.amount <= LIMIT
        amount = asked.amount if approved else 0
        self.world.see(HostDecided(serial, asked.number, amount))
        return PayOut(number=asked.number, approved=approved, amount=amount, reference=f"{serial}/{asked.number}")

    def _show(self, note: object) -> None:
        self.machine.note(note)
        if isinstance(note, ModuleContacted):
            self.world.see(ModuleAdmitted(self.machine.name, note.entry))
