"""Whatever is wrong with files, secrets, people and states: one clear line, a documented exit code, nothing changed.

Lines and peers are in test_bad_lines.py.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from command_processes import running
from commands import SERIAL, Estate, done, insitu, new, refused, unchanged, write_secret

from insitu.protocol.keys.certificates import fingerprint_text, key_digest
from insitu.protocol.keys.requests import read_request
from insitu.protocol.stores.files import OS_FILES
from insitu.shell import passphrase, pem, waiting
from insitu.shell.peopled_card import tries_text

DAY = 24 * 3600


# Stores ------------------------------------------------------------------------------------------------------


def commands(bank: Estate) -> dict[str, list[str]]:
    """A command of each party that opens its store."""
    request = ["--request", str(bank / "customer-request.pem"), "--out", str(bank / "again.pem")]
    return {
        "manufacturer": ["manufacturer", "sign-customer", *bank.unsealed("manufacturer"), *request],
        "card": ["card", "status", *bank.unsealed("card")],
        "central": bank.serve(),
        "module": bank.run_module(),
    }


PARTIES = ["manufacturer", "card", "central", "module"]


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        pytest.param(lambda data: None, 2, "there is no store", id="missing"),
        pytest.param(lambda data: b"", 4, "truncated", id="empty"),
        pytest.param(lambda data: data[:-1], 4, "truncated", id="truncated"),
        pytest.param(lambda data: data[:10], 4, "truncated", id="head only"),
        pytest.param(lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], 4, "damaged", id="damaged"),
        pytest.param(lambda data: data + b"x", 4, "damaged", id="too long"),
        pytest.param(lambda data: b"-----BEGIN CERTIFICATE-----\n", 2, "not a sealed store", id="foreign"),
    ],
)
def test_a_store_that_is_none(bank, party, change, code, says):
    store = bank.store(party)
    changed = change(store.read_bytes())
    store.unlink() if changed is None else store.write_bytes(changed)
    with unchanged(bank):
        refused(code, *commands(bank)[party], says=("store: ", says, str(store)))


@pytest.mark.parametrize("party", PARTIES)
def test_the_store_of_another_party(bank, party):
    other = PARTIES[PARTIES.index(party) - 1]
    bank.store(party).write_bytes(bank.store(other).read_bytes())
    with unchanged(bank):
        refused(2, *commands(bank)[party], says=("store of another party", f"expected {party}", f"got {other}"))


@pytest.mark.parametrize("party", PARTIES)
def test_a_wrong_passphrase(bank, party):
    write_secret(bank / f"{party}.passphrase", "guess")
    with unchanged(bank):
        refused(2, *commands(bank)[party], says=("passphrase does not open the store", str(bank.store(party))))


@pytest.mark.parametrize("party", PARTIES)
def test_a_store_in_use(bank, party, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.1)
    lock = OS_FILES.lock(bank / f"{party}.store.lock")
    with unchanged(bank):
        refused(4, *commands(bank)[party], says=("store is in use", "expected nobody else", f"process {os.getpid()}"))
    lock.release()


def test_a_store_that_is_in_use_for_a_moment(bank):
    """As the central system's is while a program that serves starts: a key is ordered all the same, a little later."""
    lock = OS_FILES.lock(bank / "central.store.lock")
    threading.Timer(0.3, lock.release).start()
    key = ["--usage", "mac", "--until", "2099-01-01", "--uses", "1"]
    refused(
        5, "central", "load-key", *bank.unsealed("central"), "--module", SERIAL, *key, says=("not in the registry",)
    )


def test_a_store_is_never_replaced(bank):
    words = ["--name", "Again", "--root", bank / "again.pem"]
    with unchanged(bank):
        refused(2, "manufacturer", "init", *bank.unsealed("manufacturer"), *words, says=("there is a store already",))


# Passphrases -------------------------------------------------------------------------------------------------


def test_a_passphrase_file_that_others_can_read(bank):
    (bank / "card.passphrase").chmod(0o644)
    with unchanged(bank):
        refused(2, *commands(bank)["card"], says=("expected 0600 or 0400", "got 0644"))


@pytest.mark.parametrize(
    ("hook", "code", "says"),
    [
        ("false", 4, ("hook command false", "got exit code 1")),
        ("/no/such/hook", 4, ("hook command /no/such/hook", "No such file")),
        ("sleep 60", 4, ("hook command sleep", "within 0.2 s", "got no answer")),
        ("true", 2, ("hook command true", "got nothing")),
        ("echo wrong", 2, ("passphrase does not open the store",)),
        ("", 2, ("hook command", "expected a program")),
        ("echo 'unbalanced", 2, ("hook command", "expected a command line")),
    ],
)
def test_a_hook_that_does_not_serve(bank, monkeypatch, hook, code, says):
    monkeypatch.setattr(passphrase, "from_command", partial(passphrase.from_command, seconds=0.2))
    with unchanged(bank):
        refused(code, "card", "status", "--store", bank.store("card"), "--passphrase-hook", hook, says=says)


def test_a_file_and_a_hook(bank):
    refused(2, *commands(bank)["card"], "--passphrase-hook", "true", says=("expected a file or a command, got both",))


def test_nobody_to_ask(bank):
    refused(2, "card", "status", "--store", bank.store("card"), says=("no terminal to ask at",))


# People and PINs ---------------------------------------------------------------------------------------------


def approve(bank: Estate, *people: str, module: str = "SM-78", **pin_files: Path) -> list[str]:
    words = ["card", "approve", *bank.unsealed("card"), *bank.people(*people, **pin_files)]
    return [*words, "--out", str(bank.directory), "--module", module]


def jobs(bank: Estate) -> dict[str, list[str]]:
    status = done("card", "status", *bank.unsealed("card"), "--json").json[0]
    return {job["subject"]: job["approvals"] for job in status["jobs"]}


def test_five_wrong_pins_lock_a_person_and_no_other(bank, wrong):
    for left in (4, 3, 2, 1, 0):
        with unchanged(bank, "card.store"):
            says = f"card: wrong PIN of alice, {tries_text(left)}"
            refused(2, *approve(bank, "alice", alice=wrong), says=(says,), shown=True)
    with unchanged(bank, "card.store"):
        refused(5, *approve(bank, "alice", alice=wrong), says=("alice is locked",))
        refused(5, *approve(bank, "alice"), says=("alice is locked", "5 wrong PINs"))
    assert jobs(bank)["SM-78"] == []
    assert insitu(*approve(bank, "bob")).code == 0
    assert jobs(bank)["SM-78"] == ["bob"]


def test_a_right_pin_forgives(bank, wrong):
    for _ in range(2):
        for _ in range(4):
            refused(2, *approve(bank, "alice", alice=wrong), shown=True)
        assert insitu(*approve(bank, "alice", module=os.urandom(4).hex())).code == 0


def test_an_attempt_that_broke_off_is_made_again(bank, wrong):
    """Alice's approval counts, bob mistyped; both try once more."""
    refused(2, *approve(bank, bob=wrong), says=("wrong PIN of bob",), shown=True)
    assert jobs(bank)["SM-78"] == ["alice"]
    assert "approved by alice and bob, ready" in done(*approve(bank)).out


def test_two_approvals_of_one_person_are_one(bank):
    done(*approve(bank, "alice"))
    with unchanged(bank):
        refused(2, *approve(bank, "alice", "alice"), says=("expected different people", "got alice, alice"))
        refused(5, *approve(bank, "alice"), says=("approved by alice",), shown=True)


def test_somebody_unknown(bank, wrong):
    with unchanged(bank, "card.store"):
        says = ("expected alice or bob", "got mallory")
        refused(5, *approve(bank, "mallory", mallory=wrong), says=says)
    done(*approve(bank, "alice", "bob"))
    with unchanged(bank):
        refused(5, *approve(bank, "mallory", mallory=wrong), says=says)


def test_the_same_job_has_the_same_terms(bank):
    done(*approve(bank, "alice"), "--days", "30")
    with unchanged(bank):
        refused(5, *approve(bank, "bob"), says=("a job for SM-78 is open",))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], ("what to approve",)),
        (["--unit", ""], ("expected 1 to 64",)),
        (["--unit", "x" * 65], ("expected 1 to 64",)),
        (["--module", "a\x1b[31m\n"], ("expected 1 to 64",)),
        (["--module", "SM-78", "--pin-file", "bob=x"], ("PIN of nobody",)),
        (["--module", "SM-78", "--pin-file", "alice"], ("expected PERSON=FILE",)),
        (["--unit", "unit-2", "--out", "nowhere"], ("expected a directory nowhere",)),
    ],
)
def test_what_to_approve(bank, words, says):
    with unchanged(bank):
        refused(2, "card", "approve", *bank.unsealed("card"), *bank.people("alice"), *words, says=says)


@pytest.mark.parametrize(
    ("people", "code", "says"),
    [
        (["alice"], 2, "two different people"),
        (["alice", "alice"], 2, "different people"),
        (["alice", "short"], 2, "PIN of short"),
    ],
)
def test_a_card_wants_two_people(bank, people, code, says):
    write_secret(bank / "short.pin", "123")
    words = ["--name", "Bank", *bank.people(*people), "--request", bank / "new.pem"]
    with unchanged(bank):
        refused(code, "card", "init", *new(bank, "new"), *words, says=(says,))


# States ------------------------------------------------------------------------------------------------------


def test_a_module_that_was_only_delivered_has_nothing_to_reset(bank):
    with unchanged(bank):
        refused(
            5, "module", "reset", *bank.unsealed("module"), "--yes", says=("module: nothing to erase", "got delivered")
        )
        refused(5, "module", "reset", *bank.unsealed("module"), says=("module: nothing to erase", "got delivered"))


def test_a_serial_number_is_delivered_once(bank):
    with unchanged(bank):
        words = [*bank.unsealed("manufacturer"), "--module", bank.store("twin"), "--serial", SERIAL]
        secret = ["--module-passphrase-file", bank / "module.passphrase"]
        refused(
            5,
            "manufacturer",
            "initialize-module",
            *words,
            *secret,
            says=(f"manufacturer: serial number {SERIAL} is used",),
        )


def test_a_card_is_installed_once(bank):
    words = ["--root", bank / "manufacturer.pem", "--customer", bank / "customer.pem"]
    with unchanged(bank):
        refused(5, "card", "install", *bank.unsealed("card"), *words, says=("card: the card has its certificate",))


def test_a_card_without_certificate_approves_nothing(bank):
    card = new(bank, "second")
    done("card", "init", *card, "--name", "First Bank", *bank.people(), "--request", bank / "second.pem")
    with unchanged(bank):
        refused(5, "card", "approve", *card, *bank.people(), "--module", SERIAL, says=("waits for the manufacturer",))


def test_a_central_system_without_certificate_serves_nobody(bank):
    central = new(bank, "second")
    done("central", "init", *central, "--name", "Host", "--request", bank / "second.pem")
    with unchanged(bank):
        refused(5, "central", "serve", *central, "--listen", "tcp:127.0.0.1:0", says=("central install",))


@pytest.mark.parametrize(("approvers", "says"), [((), "no job"), (("alice",), "two different people")])
def test_a_personalization_wants_two_approvals(bank, approvers, says):
    if approvers:
        done(*approve(bank, *approvers, module=SERIAL))
    with unchanged(bank):
        refused(5, *bank.personalize("tcp:127.0.0.1:1"), says=("card: ", SERIAL, says))


def test_approvals_do_not_last(bank, later):
    bank.approved("--module", SERIAL)
    later(2 * DAY)
    with unchanged(bank):
        refused(5, *bank.personalize("tcp:127.0.0.1:1"), says=(f"no job for {SERIAL}",))


# The place where things are kept ------------------------------------------------------------------------------


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond some bytes; what root may do makes no difference."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def writing(bank: Estate) -> dict[str, list[str | Path]]:
    """A command of each party that changes its store or makes one."""
    request = bank / "new.pem"
    return {
        "manufacturer init": [*new(bank, "new"), "--name", "New", "--root", request],
        "manufacturer sign-customer": [
            *bank.unsealed("manufacturer"),
            "--request",
            bank / "customer-request.pem",
            "--out",
            request,
        ],
        "card init": [*new(bank, "new"), "--name", "New", *bank.people(), "--request", request],
        "card approve": [*bank.unsealed("card"), *bank.people(), "--module", "SM-78"],
        "log export": [*bank.unsealed("card"), "--out", request],
        "central init": [*new(bank, "new"), "--name", "New", "--request", request],
    }


@pytest.mark.parametrize("command", ["manufacturer init", "card init", "card approve", "central init"])
def test_a_full_disk(bank, command):
    words = writing(bank)[command]
    with unchanged(bank), full_disk():
        refused(4, *command.split(), *words, says=("store cannot be read or written", "File too large"))


@pytest.mark.parametrize(
    "command", ["manufacturer init", "manufacturer sign-customer", "card init", "log export", "central init"]
)
def test_a_result_that_cannot_be_written(bank, command):
    """What is useless without the file is not kept either; a second attempt finds the way clear."""
    words = [bank / "no" / "new.pem" if word == bank / "new.pem" else word for word in writing(bank)[command]]
    with unchanged(bank):
        line = refused(4 if "init" in command else 2, *command.split(), *words)
    assert line.startswith(f"cannot write {bank / 'no' / 'new.pem'}")
    done(*command.split(), *writing(bank)[command])


@pytest.mark.parametrize("command", ["manufacturer init", "card init", "central init"])
def test_a_directory_where_nothing_can_be_made(bank, command):
    """The kernel's own, which even root cannot write."""
    words = [word if word != str(bank.store("new")) else "/sys/new.store" for word in writing(bank)[command]]
    with unchanged(bank):
        refused(4, *command.split(), *words, says=("store cannot be read or written: /sys/new.store",))


@pytest.mark.parametrize("party", PARTIES)
def test_a_store_that_cannot_be_locked(bank, party):
    """As in a directory where nothing can be made: then nothing can be kept either."""
    lock = bank / f"{party}.store.lock"
    lock.unlink()
    lock.mkdir()
    with unchanged(bank):
        refused(4, *commands(bank)[party], says=("store cannot be read or written",))


def test_a_wrong_pin_that_cannot_be_counted_is_not_tried(bank, wrong):
    """Who keeps the disk full cannot guess PINs: right and wrong ones look the same."""
    done(*approve(bank, "bob"))
    with unchanged(bank), full_disk():
        lines = {refused(4, *approve(bank, "alice", alice=pin), shown=True) for pin in (wrong, bank / "alice.pin")}
    assert len(lines) == 1


def test_output_that_nobody_takes(bank):
    """A line and no traceback, also when Python itself ends."""
    with Path("/dev/full").open("wb") as full, running(*commands(bank)["card"], out=full) as process:
        ran = process.wait()
    assert (ran.code, ran.error) == (4, "cannot write to <stdout> (got No space left on device)")


# Keys that people tell each other ------------------------------------------------------------------------------


def test_a_request_of_another_key_than_the_one_that_was_told(bank):
    """At the card and at the manufacturer; what was certified is shown, and two people see what they approve."""
    request = bank / "central-request.pem"
    right = fingerprint_text(key_digest(read_request(pem.read_request(request)).public))
    approve = ["card", "approve", *bank.unsealed("card"), *bank.people("alice"), "--central", request, "--days", "9"]
    with unchanged(bank):
        refused(2, *approve, "--central-key", "AB" * 32, says=("another key", right))
        refused(2, *approve, "--central-key", "AB", says=("64 hexadecimal digits",))
        words = [*bank.unsealed("manufacturer"), "--request", bank / "customer-request.pem", "--out", bank / "x.pem"]
        refused(2, "manufacturer", "sign-customer", *words, "--key", right, says=("another key",))
    assert f"key {right}" in done(*approve, "--central-key", right).out
    (job,) = done("card", "status", *bank.unsealed("card"), "--json").json[0]["jobs"]
    assert job["key"] == right
    assert f"approved by alice, 1 approval missing; key {right}" in done("card", "status", *bank.unsealed("card")).out
