"""Effects: what a step wants done in the world. Data only; whoever runs the session performs them in order.

Key operations come back as events (GenerateKey -> KeyPairMade, Sign -> Signed, Agree -> Agreed, UnwrapKey ->
KeyUnwrapped, RewrapKey -> KeyRewrapped, UseSecret -> SecretUsed, StartPake -> PakeStarted, FinishPake -> PakeFinished),
and so do questions (LookUp, Consult); all others are done when performed. Persist stands before the Send that promises
it. What may hold a secret does not show in the repr; a message answers for its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from .errors import Fault
from .keys import KeyHandle, KeyKind, PublicKey
from .secret_keys import SecretHandle, SecretOperation, Unshown


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message to the other side."""

    message: object


@dataclass(frozen=True, slots=True)
class Close:
    """End the session for good. `fault` None: in good order; else the code that the peer is told."""

    fault: Fault | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Persist:
    """Write `record` to durable state: all of it or nothing, on the medium before the next effect.

    Where `keep` is given, the same write makes the key pairs with these labels durable and destroys all
    others; None leaves key memory as it is.
    """

    record: object = field(repr=False)
    keep: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Let DeadlinePassed(timer) happen after `seconds`, unless StopTimer comes first. Restarts a running one."""

    timer: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StopTimer:
    """The wait named `timer` is over."""

    timer: str


@dataclass(frozen=True, slots=True)
class Show:
    """Tell the person or program that runs this party; never a secret."""

    note: object


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the party's surroundings (host, card, trust policy); comes back as an event that its table awaits."""

    what: str
    argument: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Consult:
    """Ask the person at this party what only a person can tell; comes back as an event. May take minutes."""

    question: object


@dataclass(frozen=True, slots=True)
class Forward(Unshown):
    """Hand this to whom else this party is connected with, over another link; what comes back is a local event (A9)."""

    message: object = field(repr=False)


@dataclass(frozen=True, slots=True)
class GenerateKey:
    """Make a key pair in key memory from its own entropy, influenced but never determined by `salt` (L3, S7)."""

    label: str
    kind: KeyKind
    salt: bytes


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign `message` (not yet hashed) with the pair behind `key`."""

    key: KeyHandle
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Agree:
    """Diffie-Hellman between the pair behind `key` and `peer`."""

    key: KeyHandle
    peer: PublicKey


@dataclass(frozen=True, slots=True)
class UnwrapKey(Unshown):
    """Take a symmetric key out of its key block into key memory (L11).

    Attributes:
        label: of the key, new.
        wrapping: the key block protection key, 32 bytes.
        block: TR-31 version D.

    """

    label: str
    wrapping: bytes = field(repr=False)
    block: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RewrapKey(Unshown):
    """Put a symmetric key, which is in a block under key memory's own storage key, under `wrapping` (32 bytes)."""

    block: str = field(repr=False)
    wrapping: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UseSecret(Unshown):
    """Do `operation` with the symmetric key behind `key`."""

    key: SecretHandle
    operation: SecretOperation = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartPake(Unshown):
    """Begin a password-authenticated key exchange (SPAKE2) in key memory; there, it waits under `label`.

    Attributes:
        label: of the exchange, and of the key that comes of it.
        password: the secret that both sides share.
        begins: whether this side is A of the exchange; the other one is B.
        identities: what is bound into the key: A's, B's.

    """

    label: str
    password: SecretHandle
    begins: bool
    identities: tuple[bytes, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FinishPake(Unshown):
    """End the exchange `label` with the other side's share; whether that had the same password, only a proof tells."""

    label: str
    share: bytes = field(repr=False)


KeyOperation: TypeAlias = GenerateKey | Sign | Agree | UnwrapKey | RewrapKey | UseSecret | StartPake | FinishPake
Effect: TypeAlias = Send | Close | Persist | StartTimer | StopTimer | Show | Forward | LookUp | Consult | KeyOperation
Effects: TypeAlias = Sequence[Effect]
