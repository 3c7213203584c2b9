"""The certificate profile: who may be certified as what, by whom, and with which fields (RFC 5280, our subset).

Only what is the same for making and for checking lives here, in the terms of `cryptography.x509`, which writes and
reads all of it. Keys are P-256 and signatures ECDSA with SHA-256 throughout.

| role         | issued by    | basicConstraints    | keyUsage             | extendedKeyUsage | key identifiers    |
|--------------|--------------|---------------------|----------------------|------------------|--------------------|
| manufacturer | itself       | critical CA, path 1 | critical certs, CRLs | -                | subject            |
| customer     | manufacturer | critical CA, path 0 | critical certs, CRLs | -                | subject, authority |
| circular     | central      | critical CA, path 0 | critical certs, CRLs | critical, ours   | subject, authority |
| identity     | manufacturer | -                   | critical signature   | critical, ours   | authority          |
| module       | customer *   | -                   | critical signature   | critical, ours   | authority          |
| unit         | customer *   | -                   | critical signature   | critical, ours   | authority          |
| central      | customer *   | -                   | critical signature   | critical, ours   | authority          |

* Or circular: the signing key of a customer whom nobody but its own central system certified, which the customer
certified in turn. That proves nothing, it is a plausibility check (L6), and the certificate itself says so, by its key
usage.

Subject and issuer are one commonName each: a serial number or a name. Key identifiers have 8 bytes (RFC 5280
section 4.2.1.2, method 2). Leaves carry neither what has a default nor what nobody reads: every byte takes a
millisecond at 9600 baud.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..engine import KeyKind, ProtocolError, PublicKey, UsageError
from .public import load_public

Extension: TypeAlias = x509.Extension[x509.ExtensionType]

WHO: Final = "certificates"
"""Who finds the faults in certificates."""

MAXIMUM_SIZE: Final = 4096
"""Bytes that a certificate or request may have on any link (messages.cddl)."""

SERIAL_NUMBER_BYTES: Final = 16
SERIAL_NUMBER_BITS: Final = 8 * SERIAL_NUMBER_BYTES - 1
"""A serial number begins with the bits 01, so that it is positive and has its 16 bytes."""

KEY_IDENTIFIER_BYTES: Final = 8

OID_ARC: Final = "2.25.235928542124906903343804773508042386868"
"""The arc of UUID b17e2f34-ee17-492c-af67-fd4716deedb4 (X.667), which was made for this profile."""


class Role(Enum):
    """What a certificate makes of the holder of its key; the value is the word in errors and files."""

    MANUFACTURER = "manufacturer"
    CUSTOMER = "customer"
    CIRCULAR = "circular customer"
    IDENTITY = "identity"
    MODULE = "module"
    UNIT = "unit"
    CENTRAL = "central"

    __hash__ = object.__hash__  # members are singletons; Enum hashes their names, in Python


ISSUER: Final = {
    Role.MANUFACTURER: Role.MANUFACTURER,
    Role.CUSTOMER: Role.MANUFACTURER,
    Role.CIRCULAR: Role.CENTRAL,
    Role.IDENTITY: Role.MANUFACTURER,
    Role.MODULE: Role.CUSTOMER,
    Role.UNIT: Role.CUSTOMER,
    Role.CENTRAL: Role.CUSTOMER,
}
"""Who certifies whom."""

CUSTOMERS: Final = (Role.CUSTOMER, Role.CIRCULAR)
"""The roles of a customer's signing key. Whoever admits the second one must do it by an explicit policy (L6)."""

PLAUSIBILITY: Final = "a plausibility check only"
"""What a circular certificate is worth, for people; said wherever one shows."""

PATH_LENGTH: Final = {Role.MANUFACTURER: 1, Role.CUSTOMER: 0, Role.CIRCULAR: 0}
"""The roles that are certification authorities, and how many of these may stand below each."""

KEY_USE: Final = {
    Role.IDENTITY: x509.ObjectIdentifier(f"{OID_ARC}.1"),
    Role.MODULE: x509.ObjectIdentifier(f"{OID_ARC}.2"),
    Role.UNIT: x509.ObjectIdentifier(f"{OID_ARC}.3"),
    Role.CENTRAL: x509.ObjectIdentifier(f"{OID_ARC}.4"),
    Role.CIRCULAR: x509.ObjectIdentifier(f"{OID_ARC}.5"),
}
"""The one extended key usage of these roles; critical, so that no one else takes it for something it is not."""

# Names -------------------------------------------------------------------------------------------------------

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._:/()+-]{0,62}[A-Za-z0-9.)])?")
NAME_RULE: Final = "1 to 64 of A-Z a-z 0-9 space . _ : / ( ) + -, beginning with a letter or digit"
"""What people compare by eye must have one reading: no control characters, look-alikes or directions of writing."""


def is_name(text: str) -> bool:
    """Whether this may be a subject (at most 64 characters: ub-common-name of RFC 5280)."""
    return _NAME.fullmatch(text) is not None


def x509_name(subject: str) -> x509.Name:
    """The X.501 Name with this one commonName, a UTF8String."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])


@lru_cache(256)
def encode_name(subject: str) -> bytes:
    """The DER of that Name; names come again and again."""
    return x509_name(subject).public_bytes()


def common_name(name: x509.Name) -> str | None:
    """The subject in a Name of exactly one commonName, a UTF8String, that may be one; None for any other Name."""
    for attribute in name:
        text = attribute.value
        if isinstance(text, str) and is_name(text) and name.public_bytes() == encode_name(text):
            return text
        break
    return None


def checked_name(subject: str) -> str:
    """The subject, if it may be one.

    Raises:
        UsageError: it may not.

    """
    if not is_name(subject):
        raise UsageError("name in a certificate", who=WHO, expected=NAME_RULE, got=ascii(subject))
    return subject


# Times -------------------------------------------------------------------------------------------------------

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER: Final = 253402300799
"""9999-12-31T23:59:59Z: no well-defined expiration date (RFC 5280 section 4.1.2.5); a module's identity, say."""


def moment(seconds: int) -> datetime:
    """Unix seconds as certificates take them.

    Raises:
        UsageError: before 1970 or after 9999.

    """
    if not 0 <= seconds <= FOREVER:
        raise UsageError("time", who=WHO, expected="Unix seconds from 1970 to 9999", got=seconds)
    return _EPOCH + timedelta(seconds=seconds)


def time_text(seconds: int) -> str:
    """Unix seconds for people: 2030-01-31T12:00:00Z. A peer may state any number, so none is too large here."""
    if not 0 <= seconds <= FOREVER:
        return f"{seconds} s"
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


# Keys, serial numbers, extensions ----------------------------------------------------------------------------


def certified_key(public: PublicKey) -> ec.EllipticCurvePublicKey:
    """The key object of a key that may be certified: a point of P-256.

    Raises:
        UsageError: another kind of key, or no point of the curve.

    """
    if public.kind is not KeyKind.P256:
        raise UsageError("key in a certificate", who=WHO, expected="P-256", got=public.kind.value)
    try:
        key = load_public(public)
    except ProtocolError as error:
        raise UsageError(error.summary, who=WHO, expected=error.expected, got=error.got) from None
    return cast("ec.EllipticCurvePublicKey", key)


def encode_key(public: PublicKey) -> bytes:
    """SubjectPublicKeyInfo of a P-256 key, with the uncompressed point.

    Raises:
        UsageError: another kind of key, or no point of the curve.

    """
    return certified_key(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_identifier(public: PublicKey) -> bytes:
    """Method 2 of RFC 5280 section 4.2.1.2: 0100, then the last 60 bits of the SHA-1 of the point. Never a proof."""
    digest = hashlib.sha1(public.data, usedforsecurity=False).digest()[-KEY_IDENTIFIER_BYTES:]
    return bytes((0x40 | digest[0] & 0x0F,)) + digest[1:]


def serial_number(random: bytes) -> int:
    """A certificate's serial number from 16 random bytes: positive and 16 bytes long (126 bits stay random).

    Raises:
        UsageError: not 16 bytes.

    """
    if len(random) != SERIAL_NUMBER_BYTES:
        raise UsageError("serial number", who=WHO, expected="16 random bytes", got=len(random))
    return int.from_bytes(bytes((0x40 | random[0] & 0x3F,)) + random[1:], "big")


def extensions(role: Role, holder: PublicKey, authority: PublicKey) -> list[Extension]:
    """The extensions of a certificate of this role, all of them, in the profile's order.

    Args:
        role: of the holder.
        holder: its key.
        authority: its issuer's key.

    """
    return _extensions(role, holder if role in PATH_LENGTH else None, authority)


def may_issue(issuer: Role, role: Role) -> bool:
    """Whether a holder of the one role certifies the other."""
    return issuer in (CUSTOMERS if ISSUER[role] is Role.CUSTOMER else (ISSUER[role],))


@lru_cache(64)
def _extensions(role: Role, holder: PublicKey | None, authority: PublicKey) -> list[Extension]:
    """The same for all leaves of an issuer: only the certificates of authorities identify their own key."""
    parts: list[tuple[bool, x509.ExtensionType]] = [(True, _key_usage(authority=holder is not None))]
    if holder is not None:
        constraints = x509.BasicConstraints(ca=True, path_length=PATH_LENGTH[role])
        parts.insert(0, (True, constraints))
    if role in KEY_USE:
        parts.append((True, x509.ExtendedKeyUsage([KEY_USE[role]])))
    if holder is not None:
        parts.append((False, x509.SubjectKeyIdentifier(key_identifier(holder))))
    if role is not Role.MANUFACTURER:
        parts.append((False, x509.AuthorityKeyIdentifier(key_identifier(authority), None, None)))
    return [x509.Extension(value.oid, critical, value) for critical, value in parts]


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
