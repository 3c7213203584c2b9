from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from pump import personalize
from world import SERIAL, World, authorization

from insitu.protocol.driver import FAREWELL_SECONDS, SEND_SECONDS, Order
from insitu.protocol.engine import EnvironmentFault, Fault, InsituError, ProtocolError, StateError
from insitu.protocol.keys.vault import Vault
from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.central import CentralState, ModuleContacted, ResetOrdered
from insitu.protocol.parties.module_data import AuthorizationWanted, ModuleState, PayOutInstructed, ResetByHand
from insitu.protocol.parties.unit import PERSON_SECONDS, ModulePersonalized, ModuleReported
from insitu.protocol.session import HANDSHAKE_SECONDS, PeerRefusedError
from insitu.protocol.stores.atomic import StoreFailed
from insitu.shell import keeping
from insitu.shell.central import Central
from insitu.shell.unit import Unit
from insitu.transports.framing import FrameChannel, encode_frame
from insitu.transports.memory import memory_pair

LINKS = {"trio's": trio.testing.memory_stream_pair, "ours": memory_pair, "ours, small": partial(memory_pair, 16)}


@pytest.fixture(params=LINKS.values(), ids=LINKS.keys())
def ends(request: pytest.FixtureRequest) -> tuple[trio.abc.Stream, trio.abc.Stream]:
    return request.param()


class Outcome:
    """What became of a call: its result or our error. Any other exception is a failure of the test."""

    result: Any = None
    error: InsituError | None = None
    at: float = 0.0

    async def of(self, work: Callable[[], Any]) -> None:
        try:
            self.result = await work()
        except InsituError as error:
            self.error = error
        self.at = trio.current_time()


async def together(*work: Callable[[], Any]) -> list[Outcome]:
    """All calls at once; how they ended."""
    outcomes = [Outcome() for _ in work]
    async with trio.open_nursery() as nursery:
        for outcome, each in zip(outcomes, work, strict=True):
            nursery.start_soon(outcome.of, each)
    return outcomes


def setting(event: trio.Event) -> Callable[[object], None]:
    """Sets the event as soon as a module is in contact."""
    return lambda note: event.set() if isinstance(note, ModuleContacted) else None


async def closed(stream: trio.abc.Stream) -> bool:
    try:
        await stream.send_all(b"x")
    except trio.ClosedResourceError:
        return True
    return False


# In good order


@pytest.mark.parametrize("option", TrustOption, ids=lambda option: option.name.lower())
async def test_a_personalization_over_any_stream(world: World, ends, option):
    world.approved(CardRole.MODULE, SERIAL)
    module, unit = await together(
        lambda: world.module.meet_unit(ends[0], option, wired=True),
        lambda: world.new_unit().personalize(ends[1], SERIAL, option, wired=True),
    )
    assert module.result is ModuleState.OPERATING
    assert unit.result == ModulePersonalized(SERIAL, world.module.record.module)
    assert await closed(ends[0])
    assert await closed(ends[1])
    assert world.vault(SERIAL).labels() == {"identity", "operating-0"}
    assert world.vault("card").labels() == {"signing", "authentication"}


async def test_a_module_at_work_takes_orders_and_so_does_the_central_system(world: World, ends):
    personalize(world)
    seen: list[object] = []
    wants, module_orders = trio.open_memory_channel[Order](0)
    commands, central_orders = trio.open_memory_channel[Order](0)
    contacted = trio.Event()

    def note(shown: object) -> None:
        seen.append(shown)
        if isinstance(shown, ModuleContacted):
            contacted.set()

    async def operators() -> None:
        await contacted.wait()
        order = Order(AuthorizationWanted(authorization(1)))
        await wants.send(order)
        await order.wait()
        again = Order(AuthorizationWanted(authorization(1)))
        await wants.send(again)
        with pytest.raises(StateError, match="AuthorizationWanted refused"):
            await again.wait()
        while not any(isinstance(shown, PayOutInstructed) for shown in world.shown):
            await trio.testing.wait_all_tasks_blocked()
        reset = Order(ResetOrdered())
        await commands.send(reset)
        await reset.wait()

    module, central, _ = await together(
        lambda: world.module.work(ends[0], module_orders),
        lambda: world.central.attend(ends[1], central_orders, also_show=note),
        operators,
    )
    assert (module.result, central.result) == (ModuleState.RESET, CentralState.ENDED)
    assert (module.error, central.error) == (None, None)


async def test_adjacent_frames_leave_in_one_write(world: World):
    """A flight is one write: message_4 and the first order share a packet."""
    world.approved(CardRole.MODULE, SERIAL)
    here, there = trio.testing.memory_stream_pair()
    writes: list[int] = []
    real = there.send_stream.send_all

    async def send_all(data: Any) -> None:
        writes.append(len(data))
        await real(data)

    there.send_stream.send_all = send_all  # type: ignore[method-assign]
    await together(
        lambda: world.module.meet_unit(here, TrustOption.CERTIFICATES),
        lambda: world.new_unit().personalize(there, SERIAL, TrustOption.CERTIFICATES),
    )
    assert len(writes) == 3


# Silence: every wait has a deadline


async def test_a_peer_that_never_speaks_is_waited_for_as_long_as_a_handshake_may_take(world: World, autojump_clock):
    world.approved(CardRole.MODULE, SERIAL)
    for work in (
        lambda stream: world.module.meet_unit(stream, TrustOption.CERTIFICATES),
        lambda stream: world.new_unit().personalize(stream, SERIAL, TrustOption.CERTIFICATES),
        lambda stream: world.central.attend(stream),
    ):
        here, _there = memory_pair()
        begun = trio.current_time()
        (outcome,) = await together(partial(work, here))
        assert isinstance(outcome.error, ProtocolError)
        assert outcome.error.fault is Fault.TIMEOUT
        assert outcome.at - begun == HANDSHAKE_SECONDS
    assert world.module.state is ModuleState.DELIVERED


@asynccontextmanager
async def relay(frames: int) -> Any:
    """A line that carries this many frames, both ways together, and then falls silent without being cut."""
    module_end, left = memory_pair()
    right, unit_end = memory_pair()
    left_frames = 0

    async def carry(source: Any, target: Any) -> None:
        nonlocal left_frames
        channel, onward = FrameChannel(source), FrameChannel(target)
        while (frame := await channel.receive_frame()) is not None:
            left_frames += 1
            if left_frames <= frames:
                await onward.send_frame(frame)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(carry, left, right)
        nursery.start_soon(carry, right, left)
        yield module_end, unit_end
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("frames", range(9))
async def test_a_line_that_falls_silent_half_way_ends_in_time_and_state_is_old_or_new(
    world: World, autojump_clock, frames
):
    world.approved(CardRole.MODULE, SERIAL)
    async with relay(frames) as (module_end, unit_end):
        module, unit = await together(
            lambda: world.module.meet_unit(module_end, TrustOption.CERTIFICATES),
            lambda: world.new_unit().personalize(unit_end, SERIAL, TrustOption.CERTIFICATES),
        )
    assert max(module.at, unit.at) <= HANDSHAKE_SECONDS + 30 + FAREWELL_SECONDS
    assert world.module.state is (ModuleState.OPERATING if frames >= 7 else ModuleState.DELIVERED)
    assert (unit.error is None) is (frames >= 8)
    assert (module.error is None) is (frames >= 7)
    world.approved(CardRole.MODULE, SERIAL)
    again = memory_pair()
    _, unit = await together(
        lambda: world.module.meet_unit(again[0], TrustOption.CERTIFICATES),
        lambda: world.new_unit().personalize(again[1], SERIAL, TrustOption.CERTIFICATES),
    )
    assert isinstance(unit.result, ModuleReported if frames >= 7 else ModulePersonalized)


async def test_a_peer_that_never_reads_holds_nobody_for_ever(world: World, autojump_clock):
    """The send has a deadline of its own, and after it nothing more is tried."""
    here, _there = memory_pair(1)
    (outcome,) = await together(lambda: world.module.meet_unit(here, TrustOption.CERTIFICATES))
    assert "does not read" in str(outcome.error)
    assert outcome.at <= SEND_SECONDS + FAREWELL_SECONDS


async def test_a_peer_that_never_reads_does_not_block_another_session(world: World, autojump_clock):
    personalize(world)
    stuck, _ = memory_pair(1)
    here, there = memory_pair()
    blocked = Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(blocked.of, lambda: world.module.meet_unit(stuck, TrustOption.CERTIFICATES))
        online = await together(lambda: world.module.work(here), lambda: cut_when_online(world, there))
        assert trio.current_time() < 1
    assert online[1].result is None
    assert "does not read" in str(blocked.error)


async def cut_when_online(world: World, stream: trio.abc.Stream) -> None:
    contacted = trio.Event()

    async def cut() -> None:
        await contacted.wait()
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cut)
        outcome = Outcome()
        await outcome.of(lambda: world.central.attend(stream, also_show=setting(contacted)))


async def test_an_order_that_is_not_answered_ends_the_session_in_time(world: World, autojump_clock):
    personalize(world)
    here, there = memory_pair()
    wants, orders = trio.open_memory_channel[Order](0)
    contacted, over = trio.Event(), trio.Event()

    async def want() -> None:
        await contacted.wait()
        central.cancel()
        order = Order(AuthorizationWanted(authorization(1)))
        await wants.send(order)
        await order.wait()

    async def attend() -> None:
        """A central system that stops in its tracks: the stream stays open, nobody reads or answers."""
        with central:
            await world.central.attend(
                NeverClosed(there),
                also_show=setting(contacted),
            )
        await over.wait()

    async def work() -> Any:
        try:
            return await world.module.work(here, orders)
        finally:
            over.set()

    central = trio.CancelScope()
    module, _, wanting = await together(work, attend, want)
    assert wanting.error is None
    assert isinstance(module.error, ProtocolError)
    assert module.error.fault is Fault.TIMEOUT
    assert 30 <= module.at < 31 + FAREWELL_SECONDS


class NeverClosed(trio.abc.Stream):
    """A stream that the far end never notices to be closed, as when a host loses its power."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send_all(self, data: Any) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


# Nonsense


@pytest.mark.parametrize(
    ("sent", "fault", "words"),
    [
        (b"\0\0", Fault.MALFORMED, "empty frame"),
        (encode_frame(b"GET / HTTP/1.1"), Fault.MALFORMED, ""),
        (encode_frame(bytes(60_000)), Fault.MALFORMED, ""),
        (encode_frame(b"\xff" * 500), Fault.MALFORMED, ""),
        (b"\0\x05ab", Fault.TIMEOUT, "ended within a frame"),
        (b"", Fault.TIMEOUT, "ended the link"),
    ],
    ids=["an empty frame", "another protocol", "zeros", "ones", "half a frame", "nothing"],
)
async def test_nonsense_ends_the_session_with_a_clear_error(world: World, ends, sent, fault, words):
    here, there = ends

    async def talk() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swallow, there)
            await there.send_all(sent)
            if isinstance(there, trio.StapledStream):
                await there.send_stream.aclose()  # type: ignore[attr-defined]
            else:
                await there.send_eof()

    world.approved(CardRole.MODULE, SERIAL)
    (unit, _) = await together(lambda: world.new_unit().personalize(here, SERIAL, TrustOption.CERTIFICATES), talk)
    assert isinstance(unit.error, ProtocolError)
    assert unit.error.fault is fault
    assert words in str(unit.error)
    assert len(world.card.record.jobs) == 1


async def swallow(stream: trio.abc.Stream) -> None:
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass


async def test_nonsense_on_an_open_channel_ends_it_on_both_sides(world: World):
    personalize(world)
    here, left = memory_pair()
    right, there = memory_pair()
    contacted = trio.Event()

    async def carry(source: Any, target: Any) -> None:
        channel = FrameChannel(source)
        while (frame := await channel.receive_frame()) is not None:
            await target.send_all(encode_frame(frame))
        await target.send_eof()

    async def spoil() -> None:
        await contacted.wait()
        await right.send_all(encode_frame(b"not a record of this channel"))

    module, central, *_ = await together(
        lambda: world.module.work(here),
        lambda: world.central.attend(there, also_show=setting(contacted)),
        lambda: carry(left, right),
        lambda: carry(right, left),
        spoil,
    )
    assert isinstance(central.error, ProtocolError)
    assert central.error.fault is Fault.MALFORMED
    assert module.error is not None


# Orders


async def test_orders_that_come_too_late_are_refused_and_never_left_waiting(world: World, autojump_clock):
    personalize(world)
    here, there = memory_pair()
    wants, orders = trio.open_memory_channel[Order](5)
    late = [Order(AuthorizationWanted(authorization(number))) for number in (1, 2, 3)]
    for order in late:
        wants.send_nowait(order)
    await there.aclose()
    (module,) = await together(lambda: world.module.work(here, orders))
    assert module.error is not None
    for order in late:
        with trio.fail_after(1), pytest.raises(StateError):
            await order.wait()
    with pytest.raises(trio.BrokenResourceError):
        await wants.send(Order(ResetByHand()))


async def test_an_order_during_the_handshake_is_refused_at_once(world: World, autojump_clock):
    personalize(world)
    here, _there = memory_pair()
    wants, orders = trio.open_memory_channel[Order](0)

    async def want() -> None:
        order = Order(AuthorizationWanted(authorization(1)))
        await wants.send(order)
        with pytest.raises(StateError, match="needs an open channel"):
            await order.wait()
        assert trio.current_time() < 1

    module, wanting = await together(lambda: world.module.work(here, orders), want)
    assert wanting.error is None
    assert isinstance(module.error, ProtocolError)


async def test_an_order_that_ends_the_session_is_settled_with_its_error(world: World):
    personalize(world)
    wants, orders = trio.open_memory_channel[Order](0)
    here, there = memory_pair()
    contacted = trio.Event()

    def fail(record: object, keep: object) -> None:
        raise StoreFailed("disk full", who="store")

    async def want() -> None:
        await contacted.wait()
        world.module._keeping.commit = fail  # type: ignore[method-assign, assignment]
        order = Order(ResetByHand())
        await wants.send(order)
        with pytest.raises(StoreFailed):
            await order.wait()

    module, central, wanting = await together(
        lambda: world.module.work(here, orders),
        lambda: world.central.attend(there, also_show=setting(contacted)),
        want,
    )
    assert wanting.error is None
    assert isinstance(module.error, StoreFailed)
    assert isinstance(central.error, PeerRefusedError)
    assert world.module.state is ModuleState.OPERATING


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
        await Central(world.vault("nobody")).attend(here)
    assert await closed(here)


# Storage and keys that take time


async def test_what_blocks_runs_in_a_worker_thread(world: World, monkeypatch):
    """`Ports.blocking` and `KeyStore.answers_at_once` say what may not run where other sessions wait."""
    threads: dict[str, set[int]] = {"commit": set(), "sign": set()}
    real_commit, real_sign = keeping.Keeping.commit, Vault.sign

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
    monkeypatch.setattr(Vault, "sign", sign)
    monkeypatch.setattr(Vault, "answers_at_once", False)
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
    with pytest.RaisesGroup(ZeroDivisionError):
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
