"""RFCOMM links. This system may have no Bluetooth: at the socket border stands an adapter made of UNIX sockets."""

from __future__ import annotations

import errno
import os
import socket

import pytest
import trio
from trio.testing import check_two_way_stream

from insitu.transports import bluetooth
from insitu.transports.errors import (
    AddressError,
    AddressInUse,
    ConnectionRefused,
    LinkBroken,
    PortDenied,
    Unreachable,
    Unsupported,
)
from insitu.transports.links import Address, Link, open_link, serve_links

DEVICE = "AA:BB:CC:DD:EE:FF"


@pytest.fixture
def air(tmp_path, monkeypatch):
    """All devices within reach: a directory with a socket for each channel of each device."""

    class Radio(socket.socket):
        """Takes the addresses of RFCOMM."""

        def connect(self, address):
            device, channel = address
            path = tmp_path / f"{device}-{channel}".replace(":", "")
            if not path.exists():
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            super().connect(str(path))

        def bind(self, address):
            device, channel = address
            device = DEVICE if device == "00:00:00:00:00:00" else device
            super().bind(str(tmp_path / f"{device}-{channel}".replace(":", "")))

    monkeypatch.setattr(bluetooth, "rfcomm_socket", lambda: Radio(socket.AF_UNIX, socket.SOCK_STREAM))
    return tmp_path


async def echo(link: Link) -> None:
    while data := await link.stream.receive_some():
        await link.stream.send_all(data)


async def test_links_by_address(air):
    async with trio.open_nursery() as nursery:
        for channel in ("*/1", f"{DEVICE}/2?pairing=numeric-comparison"):
            assert await nursery.start(serve_links, f"bluetooth:{channel}", echo)
        for address, declared in (
            (f"bluetooth:{DEVICE}/1", False),
            (f"bluetooth:{DEVICE.lower()}/2?pairing=numeric-comparison", True),
        ):
            async with await open_link(address) as link:
                await link.stream.wait_send_all_might_not_block()
                await link.stream.send_all(b"hello")
                assert await link.stream.receive_some() == b"hello"
                assert (link.kind, link.attests_wired, link.numeric_comparison) == ("bluetooth", False, declared)
                assert ("numeric comparison" in link.description) is declared
                assert DEVICE in link.description
        nursery.cancel_scope.cancel()


async def test_what_the_service_is_told_of_the_pairing(air):
    seen = []

    async def note(link: Link) -> None:
        seen.append(link.numeric_comparison)

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_links, "bluetooth:*/3?pairing=numeric-comparison", note)
        async with await open_link(f"bluetooth:{DEVICE}/3") as link:
            assert await link.stream.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert seen == [True]


async def test_is_a_stream(air):
    async def make():
        async with bluetooth.listening("*", 5) as listener:
            caller = await bluetooth.connect(DEVICE, 5, timeout=1)
            accepted = await listener.accept()
        for path in air.iterdir():
            path.unlink()
        return caller, accepted

    await check_two_way_stream(make, None)


async def test_it_cannot_be_declared_wired(air):
    with pytest.raises(AddressError, match="Bluetooth is never a wired local port"):
        await open_link(f"bluetooth:{DEVICE}/1", declared_wired=True)


async def test_nobody_at_the_channel_and_a_channel_that_is_taken(air):
    with pytest.raises(ConnectionRefused, match=f"bluetooth {DEVICE}/9: nobody listens"):
        await open_link(f"bluetooth:{DEVICE}/9")
    async with bluetooth.listening("*", 9):
        with pytest.raises(AddressInUse):
            await serve_links("bluetooth:*/9", echo)


async def test_a_system_without_bluetooth(monkeypatch):
    monkeypatch.delattr(socket, "AF_BLUETOOTH", raising=False)
    for attempt in (open_link(f"bluetooth:{DEVICE}/1"), serve_links("bluetooth:*/1", echo)):
        with pytest.raises(Unsupported, match="built without Bluetooth") as caught:
            await attempt
        assert caught.value.who.startswith("bluetooth ")
        assert caught.value.exit_code == 4


async def test_a_system_that_knows_the_sockets_and_has_no_adapter(monkeypatch):
    monkeypatch.setattr(socket, "AF_BLUETOOTH", 31, raising=False)
    monkeypatch.setattr(socket, "BTPROTO_RFCOMM", 3, raising=False)

    def none(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(bluetooth.socket, "socket", none)
    with pytest.raises(Unsupported, match="this system has no Bluetooth"):
        await bluetooth.connect(DEVICE, 1, timeout=1)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, PortDenied),
        (errno.EHOSTDOWN, Unreachable),
        (errno.ENODEV, Unsupported),
        (errno.ECONNREFUSED, ConnectionRefused),
        (errno.EINVAL, Unreachable),
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_every_refusal_has_its_error(monkeypatch, number, kind, late):
    class Refusing(socket.socket):
        def connect(self, _address):
            raise BlockingIOError if late else OSError(number, os.strerror(number))

        def getsockopt(self, *_):
            return number

    ours, theirs = socket.socketpair()
    monkeypatch.setattr(bluetooth, "rfcomm_socket", lambda: Refusing(fileno=ours.detach()))
    with theirs, pytest.raises(kind, match=os.strerror(number)):
        await bluetooth.connect(DEVICE, 1, timeout=1)


async def test_a_device_that_does_not_answer(monkeypatch, autojump_clock):
    class Silent(socket.socket):
        def connect(self, _address):
            raise BlockingIOError

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    while True:  # never writable
        try:
            ours.send(bytes(65_536))
        except BlockingIOError:
            break
    monkeypatch.setattr(bluetooth, "rfcomm_socket", lambda: Silent(fileno=ours.detach()))
    with theirs, pytest.raises(Unreachable, match="within 4 s"):
        await bluetooth.connect(DEVICE, 1, timeout=4)


async def test_devices_that_lose_each_other():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    async with bluetooth.BluetoothStream(ours, "bluetooth here") as stream:
        theirs.send(b"last")
        await stream.send_all(b"unread")
        theirs.close()
        with pytest.raises(LinkBroken, match="bluetooth here: the connection is lost"):
            await stream.send_all(b"anybody?")


async def test_devices_that_lose_each_other_while_one_listens(monkeypatch):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def lose(*_: object) -> bytes:
        raise trio.BrokenResourceError from OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    async with bluetooth.BluetoothStream(ours, "bluetooth here") as stream:
        monkeypatch.setattr(stream._stream, "receive_some", lose)
        with theirs, pytest.raises(LinkBroken, match="bluetooth here: the connection is lost"):
            await stream.receive_some()


async def test_an_adapter_that_is_pulled_out(air, monkeypatch):
    async with bluetooth.listening("*", 4) as listener:

        def gone() -> None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

        async with await bluetooth.connect(DEVICE, 4, timeout=1):
            monkeypatch.setattr(listener._sock, "accept", gone, raising=False)
            with pytest.raises(LinkBroken, match="nobody can call any more"):
                await listener.accept()


def test_the_declaration_stands_in_the_address():
    address = Address.parse(f"bluetooth:{DEVICE}/7?pairing=numeric-comparison")
    assert address.numeric_comparison
    assert str(address).endswith("/7?pairing=numeric-comparison")
