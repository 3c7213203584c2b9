"""What people are shown before they approve, and their approvals on a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..protocol.engine import KeyKind
from ..protocol.keys.certificates import fingerprint_text
from ..protocol.keys.profile import time_text
from ..protocol.keys.public import decompress
from ..protocol.messages import Job, ListJob, PeopleChange, PeopleJob, StandingJob
from ..protocol.parties.card_data import AnyJob
from ..protocol.parties.card_record import digest_of
from .card import Card
from .telling import key_fingerprint

MISSING: Final = {2: "2 approvals missing", 1: "1 approval missing"}
"""What lacks, by how many."""


def key_of(job: Job) -> str:
    """The fingerprint of the key that is to be certified, for people."""
    return "none yet" if job.public_key is None else key_fingerprint(decompress(KeyKind.P256, job.public_key))


def described(job: AnyJob) -> str:
    """All that a job says, as a person is shown it before a PIN is asked for; several lines.

    The digest stands for all of it: two people who were shown the same digest approve the same.
    """
    return "\n".join(
        (
            f"job {job.number.hex()}: {about_text(job)}",
            *(f"  {name:<8}  {text}" for name, text in _details(job)),
            f"  approved  by {named(job.approvals)}; open until {time_text(job.expires)}",
            f"  digest    {fingerprint_text(digest_of(job))}",
        )
    )


def named(people: Sequence[str]) -> str:
    """Who has approved."""
    return " and ".join(people) or "nobody"


def approved_text(people: Sequence[str], done: str = "nothing is missing") -> str:
    """Who has approved, and what is missing; where nothing is, what comes of it."""
    return f"approved by {named(people)}, {MISSING.get(2 - len(people), done)}"


def about_text(job: AnyJob) -> str:
    """What a job is about, in a line."""
    match job:
        case Job():
            return f"{job.role.name.lower()} {job.subject} for {job.days} days"
        case ListJob():
            return f"list {job.list_number} revokes {len(job.added) or 'nothing'} more, for {job.days} days"
        case StandingJob():
            return f"standing approval, {standing_limits(job)}"
        case PeopleJob():
            return change_text(job)


def _details(job: AnyJob) -> list[tuple[str, str]]:
    match job:
        case Job():
            return [("key", key_of(job)), ("salt", job.salt.hex())]
        case ListJob():
            return [("revokes", number.hex()) for number in job.added] or [("revokes", "nothing more")]
        case StandingJob() | PeopleJob():
            return []


def standing_limits(job: StandingJob) -> str:
    """What a standing approval is to admit."""
    modules = ", ".join(job.serials)
    return f"{job.most} certificates of {job.days} days for {modules} until {time_text(job.until)}"


def change_text(job: PeopleJob) -> str:
    """What becomes of whom."""
    match job.change:
        case PeopleChange.ADD:
            return f"{job.person} may approve, too"
        case PeopleChange.REMOVE:
            return f"{job.person} may approve no more"
        case PeopleChange.REPLACE:
            return f"{job.comes} may approve instead of {job.person}"
        case PeopleChange.RENEW:
            return f"{job.person} gets another PIN"
        case PeopleChange.UNLOCK:
            return f"{job.person} is unlocked and keeps the PIN"


def enter_approvals(card: Card, job: AnyJob, pins: Mapping[str, bytes]) -> tuple[str, ...]:
    """Enter the approvals of these people; who has approved by now.

    Who approved before is passed over, so that an attempt that broke off can be made again; but somebody new, or
    both approvals, there must be.

    Args:
        card: the card, which may have been closed meanwhile.
        job: as it was shown to them.
        pins: of the people; none: nobody approves now.

    Raises:
        UsageError: a wrong PIN.
        StateError: an approval that the card does not take; or the job says something else than was shown.

    """
    approvals = card.as_it_is(job).approvals
    if len(approvals) < 2:
        new = [person for person in pins if person not in approvals]
        for person in new or pins:
            card.approve(job, person, pins[person])
    return card.as_it_is(job).approvals
