"""What the central system's registry keeps of cards' logs (L12): their entries for good, and how far each was read.

A part of the port in `registry.py`. What is looked at before anything is kept here stands in parties/log_reading.py;
what modules may do whose certificates are in no log is for the central system's table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ..engine import StateError
from .card_log import NOTHING_BEFORE, LogEntry, Result


@dataclass(frozen=True, slots=True)
class CardLog:
    """How far the log of one card was read.

    Attributes:
        issuer: fingerprint of the certificate of the card's signing key, 32 bytes.
        entries: how many are here.
        digest: of the last one, 32 bytes; NOTHING_BEFORE where there is none.
        signatures: how many the log has had the signing key make, as the card signed it.
        through: time of the last entry, unix seconds; whatever the card makes later is dated no earlier.
        head: COSE_Sign1 of the card about these entries; empty where there is none.
        receipt: COSE_Sign1 of the central system about them, likewise.
        read: when it was read last, unix seconds.
        doubt: why the card's log cannot be what its card wrote; empty: nothing speaks against it. It stays for good.

    """

    issuer: bytes
    entries: int = 0
    digest: bytes = NOTHING_BEFORE
    signatures: int = 0
    through: int = 0
    head: bytes = field(default=b"", repr=False)
    receipt: bytes = field(default=b"", repr=False)
    read: int = 0
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class LogGrowth:
    """What is kept in one step once further entries of a log were read and found right.

    Attributes:
        log: how far it is read now.
        before: how many entries were here when they were looked at; else somebody else was faster.
        entries: the further ones.

    """

    log: CardLog
    before: int
    entries: tuple[LogEntry, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogDoubt:
    """A card's log that is not what it must be. `issuer`: see CardLog; `reason`: in words."""

    issuer: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log of its card says of one certificate.

    Attributes:
        holds: the certificate is in it.
        through: time of the last entry that was read, unix seconds; 0 where none was.
        doubt: see CardLog.

    """

    holds: bool
    through: int = 0
    doubt: str = ""


class CardLogs(Protocol):
    """The part of the port. Calls as for Registry."""

    def card_log(self, issuer: bytes) -> CardLog:
        """How far the log of the card with this signing key was read; one without entries if it never was."""
        ...

    def card_log_lines(self, issuer: bytes, *, after: int = 0, limit: int = 1000) -> tuple[bytes, ...]:
        """Its entries, one a line as exported, without the first `after` of them."""
        ...

    def grow_log(self, growth: LogGrowth, *, actor: str, at: int) -> None:
        """Keep further entries for good.

        Raises:
            RegistryConflict: there are not as many as they are to follow; nothing changed.
            StateError: the log is in doubt, or the issuer is not known.

        """
        ...

    def doubt_log(self, doubt: LogDoubt, *, actor: str, at: int) -> None:
        """Mark a card for good; what was found first stays.

        Raises:
            StateError: no such issuer.

        """
        ...


def all_lines(logs: CardLogs, issuer: bytes) -> tuple[bytes, ...]:
    """All entries of a card's log, page by page."""
    lines: list[bytes] = []
    while page := logs.card_log_lines(issuer, after=len(lines)):
        lines += page
    return tuple(lines)


def fingerprints(entries: Iterable[LogEntry]) -> dict[int, bytes]:
    """SHA-256 of what was signed, by the number of the entry that says so."""
    return {entry.number: entry.what.fingerprint for entry in entries if isinstance(entry.what, Result)}


def check_may_grow(known: CardLog) -> None:
    """Make sure that further entries of a log may be kept.

    Raises:
        StateError: it is in doubt.

    """
    if known.doubt:
        raise StateError("the card's log is in doubt", who="registry", expected="another card", got=known.doubt)
