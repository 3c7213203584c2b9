"""What the chip card of a personalization unit is and knows: states, data, events, what it shows; its record and log.

No decisions: those are in `card.py`, with the table, and in `card_lists.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final, NoReturn

from ..channel.trust.ticket import TicketClaim
from ..engine import Close, Effects, KeyHandle, Persist, PublicKey, SecretHandle, Show, UsageError, given
from ..keys.certificates import Draft, Role, VerifiedCertificate, trusted_root, verify_circular, verify_issued
from ..keys.profile import time_text
from ..keys.requests import read_request
from ..messages import CardRecord, Job, ListJob, Person
from ..stores.card_log import Happening, LogEntry, TicketsOrdered, append, import_lines

SIGNING: Final = "signing"
"""Label of the customer's signing key: certifies, under four eyes, and does nothing else (L13)."""
AUTHENTICATION: Final = "authentication"
"""Label of the unit's authentication key: opens channels; one person is enough."""
MAX_FAILURES: Final = 5
"""Wrong PINs in a row that lock a person."""
DAY: Final = 24 * 3600
"""Seconds."""


class CardState(Enum):
    """BLANK, REQUESTED and READY are durable."""

    BLANK = auto()
    FURNISHING = auto()
    PAIRING = auto()
    REQUESTING = auto()
    REQUESTED = auto()
    READY = auto()
    SIGNING = auto()
    LISTING = auto()
    CHECKING = auto()


@dataclass(frozen=True, slots=True)
class Furnish:
    """The customer takes the card into use: its name and the people who may approve, at least two (L13)."""

    name: str
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class CustomerCertified:
    """The manufacturer's answer to RequestMade: its root and the customer's certificate, DER."""

    root: bytes = field(repr=False)
    customer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CircleClosed:
    """Our central system certified us, and the manufacturer did not: a plausibility check only, by policy (L6).

    Attributes:
        request: the central system's PKCS#10 request, DER, whose key the people have compared.
        customer: our certificate by that key, DER.

    """

    request: bytes = field(repr=False)
    customer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobProposed:
    """Somebody wants a certificate made; it takes two people's approval. `at`: unix seconds."""

    job: Job
    at: int


@dataclass(frozen=True, slots=True)
class ListProposed:
    """Somebody wants certificates revoked, or a list renewed; it takes two people's approval. `at`: unix seconds."""

    job: ListJob
    at: int


@dataclass(frozen=True, slots=True)
class Approve:
    """A person approves exactly this job.

    Attributes:
        number: of the job.
        person: who.
        pin: that person's PIN; never stored, never shown.
        at: unix seconds.

    """

    number: bytes
    person: str
    pin: bytes = field(repr=False)
    at: int

    def __reduce__(self) -> NoReturn:
        raise UsageError("a PIN is neither pickled nor copied", who="card")


@dataclass(frozen=True, slots=True)
class CertificateWanted:
    """The unit wants the certificate of a job made, for this public key, now.

    Attributes:
        number: of the job.
        public: the key to certify; for a unit or central system the one that was approved.
        at: unix seconds.

    """

    number: bytes
    public: PublicKey
    at: int


@dataclass(frozen=True, slots=True)
class ListWanted:
    """The revocation list of a job is to be signed now. `number`: of the job; `at`: unix seconds."""

    number: bytes
    at: int


@dataclass(frozen=True, slots=True)
class ListHeard:
    """The manufacturer's revocation list came, DER."""

    crl: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TicketsWanted:
    """The tickets of a job are to leave now (A4). `number`: of the job; `at`: unix seconds."""

    number: bytes
    at: int


@dataclass(frozen=True, slots=True)
class TicketPresented:
    """A module that signed with its identity key shows a ticket (A4). `main`: the main key; `at`: unix seconds."""

    claim: TicketClaim
    main: SecretHandle
    at: int


@dataclass(frozen=True, slots=True)
class TicketsLogged:
    """Tickets may leave the card: their numbers, in the log."""

    order: TicketsOrdered


@dataclass(frozen=True, slots=True)
class TicketTaken:
    """The ticket is good; it is this module's. `anew`: from now on, as the log says."""

    ticket: int
    serial: str
    anew: bool


@dataclass(frozen=True, slots=True)
class TicketDeclined:
    """The ticket is not one that the manufacturer made of ours for this module."""

    ticket: int
    serial: str


@dataclass(frozen=True, slots=True)
class RequestMade:
    """The signing key exists; a PKCS#10 request (DER) asks the manufacturer to certify it."""

    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobNoted:
    """The job is open; `missing` approvals are still needed."""

    job: Job | ListJob
    missing: int


@dataclass(frozen=True, slots=True)
class PinRefused:
    """A wrong PIN; after `left` more the person is locked."""

    person: str
    left: int


@dataclass(frozen=True, slots=True)
class Certified:
    """The certificate of a job was signed and entered in the log, DER."""

    job: Job
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """The revocation list of a job was signed and entered in the log, DER."""

    job: ListJob
    crl: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CardData:
    """What a card knows.

    Attributes:
        record: durable state; None while blank.
        signing, authentication: its key pairs.
        log: the record's log with its chain verified, once it has been needed.
        wish: what the customer asked for, while the card is being furnished.
        draft: what waits for its signature.
        job, listing: the certificate or the revocation list that is being signed.
        presented: the ticket that is being checked.
        at: when, unix seconds.

    """

    record: CardRecord | None = None
    signing: KeyHandle | None = None
    authentication: KeyHandle | None = None
    log: tuple[LogEntry, ...] | None = field(default=None, repr=False)
    wish: Furnish | None = None
    draft: Draft | None = field(default=None, repr=False)
    job: Job | None = None
    listing: ListJob | None = None
    presented: TicketPresented | None = None
    at: int = 0

    @property
    def held(self) -> CardRecord:
        """The durable record of a card that is no longer blank."""
        return given(self.record)


# The durable record and the log ------------------------------------------------------------------------------


def customer_of(record: CardRecord) -> VerifiedCertificate:
    """The customer's certificate, verified under the root that came with it, or by the central system's key (L6)."""
    if record.central is not None:
        return circular_customer(record.central, given(record.customer), record.name)
    return _customer(given(record.root), given(record.customer), record.name)


@lru_cache(maxsize=16)
def circular_customer(request: bytes, customer: bytes, name: str) -> VerifiedCertificate:
    """The customer's certificate by the central system of this request.

    Raises:
        CertificateRefused: it is not.

    """
    central = read_request(request)
    return verify_circular(customer, central.subject, central.public, subject=name)


@lru_cache(maxsize=16)
def _customer(root: bytes, customer: bytes, name: str) -> VerifiedCertificate:
    """Our own chain, verified once and not for every certificate that we make."""
    return verify_issued(customer, trusted_root(root), Role.CUSTOMER, now=None, subject=name)


def log_of(record: CardRecord) -> tuple[LogEntry, ...]:
    """The log, its chain verified.

    Raises:
        LogBroken: an entry is missing, altered or out of place.

    """
    return import_lines(b"".join(line + b"\n" for line in record.log))


def known_log(data: CardData) -> tuple[LogEntry, ...]:
    """The log, its chain verified now or before."""
    return log_of(data.held) if data.log is None else data.log


def signing_time(log: tuple[LogEntry, ...], at: int) -> int:
    """The time of what is signed now: never before the entry that came last, whatever the clock says.

    A clock that is behind the log by more than a day is wrong now or was wrong then; nothing good can be dated by it.

    Raises:
        UsageError: it is.

    """
    latest = log[-1].at if log else 0
    if at < latest - DAY:
        raise UsageError("clock", who="card", expected=f"{time_text(latest)} or later", got=time_text(at))
    return max(at, latest)


def logged(data: CardData, what: Happening, at: int, **changes: Any) -> CardData:  # noqa: ANN401 - of the record
    """With one more entry in the log, and whatever else changes in the record with it."""
    log = known_log(data)
    entry = append(log, what, at=at)
    record = replace(data.held, log=(*data.held.log, entry.line), **changes)
    return replace(data, record=record, log=(*log, entry))


def kept(data: CardData, record: CardRecord, *then: Show | Close) -> tuple[CardData, Effects]:
    """Back at rest with this record, durable before anything is said."""
    return at_rest(replace(data, record=record)), [Persist(record), *then]


def at_rest(data: CardData) -> CardData:
    """With nothing under way."""
    return replace(data, draft=None, job=None, listing=None, presented=None)
