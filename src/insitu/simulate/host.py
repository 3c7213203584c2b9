"""Central systems in a simulated world, on machines and registries that fail; perhaps two with one registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    """A registry as one machine sees it: sometimes it does not answer, and every write is seen. It outlives machines.

    Args:
        machine: that sees it.
        seen: the same one, as another machine sees it; None: it is a new one.

    Attributes:
        name: of the registry, whichever machine sees it.
        spared: it answers whatever happens, to people who set the machine up.

    """

    def __init__(self, machine: Machine, seen: Registry | None = None) -> None:
        super().__init__()
        self.name = machine.name
        if seen is not None:
            vars(self).update(vars(seen))  # the tables are the same ones
        self.spared = False
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
            machine.world.see(RegistryWrote(self.name, before, change.entry, change))
        if cut:
            machine.lose_power()
            raise PowerCut

    def _check_answers(self) -> None:
        if self.spared:
            return
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
    """A central system on one machine.

    Args:
        beside: another one, whose registry and key it has as well.

    Attributes:
        registry: its registry.
        doors: its ports.

    """

    def __init__(self, world: World, name: str, beside: Host | None = None) -> None:
        self.world = world
        self.machine = Machine(world, name)
        self.registry: Registry = Registry(self.machine, None if beside is None else beside.registry)
        self.store = InMemory(self.machine, lambda record, vault: None)
        self._draws = self.machine.chance.of("draws").draw
        self._money = self.machine.chance.of("money")
        self.machine.on = True  # until the world begins, nothing runs on it
        self.doors: list[Door] = []
        if beside is not None:
            self.store.copy(beside.store)
        self.add_door(None)

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

    def trust(self, customer: bytes) -> None:
        """Admit the modules of this customer, whose certificate this is, DER."""
        with self._spared():
            self.central.trust(self.world.root, customer, actor="operator")

    def show(self, door: int, certificate: bytes) -> None:
        """Show this certificate at that port from now on; what is installed stands at the first one."""
        if door == 0:
            with self._spared():
                self.central.install(certificate)
        else:
            self.doors[door].certificate = certificate
            self.machine.lose_power(killed=True)  # its program was begun with the other one

    def nudge(self) -> None:
        """Something was written into the registry."""
        for door in self.doors:
            door.program.nudge()

    @contextmanager
    def _spared(self) -> Iterator[None]:
        """People set it up, also while its program does not run."""
        before, self.store.spared, self.registry.spared = self.store.spared, True, True
        try:
            yield
        finally:
            self.store.spared, self.registry.spared = before, False

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
            self.world.see(ModuleAdmitted(self.registry.name, note.entry))


class Hosts:
    """The central system of a customer: one host or, where the seed says so, two, and a module that calls gets either.

    Attributes:
        request: for a certificate of their key, DER.

    """

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        first = Host(world, name)
        self.request = first.central.establish(name.capitalize().replace("-", " "))
        self._all = [first]
        if world.chance.of(f"beside {name}").happens(world.plan.paired):
            self._all.append(Host(world, f"{name}b", first))
        self._name(0)

    def _name(self, door: int) -> None:
        """Whoever calls the first one there gets any."""
        if len(self._all) > 1:
            places = tuple(each.doors[door].address.place for each in self._all)
            self._world.network.names[places[0]] = places

    @property
    def _at_hand(self) -> Host:
        """That at which operators work: the first that runs."""
        return next((each for each in self._all if each.machine.on), self._all[0])

    @property
    def on(self) -> bool:
        """Whether any of them runs."""
        return self._at_hand.machine.on

    @property
    def central(self) -> Central:
        """That at which operators work."""
        return self._at_hand.central

    @property
    def registry(self) -> Registry:
        """The registry, from where operators work."""
        return self._at_hand.registry

    def add_door(self, certificate: bytes) -> int:
        """One more port at each; its number."""
        for host in self._all:
            host.add_door(certificate)
        door = len(self._all[0].doors) - 1
        self._name(door)
        return door

    def address_of(self, door: int) -> Address:
        """Where modules call."""
        return self._all[0].doors[door].address

    def trust(self, customer: bytes) -> None:
        """Admit the modules of this customer, whose certificate this is, DER."""
        for host in self._all:
            host.trust(customer)

    def show(self, door: int, certificate: bytes) -> None:
        """Show this certificate at that port from now on."""
        for host in self._all:
            host.show(door, certificate)

    def nudge(self) -> None:
        """Something was written into the registry where operators work; another host finds it by itself."""
        self._at_hand.nudge()

    def open(self, nursery: trio.Nursery) -> None:
        """Business begins."""
        for host in self._all:
            host.machine.on = False
            self._world.switch_on(host.machine, host.run, nursery)
