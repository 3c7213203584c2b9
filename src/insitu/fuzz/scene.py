"""A small installation that is the same in every process: all parties before and after one module's personalization.

Entropy comes from names, signatures are deterministic (RFC 6979), the clock stands still. What was made once is copied
for each input, so that nothing that one input did is there for the next.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final

import trio

from ..protocol.engine import KeyKind, PublicKey, SecretAlgorithm, SecretUsage
from ..protocol.keys.certificates import Role, trusted_root, verify_issued
from ..protocol.keys.codes import DECIMAL, write_symbols
from ..protocol.keys.requests import read_request
from ..protocol.keys.software import SoftwareKeyStore
from ..protocol.keys.tans import TanForm
from ..protocol.keys.vault import OwnVault
from ..protocol.messages import Authorize, CardRole, PayOut, TrustOption
from ..protocol.parties.unit import ModulePersonalized
from ..protocol.stores.memory_registry import MemoryRegistry
from ..protocol.stores.registry import Change, ModuleEntry, Standing
from ..shell.book import Book
from ..shell.card import Card
from ..shell.central import Central
from ..shell.manufacturer import Manufacturer
from ..shell.module import Module
from ..shell.operator import order_key
from ..shell.trusting import Means
from ..shell.unit import Unit
from ..transports.memory import memory_pair
from .courier import Courier

NOW: Final = 1_800_000_000
SERIAL: Final = "SN-1"
PINS: Final = {"alice": b"2580-alice", "bob": b"1470-bob"}
SECRET: Final = b"correct horse battery"
SHIPPED_KEY: Final = bytes(range(16))
DAY: Final = 24 * 3_600


class Named:
    """Entropy that repeats: the n-th draw of a name is always the same.

    Attributes:
        drawn: everything that was given out.

    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.drawn: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        """`size` bytes."""
        drawn = hashlib.shake_256(f"{self._name}/{len(self.drawn)}".encode()).digest(size)
        self.drawn.append(drawn)
        return drawn


@dataclass(frozen=True)
class Kept:
    """What a vault holds."""

    record: bytes | None
    pairs: dict[str, tuple[KeyKind, bytes]]
    secrets: dict[str, tuple[SecretUsage, SecretAlgorithm, bytes]]


class CopiedVault(OwnVault):
    """A vault in memory that can be copied, here and nowhere else: what is in it protects nothing."""

    def __init__(self, name: str, kept: Kept | None = None) -> None:
        self._software = SoftwareKeyStore(Named(name), repeatable=True)
        super().__init__(self._software, None, frozenset())
        if kept is None:
            return
        for label, (kind, private) in kept.pairs.items():
            self._software.restore_sealed(label, kind, private)
        for label, secret in kept.secrets.items():
            self._software.restore_sealed_secret(label, *secret)
        if kept.record is not None:
            self.commit(kept.record, self.labels())

    def _make_durable(self, record: bytes | None, keep: frozenset[str], *, erase: bool) -> None:
        """There is no medium."""

    def kept(self) -> Kept:
        """What is in it now."""
        pairs, secrets = {}, {}
        for label in self.labels():
            pair, secret = self.find(label), self.find_secret(label)
            if pair is not None:
                pairs[label] = pair.public.kind, self._software.private_bytes_for_sealing(label)
            elif secret is not None:
                secrets[label] = secret.usage, secret.algorithm, self._software.secret_bytes_for_sealing(label)
        return Kept(self.record, pairs, secrets)


@dataclass(frozen=True)
class Scene:
    """What was made once.

    Attributes:
        root, customer, central, unit, module: certificates, DER; `module` is the operating one.
        request: of the central system, DER.
        manufacturer, card, host, delivered, operating, book: what the vaults hold. The card has an approved job for
            the module, the host is the central system, `operating` is the module after its personalization.
        log: the card's log, exported.
        tan: what stands on the envelope.

    """

    root: bytes
    customer: bytes
    central: bytes
    unit: bytes
    module: bytes
    request: bytes
    manufacturer: Kept
    card: Kept
    host: Kept
    delivered: Kept
    operating: Kept
    book: Kept
    log: bytes
    tan: str

    def a_manufacturer(self) -> Manufacturer:
        """The manufacturer."""
        return Manufacturer(CopiedVault("maker now", self.manufacturer), now=now, entropy=Named("maker session"))

    def a_card(self) -> Card:
        """The card, with an approved job for the module."""
        return Card(CopiedVault("card now", self.card), now=now, entropy=Named("card session"))

    def a_module(self, *, operating: bool = False, courier: Courier | None = None) -> Module:
        """The module, delivered or operating; a mobile may be at its second link."""
        vault = CopiedVault("module now", self.operating if operating else self.delivered)
        about: dict[str, Any] = {"entropy": Named("module session"), "now": now, "steady": now, "enter": self.enter}
        return Module(vault, mobile=None if courier is None else lambda: courier.at_module, **about)

    def a_unit(self, card: Card | None = None, courier: Courier | None = None) -> Unit:
        """The unit, with the card in it; whoever is asked agrees. A mobile may call it."""
        card = card or self.a_card()
        about: dict[str, Any] = {"now": now, "entropy": Named("unit session")}
        return Unit(card, self.central, compare=lambda _: True, means=partial(self.means, courier=courier), **about)

    def a_central(self, *, waiting: str = "") -> Central:
        """The central system, which trusts the card; maybe a "key" or a "reset" waits for the module that it knows."""
        vault, about = CopiedVault("host now", self.host), {"now": now, "entropy": Named("host session")}
        central = Central(vault, MemoryRegistry(), decide=decide, blocking=False, **about)  # type: ignore[arg-type]
        central.trust(self.root, self.customer, actor="set-up")
        if not waiting:
            return central
        record, issuer = self.a_module(operating=True).record, trusted_root(self.root)
        customer = verify_issued(self.customer, issuer, Role.CUSTOMER, now=None)
        known = verify_issued(self.module, customer, Role.MODULE, now=None)
        entry = ModuleEntry(
            serial=SERIAL,
            owner=customer.subject,
            issuer=customer.fingerprint,
            epoch=record.epoch,
            fingerprint=known.fingerprint,
            certificate_number=known.serial_number,
            issued=known.not_before,
            first_seen=NOW,
            standing=Standing.OPERATING,
            last_contact=NOW,
        )
        central.registry.commit(Change(entry), at=NOW)
        if waiting == "reset":
            central.registry.order_reset(SERIAL, actor="operator", at=NOW)
        else:
            usage, algorithm = SecretUsage.MAC, SecretAlgorithm.AES
            block, value = central.keys.storage.new_secret_block(usage, algorithm, 128)
            order_key(central, SERIAL, block, value, not_after=NOW + DAY, uses=3, actor="operator")
        return central

    def means(self, serial: str, courier: Courier | None = None) -> Means:
        """What people and documents contribute at the unit."""
        book = Book(partial(CopiedVault, "book now", self.book), now=now, entropy=Named("book session"))
        mobiles = None if courier is None else courier.mobiles
        return Means(shipped_key=SHIPPED_KEY, secret=SECRET, book=book, mobiles=mobiles)

    def enter(self, peer: str) -> str:
        """What the operator keys in at the module."""
        return self.tan


def now() -> int:
    """The time, which is always the same."""
    return NOW


def decide(serial: str, asked: Authorize) -> PayOut:
    """A host that grants everything."""
    return PayOut(number=asked.number, approved=True, amount=asked.amount, reference=f"{serial}/{asked.number}")


@dataclass
class _Making:
    """How it is made, step by step."""

    vaults: dict[str, CopiedVault] = field(default_factory=dict)

    def vault(self, name: str) -> CopiedVault:
        return self.vaults.setdefault(name, CopiedVault(name))

    def about(self, name: str) -> dict[str, Any]:
        return {"now": now, "entropy": Named(f"{name}'s sessions")}

    def certified(self, card: Card, role: CardRole, subject: str, public: PublicKey | None) -> bytes:
        job = self.approved(card, role, subject, public)
        return card.certify(job, public) if public is not None else b""

    def approved(self, card: Card, role: CardRole, subject: str, public: PublicKey | None = None) -> bytes:
        job = card.propose(role, subject, public=public, days=365)
        for person, pin in PINS.items():
            card.approve(job, person, pin)
        return job.number


@cache
def scene() -> Scene:
    """The installation; made once in a process."""
    making = _Making()
    maker = Manufacturer(making.vault("maker"), **making.about("maker"))
    root = maker.establish("Acme Modules")
    card = Card(making.vault("card"), **making.about("card"))
    customer = maker.sign_customer(card.furnish("Bank", PINS))
    card.install(root, customer)
    unit = making.certified(card, CardRole.UNIT, "Bank unit 1", card.authentication.public)
    host = Central(making.vault("host"), MemoryRegistry(), decide=decide, blocking=False, **making.about("host"))
    request = host.establish("Host")
    central = making.certified(card, CardRole.CENTRAL, "Host", read_request(request).public)
    host.trust(root, customer, actor="set-up")
    host.install(central)
    maker.take_tickets(card.order_tickets(making.approved(card, CardRole.TICKETS, "2")))
    module = Module(making.vault("module"), steady=now, **making.about("module"))
    module.initialize(
        SERIAL,
        root,
        lambda made: maker.certify_identity(made.serial, made.key.public),
        shipped_key=SHIPPED_KEY,
        ticket=lambda made: maker.certify_by_ticket("Bank", made.serial, made.key.public),
    )
    module.agree_on(SECRET)
    book = Book(lambda: making.vault("book"), **making.about("book"))
    book.issue(SERIAL, TanForm(), not_after=NOW + DAY)
    tan = write_symbols(book.take_to_print(SERIAL), DECIMAL)
    making.approved(card, CardRole.MODULE, SERIAL)
    kept = {name: vault.kept() for name, vault in making.vaults.items()}
    with ThreadPoolExecutor(1) as other:  # whoever asks may be within a run of trio
        unit_there = Unit(card, central, **making.about("unit"))
        certificate = other.submit(trio.run, _personalize, module, unit_there).result()
    return Scene(
        root,
        customer,
        central,
        unit,
        module=certificate,
        request=request,
        manufacturer=kept["maker"],
        card=kept["card"],
        host=kept["host"],
        delivered=kept["module"],
        operating=making.vault("module").kept(),
        book=kept["book"],
        log=card.export_log(),
        tan=tan,
    )


async def _personalize(module: Module, unit: Unit) -> bytes:
    here, there = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(module.meet_unit, here, TrustOption.CERTIFICATES)
        done = await unit.personalize(there, SERIAL, TrustOption.CERTIFICATES)
    return done.certificate if isinstance(done, ModulePersonalized) else b""
