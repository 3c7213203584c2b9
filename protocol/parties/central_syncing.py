"""The central system's side as a card brings its log (L12): it is verified and kept for good; LAST its table.

A card's log only grows, and its card signs each head. So a log that is shorter than what was read, that goes on from
somewhere else, or whose entries are not what the signing key made, is not what the card wrote: the card is marked in
the registry for good and an operator is told. What is not whole yet is no reason for that; the card comes again.
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
    KeyHandle,
    KeyOperationFailed,
    LookUp,
    Persist,
    ProtocolError,
    Send,
    Show,
    Sign,
    Signed,
    StartTimer,
    StopTimer,
    Table,
    given,
    reason_of,
    row,
)
from ..keys.certificates import Role, VerifiedCertificate
from ..messages import LogOffered, LogPart, LogRead, LogWanted, Purpose
from ..stores.card_log import LogEntry
from ..stores.card_logs import LogDoubt
from .log_heads import LogReceipt, message_to_sign, signed
from .log_reading import LogDoubted
from .log_verdict import (
    CardLogClaim,
    CardLogFound,
    CardLogQuery,
    LogFails,
    LogHolds,
    check_not_of_the_future,
    check_not_shorter,
    growth_of,
    receipt_for,
)

MACHINE_SECONDS: Final = 30.0
"""How long the central system waits for the card (SECURITY: resource limits)."""
MOST_PARTS: Final = 4096
"""Messages of one session with entries: twice as many as the longest log takes."""
MOST_BYTES: Final = 1 << 25
"""Of further entries in one session; what comes after, the card brings in the next one."""


class CentralSyncingState(Enum):
    """Where it can be, seen from the central system."""

    LISTENING = auto()
    AWAITING_OFFER = auto()
    RECALLING = auto()
    READING = auto()
    VERIFYING = auto()
    RECEIPTING = auto()
    READ = auto()
    DOUBTED = auto()
    FAILED = auto()


S = CentralSyncingState


@dataclass(frozen=True, slots=True)
class CardLogRead:
    """A card's log was read. `owner`: the customer; `entries`: how many are here; `new`: since the last time."""

    owner: str
    entries: int
    new: int


@dataclass(frozen=True, slots=True)
class CardDoubted:
    """A card showed a log that its card cannot have written; it is marked for good.

    Attributes:
        owner: the customer.
        card: fingerprint of the certificate of its signing key, 32 bytes.
        reason: in words.

    """

    owner: str
    card: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class CentralSyncingData:
    """What the central system knows meanwhile.

    Attributes:
        name: its own.
        key: its own.
        peer: of the open channel; the peer's chain is the certificates of the card's two keys.
        at: the time of the last event.
        begun: when the session began, before anything was said.
        offered: what the card says of its log.
        found: what is here of it.
        lines: the entries that came.
        size: of them, in bytes.
        parts: messages that they came in.
        log: all of them, verified.

    """

    name: str
    key: KeyHandle
    peer: Peer | None = None
    at: int = 0
    begun: int = 0
    offered: LogOffered | None = None
    found: CardLogFound | None = None
    lines: tuple[bytes, ...] = field(default=(), repr=False)
    size: int = 0
    parts: int = 0
    log: tuple[LogEntry, ...] = field(default=(), repr=False)

    def at_time(self, at: int) -> CentralSyncingData:
        """The same, later."""
        return replace(self, at=at)

    @property
    def customer(self) -> VerifiedCertificate:
        """The certificate of the card's signing key."""
        return given(self.peer).chain[1]


# Guards ------------------------------------------------------------------------------------------------------


def card_is_known(_: CentralSyncingData, event: ChannelOpened) -> bool:
    """The handshake admits no card whose signing key is not known here."""
    return event.intent.purpose is Purpose.SYNC and event.peer.role is Role.UNIT


def its_log_got_shorter(data: CentralSyncingData, event: CardLogFound) -> bool:
    """It lacks entries that were read.

    Raises:
        ProtocolError: nothing is taken from this card any more; or another session has read more since this one began,
            and the offer was held back on its way.

    """
    if event.objection:
        raise ProtocolError("log refused", who="central", expected="a card that counts", got=event.objection)
    if not _too_short(data, event):
        return False
    if event.log.read >= data.begun:
        raise ProtocolError(
            "log refused",
            who="central",
            expected="what the card has by now",
            got="an offer that another session overtook",
        )
    return True


def more_is_to_come(data: CentralSyncingData, event: LogPart) -> bool:
    """The part is not the last one, goes on, and leaves a bearable amount.

    Raises:
        ProtocolError: it is empty or too much.

    """
    lacking = given(data.offered).entries - given(data.found).log.entries - len(data.lines) - len(event.lines)
    if lacking > 0 and not event.lines:
        raise ProtocolError("part of a log", who="central", expected="further entries", got="none")
    if lacking < 0 or data.size + _size(event) > MOST_BYTES or data.parts >= MOST_PARTS:
        raise ProtocolError("part of a log", who="central", expected="what was offered", got="more")
    return lacking > 0


def it_is_not_of_the_future(data: CentralSyncingData, event: LogHolds) -> bool:
    """By what it is dated, other certificates are judged.

    Raises:
        ProtocolError: it is dated after our own time, by more than clocks differ.

    """
    check_not_of_the_future(event.log, data.at)
    return True


def _size(part: LogPart) -> int:
    return sum(map(len, part.lines))


def _too_short(data: CentralSyncingData, event: CardLogFound) -> str:
    try:
        check_not_shorter(event.log, given(data.offered).entries)
    except LogDoubted as error:
        return str(error)
    return ""


# Actions -----------------------------------------------------------------------------------------------------

_AWAIT: Final = StartTimer("card", MACHINE_SECONDS)


def await_offer(data: CentralSyncingData, event: ChannelOpened) -> tuple[CentralSyncingData, Effects]:
    """Let it say how far its log goes."""
    return replace(data, peer=event.peer), [_AWAIT]


def look_it_up(data: CentralSyncingData, event: LogOffered) -> tuple[CentralSyncingData, Effects]:
    """Ask the registry how far it was read."""
    query = CardLogQuery(*given(data.peer).chain)
    return replace(data, offered=event), [StopTimer("card"), LookUp("card log", query)]


def ask_for_the_rest(data: CentralSyncingData, event: CardLogFound) -> tuple[CentralSyncingData, Effects]:
    """Ask for what comes after; also where nothing does, since the head may be another one all the same."""
    return replace(data, found=event), [Send(LogWanted(event.log.entries)), _AWAIT]


def ask_on(data: CentralSyncingData, event: LogPart) -> tuple[CentralSyncingData, Effects]:
    """Take the part and ask for the next."""
    lines = (*data.lines, *event.lines)
    return replace(data, lines=lines, size=data.size + _size(event), parts=data.parts + 1), [
        Send(LogWanted(given(data.found).log.entries + len(lines))),
        _AWAIT,
    ]


def have_it_verified(data: CentralSyncingData, event: LogPart) -> tuple[CentralSyncingData, Effects]:
    """All is here: have it looked at."""
    unit, customer = given(data.peer).chain
    claim = CardLogClaim(given(data.found).known, (*data.lines, *event.lines), given(data.offered).head, unit, customer)
    return data, [StopTimer("card"), LookUp("verdict on a log", claim)]


def sign_receipt(data: CentralSyncingData, event: LogHolds) -> tuple[CentralSyncingData, Effects]:
    """All is right: say so under our key."""
    known = replace(data, log=event.log)
    return known, [Sign(data.key, message_to_sign(_receipt(known).payload))]


def keep_log(data: CentralSyncingData, event: Signed) -> tuple[CentralSyncingData, Effects]:
    """Keep it before the card hears of it."""
    known, receipt = given(data.found).log, _receipt(data)
    message = signed(receipt.payload, event.signature)
    growth = growth_of(known, data.log, given(data.offered).head, message, receipt.at)
    note = CardLogRead(data.customer.subject, len(data.log), len(growth.entries))
    return data, [Persist(growth), Send(LogRead(message)), Show(note), Close()]


def _receipt(data: CentralSyncingData) -> LogReceipt:
    return receipt_for(data.name, data.customer.fingerprint, data.log, data.at)


def doubt_short_log(data: CentralSyncingData, event: CardLogFound) -> tuple[CentralSyncingData, Effects]:
    """Mark the card."""
    return _doubt(data, _too_short(data, event))


def doubt_log(data: CentralSyncingData, event: LogFails) -> tuple[CentralSyncingData, Effects]:
    """Mark the card."""
    return _doubt(data, event.reason)


def _doubt(data: CentralSyncingData, reason: str) -> tuple[CentralSyncingData, Effects]:
    customer = data.customer
    note = CardDoubted(customer.subject, customer.fingerprint, reason)
    persist = Persist(LogDoubt(customer.fingerprint, reason))
    return data, [persist, Show(note), Close(Fault.UNTRUSTED, reason)]


def give_up(data: CentralSyncingData, event: object) -> tuple[CentralSyncingData, Effects]:
    """End; nothing was kept."""
    fault = {DeadlinePassed: Fault.TIMEOUT, KeyOperationFailed: Fault.UNAVAILABLE}.get(type(event))
    return data, [StopTimer("card"), Close(fault, reason_of(event))]


# The table ---------------------------------------------------------------------------------------------------

WAITING: Final = (S.AWAITING_OFFER, S.READING)
BUSY: Final = (S.RECALLING, S.VERIFYING, S.RECEIPTING)

CENTRAL_SYNCING: Final = Table[CentralSyncingState, CentralSyncingData](
    "central-syncing",
    CentralSyncingState,
    S.LISTENING,
    [
        # in, on, if, do, then
        row(S.LISTENING, ChannelOpened, card_is_known, await_offer, S.AWAITING_OFFER),
        row(S.AWAITING_OFFER, LogOffered, None, look_it_up, S.RECALLING),
        row(S.RECALLING, CardLogFound, its_log_got_shorter, doubt_short_log, S.DOUBTED),
        row(S.RECALLING, CardLogFound, None, ask_for_the_rest, S.READING),
        row(S.READING, LogPart, more_is_to_come, ask_on, STAY),
        row(S.READING, LogPart, None, have_it_verified, S.VERIFYING),
        row(S.VERIFYING, LogHolds, it_is_not_of_the_future, sign_receipt, S.RECEIPTING),
        row(S.VERIFYING, LogFails, None, doubt_log, S.DOUBTED),
        row(S.RECEIPTING, Signed, None, keep_log, S.READ),
        row(S.RECEIPTING, KeyOperationFailed, None, give_up, S.FAILED),
        row(WAITING, DeadlinePassed, None, give_up, S.FAILED),
        row((S.LISTENING, *WAITING, *BUSY), ChannelLost, None, give_up, S.FAILED),
    ],
)
