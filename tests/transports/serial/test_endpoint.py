"""Two endpoints over a simulated line: promises under any damage, and what the line costs."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insitu.transports.faulty import Faults
from insitu.transports.serial.arq import INBOX, Timing
from insitu.transports.serial.endpoint import LEAD, Endpoint
from insitu.transports.serial.frames import (
    MAX_BODY,
    MAX_LINE,
    WINDOW,
    Control,
    Deframer,
    Frame,
    Kind,
    Mark,
    attention,
    encode,
    ready,
)

TEXT = Random(2).randbytes(30_000)
WORST = Faults(bit_errors=1e-3, losses=1e-3, doubles=1e-3)


class Script:
    """Damage by list: what happens to each write on the line, one after another; clean when the list is used up."""

    def __init__(self, steps):
        self.steps = list(steps)

    def apply(self, data):
        kind, place, extra = self.steps.pop(0) if self.steps else ("pass", 0, b"")
        place %= len(data)
        match kind:
            case "lose":
                return b""
            case "double":
                return data + data
            case "flip":
                return data[:place] + bytes((data[place] ^ (1 + place % 255),)) + data[place + 1 :]
            case "cut":
                return data[:place]
            case "drop":
                return data[:place] + data[place + 1 :]
            case "junk":
                return extra + data
            case "insert":
                return data[:place] + extra + data[place:]
        return data


kinds = st.sampled_from(["pass", "lose", "double", "flip", "cut", "drop", "junk", "insert"])
script = st.lists(st.tuples(kinds, st.integers(0, 63), st.binary(max_size=70)), max_size=60)


@given(
    to_answerer=script,
    to_caller=script,
    there=st.integers(0, 3000),
    back=st.integers(0, 3000),
    ends=st.booleans(),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_to_the_line_for_a_while_everything_arrives(
    simulation, to_answerer, to_caller, there, back, ends
):
    # the bad time may last as long as 60 retransmissions take, so patience has to be longer here
    line = simulation(Timing(patience=200))
    line.caller.damage, line.answerer.damage = Script(to_answerer), Script(to_caller)
    line.caller.to_send, line.answerer.to_send = TEXT[:there], TEXT[-back:] if back else b""
    if ends:
        line.caller.end = line.answerer.end = lambda session, now: session.end_sending()
    line.run()
    assert line.caller.session.failure is None
    assert line.answerer.received == TEXT[:there]
    assert line.caller.received == (TEXT[-back:] if back else b"")
    assert [side.session.ended for side in line.sides] == [ends, ends]


@given(seed=st.integers(), rate=st.sampled_from([1e-4, 1e-3, 5e-3, 0.02]), one_way=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_on_a_hopeless_line_what_arrives_is_right_and_the_rest_is_given_up(simulation, seed, rate, one_way):
    bad = Faults(bit_errors=rate, losses=rate, doubles=rate, bursts=rate / 4, junk=100)
    line = simulation(Timing(patience=3), to_answerer=bad, to_caller=Faults() if one_way else bad, seed=seed)
    line.caller.to_send = line.answerer.to_send = TEXT[:1500]
    line.run(limit=120)
    assert TEXT[:1500].startswith(bytes(line.answerer.received))
    assert TEXT[:1500].startswith(bytes(line.caller.received))
    for side in line.sides:
        if side.session is not None and side.session.failure is None:
            assert len(side.peer.received) == 1500 or side.session.deadline() > line.now


@given(noise=st.lists(st.binary(max_size=200), max_size=20), caller=st.booleans())
def test_noise_alone_never_makes_a_session(noise, caller):
    endpoint = Endpoint(Timing(), caller=caller, number=5)
    if caller:
        endpoint.call(0.0)
    for second, piece in enumerate(noise):
        endpoint.receive(piece, float(second))
        endpoint.transmit(float(second))
        endpoint.expire(float(second))
    assert endpoint.session is None


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_line_that_is_promised_carries_kilobytes_both_ways(simulation, seed):
    line = simulation(to_answerer=WORST, to_caller=WORST, seed=seed)
    line.caller.to_send = line.answerer.to_send = TEXT[:4000]
    line.run(until=lambda: all(len(side.received) == 4000 for side in line.sides), limit=120)
    assert line.caller.received == line.answerer.received == TEXT[:4000]
    # measured: 11 s in the mean, 4.2 s on a clean line
    assert line.now < 25


def test_bursts_of_noise_cost_time_only(simulation):
    bursts = Faults(bursts=2e-3, burst_length=60, junk=500)
    line = simulation(to_answerer=bursts, to_caller=bursts, seed=1)
    line.caller.to_send = line.answerer.to_send = TEXT[:3000]
    line.run(until=lambda: all(len(side.received) == 3000 for side in line.sides), limit=120)
    assert line.caller.received == line.answerer.received == TEXT[:3000]


def test_the_same_seed_gives_the_same_line_to_the_byte(simulation):
    def pieces(seed):
        line = simulation(to_answerer=WORST, to_caller=WORST, seed=seed)
        line.caller.to_send = line.answerer.to_send = TEXT[:2000]
        line.run(limit=60)
        return line.now, line.caller.pieces, line.answerer.pieces

    assert pieces(1) == pieces(1) != pieces(2)


def test_a_clean_line_is_well_used(simulation):
    line = simulation()
    line.caller.to_send = TEXT
    line.run(until=lambda: len(line.answerer.received) == len(TEXT))
    assert line.caller.session.retransmissions == 0
    assert len(TEXT) / line.caller.line_bytes > 0.87
    assert len(TEXT) * line.timing.byte / line.now > 0.87, "the line is never idle"
    assert line.answerer.line_bytes < len(TEXT) / 6, "acknowledgements, on the wire that is idle"


def test_payload_both_ways_carries_its_own_acknowledgements(simulation):
    line = simulation()
    line.caller.to_send = line.answerer.to_send = TEXT[:10_000]
    line.run(until=lambda: all(len(side.received) == 10_000 for side in line.sides))
    assert 10_000 / line.answerer.line_bytes > 0.85
    assert 10_000 * line.timing.byte / line.now > 0.85


@pytest.mark.parametrize(
    ("baud", "latency", "least"), [(300, 0.02, 0.85), (115_200, 0.003, 0.8), (115_200, 0.016, 0.6)]
)
def test_other_speeds(simulation, baud, latency, least):
    line = simulation(Timing(baud), latency=latency)
    line.caller.to_send = TEXT[:10_000]
    line.run(until=lambda: len(line.answerer.received) == 10_000)
    assert line.caller.session.retransmissions == 0
    assert 10_000 * line.timing.byte / line.now > least


def test_no_frame_on_the_line_is_longer_than_promised(simulation):
    line = simulation(to_answerer=WORST, to_caller=WORST)
    line.caller.to_send = line.answerer.to_send = TEXT[:3000]
    line.run(limit=60)
    for side in line.sides:
        assert max(map(len, b"".join(side.pieces).split(b"\0"))) == MAX_LINE - 1


def test_little_waits_in_the_operating_system(simulation):
    line = simulation()
    line.caller.to_send = TEXT[:5000]
    line.run(until=lambda: len(line.answerer.received) == 5000)
    assert line.caller.most_ahead < (MAX_LINE + 1) * line.timing.byte + 1.01 * LEAD


def test_an_idle_session_sends_nothing(simulation):
    line = simulation()
    line.caller.to_send = b"one question"
    line.run(limit=600)
    assert line.answerer.received == b"one question"
    assert line.now < 1
    assert all(side.endpoint.wake_at() == float("inf") for side in line.sides)


def test_a_peer_that_does_not_read_is_waited_for(simulation):
    line = simulation()
    line.caller.to_send = TEXT
    line.answerer.reads = False
    line.run(limit=300)
    assert line.caller.session.failure is None
    assert line.answerer.session.readable <= INBOX + WINDOW * MAX_BODY
    line.answerer.reads = True
    line.answerer.received += line.answerer.session.read(None, line.now)
    line.run(until=lambda: len(line.answerer.received) == len(TEXT), limit=600)
    assert line.answerer.received == TEXT


def restart_caller(line, number):
    line.caller.endpoint = Endpoint(line.timing, caller=True, number=number)
    line.caller.endpoint.call(line.now)
    line.caller.received.clear()


def test_a_restarted_caller_begins_anew_and_the_old_session_breaks(simulation):
    line = simulation()
    line.caller.to_send = TEXT
    line.run(limit=3)
    old = line.answerer.session
    assert len(line.answerer.received) > 1000
    restart_caller(line, 99)
    line.caller.to_send = b"a new beginning"
    line.run(limit=10)
    assert old.failure == "the peer has begun another session"
    assert line.answerer.session.number >> 32 == 99
    assert bytes(line.answerer.received).endswith(b"a new beginning")
    assert TEXT.startswith(line.answerer.received.removesuffix(b"a new beginning"))


def test_frames_of_an_old_session_mean_nothing(simulation):
    line = simulation()
    line.caller.to_send = b"old words"
    line.run(limit=2)
    stale = b"".join(line.caller.pieces)
    restart_caller(line, 99)
    line.run(limit=4)
    session = line.answerer.session
    assert session.number >> 32 == 99
    before = len(line.answerer.received)
    line.answerer.endpoint.receive(stale, line.now)
    line.run(limit=30)
    assert line.answerer.endpoint.session is session
    assert session.failure is None
    assert len(line.answerer.received) == before


def test_an_attention_frame_alone_breaks_nothing(simulation):
    line = simulation()
    line.run(limit=2)
    session = line.answerer.session
    stray = encode(attention(1234), Mark(0, caller=True).outgoing)
    line.answerer.endpoint.receive(stray, line.now)
    line.caller.to_send = TEXT[:500]
    line.run(limit=40)
    assert session.failure is None
    assert line.answerer.received == TEXT[:500]
    assert line.answerer.endpoint.wake_at() == float("inf"), "the offer has lapsed"


def test_a_restarted_answerer_resets_the_caller(simulation):
    line = simulation()
    line.caller.to_send = TEXT
    line.run(limit=3)
    line.answerer.endpoint = Endpoint(line.timing, caller=False, number=77)
    line.answerer.endpoint.reset_all()
    line.run(limit=4)
    assert line.caller.session.failure == "reset by the peer"


def test_a_reset_while_calling_is_no_answer(simulation):
    line = simulation()
    line.answerer.endpoint.reset_all()
    line.caller.to_send = b"through"
    line.run(limit=5)
    assert line.answerer.received == b"through"


def test_an_echo_of_our_own_words_is_not_the_peer():
    endpoint = Endpoint(Timing(), caller=True, number=5)
    endpoint.call(0.0)
    now = 0.0
    while now < 20:
        endpoint.receive(endpoint.transmit(now), now)
        now += 0.1
    assert endpoint.session is None
    assert "pieces that are no frame" in endpoint.overheard
    assert not endpoint.overheard.startswith("0 bytes")


def controls(pieces):
    """The numbers of the CONTROL frames in what was written to the line, in any session."""
    contents = Deframer().feed(b"".join(pieces))
    return [content[0] >> 2 & 15 for content in contents if content[0] >> 6 == Kind.CONTROL]


def test_a_session_is_set_up_in_three_frames(simulation):
    line = simulation()
    line.run(limit=60)
    assert (len(line.caller.pieces), len(line.answerer.pieces)) == (2, 1)
    assert line.now < 0.1
    assert line.answerer.session.number == line.caller.session.number


def test_a_repeated_call_is_answered_at_once():
    endpoint = Endpoint(Timing(), caller=False, number=1)
    call = encode(attention(5), Mark(0, caller=True).outgoing)
    endpoint.receive(call, 0.0)
    assert endpoint.transmit(0.0)
    assert endpoint.wake_at() > 0.2
    endpoint.receive(call, 0.1)
    assert endpoint.transmit(0.1)


def test_a_repeated_call_of_the_present_session_is_nothing(simulation):
    line = simulation()
    line.run(limit=2)
    line.answerer.endpoint.receive(line.caller.pieces[0], line.now)
    assert line.answerer.endpoint.wake_at() == float("inf")


def test_a_caller_whose_first_words_were_lost_repeats_them_when_asked(simulation):
    line = simulation()
    line.caller.damage = Script([("pass", 0, b""), *[("lose", 0, b"")] * 3])
    line.answerer.to_send = b"module first"
    line.run(limit=10)
    assert line.caller.received == b"module first"


def test_noise_on_an_idle_line_does_not_spoil_the_next_frame(simulation):
    line = simulation()
    line.run(limit=2)
    line.answerer.endpoint.receive(b"\xaa\xbb", line.now)
    line.caller.to_send = b"whole"
    line.now += 1
    line.run(limit=60)
    assert line.answerer.received == b"whole"
    assert line.caller.session.retransmissions == 0


def test_a_reset_of_every_session_is_the_answerers_to_send(simulation):
    line = simulation()
    line.run(limit=2)
    reset = encode(Frame(Kind.CONTROL, Control.RESET), Mark(0, caller=True).outgoing)
    line.answerer.endpoint.receive(reset, line.now)
    assert line.answerer.session.failure is None


def test_a_peer_of_another_version_is_named():
    endpoint = Endpoint(Timing(), caller=True, number=5)
    endpoint.call(0.0)
    other = Frame(Kind.CONTROL, Control.READY, body=b"\x02" + ready(5 << 32 | 1).body[1:] + b"and more")
    endpoint.receive(encode(other, Mark(0, caller=False).outgoing), 0.0)
    assert endpoint.session is None
    assert endpoint.refusal == "version 2"


def test_calls_are_repeated_with_pauses():
    endpoint = Endpoint(Timing(), caller=True, number=5)
    endpoint.call(0.0)
    now, calls = 0.0, 0
    while now <= 10:
        calls += bool(endpoint.transmit(now))
        now = endpoint.wake_at()
    assert 10 <= calls <= 20


def test_closing_both_ways_leaves_both_ends_silent(simulation):
    line = simulation(to_answerer=WORST, to_caller=WORST, seed=4)
    line.caller.to_send = TEXT[:600]
    line.caller.end = lambda session, now: session.close()
    line.run(until=lambda: line.answerer.session is not None and line.answerer.session.peer_gone, limit=60)
    answering = line.answerer.session
    line.answerer.received += answering.read(None, line.now)
    answering.close()
    assert answering.finished
    line.answerer.endpoint.dispose(answering, line.now)
    line.run(limit=120)
    assert line.answerer.received == TEXT[:600]
    assert line.caller.session.finished
    assert line.caller.session.failure is None
    assert all(side.endpoint.wake_at() == float("inf") for side in line.sides)


def test_an_orderly_end_needs_no_reset(simulation):
    line = simulation()
    line.caller.end = lambda session, now: session.close()
    line.run(until=lambda: line.caller.session is not None and line.caller.session.finished, limit=10)
    line.caller.endpoint.dispose(line.caller.session, line.now)
    line.run(limit=20)
    assert controls(line.caller.pieces) == [Control.ATTENTION]


def test_many_frames_for_a_session_that_is_gone_are_answered_with_one_reset(simulation):
    line = simulation()
    line.caller.to_send = TEXT[:5000]
    line.run(limit=3)
    session = line.answerer.session
    session.fail("dropped")
    line.answerer.endpoint.dispose(session, line.now)
    line.answerer.endpoint.receive(b"".join(line.caller.pieces[5:]), line.now)
    pieces = []
    while not line.answerer.endpoint.idle:
        pieces.append(line.answerer.endpoint.transmit(line.now))
        line.now += 1
    assert controls(pieces) == [Control.RESET]


def test_frames_for_a_session_that_is_gone_are_answered_with_a_reset(simulation):
    line = simulation()
    line.run(limit=1)
    session = line.answerer.session
    session.fail("dropped")
    line.answerer.endpoint.dispose(session, line.now)
    while line.answerer.endpoint.transmit(line.now):
        line.now += 1  # the reset, lost
    line.caller.to_send = b"still there?"
    line.run(limit=10)
    assert line.caller.session.failure == "reset by the peer"
