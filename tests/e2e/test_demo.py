"""The demonstration as a newcomer sees it: what it reports, what it leaves behind, what others make of that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from command_processes import running
from commands import certificate, insitu
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from insitu.demo.stage import PAYMENT
from insitu.protocol.keys.certificates import Role, trusted_root, verify_issued
from insitu.protocol.keys.reading import CertificateRefused
from insitu.protocol.stores.card_log import Intent, Result
from insitu.protocol.stores.log_lines import import_lines
from insitu.shell import pem

KEYS = ["ok", "link", "trust", "states", "wire_bytes", "flights", "seconds", "files"]
FILES = {
    *(f"{name}.pem" for name in ("manufacturer", "customer", "unit", "module-1", "module-2", "module", "central")),
    "card-log.jsonl",
}
SECRET = (".passphrase", ".pin", ".secret", ".tan")
PERSONALIZED = ["SECURED", "KEYING", "PROVING", "KEYED", "CONFIRMING", "OPERATING"]


@dataclass
class Shown:
    """A demonstration that has ended.

    Attributes:
        directory: what it filled.
        out, err: what it wrote.
        seen: command lines and environments of all its processes.

    """

    link: str
    trust: str
    directory: Path
    out: str
    err: str
    seen: set[str] = field(default_factory=set)

    @property
    def report(self) -> dict[str, object]:
        return json.loads(self.out.splitlines()[-1])

    @property
    def secrets(self) -> list[str]:
        """Passphrases, PINs, the secret of option secret, a TAN as it was keyed in, the card number."""
        files = [path for path in self.directory.glob("private/*") if path.suffix in SECRET]
        assert len(files) == 10 + (self.trust == "tan")
        return [*(file.read_text().strip() for file in files), PAYMENT.card, PAYMENT.account]

    def der(self, name: str) -> bytes:
        return pem.read_certificate(self.directory / f"{name}.pem")


def watch(group: int, seen: set[str], over: threading.Event) -> None:
    """Collect the command lines and environments of a process group while it lives."""
    while not over.wait(0.05):
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    if os.getpgid(int(process.name)) == group:
                        seen.update((process / name).read_text(errors="replace") for name in ("cmdline", "environ"))
                except (OSError, ProcessLookupError):
                    continue


def gone(group: int) -> bool:
    """Whether all processes of a group have ended."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(
    scope="module",
    params=[
        *(("memory", "certificates"), ("tcp", "certificates"), ("serial", "certificates"), ("serial", "physical")),
        ("tcp", "tan"),
    ],
    ids=" ".join,
)
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A demonstration over each link, and the physical option over a line."""
    link, trust = request.param
    directory = tmp_path_factory.mktemp("demo") / "new" / "directory"
    seen: set[str] = set()
    over = threading.Event()
    words = ("demo", "--link", link, "--trust", trust, "--out", str(directory), "--json")
    with running(*words) as process:
        watcher = threading.Thread(target=watch, args=(process.pid, seen, over))
        watcher.start()
        try:
            ran = process.wait()
        finally:
            over.set()
            watcher.join()
        assert ran.code == 0, ran.err
        assert gone(process.pid)
    return Shown(link, trust, directory, ran.out, ran.err, seen)


def openssl(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)


# The report --------------------------------------------------------------------------------------------------


def test_the_last_line_is_the_report(shown):
    report = shown.report
    assert list(report) == KEYS
    assert (report["ok"], report["link"], report["trust"]) == (True, shown.link, shown.trust)
    assert report["files"] == sorted(report["files"])
    assert set(report["files"]) >= FILES
    assert shown.err == ""
    assert 0 < report["seconds"] < 60


def test_flights_and_bytes(shown):
    report = shown.report
    assert report["flights"] <= (7 if shown.trust != "tan" else 11)
    assert list(report["wire_bytes"]) == ["module_to_unit", "unit_to_module"]
    most = 9000 if shown.link == "serial" else 3000  # on a busy machine the line repeats itself
    assert all(400 < size < most for size in report["wire_bytes"].values())


def test_the_modules_states_in_order(shown):
    states = shown.report["states"]
    calls = shown.link != "memory"  # there, two sessions are joined by hand, and the second life ends before work
    sent_away = ["OPERATING"] if calls else []
    work = ["CALLING", "ONLINE", *sent_away, "CALLING", "CHALLENGED", "RESET"]
    assert states == ["DELIVERED", *PERSONALIZED, *work, *PERSONALIZED, *(["CALLING", "ONLINE"] if calls else [])]


def test_a_person_sees_the_steps(shown):
    """Who, which state, what was sent, how many bytes; the fingerprint on both sides; a transaction; a reset."""
    text = shown.out
    assert "unit         sent GenerateKeyPair, 81 bytes" in text
    assert "module       -> KEYED   on Signed" in text
    assert "transaction 1: pay out 5000" in text
    assert "erased key and certificates; epoch 1 begins" in text
    made = [line.split("made its key pair")[1].strip() for line in text.splitlines() if "made its key pair" in line]
    shown_to_unit = [line.split("shown the key")[1].strip() for line in text.splitlines() if "shown the key" in line]
    assert made == shown_to_unit
    assert len(set(made)) == 2


# What it leaves ----------------------------------------------------------------------------------------------


def test_the_directory_holds_what_was_promised(shown):
    assert {path.name for path in shown.directory.iterdir()} >= FILES
    assert shown.der("module") == shown.der("module-2")


@pytest.mark.parametrize("name", ["module", "module-1", "module-2", "unit", "central", "customer"])
def test_openssl_accepts_every_certificate(shown, name):
    file = shown.directory / f"{name}.pem"
    root, customer = shown.directory / "manufacturer.pem", shown.directory / "customer.pem"
    done = openssl("verify", "-x509_strict", "-CAfile", root, "-untrusted", customer, file)
    assert (done.returncode, done.stdout) == (0, f"{file}: OK\n"), done.stderr


def test_the_second_personalization_made_another_key(shown):
    keys = [certificate(shown.directory / f"module-{number}.pem").public_key() for number in (1, 2)]
    assert all(isinstance(key, EllipticCurvePublicKey) for key in keys)
    assert keys[0] != keys[1]


@pytest.mark.parametrize(("name", "role"), [("module", Role.MODULE), ("unit", Role.UNIT), ("central", Role.CENTRAL)])
def test_a_certificate_serves_its_role_and_no_other(shown, name, role):
    customer = verify_issued(shown.der("customer"), trusted_root(shown.der("manufacturer")), Role.CUSTOMER, now=None)
    verify_issued(shown.der(name), customer, role, now=int(time.time()))
    for other in {Role.MODULE, Role.UNIT, Role.CENTRAL} - {role}:
        with pytest.raises(CertificateRefused, match="role"):
            verify_issued(shown.der(name), customer, other, now=int(time.time()))


def test_the_log_tells_of_every_certificate(shown):
    """Its chain holds, intents precede results, two people approved each; certificates come out of it byte for byte."""
    log = import_lines((shown.directory / "card-log.jsonl").read_bytes()).log
    intents = {entry.what.job: entry for entry in log if isinstance(entry.what, Intent)}
    results = {entry.what.job: entry for entry in log if isinstance(entry.what, Result)}
    assert intents.keys() == results.keys()
    assert len(log) == 8
    rebuilt = []
    for job, result in results.items():
        intent = intents[job]
        assert intent.number < result.number
        assert len(set(intent.what.approvers)) == 2
        rebuilt.append((intent.what.role, assemble(intent.what.to_be_signed, result.what.signature)))
    assert rebuilt == [(name.split("-")[0], shown.der(name)) for name in ("unit", "central", "module-1", "module-2")]


def assemble(to_be_signed: bytes, signature: bytes) -> bytes:
    """A certificate from its signed part and r || s, in DER by hand: what an auditor does with the log alone."""

    def tlv(tag: int, content: bytes) -> bytes:
        size = len(content)
        if size < 0x80:
            return bytes([tag, size]) + content
        octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes([tag, 0x80 | len(octets)]) + octets + content

    def integer(octets: bytes) -> bytes:
        number = int.from_bytes(octets, "big")
        return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))

    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    bits = tlv(0x30, integer(signature[:32]) + integer(signature[32:]))
    return tlv(0x30, to_be_signed + ecdsa_with_sha256 + tlv(0x03, b"\x00" + bits))


def test_no_secret_shows(shown):
    """S9: not in the output, no command line, no environment, no file but those that hold it on purpose."""
    if shown.link != "memory":
        assert len([line for line in shown.seen if "personalize" in line]) >= 1, "nobody was watched"
    public = [path for path in shown.directory.rglob("*") if path.is_file() and path.suffix not in SECRET]
    for secret in shown.secrets:
        assert secret not in shown.out + shown.err
        assert not [line for line in shown.seen if secret in line]
        assert not [path for path in public if secret.encode() in path.read_bytes()]


def test_secrets_are_their_owners_alone(shown):
    for path in (shown.directory / "private").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert (shown.directory / "private").stat().st_mode & 0o077 == 0


# The directory -----------------------------------------------------------------------------------------------


def demo(directory: Path, *words: str) -> list[str]:
    return ["demo", "--link", "memory", "--out", str(directory), *words]


def test_twice_into_one_directory(tmp_path):
    assert insitu(*demo(tmp_path)).code == 0
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    (tmp_path / "notes.txt").write_text("mine")
    ran = insitu(*demo(tmp_path, "--json"))
    assert (ran.code, json.loads(ran.out.splitlines()[-1])["ok"]) == (0, True)
    assert all((tmp_path / name).read_bytes() != first[name] for name in FILES)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["other files", "a file"])
def test_a_directory_in_use(tmp_path, kind):
    place = tmp_path / "place"
    if kind == "a file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "module.pem").write_text("mine")
    ran = insitu(*demo(place))
    assert ran.code == 2
    assert (place if kind == "a file" else place / "module.pem").read_text() == "mine"


def test_physical_over_tcp_is_refused_before_anything_is_replaced(tmp_path):
    assert insitu(*demo(tmp_path)).code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ran = insitu("demo", "--link", "tcp", "--trust", "physical", "--out", tmp_path, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.error.startswith(
        "trust option physical is for a wired local link only (expected --link device or serial, got tcp)"
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_place_where_nothing_can_be_made():
    ran = insitu(*demo(Path("/sys/demo")))
    assert ran.code == 4
    assert ran.error.startswith("cannot write /sys/demo")


# Interrupted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "until", "number"),
    [("serial", "-> KEYED", signal.SIGINT), ("tcp", "central install", signal.SIGTERM)],
)
def test_interrupted_half_way(tmp_path, link, until, number):
    """One line, the report of how far it came, and no process left behind; then it can be had again."""
    with running("demo", "--link", link, "--out", str(tmp_path), "--json") as process:
        process.line(lambda line: until in line, until)
        second = insitu("demo", "--link", "memory", "--out", tmp_path)
        assert second.code == 4
        assert "in use" in second.error
        ran = process.end(number)
        deadline = time.monotonic() + 10
        while not gone(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert gone(process.pid)
    assert (ran.code, ran.error) == (130, "interrupted")
    report = json.loads(ran.out.splitlines()[-1])
    assert (list(report), report["ok"]) == (KEYS, False)
    assert insitu(*demo(tmp_path)).code == 0
