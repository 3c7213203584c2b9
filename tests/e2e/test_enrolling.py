"""A card enrols at a central system by the commands, over TCP (L14)."""

from __future__ import annotations

import hashlib
import signal
import socket
from pathlib import Path

import pytest
from command_processes import place, running
from commands import SERIAL, Estate, done, fingerprint, insitu, refused, unchanged
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Words = list[str]
REGISTRY = tuple(f"central.store.db{end}" for end in ("", "-wal", "-shm"))
MEANT = ("--card", "ab" * 32)


@pytest.fixture
def host(bank: Estate) -> Estate:
    """The same bank with a new central system that knows nobody."""
    for name in ("central.store", "central.store.db", "central.pem", "central-request.pem"):
        (bank / name).unlink(missing_ok=True)
    request = bank / "first-request.pem"
    told = done("central", "init", *bank.unsealed("central"), "--name", "New Host", "--request", request).out
    assert key_of(request) in told.replace(" ", "").lower()
    return bank


def key_of(request: Path) -> str:
    """SHA-256 of the key in a request, as `openssl req -pubkey` and sha256sum would tell it."""
    public = x509.load_pem_x509_csr(request.read_bytes()).public_key()
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def wait_for_card(bank: Estate, *options: str, card: str | None = None) -> Words:
    root = ["--root", str(bank / "manufacturer.pem"), "--fingerprint", fingerprint(bank / "manufacturer.pem")]
    words = ["--listen", "tcp:127.0.0.1:0", "--card", card or fingerprint(bank / "customer.pem"), "--json"]
    return ["central", "enroll-card", *bank.unsealed("central"), *words, *(options or root)]


def enrol(bank: Estate, link: str, key: str | None = None, *, party: str = "card") -> Words:
    words = ["--link", link, "--central", key or key_of(bank / "first-request.pem"), "--wait", "10", "--json"]
    return ["card", "enroll", *bank.unsealed(party), *words, "--request", str(bank / "central-request.pem")]


def test_from_enrollment_to_work(host):
    """No file is carried from card to host; then both people approve, and a module works with the host."""
    with running(*wait_for_card(host)) as central:
        ran = done(*enrol(host, place(central)))
        assert {"note": "CardEnrolled", "party": "card", "central": "New Host"} in ran.json
        enrolled = central.note("IssuerEnrolled")
        assert enrolled["certificate"].replace(" ", "") == fingerprint(host / "customer.pem").replace(":", "")
        assert central.wait().code == 0
    assert key_of(host / "central-request.pem") == key_of(host / "first-request.pem")
    (entry,) = done("central", "audit", "--store", host.store("central"), "--json").json
    assert (entry["action"], entry["subject"]) == ("trusted", "First Bank")
    assert "enrolled by the card itself, unit unit-1" in entry["detail"]
    host.approved("--central", str(host / "central-request.pem"), "--module", SERIAL)
    done("central", "install", *host.unsealed("central"), "--certificate", host / "central.pem")
    with running(*host.serve()) as serving:
        with running(*host.run_module("--central", place(serving))) as module:
            done(*host.personalize(place(module)))
            assert serving.note("ModuleContacted")["serial"] == SERIAL
            module.end()
        serving.end()


def test_who_is_not_meant_is_refused_on_either_side(host, stranger):
    with running(*wait_for_card(host)) as central:
        at = place(central)
        with unchanged(host, *REGISTRY):
            ran = insitu(*enrol(host, at, "ab" * 32))
            assert (ran.code, "key of the central system" in ran.error) == (3, True)
            assert "refused" in central.note("Error")["error"]
            ran = insitu(*enrol(host, at)[:2], *stranger.unsealed("card"), *enrol(host, at)[6:])
            assert ran.code == 3
            assert "certificate of a card's signing key" in central.note("Error")["error"]
        assert "issuers: 0" in done("central", "status", "--store", host.store("central")).out
        done(*enrol(host, at))
        central.wait()
    assert "issuers: 1, 0 disabled" in done("central", "status", "--store", host.store("central")).out


def test_noise_and_silence_at_the_port_keep_no_card_out(host):
    with running(*wait_for_card(host)) as central:
        at = place(central)
        _, name, port = at.split(":")
        with socket.create_connection((name, int(port))), socket.create_connection((name, int(port))) as noisy:
            noisy.sendall(bytes(range(256)) * 9)
            central.note("Error")
            done(*enrol(host, at))
        assert central.wait().code == 0


def test_killed_and_done_again(host):
    """The host is killed while it waits, and after it has entered the key: the same again does no harm."""
    with running(*wait_for_card(host)) as central:
        place(central)
        central.end(signal.SIGKILL)
    for _ in range(2):
        with running(*wait_for_card(host)) as central:
            done(*enrol(host, place(central)))
            central.wait()
    assert len(done("central", "audit", "--store", host.store("central"), "--json").json) == 1


def test_a_central_system_at_work_takes_another_card_under_its_root(bank):
    """It serves meanwhile; the root is known, so that only the card's fingerprint is to be told."""
    (bank / "first-request.pem").write_bytes((bank / "central-request.pem").read_bytes())
    with running(*bank.serve()) as serving:
        place(serving)
        with running(*wait_for_card(bank, "--registry", f"{bank.store('central')}.db")) as central:
            done(*enrol(bank, place(central)))
            assert central.wait().code == 0
        serving.end()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--card", "12ab"), "64 hexadecimal digits"),
        (MEANT, "--root and --fingerprint"),
        ((*MEANT, "--root", "manufacturer.pem"), "got one"),
        (
            (*MEANT, "--root", "manufacturer.pem", "--fingerprint", "cd" * 32),
            "not the root that was meant",
        ),
        ((*MEANT, "--root", "unit.pem", "--fingerprint", "cd" * 32), "unit.pem"),
    ],
    ids=["no fingerprint", "nobody trusted", "a root without fingerprint", "another root", "no root"],
)
def test_what_a_host_must_be_told(host, words, says):
    paths = [str(host / word) if word.endswith(".pem") else word for word in words]
    command = ["central", "enroll-card", *host.unsealed("central"), "--listen", "tcp:127.0.0.1:0", *paths]
    with unchanged(host, *REGISTRY):
        ran = insitu(*command)
        assert (ran.code in (2, 3), says in ran.error) == (True, True), ran.err


def test_a_card_without_unit_certificate_or_file_for_the_request(host):
    words = enrol(host, "tcp:127.0.0.1:9")
    with unchanged(host):
        refused(2, *words[:-1], str(host.store("module")), says=("is in use",))
        refused(4, *words[: words.index("--wait")], *words[words.index("--wait") + 2 :])
        refused(2, *(word if word != key_of(host / "first-request.pem") else "xyz" for word in words))


def test_the_fingerprints_are_where_people_look_for_them(host):
    meant = fingerprint(host / "customer.pem").replace(":", "")
    status = done("card", "status", *host.unsealed("card")).out
    assert meant in status.replace(" ", "")
