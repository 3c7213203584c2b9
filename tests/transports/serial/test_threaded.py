"""Ports that pyserial reads in threads: by URL, against real sockets. No clock jumps over a thread."""

from __future__ import annotations

import errno
import socket
import threading
import time
from contextlib import suppress

import pytest
import serial
import trio
from serial.rfc2217 import PortManager

from insitu.transports import links, tcp
from insitu.transports.errors import (
    AddressError,
    ConnectionRefused,
    LinkBroken,
    NameUnknown,
    NotASerialPort,
    PortDenied,
    PortNotFound,
    Unreachable,
    Unsupported,
)
from insitu.transports.faulty import relay
from insitu.transports.links import Link, open_link, serve_links
from insitu.transports.serial import threaded
from insitu.transports.serial.threaded import ThreadedPort

HERE = "127.0.0.1"
EVERYTHING = bytes(range(256))


async def read_until(stream, size):
    received = b""
    while len(received) < size:
        received += await stream.receive_some()
    return received


@pytest.fixture
async def far_end():
    """A URL, and the stream behind it."""
    (listener,) = await tcp.listen(HERE, 0)
    port = await ThreadedPort.open(f"socket://{HERE}:{listener.socket.getsockname()[1]}", baud=115_200)
    async with listener, await listener.accept() as stream, port:
        yield port, stream


async def test_bytes_pass_unchanged_both_ways(far_end):
    port, stream = far_end
    await port.wait_send_all_might_not_block()
    await port.send_all(EVERYTHING)
    assert await read_until(stream, 256) == EVERYTHING
    await stream.send_all(EVERYTHING)
    assert await read_until(port, 256) == EVERYTHING
    await stream.send_all(b"abc")
    assert await port.receive_some(1) == b"a"
    assert await read_until(port, 2) == b"bc"
    assert not port.attests_wired


async def test_a_loop():
    async with await ThreadedPort.open("loop://", baud=115_200) as port:
        await port.send_all(EVERYTHING)
        assert await read_until(port, 256) == EVERYTHING


async def test_a_cancelled_receive_loses_nothing(far_end):
    port, stream = far_end
    received = b""
    async with trio.open_nursery() as nursery:

        async def trickle() -> None:
            for byte in EVERYTHING:
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.0005)

        nursery.start_soon(trickle)
        while len(received) < 256:
            with trio.move_on_after(0.001):
                received += await port.receive_some()
    assert received == EVERYTHING


async def test_the_end_of_the_other_side(far_end):
    port, stream = far_end
    await stream.send_all(b"last words")
    await stream.aclose()
    assert await read_until(port, 10) == b"last words"
    assert await port.receive_some() == b""
    with pytest.raises(LinkBroken, match="takes nothing"):
        await port.send_all(bytes(1_000))


async def test_closed_here_while_it_reads(far_end):
    port, _ = far_end
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await port.receive_some()

        nursery.start_soon(read)
        await trio.sleep(0.01)
        await port.aclose()
    await port.aclose()
    for attempt in (port.receive_some(), port.send_all(b"x"), port.wait_send_all_might_not_block()):
        with pytest.raises(trio.ClosedResourceError):
            await attempt


async def test_one_task_at_a_time(far_end):
    port, stream = far_end
    async with trio.open_nursery() as nursery:
        nursery.start_soon(port.receive_some)
        await trio.sleep(0.01)
        with pytest.raises(trio.BusyResourceError):
            await port.receive_some()
        await stream.send_all(b"x")


async def test_closing_wakes_a_port_that_can_be_woken(monkeypatch):
    """COM ports wait in the system; `cancel_read` ends that."""
    monkeypatch.setattr(threaded, "POLL", 5.0)
    port = await ThreadedPort.open("loop://", baud=115_200)
    begun = time.monotonic()
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await port.receive_some()

        nursery.start_soon(read)
        while not port._reading.locked():
            await trio.sleep(0.001)
        await port.aclose()
    assert time.monotonic() - begun < 4


async def test_a_cancelled_close_closes_and_no_thread_stays_in_the_port():
    (listener,) = await tcp.listen(HERE, 0)
    async with listener:
        port = await ThreadedPort.open(f"socket://{HERE}:{listener.socket.getsockname()[1]}", baud=115_200)
        with trio.move_on_after(0.01):
            await port.receive_some()
        await trio.aclose_forcefully(port)
        assert not port._serial.is_open
        assert not port._reading.locked()
        assert port._limiter.borrowed_tokens == 0
        async with await listener.accept() as stream:
            assert await stream.receive_some() == b""


class Server(threading.Thread):
    """A serial port of another machine, by RFC 2217, with a plug that connects its two wires."""

    def __init__(self) -> None:
        super().__init__()
        self._listener = socket.create_server((HERE, 0))
        self.port = self._listener.getsockname()[1]
        self.baud = 0

    def run(self) -> None:
        connection, _ = self._listener.accept()
        with connection, serial.serial_for_url("loop://", timeout=0) as line:
            self._connection = connection
            manager = PortManager(line, self)
            with suppress(OSError):
                while data := connection.recv(1024):
                    line.write(b"".join(manager.filter(data)))
                    self.write(b"".join(manager.escape(line.read(line.in_waiting))))
                    self.baud = line.baudrate
        self._listener.close()

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:serial")  # its thread is made in the old way
async def test_a_port_by_rfc_2217():
    server = Server()
    server.start()
    before = set(threading.enumerate())
    async with await ThreadedPort.open(f"rfc2217://{HERE}:{server.port}", baud=19_200) as port:
        await port.send_all(EVERYTHING)
        assert await read_until(port, 256) == EVERYTHING
        assert server.baud == 19_200
    await trio.to_thread.run_sync(server.join)
    assert [each.name for each in set(threading.enumerate()) - before if "pySerial" in each.name] == []


# Links -------------------------------------------------------------------------------------------------------


async def echo(link: Link) -> None:
    with suppress(trio.BrokenResourceError):
        while data := await link.stream.receive_some():
            await link.stream.send_all(data)


async def test_a_link_between_two_urls():
    """As with two serial device servers: a session over the link layer, none of it attested as a wire."""
    (listener,) = await tcp.listen(HERE, 0)
    url = f"serial:socket://{HERE}:{listener.socket.getsockname()[1]}?baud=115200"
    async with listener, trio.open_nursery() as nursery:

        async def join() -> None:
            await relay(await listener.accept(), await listener.accept())

        nursery.start_soon(join)
        assert [str(where) for where in await nursery.start(serve_links, url, echo)] == [url]
        async with await open_link(url) as link:
            await link.stream.send_all(EVERYTHING * 4)
            assert await read_until(link.stream, 1024) == EVERYTHING * 4
            assert (link.kind, link.attests_wired) == ("serial", False)
            assert "not attested" in link.description
            nursery.cancel_scope.cancel()  # before this end leaves: then the line is hung up, and the other end says so


@pytest.mark.parametrize("url", ["serial:socket://127.0.0.1:1", "serial:rfc2217://127.0.0.1:1"])
async def test_a_network_port_cannot_be_declared_wired(url):
    with pytest.raises(AddressError, match="a network is never a wired local port"):
        await open_link(url, declared_wired=True)


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
async def test_nobody_there(scheme):
    with socket.create_server((HERE, 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefused, match=f"serial {scheme}://{HERE}:{port}: nobody listens"):
        await open_link(f"serial:{scheme}://{HERE}:{port}")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), NameUnknown),
        (TimeoutError("timed out"), Unreachable),
        (OSError(errno.ENETUNREACH, "no network"), Unreachable),
    ],
)
async def test_what_keeps_a_url_from_opening(monkeypatch, error, kind):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(kind):
        await ThreadedPort.open("socket://nowhere.example:1", baud=9600)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(errno.ENOENT, "no"), PortNotFound),
        (PermissionError(errno.EACCES, "no"), PortDenied),
        (ValueError("not a valid baudrate"), NotASerialPort),
    ],
)
async def test_what_keeps_a_com_port_from_opening(monkeypatch, error, kind):
    """On Windows every port goes this way."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(serial, "serial_for_url", fail)
    monkeypatch.setattr(links.os, "name", "nt")
    with pytest.raises(kind, match="serial COM3"):
        await open_link("serial:COM3")


async def test_without_pyserial(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "serial", None)
    with pytest.raises(Unsupported, match="extra 'serial'"):
        await ThreadedPort.open("loop://", baud=9600)
