"""Events and notes about a card's people: who may approve, with which PIN, and what they take back. No decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from ..engine import UsageError
from ..messages import PeopleJob, Person
from ..stores.card_log import PeopleChanged


@dataclass(frozen=True, slots=True)
class PeopleProposed:
    """Somebody wants the people changed; it takes two people's approval. `at`: unix seconds."""

    job: PeopleJob
    at: int


@dataclass(frozen=True, slots=True)
class ApprovalWithdrawn:
    """A person's approval is to count no more. `number`: of the job; `person`: who."""

    number: bytes
    person: str


@dataclass(frozen=True, slots=True)
class ApprovalsOutlived:
    """A session with a signing token began: whatever was approved in an earlier one counts no more."""


@dataclass(frozen=True, slots=True)
class HalvesTaken:
    """The token with the signing key has taken both halves of its PIN: who holds them is nobody else, and not locked.

    Attributes:
        number: names what happened in the log, 16 random bytes.
        person: on whose behalf: who was locked, or has forgotten a half.
        people: both, in the order of their halves, with what the card keeps of these.
        by_officer: the token's security officer has set them; else they were the token's already.
        at: unix seconds.

    """

    number: bytes
    person: str
    people: tuple[Person, ...]
    by_officer: bool
    at: int


@dataclass(frozen=True, slots=True)
class PinChanged:
    """A person wants another PIN, and knows the one that counts.

    Attributes:
        person: who.
        pin: the one that counts; never stored, never shown.
        new: that person with the verifier of the new one.

    """

    person: str
    pin: bytes = field(repr=False)
    new: Person

    def __reduce__(self) -> NoReturn:
        raise UsageError("a PIN is neither pickled nor copied", who="card")


@dataclass(frozen=True, slots=True)
class PeopleWanted:
    """A change of the people is to come into force now. `number`: of the job; `at`: unix seconds."""

    number: bytes
    at: int


@dataclass(frozen=True, slots=True)
class PinTaken:
    """The new PIN of this person counts from now on."""

    person: str


@dataclass(frozen=True, slots=True)
class PeopleAre:
    """The people changed, as the log says."""

    changed: PeopleChanged
