"""The serial line: stuffing, link frames, and both ends of a line on which anything may be heard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import isnan
from typing import Final

from ...transports.serial import cobs
from ...transports.serial.arq import INBOX, Session, Timing
from ...transports.serial.endpoint import Endpoint
from ...transports.serial.frames import (
    DELIMITER,
    MAX_BODY,
    MAX_LINE,
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
from ..mutation import cut, joined
from ..target import Shape, check, target

MARK: Final = Mark(7 << 32 | 9, caller=True)
PAYLOAD: Final = bytes(range(1, 256)) * 3
TICK: Final = 0.004
"""Seconds of the simulated line between two looks at it."""
LONGEST: Final = 600.0
"""Simulated seconds after which a line that neither broke nor delivered has stuck."""


def stuffed_seeds() -> Iterator[bytes]:
    """Stuffed bytes, among them groups of the greatest length."""
    for data in (
        b"",
        b"\0",
        b"\0\0",
        b"abc",
        bytes(range(256)),
        b"x" * 254,
        b"x" * 255,
        b"x" * 254 + b"\0",
        b"\0" * 300,
    ):
        yield cobs.encode(data)


@target("cobs", Shape.BYTES, stuffed_seeds)
def stuffing(data: bytes) -> str:
    """Any bytes are stuffed without a zero and unstuffed to themselves, and what is unstuffed was stuffed by encode."""
    stuffed = cobs.encode(data)
    check(0 not in stuffed, "a zero is left")
    check(cobs.decode(stuffed) == data, "other bytes came back")
    found = cobs.decode(data)
    if found is None:
        return "noise"
    check(cobs.encode(found) == data, "what encode never makes was unstuffed")
    return "unstuffed"


def line_frames() -> Iterator[Frame]:
    """One link frame of each kind."""
    yield Frame(Kind.DATA, 3, 5, 0b101, b"payload")
    yield Frame(Kind.DATA, 15, 0, 0, bytes(MAX_BODY))
    yield Frame(Kind.END, 0, 0, 0, b"\x01")
    yield Frame(Kind.ACK, 1, 2)
    yield Frame(Kind.CONTROL, Control.RESET)


def line_seeds() -> Iterator[bytes]:
    """Link frames as they cross the line."""
    yield from (encode(frame, MARK.incoming) for frame in line_frames())
    yield DELIMITER + b"".join(encode(frame, MARK.incoming) for frame in line_frames())
    yield b"noise" * 20 + DELIMITER + encode(Frame(Kind.ACK), MARK.incoming)


@target("serial-frames", Shape.BYTES, line_seeds)
def serial_frames(data: bytes) -> str:
    """Noise gives the same pieces however it is cut, none too long; a frame whose check fits is as encode makes it."""
    pieces, counts = _deframed([data])
    check(
        _deframed(data[at : at + 1] for at in range(len(data))) == (pieces, counts), "byte by byte it is another line"
    )
    check(counts[0] == len(data), "bytes were not counted")
    taken = 0
    for piece in pieces:
        check(len(piece) <= MAX_LINE, "a piece is longer than any frame")
        frame = decode(piece, MARK.incoming)
        if frame is not None:
            taken += 1
            check(encode(frame, MARK.incoming) == cobs.encode(piece) + DELIMITER, "another encoding was accepted")
    return f"{min(len(pieces), 3)} pieces, {min(taken, 3)} frames, {min(counts[1], 3)} refused"


def _deframed(parts: Iterable[bytes]) -> tuple[list[bytes], tuple[int, int]]:
    deframer, pieces = Deframer(), list[bytes]()
    for part in parts:
        pieces += deframer.feed(part)
    return pieces, (deframer.received, deframer.refused)


# Both ends ---------------------------------------------------------------------------------------------------


def happening_seeds() -> Iterator[bytes]:
    """What may happen to a line: one frame of input each; its first byte says what, see _Line.happen."""
    yield joined([b"\x07\x10", b"\x07\xff"])
    yield joined([b"\x00noise\0noise", b"\x01" + bytes(100), b"\x06", b"\x07\x05", b"\x06\x02"])
    yield joined([b"\x02" + _content(attention(99)), b"\x07\x30", b"\x03" + _content(ready(9 << 32 | 4)), b"\x05\x01"])
    yield joined([b"\x02" + _content(Frame(Kind.CONTROL, Control.RESET)), b"\x07\x08"])
    yield joined([b"\x07\x05"] + [b"\x04" + _content(frame) for frame in line_frames()])


def _content(frame: Frame) -> bytes:
    word = frame.kind << 14 | frame.number << 10 | frame.next << 6 | frame.held
    return word.to_bytes(2, "big") + frame.body


@target("serial-line", Shape.FRAMES, happening_seeds, seconds=2.0)
def serial_line(data: bytes) -> str:
    """Whatever is heard, payload arrives in order, once, unaltered, or the session says that it is broken.

    Memory and time are bounded. Who knows the session's mark can write what he wants: then these remain.
    """
    line = _Line()
    for happening in cut(data)[:60]:
        line.happen(happening)
    line.run_out()
    return line.outcome()


@dataclass
class _Line:
    """Two ends, a clock, and what happens between them; the caller sends PAYLOAD."""

    now: float = 0.0
    forged: bool = False
    drop: int = 0
    sent: bytes = b""
    lines: list[tuple[Endpoint, bytes]] = field(default_factory=list)
    arrived: bytearray = field(default_factory=bytearray)
    sessions: list[Session] = field(default_factory=list)

    def __post_init__(self) -> None:
        timing = Timing(115_200)
        self.caller, self.answerer = (Endpoint(timing, caller=caller, number=5 + caller) for caller in (True, False))
        self.caller.call(self.now)
        self.run(0.1)

    def happen(self, what: bytes) -> None:
        """One thing happens: noise, a frame of somebody else's, a line heard again, lines lost, or time passes."""
        kind, rest = what[0] % 8 if what else 7, what[1:]
        end = self.caller if kind in (1, 3) else self.answerer
        if kind in (0, 1):
            end.receive(rest, self.now)
        elif kind in (2, 3):
            self._hear(end, rest, Mark(0, caller=end is self.caller))
        elif kind == 4 and end.session is not None:
            self.forged = True
            self._hear(end, rest, Mark(end.session.number, caller=False))
        elif kind == 5 and self.lines:
            end, line = self.lines[(rest[0] if rest else 0) % len(self.lines)]
            end.receive(line, self.now)
        elif kind == 6:
            self.drop += 1 + (rest[0] % 8 if rest else 0)
        self.run(TICK * (rest[0] if kind == 7 and rest else 1))

    def _hear(self, end: Endpoint, content: bytes, mark: Mark) -> None:
        if len(content) >= 2:
            word = int.from_bytes(content[:2], "big")
            frame = Frame(Kind(word >> 14), word >> 10 & 15, word >> 6 & 15, word & 63, content[2 : 2 + MAX_BODY])
            end.receive(DELIMITER + encode(frame, mark.incoming), self.now)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += TICK
            for here, there in ((self.caller, self.answerer), (self.answerer, self.caller)):
                here.expire(self.now)
                while line := here.transmit(self.now):
                    check(len(line) <= MAX_LINE + 1, "a line is longer than any frame")
                    self._carry(there, line)
                check(not isnan(here.wake_at()), "nobody knows when to wake")
            self._own()

    def _carry(self, there: Endpoint, line: bytes) -> None:
        if self.drop:
            self.drop -= 1
            return
        if len(self.lines) < 256:
            self.lines.append((there, line))
        there.receive(line, self.now)

    def _own(self) -> None:
        """The owners of both ends: one writes, the other reads."""
        session = self.caller.session
        if session is not None:
            if session not in self.sessions:
                self.sessions.append(session)
            if session is self.sessions[0]:
                taken = session.write(PAYLOAD[len(self.sent) :])
                self.sent += PAYLOAD[len(self.sent) : len(self.sent) + taken]
        if self.answerer.session is not None:
            check(self.answerer.session.readable <= INBOX + WINDOW * MAX_BODY, "the inbox grows")
            self.arrived += self.answerer.session.read(None, self.now)

    def run_out(self) -> None:
        """Until all has arrived, or an end says that its session is over."""
        begun = self.now
        while len(self.arrived) < len(PAYLOAD) and not self.broken and self.now < begun + LONGEST:
            self.run(TICK * 16)
        check(self.forged or self.broken or bytes(self.arrived) == PAYLOAD, "a line has stuck")
        check(self.forged or PAYLOAD.startswith(self.arrived), "other bytes arrived")

    @property
    def broken(self) -> bool:
        """An end knows that its session is over."""
        caller, answerer = self.caller.session, self.answerer.session
        lost = caller is None or caller is not self.sessions[0] or caller.failure is not None
        return lost or (answerer is not None and answerer.failure is not None)

    def outcome(self) -> str:
        """How it ended."""
        if self.forged:
            return "forged"
        reason = "" if self.caller.session is None else self.caller.session.failure or ""
        return "arrived" if bytes(self.arrived) == PAYLOAD else f"broken {reason.split(' ')[0]}"
