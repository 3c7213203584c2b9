"""A controller in the hands of a program that does everything wrong: it is refused, and the module stays sound."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from world import CARD_NUMBER, SERIAL, World

from insitu.embed import Controller, ModuleEnded, NoAnswer
from insitu.protocol.engine import EnvironmentFault, SecretUsage, StateError, UsageError
from insitu.protocol.parties.work_keys import MethodExcluded, SecretMissing
from insitu.protocol.stores.atomic import StoreUncertain
from insitu.protocol.stores.counter import CounterFailed
from insitu.protocol.stores.files import StoreLocked
from insitu.protocol.stores.registry import CommandKind
from insitu.transports.errors import AddressError, AddressInUse

PAYMENT = (CARD_NUMBER, "DE02100100109307118603", 5000, "EUR")


def until(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def slow_host(world: World) -> threading.Event:
    """The host decides only when the event is set."""
    go_on = threading.Event()
    decide = world.central._decide
    world.central._blocking = True
    world.central._decide = lambda serial, asked: go_on.wait(20) and decide(serial, asked)  # type: ignore[return-value]
    return go_on


def settled_with_nothing(world: World, number: int = 1) -> bool:
    return getattr(world.central.registry.transaction(SERIAL, number), "paid", None) == 0


# Arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), None, "soon", True, 1e9])
def test_a_time_that_cannot_be_waited(store: dict[str, Any], timeout: Any):
    with Controller(**store) as module:
        with pytest.raises(UsageError, match="timeout"):
            module.status(timeout=timeout)
        assert module.status().serial == SERIAL


def test_arguments_of_any_kind(world: World, host: str, store: dict[str, Any]):
    """Every one is refused before the module's thread can stumble over it, and nothing of it is in the error (S9)."""
    wrong: list[Any] = [None, 1, 1.5, True, "text", "\ud800", b"", b"bytes", [], {}, 1 << 80, -1, object(), "4" * 19]
    with Controller(**store, central=host) as module:
        until(lambda: module.status().online)
        world.load_key(SecretUsage.MAC)
        world.load_key(SecretUsage.PIN)
        until(lambda: len(module.status().check_values) == 2)
        calls: list[Any] = [
            *(lambda each=each: module.authorize(each, each, each, each, timeout=5) for each in wrong),
            *(
                lambda each=each: module.authorize(CARD_NUMBER, "A1", each, "EUR", timeout=5)
                for each in ("5", 1 << 80, -1)
            ),
            *(lambda each=each: module.settle(each, 0) for each in wrong),
            *(lambda each=each: module.settle(1, each) for each in wrong),
            *(lambda each=each: module.send(each) for each in wrong if not isinstance(each, bytes)),
            *(lambda each=each: module.mac(each) for each in wrong if not isinstance(each, bytes)),
            *(
                lambda each=each: module.encrypt_pin_block(each, CARD_NUMBER)
                for each in (*wrong, "12", "12a4", "1" * 13)
            ),
            *(lambda each=each: module.encrypt_pin_block("1234", each) for each in wrong if each != "4" * 19),
            *(lambda each=each: module.encrypt_pin_block("1234", CARD_NUMBER, each) for each in (1, None, "ISO_0")),
            lambda: module.send(bytes(32_769)),
            lambda: module.mac(bytes((1 << 20) + 1)),
        ]
        for call in calls:
            with pytest.raises((UsageError, StateError)) as refused:
                call()
            assert CARD_NUMBER not in str(refused.value)
        assert module.status().online
        assert module.status().unsettled == ()
        assert module.send(bytearray(b"any bytes")) == 1
        assert len(module.mac(memoryview(b"any bytes"))) == 16
        assert len(module.mac(bytes(1 << 20))) == 16
        with pytest.raises(MethodExcluded):
            module.mac(b"data", retail=True)


def test_a_key_that_nobody_loaded(store: dict[str, Any]):
    with Controller(**store) as module:
        with pytest.raises(SecretMissing):
            module.mac(b"data")
        with pytest.raises(SecretMissing):
            module.encrypt_pin_block("1234", CARD_NUMBER)


def test_addresses(store: dict[str, Any]):
    with pytest.raises(AddressError):
        Controller(**store, central="telepathy:bank")
    with Controller(**store, link="tcp:127.0.0.1:0") as module:
        assert module.status().online is False


def test_a_port_that_is_taken_is_told_by_its_own_error(world: World, host: str, store: dict[str, Any]):
    with pytest.raises(AddressInUse):
        Controller(**store, link=host).start()
    with Controller(**store) as module:  # the store was given back
        assert module.runs


# Life ----------------------------------------------------------------------------------------------------------


def test_two_controllers_on_one_store(store: dict[str, Any]):
    with Controller(**store) as module:
        with pytest.raises(StoreLocked):
            Controller(**store).start()
        assert module.send(b"sound") == 1


def test_calls_before_and_after(store: dict[str, Any]):
    module = Controller(**store)
    module.stop()
    assert not module.runs
    with pytest.raises(StateError, match="does not run"):
        module.status()
    module.start()
    module.close()
    module.close()
    assert not module.runs
    for call in (module.status, lambda: module.send(b""), lambda: module.authorize(*PAYMENT), module.reset_by_hand):
        with pytest.raises(StateError, match="was stopped"):
            call()
    with module:  # and again
        assert module.send(b"1") == 1


def test_started_by_many_threads_it_runs_once(store: dict[str, Any]):
    module = Controller(**store)
    refused: list[StateError] = []

    def start() -> None:
        try:
            module.start()
        except StateError as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(refused) == 19
    assert module.status().serial == SERIAL
    for thread in (stoppers := [threading.Thread(target=module.stop) for _ in range(20)]):
        thread.start()
    for thread in stoppers:
        thread.join(20)
    assert not module.runs


def test_a_start_that_takes_too_long_is_told_to_end(store: dict[str, Any], tmp_path: Path):
    gate = tmp_path / "gate"
    hook = [
        sys.executable,
        "-c",
        f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\nprint('a passphrase')",
    ]
    module = Controller(store["store"], passphrase_hook=hook)
    with pytest.raises(NoAnswer, match="did not start"):
        module.start(timeout=0.1)
    with pytest.raises(NoAnswer, match="does not end"):
        module.stop(timeout=0.1)
    with pytest.raises(StateError, match="runs"):
        module.start()
    gate.touch()
    module.stop()
    with module:
        assert module.status().serial == SERIAL


def test_stopped_while_hundreds_of_threads_wait(world: World, host: str, store: dict[str, Any]):
    go_on = slow_host(world)
    outcomes: list[object] = []

    def ask() -> None:
        try:
            outcomes.append(module.authorize(*PAYMENT, timeout=60))
        except StateError as error:
            outcomes.append(error.summary)

    with Controller(**store, central=host) as module:
        until(lambda: module.status().online)
        threads = [threading.Thread(target=ask) for _ in range(300)]
        for thread in threads:
            thread.start()
        until(lambda: len(module.status().unsettled) > 1 and len(outcomes) + len(module.status().unsettled) == 300)
        module.stop()
        for thread in threads:
            thread.join(20)
        assert len(outcomes) == 300
        assert all(isinstance(each, str) for each in outcomes)
    go_on.set()
    with Controller(**store, central=host) as module:
        until(lambda: module.status().online)
        until(lambda: module.status().unsettled == ())
        until(lambda: approved(module))  # once the host has the outcomes of those that were given up


def approved(module: Controller) -> bool:
    try:
        return module.authorize(*PAYMENT).approved
    except StateError:
        return False


def test_hundreds_of_threads_send_and_ask(world: World, host: str, store: dict[str, Any]):
    numbers: list[int] = []
    refused: list[str] = []

    def send() -> None:
        try:
            numbers.append(module.send(b"payload", timeout=60))
        except StateError as error:
            refused.append(error.summary)

    with Controller(**store, central=host) as module:
        until(lambda: module.status().online)
        threads = [threading.Thread(target=send) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(numbers) + len(refused) == 200
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        until(lambda: len(world.central.registry.deliveries()) == len(numbers))


# Timeouts and interrupts ---------------------------------------------------------------------------------------


def test_a_listener_that_blocks_holds_nobody_longer_than_the_grace(store: dict[str, Any]):
    go_on = threading.Event()
    with Controller(**store, on_note=lambda _: go_on.wait(20)) as module:
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            module.send(b"blocked", timeout=0.1)
        assert time.monotonic() - began < 10
        go_on.set()
        assert module.send(b"next") == 2


def test_no_time_at_all(world: World, host: str, store: dict[str, Any]):
    go_on = slow_host(world)
    with Controller(**store, central=host) as module:
        until(lambda: module.status().online)
        for _ in range(20):
            with pytest.raises(NoAnswer):
                module.authorize(*PAYMENT, timeout=0)
        assert module.status().unsettled == ()
        go_on.set()
        assert module.authorize(*PAYMENT).approved


def test_an_interrupted_caller_pays_nothing(world: World, host: str, store: dict[str, Any]):
    go_on = slow_host(world)
    with Controller(**store, central=host) as module:
        until(lambda: module.status().online)

        def interrupt() -> None:
            until(lambda: module.status().unsettled)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            module.authorize(*PAYMENT)
        thread.join(20)
        until(lambda: module.status().unsettled == ())
        go_on.set()
        until(lambda: settled_with_nothing(world))
        assert module.status().online


# Callbacks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt, StateError])
def test_an_instruction_whose_taker_raises_is_noted(world: World, host: str, store: dict[str, Any], raised: type):
    def take(number: int, content: bytes) -> None:
        if number == 1:
            raise raised("the cassette is stuck")
        taken.append(number)

    notes: list[object] = []
    taken: list[int] = []
    with Controller(**store, central=host, on_instruction=take, on_note=notes.append) as module:
        until(lambda: module.status().online)
        world.command(CommandKind.INSTRUCT, b"reload")
        world.command(CommandKind.INSTRUCT, b"once more")
        until(lambda: taken == [2])
        assert f"instruction 1: {raised.__name__}" in notes
        assert module.status().online


def test_a_listener_that_raises_is_logged(
    world: World, host: str, store: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    def listen(note: object) -> None:
        raise SystemExit("no ears")

    with caplog.at_level(logging.ERROR, "insitu.embed"), Controller(**store, central=host, on_note=listen) as module:
        until(lambda: module.status().online)
        assert module.authorize(*PAYMENT).approved
    assert "on_note raised SystemExit" in caplog.text
    assert "no ears" not in caplog.text


def test_the_taker_of_an_instruction_may_do_everything(world: World, host: str, store: dict[str, Any]):
    done: list[object] = []

    def take(number: int, content: bytes) -> None:
        done.append(module.status().online)
        answer = module.authorize(*PAYMENT)
        module.settle(answer.number, 5000)
        done.append(module.send(b"done"))
        if content == b"and stop":
            module.stop()
            done.append("stopped")

    with Controller(**store, central=host, on_instruction=take) as module:
        until(lambda: module.status().online)
        world.command(CommandKind.INSTRUCT, b"pay")
        until(lambda: len(done) == 2)
        world.command(CommandKind.INSTRUCT, b"and stop")
        until(lambda: done[-1] == "stopped")
        assert not module.runs
    assert done[0] is True


def test_a_listener_cannot_call_but_stop(store: dict[str, Any]):
    refused: list[StateError] = []

    def listen(note: object) -> None:
        for call in (module.status, lambda: module.send(b"x"), module.reset_by_hand, module.start):
            try:
                call()
            except StateError as error:
                refused.append(error)
        module.stop()

    with Controller(**store, on_note=listen) as module:
        module.send(b"something to note")
        until(lambda: not module.runs)
    assert {error.summary for error in refused} == {
        "the module's own thread cannot wait for itself",
        "the module runs",
    }
    module.start()
    module.stop()


def test_a_start_from_within_a_start_is_refused(store: dict[str, Any]):
    """Say, by a hook of the program's that the counter calls: nobody waits for himself."""
    refused: list[StateError] = []

    class Counter:
        def read(self) -> int:
            with pytest.raises(StateError) as error:
                module.start()
            refused.append(error.value)
            raise CounterFailed("away", who="counter")

        def advance(self, to: int) -> None:
            raise AssertionError("never")

    module = Controller(**store, counter=Counter())
    began = time.monotonic()
    with pytest.raises(CounterFailed):
        module.start()
    assert time.monotonic() - began < 20
    assert [error.summary for error in refused] == ["the module is being started"]


# Ends ----------------------------------------------------------------------------------------------------------


def test_a_module_that_ends_by_itself_says_why(store: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    notes: list[object] = []
    with Controller(**store, on_note=notes.append) as module:
        monkeypatch.setattr(module._module.at_work._keeping.vault, "commit", uncertain)  # type: ignore[union-attr]
        with pytest.raises(StoreUncertain):
            module.send(b"lost or kept")
        monkeypatch.undo()
        with pytest.raises(EnvironmentFault):
            module.send(b"not before the store is opened again")
    assert module.start().send(b"kept") == 1
    module.stop()


def test_a_bug_in_the_thread_is_no_silence(store: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    notes: list[object] = []
    with Controller(**store, on_note=notes.append, on_instruction=lambda *_: None) as module:
        work = module._module.at_work  # type: ignore[union-attr]
        monkeypatch.setattr(type(work), "instructions", property(lambda _: 1 / 0))
        module._thread._soon(module._came.set)  # type: ignore[union-attr]
        until(lambda: not module.runs)
        with pytest.raises(ModuleEnded, match="ZeroDivisionError") as ended:
            module.status()
        assert isinstance(ended.value.__cause__, ZeroDivisionError)
        assert any("ended by itself" in str(note) for note in notes)
        monkeypatch.undo()
        assert module.start().send(b"again") == 1


def uncertain(*_: object) -> None:
    raise StoreUncertain("cut", who="store")


def test_a_forked_process_is_refused_and_leaves_the_lock_alone(store: dict[str, Any]):
    with Controller(**store) as module:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # nothing of pytest may run here
            said = b"no error"
            try:
                module.send(b"from the child", timeout=5)
            except StateError as error:
                said = error.summary.encode()
            module.stop()
            os.write(writing, said + b", runs" * module.runs)
            signal.pause()
        os.close(writing)
        assert os.read(reading, 200) == b"the module runs in another process"
        os.close(reading)
        assert module.send(b"from the parent") == 1
        with pytest.raises(StoreLocked):
            Controller(**store).start()
        module.stop()
        with module:  # although the child still has the lock's file open
            assert module.send(b"again") == 2
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(0)", "del module; import gc; gc.collect()"])
def test_a_program_that_just_ends(store: dict[str, Any], host: str, end: str):
    program = f"""
from pathlib import Path
from insitu.embed import Controller
passphrase = Path({str(store["passphrase_file"])!r})
module = Controller(Path({str(store["store"])!r}), passphrase_file=passphrase, central={host!r})
module.start()
assert module.send(b"a last word") > 0
{end}
"""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - began < 30
    with Controller(**store) as module:
        assert module.send(b"next") == 2


def test_nothing_is_left_of_a_life(store: dict[str, Any]):
    before = threading.active_count()
    for number in range(1, 6):
        with Controller(**store) as module:
            assert module.send(b"x") == number
    del module
    gc.collect()
    until(lambda: threading.active_count() <= before)
