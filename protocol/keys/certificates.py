"""X.509 certificates of our profile: drafting them for a signature made elsewhere, and verifying them link by link.

Private keys never come here: a draft gives the bytes to be signed, which leave as a Sign effect, and takes the
signature (`drafting.py`). Verification turns DER into a `VerifiedCertificate`, which is only ever made here; a link
that has been verified is not verified again. What each field must be stands in `profile.py`, requests in `requests.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn

from cryptography import x509

from ..engine import PublicKey, UsageError
from .drafting import Draft
from .profile import (
    FOREVER,
    ISSUER,
    WHO,
    Role,
    certified_key,
    checked_name,
    encode_key,
    encode_name,
    extensions,
    may_issue,
    moment,
    serial_number,
    time_text,
    x509_name,
)
from .public import der_signature_holds
from .reading import CertificateRefused, Found, claimed_role, name_text, read_certificate, refuse_extensions

__all__ = [
    "FOREVER",
    "CertificateRefused",
    "Draft",
    "Role",
    "VerifiedCertificate",
    "check_time",
    "draft_certificate",
    "draft_circular",
    "fingerprint_text",
    "is_circular",
    "key_digest",
    "read_fingerprint",
    "trusted_root",
    "verify_circle",
    "verify_circular",
    "verify_issued",
]


@dataclass(frozen=True, slots=True)
class VerifiedCertificate:
    """A certificate that holds: it is exactly of the profile, and its signature is its issuer's.

    Attributes:
        der: as it came.
        role: what it makes of its holder.
        subject: commonName: a serial number or a name.
        public: the certified key.
        serial_number: of the certificate.
        not_before, not_after: Unix seconds, both inclusive.
        fingerprint: SHA-256 of `der` (32 bytes).
        issuer_fingerprint: that of the issuer's certificate; a root's own; of a circular customer's certificate, whose
            issuer it certifies itself, the `key_digest` of the issuer.

    """

    der: bytes = field(repr=False)
    role: Role
    subject: str
    public: PublicKey = field(repr=False)
    serial_number: int
    not_before: int
    not_after: int
    fingerprint: bytes
    issuer_fingerprint: bytes = field(repr=False)


# Making ------------------------------------------------------------------------------------------------------


def draft_certificate(
    role: Role,
    subject: str,
    public: PublicKey,
    issuer: VerifiedCertificate | None,
    *,
    random: bytes,
    not_before: int,
    not_after: int,
) -> Draft:
    """A certificate to be signed by `issuer`, or by `public` itself for a manufacturer's root.

    Args:
        role: what the holder may do.
        subject: serial number or name, see profile.NAME_RULE.
        public: the holder's P-256 key.
        issuer: None for Role.MANUFACTURER only.
        random: 16 random bytes for the certificate's serial number.
        not_before: Unix seconds, from when it is valid.
        not_after: Unix seconds, until when, inclusive; FOREVER for no end.

    Raises:
        UsageError: an argument that the profile does not allow: role, issuer, name, key or times.

    """
    if role is Role.MANUFACTURER:
        if issuer is not None:
            raise UsageError("a manufacturer's root signs itself", who=WHO, expected="no issuer", got=issuer.role.value)
        issuer_subject, issuer_public, latest = checked_name(subject), public, FOREVER
    else:
        issuer = _checked_issuer(role, issuer)
        issuer_subject, issuer_public, latest = issuer.subject, issuer.public, issuer.not_after
        _check_distinct(subject, issuer_subject)
    return _draft(role, subject, public, issuer_subject, issuer_public, random, not_before, not_after, latest)


def draft_circular(
    subject: str, public: PublicKey, by: str, by_public: PublicKey, *, random: bytes, not_before: int, not_after: int
) -> Draft:
    """A customer's certificate to be signed by the key of its own central system (L6): a plausibility check only.

    Args:
        subject: the customer's name.
        public: the customer's P-256 key.
        by: the central system's name.
        by_public: its key.
        random: 16 random bytes for the certificate's serial number.
        not_before: Unix seconds, from when it is valid.
        not_after: Unix seconds, until when, inclusive.

    Raises:
        UsageError: an argument that the profile does not allow.

    """
    _check_distinct(subject, checked_name(by))
    return _draft(Role.CIRCULAR, subject, public, by, by_public, random, not_before, not_after, FOREVER)


def _check_distinct(subject: str, issuer_subject: str) -> None:
    if checked_name(subject) == issuer_subject:
        raise UsageError("name in a certificate", who=WHO, expected="not that of the issuer", got=subject)


def _draft(
    role: Role,
    subject: str,
    public: PublicKey,
    issuer_subject: str,
    issuer_public: PublicKey,
    random: bytes,
    not_before: int,
    not_after: int,
    latest: int,
) -> Draft:
    key, number = certified_key(public), serial_number(random)
    begin, end = moment(not_before), moment(not_after)
    if not not_before <= not_after <= latest:
        raise UsageError(
            "validity",
            who=WHO,
            expected=f"an end from {time_text(not_before)} to the issuer's {time_text(latest)}",
            got=time_text(not_after),
        )
    builder = (
        x509.CertificateBuilder()
        .serial_number(number)
        .issuer_name(x509_name(issuer_subject))
        .not_valid_before(begin)
        .not_valid_after(end)
        .subject_name(x509_name(subject))
        .public_key(key)
    )
    for extension in extensions(role, public, issuer_public):
        builder = builder.add_extension(extension.value, extension.critical)
    return Draft.of(builder)


def _checked_issuer(role: Role, issuer: VerifiedCertificate | None) -> VerifiedCertificate:
    if issuer is None or not may_issue(issuer.role, role):
        raise UsageError(
            f"issuer of a certificate for {role.value}",
            who=WHO,
            expected=ISSUER[role].value,
            got="none" if issuer is None else issuer.role.value,
        )
    return issuer


# Verifying ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def trusted_root(data: bytes) -> VerifiedCertificate:
    """A manufacturer's root that is trusted because of where it lies (L1), never because a peer sent it.

    The last few are kept: the same bytes are not verified again for every session.

    Args:
        data: DER, as it was put there.

    Raises:
        CertificateRefused: not a root of our profile, or its own signature does not hold.

    """
    found = read_certificate(data)
    return _verified(found, Role.MANUFACTURER, found.subject, found.public, None)


def verify_issued(
    data: bytes, issuer: VerifiedCertificate, role: Role, *, now: int | None, subject: str | None = None
) -> VerifiedCertificate:
    """Verify one link: that `issuer` certified this holder as `role`.

    Args:
        data: DER as the peer sent it.
        issuer: verified before, and so on up to a trusted root.
        role: the only role that is accepted.
        now: Unix seconds at which it and its issuer must be valid; None where there is no clock to ask.
        subject: the only subject that is accepted, if given.

    Raises:
        CertificateRefused: it does not hold; `check` says what.
        UsageError: `issuer` may not certify `role`.

    """
    _checked_issuer(role, issuer)
    if now is not None:
        check_time(issuer, now)
    found = read_certificate(data)
    if subject is not None and found.subject != subject:
        raise CertificateRefused("subject", f"{role.value} certificate", expected=subject, got=found.subject)
    if now is not None and not found.not_before <= now <= found.not_after:
        _refuse_time(f"{role.value} certificate", found.not_before, found.not_after, now)
    return _verified(found, role, issuer.subject, issuer.public, issuer.fingerprint)


def is_circular(data: bytes) -> bool:
    """Whether a certificate (DER) says of itself that it is a circular one; nothing of it is verified.

    Raises:
        CertificateRefused: it is no certificate of our profile.

    """
    return claimed_role(read_certificate(data).extensions) is Role.CIRCULAR


def verify_circular(data: bytes, by: str, by_public: PublicKey, *, subject: str | None = None) -> VerifiedCertificate:
    """Verify a customer's certificate that its own central system signed (L6). What that is worth, the caller answers.

    Args:
        data: DER.
        by: the central system's name.
        by_public: its key.
        subject: the only subject that is accepted, if given.

    Raises:
        CertificateRefused: it does not hold.

    """
    found = read_certificate(data)
    if subject is not None and found.subject != subject:
        raise CertificateRefused("subject", "circular customer certificate", expected=subject, got=found.subject)
    return _verified(found, Role.CIRCULAR, by, by_public, key_digest(by_public))


@lru_cache(maxsize=16)
def verify_circle(customer: bytes, central: bytes) -> tuple[VerifiedCertificate, VerifiedCertificate]:
    """Verify that customer and central system certified each other: a plausibility check, anybody can make both (L6).

    Args:
        customer: a circular customer's certificate, DER.
        central: the central system's certificate, DER.

    Raises:
        CertificateRefused: they do not close the circle.

    """
    claimed = read_certificate(central)
    issuer = verify_circular(customer, claimed.subject, claimed.public)
    return issuer, verify_issued(central, issuer, Role.CENTRAL, now=None)


def check_time(certificate: VerifiedCertificate, now: int) -> None:
    """Make sure that a certificate, verified before, is valid at `now`, Unix seconds; not so its issuer.

    Raises:
        CertificateRefused: it is not.

    """
    if not certificate.not_before <= now <= certificate.not_after:
        what = f"{certificate.role.value} certificate"
        _refuse_time(what, certificate.not_before, certificate.not_after, now)


def _refuse_time(what: str, not_before: int, not_after: int, now: int) -> NoReturn:
    raise CertificateRefused(
        "validity",
        f"{what} is not valid at that time",
        expected=f"{time_text(not_before)} to {time_text(not_after)}",
        got=time_text(now),
    )


@lru_cache(256)
def _verified(
    found: Found, role: Role, issuer: str, issuer_key: PublicKey, issuer_fingerprint: bytes | None
) -> VerifiedCertificate:
    """All that does not depend on the occasion; what it means first, the signature last. The last few are kept.

    A peer that sends others makes them forgotten, and nothing else: what was refused is verified anew each time.
    """
    expected = extensions(role, found.public, issuer_key)
    if found.extensions != tuple(expected):
        refuse_extensions(found.extensions, expected, role)
    if found.issuer.public_bytes() != encode_name(issuer):
        raise CertificateRefused("issuer", "issuer of a certificate", expected=issuer, got=name_text(found.issuer))
    if role is not Role.MANUFACTURER and found.subject == issuer:
        expected_name = "another name than its issuer's"
        raise CertificateRefused("subject", f"{role.value} certificate", expected=expected_name, got=found.subject)
    if not der_signature_holds(issuer_key, found.signed, found.signature):
        raise CertificateRefused("signature", f"signature of a {role.value} certificate", expected=f"that of {issuer}")
    fingerprint = hashlib.sha256(found.data).digest()
    return VerifiedCertificate(
        der=found.data,
        role=role,
        subject=found.subject,
        public=found.public,
        serial_number=found.serial_number,
        not_before=found.not_before,
        not_after=found.not_after,
        fingerprint=fingerprint,
        issuer_fingerprint=issuer_fingerprint or fingerprint,
    )


def key_digest(public: PublicKey) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo, 32 bytes: a key where it has no certificate yet."""
    return hashlib.sha256(encode_key(public)).digest()


def read_fingerprint(data: bytes) -> bytes:
    """SHA-256 of a certificate (DER), 32 bytes, if it is one of our profile; nothing else of it is verified.

    Raises:
        CertificateRefused: it is none.

    """
    return hashlib.sha256(read_certificate(data).data).digest()


def fingerprint_text(fingerprint: bytes) -> str:
    """A fingerprint for people who compare two of them: hexadecimal digits in groups of four."""
    digits = fingerprint.hex().upper()
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))
