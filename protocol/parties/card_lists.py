"""What the chip card decides about revocation lists (S5): what may be revoked, what is signed, what is kept of it.

The rows are in the table of `card.py`. A list is signed like a certificate: with an entry in the log before and the
approval of two different people for exactly this list (L13, S6). Its number and what it adds count from that entry on,
also if the power fails before the signature: so there are never two lists of one number, and nothing that two people
have revoked is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256

from ..engine import Effects, Persist, Show, Sign, Signed, given
from ..keys.certificates import trusted_root
from ..keys.profile import SERIAL_NUMBER_BYTES, serial_number
from ..keys.revocation import draft_crl, read_crl
from ..messages import MOST_LISTS, CardRecord, ListJob
from ..stores.card_log import Failure, Intent, ListIntent, LogEntry, Result, last_list
from .card_data import (
    DAY,
    CardData,
    JobNoted,
    Listed,
    ListHeard,
    ListProposed,
    ListWanted,
)
from .card_heads import entered
from .card_record import customer_of, job_of, kept, known_log, logged, signing_time

# What the log says -------------------------------------------------------------------------------------------


def issued_in(log: Iterable[LogEntry]) -> dict[bytes, Intent]:
    """The certificates that the card has made, by serial number (16 bytes); those that failed are none."""
    found: dict[bytes, Intent] = {}
    for entry in log:
        match entry.what:
            case Intent(job=job) as intent:
                found[_certificate_number(job)] = intent
            case Failure(job=job):
                found.pop(_certificate_number(job), None)
            case _:
                pass
    return found


def revoked_in(log: Iterable[LogEntry]) -> dict[bytes, int]:
    """The certificates that are revoked, by serial number (16 bytes), and since when, unix seconds."""
    lists = ((entry.at, entry.what.added) for entry in log if isinstance(entry.what, ListIntent))
    return {number: at for at, added in lists for number in added}


def _certificate_number(job: bytes) -> bytes:
    """A job's number is what the serial number of its certificate is made of."""
    return serial_number(job).to_bytes(SERIAL_NUMBER_BYTES, "big")


def open_lists(record: CardRecord, at: int) -> tuple[ListJob, ...]:
    """The lists that wait for approval and still may, at `at`, unix seconds."""
    return tuple(job for job in record.lists if at <= job.expires)


# Guards ------------------------------------------------------------------------------------------------------


def list_is_due(data: CardData, event: ListProposed) -> bool:
    """It is the next list and adds certificates of this card only, each once and none twice; nobody approved it yet."""
    new, log = event.job, known_log(data)
    others = _worth_keeping(data.held, event.at)
    taken = job_of(data.held, new.number) is not None
    same = any((job.added, job.days) == (new.added, new.days) for job in others)
    addable = issued_in(log).keys() - revoked_in(log).keys()
    return (
        new.list_number == last_list(log) + 1
        and list(new.added) == sorted(set(new.added))
        and addable >= set(new.added)
        and not new.approvals
        and not (taken or same)
        and len(others) < MOST_LISTS
    )


def two_people_approved_exactly_this_list(data: CardData, event: ListWanted) -> bool:
    """Two different people approved this list, in time (S6)."""
    job = list_job(data.held, event.number)
    return job is not None and len(set(job.approvals)) >= 2 and event.at <= job.expires


def list_is_no_older(data: CardData, event: ListHeard) -> bool:
    """The manufacturer signed it, and it is newer than the one that is here, or that one.

    Raises:
        CertificateRefused: somebody else did, or it is no list.

    """
    root = trusted_root(given(data.held.root))
    new, held = read_crl(event.crl, root), data.held.heard
    return held in (None, event.crl) or new.number > read_crl(given(held), root).number


# Actions -----------------------------------------------------------------------------------------------------


def note_list(data: CardData, event: ListProposed) -> tuple[CardData, Effects]:
    """Open the job; lists whose time is over, and those that nobody approved, make room."""
    record = replace(data.held, lists=(*_worth_keeping(data.held, event.at), event.job))
    return kept(data, record, Show(JobNoted(event.job, missing=2)))


def enter_list_intent(data: CardData, event: ListWanted) -> tuple[CardData, Effects]:
    """Use up the approvals and enter the intent, durably, before the signature; other lists of this number are void.

    Raises:
        UsageError: the clock is behind the log, or nobody would read so long a list; the approvals are still there.

    """
    job, log = given(list_job(data.held, event.number)), known_log(data)
    at = signing_time(log, event.at)
    revoked = {**revoked_in(log), **dict.fromkeys(job.added, at)}
    until = at + job.days * DAY
    draft = draft_crl(
        customer_of(data.held),
        {int.from_bytes(number, "big"): since for number, since in revoked.items()},
        number=job.list_number,
        this_update=at,
        next_update=until,
    )
    approvers, digest = tuple(sorted(job.approvals)), sha256(draft.to_be_signed).digest()
    intent = ListIntent(job.number, job.list_number, job.added, until, approvers, digest)
    known = logged(replace(data, log=log), intent, at, lists=())
    known = replace(known, draft=draft, listing=job, at=at)
    return known, [Persist(known.held), Sign(given(data.signing), draft.to_be_signed)]


def enter_list(data: CardData, event: Signed) -> tuple[CardData, Effects]:
    """Enter the list in the log before it leaves the card."""
    job, crl = given(data.listing), given(data.draft).assemble(event.signature)
    result = Result(job.number, event.signature, sha256(crl).digest())
    return entered(data, result, data.at, Show(Listed(job, crl)), crl=crl)


def heed_list(data: CardData, event: ListHeard) -> tuple[CardData, Effects]:
    """Keep the manufacturer's list, so that no older one takes its place and none is forgotten."""
    return kept(data, replace(data.held, heard=event.crl))


def list_job(record: CardRecord, number: bytes) -> ListJob | None:
    """The list that waits under this job's number."""
    return next((job for job in record.lists if job.number == number), None)


def _worth_keeping(record: CardRecord, at: int) -> tuple[ListJob, ...]:
    return tuple(job for job in open_lists(record, at) if job.approvals)
