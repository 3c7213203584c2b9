from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from foreign_certificates import Change, made_elsewhere, name, template, usage
from hypothesis import given
from hypothesis import strategies as st
from pki import NOW, Pki

from insitu.protocol.engine import Fault, KeyKind, PublicKey
from insitu.protocol.keys.certificates import CertificateRefused, Role, VerifiedCertificate, verify_issued
from insitu.protocol.keys.profile import KEY_USE
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


MODULE_USE = KEY_USE[Role.MODULE]
UNIT_USE = KEY_USE[Role.UNIT]
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
    (Role.MODULE, "extensions", "extension 2.5.29.17", more(x509.SubjectAlternativeName([x509.DNSName("atm")]))),
    (Role.MODULE, "extensions", "extension 2.25.1", more(UNKNOWN)),
    (Role.MODULE, "extensions", "extension 2.25.1", more(UNKNOWN, critical=True)),
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


def tlv(tag: int, *contents: bytes) -> bytes:
    """One element of DER."""
    content = b"".join(contents)
    size = len(content)
    length = (
        bytes([size]) if size < 0x80 else bytes([0x81, size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")
    )
    return bytes([tag]) + length + content


def sequence(*contents: bytes) -> bytes:
    return tlv(0x30, *contents)


def extension(value: x509.ExtensionType, critical: bool, encoded: bytes | None = None) -> bytes:
    """One extension; its value may be another encoding."""
    oid = OIDS[type(value)]
    return sequence(oid, b"\x01\x01\xff" * critical, tlv(0x04, encoded or value.public_bytes()))


OIDS = {
    x509.KeyUsage: bytes.fromhex("0603551d0f"),
    x509.ExtendedKeyUsage: bytes.fromhex("0603551d25"),
    x509.AuthorityKeyIdentifier: bytes.fromhex("0603551d23"),
}
COMMON_NAME = bytes.fromhex("0603550403")
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ECDSA_SHA256_NULL = bytes.fromhex("300c06082a8648ce3d0403020500")
ECDSA_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
BEGIN, END = b"\x17\r260101000000Z", b"\x17\r270101000000Z"


def by_hand(pki: Pki, *, outer: bytes = ECDSA_SHA256, **changes: bytes) -> bytes:
    """A module's certificate put together field by field, with some fields exchanged, and signed by the customer."""
    public = public_of(pki.private().public_key())
    parts = template(Role.MODULE, public, pki.customer.public)
    fields = {
        "version": b"\xa0\x03\x02\x01\x02",
        "number": tlv(0x02, b"\x40" + bytes(15)),
        "algorithm": ECDSA_SHA256,
        "issuer": name(pki.customer.certificate.subject).public_bytes(),
        "validity": sequence(BEGIN, END),
        "subject": name("SM-1").public_bytes(),
        "key": load_public(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "extensions": tlv(0xA3, sequence(*(extension(value, critical) for value, critical in parts))),
    }
    signed = sequence(*(fields | changes).values())
    return sequence(signed, outer, tlv(0x03, b"\x00", der_signature(pki.customer.sign(signed))))


GENERATOR = public_of(ec.derive_private_key(1, ec.SECP256R1()).public_key()).data
SPKI = load_public(PublicKey(KeyKind.P256, GENERATOR)).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


KEY_USAGE_LONG = bytes.fromhex("0303068000")
"""digitalSignature, and a byte of zeros that DER leaves out."""


@pytest.mark.filterwarnings("ignore")  # as in production: the library warns of some, and reads on
@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("version", {"version": b"\xa0\x03\x02\x01\x01"}),
        ("version", {"version": b""}),
        ("version", {"version": b"\xa0\x03\x02\x01\x03"}),
        ("serial number", {"number": tlv(0x02, b"\x80" + bytes(15))}),
        ("serial number", {"number": tlv(0x02, b"\x00" + b"\xff" * 16)}),
        ("serial number", {"number": tlv(0x02, b"\x00")}),
        ("signature algorithm", {"outer": ECDSA_SHA384}),
        ("encoding", {"outer": ECDSA_SHA256_NULL}),
        ("encoding", {"algorithm": ECDSA_SHA256_NULL}),
        ("validity", {"validity": sequence(END, BEGIN)}),
        ("validity", {"validity": sequence(b"\x17\r690101000000Z", END)}),  # 1969
        ("encoding", {"validity": sequence(BEGIN, END, b"\x05\x00")}),
        ("encoding", {"validity": sequence(b"\x17\r260101000000+", END)}),
        ("encoding", {"validity": sequence(b"\x17\r260101000060Z", END)}),
        ("encoding", {"validity": sequence(b"\x17\r261301000000Z", END)}),
        ("encoding", {"validity": sequence(b"\x17\r260230000000Z", END)}),
        ("encoding", {"validity": sequence(b"\x17\x0b2601010000Z", END)}),
        ("encoding", {"validity": sequence(b"\x17\x11260101000000+0000", END)}),
        ("encoding", {"validity": sequence(BEGIN, b"\x18\x1120500101000000.0Z")}),
        ("encoding", {"validity": sequence(BEGIN, b"\x04\r270101000000Z")}),
        ("key", {"key": SPKI[:-1] + bytes([SPKI[-1] ^ 1])}),  # not on the curve
        ("key", {"key": sequence(SPKI[2:23], tlv(0x03, b"\x00\x02" + GENERATOR[1:33]))}),  # compressed
        ("key", {"key": SPKI[:-64] + bytes(64)}),
        ("key", {"key": sequence(SPKI[2:23], b"\x03\x02\x00\x00")}),  # the point at infinity
        ("subject", {"subject": sequence(tlv(0x31, sequence(COMMON_NAME, b"\x03\x02\x00\x41")))}),  # no string
        ("subject", {"subject": sequence(tlv(0x31, sequence(COMMON_NAME, b"\x0c\x02\xc3\x28")))}),  # no UTF-8
        ("subject", {"subject": sequence(tlv(0x31, sequence(COMMON_NAME, tlv(0x0C, b"a" * 65))))}),
        ("issuer", {"issuer": sequence(tlv(0x31, sequence(COMMON_NAME, b"\x03\x02\x00\x41")))}),
        ("version", {"extensions": b"", "version": b""}),
        ("role", {"extensions": b""}),
        ("encoding", {"extensions": b"\xa3\x02\x30\x00\x05\x00"}),
        ("role", {"extensions": b"\xa3\x02\x30\x00"}),
        ("extensions", {"extensions": tlv(0xA3, sequence(sequence(b"\x06\x01\x2a", b"\x04\x00") * 2))}),
    ],
)
def test_fields_that_no_proper_tool_makes(pki, check, changes):
    assert refusal(by_hand(pki, **changes), pki.customer.certificate, Role.MODULE).check == check


def test_a_warning_of_the_library_is_a_refusal_where_warnings_are_errors(pki):
    data = by_hand(pki, number=tlv(0x02, b"\x00"))
    assert refusal(data, pki.customer.certificate, Role.MODULE).check == "encoding"


def extensions_by_hand(pki: Pki, *, key_usage: bytes | None = None) -> bytes:
    usage_part, *others = template(Role.MODULE, pki.root.public, pki.customer.public)
    listed = [extension(*usage_part, key_usage), *(extension(value, critical) for value, critical in others)]
    return tlv(0xA3, sequence(*listed))


FORMS: list[tuple[str, Callable[[Pki], dict[str, bytes]]]] = [
    ("another inner algorithm", lambda _: {"algorithm": ECDSA_SHA384}),
    ("a time before 2050 in four digits", lambda _: {"validity": sequence(BEGIN, b"\x18\x0f20270101000000Z")}),
    ("a key usage with a byte too much", lambda pki: {"extensions": extensions_by_hand(pki, key_usage=KEY_USAGE_LONG)}),
    ("a unique identifier of the issuer", lambda pki: {"extensions": b"\x81\x02\x00\x80" + extensions_by_hand(pki)}),
    ("a unique identifier of the subject", lambda pki: {"extensions": b"\x82\x02\x00\x80" + extensions_by_hand(pki)}),
]


@pytest.mark.parametrize("changes", [changes for _, changes in FORMS], ids=[what for what, _ in FORMS])
def test_forms_that_the_library_does_not_tell_apart(pki, changes):
    """Only the issuer can make these, they are under its signature, and none of them says more (decision 0004)."""
    data = by_hand(pki, **changes(pki))
    found = verify_issued(data, pki.customer.certificate, Role.MODULE, now=NOW)
    assert (found.subject, found.role) == ("SM-1", Role.MODULE)
    altered = bytearray(data)
    altered[-1] ^= 1
    assert refusal(bytes(altered), pki.customer.certificate, Role.MODULE).check == "signature"


def test_unused_bits_of_a_signature(pki):
    """The one form that is outside the issuer's signature: a twin of the certificate with another fingerprint."""
    holders = (pki.issue(Role.MODULE) for _ in range(100))
    data = next(holder.der for holder in holders if holder.der[-1] & 1 == 0)
    signature = x509.load_der_x509_certificate(data).signature
    twin = data[: -len(signature) - 1] + b"\x01" + signature
    assert x509.load_der_x509_certificate(twin).signature == signature
    error = refusal(twin, pki.customer.certificate, Role.MODULE)
    assert (error.check, error.got) == ("encoding", "a signature with unused bits")


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
