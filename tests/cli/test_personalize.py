"""insitu unit personalize for programs: what lacks, the plan, approvals on the way, Ctrl-C at the card, read back."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest
from command_processes import Process, running
from commands import PASSPHRASES, PINS, SERIAL, Estate, done, insitu, refused, unchanged

from insitu.cli import personalizing
from insitu.protocol.parties.unit import ModuleReported
from insitu.shell.card import Card
from insitu.shell.unit import Unit

PLAN = {
    "note",
    "party",
    "serial",
    "module",
    "link",
    "trust",
    "leaves",
    "key",
    "salt",
    "days",
    "customer",
    "customer_certificate",
    "circular",
    "central",
    "central_certificate",
    "job",
    "approvals",
    "expires",
    "last_certificate",
}
RESULT = {"note", "party", "ok", "serial", "certificate", "read_back", "sent", "received", "circular"}
UNFINISHED = {"note", "party", "ok", "serial", "step", "job", "approvals", "certificate", "next"}


@pytest.fixture
def module(bank: Estate) -> Iterator[Process]:
    with running(*bank.run_module()) as process:
        yield process
        process.end()


@pytest.fixture
def at(module: Process) -> str:
    return str(module.note("Ready")["at"])


# Without a terminal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lacks", ["--link", "--serial", "--central"])
def test_what_lacks_is_not_asked_for_without_a_terminal(bank, lacks):
    words = bank.personalize("tcp:127.0.0.1:9")
    at = words.index(lacks)
    del words[at : at + 2]
    with unchanged(bank):
        refused(2, *words, says=(f"{lacks} is missing, and nobody to ask",))


def test_a_pin_of_nobody(bank):
    words = bank.personalize("tcp:127.0.0.1:9", "--pin-file", f"alice={bank / 'alice.pin'}")
    with unchanged(bank):
        refused(2, *words, says=("PIN of nobody",))


def test_nobody_is_asked_to_go_on(bank, at):
    bank.approved("--module", SERIAL)
    ran = done(*(word for word in bank.personalize(at) if word != "--json"))
    assert "Go on?" not in ran.out + ran.err
    assert all(line.isprintable() for line in ran.out.splitlines())


# The plan ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approved", [False, True])
def test_a_dry_run_changes_nothing(bank, at, approved):
    if approved:
        bank.approved("--module", SERIAL, "--days", "30")
    with unchanged(bank):
        asked, plan = done(*bank.personalize(at, "--dry-run")).json
    assert asked == {"note": "ModuleAsked", "party": "unit", "serial": SERIAL, "state": "waiting"}
    assert plan.keys() == PLAN
    assert (plan["module"], plan["link"], plan["trust"]) == ("it waits to be personalized", at, "certificates")
    assert "a manufacturer who signs wrong keys" in plan["leaves"]
    assert (plan["customer"], plan["central"], plan["key"]) == ("First Bank", "First Host", "new")
    assert plan["days"] == (30 if approved else 365)
    assert plan["approvals"] == (["alice", "bob"] if approved else [])
    assert (plan["job"] is not None) is (plan["salt"] is not None) is approved
    done(*bank.personalize(at, *([] if approved else bank.people())))


def test_a_plan_without_a_link(bank):
    with unchanged(bank):
        words = bank.personalize("", "--dry-run", "--manufactured-key")
        del words[words.index("--link") : words.index("--link") + 2]
        (plan,) = done(*words).json
        text = done(*(word for word in words if word != "--json")).out
    assert (plan["link"], plan["module"], plan["key"]) == ("", "not asked yet", "manufactured or new")
    assert "log          the card has certified no key of this module yet" in text


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("tan", "uses up a TAN"),
        ("secret", "an attempt"),
        ("ticket", "the ticket"),
        ("conveyed", "an errand of the mobile"),
    ],
)
def test_what_asking_would_use_up_is_not_used_up_for_a_plan(bank, option, says):
    """Nobody listens there, and nobody is asked for the secret, the book or the mobiles."""
    with unchanged(bank):
        (plan,) = done(*bank.personalize("tcp:127.0.0.1:9", "--dry-run", "--trust", option)).json
    assert says in plan["module"]


def test_the_plan_of_a_module_that_operates_says_so(bank, at):
    bank.approved("--module", SERIAL)
    done(*bank.personalize(at))
    with unchanged(bank):
        (result,) = done(*bank.personalize(at, "--dry-run")).json
        assert result["read_back"]["state"] == "operating"
    bank.approved("--module", SERIAL)
    with unchanged(bank):
        ran = insitu(*bank.personalize(at, "--dry-run"))
    assert (ran.code, ran.out) == (5, "")
    assert "which the card's log names" in ran.error


# Approvals on the way ----------------------------------------------------------------------------------------


def test_people_approve_on_the_way(bank, at):
    notes = done(*bank.personalize(at, "--days", "9", *bank.people())).json
    kinds = [note["note"] for note in notes]
    assert kinds[:2] == ["Plan", "Approved"]
    approved = notes[1]
    assert (approved["approvals"], approved["missing"]) == (["alice", "bob"], 0)
    assert notes[-1].keys() == RESULT


def test_one_person_after_the_other(bank, at):
    """What one approved stays, is said, and counts for the next."""
    ran = insitu(*bank.personalize(at, *bank.people("bob")))
    assert ran.code == 5
    assert "the job for SM-77 lacks approval" in ran.error
    assert "approved by bob, 1 approval missing, until " in ran.error
    last = ran.json[-1]
    assert last.keys() == UNFINISHED
    assert (last["step"], last["approvals"], last["certificate"]) == ("approving", ["bob"], None)
    again = insitu(*bank.personalize(at, *bank.people("bob")))
    assert (again.code, "no approval of bob is missing" in again.error) == (5, True)
    assert done(*bank.personalize(at, *bank.people("alice"))).json[-1]["note"] == "Result"


def test_a_wrong_pin_is_counted_and_nothing_goes_on(bank, at):
    wrong = bank / "bob.passphrase"
    wrong.touch(mode=0o600)
    wrong.write_text("9" * 8)
    ran = insitu(*bank.personalize(at, *bank.people("alice", "bob", bob=wrong)))
    assert ran.code == 2
    assert "wrong PIN of bob, 4 tries left" in ran.error
    assert ran.json[-1]["approvals"] == ["alice"]


def test_secrets_by_standard_input(bank, at):
    """A line for each `-`, in the order in which they are wanted: the passphrase, then the PINs as people are named."""
    words = bank.personalize(at, "--person", "bob", "--pin-file", "bob=-", "--person", "alice", "--pin-file", "alice=-")
    words[words.index("--passphrase-file") + 1] = "-"
    with running(*words) as unit:
        unit.write("\n".join((PASSPHRASES["card"], PINS["bob"], PINS["alice"], "")).encode())
        ran = unit.wait()
    assert ran.code == 0, ran.err
    assert ran.json[1]["approvals"] == ["bob", "alice"]


def test_standard_input_that_has_ended(bank, at):
    words = bank.personalize(at, "--person", "bob", "--pin-file", "bob=-")
    with running(*words) as unit:
        unit.close_input()
        ran = unit.wait()
    assert ran.code == 2
    assert "passphrase from standard input (expected 1 to 4096 bytes, got nothing)" in ran.error


# Ctrl-C at the card ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("call", "step"), [("propose", "nothing approving"), ("approve", "approving"), ("certify", "certified")]
)
def test_interrupted_at_the_card(bank, at, monkeypatch, call, when, step):
    """A signature that was begun is finished and in the log, whoever interrupts; nothing else is half done either."""
    real = getattr(Card, call)
    times = iter([True])

    def interrupted(*given: object, **named: object) -> object:
        now = next(times, False)
        if now and when == "before":
            os.kill(os.getpid(), signal.SIGINT)
        answer = real(*given, **named)
        if now and when == "after":
            os.kill(os.getpid(), signal.SIGINT)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Card, call, interrupted)
        ran = insitu(*bank.personalize(at, *bank.people()))
    assert ran.code == 130
    assert ran.json[-1]["note"] == "Unfinished"
    assert ran.json[-1]["step"] in step.split()
    assert ran.error == f"interrupted; {ran.json[-1]['next']}"
    assert done(*bank.personalize(at, *bank.people())).json[-1]["note"] == "Result"


@pytest.mark.parametrize(("durable", "step"), [(0, "approved"), (2, "unknown"), (3, "signing")])
def test_a_card_whose_disk_fails(bank, at, monkeypatch, durable, step):
    """Before the intent is there, as it is replaced, before the result: what is known is said; later the log tells."""
    bank.approved("--module", SERIAL)
    real, certify, left = os.fsync, Card.certify, [1000]

    def fsync(descriptor: int) -> None:
        real(descriptor)
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EIO, "Input/output error")

    def fails_from_here(*given: object) -> bytes:
        left[0] = durable
        return certify(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(Card, "certify", fails_from_here)
        ran = insitu(*bank.personalize(at))
    assert ran.code == 4
    assert "Input/output error" in ran.error
    assert (ran.json[-1]["note"], ran.json[-1]["step"]) == ("Unfinished", step)
    assert ran.json[-1]["next"] in ran.error
    assert done(*bank.personalize(at, *bank.people())).json[-1]["note"] == "Result"


# Read back ---------------------------------------------------------------------------------------------------


def test_what_the_module_says_is_read_back_and_compared(bank, at):
    bank.approved("--module", SERIAL)
    result = done(*bank.personalize(at, "--read-back")).json[-1]
    assert result["read_back"] == {"state": "operating", "epoch": 0, "certificate": result["certificate"]}


def test_a_module_that_says_something_else_is_not_believed(bank, at, monkeypatch):
    real = Unit.look

    async def look(self: Unit, *given: object, **named: object) -> ModuleReported | None:
        reported = await real(self, *given, **named)  # type: ignore[arg-type]
        if reported is None:
            return None
        return replace(reported, status=replace(reported.status, fingerprint=bytes(32)))

    bank.approved("--module", SERIAL)
    monkeypatch.setattr(Unit, "look", look)
    ran = insitu(*bank.personalize(at, "--read-back"))
    assert ran.code == 3
    assert "read back from module SM-77 (expected operating, certificate " in ran.error
    assert [note["note"] for note in ran.json[-2:]] == ["Result", "Unfinished"]
    assert ran.json[-1]["step"] == "personalized"


def test_a_module_that_is_gone_cannot_be_read_back(bank, monkeypatch):
    """It was asked for, so it is an error; what was done is said all the same."""
    monkeypatch.setattr(personalizing, "READ_BACK_SECONDS", 0.0)
    bank.approved("--module", SERIAL)
    with running(*bank.run_module("--once")) as module:
        ran = insitu(*bank.personalize(str(module.note("Ready")["at"]), "--read-back"))
        module.wait()
    assert ran.code in (3, 4)
    assert ran.json[-2]["note"] == "Result"
    assert f"module {SERIAL} is personalized, certificate " in ran.error
