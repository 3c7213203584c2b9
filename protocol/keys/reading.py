"""Taking certificates and requests apart with the library, and saying why one is refused.

What is read here is not believed yet: signatures, roles and issuers are checked in `certificates.py` and
`requests.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from ..engine import Fault, KeyKind, ProtocolError, PublicKey
from .profile import (
    KEY_USE,
    MAXIMUM_SIZE,
    NAME_RULE,
    PATH_LENGTH,
    SERIAL_NUMBER_BITS,
    WHO,
    Extension,
    Role,
    common_name,
)

Signed: TypeAlias = x509.Certificate | x509.CertificateSigningRequest

UNREADABLE: Final = Exception
"""What the library raises at bytes that it does not take: mostly ValueError, but also TypeError (a commonName that is
a BIT STRING), classes of its own, and its warnings where warnings are errors. Only caught around calls of it."""


class CertificateRefused(ProtocolError):
    """A certificate or request does not hold.

    Attributes:
        check: which check refused it: "size", "encoding", "version", "serial number", "signature algorithm",
            "role", "issuer", "validity", "subject", "key", "extensions", "signature" or "revocation"; of a
            revocation list also "number".

    """

    def __init__(
        self, check: str, summary: str, *, expected: object = "", got: object = "", fault: Fault = Fault.UNTRUSTED
    ) -> None:
        super().__init__(summary, who=WHO, expected=expected, got=got, fault=fault)
        self.check = check


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a certificate says, before anything of it is believed. Equal only to itself, so that it is a cheap key."""

    data: bytes
    signed: bytes
    signature: bytes
    serial_number: int
    issuer: x509.Name
    not_before: int
    not_after: int
    subject: str
    public: PublicKey
    extensions: tuple[Extension, ...]


@lru_cache(256)
def read_certificate(data: bytes) -> Found:
    """Take a certificate apart and check each field that says the same in every role. The last few are kept.

    Raises:
        CertificateRefused: size, encoding, version, serial number, signature algorithm, validity, subject, key, issuer
            or extensions.

    """
    check_size(data, "certificate")
    try:
        certificate = x509.load_der_x509_certificate(data)
        begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        number = certificate.serial_number
    except x509.InvalidVersion as error:
        raise wrong_version("certificate", 3, error.parsed_version) from None
    except UNREADABLE as error:
        raise unreadable("certificate", error) from None
    if certificate.version is not x509.Version.v3:
        raise wrong_version("certificate", 3, certificate.version.value)
    if number < 0 or number.bit_length() != SERIAL_NUMBER_BITS:
        raise CertificateRefused(
            "serial number", "serial number of a certificate", expected="16 bytes, positive", got=f"{number:x}"
        )
    signature = read_signature(certificate, data)
    if not 0 <= begins <= ends:
        raise CertificateRefused(
            "validity", "validity of a certificate", expected="from 1970 on, a beginning before its end"
        )
    signed = certificate.tbs_certificate_bytes
    subject = read_subject(certificate)
    public = read_key(certificate, signed)
    try:
        issuer = certificate.issuer
    except UNREADABLE as error:
        raise CertificateRefused("issuer", "issuer of a certificate", expected="a name", got=error) from None
    try:
        extensions = tuple(certificate.extensions)
    except UNREADABLE as error:
        raise CertificateRefused("extensions", "extensions", expected="each once, in DER", got=error) from None
    return Found(data, signed, signature, number, issuer, int(begins), int(ends), subject, public, extensions)


def check_size(data: bytes, what: str) -> None:
    """Refuse what no link may carry before anything reads it.

    Raises:
        CertificateRefused: too many bytes.

    """
    if len(data) > MAXIMUM_SIZE:
        raise CertificateRefused(
            "size", f"size of a {what}", expected=f"at most {MAXIMUM_SIZE}", got=len(data), fault=Fault.MALFORMED
        )


def unreadable(what: str, why: object) -> CertificateRefused:
    """The refusal of what is not DER of that form."""
    return CertificateRefused("encoding", f"not a {what}", expected="DER", got=why, fault=Fault.MALFORMED)


def wrong_version(what: str, expected: int, encoded: int) -> CertificateRefused:
    """The refusal of another version; version 1 is encoded as 0, and so on."""
    return CertificateRefused("version", f"version of a {what}", expected=expected, got=encoded + 1)


def read_signature(certified: Signed, data: bytes) -> bytes:
    """The signature (ECDSA-Sig-Value), not verified yet.

    Args:
        certified: from `data`.
        data: the DER.

    Raises:
        CertificateRefused: another algorithm, or not whole bytes.

    """
    found = certified.signature_algorithm_oid
    if found != x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise CertificateRefused(
            "signature algorithm", "signature algorithm", expected="ECDSA with SHA-256", got=found.dotted_string
        )
    signature = certified.signature
    if not data.endswith(b"\x00" + signature):  # unused bits of the BIT STRING, of which the library says nothing
        raise unreadable("certificate or request", "a signature with unused bits")
    return signature


def read_subject(certified: Signed) -> str:
    """The one commonName of the holder.

    Raises:
        CertificateRefused: another kind of name.

    """
    try:
        name = certified.subject
    except UNREADABLE as error:
        raise CertificateRefused("subject", "subject", expected="a name", got=error) from None
    subject = common_name(name)
    if subject is None:
        expected = f"one commonName, UTF-8, {NAME_RULE}"
        raise CertificateRefused("subject", "subject", expected=expected, got=name_text(name))
    return subject


def read_key(certified: Signed, signed: bytes) -> PublicKey:
    """The P-256 key of the holder; the library has checked that it is on the curve.

    Args:
        certified: the certificate or request.
        signed: the part of it that is signed.

    Raises:
        CertificateRefused: another kind of key, no key, or a compressed one.

    """
    try:
        key = certified.public_key()
    except UNREADABLE as error:
        raise _refused_key(error) from None
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        raise _refused_key(type(key).__name__)
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if point not in signed:
        raise _refused_key("a compressed point")
    return PublicKey(KeyKind.P256, point)


def _refused_key(got: object) -> CertificateRefused:
    return CertificateRefused("key", "certified key", expected="P-256, an uncompressed point", got=got)


def name_text(name: x509.Name) -> str:
    """A Name for people: its commonName, or its DER in hexadecimal."""
    return common_name(name) or name.public_bytes().hex()


# Why extensions are refused ----------------------------------------------------------------------------------


_NAMES: Final = {
    ExtensionOID.BASIC_CONSTRAINTS: "basic constraints",
    ExtensionOID.KEY_USAGE: "key usage",
    ExtensionOID.EXTENDED_KEY_USAGE: "extended key usage",
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: "subject key identifier",
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: "authority key identifier",
}
_ROLE_OF: Final[dict[x509.ExtensionType, Role]] = {
    **{x509.ExtendedKeyUsage([use]): role for role, use in KEY_USE.items()},
    **{
        x509.BasicConstraints(ca=True, path_length=path): role
        for role, path in PATH_LENGTH.items()
        if role not in KEY_USE
    },
}

_Extensions: TypeAlias = dict[x509.ObjectIdentifier, Extension]


def refuse_extensions(found: Sequence[Extension], expected: Sequence[Extension], role: Role) -> NoReturn:
    """Say how the extensions differ from those expected for `role`: another role first, then one by one.

    Raises:
        CertificateRefused: always.

    """
    given, wanted = {each.oid: each for each in found}, {each.oid: each for each in expected}
    actual = claimed_role(found)
    if actual is not role:
        got = "none that we know" if actual is None else actual.value
        raise CertificateRefused("role", "role of a certificate", expected=role.value, got=got)
    for oid in wanted | given:
        if wanted.get(oid) != given.get(oid):
            raise CertificateRefused("extensions", _name(oid), expected=_text(oid, wanted), got=_text(oid, given))
    raise CertificateRefused("extensions", "order of extensions", expected=", ".join(map(_name, wanted)))


def claimed_role(found: Sequence[Extension]) -> Role | None:
    """The role that extensions claim, which is not believed yet; None for none of ours."""
    extensions = {each.oid: each for each in found}
    for oid in (ExtensionOID.EXTENDED_KEY_USAGE, ExtensionOID.BASIC_CONSTRAINTS):
        if oid in extensions and (role := _ROLE_OF.get(extensions[oid].value)) is not None:
            return role
    return None


def _name(oid: x509.ObjectIdentifier) -> str:
    return _NAMES.get(oid, f"extension {oid.dotted_string}")


def _text(oid: x509.ObjectIdentifier, extensions: _Extensions) -> str:
    if oid not in extensions:
        return "none"
    extension = extensions[oid]
    value = extension.value.public_bytes().hex() if oid in _NAMES else "one"
    return f"critical {value}" if extension.critical else value
