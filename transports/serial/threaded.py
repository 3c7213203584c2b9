"""Serial ports whose descriptor cannot be waited on: Windows' COM ports, and ports by URL, in worker threads.

pyserial reads and writes here, a short time at once, in threads that trio lends; each returns before its task goes on,
so that a cancelled receive loses nothing and no thread stays behind. The price is that cancelling waits for the step
that runs: POLL seconds for a receive, the write's limit for a send that the other end does not take.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol, TypeVar

import trio

from ..errors import (
    ConnectionRefused,
    LinkBroken,
    NameUnknown,
    NotASerialPort,
    PortDenied,
    PortNotFound,
    TransportError,
    Unreachable,
    Unsupported,
)
from ..streams import OneTask, positive

T = TypeVar("T")

POLL: Final = 0.05
"""Seconds that a thread waits for bytes before it looks whether somebody still wants them."""

_PIECE: Final = 64
"""Bytes written at once."""
_MOST: Final = 4_096
_PATIENCE: Final = 2.0
"""Seconds, beside those on the line, that a piece may wait to be taken."""


class _Pyserial(Protocol):
    """What is used of pyserial's ports, whatever the system or URL."""

    is_open: bool

    @property
    def in_waiting(self) -> int: ...
    def read(self, size: int = 1, /) -> bytes: ...
    def write(self, b: bytes, /) -> int | None: ...
    def close(self) -> None: ...


class ThreadedPort(trio.abc.Stream):
    """Raw bytes over a port that pyserial alone can read; like SerialPort no whole trio stream.

    Attributes:
        path: COM port or URL.
        attests_wired: never: a COM port may be Bluetooth's, a URL leads into a network.

    """

    attests_wired: Final = False

    def __init__(self, serial: _Pyserial, path: str) -> None:
        """Use `ThreadedPort.open`."""
        self.path = path
        self._serial = serial
        self._limiter = trio.CapacityLimiter(3)
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._sender, self._receiver = OneTask("sending"), OneTask("receiving")
        self._closed = False

    @classmethod
    async def open(cls, path: str, *, baud: int) -> ThreadedPort:
        """Open the port.

        Raises:
            PortNotFound, PortDenied, NotASerialPort: what is wrong with a port of this machine.
            NameUnknown, ConnectionRefused, Unreachable: why the other machine cannot be reached.
            Unsupported: pyserial is not installed.

        """
        who = f"serial {path}"
        try:
            import serial
        except ImportError as error:
            raise Unsupported(
                "pyserial is not installed", who=who, expected="the extra 'serial'", got="none"
            ) from error
        # rfc2217 takes no limit for writing; it has one of its own
        limit = None if path.startswith("rfc2217:") else _PATIENCE + _PIECE * 10 / baud

        def opened() -> _Pyserial:
            return serial.serial_for_url(path, baud, timeout=POLL, write_timeout=limit)

        try:
            # a port that opened just as its task was cancelled is not lost: the thread is always waited for
            return cls(await trio.to_thread.run_sync(opened), path)
        except (OSError, ValueError) as error:
            raise _explained(error, who, baud) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write `data`.

        Raises:
            LinkBroken: the port is gone, or takes nothing.

        """
        with self._sender:
            self._check()
            await trio.lowlevel.checkpoint()
            pending = bytes(data)
            for start in range(0, len(pending), _PIECE):
                piece = pending[start : start + _PIECE]
                try:
                    await self._in_thread(self._writing, partial(self._serial.write, piece))
                except (OSError, ValueError) as error:
                    self._check()
                    raise LinkBroken("the port takes nothing", who=f"serial {self.path}", got=error) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Nobody can tell; answers at once."""
        with self._sender:
            self._check()
            await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has arrived; empty only when the port is gone."""
        limit = min(positive(max_bytes) or _MOST, _MOST)
        with self._receiver:
            while True:
                self._check()
                try:
                    data = await self._in_thread(self._reading, lambda: self._read(limit))
                except (OSError, ValueError, TypeError):  # what pyserial's ports do when the other end is gone
                    self._check()
                    return b""
                if data:
                    return data

    async def aclose(self) -> None:
        """Close, once the threads have left the port; waits for them also if cancelled, for the time above."""
        if not self._closed:
            self._closed = True
            cancel = getattr(self._serial, "cancel_read", None)
            if cancel is not None and self._reading.locked():
                with suppress(OSError, ValueError):
                    cancel()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._close, limiter=self._limiter)
        await trio.lowlevel.checkpoint()

    async def _in_thread(self, lock: threading.Lock, work: Callable[[], T]) -> T | None:
        """What `work` answers; None if the port was closed before it began."""

        def held() -> T | None:
            with lock:
                return None if self._closed else work()

        return await trio.to_thread.run_sync(held, limiter=self._limiter)

    def _read(self, limit: int) -> bytes:
        """In a thread: what is there, or what comes within POLL seconds."""
        data = self._serial.read(1)
        while data and len(data) < limit:
            try:
                waiting = self._serial.in_waiting
                more = self._serial.read(min(waiting, limit - len(data))) if waiting else b""
            except (OSError, ValueError):  # the next read says it again; these bytes are not lost over it
                break
            if not more:
                break
            data += more
        return bytes(data)

    def _close(self) -> None:
        with self._reading, self._writing:
            connection = getattr(self._serial, "_socket", None)  # pyserial forgets it open if the other end left first
            with suppress(OSError, ValueError):
                self._serial.close()
            if connection is not None:
                connection.close()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this port was closed")


def _explained(error: Exception, who: str, baud: int) -> TransportError:
    # pyserial keeps the system's error as context only
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return NameUnknown("the name does not resolve", who=who, got=cause.strerror or cause)
        if isinstance(cause, ConnectionRefusedError):
            return ConnectionRefused("nobody listens there", who=who, got=cause.strerror)
        if isinstance(cause, FileNotFoundError):
            return PortNotFound("no such port", who=who, got=os.strerror(cause.errno or 0))
        if isinstance(cause, PermissionError):
            return PortDenied("this user may not open the port, or another program has it", who=who, got=cause.strerror)
        if isinstance(cause, TimeoutError):
            return Unreachable("no answer", who=who, got=cause)
        cause = cause.__context__
    if "://" in who:
        return Unreachable("no connection", who=who, got=error)
    what = f"{baud} baud, 8N1"
    return NotASerialPort("not a serial port, or not with these settings", who=who, expected=what, got=error)
