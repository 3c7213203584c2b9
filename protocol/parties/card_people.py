"""What the chip card decides about its people: whose PIN is right, what they approved, and who they are (L13).

The rows are in the table of `card.py`. An approval is for one job, bound by its digest to all that was shown. Who may
approve is changed like everything else: by two different people who approve exactly that change, with an entry in the
log. There are always two left who can; a card on which only one can is of no more use, and that is meant so: whatever
could help that one could help a thief. A person's own PIN is changed by whoever knows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import scrypt
from hmac import compare_digest

from ..engine import Effects, Show, StateError, UsageError, given
from ..messages import (
    MOST_CHANGES,
    MOST_PEOPLE,
    CardRecord,
    PeopleChange,
    PeopleJob,
    Person,
)
from ..stores.card_log import PeopleChanged
from .card_data import (
    MAX_FAILURES,
    AnyJob,
    Approve,
    CardData,
    Furnish,
    JobNoted,
    PinRefused,
)
from .card_heads import entered
from .card_people_data import (
    ApprovalsOutlived,
    ApprovalWithdrawn,
    HalvesTaken,
    PeopleAre,
    PeopleProposed,
    PeopleWanted,
    PinChanged,
    PinTaken,
)
from .card_record import all_jobs, digest_of, job_of, kept, known_log, signing_time, with_approvals


def pin_verifier(pin: bytes, salt: bytes) -> bytes:
    """What a card keeps of a PIN: scrypt (RFC 7914), N = 2^14, r = 8, p = 1, 32 bytes."""
    return scrypt(pin, salt=salt, n=1 << 14, r=8, p=1, dklen=32)


def can_approve(people: Iterable[Person]) -> int:
    """How many of them are not locked."""
    return sum(each.failures < MAX_FAILURES for each in people)


def people_after(people: tuple[Person, ...], job: PeopleJob) -> tuple[Person, ...]:
    """Who may approve once the change is in force."""
    if job.change is PeopleChange.ADD:
        return (*people, given(job.new))
    if job.change is PeopleChange.REMOVE:
        return tuple(each for each in people if each.name != job.person)
    return tuple(_changed(each, job) if each.name == job.person else each for each in people)


def _changed(person: Person, job: PeopleJob) -> Person:
    return replace(person, failures=0) if job.new is None else job.new


# Guards: PINs and approvals ----------------------------------------------------------------------------------


def two_people_are_named(_: CardData, event: Furnish) -> bool:
    """Four eyes need two different names; a PIN in two halves, exactly two, and both of them each time."""
    names = [_spoken(person.name) for person in event.people]
    both = len(names) == 2 and event.policy is None
    enough = len(names) >= 2 if event.signing is None else both
    return enough and len(set(names)) == len(names)


def pin_is_right(data: CardData, event: Approve) -> bool:
    """The person may approve this job and knows the PIN."""
    return person_may_try(data, event) and _knows(given(_person(data.held, event.person)), event.pin)


def person_may_try(data: CardData, event: Approve) -> bool:
    """The person is on the list and not locked; the job is open, in time, just as shown, and lacks this approval."""
    person, job = _person(data.held, event.person), job_of(data.held, event.number)
    if person is None or job is None:
        return False
    return (
        person.failures < MAX_FAILURES
        and event.at <= job.expires
        and compare_digest(digest_of(job), event.digest)
        and len(job.approvals) < 2
        and person.name not in job.approvals
    )


def approval_is_there(data: CardData, event: ApprovalWithdrawn) -> bool:
    """The person approved it, and it is not used yet."""
    job = job_of(data.held, event.number)
    return job is not None and event.person in job.approvals


def approvals_end_with_the_session(data: CardData, _: ApprovalsOutlived) -> bool:
    """The signing key is in a token of its own."""
    return data.held.signing is not None


def the_token_took_both_halves(data: CardData, event: HalvesTaken) -> bool:
    """The signing key is in a token of its own, and both are who holds its PIN; one of them is concerned."""
    names = [each.name for each in data.held.people]
    same = [each.name for each in event.people] == names and not any(each.failures for each in event.people)
    return data.held.signing is not None and same and event.person in names


def old_pin_is_right(data: CardData, event: PinChanged) -> bool:
    """The person may have another PIN and knows the one that counts."""
    return person_may_change(data, event) and _knows(given(_person(data.held, event.person)), event.pin)


def person_may_change(data: CardData, event: PinChanged) -> bool:
    """The person is on the list and not locked, and stays that person."""
    person, new = _person(data.held, event.person), event.new
    if person is None or data.held.signing is not None:  # half a token's PIN: both people change it (RENEW)
        return False
    return person.failures < MAX_FAILURES and (new.name, new.failures) == (person.name, 0)


def _knows(person: Person, pin: bytes) -> bool:
    return compare_digest(pin_verifier(pin, person.salt)[: len(person.verifier)], person.verifier)


# Guards: who they are ----------------------------------------------------------------------------------------


def change_leaves_two(data: CardData, event: PeopleProposed) -> bool:
    """The change is one, and two people can approve after it; nobody approved it yet.

    Raises:
        StateError, UsageError: it cannot be, in words.

    """
    new, record = event.job, data.held
    _check_change(record, new)
    fresh = job_of(record, new.number) is None
    return fresh and not new.approvals and len(_worth_keeping(record, event.at)) < MOST_CHANGES


def _check_change(record: CardRecord, job: PeopleJob) -> None:
    person, names = _person(record, job.person), sorted(each.name for each in record.people)
    if (job.new is not None) != job.change.brings_a_pin or (job.new is not None and job.new.failures):
        expected = "a new PIN where somebody gets one, and only there"
        raise UsageError("change of the people", who="card", expected=expected)
    if record.signing is not None and job.change not in (PeopleChange.REPLACE, PeopleChange.RENEW):
        expected = "exactly two people, who hold the token's PIN together: replace or change-pin"
        raise StateError("people of a signing token", who="card", expected=expected, got=job.change.name.lower())
    if job.change is not PeopleChange.ADD and person is None:
        raise StateError("nobody of that name is there", who="card", expected=" or ".join(names), got=job.person)
    others = {_spoken(name) for name in names if job.change is PeopleChange.ADD or name != job.person}
    if job.change in (PeopleChange.ADD, PeopleChange.REPLACE) and (_spoken(job.comes) in others or job.comes in names):
        raise StateError("somebody of that name is there", who="card", expected="another name", got=job.comes)
    if job.change in (PeopleChange.ADD, PeopleChange.RENEW) and job.comes != job.person:
        raise UsageError("change of the people", who="card", expected=job.person, got=job.comes)
    after = people_after(record.people, job)
    if len(after) > MOST_PEOPLE:
        raise StateError("people of a card", who="card", expected=f"{MOST_PEOPLE} at most", got=len(after))
    if can_approve(after) < 2:
        raise StateError(
            "too few could approve after that", who="card", expected="two who are not locked", got=can_approve(after)
        )


def two_people_approved_exactly_this_change(data: CardData, event: PeopleWanted) -> bool:
    """Two different people approved this change, in time, and it still can be."""
    job = change_job(data.held, event.number)
    if job is None or len(set(job.approvals)) < 2 or event.at > job.expires:
        return False
    _check_change(data.held, job)
    return True


# Actions -----------------------------------------------------------------------------------------------------


def note_approval(data: CardData, event: Approve) -> tuple[CardData, Effects]:
    """Enter the person's approval; a right PIN forgives the wrong ones before it."""
    before, number, person = data.held, event.number, event.person

    def approved(job: AnyJob) -> tuple[str, ...]:
        return (*job.approvals, person) if job.number == number else job.approvals

    record = with_approvals(replace(before, people=_people(before, person, failures=0)), approved)
    job = next(each for each in all_jobs(record) if each.number == number)
    return kept(data, record, Show(JobNoted(job, missing=2 - len(job.approvals))))


def count_failure(data: CardData, event: Approve | PinChanged) -> tuple[CardData, Effects]:
    """Count the wrong PIN, durably, before saying so."""
    failures = given(_person(data.held, event.person)).failures + 1
    record = replace(data.held, people=_people(data.held, event.person, failures=failures))
    return kept(data, record, Show(PinRefused(event.person, MAX_FAILURES - failures)))


def drop_approval(data: CardData, event: ApprovalWithdrawn) -> tuple[CardData, Effects]:
    """Count it no more; nobody has to be right for that: to stop something must be easy."""
    record = _without_approvals(data.held, event.person, event.number)
    job = next(each for each in all_jobs(record) if each.number == event.number)
    return kept(data, record, Show(JobNoted(job, missing=2 - len(job.approvals))))


def drop_all_approvals(data: CardData, _: ApprovalsOutlived) -> tuple[CardData, Effects]:
    """Who approves is there until the signature, or has not approved."""
    return kept(data, with_approvals(data.held, nobodys))


def keep_halves(data: CardData, event: HalvesTaken) -> tuple[CardData, Effects]:
    """Let these count, with an entry in the log; whatever was approved or proposed before rests on others.

    Raises:
        UsageError: the clock is behind the log; nothing changes, and it can be done again.

    """
    log, change = known_log(data), "reset" if event.by_officer else "unlock"
    what = PeopleChanged(event.number, change, event.person, tuple(sorted(each.name for each in event.people)))
    record = replace(with_approvals(data.held, nobodys), people=event.people, changes=())
    at = signing_time(log, event.at)
    return entered(replace(data, record=record, log=log), what, at, Show(PeopleAre(what)))


def take_new_pin(data: CardData, event: PinChanged) -> tuple[CardData, Effects]:
    """Let the new PIN count; changes of this person that wait would bring an older one, and are dropped."""
    people = tuple(event.new if each.name == event.person else each for each in data.held.people)
    record = replace(data.held, people=people, changes=_about_others(data.held.changes, event.person))
    return kept(data, record, Show(PinTaken(event.person)))


def note_change(data: CardData, event: PeopleProposed) -> tuple[CardData, Effects]:
    """Open the job; those whose time is over, and those that nobody approved, make room."""
    record = replace(data.held, changes=(*_worth_keeping(data.held, event.at), event.job))
    return kept(data, record, Show(JobNoted(event.job, missing=2)))


def change_people(data: CardData, event: PeopleWanted) -> tuple[CardData, Effects]:
    """Use up the approvals and enter the change in the log, in one write.

    Whatever the person concerned approved and was not used counts no more: it may be that somebody else did.

    Raises:
        UsageError: the clock is behind the log; the approvals are still there.

    """
    job, log = given(change_job(data.held, event.number)), known_log(data)
    comes = "" if job.comes == job.person else job.comes
    what = PeopleChanged(job.number, job.change.name.lower(), job.person, tuple(sorted(job.approvals)), comes)
    record = _without_approvals(data.held, job.person)
    changes = _about_others(record.changes, job.person)
    data = replace(data, record=replace(record, people=people_after(record.people, job), changes=changes), log=log)
    return entered(data, what, signing_time(log, event.at), Show(PeopleAre(what)))


def change_job(record: CardRecord, number: bytes) -> PeopleJob | None:
    """The change that waits for people under this number."""
    return next((job for job in record.changes if job.number == number), None)


def _worth_keeping(record: CardRecord, at: int) -> tuple[PeopleJob, ...]:
    return tuple(job for job in record.changes if at <= job.expires and job.approvals)


def _about_others(changes: tuple[PeopleJob, ...], person: str) -> tuple[PeopleJob, ...]:
    return tuple(job for job in changes if job.person != person)


def _spoken(name: str) -> str:
    """A name as it is said aloud: two people's differ by more than capitals and what stands between words."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def nobodys(_: AnyJob) -> tuple[str, ...]:
    """Nobody has approved it."""
    return ()


def _person(record: CardRecord, name: str) -> Person | None:
    return next((person for person in record.people if person.name == name), None)


def _people(record: CardRecord, name: str, *, failures: int) -> tuple[Person, ...]:
    return tuple(replace(each, failures=failures) if each.name == name else each for each in record.people)


def _without_approvals(record: CardRecord, person: str, number: bytes | None = None) -> CardRecord:
    """The record without what this person approved, of one job or of all."""

    def less(job: AnyJob) -> tuple[str, ...]:
        meant = number in (None, job.number)
        return tuple(each for each in job.approvals if not meant or each != person)

    return with_approvals(record, less)
