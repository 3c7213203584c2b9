"""A module at work, as a controller embeds it: answers come to whoever asked, nobody waits for what cannot come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from pump import personalize
from world import CARD_NUMBER, DAY, NOW, World

from insitu.protocol.driver import Order, Orders
from insitu.protocol.engine import (
    Cmac,
    EncipherPin,
    InsituError,
    PinFormat,
    ProtocolError,
    RetailMac,
    SecretUsage,
    StateError,
    UsageError,
)
from insitu.protocol.keys.port import KeyRefused
from insitu.protocol.messages import PAYLOAD_MAX
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.work_data import InstructionCame, OutcomeWanted
from insitu.protocol.parties.work_keys import MethodExcluded, SecretExpired, SecretMissing, SecretUnvouched
from insitu.protocol.stores.registry import CommandKind
from insitu.shell.at_work import at_work
from insitu.shell.module import Module
from insitu.shell.work import Work
from insitu.transports.links import Address, Link, open_link, serve_links


@pytest.fixture
def world() -> World:
    world = World()
    personalize(world)
    return world


HOST = Address.parse("memory:host")
PAYMENT = (CARD_NUMBER, "DE02100100109307118603", 5000, "EUR")


@asynccontextmanager
async def host(world: World) -> AsyncIterator[list[Orders]]:
    """The central system serves; where orders to its sessions go, the newest last."""
    sessions: list[Orders] = []

    async def attend(link: Link) -> None:
        with suppress(InsituError):
            sessions.append(Orders())
            await world.central.attend(link.stream, sessions[-1])

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_links, HOST, attend))
        yield sessions
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def online(world: World) -> AsyncIterator[tuple[Work, list[Orders]]]:
    """The module at work, and where orders of the central system's operator go."""
    async with host(world) as orders, at_work(world.module, await open_link(HOST)) as work:
        yield work, orders


async def look(sessions: list[Orders]) -> None:
    order = Order(AttentionCalled())
    sessions[-1].put(order)
    await order.wait()


async def test_everybody_gets_the_answer_to_what_was_asked(world, autojump_clock):
    answers = {}
    async with online(world) as (work, _), trio.open_nursery() as nursery:

        async def ask(amount: int) -> None:
            answers[amount] = await work.authorize(CARD_NUMBER, "x", amount, "EUR")

        for amount in (100, 200, 300):
            nursery.start_soon(ask, amount)
    assert {amount: answer.amount for amount, answer in answers.items()} == {100: 100, 200: 200, 300: 300}
    assert sorted(answer.number for answer in answers.values()) == [1, 2, 3]


async def test_an_answer_that_the_link_swallowed_comes_in_the_next_session(world, autojump_clock):
    """Asked once, decided once, answered once."""
    decided: list[int] = []
    decide, broken = world.central._decide, trio.Event()

    def count(serial, asked):
        decided.append(asked.number)
        broken.set()
        return decide(serial, asked)

    world.central._decide = count
    answers = []

    async def ask() -> None:
        answers.append(await world.module.at_work.authorize(*PAYMENT))

    async with trio.open_nursery() as nursery:
        async with host(world):
            with suppress(InsituError):
                async with at_work(world.module, await open_link(HOST)):
                    nursery.start_soon(ask)
                    await broken.wait()
                    raise StateError("the link breaks here")
        assert answers == []
        async with online(world):
            while not answers:
                await trio.sleep(0.01)
    assert (decided, answers[0].approved) == ([1], True)


async def test_who_stops_waiting_is_not_paid(world, autojump_clock):
    async with online(world) as (work, _):
        world.central._decide = lambda serial, asked: (_ for _ in ()).throw(AssertionError("never asked"))
        with trio.move_on_after(0) as gone:
            await work.authorize(*PAYMENT)
        assert gone.cancelled_caught
    assert work.unsettled == () or work.unsettled[0].instructed is None


async def test_what_the_customer_got_reaches_the_registry(world, autojump_clock):
    async with online(world) as (work, _):
        answer = await work.authorize(*PAYMENT)
        assert [each.instructed for each in work.unsettled] == [5000]
        await work.settle(answer.number, 4000)
        assert work.unsettled == ()
        while world.central.registry.transaction("SN-1", 1).paid is None:
            await trio.sleep(0.01)
    assert world.central.registry.transaction("SN-1", 1).paid == 4000


async def test_payloads_are_kept_without_a_session_and_reach_the_host_once(world, autojump_clock):
    work = world.module.at_work
    assert await work.send(b"one") == 1
    with pytest.raises(UsageError):
        await work.send(bytes(PAYLOAD_MAX + 1))
    async with online(world):
        assert await work.send(b"two") == 2
        while len(world.central.registry.deliveries()) < 2:
            await trio.sleep(0.01)
    async with online(world):
        await trio.sleep(1)
    assert [each.payload for each in world.central.registry.deliveries()] == [b"one", b"two"]
    assert world.module.record.outbox == ()


async def test_instructions_wait_until_they_are_taken(world, autojump_clock):
    async with online(world) as (work, orders):
        world.command(CommandKind.INSTRUCT, b"open the shutter")
        await look(orders)
        while not work.instructions:
            await trio.sleep(0.01)
        assert work.instructions[0].content == b"open the shutter"
        await work.take(1)
        assert work.instructions == ()
        with pytest.raises(StateError):
            await work.take(1)


async def test_a_controller_that_has_heard_nothing_is_told_what_it_has_to_do(world, autojump_clock):
    """After a restart: the outcome of what was instructed, and instructions that wait; nothing of what is done."""
    async with online(world) as (work, orders):
        for number in (1, 2):
            answer = await work.authorize(*PAYMENT)
            assert answer.number == number
        await work.settle(1, 5000)
        world.command(CommandKind.INSTRUCT, b"open the safe")
        await look(orders)
        while not work.instructions:
            await trio.sleep(0.1)
    module, heard = world.blank_module(), len(world.shown)
    module.at_work.remind()
    assert world.shown[heard:] == [OutcomeWanted(2, 5000), InstructionCame(1, b"open the safe")]


async def test_symmetric_keys_are_used_until_they_expire(world, autojump_clock):
    async with online(world) as (work, orders):
        with pytest.raises(SecretMissing):
            await work.use(SecretUsage.MAC, Cmac(b"x"))
        world.load_key(SecretUsage.MAC, uses=2)
        world.load_key(SecretUsage.PIN)
        await look(orders)
        while len(world.module.record.keys) < 2:
            await trio.sleep(0.01)
        assert len(await work.use(SecretUsage.MAC, Cmac(b"x"))) == 16
        assert len(await work.use(SecretUsage.PIN, EncipherPin("1234", CARD_NUMBER))) == 16
        for legacy in (RetailMac(b"x"), EncipherPin("1234", CARD_NUMBER, PinFormat.ISO_0)):
            with pytest.raises(MethodExcluded):
                await work.use(SecretUsage.MAC if isinstance(legacy, RetailMac) else SecretUsage.PIN, legacy)
    assert len(await work.use(SecretUsage.MAC, Cmac(b"x"))) == 16  # also without a session
    with pytest.raises(SecretExpired):
        await work.use(SecretUsage.MAC, Cmac(b"x"))
    with pytest.raises(SecretMissing):
        await work.use(SecretUsage.MAC, Cmac(b"x"))
    world.module_clock.at = NOW + 2 * DAY
    await work.look_at_clock()
    assert world.module.record.keys == ()
    assert world.vault("SN-1").labels() == {"identity", "operating-0"}


async def test_a_key_is_not_for_everything_and_nobody_vouches_after_a_restart(world, autojump_clock):
    async with online(world) as (work, orders):
        world.load_key(SecretUsage.PIN)
        await look(orders)
        while not world.module.record.keys:
            await trio.sleep(0.01)
        with pytest.raises(KeyRefused):
            await work.use(SecretUsage.PIN, Cmac(b"x"))
        with pytest.raises(KeyRefused, match="PIN"):
            await work.use(SecretUsage.PIN, EncipherPin("12x4", CARD_NUMBER))
    later = Module(world.module.keys, now=world.module_clock)
    with pytest.raises(SecretUnvouched):
        await later.at_work.use(SecretUsage.PIN, EncipherPin("1234", CARD_NUMBER))


async def test_nobody_is_asked_without_a_session(world, autojump_clock):
    with pytest.raises(StateError, match="no authorization now"):
        await world.module.at_work.authorize(*PAYMENT)


async def test_nobody_waits_for_an_answer_that_a_reset_makes_impossible(world, autojump_clock):
    """The session ends, too, and says so if it is the first to."""
    refused = trio.Event()
    world.central._decide = lambda serial, asked: world.module.reset_by_hand() and None

    async def ask() -> None:
        async with online(world) as (work, _):
            with pytest.raises(StateError, match="was reset"):
                await work.authorize(*PAYMENT)
            refused.set()

    with trio.fail_after(10), suppress(StateError, ExceptionGroup):
        await ask()
    assert refused.is_set()
    assert world.module.state is ModuleState.RESET
    with pytest.raises(StateError):
        await world.module.at_work.send(b"x")


async def test_a_reset_by_hand_ends_the_session(world, autojump_clock):
    async def reset() -> None:
        async with online(world):
            world.module.reset_by_hand()
            await trio.sleep(10)
            pytest.fail("the session goes on")

    with pytest.raises(ExceptionGroup) as caught:
        await reset()
    assert caught.group_contains(StateError, match="from this side")
    assert world.module.state is ModuleState.RESET


async def test_a_session_that_fails_cancels_its_context(world, autojump_clock):
    async def hang_up(link: Link) -> None:
        """At once."""

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_links, HOST, hang_up))
        with pytest.raises(ProtocolError, match="link lost"):
            async with at_work(world.module, await open_link(HOST)):
                pytest.fail("was never online")
        nursery.cancel_scope.cancel()
