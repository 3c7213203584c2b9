"""A cash machine in a simulated world: a module, the controller that embeds it, customers, and who looks after it."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

import trio

from ..protocol.engine import Cmac, InsituError, SecretUsage, given
from ..protocol.keys.vault import Vault
from ..protocol.messages import RECORD_LIMITS, ModuleRecord, ModuleTicket, TrustOption, decode_record
from ..protocol.parties.module_data import IdentityMade, KeyMade, ModuleState
from ..protocol.parties.work_data import InstructionCame, OutcomeWanted, PayOutInstructed
from ..protocol.progress import Secured
from ..protocol.stores.atomic import ErasureFailed, StoreFailed
from ..protocol.stores.counter import CounterAhead, RolledBack
from ..shell.keypad import Keypad
from ..shell.local_link import LocalPort
from ..shell.module import Module
from ..shell.programs import ModuleProgram
from ..transports.links import Address, serve_links
from ..transports.memory import memory_pair
from .history import ChannelSecured, ModuleWrote, PayOutShown, SecretServed, StoreFound
from .impostor import Impostor
from .plan import Trouble
from .stores import InFile, InMemory, Store
from .surroundings import CARD_NUMBERS
from .technician import Technician
from .terminal import Terminal
from .world import World

TRADE_SECONDS: Final = 60.0
"""Between two customers."""
LOOK_SECONDS: Final = 30.0
"""How often somebody looks how the machine does."""
OFFLINE_SECONDS: Final = 600.0
"""How long a module that operates may be without its host before it is reset by hand."""
WAITING: Final = 1000
"""Requests of the controller that may wait."""


class Site(Terminal):
    """A cash machine, from inside.

    Attributes:
        technician: of its bank.
        store: the durable state of its module.
        record: as that is now.
        impostor: somebody else's machine with its serial number.
        served: how many authorizations were answered since the world is calm.

    """

    def __init__(self, world: World, serial: str, central: Address, technician: Technician) -> None:
        super().__init__(world, serial)
        self._central = central
        self.technician = technician
        technician.terminals[serial] = self
        self.impostor = Impostor(self, technician.office.address)
        self.store = self._new_store()
        self.record: ModuleRecord | None = None
        self.shipped_key = self.chance.draw(16)
        self.served = 0
        self._draws = self.machine.chance.of("draws").draw
        self._pace = partial(self.chance.between, 0.5, 1.5)
        self._journal: dict[int, int] = {}
        self._asked, self._requests = trio.open_memory_channel[str](WAITING)
        self._epochs: set[int] = set()
        self._modules = 0
        self._offline_since = 0.0
        self._must_reset = self._is_discarded = False
        world.network.places[serial] = world.network.places[self.port.place] = self.machine
        world.network.private.add(self.port.place)
        if self.chance.happens(world.plan.serial):
            world.network.serial.add(serial)

    def _new_store(self) -> Store:
        plan = self.world.plan
        if self.chance.happens(plan.sealed):
            return InFile(self.machine, self._wrote, guarded=self.chance.happens(plan.guarded))
        return InMemory(self.machine, self._wrote)

    def deliver(self) -> None:
        """At the maker's."""
        maker = self.world.manufacturer
        self.world.history.owners[self.serial] = self.technician.customer

        def certify(made: IdentityMade) -> bytes:
            return maker.certify_identity(made.serial, made.key.public)

        def ticket(made: IdentityMade) -> ModuleTicket:
            return maker.certify_by_ticket(self.technician.customer, made.serial, made.key.public)

        with self.store.open() as vault:
            counter = self.store.counter if isinstance(self.store, InFile) else None
            module = Module(vault, counter=counter, entropy=self._draws, now=self.world.now)
            by_ticket = ticket if self.option is TrustOption.TICKET else None
            shipped = self.shipped_key if self.option is TrustOption.SHIPPED_KEY else None
            module.initialize(self.serial, self.world.root, certify, shipped_key=shipped, ticket=by_ticket)
            if self.option is TrustOption.SECRET:
                module.agree_on(self.secret)

    # The controller's program, with the module in it

    async def run(self) -> None:
        """From the start."""
        self.store.spared = False
        with self._opened() as vault:
            port = LocalPort(tell=self.machine.tell)
            try:
                self.module = module = self._embedded(vault, port)
            except (RolledBack, CounterAhead) as error:
                self._adopt(error, vault)
                raise
            program = ModuleProgram(
                module,
                Address("memory", self.serial),
                self.option,
                unit=self.technician.office.address if self.technician.office.hears(self) else None,
                central=self._central,
                tell=self.machine.tell,
                jitter=self._pace,
            )
            self._asked, self._requests = trio.open_memory_channel[str](WAITING)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(program.run, ready=lambda _: None, requests=self._requests))
                nursery.start_soon(partial(serve_links, self.port, port.attend))
                nursery.start_soon(self._trade)
                nursery.start_soon(self._look_after)

    def _embedded(self, vault: Vault, port: LocalPort) -> Module:
        return Module(
            vault,
            counter=self.store.counter if isinstance(self.store, InFile) else None,
            pad=Keypad(self._pad_opened),
            mobile=port.open,
            entropy=self._draws,
            now=self.machine.now,
            steady=self.machine.steady,
            show=self._show,
        )

    def discard(self, serial: str) -> None:
        """Another module takes the place of this one, which nobody may use any more."""
        if self.serial == serial:
            self._is_discarded = True
            self.machine.lose_power(killed=True)

    def _opened(self) -> Vault:
        if self._is_discarded:
            self._is_discarded = False
            self._replace()
        try:
            return self.store.open()
        except (StoreFailed, ErasureFailed):  # the disk did not do its work: it is tried again
            raise
        except InsituError as error:
            self.machine.tell(str(error))
            self.world.see(StoreFound(self.serial, self.store.can_lie))
            self._replace()
            return self.store.open()

    def _replace(self) -> None:
        """The module or its store is of no use any more: another one takes its place, with a store of another make."""
        self._modules += 1
        self.serial, self.record = f"{self.machine.name}-{self._modules}", None
        self.world.trace.write(self.machine.name, f"is replaced by {self.serial}")
        self.technician.terminals[self.serial] = self
        self.world.network.places[self.serial] = self.machine
        self.store = InMemory(self.machine, self._wrote, f"store {self._modules}")
        if self.option is TrustOption.TICKET:  # none is left
            self.option = TrustOption.CERTIFICATES
        self._journal.clear()
        self._epochs.clear()
        self.deliver()
        self.store.spared = False

    def _adopt(self, error: InsituError, vault: Vault) -> None:
        """An operator is told that the store is an old copy: a new counter, then a reset."""
        record = decode_record(ModuleRecord, given(vault.record), **RECORD_LIMITS)
        if isinstance(self.store, InFile):
            self.world.see(StoreFound(self.serial, self.store.can_lie))
            self.store.replace_counter(record.generation)
        self._must_reset = True

    def _ask(self, **request: object) -> None:
        try:
            self._asked.send_nowait(json.dumps(request))
        except trio.WouldBlock:
            return

    async def _trade(self) -> None:
        """Customers come; to a machine that has finished, none any more."""
        number = 0
        while True:
            await trio.sleep(self.chance.pause(TRADE_SECONDS))
            module = given(self.module)
            if not module.at_work.online or (self.world.calm and self.has_finished):
                continue
            number += 1
            match self.chance.whole(0, 9):
                case 0:
                    await self._use_key(module)
                case 1:
                    content = f"{self.serial}/{self.world.now()}/{number}/{self.chance.whole(0, 1 << 30)}".encode()
                    self.world.history.given[content] = self.serial
                    self._ask(send=content.hex())
                case _:
                    card = f"{CARD_NUMBERS}{self.chance.whole(0, 99_999_999):08d}"
                    amount = self.chance.whole(1, 600) * 100
                    about = {"card": card, "account": "DE02100100109307118603", "amount": amount, "currency": "EUR"}
                    self._ask(authorize=about)

    async def _use_key(self, module: Module) -> None:
        record = module.record
        held = next((each for each in record.keys if _is_for_macs(module, each.label)), None)
        try:
            await module.at_work.use(SecretUsage.MAC, Cmac(b"data"))
        except InsituError as error:
            self.machine.tell(str(error))
        else:
            if held is not None:
                self.world.see(SecretServed(self.serial, held.not_after, self.world.now()))

    async def _look_after(self) -> None:
        """Somebody calls the technician, or resets the module by hand if its host refuses it for long."""
        self._offline_since = trio.current_time()
        while True:
            await trio.sleep(LOOK_SECONDS * self._pace())
            module = given(self.module)
            for each in module.at_work.unsettled:
                if each.instructed is not None:  # it could not be written before
                    self._ask(settle={"number": each.number, "paid": self._journal.get(each.number, 0)})
            if module.state is not ModuleState.OPERATING:
                self._must_reset = False
                self._offline_since = trio.current_time()
                module.unlock()
                self.technician.call(self)
            elif module.at_work.online:
                self._offline_since = trio.current_time()
            elif trio.current_time() - self._offline_since > OFFLINE_SECONDS:
                self._offline_since = trio.current_time()
                self._must_reset = True
            if self._must_reset and module.state is ModuleState.OPERATING:
                self.reset_by_hand("it cannot work")

    @property
    def has_finished(self) -> bool:
        """Whether it operates, has served a customer since the world is calm, and owes nobody anything."""
        module, record = self.module, self.record
        if module is None or record is None or not self.machine.on or not module.at_work.online:
            return False
        return self.served > 0 and not record.open and not record.outbox

    @property
    def standing(self) -> str:
        """How it does, for people."""
        record, online = given(self.record), self.module is not None and self.module.at_work.online
        owes = f"{len(record.open)} open, {len(record.outbox)} to be sent"
        return f"{self.option.text}, {record.condition.name.lower()}, {'on' if online else 'off'}line, {owes}"

    def reset_by_hand(self, why: str) -> None:
        """A person resets the module."""
        self.world.trace.write(self.serial, f"is reset by hand: {why}")
        self._ask(reset="by hand")

    async def _pad_opened(self) -> trio.abc.ReceiveStream:
        """The operator opens the envelope and keys in what stands there, as well as he can."""
        here, there = memory_pair()
        typed = self.envelope
        if self.world.befalls(Trouble.WRONG_SECRET, self.chance, self.serial):
            typed = typed[:5] + typed[6:7] + typed[5:6] + typed[7:]
        await here.send_all(typed.encode() + b"\r")
        return there

    # What is seen

    def _show(self, note: object) -> None:
        self.machine.note(note)
        match note:
            case KeyMade(key):
                self.displayed = key.public.data
                self.world.history.keep_secret(given(self.module).keys, key)
                self.world.history.points.setdefault(self.serial, set()).add(key.public.data)
            case Secured():
                self.world.see(ChannelSecured(self.option, note))
            case PayOutInstructed(number, approved, amount):
                self.world.see(PayOutShown(self.serial, number, amount))
                self._journal[number] = amount
                self._count_life()
                if approved:
                    self._ask(settle={"number": number, "paid": amount})
                self.served += self.world.calm
            case OutcomeWanted(number):
                self._ask(settle={"number": number, "paid": self._journal.get(number, 0)})
            case InstructionCame(number):
                self._ask(take=number)
            case _:
                pass

    def _wrote(self, data: bytes, vault: Vault) -> None:
        after = decode_record(ModuleRecord, data, **RECORD_LIMITS)
        before = None if self.serial in self.world.history.tainted else self.record
        self.world.trace.write(self.serial, f"wrote generation {after.generation}, {after.condition.name.lower()}")
        self.world.see(ModuleWrote(self.serial, before, after, vault))
        if self.record is not None and after.epoch > self.record.epoch:
            self._count_life()
        self.record = after

    def _count_life(self) -> None:
        """The module was personalized, and has been used or reset since."""
        record = given(self.record)
        if record.module is not None and record.epoch not in self._epochs:
            self._epochs.add(record.epoch)
            self.world.lives += 1


def _is_for_macs(module: Module, label: str) -> bool:
    secret = module.keys.find_secret(label)
    return secret is not None and secret.usage is SecretUsage.MAC
