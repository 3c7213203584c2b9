"""Taking certificates and requests apart, strictly, and saying why one is refused.

What is read here is not believed yet: signatures, roles and issuers are checked in `certificates.py` and
`requests.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from ..engine import Fault, KeyKind, ProtocolError, PublicKey
from . import der
from .profile import (
    AUTHORITY_KEY_IDENTIFIER,
    BASIC_CONSTRAINTS,
    ECDSA_WITH_SHA256,
    EXTENDED_KEY_USAGE,
    KEY_USAGE,
    KEY_USE,
    MAXIMUM_SIZE,
    NAME_RULE,
    P256_KEY,
    PATH_LENGTH,
    SERIAL_NUMBER_BYTES,
    SUBJECT_KEY_IDENTIFIER,
    VERSION_3,
    WHO,
    Role,
    authority_constraints,
    read_name,
    read_time,
)
from .public import load_public


class CertificateRefused(ProtocolError):
    """A certificate or request does not hold.

    Attributes:
        check: which check refused it: "size", "encoding", "version", "serial number", "signature algorithm",
            "role", "issuer", "validity", "subject", "key", "extensions" or "signature".

    """

    def __init__(
        self, check: str, summary: str, *, expected: object = "", got: object = "", fault: Fault = Fault.UNTRUSTED
    ) -> None:
        super().__init__(summary, who=WHO, expected=expected, got=got, fault=fault)
        self.check = check


@dataclass(frozen=True, slots=True)
class Found:
    """What a certificate says, before anything of it is believed."""

    data: bytes
    signed: bytes
    signature: bytes
    serial_number: int
    issuer: bytes
    not_before: int
    not_after: int
    subject: str
    public: PublicKey
    extensions: bytes


def read_signed(data: bytes, what: str) -> tuple[bytes, bytes]:
    """Split SIGNED{...} of X.509 into what is signed and the signature (ECDSA-Sig-Value).

    Raises:
        CertificateRefused: size, encoding or signature algorithm.
        der.DerError: no DER of this form.

    """
    if len(data) > MAXIMUM_SIZE:
        raise CertificateRefused(
            "size", f"size of a {what}", expected=f"at most {MAXIMUM_SIZE}", got=len(data), fault=Fault.MALFORMED
        )
    outer = der.Reader(data)
    parts = outer.enter(der.SEQUENCE)
    outer.finish()
    signed = parts.whole(der.SEQUENCE)
    if not parts.skip(ECDSA_WITH_SHA256):
        _refuse_algorithm(parts)
    signature = parts.take(der.BIT_STRING)
    parts.finish()
    if signature[:1] != b"\x00":
        raise der.DerError("bit string")
    return signed, signature[1:]


def read_subject(reader: der.Reader) -> str:
    """The one commonName of a Name.

    Raises:
        CertificateRefused: another kind of name.

    """
    raw = reader.whole(der.SEQUENCE)
    subject = read_name(raw)
    if subject is None:
        raise CertificateRefused("subject", "subject", expected=f"one commonName, UTF-8, {NAME_RULE}", got=raw.hex())
    return subject


def read_key(reader: der.Reader) -> PublicKey:
    """The P-256 key of a SubjectPublicKeyInfo, checked to be on the curve.

    Raises:
        CertificateRefused: another kind of key or no key.

    """
    raw = reader.whole(der.SEQUENCE)
    public = PublicKey(KeyKind.P256, b"\x04" + raw[len(P256_KEY) :])
    if raw.startswith(P256_KEY):
        try:
            load_public(public)
        except ProtocolError:
            pass
        else:
            return public
    raise CertificateRefused("key", "certified key", expected="P-256, an uncompressed point", got=raw[:40].hex())


def read_certificate(data: bytes) -> Found:
    """Take a certificate apart, strictly."""
    try:
        signed, signature = read_signed(data, "certificate")
        parts = der.Reader(signed).enter(der.SEQUENCE)
        if not parts.skip(VERSION_3):
            raise CertificateRefused("version", "version of a certificate", expected="3", got=parts.rest[:5].hex())
        number = parts.take(der.INTEGER)
        if len(number) != SERIAL_NUMBER_BYTES or not 0x40 <= number[0] < 0x80:
            raise CertificateRefused(
                "serial number", "serial number of a certificate", expected="16 bytes, positive", got=number.hex()
            )
        if not parts.skip(ECDSA_WITH_SHA256):
            _refuse_algorithm(parts)
        issuer = parts.whole(der.SEQUENCE)
        times = parts.enter(der.SEQUENCE)
        not_before, not_after = read_time(times), read_time(times)
        times.finish()
        if not_before > not_after:
            raise CertificateRefused("validity", "validity of a certificate", expected="a beginning before its end")
        subject = read_subject(parts)
        public = read_key(parts)
    except der.DerError as error:
        raise CertificateRefused(
            "encoding", "not a certificate of our profile", expected="DER", got=error, fault=Fault.MALFORMED
        ) from None
    return Found(
        data,
        signed,
        signature,
        int.from_bytes(number, "big"),
        issuer,
        not_before,
        not_after,
        subject,
        public,
        parts.rest,
    )


def _refuse_algorithm(parts: der.Reader) -> NoReturn:
    raise CertificateRefused(
        "signature algorithm",
        "signature algorithm",
        expected="ECDSA with SHA-256",
        got=parts.whole(der.SEQUENCE).hex(),
    )


# Why extensions are refused ----------------------------------------------------------------------------------

_ROLE_OF_USE: Final = {der.sequence(der.object_identifier(use)): role for role, use in KEY_USE.items()}
_ROLE_OF_CONSTRAINTS: Final = {authority_constraints(path): role for role, path in PATH_LENGTH.items()}

_OID_BASIC_CONSTRAINTS: Final = der.object_identifier(BASIC_CONSTRAINTS)
_OID_EXTENDED_KEY_USAGE: Final = der.object_identifier(EXTENDED_KEY_USAGE)
_NAMES: Final = {
    _OID_BASIC_CONSTRAINTS: "basic constraints",
    der.object_identifier(KEY_USAGE): "key usage",
    _OID_EXTENDED_KEY_USAGE: "extended key usage",
    der.object_identifier(SUBJECT_KEY_IDENTIFIER): "subject key identifier",
    der.object_identifier(AUTHORITY_KEY_IDENTIFIER): "authority key identifier",
}

_Extension: TypeAlias = tuple[bool, bytes]


def refuse_extensions(found: bytes, expected: bytes, role: Role) -> NoReturn:
    """Say how the extensions differ from those expected for `role`: another role first, then one by one.

    Raises:
        CertificateRefused: always.

    """
    wanted = _split(expected)
    try:
        given = _split(found)
    except der.DerError as error:
        raise CertificateRefused("extensions", "extensions", expected="each once, in DER", got=error) from None
    actual = _role_of(given)
    if actual is not role:
        got = "none that we know" if actual is None else actual.value
        raise CertificateRefused("role", "role of a certificate", expected=role.value, got=got)
    for oid in wanted | given:
        if wanted.get(oid) != given.get(oid):
            expected_text, got_text = _text(wanted.get(oid)), _text(given.get(oid))
            raise CertificateRefused("extensions", _name(oid), expected=expected_text, got=got_text)
    raise CertificateRefused("extensions", "order of extensions", expected=", ".join(map(_name, wanted)))


def _split(block: bytes) -> dict[bytes, _Extension]:
    """Extensions by OID (DER): critical or not, and value; in their order."""
    outer = der.Reader(block)
    explicit = outer.enter(0xA3)
    outer.finish()
    listed = explicit.enter(der.SEQUENCE)
    explicit.finish()
    split: dict[bytes, _Extension] = {}
    while listed.next_is(der.SEQUENCE):
        parts = listed.enter(der.SEQUENCE)
        oid = parts.whole(der.OBJECT_IDENTIFIER)
        critical = parts.next_is(der.BOOLEAN)
        if oid in split or (critical and parts.take(der.BOOLEAN) != b"\xff"):
            raise der.DerError("extension")
        split[oid] = critical, parts.take(der.OCTET_STRING)
        parts.finish()
    listed.finish()
    return split


def _role_of(split: dict[bytes, _Extension]) -> Role | None:
    _, use = split.get(_OID_EXTENDED_KEY_USAGE, (False, b""))
    _, constraints = split.get(_OID_BASIC_CONSTRAINTS, (False, b""))
    return _ROLE_OF_USE.get(use) or _ROLE_OF_CONSTRAINTS.get(constraints)


def _name(oid: bytes) -> str:
    return _NAMES.get(oid, f"extension {oid.hex()}")


def _text(extension: _Extension | None) -> str:
    if extension is None:
        return "none"
    critical, value = extension
    return f"{'critical ' if critical else ''}{value.hex()}"


def name_text(raw: bytes) -> str:
    """A Name for people: its commonName, or its DER in hexadecimal."""
    return read_name(raw) or raw.hex()
