"""How much room a card has left, and what may use it (L12). Entries of its log are never overwritten, read or not.

So a card fills up, and three things follow. Whoever looks is told how many certificates still fit, and warned in time.
What is promised beforehand, by tickets and standing approvals, has to fit besides all that was promised before. And no
certificate uses what revocation lists need to the end, nor is consent used up for one that finds no room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..engine import StateError
from ..keys.port import Memory
from ..messages import MOST_LOG_ENTRIES, CardRecord, encode_record
from ..stores.atomic import LARGEST
from ..stores.card_log import last_ticket, used_tickets
from .card_data import CardData
from .card_record import known_log, standing_of

KEPT: Final = 1 << 17
"""Bytes that only what ends something may use: the longest revocation list with its entries finds room to the end."""
KEPT_PART: Final = 8
"""Of a token's memory, where that is less, no more is kept than one such part."""
ENTRIES_KEPT: Final = 64
"""Likewise, entries of the log."""
CERTIFICATE_BYTES: Final = 1792
"""What a certificate takes: usually 1,200, with the longest names 1,649, and something for what holds them."""
TICKET_BYTES: Final = 384
"""What a ticket takes once it is used."""
SHORT: Final = 100
"""Certificates: when no more fit, it is time for another card."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is left.

    Attributes:
        bytes: that can be written, less those that are kept.
        entries: of the log, likewise.

    """

    bytes: int
    entries: int

    @property
    def certificates(self) -> int:
        """So many more fit at least."""
        return max(0, min(self.bytes // CERTIFICATE_BYTES, self.entries // 2))

    @property
    def is_short(self) -> bool:
        """It is time for another card."""
        return self.certificates < SHORT


def room_on(record: CardRecord, memory: Memory | None) -> Room:
    """What is left on a card.

    Args:
        record: of the card.
        memory: what its token says of its own; None: it says nothing, or there is none.

    """
    free = LARGEST - len(encode_record(record)) - KEPT
    if memory is not None:
        free = min(free, memory.free - min(KEPT, memory.total // KEPT_PART))
    return Room(free, MOST_LOG_ENTRIES - len(record.log) - ENTRIES_KEPT)


def check_room(data: CardData) -> None:
    """Make sure that one more certificate finds room, and a revocation list after it.

    Raises:
        StateError: it might not; nothing was used up.

    """
    _check(data, "the card is full", CERTIFICATE_BYTES, 2)


def check_promise(data: CardData, at: int, *, certificates: int = 0, tickets: int = 0) -> None:
    """Make sure that what two people promise beforehand finds room besides all that was promised before.

    Args:
        data: what the card knows.
        at: unix seconds.
        certificates: that a standing approval is good for.
        tickets: that leave the card.

    Raises:
        StateError: it might not.

    """
    log = known_log(data)
    certificates += sum(each.left for each in standing_of(data).values() if at <= each.begun.until)
    tickets += last_ticket(log) - len(used_tickets(log))
    size = certificates * CERTIFICATE_BYTES + tickets * TICKET_BYTES
    _check(data, "the card has no room for all that is promised then", size, 2 * certificates + tickets)


def _check(data: CardData, lacks: str, size: int, entries: int) -> None:
    room = room_on(data.held, data.memory)
    if room.bytes < size or room.entries < entries:
        raise StateError(
            lacks,
            who="card",
            expected=f"{size} bytes and {entries} entries of its log, besides what revocation lists need",
            got=f"{max(0, room.bytes)} and {max(0, room.entries)}",
        )
