"""A small world that repeats: manufacturer, card, unit, central system, modules, by the same classes as in the field.

Entropy comes from seeds, signatures are deterministic (RFC 6979), the clock stands still unless a test moves it. So a
test that fails shows the same bytes again. How sessions are joined without I/O stands in `pump.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
from courier import Courier
from spake2 import ed25519_basic

from insitu.protocol.channel.trust import SECRET, SHIPPED
from insitu.protocol.engine import KeyHandle, KeyKind, PublicKey, SecretAlgorithm, SecretUsage
from insitu.protocol.keys.certificates import trusted_root
from insitu.protocol.keys.codes import DECIMAL, write_symbols
from insitu.protocol.keys.requests import read_request
from insitu.protocol.keys.revocation import draft_crl
from insitu.protocol.keys.tans import TanForm
from insitu.protocol.keys.vault import MemoryVault, Vault
from insitu.protocol.messages import (
    IDENTITY,
    Authorize,
    CardRole,
    Job,
    ListJob,
    ModuleTicket,
    PayOut,
    TrustOption,
)
from insitu.protocol.parties import card_people as card_rules
from insitu.protocol.parties.work_data import AuthorizationWanted
from insitu.protocol.stores.memory_registry import MemoryRegistry
from insitu.protocol.stores.registry import Command, CommandKind, ModuleEntry
from insitu.shell.book import Book
from insitu.shell.card import Card
from insitu.shell.central import Central
from insitu.shell.manufacturer import Manufacturer
from insitu.shell.module import Module
from insitu.shell.operator import order_key
from insitu.shell.trusting import Means
from insitu.shell.unit import Unit

NOW = 1_800_000_000
"""Unix seconds at which the world begins (January 2027)."""
DAY = 24 * 3600
YEAR = 365 * DAY
SERIAL = "SN-1"
PINS = {"alice": b"2580-alice", "bob": b"1470-bob"}
CARD_NUMBER = "4111111111111111"


class Seeded:
    """Entropy that repeats.

    Attributes:
        drawn: everything that was given out, for tests that look for secrets where none may be.

    """

    def __init__(self, seed: str, used: int = 0) -> None:
        self._seed = seed
        self.drawn: list[bytes] = [b""] * used

    def __call__(self, size: int) -> bytes:
        name = f"{self._seed}/{len(self.drawn)}".encode()
        self.drawn.append(hashlib.shake_256(name).digest(size))
        return self.drawn[-1]


@dataclass
class Clock:
    """Unix seconds, as a test sets them."""

    at: int = NOW

    def __call__(self) -> int:
        return self.at


@contextmanager
def cheap_pins() -> Iterator[None]:
    """A PIN is derived at full cost once and remembered: the same salts come again in every world."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card_rules, "scrypt", cache(card_rules.scrypt))
        yield


@contextmanager
def cheap_exchanges() -> Iterator[None]:
    """What SPAKE2 computes is computed once and remembered: worlds repeat their random scalars as well."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (ed25519_basic.Element, ed25519_basic.ElementOfUnknownGroup):
            patch.setattr(kind, "scalarmult", _remembered(kind.scalarmult))
        yield


def _remembered(multiply: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    known: dict[tuple[object, int], object] = {}

    def scalarmult(element: Any, scalar: int) -> Any:
        at = element.XYTZ, scalar
        if at not in known:
            known[at] = multiply(element, scalar)
        return known[at]

    return scalarmult


def memory(seed: str) -> MemoryVault:
    """An empty vault in memory whose keys and signatures repeat."""
    return MemoryVault(Seeded(seed), repeatable=True)


def restarted(vault: Vault) -> Vault:
    """The vault as a power cut leaves it: what no commit has kept is gone."""
    vault.roll_back()
    return vault


def private_bytes(vault: Vault) -> dict[str, bytes]:
    """The private halves and symmetric keys in a vault by label, for tests that look for them elsewhere."""
    keys = vault._keys
    return {
        label: keys.private_bytes_for_sealing(label) if vault.find(label) else keys.secret_bytes_for_sealing(label)
        for label in vault.labels()
    }


def authorization(number: int = 1, amount: int = 5000) -> Authorize:
    """What an ATM may ask."""
    return Authorize(number=number, card=CARD_NUMBER, account="DE02100100109307118603", amount=amount, currency="EUR")


def wanted(tag: int = 1, amount: int = 5000) -> AuthorizationWanted:
    """What an ATM controller may want."""
    asked = authorization(amount=amount)
    return AuthorizationWanted(tag, asked.card, asked.account, asked.amount, asked.currency)


def approve_all(serial: str, asked: Authorize) -> PayOut:
    """A host that grants everything."""
    return PayOut(number=asked.number, approved=True, amount=asked.amount, reference=f"{serial}/{asked.number}")


@dataclass(frozen=True)
class Stored:
    """What a vault holds, and how often it has drawn entropy."""

    record: bytes | None
    keys: dict[str, tuple[KeyKind | tuple[SecretUsage, SecretAlgorithm], bytes]]
    drawn: int

    @classmethod
    def of(cls, vault: MemoryVault) -> Stored:
        """All of it."""
        source = vault._keys._entropy
        assert isinstance(source, Seeded)
        keys: dict[str, tuple[KeyKind | tuple[SecretUsage, SecretAlgorithm], bytes]] = {}
        for label, private in private_bytes(vault).items():
            pair, secret = vault.find(label), vault.find_secret(label)
            if pair is not None:
                keys[label] = pair.public.kind, private
            elif secret is not None:
                keys[label] = (secret.usage, secret.algorithm), private
        return cls(vault.record, keys, len(source.drawn))

    def restored(self, seed: str) -> MemoryVault:
        """A vault that goes on from here."""
        vault = MemoryVault(Seeded(seed, self.drawn), repeatable=True)
        for label, (kind, private) in self.keys.items():
            if isinstance(kind, KeyKind):
                vault._keys.restore_sealed(label, kind, private)
            else:
                vault._keys.restore_sealed_secret(label, *kind, private)
        if self.record is not None:
            vault.commit(self.record, vault.labels())
        return vault


@dataclass(frozen=True)
class Beginning:
    """What a world begins with: nothing has happened in it yet, or just what a test needs each time.

    What stood in memory only is not part of it: all parties come up anew, at the time of the beginning.
    """

    stored: dict[str, Stored]
    drawn: dict[str, int]
    shown: tuple[object, ...]
    root: bytes
    customer: bytes
    central_certificate: bytes
    registries: dict[str, MemoryRegistry]

    @classmethod
    def of(cls, world: World) -> Beginning:
        """A world as it is now."""
        return cls(
            {name: Stored.of(vault) for name, vault in world.vaults.items()},
            {name: len(source.drawn) for name, source in world._sources.items()},
            tuple(world.shown),
            world.root,
            world.customer,
            world.central_certificate,
            {name: copied(registry) for name, registry in world.registries.items()},
        )


def copied(registry: MemoryRegistry) -> MemoryRegistry:
    """Another registry with the same in it."""
    made = MemoryRegistry()
    for name, content in vars(registry).items():
        if name != "_lock":
            setattr(made, name, deepcopy(content))
    return made


_BEGINNINGS: dict[str, Beginning] = {}


def shipped_key(serial: str) -> bytes:
    """What the documents of a module of the worlds say; in reality it is random."""
    return sha256(serial.encode()).digest()[:16]


def shared_secret(serial: str) -> bytes:
    """What whoever looks after a module of the worlds agreed on with the unit's people."""
    return f"correct horse {serial}".encode()


@dataclass
class World:
    """All parties, ready for the module's first personalization.

    Attributes:
        seed: worlds of different seeds have no key in common.
        clock: of all parties except for the modules.
        module_clock: of the modules.
        steady: the one of theirs that nobody can set.
        shown: every note that any party showed.
        vaults: by name of the party.
        registries: of central systems, by name.
        envelopes: what the operator finds in the last one for a module, by its serial number.
        courier: the mobile, for the option that needs one.
        begun: what it begins with; None: nothing has happened in it.

    """

    seed: str = "world"
    begun: Beginning | None = field(default=None, repr=False)
    clock: Clock = field(default_factory=Clock)
    module_clock: Clock = field(default_factory=Clock)
    steady: Clock = field(default_factory=lambda: Clock(1000))
    shown: list[object] = field(default_factory=list)
    vaults: dict[str, MemoryVault] = field(default_factory=dict)
    registries: dict[str, MemoryRegistry] = field(default_factory=dict)
    envelopes: dict[str, str] = field(default_factory=dict)
    manufacturer: Manufacturer = field(init=False)
    card: Card = field(init=False)
    central: Central = field(init=False)
    module: Module = field(init=False)
    central_certificate: bytes = field(init=False)
    customer: bytes = field(init=False)
    root: bytes = field(init=False)
    courier: Courier = field(init=False)
    _sources: dict[str, Seeded] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.courier = Courier(Seeded(f"{self.seed}/mobile"))
        if self.begun is None and self.seed not in _BEGINNINGS:
            _BEGINNINGS[self.seed] = self._begin()
        self._take_up(self.begun or _BEGINNINGS[self.seed])

    def _begin(self) -> Beginning:
        """Make all parties from nothing; done once for each seed."""
        self.manufacturer = self.new_manufacturer()
        self.root = self.manufacturer.establish("Acme Modules")
        self.card = self.new_card("Bank")
        self.central, self.central_certificate = self.new_central("Host")
        self.module = self.new_module(SERIAL)
        return Beginning.of(self)

    def _take_up(self, begun: Beginning) -> None:
        """Let all parties come up as they were left at the beginning: the same bytes as if made from nothing."""
        self.vaults = {name: each.restored(f"{self.seed}/{name}") for name, each in begun.stored.items()}
        self._sources = {name: Seeded(f"{self.seed}/{name}/sessions", count) for name, count in begun.drawn.items()}
        self.shown[:] = begun.shown
        self.root, self.customer, self.central_certificate = begun.root, begun.customer, begun.central_certificate
        self.manufacturer, self.card = self.new_manufacturer(), self.blank_card()
        self.registries = {name: copied(registry) for name, registry in begun.registries.items()}
        self.central, self.module = self.started_central(), self.blank_module()

    # parties

    def vault(self, name: str) -> MemoryVault:
        """The vault of this name, made when it is first asked for."""
        if name not in self.vaults:
            self.vaults[name] = memory(f"{self.seed}/{name}")
        return self.vaults[name]

    def _about(self, name: str) -> dict[str, object]:
        source = self._sources.setdefault(name, Seeded(f"{self.seed}/{name}/sessions"))
        return {"entropy": source, "show": self.shown.append}

    def new_manufacturer(self, name: str = "manufacturer") -> Manufacturer:
        """A manufacturer, or the same one after a restart."""
        return Manufacturer(restarted(self.vault(name)), now=self.clock, **self._about(name))

    def blank_card(self, name: str = "card") -> Card:
        """A card as its vault says: blank at first."""
        return Card(restarted(self.vault(name)), now=self.clock, **self._about(name))

    def new_card(self, customer: str, name: str = "card") -> Card:
        """A furnished card, its unit certified."""
        card = self.blank_card(name)
        self.customer = self.manufacturer.sign_customer(card.furnish(customer, PINS))
        card.install(self.root, self.customer)
        self.certify(CardRole.UNIT, f"{customer} unit 1", card.authentication.public, card=card)
        return card

    def new_central(self, name: str) -> tuple[Central, bytes]:
        """A central system that trusts this world's card, and its certificate."""
        central = self.started_central(name)
        public = read_request(central.establish(name)).public
        certificate = self.certify(CardRole.CENTRAL, name, public)
        central.trust(self.root, self.card.customer.der, actor="set-up")
        central.install(certificate)
        return central, certificate

    def asking_for_logs(self, *, grace: int = 0) -> Central:
        """The same central system, from now on with the policy that a module's certificate is in its card's log."""
        central = self.central
        self.central = Central(
            central.keys,
            central.registry,
            decide=approve_all,
            grace=grace,
            blocking=False,
            now=self.clock,
            **self._about("central that asks for logs"),
        )
        return self.central

    def close_circle(self, serial: str = SERIAL, *, admitted: bool = True, identity: bool = True) -> None:
        """From now on: a card that only its own central system certified, and a module by policy (L6)."""
        self.card = self.blank_card("circular card")
        wish = read_request(self.card.furnish("Savings Bank", PINS))
        self.central = self.started_central("Circle Host")
        request = self.central.establish("Circle Host")
        self.customer = self.central.certify_customer(wish, days=3650, actor="set-up").der
        self.card.install_circular(request, self.customer)
        self.certify(CardRole.UNIT, "Savings Bank unit 1", self.card.authentication.public)
        self.central_certificate = self.certify(CardRole.CENTRAL, "Circle Host", read_request(request).public)
        self.central.install(self.central_certificate)
        self.module = self.blank_module(serial)
        certify = self.certify_identity if identity else None
        self.module.initialize(serial, self.root, certify, circular=admitted)

    def started_central(self, name: str = "Host") -> Central:
        """A central system as its vault and its registry say."""
        registry = self.registries.setdefault(name, MemoryRegistry())
        vault = restarted(self.vault(f"central {name}"))
        about = self._about(f"central {name}")
        return Central(vault, registry, now=self.clock, decide=approve_all, blocking=False, **about)

    def blank_module(self, serial: str = SERIAL, *, legacy: bool = False) -> Module:
        """A module as its vault says: blank at first."""
        about = self._about(serial)
        vault, mobile = restarted(self.vault(serial)), self.courier.at_module
        about |= {"mobile": mobile, "enter": lambda _: self.envelopes[serial]}
        return Module(vault, legacy=legacy, now=self.module_clock, steady=self.steady, **about)

    def new_module(self, serial: str, *, identity: bool = True, manufactured_key: bool = False) -> Module:
        """A delivered module."""
        module = self.blank_module(serial)
        certify = self.certify_identity if identity else None
        module.initialize(serial, self.root, certify, manufactured_key=manufactured_key)
        return module

    def equip(self, option: TrustOption, module: Module | None = None) -> None:
        """Give the module, late, what it would have got at manufacture for this trust option."""
        module = module or self.module
        keys = module.keys
        if option is TrustOption.SHIPPED_KEY and keys.find_secret(SHIPPED) is None:
            keys.storage.share(SHIPPED, shipped_key(module.record.serial))
            record = replace(module.record, shared=(SHIPPED,))
            module._keeping.commit(record, keys.labels())
        if option is TrustOption.SECRET and keys.find_secret(SECRET) is None:
            module.agree_on(shared_secret(module.record.serial))

        if option is TrustOption.TAN:
            self.issue_tan(module.record.serial)

        if option is TrustOption.TICKET and module.record.ticket is None:
            identity = keys.find(IDENTITY)
            assert identity is not None
            ticket = self.ticket(module.record.serial, identity.public)
            module._keeping.commit(replace(module.record, ticket=ticket), keys.labels())

    def issue_tan(self, serial: str = SERIAL) -> None:
        """The unit issues a TAN, if there is none, and the operator at the module gets the envelope."""
        book = self.book()
        if not any(tan.serial == serial for tan in book.record().tans):
            book.issue(serial, TanForm(), not_after=self.clock() + DAY)
            self.envelopes[serial] = write_symbols(book.take_to_print(serial), DECIMAL)

    def means_for(self, serial: str) -> Means:
        """What people, documents and its own book contribute at the unit."""
        secret, mobiles = shared_secret(serial), self.courier.at_unit(serial)
        return Means(shipped_key=shipped_key(serial), secret=secret, book=self.book(), mobiles=mobiles)

    def book(self) -> Book:
        """The unit's."""
        entropy = self._sources.setdefault("tans", Seeded(f"{self.seed}/tans"))
        return Book(lambda: restarted(self.vault("book")), entropy=entropy, now=self.clock)

    def ticket(self, serial: str, public: PublicKey) -> ModuleTicket:
        """What the manufacturer makes of a ticket of this world's card for an identity key."""
        if not any(each.customer == self.card.record.name for each in self.manufacturer.record.tickets):
            order = self.approved(CardRole.TICKETS, "2")
            self.manufacturer.take_tickets(self.card.order_tickets(order.number))
        return self.manufacturer.certify_by_ticket(self.card.record.name, serial, public)

    def certify_identity(self, made: object) -> bytes:
        """What the manufacturer's bench does with an IdentityMade."""
        return self.manufacturer.certify_identity(made.serial, made.key.public)  # type: ignore[attr-defined]

    def new_unit(
        self,
        card: Card | None = None,
        central: bytes | None = None,
        compare: Callable[[PublicKey], bool] = lambda _: True,
    ) -> Unit:
        """A unit with the card, once more: nothing of earlier sessions is in it."""
        about = self._about(f"unit {len(self.shown)}")
        certificate = central or self.central_certificate
        return Unit(card or self.card, certificate, compare=compare, means=self.means_for, now=self.clock, **about)

    # four eyes

    def approved(
        self,
        role: CardRole,
        subject: str,
        public: PublicKey | None = None,
        *,
        card: Card | None = None,
        days: int = 365,
    ) -> Job:
        """A job that both people have approved."""
        card = card or self.card
        job = card.propose(role, subject, public=public, days=days)
        for person, pin in PINS.items():
            if person not in job.approvals:
                card.approve(job, person, pin)
        return replace(job, approvals=tuple(PINS))

    def certify(
        self, role: CardRole, subject: str, public: PublicKey, *, card: Card | None = None, days: int = 365
    ) -> bytes:
        """A certificate by the card, DER."""
        card = card or self.card
        known = public if role in (CardRole.UNIT, CardRole.CENTRAL) else None
        return card.certify(self.approved(role, subject, known, card=card, days=days).number, public)

    def approved_list(self, *added: bytes, card: Card | None = None, days: int = 90) -> ListJob:
        """A revocation list that both people have approved."""
        card = card or self.card
        job = card.propose_list(added, days=days)
        for person, pin in PINS.items():
            if person not in job.approvals:
                card.approve(job, person, pin)
        return replace(job, approvals=tuple(PINS))

    # the operator of the central system

    def entry(self, serial: str = SERIAL) -> ModuleEntry:
        """What the registry knows of a module that was there."""
        entry = self.central.registry.module(serial)
        assert entry is not None
        return entry

    def load_key(
        self,
        usage: SecretUsage = SecretUsage.MAC,
        algorithm: SecretAlgorithm = SecretAlgorithm.AES,
        *,
        serial: str = SERIAL,
        seconds: int = DAY,
        uses: int = 3,
    ) -> Command:
        """A new symmetric key waits for a module."""
        block, value = self.central.keys.storage.new_secret_block(usage, algorithm, 128)
        until = self.clock() + seconds
        return order_key(self.central, serial, block, value, not_after=until, uses=uses, actor="operator")

    def command(self, kind: CommandKind, content: bytes, serial: str = SERIAL) -> Command:
        """Something waits for a module."""
        return self.central.registry.put_command(serial, kind, content, actor="operator", at=self.clock())

    def order_reset(self, serial: str = SERIAL) -> None:
        """The operator has a module reset."""
        self.central.registry.order_reset(serial, actor="operator", at=self.clock())

    def revocations(self, number: int = 1, *revoked: int) -> bytes:
        """The manufacturer's list, DER."""
        vault = self.vault("manufacturer")
        root = trusted_root(self.root)
        pair = next(each for each in map(vault.find, sorted(vault.labels())) if each and each.public == root.public)
        since = dict.fromkeys(revoked, NOW)
        draft = draft_crl(root, since, number=number, this_update=NOW, next_update=NOW + YEAR)
        return draft.assemble(vault.sign(pair, draft.to_be_signed))

    # secrets

    def private_keys(self) -> dict[str, bytes]:
        """Every private key that exists now, by "vault/label"."""
        return {
            f"{name}/{label}": private
            for name, vault in self.vaults.items()
            for label, private in private_bytes(vault).items()
        }

    def operating_key(self, module: Module) -> KeyHandle | None:
        """The handle of the module's operating pair, if it has one."""
        label = module.record.key
        return None if label is None else self.vault(module.record.serial).find(label)
