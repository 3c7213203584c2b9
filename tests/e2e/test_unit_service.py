"""A unit as a service (V2, K4), by processes: many modules at once, approvals meanwhile, kills, a busy card."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from command_processes import Process, running
from commands import SERIAL, Estate, Words, done, insitu, refused

from insitu.protocol.stores.card_log import Intent, import_lines
from insitu.protocol.stores.files import OS_FILES

MODULES = 5


def served(bank: Estate, at: str = "tcp:127.0.0.1:0") -> Words:
    words = ["--listen", at, "--central", str(bank / "central.pem"), "--json"]
    return ["unit", "serve", *bank.unsealed("card", "card"), *words]


@contextmanager
def service(bank: Estate, at: str = "tcp:127.0.0.1:0") -> Iterator[tuple[Process, str]]:
    with running(*served(bank, at)) as unit:
        yield unit, unit.note("Ready")["at"]


def called(bank: Estate, at: str, name: str = "module") -> Words:
    return ["module", "run", *bank.unsealed(name), "--unit", at, "--once", "--json"]


def intents(bank: Estate) -> list[tuple[str, tuple[str, ...]]]:
    done("card", "log", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    log = import_lines((bank / "log.jsonl").read_bytes())
    return [(each.what.subject, each.what.approvers) for each in log if isinstance(each.what, Intent)]


def test_many_modules_at_once_and_approvals_meanwhile(bank):
    names = [f"module-{number}" for number in range(MODULES)]
    for name in names:
        bank.deliver(name.upper(), name)
    with service(bank) as (unit, at), ExitStack() as stack:
        modules = [stack.enter_context(running(*called(bank, at, name))) for name in names]
        for module in modules:
            assert "unavailable" in module.note("Error")["error"], "nobody approved it"
        bank.approved("--module", "MODULE-0")
        for name in names[1:]:
            bank.approved("--module", name.upper())
        assert [module.wait().code for module in modules] == [0] * MODULES
        assert unit.end().code == 0
        told = [json.loads(line) for line in unit.out.splitlines()]
        assert {note["serial"] for note in told if note["note"] == "ModulePersonalized"} == {n.upper() for n in names}
    assert all(bank.status(name)["state"] == "operating" for name in names)
    made = [subject for subject, people in intents(bank) if people == ("alice", "bob") and subject.startswith("MOD")]
    assert sorted(made) == [name.upper() for name in names], "one certificate each"


def test_one_approval_is_none_and_another_module_gains_nothing(bank):
    bank.deliver("SM-88", "other")
    bank.approved("--module", "SM-88")
    assert bank.approve("--module", SERIAL, people=bank.people("alice")).code == 0
    with service(bank) as (unit, at), running(*called(bank, at)) as module:
        assert "unavailable" in module.note("Error")["error"]
        assert f"{SERIAL} waits for its personalization" in unit.note("Error")["error"]
        module.end()
        unit.end()
    assert bank.status()["state"] == "delivered"
    assert SERIAL not in dict(intents(bank))


def test_killed_and_started_again(bank):
    bank.approved("--module", SERIAL)
    with service(bank) as (unit, at):
        unit.end(signal.SIGKILL)
    with running(*called(bank, at)) as module:
        module.note("Error")
        with service(bank, at) as (unit, _):
            assert module.wait().code == 0
            unit.note("ModulePersonalized", serial=SERIAL)
            unit.end()
    assert bank.status()["state"] == "operating"


def test_a_card_in_other_hands_is_said_and_nothing_is_used_up(bank):
    bank.approved("--module", SERIAL)
    with service(bank) as (unit, at):
        held = OS_FILES.lock(Path(f"{bank.store('card')}.lock"))
        try:
            with running(*called(bank, at)) as module:
                assert "unavailable" in module.note("Error")["error"]
                held.release()
                assert module.wait().code == 0
        finally:
            held.release()
        assert "the card is busy" in unit.err + unit.out
        unit.end()
    assert [subject for subject, _ in intents(bank)].count(SERIAL) == 1


def test_s5_a_module_whose_identity_its_manufacturer_revoked_is_not_personalized(bank):
    bank.approved("--module", SERIAL)
    maker = bank.unsealed("manufacturer")
    done("manufacturer", "revoke", *maker, "--serial", SERIAL)
    done("manufacturer", "crl", *maker, "--out", bank / "list.pem")
    heard = insitu(*bank.personalize("tcp:127.0.0.1:9", "--crl", str(bank / "list.pem")))
    assert heard.code == 4, "the card has the list; nobody is at that link"
    with service(bank) as (unit, at), running(*called(bank, at)) as module:
        assert "revoked" in unit.note("Error")["error"]
        module.end()
        unit.end()
    assert bank.status()["state"] == "delivered"
    assert SERIAL not in dict(intents(bank))


def test_what_is_refused_before_anything_listens(bank):
    refused(2, *served(bank, "serial:/dev/null"), says=("tcp:HOST:PORT",))
    words = ["module", "run", *bank.unsealed("module")]
    refused(2, *words, says=("--link or --unit",))
    refused(2, *words, "--unit", "tcp:127.0.0.1:1", "--trust", "physical", says=("physical",))
