from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from foreign_certificates import identifier, made_elsewhere
from pki import NOW, YEAR, Holder, Pki

from insitu.protocol.engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError
from insitu.protocol.keys.certificates import (
    FOREVER,
    CertificateRefused,
    Draft,
    Role,
    VerifiedCertificate,
    check_time,
    draft_certificate,
    fingerprint_text,
    trusted_root,
    verify_issued,
)
from insitu.protocol.keys.profile import ISSUER, PATH_LENGTH
from insitu.protocol.keys.public import public_of

LEAVES = [Role.IDENTITY, Role.MODULE, Role.UNIT, Role.CENTRAL]
ISSUED = [Role.CUSTOMER, Role.CIRCULAR, *LEAVES]


@pytest.fixture(scope="module")
def holders(pki: Pki) -> dict[Role, Holder]:
    """One holder of each role."""
    ours = {role: pki.issue(role) for role in (*LEAVES, Role.CIRCULAR)}
    return {Role.MANUFACTURER: pki.root, Role.CUSTOMER: pki.customer} | ours


def refusal(
    data: bytes, issuer: VerifiedCertificate, role: Role, now: int | None = NOW, **options
) -> CertificateRefused:
    with pytest.raises(CertificateRefused) as caught:
        verify_issued(data, issuer, role, now=now, **options)
    assert caught.value.who == "certificates"
    return caught.value


# The profile, as others see it --------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.CUSTOMER, *LEAVES])
def test_openssl_says_ok(holders, pki, openssl, role):
    untrusted = () if ISSUER[role] is Role.MANUFACTURER else (pki.customer.der,)
    assert openssl.verify(pki.root.der, holders[role].der, *untrusted) == "OK"


def test_openssl_takes_a_circular_customer_for_nobodys(holders, pki, openssl):
    """A central system certifies nobody, says openssl, too."""
    said = openssl.verify(pki.root.der, holders[Role.CIRCULAR].der, pki.central.der, pki.customer.der)
    assert "invalid CA certificate" in said


def test_openssl_says_ok_to_the_root(pki, openssl):
    assert openssl.verify(pki.root.der, pki.root.der) == "OK"


@pytest.mark.parametrize(
    ("role", "most"),
    [(Role.MANUFACTURER, 380), (Role.CUSTOMER, 400), (Role.CIRCULAR, 430)] + [(r, 400) for r in LEAVES],
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


@pytest.mark.parametrize("role", Role)
def test_byte_for_byte_what_others_could_make(holders, pki, role):
    certificate = holders[role].certificate
    built = x509.load_der_x509_certificate(made_elsewhere(pki, holders[role]))
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
    if issuer is Role.CIRCULAR and ISSUER[wanted] is Role.CUSTOMER:  # admitted by policy, or nobody verified it (L6)
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
    impostor = Pki(seed=3).customer.certificate  # whose extensions nobody has asked for yet
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


def test_a_verified_certificate_ages(pki):
    unit = pki.issue(Role.UNIT).certificate
    check_time(unit, unit.not_before)
    check_time(unit, unit.not_after)
    for at in (unit.not_before - 1, unit.not_after + 1):
        with pytest.raises(CertificateRefused, match="unit certificate is not valid at that time") as caught:
            check_time(unit, at)
        assert caught.value.check == "validity"


def test_an_issuer_that_has_expired_vouches_for_nobody(pki):
    expired = replace(pki.customer.certificate, not_after=NOW - 1)
    holder = pki.issue(Role.MODULE)
    error = refusal(holder.der, expired, Role.MODULE)
    assert (error.check, error.summary) == ("validity", "customer certificate is not valid at that time")
    verify_issued(holder.der, expired, Role.MODULE, now=None)


def test_a_root_whose_own_signature_does_not_hold(pki):
    data = bytearray(pki.root.der)
    data[-1] ^= 1
    with pytest.raises(CertificateRefused) as caught:
        trusted_root(bytes(data))
    assert caught.value.check == "signature"


# Drafts -------------------------------------------------------------------------------------------------------


PUBLIC = public_of(ec.derive_private_key(1, ec.SECP256R1()).public_key())


def draft(pki: Pki, role: Role = Role.MODULE, **changes: object) -> Draft:
    arguments: dict = {
        "subject": "SM-1",
        "public": PUBLIC,
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
        ({"not_before": -1}, "1970 to 9999"),
        ({"not_after": FOREVER + 1}, "1970 to 9999"),
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
