"""Programs that run on: what ends a session ends no program, what hangs holds up nothing else. Time jumps."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import trio
from world import SERIAL, World

from insitu.protocol.driver import Orders
from insitu.protocol.engine import UsageError
from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.central_data import ModuleContacted
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.work_data import KeyExpired, PayOutInstructed
from insitu.shell.central_program import CentralProgram, read_command
from insitu.shell.programs import (
    BACK_OFF,
    CLOCK_SECONDS,
    HASTE_SECONDS,
    LARGEST_LINE,
    MOST_WAITING,
    ModuleProgram,
    any_pace,
    input_lines,
    read_request,
)
from insitu.transports.links import Address, open_link, serve_links
from insitu.transports.memory import MemoryStream

UNITS, HOST = Address.parse("memory:units"), Address.parse("memory:host")
ASK = '{"authorize": {"card": "4111111111111111", "account": "DE1", "amount": 5000, "currency": "EUR"}}'


class Stage:
    """A world whose module and central system run as programs.

    Attributes:
        told: errors, of whichever program.

    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.world = World()
        self.told: list[str] = []
        self.changed = trio.Event()
        self._nursery = nursery
        self.to_module, self._module_lines = trio.open_memory_channel[str](100)
        self.to_central, self._central_lines = trio.open_memory_channel[str](100)

    def tell(self, text: str) -> None:
        self.told.append(text)

    async def start_module(self, *, central: bool = True, **options: object) -> ModuleProgram:
        program = ModuleProgram(
            self.world.module,
            UNITS,
            TrustOption.CERTIFICATES,
            central=HOST if central else None,
            tell=self.tell,
            jitter=lambda: 1.0,
            **options,  # type: ignore[arg-type]
        )
        await self._start(program, self._module_lines)
        return program

    async def start_central(self) -> CentralProgram:
        program = CentralProgram(self.world.central, HOST, tell=self.tell)
        await self._start(program, self._central_lines)
        return program

    async def _start(self, program: ModuleProgram | CentralProgram, lines: AsyncIterator[str]) -> None:
        ready = trio.Event()
        run = partial(program.run, ready=lambda _: ready.set(), requests=lines)
        self._nursery.start_soon(run)
        await ready.wait()

    async def personalize(self) -> None:
        self.world.approved(CardRole.MODULE, SERIAL)
        link = await open_link(UNITS)
        await self.world.new_unit().personalize(link.stream, SERIAL, TrustOption.CERTIFICATES)

    async def until(self, matches: Callable[[], bool], seconds: float = 120) -> None:
        with trio.fail_after(seconds):
            while not matches():
                await trio.sleep(0.01)

    def notes(self, kind: type) -> list[object]:
        return [note for note in self.world.shown if isinstance(note, kind)]


@pytest.fixture
async def stage(nursery: trio.Nursery) -> Stage:
    return Stage(nursery)


# Module ------------------------------------------------------------------------------------------------------


async def test_from_delivery_to_a_transaction(stage, autojump_clock):
    await stage.start_central()
    await stage.start_module()
    await stage.personalize()
    await stage.until(lambda: stage.notes(ModuleContacted))
    await stage.to_module.send(ASK)
    await stage.until(lambda: stage.notes(PayOutInstructed))
    assert stage.told == []


async def test_a_silent_unit_costs_its_deadline_and_no_more(stage, autojump_clock):
    await stage.start_module(central=False)
    silent = await open_link(UNITS)
    await stage.until(lambda: stage.told, seconds=31)
    assert stage.told == ["module: no answer in time (expected handshake)"]
    await stage.personalize()
    assert stage.world.module.state is ModuleState.OPERATING
    await silent.aclose()


async def test_a_silent_one_makes_room_for_a_unit_that_waits(stage, autojump_clock):
    """Nobody keeps units away from a module by saying nothing."""
    await stage.start_module(central=False)
    async with (await open_link(UNITS)).stream, (await open_link(UNITS)).stream:
        began = trio.current_time()
        await stage.personalize()
        assert trio.current_time() - began < 3 * HASTE_SECONDS
    assert stage.told == ["module: somebody who has not proved himself makes room for the next one"] * 2


async def test_once_it_ends_when_it_operates(autojump_clock):
    async with trio.open_nursery() as nursery:
        stage = Stage(nursery)
        await stage.start_module(central=False, once=True)
        await stage.personalize()
        await stage.to_module.aclose()
        await stage.to_central.aclose()
    assert stage.world.module.state is ModuleState.OPERATING


async def test_nobody_is_asked_without_a_session(stage, autojump_clock):
    await stage.start_module()
    await stage.to_module.send(ASK)
    await stage.until(lambda: stage.told)
    assert stage.told == ["module: no authorization now (expected a session with the central system)"]


def test_no_two_modules_keep_step():
    paces = [any_pace() for _ in range(100)]
    assert all(0.5 <= pace <= 1.5 for pace in paces)
    assert len(set(paces)) > 10


async def test_attempts_become_rare(stage, autojump_clock):
    """A central system that is not there is tried more and more seldom, as is one that hangs up at once."""
    await stage.start_module()
    await stage.personalize()
    await trio.sleep(sum(BACK_OFF) + 3.5 * BACK_OFF[-1])
    assert len(stage.told) == len(BACK_OFF) + 4
    stage.told.clear()

    async def hang_up(link: object) -> None:
        """At once."""

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_links, HOST, hang_up))
        await trio.sleep(10 * BACK_OFF[-1])
        nursery.cancel_scope.cancel()
    assert 9 <= len(stage.told) <= 11


async def test_a_key_expires_offline_while_the_clock_stands_still(stage, autojump_clock):
    """The program itself tells how much time has really passed (S8)."""
    module = stage.world.module
    module.at_work._steady = lambda: int(trio.current_time())
    async with trio.open_nursery() as nursery:
        program = CentralProgram(stage.world.central, HOST, tell=stage.tell)
        nursery.start_soon(partial(program.run, ready=lambda _: None))
        await stage.start_module()
        await stage.personalize()
        await stage.until(lambda: stage.notes(ModuleContacted))
        stage.world.load_key(seconds=3600)
        await stage.until(lambda: module.record.keys)
        nursery.cancel_scope.cancel()
    await trio.sleep(3600 - CLOCK_SECONDS)
    assert module.record.keys
    await trio.sleep(3 * CLOCK_SECONDS)
    assert module.record.keys == ()
    assert [type(note) for note in stage.notes(KeyExpired)] == [KeyExpired]


async def test_a_session_that_lasted_is_resumed_soon(stage, autojump_clock):
    await stage.start_module()
    await stage.personalize()
    await trio.sleep(200)
    async with trio.open_nursery() as nursery:
        central = CentralProgram(stage.world.central, HOST, tell=stage.tell)
        nursery.start_soon(partial(central.run, ready=lambda _: None))
        await stage.until(lambda: stage.notes(ModuleContacted))
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    stage.world.shown.clear()
    await stage.start_central()
    begun = trio.current_time()
    await stage.until(lambda: stage.notes(ModuleContacted))
    assert trio.current_time() - begun < 2


async def held_link(stage: Stage) -> MemoryStream:
    """A link to the module's central system, whose other end nobody attends."""
    calls: list[MemoryStream] = []

    async def keep(link: object) -> None:
        calls.append(link.stream)  # type: ignore[attr-defined]
        await trio.sleep_forever()

    stage._nursery.start_soon(partial(serve_links, HOST, keep))
    await stage.until(lambda: calls)
    return calls[0]


async def test_a_reset_by_hand_waits_for_nobody(stage, autojump_clock):
    """L8: not for a central system that does not answer, and not for what was asked before."""
    await stage.start_module()
    await stage.personalize()
    await held_link(stage)
    await stage.to_module.send(ASK)
    await trio.sleep(1)
    begun = trio.current_time()
    await stage.to_module.send('{"reset": "by hand"}')
    await stage.until(lambda: stage.world.module.state is ModuleState.RESET)
    assert trio.current_time() - begun < 1


async def test_a_controller_that_asks_and_asks(stage, autojump_clock):
    """What waits is bounded; what is too much is refused at once."""
    await stage.start_central()
    await stage.start_module()
    await stage.personalize()
    await stage.until(lambda: stage.world.module.at_work.online)
    stage.world.module.at_work._orders = Orders()  # which nobody takes
    for _ in range(MOST_WAITING + 2):
        await stage.to_module.send(ASK)
    await stage.until(lambda: stage.told)
    await trio.sleep(1)
    assert stage.told == [f"module: no request now (expected {MOST_WAITING} waiting at most)"] * 2


# Central system ----------------------------------------------------------------------------------------------


async def test_a_module_that_is_not_known(stage, autojump_clock):
    await stage.start_central()
    await stage.to_central.send('{"reset": "SM-NONE"}')
    await stage.until(lambda: stage.told)
    assert stage.told == ["registry: module SM-NONE is not in the registry (expected a known module)"]


# Lines -------------------------------------------------------------------------------------------------------


async def lines_of(data: bytes) -> list[str]:
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        return [line async for line in input_lines(reading)]
    finally:
        os.close(reading)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"\n  \none", ["one"]),
        (b"x" * LARGEST_LINE + b"\n", ["x" * LARGEST_LINE]),
        (b"x" * (LARGEST_LINE + 1) + b"\nnext\n", ["", "next"]),
        (b" " * (3 * LARGEST_LINE) + b'{"reset": "by hand"}\nnext\n', ["", "next"]),
        (b'{"reset": "by hand"}' + b" " * (3 * LARGEST_LINE), [""]),
        (b"\xff\ncaf\xc3\xa9\n", ["", "caf\u00e9"]),
    ],
)
async def test_lines_of_input(data, lines):
    assert await lines_of(data) == lines


async def test_input_that_is_closed():
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    assert [line async for line in input_lines(reading)] == []


def test_requests_and_commands():
    for line in (ASK, '{"settle": {"number": 1, "paid": 0}}', '{"send": "00ff"}', '{"take": 1}'):
        assert callable(read_request(line))
    assert read_request('{"reset": "by hand"}') is None
    assert read_command('{"reset": "SM-1"}') == "SM-1"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "[]",
        "[" * 4000,
        "1" * 5000,
        "{}",
        '{"reset": 1}',
        '{"send": "4111111111111111x"}',
        '{"take": "1"}',
        '{"reset": "by hand", "x": 1}',
        '{"authorize": 4111111111111111}',
        '{"authorize": {"4111111111111111": 1}}',
        '{"authorize": {"card": 4111111111111111, "account": "D", "amount": 1, "currency": "EUR"}}',
        '{"authorize": {"card": "4111111111111111x", "account": "D", "amount": 1, "currency": "EUR"}}',
        '{"authorize": {"card": "4111111111111111", "account": "D", "amount": 1.5, "currency": "EUR"}}',
    ],
)
def test_lines_that_are_none(line):
    """Nothing of them is repeated: a card number may be in them (S9)."""
    for read in (read_request, read_command):
        with pytest.raises(UsageError) as caught:
            read(line)
        assert "4111111111111111" not in f"{caught.value}{caught.value!r}{caught.value.__dict__}"
