"""Public keys by value: their encodings, and verifying with them.

Nothing private lives here; the private halves are behind `port.KeyStore`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError

CURVES: Final[dict[KeyKind, ec.EllipticCurve]] = {KeyKind.P256: ec.SECP256R1(), KeyKind.P384: ec.SECP384R1()}
"""The curves of ECDSA and ECDH on NIST curves."""

FIELD_BYTES: Final[dict[KeyKind, int]] = {KeyKind.P256: 32, KeyKind.P384: 48}
"""Bytes of one coordinate, of a scalar, of r and of s."""

ECDSA: Final[dict[KeyKind, ec.ECDSA]] = {KeyKind.P256: ec.ECDSA(SHA256()), KeyKind.P384: ec.ECDSA(SHA384())}
"""Each curve with its hash (RFC 9053 section 2.1)."""

Loaded: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | x25519.X25519PublicKey


@lru_cache(256)
def load_public(public: PublicKey) -> Loaded:
    """The key object of `cryptography`; points are checked to lie on their curve. The last few are kept.

    Raises:
        ProtocolError: no key of this kind has these bytes.

    """
    try:
        match public.kind:
            case KeyKind.ED25519:
                return ed25519.Ed25519PublicKey.from_public_bytes(public.data)
            case KeyKind.X25519:
                return x25519.X25519PublicKey.from_public_bytes(public.data)
            case KeyKind.P256 | KeyKind.P384:
                if len(public.data) == 1 + 2 * FIELD_BYTES[public.kind] and public.data[0] == 0x04:
                    return ec.EllipticCurvePublicKey.from_encoded_point(CURVES[public.kind], public.data)
    except ValueError:
        pass
    raise _bad_key(public.kind, public.data)


def _bad_key(kind: KeyKind, data: bytes) -> ProtocolError:
    return ProtocolError(
        "not a public key", who="keys", expected=f"a valid {kind.value} key", got=data.hex(), fault=Fault.MALFORMED
    )


def public_of(loaded: Loaded) -> PublicKey:
    """The value of a `cryptography` key object.

    Raises:
        UsageError: a curve that is not among KeyKind.

    """
    if isinstance(loaded, ed25519.Ed25519PublicKey):
        return PublicKey(KeyKind.ED25519, loaded.public_bytes_raw())
    if isinstance(loaded, x25519.X25519PublicKey):
        return PublicKey(KeyKind.X25519, loaded.public_bytes_raw())
    for kind, curve in CURVES.items():
        if loaded.curve.name == curve.name:
            return PublicKey(kind, loaded.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    raise UsageError("curve", who="keys", expected="P-256 or P-384", got=loaded.curve.name)


def compress(public: PublicKey) -> bytes:
    """A P-256 or P-384 key as a compressed SEC 1 point (33 or 49 bytes).

    Raises:
        UsageError: the key is on another curve.

    """
    if public.kind not in FIELD_BYTES:
        raise UsageError("only SEC 1 points are compressed", who="keys", got=public.kind.value)
    size = FIELD_BYTES[public.kind]
    return bytes((0x02 | public.data[-1] & 1,)) + public.data[1 : 1 + size]


@lru_cache(256)
def decompress(kind: KeyKind, data: bytes) -> PublicKey:
    """The key behind a compressed SEC 1 point; the point is checked to be on the curve. The last few are kept.

    Raises:
        ProtocolError: it is none.

    """
    if kind not in FIELD_BYTES or len(data) != 1 + FIELD_BYTES[kind] or data[0] not in (0x02, 0x03):
        raise _bad_key(kind, data)
    try:
        return public_of(ec.EllipticCurvePublicKey.from_encoded_point(CURVES[kind], data))
    except ValueError:
        raise _bad_key(kind, data) from None


def raw_signature(kind: KeyKind, der: bytes) -> bytes:
    """An ECDSA signature as r || s (RFC 9053 section 2.1) from ECDSA-Sig-Value.

    Raises:
        ValueError: not one.

    """
    r, s = decode_dss_signature(der)
    size = FIELD_BYTES[kind]
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def der_signature(raw: bytes) -> bytes:
    """An ECDSA signature as the ECDSA-Sig-Value of X.509 from r || s, halves of equal length."""
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def der_signature_holds(public: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether this ECDSA-Sig-Value over `message` was made with the pair of `public` (P-256 or P-384).

    Any form of it but DER is refused.

    Raises:
        ProtocolError: `public` is no key of its kind.
        UsageError: the kind has no such signatures.

    """
    key = load_public(public)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UsageError("this kind of key has no ECDSA signatures", who="keys", got=public.kind.value)
    try:
        key.verify(signature, message, ECDSA[public.kind])
    except InvalidSignature:
        return False
    return True


def signature_holds(public: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (raw: r || s, or 64 bytes of Ed25519) over `message` was made with the pair of `public`.

    Raises:
        ProtocolError: `public` is no key of its kind.
        UsageError: the kind cannot sign.

    """
    if public.kind in FIELD_BYTES:
        whole = len(signature) == 2 * FIELD_BYTES[public.kind]
        return whole and der_signature_holds(public, message, der_signature(signature))
    key = load_public(public)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise UsageError("this kind of key does not sign", who="keys", got=public.kind.value)
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
