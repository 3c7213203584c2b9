"""The driver again: orders, ending a session from this side, what takes time, and people."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from pump import personalize
from side_by_side import Outcome, closed, setting, together
from world import SERIAL, World

from insitu.protocol.channel.records import Records
from insitu.protocol.driver import Order, Orders, run
from insitu.protocol.engine import (
    EnvironmentFault,
    Fault,
    InsituError,
    KeyHandle,
    ProtocolError,
    Sign,
    StateError,
    given,
)
from insitu.protocol.keys.vault import MemoryVault
from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import PERSON_SECONDS, ModulePersonalized
from insitu.protocol.ports import Ports
from insitu.protocol.session import PeerRefusedError
from insitu.protocol.stores.atomic import StoreFailed
from insitu.protocol.stores.memory_registry import MemoryRegistry
from insitu.shell import keeping
from insitu.shell.central import Central
from insitu.shell.unit import Unit
from insitu.transports.memory import memory_pair

# Orders


async def test_orders_that_come_too_late_are_refused_and_never_left_waiting(world: World, autojump_clock):
    personalize(world)
    here, there = memory_pair()
    orders = Orders()
    late = [Order(AttentionCalled()) for _ in range(3)]
    for order in late:
        orders.put(order)
    await there.aclose()
    (central,) = await together(lambda: world.central.attend(here, orders))
    assert central.error is not None
    for order in late:
        with trio.fail_after(1), pytest.raises(StateError):
            await order.wait()
    later = Order(AttentionCalled())
    orders.put(later)
    with pytest.raises(StateError, match="ended first"):
        await later.wait()


async def test_an_order_during_the_handshake_is_refused_at_once(world: World, autojump_clock):
    personalize(world)
    here, _there = memory_pair()
    orders = Orders()

    async def want() -> None:
        order = Order(AttentionCalled())
        orders.put(order)
        with pytest.raises(StateError, match="needs an open channel"):
            await order.wait()
        assert trio.current_time() < 1

    central, wanting = await together(lambda: world.central.attend(here, orders), want)
    assert wanting.error is None
    assert isinstance(central.error, ProtocolError)


async def test_what_is_wanted_during_the_handshake_is_taken_at_once_and_the_session_knows(world: World, autojump_clock):
    """One owner of the durable record: what was kept meanwhile is said when the channel stands."""
    personalize(world)
    here, there = memory_pair()

    async def want() -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert await world.module.at_work.send(b"early") == 1
        assert trio.current_time() < 1
        nursery.start_soon(world.central.attend, there)
        while not world.central.registry.deliveries():
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.module.work, here)
        nursery.start_soon(want)
    assert [each.payload for each in world.central.registry.deliveries()] == [b"early"]


async def test_an_order_that_ends_the_session_is_settled_with_its_error(world: World):
    personalize(world)
    here, there = memory_pair()
    contacted = trio.Event()

    def fail(record: object, keep: object) -> None:
        raise StoreFailed("disk full", who="store")

    async def want() -> None:
        await contacted.wait()
        while not world.module.at_work.online:
            await trio.testing.wait_all_tasks_blocked()
        world.module._keeping.commit = fail  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreFailed):
            await world.module.at_work.send(b"x")

    module, central, wanting = await together(
        lambda: world.module.work(here),
        lambda: world.central.attend(there, also_show=setting(contacted)),
        want,
    )
    assert wanting.error is None
    assert isinstance(module.error, StoreFailed)
    assert "link lost" in str(central.error)  # the payload behind the write was sealed already
    assert world.module.state is ModuleState.OPERATING


async def test_an_order_that_nobody_waits_for_any_more_is_not_taken(world: World, autojump_clock):
    personalize(world)
    here, there = memory_pair()
    contacted, orders = trio.Event(), Orders()
    looked: list[object] = []
    known = world.central.registry.known

    def counted(*question: Any) -> Any:
        looked.append(question)
        return known(*question)

    world.central.registry.known = counted  # type: ignore[method-assign]

    async def want() -> None:
        await contacted.wait()
        await trio.testing.wait_all_tasks_blocked()
        before = len(looked)
        given_up, wanted = Order(AttentionCalled()), Order(AttentionCalled())
        with trio.move_on_after(1) as patience:
            await given_up.until_taken()
        assert patience.cancelled_caught
        orders.put(given_up)
        orders.put(wanted)
        await wanted.wait()
        assert not given_up.taken
        assert len(looked) == before + 1
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.module.work, here)
        nursery.start_soon(lambda: world.central.attend(there, orders, also_show=setting(contacted)))
        nursery.start_soon(want)


async def test_a_session_that_waits_lets_go_of_its_ciphers_and_goes_on(world: World, autojump_clock):
    """Many sessions wait; what is easily made again is not kept for them."""
    personalize(world)
    here, there = memory_pair()
    contacted = trio.Event()
    rested: list[Records] = []

    async def want() -> None:
        await contacted.wait()
        await trio.sleep(1.0)
        both = {id(each): each for each in rested}.values()
        assert [(each._sending._aead, each._receiving._aead) for each in both] == [(None, None)] * 2
        assert all(each._sending.number for each in both)  # which they have used
        answer = await world.module.at_work.authorize("4111111111111111", "x", 5000, "EUR")
        assert answer.approved
        nursery.cancel_scope.cancel()

    with pytest.MonkeyPatch.context() as patch:
        rest = Records.rest

        def noted(self: Records) -> None:
            rested.append(self)
            rest(self)

        patch.setattr(Records, "rest", noted)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.module.work, here)
            nursery.start_soon(lambda: world.central.attend(there, also_show=setting(contacted)))
            nursery.start_soon(want)


# Ending it from this side


async def test_a_reset_by_hand_ends_the_sessions_that_run(world: World, autojump_clock):
    """S3: nothing goes on with keys that are gone."""
    personalize(world)
    here, there = memory_pair()
    contacted = trio.Event()

    async def reset() -> None:
        await contacted.wait()
        assert world.module.reset_by_hand() == 1

    module, central, _ = await together(
        lambda: world.module.work(here),
        lambda: world.central.attend(there, also_show=setting(contacted)),
        reset,
    )
    assert isinstance(module.error, StateError)
    assert "from this side" in str(module.error)
    assert central.error is not None
    assert world.module.state is ModuleState.RESET
    assert world.vault(SERIAL).labels() == {"identity"}
    assert await closed(here)


async def test_a_call_that_is_cancelled_closes_its_link_and_leaves_nothing(world: World, autojump_clock):
    here, there = memory_pair()
    with trio.move_on_after(1):
        await world.module.meet_unit(here, TrustOption.PHYSICAL, wired=True)
    assert await closed(here)
    assert world.vault(SERIAL).labels() == {"identity"}
    assert await there.receive_some() != b""
    again = memory_pair()
    await again[1].aclose()
    with pytest.raises(ProtocolError, match="link"):
        await world.module.meet_unit(again[0], TrustOption.PHYSICAL, wired=True)


@pytest.mark.parametrize("wired", [False, True])
async def test_a_call_that_fails_before_it_begins_closes_its_link(world: World, wired):
    here, _ = memory_pair()
    with pytest.raises(InsituError):
        await world.new_unit().personalize(here, SERIAL, TrustOption.PHYSICAL, wired=wired)  # no job is approved
    assert await closed(here)
    here, _ = memory_pair()
    if not wired:
        with pytest.raises(InsituError):
            await world.module.meet_unit(here, TrustOption.PHYSICAL, wired=False)
        assert await closed(here)
    here, _ = memory_pair()
    with pytest.raises(InsituError):
        await world.module.work(here)
    assert await closed(here)
    here, _ = memory_pair()
    with pytest.raises(InsituError):
        await Central(world.vault("nobody"), MemoryRegistry()).attend(here)
    assert await closed(here)


# Storage and keys that take time


async def test_what_blocks_runs_in_a_worker_thread(world: World, monkeypatch):
    """`Ports.blocking` and `KeyStore.answers_at_once` say what may not run where other sessions wait."""
    threads: dict[str, set[int]] = {"commit": set(), "sign": set()}
    real_commit, real_sign = keeping.Keeping.commit, MemoryVault.sign

    def commit(self: Any, record: Any, keep: Any = None) -> None:
        threads["commit"].add(threading.get_ident())
        real_commit(self, record, keep)

    def sign(self: Any, key: Any, message: bytes) -> bytes:
        threads["sign"].add(threading.get_ident())
        return real_sign(self, key, message)

    ports = keeping.Keeping.ports

    def blocking(self: Any, show: Any) -> Any:
        return replace(ports(self, show), blocking=True)

    world.approved(CardRole.MODULE, SERIAL)
    monkeypatch.setattr(keeping.Keeping, "commit", commit)
    monkeypatch.setattr(keeping.Keeping, "ports", blocking)
    monkeypatch.setattr(MemoryVault, "sign", sign)
    monkeypatch.setattr(MemoryVault, "answers_at_once", False)
    here, there = memory_pair()
    module, unit = await together(
        lambda: world.module.meet_unit(here, TrustOption.CERTIFICATES),
        lambda: world.new_unit().personalize(there, SERIAL, TrustOption.CERTIFICATES),
    )
    assert module.result is ModuleState.OPERATING
    assert isinstance(unit.result, ModulePersonalized)
    main = threading.get_ident()
    assert threads["commit"] - {main}
    assert threads["sign"] - {main}


class Signing:
    """A session that wants one signature, and is done with it."""

    party, error, is_open, closed = "anybody", None, False, False

    def __init__(self, key: KeyHandle) -> None:
        self._key = key

    def start(self, at: int) -> list[Sign]:
        return [Sign(self._key, b"message")]

    def answer(self, event: object, at: int) -> list[Sign]:
        self.closed = True
        return []


async def test_keys_that_hang_leave_threads_to_all_else(world: World, monkeypatch):
    """A token that does not answer holds up who needs it: not the storage, the registry or the people of others."""
    vault = world.vault(SERIAL)
    key = given(vault.find("identity"))
    answers, signed = threading.Event(), MemoryVault.sign

    def hang(self: Any, *about: Any) -> Any:
        answers.wait()
        return signed(self, *about)

    monkeypatch.setattr(MemoryVault, "sign", hang)
    monkeypatch.setattr(MemoryVault, "answers_at_once", False)
    sessions: list[Any] = [Signing(key) for _ in range(50)]
    async with trio.open_nursery() as nursery:
        for session in sessions:
            nursery.start_soon(partial(run, session, memory_pair()[0], Ports(vault), now=world.clock))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(20) as patience:
            assert await trio.to_thread.run_sync(lambda: "another's") == "another's"
        answers.set()
    assert not patience.cancelled_caught
    assert all(session.closed for session in sessions)


async def test_storage_that_fails_at_the_last_moment_is_an_error_and_not_a_silent_success(world: World):
    def fail(record: object, keep: object) -> None:
        raise StoreFailed("disk full", who="store")

    world.approved(CardRole.MODULE, SERIAL)
    world.module._keeping.commit = fail  # type: ignore[method-assign, assignment]
    here, there = memory_pair()
    module, unit = await together(
        lambda: world.module.meet_unit(here, TrustOption.CERTIFICATES),
        lambda: world.new_unit().personalize(there, SERIAL, TrustOption.CERTIFICATES),
    )
    assert isinstance(module.error, EnvironmentFault)
    assert unit.error is not None
    assert world.module.state is ModuleState.DELIVERED
    assert world.vault(SERIAL).labels() == {"identity"}


async def test_a_program_that_cannot_be_shown_something_is_told_so(world: World):
    """What is no error of ours is a bug of somebody's and comes up as it is."""
    here, _ = memory_pair()

    def show(note: object) -> None:
        raise ZeroDivisionError

    world.module._show = show
    with pytest.raises(ZeroDivisionError):
        await world.module.meet_unit(here, TrustOption.CERTIFICATES)
    assert await closed(here)


# People, who take minutes or go away


def cable_unit(world: World, compare: Callable[[Any], bool]) -> Any:
    return Unit(
        world.card, world.central_certificate, compare=compare, now=world.clock, show=world.shown.append, blocking=True
    )


async def compared(world: World, unit: Any, ends: Any) -> list[Outcome]:
    world.approved(CardRole.MODULE, SERIAL)
    return await together(
        lambda: world.module.meet_unit(ends[0], TrustOption.PHYSICAL, wired=True),
        lambda: unit.personalize(ends[1], SERIAL, TrustOption.PHYSICAL, wired=True),
    )


@pytest.mark.parametrize("equal", [True, False])
async def test_a_person_is_asked_in_a_thread_of_their_own(world: World, equal):
    asked: list[tuple[int, Any]] = []

    def compare(public: Any) -> bool:
        asked.append((threading.get_ident(), public))
        return equal

    module, unit = await compared(world, cable_unit(world, compare), memory_pair())
    ((thread, public),) = asked
    assert thread != threading.get_ident()
    assert (unit.error is None) is equal
    assert world.module.state is (ModuleState.OPERATING if equal else ModuleState.DELIVERED)
    if equal:
        assert world.module.operating_key == public.data
    else:
        assert isinstance(module.error, PeerRefusedError)
        assert module.error.fault is Fault.UNTRUSTED
        assert SERIAL not in world.card.export_log().decode()


async def test_a_person_who_does_not_answer_is_waited_for_and_not_for_ever(world: World, autojump_clock):
    """The unit gives up first, and tells the module; nothing was signed."""
    gone = threading.Event()
    autojump_clock.autojump_threshold = 0.05  # the thread counts as idle
    try:
        module, unit = await compared(world, cable_unit(world, lambda _: gone.wait(60)), memory_pair())
    finally:
        gone.set()
    assert isinstance(unit.error, ProtocolError)
    assert unit.error.fault is Fault.TIMEOUT
    assert unit.at == pytest.approx(PERSON_SECONDS, abs=1)
    assert isinstance(module.error, PeerRefusedError)
    assert len(world.card.record.jobs) == 1


async def test_a_link_that_is_lost_while_a_person_compares_ends_it_at_once(world: World, autojump_clock):
    """Nobody certifies a key for a module that is no longer there."""
    gone, asked = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def compare(_: Any) -> bool:
        token.run_sync_soon(asked.set)
        return gone.wait(60)

    async def unplug() -> None:
        await asked.wait()
        await ends[0].aclose()

    ends = memory_pair()
    autojump_clock.autojump_threshold = 0.05
    world.approved(CardRole.MODULE, SERIAL)
    try:
        _, unit, _ = await together(
            lambda: world.module.meet_unit(ends[0], TrustOption.PHYSICAL, wired=True),
            lambda: cable_unit(world, compare).personalize(ends[1], SERIAL, TrustOption.PHYSICAL, wired=True),
            unplug,
        )
    finally:
        gone.set()
    assert "link lost" in str(unit.error)
    assert unit.at < 1
    assert len(world.card.record.jobs) == 1


async def test_a_question_that_cannot_be_asked_ends_it_with_its_reason(world: World):
    def compare(_: Any) -> bool:
        raise EnvironmentFault("no terminal", who="unit")

    module, unit = await compared(world, cable_unit(world, compare), memory_pair())
    assert "no terminal" in str(unit.error)
    assert isinstance(module.error, PeerRefusedError)
    assert module.error.fault is Fault.UNAVAILABLE
