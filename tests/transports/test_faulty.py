from itertools import pairwise
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import check_half_closeable_stream

from insitu.transports.errors import AddressError, LinkBroken
from insitu.transports.faulty import Damage, Faults, FaultyStream, relay
from insitu.transports.memory import memory_pair

probability = st.sampled_from([0.0, 0.001, 0.05, 0.5, 1.0])
faults = st.builds(
    Faults,
    bit_errors=probability,
    losses=probability,
    doubles=probability,
    bursts=probability,
    burst_length=st.integers(1, 40),
    junk=st.integers(0, 20),
)
TEXT = Random(1).randbytes(4000)


@given(faults=faults, seed=st.integers(), data=st.binary(min_size=1, max_size=400), cuts=st.lists(st.integers(0, 400)))
def test_damage_depends_on_seed_and_bytes_not_on_cutting(faults, seed, data, cuts):
    whole = Damage(faults, seed).apply(data)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    cut = Damage(faults, seed)
    assert b"".join(cut.apply(data[a:b]) for a, b in pairwise(places)) == whole


def test_no_faults_no_damage():
    assert Damage(Faults()).apply(TEXT) == TEXT


def test_another_seed_other_damage():
    some = Faults(bit_errors=1e-3)
    assert Damage(some, 1).apply(TEXT) != Damage(some, 2).apply(TEXT) != TEXT


def test_rates_are_what_they_say():
    data = bytes(100_000)
    wrong = sum(byte.bit_count() for byte in Damage(Faults(bit_errors=1e-3), 7).apply(data))
    assert 700 < wrong < 900
    assert 98_800 < len(Damage(Faults(losses=0.01), 7).apply(data)) < 99_200
    assert 100_800 < len(Damage(Faults(doubles=0.01), 7).apply(data)) < 101_200
    noise = sum(byte != 0 for byte in Damage(Faults(bursts=1e-3, burst_length=10), 7).apply(data))
    assert 800 < noise < 1200
    assert Damage(Faults(junk=9), 7).apply(data)[9:] == data


@pytest.mark.parametrize("wrong", [{"bit_errors": 1.1}, {"losses": -0.1}, {"baud": 0}])
def test_impossible_lines_are_refused(wrong):
    with pytest.raises(AddressError):
        Faults(**wrong)


async def make():
    here, there = memory_pair()
    return FaultyStream(here), FaultyStream(there)


async def test_a_faulty_stream_without_faults_is_a_half_closeable_stream():
    # no clogged maker: a send waits first for the line's time, which begins before the stream beneath is asked
    await check_half_closeable_stream(make, None)


async def test_damage_both_ways(autojump_clock):
    here, there = memory_pair()
    bad = FaultyStream(here, sending=Faults(losses=0.5), receiving=Faults(bit_errors=0.2), seed=3)
    await bad.send_all(TEXT)
    await there.send_all(TEXT)
    assert 1000 < len(await there.receive_some()) < 3000
    received = await bad.receive_some()
    assert len(received) == len(TEXT)
    assert received != TEXT


async def test_sending_takes_the_time_of_the_line(autojump_clock):
    here, there = memory_pair()
    line = FaultyStream(here, sending=Faults(baud=9600, delay=0.5))
    await line.send_all(bytes(960))
    assert trio.current_time() == pytest.approx(1.5)
    assert len(await there.receive_some()) == 960


async def test_a_cancelled_receive_loses_nothing(autojump_clock):
    here, there = memory_pair()
    line = FaultyStream(there, receiving=Faults(delay=2))
    await here.send_all(b"late")
    with trio.move_on_after(1):
        await line.receive_some()
    assert await line.receive_some() == b"late"


async def test_a_cut_line_is_broken_at_both_ends(autojump_clock):
    here, there = memory_pair()
    line = FaultyStream(here, sending=Faults(cut_after=5))
    with pytest.raises(LinkBroken, match="cut"):
        await line.send_all(b"1234567")
    assert await there.receive_some() == b"12345"
    assert await there.receive_some() == b""
    with pytest.raises(LinkBroken):
        await line.receive_some()


async def test_a_line_cut_while_receiving(autojump_clock):
    here, there = memory_pair()
    line = FaultyStream(there, receiving=Faults(cut_after=5))
    await here.send_all(b"1234567")
    assert await line.receive_some() == b"12345"
    with pytest.raises(LinkBroken):
        await line.receive_some()


async def test_a_stalled_line_takes_nothing_and_says_nothing(autojump_clock):
    here, there = memory_pair()
    line = FaultyStream(here, sending=Faults(stall_after=3))
    with trio.move_on_after(1000) as scope:
        await line.send_all(b"12345")
    assert scope.cancelled_caught
    assert await there.receive_some() == b"123"


async def through_relay(data, **options):
    """Send `data` from left to right, then the end; answers what arrived and when."""
    left, relay_left = memory_pair()
    relay_right, right = memory_pair()
    arrived = bytearray()
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: relay(relay_left, relay_right, task_status=task_status, **options))
        nursery.start_soon(left.send_all, data)
        async for piece in right:
            arrived += piece
            if len(arrived) >= len(data):
                break
        when = trio.current_time()
        nursery.cancel_scope.cancel()
    return bytes(arrived), when


async def test_a_relay_carries_at_the_pace_of_the_line(autojump_clock):
    arrived, when = await through_relay(TEXT, to_right=Faults(baud=9600, delay=0.25))
    assert arrived == TEXT
    assert when == pytest.approx(4000 / 960 + 0.25, rel=0.01)


async def test_a_relay_does_the_same_for_the_same_seed(autojump_clock):
    bad = Faults(bit_errors=1e-3, doubles=0.01)
    first, _ = await through_relay(TEXT, to_right=bad, seed=5)
    again, _ = await through_relay(TEXT, to_right=bad, seed=5)
    other, _ = await through_relay(TEXT, to_right=bad, seed=6)
    assert first == again != other


async def test_a_cut_relay_closes_both_ends(autojump_clock):
    left, relay_left = memory_pair()
    relay_right, right = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: relay(relay_left, relay_right, to_right=Faults(cut_after=10)))
        await left.send_all(bytes(20))
        assert await right.receive_some(100) == bytes(10)
        assert await right.receive_some(100) == b""
        with pytest.raises(trio.BrokenResourceError):
            await left.send_all(b"x")
        # the relay has ended by itself, else this nursery would never close


async def test_a_stalled_relay_is_felt_as_back_pressure(autojump_clock):
    left, relay_left = memory_pair(capacity=100)
    relay_right, right = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: relay(relay_left, relay_right, to_right=Faults(stall_after=10)))
        with trio.move_on_after(1000) as scope:
            await left.send_all(bytes(10_000))
        assert scope.cancelled_caught
        assert await right.receive_some() == bytes(10)
        nursery.cancel_scope.cancel()


async def test_ends_pass_a_relay_one_by_one(autojump_clock):
    left, relay_left = memory_pair()
    relay_right, right = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay, relay_left, relay_right)
        await left.send_all(b"question")
        await left.send_eof()
        assert await right.receive_some() == b"question"
        assert await right.receive_some() == b""
        await right.send_all(b"answer")
        await right.send_eof()
        assert await left.receive_some() == b"answer"
        assert await left.receive_some() == b""


async def test_a_cancelled_relay_closes_both_ends():
    (left, far_left), (right, far_right) = memory_pair(), memory_pair()
    async with trio.open_nursery() as nursery:
        await nursery.start(relay, far_left, far_right)
        nursery.cancel_scope.cancel()
    for end in (left, right):
        assert await end.receive_some() == b""
