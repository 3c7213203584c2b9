"""Frames over any byte stream: two bytes of length, big-endian, then that many bytes (DESIGN 4, Frames).

`FrameDecoder` is the rule without I/O; `FrameChannel` is the same over a trio stream. What a frame means is not known
here. On a serial line this stands above the reliable link of `serial/`, like above TCP.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import trio

from .errors import AddressError, FrameError, FrameTruncated

MAX_FRAME: Final = 65_535
"""Bytes in the longest frame, its two bytes of length not counted."""

_HEADER: Final = 2


def encode_frame(frame: bytes) -> bytes:
    """The frame as it crosses the stream.

    Raises:
        AddressError: an empty frame or one above MAX_FRAME bytes: the caller's mistake, nothing was sent.

    """
    size = len(frame)
    if not 1 <= size <= MAX_FRAME:
        raise AddressError("no such frame can be sent", who="framing", expected=f"1 to {MAX_FRAME} bytes", got=size)
    return size.to_bytes(_HEADER, "big") + frame


class FrameDecoder:
    """Cuts a stream of bytes into frames. Holds at most one unfinished frame beside what one `feed` brought."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes | bytearray) -> None:
        """Take the next bytes of the stream, cut anywhere."""
        self._bytes += data

    def next_frame(self, limit: int = MAX_FRAME) -> bytes | None:
        """The next whole frame, or None when more bytes are needed first.

        Args:
            limit: bytes that a frame may have at the moment.

        Raises:
            FrameError: the peer announced an empty frame, or one above `limit`. The stream is of no use any more: its
                place is lost.

        """
        data = self._bytes
        if len(data) < _HEADER:
            return None
        end = _HEADER + (data[0] << 8 | data[1])
        if end == _HEADER:
            raise FrameError("empty frame", who="framing", expected=f"1 to {MAX_FRAME} bytes", got=0)
        if end > _HEADER + limit:
            raise FrameError("frame too long", who="framing", expected=f"at most {limit} bytes", got=end - _HEADER)
        if len(data) < end:
            return None
        frame = bytes(data[_HEADER:end])
        del data[:end]
        return frame

    @property
    def has_more(self) -> bool:
        """Whether bytes wait that no frame was cut from yet."""
        return bool(self._bytes)

    def finish(self) -> None:
        """The stream has ended; fine between frames.

        Raises:
            FrameTruncated: it ended within one.

        """
        if self._bytes:
            have = len(self._bytes)
            want = _HEADER + int.from_bytes(self._bytes[:_HEADER], "big") if have >= _HEADER else _HEADER
            raise FrameTruncated(
                "the stream ended within a frame", who="framing", expected=f"{want} bytes", got=f"{have} bytes"
            )


class FrameChannel:
    """Frames, whole and in order, over a byte stream that it owns from now on.

    One task may send while another receives. A cancelled `receive_frame` loses nothing; a cancelled send may have
    sent a part, after which only closing makes sense (as with every trio stream).
    """

    __slots__ = ("_decoder", "stream")

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._decoder = FrameDecoder()

    @property
    def has_more(self) -> bool:
        """Whether the next frame, or its beginning, was read with the one before."""
        return self._decoder.has_more

    async def send_frame(self, frame: bytes) -> None:
        """Send one frame of 1 to 65,535 bytes.

        Raises:
            AddressError: empty or too long; nothing was sent.
            trio.BrokenResourceError, trio.ClosedResourceError: as `trio.abc.SendStream.send_all`.

        """
        await self.stream.send_all(encode_frame(frame))

    async def send_frames(self, frames: Iterable[bytes]) -> None:
        """Send several frames in one write, so that they may share a packet; none is sent if one is refused."""
        await self.stream.send_all(b"".join(map(encode_frame, frames)))

    async def receive_frame(self, limit: int = MAX_FRAME) -> bytes | None:
        """The next frame, or None at the end of the stream.

        A checkpoint only where it has to read: frames that came together are handed out without one (they are at most
        what one read brings).

        Args:
            limit: bytes that the frame may have: less, say, before anybody is known.

        Raises:
            FrameError: the peer broke the framing; close the channel.
            FrameTruncated: the stream ended within a frame.
            trio.BrokenResourceError, trio.ClosedResourceError: as `trio.abc.ReceiveStream.receive_some`.

        """
        while (frame := self._decoder.next_frame(limit)) is None:
            data = await self.stream.receive_some()
            if not data:
                self._decoder.finish()
                return None
            self._decoder.feed(data)
        return frame

    async def aclose(self) -> None:
        """Close the stream beneath."""
        await self.stream.aclose()
