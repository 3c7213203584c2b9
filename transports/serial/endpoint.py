"""One end of a serial line, without I/O: who calls whom, which session is on, and when the line is free.

Bytes and times go in, bytes come out; the trio shell in link.py owns the port and the clock. The loop of any shell:

    on bytes from the line:  endpoint.receive(data, now)
    whenever it may be time: while data := endpoint.transmit(now): write data
                             endpoint.expire(now); sleep until endpoint.wake_at(), or until something changes

The caller (the unit) sends ATTENTION with a fresh number until READY comes back; the answerer (the module) adds a
fresh number of its own and sends READY until the first frame that bears the mark of both. Only that frame ends an
older session: a stray ATTENTION, or a whole old session heard again, costs nothing, while a caller that was restarted
gets through at once. An answerer that starts resets what was before it.

Frames are written one at a time, when the line has nearly taken the one before: what waits in the operating system
cannot be overtaken by a retransmission.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

from .arq import Session, Timing
from .frames import DELIMITER, VERSION, Control, Deframer, Frame, Kind, Mark, attention, decode, encode, ready

LEAD: Final = 0.01
"""Seconds before the line falls idle at which the next frame may be written."""

_SLOWEST_CALL: Final = 1.0
"""Seconds, the longest pause between two greetings."""

_HALF: Final = 2**32 - 1


class Endpoint:
    """One end of a line; serves one session at a time, any number one after another.

    Args:
        timing: what the line's speed implies.
        caller: this end calls.
        number: what this end adds to the number of a session, 1 to 2^32 - 1, drawn at random by whoever starts it: the
            caller's for its one session, the answerer's for its first, counted on for each further one.

    Attributes:
        session: the established session, or None.
        refusal: why the call failed for good (the peer speaks another version); None while it did not.

    """

    def __init__(self, timing: Timing, *, caller: bool, number: int) -> None:
        self.timing = timing
        self.session: Session | None = None
        self.refusal: str | None = None
        self._caller = caller
        self._deframer = Deframer()
        self._foreign = 0
        self._urgent: deque[bytes] = deque()
        self._free_at = -inf
        self._past: Mark | None = None
        # greeting: the number called with (caller) or the session offered (answerer)
        self._number = number
        self._greeted: int | None = None
        self._greet_at = inf
        self._greet_pause = 0.0
        self._greet_until = inf

    @property
    def overheard(self) -> str:
        """What came from the line so far, for error texts."""
        bad = self._foreign + self._deframer.refused
        return f"{self._deframer.received} bytes, {bad} pieces that are no frame of this link"

    def call(self, now: float) -> None:
        """Begin to call, if this end is the caller's."""
        self._greet(self._number, now)

    def reset_all(self) -> None:
        """Tell the other end that whatever session it believes in is over (an answerer that starts)."""
        self._send_reset(0)

    def dispose(self, session: Session, now: float) -> None:
        """The owner of `session` is done with it; what still comes for it is answered with RESET."""
        if session is not self.session:
            return
        if (frame := session.last_acknowledgement()) is not None:
            self._urgent.append(frame)
        if not session.peer_knows:
            self._send_reset(session.number)
        self._past = Mark(session.number, self._caller)
        session.fail("closed")
        self.session = None

    def lose(self, reason: str) -> None:
        """The line itself is gone."""
        if self.session is not None:
            self.session.fail(reason)
        self._greeted = None
        self._greet_at = inf

    # Line to here.

    def receive(self, data: bytes | bytearray, now: float) -> None:
        """Bytes have come from the line."""
        for content in self._deframer.feed(data):
            self._sort(content, now)

    def _sort(self, content: bytes, now: float) -> None:
        session = self.session
        if session is not None and (frame := decode(content, Mark(session.number, self._caller).incoming)):
            session.take(frame, now)
        elif (frame := decode(content, Mark(0, self._caller).incoming)) is not None:
            self._outside_session(frame, now)
        elif not self._caller and self._first_of_offered(content, now):
            pass
        elif self._past is not None and decode(content, self._past.incoming):
            self._send_reset(self._past.session)
        else:
            self._foreign += 1

    def _outside_session(self, frame: Frame, now: float) -> None:
        if frame.kind is not Kind.CONTROL:
            return
        if frame.number == Control.RESET:
            if self._caller and self.session is not None:
                self.session.take(frame, now)
        elif frame.body:
            # later versions may append to these bodies, never change what version 1 has in them
            if self._caller and frame.number == Control.READY:
                self._answered(frame.body[0], int.from_bytes(frame.body[1:9], "big"), now)
            elif not self._caller and frame.number == Control.ATTENTION:
                self._called(int.from_bytes(frame.body[1:5], "big"), now)

    def _called(self, caller: int, now: float) -> None:
        if self.session is not None and caller == self.session.number >> 32:
            return
        if self._greeted is not None and caller == self._greeted >> 32:
            self._greet_at = min(self._greet_at, now)
            return
        self._greet(caller << 32 | self._number, now)
        self._number = self._number % _HALF + 1

    def _answered(self, version: int, session: int, now: float) -> None:
        if self.session is not None and session == self.session.number:
            self.session.confirm(now)
        elif self._greeted is not None and session >> 32 == self._greeted:
            self._greeted = None
            self._greet_at = inf
            if version != VERSION:
                self.refusal = f"version {version}"
            else:
                self._establish(session, now).confirm(now)

    def _first_of_offered(self, content: bytes, now: float) -> bool:
        if self._greeted is None:
            return False
        frame = decode(content, Mark(self._greeted, self._caller).incoming)
        if frame is None:
            return False
        number, self._greeted, self._greet_at = self._greeted, None, inf
        if self.session is not None:
            self.session.fail("the peer has begun another session")
        self._establish(number, now).take(frame, now)
        return True

    def _establish(self, number: int, now: float) -> Session:
        self.session = Session(Mark(number, self._caller), self.timing, now)
        return self.session

    # From here to the line.

    def transmit(self, now: float) -> bytes:
        """What to write to the line now: one frame at most, empty when the line is taken or there is nothing."""
        if now < self._free_at - LEAD:
            return b""
        start = max(now, self._free_at)
        frame = self._next_frame(now, start)
        if frame is None:
            return b""
        line = DELIMITER + frame if now > self._free_at else frame
        self._free_at = start + len(line) * self.timing.byte
        return line

    def _next_frame(self, now: float, start: float) -> bytes | None:
        if self._urgent:
            return self._urgent.popleft()
        if self._greet_at <= now:
            return self._greeting(now)
        return self.session.give(now, start) if self.session is not None else None

    def _greet(self, number: int, now: float) -> None:
        self._greeted = number
        self._greet_at = now
        self._greet_pause = self.timing.shortest_wait
        self._greet_until = inf if self._caller else now + self.timing.limit

    def _greeting(self, now: float) -> bytes | None:
        if self._greeted is None or now >= self._greet_until:
            self._greeted = None
            self._greet_at = inf
            return None
        self._greet_at = now + self._greet_pause
        self._greet_pause = max(self.timing.shortest_wait, min(self._greet_pause * 1.5, _SLOWEST_CALL))
        greeting = attention(self._greeted) if self._caller else ready(self._greeted)
        return encode(greeting, Mark(0, self._caller).outgoing)

    def _send_reset(self, session: int) -> None:
        frame = encode(Frame(Kind.CONTROL, Control.RESET), Mark(session, self._caller).outgoing)
        if frame not in self._urgent:
            self._urgent.append(frame)

    # Time.

    @property
    def idle(self) -> bool:
        """Nothing waits to be written that this end owes of its own accord (resets, last acknowledgements)."""
        return not self._urgent

    def wake_at(self) -> float:
        """When `transmit` or `expire` will next have something to do if nothing comes; infinity for never."""
        due = -inf if self._urgent else self._greet_at
        deadline = inf
        if self.session is not None:
            due = min(due, self.session.due())
            deadline = self.session.deadline()
        return min(max(due, self._free_at - LEAD), deadline)

    def expire(self, now: float) -> None:
        """Let the session notice that its time has run out."""
        if self.session is not None:
            self.session.expire(now)
