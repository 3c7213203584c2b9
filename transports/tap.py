"""A stream that counts what passes, for wire statistics and captures. It changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import trio

from .streams import send_eof

Direction: TypeAlias = Literal["sent", "received"]
Observer: TypeAlias = Callable[[Direction, bytes], None]
"""Called with every piece as it passes: at once after it was sent or received."""


class Tap(trio.abc.HalfCloseableStream):
    """`stream` with counters. Closing the tap closes the stream.

    Attributes:
        sent: bytes that went out; a send that failed or was cancelled half-way does not count.
        received: bytes that came in.

    """

    __slots__ = ("_observer", "_stream", "received", "sent")

    def __init__(self, stream: trio.abc.Stream, observer: Observer | None = None) -> None:
        self._stream = stream
        self._observer = observer
        self.sent = 0
        self.received = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send through the stream, then count."""
        await self._stream.send_all(data)
        self.sent += len(data)
        if self._observer is not None and data:
            self._observer("sent", bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream's."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive from the stream, then count."""
        data = await self._stream.receive_some(max_bytes)
        self.received += len(data)
        if self._observer is not None and data:
            self._observer("received", bytes(data))
        return data

    async def send_eof(self) -> None:
        """As the stream's.

        Raises:
            AddressError: the stream beneath cannot be closed by halves (a bare serial port).

        """
        await send_eof(self._stream)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
