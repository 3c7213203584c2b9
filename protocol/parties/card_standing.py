"""What the chip card decides about standing approvals: consent of two people to a number of certificates, once for all.

The rows are in the table of `card.py`. Where modules turn up in a network at night, nobody can be asked for each. Two
people then agree beforehand to so many certificates for these serial numbers, for so long, as far as the policy lets
them with which the card was taken into use; one alone may withdraw it. What is in force, and how often it was used,
is nowhere but in the log: each intent names the standing approval, and the log itself takes none beyond its limits
(stores/card_log.py). So nothing that is cut short, raced or put back can be used once more (S6).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..engine import Effects, Show, StateError, UsageError, given
from ..keys.profile import is_name, time_text
from ..keys.public import compress
from ..messages import MOST_STANDING, CardRecord, CardRole, StandingJob
from ..messages.standing import ANY_ENDING
from ..stores.card_log import StandingBegun, StandingEnded
from .card_data import (
    DAY,
    CardData,
    JobNoted,
    StandingInForce,
    StandingProposed,
    StandingUsed,
    StandingWanted,
    StandingWithdrawn,
)
from .card_heads import entered
from .card_record import begun, job_of, kept, known_log, signing_time, standing_of
from .card_room import check_promise, check_room

PATTERN_RULE: Final = f"a serial number, or the beginning of some and {ANY_ENDING}"


def is_pattern(text: str) -> bool:
    """Whether this may stand for modules: a serial number, or how some begin and a star; never all of them."""
    beginning = text.removesuffix(ANY_ENDING)
    return is_name(text) or (text.endswith(ANY_ENDING) and bool(beginning) and is_name(f"{beginning}0"))


# Guards ------------------------------------------------------------------------------------------------------


def policy_admits_it(data: CardData, event: StandingProposed) -> bool:
    """Policy and card have room for so many certificates for so long, besides what is promised; nobody approved it yet.

    Raises:
        StateError, UsageError: they have not, in words; or a pattern is none.

    """
    new, policy = event.job, data.held.policy
    if policy is None:
        raise StateError("this card has no standing approvals", who="card", expected="a policy that admits them")
    wrong = next((text for text in new.serials if not is_pattern(text)), None)
    if wrong is not None:
        raise UsageError("serial number", who="card", expected=PATTERN_RULE, got=ascii(wrong))
    in_force = [each for each in standing_of(data).values() if event.at <= each.begun.until]
    room = policy.most - sum(each.left for each in in_force)
    if new.most > room:
        raise StateError("certificates by standing approvals", who="card", expected=f"{room} at most", got=new.most)
    latest = event.at + policy.days * DAY
    if not event.at < new.until <= latest:
        expected = f"a time to come, until {time_text(latest)}"
        raise UsageError("end of a standing approval", who="card", expected=expected, got=time_text(new.until))
    check_promise(data, event.at, certificates=new.most)
    fresh = job_of(data.held, new.number) is None
    return fresh and not new.approvals and len(_open(data.held, event.at)) < MOST_STANDING


def two_people_approved_exactly_this_standing(data: CardData, event: StandingWanted) -> bool:
    """Two different people approved these limits, in time, and the policy still has room for them (S6)."""
    job = standing_job(data.held, event.number)
    if job is None or len(set(job.approvals)) < 2 or event.at > job.expires:
        return False
    return policy_admits_it(replace(data, record=_without(data.held, job)), StandingProposed(_bare(job), event.at))


def a_standing_approval_covers_it(data: CardData, event: StandingUsed) -> bool:
    """It is in force, for this module, not used up, and for certificates of this validity; the job is a new one."""
    job, standing = event.job, standing_of(data).get(event.standing)
    if standing is None or job.role is not CardRole.MODULE or job.approvals:
        return False
    fits = job.days == standing.begun.days and job.public_key in (None, compress(event.public))
    return fits and standing.covers(job.subject, event.at)


def it_waits_for_people(data: CardData, event: StandingWithdrawn) -> bool:
    """It is not in force yet."""
    return standing_job(data.held, event.number) is not None


def it_is_in_force(data: CardData, event: StandingWithdrawn) -> bool:
    """It is there to withdraw."""
    return event.number in standing_of(data)


# Actions -----------------------------------------------------------------------------------------------------


def note_standing(data: CardData, event: StandingProposed) -> tuple[CardData, Effects]:
    """Open the job; those whose time is over, and those that nobody approved, make room."""
    others = tuple(job for job in _open(data.held, event.at) if job.approvals)
    return kept(data, replace(data.held, standing=(*others, event.job)), Show(JobNoted(event.job, missing=2)))


def bring_into_force(data: CardData, event: StandingWanted) -> tuple[CardData, Effects]:
    """Use up the approvals and enter the limits in the log, durably, before anything is certified under them.

    Raises:
        UsageError: the clock is behind the log; the approvals are still there.

    """
    job, log = given(standing_job(data.held, event.number)), known_log(data)
    what = StandingBegun(job.number, job.serials, job.most, job.until, job.days, tuple(sorted(job.approvals)))
    record = _without(data.held, job)
    at = signing_time(log, event.at)
    return entered(replace(data, log=log), what, at, Show(StandingInForce(what)), standing=record.standing)


def use_one(data: CardData, event: StandingUsed) -> tuple[CardData, Effects]:
    """Enter the intent, which uses up one, durably, before the signature (S6).

    Raises:
        UsageError: the clock is behind the log; nothing is used up.
        StateError: the card is too full; likewise.

    """
    check_room(data)
    standing = standing_of(data)[event.standing]
    return begun(data, event.job, event.public, event.at, standing.begun.approvers, event.standing)


def withdraw(data: CardData, event: StandingWithdrawn) -> tuple[CardData, Effects]:
    """Count it no more, durably; a clock that is wrong is no reason not to."""
    return entered(data, StandingEnded(event.number), event.at)


def drop(data: CardData, event: StandingWithdrawn) -> tuple[CardData, Effects]:
    """Let it wait no longer."""
    return kept(data, _without(data.held, given(standing_job(data.held, event.number))))


def standing_job(record: CardRecord, number: bytes) -> StandingJob | None:
    """The standing approval that waits for people under this number."""
    return next((job for job in record.standing if job.number == number), None)


def _open(record: CardRecord, at: int) -> tuple[StandingJob, ...]:
    return tuple(job for job in record.standing if at <= job.expires)


def _without(record: CardRecord, job: StandingJob) -> CardRecord:
    return replace(record, standing=tuple(each for each in record.standing if each is not job))


def _bare(job: StandingJob) -> StandingJob:
    return replace(job, approvals=())
