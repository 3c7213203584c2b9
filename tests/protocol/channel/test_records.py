from __future__ import annotations

import copy
import hashlib
import pickle
from collections import deque
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.protocol.channel import records as records_module
from insitu.protocol.channel.records import (
    BINDING,
    IV_BYTES,
    KEY_BYTES,
    MAX_AHEAD,
    MAX_PAYLOAD,
    MAX_RECORD,
    MAX_RECORDS,
    TAG_BYTES,
    TO_INITIATOR,
    TO_RESPONDER,
    WRAPPING,
    Kind,
    Records,
)
from insitu.protocol.engine import ProtocolError, UsageError

PIECE = MAX_RECORD - TAG_BYTES - 1


class Source:
    """Where keys come from: like an EDHOC session, each of its generations can be updated once and is then used up."""

    def __init__(self, secret: bytes = b"channel") -> None:
        self.secret: bytes | None = secret
        self.asked: list[tuple[int, bytes, int]] = []
        self.updated: bytes | None = None

    def exporter(self, label: int, context: bytes, length: int) -> bytes:
        assert self.secret is not None, "keys that were updated"
        self.asked.append((label, context, length))
        return hashlib.shake_256(b"%b|%d|%b" % (self.secret, label, context)).digest(length)

    def key_update(self, context: bytes) -> Source:
        assert self.secret is not None, "keys that were updated"
        following = Source(hashlib.sha256(self.secret + context).digest())
        self.secret, self.updated = None, context
        return following


def pair(secret: bytes = b"channel", **about: Any) -> tuple[Records, Records]:
    """Both ends of one channel, the initiator's first."""
    return Records(Source(secret), initiator=True, **about), Records(Source(secret), initiator=False, **about)


def opened(records: list[bytes], receiver: Records) -> list[bytes]:
    """The payloads that these records complete."""
    return [payload for payload in map(receiver.open, records) if payload is not None]


def payload_of(size: int) -> bytes:
    return hashlib.shake_256(b"%d" % size).digest(size)


def test_the_numbers_of_the_specification():
    """specs/protocol.md, "Records": another make counts on them."""
    assert (TO_RESPONDER, TO_INITIATOR, BINDING, WRAPPING) == (32769, 32770, 32771, 32772)
    assert (KEY_BYTES, IV_BYTES, TAG_BYTES) == (16, 12, 16)
    assert (MAX_RECORD, PIECE, MAX_PAYLOAD, MAX_RECORDS, MAX_AHEAD) == (65_535, 65_518, 1_048_576, 16_777_216, 8)
    assert (Kind.LAST, Kind.MORE, Kind.KEY_UPDATE) == (0, 1, 2)


# Payloads and pieces


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (0, 1),
        (1, 1),
        (PIECE - 1, 1),
        (PIECE, 1),
        (PIECE + 1, 2),
        (2 * PIECE, 2),
        (2 * PIECE + 1, 3),
        (MAX_PAYLOAD, -(-MAX_PAYLOAD // PIECE)),
    ],
)
def test_a_payload_travels_in_as_few_records_as_fit(size, count):
    for sender, receiver in (pair(), pair()[::-1]):
        records = sender.seal(payload_of(size))
        assert len(records) == count
        assert max(map(len, records)) <= MAX_RECORD
        assert sum(map(len, records)) == size + count * (1 + TAG_BYTES)
        assert opened(records, receiver) == [payload_of(size)]
        assert opened(sender.seal(payload_of(size)), receiver) == [payload_of(size)], "and so does the next one"


def test_a_payload_above_the_limit_is_the_callers_mistake_and_harms_nothing():
    a, b = pair()
    with pytest.raises(UsageError, match="payload too long"):
        a.seal(bytes(MAX_PAYLOAD + 1))
    assert opened(a.seal(b"x"), b) == [b"x"]


@pytest.mark.parametrize("more", [1, PIECE])
def test_pieces_that_add_up_to_more_than_the_limit_are_refused(monkeypatch, more):
    a, b = pair()
    monkeypatch.setattr(records_module, "MAX_PAYLOAD", 1 << 30)
    records = a.seal(bytes(MAX_PAYLOAD + more))
    monkeypatch.undo()
    with pytest.raises(ProtocolError, match="record refused"):
        opened(records, b)


def test_each_direction_has_a_key_of_its_own():
    source = Source()
    Records(source, initiator=True)
    assert source.asked == [(label, b"", KEY_BYTES + IV_BYTES) for label in (TO_RESPONDER, TO_INITIATOR)]
    a, b = pair()
    assert a.seal(b"x") != b.seal(b"x")


# Whatever happens on the line

Action = tuple[str, int, int]
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["send", "send", "update", "deliver"]), st.integers(0, 1), st.integers(0, 40)),
    max_size=40,
)


@given(actions=ACTIONS, max_records=st.integers(2, 6), piece=st.integers(1, 16))
@settings(max_examples=150)
def test_both_directions_stay_in_step_through_key_updates_by_limit_and_by_word(actions, max_records, piece):
    """Payloads, updates and deliveries in any interleaving: all arrives, in order, and no nonce is used twice."""
    used: set[tuple[bytes, bytes]] = set()

    class Watched:
        def __init__(self, key: bytes) -> None:
            self.key, self.real = key, AESGCM(key)

        def encrypt(self, nonce: bytes, data: bytes, associated: bytes | None) -> bytes:
            assert (self.key, nonce) not in used
            used.add((self.key, nonce))
            return self.real.encrypt(nonce, data, associated)

        def decrypt(self, nonce: bytes, data: bytes, associated: bytes | None) -> bytes:
            return self.real.decrypt(nonce, data, associated)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records_module, "_PIECE", piece)
        ends = pair(max_records=max_records)
        lines: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        sent: tuple[list[bytes], list[bytes]] = ([], [])
        got: tuple[list[bytes], list[bytes]] = ([], [])

        def deliver(sender: int, count: int) -> None:
            for _ in range(min(count, len(lines[sender]))):
                got[sender].extend(opened([lines[sender].popleft()], ends[1 - sender]))

        for what, end, size in actions:
            try:
                if what == "send":
                    records = ends[end].seal(payload_of(size))
                    sent[end].append(payload_of(size))
                    lines[end].extend(records)
                elif what == "update":
                    lines[end].extend(ends[end].update_keys())
                else:
                    deliver(end, size)
            except UsageError:  # too far ahead of a side that says nothing: refused before anything left
                assert ends[end]._sending.generation - ends[end]._receiving.generation >= MAX_AHEAD
                break
        else:
            for end in (0, 1):
                deliver(end, len(lines[end]))
            assert got == sent


def test_an_update_between_pieces_of_a_payload_is_no_end_of_it():
    a, b = pair(max_records=3)
    payload = payload_of(4 * PIECE)
    records = a.seal(payload)
    assert len(records) > 4
    assert opened(records, b) == [payload]


def test_the_limit_of_records_brings_the_next_key_by_itself():
    a, b = pair(max_records=4)
    for number in range(20):
        assert opened(a.seal(b"%d" % number), b) == [b"%d" % number]
        assert opened(b.seal(b"answer"), a) == [b"answer"]
    assert a._sending.generation == b._receiving.generation >= 5
    assert abs(a._sending.generation - b._sending.generation) <= 1


def test_the_next_key_is_made_when_it_is_needed_and_no_sooner():
    """What is in memory opens what crosses now, and nothing that comes later."""
    source = Source()
    channel = Records(source, initiator=True)
    channel.seal(b"payload")
    assert source.secret is not None
    channel.update_keys()
    assert source.secret is None
    assert source.updated == b"\x00\x00\x00\x01", "another make counts on it"


def test_whoever_reads_of_updates_makes_them_all_before_it_says_anything_else():
    a, b = pair()
    for _ in range(3):
        assert opened(a.update_keys(), b) == []
    assert opened(b.seal(b"x"), a) == [b"x"]
    assert (a._sending.generation, a._receiving.generation) == (3, 3)


def test_updates_of_both_sides_at_once_meet():
    a, b = pair()
    from_a, from_b = a.update_keys(), b.update_keys()
    assert opened(from_b, a) == opened(from_a, b) == []
    for _ in range(2):
        assert opened(a.seal(b"x"), b) == [b"x"]
        assert opened(b.seal(b"y"), a) == [b"y"]
    assert a._sending.generation == a._receiving.generation == 1


def test_nobody_runs_far_ahead_of_a_side_that_says_nothing():
    a, b = pair()
    for _ in range(MAX_AHEAD):
        assert opened(a.update_keys(), b) == []
    with pytest.raises(UsageError, match="no key update now"):
        a.update_keys()
    assert opened(a.seal(b"still there"), b) == [b"still there"]
    opened(b.seal(b"x"), a)
    assert opened(a.update_keys(), b) == []


def test_a_side_that_cannot_update_any_more_is_broken_and_not_out_of_step():
    a, _ = pair(max_records=2)
    for _ in range(MAX_AHEAD + 1):
        a.seal(b"x")
    with pytest.raises(UsageError, match="no key update now"):
        a.seal(b"x")
    with pytest.raises(UsageError, match="closed for good"):
        a.seal(b"x")


def test_a_peer_that_runs_far_ahead_is_refused(monkeypatch):
    a, b = pair()
    monkeypatch.setattr(records_module, "MAX_AHEAD", 100)
    records = [record for _ in range(MAX_AHEAD + 1) for record in a.update_keys()]
    monkeypatch.undo()
    assert opened(records[:-1], b) == []
    with pytest.raises(ProtocolError, match="record refused"):
        b.open(records[-1])


def test_a_peer_that_does_not_update_in_time_is_refused():
    a, b = Records(Source(), initiator=True, max_records=100), Records(Source(), initiator=False, max_records=5)
    records = [record for _ in range(6) for record in a.seal(b"x")]
    assert len(opened(records[:5], b)) == 5
    with pytest.raises(ProtocolError, match="record refused"):
        b.open(records[5])


# Attacks: the first thing that is not as it was sent ends the channel for good

ATTACKS = st.sampled_from(["drop", "double", "swap", "reflect", "flip", "shorten", "lengthen", "foreign", "replay"])


@given(
    sizes=st.lists(st.integers(0, 60), min_size=3, max_size=8),
    attack=ATTACKS,
    at=st.integers(0, 200),
    bit=st.integers(0, 1 << 16),
    piece=st.integers(4, 30),
    updates=st.booleans(),
)
@settings(max_examples=200)
def test_nothing_wrong_is_ever_delivered(sizes, attack, at, bit, piece, updates):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records_module, "_PIECE", piece)
        a, b = pair(**({"max_records": 30} if updates else {}))
        payloads = [bytes((number,)) * size for number, size in enumerate(sizes)]
        records = [record for payload in payloads for record in a.seal(payload)]
        at %= len(records) - 1
        foreign = [record for payload in payloads[:2] for record in pair(b"other")[0].seal(payload)]
        damaged = bytearray(records[at])
        damaged[bit // 8 % len(damaged)] ^= 1 << bit % 8
        line = {
            "drop": [*records[:at], *records[at + 1 :]],
            "double": [*records[: at + 1], *records[at:]],
            "swap": [*records[:at], records[at + 1], records[at], *records[at + 2 :]],
            "reflect": [*records[:at], *b.seal(payloads[0]), *records[at:]],
            "flip": [*records[:at], bytes(damaged), *records[at + 1 :]],
            "shorten": [*records[:at], records[at][:-1], *records[at + 1 :]],
            "lengthen": [*records[:at], records[at] + b"\0", *records[at + 1 :]],
            "foreign": [*records[:at], foreign[at % len(foreign)], *records[at:]],
            "replay": [*records[: at + 1], records[bit % (at + 1)], *records[at + 1 :]],
        }[attack]
        got: list[bytes] = []
        broken = False
        for number, record in enumerate(line):
            try:
                payload_or_none = b.open(record)
            except ProtocolError:
                broken = True
                assert number >= at
                continue
            assert not broken, "something opened after the channel was broken"
            if payload_or_none is not None:
                got.append(payload_or_none)
        assert broken
        assert got == payloads[: len(got)]
        with pytest.raises(UsageError):
            b.seal(b"x")
        with pytest.raises(UsageError):
            b.update_keys()


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        bytes((Kind.MORE,)),
        bytes((Kind.KEY_UPDATE, 0)),
        b"\x03x",
        b"\xff",
    ],
    ids=["empty", "a piece of nothing", "an update with content", "an unknown kind", "the last kind"],
)
def test_what_opens_and_means_nothing_is_refused_too(plaintext):
    a, b = pair()
    way = a._sending
    with pytest.raises(ProtocolError, match="record refused"):
        b.open(way.aead.encrypt(way.nonce(), plaintext, None))
    with pytest.raises(ProtocolError, match="closed for good"):
        b.open(a.seal(b"x")[0])


@pytest.mark.parametrize("size", [0, 1, TAG_BYTES - 1, TAG_BYTES, 40, MAX_RECORD])
def test_bytes_that_are_no_record_are_refused(size):
    _, b = pair()
    with pytest.raises(ProtocolError, match="record refused"):
        b.open(bytes(size))


def test_keys_of_another_generation_do_not_open():
    a, b = pair()
    a.update_keys()
    with pytest.raises(ProtocolError):
        b.open(a.seal(b"x")[0])


def test_a_channel_is_not_copied_and_shows_no_key():
    a, _ = pair()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(UsageError):
            attempt(a)
    material = Source().exporter(TO_RESPONDER, b"", KEY_BYTES + IV_BYTES)
    assert repr(a) == "<Records sent=0 received=0 broken=False>"
    assert material.hex() not in repr(vars(a))


def test_a_side_that_rests_goes_on_as_if_it_had_not():
    """What is let go of is made again; the numbers go on."""
    a, b = pair(max_records=3)
    for number in range(8):
        for end in (a, b):
            end.rest()
            assert end._sending._aead is end._receiving._aead is None
        payload = b"%d" % number
        assert opened(a.seal(payload), b) == [payload]
        assert opened(b.seal(payload), a) == [payload]
