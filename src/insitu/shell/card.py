"""A software card in a personalization unit: its table at a desk, its sealed file, its log for export."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from ..protocol.desk import Desk
from ..protocol.engine import KeyHandle, ProtocolError, PublicKey, StateError, UsageError, given
from ..protocol.keys.certificates import Role, VerifiedCertificate, trusted_root, verify_issued
from ..protocol.keys.profile import checked_name
from ..protocol.keys.public import compress
from ..protocol.keys.vault import Vault
from ..protocol.messages import CardRecord, CardRole, Job, Person
from ..protocol.parties.card import CARD, customer_of, log_of, pin_verifier, resting_state
from ..protocol.parties.card_data import (
    AUTHENTICATION,
    MAX_FAILURES,
    SIGNING,
    Approve,
    CardData,
    CertificateWanted,
    Certified,
    CustomerCertified,
    Furnish,
    JobNoted,
    JobProposed,
    PinRefused,
    RequestMade,
)
from ..protocol.stores.card_log import Intent, Result, export_lines
from .keeping import Keeping, Show, ignore, wall_clock

APPROVAL_SECONDS = 24 * 3600
"""How long a job stays open for approvals and signature, unless said otherwise."""


class Card:
    """The customer's card: a signing key under four eyes and an authentication key (L12, L13).

    Args:
        vault: its key memory and durable state.
        entropy, now, show: random bytes, unix seconds, progress.

    """

    def __init__(
        self,
        vault: Vault,
        *,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
        show: Show = ignore,
    ) -> None:
        self._keeping = Keeping(vault, CardRecord)
        self._known = CardData()
        self._entropy = entropy
        self._now = now
        self._show = show

    @property
    def record(self) -> CardRecord:
        """Durable state.

        Raises:
            StateError: the card is blank.

        """
        if self._keeping.record is None:
            raise StateError("the card is blank", who="card", expected="a furnished card", got="blank")
        return self._keeping.record

    @property
    def root(self) -> VerifiedCertificate:
        """The manufacturer's root that came with our certificate."""
        return trusted_root(self._installed().root or b"")

    @property
    def customer(self) -> VerifiedCertificate:
        """The certificate of the signing key."""
        return customer_of(self._installed())

    @property
    def unit(self) -> bytes:
        """The certificate of the authentication key, DER.

        Raises:
            StateError: nobody had it made yet.

        """
        certificate = self._installed().unit
        if certificate is None:
            raise StateError("the unit has no certificate", who="card", expected="an approved unit job", got="none")
        return certificate

    @property
    def authentication(self) -> KeyHandle:
        """The pair that opens channels."""
        return given(self._keeping.vault.find(AUTHENTICATION))

    @property
    def keys(self) -> Vault:
        """Key memory, for the channel's signatures."""
        return self._keeping.vault

    def furnish(self, name: str, pins: Mapping[str, bytes]) -> bytes:
        """Take the card into use for the customer `name`; a PKCS#10 request (DER) for the manufacturer.

        Args:
            name: of the customer.
            pins: of the people who may approve, at least two.

        Raises:
            StateError: the card is in use, or fewer than two people are named.
            UsageError: a PIN is too short, or a name that no certificate can carry.

        """
        people: list[Person] = []
        for person, pin in pins.items():
            if len(pin) < 4:
                raise UsageError(f"PIN of {person}", who="card", expected="at least 4 characters", got=len(pin))
            salt = self._entropy(16)
            people.append(Person(name=person, salt=salt, verifier=pin_verifier(pin, salt), failures=0))
        try:
            notes = self._submit(Furnish(name, tuple(people)))
        finally:
            self._keeping.vault.roll_back()
        return next(note.request for note in notes if isinstance(note, RequestMade))

    def install(self, root: bytes, customer: bytes) -> None:
        """Keep what the manufacturer sent: its root and our certificate, DER.

        Raises:
            StateError: the card has them.
            ProtocolError: the certificate is not the manufacturer's for our key and name.

        """
        record, signing = self.record, given(self._keeping.vault.find(SIGNING))
        if record.customer is not None:
            raise StateError("the card has its certificate", who="card", expected="a card that waits for it")
        verified = verify_issued(customer, trusted_root(root), Role.CUSTOMER, now=None, subject=record.name)
        if verified.public != signing.public:
            raise ProtocolError("customer certificate", who="card", expected="our signing key", got="another key")
        self._submit(CustomerCertified(root, customer))

    def propose(
        self,
        role: CardRole,
        subject: str,
        *,
        public: PublicKey | None = None,
        days: int = 365,
        seconds: int = APPROVAL_SECONDS,
    ) -> Job:
        """Open a job; the one that is open for this role and subject, if there is one with the same key and days.

        Args:
            role: what the certificate is for.
            subject: serial number of a module, name of a unit or central system.
            public: the key to certify; None for a module.
            days: validity of the certificate.
            seconds: how long approvals count.

        Raises:
            StateError: a different job is open for this subject, and somebody approved it.
            UsageError: a subject that no certificate can carry.

        """
        key = None if public is None else compress(public)
        now = self._now()
        for job in self._installed().jobs:
            if job.role is role and job.subject == subject and now <= job.expires:
                if (job.public_key, job.days) != (key, days):
                    if not job.approvals:
                        break  # nobody meant it: it gives way
                    raise StateError(
                        f"a job for {subject} is open", who="card", expected="the same key and days", got="others"
                    )
                return job
        job = Job(
            number=self._entropy(16),
            role=role,
            subject=checked_name(subject),
            salt=self._entropy(32),
            days=days,
            expires=now + seconds,
            approvals=(),
            public_key=key,
        )
        self._submit(JobProposed(job, now))
        return job

    def approve(self, job: Job, person: str, pin: bytes) -> int:
        """Enter the approval of `person`; how many are still missing.

        Raises:
            UsageError: the PIN is wrong.
            StateError: the person is unknown, locked, or approved before.

        """
        now = self._now()
        self._refuse_approval(job.number, person, now)
        for note in self._submit(Approve(job.number, person, pin, now)):
            if isinstance(note, PinRefused):
                raise UsageError(f"wrong PIN of {person}, {note.left} tries left", who="card")
            if isinstance(note, JobNoted):
                return note.missing
        raise StateError("no approval", who="card")

    def _refuse_approval(self, number: bytes, person: str, now: int) -> None:
        """Say what the card would refuse an approval for, in words that a person can use."""
        record = self._installed()
        known = {each.name: each for each in record.people}
        job = next((each for each in record.jobs if each.number == number and now <= each.expires), None)
        if person not in known:
            raise StateError("nobody of that name approves here", who="card", expected=" or ".join(known), got=person)
        if known[person].failures >= MAX_FAILURES:
            raise StateError(f"{person} is locked", who="card", got=f"{MAX_FAILURES} wrong PINs")
        if job is None:
            raise StateError("no such job is open", who="card", got=number.hex())
        if len(job.approvals) == 2 or person in job.approvals:
            raise StateError(
                f"no approval of {person} is missing", who="card", got=f"approved by {' and '.join(job.approvals)}"
            )

    def approved_job(self, role: CardRole, subject: str) -> Job:
        """The open job for this role and subject with both approvals.

        Raises:
            StateError: there is none.

        """
        now = self._now()
        for job in self._installed().jobs:
            if job.role is role and job.subject == subject and now <= job.expires:
                if len(job.approvals) == 2:
                    return job
                raise StateError(
                    f"the job for {subject} lacks approval",
                    who="card",
                    expected="two different people",
                    got=" and ".join(job.approvals) or "none",
                )
        raise StateError(f"no job for {subject}", who="card", expected="a job approved by two people", got="none")

    def certify(self, number: bytes, public: PublicKey) -> bytes:
        """Make the certificate of an approved job; DER, entered in the log before it leaves.

        Raises:
            StateError: not approved by two people, expired, used, or for another key.

        """
        notes = self._submit(CertificateWanted(number, public, self._now()))
        return next(note.certificate for note in notes if isinstance(note, Certified))

    def certified(self, serial: str) -> bytes | None:
        """SHA-256 of the certificate that this card made last for the module `serial`; None if it made none."""
        jobs: dict[bytes, str] = {}
        latest = None
        for entry in log_of(self.record):
            match entry.what:
                case Intent(job=job, role="module", subject=subject):
                    jobs[job] = subject
                case Result(job=job, fingerprint=fingerprint) if jobs.get(job) == serial:
                    latest = fingerprint
        return latest

    def export_log(self) -> bytes:
        """The log as JSON Lines, oldest first."""
        return export_lines(log_of(self.record))

    def _installed(self) -> CardRecord:
        record = self.record
        if record.customer is None:
            raise StateError(
                "the card waits for the manufacturer", who="card", expected="the customer's certificate", got="none yet"
            )
        return record

    def _submit(self, event: object) -> list[object]:
        record, vault = self._keeping.record, self._keeping.vault
        if self._known.record is not record:
            self._known = CardData(record, vault.find(SIGNING), vault.find(AUTHENTICATION))
        desk = Desk(CARD, resting_state(record), self._known, self._keeping.ports(self._show))
        notes = desk.submit(event)
        self._known = desk.data
        return notes
