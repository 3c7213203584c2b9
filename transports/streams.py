"""What the stream classes here share: checks of arguments and of use by two tasks at once. No stream lives here."""

from __future__ import annotations

from operator import index
from types import TracebackType

import trio

from .errors import AddressError


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
