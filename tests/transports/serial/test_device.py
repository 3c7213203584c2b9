"""Devices and sockets by path. Pseudo-terminals are character devices; a bridge of sockets is a server here."""

from __future__ import annotations

import errno
import os
import pty
import socket
import tty
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from insitu.transports.errors import (
    AddressError,
    LinkBroken,
    NotADevice,
    PortBusy,
    PortDenied,
    PortNotFound,
    Unsupported,
)
from insitu.transports.faulty import relay
from insitu.transports.links import Link, open_link, serve_links
from insitu.transports.serial import device, infrared
from insitu.transports.serial.device import DevicePort
from insitu.transports.serial.infrared import is_infrared

EVERYTHING = bytes(range(256))


@pytest.fixture
def terminal():
    """A master descriptor and the path of its terminal."""
    master, end = pty.openpty()
    tty.setraw(master)
    yield master, os.ttyname(end)
    os.close(end)
    with suppress(OSError):
        os.close(master)


@pytest.fixture
async def bridge(tmp_path):
    """A UNIX socket whose server joins the first two that connect."""
    path = tmp_path / "bridge"
    with trio.socket.socket(socket.AF_UNIX) as listener:
        await listener.bind(str(path))
        listener.listen()
        async with trio.open_nursery() as nursery:

            async def join() -> None:
                ends = [trio.SocketStream((await listener.accept())[0]) for _ in range(2)]
                await relay(*ends)

            nursery.start_soon(join)
            yield f"device:{path}?baud=115200"
            nursery.cancel_scope.cancel()


async def read_until(stream, size):
    received = b""
    while len(received) < size:
        received += await stream.receive_some()
    return received


async def test_bytes_pass_unchanged_both_ways(terminal):
    master, path = terminal
    async with await DevicePort.open(path) as port, trio.lowlevel.FdStream(os.dup(master)) as other:
        await port.wait_send_all_might_not_block()
        await port.send_all(EVERYTHING)
        assert await read_until(other, 256) == EVERYTHING
        await other.send_all(EVERYTHING)
        assert await read_until(port, 256) == EVERYTHING
    assert not port.attests_wired


async def test_waiting_costs_no_thread_and_can_be_cancelled(terminal):
    _, path = terminal
    async with await DevicePort.open(path) as port:
        with trio.move_on_after(0.02) as scope:
            await port.receive_some()
        assert scope.cancelled_caught


async def test_a_device_that_goes_away(terminal):
    master, path = terminal
    async with await DevicePort.open(path) as port:
        os.close(master)
        assert await port.receive_some() == b""
        with pytest.raises(LinkBroken, match=f"device {path}: the device is gone"):
            await port.send_all(b"anybody?")


async def test_other_failures_to_read_break_the_link(terminal, monkeypatch):
    _, path = terminal

    async def fail(*_: object) -> bytes:
        raise trio.BrokenResourceError from OSError(errno.EFAULT, "bad")

    async with await DevicePort.open(path) as port:
        monkeypatch.setattr(port._stream, "receive_some", fail)
        with pytest.raises(LinkBroken, match="Bad address"):
            await port.receive_some()


async def test_one_program_at_a_time(terminal):
    _, path = terminal
    async with await DevicePort.open(path):
        with pytest.raises(PortBusy, match="another program"):
            await DevicePort.open(path)
    await (await DevicePort.open(path)).aclose()


async def test_what_is_no_device(tmp_path):
    file, pipe, dead = tmp_path / "file", tmp_path / "pipe", tmp_path / "dead"
    file.write_bytes(b"precious")
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    for path, kind, says in (
        (file, NotADevice, "a character device or a UNIX socket"),
        (pipe, NotADevice, "a character device or a UNIX socket"),
        (tmp_path, NotADevice, "a character device or a UNIX socket"),
        ("/dev/null", NotADevice, "always ready"),
        (tmp_path / "none", PortNotFound, "no such device"),
        (file / "none", PortNotFound, "no such device"),
        (dead, PortNotFound, "nobody behind this socket"),
    ):
        with pytest.raises(kind, match=says) as caught:
            await open_link(f"device:{path}")
        assert caught.value.exit_code == 4
    assert file.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EACCES, PortDenied), (errno.ENODEV, PortNotFound), (errno.E2BIG, NotADevice)]
)
async def test_every_refusal_of_the_system_has_its_error(terminal, monkeypatch, number, kind):
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(device, "_opened", refuse)
    with pytest.raises(kind, match=os.strerror(number)):
        await DevicePort.open(terminal[1])


async def test_on_another_system(monkeypatch):
    monkeypatch.setattr(device.os, "name", "nt")
    with pytest.raises(Unsupported, match="POSIX"):
        await DevicePort.open("/dev/i2c-bridge")


@pytest.mark.parametrize("declared", [False, True])
async def test_a_link_through_a_bridge(bridge, declared):
    async def echo(link: Link) -> None:
        with suppress(trio.BrokenResourceError):
            while data := await link.stream.receive_some():
                await link.stream.send_all(data)

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_links, bridge, echo)
        async with await open_link(bridge, declared_wired=declared) as link:
            await link.stream.send_all(EVERYTHING)
            assert await read_until(link.stream, 256) == EVERYTHING
            assert (link.kind, link.attests_wired) == ("device", declared)
        nursery.cancel_scope.cancel()


# Infrared ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["device:/dev/ircomm0", "serial:/dev/ircomm1", "device:/dev/lirc0", "serial:/dev/irnet"]
)
async def test_infrared_cannot_be_declared_wired(address):
    for attempt in (open_link, lambda where, **options: serve_links(where, print, **options)):
        with pytest.raises(AddressError, match="infrared is never a wired local port"):
            await attempt(address, declared_wired=True)


def test_infrared_under_another_name(tmp_path, monkeypatch, terminal):
    alias = tmp_path / "ttyS0"
    alias.symlink_to("/dev/ircomm0")
    assert is_infrared(str(alias))
    loop = tmp_path / "ircomm2"
    loop.symlink_to(loop)
    assert is_infrared(str(loop))
    assert not is_infrared(terminal[1])
    assert not is_infrared("/dev/ttyS0")
    monkeypatch.setattr(infrared, "_LINUX_MAJOR", os.major(Path(terminal[1]).stat().st_rdev))
    assert is_infrared(terminal[1]), "by its number"
