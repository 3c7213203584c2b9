"""kill -9 of unit, module and central system at random points, through personalizations, transactions and resets.

A seed draws who is killed and after how many bytes on the wire, or after how long; it is printed. Whatever was said to
anybody before has to hold afterwards, and life always goes on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress

import pytest
from command_processes import PATIENCE, Process, between, running
from commands import AUTHORIZE, SERIAL, Estate, done, insitu

from insitu.protocol.stores.card_log import Intent, Result
from insitu.protocol.stores.log_lines import import_lines
from insitu.protocol.stores.registry import Standing, check_chain
from insitu.registry import open_registry

SECONDS = 14.0
"""How long lives are begun."""
WIRE_BYTES = 2800
"""A few more than a personalization takes, so that now and then nobody is killed before it is done."""


class Lives:
    """A module and a host in one life after another.

    Attributes:
        epoch: of the module, as the last reset that was said to be done left it.
        kills: of each of them.
        asked: number of the last question.
        instructed: what a controller was told to pay, by number; `settled`: what it told.

    """

    def __init__(self, bank: Estate, stack: ExitStack, chance: random.Random) -> None:
        self.bank, self.chance, self._stack = bank, chance, stack
        self.epoch = self.asked = 0
        self.kills: Counter[str] = Counter()
        self.instructed: dict[int, int] = {}
        self.settled: dict[int, int] = {}
        self.host = self._start(*bank.serve())
        self.at = str(self.host.note("Ready")["at"])
        self._start_module()

    def _start(self, *words: str) -> Process:
        return self._stack.enter_context(running(*words))

    def _start_module(self) -> None:
        self.module = self._start(*self.bank.run_module("--central", self.at, "--requests"))
        ready = self.module.note("Ready")
        self.units, self.state, self.heard = str(ready["at"]), str(ready["state"]), 0

    def kill(self, which: str) -> None:
        """kill -9, and another life."""
        (self.module if which == "module" else self.host).end(signal.SIGKILL)
        self.revive(which)

    def revive(self, which: str) -> None:
        """It was killed."""
        self.kills[which] += 1
        if which == "module":
            self.hear()
            self._start_module()
        elif which == "host":
            self.host = self._start(*self.bank.serve("--listen", self.at))
            self.host.note("Ready")

    def hear(self) -> set[str]:
        """What the module said since the last time: kinds of notes."""
        lines = self.module.out.splitlines()
        heard = set()
        for line in lines[self.heard :]:
            with suppress(json.JSONDecodeError):  # the last words of one who was killed
                note = json.loads(line)
                heard.add(note["note"])
                if note["note"] == "PayOutInstructed":
                    assert note["number"] not in self.instructed, "instructed twice"
                    self.instructed[note["number"]] = note["amount"]
                if note["note"] == "AuthorizationAsked":
                    self.asked = note["number"]
                if note["note"] == "OutcomeWanted":
                    self.settle(note["number"], self.settled.get(note["number"], 0))
                if note["note"] == "StateEntered" and note["state"] in ("OPERATING", "RESET"):
                    self.state = note["state"]
        self.heard = len(lines)
        return heard

    def settle(self, number: int, paid: int) -> None:
        self.settled[number] = paid
        with suppress(BrokenPipeError):
            self.module.ask(settle={"number": number, "paid": paid})

    # Personalization

    def personalize_under_fire(self) -> None:
        """Unit or module is killed after so many bytes."""
        which, at = self.chance.choice(["unit", "module"]), self.chance.randrange(WIRE_BYTES)
        print(f"kill {which} after {at} bytes")
        pids = {"module": self.module.pid}
        seen = 0

        def tamper(_: bool, __: int, data: bytes) -> bytes:
            nonlocal seen
            seen += len(data)
            if seen >= at and which in pids:
                os.kill(pids.pop(which), signal.SIGKILL)
            return data

        self.bank.approved("--module", SERIAL)
        with between(self.units, tamper) as address, running(*self.bank.personalize(address)) as unit:
            pids["unit"] = unit.pid
            ran = unit.wait()
        killed = which not in pids
        if killed:
            self.revive(which)
        assert ran.code in ((0, 3, 5, -signal.SIGKILL) if killed else (0,)), ran.err
        if ran.code == 0:
            assert self.now_operates(), "the unit said that it is personalized"

    def now_operates(self) -> bool:
        deadline = time.monotonic() + PATIENCE
        while self.state != "OPERATING" and time.monotonic() < deadline:
            self.hear()
            time.sleep(0.02)
        return self.state == "OPERATING"

    def finish_personalization(self) -> None:
        """Whatever came of it, a second attempt finishes, or is told that it has happened."""
        self.bank.approved("--module", SERIAL)
        ran = insitu(*self.bank.personalize(self.units))
        assert ran.code in (0, 5), ran.err
        assert ran.code == 0 or f"got operating, epoch {self.epoch}" in ran.error
        assert self.now_operates()

    # Work

    def pay_under_fire(self) -> None:
        """Module or host is killed some time after an authorization was asked for; later ones get their answer."""
        which, after = self.chance.choice(["module", "host"]), self.chance.uniform(0, 0.25)
        print(f"kill {which} {after:.3f} s after a question")
        self.online()
        self.module.ask(authorize=AUTHORIZE)
        time.sleep(after)
        self.kill(which)
        self.online()
        self.hear()
        earlier = self.asked
        self.module.ask(authorize=AUTHORIZE)
        deadline = time.monotonic() + PATIENCE
        while max(self.instructed, default=0) <= earlier and time.monotonic() < deadline:
            self.hear()
            time.sleep(0.02)
        assert max(self.instructed) > earlier, "life goes on"
        for number in set(self.instructed) - set(self.settled):
            self.settle(number, self.instructed[number])
        self.told()

    def online(self) -> None:
        """The module works at the host."""
        self.module.ask(send=b"here".hex())
        self.module.note("PayloadReceived")

    def told(self) -> None:
        """The host hears of all that the controller settled; a reset would erase what is still on its way."""
        deadline = time.monotonic() + PATIENCE
        with closing(open_registry(f"{self.bank.store('central')}.db")) as registry:
            while time.monotonic() < deadline:
                self.hear()
                paid = {each.number: each.paid for each in registry.transactions(SERIAL, limit=100_000)}
                if all(paid.get(number) == given for number, given in self.settled.items()):
                    return
                time.sleep(0.05)
        pytest.fail(f"the host does not hear of it: {self.settled}, {paid}")

    # Reset

    def reset_under_fire(self) -> None:
        """Module is killed around a reset by hand: before or after it, and what was said stands."""
        after = self.chance.uniform(0, 0.03)
        print(f"kill module {after:.3f} s after a reset was asked for")
        self.module.ask(reset="by hand")
        time.sleep(after)
        self.module.end(signal.SIGKILL)
        erased = "KeysErased" in self.hear()
        self.revive("module")
        assert self.state == "RESET" or not erased, "it was said that the keys are gone"
        if self.state != "RESET":
            self.module.ask(reset="by hand")
            self.module.note("KeysErased")
            self.state = "RESET"
        self.epoch += 1


@pytest.mark.parametrize("seed", [11])
def test_killed_at_random_points_of_a_life(bank: Estate, seed: int):
    print(f"seed {seed}")
    end = time.monotonic() + SECONDS
    with ExitStack() as stack:
        lives = Lives(bank, stack, random.Random(seed))
        while True:
            lives.personalize_under_fire()
            lives.finish_personalization()
            lives.pay_under_fire()
            if time.monotonic() > end:
                break
            lives.reset_under_fire()
        lives.module.end()
        lives.host.end()
    print(dict(lives.kills), "epoch", lives.epoch)
    assert lives.kills.total() >= 3

    status = bank.status()
    assert (status["state"], status["epoch"]) == ("operating", lives.epoch)
    done("log", "export", *bank.unsealed("card"), "--out", bank / "log.jsonl")
    log = [entry.what for entry in import_lines((bank / "log.jsonl").read_bytes()).log]
    made = [what.fingerprint.hex().upper() for what in log if isinstance(what, Result)]
    assert status["certificate"].replace(" ", "") in made, "L12: whatever happened in between"
    assert len([what for what in log if isinstance(what, Intent)]) >= len(made)
    with closing(open_registry(f"{bank.store('central')}.db")) as registry:
        check_chain(registry.audit(limit=100_000))
        entry = registry.module(SERIAL)
        assert entry is not None
        assert (entry.standing, entry.epoch) == (Standing.OPERATING, lives.epoch)
        assert entry.fingerprint.hex().upper() == status["certificate"].replace(" ", "")
        known = {each.number: each for each in registry.transactions(SERIAL, limit=100_000)}
        for number, amount in lives.instructed.items():
            assert (known[number].approved, known[number].instructed) == (True, amount)
        assert {number: known[number].paid for number in lives.settled} == lives.settled
        assert {each.payload for each in registry.deliveries(limit=100_000)} == {b"here"}
