"""A software card in a personalization unit: its table at a desk, its sealed file, its log for export."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256

from ..protocol.channel.proofs import ticket_path
from ..protocol.channel.trust import TICKETS, TicketClaim
from ..protocol.desk import Desk
from ..protocol.engine import DeriveKeys, KeyHandle, ProtocolError, PublicKey, StateError, UsageError, given
from ..protocol.keys.certificates import CertificateRefused, Role, VerifiedCertificate, trusted_root, verify_issued
from ..protocol.keys.methods import DERIVED_BYTES
from ..protocol.keys.profile import SERIAL_NUMBER_BYTES, checked_name, serial_number, time_text
from ..protocol.keys.public import compress
from ..protocol.keys.revocation import VerifiedCrl, read_crl
from ..protocol.keys.vault import Vault
from ..protocol.messages import CardRecord, CardRole, Job, ListJob, Person, TicketOrder
from ..protocol.parties.card import CARD, customer_of, log_of, pin_verifier, resting_state
from ..protocol.parties.card_data import (
    AUTHENTICATION,
    MAX_FAILURES,
    SIGNING,
    Approve,
    CardData,
    CertificateWanted,
    Certified,
    CircleClosed,
    CustomerCertified,
    Furnish,
    JobNoted,
    JobProposed,
    Listed,
    ListHeard,
    ListProposed,
    ListWanted,
    PinRefused,
    RequestMade,
    TicketPresented,
    TicketsLogged,
    TicketsWanted,
    TicketTaken,
    circular_customer,
)
from ..protocol.parties.card_lists import issued_in, open_lists, revoked_in
from ..protocol.stores.card_log import Intent, Result, export_lines, last_list
from .keeping import Keeping, Show, ignore, wall_clock

APPROVAL_SECONDS = 24 * 3600
"""How long a job stays open for approvals and signature, unless said otherwise."""
LIST_DAYS = 90
"""How long a revocation list is relied on, unless said otherwise: time for two people to meet and renew it."""


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
        """The manufacturer's root that came with our certificate.

        Raises:
            StateError: there is none yet, or the certificate is a circular one (L6).

        """
        root = self._installed().root
        if root is None:
            raise StateError(
                "this card is certified by its own central system only",
                who="card",
                expected="a certificate by the manufacturer, or trust option physical",
                got="a circular certificate",
            )
        return trusted_root(root)

    @property
    def is_circular(self) -> bool:
        """Whether its certificate is a circular one: a plausibility check only (L6)."""
        return self._installed().central is not None

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
        name = self._check_waits()
        self._check_ours(verify_issued(customer, trusted_root(root), Role.CUSTOMER, now=None, subject=name))
        self._submit(CustomerCertified(root, customer))

    def install_circular(self, request: bytes, customer: bytes) -> None:
        """Keep what our own central system made in the manufacturer's place: a plausibility check only (L6).

        Args:
            request: its PKCS#10 request, DER; the caller answers for it that it is the central system's.
            customer: our certificate by its key, DER.

        Raises:
            StateError: the card has a certificate.
            ProtocolError: it is not by that key, or not for our key and name.

        """
        name = self._check_waits()
        self._check_ours(circular_customer(request, customer, name))
        self._submit(CircleClosed(request, customer))

    def _check_waits(self) -> str:
        """The name of a card that waits for its certificate."""
        if self.record.customer is not None:
            raise StateError("the card has its certificate", who="card", expected="a card that waits for it")
        return self.record.name

    def _check_ours(self, customer: VerifiedCertificate) -> None:
        if customer.public != given(self._keeping.vault.find(SIGNING)).public:
            raise ProtocolError("customer certificate", who="card", expected="our signing key", got="another key")

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

    def approve(self, job: Job | ListJob, person: str, pin: bytes) -> int:
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
        jobs: tuple[Job | ListJob, ...] = (*record.jobs, *record.lists)
        job = next((each for each in jobs if each.number == number and now <= each.expires), None)
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

    # tickets

    def order_tickets(self, number: bytes) -> TicketOrder:
        """Make the tickets of an approved job, for the manufacturer and nobody else; in the log before they leave.

        Raises:
            StateError: not approved by two people, expired or used.

        """
        vault = self._keeping.vault
        main = vault.storage.make_main_key(TICKETS)
        try:
            notes = self._submit(TicketsWanted(number, self._now()))
        finally:
            vault.roll_back()
        made = next(note.order for note in notes if isinstance(note, TicketsLogged))
        paths = tuple(ticket_path(made.first + each) for each in range(made.count))
        keys = vault.use(main, DeriveKeys(paths))
        each_key = tuple(keys[at : at + DERIVED_BYTES] for at in range(0, len(keys), DERIVED_BYTES))
        return TicketOrder(self.record.name, number, made.first, each_key)

    def take_ticket(self, claim: TicketClaim) -> bool:
        """Check the ticket that a module showed, and consume it for this module; whether it was shown before.

        Raises:
            StateError: this card gave out no tickets.
            ProtocolError: the ticket is not for this module, or is another's.

        """
        main = self._keeping.vault.find_secret(TICKETS)
        if main is None:
            raise StateError("no tickets were given out", who="card", expected="card tickets", got="none yet")
        for note in self._submit(TicketPresented(claim, main, self._now())):
            if isinstance(note, TicketTaken):
                return not note.anew
        raise ProtocolError(
            f"ticket {claim.number}", who="card", expected=f"one that vouches for {claim.serial}", got="another"
        )

    # revocation

    @property
    def crl(self) -> bytes:
        """The last revocation list that was signed, DER.

        Raises:
            StateError: there is none.

        """
        crl = self._installed().crl
        if crl is None:
            raise StateError("no revocation list", who="card", expected="one approved by two people", got="none yet")
        return crl

    @property
    def list_number(self) -> int:
        """The number of the last revocation list; 0 for none. A list whose signature failed has one all the same."""
        return last_list(log_of(self.record))

    @property
    def revoked(self) -> Mapping[bytes, int]:
        """Serial numbers of the certificates that are revoked, 16 bytes, and since when, unix seconds."""
        return revoked_in(log_of(self.record))

    def numbers_of(self, serial: str) -> tuple[bytes, ...]:
        """Serial numbers of the certificates that this card made for the module `serial`; 16 bytes each, ascending.

        Raises:
            StateError: it made none, or all are revoked.

        """
        log = log_of(self._installed())
        issued = {number for number, made in issued_in(log).items() if (made.role, made.subject) == ("module", serial)}
        if not issued:
            raise StateError(f"no certificate for {serial}", who="card", expected="one that the log names", got="none")
        return self._countable(issued, f"the certificates for {serial}")

    def number_of(self, certificate: bytes) -> bytes:
        """The serial number of a certificate (DER) that this card made, 16 bytes.

        Raises:
            CertificateRefused: it did not make it.
            StateError: it is revoked.

        """
        log, fingerprint = log_of(self._installed()), sha256(certificate).digest()
        results = (entry.what for entry in log if isinstance(entry.what, Result))
        job = next((result.job for result in results if result.fingerprint == fingerprint), None)
        if job is None:
            raise CertificateRefused("issuer", "certificate", expected="one that the card's log names", got="another")
        number = serial_number(job).to_bytes(SERIAL_NUMBER_BYTES, "big")
        return self._countable({number}, "the certificate")[0]

    def _countable(self, issued: set[bytes], what: str) -> tuple[bytes, ...]:
        revoked = self.revoked
        if not issued - revoked.keys():
            since = time_text(max(revoked[number] for number in issued))
            raise StateError(f"{what} is revoked", who="card", expected="one that counts", got=f"revoked since {since}")
        return tuple(sorted(issued - revoked.keys()))

    def propose_list(
        self, added: Iterable[bytes] = (), *, days: int = LIST_DAYS, seconds: int = APPROVAL_SECONDS
    ) -> ListJob:
        """Open a job for the next revocation list, or find the one that is open for exactly this list.

        Args:
            added: serial numbers of the certificates, 16 bytes each, that it revokes besides those that are revoked.
            days: until its next update.
            seconds: how long approvals count.

        Raises:
            StateError: a certificate that this card did not make or that is revoked, or too many lists are open.

        """
        record, now, numbers = self._installed(), self._now(), tuple(sorted(set(added)))
        for job in open_lists(record, now):
            if (job.added, job.days) == (numbers, days):
                return job
        job = ListJob(
            number=self._entropy(16),
            list_number=self.list_number + 1,
            added=numbers,
            days=days,
            expires=now + seconds,
            approvals=(),
        )
        self._submit(ListProposed(job, now))
        return job

    def sign_list(self, number: bytes) -> bytes:
        """Sign the revocation list of an approved job; DER, entered in the log before it leaves.

        Raises:
            StateError: not approved by two people, expired, used, or another list came first.
            UsageError: the clock is behind the log, or the list is longer than anybody reads.

        """
        notes = self._submit(ListWanted(number, self._now()))
        return next(note.crl for note in notes if isinstance(note, Listed))

    @property
    def heard(self) -> VerifiedCrl | None:
        """The manufacturer's newest revocation list that this card was given."""
        heard = self._installed().heard
        return None if heard is None else read_crl(heard, self.root)

    def heed(self, crl: bytes) -> VerifiedCrl:
        """Keep the manufacturer's revocation list (DER) from now on; whether it is current, the caller judges.

        Raises:
            CertificateRefused: it is not the manufacturer's.
            StateError: a newer one is here, or another one of the same number.

        """
        new, held = read_crl(crl, self.root), self.heard
        if held is not None and held.der != crl and new.number <= held.number:
            expected = f"one newer than list {held.number}"
            raise StateError(
                "the manufacturer's revocation list", who="card", expected=expected, got=f"list {new.number}"
            )
        self._submit(ListHeard(crl))
        return new

    def check_counts(self, certificate: VerifiedCertificate) -> None:
        """Make sure that a certificate by this card is not one that its people have revoked.

        Raises:
            CertificateRefused: it is.

        """
        since = self.revoked.get(certificate.serial_number.to_bytes(SERIAL_NUMBER_BYTES, "big"))
        if since is not None:
            raise CertificateRefused(
                "revocation",
                f"{certificate.role.value} certificate of {certificate.subject}",
                expected="one that counts",
                got=f"revoked since {time_text(since)}",
            )

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
