"""Revocation lists: openssl takes ours, and whatever is altered, foreign or of another profile is refused."""

from __future__ import annotations

import subprocess
from base64 import encodebytes
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import NOW, YEAR, World

from insitu.protocol.engine import UsageError
from insitu.protocol.keys.certificates import CertificateRefused, trusted_root, verify_issued
from insitu.protocol.keys.profile import Role
from insitu.protocol.keys.revocation import check_current, check_unrevoked, draft_crl, read_crl


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
    for number, begins, ends in ((0, NOW, NOW + 1), (1, NOW, NOW), (1, NOW, NOW - 1)):
        with pytest.raises(UsageError):
            draft_crl(root, {}, number=number, this_update=begins, next_update=ends)
    with pytest.raises(UsageError, match="at most"):
        draft_crl(
            root, dict.fromkeys(range(1 << 125, (1 << 125) + 2000), NOW), number=1, this_update=NOW, next_update=NOW + 1
        )
    with pytest.raises(CertificateRefused, match="size"):
        read_crl(bytes(40_000), root)
