"""Streams that the operating system gives by path: character devices (I2C bridges, IrDA) and UNIX sockets (K2).

What is known of them is that bytes go in and come out, so the serial link layer stands above them as above a serial
line: it notices damage, loss and the peer's end. None attests a wire.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from contextlib import suppress
from typing import Final, Protocol

import trio

from ..errors import LinkBroken, LinkError, NotADevice, PortBusy, PortDenied, PortNotFound, TransportError, Unsupported

_HUNG_UP: Final = frozenset({errno.EIO, errno.ENXIO, errno.ENODEV, errno.ECONNRESET, errno.EPIPE})

_ERRORS: Final[dict[int, tuple[type[LinkError], str]]] = {
    errno.ENOENT: (PortNotFound, "no such device"),
    errno.ENOTDIR: (PortNotFound, "no such device"),
    errno.ENXIO: (PortNotFound, "nothing behind this device"),
    errno.ENODEV: (PortNotFound, "nothing behind this device"),
    errno.EIO: (PortNotFound, "nothing behind this device"),
    errno.ECONNREFUSED: (PortNotFound, "nobody behind this socket"),
    errno.EBUSY: (PortBusy, "another program uses this device"),
    errno.EAGAIN: (PortBusy, "another program uses this device"),
    errno.EACCES: (PortDenied, "this user may not open the device"),
    errno.EPERM: (PortDenied, "this user may not open the device"),
}


class _Bytes(Protocol):
    """What FdStream and SocketStream have in common."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None: ...
    async def wait_send_all_might_not_block(self) -> None: ...
    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray: ...
    async def aclose(self) -> None: ...


class DevicePort(trio.abc.Stream):
    """Raw bytes through a device or socket; like SerialPort no whole trio stream.

    Attributes:
        path: as it was opened.
        attests_wired: never by itself.

    """

    attests_wired: Final = False

    def __init__(self, stream: _Bytes, path: str) -> None:
        """Use `DevicePort.open`."""
        self.path = path
        self._stream = stream

    @classmethod
    async def open(cls, path: str) -> DevicePort:
        """Open the device for this program alone, or connect to the socket. A terminal is set to raw bytes.

        Raises:
            PortNotFound, PortBusy, PortDenied, NotADevice: what is wrong with it.
            Unsupported: this system is not POSIX.

        """
        who = f"device {path}"
        if os.name != "posix":
            raise Unsupported("devices by path are supported on POSIX systems only", who=who, got=os.name)
        await trio.lowlevel.checkpoint()
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - the text as it was given
            if stat.S_ISSOCK(mode):
                return cls(await trio.open_unix_socket(path), path)
            if not stat.S_ISCHR(mode):
                kinds = "a character device or a UNIX socket"
                raise NotADevice("not a device", who=who, expected=kinds, got=stat.filemode(mode))
            return cls(trio.lowlevel.FdStream(_opened(path, who)), path)
        except OSError as error:
            raise _explained(error, who) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write `data`; waits while the device takes nothing.

        Raises:
            LinkBroken: the device is gone.

        """
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as error:
            raise self._broken(error) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the device takes something."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """What has arrived; empty only when the device is gone.

        Raises:
            LinkBroken: reading failed in another way.

        """
        try:
            return await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _HUNG_UP:
                return b""
            raise self._broken(error) from error

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    def _broken(self, error: trio.BrokenResourceError) -> LinkBroken:
        return LinkBroken("the device is gone", who=f"device {self.path}", got=error.__cause__ or "")


def _opened(path: str, who: str) -> int:
    """A descriptor, for this program alone, that can be waited on."""
    import fcntl
    import tty

    device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.flock(device, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if hasattr(select, "epoll"):
            try:
                with select.epoll() as probe:
                    probe.register(device)
            except PermissionError:
                expected = "a device that can be waited on"
                raise NotADevice("a device that is always ready", who=who, expected=expected) from None
        with suppress(OSError):
            if os.isatty(device):
                tty.setraw(device)
    except BaseException:
        os.close(device)
        raise
    return device


def _explained(error: OSError, who: str) -> TransportError:
    kind, summary = _ERRORS.get(error.errno or 0, (NotADevice, "cannot be opened"))
    return kind(summary, who=who, got=error.strerror or error)
