"""The world in which the search begins: two banks with a unit each, a module, a stolen one, what an intruder has.

Everything is made by the product's own programs for manufacturer, card and book, once a process: real certificates,
real logs, real approvals. Honest are module SN-1, both banks with their cards and people, the operator, the mobile.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Final

from ..protocol.channel.trust import SHIPPED
from ..protocol.engine import KeyHandle, PublicKey, TableError, given
from ..protocol.keys.certificates import VerifiedCertificate, trusted_root
from ..protocol.keys.codes import DECIMAL, write_symbols
from ..protocol.keys.tans import TanForm
from ..protocol.messages import (
    IDENTITY,
    RECORD_LIMITS,
    CardRecord,
    CardRole,
    ModuleTicket,
    StandingPolicy,
    TrustOption,
    decode_record,
)
from ..protocol.parties.card_record import log_of
from ..protocol.stores.card_log import Failure, Intent, Result
from ..shell.book import Book
from ..shell.card import Card
from ..shell.central import KEY, Central
from ..shell.manufacturer import Manufacturer
from ..shell.module import Module
from .memory import CheckedRegistry, CheckedVault, PowerCut, Repeated, fresh_pair, pins_remembered
from .values import canonical

NOW: Final = 1_800_000_000
"""Unix seconds, for all and always: what depends on time is not for this search."""
DAY: Final = 24 * 3600
SERIAL: Final = "SN-1"
STOLEN: Final = "SN-2"
BANKS: Final = ("Bank", "Bank South")
"""Each with a card, a unit and an approved job for SN-1; whichever comes first is to personalize it (S12)."""
RIVAL: Final = "Rival Bank"
"""A customer of the same manufacturer who is not honest."""
LISTED: Final = (STOLEN, RIVAL, SERIAL, BANKS[0])
"""Whose certificate each of the manufacturer's revocation lists adds: a module's identity or a customer's."""
POLICY: Final = StandingPolicy(most=2, days=1)
"""Of all cards; a card has no standing approval for all that before two people agree to one."""
PINS: Final = {"alice": b"2580-alice", "bob": b"1470-bob"}


def now() -> int:
    """Unix seconds."""
    return NOW


@dataclass(frozen=True)
class Store:
    """What outlives a crash of one party's program, and the key memory that is with it.

    Attributes:
        vault: of a module, a unit's card, or a central system.
        book: of a unit.
        registry: of a central system.
        memory: what the program itself remembers from one session to the next, and a crash takes; None: nothing.
        clock: what the clock of its computer shows, unix seconds; of a unit in the network.

    """

    vault: CheckedVault
    book: CheckedVault | None = None
    registry: CheckedRegistry | None = None
    memory: object = None
    clock: int = NOW

    def fork(self) -> Store:
        """The same once more, from here."""
        book = None if self.book is None else self.book.fork()
        registry = None if self.registry is None else self.registry.fork()
        return Store(self.vault.fork(), book, registry, self.memory, self.clock)

    def restarted(self) -> Store:
        """As a crash leaves it."""
        other = replace(self.fork(), memory=None)
        other.vault.restart()
        return other

    @property
    def identity(self) -> Hashable:
        """What makes it the same as another."""
        book = None if self.book is None else self.book.identity
        registry = None if self.registry is None else self.registry.identity
        return self.vault.identity, book, registry, canonical(self.memory), self.clock


@dataclass(frozen=True)
class Loot:
    """What the intruder has.

    Attributes:
        name: how he got it, for people.
        vault: the key memory with `key`.
        key: that he can prove to hold.
        certificates: for that key, end entity first; empty: a claims set with any name.
        pinned: a certificate that the other side has, for that key or not: only its hash crosses.

    """

    name: str
    vault: CheckedVault = field(repr=False)
    key: KeyHandle
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    pinned: bytes | None = field(default=None, repr=False)


class CheckedCard(Card):
    """The program of a card, which is watched: what it tells, where it ends, and that its log ends what it begins."""

    def __init__(self, vault: CheckedVault, clock: Callable[[], int]) -> None:
        def show(note: object) -> None:
            vault.told = True

        entropy = Repeated(f"card {sha256(vault.record or b'').hexdigest()}")
        super().__init__(vault, entropy=entropy, now=clock, show=show)
        self._watched = vault

    def ask(self, event: object) -> list[object]:
        """Whatever somebody asks at its desk, also what none of our programs would."""
        return self._submit(event)

    def _submit(self, event: object) -> list[object]:
        vault, before, is_cut = self._watched, _unfinished(self._watched.record), False
        try:
            return super()._submit(event)
        except TableError as error:
            vault.amiss = str(error)
            raise
        except PowerCut:
            is_cut = True
            raise
        finally:
            vault.told = False
            if not is_cut and _unfinished(vault.record) - before:
                vault.amiss = "the card's log does not say how it ended"


@lru_cache(maxsize=4096)
def _unfinished(record: bytes | None) -> frozenset[bytes]:
    """The jobs that a card has begun, and of which its log does not say how they ended."""
    if record is None:
        return frozenset()
    log = [entry.what for entry in log_of(decode_record(CardRecord, record, **RECORD_LIMITS))]
    ended = {what.job for what in log if isinstance(what, (Result, Failure))}
    return frozenset(what.job for what in log if isinstance(what, Intent)) - ended


def card_of(vault: CheckedVault, clock: Callable[[], int] = now) -> CheckedCard:
    """The program of a card, which draws other numbers as soon as anything has changed; `clock`: of its computer."""
    return CheckedCard(vault, clock)


def book_of(vault: CheckedVault, bank: str) -> Book:
    """The program of a book; a bank's TANs come one after the other, the same in every world."""
    return Book(lambda: vault, entropy=Repeated(f"tan of {bank}"), now=now)


def shipped_key(serial: str) -> bytes:
    """What is printed in the documents of a module."""
    return Repeated(f"shipped {serial}")(16)


def shared_secret(serial: str) -> bytes:
    """What the operator of a module agreed on with the people at the units."""
    return f"correct horse {serial}".encode()


def approve(card: Card, role: CardRole, subject: str, public: PublicKey | None = None) -> bytes:
    """Both people approve; the number of the job."""
    job = card.propose(role, subject, public=public)
    for person, pin in PINS.items():
        if person not in job.approvals:
            card.approve(job, person, pin)
    return job.number


class Maker:
    """A manufacturer and what it makes of customers. `vault`: its books and root key."""

    def __init__(self, name: str, vault: CheckedVault | None = None) -> None:
        self.name = name
        self.vault = vault or CheckedVault(f"maker {name}")
        so_far = len(self.vault.record or b"")  # so that no number is drawn a second time from here
        self.program = Manufacturer(self.vault, entropy=Repeated(f"maker {name} numbers {so_far}"), now=now)
        self.root = self.program.establish(name) if vault is None else self.program.root

    def fork(self) -> Maker:
        """The same once more, from here."""
        return Maker(self.name, self.vault.fork())

    def customer(self, name: str) -> CheckedVault:
        """A furnished card, its unit certified."""
        vault = CheckedVault(f"card {name} of {self.name}")
        card = card_of(vault)
        card.install(self.root, self.program.sign_customer(card.furnish(name, PINS, policy=POLICY)))
        number = approve(card, CardRole.UNIT, f"{name} unit", card.authentication.public)
        card.certify(number, card.authentication.public)
        return vault

    def module(
        self, serial: str, option: TrustOption, *, tickets: bool = True, manufactured_key: bool = False
    ) -> CheckedVault:
        """A delivered module with what the option asks for; `manufactured_key`: and a pair for the first bank."""
        by_ticket = option is TrustOption.TICKET and tickets
        vault = CheckedVault(f"module {serial} of {self.name}")
        module = Module(vault, now=now, steady=lambda: 0)
        module.initialize(
            serial,
            self.root,
            lambda made: self.program.certify_identity(serial, made.key.public),
            manufactured_key=manufactured_key,
            shipped_key=shipped_key(serial) if option is TrustOption.SHIPPED_KEY else None,
            ticket=(lambda made: self.ticket(serial, made.key.public)) if by_ticket else None,
        )
        if option is TrustOption.SECRET:
            module.agree_on(shared_secret(serial))
        vault.restart()
        return vault

    def ticket(self, serial: str, public: PublicKey) -> ModuleTicket:
        """Use up a ticket of the first bank."""
        return self.program.certify_by_ticket(BANKS[0], serial, public)


class _Set:
    """What all options have in common: makers, cards, central systems; two approvals of everything take their time."""

    def __init__(self) -> None:
        self.maker, self.other = Maker("Acme Modules"), Maker("Other Modules")
        self.cards = {bank: self.maker.customer(bank) for bank in BANKS}
        for vault in self.cards.values():
            card = card_of(vault)
            self.maker.program.take_tickets(card.order_tickets(approve(card, CardRole.TICKETS, "4")))
        self.foreign, self.rival = self.other.customer(BANKS[0]), self.maker.customer(RIVAL)
        self.host = CheckedVault("host")
        Central(self.host, CheckedRegistry(), entropy=Repeated("host"), now=now, blocking=False).establish("Host")
        self.host.restart()
        host = given(self.host.find(KEY))
        self.central: dict[str, bytes] = {}
        self.bare: dict[str, CheckedVault] = {}
        for name, vault in (*self.cards.items(), (RIVAL, self.rival), ("foreign", self.foreign)):
            card = card_of(vault)
            key = host if name in BANKS else fresh_pair("host of the intruder")[1]
            self.central[name] = card.certify(approve(card, CardRole.CENTRAL, "Host", key.public), key.public)
            vault.restart()
            self.bare[name] = vault.fork()
            approve(card, CardRole.MODULE, SERIAL)
            vault.restart()


@lru_cache(maxsize=1)
def _set() -> _Set:
    with pins_remembered():
        return _Set()


class Beginning:
    """How things stand before the first move, for one trust option.

    Attributes:
        module: the store of SN-1.
        units: the stores of the units, one a bank.
        networked: that of the first bank's, where no job was approved beforehand.
        central: DER of the central system's certificate, by bank, the rival included.
        host: the key memory of the central system, of both banks.
        office: the manufacturer, before it delivered any module.
        envelopes: what the operator at SN-1 finds in the envelope of a bank.
        root: of the manufacturer.
        loot: the intruder's keys.
        foreign: a card like the first bank's, of another manufacturer: every name is the same, nothing else is.
        rival: the card of the rival.

    """

    def __init__(self, option: TrustOption) -> None:
        every = _set()
        self.office = every.maker.fork()
        maker, other = every.maker.fork(), every.other.fork()
        self.module = Store(maker.module(SERIAL, option))
        self.stolen = maker.module(STOLEN, option)
        self.root = trusted_root(maker.root)
        self.foreign, self.rival, self.central = every.foreign, every.rival, every.central
        self.host = every.host
        self.envelopes: dict[str, str] = {}
        self.units: dict[str, Store] = {}
        for bank, vault in every.cards.items():
            book = CheckedVault(f"book of {bank}")
            if option is TrustOption.TAN:
                self.envelopes[bank] = issue_tan(book, bank)
                book.restart()
            self.units[bank] = Store(vault.fork(), book)
        bank = BANKS[0]
        self.networked = Store(every.bare[bank].fork(), given(self.units[bank].book).fork())
        if option is TrustOption.SECRET:
            book_of(given(self.networked.book), bank).agree(SERIAL, shared_secret(SERIAL))
            given(self.networked.book).restart()
        self.loot = self._loot(self.stolen, other, option)
        self._maker = maker

    def wrong_ticket(self, public: PublicKey) -> ModuleTicket:
        """Made by whoever has the manufacturer's unused tickets, for a key that is no module's."""
        return self._maker.fork().ticket(SERIAL, public)

    @cached_property
    def lists(self) -> tuple[bytes, ...]:
        """The manufacturer's revocation lists, DER, the oldest first; see LISTED."""
        office, made = self._maker.fork().program, list[bytes]()
        for name in LISTED:
            is_module = name in (SERIAL, STOLEN)
            office.revoke(office.number_of_module(name) if is_module else office.number_of_customer(name))
            made.append(office.sign_list())
        return tuple(made)

    def _loot(self, stolen: CheckedVault, other: Maker, option: TrustOption) -> tuple[Loot, ...]:
        own, key = fresh_pair("intruder")
        found = [Loot("a key of his own", own, key)]
        identity = given(stolen.find(IDENTITY))
        certificate = given(Module(stolen, now=now).record.identity)
        found.append(Loot(f"the identity of the stolen {STOLEN}", stolen, identity, (certificate,)))
        twin = other.module(SERIAL, option, tickets=False)
        record = Module(twin, now=now).record
        found.append(
            Loot(
                f"an identity of {SERIAL} by another maker", twin, given(twin.find(IDENTITY)), (given(record.identity),)
            )
        )
        unit = card_of(self.foreign)
        found.append(
            Loot("a unit's by another maker", self.foreign, unit.authentication, (unit.unit, unit.customer.der))
        )
        return tuple(found)

    @property
    def unit_of_rival(self) -> Loot:
        """The rival's unit, which the manufacturer stands behind as behind any other."""
        card = card_of(self.rival)
        return Loot("the unit of another customer", self.rival, card.authentication, (card.unit, card.customer.der))

    def customers(self) -> dict[bytes, VerifiedCertificate]:
        """The honest banks' certificates, by DER."""
        found = [card_of(store.vault).customer for store in self.units.values()]
        return {customer.der: customer for customer in found}


def issue_again(store: Store, bank: str, option: TrustOption) -> None:
    """The operator sees to it that SN-1 has a TAN that can be used, and that no count of wrong attempts bars it."""
    book = book_of(given(store.book), bank)
    if option is TrustOption.TAN and all(tan.serial != SERIAL for tan in book.record().tans):
        issue_tan(given(store.book), bank)
    book.unlock(SERIAL)


def issue_tan(book: CheckedVault, bank: str) -> str:
    """The operator at SN-1 gets an envelope; what is in it."""
    program = book_of(book, bank)
    program.issue(SERIAL, TanForm(), not_after=NOW + DAY)
    return write_symbols(program.take_to_print(SERIAL), DECIMAL)


@lru_cache(maxsize=16)
def beginning(option: TrustOption) -> Beginning:
    """The world of an option, made once a process."""
    return Beginning(option)


__all__ = ["NOW", "SHIPPED", "Beginning", "Loot", "Store", "beginning", "book_of", "card_of"]
