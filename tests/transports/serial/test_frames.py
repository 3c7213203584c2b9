from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.transports.serial.frames import (
    DELIMITER,
    MAX_BODY,
    MAX_LINE,
    NUMBERS,
    WINDOW,
    Control,
    Deframer,
    Frame,
    Kind,
    Mark,
    attention,
    decode,
    encode,
    ready,
)

SEED = Mark(7, caller=True).outgoing
frames = st.builds(
    Frame,
    kind=st.sampled_from(Kind),
    number=st.integers(0, NUMBERS - 1),
    next=st.integers(0, NUMBERS - 1),
    held=st.integers(0, (1 << WINDOW - 1) - 1),
    body=st.binary(max_size=MAX_BODY),
)


def content(frame, seed=SEED):
    return Deframer().feed(encode(frame, seed))[0]


def test_the_form_on_the_line():
    mark = b"C" + (7).to_bytes(8, "big")
    word = (0b00_0101_0011_000001).to_bytes(2, "big")
    check = crc32(mark + word + b"payload").to_bytes(4, "big")
    line = encode(Frame(Kind.DATA, number=5, next=3, held=1, body=b"payload"), SEED)
    assert line == bytes((14,)) + word + b"payload" + check + DELIMITER


def test_the_window_fits_its_numbers():
    assert 2 * WINDOW <= NUMBERS


@given(frames)
def test_frames_come_back_and_fit_the_line(frame):
    line = encode(frame, SEED)
    assert len(line) <= MAX_LINE
    assert line.index(0) == len(line) - 1
    assert decode(content(frame), SEED) == frame


def test_the_fullest_frame_fills_the_line():
    assert len(encode(Frame(Kind.DATA, body=bytes(MAX_BODY)), SEED)) == MAX_LINE


@given(frame=frames, data=st.data())
def test_a_damaged_frame_is_refused(frame, data):
    line = bytearray(content(frame))
    for place in data.draw(st.sets(st.integers(0, 8 * len(line) - 1), min_size=1, max_size=4)):
        line[place // 8] ^= 1 << place % 8
    assert decode(bytes(line), SEED) is None


@pytest.mark.parametrize("mark", [Mark(8, caller=True), Mark(7, caller=False), Mark(0, caller=True)])
def test_a_frame_of_another_session_or_direction_is_refused(mark):
    frame = Frame(Kind.DATA, body=b"stale")
    assert decode(content(frame, mark.outgoing), SEED) is None


def test_what_one_end_sends_the_other_receives():
    assert Mark(7, caller=True).outgoing == Mark(7, caller=False).incoming
    assert Mark(7, caller=False).outgoing == Mark(7, caller=True).incoming


def test_short_pieces_are_refused():
    assert decode(b"", SEED) is None
    assert decode(bytes(5), SEED) is None


def test_greetings_carry_version_and_session():
    assert attention(0x01020304) == Frame(Kind.CONTROL, Control.ATTENTION, body=bytes.fromhex("0101020304"))
    assert ready(0x0102030405060708) == Frame(Kind.CONTROL, Control.READY, body=bytes.fromhex("010102030405060708"))


@given(
    pieces=st.lists(frames, max_size=5), cut=st.integers(1, 30), junk=st.binary(max_size=200).map(lambda b: b + b"\0")
)
def test_frames_are_found_after_junk_however_cut(pieces, cut, junk):
    stream = junk + b"".join(encode(frame, SEED) for frame in pieces)
    deframer = Deframer()
    contents = [found for at in range(0, len(stream), cut) for found in deframer.feed(stream[at : at + cut])]
    decoded = [frame for found in contents if (frame := decode(found, SEED))]
    assert decoded == pieces
    assert deframer.received == len(stream)


def test_endless_noise_costs_no_memory():
    deframer = Deframer()
    for _ in range(1000):
        assert deframer.feed(b"\xaa" * 10) == []
        assert len(deframer._piece) < MAX_LINE
    assert deframer.feed(b"\0" + encode(Frame(Kind.ACK), SEED))
    assert deframer.refused == 1
