"""How things stand with one module, as the card's jobs and log tell, and what somebody has to do next.

Read before a personalization and after one that broke off, so that a second attempt goes by what the first one left.
Nothing here changes anything, asks anybody or knows what a module says of itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ..protocol.keys.certificates import fingerprint_text
from ..protocol.keys.profile import time_text
from ..protocol.messages import CardRole, Job
from ..protocol.parties.card import log_of
from ..protocol.stores.card_log import Failure, Intent, LogEntry, Result
from .approving import approved_text
from .card import Card


class Step(Enum):
    """How far a personalization came. The values are for programs."""

    NOTHING = "nothing"
    """Nobody approved anything, and nothing was signed."""
    APPROVING = "approving"
    """A job is open that lacks approvals."""
    APPROVED = "approved"
    """Two people have approved, and nothing was signed."""
    SIGNING = "signing"
    """The approvals are used up, and the log has no signature."""
    CERTIFIED = "certified"
    """The certificate was made; only the module knows whether it keeps it."""
    PERSONALIZED = "personalized"
    """The module has confirmed."""
    UNKNOWN = "unknown"
    """The card did not say, since it failed or was taken away."""


@dataclass(frozen=True, slots=True)
class Made:
    """The last certificate that the card was to make for a module.

    Attributes:
        number: of the log's entry that says how it went, or of the intent if none does.
        at: when that was, unix seconds.
        fingerprint: SHA-256 of the certificate, 32 bytes; None if the log has no signature for it.
        reason: why none was made, in the log's words; empty if the log says nothing: power may have failed.

    """

    number: int
    at: int
    fingerprint: bytes | None
    reason: str = ""

    @property
    def text(self) -> str:
        """For people."""
        when = time_text(self.at)
        if self.fingerprint is not None:
            return f"the card certified this module last {when}: certificate {fingerprint_text(self.fingerprint)}"
        why = self.reason or "it was cut off"
        return f"the card was about to certify this module {when}, and the log has no signature: {why}"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the card says of one module.

    Attributes:
        serial: of the module.
        job: the open one for whatever key it will make, in time; None if there is none.
        made: what the log has last; None if nothing.
        entries: of the log.
        lasts: approvals outlive the program; with a signing token they do not.

    """

    serial: str
    job: Job | None
    made: Made | None
    entries: int = 0
    lasts: bool = True

    @classmethod
    def of(cls, card: Card, serial: str) -> Outlook:
        """As the card is now.

        Raises:
            StateError: the card is blank.

        """
        fits = (job for job in card.record.jobs if job.role is CardRole.MODULE and job.subject == serial)
        job = next((job for job in fits if job.public_key is None and card.now <= job.expires), None)
        log = log_of(card.record)
        entries = log[-1].number + 1 if log else 0
        return cls(serial, job, last_made(log, serial), entries, lasts=card.split is None)

    @property
    def is_approved(self) -> bool:
        """Whether two people have approved the job that is open."""
        return self.job is not None and len(self.job.approvals) == 2

    @property
    def job_text(self) -> str:
        """Who has approved, for people."""
        if self.job is None:
            return "no job is open"
        by = approved_text(self.job.approvals)
        return f"job {self.job.number.hex()}, {by}, until {time_text(self.job.expires)}"

    def step(self, since: int) -> Step:
        """How far one came that began when the log had `since` entries, and has no confirmation."""
        if self.made is not None and self.made.number >= since:
            return Step.SIGNING if self.made.fingerprint is None else Step.CERTIFIED
        if self.job is None:
            return Step.NOTHING
        return Step.APPROVED if self.is_approved else Step.APPROVING

    def next_text(self, step: Step) -> str:
        """Where things stand after that step, and what to do, for people; one clause."""
        fingerprint = None if self.made is None else self.made.fingerprint
        certificate = "none" if fingerprint is None else fingerprint_text(fingerprint)
        match step:
            case Step.NOTHING:
                return "nothing was approved or signed"
            case Step.APPROVING | Step.APPROVED if not self.lasts:
                return "nothing was signed, and approvals end with this program: the same command asks for both again"
            case Step.APPROVING | Step.APPROVED:
                goes_on = "the same command goes on with it, insitu card withdraw takes it back"
                return f"nothing was signed; {self.job_text}: {goes_on}"
            case Step.SIGNING:
                return "the approvals are used up, and no certificate left the card: two people have to approve again"
            case Step.CERTIFIED:
                return (
                    f"certificate {certificate} was made, and module {self.serial} may have kept it: "
                    "the same command asks the module; if it still waits, two people have to approve again"
                )
            case Step.PERSONALIZED:
                return f"module {self.serial} is personalized, certificate {certificate}"
            case Step.UNKNOWN:
                return "the card does not say what was signed: once it is there again, the same command goes by its log"


def last_made(log: Iterable[LogEntry], serial: str) -> Made | None:
    """What the log has last of certificates for the module `serial`."""
    jobs: set[bytes] = set()
    last: Made | None = None
    for entry in log:
        match entry.what:
            case Intent(job=job, role="module", subject=subject) if subject == serial:
                jobs.add(job)
                last = Made(entry.number, entry.at, None)
            case Result(job=job, fingerprint=fingerprint) if job in jobs:
                last = Made(entry.number, entry.at, fingerprint)
            case Failure(job=job, reason=reason) if job in jobs:
                last = Made(entry.number, entry.at, None, reason)
    return last
