"""Frames by length over a byte stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...protocol.messages import encode
from ...transports.errors import FrameError
from ...transports.framing import FrameDecoder, encode_frame
from ..mutation import joined
from ..target import Shape, check, target


def frame_seeds() -> Iterator[bytes]:
    """Frames of several sizes, whole ones and a cut one."""
    yield joined([b"\xa1\x00\x01"])
    yield joined([b"\x00", b"\x83\x01\x02\x03", encode(bytes(300))])
    yield joined([encode({0: 1, 1: bytes(240)}), b"\x01", encode([1, 2, b"x" * 250])])[:-1]


@target("framing", Shape.FRAMES, frame_seeds)
def framing(data: bytes) -> str:
    """Frames, and the error at their end, are the same however the stream is cut; FrameError is the only error."""
    frames, ended = _fed([data])
    check(_fed(data[at : at + 1] for at in range(len(data))) == (frames, ended), "byte by byte it is another stream")
    middle = data[0] % (len(data) + 1) if data else 0
    check(_fed([data[:middle], data[middle:]]) == (frames, ended), "cut in two it is another stream")
    sent = b"".join(map(encode_frame, frames))
    check(data.startswith(sent), "the frames are not what came")
    check(ended or sent == data, "bytes were lost")
    return f"{min(len(frames), 5)} frames, {ended or 'whole'}"


def _fed(pieces: Iterable[bytes]) -> tuple[list[bytes], str]:
    decoder, frames = FrameDecoder(), list[bytes]()
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (frame := decoder.next_frame()) is not None:
                frames.append(frame)
        decoder.finish()
    except FrameError as error:
        return frames, f"{type(error).__name__}: {error.summary}"
    return frames, ""
