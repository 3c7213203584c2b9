"""Diffie-Hellman on the suites' curves: ephemeral key pairs, the other side's public keys, shared secrets.

Ephemeral private keys live here for one handshake and nowhere else; long-term ones are in key memory, reached
by Agree. Public keys are checked before use (RFC 9528 section 9.2: SP 800-56A for the NIST curves, the all-zero
check of RFC 7748 for X25519), which `cryptography` does; what it refuses becomes one ProtocolError.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias, cast

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ...engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError
from ...keys.public import CURVES, FIELD_BYTES, load_public, public_of
from .stages import WHO, Secretive

PublicPoint: TypeAlias = EllipticCurvePublicKey | X25519PublicKey

_ECDH: Final = ECDH()
_ORDERS: Final = {kind: curve.group_order for kind, curve in CURVES.items()}
_EXTRA_BYTES: Final = 8
"""FIPS 186-5, A.2.1: 64 bits more than the order, so that the bias of the reduction does not matter."""

ENTROPY_BYTES: Final = {KeyKind.X25519: 32} | {kind: size + _EXTRA_BYTES for kind, size in FIELD_BYTES.items()}
"""Entropy that one ephemeral key pair takes."""

PUBLIC_BYTES: Final = {KeyKind.X25519: 32} | FIELD_BYTES
"""Length of G_X, G_Y and of every shared secret: one coordinate (RFC 9528 section 3.7)."""


class EphemeralKey(Secretive):
    """An ephemeral key pair of one handshake.

    Attributes:
        kind: its curve.
        x: the public half as it crosses: the x-coordinate, or the 32 bytes of X25519.

    """

    __slots__ = ("_private", "kind", "x")

    def __init__(self, kind: KeyKind, private: EllipticCurvePrivateKey | X25519PrivateKey) -> None:
        self._private = private
        self.kind = kind
        if kind is KeyKind.X25519:
            self.x = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        else:
            self.x = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)[1:]

    @classmethod
    def generate(cls, kind: KeyKind, entropy: bytes) -> EphemeralKey:
        """The pair that `entropy` (ENTROPY_BYTES, fresh and secret) decides.

        Raises:
            UsageError: entropy of another length, or a kind that does not agree on secrets.

        """
        if len(entropy) != ENTROPY_BYTES.get(kind):
            raise UsageError("entropy", who=WHO, expected=f"{ENTROPY_BYTES.get(kind)} bytes", got=len(entropy))
        if kind is KeyKind.X25519:
            return cls(kind, X25519PrivateKey.from_private_bytes(entropy))  # clamped in use (RFC 7748 section 5)
        return cls(kind, derive_private_key(int.from_bytes(entropy, "big") % (_ORDERS[kind] - 1) + 1, CURVES[kind]))

    @classmethod
    def from_private(cls, kind: KeyKind, private: bytes) -> EphemeralKey:
        """The pair with exactly this private value, for the traces of RFC 9529.

        Raises:
            UsageError: not a private value.

        """
        try:
            if kind is KeyKind.X25519:
                return cls(kind, X25519PrivateKey.from_private_bytes(private))
            return cls(kind, derive_private_key(int.from_bytes(private, "big"), CURVES[kind]))
        except (ValueError, KeyError):
            pass  # raised outside: no error carries the value
        raise UsageError("private value", who=WHO, expected=f"one of {kind.value}")

    def agree(self, peer: PublicPoint) -> bytes:
        """The shared secret with `peer`: one coordinate.

        Raises:
            ProtocolError: `peer` is on another curve, or of low order.

        """
        try:
            if self.kind is KeyKind.X25519:
                return cast("X25519PrivateKey", self._private).exchange(cast("X25519PublicKey", peer))
            return cast("EllipticCurvePrivateKey", self._private).exchange(_ECDH, cast("EllipticCurvePublicKey", peer))
        except (ValueError, TypeError):
            pass  # the all-zero check, or two curves
        raise ProtocolError(
            "no shared secret", who=WHO, expected=f"a {self.kind.value} key of full order", fault=Fault.MALFORMED
        )


def load_x(kind: KeyKind, x: bytes) -> PublicPoint:
    """The other side's ephemeral key from G_X or G_Y; either y serves (RFC 9528 appendix B).

    Raises:
        ProtocolError: a wrong length, or no point of the curve.

    """
    if len(x) != PUBLIC_BYTES[kind]:
        raise ProtocolError(
            "ephemeral key", who=WHO, expected=f"{PUBLIC_BYTES[kind]} bytes", got=len(x), fault=Fault.MALFORMED
        )
    if kind is KeyKind.X25519:
        return X25519PublicKey.from_public_bytes(x)
    try:
        return EllipticCurvePublicKey.from_encoded_point(CURVES[kind], b"\x02" + x)
    except ValueError:
        pass
    raise ProtocolError("ephemeral key", who=WHO, expected=f"a point on {kind.value}", fault=Fault.MALFORMED)


def as_public(point: PublicPoint) -> PublicKey:
    """The engine's value of a loaded key, for Agree."""
    return public_of(point)


@lru_cache(maxsize=256)
def load_static(public: PublicKey) -> PublicPoint:
    """The other side's static Diffie-Hellman key.

    Raises:
        ProtocolError: not a key for Diffie-Hellman.

    """
    key = load_public(public)
    if isinstance(key, X25519PublicKey | EllipticCurvePublicKey):
        return key
    raise ProtocolError("static key", who=WHO, expected="a Diffie-Hellman key", got=public.kind.value)
