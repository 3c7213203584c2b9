"""A customer's card in a simulated world, the people who approve its jobs, and the book of TANs that lies beside it.

What a unit does with them is not for here: technician.py visits modules, office.py waits for their calls.
"""

from __future__ import annotations

import json
from typing import Final

from ..protocol.engine import InsituError, PublicKey
from ..protocol.keys.codes import DECIMAL, write_symbols
from ..protocol.keys.tans import TanForm
from ..protocol.keys.vault import MemoryVault
from ..protocol.messages import CardRole, Job, ListJob, StandingJob, StandingPolicy
from ..protocol.parties.card_data import Certified
from ..protocol.parties.unit import ModulePersonalized
from ..protocol.stores.card_log import Intent, ListIntent, Result
from ..shell.card import Card
from .history import CardLogged, ModuleReportedDone, StandingLeft
from .machine import Machine
from .plan import Trouble
from .stores import InMemory
from .surroundings import PIN_WORDS
from .terminal import Terminal
from .watched_book import WatchedBook
from .world import World

POLICY: Final = StandingPolicy(most=1000, days=2)
"""What standing approvals a card here may have."""
PEOPLE: Final = ("alice", "bob", "carol", "dave")
EVERY_SERIAL: Final = "SM-"
"""How the serial numbers of all modules begin."""
DAY: Final = 24 * 3600
SALT_BYTES: Final = 32
"""Of a module's job; nothing else that a card draws has as many."""


class CardHolders:
    """A card on a machine, and its people.

    Attributes:
        card: as its program has it now.
        customer: the name on it.
        central: the certificate of the customer's host, as this card made it; DER.

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
        self._logged = self._cards = 0
        self.card = self._taken()
        self.central = b""

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
        customer = self.world.manufacturer.sign_customer(self.card.furnish(self.customer, pins, policy=POLICY))
        self.card.install(self.world.root, customer)
        self.world.history.customers[customer] = self.customer
        self.certify(CardRole.UNIT, self.machine.name, self.card.authentication.public)

    def certify(self, role: CardRole, subject: str, public: PublicKey) -> bytes:
        """A certificate by the card, DER."""
        der = self.card.certify(self.approve(role, subject, public), public)
        self.look_at_log()
        if role is CardRole.CENTRAL:
            self.central = der
            self.world.history.centrals[der] = self.customer
        return der

    def approve(self, role: CardRole, subject: str, public: PublicKey | None = None) -> bytes:
        """Have two people approve a job; its number.

        Raises:
            InsituError: the card does not work, or they mistyped their PINs.

        """
        return self.have_approved(self.card.propose(role, subject, public=public))

    def have_approved(self, job: Job | ListJob | StandingJob) -> bytes:
        """The same, for a job that is open."""
        able = [each.name for each in self.card.record.people if each.failures < 4 and each.name not in job.approvals]
        for person in self._people.some_of(able, 2 - len(job.approvals)):
            if not self.store.spared and self.world.befalls(Trouble.WRONG_PIN, self._people, person):
                self.card.approve(job, person, b"mistyped")
            self.world.history.approved.setdefault(job.number, set()).add(person)
            self.card.approve(job, person, _pin(person))
        return job.number

    def approve_standing(self, serial: str, others: str, most: int) -> None:
        """Let so many certificates count as approved from now on, unless what is in force covers this module.

        Args:
            serial: of the module.
            others: how the serial numbers begin of all modules that are meant.
            most: how many certificates.

        Raises:
            InsituError: the card does not work, has no room for it, or they mistyped their PINs.

        """
        now = self.machine.now()
        if any(each.covers(serial, now) for each in self.card.standing.values()):
            return
        job = self.card.propose_standing([f"{others}*"], most=most, until=now + DAY)
        self.have_approved(job)
        self.world.history.standing[job.number] = StandingLeft((others,), most)
        self.card.bring_into_force(job.number)

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

    def issue_tan(self, terminal: Terminal, *, anew: bool = True) -> None:
        """Put a new TAN into an envelope, in place of one that nobody has used; without `anew`, only where none is."""
        serial = terminal.serial
        if any(tan.serial == serial for tan in self.book.record().tans):
            if not anew:
                return
            self.book.revoke(serial)
        self.book.issue(serial, TanForm(), not_after=self.machine.now() + DAY)
        terminal.envelope = write_symbols(self.book.take_to_print(serial), DECIMAL)

    def _show(self, note: object) -> None:
        self.see(note)

    def see(self, note: object) -> None:
        """A note of either of its units."""
        self.world.see_note(self.machine.name, note)
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
