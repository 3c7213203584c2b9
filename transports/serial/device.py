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
from typing import Final

import trio

from ..errors import LinkError, NotADevice, PortBusy, PortDenied, PortNotFound, TransportError, Unsupported
from ..streams import HUNG_UP, Bytes, SystemStream

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


class DevicePort(SystemStream):
    """Raw bytes through a device or socket; like SerialPort no whole trio stream.

    Attributes:
        path: as it was opened.
        attests_wired: never by itself.

    """

    attests_wired: Final = False

    def __init__(self, stream: Bytes, path: str) -> None:
        """Use `DevicePort.open`."""
        super().__init__(stream, f"device {path}", "the device is gone", HUNG_UP)
        self.path = path

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
