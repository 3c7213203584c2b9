"""Bluetooth's serial port, RFCOMM, through the system's sockets (REQUIREMENTS K3).

The standard library has these sockets where it was built with Bluetooth's headers; elsewhere `Unsupported` says so.
How the devices were paired no socket tells: it is a declaration of the operator (`Address.numeric_comparison`).
Closing by halves is not offered: on Linux, to shut down one direction of an RFCOMM channel shuts down both.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from .errors import (
    AddressInUse,
    ConnectionRefused,
    LinkBroken,
    LinkError,
    PortDenied,
    TransportError,
    Unreachable,
    Unsupported,
)
from .streams import SystemStream

CHANNELS: Final = range(1, 31)
"""Of RFCOMM."""

_ANY_ADAPTER: Final = "00:00:00:00:00:00"
_BACKLOG: Final = 4
_DEVICE: Final = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")

_ERRORS: Final[dict[int, tuple[type[LinkError], str]]] = {
    errno.EAFNOSUPPORT: (Unsupported, "this system has no Bluetooth"),
    errno.EPROTONOSUPPORT: (Unsupported, "this system has no RFCOMM"),
    errno.ESOCKTNOSUPPORT: (Unsupported, "this system has no RFCOMM"),
    errno.ENODEV: (Unsupported, "there is no Bluetooth adapter"),
    errno.EADDRNOTAVAIL: (Unsupported, "there is no such Bluetooth adapter"),
    errno.ECONNREFUSED: (ConnectionRefused, "nobody listens at that channel"),
    errno.EADDRINUSE: (AddressInUse, "another program listens at that channel"),
    errno.EACCES: (PortDenied, "the devices are not paired, or this user may not"),
    errno.EPERM: (PortDenied, "the devices are not paired, or this user may not"),
    errno.EHOSTDOWN: (Unreachable, "the device does not answer"),
    errno.EHOSTUNREACH: (Unreachable, "the device does not answer"),
    errno.ETIMEDOUT: (Unreachable, "the device does not answer"),
}


def is_device(text: str) -> bool:
    """Whether this is the address of a Bluetooth device."""
    return _DEVICE.fullmatch(text) is not None


def rfcomm_socket() -> socket.socket:
    """A new socket of the system; the border behind which tests put another.

    Raises:
        OSError: the system has none.
        Unsupported: this Python knows none.

    """
    try:
        family, protocol = socket.AF_BLUETOOTH, socket.BTPROTO_RFCOMM
    except AttributeError:
        raise Unsupported(
            "this Python was built without Bluetooth", expected="socket.AF_BLUETOOTH", got="none"
        ) from None
    return socket.socket(family, socket.SOCK_STREAM, protocol)


class BluetoothStream(SystemStream):
    """Bytes over an RFCOMM channel, reliable and in order.

    Attributes:
        peer: the other device.

    """

    def __init__(self, connected: socket.socket, who: str) -> None:
        # trio takes plain sockets only, so the descriptor moves into one, whatever stood at the border
        plain = socket.socket(fileno=connected.detach())
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(plain))
        super().__init__(stream, who, "the connection is lost")
        self.peer = who


async def connect(device: str, channel: int, *, timeout: float) -> BluetoothStream:
    """Connect to a paired device.

    Raises:
        Unsupported: no Bluetooth here.
        ConnectionRefused, PortDenied, Unreachable: why there is no connection.

    """
    who = f"bluetooth {device}/{channel}"
    sock = _made(who)
    try:
        with trio.fail_after(timeout):
            await _connect(sock, (device, channel))
        return BluetoothStream(sock, who)
    except trio.TooSlowError:
        raise Unreachable("no answer", who=who, expected=f"a connection within {timeout:g} s") from None
    except OSError as error:
        raise _explained(error, who) from error
    finally:
        sock.close()  # empty by then if the stream took over


async def _connect(sock: socket.socket, address: tuple[str, int]) -> None:
    await trio.lowlevel.checkpoint()
    try:
        sock.connect(address)
    except BlockingIOError:
        await trio.lowlevel.wait_writable(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number)) from None


class BluetoothListener:
    """A channel at which devices call. Made by `listening`."""

    def __init__(self, sock: socket.socket, who: str) -> None:
        self._sock = sock
        self._who = who

    async def accept(self) -> BluetoothStream:
        """The next device that calls.

        Raises:
            LinkBroken: the adapter is gone.

        """
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            try:
                accepted, caller = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue
            except OSError as error:
                raise LinkBroken("nobody can call any more", who=self._who, got=error.strerror) from error
            accepted.setblocking(False)
            name = caller[0] if isinstance(caller, tuple) else self._who
            return BluetoothStream(accepted, f"bluetooth {name}")


@asynccontextmanager
async def listening(adapter: str, channel: int) -> AsyncIterator[BluetoothListener]:
    """Listen at a channel of the adapter with this address, or of any ("*").

    Raises:
        Unsupported: no Bluetooth here.
        AddressInUse, PortDenied: why nobody can call.

    """
    who = f"bluetooth {adapter}/{channel}"
    with _made(who) as sock:
        try:
            sock.bind((_ANY_ADAPTER if adapter == "*" else adapter, channel))
            sock.listen(_BACKLOG)
        except OSError as error:
            raise _explained(error, who) from error
        await trio.lowlevel.checkpoint()
        yield BluetoothListener(sock, who)


def _made(who: str) -> socket.socket:
    try:
        sock = rfcomm_socket()
    except Unsupported as error:
        raise Unsupported(error.summary, who=who, expected=error.expected, got=error.got) from None
    except OSError as error:
        raise _explained(error, who) from error
    sock.setblocking(False)
    return sock


def _explained(error: OSError, who: str) -> TransportError:
    kind, summary = _ERRORS.get(error.errno or 0, (Unreachable, "no connection"))
    return kind(summary, who=who, got=error.strerror or error)
