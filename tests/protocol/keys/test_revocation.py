"""Revocation lists: openssl takes ours, and whatever is altered, foreign or of another profile is refused."""

from __future__ import annotations

import subprocess
from base64 import encodebytes
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from pki import Pki
from world import NOW, YEAR, World

from insitu.protocol.engine import UsageError
from insitu.protocol.keys.certificates import CertificateRefused, trusted_root, verify_issued
from insitu.protocol.keys.profile import Role, key_identifier
from insitu.protocol.keys.revocation import (
    CRL_BYTES,
    LARGEST_NUMBER,
    check_current,
    check_unrevoked,
    draft_crl,
    read_crl,
)


@pytest.fixture(scope="module")
def listed() -> tuple[World, bytes]:
    world = World()
    return world, world.revocations(7, world.card.customer.serial_number)


def pem(path: Path, label: str, *ders: bytes) -> Path:
    blocks = [f"-----BEGIN {label}-----\n{encodebytes(der).decode()}-----END {label}-----\n" for der in ders]
    path.write_text("".join(blocks))
    return path


def test_what_is_written_is_read(listed):
    world, der = listed
    root = trusted_root(world.root)
    crl = read_crl(der, root)
    assert (crl.number, crl.this_update, crl.next_update) == (7, NOW, NOW + YEAR)
    assert dict(crl.revoked) == {world.card.customer.serial_number: NOW}
    check_current(crl, NOW + YEAR)
    with pytest.raises(CertificateRefused, match="revocation list"):
        check_current(crl, NOW + YEAR + 1)
    with pytest.raises(CertificateRefused, match="is revoked"):
        check_unrevoked(world.card.customer, crl)
    check_unrevoked(world.card.customer, read_crl(world.revocations(8), root))
    check_unrevoked(world.card.customer, None)
    other = World("other")
    check_unrevoked(other.card.customer, crl)


@pytest.mark.parametrize("revoked", [False, True])
def test_openssl_takes_our_list(tmp_path: Path, revoked):
    world = World()
    numbers = (world.card.customer.serial_number,) if revoked else ()
    root = pem(tmp_path / "root.pem", "CERTIFICATE", world.root)
    customer = pem(tmp_path / "customer.pem", "CERTIFICATE", world.customer)
    crl = pem(tmp_path / "crl.pem", "X509 CRL", world.revocations(1, *numbers))
    shown = subprocess.run(
        ["openssl", "crl", "-in", str(crl), "-CAfile", str(root), "-noout", "-verify"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "verify OK" in shown.stderr
    command = ["openssl", "verify", "-x509_strict", "-crl_check_all", "-attime", str(NOW + 60), "-CAfile", str(root)]
    checked = subprocess.run(
        [*command, "-CRLfile", str(crl), str(customer)], check=False, capture_output=True, text=True
    )
    assert (checked.returncode == 0) is not revoked
    assert ("certificate revoked" in checked.stderr) is revoked


def test_a_list_of_somebody_else_is_refused(listed):
    world, der = listed
    other = World("other")
    for issuer in (trusted_root(other.root), world.card.customer):
        with pytest.raises(CertificateRefused):
            read_crl(der, issuer)
    unit = verify_issued(world.card.unit, world.card.customer, Role.UNIT, now=None)
    with pytest.raises(UsageError):
        draft_crl(unit, {}, number=1, this_update=NOW, next_update=NOW + 1)


def test_one_altered_byte_anywhere_is_refused(listed):
    world, der = listed
    root = trusted_root(world.root)
    for place in range(len(der)):
        altered = der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]
        with pytest.raises(CertificateRefused):
            read_crl(altered, root)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_by_nothing_but_our_error(data):
    with pytest.raises(CertificateRefused):
        read_crl(data, trusted_root(World().root))


def test_lists_that_nobody_would_read_are_not_drafted(listed):
    world, _ = listed
    root = trusted_root(world.root)
    for number, begins, ends in (
        (0, NOW, NOW + 1),
        (LARGEST_NUMBER + 1, NOW, NOW + 1),
        (1, NOW, NOW),
        (1, NOW, NOW - 1),
    ):
        with pytest.raises(UsageError):
            draft_crl(root, {}, number=number, this_update=begins, next_update=ends)
    for certificate in (0, -1, 5, 1 << 125, 1 << 127):
        with pytest.raises(UsageError, match="serial number of a certificate"):
            draft_crl(root, {certificate: NOW}, number=1, this_update=NOW, next_update=NOW + 1)
    with pytest.raises(UsageError, match="at most"):
        draft_crl(root, many(2000), number=1, this_update=NOW, next_update=NOW + 1)
    with pytest.raises(CertificateRefused, match="size"):
        read_crl(bytes(40_000), root)


def many(count: int) -> dict[int, int]:
    return dict.fromkeys(range(1 << 126, (1 << 126) + count), NOW)


def test_the_longest_list_that_is_drafted_is_read(pki: Pki):
    """Some 900 certificates."""
    issuer, count = pki.customer, 900
    while True:
        try:
            about = {"number": LARGEST_NUMBER, "this_update": NOW, "next_update": NOW + 1}
            draft = draft_crl(issuer.certificate, many(count + 1), **about)
        except UsageError:
            break
        count += 1
    draft = draft_crl(issuer.certificate, many(count), **about)
    der = draft.assemble(issuer.sign(draft.to_be_signed))
    assert len(read_crl(der, issuer.certificate).revoked) == count >= 900
    assert CRL_BYTES - 200 < len(der) <= CRL_BYTES


# Lists that other tools could make ----------------------------------------------------------------------------

NUMBER = (1 << 126) + 5
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.1"), b"\x05\x00")
POINT = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)


def entry(number: int = NUMBER, since: int = NOW, *extensions: x509.ExtensionType) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(moment(since))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.build()


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def made_elsewhere(
    pki: Pki,
    *,
    name: str = "Example Bank",
    begins: int = NOW,
    ends: int = NOW + 1,
    entries: tuple[x509.RevokedCertificate, ...] = (entry(),),
    extensions: Callable[[list[Any]], list[Any]] = lambda usual: usual,
    private: Any = None,
    algorithm: Any = SHA256(),  # noqa: B008 - a value
) -> bytes:
    """A list of the profile by the customer, or one that differs from it, DER."""
    identifier = x509.AuthorityKeyIdentifier(key_identifier(pki.customer.public), None, None)
    builder = x509.CertificateRevocationListBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), moment(begins), moment(ends)
    )
    for each in entries:
        builder = builder.add_revoked_certificate(each)
    for value, critical in extensions([(identifier, False), (x509.CRLNumber(3), False)]):
        builder = builder.add_extension(value, critical)
    return builder.sign(private or pki.customer.private, algorithm).public_bytes(Encoding.DER)


def instead(value: x509.ExtensionType, *, critical: bool = False) -> Callable[[list[Any]], list[Any]]:
    return lambda usual: [(value, critical) if type(each[0]) is type(value) else each for each in usual]


def more(value: x509.ExtensionType, *, critical: bool = True) -> Callable[[list[Any]], list[Any]]:
    return lambda usual: [*usual, (value, critical)]


def test_a_list_by_other_tools_is_read(pki: Pki):
    """Else the refusals below would prove nothing."""
    crl = read_crl(made_elsewhere(pki), pki.customer.certificate)
    assert (crl.number, dict(crl.revoked)) == (3, {NUMBER: NOW})
    assert read_crl(made_elsewhere(pki, entries=()), pki.customer.certificate).revoked == {}


AUTHORITY = x509.AuthorityKeyIdentifier
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("extensions", {"extensions": more(x509.DeltaCRLIndicator(1))}),
    ("extensions", {"extensions": more(POINT)}),
    ("extensions", {"extensions": more(UNKNOWN)}),
    ("extensions", {"extensions": more(UNKNOWN, critical=False)}),
    ("extensions", {"extensions": instead(x509.CRLNumber(3), critical=True)}),
    ("extensions", {"entries": (entry(NUMBER, NOW, x509.CRLReason(x509.ReasonFlags.key_compromise)),)}),
    ("extensions", {"entries": (entry(NUMBER, NOW, x509.CertificateIssuer([x509.DNSName("x")])),)}),
    ("encoding", {"extensions": lambda usual: usual[:1]}),
    ("encoding", {"extensions": lambda usual: usual[1:]}),
    ("encoding", {"extensions": lambda usual: []}),
    ("number", {"extensions": instead(x509.CRLNumber(0))}),
    ("number", {"extensions": instead(x509.CRLNumber(LARGEST_NUMBER + 1))}),
    ("number", {"extensions": instead(x509.CRLNumber((1 << 159) - 1))}),
    ("issuer", {"name": "Example Bank 2"}),
    ("issuer", {"extensions": instead(AUTHORITY(bytes(8), None, None))}),
    ("issuer", {"extensions": instead(AUTHORITY(None, [x509.DNSName("x")], 7))}),
    ("serial number", {"entries": (entry(5),)}),
    ("serial number", {"entries": (entry(1 << 130),)}),
    ("serial number", {"entries": (entry(), entry())}),
    ("validity", {"ends": NOW}),
    ("validity", {"begins": -5}),
    ("validity", {"entries": (entry(NUMBER, -5),)}),
    ("signature algorithm", {"algorithm": SHA384()}),
    ("signature algorithm", {"private": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)), "algorithm": None}),
    ("signature", {"private": ec.derive_private_key(7, ec.SECP256R1())}),
    ("signature", {"private": ec.derive_private_key(7, ec.SECP384R1())}),
]


@pytest.mark.parametrize(("check", "difference"), OTHERS)
def test_a_list_of_another_profile_is_refused(pki: Pki, check, difference):
    with pytest.raises(CertificateRefused) as refused:
        read_crl(made_elsewhere(pki, **difference), pki.customer.certificate)
    assert refused.value.check == check
    assert refused.value.who == "certificates"
