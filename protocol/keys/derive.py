"""Key pairs from own entropy and a prescribed salt (L3, S7).

HKDF (RFC 5869) extracts from the own entropy with the salt as its salt, and expands with a label; what comes
out is reduced to a scalar with 64 extra bits (FIPS 186-5 A.2.1), or is the seed of an Ed25519 or X25519 pair.
Whoever chooses the salt learns and decides nothing: all of the secret is in the own entropy, and the salt
enters HKDF only as the key of its first HMAC. An own entropy that is poor is at least spread by a good salt.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..engine import KeyKind
from .port import KeyStoreError
from .public import CURVES

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey
"""A private key as an object of `cryptography`; the only form in which this library holds one in memory."""

OWN_ENTROPY: Final = 64
"""Bytes of own entropy in each pair: 512 bits for keys of at most 192 bits of strength."""

_INFO: Final = b"insitu key pair 1"
_EXTRA: Final = 8
"""Bytes beyond the group order's length: the bias of the reduction stays below 2^-64 (FIPS 186-5 A.2.1)."""
_ORDER: Final = {
    KeyKind.P256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    KeyKind.P384: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}


def derive_private(kind: KeyKind, own: bytes, salt: bytes, label: str) -> PrivateKey:
    """The private key that this entropy, salt and label give; the same inputs always give the same key.

    Args:
        kind: which kind of pair.
        own: OWN_ENTROPY fresh bytes, used for nothing else.
        salt: any bytes, also none; may be known to and chosen by an adversary.
        label: where the pair will be kept; separates pairs made from a source that repeats.

    Raises:
        KeyStoreError: too little entropy.

    """
    if len(own) < OWN_ENTROPY:
        raise KeyStoreError("own entropy", who="keys", expected=f"{OWN_ENTROPY} bytes", got=len(own))
    info = b"\0".join((_INFO, kind.value.encode(), label.encode()))
    match kind:
        case KeyKind.ED25519:
            return ed25519.Ed25519PrivateKey.from_private_bytes(_expand(own, salt, info, 32))
        case KeyKind.X25519:
            return x25519.X25519PrivateKey.from_private_bytes(_expand(own, salt, info, 32))
        case KeyKind.P256 | KeyKind.P384:
            order = _ORDER[kind]
            bits = _expand(own, salt, info, order.bit_length() // 8 + _EXTRA)
            return ec.derive_private_key(scalar(bits, order), CURVES[kind])


def scalar(bits: bytes, order: int) -> int:
    """A scalar in [1, order - 1] from random bits that are 64 longer than the order (FIPS 186-5 A.2.1)."""
    return int.from_bytes(bits, "big") % (order - 1) + 1


def _expand(own: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    return HKDF(SHA512(), size, salt, info).derive(own)
