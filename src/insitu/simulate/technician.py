"""A personalization unit in a simulated world: a technician with a card, two people who approve, and a book of TANs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from ..protocol.channel.trust.calling import by_key
from ..protocol.engine import InsituError, PublicKey
from ..protocol.keys.certificates import key_digest
from ..protocol.keys.codes import DECIMAL, write_symbols
from ..protocol.keys.tans import TanForm
from ..protocol.keys.vault import MemoryVault
from ..protocol.messages import CardRole, Job, ListJob, TrustOption
from ..protocol.parties.card_data import Certified
from ..protocol.parties.unit import ModulePersonalized
from ..protocol.progress import Secured
from ..protocol.stores.card_log import Intent, ListIntent, Result
from ..shell.calls import Calls, Switchboard
from ..shell.card import Card
from ..shell.far_link import ByChannel
from ..shell.local_link import AtMobile
from ..shell.mobile import Mobile, convey
from ..shell.trusting import Means
from ..shell.unit import Unit
from ..transports.errors import TransportError
from ..transports.links import Address, open_link, serve_links
from .history import CardLogged, ChannelSecured, ModuleReportedDone
from .machine import Machine
from .office import Office
from .plan import Trouble
from .stores import InMemory
from .watched_book import WatchedBook
from .world import PIN_WORDS

if TYPE_CHECKING:
    from .site import Site
    from .world import World

PEOPLE: Final = ("alice", "bob", "carol", "dave")
DAY: Final = 24 * 3600
SALT_BYTES: Final = 32
"""Of a module's job; nothing else that a card draws has as many."""


class Technician:
    """A unit with its card, on one machine.

    Attributes:
        card: as its program has it now.
        customer: the name on it.
        central: the certificate of the customer's host, as this card made it; DER.
        calls: the sites that wait for a visit.
        office: the unit in the network with the same card, if there is one.

    """

    def __init__(self, world: World, name: str, customer: str) -> None:
        self.world = world
        self.customer = customer
        self.machine = Machine(world, name)
        self.machine.on = True  # until the world begins, nothing runs on it
        self.store = InMemory(self.machine, lambda record, vault: None)
        self._draws = self.machine.chance.of("draws").draw
        self._same_salt = world.befalls(Trouble.SAME_SALT, self.machine.chance.of("salt"), name)
        self._people = self.machine.chance.of("people")
        self._paper = MemoryVault(self.machine.chance.of("book").draw, repeatable=True)
        self.book = WatchedBook(world, self._paper, self.machine.chance.of("tans").draw, self.machine.now)
        self.card = self._taken()
        self.central = b""
        self.calls: list[Site] = []
        self._called = trio.Event()
        self.lines = Address("memory", f"{name}/calls")
        world.network.places[self.lines.place] = self.machine
        self._phone = Mobile(MemoryVault(self.machine.chance.of("phone").draw, repeatable=True))
        self._phone.establish(f"phone of {name}")
        known = {by_key(self._phone.key.public): "ours"}
        self._board = Switchboard(lambda: known, show=self._show)
        self._logged = self._cards = 0
        self.office = Office(self)
        self._visited: Site | None = None

    def _taken(self) -> Card:
        return Card(self.store.open(), entropy=self._numbers, now=self.machine.now, show=self._show)

    def _numbers(self, size: int) -> bytes:
        """Random numbers of the card; of some, all salts are the same."""
        return bytes(size) if self._same_salt and size == SALT_BYTES else self._draws(size)

    def replace_card(self) -> None:
        """The card is lost; there is another one, as blank as any."""
        self.machine.lose_power()
        self._cards += 1
        self.store = InMemory(self.machine, lambda record, vault: None, f"card {self._cards}")
        self._logged = 0
        self.machine.on = True
        self.card = self._taken()
        self.furnish()
        self.machine.on = False

    def furnish(self) -> None:
        """Take a new card into use, and have the unit certified."""
        pins = {person: _pin(person) for person in PEOPLE}
        customer = self.world.manufacturer.sign_customer(self.card.furnish(self.customer, pins))
        self.card.install(self.world.root, customer)
        self.world.history.customers.add(customer)
        self.certify(CardRole.UNIT, self.machine.name, self.card.authentication.public)

    def certify(self, role: CardRole, subject: str, public: PublicKey) -> bytes:
        """A certificate by the card, DER."""
        der = self.card.certify(self.approve(role, subject, public), public)
        self.look_at_log()
        if role is CardRole.CENTRAL:
            self.central = der
            self.world.history.centrals.add(der)
        return der

    def approve(self, role: CardRole, subject: str, public: PublicKey | None = None) -> bytes:
        """Have two people approve a job; its number.

        Raises:
            InsituError: the card does not work, or they mistyped their PINs.

        """
        return self.have_approved(self.card.propose(role, subject, public=public))

    def have_approved(self, job: Job | ListJob) -> bytes:
        """The same, for a job that is open."""
        able = [each.name for each in self.card.record.people if each.failures < 4 and each.name not in job.approvals]
        for person in self._people.some_of(able, 2 - len(job.approvals)):
            if not self.store.spared and self.world.befalls(Trouble.WRONG_PIN, self._people, person):
                self.card.approve(job, person, b"mistyped")
            self.world.history.approved.setdefault(job.number, set()).add(person)
            self.card.approve(job, person, _pin(person))
        return job.number

    def revoke(self, serial: str) -> bytes:
        """A revocation list by the card with all certificates that it made for this module, DER.

        Raises:
            InsituError: it made none, does not work, or somebody mistyped his PIN.

        """
        job = self.card.propose_list(self.card.numbers_of(serial))
        try:
            return self.card.sign_list(self.have_approved(job))
        finally:
            self.look_at_log()

    # The unit's program

    def call(self, site: Site) -> None:
        """A site wants a visit, or calls itself."""
        if site.calls_unit:
            self.office.expect(site)
        if site not in self.calls and (site.is_racing or not site.calls_unit):
            self.calls.append(site)
            self._called.set()
            self._called = trio.Event()

    async def run(self) -> None:
        """The unit's program, from the start: one visit after the other."""
        self.store.spared = False
        self.card = self._taken()
        self.look_at_log()
        about: dict[str, Any] = {"entropy": self._draws, "now": self.machine.now, "show": self._show}
        unit = Unit(self.card, self.central, compare=self._compare, means=self._means, **about)
        calls = Calls(
            self._board,
            self.card.record.name,
            self.card.authentication,
            self.card.keys,
            tell=self._tell,
            entropy=self._draws,
            now=self.machine.now,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_links, self.lines, calls.attend))
            nursery.start_soon(self.office.run)
            await self._travel(unit)

    async def _travel(self, unit: Unit) -> None:
        while True:
            while not self.calls:
                await self._called.wait()
            site = self.calls.pop(0)
            await trio.sleep(self._people.between(0.5, 3.0))
            try:
                await self._visit(unit, site)
            except (InsituError, TransportError) as error:
                self._tell(str(error))
            finally:
                self._visited = None
                self.look_at_log()
            _ = self.card.record  # where nobody knows what the store holds, the program ends by that

    async def _visit(self, unit: Unit, site: Site) -> None:
        self._visited = site
        try:
            self.approve(CardRole.MODULE, site.serial)
        except InsituError:
            if not self.world.befalls(Trouble.IMPATIENCE, self._people, self.machine.name):
                raise
        self.book.unlock(site.serial)
        if site.option is TrustOption.TAN:
            self.issue_tan(site)
        place = site.serial
        if self.world.befalls(Trouble.IMPOSTOR, self._people, site.serial):
            place = site.impostor.place
        async with await open_link(Address("memory", place)) as link:
            meet = partial(unit.personalize, link.stream, site.serial, site.option, wired=link.attests_wired)
            if site.option is not TrustOption.CONVEYED:
                await meet()
                return
            with trio.CancelScope() as scope:
                await _both(meet, partial(self._convey, site), scope)

    async def _convey(self, site: Site) -> None:
        """A person with a mobile stands at the module until the number is through."""

        async def dial(_: AtMobile) -> trio.abc.Stream:
            return (await open_link(self.lines)).stream

        phone, unit = self._phone, key_digest(self.card.authentication.public)
        about: dict[str, Any] = {"entropy": self._draws, "now": self.machine.now, "show": self._show}
        far = ByChannel(dial, phone.name, phone.key, phone.keys, unit, **about)
        while True:
            try:
                near = await open_link(site.port)
                await convey(near.stream, site.serial, far, entropy=self._draws, show=self._show)
            except (InsituError, TransportError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._tell(f"mobile: {error}")
            await trio.sleep(1.0)

    def _tell(self, line: str) -> None:
        self.world.see_line(self.machine, line)

    def issue_tan(self, site: Site, *, anew: bool = True) -> None:
        """Put a new TAN into an envelope, in place of one that nobody has used; without `anew`, only where none is."""
        serial = site.serial
        if any(tan.serial == serial for tan in self.book.record().tans):
            if not anew:
                return
            self.book.revoke(serial)
        self.book.issue(serial, TanForm(), not_after=self.machine.now() + DAY)
        site.envelope = write_symbols(self.book.take_to_print(serial), DECIMAL)

    def _compare(self, public: PublicKey) -> bool:
        """The person looks at the module's display."""
        return self._visited is not None and self._visited.displayed == public.data

    def _means(self, serial: str) -> Means:
        site = self.world.sites[serial]
        mobiles = self._board.place(serial) if site.option is TrustOption.CONVEYED else None
        return Means(shipped_key=site.shipped_key, secret=site.secret, book=self.book, mobiles=mobiles)

    def _show(self, note: object) -> None:
        self.see(note)
        if isinstance(note, Secured) and self._visited is not None:
            self.world.see(ChannelSecured(self._visited.option, note))

    def see(self, note: object) -> None:
        """A note of either of its units."""
        self.world.see_note(self.machine, note)
        if isinstance(note, Certified):
            self.look_at_log()  # before the certificate leaves
        if isinstance(note, ModulePersonalized):
            self.world.see(ModuleReportedDone(note.serial, note.certificate))

    def look_at_log(self) -> None:
        """See what the card has written into its log since the last look."""
        try:
            lines = self.card.record.log
        except InsituError:  # nobody knows what its store holds before it is opened again
            return
        for line in lines[self._logged :]:
            what = _happening(line)
            if what is not None:
                self.world.see(CardLogged(self.machine.name, what))
        self._logged = len(lines)


async def _both(
    task: Callable[[], Awaitable[object]], beside: Callable[[], Awaitable[None]], scope: trio.CancelScope
) -> None:
    """Do the task, and the other one until it is done; an error of the task goes up as it is."""
    failed: list[Exception] = []

    async def first() -> None:
        try:
            await task()
        except (InsituError, TransportError) as error:
            failed.append(error)
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        nursery.start_soon(beside)
    if failed:
        raise failed[0]


def _pin(person: str) -> bytes:
    return f"{PIN_WORDS}{person}".encode()


def _happening(line: bytes) -> Intent | ListIntent | Result | None:
    """What a line of the log says, as somebody else would read it."""
    said = json.loads(line)
    job = bytes.fromhex(said.get("job", ""))
    if said["kind"] == Intent.kind:
        approvers, signed = tuple(said["approvers"]), bytes.fromhex(said["to_be_signed"])
        return Intent(job, said["role"], said["subject"], approvers, signed, bytes.fromhex(said.get("standing", "")))
    if said["kind"] == ListIntent.kind:
        added, digest = tuple(map(bytes.fromhex, said["added"])), bytes.fromhex(said["digest"])
        return ListIntent(job, said["list_number"], added, said["next_update"], tuple(said["approvers"]), digest)
    if said["kind"] == Result.kind:
        return Result(job, bytes.fromhex(said["signature"]), bytes.fromhex(said["fingerprint"]))
    return None
