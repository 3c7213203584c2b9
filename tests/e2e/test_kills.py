"""kill -9 of module, central system and operator at any moment, while they work: nothing acknowledged is lost, nothing
happens twice (L10, S10).

The moments are drawn by seed; what a process was doing then is as chance has it, so that every run tries others. What
has to hold afterwards holds whatever it was.
"""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from command_processes import PATIENCE, Process, running
from commands import AUTHORIZE, SERIAL, Estate, done

from insitu.protocol.stores.registry import CommandKind, CommandState, Registry, Transaction, check_chain
from insitu.registry import open_registry

SECONDS = 35.0
"""How long they are killed and started again at most; on a machine with nothing else to do it takes half of that."""
ENOUGH = 5
"""Kills of each, and sessions in between."""


class Life:
    """Module and central system, each in one life after another, and the ATM controller, which forgets nothing.

    Attributes:
        given: what the customer got, by number of the transaction.
        kept: payloads that the module said it keeps.
        instructions: of the host, by number, as they came.
        promised: what operator's commands said that waits, by number: the content, or the check value of a key.
        decided: how often a transaction was said to be decided, by number.
        kills: of each of them.
        instructed: what the host said to pay out, by number, as the controller heard it.
        online: how often the module came to the host; `met`: since the last kill.

    """

    def __init__(self, bank: Estate, stack: ExitStack, chance: random.Random) -> None:
        self.bank, self.chance = bank, chance
        self._stack = stack
        self.given: dict[int, int] = {}
        self.kept: list[bytes] = []
        self.sent: list[bytes] = []
        self._sending: bytes | None = None
        self.instructions: dict[int, bytes] = {}
        self.promised: dict[int, bytes | str] = {}
        self.decided: Counter[int] = Counter()
        self.kills: Counter[str] = Counter()
        self.instructed: dict[int, int] = {}
        self.online = 0
        self.met = False
        self.host = self._start(*bank.serve())
        self.at = self.host.note("Ready")["at"]
        self.module = self._start_module()
        bank.approved("--module", SERIAL)
        done(*bank.personalize(self.units))
        self._heard = {"host": 0, "module": 0}

    def _start(self, *words: str) -> Process:
        return self._stack.enter_context(running(*words))

    def _start_module(self) -> Process:
        module = self._start(*self.bank.run_module("--central", self.at, "--requests"))
        self.units = module.note("Ready")["at"]
        return module

    def kill(self, which: str) -> None:
        """kill -9, and another life."""
        process = self.host if which == "host" else self.module
        process.end(signal.SIGKILL)
        self.hear()
        self.kills[which] += 1
        self.met = False
        self._heard[which] = 0
        if which == "host":
            self.host = self._start(*self.bank.serve("--listen", self.at))
        else:
            self._sending = None
            self.module = self._start_module()

    def hear(self) -> None:
        """Everything that was said since the last time; what a controller does about it."""
        for which, process in (("host", self.host), ("module", self.module)):
            lines = process.out.splitlines()
            for line in lines[self._heard[which] :]:
                with suppress(json.JSONDecodeError):  # the last words of one who was killed
                    self._note(json.loads(line))
            self._heard[which] = len(lines)

    def _note(self, note: dict[str, Any]) -> None:
        match note["note"]:
            case "PayOutInstructed":
                number = note["number"]
                assert number not in self.instructed, "instructed twice"
                self.instructed[number] = note["amount"]
                if note["approved"]:
                    self.given[number] = self.chance.choice([note["amount"], note["amount"] // 2])
                    self.ask(settle={"number": number, "paid": self.given[number]})
            case "OutcomeWanted":
                paid = self.given.setdefault(note["number"], 0)  # it never heard of it, and gave nothing
                self.ask(settle={"number": note["number"], "paid": paid})
            case "InstructionCame":
                content = bytes.fromhex(note["content"])
                assert self.instructions.setdefault(note["number"], content) == content
                self.ask(take=note["number"])
            case "PayloadKept":
                assert self._sending is not None
                self.kept.append(self._sending)
                self._sending = None
            case "TransactionDecided":
                self.decided[note["number"]] += 1
            case "ModuleContacted":
                self.online += 1
                self.met = True

    def ask(self, **request: object) -> None:
        """A request to the module, if it lives."""
        with suppress(BrokenPipeError):
            self.module.ask(**request)

    def work(self) -> None:
        """A little of everything; the next payload only when the one before was kept, or its module killed."""
        self.ask(authorize={**AUTHORIZE, "amount": self.chance.choice([1_000, 5_000, 60_000])})
        if self._sending is None:
            self.send(len(self.sent).to_bytes(4, "big"))
        if self.online and self.chance.random() < 0.3:  # the registry knows the module since it was there
            self.command()

    def send(self, content: bytes) -> None:
        """A payload that there was never before."""
        self.sent.append(content)
        self._sending = content
        self.ask(send=content.hex())

    def command(self) -> None:
        """An instruction or a key, by an operator who is not killed."""
        place = ("--registry", f"{self.bank.store('central')}.db", "--module", SERIAL)
        if self.chance.random() < 0.5 or "Ready" not in self.host.out:  # as it starts it has the store for itself
            content = self.chance.randbytes(8)
            file = self.bank / "instruction"
            file.write_bytes(content)
            said = done("central", "instruct", *place, "--file", file).out
            self.promised[int(said.split()[1])] = content
        else:
            terms = ("--usage", self.chance.choice(["mac", "pin"]), "--until", "2090-01-01", "--uses", "9")
            said = done("central", "load-key", *self.bank.unsealed("central"), *place, *terms).out
            found = re.fullmatch(rf"key (\S+) waits for module {SERIAL}, number (\d+)\n", said)
            assert found
            self.promised[int(found[2])] = found[1]

    def settle_down(self, registry: Registry) -> None:
        """One more life without a kill, until nothing waits any more."""
        self.kill("module")
        deadline = time.monotonic() + PATIENCE
        sent = False
        while time.monotonic() < deadline:
            self.hear()
            if not sent and self._sending is None:
                self.send(b"the end")
                sent = True
            entry = registry.module(SERIAL)
            waits = registry.next_command(SERIAL) is not None
            settled = all(map(is_over, registry.transactions(SERIAL, limit=100_000)))
            arrived = any(each.payload == b"the end" for each in registry.deliveries(limit=100_000))
            if entry is not None and not waits and settled and arrived:
                break
            time.sleep(0.1)
        self.module.end()
        self.host.end()
        self.hear()


def is_over(transaction: Transaction) -> bool:
    """Whether both ends know how it went; what is refused needs no outcome."""
    return transaction.approved is False or transaction.paid is not None


@contextmanager
def lives(bank: Estate, seed: int) -> Iterator[Life]:
    with ExitStack() as stack:
        yield Life(bank, stack, random.Random(seed))


@pytest.mark.parametrize("seed", [1])
def test_killed_again_and_again_at_work(bank: Estate, seed: int):
    registry = open_registry(f"{bank.store('central')}.db")
    with lives(bank, seed) as life:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and min(life.kills["host"], life.kills["module"], life.online) < ENOUGH:
            life.hear()
            life.work()
            time.sleep(life.chance.uniform(0, 0.15))
            if life.chance.random() < (0.3 if life.met else 0.03):  # mostly while they are at work
                life.kill(life.chance.choice(["host", "module"]))
        life.settle_down(registry)

    assert min(life.kills["host"], life.kills["module"]) >= 2, "too few to say anything"
    assert life.online >= 3

    # Payloads: each that was kept came once; none twice; none that nobody sent.
    came = Counter(each.payload for each in registry.deliveries(limit=100_000))
    assert set(came.values()) == {1}
    assert set(life.kept) <= set(came) <= set(life.sent)
    assert len(came) > 10

    # Money: what was instructed is what the host decided, once; both ends agree about what customers got.
    transactions = {each.number: each for each in registry.transactions(SERIAL, limit=100_000)}
    assert set(life.decided.values()) == {1}
    for number, amount in life.instructed.items():
        assert transactions[number].instructed == amount
    paid = {number: each.paid for number, each in transactions.items() if each.approved}
    assert paid == {number: life.given.get(number, 0) for number in paid}
    assert sum(life.given.values()) == sum(each.paid or 0 for each in transactions.values()) > 0
    assert all(map(is_over, transactions.values()))

    # Commands: each that was acknowledged to an operator is concluded, and was carried out as it was given.
    commands = {each.number: each for each in registry.commands(SERIAL)}
    assert set(commands) == set(life.promised)
    for number, promised in life.promised.items():
        assert commands[number].state is CommandState.DONE
        if commands[number].kind is CommandKind.LOAD_KEY:
            assert commands[number].outcome == promised
        else:
            assert life.instructions[number] == promised
    assert set(life.instructions) <= set(commands)

    # What happened is written down, without a gap.
    trail = registry.audit(limit=100_000)
    check_chain(trail)
    assert sum(each.action == "commanded" for each in trail) == len(commands)
    registry.close()


def test_an_operators_command_is_killed(bank: Estate):
    """Either it said that the key waits, and the key waits; or it may wait or not, and the trail says which."""
    registry = open_registry(f"{bank.store('central')}.db")
    with ExitStack() as stack:
        life = Life(bank, stack, random.Random(2))
        deadline = time.monotonic() + PATIENCE
        while registry.module(SERIAL) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        life.module.end()
        life.host.end()
    acknowledged = []
    words = ("central", "load-key", *bank.unsealed("central"), "--module", SERIAL, "--usage", "mac")
    for attempt in range(12):
        with running(*words, "--until", "2090-01-01", "--uses", "5") as process:
            time.sleep(0.25 + attempt * 0.05)
            ran = process.end(signal.SIGKILL)
        acknowledged += re.findall(r"number (\d+)", ran.out)
    numbers = [each.number for each in registry.commands(SERIAL)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {int(number) for number in acknowledged} <= set(numbers)
    trail = registry.audit()
    check_chain(trail)
    assert sum(each.action == "commanded" for each in trail) == len(numbers)
    registry.close()
