from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from foreign_certificates import Change, made_elsewhere, name, usage
from hypothesis import given
from hypothesis import strategies as st
from pki import NOW, Pki

from insitu.protocol.engine import Fault, KeyKind, PublicKey
from insitu.protocol.keys import der
from insitu.protocol.keys.certificates import CertificateRefused, Role, VerifiedCertificate, verify_issued
from insitu.protocol.keys.profile import ECDSA_WITH_SHA256, KEY_USE, VERSION_3, encode_time
from insitu.protocol.keys.profile import extensions as profile_extensions
from insitu.protocol.keys.public import der_signature, load_public, public_of

ISSUED = [role for role in Role if role is not Role.MANUFACTURER]


def refusal(data: bytes, issuer: VerifiedCertificate, role: Role) -> CertificateRefused:
    with pytest.raises(CertificateRefused) as caught:
        verify_issued(data, issuer, role, now=NOW)
    return caught.value


def without(kind: type[x509.ExtensionType]) -> Callable[[list], list]:
    return lambda parts: [part for part in parts if not isinstance(part[0], kind)]


def instead(extension: x509.ExtensionType, *, critical: bool) -> Callable[[list], list]:
    return lambda parts: [(extension, critical) if type(part[0]) is type(extension) else part for part in parts]


def more(extension: x509.ExtensionType, *, critical: bool = False) -> Callable[[list], list]:
    return lambda parts: [*parts, (extension, critical)]


MODULE_USE = x509.ObjectIdentifier(KEY_USE[Role.MODULE])
UNIT_USE = x509.ObjectIdentifier(KEY_USE[Role.UNIT])
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.1"), b"\x05\x00")

EXTENSIONS: list[tuple[Role, str, str, Callable[[list], list]]] = [
    (Role.MODULE, "extensions", "basic constraints", more(x509.BasicConstraints(True, None), critical=True)),
    (Role.MODULE, "extensions", "basic constraints", more(x509.BasicConstraints(True, 0), critical=True)),
    (Role.MODULE, "extensions", "basic constraints", more(x509.BasicConstraints(False, None))),
    (Role.MODULE, "role", "none that we know", without(x509.ExtendedKeyUsage)),
    (Role.MODULE, "role", "none that we know", instead(x509.ExtendedKeyUsage([MODULE_USE, UNIT_USE]), critical=True)),
    (Role.MODULE, "role", "none that we know", instead(x509.ExtendedKeyUsage([UNIT_USE, MODULE_USE]), critical=True)),
    (
        Role.MODULE,
        "role",
        "none that we know",
        instead(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True),
    ),
    (Role.MODULE, "role", "got unit", instead(x509.ExtendedKeyUsage([UNIT_USE]), critical=True)),
    (Role.MODULE, "extensions", "extended key usage", instead(x509.ExtendedKeyUsage([MODULE_USE]), critical=False)),
    (Role.MODULE, "extensions", "key usage", instead(usage(authority=False), critical=False)),
    (Role.MODULE, "extensions", "key usage", instead(usage(authority=True), critical=True)),
    (Role.MODULE, "extensions", "key usage", instead(usage(authority=False, signature=False), critical=True)),
    (Role.MODULE, "extensions", "key usage", without(x509.KeyUsage)),
    (Role.MODULE, "extensions", "authority key identifier", without(x509.AuthorityKeyIdentifier)),
    (
        Role.MODULE,
        "extensions",
        "authority key identifier",
        instead(x509.AuthorityKeyIdentifier(bytes(8), None, None), critical=False),
    ),
    (
        Role.MODULE,
        "extensions",
        "authority key identifier",
        instead(x509.AuthorityKeyIdentifier(bytes(20), [x509.DirectoryName(name("x"))], 7), critical=False),
    ),
    (Role.MODULE, "extensions", "subject key identifier", more(x509.SubjectKeyIdentifier(bytes(8)))),
    (Role.MODULE, "extensions", "extension 0603551d11", more(x509.SubjectAlternativeName([x509.DNSName("atm")]))),
    (Role.MODULE, "extensions", "extension 06026901", more(UNKNOWN)),
    (Role.MODULE, "extensions", "extension 06026901", more(UNKNOWN, critical=True)),
    (Role.MODULE, "extensions", "order of extensions", lambda parts: parts[::-1]),
    (Role.CUSTOMER, "role", "got manufacturer", instead(x509.BasicConstraints(True, 1), critical=True)),
    (Role.CUSTOMER, "role", "none that we know", instead(x509.BasicConstraints(True, None), critical=True)),
    (Role.CUSTOMER, "role", "none that we know", instead(x509.BasicConstraints(True, 2), critical=True)),
    (Role.CUSTOMER, "role", "none that we know", instead(x509.BasicConstraints(False, None), critical=True)),
    (Role.CUSTOMER, "extensions", "basic constraints", instead(x509.BasicConstraints(True, 0), critical=False)),
    (Role.CUSTOMER, "extensions", "key usage", instead(usage(authority=True, crl=False), critical=True)),
    (Role.CUSTOMER, "extensions", "subject key identifier", without(x509.SubjectKeyIdentifier)),
    (
        Role.CUSTOMER,
        "extensions",
        "subject key identifier",
        instead(x509.SubjectKeyIdentifier(bytes(20)), critical=False),
    ),
    (Role.CUSTOMER, "role", "got unit", more(x509.ExtendedKeyUsage([UNIT_USE]))),
]


@pytest.mark.parametrize(("role", "check", "text", "extensions"), EXTENSIONS)
def test_exactly_the_extensions_of_the_profile(pki, role, check, text, extensions):
    data = made_elsewhere(pki, pki.issue(role), Change(extensions=extensions))
    error = refusal(data, pki.issuer_of(role).certificate, role)
    assert error.check == check
    assert text in str(error)


@pytest.mark.parametrize("role", ISSUED)
def test_the_unchanged_certificate_is_accepted(pki, role):
    """Else the refusals above would prove nothing."""
    verify_issued(made_elsewhere(pki, pki.issue(role)), pki.issuer_of(role).certificate, role, now=NOW)


OTHERS: list[tuple[str, dict[str, object]]] = [
    ("key", {"public": ec.derive_private_key(7, ec.SECP384R1()).public_key()}),
    ("key", {"public": ec.derive_private_key(7, ec.SECP256K1()).public_key()}),
    ("key", {"public": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()}),
    ("key", {"public": rsa.generate_private_key(65537, 1024).public_key()}),
    ("signature algorithm", {"algorithm": SHA384()}),
    ("serial number", {"serial_number": 1}),
    ("serial number", {"serial_number": (1 << 159) - 1}),
    ("serial number", {"serial_number": 1 << 119}),
    ("subject", {"subject": x509.Name([])}),
    ("subject", {"subject": x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "SM-1")])}),
    ("subject", {"subject": x509.Name([*name("SM-1"), *name("SM-2")])}),
    ("subject", {"subject": name("SM\u00ad-1")}),
    (
        "subject",
        {
            "subject": x509.Name(
                [x509.NameAttribute(x509.NameOID.COMMON_NAME, "SM-1", x509.name._ASN1Type.PrintableString)]
            )
        },
    ),
    ("issuer", {"issuer": name("Somebody")}),
]


@pytest.mark.parametrize(("check", "changes"), OTHERS)
def test_exactly_the_fields_of_the_profile(pki, check, changes):
    error = refusal(
        made_elsewhere(pki, pki.issue(Role.MODULE), Change(**changes)), pki.customer.certificate, Role.MODULE
    )
    assert error.check == check


def by_hand(pki: Pki, *, algorithm: bytes = ECDSA_WITH_SHA256, **changes: bytes) -> bytes:
    """A module's certificate put together field by field, with some fields exchanged, and signed by the customer."""
    public = public_of(pki.private().public_key())
    fields = {
        "version": VERSION_3,
        "number": der.element(der.INTEGER, b"\x40" + bytes(15)),
        "algorithm": ECDSA_WITH_SHA256,
        "issuer": name(pki.customer.certificate.subject).public_bytes(),
        "validity": der.sequence(encode_time(NOW - 9), encode_time(NOW + 9)),
        "subject": name("SM-1").public_bytes(),
        "key": load_public(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "extensions": profile_extensions(Role.MODULE, public, pki.customer.public),
    }
    fields |= {"algorithm": algorithm} | changes
    signed = der.sequence(*fields.values())
    return der.sequence(signed, ECDSA_WITH_SHA256, der.bit_string(der_signature(pki.customer.sign(signed))))


GENERATOR = public_of(ec.derive_private_key(1, ec.SECP256R1()).public_key()).data
SPKI = load_public(PublicKey(KeyKind.P256, GENERATOR)).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("version", {"version": b"\xa0\x03\x02\x01\x01"}),
        ("version", {"version": b""}),
        ("serial number", {"number": der.element(der.INTEGER, b"\x80" + bytes(15))}),
        ("serial number", {"number": der.element(der.INTEGER, b"\x00" + b"\xff" * 16)}),
        ("signature algorithm", {"algorithm": der.sequence(der.object_identifier("1.2.840.10045.4.3.3"))}),
        ("signature algorithm", {"algorithm": der.sequence(ECDSA_WITH_SHA256[2:], b"\x05\x00")}),
        ("validity", {"validity": der.sequence(encode_time(NOW + 9), encode_time(NOW - 9))}),
        ("encoding", {"validity": der.sequence(encode_time(NOW - 9), encode_time(NOW + 9), b"\x05\x00")}),
        ("encoding", {"validity": der.sequence(b"\x17\r260921141320+", encode_time(NOW + 9))}),
        ("key", {"key": SPKI[:-1] + bytes([SPKI[-1] ^ 1])}),  # not on the curve
        ("key", {"key": der.sequence(SPKI[2:23], der.bit_string(b"\x02" + GENERATOR[1:33]))}),  # compressed
        ("key", {"key": SPKI[:-64] + bytes(64)}),
        ("extensions", {"extensions": b""}),
        ("extensions", {"extensions": b"\xa3\x02\x30\x00\x05\x00"}),
        ("role", {"extensions": b"\xa3\x02\x30\x00"}),
        ("extensions", {"extensions": der.element(0xA3, der.sequence(der.sequence(b"\x06\x01\x2a", b"\x04\x00") * 2))}),
        ("extensions", {"extensions": b"\x81\x02\x07\x80" + b"\xa3\x02\x30\x00"}),  # a unique identifier before them
    ],
)
def test_fields_that_no_proper_tool_makes(pki, check, changes):
    assert refusal(by_hand(pki, **changes), pki.customer.certificate, Role.MODULE).check == check


def test_by_hand_without_changes(pki):
    verify_issued(by_hand(pki), pki.customer.certificate, Role.MODULE, now=NOW)


def test_size(pki):
    error = refusal(bytes(4097), pki.customer.certificate, Role.MODULE)
    assert (error.check, error.fault) == ("size", Fault.MALFORMED)


@pytest.mark.parametrize("at", [-1, -40, 20, 60, 150])
def test_an_altered_signature_or_content(pki, openssl, at):
    data = bytearray(pki.issue(Role.MODULE).der)
    data[at] ^= 1
    refusal(bytes(data), pki.customer.certificate, Role.MODULE)
    assert openssl.verify(pki.root.der, bytes(data), pki.customer.der) != "OK"


@given(data=st.data())
def test_one_altered_byte_anywhere_is_refused_and_by_nothing_but_our_error(pki, data):
    original = pki.customer.der
    at = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != original[at]))
    refusal(original[:at] + bytes([byte]) + original[at + 1 :], pki.root.certificate, Role.CUSTOMER)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_nothing_but_our_error(pki, data):
    error = refusal(data, pki.root.certificate, Role.CUSTOMER)
    assert (error.check, error.fault) == ("encoding", Fault.MALFORMED)


@pytest.mark.parametrize("cut", [1, 2, 10, 100])
def test_more_or_fewer_bytes(pki, cut):
    data = pki.issue(Role.MODULE).der
    for other in (data + bytes(cut), data[:-cut]):
        assert refusal(other, pki.customer.certificate, Role.MODULE).check == "encoding"
