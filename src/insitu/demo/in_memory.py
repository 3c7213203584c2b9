"""The story in memory: all parties in one process, by the same classes that the commands use."""

from __future__ import annotations

import secrets
from functools import partial

import trio

from ..protocol.channel.trust import SHIPPED_BYTES
from ..protocol.engine import PublicKey
from ..protocol.keys.codes import DECIMAL, write_symbols
from ..protocol.keys.requests import read_request
from ..protocol.keys.tans import TanForm
from ..protocol.keys.vault import MemoryVault
from ..protocol.messages import Authorize, CardRole, PayOut, TrustOption
from ..protocol.parties.central_data import ModuleContacted
from ..protocol.parties.unit import ModulePersonalized
from ..protocol.stores.memory_registry import MemoryRegistry
from ..shell import pem
from ..shell.book import Book
from ..shell.card import Card
from ..shell.central import Central
from ..shell.keeping import wall_clock
from ..shell.manufacturer import Manufacturer
from ..shell.module import Module
from ..shell.telling import facts_of, key_fingerprint
from ..shell.trusting import Means
from ..shell.unit import Unit
from ..transports.memory import memory_pair
from ..transports.tap import Tap
from . import stage as names
from .mobile_in_memory import MobileInMemory
from .report import DemoFailed, Report
from .stage import PAYMENT, Stage


async def act_in_memory(stage: Stage, report: Report) -> None:
    """Act the whole life."""

    def show(note: object) -> None:
        facts = facts_of(note)
        if facts is not None:
            report.hear(facts)

    def decide(serial: str, asked: Authorize) -> PayOut:
        return PayOut(number=asked.number, approved=True, amount=asked.amount, reference=f"{serial}/{asked.number}")

    def same_as_shown(public: PublicKey) -> bool:
        return key_fingerprint(public) == report.fingerprints["module"][-1]

    def vault() -> MemoryVault:
        return MemoryVault(secrets.token_bytes)

    pins = {person: stage.pin(person).read_bytes().strip() for person in names.PEOPLE}
    maker, card = Manufacturer(vault()), Card(vault())
    mobile = MobileInMemory(report, show)
    module, central = (
        Module(vault(), enter=lambda _: envelopes[-1], mobile=mobile.local.open, show=show),
        Central(vault(), MemoryRegistry(), decide=decide, blocking=False, show=show),
    )

    def certified(role: CardRole, subject: str, public: PublicKey) -> bytes:
        return card.certify(_approved(card, pins, role, subject, public), public)

    root = maker.establish(names.MANUFACTURER)
    customer = maker.sign_customer(card.furnish(names.CUSTOMER, pins))
    card.install(root, customer)
    unit_der = certified(CardRole.UNIT, names.UNIT, card.authentication.public)
    request = read_request(central.establish(names.CENTRAL))
    central_der = certified(CardRole.CENTRAL, request.subject, request.public)
    central.trust(root, customer, actor=names.CENTRAL)
    central.install(central_der)
    key, password = secrets.token_bytes(SHIPPED_BYTES), secrets.token_urlsafe(6).encode()
    kept, envelopes = vault(), list[str]()
    book = Book(lambda: kept)
    means = Means(shipped_key=key, secret=password, book=book)
    option = next(each for each in TrustOption if each.text == report.trust)
    by_ticket = option is TrustOption.TICKET
    if by_ticket:
        maker.take_tickets(card.order_tickets(_approved(card, pins, CardRole.TICKETS, "1", None)))
    module.initialize(
        names.SERIAL,
        root,
        lambda made: maker.certify_identity(made.serial, made.key.public),
        shipped_key=key,
        ticket=(lambda made: maker.certify_by_ticket(names.CUSTOMER, made.serial, made.key.public))
        if by_ticket
        else None,
    )
    module.agree_on(password)
    for name, der in (("manufacturer", root), ("customer", customer), ("unit", unit_der), ("central", central_der)):
        pem.write_certificate(stage.pem(name), der)
    report.begin_at(module.state.name)
    for round_number in (1, 2):
        _approved(card, pins, CardRole.MODULE, names.SERIAL, None)
        if option is TrustOption.TAN:
            book.issue(names.SERIAL, TanForm(), not_after=wall_clock() + 3600)
            envelopes.append(write_symbols(book.take_to_print(names.SERIAL), DECIMAL))
        unit = Unit(card, central_der, compare=same_as_shown, means=partial(mobile.means, means), show=show)
        here, there = memory_pair()
        wire = Tap(there)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(module.meet_unit, here, option, wired=True))
            if option is TrustOption.CONVEYED:
                nursery.start_soon(mobile.bring, card, nursery)
            result = await unit.personalize(wire, names.SERIAL, option, wired=True)
        if not isinstance(result, ModulePersonalized):
            raise DemoFailed("personalization", expected="a certificate", got=result)
        pem.write_certificate(stage.pem(f"module-{round_number}"), result.certificate)
        report.personalized(sent=wire.sent, received=wire.received)
        if round_number == 1:
            await _work_in_memory(module, central)
    (stage.directory / names.LOG).write_bytes(card.export_log())


def _approved(card: Card, pins: dict[str, bytes], role: CardRole, subject: str, public: PublicKey | None) -> bytes:
    job = card.propose(role, subject, public=public)
    for person, pin in pins.items():
        card.approve(job, person, pin)
    return job.number


async def _work_in_memory(module: Module, central: Central) -> None:
    """A payment; then, since a reset is ordered, a second session in which nothing else happens."""
    online = trio.Event()

    def note(shown: object) -> None:
        if isinstance(shown, ModuleContacted):
            online.set()

    for last in (False, True):
        here, there = memory_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(central.attend, there, also_show=note))
            nursery.start_soon(module.work, here)
            if last:
                continue
            await online.wait()
            while not module.at_work.online:
                await trio.sleep(0)
            answer = await module.at_work.authorize(PAYMENT.card, PAYMENT.account, PAYMENT.amount, PAYMENT.currency)
            await module.at_work.settle(answer.number, answer.amount)
            central.registry.order_reset(names.SERIAL, actor=names.CENTRAL, at=central.now)
            nursery.cancel_scope.cancel()
