"""The chip card of a personalization unit, in software: what it checks, what it does, and LAST its table.

Its signing key makes no signature without an earlier entry in the log and the approval of two different people for
exactly that job (L12, L13, S6). The one exception is the request for its own certificate, which it signs while it
is furnished, with the people's PINs being set. Its states and data are in `card_data.py`, its rules on people
and approvals in `card_people.py`, on revocation lists in `card_lists.py`, on tickets in `card_tickets.py`, on standing
approvals in `card_standing.py`.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Final

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
from ..keys.certificates import Role, trusted_root, verify_issued
from ..keys.public import compress
from ..keys.requests import draft_request
from ..messages import CardRecord, CardRole, Job
from ..stores.card_log import Failure, Result
from .card_data import (
    AUTHENTICATION,
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
    RequestMade,
    StandingProposed,
    StandingUsed,
    StandingWanted,
    StandingWithdrawn,
    TicketPresented,
    TicketsWanted,
)
from .card_heads import (
    entered,
    go_without_head,
    it_has_read_this_log,
    its_last_entry_is_unsigned,
    keep_head,
    keep_receipt,
    sign_head,
)
from .card_lists import (
    enter_list,
    enter_list_intent,
    heed_list,
    list_is_due,
    list_is_no_older,
    note_list,
    two_people_approved_exactly_this_list,
)
from .card_log_data import HeadWanted, ReceiptCame
from .card_people import (
    approval_is_there,
    approvals_end_with_the_session,
    change_leaves_two,
    change_people,
    count_failure,
    drop_all_approvals,
    drop_approval,
    keep_halves,
    note_approval,
    note_change,
    old_pin_is_right,
    person_may_change,
    person_may_try,
    pin_is_right,
    pin_verifier,
    take_new_pin,
    the_token_took_both_halves,
    two_people_approved_exactly_this_change,
    two_people_are_named,
)
from .card_people_data import (
    ApprovalsOutlived,
    ApprovalWithdrawn,
    HalvesTaken,
    PeopleProposed,
    PeopleWanted,
    PinChanged,
)
from .card_record import begun, circular_customer, customer_of, job_of, kept, log_of, logged
from .card_room import check_promise, check_room
from .card_standing import (
    a_standing_approval_covers_it,
    bring_into_force,
    drop,
    it_is_in_force,
    it_waits_for_people,
    note_standing,
    policy_admits_it,
    two_people_approved_exactly_this_standing,
    use_one,
    withdraw,
)
from .card_tickets import (
    check_ticket,
    enter_order,
    give_no_verdict,
    is_ticket_count,
    it_was_taken_before,
    take_ticket,
    take_ticket_again,
    the_mac_is_right,
    the_ticket_is_free_or_its_own,
    turn_ticket_down,
    two_people_ordered_exactly_these,
)

__all__ = ["CARD", "customer_of", "log_of", "pin_verifier", "resting_state"]

S = CardState


def resting_state(record: CardRecord | None) -> CardState:
    """The state in which a card wakes up, given its durable record."""
    if record is None:
        return S.BLANK
    return S.REQUESTED if record.customer is None else S.READY


# Guards ------------------------------------------------------------------------------------------------------


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
    """No job has this number or an approval for this subject, nobody approved it yet, its key is known if it must be.

    A module's key lives no longer than its session: a job for a newer key outdates what anybody approved for an older.
    """
    if event.job.role is CardRole.TICKETS and not is_ticket_count(event.job.subject):
        return False
    new = event.job
    outdates = new.role is CardRole.MODULE and new.public_key is not None
    taken = job_of(data.held, new.number) is not None or any(
        job.approvals and _same_subject(job, new) and not outdates for job in _open_jobs(data.held, event.at)
    )
    key_fits = outdates or (new.public_key is None) == (new.role not in (CardRole.UNIT, CardRole.CENTRAL))
    return not taken and not new.approvals and key_fits


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
    record = CardRecord(
        wish.name, wish.people, jobs=(), log=(), policy=wish.policy, signing=wish.signing, asks=wish.asks
    )
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
    """Open the job; those whose time is over, and one for the same subject that nobody approved, make room.

    Raises:
        StateError: the card is too full for what it is about, so that nobody need approve it.

    """
    _check_room_for(data, event.job, event.at)
    others = tuple(job for job in _open_jobs(data.held, event.at) if not _same_subject(job, event.job))
    record = replace(data.held, jobs=(*others, event.job))
    return kept(data, record, Show(JobNoted(event.job, missing=2)))


def enter_intent(data: CardData, event: CertificateWanted) -> tuple[CardData, Effects]:
    """Use up the approvals and enter the intent, durably, before the signature (S6).

    Raises:
        UsageError: the clock is behind the log; the approvals are still there.
        StateError: the card is too full; likewise.

    """
    check_room(data)
    job = given(_job(data.held, event.number))
    others = tuple(each for each in data.held.jobs if each is not job)
    return begun(data, job, event.public, event.at, job.approvals, jobs=others)


def enter_result(data: CardData, event: Signed) -> tuple[CardData, Effects]:
    """Enter the certificate in the log before it leaves the card (L12)."""
    job, certificate = given(data.job), given(data.draft).assemble(event.signature)
    result = Result(job.number, event.signature, sha256(certificate).digest())
    is_ours = job.role is CardRole.UNIT and job.public_key == compress(given(data.authentication).public)
    unit = certificate if is_ours else data.held.unit
    return entered(data, result, data.at, Show(Certified(job, certificate)), unit=unit)


def enter_failure(data: CardData, event: KeyOperationFailed) -> tuple[CardData, Effects]:
    """Enter that nothing was signed; the approvals stay used. Key memory is not asked for a head now."""
    number = given(data.listing).number if data.job is None else data.job.number
    failure = Failure(number, event.reason)
    known = logged(data, failure, data.at)
    return kept(known, known.held, Close(Fault.UNAVAILABLE, event.reason))


def give_up(_: CardData, event: KeyOperationFailed) -> tuple[CardData, Effects]:
    """Stay blank."""
    return CardData(), [Close(Fault.UNAVAILABLE, event.reason)]


def _check_room_for(data: CardData, job: Job, at: int) -> None:
    """Make sure that what the job is about finds room; errors as for note_job."""
    if job.role is CardRole.TICKETS:
        check_promise(data, at, tickets=int(job.subject))
    else:
        check_room(data)


def _job(record: CardRecord, number: bytes) -> Job | None:
    return next((job for job in record.jobs if job.number == number), None)


def _open_jobs(record: CardRecord, at: int) -> tuple[Job, ...]:
    return tuple(job for job in record.jobs if at <= job.expires)


def _same_subject(one: Job, other: Job) -> bool:
    """For a module there may be one job for whatever key it will make, and one for the key that it made."""
    either_has = (one.public_key is None) == (other.public_key is None)
    return one.role is other.role and one.subject == other.subject and either_has


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
        row(S.READY, ApprovalWithdrawn, approval_is_there, drop_approval, STAY),
        row(S.READY, ApprovalsOutlived, approvals_end_with_the_session, drop_all_approvals, STAY),
        row(S.READY, CertificateWanted, two_people_approved_exactly_this, enter_intent, S.SIGNING),
        row(S.SIGNING, Signed, None, enter_result, S.VOUCHING),
        row((S.SIGNING, S.LISTING), KeyOperationFailed, None, enter_failure, S.READY),
        # people (L13)
        row(S.READY, PinChanged, old_pin_is_right, take_new_pin, STAY),
        row(S.READY, PinChanged, person_may_change, count_failure, STAY),
        row(S.READY, PeopleProposed, change_leaves_two, note_change, STAY),
        row(S.READY, HalvesTaken, the_token_took_both_halves, keep_halves, S.VOUCHING),
        row(S.READY, PeopleWanted, two_people_approved_exactly_this_change, change_people, S.VOUCHING),
        # the head of the log
        row(S.VOUCHING, Signed, None, keep_head, S.READY),
        row(S.VOUCHING, KeyOperationFailed, None, go_without_head, S.READY),
        row(S.READY, HeadWanted, its_last_entry_is_unsigned, sign_head, S.VOUCHING),
        row(S.READY, HeadWanted, None, None, STAY),
        row(S.READY, ReceiptCame, it_has_read_this_log, keep_receipt, STAY),
        # revocation lists (S5)
        row(S.READY, ListProposed, list_is_due, note_list, STAY),
        row(S.READY, ListWanted, two_people_approved_exactly_this_list, enter_list_intent, S.LISTING),
        row(S.LISTING, Signed, None, enter_list, S.VOUCHING),
        row(S.READY, ListHeard, list_is_no_older, heed_list, STAY),
        # standing approvals
        row(S.READY, StandingProposed, policy_admits_it, note_standing, STAY),
        row(S.READY, StandingWanted, two_people_approved_exactly_this_standing, bring_into_force, S.VOUCHING),
        row(S.READY, StandingUsed, a_standing_approval_covers_it, use_one, S.SIGNING),
        row(S.READY, StandingWithdrawn, it_waits_for_people, drop, STAY),
        row(S.READY, StandingWithdrawn, it_is_in_force, withdraw, S.VOUCHING),
        # tickets (A4)
        row(S.READY, TicketsWanted, two_people_ordered_exactly_these, enter_order, S.VOUCHING),
        row(S.READY, TicketPresented, the_ticket_is_free_or_its_own, check_ticket, S.CHECKING),
        row(S.CHECKING, SecretUsed, it_was_taken_before, take_ticket_again, S.READY),
        row(S.CHECKING, SecretUsed, the_mac_is_right, take_ticket, S.VOUCHING),
        row(S.CHECKING, SecretUsed, None, turn_ticket_down, S.READY),
        row(S.CHECKING, KeyOperationFailed, None, give_no_verdict, S.READY),
    ],
    entries=(S.REQUESTED, S.READY),
)
