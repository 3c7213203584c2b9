"""A central system, as much of it as operates a module: its key, trusted customers, a registry, sessions.

Registry and key lie in one sealed file, for one process.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.channel.trust import CentralAtWork
from ..protocol.driver import Orders, run
from ..protocol.engine import KeyHandle, KeyKind, LookUp, StateError, UsageError, given
from ..protocol.keys.certificates import Role, VerifiedCertificate, trusted_root, verify_issued
from ..protocol.keys.requests import draft_request
from ..protocol.keys.vault import Vault
from ..protocol.messages import Authorize, CentralRecord, ModuleEntry, PayOut, Purpose
from ..protocol.parties.central import CENTRAL, CentralData, CentralState, Decided
from ..protocol.ports import Ports
from ..protocol.session import Session
from .keeping import Keeping, Show, ignore, wall_clock

KEY = "central"

Decide = Callable[[str, Authorize], PayOut]
"""The host's decision: serial number of the module and what it asks for; what to instruct."""


@dataclass(frozen=True, slots=True)
class ResetAwaited:
    """A reset was ordered of a module that is not online; it happens at its next contact."""

    serial: str


def refuse_all(serial: str, asked: Authorize) -> PayOut:
    """The decision of a host that has none: nothing is paid out."""
    return PayOut(number=asked.number, approved=False, amount=0, reference="")


def _entry(modules: tuple[ModuleEntry, ...], serial: str) -> ModuleEntry | None:
    return next((entry for entry in modules if entry.serial == serial), None)


class Central:
    """A central system.

    Args:
        vault: its key memory and registry.
        decide: the host's decision about an authorization.
        entropy, now, show: random bytes, unix seconds, notes and progress.

    """

    def __init__(
        self,
        vault: Vault,
        *,
        decide: Decide = refuse_all,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
        show: Show = ignore,
    ) -> None:
        self._keeping = Keeping(vault, CentralRecord)
        self._decide = decide
        self._entropy = entropy
        self._now = now
        self._show = show

    @property
    def record(self) -> CentralRecord:
        """Durable state.

        Raises:
            StateError: the central system was not set up yet.

        """
        if self._keeping.record is None:
            raise StateError("the central system is not set up", who="central", expected="a key pair", got="none")
        return self._keeping.record

    def establish(self, name: str) -> bytes:
        """Make the key pair; a PKCS#10 request (DER) for a card.

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
            self._keeping.commit(CentralRecord(name=name, customers=(), modules=()), frozenset({KEY}))
        finally:
            vault.roll_back()
        return request

    def trust(self, root: bytes, customer: bytes) -> VerifiedCertificate:
        """Admit the modules of a customer whose certificate the manufacturer signed; the certificate.

        The caller answers for the path that `root` came by (L9).

        Raises:
            CertificateRefused: the customer's certificate is not by this root.
            UsageError: customers of another manufacturer are trusted already.

        """
        record = self.record
        if record.root not in (None, root):
            raise UsageError("another manufacturer's root", who="central", expected="the root trusted so far")
        verified = verify_issued(customer, trusted_root(root), Role.CUSTOMER, now=self._now())
        if customer not in record.customers:
            self._keeping.commit(replace(record, root=root, customers=(*record.customers, customer)))
        return verified

    def install(self, certificate: bytes) -> None:
        """Keep the certificate that a trusted customer's card made for our key.

        Raises:
            CertificateRefused, KeyMismatch, UsageError: it is not for us, or not by a trusted customer.

        """
        CentralAtWork.of(certificate, self._customers(), self._key())
        self._keeping.commit(replace(self.record, certificate=certificate))

    def entry(self, serial: str) -> ModuleEntry | None:
        """What the registry knows of a module."""
        return _entry(self.record.modules, serial)

    def order_reset(self, serial: str) -> None:
        """Have a module that is not online reset at its next contact; from now on it may do nothing else (S4).

        Raises:
            StateError: the registry does not know the module.

        """
        entry = self.entry(serial)
        if entry is None:
            raise StateError(f"module {serial} is not in the registry", who="central", expected="a known module")
        self._enter(replace(entry, valid=False), entry)
        self._show(ResetAwaited(serial))

    async def attend(
        self, stream: trio.abc.Stream, orders: Orders | None = None, *, also_show: Show = ignore
    ) -> CentralState:
        """One session with whichever module is at the other end of `stream`; how it ended.

        Args:
            stream: the link, which is closed afterwards.
            orders: what the operator wants of this module (ResetOrdered).
            also_show: gets the notes of this session.

        Raises:
            InsituError: the session did not end in good order.

        """
        entered: ModuleEntry | None = None

        def commit(entry: object, _: frozenset[str] | None) -> None:
            nonlocal entered
            if not isinstance(entry, ModuleEntry):
                raise UsageError("not an entry of the registry", who="central", got=type(entry).__name__)
            self._enter(entry, entered or _entry(modules, entry.serial))
            entered = entry

        def show(note: object) -> None:
            also_show(note)
            self._show(note)

        async with stream:
            modules = self.record.modules
            certificate = self.record.certificate
            if certificate is None:
                raise StateError("no certificate", who="central", expected="one made by a card", got="none")
            terms = CentralAtWork.of(certificate, self._customers(), self._key())
            handshake = Handshake.respond(terms, frozenset({Purpose.OPERATE}), self._entropy(64))
            session = Session(CENTRAL, CentralState.LISTENING, CentralData(self._key(), modules), handshake)
            ports = Ports(
                self._keeping.vault,
                commit=commit,
                look_up=lambda question: self._answer(session, question),
                show=show,
            )
            await run(session, stream, ports, now=self._now, orders=orders)
            return session.state

    def _answer(self, session: Session[CentralState, CentralData], question: LookUp) -> object:
        asked = question.argument
        if not isinstance(asked, Authorize):
            raise UsageError("not a question for the host", who="central", got=question.what)
        return Decided(self._decide(given(session.data.entry).serial, asked))

    def _enter(self, entry: ModuleEntry, before: ModuleEntry | None) -> None:
        """Put an entry in the place of the one that its session knows.

        Raises:
            StateError: that one is not there any more. Another session with this module was here since then, so
                what this one decided no longer holds: a reset that it does not know of, a number used meanwhile.

        """
        if self.entry(entry.serial) != before:
            raise StateError(
                f"module {entry.serial} was in contact elsewhere", who="central", expected="one session at a time"
            )
        others = tuple(each for each in self.record.modules if each.serial != entry.serial)
        self._keeping.commit(replace(self.record, modules=(*others, entry)))

    def _customers(self) -> tuple[VerifiedCertificate, ...]:
        record = self.record
        if record.root is None:
            return ()
        root = trusted_root(record.root)
        return tuple(verify_issued(der, root, Role.CUSTOMER, now=None) for der in record.customers)

    def _key(self) -> KeyHandle:
        return given(self._keeping.vault.find(KEY))
