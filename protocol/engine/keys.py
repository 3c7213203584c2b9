"""What the engine's effects and events say about keys: kinds, public halves, handles. No private bytes, ever.

How a store keeps the private halves is the business of `protocol/keys`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class KeyKind(Enum):
    """The kinds of asymmetric key pair that the profiles know; the value is the stable name in files."""

    P256 = "P-256"
    P384 = "P-384"
    ED25519 = "Ed25519"
    X25519 = "X25519"

    __hash__ = object.__hash__  # members are singletons; Enum hashes their names, in Python


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key by value.

    Attributes:
        kind: the curve.
        data: P-256 and P-384: the uncompressed SEC 1 point (65 or 97 bytes); Ed25519, X25519: 32 bytes.

    """

    kind: KeyKind
    data: bytes


@dataclass(frozen=True, slots=True)
class KeyHandle:
    """Names one key pair in one key memory; carries the public half, never the private one.

    Attributes:
        label: unique in its store.
        public: the public half.

    """

    label: str
    public: PublicKey
