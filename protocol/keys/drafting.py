"""What X.509 has signed elsewhere: the library's builders, and a key that stands in. Certificates, requests, lists.

Private keys never come here, while the builders of `cryptography.x509` take a private key object and ask it for one
thing: a signature over the bytes that they hand it. A key of a class of our own hands out a signature that is known
already, or none yet, and keeps the bytes. What is built is the business of the callers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, KeySerializationEncryption, PrivateFormat

from ..engine import UsageError
from .profile import WHO
from .public import der_signature

if TYPE_CHECKING:
    from cryptography.utils import Buffer

Builder: TypeAlias = (
    x509.CertificateBuilder | x509.CertificateSigningRequestBuilder | x509.CertificateRevocationListBuilder
)

_SHA256: Final = SHA256()
_SIGNATURE_BYTES: Final = 64
_ECDSA_WITH_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
"""AlgorithmIdentifier of the only algorithm of our profile (RFC 5758 section 3.2)."""


class StandIn(ec.EllipticCurvePrivateKey):
    """Stands for a private key of P-256 that is somewhere else.

    Attributes:
        to_be_signed: what it was asked to sign last.

    """

    def __init__(self, signature: bytes, public: ec.EllipticCurvePublicKey | None = None) -> None:
        """Stand in for one signature.

        Args:
            signature: ECDSA-Sig-Value to hand out; empty where it is not known yet.
            public: the public half, where the builder asks for it (requests).

        """
        self.to_be_signed = b""
        self._signature = signature
        self._public = public

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Keep the data and hand out the signature."""
        self.to_be_signed = bytes(data)
        return self._signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public or self._refuse()

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return ec.SECP256R1()

    @property
    def key_size(self) -> int:
        """Bits."""
        return 256

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        """Not here."""
        self._refuse()

    def private_numbers(self) -> NoReturn:
        """Not here."""
        self._refuse()

    def private_bytes(
        self,
        encoding: Encoding,
        format: PrivateFormat,  # noqa: A002 (the name of the library)
        encryption_algorithm: KeySerializationEncryption,
    ) -> NoReturn:
        """Not here."""
        self._refuse()

    def __copy__(self) -> NoReturn:
        self._refuse()

    def __deepcopy__(self, memo: object) -> NoReturn:
        self._refuse()

    @staticmethod
    def _refuse() -> NoReturn:
        raise UsageError("a key that stands in has nothing else to give", who=WHO)


@dataclass(frozen=True, slots=True)
class Draft:
    """A certificate, request or revocation list that lacks only its signature.

    Attributes:
        to_be_signed: what the issuer signs, with ECDSA and SHA-256.

    """

    to_be_signed: bytes
    _builder: Builder = field(repr=False, compare=False)
    _public: ec.EllipticCurvePublicKey | None = field(repr=False, compare=False)

    @classmethod
    def of(cls, builder: Builder, public: ec.EllipticCurvePublicKey | None = None) -> Draft:
        """A draft of what is built.

        Args:
            builder: all set.
            public: the key that will sign, where it is part of what is built (requests).

        """
        stand_in = StandIn(b"", public)
        builder.sign(stand_in, _SHA256)
        return cls(stand_in.to_be_signed, builder, public)

    def assemble(self, signature: bytes) -> bytes:
        """The finished DER.

        Args:
            signature: r || s, 64 bytes, over `to_be_signed`.

        Raises:
            UsageError: another length.

        """
        if len(signature) != _SIGNATURE_BYTES:
            raise UsageError("signature", who=WHO, expected=f"{_SIGNATURE_BYTES} bytes", got=len(signature))
        stand_in = StandIn(der_signature(signature), self._public)
        return self._builder.sign(stand_in, _SHA256).public_bytes(Encoding.DER)


def put_together(to_be_signed: bytes, signature: bytes) -> bytes:
    """SIGNED of X.509 (RFC 5280 section 4.1) where there is no builder any more: the same bytes that `assemble` made.

    Args:
        to_be_signed: of a certificate or list, DER.
        signature: r || s, 64 bytes, by a P-256 key with SHA-256.

    Raises:
        UsageError: a signature of another length.

    """
    if len(signature) != _SIGNATURE_BYTES:
        raise UsageError("signature", who=WHO, expected=f"{_SIGNATURE_BYTES} bytes", got=len(signature))
    signed = b"\x00" + der_signature(signature)
    return _der(0x30, to_be_signed + _ECDSA_WITH_SHA256 + _der(0x03, signed))


def _der(tag: int, content: bytes) -> bytes:
    """One DER item; the shortest form of its length (X.690 section 10.1)."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + content
