"""A card brings a central system its log (L12): one session of either side, or none where both are one program."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import CardEnrolling, CentralSyncing
from ..protocol.driver import run
from ..protocol.engine import InsituError, LookUp, StateError, UsageError
from ..protocol.messages import Purpose
from ..protocol.parties.card_log_data import ReceiptCame
from ..protocol.parties.card_syncing import CARD_SYNCING, CardSyncingData, CardSyncingState, LogWasRead
from ..protocol.parties.central_syncing import (
    CENTRAL_SYNCING,
    CardDoubted,
    CardLogRead,
    CentralSyncingData,
    CentralSyncingState,
)
from ..protocol.parties.log_heads import message_to_sign, signed, signed_by
from ..protocol.parties.log_reading import LogDoubted, read_further
from ..protocol.parties.log_verdict import (
    CardLogClaim,
    CardLogFound,
    CardLogQuery,
    LogHolds,
    check_not_of_the_future,
    check_not_shorter,
    growth_of,
    receipt_for,
    verdict_on,
)
from ..protocol.ports import Ports
from ..protocol.session import Session
from ..protocol.stores.card_log import LogBroken
from ..protocol.stores.card_logs import LogDoubt, LogGrowth
from ..transports.errors import TransportError
from ..transports.links import Address, Link, serve_links
from ..transports.tcp import PeerLimits
from .aside import Aside
from .card import Card
from .central import Central
from .keeping import Heard, Show, ignore, wall_clock

LIMITS = PeerLimits(peers=64, per_host=8)
"""Cards that may be connected at once."""
ACTOR = "central"


async def sync(
    card: Card,
    stream: trio.abc.Stream,
    central: bytes,
    *,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
    now: Callable[[], int] = wall_clock,
    show: Show = ignore,
) -> LogWasRead:
    """Bring the card's log to the central system at the other end of `stream`, and keep its receipt.

    Args:
        card: with the certificate of its authentication key.
        stream: the link, which is closed afterwards.
        central: SHA-256 of the SubjectPublicKeyInfo of the central system's key.
        entropy: so many fresh random bytes.
        now: unix seconds.
        show: gets notes and progress.

    Raises:
        StateError: the card lacks a certificate.
        InsituError: the session did not end in good order; doing it again is harmless.

    """
    heard = Heard(show)
    async with stream:
        customer, unit = card.customer, card.unit
        own, export = await Aside(card.keys)(lambda: (card.authentication, card.signed_log()))
        terms = CardEnrolling.of(customer, unit, own, central, now=now())
        data = CardSyncingData(tuple(entry.line for entry in export.log), export.head or b"")
        session = Session(
            CARD_SYNCING, CardSyncingState.READY, data, Handshake.initiate(terms, Purpose.SYNC, entropy(64))
        )
        await run(session, stream, ports_of_card(card, heard.note), now=now)
    found = heard.first(LogWasRead)
    if found is None:
        raise StateError("not read", who="card", expected="the central system's receipt", got=session.state.name)
    return found


def ports_of_card(card: Card, show: Show) -> Ports:
    """The ports of such a session at the card."""

    def commit(record: object, _: frozenset[str] | None) -> None:
        if not isinstance(record, ReceiptCame):
            raise UsageError("not a receipt", who="card", got=type(record).__name__)
        card.keep_receipt(record.receipt, record.central)

    return Ports(card.keys, commit=commit, show=show, blocking=not card.keys.answers_at_once)


async def take_in(central: Central, stream: trio.abc.Stream, *, show: Show = ignore) -> CentralSyncingState:
    """Read the log of whichever known card is at the other end of `stream`; how it ended.

    Args:
        central: the central system.
        stream: the link, which is closed afterwards.
        show: notes and progress.

    Raises:
        InsituError: the session did not end in good order. A log that is not what its card wrote is marked first.

    """
    async with stream:
        name, key, begun = central.record.name, central.key, central.now
        terms = CentralSyncing.of(name, key, await central.ask(central.issuers))
        handshake = Handshake.respond(terms, frozenset({Purpose.SYNC}), central.entropy(64))
        session = Session(
            CENTRAL_SYNCING,
            CentralSyncingState.LISTENING,
            CentralSyncingData(name, key, at=begun, begun=begun),
            handshake,
        )
        await run(session, stream, ports_of_central(central, show), now=lambda: central.now)
        return session.state


def ports_of_central(central: Central, show: Show) -> Ports:
    """The ports of such a session at the central system."""

    def commit(record: object, _: frozenset[str] | None) -> None:
        match record:
            case LogGrowth():
                central.registry.grow_log(record, actor=ACTOR, at=central.now)
            case LogDoubt():
                central.registry.doubt_log(record, actor=ACTOR, at=central.now)
            case _:
                raise UsageError("nothing about a log", who="central", got=type(record).__name__)

    look_up = partial(_answer, central)
    return Ports(central.keys, commit=commit, look_up=look_up, show=show, blocking=central.blocking)


def _answer(central: Central, question: LookUp) -> object:
    match question.what, question.argument:
        case "card log", CardLogQuery() as query:
            return _recalled(central, query)
        case "verdict on a log", CardLogClaim() as claim:
            verdict = verdict_on(claim)
            if isinstance(verdict, LogHolds):
                central.logs.remember(claim.customer.fingerprint, verdict.log)
            return verdict
    raise UsageError("no such question", who="central", got=question.what)


def _recalled(central: Central, query: CardLogQuery) -> CardLogFound:
    """What is here of the log, and why nothing more is taken from its card, if that is so (S5)."""
    registry, unit, issuer = central.registry, query.unit, query.customer.fingerprint
    known, log = registry.known(unit.subject, unit.fingerprint, unit.serial_number, issuer), registry.card_log(issuer)
    objection = log.doubt
    if known.issuer is None or known.issuer.lost is not None or known.revoked:
        objection = "its signing key is disabled or unknown, or a certificate of it is revoked"
    if not objection and log.head and not signed_by(log.head, unit.public):
        objection = "what was read of its log is signed by another unit, which alone is the card's own"
    return CardLogFound(log, () if objection else central.logs.recall(registry, log), objection)


def read_at_once(central: Central, card: Card, *, show: Show = ignore) -> None:
    """Read the card's log where card and central system are one program: what a session does, without a link.

    Raises:
        LogDoubted, LogBroken: the log is not what the card wrote; the card is marked.
        StateError: nothing is taken from this card any more, or it lacks a certificate.
        InsituError: registry or card do not do their work.

    """
    from ..protocol.keys.certificates import Role, verify_issued

    customer = card.customer
    unit = verify_issued(card.unit, customer, Role.UNIT, now=None)
    found = _recalled(central, CardLogQuery(unit, customer))
    if found.objection:
        raise StateError("log refused", who="central", expected="a card that counts", got=found.objection)
    export, known = card.signed_log(), found.log
    head = export.head or b""
    try:
        check_not_shorter(known, len(export.log))
        further = tuple(entry.line for entry in export.log[known.entries :])
        log = read_further(found.known, further, head, customer, card.authentication.public)
    except (LogDoubted, LogBroken) as error:
        central.registry.doubt_log(LogDoubt(customer.fingerprint, str(error)), actor=ACTOR, at=central.now)
        show(CardDoubted(customer.subject, customer.fingerprint, str(error)))
        raise
    central.logs.remember(customer.fingerprint, log)
    check_not_of_the_future(log, central.now)
    receipt = receipt_for(central.record.name, customer.fingerprint, log, central.now)
    message = signed(receipt.payload, central.keys.sign(central.key, message_to_sign(receipt.payload)))
    growth = growth_of(known, log, head, message, receipt.at)
    central.registry.grow_log(growth, actor=ACTOR, at=central.now)
    card.keep_receipt(message, central.key.public)
    show(CardLogRead(customer.subject, len(log), len(growth.entries)))


async def serve_cards(
    central: Central,
    address: Address,
    *,
    ready: Callable[[str], None],
    tell: Callable[[str], None],
    show: Show = ignore,
) -> None:
    """Read the logs of all cards that come, until cancelled.

    Args:
        central: the central system.
        address: where to listen.
        ready: is told the address once it is open.
        tell: gets a line for each error.
        show: notes and progress.

    Raises:
        LinkError: why nobody can be awaited there.

    """

    async def meet(link: Link) -> None:
        try:
            await take_in(central, link.stream, show=show)
        except (InsituError, TransportError) as error:
            tell(str(error))

    async with trio.open_nursery() as nursery:
        places: list[Address] = await nursery.start(partial(serve_links, address, meet, limits=LIMITS))
        ready(str(places[0]))
