"""The card's log as JSON Lines: how it is stored, exported and read again (L12); entries and rules: card_log.py.

Each line is one entry in JSON (sorted keys, no spaces, ASCII), and `previous` is the SHA-256 of the line before without
its end, so that the chain can be checked with a line reader and sha256sum alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from .card_log import (
    TO_JSON,
    Failure,
    Happening,
    Intent,
    ListIntent,
    LogBroken,
    LogEntry,
    PeopleChanged,
    Result,
    StandingBegun,
    StandingEnded,
    TicketsOrdered,
    TicketUsed,
    verify_chain,
)

_HEAD: Final = "head"
_RECEIPT: Final = "receipt"


@dataclass(frozen=True, slots=True)
class Export:
    """A log as it leaves the card.

    Attributes:
        log: its entries, oldest first.
        head: the last one that the card signed (parties/log_heads.py); None: none yet.
        receipt: the last one by which a central system says how far it has read; None: none yet.

    """

    log: tuple[LogEntry, ...]
    head: bytes | None = field(default=None, repr=False)
    receipt: bytes | None = field(default=None, repr=False)


def export_lines(export: Export) -> bytes:
    """JSON Lines: one entry a line, then one line with the head and one with the receipt, as far as there are such."""
    lines = [entry.line for entry in export.log]
    lines += [_seal_line(kind, given) for kind, given in ((_HEAD, export.head), (_RECEIPT, export.receipt)) if given]
    return b"".join(line + b"\n" for line in lines)


def import_lines(data: bytes) -> Export:
    """An export, the chain of its entries verified; who signed head and receipt is for the caller to look at.

    Raises:
        LogBroken: not what `export_lines` writes, or the chain is broken.

    """
    *lines, end = data.split(b"\n")
    number = len(lines)
    if end:
        raise LogBroken("ends too early", number=number, expected="an end of line")
    receipt = _seal(lines, _RECEIPT)
    head = _seal(lines, _HEAD)
    return Export(read_entries(lines), head, receipt)


def read_entries(lines: Iterable[bytes], known: tuple[LogEntry, ...] = ()) -> tuple[LogEntry, ...]:
    """All entries of a log, the chain verified.

    Args:
        lines: the entries, one in each without its end.
        known: those that come before them, whose chain was verified before.

    Raises:
        LogBroken: a line is no entry, or the chain is broken.

    """
    log = (*known, *(read_entry(number, line) for number, line in enumerate(lines, len(known))))
    verify_chain(log, after=len(known))
    return log


def _seal_line(kind: str, signed: bytes) -> bytes:
    return TO_JSON.encode({"kind": kind, "cose": signed.hex()}).encode("ascii")


def _seal(lines: list[bytes], kind: str) -> bytes | None:
    """What the last line has, which is taken away, if it is of this kind."""
    try:
        flat = json.loads(lines[-1]) if lines else None
        signed = bytes.fromhex(flat["cose"]) if isinstance(flat, dict) and flat.get("kind") == kind else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # it is refused as an entry
    if signed is None or _seal_line(kind, signed) != lines[-1]:
        return None
    lines.pop()
    return signed


def read_entry(number: int, line: bytes) -> LogEntry:
    """The entry in a line; what does not come out as the same line again is refused, as that of this number.

    Raises:
        LogBroken: the line is no entry.

    """
    try:
        entry = _entry(json.loads(line, parse_int=_bounded))
    except (ValueError, RecursionError):
        entry = None
    if entry is None or entry.line != line:
        raise LogBroken(
            "not an entry of a card log", number=number, expected="a line as exported", got=f"{len(line)} bytes"
        )
    return entry


def _bounded(digits: str) -> int:
    """A number that messages and databases can carry.

    Raises:
        ValueError: a greater one.

    """
    number = int(digits)
    if not 0 <= number < 1 << 63:
        raise ValueError(digits)
    return number


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
            **rest,
        }:
            names = tuple(str(name) for name in approvers)
            standing = bytes.fromhex(str(rest.get("standing", "")))
            return Intent(bytes.fromhex(job), role, subject, names, bytes.fromhex(signed), standing)
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
        case {
            "kind": StandingBegun.kind,
            "job": str(job),
            "serials": [*serials],
            "most": int(most),
            "until": int(until),
            "days": int(days),
            "approvers": [*approvers],
        } if type(most) is int and type(until) is int and type(days) is int:
            names, modules = (tuple(str(each) for each in texts) for texts in (approvers, serials))
            return StandingBegun(bytes.fromhex(job), modules, most, until, days, names)
        case {"kind": StandingEnded.kind, "job": str(job)}:
            return StandingEnded(bytes.fromhex(job))
        case {
            "kind": PeopleChanged.kind,
            "job": str(job),
            "change": str(change),
            "person": str(person),
            "approvers": [*approvers],
            **rest,
        }:
            names, comes = tuple(str(name) for name in approvers), str(rest.get("comes", ""))
            return PeopleChanged(bytes.fromhex(job), change, person, names, comes)
        case {"kind": Failure.kind, "job": str(job), "reason": str(reason)}:
            return Failure(bytes.fromhex(job), reason)
    return None
