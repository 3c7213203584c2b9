"""A personalization unit with its card: one module at a time over whatever link there is (V1)."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import ByCable, Terms, UnitByCertificate
from ..protocol.driver import run
from ..protocol.engine import InsituError, KeyKind, LookUp, StateError
from ..protocol.keys.certificates import Role, verify_issued
from ..protocol.messages import CardRole, KeyPolicy, Purpose, TrustOption
from ..protocol.parties.unit import (
    UNIT,
    CardRefused,
    CertificateNeeded,
    ModuleCertified,
    ModulePersonalized,
    ModuleReported,
    UnitData,
    UnitState,
)
from ..protocol.ports import Ports
from ..protocol.session import Session
from .card import Card
from .keeping import Show, ignore, wall_clock

SESSION_KEY = "session"


class Unit:
    """A personalization unit.

    Args:
        card: holds the signing and the authentication key.
        central: the central system's certificate, made by this card, DER.
        entropy, now, show: random bytes, unix seconds, notes and progress.

    Raises:
        CertificateRefused: `central` is not a central system's certificate by this card's customer.

    """

    def __init__(
        self,
        card: Card,
        central: bytes,
        *,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
        show: Show = ignore,
    ) -> None:
        verify_issued(central, card.customer, Role.CENTRAL, now=now())
        self._card = card
        self._central = central
        self._entropy = entropy
        self._now = now
        self._show = show
        self._busy = False

    def check(self, serial: str) -> None:
        """Make sure, before a link is opened, that the job for this module stands.

        Raises:
            StateError: it has not been approved by two people.

        """
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
        card = self._card
        notes: list[object] = []

        def show(note: object) -> None:
            notes.append(note)
            self._show(note)

        async with stream:
            if self._busy:
                raise StateError("a session is running", who="unit", expected="one module at a time")
            self._busy = True
            try:
                job = card.approved_job(CardRole.MODULE, serial)
                data = UnitData(job.number, serial, job.salt, policy, card.customer.der, self._central)
                purposes = frozenset({Purpose.PERSONALIZE, Purpose.STATUS})
                handshake = Handshake.respond(self._terms(serial, option, wired=wired), purposes, self._entropy(64))
                session = Session(UNIT, UnitState.READY, data, handshake)
                await run(session, stream, Ports(card.keys, look_up=self._ask_card, show=show), now=self._now)
            finally:
                card.keys.roll_back()
                self._busy = False
        for note in notes:
            if isinstance(note, (ModulePersonalized, ModuleReported)):
                return note
        raise StateError("no result", who="unit", expected="a personalized module", got=session.state.name)

    def _terms(self, serial: str, option: TrustOption, *, wired: bool) -> Terms:
        card = self._card
        if option is TrustOption.PHYSICAL:
            return ByCable.of(card.record.name, card.keys.generate(SESSION_KEY, KeyKind.P256, b""), wired=wired)
        return UnitByCertificate.of(card.root, card.customer, card.unit, card.authentication, serial, now=self._now())

    def _ask_card(self, question: LookUp) -> object:
        needed = question.argument
        if not isinstance(needed, CertificateNeeded):
            return CardRefused("not a question for the card")
        try:
            return ModuleCertified(self._card.certify(needed.job, needed.public))
        except InsituError as error:
            return CardRefused(str(error))
