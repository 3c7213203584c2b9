"""What a card signs about its log, and what a central system signs when it has read it (L12, S6).

Both are COSE_Sign1 (RFC 9052 section 4.2), whole, so that anybody can check them who has the certificate of the key.
The card signs by its authentication key: its signing key makes nothing without two people's consent (L13), and nobody
could consent to a number. What the head is worth all the same comes from there: the signing key has certified the
authentication key under four eyes, and that certificate stands in the log itself. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from ..channel import proofs
from ..channel.cose import ES256, SIGNATURE_BYTES, Sign1, assemble_sign1, to_be_signed
from ..engine import ProtocolError, PublicKey
from ..messages import SIGNED_LOG_MAX
from ..messages.codec import decode
from ..stores.card_log import NOTHING_BEFORE, Intent, ListIntent, LogEntry

S = TypeVar("S", bound="LogHead | LogReceipt")


def signatures_of(log: Sequence[LogEntry]) -> int:
    """How many signatures the log has had the signing key make: one for each intent, whatever became of it.

    The request for its own certificate comes before the log and is not counted. So a key that has been used more often
    than this number and one, by a count of its own or as certificates show, was used outside the log.
    """
    return sum(isinstance(entry.what, (Intent, ListIntent)) for entry in log)


@dataclass(frozen=True, slots=True)
class LogHead:
    """How far a log is, as its card signs it.

    Attributes:
        card: SHA-256 of the certificate of the card's signing key, 32 bytes.
        entries: how many there are.
        digest: of the last one, 32 bytes; NOTHING_BEFORE where there is none.
        signatures: see `signatures_of`.
        at: unix seconds, as the card was told.

    """

    card: bytes
    entries: int
    digest: bytes
    signatures: int
    at: int

    @classmethod
    def of(cls, card: bytes, log: Sequence[LogEntry], at: int) -> Self:
        """The head of a whole log, for the card whose certificate has this fingerprint."""
        digest = log[-1].digest if log else NOTHING_BEFORE
        return cls(card, len(log), digest, signatures_of(log), at)

    @property
    def payload(self) -> bytes:
        """What is inside the COSE_Sign1."""
        return proofs.log_head(self.card, self.entries, self.digest, self.signatures, self.at)

    @classmethod
    def read(cls, message: bytes, public: PublicKey | None) -> Self:
        """The head that this key has signed; None: whoever has, for one that comes from the card's own record.

        Raises:
            ProtocolError: it is none, or another key's.

        """
        return _read(cls, (bytes, int, bytes, int, int), message, public, "a head of a card's log")

    def names(self, log: Sequence[LogEntry]) -> bool:
        """Whether this is the head of exactly the first so many entries of `log`, whoever's it is."""
        return self.entries <= len(log) and self == type(self).of(self.card, log[: self.entries], self.at)


@dataclass(frozen=True, slots=True)
class LogReceipt:
    """How far a central system has read a log: what it names is there for good.

    Attributes:
        central: name of the central system.
        card: SHA-256 of the certificate of the card's signing key, 32 bytes.
        entries: how many it has.
        digest: of the last one, 32 bytes.
        at: unix seconds.

    """

    central: str
    card: bytes
    entries: int
    digest: bytes
    at: int

    @property
    def payload(self) -> bytes:
        """What is inside the COSE_Sign1."""
        return proofs.log_receipt(self.central, self.card, self.entries, self.digest, self.at)

    @classmethod
    def read(cls, message: bytes, public: PublicKey | None) -> Self:
        """The receipt that this key has signed; None: whoever has, for one that was verified before it was kept.

        Raises:
            ProtocolError: it is none, or another key's.

        """
        return _read(cls, (str, bytes, int, bytes, int), message, public, "a receipt for a card's log")

    def names(self, log: Sequence[LogEntry]) -> bool:
        """Whether the log begins with exactly what was read."""
        digest = log[self.entries - 1].digest if 0 < self.entries <= len(log) else NOTHING_BEFORE
        return self.entries <= len(log) and digest == self.digest


def message_to_sign(payload: bytes) -> bytes:
    """What the key signs for a payload."""
    return to_be_signed(ES256, payload)


def signed(payload: bytes, signature: bytes) -> bytes:
    """The COSE_Sign1 of a payload with its signature."""
    return assemble_sign1(ES256, signature, payload).encode()


def signed_by(head: bytes, public: PublicKey) -> bool:
    """Whether this key has signed this head."""
    try:
        LogHead.read(head, public)
    except ProtocolError:
        return False
    return True


def _read(kind: type[S], fields: tuple[type, ...], message: bytes, public: PublicKey | None, expected: str) -> S:
    """The statement of this kind in a COSE_Sign1: it must come out as the same bytes again."""
    payload = _payload(message, public)
    said: Any = decode(payload)
    if isinstance(said, tuple) and tuple(map(type, said)) == (str, *fields):
        found = kind(*said[1:])
        if found.payload == payload:
            return found
    raise _no(expected)


def _payload(message: bytes, public: PublicKey | None) -> bytes:
    """The content of a COSE_Sign1 of exactly our form, once the signature holds."""
    if len(message) > SIGNED_LOG_MAX:
        raise _no("a shorter one")
    parts = Sign1.decode(message)
    if len(parts.signature) != SIGNATURE_BYTES[ES256]:
        raise _no(f"a signature of {SIGNATURE_BYTES[ES256]} bytes")
    if parts.payload is None or signed(parts.payload, parts.signature) != message:
        raise _no("one of our form")
    if public is not None:
        parts.verify(public)
    return parts.payload


def _no(expected: str) -> ProtocolError:
    return ProtocolError("signed statement about a log", who="card log", expected=expected, got="another")
