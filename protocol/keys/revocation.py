"""Certificate revocation lists of our profile: drafting them for a signature made elsewhere, and verifying them (S5).

X.509 version 2 (RFC 5280 section 5), complete lists only: an issuer says which of its certificates count no more, each
with the time from which on. A newer list has a greater number, and holds everything that the older one held; who keeps
lists never goes back to one with a smaller number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from ..engine import Fault, UsageError
from .certificates import VerifiedCertificate
from .drafting import Draft
from .profile import CUSTOMERS, SERIAL_NUMBER_BITS, WHO, Role, encode_name, key_identifier, moment, time_text, x509_name
from .public import der_signature_holds
from .reading import UNREADABLE, CertificateRefused, name_text

CRL_BYTES: Final = 32_768
"""The longest list that is read; some 900 certificates."""
LARGEST_NUMBER: Final = (1 << 63) - 1
"""Of a list; RFC 5280 section 5.2.3 would take 20 bytes, which no database does."""
ISSUERS: Final = (Role.MANUFACTURER, *CUSTOMERS)

_EXTENSIONS: Final = {ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER}


@dataclass(frozen=True, slots=True)
class VerifiedCrl:
    """A list that holds: exactly of the profile, and signed by its issuer.

    Attributes:
        der: as it came.
        issuer: fingerprint of the issuer's certificate, 32 bytes.
        number: greater than that of all lists before.
        this_update, next_update: unix seconds, both inclusive.
        revoked: serial number of each certificate, and from when on it counts no more, unix seconds.

    """

    der: bytes = field(repr=False)
    issuer: bytes
    number: int
    this_update: int
    next_update: int
    revoked: Mapping[int, int] = field(repr=False)


def draft_crl(
    issuer: VerifiedCertificate, revoked: Mapping[int, int], *, number: int, this_update: int, next_update: int
) -> Draft:
    """A list to be signed by `issuer`.

    Args:
        issuer: a customer's or the manufacturer's certificate.
        revoked: serial number of each certificate, and from when on it counts no more, unix seconds.
        number: of the list, from 1.
        this_update: unix seconds.
        next_update: until when the list may be relied on.

    Raises:
        UsageError: an issuer that issues nothing, times in the wrong order, a number that no list has, a serial number
            that no certificate of ours has, a list that nobody would read.

    """
    if issuer.role not in ISSUERS:
        raise UsageError("issuer of a revocation list", who=WHO, expected="an authority", got=issuer.role.value)
    if not 1 <= number <= LARGEST_NUMBER:
        raise UsageError("number of a revocation list", who=WHO, expected=f"1 to {LARGEST_NUMBER}", got=number)
    if not all(map(_is_serial_number, revoked)):
        raise UsageError("serial number of a certificate", who=WHO, expected="16 bytes, positive", got="another")
    if not this_update < next_update:
        raise UsageError(
            "times of a revocation list",
            who=WHO,
            expected=f"a next update after {time_text(this_update)}",
            got=time_text(next_update),
        )
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509_name(issuer.subject))
        .last_update(moment(this_update))
        .next_update(moment(next_update))
    )
    for certificate, since in sorted(revoked.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(certificate).revocation_date(moment(since)).build()
        builder = builder.add_revoked_certificate(entry)
    authority = x509.AuthorityKeyIdentifier(key_identifier(issuer.public), None, None)
    builder = builder.add_extension(authority, critical=False).add_extension(x509.CRLNumber(number), critical=False)
    draft = Draft.of(builder)
    if len(draft.to_be_signed) > CRL_BYTES - 128:
        raise UsageError(
            "revocation list", who=WHO, expected=f"at most {CRL_BYTES} bytes", got=f"{len(revoked)} entries"
        )
    return draft


@lru_cache(maxsize=64)
def read_crl(der: bytes, issuer: VerifiedCertificate) -> VerifiedCrl:
    """The list, verified. Whether it is the newest and still to be relied on, the caller judges.

    Args:
        der: as it came.
        issuer: verified before.

    Raises:
        CertificateRefused: not a list of our profile by this issuer; `check` says what.

    """
    if len(der) > CRL_BYTES:
        raise _refused("size", f"at most {CRL_BYTES} bytes", len(der), Fault.MALFORMED)
    try:
        found = x509.load_der_x509_crl(der)
        extensions = {each.oid: each for each in found.extensions}
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        authority = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        begins, ends = found.last_update_utc, found.next_update_utc
        entries = len(found)
        revoked = {each.serial_number: int(each.revocation_date_utc.timestamp()) for each in found}
        plain = all(not list(each.extensions) for each in found)
        algorithm, by, signed, signature = (
            found.signature_algorithm_oid,
            found.issuer,
            found.tbs_certlist_bytes,
            found.signature,
        )
    except UNREADABLE as error:
        raise _refused(
            "encoding", "DER with a number and an authority key identifier", error, Fault.MALFORMED
        ) from None
    if extensions.keys() != _EXTENSIONS or any(each.critical for each in extensions.values()) or not plain:
        raise _refused("extensions", "a number and an authority key identifier", "others")
    if algorithm != x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256 or not der.endswith(b"\x00" + signature):
        raise _refused("signature algorithm", "ECDSA with SHA-256", algorithm.dotted_string)
    expected = x509.AuthorityKeyIdentifier(key_identifier(issuer.public), None, None)
    if by.public_bytes() != encode_name(issuer.subject) or authority != expected:
        raise _refused("issuer", issuer.subject, name_text(by))
    if not 1 <= number <= LARGEST_NUMBER:
        raise _refused("number", f"1 to {LARGEST_NUMBER}", number)
    if len(revoked) != entries or not all(map(_is_serial_number, revoked)):
        raise _refused("serial number", "certificates of ours, each once", "others")
    if ends is None or not 0 <= begins.timestamp() < ends.timestamp() or min(revoked.values(), default=0) < 0:
        raise _refused("validity", "times from 1970 on, a next update after this one", "others")
    if issuer.role not in ISSUERS or not der_signature_holds(issuer.public, signed, signature):
        raise _refused("signature", f"that of {issuer.subject}", "another")
    return VerifiedCrl(
        der=der,
        issuer=issuer.fingerprint,
        number=number,
        this_update=int(begins.timestamp()),
        next_update=int(ends.timestamp()),
        revoked=revoked,
    )


def check_current(crl: VerifiedCrl, now: int) -> None:
    """Make sure that a list may be relied on at `now`, unix seconds, where there is a clock to ask.

    Raises:
        CertificateRefused: it may not any more.

    """
    if now > crl.next_update:
        raise _refused("validity", f"a time until {time_text(crl.next_update)}", time_text(now))


def check_unrevoked(certificate: VerifiedCertificate, crl: VerifiedCrl | None) -> None:
    """Make sure that a certificate is not on its issuer's list, as far as there is one.

    Raises:
        CertificateRefused: it is.

    """
    if crl is None or certificate.issuer_fingerprint != crl.issuer:
        return
    if certificate.serial_number in crl.revoked:
        raise CertificateRefused(
            "revocation",
            f"{certificate.role.value} certificate of {certificate.subject} is revoked",
            expected=f"one that is not on list {crl.number}",
            got=hashlib.sha256(certificate.der).hexdigest()[:16],
        )


def _is_serial_number(number: int) -> bool:
    """Whether a certificate of the profile may have it."""
    return number > 0 and number.bit_length() == SERIAL_NUMBER_BITS


def _refused(check: str, expected: object, got: object, fault: Fault = Fault.UNTRUSTED) -> CertificateRefused:
    return CertificateRefused(check, f"{check} of a revocation list", expected=expected, got=got, fault=fault)
