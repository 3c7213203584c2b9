"""What a central system makes of a card's log: its questions, the verdict, what it keeps and what it signs (L12).

Used by the session in which a card brings its log (`central_syncing.py`), and where both are one program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..engine import ProtocolError
from ..keys.certificates import VerifiedCertificate
from ..keys.profile import time_text
from ..stores.card_log import NOTHING_BEFORE, LogBroken, LogEntry
from ..stores.card_logs import CardLog, LogGrowth
from .log_heads import LogReceipt, signatures_of
from .log_reading import LogDoubted, read_further

AHEAD_SECONDS: Final = 24 * 3600
"""How far the clock of a card's computer may be ahead of ours."""


# Questions and answers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CardLogQuery:
    """The argument of LookUp("card log"), answered by CardLogFound: whose log, and what its card showed."""

    unit: VerifiedCertificate
    customer: VerifiedCertificate


@dataclass(frozen=True, slots=True)
class CardLogFound:
    """What the registry has of the card's log.

    Attributes:
        log: how far it was read.
        known: its entries, verified.
        objection: why nothing is taken from this card any more; empty: nothing speaks against it.

    """

    log: CardLog
    known: tuple[LogEntry, ...] = field(repr=False)
    objection: str = ""


@dataclass(frozen=True, slots=True)
class CardLogClaim:
    """The argument of LookUp("verdict on a log"), since that takes time; answered by LogHolds or LogFails.

    Attributes:
        known: entries that were read and verified before.
        further: those that came, one a line.
        head: of all of them, signed.
        unit, customer: the certificates of the card's two keys.

    """

    known: tuple[LogEntry, ...] = field(repr=False)
    further: tuple[bytes, ...] = field(repr=False)
    head: bytes = field(repr=False)
    unit: VerifiedCertificate
    customer: VerifiedCertificate


@dataclass(frozen=True, slots=True)
class LogHolds:
    """Chain, rules, certificates and lists hold, it goes on where it was read to, and the card signed its head."""

    log: tuple[LogEntry, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogFails:
    """The card cannot have written that. `reason`: why, in words."""

    reason: str


# Judging -----------------------------------------------------------------------------------------------------


def check_not_shorter(known: CardLog, entries: int) -> None:
    """A log never gets shorter.

    Raises:
        LogDoubted: it did.

    """
    if entries < known.entries:
        raise LogDoubted(
            "the end of the log is cut off, or an old copy of the card was put back",
            who="card log",
            expected=f"at least {known.entries} entries",
            got=entries,
        )


def check_not_of_the_future(log: tuple[LogEntry, ...], at: int) -> None:
    """Make sure that a log is not dated later than a day after `at`, unix seconds.

    Raises:
        ProtocolError: it is; that is no reason for doubt, since a clock may be wrong.

    """
    if log and log[-1].at > at + AHEAD_SECONDS:
        raise ProtocolError("log refused", who="central", expected="nothing of the future", got=time_text(log[-1].at))


def receipt_for(central: str, card: bytes, log: tuple[LogEntry, ...], at: int) -> LogReceipt:
    """What is signed once the log is read."""
    return LogReceipt(central, card, len(log), log[-1].digest if log else NOTHING_BEFORE, at)


def growth_of(known: CardLog, log: tuple[LogEntry, ...], head: bytes, receipt: bytes, at: int) -> LogGrowth:
    """What is kept of a log that was read."""
    grown = CardLog(
        issuer=known.issuer,
        entries=len(log),
        digest=log[-1].digest if log else NOTHING_BEFORE,
        signatures=signatures_of(log),
        through=log[-1].at if log else 0,
        head=head,
        receipt=receipt,
        read=at,
    )
    return LogGrowth(grown, known.entries, log[known.entries :])


def verdict_on(claim: CardLogClaim) -> LogHolds | LogFails:
    """Whether that is a log."""
    try:
        return LogHolds(read_further(claim.known, claim.further, claim.head, claim.customer, claim.unit.public))
    except (LogBroken, LogDoubted) as error:
        return LogFails(str(error))
