"""What the chip card does with its durable record and its log: read them, add an entry, come back to rest.

No decisions: those are in `card.py`, with the table, and in the files on lists, tickets and standing approvals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, TypeVar

from ..engine import Close, Effects, Persist, PublicKey, Show, Sign, UsageError, given
from ..keys.certificates import (
    Role,
    VerifiedCertificate,
    draft_certificate,
    trusted_root,
    verify_circular,
    verify_issued,
)
from ..keys.profile import time_text
from ..keys.requests import read_request
from ..messages import CardRecord, CardRole, Job, ListJob, PeopleJob, StandingJob, encode_record
from ..stores.card_log import Happening, Intent, LogEntry, Standing, append, standing_in
from ..stores.log_lines import read_entries
from .card_data import DAY, AnyJob, CardData

J = TypeVar("J", Job, ListJob, StandingJob, PeopleJob)

ROLES: Final = {CardRole.MODULE: Role.MODULE, CardRole.UNIT: Role.UNIT, CardRole.CENTRAL: Role.CENTRAL}
"""What a job's certificate makes of its holder."""


def customer_of(record: CardRecord) -> VerifiedCertificate:
    """The customer's certificate, verified under the root that came with it, or by the central system's key (L6)."""
    if record.central is not None:
        return circular_customer(record.central, given(record.customer), record.name)
    return _customer(given(record.root), given(record.customer), record.name)


@lru_cache(maxsize=16)
def circular_customer(request: bytes, customer: bytes, name: str) -> VerifiedCertificate:
    """The customer's certificate by the central system of this request.

    Raises:
        CertificateRefused: it is not.

    """
    central = read_request(request)
    return verify_circular(customer, central.subject, central.public, subject=name)


@lru_cache(maxsize=16)
def _customer(root: bytes, customer: bytes, name: str) -> VerifiedCertificate:
    """Our own chain, verified once and not for every certificate that we make."""
    return verify_issued(customer, trusted_root(root), Role.CUSTOMER, now=None, subject=name)


def all_jobs(record: CardRecord) -> tuple[AnyJob, ...]:
    """Whatever waits for people, also what is out of date."""
    return (*record.jobs, *record.lists, *record.standing, *record.changes)


def with_approvals(record: CardRecord, given: Callable[[AnyJob], tuple[str, ...]]) -> CardRecord:
    """The record with these approvals of each of all jobs."""

    def told(jobs: tuple[J, ...]) -> tuple[J, ...]:
        return tuple(replace(job, approvals=given(job)) for job in jobs)

    return replace(
        record,
        jobs=told(record.jobs),
        lists=told(record.lists),
        standing=told(record.standing),
        changes=told(record.changes),
    )


def job_of(record: CardRecord, number: bytes) -> AnyJob | None:
    """What waits for people under this number."""
    return next((each for each in all_jobs(record) if each.number == number), None)


def digest_of(job: AnyJob) -> bytes:
    """SHA-256 of all that a job says, but for who approved it: what a person agrees to, 32 bytes.

    It changes with every field: serial number, key, salt, validity, and how long approvals count (S6).
    """
    kind = type(job).__name__.encode()
    return sha256(kind + b"\0" + encode_record(replace(job, approvals=()))).digest()


def log_of(record: CardRecord) -> tuple[LogEntry, ...]:
    """The log, its chain verified.

    Raises:
        LogBroken: an entry is missing, altered or out of place.

    """
    return read_entries(record.log)


def known_log(data: CardData) -> tuple[LogEntry, ...]:
    """The log, its chain verified now or before."""
    return log_of(data.held) if data.log is None else data.log


def standing_of(data: CardData) -> dict[bytes, Standing]:
    """The standing approvals that were not withdrawn, by number."""
    return standing_in(known_log(data))


def signing_time(log: tuple[LogEntry, ...], at: int) -> int:
    """The time of what is signed now: never before the entry that came last, whatever the clock says.

    A clock that is behind the log by more than a day is wrong now or was wrong then; nothing good can be dated by it.

    Raises:
        UsageError: it is.

    """
    latest = log[-1].at if log else 0
    if at < latest - DAY:
        raise UsageError("clock", who="card", expected=f"{time_text(latest)} or later", got=time_text(at))
    return max(at, latest)


def logged(data: CardData, what: Happening, at: int, **changes: Any) -> CardData:  # noqa: ANN401 - of the record
    """With one more entry in the log, and whatever else changes in the record with it."""
    log = known_log(data)
    entry = append(log, what, at=at)
    record = replace(data.held, log=(*data.held.log, entry.line), **changes)
    return replace(data, record=record, log=(*log, entry))


def kept(data: CardData, record: CardRecord, *then: Show | Close) -> tuple[CardData, Effects]:
    """Back at rest with this record, durable before anything is said."""
    return at_rest(replace(data, record=record)), [Persist(record), *then]


def at_rest(data: CardData) -> CardData:
    """With nothing under way."""
    return replace(data, draft=None, job=None, listing=None, presented=None, entered=None)


def begun(
    data: CardData,
    job: Job,
    public: PublicKey,
    at: int,
    approvers: tuple[str, ...],
    standing: bytes = b"",
    **changes: Any,  # noqa: ANN401 - of the record
) -> tuple[CardData, Effects]:
    """A certificate under way: the intent is entered, durably and with the changes of the record, then signed (S6).

    The certificate never begins before the entry that came last, so that a later one is later.

    Args:
        data: what the card knows.
        job: what is certified.
        public: the key.
        at: unix seconds.
        approvers: who approved it.
        standing: the standing approval of which it uses up one, if it does.
        changes: in the record, in the same write.

    Raises:
        UsageError: the clock is behind the log; nothing is used up.

    """
    log, customer = known_log(data), customer_of(data.held)
    at = signing_time(log, at)
    draft = draft_certificate(
        ROLES[job.role],
        job.subject,
        public,
        customer,
        random=job.number,
        not_before=at,
        not_after=min(at + job.days * DAY, customer.not_after),
    )
    who = tuple(sorted(approvers))
    intent = Intent(job.number, ROLES[job.role].value, job.subject, who, draft.to_be_signed, standing)
    known = logged(replace(data, log=log), intent, at, **changes)
    known = replace(known, draft=draft, job=job, at=at)
    return known, [Persist(known.held), Sign(given(data.signing), draft.to_be_signed)]
