"""What the chip card of a personalization unit is and knows: states, data, events, what it shows. No decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NoReturn

from ..engine import KeyHandle, PublicKey, UsageError, given
from ..keys.certificates import Draft
from ..messages import CardRecord, Job, Person
from ..stores.card_log import LogEntry

SIGNING: Final = "signing"
"""Label of the customer's signing key: certifies, under four eyes, and does nothing else (L13)."""
AUTHENTICATION: Final = "authentication"
"""Label of the unit's authentication key: opens channels; one person is enough."""
MAX_FAILURES: Final = 5
"""Wrong PINs in a row that lock a person."""


class CardState(Enum):
    """BLANK, REQUESTED and READY are durable."""

    BLANK = auto()
    FURNISHING = auto()
    PAIRING = auto()
    REQUESTING = auto()
    REQUESTED = auto()
    READY = auto()
    SIGNING = auto()


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
class JobProposed:
    """Somebody wants a certificate made; it takes two people's approval. `at`: unix seconds."""

    job: Job
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
class RequestMade:
    """The signing key exists; a PKCS#10 request (DER) asks the manufacturer to certify it."""

    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobNoted:
    """The job is open; `missing` approvals are still needed."""

    job: Job
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
class CardData:
    """What a card knows.

    Attributes:
        record: durable state; None while blank.
        signing, authentication: its key pairs.
        log: the record's log with its chain verified, once it has been needed.
        wish: what the customer asked for, while the card is being furnished.
        draft: what waits for its signature.
        job: the job that is being signed.
        at: when, unix seconds.

    """

    record: CardRecord | None = None
    signing: KeyHandle | None = None
    authentication: KeyHandle | None = None
    log: tuple[LogEntry, ...] | None = field(default=None, repr=False)
    wish: Furnish | None = None
    draft: Draft | None = field(default=None, repr=False)
    job: Job | None = None
    at: int = 0

    @property
    def held(self) -> CardRecord:
        """The durable record of a card that is no longer blank."""
        return given(self.record)
