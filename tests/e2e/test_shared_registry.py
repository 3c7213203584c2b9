"""Central systems in processes of their own that share a registry, and a registry or a disk that is away meanwhile."""

from __future__ import annotations

import json
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection

import pytest
from command_processes import PATIENCE, Process, running
from commands import AUTHORIZE, SERIAL, Estate, done, insitu
from postgres_server import Server

from insitu.protocol.stores.registry import check_chain
from insitu.registry import open_registry

OTHER = "SM-78"


@pytest.fixture
def shared(bank: Estate, server: Server) -> str:
    """The URL of a registry in PostgreSQL that trusts the bank."""
    url = server.database()
    with closing(open_registry(f"{bank.store('central')}.db")) as local, closing(open_registry(url)) as made:
        made.trust(*local.issuers(), actor="set-up", at=1)
    return url


class Stage:
    """Hosts and modules that run."""

    def __init__(self, bank: Estate, stack: ExitStack) -> None:
        self.bank = bank
        self._stack = stack

    def host(self, registry: str | None = None, *options: str) -> tuple[Process, str]:
        """A central system, and where it listens."""
        words = [*self.bank.serve(*options), *(("--registry", registry) if registry else ())]
        host = self._stack.enter_context(running(*words))
        return host, host.note("Ready", state="SERVING")["at"]

    def module(self, at: str, serial: str = SERIAL) -> Process:
        """A module that is online at the host there, personalized if it was not."""
        name = "module" if serial == SERIAL else serial
        if not self.bank.store(name).exists():
            self.bank.deliver(serial, name)
        words = ["module", "run", *self.bank.unsealed(name), "--link", "tcp:127.0.0.1:0", "--json", "--requests"]
        module = self._stack.enter_context(running(*words, "--central", at))
        ready = module.note("Ready")
        if ready["state"] != "OPERATING":
            self.bank.approved("--module", serial)
            done(*self.bank.personalize(ready["at"], serial=serial))
        module.note("StateEntered", state="ONLINE")
        return module


@contextmanager
def stage(bank: Estate) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(bank, stack)


def seconds(wait: Callable[[], object]) -> float:
    began = time.monotonic()
    wait()
    return time.monotonic() - began


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def pays(module: Process, amount: int = 5000) -> int:
    """The module gets an answer; its number."""
    module.ask(authorize={**AUTHORIZE, "amount": amount})
    answer = module.note("PayOutInstructed")
    assert answer["approved"]
    number: int = answer["number"]
    return number


def test_two_hosts_share_a_registry(bank: Estate, shared: str):
    """What is disabled or ordered at one takes effect within 5 s in open sessions of the other; no other ends."""
    with stage(bank) as on:
        (first, at_first), (second, at_second) = on.host(shared), on.host(shared)
        here, there = on.module(at_first), on.module(at_second, OTHER)
        pays(here), pays(there)
        place = ("--registry", shared, "--module", OTHER)

        done("central", "disable", *place, "--reason", "stolen")
        assert seconds(lambda: second.note("Error")) < 5
        assert "refused" in there.note("Error")["error"]
        pays(here)
        there.note("Error")
        assert there.out.count('"event": "Welcome"') == 1

        done("central", "enable", *place)
        there.note("KeysErased")
        second.note("ModuleReset")
        pays(here)

        first.ask(reset=SERIAL)  # at the host where it is
        here.note("KeysErased")
        units = json.loads(here.out.splitlines()[0])["at"]
        bank.approved("--module", SERIAL)
        done(*bank.personalize(units))
        here.note("StateEntered", state="ONLINE")
        second.ask(reset=SERIAL)  # and at the other one
        assert seconds(lambda: here.note("KeysErased")) < 10
        for process in (here, there, first, second):
            assert process.end().code == 0
    with closing(open_registry(shared)) as made:
        check_chain(made.audit())
        assert len(made.transactions(SERIAL)) == 3


def test_a_module_goes_on_at_another_host(bank: Estate, shared: str):
    """One registry: what one host took in, the other knows."""
    with stage(bank) as on:
        (first, at_first), (_, at_second) = on.host(shared), on.host(shared)
        module = on.module(at_first)
        pays(module)
        first.end(9)
        module.end()
        module = on.module(at_second)
        assert '"note": "OutcomeWanted", "party": "module", "number": 1, "amount": 5000' in module.out
        module.ask(settle={"number": 1, "paid": 5000})
        module.note("PayloadReceived", number=2)
        module.end()
    with closing(open_registry(shared)) as made:
        assert [(each.number, each.paid) for each in made.transactions(SERIAL)] == [(1, 5000)]


def answers(module: Process, host: Process) -> None:
    """Both go on as if nothing had been."""
    module.ask(send=b"afterwards".hex())
    module.note("PayloadReceived")
    pays(module)
    assert (module.end().code, host.end().code) == (0, 0)


def test_the_database_goes_away_and_comes_back(bank: Estate, shared: str, server: Server):
    """The server stays up, says that it is not ready, refuses clearly, and recovers; nothing is lost or doubled."""
    with stage(bank) as on:
        host, at = on.host(shared, "--health", "tcp:127.0.0.1:0")
        health = next(json.loads(line)["at"] for line in host.out.splitlines() if "HEALTH" in line).removeprefix("tcp:")
        module = on.module(at)
        pays(module)
        server.stop()
        try:
            module.ask(send=b"meanwhile".hex())
            module.note("PayloadKept")
            assert "the registry does not answer" in host.note("Error")["error"]
            until(lambda: not ready(health))
            refused = insitu("central", "modules", "--registry", shared)
            assert (refused.code, "does not answer" in refused.error) == (4, True)
        finally:
            server.start()
        module.note("PayloadReceived", number=2)
        until(lambda: ready(health))
        answers(module, host)
    with closing(open_registry(shared)) as made:
        assert [each.payload for each in made.deliveries()] == [b"meanwhile", b"afterwards"]
        check_chain(made.audit())


def ready(health: str) -> bool:
    with closing(HTTPConnection(health, timeout=10)) as connection:
        connection.request("GET", "/ready")
        status = connection.getresponse().status
    assert status in (200, 503)
    return status == 200


def test_the_database_is_locked_for_longer_than_anybody_waits(bank: Estate):
    """Somebody holds SQLite's lock for longer than a write waits for it."""
    with stage(bank) as on:
        host, at = on.host()
        module = on.module(at)
        pays(module)
        path = f"{bank.store('central')}.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            module.ask(authorize=AUTHORIZE)
            assert "locked" in host.note("Error")["error"]
            assert "locked" in insitu("central", "disable", "--registry", path, "--module", SERIAL).error
            other.execute("ROLLBACK")
        assert module.note("PayOutInstructed")["approved"], "asked again in the next session"
        answers(module, host)


@contextmanager
def full_disk(process: Process) -> Iterator[None]:
    """No file of a running process can grow meanwhile."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_the_hosts_disk_is_full(bank: Estate):
    """It stays up, says so, pays nobody and forgets nothing; when there is room again, everything is made up for."""
    with stage(bank) as on:
        host, at = on.host()
        module = on.module(at)
        pays(module)
        with full_disk(host):
            module.ask(authorize=AUTHORIZE)
            assert "the registry does not answer" in host.note("Error")["error"]
            module.ask(send=b"meanwhile".hex())
            module.note("PayloadKept")
            host.ask(reset=SERIAL)
            assert "the registry does not answer" in host.note("Error")["error"]
            assert module.out.count("PayOutInstructed") == 1
        assert module.note("PayOutInstructed")["approved"], "asked again in the next session"
        module.note("PayloadReceived", number=3)
        answers(module, host)
        assert "KeysErased" not in module.out, "an order that was refused is none"
    with closing(open_registry(f"{bank.store('central')}.db")) as made:
        assert [each.payload for each in made.deliveries()] == [b"meanwhile", b"afterwards"]
        numbers = [each.number for each in made.transactions(SERIAL)]
        assert len(numbers) == len(set(numbers)) == 3
        check_chain(made.audit())


def test_the_disk_of_a_module_at_work_is_full(bank: Estate):
    """It asks nobody what it could not remember, says so, stays up, and works when there is room again."""
    with stage(bank) as on:
        host, at = on.host()
        module = on.module(at)
        pays(module)
        with full_disk(module):
            module.ask(authorize=AUTHORIZE)
            assert "File too large" in module.note("Error")["error"]
            for _ in range(3):
                module.ask(send=b"meanwhile".hex())
                module.note("Error")
            assert host.out.count("TransactionDecided") == 1
        module.note("StateEntered", state="ONLINE")
        answers(module, host)
    with closing(open_registry(f"{bank.store('central')}.db")) as made:
        kept = module.out.count('"note": "PayloadKept"')
        assert len(made.deliveries()) == kept < 4, "what was refused is not there, and what was kept is"
        check_chain(made.audit())


def test_a_host_that_starts_while_its_database_is_away(shared: str, bank: Estate, server: Server):
    """It says so and ends: whoever starts it tries again."""
    server.stop()
    try:
        with running(*bank.serve("--registry", shared)) as host:
            ran = host.wait()
        assert (ran.code, ran.out, "does not answer" in ran.error) == (4, "", True)
    finally:
        server.start()
    with stage(bank) as on:
        host, at = on.host(shared)
        answers(on.module(at), host)
