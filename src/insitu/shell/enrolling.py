"""A card enrols at a central system over a link (L14): one session of either side."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import CardEnrolling, CentralEnrolling
from ..protocol.driver import run
from ..protocol.engine import InsituError, StateError, UsageError
from ..protocol.keys.certificates import Role, VerifiedCertificate, trusted_root, verify_issued
from ..protocol.keys.revocation import VerifiedCrl, read_crl
from ..protocol.messages import Purpose
from ..protocol.parties.card_enrolling import CARD_ENROLLING, CardEnrolled, CardEnrollingData, CardEnrollingState
from ..protocol.parties.central_enrolling import (
    CENTRAL_ENROLLING,
    CentralEnrollingData,
    CentralEnrollingState,
    Enrollment,
    IssuerEnrolled,
)
from ..protocol.ports import Ports
from ..protocol.session import Session
from ..protocol.stores.registry import Issuer
from ..transports.errors import TransportError
from ..transports.links import Address, Link, serve_links
from .aside import Aside
from .card import Card
from .central import Central
from .keeping import Heard, Show, ignore, wall_clock


async def enrol(
    card: Card,
    stream: trio.abc.Stream,
    central: bytes,
    *,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
    now: Callable[[], int] = wall_clock,
    show: Show = ignore,
) -> CardEnrolled:
    """Have the card's signing key entered at the central system at the other end of `stream`.

    Args:
        card: with the certificate of its authentication key.
        stream: the link, which is closed afterwards.
        central: SHA-256 of the SubjectPublicKeyInfo of the central system's key, learned over another path.
        entropy: so many fresh random bytes.
        now: unix seconds.
        show: gets notes and progress.

    Raises:
        StateError: the card lacks a certificate.
        InsituError: the session did not end in good order. If it ended while the central system's answer was
            awaited, the key may have been entered; doing it again is harmless.

    """
    heard = Heard(show)

    async with stream:
        customer, unit = card.customer, card.unit
        own = await Aside(card.keys)(lambda: card.authentication)
        terms = CardEnrolling.of(customer, unit, own, central, now=now())
        card.check_counts(verify_issued(card.unit, card.customer, Role.UNIT, now=None))
        handshake = Handshake.initiate(terms, Purpose.ENROLL, entropy(64))
        data = CardEnrollingData(own, card.customer.der)
        session = Session(CARD_ENROLLING, CardEnrollingState.READY, data, handshake)
        await run(session, stream, Ports(card.keys, show=heard.note), now=now)
    found = heard.first(CardEnrolled)
    if found is None:
        raise StateError("not enrolled", who="card", expected="the central system's answer", got=session.state.name)
    return found


def _list_of(central: Central, root: VerifiedCertificate) -> VerifiedCrl | None:
    """The manufacturer's newest revocation list that is here."""
    found = next((crl for crl in central.registry.crls() if crl.issuer == root.fingerprint), None)
    return None if found is None else read_crl(found.der, root)


async def admit(
    central: Central, stream: trio.abc.Stream, root: bytes, customer: bytes, *, actor: str, show: Show = ignore
) -> Issuer:
    """Enter the signing key of the card at the other end of `stream`, if it is the one that is meant.

    The caller answers for the paths that `root` and `customer` came by (L9, L14).

    Args:
        central: the central system; it needs no certificate yet.
        stream: the link, which is closed afterwards.
        root: the manufacturer's certificate, DER.
        customer: SHA-256 of the certificate of the card's signing key, 32 bytes.
        actor: for the audit trail.
        show: notes and progress.

    Raises:
        UsageError: customers of another manufacturer are trusted already.
        InsituError: the session did not end in good order; nothing was entered unless the registry has it.

    """
    heard = Heard(show)
    async with stream:
        central.check_root(root)
        name, key = central.record.name, central.key
        crl = await central.ask(lambda: _list_of(central, trusted_root(root)))
        terms = CentralEnrolling.of(name, key, trusted_root(root), customer, crl=crl)
        handshake = Handshake.respond(terms, frozenset({Purpose.ENROLL}), central.entropy(64))
        data = CentralEnrollingData(name, key)
        session = Session(CENTRAL_ENROLLING, CentralEnrollingState.LISTENING, data, handshake)
        await run(session, stream, ports_of_central(central, root, heard.note, actor=actor), now=lambda: central.now)
    found = heard.first(IssuerEnrolled)
    if found is None:
        raise StateError("nobody enrolled", who="central", expected="a card", got=session.state.name)
    return found.issuer


def ports_of_central(central: Central, root: bytes, show: Show, *, actor: str) -> Ports:
    """The ports of such a session at the central system; for the arguments see `admit`."""

    def commit(record: object, _: frozenset[str] | None) -> None:
        if not isinstance(record, Enrollment):
            raise UsageError("not an enrollment", who="central", got=type(record).__name__)
        central.admit(root, record.issuer, actor=actor, how=record.how)

    return Ports(central.keys, commit=commit, show=show, blocking=central.blocking)


async def wait_for_card(
    central: Central,
    address: Address,
    root: bytes,
    customer: bytes,
    *,
    actor: str,
    ready: Callable[[str], None],
    tell: Callable[[str], None],
    show: Show = ignore,
) -> None:
    """Listen until the card that is meant has enrolled; whoever else comes is refused and told of.

    Args:
        central: the central system.
        address: where to listen.
        root: the manufacturer's certificate, DER.
        customer: SHA-256 of the certificate of the card's signing key, 32 bytes.
        actor: for the audit trail.
        ready: is told the address once it is open.
        tell: gets a line for each error.
        show: notes and progress.

    Raises:
        LinkError: why nobody can be awaited there.

    """
    async with trio.open_nursery() as nursery:

        async def meet(link: Link) -> None:
            try:
                await admit(central, link.stream, root, customer, actor=actor, show=show)
            except (InsituError, TransportError) as error:
                tell(str(error))
            else:
                nursery.cancel_scope.cancel()

        places: list[Address] = await nursery.start(partial(serve_links, address, meet))
        ready(str(places[0]))
