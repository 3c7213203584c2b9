import pytest
import trio
from trio.testing import check_half_closeable_stream

from insitu.transports.errors import AddressError
from insitu.transports.memory import memory_pair
from insitu.transports.tap import Tap


async def make():
    here, there = memory_pair()
    return Tap(here), Tap(there)


async def make_clogged():
    here, there = memory_pair(capacity=1)
    await here.send_all(b"x")
    await there.send_all(b"x")
    return Tap(here), Tap(there)


async def test_is_a_half_closeable_stream_over_one():
    await check_half_closeable_stream(make, make_clogged)


async def test_counts_and_shows_what_passes():
    here, there = memory_pair()
    seen = []
    tap = Tap(here, lambda *event: seen.append(event))
    await tap.send_all(b"abc")
    await tap.send_all(b"")
    await there.send_all(b"defgh")
    assert await tap.receive_some(2) == b"de"
    assert await tap.receive_some() == b"fgh"
    assert (tap.sent, tap.received) == (3, 5)
    assert seen == [("sent", b"abc"), ("received", b"de"), ("received", b"fgh")]


async def test_a_failed_send_does_not_count():
    here, there = memory_pair()
    await there.aclose()
    tap = Tap(here)
    with pytest.raises(trio.BrokenResourceError):
        await tap.send_all(b"abc")
    assert tap.sent == 0


async def test_a_stream_that_cannot_half_close_says_so():
    left, _ = trio.testing.lockstep_stream_pair()
    with pytest.raises(AddressError):
        await Tap(left.send_stream).send_eof()
