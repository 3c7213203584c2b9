"""A personalization unit in the network: it listens, and personalizes every module whose job two people approved (V2).

Parties and tables are those of the field (unit.py); the link is TCP, and who turns up is known when it has proved its
identity, not before. Sessions run side by side and share one card, which answers one question at a time. Its store is
held for the length of a question only, so that people can approve further jobs meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

import trio

from ..protocol.channel.edhoc.credentials import Credential, IdCred
from ..protocol.channel.handshake import Handshake
from ..protocol.channel.opened import ChannelOpened, Peer
from ..protocol.channel.trust import UnitByCertificate
from ..protocol.channel.trust.certificates import own_unit
from ..protocol.channel.trust.stage import ProofStage
from ..protocol.channel.trust.terms import chain_of
from ..protocol.driver import run
from ..protocol.engine import EnvironmentFault, InsituError, KeyHandle, LookUp, StateError, UsageError
from ..protocol.keys.certificates import Role, verify_issued
from ..protocol.keys.revocation import VerifiedCrl, check_unrevoked, read_crl
from ..protocol.keys.vault import Vault
from ..protocol.messages import CardRecord, CardRole, KeyPolicy, Purpose, TrustOption
from ..protocol.parties.unit import UNIT, CardRefused, CertificateNeeded, ModuleCertified, UnitData, UnitState
from ..protocol.ports import Ports
from ..protocol.session import Session
from ..protocol.stores.files import StoreLocked
from ..transports.errors import TransportError
from ..transports.links import Address, Link, serve_links
from ..transports.tcp import PeerLimits
from .card import Card
from .keeping import Show, ignore, wall_clock
from .trusting import NOTHING, UnitHas, check_certified, unit_terms
from .waiting import PATIENCE_SECONDS, opened

R = TypeVar("R")

WATCH_SECONDS: Final = 0.5
"""How often it is looked whether people have approved something."""
LIMITS: Final = PeerLimits(peers=1000, per_host=64)
"""Who may be connected at once."""


class CardBusy(EnvironmentFault):
    """Another program has held the card for longer than anybody waits."""


class CardDesk:
    """A card in a store that others use as well: opened for each question, one after the other, and given back.

    Args:
        path: the card's store.
        reopen: opens it.
        now: unix seconds.
        patience: seconds that a question waits for a store that is in use.

    Attributes:
        record: the card's durable state, as last seen.

    """

    def __init__(
        self,
        path: Path,
        reopen: Callable[[], Vault],
        record: CardRecord,
        *,
        now: Callable[[], int] = wall_clock,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.record = record
        self._path = path
        self._reopen = reopen
        self._now = now
        self._patience = patience
        self._one = Lock()
        self._seen: tuple[int, ...] = ()

    def ask(self, question: Callable[[Card], R]) -> R:
        """Have the card answer; from a worker thread, since it may take seconds.

        Raises:
            CardBusy: somebody else holds it.
            InsituError: what the question or the store raises.

        """
        with self._one, self._opened() as vault:
            card = Card(vault, now=self._now)
            try:
                return question(card)
            finally:
                with suppress(InsituError):  # a store of which nobody knows what is in it is read again
                    self.record, self._seen = card.record, self._stamp()

    @property
    def has_changed(self) -> bool:
        """Whether somebody wrote the store since it was last seen."""
        return self._stamp() != self._seen

    def _stamp(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _opened(self) -> Vault:
        try:
            return opened(self._reopen, self._patience)
        except StoreLocked as error:
            raise CardBusy("the card is busy", who="card", expected=error.expected, got=error.got) from None


@dataclass(frozen=True, slots=True)
class ForWhoever:
    """Terms for whichever module proves an identity: `found` is told its serial number, which is then pinned."""

    terms: UnitByCertificate
    found: Callable[[str], None]

    @property
    def option(self) -> TrustOption:
        """See Terms."""
        return self.terms.option

    @property
    def method(self) -> int:
        """See Terms."""
        return self.terms.method

    @property
    def own(self) -> Credential:
        """See Terms."""
        return self.terms.own

    @property
    def key(self) -> KeyHandle:
        """See Terms."""
        return self.terms.key

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """The identity of some module of our manufacturer; possession of its key is proved to the handshake."""
        (identity_der,) = chain_of(claim, 1, "unit")
        serial = verify_issued(identity_der, self.terms.root, Role.IDENTITY, now=at).subject
        judged = replace(self.terms, serial=serial).judge(claim, at)
        self.found(serial)
        return judged

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """See Terms."""
        return self.terms.stage(opened)


class UnitService:
    """A unit that listens for modules.

    Args:
        desk: the card, for questions.
        card: the same card, whose authentication key opens channels; nothing is written through it.
        central: the central system's certificate, made by this card, DER.
        option: the trust option, pinned for all sessions.
        tell: gets a line for each error.
        show: gets the notes of all sessions.
        entropy, now: random bytes, unix seconds.

    Raises:
        CertificateRefused: `central` is not a central system's certificate by this card's customer, or is revoked.
        UsageError: an option under which modules do not prove who they are.

    """

    def __init__(
        self,
        desk: CardDesk,
        card: Card,
        central: bytes,
        option: TrustOption,
        *,
        tell: Callable[[str], None],
        show: Show = ignore,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
    ) -> None:
        if option is not TrustOption.CERTIFICATES:
            raise UsageError("a unit in the network", who="unit", expected="trust option certificates", got=option.text)
        check_certified(card, option)
        card.check_counts(verify_issued(central, card.customer, Role.CENTRAL, now=now()))
        self._desk = desk
        self._card = card
        self._central = central
        self._option = option
        self._tell = tell
        self._show = show
        self._entropy = entropy
        self._now = now

    async def run(self, address: Address, *, ready: Callable[[str], None]) -> None:
        """Until cancelled; `ready` is told the address when the port is open."""
        async with trio.open_nursery() as nursery:
            places: list[Address] = await nursery.start(partial(serve_links, address, self.attend, limits=LIMITS))
            ready(str(places[0]))
            await self._watch()

    async def attend(self, link: Link) -> None:
        """One session with whichever module is there; what goes wrong is told, and concerns no other."""
        try:
            async with link.stream:
                await self._session(link.stream)
        except (InsituError, TransportError) as error:
            self._tell(str(error))

    async def _session(self, stream: trio.abc.Stream) -> None:
        def found(serial: str) -> None:
            session.begin_anew(UnitState.READY, self._data(serial))

        crl = self._heard()
        check_unrevoked(self._card.customer, crl)
        has = UnitHas(self._card, "", self._now(), crl, NOTHING, wired=False, entropy=self._entropy)
        terms = unit_terms(self._option, has)
        if not isinstance(terms, UnitByCertificate):
            raise UsageError("a unit in the network", who="unit", expected="terms by certificate")
        purposes = frozenset({Purpose.PERSONALIZE, Purpose.STATUS})
        handshake = Handshake.respond(ForWhoever(terms, found), purposes, self._entropy(64))
        session = Session(UNIT, UnitState.READY, self._data(""), handshake)
        ports = Ports(self._card.keys, look_up=self._ask_card, show=self._show, blocking=True)
        await run(session, stream, ports, now=self._now)

    def _heard(self) -> VerifiedCrl | None:
        """The manufacturer's newest revocation list that the card was given, also while we serve (S5)."""
        heard = self._desk.record.heard
        return None if heard is None else read_crl(heard, self._card.root)

    def _data(self, serial: str) -> UnitData:
        """What the unit knows of the module `serial`: its job, if two people have approved one that is in time."""
        now = self._now()
        for job in self._desk.record.jobs:
            is_its = job.role is CardRole.MODULE and job.subject == serial
            if is_its and len(job.approvals) == 2 and now <= job.expires:
                number, salt = job.number, job.salt
                break
        else:
            number, salt = None, bytes(32)
        return UnitData(number, serial, salt, KeyPolicy.NEW, self._card.customer.der, self._central)

    def _ask_card(self, question: LookUp) -> object:
        needed = question.argument
        if not isinstance(needed, CertificateNeeded):
            return CardRefused("not a question for the card")

        def certify(card: Card) -> bytes:
            card.check_counts(own_unit(card.unit, card.customer))  # people may have revoked it meanwhile
            return card.certify(needed.job, needed.public)

        try:
            return ModuleCertified(self._desk.ask(certify))
        except InsituError as error:
            return CardRefused(str(error))

    async def _watch(self) -> None:
        """See what people approve; a card that cannot be read is told once, and read as soon as that is possible."""
        told = ""
        while True:
            try:
                if self._desk.has_changed:
                    await trio.to_thread.run_sync(self._desk.ask, _look)
                told = ""
            except InsituError as error:
                if str(error) != told:
                    self._tell(str(error))
                told = str(error)
            await trio.sleep(WATCH_SECONDS)


def _look(card: Card) -> None:
    """Nothing but seeing what it holds."""
    if card.record.customer is None:
        raise StateError("the card waits for the manufacturer", who="card", expected="a certificate", got="none yet")
