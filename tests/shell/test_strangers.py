"""Strangers at a central system's port (SECURITY: resource limits): they cost time and memory, and hold up nobody.

What they cost is measured in benchmarks/scale.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from pump import personalize
from side_by_side import Outcome, setting
from world import World

from insitu.protocol.engine import Fault, ProtocolError
from insitu.protocol.session import HANDSHAKE_SECONDS, SEND_SECONDS
from insitu.transports.framing import encode_frame
from insitu.transports.memory import memory_pair

CROWD = 200


@pytest.fixture
def world() -> World:
    world = World()
    personalize(world)
    return world


Stranger = Callable[[trio.abc.Stream], Awaitable[None]]


async def one_byte_a_second(stream: trio.abc.Stream) -> None:
    with suppress(trio.BrokenResourceError):
        for byte in encode_frame(bytes(200)):
            await trio.sleep(1)
            await stream.send_all(bytes((byte,)))


async def silence(stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


GARBAGE = {
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01",
    "zeros": bytes(3000),
    "ones": b"\xff" * 3000,
    "a length without content": b"\x00\x01",
}


async def met(world: World, stranger: Stranger, count: int) -> tuple[list[Outcome], float]:
    """How `count` sessions with the stranger ended, and when a good module that came after them was online."""
    outcomes, ends = [Outcome() for _ in range(count)], [memory_pair() for _ in range(count)]
    online = trio.Event()
    async with trio.open_nursery() as nursery:

        async def strange() -> None:
            async with trio.open_nursery() as sessions, trio.open_nursery() as strangers:
                for outcome, (here, there) in zip(outcomes, ends, strict=True):
                    sessions.start_soon(outcome.of, lambda there=there: world.central.attend(there))
                    strangers.start_soon(stranger, here)
                while any(outcome.error is None for outcome in outcomes):
                    await trio.sleep(0.5)
                strangers.cancel_scope.cancel()
            nursery.cancel_scope.cancel()

        nursery.start_soon(strange)
        await trio.sleep(0.1)
        module, central = memory_pair()
        nursery.start_soon(world.module.work, module)
        nursery.start_soon(lambda: world.central.attend(central, also_show=setting(online)))
        await online.wait()
        at = trio.current_time()
    return outcomes, at


@pytest.mark.parametrize("stranger", [silence, one_byte_a_second])
async def test_many_who_are_slow_are_waited_for_once_and_a_good_module_does_not_wait(world, autojump_clock, stranger):
    """The deadline is for the whole handshake: another byte does not buy another second."""
    outcomes, at = await met(world, stranger, CROWD)
    assert at < 1
    for outcome in outcomes:
        assert isinstance(outcome.error, ProtocolError)
        assert outcome.error.fault is Fault.TIMEOUT
        assert outcome.at == HANDSHAKE_SECONDS


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_ends_its_own_session_only(world, autojump_clock, garbage):
    async def talk(stream: trio.abc.Stream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(garbage)
        await trio.sleep_forever()

    outcomes, at = await met(world, talk, 20)
    assert at < 1
    for outcome in outcomes:
        assert isinstance(outcome.error, ProtocolError)
        assert outcome.at <= HANDSHAKE_SECONDS


async def test_a_module_that_never_reads_again_ends_its_own_session_only(world, autojump_clock):
    """A good message_1, and nobody takes the answer from the link: sending has its deadline."""
    here, there = memory_pair(1)

    deaf, stranger = Outcome(), World(seed="stranger")
    personalize(stranger)
    module_end, far_end = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deaf.of, lambda: world.central.attend(there))
        nursery.start_soon(Outcome().of, lambda: stranger.module.work(module_end))
        await here.send_all(await far_end.receive_some())
        online = trio.Event()
        good, central = memory_pair()
        nursery.start_soon(world.module.work, good)
        nursery.start_soon(lambda: world.central.attend(central, also_show=setting(online)))
        await online.wait()
        assert trio.current_time() < 1
        while deaf.error is None:
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert "does not read" in str(deaf.error)
    assert deaf.at == pytest.approx(SEND_SECONDS, abs=6)
