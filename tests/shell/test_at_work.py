"""A module at work, as a controller embeds it: answers come to whoever asked, nobody waits for what cannot come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from pump import personalize
from world import World, authorization

from insitu.protocol.driver import Order
from insitu.protocol.engine import InsituError, ProtocolError, StateError
from insitu.protocol.parties.central import ResetOrdered
from insitu.protocol.parties.module_data import ModuleState
from insitu.shell.at_work import AtWork, at_work
from insitu.transports.links import Address, Link, open_link, serve_links


@pytest.fixture
def world() -> World:
    world = World()
    personalize(world)
    return world


HOST = Address.parse("memory:host")


@asynccontextmanager
async def online(world: World) -> AsyncIterator[tuple[AtWork, trio.MemorySendChannel[Order]]]:
    """The module at work, and where orders of the central system's operator go."""
    orders, taken = trio.open_memory_channel[Order](0)

    async def attend(link: Link) -> None:
        with suppress(InsituError):
            await world.central.attend(link.stream, taken)

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_links, HOST, attend))
        async with at_work(world.module, await open_link(HOST)) as work:
            yield work, orders
        nursery.cancel_scope.cancel()


async def test_everybody_gets_the_answer_to_what_was_asked(world, autojump_clock):
    answers = {}
    async with online(world) as (work, _), trio.open_nursery() as nursery:

        async def ask(number: int) -> None:
            answers[number] = await work.authorize(authorization(number, amount=number * 100))

        for number in (1, 2, 3):
            nursery.start_soon(ask, number)
            await trio.sleep(1)
    assert {number: answer.amount for number, answer in answers.items()} == {1: 100, 2: 200, 3: 300}


async def test_a_number_that_is_open_is_refused_and_the_first_still_answered(world, autojump_clock):
    async with online(world) as (work, _), trio.open_nursery() as nursery:
        answered = trio.Event()

        async def first() -> None:
            assert (await work.authorize(authorization(1))).approved
            answered.set()

        nursery.start_soon(first)
        while not work._answered:
            await trio.lowlevel.checkpoint()
        with pytest.raises(StateError, match="authorization 1 is open"):
            await work.authorize(authorization(1))
        with trio.fail_after(10):
            await answered.wait()


async def test_nobody_waits_for_a_session_that_was_ended_by_a_reset(world, autojump_clock):
    async with online(world) as (work, orders):
        await trio.sleep(1)
        reset = Order(ResetOrdered())
        await orders.send(reset)
        await reset.wait()
        await trio.sleep(1)
        assert world.module.state is ModuleState.RESET
        with trio.fail_after(10), pytest.raises(StateError, match="has ended"):
            await work.authorize(authorization(1))


async def test_a_question_is_open_when_the_session_ends(world, autojump_clock):
    """A reset comes before the answer."""
    async with online(world) as (work, _), trio.open_nursery() as nursery:
        refused = trio.Event()

        async def ask() -> None:
            with pytest.raises(StateError, match="has ended"):
                await work.authorize(authorization(1))
            refused.set()

        work._submit = _swallow
        nursery.start_soon(ask)
        await trio.sleep(1)
        work.end()
        with trio.fail_after(10):
            await refused.wait()


async def _swallow(event: object) -> None:
    """The session takes it, and no answer comes."""


async def test_reset_by_hand_ends_the_session(world, autojump_clock):
    async with online(world) as (work, _):
        await work.reset_by_hand()
        assert world.module.state is ModuleState.RESET
        with trio.fail_after(10), pytest.raises(StateError):
            await work.reset_by_hand()


async def test_a_session_that_fails_cancels_its_context(world, autojump_clock):
    async def hang_up(link: Link) -> None:
        """At once."""

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_links, HOST, hang_up))
        with pytest.raises(ProtocolError, match="link lost"):
            async with at_work(world.module, await open_link(HOST)):
                pytest.fail("was never online")
        nursery.cancel_scope.cancel()
