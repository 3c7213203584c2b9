import time
from contextlib import suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from insitu.transports.errors import AddressError, FrameError, FrameTruncated
from insitu.transports.framing import MAX_FRAME, FrameChannel, FrameDecoder, encode_frame
from insitu.transports.memory import memory_pair
from insitu.transports.tap import Tap

frames_of_any_kind = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


def decode_all(pieces):
    decoder, frames = FrameDecoder(), []
    for piece in pieces:
        decoder.feed(piece)
        while (frame := decoder.next_frame()) is not None:
            frames.append(frame)
    return decoder, frames


def test_the_form_on_the_wire():
    assert encode_frame(b"abc") == b"\x00\x03abc"
    assert encode_frame(bytes(MAX_FRAME))[:2] == b"\xff\xff"


@given(frames=frames_of_any_kind, data=st.data())
def test_frames_survive_any_cutting(frames, data):
    stream = b"".join(map(encode_frame, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    decoder, decoded = decode_all(pieces)
    assert decoded == frames
    assert all(type(frame) is bytes for frame in decoded)
    decoder.finish()


@given(frames=frames_of_any_kind.filter(bool), data=st.data())
def test_an_end_within_a_frame_is_noticed_everywhere(frames, data):
    stream = b"".join(map(encode_frame, frames))
    last = len(encode_frame(frames[-1]))
    decoder, decoded = decode_all([stream[: len(stream) - data.draw(st.integers(1, last - 1))]])
    assert decoded == frames[:-1]
    with pytest.raises(FrameTruncated) as caught:
        decoder.finish()
    assert caught.value.expected != caught.value.got


@given(st.binary(max_size=2000))
def test_noise_gives_frames_or_one_error(noise):
    decoder, size = FrameDecoder(), 0
    decoder.feed(noise)
    with suppress(FrameError):
        while (frame := decoder.next_frame()) is not None:
            size += 2 + len(frame)
    assert size <= len(noise)


def test_a_refused_stream_stays_refused():
    decoder = FrameDecoder()
    decoder.feed(b"\x00\x00\x00\x01x")
    for _ in range(2):
        with pytest.raises(FrameError, match="empty frame"):
            decoder.next_frame()


@pytest.mark.parametrize("size", [0, MAX_FRAME + 1])
def test_frames_that_cannot_be_sent(size):
    with pytest.raises(AddressError) as caught:
        encode_frame(bytes(size))
    assert caught.value.got == str(size)


def test_the_longest_frame_byte_by_byte_costs_no_more_than_its_length():
    stream = encode_frame(bytes(MAX_FRAME))
    decoder = FrameDecoder()
    begun = time.process_time()
    for place in range(len(stream)):
        decoder.feed(stream[place : place + 1])
        if place < len(stream) - 1:
            assert decoder.next_frame() is None
    assert decoder.next_frame() == bytes(MAX_FRAME)
    # quadratic copying would take seconds
    assert time.process_time() - begun < 0.5


async def test_channels_talk_and_end_cleanly():
    here, there = map(FrameChannel, memory_pair())
    await here.send_frame(b"one")
    await here.send_frames([b"two", bytes(60_000)])
    assert await there.receive_frame() == b"one"
    assert await there.receive_frame() == b"two"
    assert await there.receive_frame() == bytes(60_000)
    await here.aclose()
    assert await there.receive_frame() is None
    assert await there.receive_frame() is None


async def test_several_frames_go_in_one_write():
    here, _ = memory_pair()
    writes = []
    channel = FrameChannel(Tap(here, lambda direction, data: writes.append(data)))
    await channel.send_frames([b"a", b"bc"])
    assert writes == [b"\x00\x01a\x00\x02bc"]


async def test_none_of_several_goes_when_one_is_refused():
    here, there = memory_pair()
    with pytest.raises(AddressError):
        await FrameChannel(here).send_frames([b"fine", b""])
    await here.aclose()
    assert await there.receive_some() == b""


async def test_an_end_within_a_frame_is_an_error():
    here, there = memory_pair()
    await here.send_all(b"\x00\x05abc")
    await here.aclose()
    with pytest.raises(FrameTruncated, match="expected 7 bytes, got 5 bytes"):
        await FrameChannel(there).receive_frame()


async def test_a_cancelled_receive_loses_nothing(autojump_clock):
    here, there = memory_pair()
    channel = FrameChannel(there)
    await here.send_all(b"\x00\x05abc")
    with trio.move_on_after(1) as scope:
        await channel.receive_frame()
    assert scope.cancelled_caught
    await here.send_all(b"de")
    assert await channel.receive_frame() == b"abcde"
