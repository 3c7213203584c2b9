"""Resets that a person confirms (L8): at a terminal, or with --yes in a script; nobody is asked who cannot answer."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from command_processes import PATIENCE, running
from commands import SERIAL, Estate, done, insitu, refused, unchanged


@pytest.fixture
def operating(bank: Estate) -> Estate:
    """A module that operates and was at its central system."""
    with running(*bank.serve()) as host:
        at = host.note("Ready")["at"]
        with running(*bank.run_module("--central", at)) as module:
            bank.approved("--module", SERIAL)
            done(*bank.personalize(module.note("Ready")["at"]))
            module.note("StateEntered", state="ONLINE")
            module.end()
        host.end()
    return bank


def at_terminal(words: list[str], answer: bytes, asks: bytes) -> tuple[int, str]:
    """Run a command at a terminal; when it asks, answer. Its exit code, and what the terminal showed."""
    pid, terminal = pty.fork()
    if not pid:  # pragma: no cover - another process
        os.execv(sys.executable, [sys.executable, "-m", "insitu", *words])
    shown, answered, pressed, deadline = b"", False, 0.0, time.monotonic() + PATIENCE
    with suppress(OSError):  # the terminal is gone with the last process that has it
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 4096)
            again = answer == b"\x03" and time.monotonic() - pressed > 3  # as people press this key again
            if asks in shown and (not answered or again):
                os.write(terminal, answer)
                answered, pressed = True, time.monotonic()
    os.close(terminal)
    assert answered, shown
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def commands(bank: Estate) -> dict[str, list[str]]:
    return {
        "module": ["module", "reset", *bank.unsealed("module")],
        "central": ["central", "reset", "--store", str(bank.store("central")), "--module", SERIAL],
    }


@pytest.mark.parametrize("party", ["module", "central"])
@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x03"], ids=["no", "nothing", "Ctrl-C"])
def test_who_does_not_say_yes_has_reset_nothing(operating: Estate, party: str, answer: bytes):
    with unchanged(operating, "central.store.db-shm", "central.store.db-wal"):
        code, shown = at_terminal(commands(operating)[party], answer, b"[y/N]")
    assert code == (130 if answer == b"\x03" else 2)
    assert ("interrupted" if answer == b"\x03" else "nothing was done") in shown
    assert "Traceback" not in shown


def test_who_says_yes_has_reset_the_module(operating: Estate):
    code, shown = at_terminal(commands(operating)["module"], b"y\n", b"[y/N]")
    assert (code, f"module {SERIAL}: key and certificates erased, epoch 1 begins" in shown) == (0, True)
    assert operating.status().items() >= {"state": "reset", "epoch": 1, "certificate": None}.items()


def test_who_says_yes_has_ordered_the_reset(operating: Estate):
    code, shown = at_terminal(commands(operating)["central"], b"y\n", b"[y/N]")
    assert (code, "is ordered" in shown) == (0, True)


@pytest.mark.parametrize("party", ["module", "central"])
@pytest.mark.parametrize("typed", [None, "y\n"], ids=["closed", "yes in a pipe"])
def test_a_script_without_yes_is_refused(operating: Estate, party: str, typed: str | None):
    """Also where a pipe would answer: whoever means it says --yes."""
    with unchanged(operating, "central.store.db-shm", "central.store.db-wal"):
        ran = insitu(*commands(operating)[party], typed=typed)
    assert (ran.code, ran.out) == (2, "")
    assert ran.error == f"{party}: nobody to ask (expected a terminal, or --yes)"


def test_a_script_with_yes_resets_once(operating: Estate):
    assert done(*commands(operating)["module"], "--yes").out.endswith("epoch 1 begins\n")
    with unchanged(operating):
        refused(5, *commands(operating)["module"], "--yes", says=("nothing to erase", "got reset"))


def test_a_module_that_runs_is_not_reset_from_outside(operating: Estate):
    """Its store is its own; the person at the machine asks the program that runs."""
    with running(*operating.run_module("--requests")) as module:
        module.note("Ready")
        refused(4, *commands(operating)["module"], "--yes", says=("store is in use",))
        module.ask(reset="by hand")
        assert module.note("KeysErased")["epoch"] == 1
        module.end(signal.SIGTERM)
    assert operating.status()["state"] == "reset"


def test_the_help_says_how(bank: Estate):
    ran = subprocess.run(
        [sys.executable, "-m", "insitu", "module", "reset", "--help"], capture_output=True, text=True, check=True
    )
    assert "--yes" in ran.stdout


def test_a_module_that_operates_is_not_waited_for(operating):
    """--once: there is nothing to personalize, and the person who started it is told why it ends at once."""
    assert f"module {SERIAL} operates already" in done(*operating.run_module("--once")).out
