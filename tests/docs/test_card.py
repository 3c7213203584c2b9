"""docs/card.md: its commands are run, on a card in a file and on one with two tokens."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Estate

TEXT = (Path(__file__).parents[2] / "docs" / "card.md").read_text()


def block(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n```sh\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def script(mark: str, place: Estate, **environment: str) -> str:
    """What the commands of a block print, run in a directory with the names of the walk-through."""
    for party in ("card", "manufacturer"):
        shutil.copy(place.store(party), place / f"{party}.insitu")
        shutil.copy(place / f"{party}.passphrase", place / f"{party}.pass")
    ran = subprocess.run(
        ["bash", "-euc", block(mark).replace("4711", str(free_port()))],
        cwd=place.directory,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.timeout(120)
def test_people(bank: Estate) -> None:
    out = script("people", bank)
    assert "carol may approve, too" in out
    assert "carol: 5 tries left" in out
    assert "bob is unlocked and keeps the PIN" in out
    assert "dave may approve instead of bob" in out
    assert "the new PIN of alice counts" in out
    assert "alice: 5 tries left" in out


@pytest.mark.timeout(120)
def test_a_signing_token(bank: Estate) -> None:
    out = script("signing token", bank, INSITU_RUNTIME_DIR=str(bank / "locks"))
    assert "approved by alice and bob, certificate in unit.pem" in out
    assert "module SM-0003 is personalized" in out
    assert "module.pem: OK" in out
    assert "the new PIN of alice counts" in out
