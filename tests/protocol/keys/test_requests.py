from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from pki import OpenSsl, pem

from insitu.protocol.engine import Fault, KeyKind, PublicKey, UsageError
from insitu.protocol.keys.public import public_of, raw_signature
from insitu.protocol.keys.reading import CertificateRefused
from insitu.protocol.keys.requests import draft_request, read_request

PRIVATE = ec.derive_private_key(123, ec.SECP256R1())
PUBLIC = public_of(PRIVATE.public_key())
REPEATABLE = ec.ECDSA(SHA256(), deterministic_signing=True)


def made(subject: str = "Example Bank", private: ec.EllipticCurvePrivateKey = PRIVATE) -> bytes:
    draft = draft_request(subject, PUBLIC)
    return draft.assemble(raw_signature(KeyKind.P256, private.sign(draft.to_be_signed, REPEATABLE)))


def foreign(*attributes: x509.NameAttribute, private=PRIVATE, algorithm=None, extension=None) -> bytes:
    """As `cryptography` makes them."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(private, algorithm or SHA256()).public_bytes(Encoding.DER)


def common(text: str) -> x509.NameAttribute:
    return x509.NameAttribute(x509.NameOID.COMMON_NAME, text)


def refusal(data: bytes) -> CertificateRefused:
    with pytest.raises(CertificateRefused) as caught:
        read_request(data)
    return caught.value


def test_a_request_is_read():
    request = read_request(made())
    assert (request.subject, request.public, request.der) == ("Example Bank", PUBLIC, made())


def test_openssl_reads_and_verifies_it(openssl: OpenSsl):
    (openssl.directory / "request.pem").write_text(pem(made(), "CERTIFICATE REQUEST"))
    done = openssl.run("req", "-in", "request.pem", "-noout", "-verify", "-subject")
    assert done.returncode == 0
    assert "CN" in done.stdout
    assert "Example Bank" in done.stdout
    assert "verify OK" in done.stdout + done.stderr


def test_a_request_made_with_openssl_is_read(openssl: OpenSsl):
    """A bank may make its central system's request with its own tools."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    openssl.run(
        "req",
        "-new",
        *curve,
        "-nodes",
        "-keyout",
        "k.pem",
        "-subj",
        "/CN=Central 1",
        "-outform",
        "DER",
        "-out",
        "r.der",
    )
    assert read_request((openssl.directory / "r.der").read_bytes()).subject == "Central 1"


def test_byte_for_byte_what_others_could_make():
    built = x509.load_der_x509_csr(foreign(common("Example Bank")))
    assert draft_request("Example Bank", PUBLIC).to_be_signed == built.tbs_certrequest_bytes


def test_a_request_proves_possession():
    error = refusal(made(private=ec.derive_private_key(124, ec.SECP256R1())))
    assert (error.check, error.expected) == ("signature", "that of Example Bank")


@pytest.mark.parametrize(
    ("check", "data"),
    [
        ("subject", foreign()),
        ("subject", foreign(common("Example Bank"), common("2"))),
        ("subject", foreign(x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Example Bank"))),
        ("subject", foreign(common("Example\u00a0Bank"))),
        ("extensions", foreign(common("x"), extension=x509.BasicConstraints(True, None))),
        ("signature algorithm", foreign(common("x"), algorithm=SHA384())),
        ("key", foreign(common("x"), private=ec.derive_private_key(7, ec.SECP384R1()))),
        ("version", made().replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)),
        ("encoding", made()[:-1]),
        ("encoding", made() + b"\0"),
        ("encoding", b""),
        ("size", bytes(5000)),
    ],
)
def test_other_requests_are_refused(check, data):
    error = refusal(data)
    assert error.check == check
    assert error.fault is (Fault.MALFORMED if check in ("encoding", "size") else Fault.UNTRUSTED)


@given(data=st.data())
def test_one_altered_byte_anywhere_is_refused_and_by_nothing_but_our_error(data):
    original = made()
    at = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != original[at]))
    refusal(original[:at] + bytes([byte]) + original[at + 1 :])


@pytest.mark.parametrize(
    ("subject", "public"),
    [
        ("", PUBLIC),
        ("x\n", PUBLIC),
        ("x", PublicKey(KeyKind.ED25519, bytes(32))),
        ("x", PublicKey(KeyKind.P256, bytes(65))),
    ],
)
def test_requests_that_the_profile_does_not_allow(subject, public):
    with pytest.raises(UsageError):
        draft_request(subject, public)
