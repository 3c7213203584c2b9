from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pki import NOW, YEAR, Holder, Pki

from insitu.protocol.engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError
from insitu.protocol.keys import der
from insitu.protocol.keys.certificates import (
    FOREVER,
    CertificateRefused,
    Draft,
    Role,
    VerifiedCertificate,
    draft_certificate,
    fingerprint_text,
    trusted_root,
    verify_issued,
)
from insitu.protocol.keys.profile import ECDSA_WITH_SHA256, ISSUER, KEY_USE, PATH_LENGTH, VERSION_3, encode_time
from insitu.protocol.keys.profile import extensions as profile_extensions
from insitu.protocol.keys.public import der_signature, load_public, public_of

LEAVES = [Role.IDENTITY, Role.MODULE, Role.UNIT, Role.CENTRAL]
ISSUED = [Role.CUSTOMER, *LEAVES]


@pytest.fixture(scope="module")
def holders(pki: Pki) -> dict[Role, Holder]:
    """One holder of each role."""
    return {Role.MANUFACTURER: pki.root, Role.CUSTOMER: pki.customer} | {role: pki.issue(role) for role in LEAVES}


def refusal(
    data: bytes, issuer: VerifiedCertificate, role: Role, now: int | None = NOW, **options
) -> CertificateRefused:
    with pytest.raises(CertificateRefused) as caught:
        verify_issued(data, issuer, role, now=now, **options)
    assert caught.value.who == "certificates"
    return caught.value


# The profile, as others see it --------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ISSUED)
def test_openssl_says_ok(holders, pki, openssl, role):
    untrusted = () if ISSUER[role] is Role.MANUFACTURER else (pki.customer.der,)
    assert openssl.verify(pki.root.der, holders[role].der, *untrusted) == "OK"


def test_openssl_says_ok_to_the_root(pki, openssl):
    assert openssl.verify(pki.root.der, pki.root.der) == "OK"


@pytest.mark.parametrize(
    ("role", "most"), [(Role.MANUFACTURER, 380), (Role.CUSTOMER, 400)] + [(r, 400) for r in LEAVES]
)
def test_certificates_are_small(holders, role, most):
    """At 9600 baud every byte takes a millisecond."""
    assert len(holders[role].der) <= most


@pytest.mark.parametrize("role", Role)
def test_fields_as_others_read_them(holders, pki, role):
    holder = holders[role]
    certificate = holder.certificate
    read = x509.load_der_x509_certificate(holder.der)
    issuer = pki.issuer_of(role) if role is not Role.MANUFACTURER else pki.root
    assert read.version is x509.Version.v3
    assert read.subject.rfc4514_string() == f"CN={certificate.subject}"
    assert read.issuer == x509.load_der_x509_certificate(issuer.der).subject
    assert read.serial_number == certificate.serial_number > 0
    assert read.not_valid_before_utc.timestamp() == certificate.not_before
    assert read.not_valid_after_utc.timestamp() == certificate.not_after
    assert public_of(read.public_key()) == certificate.public
    assert certificate.fingerprint == hashlib.sha256(holder.der).digest()
    assert certificate.issuer_fingerprint == issuer.certificate.fingerprint
    assert (certificate.role, certificate.der) == (role, holder.der)
    use = read.extensions.get_extension_for_class(x509.KeyUsage)
    assert use.critical
    assert use.value.digital_signature is (role in LEAVES)
    assert use.value.key_cert_sign is use.value.crl_sign is (role in PATH_LENGTH)


def template(role: Role, subject: PublicKey, issuer: PublicKey) -> list[tuple[x509.ExtensionType, bool]]:
    """The profile's extensions, written down again in the terms of `cryptography`."""
    subject_identifier = x509.SubjectKeyIdentifier(identifier(subject))
    authority = (x509.AuthorityKeyIdentifier(identifier(issuer), None, None), False)
    if role in PATH_LENGTH:
        parts: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(True, 1 if role is Role.MANUFACTURER else 0), True),
            (usage(authority=True), True),
            (subject_identifier, False),
        ]
        return parts if role is Role.MANUFACTURER else [*parts, authority]
    use = x509.ObjectIdentifier(KEY_USE[role])
    return [(usage(authority=False), True), (x509.ExtendedKeyUsage([use]), True), authority]


def identifier(public: PublicKey) -> bytes:
    digest = bytearray(hashlib.sha1(public.data).digest()[-8:])
    digest[0] = 0x40 | digest[0] & 0x0F
    return bytes(digest)


def usage(*, authority: bool, signature: bool = True, crl: bool = True) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority and signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not signature,
        key_cert_sign=authority,
        crl_sign=authority and crl,
        encipher_only=False,
        decipher_only=False,
    )


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def builder_of(certificate: VerifiedCertificate, issuer: VerifiedCertificate) -> x509.CertificateBuilder:
    """Everything but the extensions."""
    return (
        x509.CertificateBuilder()
        .serial_number(certificate.serial_number)
        .issuer_name(name(issuer.subject))
        .not_valid_before(datetime.fromtimestamp(certificate.not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(certificate.not_after, UTC))
        .subject_name(name(certificate.subject))
        .public_key(load_public(certificate.public))
    )


@pytest.mark.parametrize("role", Role)
def test_byte_for_byte_what_cryptography_builds(holders, pki, role):
    certificate = holders[role].certificate
    issuer = pki.issuer_of(role)
    builder = builder_of(certificate, issuer.certificate)
    for extension, critical in template(role, certificate.public, issuer.public):
        builder = builder.add_extension(extension, critical)
    built = builder.sign(issuer.private, SHA256())
    assert built.tbs_certificate_bytes == x509.load_der_x509_certificate(certificate.der).tbs_certificate_bytes


# Whose role it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offered", Role)
@pytest.mark.parametrize("wanted", ISSUED)
def test_no_role_passes_for_another(holders, pki, offered, wanted):
    """S11, and the reason for the critical extended key usage."""
    data, issuer = holders[offered].der, pki.issuer_of(wanted).certificate
    if offered is wanted:
        assert verify_issued(data, issuer, wanted, now=NOW).role is wanted
    else:
        error = refusal(data, issuer, wanted)
        assert (error.check, error.expected, error.got) == ("role", wanted.value, offered.value)
        assert error.fault is Fault.UNTRUSTED


@pytest.mark.parametrize("offered", ISSUED)
def test_only_a_root_is_a_root(holders, offered):
    with pytest.raises(CertificateRefused) as caught:
        trusted_root(holders[offered].der)
    assert caught.value.check == "role"


@pytest.mark.parametrize("issuer", Role)
@pytest.mark.parametrize("wanted", Role)
def test_only_the_right_issuer_is_asked_about(holders, issuer, wanted):
    if ISSUER[wanted] is issuer and wanted is not Role.MANUFACTURER:
        return
    if wanted is issuer is Role.MANUFACTURER:
        return
    with pytest.raises(UsageError, match=f"issuer of a certificate for {wanted.value}"):
        verify_issued(holders[wanted].der, holders[issuer].certificate, wanted, now=NOW)


def test_a_module_cannot_certify(holders, pki, openssl):
    """A module signs a unit's certificate with its own key; openssl agrees that it may not."""
    module = holders[Role.MODULE]
    posing = replace(module.certificate, role=Role.CUSTOMER)
    public = public_of(pki.private().public_key())
    draft = draft_certificate(
        Role.UNIT, "U-1", public, posing, random=bytes(16), not_before=NOW - 10, not_after=NOW + 10
    )
    data = draft.assemble(module.sign(draft.to_be_signed))
    assert refusal(data, pki.customer.certificate, Role.UNIT).check == "extensions"
    assert refusal(data, pki.root.certificate, Role.CUSTOMER).check == "role"
    said = openssl.verify(pki.root.der, data, module.der, pki.customer.der)
    assert "invalid CA certificate" in said


def test_a_customer_cannot_make_customers(pki, openssl):
    """Path length 0; openssl agrees."""
    posing = replace(pki.customer.certificate, role=Role.MANUFACTURER)
    below = pki.private()
    draft = draft_certificate(
        Role.CUSTOMER,
        "Below",
        public_of(below.public_key()),
        posing,
        random=bytes(16),
        not_before=NOW,
        not_after=NOW + 9,
    )
    data = draft.assemble(pki.customer.sign(draft.to_be_signed))
    assert refusal(data, pki.root.certificate, Role.CUSTOMER).check == "extensions"
    leaf = Holder(replace(pki.customer.certificate, subject="Below", public=public_of(below.public_key())), below)
    draft = draft_certificate(
        Role.UNIT,
        "U-1",
        public_of(pki.private().public_key()),
        leaf.certificate,
        random=bytes(16),
        not_before=NOW,
        not_after=NOW + 9,
    )
    unit = draft.assemble(leaf.sign(draft.to_be_signed))
    assert refusal(unit, pki.customer.certificate, Role.UNIT).check == "extensions"
    assert "path length constraint exceeded" in openssl.verify(pki.root.der, unit, data, pki.customer.der)


# Who certified it ---------------------------------------------------------------------------------------------


def test_a_customer_of_the_same_name_is_another_one(holders, pki, openssl):
    """S11: the name is never enough."""
    impostor = Pki(seed=2).customer
    assert impostor.certificate.subject == pki.customer.certificate.subject
    error = refusal(holders[Role.UNIT].der, impostor.certificate, Role.UNIT)
    assert (error.check, error.summary) == ("extensions", "authority key identifier")
    assert openssl.verify(Pki(seed=2).root.der, holders[Role.UNIT].der, impostor.der) != "OK"


def test_a_customer_with_the_same_key_identifier_is_another_one(holders, pki, monkeypatch):
    """S11: nor is the key identifier, which is short and not a proof."""
    impostor = Pki(seed=2).customer.certificate
    monkeypatch.setattr("insitu.protocol.keys.profile.key_identifier", lambda _: identifier(pki.customer.public))
    assert refusal(holders[Role.UNIT].der, impostor, Role.UNIT).check == "signature"


def test_an_issuer_of_another_name(holders, pki):
    renamed = replace(pki.customer.certificate, subject="Another Bank")
    error = refusal(holders[Role.UNIT].der, renamed, Role.UNIT)
    assert (error.check, error.expected, error.got) == ("issuer", "Another Bank", "Example Bank")


def test_a_root_by_somebody_else(pki):
    """A self-made root is accepted where it is trusted, and nowhere else."""
    other = Pki(seed=2)
    assert refusal(other.customer.der, pki.root.certificate, Role.CUSTOMER).check == "extensions"
    assert refusal(other.customer.der, other.root.certificate, Role.CUSTOMER, now=FOREVER).check == "validity"


def test_the_expected_subject(holders, pki):
    customer = pki.customer.certificate
    verify_issued(holders[Role.MODULE].der, customer, Role.MODULE, now=NOW, subject="SM-000001")
    error = refusal(holders[Role.MODULE].der, customer, Role.MODULE, subject="SM-000002")
    assert (error.check, error.expected, error.got) == ("subject", "SM-000002", "SM-000001")


# When it is valid ---------------------------------------------------------------------------------------------


def test_validity_includes_both_ends(pki):
    holder = pki.issue(Role.MODULE, not_before=NOW, not_after=NOW + 100)
    customer = pki.customer.certificate
    for now in (NOW, NOW + 100, None):
        verify_issued(holder.der, customer, Role.MODULE, now=now)
    for now in (NOW - 1, NOW + 101):
        error = refusal(holder.der, customer, Role.MODULE, now=now)
        assert error.check == "validity"
        assert error.expected == "2026-09-21T14:13:20Z to 2026-09-21T14:15:00Z"


@pytest.mark.parametrize(("at", "complaint"), [(NOW - 1, "not yet valid"), (NOW + 101, "has expired")])
def test_openssl_agrees_on_validity(pki, openssl, at, complaint):
    holder = pki.issue(Role.MODULE, not_before=NOW, not_after=NOW + 100)
    assert complaint in openssl.verify(pki.root.der, holder.der, pki.customer.der, at=at)


def test_an_issuer_that_has_expired_vouches_for_nobody(pki):
    expired = replace(pki.customer.certificate, not_after=NOW - 1)
    holder = pki.issue(Role.MODULE)
    error = refusal(holder.der, expired, Role.MODULE)
    assert (error.check, error.summary) == ("validity", "customer certificate is not valid at that time")
    verify_issued(holder.der, expired, Role.MODULE, now=None)


# Everything else that is not of the profile -------------------------------------------------------------------


def changed(pki: Pki, role: Role, **changes: object) -> bytes:
    """A certificate as the issuer could have made it with other tools, with some parts of the profile changed.

    Changes: subject (x509.Name), public, extensions (function on the list), serial_number, algorithm.
    """
    holder = pki.issue(role)
    issuer = pki.issuer_of(role)
    certificate = holder.certificate
    parts = template(role, certificate.public, issuer.public)
    transform = changes.get("extensions")
    if callable(transform):
        parts = transform(parts)
    builder = (
        x509.CertificateBuilder()
        .serial_number(changes.get("serial_number", certificate.serial_number))
        .issuer_name(changes.get("issuer", name(issuer.certificate.subject)))
        .not_valid_before(datetime.fromtimestamp(certificate.not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(certificate.not_after, UTC))
        .subject_name(changes.get("subject", name(certificate.subject)))
        .public_key(changes.get("public", load_public(certificate.public)))
    )
    for extension, critical in parts:
        builder = builder.add_extension(extension, critical)
    signed = builder.sign(issuer.private, changes.get("algorithm", SHA256()))
    return signed.public_bytes(Encoding.DER)


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
    error = refusal(changed(pki, role, extensions=extensions), pki.issuer_of(role).certificate, role)
    assert error.check == check
    assert text in str(error)


@pytest.mark.parametrize("role", ISSUED)
def test_the_unchanged_certificate_is_accepted(pki, role):
    """Else the refusals above would prove nothing."""
    verify_issued(changed(pki, role), pki.issuer_of(role).certificate, role, now=NOW)


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
    error = refusal(changed(pki, Role.MODULE, **changes), pki.customer.certificate, Role.MODULE)
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
def test_an_altered_signature_or_content(holders, pki, openssl, at):
    data = bytearray(holders[Role.MODULE].der)
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
def test_more_or_fewer_bytes(holders, pki, cut):
    data = holders[Role.MODULE].der
    for other in (data + bytes(cut), data[:-cut]):
        assert refusal(other, pki.customer.certificate, Role.MODULE).check == "encoding"


def test_a_root_whose_own_signature_does_not_hold(pki):
    data = bytearray(pki.root.der)
    data[-1] ^= 1
    with pytest.raises(CertificateRefused) as caught:
        trusted_root(bytes(data))
    assert caught.value.check == "signature"


# Drafts -------------------------------------------------------------------------------------------------------


def draft(pki: Pki, role: Role = Role.MODULE, **changes: object) -> Draft:
    arguments: dict = {
        "subject": "SM-1",
        "public": PublicKey(KeyKind.P256, GENERATOR),
        "issuer": pki.issuer_of(role).certificate,
        "random": bytes(16),
        "not_before": NOW,
        "not_after": NOW + YEAR,
    }
    return draft_certificate(role, **(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subject": "SM\n1"}, "name in a certificate"),
        ({"subject": "Example Bank"}, "not that of the issuer"),
        ({"public": PublicKey(KeyKind.ED25519, bytes(32))}, "expected P-256"),
        ({"public": PublicKey(KeyKind.P256, b"\x04" + bytes(64))}, "not a public key"),
        ({"issuer": None}, "expected customer, got none"),
        ({"random": bytes(8)}, "16 random bytes"),
        ({"not_after": NOW - 1}, "validity"),
        ({"not_after": NOW + 2 * YEAR}, "validity"),
    ],
)
def test_drafts_that_the_profile_does_not_allow(pki, changes, message):
    with pytest.raises(UsageError, match=message):
        draft(pki, **changes)


def test_a_root_has_no_issuer(pki):
    with pytest.raises(UsageError, match="signs itself"):
        draft(pki, Role.MANUFACTURER, issuer=pki.root.certificate)


@pytest.mark.parametrize("size", [0, 63, 65, 72])
def test_a_signature_has_64_bytes(pki, size):
    with pytest.raises(UsageError, match="expected 64 bytes"):
        draft(pki).assemble(bytes(size))


def test_a_draft_signed_by_somebody_else_does_not_hold(pki):
    made = draft(pki)
    data = made.assemble(pki.root.sign(made.to_be_signed))
    assert refusal(data, pki.customer.certificate, Role.MODULE).check == "signature"


def test_equal_arguments_give_equal_drafts(pki):
    assert draft(pki) == draft(pki)
    assert draft(pki, random=b"\1" * 16) != draft(pki)


@pytest.mark.parametrize("size", [1, 64])
def test_names_of_any_length(pki, openssl, size):
    holder = pki.issue(Role.MODULE, "S" * size)
    assert openssl.verify(pki.root.der, holder.der, pki.customer.der) == "OK"


def test_an_identity_without_end(pki, openssl):
    holder = pki.issue(Role.IDENTITY, not_after=FOREVER)
    assert openssl.verify(pki.root.der, holder.der) == "OK"
    verify_issued(holder.der, pki.root.certificate, Role.IDENTITY, now=FOREVER)


def test_fingerprints_for_people():
    assert fingerprint_text(bytes(range(8))) == "0001 0203 0405 0607"
    text = fingerprint_text(hashlib.sha256(b"").digest())
    assert len(text.split(" ")) == 16
    assert text.startswith("E3B0 C442")


def test_a_certificate_is_shown_in_short(holders):
    shown = repr(holders[Role.MODULE].certificate)
    assert "SM-000001" in shown
    assert len(shown) < 400


def test_refusals_are_the_peers_fault():
    assert issubclass(CertificateRefused, ProtocolError)
