"""A central system: its key in a sealed file, its registry, its sessions with modules.

Several processes may share one registry; each holds a copy of the same key. What a session decides is in the table of
`protocol/parties/central.py`; what people and programs want of the registry is in `operator.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from math import inf
from typing import Final, TypeVar

import trio

from ..protocol.channel import proofs
from ..protocol.channel.cose import ES256, verify_signature
from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import CentralAtWork
from ..protocol.driver import Orders, run
from ..protocol.engine import KeyHandle, KeyKind, LookUp, PublicKey, StateError, UsageError, given
from ..protocol.keys.certificates import (
    CertificateRefused,
    Role,
    VerifiedCertificate,
    draft_circular,
    is_circular,
    trusted_root,
    verify_circular,
    verify_issued,
)
from ..protocol.keys.profile import PLAUSIBILITY, SERIAL_NUMBER_BYTES
from ..protocol.keys.requests import Request, draft_request
from ..protocol.keys.revocation import check_unrevoked, read_crl
from ..protocol.keys.software import STORAGE
from ..protocol.keys.vault import Vault
from ..protocol.messages import Authorize, CentralRecord, KeyOrder, PayOut, Purpose, decode_record
from ..protocol.parties.central import CENTRAL
from ..protocol.parties.central_data import (
    CentralData,
    CentralState,
    CommandFound,
    Decided,
    ModuleFound,
    ModuleQuery,
    Question,
    TransactionFound,
)
from ..protocol.parties.central_enrolling import sealed_issuer
from ..protocol.ports import Ports
from ..protocol.session import Session
from ..protocol.stores.card_logs import LogDoubt
from ..protocol.stores.registry import Change, CommandKind, Issuer, Registry
from .keeping import Keeping, Show, ignore, wall_clock
from .read_logs import ReadLogs

R = TypeVar("R")

KEY = "central"
DAY: Final = 24 * 3600
"""Seconds."""
TERMS_SECONDS: Final = 1.0
"""How old may be what is known of trusted issuers and of our own certificate. Whether an issuer is lost, the registry
says for each module anyway."""

Decide = Callable[[str, Authorize], PayOut]
"""The host's decision: serial number of the module and what it asks for; what to instruct. It is asked once for each
serial number and number, from a worker thread; if its answer is lost in a crash, the module is told no."""


def refuse_all(serial: str, asked: Authorize) -> PayOut:
    """The decision of a host that has none: nothing is paid out."""
    return PayOut(number=asked.number, approved=False, amount=0, reference="")


class Central:
    """A central system.

    Args:
        vault: its key memory.
        registry: what it knows of issuers and modules.
        certificate: what it shows to modules, DER; None: the one that is installed. A module pins the one that came
            with its own, by its card; a host of modules by two cards shows one at one port and one at another (S5).
        decide: the host's decision about an authorization.
        grace: let modules in only whose certificate is in their card's log, as far as cards have brought them (L12); so
            many seconds a certificate may work meanwhile; None: logs are not asked for.
        blocking: registry and host take time: they are asked from worker threads.
        entropy, now, show: random bytes, unix seconds, notes and progress.

    Attributes:
        registry: see above.
        logs: of cards, as far as they were read and are remembered.

    """

    def __init__(
        self,
        vault: Vault,
        registry: Registry,
        *,
        certificate: bytes | None = None,
        decide: Decide = refuse_all,
        grace: int | None = None,
        blocking: bool = True,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
        show: Show = ignore,
    ) -> None:
        self._keeping = Keeping(vault, CentralRecord)
        self.registry = registry
        self._shown = certificate
        self._decide = decide
        self._grace = grace
        self.blocking = blocking or not vault.answers_at_once
        self.entropy = entropy
        self._now = now
        self._show = show
        self.logs = ReadLogs()
        self._known_until = -inf
        self._terms: tuple[bytes, CentralAtWork] | None = None
        self._own: KeyHandle | None = None

    @property
    def record(self) -> CentralRecord:
        """Durable state.

        Raises:
            StateError: the central system was not set up yet.

        """
        if self._keeping.record is None:
            raise StateError("the central system is not set up", who="central", expected="a key pair", got="none")
        return self._keeping.record

    @property
    def keys(self) -> Vault:
        """Key memory."""
        return self._keeping.vault

    @property
    def key(self) -> KeyHandle:
        """Its own key pair; looked for once, since there is never another."""
        self._own = self._own or given(self._keeping.vault.find(KEY))
        return self._own

    @property
    def now(self) -> int:
        """Unix seconds."""
        return self._now()

    def establish(self, name: str) -> bytes:
        """Make the key pair, and the key that protects symmetric keys at rest; a PKCS#10 request (DER) for a card.

        Raises:
            StateError: there is one already.
            UsageError: a name that no certificate can carry.

        """
        if self._keeping.record is not None:
            raise StateError("the central system is set up", who="central", expected="a new store", got="a used one")
        vault = self._keeping.vault
        try:
            key = vault.generate(KEY, KeyKind.P256, b"")
            draft = draft_request(name, key.public)
            request = draft.assemble(vault.sign(key, draft.to_be_signed))
            vault.storage.make_storage_key()
            self._keeping.commit(CentralRecord(name=name), frozenset({KEY, STORAGE}))
        finally:
            vault.roll_back()
        return request

    def commit(self, record: CentralRecord) -> None:
        """Keep another record, with the keys that are there now."""
        self._keeping.commit(record, self._keeping.vault.labels())

    def trust(self, root: bytes, customer: bytes, *, actor: str) -> VerifiedCertificate:
        """Admit the modules of a customer whose certificate the manufacturer signed; the certificate.

        The caller answers for the path that `root` came by (L9).

        Raises:
            CertificateRefused: the customer's certificate is not by this root, or is on the list of it that is here.
            UsageError: customers of another manufacturer are trusted already.
            StateError: the key was disabled before.
            RegistryAway: the registry does not answer.

        """
        self.check_root(root)
        verified = verify_issued(customer, trusted_root(root), Role.CUSTOMER, now=self._now())
        self.check_unrevoked(verified)
        self.admit(root, self._sealed(verified), actor=actor, how="from a file")
        return verified

    def certify_customer(self, request: Request, *, days: int, actor: str) -> VerifiedCertificate:
        """Certify a customer in the manufacturer's place, and admit its modules; the circular certificate (L6).

        To a module it is a plausibility check only, since anybody can make such a pair of certificates. That the
        request is the customer's, the caller answers for.

        Args:
            request: of the customer's card.
            days: validity.
            actor: who wants it, for the audit trail.

        Raises:
            UsageError: the customer has our own name.
            RegistryAway: the registry does not answer.

        """
        by, own, now = self.record.name, self.key, self._now()
        draft = draft_circular(
            request.subject,
            request.public,
            by,
            own.public,
            random=self.entropy(SERIAL_NUMBER_BYTES),
            not_before=now,
            not_after=now + days * DAY,
        )
        der = draft.assemble(self.keys.sign(own, draft.to_be_signed))
        verified = verify_circular(der, by, own.public)
        self.registry.trust(
            self._sealed(verified), actor=actor, at=now, how=f"certified by {by} itself: {PLAUSIBILITY}"
        )
        return verified

    def _sealed(self, customer: VerifiedCertificate) -> Issuer:
        return sealed_issuer(customer, self.keys.sign(self.key, proofs.trusted_issuer(customer.der)))

    def check_root(self, root: bytes) -> None:
        """Make sure that no other manufacturer's root (DER) is trusted.

        Raises:
            UsageError: one is.

        """
        if self.record.root not in (None, root):
            raise UsageError("another manufacturer's root", who="central", expected="the root trusted so far")

    def admit(self, root: bytes, issuer: Issuer, *, actor: str, how: str) -> None:
        """Enter an issuer below `root` (DER), which is kept if it is the first one.

        Raises:
            StateError: the key was disabled before.
            RegistryAway: the registry does not answer.

        """
        if self.record.root is None:
            self.commit(replace(self.record, root=root))
        self.registry.trust(issuer, actor=actor, at=self._now(), how=how)

    def install(self, certificate: bytes) -> None:
        """Keep the certificate that a trusted customer's card made for our key.

        Raises:
            CertificateRefused, KeyMismatch, UsageError: it is not for us, not by a trusted customer, or revoked.
            RegistryAway: the registry does not answer.

        """
        self._checked_terms(certificate)
        self.commit(replace(self.record, certificate=certificate))

    def issuers(self) -> tuple[VerifiedCertificate, ...]:
        """The certificates of all issuers, also of lost ones, that this central system itself entered.

        Raises:
            RegistryAway: the registry does not answer.

        """
        own, record = self._key().public, self.record
        found = (
            _issuer(each.certificate, each.seal, own, record.name, record.root) for each in self.registry.issuers()
        )
        return tuple(certificate for certificate in found if certificate is not None)

    def check_trusted(self, customer: VerifiedCertificate) -> None:
        """Make sure that a card's signing key came into the registry by this central system, and is not lost (L14, S5).

        Raises:
            StateError: it is not there, or lost or revoked.
            RegistryAway: the registry does not answer.

        """
        known = any(each.fingerprint == customer.fingerprint for each in self.issuers())
        if not known or customer.fingerprint in self.registry.attention().lost:
            raise StateError(
                f"the card of {customer.subject} is not trusted here",
                who="central",
                expected="a signing key that insitu central trust or enroll-card brought",
                got="a lost one" if known else "another",
            )

    def check_unrevoked(self, certificate: VerifiedCertificate) -> None:
        """Make sure that a certificate by the manufacturer is not on its newest list here (S5).

        Raises:
            CertificateRefused: it is.
            RegistryAway: the registry does not answer.

        """
        for crl in self.registry.crls():
            if crl.issuer == certificate.issuer_fingerprint and self.record.root is not None:
                check_unrevoked(certificate, read_crl(crl.der, trusted_root(self.record.root)))

    def check_certificate(self) -> None:
        """Make sure that our own certificate, and its issuer's, are on no list that is here (S5).

        Raises:
            StateError: there is none.
            CertificateRefused, UsageError: it is on one, or nobody is trusted who made it.
            RegistryAway: the registry does not answer.

        """
        self._checked_terms(self.certificate)

    @property
    def certificate(self) -> bytes:
        """What it shows to modules, DER.

        Raises:
            StateError: there is none.

        """
        shown = self._shown or self.record.certificate
        if shown is None:
            raise StateError("no certificate", who="central", expected="one made by a card", got="none")
        return shown

    async def ask(self, query: Callable[[], R]) -> R:
        """Ask the registry, from a worker thread if it takes time."""
        return await trio.to_thread.run_sync(query) if self.blocking else query()

    async def attend(
        self, stream: trio.abc.Stream, orders: Orders | None = None, *, also_show: Show = ignore
    ) -> CentralState:
        """One session with whichever module is at the other end of `stream`; how it ended.

        Args:
            stream: the link, which is closed afterwards.
            orders: AttentionCalled, when something about this module has changed in the registry.
            also_show: gets the notes of this session.

        Raises:
            InsituError: the session did not end in good order.

        """

        def show(note: object) -> None:
            also_show(note)
            self._show(note)

        async with stream:
            terms = await self._present_terms()
            session = Session(
                CENTRAL,
                CentralState.LISTENING,
                CentralData(self._key(), grace=self._grace),
                Handshake.respond(terms, frozenset({Purpose.OPERATE}), self.entropy(64)),  # the session lets go of it
            )
            ports = Ports(self.keys, commit=self._commit, look_up=self._answer, show=show, blocking=self.blocking)
            await run(session, stream, ports, now=self._now, orders=orders)
            return session.state

    async def _present_terms(self) -> CentralAtWork:
        """What is pinned; looked up once in TERMS_SECONDS, however many strangers connect."""
        certificate = self.certificate
        if not self.blocking:
            return self._checked_terms(certificate)
        if self._terms is not None and self._terms[0] == certificate and trio.current_time() < self._known_until:
            return self._terms[1]
        terms = await self.ask(partial(self._checked_terms, certificate))
        self._known_until = trio.current_time() + TERMS_SECONDS
        return terms

    def _checked_terms(self, certificate: bytes) -> CentralAtWork:
        """The terms with our `certificate`, if it counts; it is not verified anew each time."""
        issuers = self.issuers()
        known = self._terms
        if known is None or (known[0], known[1].customers) != (certificate, issuers):
            known = certificate, CentralAtWork.of(certificate, issuers, self._key())
        own = known[1].certificate
        if self.registry.known(own.subject, own.fingerprint, own.serial_number, own.issuer_fingerprint).revoked:
            self._terms = None  # nobody is let in by what was known before
            got = own.fingerprint.hex()[:16]
            raise CertificateRefused(
                "revocation", "our own certificate is revoked", expected="one that is on no list", got=got
            )
        self._terms = known
        return known[1]

    def _commit(self, change: object, _: frozenset[str] | None) -> None:
        if isinstance(change, LogDoubt):
            self.registry.doubt_log(change, actor="central", at=self._now())
            return
        if not isinstance(change, Change):
            raise UsageError("not a change of the registry", who="central", got=type(change).__name__)
        self.registry.commit(change, at=self._now())

    def _answer(self, question: LookUp) -> object:
        match question.what, question.argument:
            case "module", ModuleQuery(serial, fingerprint, number, issuer):
                return ModuleFound(self.registry.known(serial, fingerprint, number, issuer))
            case "transaction", (str(serial), int(number)):
                return TransactionFound(self.registry.transaction(serial, number))
            case "command", str(serial):
                command = self.registry.next_command(serial)
                is_key = command is not None and command.kind is CommandKind.LOAD_KEY
                return CommandFound(command, decode_record(KeyOrder, given(command).content) if is_key else None)
            case "decision", Question(serial, asked):
                return Decided(self._decide(serial, asked))
        raise UsageError("nobody here can tell", who="central", got=question.what)

    def _key(self) -> KeyHandle:
        return self.key


@lru_cache(maxsize=1024)
def _issuer(
    certificate: bytes, seal: bytes, own: PublicKey, name: str, root: bytes | None
) -> VerifiedCertificate | None:
    """The certificate, if the central system itself once entered it; None if somebody else put it there."""
    if not verify_signature(ES256, own, proofs.trusted_issuer(certificate), seal):
        return None
    if is_circular(certificate):
        return verify_circular(certificate, name, own)
    return None if root is None else verify_issued(certificate, trusted_root(root), Role.CUSTOMER, now=None)
