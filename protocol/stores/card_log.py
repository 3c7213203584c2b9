"""The card's log: every certificate and list has an earlier intent, and nothing goes missing unseen (L12, S6).

Only entries and the rules of their chain live here; who appends, and where the log is kept, is for the card. How
entries are read from lines stands in log_lines.py, what the card signs about them in parties/log_heads.py.

The certificate itself is not stored twice: `to_be_signed` of the intent and `signature` of the result are all of
it, `fingerprint` says that it was put together rightly. Of a list an entry has what the one before had not: what is
revoked, and since when, is the sum of them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import ClassVar, Final, TypeAlias

from ..engine import EnvironmentFault, UsageError
from ..messages.standing import covers

TO_JSON: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
"""How everything of a log becomes text: the same bytes on every machine."""

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
        approvers: who approved exactly this job, or the standing approval: at least two different people, sorted.
        to_be_signed: the certificate without its signature (DER).
        standing: the standing approval of which this uses up one (16 bytes); empty where the job itself was approved.

    """

    kind: ClassVar[str] = "intent"

    job: bytes
    role: str
    subject: str
    approvers: tuple[str, ...]
    to_be_signed: bytes
    standing: bytes = b""


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


@dataclass(frozen=True, slots=True)
class StandingBegun:
    """From now on the card certifies modules without asking people each time, within these limits (L13).

    Attributes:
        job: names the standing approval (16 bytes).
        serials: of the modules; one that ends with a star stands for all that begin so.
        most: how many certificates.
        until: Unix seconds after which it is worth nothing.
        days: validity of each certificate.
        approvers: who approved exactly this: at least two different people, sorted.

    """

    kind: ClassVar[str] = "standing"

    job: bytes
    serials: tuple[str, ...]
    most: int
    until: int
    days: int
    approvers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StandingEnded:
    """A standing approval was withdrawn. `job`: names it (16 bytes)."""

    kind: ClassVar[str] = "withdrawal"

    job: bytes


@dataclass(frozen=True, slots=True)
class PeopleChanged:
    """From now on others may approve, or with other PINs (L13).

    Attributes:
        job: the job that the approvals are for (16 bytes).
        change: "add", "remove", "replace", "renew" (a new PIN) or "unlock".
        person: who is concerned.
        approvers: who approved exactly this: at least two different people, sorted.
        comes: who takes that person's place; empty if nobody does.

    """

    kind: ClassVar[str] = "people"

    job: bytes
    change: str
    person: str
    approvers: tuple[str, ...]
    comes: str = ""


Happening: TypeAlias = (
    Intent | ListIntent | Result | Failure | TicketsOrdered | TicketUsed | StandingBegun | StandingEnded | PeopleChanged
)


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
            value = getattr(self.what, field.name)
            if field.default is MISSING or value != field.default:
                flat[field.name] = _plain(value)
        return TO_JSON.encode(flat).encode("ascii")

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
        UsageError: an intent with fewer than two approvers or for a job that had one, or beyond the limits of its
            standing approval, a list that is not the next, an outcome without an open intent.

    """
    before = _Before()
    for entry in log:
        before.note(entry.what)
    last = log[-1] if log else None
    at = at if last is None else max(at, last.at)
    if fault := before.refuses(what, at):
        raise UsageError(fault, who=_WHO, got=_name(what))
    if last is None:
        return LogEntry(0, NOTHING_BEFORE, at, what)
    return LogEntry(last.number + 1, last.digest, at, what)


def last_list(log: Iterable[LogEntry]) -> int:
    """The number of the last revocation list that was about to be signed; 0 if none was."""
    return max((entry.what.list_number for entry in log if isinstance(entry.what, ListIntent)), default=0)


def last_ticket(log: Iterable[LogEntry]) -> int:
    """The number of the last ticket that was given out; 0 if none was."""
    return max((_last_of(entry.what) for entry in log if isinstance(entry.what, TicketsOrdered)), default=0)


def used_tickets(log: Iterable[LogEntry]) -> dict[int, TicketUsed]:
    """Tickets that are some module's, by number."""
    return {entry.what.ticket: entry.what for entry in log if isinstance(entry.what, TicketUsed)}


@dataclass(frozen=True, slots=True)
class Standing:
    """A standing approval that was not withdrawn, and how many certificates it was used for."""

    begun: StandingBegun
    used: int

    @property
    def left(self) -> int:
        """How many more it is good for."""
        return self.begun.most - self.used

    def covers(self, serial: str, at: int) -> bool:
        """Whether one more certificate may be made for this module at this time, Unix seconds."""
        return self.left > 0 and at <= self.begun.until and covers(self.begun.serials, serial)


def standing_in(log: Iterable[LogEntry]) -> dict[bytes, Standing]:
    """The standing approvals that were not withdrawn, by number; those that are used up or out of date as well."""
    before = _Before()
    for entry in log:
        before.note(entry.what)
    return before.standing


def _last_of(order: TicketsOrdered) -> int:
    return order.first + order.count - 1


class _Before:
    """What came before an entry, as far as it matters for what may come next."""

    def __init__(self) -> None:
        self._begun: dict[bytes, StandingBegun] = {}
        self._uses: Counter[bytes] = Counter()
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
        match what:
            case Intent(standing=number):
                self._uses[number] += 1
            case ListIntent():
                self._lists += 1
            case TicketsOrdered():
                self._tickets = _last_of(what)
            case StandingBegun():
                self._begun[what.job] = what
            case StandingEnded():
                del self._begun[what.job]
            case _:
                pass

    @property
    def standing(self) -> dict[bytes, Standing]:
        """The standing approvals that were not withdrawn, by number."""
        return {number: Standing(begun, self._uses[number]) for number, begun in self._begun.items()}

    def refuses(self, what: Happening, at: int) -> str:
        """Why `what` may not come now, at Unix seconds `at`; empty if it may."""
        match what:
            case TicketUsed():
                known = 1 <= what.ticket <= self._tickets
                return "" if known and what.ticket not in self._used else "ticket never given out, or used before"
            case StandingEnded():
                return "" if what.job in self._begun else "no such standing approval"
            case Result() | Failure():
                before = self._latest.get(what.job)
                return "" if isinstance(before, (Intent, ListIntent)) else f"{what.kind} without an open intent"
            case ListIntent() if what.list_number != self._lists + 1:
                return f"list {what.list_number} instead of {self._lists + 1}"
            case TicketsOrdered() if what.first != self._tickets + 1 or what.count < 1:
                return f"tickets from {what.first} on instead of {self._tickets + 1}"
            case StandingBegun() if what.most < 1 or not what.serials:
                return "standing approval for nothing"
            case _:
                return self._refuses_consent(what, at)

    def _refuses_consent(
        self, what: Intent | ListIntent | TicketsOrdered | StandingBegun | PeopleChanged, at: int
    ) -> str:
        if len(set(what.approvers)) < 2 or list(what.approvers) != sorted(set(what.approvers)):
            return "intent without two different approvers"
        if what.job in self._latest:
            return "second intent for one job"
        if not isinstance(what, Intent) or not what.standing:
            return ""
        standing = self.standing.get(what.standing)
        covered = (
            standing is not None
            and what.role == "module"
            and what.approvers == standing.begun.approvers
            and standing.covers(what.subject, at)
        )
        return "" if covered else "intent beyond its standing approval"


def _name(what: Happening) -> str:
    return f"ticket {what.ticket}" if isinstance(what, TicketUsed) else f"job {what.job.hex()}"


# Checking ----------------------------------------------------------------------------------------------------


def verify_chain(log: Sequence[LogEntry], *, after: int = 0) -> None:
    """Check that nothing is missing, altered or out of place. What was cut off at the end cannot be seen from here.

    Args:
        log: all of it.
        after: so many entries at the beginning were verified before; what comes after still goes by them.

    Raises:
        LogBroken: with the number of the first entry that does not fit.

    """
    previous, at = (log[after - 1].digest, log[after - 1].at) if after else (NOTHING_BEFORE, 0)
    before = _Before()
    for entry in log[:after]:
        before.note(entry.what)
    for number, entry in enumerate(log[after:], after):
        if entry.number != number:
            raise LogBroken("number", number=number, expected=number, got=entry.number)
        if entry.previous != previous:
            raise LogBroken(
                "digest of the entry before", number=number, expected=previous.hex(), got=entry.previous.hex()
            )
        if entry.at < at:
            raise LogBroken("time goes back", number=number, expected=f"at least {at}", got=entry.at)
        if fault := before.refuses(entry.what, entry.at):
            raise LogBroken(fault, number=number, got=_name(entry.what))
        before.note(entry.what)
        previous, at = entry.digest, entry.at


def open_intents(log: Iterable[LogEntry]) -> tuple[Intent | ListIntent, ...]:
    """The intents that have no outcome: a power cut came between, or the signature is being made."""
    latest = {entry.what.job: entry.what for entry in log if not isinstance(entry.what, TicketUsed)}
    return tuple(what for what in latest.values() if isinstance(what, (Intent, ListIntent)))
