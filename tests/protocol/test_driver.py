from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from pump import personalize
from side_by_side import Outcome, closed, setting, together
from world import SERIAL, World

from insitu.protocol.driver import FAREWELL_SECONDS, HANDSHAKE_FRAME, SEND_SECONDS, Order, Orders, run
from insitu.protocol.engine import Fault, Persist, ProtocolError, Show, StateError
from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.central_data import AttentionCalled, CentralState
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import ModulePersonalized, ModuleReported
from insitu.protocol.ports import Ports
from insitu.protocol.session import HANDSHAKE_SECONDS, Transmit
from insitu.transports.framing import FrameChannel, encode_frame
from insitu.transports.memory import memory_pair

LINKS = {"trio's": trio.testing.memory_stream_pair, "ours": memory_pair, "ours, small": partial(memory_pair, 16)}


@pytest.fixture(params=LINKS.values(), ids=LINKS.keys())
def ends(request: pytest.FixtureRequest) -> tuple[trio.abc.Stream, trio.abc.Stream]:
    return request.param()


# In good order


@pytest.mark.parametrize("option", TrustOption, ids=lambda option: option.name.lower())
async def test_a_personalization_over_any_stream(world: World, ends, option):
    world.equip(option)
    world.approved(CardRole.MODULE, SERIAL)
    module, unit = await together(
        lambda: world.module.meet_unit(ends[0], option, wired=True),
        lambda: world.new_unit().personalize(ends[1], SERIAL, option, wired=True),
    )
    assert module.result is ModuleState.OPERATING
    assert unit.result == ModulePersonalized(SERIAL, world.module.record.module)
    assert await closed(ends[0])
    assert await closed(ends[1])
    assert world.vault(SERIAL).labels() == {"operating-0", *world.module.record.lasting}
    assert world.vault("card").labels() - {"tickets"} == {"signing", "authentication"}


async def test_a_module_at_work_takes_orders_and_so_does_the_central_system(world: World, ends):
    personalize(world)
    central_orders = Orders()
    contacted = trio.Event()

    async def operators() -> None:
        await contacted.wait()
        while not world.module.at_work.online:
            await trio.testing.wait_all_tasks_blocked()
        answer = await world.module.at_work.authorize("4111111111111111", "x", 5000, "EUR")
        assert answer.approved
        with pytest.raises(StateError, match="TransactionSettled refused"):
            await world.module.at_work.settle(answer.number, 5001)
        world.order_reset()
        order = Order(AttentionCalled())
        central_orders.put(order)
        await order.wait()

    module, central, _ = await together(
        lambda: world.module.work(ends[0]),
        lambda: world.central.attend(ends[1], central_orders, also_show=setting(contacted)),
        operators,
    )
    assert central.result is CentralState.ENDED
    assert "ended the link" in str(module.error)  # it comes again at once, to be reset
    again = memory_pair()
    module, central = await together(lambda: world.module.work(again[0]), lambda: world.central.attend(again[1]))
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


class Insistent:
    """A session that has more to send behind something else, whatever happens."""

    is_open = True

    party, closed, error = "somebody", False, None

    def start(self, _: int) -> list[Any]:
        return [Transmit((b"first",)), Show("between"), Persist("record"), Transmit((b"second",)), Show("after")]

    def lost(self, reason: str) -> list[Any]:
        self.closed, self.error = True, ProtocolError(reason)
        return [Show("lost")]


async def test_after_a_send_that_failed_the_rest_is_done_and_nothing_more_is_sent(world: World):
    here, there = trio.testing.memory_stream_pair()
    await there.aclose()
    attempts, done = [], []
    real = here.send_stream.send_all

    async def send_all(data: Any) -> None:
        attempts.append(bytes(data))
        await real(data)

    here.send_stream.send_all = send_all  # type: ignore[method-assign]
    ports = Ports(world.vault("x"), commit=lambda record, _: done.append(record), show=done.append)
    with pytest.raises(ProtocolError):
        await run(Insistent(), here, ports, now=world.clock)  # type: ignore[arg-type]
    assert attempts == [encode_frame(b"first")]
    assert done == ["between", "record", "after", "lost"]


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
    contacted, over = trio.Event(), trio.Event()

    async def want() -> None:
        await contacted.wait()
        while not world.module.at_work.online:
            await trio.testing.wait_all_tasks_blocked()
        central.cancel()
        with trio.move_on_after(100):
            await world.module.at_work.authorize("4111111111111111", "x", 5000, "EUR")

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
            return await world.module.work(here)
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
        (encode_frame(bytes(HANDSHAKE_FRAME)), Fault.MALFORMED, ""),
        (encode_frame(bytes(HANDSHAKE_FRAME + 1)), Fault.MALFORMED, "frame too long"),
        (encode_frame(b"\xff" * 500), Fault.MALFORMED, ""),
        (b"\0\x05ab", Fault.TIMEOUT, "ended within a frame"),
        (b"", Fault.TIMEOUT, "ended the link"),
    ],
    ids=["an empty frame", "another protocol", "zeros", "too many zeros", "ones", "half a frame", "nothing"],
)
async def test_nonsense_ends_the_session_with_a_clear_error(world: World, ends, sent, fault, words):
    here, there = ends

    async def talk() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(swallow, there)
            with suppress(trio.BrokenResourceError):  # what is too long is not read to its end
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
