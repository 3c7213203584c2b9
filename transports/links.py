"""Links by address: one line of text (addresses.py) opens or awaits a stream over any transport.

Nothing here knows what crosses a link, except for one thing that policy above needs: whether the transport itself
attests that the two ends are joined by a wire on this spot (REQUIREMENTS A1, SECURITY: physical trust).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import trio

from . import bluetooth, tcp, tls
from .addresses import Address, Kind
from .bluetooth import BluetoothStream
from .errors import AddressError, AddressInUse, ConnectionRefused, LinkBroken, TransportError
from .memory import DEFAULT_CAPACITY, memory_pair
from .serial.arq import Timing
from .serial.device import DevicePort
from .serial.link import SerialLink, SerialListener
from .serial.port import SerialPort
from .serial.threaded import ThreadedPort
from .tcp import DEFAULT_LIMITS, PeerGate, PeerLimits
from .tls import TlsOptions, TlsStream

__all__ = ["Address", "Handler", "Kind", "Link", "lay_memory_lines", "open_link", "open_port", "serve_links"]

Handler: TypeAlias = Callable[["Link"], Awaitable[None]]

_Port: TypeAlias = "SerialPort | ThreadedPort | DevicePort"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Link(trio.abc.AsyncResource):
    """An open link. Closing it closes its stream.

    Attributes:
        kind: the transport.
        description: the link for people: address, and who is at the other end where that shows.
        attests_wired: the physical trust option may be used: the transport object attests a wired local port, or it
            is a serial port that the operator declared to be one. Memory attests itself; a network never does.
        stream: reliable bytes in order; over a serial line or device that is the SerialLink, not the bare port. It can
            be closed by halves (trio.abc.HalfCloseableStream) except over TLS and Bluetooth.
        numeric_comparison: a Bluetooth link whose devices the operator declares paired by numeric comparison.
        origin: where the other end is, as far as one who means ill cannot change it at will, for limits by link: the
            host or its IPv6 network of 64 bits, the other device, the port here.
        certificate: of the peer, over TLS, which proved that it has the key; DER. Empty over other transports.

    """

    kind: Kind
    description: str
    attests_wired: bool
    stream: trio.abc.Stream
    numeric_comparison: bool = False
    origin: str = ""
    certificate: bytes = b""

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
    if where.tls is not None:
        return _tls_link(await tls.connect(where.place, where.port, where.tls, timeout=timeout))
    if where.kind == "bluetooth":
        return _bluetooth_link(where, await bluetooth.connect(where.place, where.port, timeout=timeout))
    port = await open_port(where)
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
    the handler leaves open are closed. The handler deals with its own errors: one that escapes ends the serving. A peer
    that does not prove itself to TLS is dropped; the handler does not hear of it.

    Args:
        address: as text or taken apart.
        handler: called with each Link, in a task of its own.
        declared_wired: as in `open_link`.
        limits: of peers at once, over TCP, TLS and Bluetooth.
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
    elif where.tls is not None:
        await _serve_tls(where, where.tls, handler, limits, task_status)
    elif where.kind == "bluetooth":
        await _serve_bluetooth(where, handler, limits, task_status)
    else:
        await _serve_serial(where, handler, declared_wired, task_status)


# TCP and TLS.


async def _serve_tcp(
    where: Address, handler: Handler, limits: PeerLimits, task_status: trio.TaskStatus[list[Address]]
) -> None:
    def attend(stream: trio.SocketStream) -> Awaitable[None]:  # the gate closes the stream
        return handler(_tcp_link(stream))

    await _serve_sockets(where, attend, limits, task_status)


async def _serve_sockets(
    where: Address, attend: tcp.Handler, limits: PeerLimits, task_status: trio.TaskStatus[list[Address]]
) -> None:
    gate = PeerGate(limits)
    listeners = await tcp.listen(None if where.place == "*" else where.place, where.port)
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(gate.serve, listener, attend)
        places = [Address.parse(f"tcp:{tcp.end_of(each.socket, peer=False)}") for each in listeners]
        task_status.started([replace(where, place=each.place, port=each.port) for each in places])


async def _serve_tls(
    where: Address,
    options: TlsOptions,
    handler: Handler,
    limits: PeerLimits,
    task_status: trio.TaskStatus[list[Address]],
) -> None:
    context = tls.check(options, serves=True)

    async def attend(stream: trio.SocketStream) -> None:
        try:
            heeded = tls.check(options, serves=True) if options.crl else context  # the list may be a newer one now
            secured = await tls.answer(stream, heeded, options)
        except TransportError:  # nobody yet, as far as the handler is concerned
            return
        async with _tls_link(secured) as link:
            await handler(link)

    await _serve_sockets(where, attend, limits, task_status)


def _tls_link(stream: TlsStream) -> Link:
    here, there = (tcp.end_of(stream.socket, peer=peer) for peer in (False, True))
    text = f"tls {there} (here {here})"
    origin, certificate = tcp.origin_of(there), stream.certificate
    return Link("tls", text, attests_wired=False, stream=stream, origin=origin, certificate=certificate)


def _tcp_link(stream: trio.SocketStream) -> Link:
    here, there = (tcp.end_of(stream.socket, peer=peer) for peer in (False, True))
    return Link("tcp", f"tcp {there} (here {here})", attests_wired=False, stream=stream, origin=tcp.origin_of(there))


# Bluetooth.


async def _serve_bluetooth(
    where: Address, handler: Handler, limits: PeerLimits, task_status: trio.TaskStatus[list[Address]]
) -> None:
    slots = trio.Semaphore(limits.peers)

    async def attend(stream: BluetoothStream) -> None:
        try:
            async with _bluetooth_link(where, stream) as link:
                await handler(link)
        finally:
            slots.release()

    async with bluetooth.listening(where.place, where.port) as listener, trio.open_nursery() as nursery:
        task_status.started([where])
        while True:
            await slots.acquire()
            nursery.start_soon(attend, await listener.accept())


def _bluetooth_link(where: Address, stream: BluetoothStream) -> Link:
    note = "paired by numeric comparison, as declared" if where.numeric_comparison else "pairing not declared"
    text = f"bluetooth {where.place}/{where.port}, {note}"
    declared = where.numeric_comparison
    return Link("bluetooth", text, attests_wired=False, stream=stream, numeric_comparison=declared, origin=stream.peer)


# Serial lines and devices.


async def open_port(where: Address) -> _Port:
    """The bare bytes of a serial port or device, without the link layer: for what does not speak it, a keypad.

    Raises:
        LinkError: as the port's `open`.

    """
    if where.kind == "device":
        return await DevicePort.open(where.place)
    if where.is_url or os.name != "posix":
        return await ThreadedPort.open(where.place, baud=where.baud)
    return SerialPort.open(where.place, baud=where.baud)


async def _serve_serial(
    where: Address, handler: Handler, declared_wired: bool, task_status: trio.TaskStatus[list[Address]]
) -> None:
    async def attend(stream: SerialLink) -> None:
        async with _serial_link(where, stream, port, declared_wired) as link:
            await handler(link)

    port = await open_port(where)
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


def _serial_link(where: Address, stream: SerialLink, port: _Port, declared_wired: bool) -> Link:
    attested = port.attests_wired
    note = "" if attested else ", declared wired" if declared_wired else ", not attested as wired"
    text = f"{where.kind} {where.place} at {where.baud} baud{note}"
    return Link(where.kind, text, attests_wired=attested or declared_wired, stream=stream, origin=where.place)


# Memory.

Lay: TypeAlias = "Callable[[Address], Awaitable[tuple[trio.abc.Stream, trio.abc.Stream]]]"
Resolve: TypeAlias = "Callable[[Address], Address]"
_Booths: TypeAlias = "dict[str, trio.MemorySendChannel[trio.abc.Stream]]"
_booths: trio.lowlevel.RunVar[_Booths] = trio.lowlevel.RunVar("insitu memory links")


async def _lay(_: Address) -> tuple[trio.abc.Stream, trio.abc.Stream]:
    return memory_pair(DEFAULT_CAPACITY)


_lines: trio.lowlevel.RunVar[Lay] = trio.lowlevel.RunVar("insitu memory lines", _lay)
_names: trio.lowlevel.RunVar[Resolve] = trio.lowlevel.RunVar("insitu memory names", lambda where: where)


def lay_memory_lines(lay: Lay, resolve: Resolve) -> None:
    """From now on, in this run of trio, memory links go over lines of somebody else's: those of a simulated network.

    Args:
        lay: makes a line to an address, from whichever task dials: the end here and the end there. It may raise a
            LinkError.
        resolve: where an address leads to now: one that stands for several hosts leads to any of them.

    """
    _lines.set(lay)
    _names.set(resolve)


def _listening() -> _Booths:
    try:
        return _booths.get()
    except LookupError:
        _booths.set({})
        return _booths.get()


async def _dial(address: Address) -> trio.abc.Stream:
    where = _names.get()(address)
    booth = _listening().get(where.place)
    if booth is None:
        raise ConnectionRefused("nobody listens there", who=str(where))
    here, there = await _lines.get()(where)
    try:
        await booth.send(there)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise ConnectionRefused("nobody listens there any more", who=str(where)) from None
    return here


async def _serve_memory(where: Address, handler: Handler, task_status: trio.TaskStatus[list[Address]]) -> None:
    async def attend(stream: trio.abc.Stream) -> None:
        async with _memory_link(where, stream) as link:
            await handler(link)

    listening = _listening()
    if where.place in listening:
        raise AddressInUse("somebody listens there already", who=str(where))
    listening[where.place], calls = trio.open_memory_channel[trio.abc.Stream](0)
    try:
        async with calls, trio.open_nursery() as nursery:
            task_status.started([where])
            async for stream in calls:
                nursery.start_soon(attend, stream)
    finally:
        del listening[where.place]


def _memory_link(where: Address, stream: trio.abc.Stream) -> Link:
    return Link("memory", str(where), attests_wired=True, stream=stream)


# Addresses.


def _checked(address: str | Address, declared_wired: bool) -> Address:
    where = Address.parse(address) if isinstance(address, str) else address
    if declared_wired and where.never_wired:
        raise AddressError(where.never_wired, who=str(where), expected="a serial line", got="declared wired")
    return where
