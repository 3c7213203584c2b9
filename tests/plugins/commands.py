"""The commands as tests use them: stores and certificates of all parties, runs within this process, and processes.

An `Estate` is a directory with everything that the parties have before a module is personalized. It is made once, by
the commands themselves, and copied for each test.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from insitu.cli import main
from insitu.protocol.stores import sealed
from insitu.shell import keeping

SERIAL = "SM-77"
PEOPLE = ("alice", "bob")
PINS = {"alice": "73914682", "bob": "50268137"}
PASSPHRASES = {party: f"{party} opens with kWqZ81" for party in ("manufacturer", "card", "central", "module")}
CARD_NUMBER = "4000001234567899"
AUTHORIZE = {"card": CARD_NUMBER, "account": "DE02120300000000202051", "amount": 5000, "currency": "EUR"}
SECRETS = (*PINS.values(), *PASSPHRASES.values(), CARD_NUMBER)

SHOWN = r"(job [0-9a-f]{32}: .+\n(  \w+ +.+\n)*  approved  by .+\n  digest    .+\n)+"
"""What people are shown before they approve."""

Words = list[str]


@dataclass(frozen=True)
class Ran:
    """A command that has ended.

    Attributes:
        code: its exit code.
        out, err: what it wrote.

    """

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on standard error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("insitu: ")
        return lines[0].removeprefix("insitu: ")

    @property
    def json(self) -> list[dict[str, Any]]:
        """Standard output, each line of which must be JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


def insitu(*words: str | Path, typed: str | None = None) -> Ran:
    """Run a command within this process; an exception that is none of ours fails the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "Cost", _cheap)
        result = CliRunner().invoke(main, [str(word) for word in words], input=typed, catch_exceptions=False)
    no_secret_in(result.stdout, result.stderr)
    return Ran(result.exit_code, result.stdout, result.stderr)


def done(*words: str | Path) -> Ran:
    """Run a command that must succeed."""
    ran = insitu(*words)
    assert ran.code == 0, ran.err
    return ran


def no_secret_in(*texts: str) -> None:
    """S9: no PIN, passphrase or whole card number."""
    for text in texts:
        assert "Traceback" not in text
        for secret in SECRETS:
            assert secret not in text


_Cost = sealed.Cost


def _cheap(n: int = 2, r: int = 8, p: int = 1) -> sealed.Cost:
    """Stores that open fast: a file says itself what its passphrase costs."""
    return _Cost(n, r, p)


def write_secret(path: Path, text: str) -> Path:
    """A file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return path


def refused(code: int, *words: str | Path, says: tuple[str, ...] = (), shown: bool = False) -> str:
    """Run a command that must end with this code, one line on standard error, and nothing else.

    Where `shown`, people were shown first what they were to approve, and that is all on standard output.
    """
    ran = insitu(*words)
    assert ran.code == code, (ran.out, ran.err)
    assert re.fullmatch(SHOWN if shown else "", ran.out), ran.out
    for text in says:
        assert text in ran.error
    return ran.error


@dataclass
class Estate:
    """A directory with the stores, secrets and certificates of all parties."""

    directory: Path

    def __truediv__(self, name: str) -> Path:
        return self.directory / name

    def store(self, party: str) -> Path:
        """The sealed file of a party."""
        return self / f"{party}.store"

    def unsealed(self, party: str, option: str = "store", prefix: str = "") -> Words:
        """Options that open a party's store."""
        return [f"--{option}", str(self.store(party)), f"--{prefix}passphrase-file", str(self / f"{party}.passphrase")]

    def people(self, *names: str, **pin_files: Path) -> Words:
        """Options for these people, with their right PINs or those in other files."""
        words: Words = []
        for name in names or PEOPLE:
            words += ["--person", name, "--pin-file", f"{name}={pin_files.get(name, self / f'{name}.pin')}"]
        return words

    def approve(self, *words: str, people: Words | None = None) -> Ran:
        """Let people (both, if not given) approve."""
        who = self.people() if people is None else people
        return insitu("card", "approve", *self.unsealed("card"), *who, "--out", self.directory, *words)

    def approved(self, *words: str) -> None:
        """Both people approve, which must succeed."""
        ran = self.approve(*words)
        assert ran.code == 0, ran.err

    def deliver(self, serial: str = SERIAL, module: str = "module", *options: str) -> None:
        """A module from the manufacturer's bench."""
        write_secret(self / f"{module}.passphrase", PASSPHRASES["module"])
        words = [*self.unsealed("manufacturer"), *self.unsealed(module, "module", "module-"), "--serial", serial]
        done("manufacturer", "initialize-module", *words, *options)

    def status(self, module: str = "module") -> dict[str, Any]:
        """What a module that does not run says of itself."""
        return done("module", "status", *self.unsealed(module), "--json").json[0]

    def personalize(self, link: str, *options: str, serial: str = SERIAL) -> Words:
        """The unit's command."""
        words = ["--link", link, "--serial", serial, "--central", str(self / "central.pem")]
        return ["unit", "personalize", *self.unsealed("card", "card"), *words, "--json", *options]

    def run_module(self, *options: str, link: str = "tcp:127.0.0.1:0") -> Words:
        """The module's command."""
        return ["module", "run", *self.unsealed("module"), "--link", link, "--json", *options]

    def serve(self, *options: str) -> Words:
        """The central system's command."""
        words = ["--listen", "tcp:127.0.0.1:0", "--limit", "50000", "--commands", "--json"]
        return ["central", "serve", *self.unsealed("central"), *words, *options]

    def durable(self) -> dict[str, bytes]:
        """Every durable file: what may not change where nothing may change. Locks hold nothing but a process number."""
        files = sorted(path for path in self.directory.rglob("*") if path.is_file() and path.suffix != ".lock")
        return {str(path.relative_to(self.directory)): path.read_bytes() for path in files}

    def copy(self, directory: Path) -> Estate:
        """All of it again."""
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)
        return Estate(directory)


@contextmanager
def unchanged(estate: Estate, *but: str) -> Iterator[None]:
    """No durable file changes, appears or goes, but for these."""
    before = estate.durable()
    yield
    after = estate.durable()
    for name in but:
        before.pop(name, None)
        after.pop(name, None)
    assert after == before


def new(bank: Estate, name: str) -> list[str]:
    """Options for a store that does not exist yet."""
    return ["--store", str(bank.store(name)), "--passphrase-file", str(bank / "module.passphrase")]


def establish(directory: Path, name: str, *card_options: str, made: Callable[[Path], Estate] | None = None) -> Estate:
    """Everything up to a delivered module, by the commands; `card_options`: as the card is taken into use."""
    estate = (made or Estate)(directory)
    for party, secret in PASSPHRASES.items():
        write_secret(estate / f"{party}.passphrase", secret)
    for person, pin in PINS.items():
        write_secret(estate / f"{person}.pin", pin)
    root, customer, request = estate / "manufacturer.pem", estate / "customer.pem", estate / "customer-request.pem"
    maker, card, central = (estate.unsealed(party) for party in ("manufacturer", "card", "central"))
    done("manufacturer", "init", *maker, "--name", f"{name} Modules", "--root", root)
    done("card", "init", *card, "--name", f"{name} Bank", *estate.people(), "--request", request, *card_options)
    done("manufacturer", "sign-customer", *maker, "--request", request, "--out", customer)
    done("card", "install", *card, "--root", root, "--customer", customer)
    done("central", "init", *central, "--name", f"{name} Host", "--request", estate / "central-request.pem")
    chain = ["--root", str(root), "--customer", str(customer), "--fingerprint", fingerprint(root)]
    done("central", "trust", *central, *chain)
    estate.approved("--unit", "unit-1", "--central", str(estate / "central-request.pem"))
    done("central", "install", *central, "--certificate", estate / "central.pem")
    estate.deliver()
    return estate


def certificate(path: Path) -> x509.Certificate:
    """The certificate in a PEM file, as another library reads it."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def fingerprint(path: Path) -> str:
    """SHA-256 of a certificate, as openssl writes it."""
    return certificate(path).fingerprint(SHA256()).hex(":").upper()


@pytest.fixture(scope="session")
def _bank(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    return establish(tmp_path_factory.mktemp("bank"), "First")


@pytest.fixture(scope="session")
def _stranger(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    return establish(tmp_path_factory.mktemp("stranger"), "Other")


@pytest.fixture
def bank(_bank: Estate, tmp_path: Path) -> Estate:
    """All parties before the first personalization; for this test alone."""
    return _bank.copy(tmp_path / "bank")


@pytest.fixture
def stranger(_stranger: Estate, tmp_path: Path) -> Estate:
    """The same of another manufacturer and another bank; names of modules and units are the same."""
    return _stranger.copy(tmp_path / "stranger")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass for all parties in this process."""

    def pass_by(seconds: float) -> None:
        now = keeping.time.time() + seconds
        monkeypatch.setattr(keeping, "time", SimpleNamespace(time=lambda: now))

    return pass_by
