"""One session of the serial link: numbering, acknowledgement, retransmission, flow control and orderly end.

No I/O, no clock, no trio: time comes in as an argument (seconds, any origin), frames go in and out. Establishing a
session and sharing the line's time are endpoint.py's business.

How it works. Selective repeat: at most seven frames are under way, every frame tells the peer exactly which of its
own have arrived. A serial line keeps order, so once a frame is acknowledged, every frame sent before it and not
acknowledged is known to be lost and goes out again at once; only the tail of what was sent needs a timer. The timer
follows the measured round trip and never falls below what the line's own speed demands. Where more than a quarter of
what is sent are repeats, new frames are made smaller.

Three promises to the owner: bytes arrive in order, once and unaltered (as far as CRC-32 can tell) or not at all; memory
is bounded; when nothing is acknowledged for `Timing.limit` seconds the session is broken and says so.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Final

from .frames import BUSY, END_ALL, END_SENDING, MAX_BODY, MAX_LINE, NUMBERS, WINDOW, Control, Frame, Kind, Mark, encode

ACK_DELAY: Final = 0.02
"""Seconds that an acknowledgement may wait for payload to ride on."""

TURNAROUND: Final = 0.06
"""Seconds granted to both operating systems between a frame's last bit and the answer's first (USB adapters: 16 ms)."""

PROBE: Final = 1.0
"""Seconds between the questions to a peer that said it takes no more for now."""

ACK_AT_ONCE: Final = 3
"""Unacknowledged frames received after which the acknowledgement waits no longer: under half a window."""

OUTBOX: Final = 512
"""Bytes accepted from the owner beyond the frames under way."""

INBOX: Final = 4_096
"""Bytes held for the owner before the peer is told to wait; up to a window more may still come."""

CLOSE_TRIES: Final = 6
"""Transmissions of the last END after which a peer that says nothing is taken to be gone."""

SMALL_BODY: Final = 28
"""Bytes of payload in a frame on a noisy line: at a bit error rate of 2e-3 two of five full frames arrive at best."""

NOISY: Final = 0.25
"""Share of repeats among recent transmissions above which frames are kept small."""

_SLOWEST: Final = 4.0
"""Seconds, the ceiling of the measured retransmission time."""

_BACKOFF: Final = 1.5
_MOST_BACKOFF: Final = 4


@dataclass(frozen=True)
class Timing:
    """What the line's speed implies.

    Attributes:
        baud: bits per second; a byte takes ten of them (8N1).
        patience: seconds without progress after which a session is broken.

    """

    baud: int = 9600
    patience: float = 15.0

    @cached_property
    def byte(self) -> float:
        """Seconds that one byte takes."""
        return 10 / self.baud

    @cached_property
    def shortest_wait(self) -> float:
        """Seconds from a frame's end to a late but possible acknowledgement: it may ride behind a full frame."""
        return 2 * MAX_LINE * self.byte + ACK_DELAY + TURNAROUND

    @cached_property
    def limit(self) -> float:
        """Seconds without progress until a session is broken: `patience`, more on lines below 1,700 baud."""
        return max(self.patience, 40 * MAX_LINE * self.byte)


@dataclass(slots=True)
class _Sent:
    """A numbered frame under way."""

    number: int
    kind: Kind
    body: bytes
    order: int = 0
    times: int = 0
    ended: float = 0.0
    due: float = 0.0
    lost: bool = False
    arrived: bool = False

    @property
    def is_last(self) -> bool:
        return self.kind is Kind.END and self.body == END_ALL


class Session:
    """Both directions of one session.

    Attributes:
        number: the session's number, made of what both ends drew.
        failure: why the session is broken; None while it is not.
        ended: the peer has said that no more payload comes, and all before that has been received.
        peer_gone: the peer takes no more payload either.
        retransmissions: frames sent again so far.

    """

    def __init__(self, mark: Mark, timing: Timing, now: float) -> None:
        self.number = mark.session
        self.failure: str | None = None
        self.ended = False
        self.peer_gone = False
        self.retransmissions = 0
        self._mark = mark
        self._timing = timing
        # sending
        self._outbox = bytearray()
        self._endings: deque[bytes] = deque()
        self._under_way: deque[_Sent] = deque()
        self._next_number = 0
        self._order = 0
        self._progress = now
        self._resume: float | None = None
        self._closing = False
        self._closed = False
        # round trip
        self._smooth: float | None = None
        self._spread = 0.0
        self._noise = 0.0
        self._backoff = 0
        self._backoff_after = now
        # receiving
        self._expected = 0
        self._early: dict[int, Frame] = {}
        self._inbox = bytearray()
        self._deaf = False
        self._told_busy = False
        self._unacknowledged = 0
        self._ack_at = inf

    # The owner's side.

    @property
    def room(self) -> int:
        """Bytes that `write` would take now."""
        return max(0, OUTBOX - len(self._outbox))

    def write(self, data: bytes | memoryview) -> int:
        """Take as much of `data` as there is room for; answers how many bytes."""
        taken = data[: self.room]
        self._outbox += taken
        return len(taken)

    @property
    def readable(self) -> int:
        """Bytes that `read` has ready."""
        return len(self._inbox)

    def read(self, limit: int | None, now: float) -> bytes:
        """At most `limit` of the received bytes; may free the peer to send on."""
        data = bytes(self._inbox if limit is None else self._inbox[:limit])
        del self._inbox[: len(data)]
        if self._told_busy and len(self._inbox) <= INBOX // 2:
            self._ack_at = now
        return data

    def end_sending(self) -> None:
        """No more payload follows what was written; receiving goes on."""
        self._endings.append(END_SENDING)

    def close(self) -> None:
        """Send what was written and the end, take nothing more: `finished` tells when the peer knows."""
        if not self._closing:
            self._closing = True
            self._deaf = True
            self._inbox.clear()
            if not self.peer_gone:
                self._endings.append(END_ALL)

    @property
    def finished(self) -> bool:
        """Nothing more to be done for this session: closed and acknowledged, or broken."""
        return self.failure is not None or self._closed or (self._closing and not self._has_work)

    @property
    def peer_knows(self) -> bool:
        """The peer has acknowledged our end and with it everything before; no RESET need tell it."""
        return self._closing and self.failure is None and not (self._closed or self.peer_gone or self._has_work)

    def fail(self, reason: str) -> None:
        """Break the session; the first reason stays."""
        if self.failure is None:
            self.failure = reason
        self._drop_outgoing()
        self._ack_at = inf

    # The line's side.

    def take(self, frame: Frame, now: float) -> None:
        """A frame of this session has come."""
        if frame.kind is Kind.CONTROL:
            if frame.number == Control.RESET:
                self._reset()
            return
        if self.failure is not None:
            return
        self._learn_what_arrived(frame, now)
        if frame.kind is not Kind.ACK:
            self._receive(frame, now)

    def confirm(self, now: float) -> None:
        """Let the peer hear of us soon, with or without payload."""
        self._ack_at = min(self._ack_at, now)

    def last_acknowledgement(self) -> bytes | None:
        """The acknowledgement that is still owed when the session is given up, if one is."""
        return None if self._ack_at == inf else self._acknowledgement()

    def give(self, now: float, start: float) -> bytes | None:
        """The next frame for the line, or None when there is nothing to send at `now`; `start` is when it will go."""
        must_acknowledge = self._ack_at <= now
        if must_acknowledge and (self._full or self._told_busy or self._early):
            # fullness fits no other frame; and word of a gap must arrive, which a short frame does more often
            return self._acknowledgement()
        sent = self._choose(now)
        if sent is None:
            return self._acknowledgement() if must_acknowledge else None
        self._order += 1
        self.retransmissions += sent.times > 0
        self._noise += ((1.0 if sent.times else 0.0) - self._noise) / 16
        sent.order = self._order
        sent.times += 1
        sent.lost = False
        line = self._encode(sent.kind, sent.number % NUMBERS, sent.body)
        sent.ended = start + len(line) * self._timing.byte
        sent.due = sent.ended + self._wait()
        return line

    def due(self) -> float:
        """When `give` will next have something; minus infinity for now, infinity for never as things are."""
        if self.failure is not None:
            return inf
        may_send_new = len(self._under_way) < WINDOW and self._has_new
        if self._resume is not None:
            waiting = may_send_new or any(not sent.arrived for sent in self._under_way)
            return min(self._ack_at, self._resume if waiting else inf)
        if may_send_new:
            return -inf
        times = (-inf if sent.lost else sent.due for sent in self._under_way if not sent.arrived)
        return min(self._ack_at, min(times, default=inf))

    def deadline(self) -> float:
        """When `expire` has to be called if nothing happens before."""
        return self._progress + self._timing.limit if self._under_way else inf

    def expire(self, now: float) -> None:
        """Break the session if its limit has passed; take a silent peer to be gone if only the end is under way."""
        if self._under_way and now >= self.deadline():
            self.fail(f"no progress for {self._timing.limit:g} s")

    # Sending.

    @property
    def _has_new(self) -> bool:
        return bool(self._outbox or self._endings)

    @property
    def _has_work(self) -> bool:
        return bool(self._under_way) or self._has_new

    def _choose(self, now: float) -> _Sent | None:
        if self._resume is not None:
            return self._choose_probe(now)
        for sent in self._under_way:
            if not sent.arrived and (sent.lost or sent.due <= now):
                if not sent.lost:
                    self._timed_out(sent, now)
                return None if self._closed else sent
        return self._fresh(now) if len(self._under_way) < WINDOW else None

    def _choose_probe(self, now: float) -> _Sent | None:
        """The peer is full: ask it once in a while with the frame that it needs next."""
        if self._resume is None or now < self._resume:
            return None
        self._resume = now + PROBE
        for sent in self._under_way:
            if not sent.arrived:
                return sent
        return self._fresh(now)

    def _fresh(self, now: float) -> _Sent | None:
        if self._outbox:
            size = MAX_BODY if self._noise < NOISY else SMALL_BODY
            kind, body = Kind.DATA, bytes(self._outbox[:size])
            del self._outbox[:size]
        elif self._endings:
            kind, body = Kind.END, self._endings.popleft()
        else:
            return None
        if not self._under_way:
            self._progress = now
        sent = _Sent(self._next_number, kind, body)
        self._next_number += 1
        self._under_way.append(sent)
        return sent

    def _timed_out(self, sent: _Sent, now: float) -> None:
        if now >= self._backoff_after:
            self._backoff = min(self._backoff + 1, _MOST_BACKOFF)
            self._backoff_after = now + self._wait()
        if sent.is_last and sent.times >= CLOSE_TRIES and len(self._under_way) == 1:
            self._drop_outgoing()
            self._closed = True

    def _wait(self) -> float:
        wait = self._timing.shortest_wait
        if self._smooth is not None:
            wait = max(wait, min(self._smooth + 4 * self._spread, _SLOWEST))
        return wait * _BACKOFF**self._backoff

    def _learn_what_arrived(self, frame: Frame, now: float) -> None:
        first = self._next_number - len(self._under_way)
        passed = (frame.next - first) % NUMBERS
        if passed > len(self._under_way):
            return
        latest = 0
        for place, sent in enumerate(self._under_way):
            if not sent.arrived and (place < passed or (place > passed and frame.held >> (place - passed - 1) & 1)):
                sent.arrived = True
                latest = max(latest, sent.order)
                if sent.times == 1:
                    self._measure(now - sent.ended)
        for _ in range(passed):
            self._under_way.popleft()
        if latest:
            self._progress = now
            for sent in self._under_way:
                sent.lost = sent.lost or (not sent.arrived and sent.order < latest)
        if frame.kind is Kind.ACK:
            self._heed_fullness(frame.number == BUSY, now)

    def _heed_fullness(self, full: bool, now: float) -> None:
        if full:
            self._progress = now
            if self._resume is None:
                self._resume = now + PROBE
        elif self._resume is not None:
            self._resume = None
            for sent in self._under_way:
                sent.lost = not sent.arrived

    def _measure(self, round_trip: float) -> None:
        sample = max(0.0, round_trip)
        if self._smooth is None:
            self._smooth, self._spread = sample, sample / 2
        else:
            self._spread += (abs(sample - self._smooth) - self._spread) / 4
            self._smooth += (sample - self._smooth) / 8
        self._backoff = 0

    def _drop_outgoing(self) -> None:
        self._outbox.clear()
        self._endings.clear()
        self._under_way.clear()

    def _reset(self) -> None:
        only_the_end = not self._outbox and all(sent.is_last for sent in self._under_way if not sent.arrived)
        if self._closing and only_the_end:
            self._drop_outgoing()
            self._closed = True
        else:
            self.fail("reset by the peer")

    # Receiving.

    @property
    def _full(self) -> bool:
        return len(self._inbox) >= INBOX

    def _receive(self, frame: Frame, now: float) -> None:
        ahead = (frame.number - self._expected) % NUMBERS
        if ahead >= WINDOW or (self._full and frame.kind is Kind.DATA):
            # received before, or refused for now: either way the peer learns how things stand
            self._ack_at = now
            return
        self._early[self._expected + ahead] = frame
        self._unacknowledged += 1
        while self._expected in self._early:
            self._deliver(self._early.pop(self._expected))
            self._expected += 1
        at_once = ahead > 0 or self._early or frame.kind is Kind.END or self._unacknowledged >= ACK_AT_ONCE
        self._ack_at = min(self._ack_at, now if at_once or self._full else now + ACK_DELAY)

    def _deliver(self, frame: Frame) -> None:
        if frame.kind is Kind.END:
            self.ended = True
            if frame.body == END_ALL:
                self.peer_gone = True
                self._drop_outgoing()
        elif not self._deaf and not self.ended:
            self._inbox += frame.body

    def _acknowledgement(self) -> bytes:
        self._told_busy = self._full
        return self._encode(Kind.ACK, BUSY if self._full else 0, b"")

    def _encode(self, kind: Kind, number: int, body: bytes) -> bytes:
        held = sum(1 << place - self._expected - 1 for place in self._early)
        self._ack_at = inf
        self._unacknowledged = 0
        return encode(Frame(kind, number, self._expected % NUMBERS, held, body), self._mark.outgoing)
