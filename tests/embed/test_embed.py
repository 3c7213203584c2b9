"""A module in a thread of its own, called by a program that knows no trio; the host is a thread over TCP."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from world import CARD_NUMBER, SERIAL, World

from insitu.embed import Controller, NoAnswer
from insitu.protocol.engine import SecretUsage, StateError, UsageError
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.stores.registry import CommandKind

PAYMENT = (CARD_NUMBER, "DE02100100109307118603", 5000, "EUR")


def until(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_day_of_a_controller(world: World, host: str, store: dict[str, Any]):
    came: list[tuple[int, bytes]] = []
    with Controller(**store, central=host, on_instruction=lambda *each: came.append(each)) as module:
        until(lambda: module.status().online)
        answer = module.authorize(*PAYMENT)
        assert (answer.approved, answer.amount) == (True, 5000)
        assert [each.number for each in module.status().unsettled] == [answer.number]
        module.settle(answer.number, 5000)
        assert module.send(b"hello") == 3
        world.command(CommandKind.INSTRUCT, b"reload")
        world.load_key(SecretUsage.MAC)
        world.load_key(SecretUsage.PIN)
        until(lambda: came == [(1, b"reload")])
        until(lambda: len(module.status().check_values) == 2)
        assert len(module.mac(b"data")) == 16
        assert len(module.encrypt_pin_block("1234", CARD_NUMBER)) == 16
        with pytest.raises(StateError):
            module.mac(b"data", retail=True)
        until(lambda: world.central.registry.deliveries())
        assert module.reset_by_hand() == 1
        assert module.status().state is ModuleState.RESET
        with pytest.raises(StateError):
            module.send(b"too late")
    with pytest.raises(StateError, match="was stopped"):
        module.status()
    assert world.central.registry.transaction(SERIAL, 1).paid == 5000  # type: ignore[union-attr]


def test_a_host_that_is_slow_costs_the_callers_time_and_pays_nothing(world: World, host: str, store: dict[str, Any]):
    go_on = threading.Event()
    decide = world.central._decide
    world.central._blocking = True
    world.central._decide = lambda serial, asked: go_on.wait(10) and decide(serial, asked)  # type: ignore[return-value]
    with Controller(**store, central=host) as module:
        until(lambda: module.status().online)
        with pytest.raises(NoAnswer):
            module.authorize(*PAYMENT, timeout=0.2)
        assert module.status().unsettled == ()
        go_on.set()
        until(lambda: getattr(world.central.registry.transaction(SERIAL, 1), "paid", None) == 0)


def test_without_a_host(store: dict[str, Any]):
    notes: list[object] = []
    with Controller(**store, on_note=notes.append) as module:
        assert module.status().state is ModuleState.OPERATING
        with pytest.raises(StateError, match="no authorization now"):
            module.authorize(*PAYMENT)
        assert module.send(b"kept") == 1
        with pytest.raises(UsageError):
            module.send(bytes(40_000))
        with pytest.raises(StateError, match="runs"):
            module.start()
    with Controller(**store) as module:
        assert module.send(b"kept, too") == 2


def test_an_instruction_that_is_not_done_with_comes_again(world: World, host: str, store: dict[str, Any]):
    def jam(number: int, content: bytes) -> None:
        raise OSError("the cassette is stuck")

    notes: list[object] = []
    with Controller(**store, central=host, on_instruction=jam, on_note=notes.append) as module:
        until(lambda: module.status().online)
        world.command(CommandKind.INSTRUCT, b"reload")
        until(lambda: "instruction 1: OSError" in notes)
    came: list[int] = []
    with Controller(**store, on_instruction=lambda number, _: came.append(number)):
        until(lambda: came == [1])


def test_what_does_not_open_is_told_to_whoever_starts_it(store: dict[str, Any], tmp_path: Path):
    with pytest.raises(UsageError, match="there is no store"):
        Controller(tmp_path / "none", passphrase_file=store["passphrase_file"]).start()
    wrong = tmp_path / "wrong.pass"
    wrong.touch(mode=0o600)
    wrong.write_text("another")
    with pytest.raises(UsageError, match="passphrase"):
        Controller(store["store"], passphrase_file=wrong).start()


def test_many_threads_call_at_once(world: World, host: str, store: dict[str, Any]):
    numbers: list[int] = []
    with Controller(**store, central=host) as module:
        until(lambda: module.status().online)
        threads = [threading.Thread(target=lambda: numbers.append(module.authorize(*PAYMENT).number)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(numbers) == list(range(1, 9))
