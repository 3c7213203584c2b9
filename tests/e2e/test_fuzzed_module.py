"""`insitu fuzz module-under-test` against `insitu module run`, two processes and TCP between them."""

from __future__ import annotations

import json
import os
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from select import select

import pytest
from command_processes import running
from commands import SERIAL, Estate, done, insitu, unchanged, write_secret

from insitu.transports.links import open_link


def words(bank: Estate, at: str, *more: str) -> list[str]:
    about = ["--link", at, "--serial", SERIAL, "--patience", "20", "--json", *more]
    return ["fuzz", "module-under-test", *bank.unsealed("card", "card"), *about]


@contextmanager
def something_at_a_port(does: str) -> Iterator[str]:
    """A serial port, and at its other end something that is no module."""
    ours, theirs = os.openpty()
    for end in (ours, theirs):
        tty.setraw(end)
    over = threading.Event()

    def be() -> None:
        while not over.is_set():
            heard = os.read(ours, 4_096) if select([ours], [], [], 0.02)[0] else b""
            if does == "echo" and heard:
                os.write(ours, heard)
            elif does == "noise":
                os.write(ours, bytes(range(1, 200)))
            elif does == "hang up" and heard:
                return

    thread = threading.Thread(target=be, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        over.set()
        thread.join()
        for end in (ours, theirs):
            os.close(end)


def test_a_module_that_runs_is_fuzzed_from_outside_and_stands(bank: Estate):
    out = bank / "findings"
    with running(*bank.run_module()) as module:
        at = module.note("Ready")["at"]
        with unchanged(bank):
            ran = insitu(*words(bank, at, "--runs", "25", "--seed", "1", "--out", str(out)))
        assert (ran.code, ran.err) == (0, "")
        (facts,) = ran.json
        assert (facts["target"], facts["runs"], facts["findings"]) == ("module-under-test", 25, [])
        assert facts["outcomes"] >= 2
        file = bank / "session"
        file.write_bytes(b"\x00\x01\x00\x00\x04\xa1\x00\x18\x63")
        again = insitu(*words(bank, at, "--replay", str(file)))
        assert (again.code, json.loads(again.out)["broken"]) == (0, False)
        assert module.end().code == 0
    assert not out.exists()


def test_nobody_is_there(bank: Estate):
    ran = insitu(*words(bank, "tcp:127.0.0.1:1", "--runs", "1"))
    assert ran.code == 4
    assert "module-under-test: no good session" in ran.error


@pytest.mark.parametrize("trust", ["secret", "conveyed"])
def test_under_options_that_need_more_than_a_card(bank: Estate, trust: str):
    """The one costs few attempts at the module, the other wants a mobile at its second link."""
    if trust == "secret":
        told = write_secret(bank / "secret", "a secret that was agreed on")
        done("module", "secret", *bank.unsealed("module"), "--secret-file", told)
        asked, here = ["--secret-file", str(told)], []
    else:
        asked, here = [], ["--mobile", "tcp:127.0.0.1:0"]
    with running(*bank.run_module("--trust", trust, *here)) as module:
        if here:
            asked = ["--mobile", module.note("MobilesMayCome")["at"]]
        at = module.note("Ready")["at"]
        with unchanged(bank, "module.store"):
            ran = insitu(*words(bank, at, "--trust", trust, *asked, "--runs", "12", "--out", str(bank / "findings")))
        assert (ran.code, ran.err) == (0, "")
        assert ran.json[-1]["findings"] == []
        assert module.end().code == 0
    assert bank.status()["state"] == "delivered"
    if trust == "secret":
        assert done("module", "unlock", *bank.unsealed("module")).out.endswith("0 wrong attempts are forgotten\n")


@pytest.mark.parametrize("does", ["nothing", "echo", "noise", "hang up"])
def test_what_is_on_a_serial_port_and_is_no_module(bank: Estate, does: str, monkeypatch: pytest.MonkeyPatch):
    """Whatever it is, somebody is told what was heard, and nothing hangs."""
    monkeypatch.setitem(open_link.__kwdefaults__, "timeout", 1.0)
    with something_at_a_port(does) as port:
        ran = insitu(*words(bank, f"serial:{port}", "--runs", "1"))
    assert ran.code == 4
    assert "module-under-test: no good session" in ran.error
    assert port in ran.error or "no session within 1 s" in ran.error
