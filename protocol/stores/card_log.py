"""The card's log: every certificate and list has an earlier intent, and nothing goes missing unseen (L12, S6).

Only entries, their chain and their text form live here; who appends, and where the log is kept, is for the card.
In the exported form each line is one entry in JSON (sorted keys, no spaces, ASCII), and `previous` is the SHA-256
of the line before without its end, so that the chain can be checked with a line reader and sha256sum alone.

The certificate itself is not stored twice: `to_be_signed` of the intent and `signature` of the result are all of
it, `fingerprint` says that it was put together rightly. Of a list an entry has what the one before had not: what is
revoked, and since when, is the sum of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar, Final, TypeAlias

from ..engine import EnvironmentFault, UsageError

_TO_JSON: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

NOTHING_BEFORE: Final = bytes(32)
"""`previous` of the first entry."""

_WHO: Final = "card log"


class LogBroken(EnvironmentFault):
    """The log is not what the card wrote: an entry is missing, altered, out of place, or no entry at all.

    Attributes:
        number: of the first entry (from 0) that does not fit.

    """

    def __init__(self, summary: str, *, number: int, expected: object = "", got: object = "") -> None:
        super().__init__(f"entry {number}: {summary}", who=_WHO, expected=expected, got=got)
        self.number = number


@dataclass(frozen=True, slots=True)
class Intent:
    """The card is about to sign: written before the signature is made.

    Attributes:
        job: the job that the approvals are for (16 bytes).
        role: what the certificate is to make of its holder ("module", "unit", "central").
        subject: serial number or name to be certified.
        approvers: who approved exactly this job: at least two different people, sorted.
        to_be_signed: the certificate without its signature (DER).

    """

    kind: ClassVar[str] = "intent"

    job: bytes
    role: str
    subject: str
    approvers: tuple[str, ...]
    to_be_signed: bytes


@dataclass(frozen=True, slots=True)
class ListIntent:
    """The card is about to sign a revocation list: written before the signature is made.

    What it adds is revoked from this entry on, whatever becomes of the signature.

    Attributes:
        job: the job that the approvals are for (16 bytes).
        list_number: of the list; one more than that of the entry of this kind before.
        added: serial numbers of the certificates that are revoked from now on (16 bytes each), ascending.
        next_update: Unix seconds; the list itself is of the time of this entry.
        approvers: who approved exactly this list: at least two different people, sorted.
        digest: SHA-256 of the list without its signature (32 bytes).

    """

    kind: ClassVar[str] = "list"

    job: bytes
    list_number: int
    added: tuple[bytes, ...]
    next_update: int
    approvers: tuple[str, ...]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """The signature was made.

    Attributes:
        job: of its intent (16 bytes).
        signature: r || s over the intent's to_be_signed, or over the list (64 bytes).
        fingerprint: SHA-256 of the finished certificate or list (32 bytes).

    """

    kind: ClassVar[str] = "result"

    job: bytes
    signature: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """No signature was made for that intent, and none will be.

    Attributes:
        job: of its intent (16 bytes).
        reason: in words; no secret.

    """

    kind: ClassVar[str] = "failure"

    job: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class TicketsOrdered:
    """Tickets were derived for the manufacturer (A4): written before they leave. Their numbers are never given again.

    Attributes:
        job: the job that the approvals are for (16 bytes).
        first: the number of the first ticket; one more than that of the last one before.
        count: how many.
        approvers: who approved exactly this order: at least two different people, sorted.

    """

    kind: ClassVar[str] = "tickets"

    job: bytes
    first: int
    count: int
    approvers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TicketUsed:
    """A module showed a ticket that is good; it is this module's from now on, and no other's (A4).

    Attributes:
        ticket: its number.
        serial: of the module.
        key: SHA-256 of the SubjectPublicKeyInfo of its identity key (32 bytes).

    """

    kind: ClassVar[str] = "ticket"

    ticket: int
    serial: str
    key: bytes


Happening: TypeAlias = Intent | ListIntent | Result | Failure | TicketsOrdered | TicketUsed


@dataclass(frozen=True)
class LogEntry:
    """One entry.

    Attributes:
        number: counts from 0 without gaps.
        previous: digest of the entry before (32 bytes), NOTHING_BEFORE for the first.
        at: Unix seconds, as the card was told; it never goes back within a log.
        what: what happened.

    """

    number: int
    previous: bytes
    at: int
    what: Happening

    @cached_property
    def line(self) -> bytes:
        """The entry in JSON, without an end of line: the same bytes on every machine."""
        flat: dict[str, object] = {
            "number": self.number,
            "previous": self.previous.hex(),
            "at": self.at,
            "kind": self.what.kind,
        }
        for field in fields(self.what):
            flat[field.name] = _plain(getattr(self.what, field.name))
        return _TO_JSON.encode(flat).encode("ascii")

    @property
    def digest(self) -> bytes:
        """SHA-256 of `line`, which the next entry carries."""
        return hashlib.sha256(self.line).digest()


def _plain(value: object) -> object:
    """A value as JSON takes it: bytes as hexadecimal digits."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value


# Writing -----------------------------------------------------------------------------------------------------


def append(log: Sequence[LogEntry], what: Happening, *, at: int) -> LogEntry:
    """The entry that comes after `log`, which is taken to be whole.

    Args:
        log: all entries so far.
        what: what happened.
        at: Unix seconds; an earlier time than that of the entry before is replaced by that.

    Raises:
        UsageError: an intent with fewer than two approvers or for a job that had one, a list that is not the next, an
            outcome without an open intent.

    """
    before = _Before()
    for entry in log:
        before.note(entry.what)
    if fault := before.refuses(what):
        raise UsageError(fault, who=_WHO, got=_name(what))
    if not log:
        return LogEntry(0, NOTHING_BEFORE, at, what)
    last = log[-1]
    return LogEntry(last.number + 1, last.digest, max(at, last.at), what)


def last_list(log: Iterable[LogEntry]) -> int:
    """The number of the last revocation list that was about to be signed; 0 if none was."""
    return max((entry.what.list_number for entry in log if isinstance(entry.what, ListIntent)), default=0)


def last_ticket(log: Iterable[LogEntry]) -> int:
    """The number of the last ticket that was given out; 0 if none was."""
    return max((_last_of(entry.what) for entry in log if isinstance(entry.what, TicketsOrdered)), default=0)


def used_tickets(log: Iterable[LogEntry]) -> dict[int, TicketUsed]:
    """Tickets that are some module's, by number."""
    return {entry.what.ticket: entry.what for entry in log if isinstance(entry.what, TicketUsed)}


def _last_of(order: TicketsOrdered) -> int:
    return order.first + order.count - 1


class _Before:
    """What came before an entry, as far as it matters for what may come next."""

    def __init__(self) -> None:
        self._latest: dict[bytes, Happening] = {}
        self._lists = 0
        self._tickets = 0
        self._used: set[int] = set()

    def note(self, what: Happening) -> None:
        """It happened."""
        if isinstance(what, TicketUsed):
            self._used.add(what.ticket)
            return
        self._latest[what.job] = what
        self._lists += isinstance(what, ListIntent)
        if isinstance(what, TicketsOrdered):
            self._tickets = _last_of(what)

    def refuses(self, what: Happening) -> str:
        """Why `what` may not come now; empty if it may."""
        if isinstance(what, TicketUsed):
            known = 1 <= what.ticket <= self._tickets
            return "" if known and what.ticket not in self._used else "ticket never given out, or used before"
        if isinstance(what, ListIntent) and what.list_number != self._lists + 1:
            return f"list {what.list_number} instead of {self._lists + 1}"
        if isinstance(what, TicketsOrdered) and (what.first != self._tickets + 1 or what.count < 1):
            return f"tickets from {what.first} on instead of {self._tickets + 1}"
        before = self._latest.get(what.job)
        if isinstance(what, (Intent, ListIntent, TicketsOrdered)):
            if len(set(what.approvers)) < 2 or list(what.approvers) != sorted(set(what.approvers)):
                return "intent without two different approvers"
            return "" if before is None else "second intent for one job"
        return "" if isinstance(before, (Intent, ListIntent)) else f"{what.kind} without an open intent"


def _name(what: Happening) -> str:
    return f"ticket {what.ticket}" if isinstance(what, TicketUsed) else f"job {what.job.hex()}"


# Checking ----------------------------------------------------------------------------------------------------


def verify_chain(log: Iterable[LogEntry]) -> None:
    """Check that nothing is missing, altered or out of place. What was cut off at the end cannot be seen from here.

    Raises:
        LogBroken: with the number of the first entry that does not fit.

    """
    previous, at = NOTHING_BEFORE, 0
    before = _Before()
    for number, entry in enumerate(log):
        if entry.number != number:
            raise LogBroken("number", number=number, expected=number, got=entry.number)
        if entry.previous != previous:
            raise LogBroken(
                "digest of the entry before", number=number, expected=previous.hex(), got=entry.previous.hex()
            )
        if entry.at < at:
            raise LogBroken("time goes back", number=number, expected=f"at least {at}", got=entry.at)
        if fault := before.refuses(entry.what):
            raise LogBroken(fault, number=number, got=_name(entry.what))
        before.note(entry.what)
        previous, at = entry.digest, entry.at


def open_intents(log: Iterable[LogEntry]) -> tuple[Intent | ListIntent, ...]:
    """The intents that have no outcome: a power cut came between, or the signature is being made."""
    latest = {entry.what.job: entry.what for entry in log if not isinstance(entry.what, TicketUsed)}
    return tuple(what for what in latest.values() if isinstance(what, (Intent, ListIntent)))


# Text form ---------------------------------------------------------------------------------------------------


def export_lines(log: Iterable[LogEntry]) -> bytes:
    """The log as JSON Lines: one entry a line, each with its end of line."""
    return b"".join(entry.line + b"\n" for entry in log)


def import_lines(data: bytes) -> tuple[LogEntry, ...]:
    """The log of an export, its chain verified.

    Raises:
        LogBroken: not what `export_lines` writes, or the chain is broken.

    """
    *lines, end = data.split(b"\n")
    log = tuple(_read_line(number, line) for number, line in enumerate(lines))
    if end:
        raise LogBroken("ends too early", number=len(lines), expected="an end of line")
    verify_chain(log)
    return log


def _read_line(number: int, line: bytes) -> LogEntry:
    """One entry; what does not come out as the same line again is refused."""
    try:
        entry = _entry(json.loads(line))
    except (ValueError, RecursionError):
        entry = None
    if entry is None or entry.line != line:
        raise LogBroken(
            "not an entry of a card log", number=number, expected="a line as exported", got=f"{len(line)} bytes"
        )
    return entry


def _entry(flat: object) -> LogEntry | None:
    """The entry with these members; strictness is left to the comparison of lines.

    Raises:
        ValueError: no hexadecimal digits where they belong.

    """
    match flat:
        case {"number": int(number), "previous": str(previous), "at": int(at)}:
            what = _happening(flat)
            exact = type(number) is int and type(at) is int  # true is an int as well
            return LogEntry(number, bytes.fromhex(previous), at, what) if exact and what else None
    return None


def _happening(flat: object) -> Happening | None:
    match flat:
        case {
            "kind": Intent.kind,
            "job": str(job),
            "role": str(role),
            "subject": str(subject),
            "approvers": [*approvers],
            "to_be_signed": str(signed),
        }:
            names = tuple(str(name) for name in approvers)
            return Intent(bytes.fromhex(job), role, subject, names, bytes.fromhex(signed))
        case {
            "kind": ListIntent.kind,
            "job": str(job),
            "list_number": int(number),
            "added": [*added],
            "next_update": int(until),
            "approvers": [*approvers],
            "digest": str(digest),
        } if type(number) is int and type(until) is int:
            names = tuple(str(name) for name in approvers)
            numbers = tuple(bytes.fromhex(str(each)) for each in added)
            return ListIntent(bytes.fromhex(job), number, numbers, until, names, bytes.fromhex(digest))
        case {"kind": Result.kind, "job": str(job), "signature": str(signature), "fingerprint": str(fingerprint)}:
            return Result(bytes.fromhex(job), bytes.fromhex(signature), bytes.fromhex(fingerprint))
        case {
            "kind": TicketsOrdered.kind,
            "job": str(job),
            "first": int(first),
            "count": int(count),
            "approvers": [*approvers],
        } if type(first) is int and type(count) is int:
            return TicketsOrdered(bytes.fromhex(job), first, count, tuple(str(name) for name in approvers))
        case {"kind": TicketUsed.kind, "ticket": int(ticket), "serial": str(serial), "key": str(key)} if (
            type(ticket) is int
        ):
            return TicketUsed(ticket, serial, bytes.fromhex(key))
        case {"kind": Failure.kind, "job": str(job), "reason": str(reason)}:
            return Failure(bytes.fromhex(job), reason)
    return None
