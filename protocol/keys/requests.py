"""PKCS#10 certification requests (RFC 2986) of customers and central systems: a name, a P-256 key, nothing more.

A request proves that its sender has the private half; whose it is and which role it gets, the person who
signs decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from ..engine import PublicKey
from .drafting import Draft
from .profile import certified_key, checked_name, x509_name
from .public import der_signature_holds
from .reading import (
    UNREADABLE,
    CertificateRefused,
    check_size,
    read_key,
    read_signature,
    read_subject,
    unreadable,
    wrong_version,
)


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
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509_name(checked_name(subject)))
    return Draft.of(builder, certified_key(public))


def read_request(data: bytes) -> Request:
    """Read a request and verify the proof of possession in it.

    Args:
        data: DER, at most profile.MAXIMUM_SIZE bytes.

    Raises:
        CertificateRefused: another form, name or key, or a signature that does not hold; `check` says what.

    """
    check_size(data, "request")
    try:
        request = x509.load_der_x509_csr(data)
        attributes = len(request.attributes)
    except x509.InvalidVersion as error:
        raise wrong_version("request", 1, error.parsed_version) from None
    except UNREADABLE as error:
        raise unreadable("certification request", error) from None
    signature, signed = read_signature(request, data), request.tbs_certrequest_bytes
    subject = read_subject(request)
    public = read_key(request, signed)
    if attributes:
        raise CertificateRefused("extensions", "attributes of a request", expected="none", got=attributes)
    if not der_signature_holds(public, signed, signature):
        raise CertificateRefused("signature", "signature of a request", expected=f"that of {subject}")
    return Request(data, subject, public)
