"""What the chip card hears and remembers about the head of its log (L12); decisions are in `card_heads.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..engine import PublicKey, Show


@dataclass(frozen=True, slots=True)
class HeadWanted:
    """The log is about to be shown: its head is to be signed if that of its last entry is not. `at`: unix seconds."""

    at: int


@dataclass(frozen=True, slots=True)
class ReceiptCame:
    """A central system says how far it has read the log.

    Attributes:
        receipt: COSE_Sign1.
        central: the key of the central system, as it was pinned for the session.

    """

    receipt: bytes = field(repr=False)
    central: PublicKey


@dataclass(frozen=True, slots=True)
class Entered:
    """What is done once the head is signed, or could not be.

    Attributes:
        at: of the head, unix seconds.
        then: what is said.
        keep: the keys that are durable from then on; None: those that are.

    """

    at: int
    then: tuple[Show, ...]
    keep: frozenset[str] | None = None
