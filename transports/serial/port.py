"""A serial port as a trio stream of raw bytes: pyserial configures it, trio waits on its file descriptor.

POSIX only, as `SerialPort.open` says; threaded.py has the ports of other systems. What only POSIX has is imported
where it is used, so that importing this module works everywhere.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from ..errors import (
    AddressError,
    LinkError,
    NotASerialPort,
    PortBusy,
    PortDenied,
    PortNotFound,
    TransportError,
    Unsupported,
)
from ..streams import HUNG_UP, SystemStream

if TYPE_CHECKING:
    from serial import Serial

DEFAULT_BAUD: Final = 9600

_DRAIN_LIMIT: Final = 0.5
"""Seconds that closing waits for written bytes to leave the port."""

_DRAIN_STEP: Final = 0.005

_ERRORS: Final[dict[int, tuple[type[LinkError], str]]] = {
    errno.ENOENT: (PortNotFound, "no such port"),
    errno.ENOTDIR: (PortNotFound, "no such port"),
    errno.ENXIO: (PortNotFound, "no device behind this port"),
    errno.ENODEV: (PortNotFound, "no device behind this port"),
    errno.EIO: (PortNotFound, "no device behind this port"),
    errno.EBUSY: (PortBusy, "another program uses this port"),
    errno.EAGAIN: (PortBusy, "another program uses this port"),
    errno.EACCES: (PortDenied, "this user may not open the port"),
    errno.EPERM: (PortDenied, "this user may not open the port"),
}

_KERNEL_TERMINALS: Final = Path("/sys/class/tty")

_WIRED_NAME: Final = re.compile(
    r"""tty(S|USB|ACM|AMA|O|SC|PS|mxc|THS|XRUSB)\d+      # Linux: UARTs on board, and USB by wire
      | (cu|tty)\.(usbserial|usbmodem).*                 # macOS
      | cua?[uU]\d+                                      # BSD
    """,
    re.VERBOSE,
)


class SerialPort(SystemStream):
    """Raw bytes over a serial port; what arrives may be damaged, and nothing tells of the peer's end.

    It is no whole trio stream: closing one end of a line is invisible at the other, so a reader waits on, and a writer
    writes into the void (`trio.testing.check_two_way_stream` cannot pass). SerialLink above it makes it one.

    A port that is hung up (adapter unplugged, pseudo-terminal closed) reads as the end of the stream and raises
    LinkBroken on writing.

    Attributes:
        path: as it was opened.
        baud: bits per second; 8 data bits, no parity, 1 stop bit, no flow control.
        attests_wired: this is a wired port of this machine, as its device class shows (SECURITY: physical trust).

    """

    def __init__(self, serial: Serial, path: str, baud: int) -> None:
        """Use `SerialPort.open`."""
        self._descriptor = trio.lowlevel.FdStream(os.dup(serial.fileno()))
        super().__init__(self._descriptor, f"serial {path}", "the port was hung up", HUNG_UP)
        self.path = path
        self.baud = baud
        self.attests_wired = is_wired(path, os.fstat(serial.fileno()).st_rdev)
        self._serial = serial

    @classmethod
    def open(cls, path: str, *, baud: int = DEFAULT_BAUD) -> SerialPort:
        """Open the port for this program alone and set it to `baud`, 8N1, without flow control.

        Raises:
            PortNotFound, PortBusy, PortDenied, NotASerialPort: what is wrong with the port.
            Unsupported: pyserial is not installed, or this system is not POSIX.
            AddressError: a baud rate that cannot be.

        """
        who = f"serial {path}"
        if baud < 1:
            raise AddressError("no such speed", who=who, expected="a baud rate above 0", got=baud)
        if sys.platform == "win32":
            raise Unsupported("serial ports are supported on POSIX systems only", who=who, got=sys.platform)
        return cls(_open(path, baud, who), path, baud)

    async def aclose(self) -> None:
        """Let written bytes leave (half a second at most), then close; cancelled, what has not left is dropped."""
        try:
            if self._serial.is_open:
                await self._drain()
        finally:
            self._close()
        await trio.lowlevel.checkpoint()

    async def _drain(self) -> None:
        with trio.move_on_after(_DRAIN_LIMIT):
            try:
                while self._serial.out_waiting:
                    await trio.sleep(_DRAIN_STEP)
            except OSError:
                return

    def _close(self) -> None:
        if self._serial.is_open:
            import termios

            # closing must not wait in the kernel for a line that takes nothing
            with suppress(OSError, termios.error):
                termios.tcflush(self._serial.fileno(), termios.TCOFLUSH)
            self._serial.close()
            self._descriptor.close()


def is_wired(path: str, device: int, kernel: Path = _KERNEL_TERMINALS) -> bool:
    """Whether an open port is of a device class that a cable alone can be behind.

    Pseudo-terminals, RFCOMM (Bluetooth) and network serial ports are not. The name counts after symbolic links, and on
    Linux only if the kernel knows the open device by that name.

    Args:
        path: as it was opened.
        device: the number of the device that is open (st_rdev).
        kernel: where Linux lists its terminals; elsewhere there is no such directory.

    """
    name = Path(path).resolve().name
    if not _WIRED_NAME.fullmatch(name):
        return False
    if not kernel.is_dir():
        return True
    try:
        known = (kernel / name / "dev").read_text("ascii").strip()
    except OSError:
        return False
    return known == f"{os.major(device)}:{os.minor(device)}"


def _open(path: str, baud: int, who: str) -> Serial:
    try:
        import serial
    except ImportError as error:
        raise Unsupported("pyserial is not installed", who=who, expected="the extra 'serial'", got="none") from error
    import termios

    try:
        # inter_byte_timeout=0 makes pyserial set VMIN=1, VTIME=0: an empty read then means hang-up, never "nothing yet"
        return serial.Serial(path, baud, timeout=0, write_timeout=0, inter_byte_timeout=0, exclusive=True)
    except (OSError, ValueError, OverflowError, termios.error) as error:
        raise _explained(error, path, baud, who) from error


def _explained(error: Exception, path: str, baud: int, who: str) -> TransportError:
    number = error.errno if isinstance(error, OSError) else None
    if number in _ERRORS:
        kind, summary = _ERRORS[number]
        return kind(summary, who=who, got=os.strerror(number))
    what = f"{baud} baud, 8N1"
    return NotASerialPort("not a serial port, or not with these settings", who=who, expected=what, got=error)
