import pytest
import trio
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

from insitu.transports.errors import AddressError
from insitu.transports.memory import memory_pair


async def make():
    return memory_pair()


async def make_clogged():
    here, there = memory_pair(capacity=3)
    await here.send_all(b"xxx")
    await there.send_all(b"xxx")
    return here, there


async def test_is_a_half_closeable_stream():
    await check_half_closeable_stream(make, make_clogged)


async def test_a_peer_that_never_reads_stops_the_sender():
    here, there = memory_pair(capacity=1000)
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            await here.send_all(bytes(300))
            sent += 300

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        assert sent == 900
        assert len(await there.receive_some(100)) == 100
        await wait_all_tasks_blocked()
        assert sent == 900
        assert len(await there.receive_some()) == 1000
        await wait_all_tasks_blocked()
        assert sent == 2100
        nursery.cancel_scope.cancel()


async def test_a_cancelled_receive_loses_nothing():
    here, there = memory_pair()
    await here.send_all(b"kept")
    with trio.CancelScope() as scope:
        scope.cancel()
        await there.receive_some()
    assert scope.cancelled_caught
    assert await there.receive_some() == b"kept"


async def test_what_was_sent_before_closing_arrives():
    here, there = memory_pair()
    await here.send_all(b"last words")
    await here.aclose()
    assert await there.receive_some(4) == b"last"
    assert await there.receive_some() == b" words"
    assert await there.receive_some() == b""


async def test_the_callers_buffer_may_change_after_sending():
    here, there = memory_pair()
    buffer = bytearray(b"before")
    await here.send_all(buffer)
    buffer[:] = b"after!"
    assert await there.receive_some() == b"before"


def test_a_pipe_without_room_is_refused():
    with pytest.raises(AddressError, match="at least 1"):
        memory_pair(0)
