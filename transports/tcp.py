"""TCP: connect and listen with errors that say what is wrong, and a bound on peers (REQUIREMENTS K4).

The streams are trio's own SocketStreams (which switch Nagle's delay off); nothing is wrapped around them.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Final, NoReturn, TypeAlias

import trio

from .errors import (
    AddressError,
    AddressInUse,
    ConnectionRefused,
    LinkError,
    NameUnknown,
    PortDenied,
    TransportError,
    Unreachable,
)

Handler: TypeAlias = Callable[[trio.SocketStream], Awaitable[None]]

CONNECT_TIMEOUT: Final = 10.0
"""Seconds until an address that does not answer is given up."""

LAST_PORT: Final = 65_535
_STARVED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_STARVED_PAUSE: Final = 0.1

_ERRORS: Final[dict[int, tuple[type[LinkError], str]]] = {
    errno.ECONNREFUSED: (ConnectionRefused, "nobody listens there"),
    errno.ECONNRESET: (ConnectionRefused, "the other end reset the connection"),
    errno.EADDRINUSE: (AddressInUse, "another program listens there already"),
    errno.EADDRNOTAVAIL: (Unreachable, "this machine does not have that address"),
    errno.EACCES: (PortDenied, "this user may not use that port"),
    errno.EPERM: (PortDenied, "this user may not use that port"),
    errno.ENETUNREACH: (Unreachable, "no way to that network"),
    errno.EHOSTUNREACH: (Unreachable, "no way to that host"),
    errno.ETIMEDOUT: (Unreachable, "no answer"),
}


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """How many peers at once.

    Attributes:
        peers: in all; further ones wait in the system's queue until one leaves.
        per_host: from one address; further ones are closed at once, so that one flooder does not make the others
            wait. None for no such limit.

    """

    peers: int = 2_000
    per_host: int | None = None


RESERVE: Final = 128
"""File descriptors that connections leave to the rest of the program: stores have to be written whoever connects."""

DEFAULT_LIMITS: Final = PeerLimits()


async def connect(host: str, port: int, *, timeout: float = CONNECT_TIMEOUT) -> trio.SocketStream:
    """Connect to the first address of `host` that answers.

    Raises:
        NameUnknown, ConnectionRefused, Unreachable: why there is no connection.
        AddressError: no such port number or host name.

    """
    who = f"tcp {place(host, port)}"
    _check_port(port, who)
    try:
        with trio.fail_after(timeout):
            return await trio.open_tcp_stream(host, port)
    except trio.TooSlowError:
        raise Unreachable("no answer", who=who, expected=f"a connection within {timeout:g} s") from None
    except (OSError, ValueError) as error:
        raise _explained(error, who) from error


async def listen(host: str | None, port: int) -> list[trio.SocketListener]:
    """Listeners for every address of `host` (None for all of this machine); port 0 for any free one.

    Raises:
        AddressInUse, PortDenied, NameUnknown, Unreachable: why nothing can listen there.
        AddressError: no such port number or host name.

    """
    who = f"tcp {place(host or '*', port)}"
    _check_port(port, who)
    try:
        return list(await trio.open_tcp_listeners(port, host=host))
    except (OSError, ValueError) as error:
        raise _explained(error, who) from error


class PeerGate:
    """Counts peers against `PeerLimits`, over as many listeners as share it.

    Attributes:
        turned_away: connections closed at once because their host had its share.
        starved: times that the system had no descriptor or memory left for a new connection.

    """

    def __init__(self, limits: PeerLimits = DEFAULT_LIMITS) -> None:
        if limits.peers < 1 or (limits.per_host is not None and limits.per_host < 1):
            raise AddressError("nobody could connect", who="tcp", expected="limits of at least 1 peer", got=limits)
        self.turned_away = 0
        self.starved = 0
        self._limits = limits
        self._slots = trio.Semaphore(min(limits.peers, _room_for(limits.peers)))
        self._hosts: Counter[str] = Counter()

    async def serve(self, listener: trio.SocketListener, handler: Handler) -> NoReturn:
        """Accept for ever and run `handler` for each peer; closes listener and streams.

        The handler deals with its own errors: one that escapes ends the serving, as in `trio.serve_listeners`.
        """
        async with listener, trio.open_nursery() as nursery:
            while True:
                await self._slots.acquire()
                nursery.start_soon(self._attend, await self._accept(listener), handler)
        raise AssertionError("an accept loop ends by cancellation only")  # pragma: no cover

    async def _accept(self, listener: trio.SocketListener) -> trio.SocketStream:
        while True:
            try:
                return await listener.accept()
            except OSError as error:
                if error.errno not in _STARVED:
                    raise
                self.starved += 1
                await trio.sleep(_STARVED_PAUSE)

    async def _attend(self, stream: trio.SocketStream, handler: Handler) -> None:
        host = _host(stream)
        self._hosts[host] += 1
        try:
            if self._limits.per_host is not None and self._hosts[host] > self._limits.per_host:
                self.turned_away += 1
            else:
                await handler(stream)
        finally:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
            self._slots.release()
            await trio.aclose_forcefully(stream)


def _room_for(peers: int) -> int:
    """How many of `peers` may connect and leave descriptors for the rest; asks the system for more if need be."""
    if sys.platform == "win32":  # no such limit there
        return peers
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < peers + RESERVE:
        wanted = peers + RESERVE if hard == resource.RLIM_INFINITY else min(peers + RESERVE, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return peers if soft == resource.RLIM_INFINITY else max(1, min(peers, soft - RESERVE))


def place(host: str, port: int) -> str:
    """Host and port as people write them; IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def end_of(sock: trio.socket.SocketType, *, peer: bool) -> str:
    """Where this socket's own end is, or its peer's; "unknown" for a connection that is gone already."""
    try:
        host, port, *_ = sock.getpeername() if peer else sock.getsockname()
    except OSError:
        return "unknown"
    return place(host, port)


def origin_of(there: str) -> str:
    """Whom to hold responsible for what comes from `there` (as `end_of`): the host, or its IPv6 network of 64 bits."""
    host = there.rpartition(":")[0].strip("[]").partition("%")[0]
    if ":" not in host:
        return host or there
    address = IPv6Address(host)
    return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))


def _host(stream: trio.SocketStream) -> str:
    return end_of(stream.socket, peer=True).rpartition(":")[0]


def _check_port(port: int, who: str) -> None:
    if not 0 <= port <= LAST_PORT:
        raise AddressError("no such port", who=who, expected=f"0 to {LAST_PORT}", got=port)


def _explained(error: OSError | ValueError, who: str) -> TransportError:
    if isinstance(error, ValueError):
        return AddressError("not a host name", who=who, got=error)
    if isinstance(error, socket.gaierror):
        return NameUnknown("the name does not resolve", who=who, got=error.strerror or error)
    causes = error.__cause__.exceptions if isinstance(error.__cause__, ExceptionGroup) else (error,)
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in _ERRORS:
            kind, summary = _ERRORS[cause.errno]
            return kind(summary, who=who, got=os.strerror(cause.errno))
    return Unreachable("no connection", who=who, got=causes[0])
