"""Links by address: one line of text opens or awaits a stream over any transport.

    tcp:HOST:PORT            tcp:[::1]:4711, tcp:*:4711 (to listen at every address of this machine)
    serial:PATH[?baud=9600]  serial:/dev/ttyUSB0?baud=115200
    memory:[NAME]            within one program (one trio run)

Nothing here knows what crosses a link, except for one thing that policy above needs: whether the transport itself
attests that the two ends are joined by a wire on this spot (REQUIREMENTS A1, SECURITY: physical trust).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import trio

from . import tcp
from .errors import AddressError, AddressInUse, ConnectionRefused, LinkBroken
from .memory import DEFAULT_CAPACITY, MemoryStream, memory_pair
from .serial.arq import Timing
from .serial.link import SerialLink, SerialListener
from .serial.port import DEFAULT_BAUD, SerialPort
from .tcp import DEFAULT_LIMITS, PeerGate, PeerLimits

Kind: TypeAlias = Literal["memory", "tcp", "serial"]
Handler: TypeAlias = Callable[["Link"], Awaitable[None]]

_FORMS: Final = "tcp:HOST:PORT, serial:PATH[?baud=N] or memory:[NAME]"


@dataclass(frozen=True, slots=True)
class Address:
    """A link address, taken apart.

    Attributes:
        kind: the transport.
        place: host, device path or name.
        port: of TCP; 0 otherwise.
        baud: of serial lines; 0 otherwise.

    """

    kind: Kind
    place: str
    port: int = 0
    baud: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises:
            AddressError: not one of the forms above.

        """
        kind, colon, rest = text.partition(":")
        if colon and kind == "tcp":
            return _parse_tcp(text, rest)
        if colon and kind == "serial":
            return _parse_serial(text, rest)
        if colon and kind == "memory":
            return cls("memory", rest)
        raise AddressError("not a link address", who="link", expected=_FORMS, got=repr(text))

    def __str__(self) -> str:
        """The address as text; parses to an equal one."""
        if self.kind == "tcp":
            return f"tcp:{tcp.place(self.place, self.port)}"
        if self.kind == "serial":
            return f"serial:{self.place}?baud={self.baud}"
        return f"memory:{self.place}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Link(trio.abc.AsyncResource):
    """An open link. Closing it closes its stream.

    Attributes:
        kind: the transport.
        description: the link for people: address, and who is at the other end where that shows.
        attests_wired: the physical trust option may be used: the transport object attests a wired local port, or it
            is a serial port that the operator declared to be one. Memory attests itself; a network never does.
        stream: reliable bytes in order; over a serial line that is the SerialLink, not the bare port.

    """

    kind: Kind
    description: str
    attests_wired: bool
    stream: trio.abc.HalfCloseableStream

    def __repr__(self) -> str:
        """Kind, description and attestation."""
        wired = ", attests wired" if self.attests_wired else ""
        return f"<Link {self.kind}: {self.description}{wired}>"

    async def aclose(self) -> None:
        """Close the stream."""
        await self.stream.aclose()


async def open_link(
    address: str | Address,
    *,
    declared_wired: bool = False,
    timeout: float = tcp.CONNECT_TIMEOUT,
) -> Link:
    """Connect to the peer at `address`; on a serial line this wakes the other end.

    Args:
        address: as text or taken apart.
        declared_wired: the operator declares that this serial line is a wire on the spot, where the port itself does
            not attest it (a pseudo-terminal, an unusual adapter).
        timeout: seconds until a peer that does not answer is given up.

    Raises:
        AddressError: no such address, or a declaration that cannot be true.
        LinkError: why there is no link; its subclasses say more.

    """
    where = _checked(address, declared_wired)
    if where.kind == "tcp":
        return _tcp_link(await tcp.connect(where.place, where.port, timeout=timeout))
    if where.kind == "memory":
        return _memory_link(where, await _dial(where))
    port = SerialPort.open(where.place, baud=where.baud)
    link = await SerialLink.call(port, timing=Timing(where.baud), timeout=timeout)
    return _serial_link(where, link, port, declared_wired)


async def serve_links(
    address: str | Address,
    handler: Handler,
    *,
    declared_wired: bool = False,
    limits: PeerLimits = DEFAULT_LIMITS,
    task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Wait for peers at `address` and run `handler(link)` for each; until cancelled, or the serial line is lost.

    On a serial line one session follows another on the open port; a new call breaks the session before it. Links that
    the handler leaves open are closed. The handler deals with its own errors: one that escapes ends the serving.

    Args:
        address: as text or taken apart.
        handler: called with each Link, in a task of its own.
        declared_wired: as in `open_link`.
        limits: of TCP peers at once.
        task_status: `nursery.start` answers the addresses listened at, with the port chosen for port 0.

    Raises:
        AddressError: no such address, or a declaration that cannot be true.
        LinkError: why nobody can be awaited there, or LinkBroken: the serial line was lost.

    """
    where = _checked(address, declared_wired)
    if where.kind == "tcp":
        await _serve_tcp(where, handler, limits, task_status)
    elif where.kind == "memory":
        await _serve_memory(where, handler, task_status)
    else:
        await _serve_serial(where, handler, declared_wired, task_status)


# TCP.


async def _serve_tcp(
    where: Address, handler: Handler, limits: PeerLimits, task_status: trio.TaskStatus[list[Address]]
) -> None:
    async def attend(stream: trio.SocketStream) -> None:
        async with _tcp_link(stream) as link:
            await handler(link)

    gate = PeerGate(limits)
    listeners = await tcp.listen(None if where.place == "*" else where.place, where.port)
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(gate.serve, listener, attend)
        task_status.started([Address.parse(f"tcp:{tcp.end_of(each.socket, peer=False)}") for each in listeners])


def _tcp_link(stream: trio.SocketStream) -> Link:
    here, there = (tcp.end_of(stream.socket, peer=peer) for peer in (False, True))
    return Link("tcp", f"tcp {there} (here {here})", attests_wired=False, stream=stream)


# Serial.


async def _serve_serial(
    where: Address, handler: Handler, declared_wired: bool, task_status: trio.TaskStatus[list[Address]]
) -> None:
    async def attend(stream: SerialLink) -> None:
        async with _serial_link(where, stream, port, declared_wired) as link:
            await handler(link)

    port = SerialPort.open(where.place, baud=where.baud)
    async with SerialListener(port, timing=Timing(where.baud)) as listener:
        async with trio.open_nursery() as nursery:
            task_status.started([where])
            while (stream := await _next_session(listener)) is not None:
                nursery.start_soon(attend, stream)
        # the line is lost and every handler has ended over it; this says so, not wrapped in a group
        await listener.accept()


async def _next_session(listener: SerialListener) -> SerialLink | None:
    try:
        return await listener.accept()
    except LinkBroken:
        return None


def _serial_link(where: Address, stream: SerialLink, port: SerialPort, declared_wired: bool) -> Link:
    attested = port.attests_wired
    note = "" if attested else ", declared wired" if declared_wired else ", not attested as wired"
    text = f"serial {where.place} at {where.baud} baud{note}"
    return Link("serial", text, attests_wired=attested or declared_wired, stream=stream)


# Memory.

_Booths: TypeAlias = "dict[str, trio.MemorySendChannel[MemoryStream]]"
_booths: trio.lowlevel.RunVar[_Booths] = trio.lowlevel.RunVar("insitu memory links")


def _listening() -> _Booths:
    try:
        return _booths.get()
    except LookupError:
        _booths.set({})
        return _booths.get()


async def _dial(where: Address) -> MemoryStream:
    booth = _listening().get(where.place)
    if booth is None:
        raise ConnectionRefused("nobody listens there", who=str(where))
    here, there = memory_pair(DEFAULT_CAPACITY)
    try:
        await booth.send(there)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise ConnectionRefused("nobody listens there any more", who=str(where)) from None
    return here


async def _serve_memory(where: Address, handler: Handler, task_status: trio.TaskStatus[list[Address]]) -> None:
    async def attend(stream: MemoryStream) -> None:
        async with _memory_link(where, stream) as link:
            await handler(link)

    listening = _listening()
    if where.place in listening:
        raise AddressInUse("somebody listens there already", who=str(where))
    listening[where.place], calls = trio.open_memory_channel[MemoryStream](0)
    try:
        async with calls, trio.open_nursery() as nursery:
            task_status.started([where])
            async for stream in calls:
                nursery.start_soon(attend, stream)
    finally:
        del listening[where.place]


def _memory_link(where: Address, stream: MemoryStream) -> Link:
    return Link("memory", str(where), attests_wired=True, stream=stream)


# Addresses.


def _checked(address: str | Address, declared_wired: bool) -> Address:
    where = Address.parse(address) if isinstance(address, str) else address
    if declared_wired and where.kind == "tcp":
        raise AddressError(
            "a network is never a wired local port", who=str(where), expected="a serial line", got="declared wired"
        )
    return where


def _parse_tcp(text: str, rest: str) -> Address:
    host, _, digits = rest.rpartition(":")
    port = _number(digits)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or port is None or port > tcp.LAST_PORT:
        expected = f"tcp:HOST:PORT with a port of 0 to {tcp.LAST_PORT}, IPv6 addresses in brackets"
        raise AddressError("not a TCP address", who="link", expected=expected, got=repr(text))
    return Address("tcp", host, port=port)


def _parse_serial(text: str, rest: str) -> Address:
    path, mark, query = rest.partition("?")
    name, _, value = query.partition("=") if mark else ("baud", "=", str(DEFAULT_BAUD))
    baud = _number(value) if name == "baud" else 0
    if not path or not baud:
        expected = "serial:PATH or serial:PATH?baud=N with N above 0"
        raise AddressError("not a serial address", who="link", expected=expected, got=repr(text))
    return Address("serial", path, baud=baud)


def _number(text: str) -> int | None:
    """A decimal number of at most nine digits; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
