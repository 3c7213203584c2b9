"""A software card in a personalization unit: its table at a desk, its sealed file, its log for export."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256

from ..protocol.channel.proofs import ticket_path
from ..protocol.channel.trust import TICKETS, TicketClaim
from ..protocol.engine import DeriveKeys, ProtocolError, PublicKey, StateError
from ..protocol.keys.certificates import (
    CertificateRefused,
    Role,
    VerifiedCertificate,
    key_digest,
    verify_issued,
)
from ..protocol.keys.methods import DERIVED_BYTES
from ..protocol.keys.profile import SERIAL_NUMBER_BYTES, checked_name, serial_number, time_text
from ..protocol.keys.public import compress
from ..protocol.keys.revocation import VerifiedCrl, read_crl
from ..protocol.messages import CardRole, Job, ListJob, StandingJob, TicketOrder
from ..protocol.parties.card import log_of
from ..protocol.parties.card_data import (
    CertificateWanted,
    Certified,
    JobProposed,
    Listed,
    ListHeard,
    ListProposed,
    ListWanted,
    StandingInForce,
    StandingProposed,
    StandingUsed,
    StandingWanted,
    StandingWithdrawn,
    TicketPresented,
    TicketsLogged,
    TicketsWanted,
    TicketTaken,
)
from ..protocol.parties.card_lists import issued_in, open_lists, revoked_in
from ..protocol.parties.card_log_data import HeadWanted, ReceiptCame
from ..protocol.parties.log_heads import LogReceipt
from ..protocol.parties.log_reading import made_in
from ..protocol.stores.card_log import Intent, Result, Standing, last_list, standing_in
from ..protocol.stores.log_lines import Export, export_lines
from .peopled_card import APPROVAL_SECONDS, PeopledCard

LIST_DAYS = 90
"""How long a revocation list is relied on, unless said otherwise: time for two people to meet and renew it."""


class Card(PeopledCard):
    """The customer's card: a signing key under four eyes and an authentication key (L12, L13).

    Args:
        vault: its key memory and durable state.
        entropy, now, show: random bytes, unix seconds, progress.

    """

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
            meant = job.role is role and job.subject == subject and now <= job.expires
            if meant and (role is not CardRole.MODULE or job.public_key is None):
                if (job.public_key, job.days) != (key, days):
                    if not job.approvals:
                        break  # nobody meant it: it gives way
                    raise StateError(
                        f"a job for {subject} is open", who="card", expected="the same key and days", got="others"
                    )
                return job
        job = self._new_job(role, subject, key, days, now + seconds)
        self._submit(JobProposed(job, now))
        return job

    def draft(self, serial: str, *, days: int, seconds: int) -> Job:
        """A job for a module whose key is not known yet, with a number and a salt of this card; nobody hears of it.

        Raises:
            UsageError: a subject that no certificate can carry.

        """
        return self._new_job(CardRole.MODULE, serial, None, days, self._now() + seconds)

    def propose_key(self, draft: Job, public: PublicKey) -> Job:
        """Open the job of a draft, now that the module's key is known; it takes the place of those for earlier keys.

        Raises:
            StateError: the job is there already.

        """
        job = replace(draft, public_key=compress(public))
        self._submit(JobProposed(job, self._now()))
        return job

    def job(self, number: bytes) -> Job:
        """The open job of this number.

        Raises:
            StateError: there is none, or its time is over.

        """
        for job in self._installed().jobs:
            if job.number == number and self._now() <= job.expires:
                return job
        raise StateError(
            "no such job is open", who="card", expected="one that insitu card jobs shows", got=number.hex()
        )

    def _new_job(self, role: CardRole, subject: str, key: bytes | None, days: int, expires: int) -> Job:
        number, salt = self._entropy(16), self._entropy(32)
        return Job(number, role, checked_name(subject), salt, days, expires, approvals=(), public_key=key)

    def approved_job(self, role: CardRole, subject: str) -> Job:
        """The open job for this role and subject with both approvals.

        Raises:
            StateError: there is none.

        """
        now, late = self._now(), False
        for job in self._installed().jobs:
            is_it = job.role is role and job.subject == subject
            late = late or (is_it and now > job.expires)
            if is_it and now <= job.expires and (role is not CardRole.MODULE or job.public_key is None):
                if len(job.approvals) == 2:
                    return job
                raise StateError(
                    f"the job for {subject} lacks approval",
                    who="card",
                    expected="two different people",
                    got=" and ".join(job.approvals) or "none",
                )
        raise StateError(
            f"no job for {subject}",
            who="card",
            expected="a job approved by two people",
            got="one that is out of date" if late else "none",
        )

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
        for entry in self._known_log():
            match entry.what:
                case Intent(job=job, role="module", subject=subject):
                    jobs[job] = subject
                case Result(job=job, fingerprint=fingerprint) if jobs.get(job) == serial:
                    latest = fingerprint
        return latest

    # standing approvals

    @property
    def standing(self) -> dict[bytes, Standing]:
        """Those in force, by number, also those that are used up or out of date."""
        self._installed()
        return standing_in(self._known_log())

    def propose_standing(
        self, serials: Iterable[str], *, most: int, until: int, days: int = 365, seconds: int = APPROVAL_SECONDS
    ) -> StandingJob:
        """Open a job for a standing approval, or find the one that is open for exactly this.

        Args:
            serials: of the modules; one that ends with a star stands for all that begin so.
            most: how many certificates.
            until: unix seconds after which it is worth nothing.
            days: validity of each certificate.
            seconds: how long approvals count.

        Raises:
            StateError, UsageError: more than the card's policy admits, or too many are open.

        """
        if self.split is not None:
            raise StateError(
                "no standing approvals with a signing token",
                who="card",
                expected="both people at each signature: insitu unit personalize --person",
                got="consent without them",
            )
        now, meant = self._now(), tuple(sorted(set(serials)))
        for job in self._installed().standing:
            if (job.serials, job.most, job.until, job.days) == (meant, most, until, days) and now <= job.expires:
                return job
        job = StandingJob(self._entropy(16), meant, most, until, days, now + seconds, approvals=())
        self._submit(StandingProposed(job, now))
        return job

    def bring_into_force(self, number: bytes) -> Standing:
        """Let an approved standing approval count from now on; in the log.

        Raises:
            StateError: not approved by two people, expired, in force, or the policy has no room any more.

        """
        notes = self._submit(StandingWanted(number, self._now()))
        return Standing(next(note.begun for note in notes if isinstance(note, StandingInForce)), 0)

    def certify_by_standing(self, standing: bytes, job: Job, public: PublicKey) -> bytes:
        """Make the certificate of a draft under a standing approval; DER, entered in the log before it leaves.

        Raises:
            StateError: it does not cover that, is used up, out of date or withdrawn.

        """
        notes = self._submit(StandingUsed(standing, job, public, self._now()))
        return next(note.certificate for note in notes if isinstance(note, Certified))

    def withdraw(self, number: bytes) -> None:
        """Let a standing approval count no more; one person is enough for that.

        Raises:
            StateError: there is none of this number.

        """
        self._submit(StandingWithdrawn(number, self._now()))

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
        return last_list(self._known_log())

    @property
    def revoked(self) -> Mapping[bytes, int]:
        """Serial numbers of the certificates that are revoked, 16 bytes, and since when, unix seconds."""
        return revoked_in(self._known_log())

    def numbers_of(self, serial: str) -> tuple[bytes, ...]:
        """Serial numbers of the certificates that this card made for the module `serial`; 16 bytes each, ascending.

        Raises:
            StateError: it made none, or all are revoked.

        """
        self._installed()
        made = issued_in(self._known_log())
        issued = {number for number, each in made.items() if (each.role, each.subject) == ("module", serial)}
        if not issued:
            raise StateError(f"no certificate for {serial}", who="card", expected="one that the log names", got="none")
        return self._countable(issued, f"the certificates for {serial}")

    def number_of(self, certificate: bytes) -> bytes:
        """The serial number of a certificate (DER) that this card made, 16 bytes.

        Raises:
            CertificateRefused: it did not make it.
            StateError: it is revoked.

        """
        self._installed()
        fingerprint = sha256(certificate).digest()
        results = (entry.what for entry in self._known_log() if isinstance(entry.what, Result))
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

    # the log

    @property
    def log(self) -> Export:
        """The log as it is, its chain verified; its last entries may be under no signed head.

        Raises:
            LogBroken: an entry is missing, altered or out of place.

        """
        record = self.record
        return Export(log_of(record), record.head, record.receipt)

    def signed_log(self) -> Export:
        """The log with a signed head of all its entries; one that lacks is signed now.

        Raises:
            EnvironmentFault: the head could not be signed or stored.

        """
        if self.record.customer is not None:
            self._submit(HeadWanted(self._now()))
        return self.log

    @property
    def has_unread_entries(self) -> bool:
        """Whether the log has entries that no receipt names."""
        record = self.record
        read = 0 if record.receipt is None else LogReceipt.read(record.receipt, None).entries
        return len(record.log) > read

    def keep_receipt(self, receipt: bytes, central: PublicKey) -> None:
        """Keep what a central system has signed once it had read the log.

        Args:
            receipt: COSE_Sign1.
            central: its key, as it was pinned.

        Raises:
            StateError: it is for another log, or for less than was read before.
            ProtocolError: this key has not signed it.

        """
        self._submit(ReceiptCame(receipt, central))

    @property
    def central_key(self) -> bytes:
        """SHA-256 of the key of the central system that this card certified last, 32 bytes.

        Raises:
            StateError: it certified none that counts.

        """
        customer, revoked = self.customer, self.revoked
        made = [each for each in made_in(self.log.log, customer) if each.role == Role.CENTRAL.value]
        for each in reversed(made):
            found = verify_issued(each.der, customer, Role.CENTRAL, now=None)
            if found.serial_number.to_bytes(SERIAL_NUMBER_BYTES, "big") not in revoked:
                return key_digest(found.public)
        raise StateError("no central system", who="card", expected="one that this card certified", got="none")

    def export_log(self) -> bytes:
        """The signed log as JSON Lines; errors as for `signed_log`."""
        return export_lines(self.signed_log())
