"""A personalization unit with its card: one module at a time over whatever link there is (V1)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import (
    AttemptAdmitted,
    AttemptBarred,
    AttemptBegun,
    AttemptRight,
    AttemptsForgotten,
    TicketClaim,
)
from ..protocol.channel.trust.ticket import TicketAccepted, TicketRefused
from ..protocol.driver import run
from ..protocol.engine import Consult, EnvironmentFault, InsituError, LookUp, PublicKey, StateError, given
from ..protocol.keys.certificates import Role, verify_issued
from ..protocol.keys.revocation import check_current, check_unrevoked, read_crl
from ..protocol.keys.vault import MemoryVault, Vault
from ..protocol.messages import CardRole, KeyPolicy, Purpose, TrustOption
from ..protocol.parties.unit import (
    UNIT,
    CardRefused,
    CertificateNeeded,
    ComparisonNeeded,
    FingerprintsAgree,
    FingerprintsDiffer,
    ModuleCertified,
    ModulePersonalized,
    ModuleReported,
    ModuleTurnedAway,
    UnitData,
    UnitState,
)
from ..protocol.ports import Ports
from ..protocol.session import Session
from ..protocol.stores.tans import Locked, TanGone
from .aside import Aside
from .book import Book
from .card import Card
from .keeping import Heard, Show, ignore, wall_clock
from .trusting import NOTHING, Means, UnitHas, unit_terms


def nobody_compares(public: PublicKey) -> bool:
    """There is no person at the module."""
    return False


def nothing_given(serial: str) -> Means:
    """Neither people nor documents contribute anything."""
    return NOTHING


PURPOSES: Final = frozenset({Purpose.PERSONALIZE, Purpose.STATUS})
"""What a module may call a unit for."""


class Unit:
    """A personalization unit.

    Args:
        card: holds the signing and the authentication key.
        central: the central system's certificate, made by this card, DER.
        compare: asks the person whether the module shows the fingerprint of this key; only the physical option needs
            it. Without it nobody compared, and nothing is certified.
        means: what people and documents contribute to the trust option, for the module of this serial number.
        blocking: card and person take time: they are asked from a worker thread, as a card in a token always is.
        entropy, now, show: random bytes, unix seconds, notes and progress.

    Raises:
        CertificateRefused: `central` is not a central system's certificate by this card's customer, or is revoked.

    """

    def __init__(
        self,
        card: Card,
        central: bytes,
        *,
        compare: Callable[[PublicKey], bool] = nobody_compares,
        means: Callable[[str], Means] = nothing_given,
        blocking: bool = False,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
        show: Show = ignore,
    ) -> None:
        card.check_counts(verify_issued(central, card.customer, Role.CENTRAL, now=now()))
        self._card = card
        self._central = central
        self._entropy = entropy
        self._compare = compare
        self._means = means
        self._blocking = blocking or not card.keys.answers_at_once
        self._aside = Aside(card.keys)
        self._now = now
        self._show = show
        self._busy = False
        self._fault: EnvironmentFault | None = None

    def heed(self, crl: bytes, *, keep: bool = True) -> None:
        """From now on, personalize no module whose identity is on the manufacturer's revocation list (DER) (S5).

        The card keeps it, and every unit with this card heeds it; without `keep` it is only looked at.

        Raises:
            CertificateRefused: the list is not the manufacturer's, is out of date, or names this card's customer.
            StateError: the card has a newer one.

        """
        listed = read_crl(crl, self._card.root)
        check_current(listed, self._now())
        check_unrevoked(self._card.customer, self._card.heed(crl) if keep else listed)

    def check(self, serial: str) -> None:
        """Make sure, before a link is opened, that the job for this module stands.

        Raises:
            StateError: it has not been approved by two people.
            CertificateRefused: the manufacturer has revoked the customer's certificate.

        """
        check_unrevoked(self._card.customer, self._card.heard)
        self._card.approved_job(CardRole.MODULE, serial)

    async def personalize(
        self,
        stream: trio.abc.Stream,
        serial: str,
        option: TrustOption,
        *,
        wired: bool = False,
        policy: KeyPolicy = KeyPolicy.NEW,
    ) -> ModulePersonalized | ModuleReported:
        """One session with the module `serial` over `stream`: its new certificate, or how it says things stand.

        Args:
            stream: the link, which is closed afterwards.
            serial: the module that the approved job is for, and no other.
            option: the trust option, pinned.
            wired: whether the link is a wired local one; asked for by the physical option.
            policy: whether a key pair made at manufacture is admitted (L3).

        Raises:
            StateError: no job for this module has been approved by two people, or another session is running.
            InsituError: the session did not end in good order. If it ended while the module's confirmation was
                awaited, the module may operate; meeting it again tells.

        """
        async with stream:
            job = self._card.approved_job(CardRole.MODULE, serial)
            data = UnitData(job.number, serial, job.salt, policy, self._card.customer.der, self._central)
            return await self._session(stream, data, option, wired=wired)

    async def inquire(
        self, stream: trio.abc.Stream, serial: str, option: TrustOption, *, wired: bool = False
    ) -> ModuleReported:
        """One session in which the module `serial`, which operates, says how things stand; no job is needed.

        Args:
            stream: the link, which is closed afterwards.
            serial: the module.
            option: the trust option, pinned.
            wired: whether the link is a wired local one; asked for by the physical option.

        Raises:
            StateError: the module waits for its personalization, and nobody approved one.
            InsituError: the session did not end in good order.

        """
        async with stream:
            reported = await self._session(stream, self._question(serial), option, wired=wired)
        if not isinstance(reported, ModuleReported):
            raise StateError("no report", who="unit", expected="the module's status", got="another end")
        return reported

    async def look(
        self, stream: trio.abc.Stream, serial: str, option: TrustOption, *, wired: bool = False
    ) -> ModuleReported | None:
        """One session in which the module `serial` says how things stand; None: it waits for its personalization.

        Nothing changes on either side, besides what the option uses up with every session. Nothing of it is shown.

        Args:
            stream: the link, which is closed afterwards.
            serial: the module.
            option: the trust option, pinned.
            wired: whether the link is a wired local one; asked for by the physical option.

        Raises:
            InsituError: the session did not end in good order.

        """
        heard = Heard()
        async with stream:
            try:
                await self._session(stream, self._question(serial), option, wired=wired, show=heard.note)
            except InsituError:
                if heard.first(ModuleTurnedAway) is None:
                    raise
        return heard.first(ModuleReported)

    def _question(self, serial: str) -> UnitData:
        """Nothing but how the module stands."""
        return UnitData(None, serial, bytes(32), KeyPolicy.NEW, self._card.customer.der, self._central)

    async def _session(
        self,
        stream: trio.abc.Stream,
        data: UnitData,
        option: TrustOption,
        *,
        wired: bool,
        show: Show | None = None,
    ) -> ModulePersonalized | ModuleReported:
        heard = Heard(self._show if show is None else show)
        if self._busy:
            raise StateError("a session is running", who="unit", expected="one module at a time")
        crl, means = self._card.heard, self._means(data.serial)
        link = None if means.mobiles is None else means.mobiles.link
        self._busy, self._fault = True, None
        try:
            check_unrevoked(self._card.customer, crl)
            card, keys = self._card, self._keys_of_a_session()
            has = UnitHas(card, keys, data.serial, self._now(), crl, means, wired=wired, entropy=self._entropy)
            terms, own = await self._aside(lambda: (unit_terms(option, has), card.authentication))
            handshake = Handshake.respond(terms, PURPOSES, self._entropy(64))
            session = Session(UNIT, UnitState.READY, data, handshake)
            ports = self._ports(means, heard.note, card.keys if terms.key == own else keys)
            if link is not None and option is TrustOption.CONVEYED:
                await run(session, stream, replace(ports, forward=link.forward), now=self._now, orders=link.orders)
            else:
                await run(session, stream, ports, now=self._now)
        except InsituError as error:  # the module was told no more than that the card does not do it
            raise self._fault or error from None
        finally:
            if link is not None:
                link.close()
            await self._aside.at_last(self._card.keys.roll_back)
            self._busy = False
        result = heard.first(ModulePersonalized) or heard.first(ModuleReported)
        if result is None:
            raise StateError("no result", who="unit", expected="a personalized module", got=session.state.name)
        return result

    def _keys_of_a_session(self) -> Vault:
        """Where what lasts for one session is kept: not in a token, which has little room and time."""
        return self._card.keys if self._card.keys.answers_at_once else MemoryVault(self._entropy)

    def _ports(self, means: Means, show: Show, keys: Vault | None = None) -> Ports:
        def look_up(question: LookUp) -> object:
            if isinstance(question.argument, (AttemptBegun, AttemptRight)):
                return _ask_book(given(means.book), question.argument)
            return self._ask_card(question)

        return Ports(
            keys or self._card.keys, look_up=look_up, consult=self._ask_person, show=show, blocking=self._blocking
        )

    def _ask_person(self, consult: Consult) -> object:
        question = consult.question
        agree = isinstance(question, ComparisonNeeded) and self._compare(question.public)
        return FingerprintsAgree() if agree else FingerprintsDiffer()

    def _ask_card(self, question: LookUp) -> object:
        needed = question.argument
        if isinstance(needed, TicketClaim):
            try:
                self._card.take_ticket(needed)
            except InsituError as error:
                return TicketRefused(str(error))
            return TicketAccepted()
        if not isinstance(needed, CertificateNeeded):
            return CardRefused("not a question for the card")
        try:
            return ModuleCertified(self._card.certify(needed.job, needed.public))
        except InsituError as error:
            self._fault = error if isinstance(error, EnvironmentFault) else None
            return CardRefused(str(error))


def _ask_book(book: Book, question: AttemptBegun | AttemptRight) -> object:
    """What is answered is durable; where it could not be written, that goes up, and nothing is said."""
    if isinstance(question, AttemptRight):
        book.forget_attempts(question.serial)
        return AttemptsForgotten()
    try:
        book.begin_attempt(question.serial, by_tan=question.option is TrustOption.TAN)
    except (Locked, TanGone) as error:
        return AttemptBarred(str(error))
    return AttemptAdmitted()
