"""A pair of connected streams in memory, for tests, simulation and embedding (REQUIREMENTS K5).

Only bytes and back-pressure: each direction holds at most `capacity` bytes, so a peer that never reads stops its
sender just as a network would. Nothing is random and no time passes here; damage and delay come from faulty.py.
"""

from __future__ import annotations

from typing import Final

import trio

from .errors import AddressError
from .streams import OneTask, positive

DEFAULT_CAPACITY: Final = 65_536
"""Bytes that one direction holds unless told otherwise."""


def memory_pair(capacity: int = DEFAULT_CAPACITY) -> tuple[MemoryStream, MemoryStream]:
    """Two streams, each the other's peer, with room for `capacity` bytes in either direction.

    Raises:
        AddressError: `capacity` is below 1.

    """
    if capacity < 1:
        raise AddressError("a pipe needs room", who="memory", expected="capacity of at least 1 byte", got=capacity)
    there, back = _Pipe(capacity), _Pipe(capacity)
    return MemoryStream(there, back), MemoryStream(back, there)


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a `memory_pair`. Passes `trio.testing.check_half_closeable_stream`."""

    __slots__ = ("_incoming", "_outgoing", "_receiving", "_sending")

    def __init__(self, outgoing: _Pipe, incoming: _Pipe) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._sending = OneTask("sending")
        self._receiving = OneTask("receiving")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Put all of `data` into the pipe; waits while it is full."""
        with self._sending:
            self._outgoing.check_sender()
            await trio.lowlevel.checkpoint()
            await self._outgoing.put(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the pipe has room or the peer is gone."""
        with self._sending:
            await self._outgoing.wait_for_room()

    async def send_eof(self) -> None:
        """Tell the peer that no more bytes come; receiving goes on."""
        with self._sending:
            self._outgoing.end()
            await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Whatever is there, at most `max_bytes`; empty once the peer has ended and all is read."""
        limit = positive(max_bytes)
        with self._receiving:
            return await self._incoming.take(limit)

    def close(self) -> None:
        """Close at once: the peer reads what was sent and then the end; what it sends is refused."""
        self._outgoing.close_sender()
        self._incoming.abandon()

    async def aclose(self) -> None:
        """As close, with a checkpoint."""
        self.close()
        await trio.lowlevel.checkpoint()


class _Pipe:
    """One direction: bytes, and who waits for more of them or for room."""

    __slots__ = ("_abandoned", "_bytes", "_capacity", "_closed", "_ended", "_readers", "_writers")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._bytes = bytearray()
        self._ended = False
        self._closed = False
        self._abandoned = False
        self._readers = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()

    def check_sender(self) -> None:
        if self._ended:
            raise trio.ClosedResourceError("this end was closed for sending")
        if self._abandoned:
            raise trio.BrokenResourceError("the peer has closed its end")

    async def put(self, data: bytes | bytearray | memoryview) -> None:
        self.check_sender()
        room = self._capacity - len(self._bytes)
        if len(data) <= room:
            self._bytes += data
            self._readers.unpark_all()
            return
        with memoryview(data) as view:
            sent = 0
            while sent < len(view):
                piece = view[sent : sent + room]
                self._bytes += piece
                sent += len(piece)
                self._readers.unpark_all()
                if sent < len(view):
                    await self._writers.park()
                    self.check_sender()
                    room = self._capacity - len(self._bytes)

    async def wait_for_room(self) -> None:
        if self._ended:
            await trio.lowlevel.checkpoint()
            raise trio.ClosedResourceError("this end was closed for sending")
        while len(self._bytes) >= self._capacity and not self._abandoned:
            await self._writers.park()
            if self._ended:
                raise trio.ClosedResourceError("this end was closed for sending")
        await trio.lowlevel.checkpoint()

    async def take(self, limit: int | None) -> bytes:
        self._check_receiver()
        if self._bytes or self._ended:
            await trio.lowlevel.checkpoint()
            self._check_receiver()
        while not self._bytes and not self._ended:
            await self._readers.park()
            self._check_receiver()
        taken = bytes(self._bytes if limit is None else self._bytes[:limit])
        del self._bytes[: len(taken)]
        self._writers.unpark_all()
        return taken

    def _check_receiver(self) -> None:
        if self._abandoned:
            raise trio.ClosedResourceError("this end was closed")

    def end(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end was closed")
        self._ended = True
        self._readers.unpark_all()

    def close_sender(self) -> None:
        self._ended = self._closed = True
        self._readers.unpark_all()
        self._writers.unpark_all()

    def abandon(self) -> None:
        self._abandoned = True
        self._readers.unpark_all()
        self._writers.unpark_all()
