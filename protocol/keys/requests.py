"""PKCS#10 certification requests (RFC 2986) of customers and central systems: a name, a P-256 key, nothing more.

A request proves that its sender has the private half; whose it is and which role it gets, the person who
signs decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..engine import Fault, PublicKey
from . import der
from .certificates import Draft
from .profile import checked_name, encode_key, encode_name
from .public import der_signature_holds
from .reading import CertificateRefused, read_key, read_signed, read_subject

_VERSION_1 = b"\x02\x01\x00"
_NO_ATTRIBUTES = b"\xa0\x00"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that holds: its signature is by the key that it names.

    Attributes:
        der: as it came.
        subject: the name asked for.
        public: the key to be certified.

    """

    der: bytes = field(repr=False)
    subject: str
    public: PublicKey


def draft_request(subject: str, public: PublicKey) -> Draft:
    """A request to be signed by the pair of `public` itself.

    Raises:
        UsageError: a name or key that the profile does not allow.

    """
    return Draft(der.sequence(_VERSION_1, encode_name(checked_name(subject)), encode_key(public), _NO_ATTRIBUTES))


def read_request(data: bytes) -> Request:
    """Read a request and verify the proof of possession in it.

    Args:
        data: DER, at most profile.MAXIMUM_SIZE bytes.

    Raises:
        CertificateRefused: another form, name or key, or a signature that does not hold; `check` says what.

    """
    try:
        signed, signature = read_signed(data, "request")
        parts = der.Reader(signed).enter(der.SEQUENCE)
        if not parts.skip(_VERSION_1):
            raise CertificateRefused("version", "version of a request", expected="1", got=parts.rest[:3].hex())
        subject = read_subject(parts)
        public = read_key(parts)
        if parts.rest != _NO_ATTRIBUTES:
            raise CertificateRefused("extensions", "attributes of a request", expected="none", got=parts.rest.hex())
    except der.DerError as error:
        raise CertificateRefused(
            "encoding", "not a certification request", expected="PKCS#10 in DER", got=error, fault=Fault.MALFORMED
        ) from None
    if not der_signature_holds(public, signed, signature):
        raise CertificateRefused("signature", "signature of a request", expected=f"that of {subject}")
    return Request(data, subject, public)
