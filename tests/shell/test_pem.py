from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from world import PINS, World

from insitu.protocol.engine import EnvironmentFault, UsageError
from insitu.shell import pem


@pytest.fixture
def request_der(world: World) -> bytes:
    return world.blank_card("another").furnish("Other bank", PINS)


def test_what_is_written_is_read_again(world: World, request_der, tmp_path: Path):
    pem.write_certificate(tmp_path / "root.pem", world.root)
    pem.write_request(tmp_path / "request.pem", request_der)
    assert pem.read_certificate(tmp_path / "root.pem") == world.root
    assert pem.read_request(tmp_path / "request.pem") == request_der


def test_openssl_reads_both(world: World, request_der, tmp_path: Path):
    pem.write_certificate(tmp_path / "root.pem", world.root)
    pem.write_request(tmp_path / "request.pem", request_der)
    read = [
        ["openssl", "x509", "-in", "root.pem", "-noout", "-subject"],
        ["openssl", "req", "-in", "request.pem", "-noout", "-verify", "-subject"],
    ]
    said = [subprocess.run(each, cwd=tmp_path, capture_output=True, text=True, check=True).stdout for each in read]
    assert "Acme Modules" in said[0]
    assert "Other bank" in said[1]


def test_what_openssl_prints_around_a_certificate_does_no_harm(world: World, tmp_path: Path):
    pem.write_certificate(tmp_path / "root.pem", world.root)
    text = (tmp_path / "root.pem").read_text()
    (tmp_path / "root.pem").write_text(f"subject=CN = Acme Modules\n\n{text}\n")
    assert pem.read_certificate(tmp_path / "root.pem") == world.root


def damaged(text: str) -> dict[str, tuple[str, str]]:
    """Files that are not what was asked for, and what the error says came."""
    first = text.splitlines()[0]
    body = text.split("\n", 1)[1]
    return {
        "empty": ("", "an empty file"),
        "blank": (" \n\n", "an empty file"),
        "two": (text + text, first),
        "cut": (text[: len(text) // 2], first),
        "no end": ("\n".join(text.splitlines()[:-1]), first),
        "another label": ("-----BEGIN RSA PRIVATE KEY-----\n" + body, "-----BEGIN RSA PRIVATE KEY-----"),
        "not base64": (first + "\n???\n" + text.splitlines()[-1], first),
        "strange letters": (f"{first}\n????{body}", first),
        "not ASCII": (first + "\n\udcc3\udca4\n" + text.splitlines()[-1], first),
        "a passphrase": ("correct horse battery staple\n", "another kind of file"),
        "binary": ("\udcff\udcfe\x00", "another kind of file"),
    }


@pytest.mark.parametrize("kind", damaged("-----BEGIN X-----\nx\n-----END X-----"))
@pytest.mark.parametrize("what", ["certificate", "request"])
def test_other_files_are_refused_and_nothing_of_them_is_shown(world: World, request_der, tmp_path: Path, what, kind):
    """S9: somebody may have named the passphrase's file by mistake."""
    path = tmp_path / "file.pem"
    if what == "certificate":
        pem.write_certificate(path, world.root)
    else:
        pem.write_request(path, request_der)
    content, got = damaged(path.read_text())[kind]
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    read = pem.read_certificate if what == "certificate" else pem.read_request
    with pytest.raises(UsageError, match=f"is not a {what}") as refused:
        read(path)
    assert refused.value.got == got
    assert "horse" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_one_is_not_the_other(world: World, request_der, tmp_path: Path):
    pem.write_certificate(tmp_path / "root.pem", world.root)
    pem.write_request(tmp_path / "request.pem", request_der)
    with pytest.raises(UsageError, match="got -----BEGIN CERTIFICATE REQUEST-----"):
        pem.read_certificate(tmp_path / "request.pem")
    with pytest.raises(UsageError, match="got -----BEGIN CERTIFICATE-----"):
        pem.read_request(tmp_path / "root.pem")


@pytest.mark.parametrize("read", [pem.read_certificate, pem.read_request])
def test_files_that_are_missing_or_huge_are_named(tmp_path: Path, read):
    with pytest.raises(UsageError, match="cannot read"):
        read(tmp_path / "nothing.pem")
    with pytest.raises(UsageError, match="cannot read"):
        read(tmp_path)
    (tmp_path / "huge.pem").write_bytes(bytes(pem.LARGEST + 1))
    with pytest.raises(UsageError, match="is too large"):
        read(tmp_path / "huge.pem")


def test_where_nothing_can_be_written_that_is_said(world: World, tmp_path: Path):
    for write in (pem.write_certificate, pem.write_request):
        with pytest.raises(EnvironmentFault, match="cannot write"):
            write(tmp_path / "nowhere" / "x.pem", world.root)
