"""One session alone: what two Session objects say to each other, without a line between them."""

import pytest

from insitu.transports.serial.arq import (
    ACK_AT_ONCE,
    ACK_DELAY,
    CLOSE_TRIES,
    INBOX,
    OUTBOX,
    PROBE,
    Session,
    Timing,
)
from insitu.transports.serial.frames import MAX_BODY, WINDOW, Control, Deframer, Frame, Kind, Mark, decode

TIMING = Timing()


def pair():
    return Session(Mark(1, caller=True), TIMING, 0.0), Session(Mark(1, caller=False), TIMING, 0.0)


def parse(line, receiver):
    return decode(Deframer().feed(line)[0], receiver._mark.incoming)


def give_all(session, now):
    lines = []
    while (line := session.give(now, now)) is not None:
        lines.append(line)
    return lines


def exchange(one, two, now, rounds=10):
    """Everything that both have to say at `now`, lossless."""
    for _ in range(rounds):
        for source, sink in ((one, two), (two, one)):
            for line in give_all(source, now):
                sink.take(parse(line, sink), now)


def test_no_more_than_a_window_goes_out():
    one, _ = pair()
    one.write(bytes(OUTBOX))
    assert len(give_all(one, 0.0)) == WINDOW
    assert one.room == WINDOW * MAX_BODY


def test_the_outbox_is_bounded():
    one, _ = pair()
    assert one.write(bytes(OUTBOX + 100)) == OUTBOX
    assert one.write(b"more") == 0


def test_small_writes_share_a_frame():
    one, two = pair()
    for letter in b"abc":
        one.write(bytes((letter,)))
    (line,) = give_all(one, 0.0)
    assert parse(line, two).body == b"abc"


def test_an_acknowledgement_waits_a_moment_for_payload_to_ride_on():
    one, two = pair()
    one.write(b"ask")
    two.take(parse(one.give(0.0, 0.0), two), 0.0)
    assert two.give(0.0, 0.0) is None
    assert two.due() == ACK_DELAY
    two.write(b"answer")
    (line,) = give_all(two, 0.001)
    frame = parse(line, one)
    assert (frame.kind, frame.next) == (Kind.DATA, 1)
    assert two.due() > 0.1


def test_an_acknowledgement_goes_alone_after_a_moment():
    one, two = pair()
    one.write(b"ask")
    two.take(parse(one.give(0.0, 0.0), two), 0.0)
    (line,) = give_all(two, ACK_DELAY)
    assert parse(line, one).kind is Kind.ACK


def test_several_frames_are_acknowledged_at_once():
    one, two = pair()
    one.write(bytes(OUTBOX))
    for line in give_all(one, 0.0)[:ACK_AT_ONCE]:
        two.take(parse(line, two), 0.0)
    assert parse(two.give(0.0, 0.0), one).next == ACK_AT_ONCE


def test_a_gap_is_reported_and_only_the_lost_frame_sent_again():
    one, two = pair()
    one.write(bytes(4 * MAX_BODY))
    lines = give_all(one, 0.0)
    for line in (lines[0], lines[2], lines[3]):
        two.take(parse(line, two), 0.0)
    report = parse(two.give(0.0, 0.0), one)
    assert (report.next, report.held) == (1, 0b11)
    one.take(report, 0.0)
    assert give_all(one, 0.0) == [lines[1]]
    two.take(parse(lines[1], two), 0.0)
    assert len(two.read(None, 0.0)) == 4 * MAX_BODY


def test_the_tail_is_sent_again_after_a_time():
    one, _ = pair()
    one.write(b"lost")
    (line,) = give_all(one, 0.0)
    due = one.due()
    assert TIMING.shortest_wait <= due <= TIMING.shortest_wait + 0.1
    assert one.give(due - 0.001, due) is None
    assert one.give(due, due) == line
    assert one.due() - due > due, "an unanswered retransmission waits longer"


def test_a_doubled_frame_is_delivered_once_and_acknowledged_again():
    one, two = pair()
    one.write(b"once")
    (line,) = give_all(one, 0.0)
    two.take(parse(line, two), 0.0)
    give_all(two, 1.0)
    two.take(parse(line, two), 1.0)
    assert two.read(None, 1.0) == b"once"
    assert parse(two.give(1.0, 1.0), one).next == 1


def test_an_answer_to_a_frame_sent_twice_measures_nothing():
    one, two = pair()
    one.write(b"x")
    give_all(one, 0.0)
    now = one.due()
    (line,) = give_all(one, now)
    two.take(parse(line, two), now)
    one.take(parse(give_all(two, now + 1)[-1], one), now + 0.01)
    one.write(b"y")
    give_all(one, 10.0)
    assert one.due() - 10 > 1.4 * TIMING.shortest_wait, "still as patient as after the loss"


def test_the_limit_counts_from_the_first_frame_after_a_rest():
    one, _ = pair()
    one.write(b"after a long while")
    give_all(one, 1000.0)
    one.expire(1000.1)
    assert one.failure is None
    assert one.deadline() == 1000 + TIMING.limit


def test_word_of_a_gap_goes_ahead_of_payload():
    one, two = pair()
    one.write(bytes(3 * MAX_BODY))
    lines = give_all(one, 0.0)
    two.write(b"payload")
    two.take(parse(lines[0], two), 0.0)
    two.take(parse(lines[2], two), 0.0)
    assert [parse(line, one).kind for line in give_all(two, 0.0)] == [Kind.ACK, Kind.DATA]


def test_the_waiting_time_follows_the_round_trip():
    one, two = pair()
    for second in range(20):
        one.write(b"x")
        for line in give_all(one, float(second)):
            two.take(parse(line, two), second + 0.4)
        for line in give_all(two, second + 0.45):
            one.take(parse(line, one), second + 0.8)
        assert two.read(None, 0.0) == b"x"
    one.write(b"x")
    give_all(one, 100.0)
    assert 100.7 < one.due() < 101.5


def test_nothing_acknowledged_breaks_the_session_at_the_stated_limit():
    one, _ = pair()
    one.write(b"anybody?")
    now = 0.0
    while one.failure is None:
        give_all(one, now)
        now = min(one.due(), one.deadline())
        one.expire(now)
    assert now == pytest.approx(TIMING.limit)
    assert one.failure == "no progress for 15 s"
    assert 10 < one.retransmissions < 40
    assert one.due() == float("inf")


def test_slow_lines_have_more_patience():
    assert Timing(9600).limit == 15
    assert Timing(300).limit > 80
    assert Timing(9600, patience=3).limit == 3


def test_a_full_receiver_holds_the_sender_and_lets_it_go_again():
    one, two = pair()
    now = 0.0
    for _ in range(100):
        one.write(bytes(OUTBOX))
        exchange(one, two, now, rounds=2)
        now += 0.01
    assert two.readable >= INBOX
    assert two.readable <= INBOX + WINDOW * MAX_BODY
    assert one.room == 0
    assert now < one.due() <= now + PROBE, "held back, but asking"
    two.read(None, now)
    exchange(one, two, now)
    assert two.readable > 0


def test_a_full_receiver_is_asked_rather_than_given_up():
    one, two = pair()
    now = 0.0
    asked = 0
    while now < 10 * TIMING.limit:
        one.write(bytes(OUTBOX))
        lines = give_all(one, now)
        asked += len(lines)
        for line in lines:
            two.take(parse(line, two), now)
        for line in give_all(two, now):
            one.take(parse(line, one), now)
        one.expire(now)
        now = max(now + 0.001, min(one.due(), two.due(), now + 5))
    assert one.failure is None
    assert asked < INBOX / MAX_BODY + 2 * WINDOW + 10 * TIMING.limit / PROBE


def test_room_again_is_used_at_once():
    one, two = pair()
    two._inbox += bytes(INBOX)
    one.write(bytes(2 * MAX_BODY))
    for line in give_all(one, 0.0):
        two.take(parse(line, two), 0.0)
    one.take(parse(two.give(0.0, 0.0), one), 0.0)
    assert one.due() == PROBE
    two.read(None, 0.01)
    one.take(parse(two.give(0.01, 0.01), one), 0.01)
    assert len(give_all(one, 0.01)) == 2


def test_a_lost_word_of_new_room_costs_one_question():
    one, two = pair()
    now = 0.0
    for _ in range(100):
        one.write(bytes(OUTBOX))
        exchange(one, two, now, rounds=2)
        now += 0.01
    two.read(None, now)
    give_all(two, now)  # the word of new room, lost
    now = one.due()
    exchange(one, two, now)
    assert two.readable > 0


def test_the_end_comes_after_everything_written():
    one, two = pair()
    one.write(b"last words")
    one.end_sending()
    exchange(one, two, 0.0)
    assert two.ended
    assert not two.peer_gone
    assert two.read(None, 0.0) == b"last words"
    two.write(b"still here")
    exchange(one, two, 1.0)
    assert one.read(None, 1.0) == b"still here"


def test_closing_is_finished_when_the_peer_knows():
    one, two = pair()
    one.write(b"bye")
    one.close()
    assert not one.finished
    exchange(one, two, 0.0)
    assert one.finished
    assert one.peer_knows
    assert two.ended
    assert two.peer_gone
    assert two.read(None, 0.0) == b"bye"
    two.close()
    assert two.finished
    assert not two.peer_knows, "the last acknowledgement may have been lost"


def test_what_a_peer_that_is_gone_has_not_taken_is_dropped():
    one, two = pair()
    two.write(bytes(OUTBOX))
    give_all(two, 0.0)
    one.close()
    two.take(parse(one.give(0.0, 0.0), two), 0.0)
    two.close()
    assert two.finished
    assert [parse(line, one).kind for line in give_all(two, 60.0)] == [Kind.ACK]


def test_both_closing_at_once():
    one, two = pair()
    one.close()
    two.close()
    exchange(one, two, 0.0)
    assert one.finished
    assert two.finished
    assert one.failure is two.failure is None


def test_closing_gives_up_on_a_silent_peer():
    one, _ = pair()
    one.close()
    now = 0.0
    tries = 0
    while not one.finished:
        now = max(now, one.due())
        assert now < TIMING.limit
        tries += len(give_all(one, now))
    assert tries == CLOSE_TRIES
    assert one.failure is None


def test_a_reset_breaks_a_session_in_use_and_ends_one_that_closes():
    reset = Frame(Kind.CONTROL, Control.RESET)
    one, two = pair()
    one.write(b"data")
    one.take(reset, 0.0)
    assert one.failure == "reset by the peer"
    two.close()
    two.take(reset, 0.0)
    assert two.failure is None
    assert two.finished


def test_a_reset_before_the_last_data_arrived_is_no_orderly_end():
    one, _ = pair()
    one.write(b"\x01")
    one.close()
    give_all(one, 0.0)
    one.take(Frame(Kind.CONTROL, Control.RESET), 0.0)
    assert one.failure == "reset by the peer"


def test_what_arrives_after_closing_is_acknowledged_and_dropped():
    one, two = pair()
    two.close()
    one.write(bytes(3 * MAX_BODY))
    for line in give_all(one, 0.0):
        two.take(parse(line, two), 0.0)
    assert two.readable == 0
    assert [parse(line, one).next for line in give_all(two, 0.0)][-1] == 3


def test_stale_acknowledgements_are_ignored():
    one, _ = pair()
    one.write(bytes(2 * MAX_BODY))
    give_all(one, 0.0)
    one.take(Frame(Kind.ACK, next=9), 0.0)
    assert one.failure is None
    assert one.deadline() < float("inf"), "both frames are still under way"


def test_on_a_noisy_line_new_frames_are_small():
    one, two = pair()
    now = 0.0
    for _ in range(6):
        one.write(bytes(MAX_BODY))
        line = one.give(now, now)
        now = one.due()
        line = one.give(now, now)
        two.take(parse(line, two), now)
        one.take(parse(give_all(two, now + 1)[-1], one), now + 1)
    one.write(bytes(MAX_BODY))
    assert len(parse(one.give(now, now), two).body) < MAX_BODY
