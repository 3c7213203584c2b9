"""Serial ports over real pseudo-terminals; what only hardware has is tried on what decides it."""

import errno
import os
import pty
import termios
import tty
from contextlib import suppress

import pytest
import trio

from insitu.transports.errors import (
    AddressError,
    LinkBroken,
    NotASerialPort,
    PortBusy,
    PortDenied,
    PortNotFound,
    Unsupported,
)
from insitu.transports.serial import port as port_module
from insitu.transports.serial.port import SerialPort, is_wired


@pytest.fixture
def terminal():
    """A master descriptor and the path of its terminal."""
    master, device = pty.openpty()
    tty.setraw(device)
    yield master, os.ttyname(device)
    os.close(device)
    with suppress(OSError):
        os.close(master)


async def read_until(stream, size):
    received = b""
    while len(received) < size:
        received += await stream.receive_some()
    return received


async def test_bytes_pass_unchanged_both_ways(terminal):
    master, path = terminal
    everything = bytes(range(256))
    async with SerialPort.open(path) as port:
        await port.send_all(everything)
        other = trio.lowlevel.FdStream(os.dup(master))
        assert await read_until(other, 256) == everything
        await other.send_all(everything)
        assert await read_until(port, 256) == everything
        await other.aclose()
    assert (port.path, port.baud, port.attests_wired) == (path, 9600, False)


async def test_settings_reach_the_terminal(terminal):
    _, path = terminal
    async with SerialPort.open(path, baud=115_200) as port:
        _, _, cflag, _, ispeed, ospeed, _ = termios.tcgetattr(port._serial.fileno())
        assert ispeed == ospeed == termios.B115200
        assert cflag & termios.CSIZE == termios.CS8
        assert not cflag & (termios.PARENB | termios.CSTOPB)


async def test_nothing_there_is_no_end_of_stream(terminal):
    _, path = terminal
    async with SerialPort.open(path) as port:
        with trio.move_on_after(0.02) as scope:
            await port.receive_some()
        assert scope.cancelled_caught


async def test_hang_up_reads_as_the_end_and_breaks_writing(terminal):
    master, path = terminal
    async with SerialPort.open(path) as port:
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                assert await port.receive_some() == b""

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            os.close(master)
        assert await port.receive_some() == b""
        await port.wait_send_all_might_not_block()
        with pytest.raises(LinkBroken, match="hung up") as caught:
            await port.send_all(b"anybody?")
        assert path in str(caught.value)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENXIO, errno.ENODEV])
async def test_what_systems_report_of_a_port_that_is_gone_reads_as_the_end(terminal, monkeypatch, number):
    _, path = terminal

    async def fail(*_: object) -> bytes:
        raise trio.BrokenResourceError from OSError(number, "gone")

    async with SerialPort.open(path) as port:
        monkeypatch.setattr(port._stream, "receive_some", fail)
        assert await port.receive_some() == b""


async def test_other_failures_to_read_break_the_link(terminal, monkeypatch):
    _, path = terminal

    async def fail(*_: object) -> bytes:
        raise trio.BrokenResourceError from OSError(errno.EFAULT, "bad")

    async with SerialPort.open(path) as port:
        monkeypatch.setattr(port._stream, "receive_some", fail)
        with pytest.raises(LinkBroken, match="Bad address"):
            await port.receive_some()


async def test_closed_here(terminal):
    _, path = terminal
    port = SerialPort.open(path)
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await port.receive_some()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await port.aclose()
    await port.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await port.send_all(b"x")


async def test_the_port_is_held_by_one_program_and_free_after_closing(terminal):
    _, path = terminal
    port = SerialPort.open(path)
    with pytest.raises(PortBusy, match="another program"):
        SerialPort.open(path)
    await port.aclose()
    await SerialPort.open(path).aclose()


async def test_closing_waits_for_written_bytes_but_not_for_ever(terminal, autojump_clock, monkeypatch):
    _, path = terminal
    for left, least in (([5, 3, 0], 0.01), ([5] * 1000, 0.5)):
        port = SerialPort.open(path)
        monkeypatch.setattr(type(port._serial), "out_waiting", property(lambda _, left=left: left.pop(0)))
        begun = trio.current_time()
        await port.aclose()
        assert trio.current_time() - begun == pytest.approx(least)
        monkeypatch.undo()


async def test_a_cancelled_close_drops_what_has_not_left_and_closes(terminal, monkeypatch):
    _, path = terminal
    port = SerialPort.open(path)
    flushed = []
    monkeypatch.setattr(termios, "tcflush", lambda _, queue: flushed.append(queue))
    await trio.aclose_forcefully(port)
    assert flushed == [termios.TCOFLUSH]
    monkeypatch.undo()
    await SerialPort.open(path).aclose()


@pytest.mark.parametrize("path", ["/dev/tty-that-does-not-exist", "/dev/null/tty"])
def test_no_such_port(path):
    with pytest.raises(PortNotFound, match="no such port") as caught:
        SerialPort.open(path)
    assert path in str(caught.value)
    assert caught.value.exit_code == 4


def test_what_is_no_serial_port(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"precious")
    for path in (file, tmp_path):
        with pytest.raises(NotASerialPort, match="9600 baud"):
            SerialPort.open(str(path))
    assert file.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, PortDenied),
        (errno.EPERM, PortDenied),
        (errno.EBUSY, PortBusy),
        (errno.ENODEV, PortNotFound),
        (errno.EIO, PortNotFound),
        (errno.E2BIG, NotASerialPort),
    ],
)
def test_every_refusal_of_the_system_has_its_error(monkeypatch, number, kind):
    import serial

    def refuse(*_args: object, **_options: object) -> None:
        raise serial.SerialException(number, "could not open port")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(kind):
        SerialPort.open("/dev/ttyS0")


def test_without_pyserial(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "serial", None)
    with pytest.raises(Unsupported, match="extra 'serial'"):
        SerialPort.open("/dev/ttyS0")


def test_on_another_system(monkeypatch):
    monkeypatch.setattr(port_module.sys, "platform", "win32")
    with pytest.raises(Unsupported, match="POSIX"):
        SerialPort.open("COM3")


@pytest.mark.parametrize("baud", [0, -9600])
def test_no_such_speed(baud):
    with pytest.raises(AddressError, match="no such speed"):
        SerialPort.open("/dev/ttyS0", baud=baud)


@pytest.fixture
def kernel(tmp_path):
    """What Linux lists in /sys, and a way to add to it."""

    class Kernel:
        path = tmp_path / "tty"

        def knows(self, name, major, minor):
            (self.path / name).mkdir(parents=True)
            (self.path / name / "dev").write_text(f"{major}:{minor}\n")

    return Kernel()


@pytest.mark.parametrize(
    ("name", "major", "wired"),
    [
        ("ttyS0", 4, True),
        ("ttyUSB1", 188, True),
        ("ttyACM0", 166, True),
        ("ttyAMA0", 204, True),
        ("rfcomm0", 216, False),
        ("ttyp0", 3, False),
        ("ttyGS0", 240, False),
        ("tnt0", 241, False),
        ("ttyS0x", 4, False),
    ],
)
def test_wired_device_classes(kernel, name, major, wired):
    kernel.knows(name, major, 64)
    assert is_wired(f"/dev/{name}", os.makedev(major, 64), kernel.path) is wired


def test_a_pseudo_terminal_under_a_wired_name_is_not_wired(kernel):
    kernel.knows("ttyS0", 4, 64)
    assert not is_wired("/dev/ttyS0", os.makedev(136, 3), kernel.path)
    assert not is_wired("/dev/ttyS7", os.makedev(4, 71), kernel.path), "unknown to the kernel"


def test_a_link_counts_as_what_it_points_to(kernel, tmp_path):
    alias = tmp_path / "ttyUSB0"
    alias.symlink_to("/dev/pts/3")
    kernel.knows("ttyUSB0", 136, 3)
    assert not is_wired(str(alias), os.makedev(136, 3), kernel.path)
    named = tmp_path / "usb-adapter-by-serial-number"
    named.symlink_to("/dev/ttyUSB0")
    assert is_wired(str(named), os.makedev(136, 3), kernel.path)


def test_where_no_kernel_tells_the_name_decides(tmp_path):
    assert is_wired("/dev/cu.usbserial-1410", 0, tmp_path / "none")
    assert not is_wired("/dev/cu.Bluetooth-Incoming-Port", 0, tmp_path / "none")
