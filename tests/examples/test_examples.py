"""The examples as a reader runs them: programs in processes of their own that talk over TCP."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_processes import Process, peer, running
from commands import CARD_NUMBER, SERIAL, Estate, Ran, done

ACCOUNT = "DE02120300000000202051"
OTHER = "DE02100100109307118603"
EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> tuple[str, ...]:
    return ("-W", "error", str(EXAMPLES / name))


def event(process: Process, name: str, **facts: object) -> dict[str, Any]:
    """Wait for a line of output with this event and these facts."""

    def matches(line: str) -> bool:
        told = json.loads(line)
        return told["event"] == name and all(told.get(key) == fact for key, fact in facts.items())

    return json.loads(process.line(matches, f"{name} {facts}"))


@pytest.fixture
def personalized(bank: Estate) -> Estate:
    """The module operates."""
    bank.approved("--module", SERIAL)
    with running(*bank.run_module("--once")) as module:
        done(*bank.personalize(module.note("Ready")["at"], "--out", str(bank / "module.pem")))
        assert module.wait().code == 0
    return bank


class Town:
    """A bank host and one machine; each can be killed and started again.

    Attributes:
        host, atm: the processes.

    """

    def __init__(self, estate: Estate, stack: ExitStack) -> None:
        self._estate = estate
        self._stack = stack
        self._at = "tcp:127.0.0.1:0"
        self.host: Process
        self.atm: Process

    def start_host(self, *options: str) -> None:
        words = ["--store", self._estate.store("central"), "--passphrase-file", self._estate / "central.passphrase"]
        words += ["--listen", self._at, "--accounts", self._estate / "bank.db", "--limit", "20000"]
        words += ["--open", f"{ACCOUNT}=50000", "--open", f"{OTHER}=3000", *options]
        self.host = self._stack.enter_context(running(*words, program=example("bank_host.py")))
        self._at = event(self.host, "ready")["at"]

    def start_atm(self, *options: str) -> None:
        words = ["--store", self._estate.store("module"), "--passphrase-file", self._estate / "module.passphrase"]
        words += ["--central", self._at, "--journal", self._estate / "atm.journal", *options]
        self.atm = self._stack.enter_context(running(*words, program=example("atm_controller.py")))

    def withdraw(self, amount: int, account: str = ACCOUNT) -> None:
        self.atm.ask(withdraw={"card": CARD_NUMBER, "account": account, "amount": amount})

    def instruct(self, text: str) -> None:
        order = self._estate / "order"
        order.write_text(text)
        done("central", "instruct", "--store", self._estate.store("central"), "--module", SERIAL, "--file", order)

    def balance(self, account: str = ACCOUNT) -> int:
        with sqlite3.connect(self._estate / "bank.db") as db:
            found = db.execute("SELECT balance FROM account WHERE iban = ?", (account,)).fetchone()
        db.close()
        return int(found[0])


@pytest.fixture
def town(personalized: Estate) -> Iterator[Town]:
    with ExitStack() as stack:
        yield Town(personalized, stack)


def test_a_day_at_the_machine(town: Town):
    town.start_host()
    town.start_atm("--notes", "8")
    event(town.atm, "online")
    town.withdraw(5000)
    assert event(town.atm, "paid") == {"event": "paid", "number": 1, "paid": 5000}
    assert event(town.host, "booked")["paid"] == 5000
    assert town.balance() == 45_000
    town.withdraw(25_000)  # above the limit of one withdrawal
    event(town.atm, "refused")
    town.withdraw(4000, OTHER)  # more than there is
    event(town.atm, "refused")
    town.withdraw(1000, "DE00")  # nobody's account
    event(town.atm, "refused")
    town.withdraw(6000)  # three notes are left
    assert event(town.atm, "paid")["paid"] == 3000
    event(town.host, "booked", paid=3000)
    event(town.host, "payload", content="cassette empty")
    assert town.balance() == 42_000
    assert town.balance(OTHER) == 3000

    town.instruct("reload 10")
    event(town.atm, "instructed", content="reload 10")
    event(town.host, "payload", content="done: reload 10")
    town.instruct("sing")
    event(town.atm, "not understood")
    town.instruct("close")
    event(town.atm, "instructed", content="close")
    town.withdraw(1000)
    event(town.atm, "closed")
    town.atm.ask(status=True)
    told = event(town.atm, "status")
    assert (told["notes"], told["state"], told["encryptionState"]) == (10, "OPERATING", "initialized")

    town.atm.ask(reset="no")
    event(town.atm, "error", error="withdraw, reset or status expected")
    town.atm.write(b"no JSON, but 4000001234567899\n")
    event(town.atm, "error", error="JSON expected")
    town.atm.ask(reset="yes")
    assert event(town.atm, "reset")["epoch"] == 1
    town.atm.ask(reset="yes")
    assert event(town.atm, "error")["xfs"] == "accessDenied"
    town.atm.ask(status=True)
    assert event(town.atm, "status")["encryptionState"] == "notInitialized"
    town.atm.close_input()
    assert town.atm.wait().code == 0
    assert town.host.end().code == 0


def test_the_machine_is_killed_as_it_pays(town: Town):
    town.start_host()
    town.start_atm("--dispense-seconds", "60")
    event(town.atm, "online")
    town.withdraw(5000)
    event(town.atm, "pays", amount=5000)
    assert town.balance() == 45_000
    town.atm.end(signal.SIGKILL)
    town.start_atm()
    assert event(town.atm, "recovered") == {"event": "recovered", "number": 1, "paid": 0}
    event(town.host, "booked", number=1, paid=0)
    assert town.balance() == 50_000


def test_the_machine_is_killed_after_it_paid(town: Town, personalized: Estate):
    town.start_host()
    town.start_atm()
    event(town.atm, "online")
    town.withdraw(5000)
    event(town.atm, "paid")
    event(town.host, "booked", paid=5000)
    town.host.end(signal.SIGKILL)
    event(town.atm, "offline")
    town.withdraw(1000)
    assert event(town.atm, "error")["xfs"] == "deviceNotReady"
    town.atm.end(signal.SIGKILL)
    with (personalized / "atm.journal").open("ab") as journal:
        journal.write(b'{"number": 1, "pa')  # as a power cut may leave it
    town.start_host()
    town.start_atm()
    event(town.atm, "online")
    town.withdraw(2000)
    assert event(town.atm, "paid")["paid"] == 2000
    event(town.host, "booked", paid=2000)
    assert town.balance() == 43_000
    lines = (personalized / "atm.journal").read_text().splitlines()
    assert [json.loads(line)["paid"] for line in lines] == [5000, 2000]


def test_an_outcome_that_does_not_come_is_reversed_and_booked_if_it_comes_after_all(town: Town, personalized: Estate):
    town.start_host("--reverse-after", "1")
    town.start_atm("--dispense-seconds", "4")
    event(town.atm, "online")
    town.withdraw(5000)
    event(town.host, "reversed", number=1, amount=5000)
    assert town.balance() == 50_000
    event(town.atm, "paid", paid=5000)
    event(town.host, "booked", number=1, paid=5000, late=True)
    assert town.balance() == 45_000


# Another event loop ----------------------------------------------------------------------------------------------


@contextmanager
def serving(estate: Estate) -> Iterator[str]:
    """The real central system; where."""
    with running(*estate.serve()) as host:
        yield host.note("Ready")["at"]
        assert host.end().code == 0


def pay(estate: Estate, at: str, amount: int) -> Ran:
    """The asyncio example, once."""
    _, address, port = at.split(":")
    words = [estate.store("module"), estate / "module.passphrase", address, port, CARD_NUMBER, ACCOUNT, str(amount)]
    with running(*words, "EUR", program=example("asyncio_module.py")) as module:
        return module.wait()


def test_asyncio_drives_a_session(personalized: Estate):
    with serving(personalized) as at:
        for amount, says in ((5000, "pay out 5000 SM-77/1"), (60_000, "refused 0 SM-77/3"), (1, "pay out 1 SM-77/4")):
            assert pay(personalized, at, amount) == Ran(0, says, "")
        shown = done("central", "transactions", "--store", personalized.store("central"), "--module", SERIAL).out
        assert "5000 EUR, card ..7899: approved, paid 5000" in shown
    assert personalized.status()["state"] == "operating"


def test_asyncio_before_the_personalization(bank: Estate):
    with serving(bank) as at:
        ran = pay(bank, at, 1)
    assert (ran.code, ran.out) == (5, "")
    assert "not personalized" in ran.err


def test_asyncio_and_hosts_that_do_not_work(personalized: Estate):
    """Nobody there; somebody who leaves, and somebody who speaks otherwise. The store is sound afterwards."""
    assert pay(personalized, "tcp:127.0.0.1:1", 1).code == 4
    with peer(lambda connection: None) as at:
        assert "link lost" in pay(personalized, at, 1).err
    with peer(lambda connection: connection.sendall(b"\xff\xffHTTP/1.1 400 Bad Request")) as at:
        ran = pay(personalized, at, 1)
        assert ran.code == 3
        assert "frame too long" in ran.err
    with serving(personalized) as at:
        assert pay(personalized, at, 5000).out == "pay out 5000 SM-77/1"
