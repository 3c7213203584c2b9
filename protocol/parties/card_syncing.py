"""The card's side as it brings a central system its log (L12), which its computer speaks for; LAST its table.

The central system asks for what it lacks, part by part, and says in the end how far it has read, signed. That receipt
is all that is kept on this side; whatever is cut can be done again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..channel.opened import ChannelOpened, Peer
from ..engine import (
    STAY,
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    Fault,
    Persist,
    Send,
    Show,
    StartTimer,
    StopTimer,
    Table,
    given,
    reason_of,
    row,
)
from ..messages import LOG_ENTRY_MAX, LOG_PART_MAX, LogOffered, LogPart, LogRead, LogWanted, Purpose
from .card_log_data import ReceiptCame

MACHINE_SECONDS: Final = 30.0
"""How long the card waits for the central system (SECURITY: resource limits)."""


class CardSyncingState(Enum):
    """Where it can be, seen from the card. UNCONFIRMED: the log was read or not; doing it again is harmless."""

    READY = auto()
    OFFERED = auto()
    READ = auto()
    UNCONFIRMED = auto()
    FAILED = auto()


S = CardSyncingState


@dataclass(frozen=True, slots=True)
class LogWasRead:
    """The central system has all of our log and said so. `central`: its name; `entries`: how many it has."""

    central: str
    entries: int


@dataclass(frozen=True, slots=True)
class CardSyncingData:
    """What the card knows meanwhile.

    Attributes:
        lines: the entries of its log, one each.
        head: of all of them, COSE_Sign1.
        peer: of the open channel.

    """

    lines: tuple[bytes, ...] = field(repr=False)
    head: bytes = field(repr=False)
    peer: Peer | None = None


# Guards ------------------------------------------------------------------------------------------------------


def central_is_the_one_that_was_meant(_: CardSyncingData, event: ChannelOpened) -> bool:
    """The handshake admits no key but the pinned one; here only the purpose is left to be looked at."""
    return event.intent.purpose is Purpose.SYNC and event.peer.role is None


def there_is_so_much(data: CardSyncingData, event: LogWanted) -> bool:
    """It asks for entries that there are, or for none after the last."""
    return event.after <= len(data.lines)


# Actions -----------------------------------------------------------------------------------------------------

_AWAIT: Final = StartTimer("central", MACHINE_SECONDS)


def offer(data: CardSyncingData, event: ChannelOpened) -> tuple[CardSyncingData, Effects]:
    """Say how far the log goes."""
    return replace(data, peer=event.peer), [Send(LogOffered(len(data.lines), data.head)), _AWAIT]


def hand_over(data: CardSyncingData, event: LogWanted) -> tuple[CardSyncingData, Effects]:
    """Send what comes next, as much as goes into one message."""
    return data, [Send(LogPart(part_of(data.lines[event.after : event.after + LOG_PART_MAX]))), _AWAIT]


def part_of(lines: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The first of them that together are no longer than one entry may be."""
    size, fits = 0, 0
    for line in lines:
        size += len(line)
        if size > LOG_ENTRY_MAX:
            break
        fits += 1
    return lines[:fits]


def keep_receipt(data: CardSyncingData, event: LogRead) -> tuple[CardSyncingData, Effects]:
    """Have the card look at the receipt and keep it."""
    peer = given(data.peer)
    note = LogWasRead(peer.name, len(data.lines))
    return data, [StopTimer("central"), Persist(ReceiptCame(event.receipt, peer.public)), Show(note), Close()]


def give_up(data: CardSyncingData, event: object) -> tuple[CardSyncingData, Effects]:
    """End without receipt."""
    fault = Fault.TIMEOUT if isinstance(event, DeadlinePassed) else None
    return data, [StopTimer("central"), Close(fault, reason_of(event))]


# The table ---------------------------------------------------------------------------------------------------

CARD_SYNCING: Final = Table[CardSyncingState, CardSyncingData](
    "card-syncing",
    CardSyncingState,
    S.READY,
    [
        # in, on, if, do, then
        row(S.READY, ChannelOpened, central_is_the_one_that_was_meant, offer, S.OFFERED),
        row(S.OFFERED, LogWanted, there_is_so_much, hand_over, STAY),
        row(S.OFFERED, LogRead, None, keep_receipt, S.READ),
        row(S.READY, ChannelLost, None, give_up, S.FAILED),
        # the central system may or may not have kept what it got
        row(S.OFFERED, ChannelLost, None, give_up, S.UNCONFIRMED),
        row(S.OFFERED, DeadlinePassed, None, give_up, S.UNCONFIRMED),
    ],
)
