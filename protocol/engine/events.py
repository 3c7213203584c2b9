"""Events that every party may meet: things that happened, named in the past tense.

Messages are events too, each party's table names those that it accepts. What belongs to one party only is
defined in that party's file. Secrets in an event never show in its repr, and no shared secret can be pickled or
copied (S9).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from .errors import UsageError
from .keys import KeyHandle, PublicKey
from .secret_keys import SecretHandle, Unshown


@dataclass(frozen=True, slots=True)
class Started:
    """The session began; for the side that speaks first, the moment to speak."""


@dataclass(frozen=True, slots=True)
class ChannelLost:
    """The link ended, or the channel was closed by the other side, before its work was done."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """A timer set by StartTimer ran out."""

    timer: str


@dataclass(frozen=True, slots=True)
class KeyPairMade:
    """Answer to GenerateKey: the new pair lives in key memory under `key`."""

    key: KeyHandle


@dataclass(frozen=True, slots=True)
class Signed:
    """Answer to Sign: the signature, raw (r || s for ECDSA, 64 bytes for Ed25519)."""

    signature: bytes


@dataclass(frozen=True, slots=True)
class Agreed:
    """Answer to Agree: the Diffie-Hellman shared secret."""

    secret: bytes = field(repr=False)

    def __reduce__(self) -> NoReturn:
        raise UsageError("a shared secret is neither pickled nor copied", who="key memory")


@dataclass(frozen=True, slots=True)
class KeyUnwrapped:
    """Answer to UnwrapKey: the symmetric key lives in key memory under `key`."""

    key: SecretHandle


@dataclass(frozen=True, slots=True)
class KeyRewrapped(Unshown):
    """Answer to RewrapKey: the same key in a block under the other wrapping key."""

    block: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecretUsed(Unshown):
    """Answer to UseSecret: a MAC or an encrypted PIN block."""

    result: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PakeStarted:
    """Answer to StartPake: this side's share, 32 bytes, which tells nothing of the password."""

    share: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PakeFinished:
    """Answer to FinishPake: the key lives in key memory under `key`; the other side has it if it had the password."""

    key: SecretHandle


@dataclass(frozen=True, slots=True)
class KeyOperationFailed:
    """Key memory could not do what a key operation asked for; `reason` holds no secret."""

    reason: str


def reason_of(event: object) -> str:
    """One clause on why a session ends, made from the event that ends it."""
    if isinstance(event, DeadlinePassed):
        return f"no answer in time ({event.timer})"
    return str(getattr(event, "reason", "")) or type(event).__name__


__all__ = [
    "Agreed",
    "ChannelLost",
    "DeadlinePassed",
    "KeyOperationFailed",
    "KeyPairMade",
    "KeyRewrapped",
    "KeyUnwrapped",
    "PakeFinished",
    "PakeStarted",
    "PublicKey",
    "SecretUsed",
    "Signed",
    "Started",
    "reason_of",
]
