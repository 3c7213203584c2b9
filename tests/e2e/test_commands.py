"""The commands for the real thing, one by one, with the long-running ones in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from command_processes import Process, between, place, running, serial_line
from commands import AUTHORIZE, SERIAL, Estate, certificate, done, insitu
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from insitu.protocol.stores.card_log import Intent, Result
from insitu.protocol.stores.log_lines import import_lines


def words_of(digest: bytes) -> str:
    """A fingerprint as the commands write it."""
    text = digest.hex().upper()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def key_of(path: Path) -> str:
    """The fingerprint of a certificate's key, which people compare."""
    public = certificate(path).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return words_of(sha256(public).digest())


def certificate_of(path: Path) -> str:
    return words_of(certificate(path).fingerprint(SHA256()))


@contextmanager
def at_work(bank: Estate, *options: str, link: str = "tcp:127.0.0.1:0") -> Iterator[tuple[Process, Process, str]]:
    """A central system and a module that run: both, and where the module waits for units."""
    with ExitStack() as stack:
        host = stack.enter_context(running(*bank.serve()))
        words = bank.run_module("--central", place(host), "--requests", *options, link=link)
        module = stack.enter_context(running(*words))
        yield host, module, place(module)


def personalized(bank: Estate, link: str, *options: str, out: str = "module.pem") -> list[dict[str, Any]]:
    """Approve and personalize; the unit's notes. A person at the physical option says that the fingerprints agree."""
    bank.approved("--module", SERIAL)
    words = bank.personalize(link, "--out", str(bank / out), *options)
    if "physical" not in options:
        return done(*words).json
    with running(*words) as unit:
        unit.note("KeyPresented")
        unit.write(b"y\n")
        ran = unit.wait()
    assert ran.code == 0
    return ran.json


def log_of(bank: Estate) -> list[object]:
    out = bank / "log.jsonl"
    done("log", "export", *bank.unsealed("card"), "--out", out)
    return [entry.what for entry in import_lines(out.read_bytes()).log]


# The life of a module ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["certificates", "physical"])
def test_a_life(bank, option):
    """Personalized over a line, at work, reset by command, personalized again, reset by hand."""
    trust = ("--trust", option, *(("--declare-wired",) if option == "physical" else ()))
    with serial_line() as line, at_work(bank, *trust, link=line.right) as (host, module, _):
        notes = personalized(bank, line.left, *trust, out="first.pem")
        assert notes[-1]["note"] == "Result"
        assert notes[-1]["certificate"] == certificate_of(bank / "first.pem")
        assert module.note("KeyMade")["fingerprint"] == key_of(bank / "first.pem")
        module.note("StateEntered", state="ONLINE")
        assert host.note("ModuleContacted")["epoch"] == 0

        module.ask(authorize=AUTHORIZE)
        paid = module.note("PayOutInstructed")
        assert (paid["number"], paid["approved"], paid["amount"]) == (1, True, 5000)
        module.ask(authorize={**AUTHORIZE, "amount": 50_001})
        assert (module.note("PayOutInstructed")["approved"]) is False
        module.ask(settle={"number": 1, "paid": 5000})
        module.note("PayloadReceived", number=3)
        module.ask(settle={"number": 1, "paid": 5000})
        assert "refused" in module.note("Error")["error"], "an outcome is told once"

        host.ask(reset=SERIAL)
        assert module.note("KeysErased")["epoch"] == 1
        assert host.note("ModuleReset")["epoch"] == 1

        personalized(bank, line.left, *trust, out="second.pem")
        module.note("StateEntered", state="ONLINE")
        assert host.note("ModuleContacted")["epoch"] == 1
        assert key_of(bank / "second.pem") != key_of(bank / "first.pem")

        module.ask(reset="by hand")
        assert module.note("KeysErased")["epoch"] == 2
        assert (module.end().code, host.end().code) == (0, 0)
    assert bank.status().items() >= {"serial": SERIAL, "state": "reset", "epoch": 2, "certificate": None}.items()
    assert [type(what) for what in log_of(bank)] == [Intent, Result] * 4


def test_the_key_made_at_manufacture_serves_once(bank):
    """L3: the first personalization may use it by the unit's policy; after a reset always another one."""
    bank.store("module").unlink()
    bank.deliver("SM-78", "module", "--manufactured-key")
    keys = []
    with running(*bank.run_module("--requests")) as module:
        at = place(module)
        for number in (1, 2, 3):
            out = bank / f"module-{number}.pem"
            bank.approved("--module", "SM-78")
            done(*bank.personalize(at, "--manufactured-key", "--out", str(out), serial="SM-78"))
            states = [module.note("StateEntered")["state"] for _ in range(4 if number == 1 else 5)]
            assert ("KEYING" in states) is (number > 1), "a pair is made, but not the first time"
            keys.append(key_of(out))
            module.note("StateEntered", state="OPERATING")
            module.ask(reset="by hand")
            module.note("KeysErased")
        module.end()
    assert len(set(keys)) == 3


def test_without_the_policy_the_key_made_at_manufacture_is_not_used(bank):
    bank.store("module").unlink()
    bank.deliver("SM-78", "module", "--manufactured-key")
    bank.approved("--module", "SM-78")
    with running(*bank.run_module()) as module:
        done(*bank.personalize(place(module), serial="SM-78"))
        module.note("StateEntered", state="KEYING")
        module.end()


def test_two_people_one_after_the_other(bank):
    """Each at a time of their own; what is missing is said each time."""
    for person, says in (("bob", "1 approval missing"), ("alice", "approved by bob and alice, ready to personalize")):
        ran = bank.approve("--module", SERIAL, people=bank.people(person))
        assert (ran.code, says in ran.out) == (0, True)
    status = done("card", "status", *bank.unsealed("card"), "--json").json[0]
    assert [(job["subject"], job["approvals"]) for job in status["jobs"]] == [(SERIAL, ["bob", "alice"])]
    text = done("card", "status", *bank.unsealed("card")).out
    assert f"module {SERIAL} for 365 days: approved by bob and alice" in text


def test_module_run_once_ends_when_it_operates(bank):
    with running(*bank.run_module("--once")) as module:
        personalized(bank, place(module))
        assert module.wait().code == 0
    assert bank.status()["state"] == "operating"
    assert done("module", "reset", *bank.unsealed("module"), "--yes").out.endswith("epoch 1 begins\n")
    assert bank.status().items() >= {"state": "reset", "epoch": 1, "certificate": None}.items()


# A module that operates --------------------------------------------------------------------------------------


def test_an_operating_module_is_not_personalized(bank):
    """S1: state and fingerprint are told, and nothing changes, whatever was approved."""
    with running(*bank.run_module()) as module:
        at = place(module)
        personalized(bank, at)
        bank.approved("--module", SERIAL)
        before = bank.durable()
        ran = insitu(*bank.personalize(at, "--out", str(bank / "again.pem")))
        assert ran.code == 5
        assert f"got operating, epoch 0, certificate {certificate_of(bank / 'module.pem')}" in ran.error
        assert bank.durable() == before
        assert module.end().code == 0
    assert bank.status()["certificate"] == certificate_of(bank / "module.pem")


@pytest.mark.parametrize("source", ["file", "hook"])
def test_unattended_restart(bank, source):
    """Killed while it operates and started again: it is online without anybody, with the passphrase from its source."""
    personal = bank.run_module()
    if source == "hook":
        at = personal.index("--passphrase-file")
        personal[at : at + 2] = ["--passphrase-hook", f"cat {bank / 'module.passphrase'}"]
    with running(*bank.serve()) as host:
        words = [*personal, "--central", place(host)]
        with running(*words) as module:
            personalized(bank, place(module))
            host.note("ModuleContacted")
            assert module.end(signal.SIGKILL).code == -signal.SIGKILL
        with running(*words) as module:
            assert module.note("Ready")["state"] == "OPERATING"
            module.note("StateEntered", state="ONLINE")
            assert host.note("ModuleContacted")["epoch"] == 0
            module.end()
        host.end()
    assert bank.status()["certificate"] == certificate_of(bank / "module.pem")


def test_the_central_system_restarts(bank):
    """Killed and started again: the module comes back by itself, and what was acknowledged is there, once (S10)."""
    with running(*bank.serve()) as host:
        address = place(host)
        with running(*bank.run_module("--central", address, "--requests")) as module:
            personalized(bank, place(module))
            host.note("ModuleContacted")
            module.note("StateEntered", state="ONLINE")
            module.ask(authorize=AUTHORIZE)
            module.note("PayOutInstructed", number=1)
            host.end(signal.SIGKILL)
            module.ask(send="00ff")  # kept meanwhile
            module.note("PayloadKept", number=2)
            module.ask(settle={"number": 1, "paid": 4000})
            with running(*bank.serve("--listen", address)) as again:
                again.note("ModuleContacted")
                module.note("PayloadReceived", number=3)
                module.ask(authorize=AUTHORIZE)
                module.note("PayOutInstructed", number=4)
                again.end()
            module.end()
    transactions = done("central", "transactions", *registry(bank), "--module", SERIAL, "--json").json
    assert [(each["number"], each["paid"]) for each in transactions] == [(1, 4000), (4, None)]


def registry(bank: Estate) -> tuple[str, str]:
    return ("--store", str(bank.store("central")))


def test_the_module_is_killed_at_work(bank):
    """What was kept reaches the host once; an authorization that nobody answered is settled with nothing."""
    with running(*bank.serve()) as host:
        words = bank.run_module("--central", place(host), "--requests")
        with running(*words) as module:
            personalized(bank, place(module))
            host.note("ModuleContacted")
            module.note("StateEntered", state="ONLINE")
            module.ask(send="01")
            module.note("PayloadKept", number=1)
            module.ask(authorize=AUTHORIZE)
            module.note("PayOutInstructed", number=2)
            module.ask(send="02")
            module.note("PayloadKept", number=3)
            module.end(signal.SIGKILL)
        with running(*words) as module:
            module.note("StateEntered", state="ONLINE")
            module.ask(settle={"number": 2, "paid": 5000})
            module.note("PayloadReceived", number=4)
            module.end()
        host.end()
    (paid,) = done("central", "transactions", *registry(bank), "--module", SERIAL, "--json").json
    assert (paid["number"], paid["paid"]) == (2, 5000)


def test_the_operator_at_the_registry(bank, tmp_path):
    """Commands of other processes reach a module that is online: instruction, key, disabling, reset, audit trail."""
    with at_work(bank) as (host, module, at):
        personalized(bank, at)
        host.note("ModuleContacted")
        module.note("StateEntered", state="ONLINE")
        payload = tmp_path / "payload"
        payload.write_bytes(b"open")
        done("central", "instruct", *registry(bank), "--module", SERIAL, "--file", str(payload))
        assert module.note("InstructionCame")["content"] == b"open".hex()
        module.ask(take=1)
        key = ("--usage", "mac", "--until", "2030-01-01T00:00:00Z", "--uses", "5")
        told = done("central", "load-key", *bank.unsealed("central"), "--module", SERIAL, *key)
        taken = module.note("KeyTaken")
        assert taken["check_value"] in told.out
        assert host.note("CommandConcluded", number=2)["outcome"] == taken["check_value"]
        (entry,) = done("central", "modules", *registry(bank), "--json").json
        assert (entry["serial"], entry["standing"]) == (SERIAL, "operating")
        done("central", "disable", *registry(bank), "--module", SERIAL, "--reason", "stolen")
        assert "disabled" in host.note("Error")["error"]
        assert "refused" in module.note("Error")["error"]
        done("central", "enable", *registry(bank), "--module", SERIAL)
        module.note("KeysErased")
        module.end()
        host.end()
    trail = done("central", "audit", *registry(bank), "--json").json
    actions = [each["action"] for each in trail]
    assert actions == ["trusted", "registered", "commanded", "commanded", "disabled", "enabled", "reset"]
    assert "whole" in done("central", "status", *registry(bank)).out


def test_a_restored_store_is_noticed(bank):
    """S4: a copy from before the reset does not get in, but is reset as well."""
    with at_work(bank) as (host, module, at):
        personalized(bank, at)
        host.note("ModuleContacted")
        old = bank.store("module").read_bytes()
        host.ask(reset=SERIAL)
        host.note("ModuleReset")
        module.end()
        bank.store("module").write_bytes(old)
        with running(*bank.run_module("--central", place_of(host))) as copy:
            assert copy.note("Ready")["state"] == "OPERATING"
            assert copy.note("KeysErased")["epoch"] == 1
            copy.end()
        assert host.end().out.count("ModuleContacted") == 1
    assert bank.status()["state"] == "reset"


def place_of(host: Process) -> str:
    return next(note["at"] for note in map(json.loads, host.out.splitlines()) if note["note"] == "Ready")


def test_a_module_is_reset_at_its_next_contact(bank):
    """Ordered while it is not online; from then on it can do nothing else, also after the host has started again."""
    with at_work(bank) as (host, module, at):
        personalized(bank, at)
        host.note("ModuleContacted")
        module.end()
        host.note("SessionEnded")
        assert "ordered" in done("central", "reset", *registry(bank), "--module", SERIAL, "--yes").out
        host.end(signal.SIGKILL)
    with at_work(bank) as (host, module, _):
        assert module.note("KeysErased")["epoch"] == 1
        assert host.note("ModuleReset")["epoch"] == 1
        module.end()
        assert "ModuleContacted" not in host.end().out


def test_health_and_metrics(bank):
    """What a monitoring system asks; no serial number, card or amount is in it."""
    with ExitStack() as stack:
        host = stack.enter_context(running(*bank.serve("--health", "tcp:127.0.0.1:0")))
        health = host.note("Ready", state="HEALTH")["at"].removeprefix("tcp:")
        at = host.note("Ready", state="SERVING")["at"]

        def get(path: str) -> tuple[int, str]:
            connection = HTTPConnection(health, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            return answer.status, text

        assert get("/alive") == (200, "alive\n")
        assert get("/ready") == (200, "ready\n")
        assert get("/registry")[0] == 404
        module = stack.enter_context(running(*bank.run_module("--central", at, "--requests")))
        personalized(bank, place(module))
        module.note("StateEntered", state="ONLINE")
        module.ask(authorize=AUTHORIZE)
        module.note("PayOutInstructed")
        status, text = get("/metrics")
        assert status == 200
        assert "insitu_modules_online 1.0" in text
        assert 'insitu_transactions_total{outcome="approved"} 1.0' in text
        assert SERIAL not in text
        where, _, port = health.rpartition(":")
        for number in range(20):  # some leave in the middle of a line, by force
            with socket.create_connection((where, int(port))) as rude:
                rude.sendall(b"GET /al")
                if number % 2:
                    rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert get("/alive") == (200, "alive\n")
        module.end()
        assert host.end().err == ""


# Killed in the middle ----------------------------------------------------------------------------------------

UNIT_POINTS = ["Secured", "KeyPresented", "ModulePersonalized"]
MODULE_POINTS = ["Secured", "KeyMade", "StateEntered CONFIRMING", "StateEntered OPERATING"]


@pytest.mark.parametrize("point", UNIT_POINTS)
def test_the_unit_is_killed(bank, point):
    """Old state or new one; a second attempt finishes, or finds it done."""
    bank.approved("--module", SERIAL)
    with running(*bank.run_module()) as module:
        at = place(module)
        with running(*bank.personalize(at)) as unit:
            unit.note(point)
            unit.end(signal.SIGKILL)
        finish(bank, at, old={"state": "delivered"})
        module.end()
    assert bank.status()["state"] == "operating"
    complete(bank)


@pytest.mark.parametrize("point", MODULE_POINTS)
def test_the_module_is_killed(bank, point):
    bank.approved("--module", SERIAL)
    note, _, state = point.partition(" ")
    with running(*bank.run_module()) as module, running(*bank.personalize(place(module))) as unit:
        module.note(note, **({"state": state} if state else {}))
        module.end(signal.SIGKILL)
        ran = unit.wait()
        assert ran.code in (0, 3)
        assert ran.code == 3 or point == MODULE_POINTS[-1]
    assert bank.status()["state"] in ("delivered", "operating")
    with running(*bank.run_module()) as module:
        finish(bank, place(module), old={})
        module.end()
    assert bank.status()["state"] == "operating"
    complete(bank)


def finish(bank: Estate, link: str, old: dict[str, str]) -> None:
    """A second attempt, newly approved: it personalizes, or is told that this has happened."""
    bank.approved("--module", SERIAL)
    ran = insitu(*bank.personalize(link, "--out", str(bank / "module.pem")))
    assert ran.code in (0, 5), ran.err
    if ran.code == 5:
        assert "got operating, epoch 0" in ran.error


def complete(bank: Estate) -> None:
    """The certificate that the module has is in the card's log, whatever happened in between (L12)."""

    results = [words_of(what.fingerprint) for what in log_of(bank) if isinstance(what, Result)]
    assert bank.status()["certificate"] in results


def test_killed_at_random(bank):
    """kill -9 of the module after so many bytes on the wire, again and again, until a personalization gets through."""
    attempts = 0
    for after in (100, 500, 560, 640, 10_000):
        bank.approved("--module", SERIAL)
        with running(*bank.run_module()) as module:

            def tamper(forth: bool, passed: int, data: bytes, at: int = after, pid: int = module.pid) -> bytes | None:
                if not forth and passed + len(data) >= at:
                    os.kill(pid, signal.SIGKILL)
                    return None
                return data

            with between(place(module), tamper) as address:
                ran = insitu(*bank.personalize(address))
            attempts += 1
            if ran.code == 0:
                module.end()
                break
            assert ran.code == 3
        if bank.status()["state"] == "operating":
            break
    assert bank.status()["state"] == "operating"
    assert attempts >= 3
    complete(bank)
