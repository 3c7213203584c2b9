"""What the chip card does about the head of its log (L12): an entry is stored with its signed head, or not at all.

The rows are in the table of `card.py`. Whatever happened is put into the log in memory, the authentication key signs
the head of that log, and one write stores both. Only then is anything said. So no cut comes between an entry and its
head, with two exceptions, which the log shows and the next head mends: an intent is stored before the signature that it
is about and without a head of its own, and so is what happened when key memory fails to sign the head.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..engine import Close, Effects, Fault, KeyOperationFailed, Persist, Show, Sign, Signed, given
from ..messages import CardRecord
from ..stores.card_log import Happening
from .card_data import CardData
from .card_log_data import Entered, HeadWanted, ReceiptCame
from .card_record import at_rest, customer_of, kept, known_log, logged
from .log_heads import LogHead, LogReceipt, message_to_sign, signed

# Guards ------------------------------------------------------------------------------------------------------


def its_last_entry_is_unsigned(data: CardData, _: HeadWanted) -> bool:
    """No head names it."""
    return head_is_behind(data.held)


def it_has_read_this_log(data: CardData, event: ReceiptCame) -> bool:
    """The central system signed that it has the beginning of this very log, and no less than it said before.

    Raises:
        ProtocolError: it signed something else.

    """
    receipt, log, held = LogReceipt.read(event.receipt, event.central), known_log(data), data.held.receipt
    known = 0 if held is None else LogReceipt.read(held, None).entries
    ours = receipt.card == customer_of(data.held).fingerprint
    return ours and receipt.names(log) and receipt.entries >= known


# Actions -----------------------------------------------------------------------------------------------------


def entered(
    data: CardData,
    what: Happening,
    at: int,
    *then: Show,
    keep: frozenset[str] | None = None,
    **changes: Any,  # noqa: ANN401 - of the record
) -> tuple[CardData, Effects]:
    """With one more entry, of which nothing is stored or said before the log's head is signed: then both, in one write.

    So a signature that others may see is about a log that is there, and no cut comes between an entry and its head.

    Args:
        data: what the card knows.
        what: happened.
        at: unix seconds.
        then: what is said.
        keep: the keys that are durable from then on; None: those that are.
        changes: in the record, in the same write.

    """
    return vouched(replace(logged(data, what, at, **changes), entered=Entered(at, then, keep)))


def vouched(data: CardData) -> tuple[CardData, Effects]:
    """The head of the log is to be signed by the authentication key."""
    return data, [Sign(given(data.authentication), message_to_sign(head_of(data).payload))]


def head_of(data: CardData) -> LogHead:
    """What the card signs about the log as it is."""
    return LogHead.of(customer_of(data.held).fingerprint, known_log(data), given(data.entered).at)


def head_is_behind(record: CardRecord) -> bool:
    """Whether no signed head names the last entry of the log: after a cut, a failure, or on a card of before."""
    if not record.log:
        return False
    return record.head is None or LogHead.read(record.head, None).entries < len(record.log)


def keep_head(data: CardData, event: Signed) -> tuple[CardData, Effects]:
    """Store the entry with the head, then say what is to be said."""
    done = given(data.entered)
    record = replace(data.held, head=signed(head_of(data).payload, event.signature))
    return replace(at_rest(data), record=record), [Persist(record, done.keep), *done.then]


def go_without_head(data: CardData, event: KeyOperationFailed) -> tuple[CardData, Effects]:
    """Store the entry all the same, since what it says has happened; say nothing of it. The next head is of it, too."""
    keep = given(data.entered).keep
    return at_rest(data), [Persist(data.held, keep), Close(Fault.UNAVAILABLE, event.reason)]


def sign_head(data: CardData, event: HeadWanted) -> tuple[CardData, Effects]:
    """Have the last entry under a signed head."""
    return vouched(replace(data, log=known_log(data), entered=Entered(event.at, ())))


def keep_receipt(data: CardData, event: ReceiptCame) -> tuple[CardData, Effects]:
    """Know from now on what has been read."""
    return kept(data, replace(data.held, receipt=event.receipt))
