"""Link frames: the unit that crosses a serial line, at most 64 bytes with its closing zero (DESIGN 4, Frames).

Pure functions and one small decoder; sequence, acknowledgement and time live in arq.py and endpoint.py. The form:

    line   = stuffed 00                     COBS; a further 00 stands before a frame that wakes an idle line
    stuffed= COBS(word body check)
    word   = kind:2 number:4 next:4 held:6  two bytes, big-endian
    body   = 0 to 56 bytes
    check  = CRC-32 of mark, word and body  four bytes, big-endian
    mark   = direction session              one and eight bytes, never sent: both ends know them
    session= caller answerer                four bytes each: a number that each end drew for this session

    kind 0 DATA     number is the frame's place modulo 16; body is 1 to 56 bytes of payload
    kind 1 END      number likewise; body 00: no more payload comes; 01: nor is any taken
    kind 2 ACK      number 1: the receiver's memory is full; body empty
    kind 3 CONTROL  number 1 ATTENTION: body is version (1 byte) and caller, mark with session 0;
                    number 2 READY: body is version, caller and answerer, mark with session 0;
                    number 3 RESET: body empty, mark with the session it ends, or 0 for every session

`next` is the number of the first frame not yet received, and bit i of `held` says that number next + 1 + i was.
As the mark is part of the check, a frame of an older session or an echo of our own fails like a damaged one.
Each 64 bytes on the line carry 56 of payload: 87.5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from zlib import crc32

from . import cobs

VERSION: Final = 1
"""Of this link layer; ATTENTION and READY carry it."""

NUMBERS: Final = 16
"""Sequence numbers count modulo this."""

WINDOW: Final = 7
"""Frames under way at once: at most half of NUMBERS, and one more than `held` has bits."""

MAX_LINE: Final = 64
"""Bytes of the longest frame on the line, stuffing and closing zero included."""

MAX_BODY: Final = 56
"""Bytes of payload in the longest frame: MAX_LINE less word, check, one byte of stuffing and the closing zero."""

DELIMITER: Final = b"\0"
_WORD: Final = 2
_CHECK: Final = 4


class Kind(IntEnum):
    """What a frame is."""

    DATA = 0
    END = 1
    ACK = 2
    CONTROL = 3


class Control(IntEnum):
    """What a CONTROL frame says, in its `number`."""

    ATTENTION = 1
    READY = 2
    RESET = 3


BUSY: Final = 1
"""The `number` of an ACK whose sender takes no more payload for now."""

END_SENDING: Final = b"\x00"
END_ALL: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Frame:
    """One link frame, taken apart. `number`, `next` and `held` as on the line."""

    kind: Kind
    number: int = 0
    next: int = 0
    held: int = 0
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Mark:
    """What both ends know and the check covers: the session, and for each direction the CRC to begin with.

    Attributes:
        session: both ends' numbers, 64 bits; 0 outside a session.
        caller: this end called, that is, sent the attention frame.

    """

    session: int
    caller: bool

    @property
    def outgoing(self) -> int:
        """CRC-32 of the mark of what this end sends."""
        return self._seed(self.caller)

    @property
    def incoming(self) -> int:
        """CRC-32 of the mark of what this end receives."""
        return self._seed(not self.caller)

    def _seed(self, from_caller: bool) -> int:
        return crc32((b"C" if from_caller else b"A") + self.session.to_bytes(8, "big"))


def encode(frame: Frame, seed: int) -> bytes:
    """The frame as it goes on the line, closing zero included; `seed` is the CRC of the mark."""
    word = frame.kind << 14 | frame.number << 10 | frame.next << 6 | frame.held
    content = word.to_bytes(_WORD, "big") + frame.body
    return cobs.encode(content + crc32(content, seed).to_bytes(_CHECK, "big")) + DELIMITER


def decode(content: bytes, seed: int) -> Frame | None:
    """The frame in `content` (unstuffed), or None where the check does not fit `seed`."""
    if len(content) < _WORD + _CHECK:
        return None
    covered = content[:-_CHECK]
    if crc32(covered, seed) != int.from_bytes(content[-_CHECK:], "big"):
        return None
    word = covered[0] << 8 | covered[1]
    return Frame(Kind(word >> 14), word >> 10 & 15, word >> 6 & 15, word & 63, covered[_WORD:])


def attention(caller: int) -> Frame:
    """The frame that calls: `caller` is the caller's number, 1 to 2^32 - 1."""
    return Frame(Kind.CONTROL, Control.ATTENTION, body=bytes((VERSION,)) + caller.to_bytes(4, "big"))


def ready(session: int) -> Frame:
    """The frame that answers a call with the session made of both numbers."""
    return Frame(Kind.CONTROL, Control.READY, body=bytes((VERSION,)) + session.to_bytes(8, "big"))


class Deframer:
    """Cuts what comes from the line at its zeros and unstuffs the pieces. Noise costs time, never memory."""

    __slots__ = ("_overlong", "_piece", "received", "refused")

    def __init__(self) -> None:
        self._piece = bytearray()
        self._overlong = False
        self.received = 0
        """Bytes taken from the line so far."""
        self.refused = 0
        """Pieces that could not be a frame: too long, or not stuffed."""

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """The unstuffed contents that `data` completes, each at most MAX_LINE bytes; checks are not looked at yet."""
        self.received += len(data)
        *whole, rest = bytes(data).split(DELIMITER)
        contents = []
        for piece in whole:
            self._extend(piece)
            if self._overlong or self._piece:
                content = None if self._overlong else cobs.decode(bytes(self._piece))
                if content is None:
                    self.refused += 1
                else:
                    contents.append(content)
            self._piece.clear()
            self._overlong = False
        self._extend(rest)
        return contents

    def _extend(self, piece: bytes) -> None:
        if self._overlong or len(self._piece) + len(piece) >= MAX_LINE:
            self._overlong = True
            self._piece.clear()
        else:
            self._piece += piece
