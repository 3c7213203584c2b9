"""What effects and events say about symmetric keys: usage, algorithm, handles, and what may be done with them (L11).

Never the bytes of a key. What a MAC is made of and a PIN are as secret as the key: they show in no repr, and their
objects are neither pickled nor copied (S9).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import NoReturn, TypeAlias

from .errors import UsageError


class SecretUsage(Enum):
    """What one symmetric key is for, and nothing else. The values are stored."""

    MAC = "mac"
    PIN = "pin"
    WRAPPING = "wrapping"
    """Protects other keys at rest; never leaves the memory that made it."""
    PROOF = "proof"
    """Shared with one other party, to prove that oneself is who shares it; never crosses a link."""
    PASSWORD = "password"  # noqa: S105 - a usage
    """Short enough to be guessed, so it is used in a PAKE only, which gives nothing away to guess by (A6, A7)."""
    DERIVATION = "derivation"
    """Others are derived from it, one way; never leaves the memory that made it."""


class SecretAlgorithm(Enum):
    """What a symmetric key is a key of. The values are stored."""

    AES = "aes"
    TDES = "tdes"
    HMAC = "hmac"
    """With SHA-256."""
    SPAKE2 = "spake2"
    """Over Ed25519, with SHA-256."""


@dataclass(frozen=True, slots=True)
class SecretHandle:
    """Names one symmetric key in one key memory.

    Attributes:
        label: unique in its store, also among key pairs.
        usage: what it is for.
        algorithm: what it is a key of.
        bits: its length, parity bits included; 0 for a password, of which not even that is told.
        check_value: named by its method, as in "KCV(CMAC)=1A2B3C4D5E"; empty for a password, which it would give away.

    """

    label: str
    usage: SecretUsage
    algorithm: SecretAlgorithm
    bits: int
    check_value: str


class PinFormat(IntEnum):
    """PIN block formats of ISO 9564-1 that are encrypted with the account number bound in."""

    ISO_0 = 0
    ISO_3 = 3
    ISO_4 = 4


class Unshown:
    """Base of objects with a secret field: neither pickled nor copied (S9)."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise UsageError("holds a secret and is neither pickled nor copied", who=type(self).__name__)


@dataclass(frozen=True, slots=True)
class Cmac(Unshown):
    """AES CMAC (NIST SP 800-38B), 16 bytes."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RetailMac(Unshown):
    """MAC algorithm 3 of ISO/IEC 9797-1 with a double-length TDES key, 8 bytes; ANSI X9.19 with padding method 1.

    Attributes:
        data: what is protected.
        padding: method 1 (zeros, as X9.19 has it; data that differ in trailing zeros have the same MAC) or 2.

    """

    data: bytes = field(repr=False)
    padding: int = 1


@dataclass(frozen=True, slots=True)
class EncipherPin(Unshown):
    """An encrypted PIN block: 8 bytes for formats 0 and 3 (TDES), 16 for format 4 (AES).

    Attributes:
        pin: 4 to 12 digits.
        pan: the card number, 12 to 19 digits.
        format: of the block.

    """

    pin: str = field(repr=False)
    pan: str = field(repr=False)
    format: PinFormat = PinFormat.ISO_4


@dataclass(frozen=True, slots=True)
class Prove(Unshown):
    """HMAC-SHA-256 of a statement that both sides of a trust option know, 32 bytes (channel/trust/mutual.py)."""

    statement: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeriveKeys(Unshown):
    """A key of 32 bytes for each path, HMAC-SHA-256 of it, one after the other (A4): they are for somebody else."""

    paths: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProveDerived(Unshown):
    """What `Prove(statement)` gives with the key that `DeriveKeys` gives for `path`, which stays in key memory."""

    path: bytes
    statement: bytes = field(repr=False)


SecretOperation: TypeAlias = Cmac | RetailMac | EncipherPin | Prove | DeriveKeys | ProveDerived


def is_legacy(what: SecretHandle | SecretOperation) -> bool:
    """Whether explicit policy must admit it: TDES, and what is made with it (L11)."""
    match what:
        case SecretHandle(algorithm=algorithm):
            return algorithm is SecretAlgorithm.TDES
        case EncipherPin(format=pin_format):
            return pin_format != PinFormat.ISO_4
    return isinstance(what, RetailMac)
