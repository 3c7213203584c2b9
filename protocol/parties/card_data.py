"""What the chip card of a personalization unit is and knows: states, data, events, what it shows.

No decisions: those are in `card.py`, with the table, and in the files on lists, tickets and standing approvals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NoReturn, TypeAlias

from ..channel.trust.ticket import TicketClaim
from ..engine import KeyHandle, PublicKey, SecretHandle, UsageError, given
from ..keys.certificates import Draft
from ..keys.port import Memory
from ..messages import CardRecord, Job, ListJob, PeopleJob, Person, StandingJob, StandingPolicy
from ..stores.card_log import (
    LogEntry,
    StandingBegun,
    TicketsOrdered,
)
from .card_log_data import Entered

SIGNING: Final = "signing"
"""Label of the customer's signing key: certifies, under four eyes, and does nothing else (L13)."""
AUTHENTICATION: Final = "authentication"
"""Label of the unit's authentication key: opens channels; one person is enough."""
MAX_FAILURES: Final = 5
"""Wrong PINs in a row that lock a person."""
DAY: Final = 24 * 3600
"""Seconds."""
AnyJob: TypeAlias = Job | ListJob | StandingJob | PeopleJob
"""Whatever people approve."""


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
    VOUCHING = auto()
    """What happened is in the log that is about to be stored; its head is being signed."""


@dataclass(frozen=True, slots=True)
class Furnish:
    """The customer takes the card into use.

    Attributes:
        name: of the customer.
        people: who may approve, at least two (L13).
        policy: what standing approvals there may be, for the card's whole life; None: none.
        signing: the token with the signing key, if it is one of its own: then there are exactly two people, and no
            standing approvals.
        asks: see CardRecord.

    """

    name: str
    people: tuple[Person, ...]
    policy: StandingPolicy | None = None
    signing: str | None = None
    asks: bool | None = None


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
class StandingProposed:
    """Somebody wants to be asked no more for some modules; it takes two people's approval. `at`: unix seconds."""

    job: StandingJob
    at: int


@dataclass(frozen=True, slots=True)
class Approve:
    """A person approves exactly this job.

    Attributes:
        number: of the job.
        digest: of all that it says (`digest_of`), as the person was shown it.
        person: who.
        pin: that person's PIN; never stored, never shown.
        at: unix seconds.

    """

    number: bytes
    digest: bytes
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
class StandingWanted:
    """A standing approval is to come into force now. `number`: of the job; `at`: unix seconds."""

    number: bytes
    at: int


@dataclass(frozen=True, slots=True)
class StandingUsed:
    """The unit wants a module's certificate made that nobody was asked for.

    Attributes:
        standing: number of the standing approval that covers it, 16 bytes.
        job: what is to be certified; approved by nobody.
        public: the key to certify.
        at: unix seconds.

    """

    standing: bytes
    job: Job
    public: PublicKey
    at: int


@dataclass(frozen=True, slots=True)
class StandingWithdrawn:
    """A standing approval is to count no more, in force or not yet. `number`: of it; `at`: unix seconds."""

    number: bytes
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

    job: AnyJob
    missing: int


@dataclass(frozen=True, slots=True)
class StandingInForce:
    """A standing approval came into force, as the log says."""

    begun: StandingBegun


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
        entered: what waits for the signature of the log's head; `record` has the entry then and is not stored yet.
        at: when, unix seconds.
        memory: what its token says of the room in it; None: nothing, or there is none.

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
    entered: Entered | None = None
    at: int = 0
    memory: Memory | None = None

    @property
    def held(self) -> CardRecord:
        """The durable record of a card that is no longer blank."""
        return given(self.record)
