"""What the stream classes here share: arguments, use by two tasks at once, and what is wrong when one breaks."""

from __future__ import annotations

import errno
import os
from operator import index
from types import TracebackType
from typing import Final, Protocol

import trio

from .errors import AddressError, LinkBroken

HUNG_UP: Final = frozenset({errno.EIO, errno.ENXIO, errno.ENODEV, errno.ECONNRESET, errno.EPIPE})
"""By which the system says that the other end of a device or a socket is gone."""


def positive(max_bytes: int | None) -> int | None:
    """The `max_bytes` of a receive_some, checked as trio's own streams check it.

    Raises:
        ValueError: below 1.
        TypeError: not a whole number.

    """
    if max_bytes is None:
        return None
    limit = index(max_bytes)
    if limit < 1:
        raise ValueError("max_bytes must be at least 1")
    return limit


async def send_eof(stream: trio.abc.SendStream) -> None:
    """`stream.send_eof()` where the stream can.

    Raises:
        AddressError: the stream cannot be closed by halves (a bare serial port).

    """
    if not isinstance(stream, trio.abc.HalfCloseableStream):
        raise AddressError("this stream cannot be closed for sending only", who=type(stream).__name__)
    await stream.send_eof()


class OneTask:
    """Lets one task at a time into a `with` block; a second one gets trio.BusyResourceError."""

    __slots__ = ("_inside", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._inside = False

    def __enter__(self) -> None:
        """Enter, or refuse."""
        if self._inside:
            raise trio.BusyResourceError(f"another task is already {self._what}")
        self._inside = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self._inside = False


class Bytes(Protocol):
    """What trio's FdStream and SocketStream have in common."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio.abc.SendStream."""

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See trio.abc.ReceiveStream."""
        ...

    async def aclose(self) -> None:
        """See trio.abc.AsyncResource."""


class SystemStream(trio.abc.Stream):
    """A stream of the operating system's; where it breaks, the error says which one and why.

    Args:
        beneath: what it is read and written through.
        who: which one it is, in errors.
        broken: in words, that it is gone.
        ends: the codes of the system that mean its end, as a reader sees it, and no break.

    """

    def __init__(self, beneath: Bytes, who: str, broken: str, ends: frozenset[int] = frozenset()) -> None:
        self._stream = beneath
        self._who = who
        self._says = broken
        self._ends = ends

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write `data`; waits while nothing is taken.

        Raises:
            LinkBroken: the other end is gone.

        """
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as error:
            raise self._broken(error) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until something is taken."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """What has arrived; empty only when the other end is gone.

        Raises:
            LinkBroken: reading failed in another way.

        """
        try:
            return await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in self._ends:
                return b""
            raise self._broken(error) from error

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    def _broken(self, error: trio.BrokenResourceError) -> LinkBroken:
        cause = error.__cause__
        got = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else cause or ""
        return LinkBroken(self._says, who=self._who, got=got)
