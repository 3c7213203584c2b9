"""Pads: bytes become keys, time is kept, nothing is written back; over memory, a pseudo-terminal, and in a session."""

from __future__ import annotations

import os
import tty
from contextlib import suppress
from math import inf

import pytest
import trio
from trio.testing import MockClock
from world import SERIAL, World

from insitu.protocol.engine import EnvironmentFault, ProtocolError, StateError
from insitu.protocol.keys.codes import DECIMAL, write_symbols
from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.keypad import KEY_SECONDS
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.progress import KeysAwaited, KeysRefused
from insitu.shell.keypad import Keypad, plugged
from insitu.shell.module import Module
from insitu.transports.errors import PortNotFound
from insitu.transports.links import Address
from insitu.transports.memory import memory_pair

CODE = write_symbols("2718281828459045", DECIMAL)


class Desk:
    """A pad in memory: the operator's end, and how often the pad was opened."""

    def __init__(self) -> None:
        self.hand, self._pad = memory_pair()
        self.opened = 0

    async def __call__(self) -> trio.abc.ReceiveStream:
        self.opened += 1
        return self._pad

    async def echo(self) -> bytes:
        """What the pad wrote, once it is closed."""
        return await self.hand.receive_some()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("end", ["\r", "\n", "#"])
async def test_a_tan_is_keyed_in(desk: Desk, end: str):
    await desk.hand.send_all(f"{CODE}9\b8\x7f7*{end}".encode())
    assert await Keypad(desk).ask("unit-1") == CODE.replace(" ", "")
    assert await desk.echo() == b""


async def test_bytes_that_are_no_keys_mean_nothing(desk: Desk):
    noise = bytes(byte for byte in range(128) if not chr(byte).isalnum() and byte not in b"\r\n#\b\x7f*\x1b\x03")
    mixed = b"".join(bytes([digit]) + noise + b"\xb2\xff" for digit in CODE.replace(" ", "").encode())
    await desk.hand.send_all(mixed + b"\r")
    assert await Keypad(desk).ask("unit-1") == CODE.replace(" ", "")


async def test_the_operator_is_told_what_is_wanted_and_what_was_wrong(desk: Desk):
    notes: list[object] = []
    await desk.hand.send_all(f"2718\r{CODE}\r".encode())
    await Keypad(desk, show=notes.append).ask("unit-1")
    awaited, refused = notes
    assert awaited == KeysAwaited("module", "unit-1", KEY_SECONDS)
    assert isinstance(refused, KeysRefused)
    assert "2718" not in repr(notes)


@pytest.mark.parametrize("key", ["\x1b", "\x03"])
async def test_the_operator_does_not_want(desk: Desk, key: str):
    await desk.hand.send_all(f"2718{key}".encode())
    with pytest.raises(StateError, match=r"no TAN was keyed in .*the operator cancelled"):
        await Keypad(desk).ask("unit-1")


async def test_nobody_is_there(desk: Desk, autojump_clock: MockClock):
    await desk.hand.send_all(b"2718")
    began = trio.current_time()
    with pytest.raises(StateError, match="no key for 60 seconds"):
        await Keypad(desk).ask("unit-1")
    assert trio.current_time() - began == KEY_SECONDS


async def test_slow_fingers(desk: Desk, autojump_clock: MockClock):
    async def operator() -> None:
        for symbol in CODE.replace(" ", "") + "\r":
            await trio.sleep(KEY_SECONDS - 1)
            await desk.hand.send_all(symbol.encode())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(operator)
        assert await Keypad(desk).ask("unit-1") == CODE.replace(" ", "")


async def test_the_pad_is_unplugged(desk: Desk):
    await desk.hand.aclose()
    with pytest.raises(EnvironmentFault, match="unplugged"):
        await Keypad(desk).ask("unit-1")


async def test_there_is_no_pad():
    with pytest.raises(EnvironmentFault, match="the pad does not work"):
        await Keypad(plugged(Address.parse("serial:/dev/none"))).ask("unit-1")

    async def no_terminal() -> trio.abc.ReceiveStream:
        raise PortNotFound("no terminal", who="terminal")

    with pytest.raises(EnvironmentFault, match="no terminal"):
        await Keypad(no_terminal).ask("unit-1")


@pytest.mark.parametrize("kind", ["serial", "device"])
async def test_a_pad_at_a_port_gets_no_echo(kind: str):
    """A pseudo-terminal, whose other end is the pad."""
    hand, device = os.openpty()
    tty.setraw(device)

    async def operator() -> None:
        await trio.testing.wait_all_tasks_blocked(0.05)
        os.write(hand, f"{CODE}\r".encode())

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(operator)
            with trio.fail_after(20):
                typed = await Keypad(plugged(Address.parse(f"{kind}:{os.ttyname(device)}"))).ask("unit-1")
        assert typed == CODE.replace(" ", "")
        os.write(device, b"|")
        assert os.read(hand, 100) == b"|"
    finally:
        os.close(hand)
        os.close(device)


# In a session ------------------------------------------------------------------------------------------------


async def met(world: World, pad: Keypad, *, seconds: float = inf) -> Exception | None:
    """Module and unit, whose link lasts so long; what went wrong at the module."""
    world.issue_tan()
    world.approved(CardRole.MODULE, SERIAL)
    about = world._about(SERIAL)
    module = world.module = Module(world.vault(SERIAL), pad=pad, now=world.module_clock, **about)  # type: ignore[arg-type]
    here, there = memory_pair()

    async def unit() -> None:
        with trio.move_on_after(seconds), suppress(ProtocolError):
            await world.new_unit().personalize(there, SERIAL, TrustOption.TAN)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(unit)
        try:
            await module.meet_unit(here, TrustOption.TAN)
        except ProtocolError as error:
            return error
    return None


async def test_a_module_is_personalized_by_what_was_keyed_in(world: World, desk: Desk):
    world.issue_tan()
    await desk.hand.send_all(f"{world.envelopes[SERIAL]}\r".encode())
    assert await met(world, Keypad(desk)) is None
    assert world.module.state is ModuleState.OPERATING


async def test_the_link_is_lost_while_the_operator_looks_for_the_envelope(
    world: World, desk: Desk, autojump_clock: MockClock
):
    """The pad is let go at once: it does not listen on for a session that is over."""
    assert "ended the link" in str(await met(world, Keypad(desk), seconds=KEY_SECONDS / 2))
    assert trio.current_time() < KEY_SECONDS
    with pytest.raises(trio.BrokenResourceError):
        await desk.hand.send_all(b"2718")
    assert len(world.book().record().tans) == 1


async def test_an_operator_who_gives_up_ends_the_session_and_keeps_the_tan(world: World, desk: Desk):
    await desk.hand.send_all(b"27\x1b")
    assert "the operator cancelled" in str(await met(world, Keypad(desk)))
    assert world.module.state is ModuleState.DELIVERED
    assert len(world.book().record().tans) == 1
