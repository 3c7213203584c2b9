"""docs/card.md: its commands are run, on a card in a file and on one with two tokens."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Estate, done, write_secret
from soft_token import PLACES

TEXT = (Path(__file__).parents[2] / "docs" / "card.md").read_text()


def block(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n```sh\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def place(bank: Estate, monkeypatch: pytest.MonkeyPatch) -> Estate:
    """With the names that the document has."""
    for party in ("card", "manufacturer"):
        shutil.copy(bank.store(party), bank / f"{party}.insitu")
        shutil.copy(bank / f"{party}.passphrase", bank / f"{party}.pass")
    for person, pin in (("carol", "61523874"), ("dave", "93847561"), ("new", "24681357")):
        write_secret(bank / f"{person}.pin", pin)
    monkeypatch.chdir(bank.directory)
    return bank


def test_people(place: Estate) -> None:
    out = ""
    for command in block("people").replace("\\\n", " ").splitlines():
        out += done(*shlex.split(command)[1:]).out
    assert "carol may approve, too" in out
    assert "carol: 5 tries left" in out
    assert "bob is unlocked and keeps the PIN" in out
    assert "dave may approve instead of bob" in out
    assert "the new PIN of alice counts" in out
    assert "alice: 5 tries left" in out


@pytest.mark.timeout(120)
def test_a_signing_token(place: Estate) -> None:
    (place / "tokens").mkdir()
    (place / "softhsm2.conf").write_text(f"directories.tokendir = {place / 'tokens'}\nlog.level = ERROR\n")
    library = next(path for path in PLACES if Path(path).exists())
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SOFTHSM2_CONF": str(place / "softhsm2.conf"),
        "INSITU_PKCS11_MODULE": library,
        "INSITU_RUNTIME_DIR": str(place / "locks"),
    }
    for label, pin in (("card", "11335577"), ("card-signing", "22446688")):
        words = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "99887766"]
        subprocess.run(words, env=environment, check=True, capture_output=True, timeout=60)
    write_secret(place / "card.pin", "11335577")
    write_secret(place / "signing.pin", "22446688")
    ran = subprocess.run(
        ["bash", "-euc", block("signing token")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "approved by alice and bob, certificate in unit.pem" in ran.stdout
    assert "the new PIN of alice counts" in ran.stdout
