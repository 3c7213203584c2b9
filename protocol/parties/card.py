"""The chip card of a personalization unit, in software: what it checks, what it does, and LAST its table.

Its signing key makes no signature without an earlier entry in the log and the approval of two different people for
exactly that job (L12, L13, S6). The one exception is the request for its own certificate, which it signs while it
is furnished, with the people's PINs being set. Its states and data are in `card_data.py`, its rules on revocation
lists in `card_lists.py`, those on tickets in `card_tickets.py`.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import scrypt, sha256
from hmac import compare_digest
from typing import Final, TypeVar

from ..engine import (
    STAY,
    Close,
    Effects,
    Fault,
    GenerateKey,
    KeyKind,
    KeyOperationFailed,
    KeyPairMade,
    Persist,
    SecretUsed,
    Show,
    Sign,
    Signed,
    Table,
    given,
    row,
)
from ..keys.certificates import Role, draft_certificate, trusted_root, verify_issued
from ..keys.public import compress
from ..keys.requests import draft_request
from ..messages import CardRecord, CardRole, Job, ListJob, Person
from ..stores.card_log import Failure, Intent, Result
from .card_data import (
    AUTHENTICATION,
    DAY,
    MAX_FAILURES,
    SIGNING,
    Approve,
    CardData,
    CardState,
    CertificateWanted,
    Certified,
    CircleClosed,
    CustomerCertified,
    Furnish,
    JobNoted,
    JobProposed,
    ListHeard,
    ListProposed,
    ListWanted,
    PinRefused,
    RequestMade,
    TicketPresented,
    TicketsWanted,
    circular_customer,
    customer_of,
    kept,
    known_log,
    log_of,
    logged,
    signing_time,
)
from .card_lists import (
    enter_list,
    enter_list_intent,
    heed_list,
    list_is_due,
    list_is_no_older,
    list_job,
    note_list,
    two_people_approved_exactly_this_list,
)
from .card_tickets import (
    check_ticket,
    enter_order,
    give_no_verdict,
    is_ticket_count,
    take_ticket,
    the_mac_is_right,
    the_ticket_is_free_or_its_own,
    turn_ticket_down,
    two_people_ordered_exactly_these,
)

__all__ = ["CARD", "customer_of", "log_of", "pin_verifier", "resting_state"]

S = CardState

AnyJob = TypeVar("AnyJob", Job, ListJob)

ROLES: Final = {CardRole.MODULE: Role.MODULE, CardRole.UNIT: Role.UNIT, CardRole.CENTRAL: Role.CENTRAL}


def resting_state(record: CardRecord | None) -> CardState:
    """The state in which a card wakes up, given its durable record."""
    if record is None:
        return S.BLANK
    return S.REQUESTED if record.customer is None else S.READY


def pin_verifier(pin: bytes, salt: bytes) -> bytes:
    """What a card keeps of a PIN: scrypt (RFC 7914), N = 2^14, r = 8, p = 1, 32 bytes."""
    return scrypt(pin, salt=salt, n=1 << 14, r=8, p=1, dklen=32)


# Guards ------------------------------------------------------------------------------------------------------


def two_people_are_named(_: CardData, event: Furnish) -> bool:
    """Four eyes need two different names."""
    names = [person.name for person in event.people]
    return len(names) >= 2 and len(set(names)) == len(names)


def chain_is_for_our_key(data: CardData, event: CustomerCertified) -> bool:
    """The manufacturer certified our signing key under our name."""
    root = trusted_root(event.root)
    customer = verify_issued(event.customer, root, Role.CUSTOMER, now=None, subject=data.held.name)
    return customer.public == given(data.signing).public


def circle_is_for_our_key(data: CardData, event: CircleClosed) -> bool:
    """The central system certified our signing key under our name."""
    customer = circular_customer(event.request, event.customer, data.held.name)
    return customer.public == given(data.signing).public


def job_is_new(data: CardData, event: JobProposed) -> bool:
    """No job has this number or an approval for this subject, nobody approved it yet, its key is known if it can be."""
    if event.job.role is CardRole.TICKETS and not is_ticket_count(event.job.subject):
        return False
    new = event.job
    taken = _any_job(data.held, new.number) is not None or any(
        job.approvals and _same_subject(job, new) for job in _open_jobs(data.held, event.at)
    )
    key_fits = (new.public_key is None) == (new.role not in (CardRole.UNIT, CardRole.CENTRAL))
    return not taken and not new.approvals and key_fits


def pin_is_right(data: CardData, event: Approve) -> bool:
    """The person may approve this job and knows the PIN."""
    if not person_may_try(data, event):
        return False
    person = given(_person(data.held, event.person))
    return compare_digest(pin_verifier(event.pin, person.salt), person.verifier)


def person_may_try(data: CardData, event: Approve) -> bool:
    """The person is on the list and not locked; the job is open, in time, lacks approval, and not this person's."""
    person, job = _person(data.held, event.person), _any_job(data.held, event.number)
    if person is None or job is None:
        return False
    return (
        person.failures < MAX_FAILURES
        and event.at <= job.expires
        and len(job.approvals) < 2
        and person.name not in job.approvals
    )


def two_people_approved_exactly_this(data: CardData, event: CertificateWanted) -> bool:
    """Two different people approved this job, in time, and the key is the approved one where it was known (S6)."""
    job = _job(data.held, event.number)
    if job is None or job.role is CardRole.TICKETS or len(set(job.approvals)) < 2 or event.at > job.expires:
        return False
    return job.public_key is None or job.public_key == compress(event.public)


# Actions -----------------------------------------------------------------------------------------------------


def make_signing_key(data: CardData, event: Furnish) -> tuple[CardData, Effects]:
    """Make the key that certifies."""
    return replace(data, wish=event), [GenerateKey(SIGNING, KeyKind.P256, b"")]


def make_authentication_key(data: CardData, event: KeyPairMade) -> tuple[CardData, Effects]:
    """Make the key that opens channels."""
    return replace(data, signing=event.key), [GenerateKey(AUTHENTICATION, KeyKind.P256, b"")]


def sign_request(data: CardData, event: KeyPairMade) -> tuple[CardData, Effects]:
    """Ask for the certificate of the signing key."""
    signing = given(data.signing)
    draft = draft_request(given(data.wish).name, signing.public)
    return replace(data, authentication=event.key, draft=draft), [Sign(signing, draft.to_be_signed)]


def present_request(data: CardData, event: Signed) -> tuple[CardData, Effects]:
    """Keep keys and people, then show the request."""
    wish = given(data.wish)
    record = CardRecord(name=wish.name, people=wish.people, jobs=(), log=())
    request = given(data.draft).assemble(event.signature)
    known = replace(data, record=record, wish=None, draft=None)
    return known, [Persist(record, frozenset({SIGNING, AUTHENTICATION})), Show(RequestMade(request))]


def install(data: CardData, event: CustomerCertified) -> tuple[CardData, Effects]:
    """Keep the manufacturer's root and our certificate."""
    return kept(data, replace(data.held, root=event.root, customer=event.customer))


def install_circle(data: CardData, event: CircleClosed) -> tuple[CardData, Effects]:
    """Keep the central system's request and our certificate; there is no root."""
    return kept(data, replace(data.held, central=event.request, customer=event.customer))


def note_job(data: CardData, event: JobProposed) -> tuple[CardData, Effects]:
    """Open the job; those whose time is over, and one for the same subject that nobody approved, make room."""
    others = tuple(job for job in _open_jobs(data.held, event.at) if not _same_subject(job, event.job))
    record = replace(data.held, jobs=(*others, event.job))
    return kept(data, record, Show(JobNoted(event.job, missing=2)))


def note_approval(data: CardData, event: Approve) -> tuple[CardData, Effects]:
    """Enter the person's approval; a right PIN forgives the wrong ones before it."""
    record, number = data.held, event.number
    people = _people(record, event.person, failures=0)
    jobs = tuple(_approved(each, event.person) if each.number == number else each for each in record.jobs)
    lists = tuple(_approved(each, event.person) if each.number == number else each for each in record.lists)
    both: tuple[Job | ListJob, ...] = (*jobs, *lists)
    approved = next(each for each in both if each.number == number)
    record = replace(record, people=people, jobs=jobs, lists=lists)
    return kept(data, record, Show(JobNoted(approved, missing=2 - len(approved.approvals))))


def _approved(job: AnyJob, person: str) -> AnyJob:
    return replace(job, approvals=(*job.approvals, person))


def count_failure(data: CardData, event: Approve) -> tuple[CardData, Effects]:
    """Count the wrong PIN, durably, before saying so."""
    failures = given(_person(data.held, event.person)).failures + 1
    record = replace(data.held, people=_people(data.held, event.person, failures=failures))
    return kept(data, record, Show(PinRefused(event.person, MAX_FAILURES - failures)))


def enter_intent(data: CardData, event: CertificateWanted) -> tuple[CardData, Effects]:
    """Use up the approvals and enter the intent, durably, before the signature (S6).

    The certificate never begins before the entry that came last, so that a later one is later.

    Raises:
        UsageError: the clock is behind the log; the approvals are still there.

    """
    record, job = data.held, given(_job(data.held, event.number))
    log = known_log(data)
    at = signing_time(log, event.at)
    customer = customer_of(record)
    draft = draft_certificate(
        ROLES[job.role],
        job.subject,
        event.public,
        customer,
        random=job.number,
        not_before=at,
        not_after=min(at + job.days * DAY, customer.not_after),
    )
    jobs = tuple(each for each in record.jobs if each is not job)
    intent = Intent(job.number, ROLES[job.role].value, job.subject, tuple(sorted(job.approvals)), draft.to_be_signed)
    known = logged(replace(data, log=log), intent, at, jobs=jobs)
    known = replace(known, draft=draft, job=job, at=at)
    return known, [Persist(known.held), Sign(given(data.signing), draft.to_be_signed)]


def enter_result(data: CardData, event: Signed) -> tuple[CardData, Effects]:
    """Enter the certificate in the log before it leaves the card (L12)."""
    job, certificate = given(data.job), given(data.draft).assemble(event.signature)
    result = Result(job.number, event.signature, sha256(certificate).digest())
    is_ours = job.role is CardRole.UNIT and job.public_key == compress(given(data.authentication).public)
    known = logged(data, result, data.at, unit=certificate if is_ours else data.held.unit)
    return kept(known, known.held, Show(Certified(job, certificate)))


def enter_failure(data: CardData, event: KeyOperationFailed) -> tuple[CardData, Effects]:
    """Enter that nothing was signed; the approvals stay used."""
    number = given(data.listing).number if data.job is None else data.job.number
    failure = Failure(number, event.reason)
    known = logged(data, failure, data.at)
    return kept(known, known.held, Close(Fault.UNAVAILABLE, event.reason))


def give_up(_: CardData, event: KeyOperationFailed) -> tuple[CardData, Effects]:
    """Stay blank."""
    return CardData(), [Close(Fault.UNAVAILABLE, event.reason)]


def _job(record: CardRecord, number: bytes) -> Job | None:
    return next((job for job in record.jobs if job.number == number), None)


def _any_job(record: CardRecord, number: bytes) -> Job | ListJob | None:
    return _job(record, number) or list_job(record, number)


def _open_jobs(record: CardRecord, at: int) -> tuple[Job, ...]:
    return tuple(job for job in record.jobs if at <= job.expires)


def _same_subject(one: Job, other: Job) -> bool:
    return one.role is other.role and one.subject == other.subject


def _person(record: CardRecord, name: str) -> Person | None:
    return next((person for person in record.people if person.name == name), None)


def _people(record: CardRecord, name: str, *, failures: int) -> tuple[Person, ...]:
    return tuple(replace(each, failures=failures) if each.name == name else each for each in record.people)


# The table ---------------------------------------------------------------------------------------------------

CARD: Final = Table[CardState, CardData](
    "card",
    CardState,
    S.BLANK,
    [
        # in, on, if, do, then
        row(S.BLANK, Furnish, two_people_are_named, make_signing_key, S.FURNISHING),
        row(S.FURNISHING, KeyPairMade, None, make_authentication_key, S.PAIRING),
        row(S.PAIRING, KeyPairMade, None, sign_request, S.REQUESTING),
        row(S.REQUESTING, Signed, None, present_request, S.REQUESTED),
        row((S.FURNISHING, S.PAIRING, S.REQUESTING), KeyOperationFailed, None, give_up, S.BLANK),
        row(S.REQUESTED, CustomerCertified, chain_is_for_our_key, install, S.READY),
        row(S.REQUESTED, CircleClosed, circle_is_for_our_key, install_circle, S.READY),
        row(S.READY, JobProposed, job_is_new, note_job, STAY),
        row(S.READY, Approve, pin_is_right, note_approval, STAY),
        row(S.READY, Approve, person_may_try, count_failure, STAY),
        row(S.READY, CertificateWanted, two_people_approved_exactly_this, enter_intent, S.SIGNING),
        row(S.SIGNING, Signed, None, enter_result, S.READY),
        row((S.SIGNING, S.LISTING), KeyOperationFailed, None, enter_failure, S.READY),
        # revocation lists (S5)
        row(S.READY, ListProposed, list_is_due, note_list, STAY),
        row(S.READY, ListWanted, two_people_approved_exactly_this_list, enter_list_intent, S.LISTING),
        row(S.LISTING, Signed, None, enter_list, S.READY),
        row(S.READY, ListHeard, list_is_no_older, heed_list, STAY),
        # tickets (A4)
        row(S.READY, TicketsWanted, two_people_ordered_exactly_these, enter_order, STAY),
        row(S.READY, TicketPresented, the_ticket_is_free_or_its_own, check_ticket, S.CHECKING),
        row(S.CHECKING, SecretUsed, the_mac_is_right, take_ticket, S.READY),
        row(S.CHECKING, SecretUsed, None, turn_ticket_down, S.READY),
        row(S.CHECKING, KeyOperationFailed, None, give_no_verdict, S.READY),
    ],
    entries=(S.REQUESTED, S.READY),
)
