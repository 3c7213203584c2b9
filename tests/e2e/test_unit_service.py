"""A unit as a service (V2, K4), by processes: many modules at once, approvals meanwhile, kills, a busy card."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest
from command_processes import Process, running
from commands import PASSPHRASES, SERIAL, Estate, Ran, Words, done, establish, insitu, refused, write_secret

from insitu.protocol.stores.card_log import Intent
from insitu.protocol.stores.files import OS_FILES
from insitu.protocol.stores.log_lines import import_lines
from insitu.shell.waiting import opened

MODULES = 5


def served(bank: Estate, at: str = "tcp:127.0.0.1:0", *options: str) -> Words:
    words = ["--listen", at, "--central", str(bank / "central.pem"), "--json", *options]
    return ["unit", "serve", *bank.unsealed("card", "card"), *words]


@contextmanager
def service(bank: Estate, at: str = "tcp:127.0.0.1:0", *options: str) -> Iterator[tuple[Process, str]]:
    with running(*served(bank, at, *options)) as unit:
        yield unit, unit.note("Ready", state="SERVING")["at"]


def called(bank: Estate, at: str, name: str = "module", *options: str) -> Words:
    return ["module", "run", *bank.unsealed(name), "--unit", at, "--once", "--json", *options]


def intents(bank: Estate) -> list[tuple[str, tuple[str, ...]]]:
    done("log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    log = import_lines((bank / "log.jsonl").read_bytes()).log
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
        lock = Path(f"{bank.store('card')}.lock")
        held = opened(lambda: OS_FILES.lock(lock))  # the unit looks at the card now and then
        try:
            with running(*called(bank, at)) as module:
                assert "busy" in module.note("Error")["error"]
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


def allowed(bank: Estate, *serials: str) -> Words:
    """A job list with these modules on it, as an option of the unit."""
    jobs = ["--jobs", str(bank / "jobs.json")]
    done("unit", "allow", *jobs, *(word for serial in serials for word in ("--serial", serial)), "--days", "1")
    return jobs


def waiting(bank: Estate) -> list[dict[str, object]]:
    return done("unit", "queue", *bank.unsealed("card", "card"), "--json").json


def approve_key(bank: Estate, job: object, *people: str) -> Ran:
    return insitu("unit", "approve", *bank.unsealed("card", "card"), *bank.people(*people), "--job", str(job))


def test_two_approvers_a_queue_and_many_modules(bank):
    """K4, V2, L13: all of them wait side by side; alice comes first, bob later; whom nobody listed is turned away."""
    names = [f"module-{number}" for number in range(MODULES)]
    for name in (*names, "stranger"):
        bank.deliver(name.upper(), name)
    with service(bank, "tcp:127.0.0.1:0", *allowed(bank, "MODULE-*"), "--health", "tcp:127.0.0.1:0") as (unit, at):
        health = next(json.loads(line)["at"] for line in unit.out.splitlines() if "HEALTH" in line).removeprefix("tcp:")
        with ExitStack() as stack:
            other = stack.enter_context(running(*called(bank, at, "stranger")))
            assert "unavailable" in other.note("Error")["error"]
            modules = [stack.enter_context(running(*called(bank, at, name))) for name in names]
            keys = {module.note("KeyMade")["fingerprint"] for module in modules}
            for module in modules:
                module.note("PeopleAwaited", party="module", seconds=900)
            jobs = waiting(bank)
            assert {job["key"] for job in jobs} == keys, "the approvers see what the modules show"
            assert {job["serial"] for job in jobs} == {name.upper() for name in names}
            assert f"insitu_approvals_awaited {MODULES:.1f}" in get(health, "/metrics")
            for job in jobs:
                ran = approve_key(bank, job["job"], "alice")
                assert f"key       {job['key']}" in ran.out
                assert "1 approval missing" in ran.out
            assert intents(bank)[-1][0] not in {name.upper() for name in names}, "one is not enough"
            assert approve_key(bank, jobs[0]["job"], "alice").code == 5, "nor the same one twice"
            for job in jobs:
                assert approve_key(bank, job["job"], "bob").code == 0
            assert [module.wait().code for module in modules] == [0] * MODULES
            other.end()
        metrics = get(health, "/metrics")
        assert f'insitu_personalizations_total{{outcome="done"}} {MODULES:.1f}' in metrics
        assert 'insitu_refusals_total{outcome="unavailable"}' in metrics
        assert get(health, "/ready") == "ready\n"
        assert unit.end().code == 0
    assert bank.status("stranger")["state"] == "delivered"
    made = [subject for subject, people in intents(bank) if people == ("alice", "bob") and subject.startswith("MOD")]
    assert sorted(made) == [name.upper() for name in names], "one certificate each"
    assert waiting(bank) == []


def get(health: str, path: str) -> str:
    with closing(HTTPConnection(health, timeout=10)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def test_withdrawn_from_the_list_while_it_waits(bank):
    with service(bank, "tcp:127.0.0.1:0", *allowed(bank, SERIAL)) as (unit, at), running(*called(bank, at)) as module:
        module.note("PeopleAwaited")
        done("unit", "withdraw", "--jobs", bank / "jobs.json", "--serial", SERIAL)
        unit.note("ModuleTurnedAway", serial=SERIAL)
        module.end()
        unit.end()
    assert bank.status()["state"] == "delivered"
    assert done("unit", "jobs", "--jobs", bank / "jobs.json").out == ""


def with_standing(directory: Path, trust: str) -> Estate:
    """A bank whose card admits standing approvals for two days, and two modules, with tickets if need be."""
    estate = establish(directory, "Standing", "--standing-most", "3", "--standing-days", "2")
    ticket: Words = []
    if trust == "ticket":
        sealed = estate.unsealed("tickets", "tickets", "tickets-")
        write_secret(estate / "tickets.passphrase", PASSPHRASES["card"])
        out = estate.unsealed("tickets", "out", "out-")
        done("card", "tickets", *estate.unsealed("card"), *estate.people(), "--count", "2", *out)
        done("manufacturer", "take-tickets", *estate.unsealed("manufacturer"), *sealed)
        ticket = ["--ticket", "Standing Bank"]
    for serial in ("SM-71", "SM-72"):
        estate.deliver(serial, serial, *ticket)
    return estate


@pytest.mark.parametrize("trust", ["certificates-one-way", "ticket"])
def test_under_a_standing_approval_and_other_options(bank, tmp_path, trust):
    """Nobody is asked; the log names the standing approval; the second module is one too many."""
    estate = with_standing(tmp_path, trust)
    card = estate.unsealed("card")
    words = ["--serial", "SM-7*", "--most", "1", "--until", "2099-01-01"]
    refused(2, "card", "standing", "approve", *card, *estate.people(), *words, says=("end of a standing approval",))
    until = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    words = ["--serial", "SM-7*", "--most", "1", "--until", until, "--days", "30"]
    assert "1 approval missing" in done("card", "standing", "approve", *card, *estate.people("alice"), *words).out
    assert "in force" in done("card", "standing", "approve", *card, *estate.people("bob"), *words).out
    option = ["--trust", trust]
    with service(estate, "tcp:127.0.0.1:0", *option) as (unit, at):
        with running(*called(estate, at, "SM-71", *option)) as module:
            assert module.wait().code == 0
        with running(*called(estate, at, "SM-72", *option)) as module:
            assert module.note("Error")
            module.end()
        unit.end()
    (standing,) = done("card", "standing", "list", *card, "--json").json
    assert (standing["used"], standing["most"]) == (1, 1)
    done("log", "export", *card, "--out", estate / "log.jsonl")
    log = import_lines((estate / "log.jsonl").read_bytes()).log
    named = {each.what.subject: each.what.standing.hex() for each in log if isinstance(each.what, Intent)}
    assert {subject: number for subject, number in named.items() if number} == {"SM-71": standing["standing"]}
    done("card", "standing", "withdraw", *card, "--number", standing["standing"])
    assert done("card", "standing", "list", *card, "--json").json == []


def test_a_unit_within_the_central_system(bank):
    """One process personalizes the module and works with it; a card that is disabled there signs no more."""
    bank.deliver("SM-88", "other")
    bank.approved("--module", SERIAL)
    words = ["--with-unit", str(bank.store("card")), "--unit-passphrase-file", str(bank / "card.passphrase")]
    words += ["--unit-listen", "tcp:127.0.0.1:0", "--health", "tcp:127.0.0.1:0"]
    with running(*bank.serve(*words)) as host:
        health = host.note("Ready", state="HEALTH")["at"].removeprefix("tcp:")
        places = [host.note("Ready") for _ in range(2)]
        at = {place["state"]: place["at"] for place in places}
        call = ["module", "run", *bank.unsealed("module"), "--unit", at["SERVING_UNIT"], "--json"]
        with running(*call, "--central", at["SERVING"], "--requests") as module:
            host.note("ModulePersonalized", serial=SERIAL)
            module.note("StateEntered", state="ONLINE")
            host.note("ModuleContacted", serial=SERIAL)
            metrics = get(health, "/metrics")
            assert 'insitu_personalizations_total{outcome="done"} 1.0' in metrics
            assert "insitu_modules_online 1.0" in metrics
            bank.approved("--module", "SM-88")
            done("central", "disable", *bank.unsealed("central")[:2], "--issuer", bank / "customer.pem")
            with running(*called(bank, at["SERVING_UNIT"], "other")) as other:
                assert "unavailable" in other.note("Error")["error"]
                other.end()
            module.end()
        assert host.end().code == 0
        assert "not trusted here" in host.out
    assert bank.status("other")["state"] == "delivered"
    assert "SM-88" not in dict(intents(bank))


def test_what_is_refused_before_anything_listens(bank, stranger):
    refused(2, *served(bank, "serial:/dev/null"), says=("tcp:HOST:PORT",))
    refused(2, *served(bank, "tcp:127.0.0.1:0", "--trust", "physical"), says=("physical", "wired local link"))
    refused(2, *served(bank, "tcp:127.0.0.1:0", "--trust", "shipped-key"), says=("shipped-key", "documents"))
    (bank / "jobs.json").write_text("{}")
    refused(4, *served(bank, "tcp:127.0.0.1:0", "--jobs", str(bank / "jobs.json")), says=("no job list",))
    unit = ["--unit-listen", "tcp:127.0.0.1:0", "--with-unit", str(stranger.store("card"))]
    passphrase = ["--unit-passphrase-file", str(stranger / "card.passphrase")]
    refused(5, *bank.serve(*unit, *passphrase), says=("not trusted here",))
    refused(2, *bank.serve("--unit-listen", "tcp:127.0.0.1:0"), says=("--with-unit",))
    refused(2, "unit", "allow", "--jobs", bank / "new.json", "--serial", "SM-1", says=("--until or --days",))
    refused(2, "unit", "approve", *bank.unsealed("card", "card"), *bank.people(), "--job", "12", says=("32 hex",))
    card = bank.unsealed("card")
    words = ["--serial", "SM-1", "--most", "1", "--until", "2099-01-01"]
    refused(5, "card", "standing", "approve", *card, *bank.people(), *words, says=("no standing approvals",))
    words = ["module", "run", *bank.unsealed("module")]
    refused(2, *words, says=("--link or --unit",))
    refused(2, *words, "--unit", "tcp:127.0.0.1:1", "--trust", "physical", says=("physical",))
