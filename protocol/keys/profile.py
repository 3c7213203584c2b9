"""The certificate profile: who may be certified as what, by whom, and each field's bytes (RFC 5280, our subset).

Only what is the same for making and for checking lives here; both use these same bytes, so that a certificate
is either exactly what the profile says or refused. Keys are P-256 and signatures ECDSA with SHA-256 throughout.

| role         | issued by    | basicConstraints    | keyUsage             | extendedKeyUsage | key identifiers    |
|--------------|--------------|---------------------|----------------------|------------------|--------------------|
| manufacturer | itself       | critical CA, path 1 | critical certs, CRLs | -                | subject            |
| customer     | manufacturer | critical CA, path 0 | critical certs, CRLs | -                | subject, authority |
| identity     | manufacturer | -                   | critical signature   | critical, ours   | authority          |
| module       | customer     | -                   | critical signature   | critical, ours   | authority          |
| unit         | customer     | -                   | critical signature   | critical, ours   | authority          |
| central      | customer     | -                   | critical signature   | critical, ours   | authority          |

Subject and issuer are one commonName each: a serial number or a name. Key identifiers have 8 bytes (RFC 5280
section 4.2.1.2, method 2). Leaves carry neither what has a default nor what nobody reads: every byte takes a
millisecond at 9600 baud.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Final

from ..engine import KeyKind, ProtocolError, PublicKey, UsageError
from . import der
from .public import load_public

WHO: Final = "certificates"
"""Who finds the faults in certificates."""

MAXIMUM_SIZE: Final = 4096
"""Bytes that a certificate or request may have on any link (messages.cddl)."""

SERIAL_NUMBER_BYTES: Final = 16
KEY_IDENTIFIER_BYTES: Final = 8

OID_ARC: Final = "2.25.235928542124906903343804773508042386868"
"""The arc of UUID b17e2f34-ee17-492c-af67-fd4716deedb4 (X.667), which was made for this profile."""


class Role(Enum):
    """What a certificate makes of the holder of its key; the value is the word in errors and files."""

    MANUFACTURER = "manufacturer"
    CUSTOMER = "customer"
    IDENTITY = "identity"
    MODULE = "module"
    UNIT = "unit"
    CENTRAL = "central"


ISSUER: Final = {
    Role.MANUFACTURER: Role.MANUFACTURER,
    Role.CUSTOMER: Role.MANUFACTURER,
    Role.IDENTITY: Role.MANUFACTURER,
    Role.MODULE: Role.CUSTOMER,
    Role.UNIT: Role.CUSTOMER,
    Role.CENTRAL: Role.CUSTOMER,
}
"""Who certifies whom."""

PATH_LENGTH: Final = {Role.MANUFACTURER: 1, Role.CUSTOMER: 0}
"""The roles that are certification authorities, and how many of these may stand below each."""

KEY_USE: Final = {
    Role.IDENTITY: f"{OID_ARC}.1",
    Role.MODULE: f"{OID_ARC}.2",
    Role.UNIT: f"{OID_ARC}.3",
    Role.CENTRAL: f"{OID_ARC}.4",
}
"""The one extended key usage of each leaf role; critical, so that no one else takes it for something it is not."""

VERSION_3: Final = b"\xa0\x03\x02\x01\x02"
ECDSA_WITH_SHA256: Final = der.sequence(der.object_identifier("1.2.840.10045.4.3.2"))
P256_KEY: Final = (
    der.sequence(
        der.sequence(der.object_identifier("1.2.840.10045.2.1"), der.object_identifier("1.2.840.10045.3.1.7")),
        der.bit_string(b"\x04" + bytes(64)),
    )
)[:-64]
"""SubjectPublicKeyInfo of an uncompressed P-256 key, up to and with the byte that says uncompressed."""

_COMMON_NAME: Final = der.object_identifier("2.5.4.3") + bytes((der.UTF8_STRING,))
_NAME_OVERHEAD: Final = 6 + len(_COMMON_NAME) + 1
_TRUE: Final = der.element(der.BOOLEAN, b"\xff")

BASIC_CONSTRAINTS: Final = "2.5.29.19"
KEY_USAGE: Final = "2.5.29.15"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"
SUBJECT_KEY_IDENTIFIER: Final = "2.5.29.14"
AUTHORITY_KEY_IDENTIFIER: Final = "2.5.29.35"

# Names -------------------------------------------------------------------------------------------------------

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._:/()+-]{0,62}[A-Za-z0-9.)])?")
NAME_RULE: Final = "1 to 64 of A-Z a-z 0-9 space . _ : / ( ) + -, beginning with a letter or digit"
"""What people compare by eye must have one reading: no control characters, look-alikes or directions of writing."""


def is_name(text: str) -> bool:
    """Whether this may be a subject (at most 64 characters: ub-common-name of RFC 5280)."""
    return _NAME.fullmatch(text) is not None


def encode_name(subject: str) -> bytes:
    """The X.501 Name with this one commonName, a UTF8String of at most 64 bytes: all lengths take one byte."""
    text = subject.encode()
    size = len(text)
    return b"".join(
        (
            bytes((der.SEQUENCE, size + 11, der.SET, size + 9, der.SEQUENCE, size + 7)),
            _COMMON_NAME,
            bytes((size,)),
            text,
        )
    )


def read_name(data: bytes) -> str | None:
    """The subject in a Name of exactly that form, None for any other."""
    try:
        text = data[_NAME_OVERHEAD:].decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if is_name(text) and encode_name(text) == data else None


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
_SECOND: Final = timedelta(seconds=1)
_FIRST_GENERALIZED: Final = 2524608000  # 2050-01-01 (RFC 5280 section 4.1.2.5)
FOREVER: Final = 253402300799
"""9999-12-31T23:59:59Z: no well-defined expiration date (RFC 5280 section 4.1.2.5); a module's identity, say."""


def encode_time(seconds: int) -> bytes:
    """Unix seconds as UTCTime, from the year 2050 on as GeneralizedTime.

    Raises:
        UsageError: before 1970 or after 9999.

    """
    if not 0 <= seconds <= FOREVER:
        raise UsageError("time", who=WHO, expected="Unix seconds from 1970 to 9999", got=seconds)
    at = _EPOCH + timedelta(seconds=seconds)
    if seconds < _FIRST_GENERALIZED:
        return der.element(der.UTC_TIME, at.strftime("%y%m%d%H%M%SZ").encode())
    return der.element(der.GENERALIZED_TIME, at.strftime("%Y%m%d%H%M%SZ").encode())


def read_time(reader: der.Reader) -> int:
    """Unix seconds from UTCTime (1970 to 2049) or GeneralizedTime (from 2050).

    Raises:
        der.DerError: another form, or no such moment.

    """
    generalized = reader.next_is(der.GENERALIZED_TIME)
    text = reader.take(der.GENERALIZED_TIME if generalized else der.UTC_TIME)
    if not generalized:
        text = (b"20" if text[:1] < b"5" else b"19") + text
    digits = text[:-1]
    if len(digits) != 14 or not digits.isdigit() or text[-1:] != b"Z":
        raise der.DerError("time")
    try:
        at = datetime.fromisoformat(f"{digits[:8].decode()}T{digits[8:].decode()}Z")
    except ValueError:
        raise der.DerError("time") from None
    seconds = (at - _EPOCH) // _SECOND
    if seconds < 0 or generalized is not (seconds >= _FIRST_GENERALIZED):
        raise der.DerError("time")
    return seconds


def time_text(seconds: int) -> str:
    """Unix seconds for people: 2030-01-31T12:00:00Z. A peer may state any number, so none is too large here."""
    if not 0 <= seconds <= FOREVER:
        return f"{seconds} s"
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


# Keys, serial numbers, extensions ----------------------------------------------------------------------------


def encode_key(public: PublicKey) -> bytes:
    """SubjectPublicKeyInfo of a P-256 key.

    Raises:
        UsageError: another kind of key, or no point of the curve.

    """
    if public.kind is not KeyKind.P256:
        raise UsageError("key in a certificate", who=WHO, expected="P-256", got=public.kind.value)
    try:
        load_public(public)
    except ProtocolError as error:
        raise UsageError(error.summary, who=WHO, expected=error.expected, got=error.got) from None
    return P256_KEY + public.data[1:]


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


def extensions(role: Role, subject: PublicKey, authority: PublicKey) -> bytes:
    """The extensions of a certificate of this role, all of them, in the profile's order."""
    before, between = _around_identifiers(role)
    match role:
        case Role.MANUFACTURER:
            return before + key_identifier(subject)
        case Role.CUSTOMER:
            return before + key_identifier(subject) + between + key_identifier(authority)
        case _:
            return before + key_identifier(authority)


@cache
def _around_identifiers(role: Role) -> tuple[bytes, bytes]:
    """What stands before the first key identifier of the extensions, and between that and the second."""
    blank = bytes(KEY_IDENTIFIER_BYTES)
    if role in PATH_LENGTH:
        parts = [
            _extension(BASIC_CONSTRAINTS, authority_constraints(PATH_LENGTH[role]), critical=True),
            _extension(KEY_USAGE, b"\x03\x02\x01\x06", critical=True),  # keyCertSign, cRLSign
            _extension(SUBJECT_KEY_IDENTIFIER, der.element(der.OCTET_STRING, blank)),
        ]
    else:
        purpose = der.sequence(der.object_identifier(KEY_USE[role]))
        parts = [
            _extension(KEY_USAGE, b"\x03\x02\x07\x80", critical=True),  # digitalSignature
            _extension(EXTENDED_KEY_USAGE, purpose, critical=True),
        ]
    if role is not Role.MANUFACTURER:
        parts.append(_extension(AUTHORITY_KEY_IDENTIFIER, der.sequence(der.element(0x80, blank))))
    before, *others, end = der.element(0xA3, der.sequence(*parts)).split(blank)
    return before, others[0] if others else end


def authority_constraints(path_length: int) -> bytes:
    """BasicConstraints of a certification authority with this path length."""
    return der.sequence(_TRUE, der.element(der.INTEGER, bytes((path_length,))))


def _extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = _TRUE if critical else b""
    return der.sequence(der.object_identifier(dotted), flag, der.element(der.OCTET_STRING, value))
