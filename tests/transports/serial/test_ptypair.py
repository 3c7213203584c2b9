"""A pair of real pseudo-terminals, and the whole serial stack over it."""

from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from insitu.transports.errors import LinkBroken, Unsupported
from insitu.transports.faulty import Faults
from insitu.transports.serial.link import SerialLink, SerialListener
from insitu.transports.serial.port import SerialPort
from insitu.transports.serial.ptypair import PtyPair

TEXT = Random(5).randbytes(700)


@pytest.fixture
def pty_clock():
    # the kernel carries bytes between terminals in its own time: the clock jumps only after a moment without any
    return MockClock(autojump_threshold=0.003)


async def read(stream, size):
    received = b""
    while len(received) < size:
        received += await stream.receive_some()
    return received


async def test_two_ports_are_connected(pty_clock):
    pair = PtyPair()
    async with trio.open_nursery() as nursery:
        await nursery.start(pair.run)
        async with SerialPort.open(pair.left) as left, SerialPort.open(pair.right) as right:
            await left.send_all(b"\x00\x03\x04\r\n\xff")
            assert await read(right, 6) == b"\x00\x03\x04\r\n\xff"
            await right.send_all(b"back")
            assert await read(left, 4) == b"back"
        nursery.cancel_scope.cancel()


async def test_a_line_without_a_program_at_the_other_end_is_silent(pty_clock):
    pair = PtyPair()
    async with trio.open_nursery() as nursery:
        await nursery.start(pair.run)
        async with SerialPort.open(pair.left) as left:
            await left.send_all(b"anybody?\r\n")
            with trio.move_on_after(5) as scope:
                await left.receive_some()
            assert scope.cancelled_caught, "a terminal would echo"
        nursery.cancel_scope.cancel()
    assert not Path(pair.left).exists()


async def test_a_program_may_leave_and_come_back(pty_clock):
    pair = PtyPair()
    async with trio.open_nursery() as nursery:
        await nursery.start(pair.run)
        async with SerialPort.open(pair.right) as right:
            for text in (b"first", b"again"):
                async with SerialPort.open(pair.left) as left:
                    await left.send_all(text)
                    assert await read(right, 5) == text
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("faults", [Faults(baud=9600), Faults(baud=9600, bit_errors=1e-3, losses=1e-3, doubles=1e-3)])
async def test_the_serial_link_over_real_terminals(pty_clock, faults):
    pair = PtyPair()

    async def module() -> None:
        async with SerialListener(SerialPort.open(pair.right)) as listener, await listener.accept() as link:
            while data := await link.receive_some():
                await link.send_all(data.swapcase())

    async with trio.open_nursery() as nursery:
        await nursery.start(
            lambda task_status: pair.run(to_right=faults, to_left=faults, seed=4, task_status=task_status)
        )
        nursery.start_soon(module)
        async with await SerialLink.call(SerialPort.open(pair.left)) as link:
            await link.send_all(TEXT)
            await link.send_eof()
            assert await read(link, len(TEXT)) == TEXT.swapcase()
            assert await link.receive_some() == b""
        nursery.cancel_scope.cancel()


async def test_hanging_up_breaks_both_ends(pty_clock):
    pair = PtyPair()
    async with trio.open_nursery() as nursery:
        await nursery.start(pair.run)
        listener = SerialListener(SerialPort.open(pair.right))
        link = await SerialLink.call(SerialPort.open(pair.left))
        answerer = await listener.accept()
        pair.close()
        for end in (link, answerer):
            with pytest.raises(LinkBroken, match=r"hung up|lost"):
                await end.receive_some()
        with pytest.raises(LinkBroken):
            await listener.accept()
        await link.aclose()
        await listener.aclose()


async def test_a_cut_line_hangs_up(pty_clock):
    pair = PtyPair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: pair.run(to_right=Faults(cut_after=10)))
        async with SerialPort.open(pair.left) as left, SerialPort.open(pair.right) as right:
            await left.send_all(bytes(20))
            while data := await right.receive_some():
                assert set(data) == {0}
            assert await left.receive_some() == b""


async def test_closing_twice_and_not_running(pty_clock):
    pair = PtyPair()
    assert Path(pair.left).is_char_device()
    assert pair.left != pair.right
    pair.close()
    pair.close()


def test_on_another_system(monkeypatch):
    monkeypatch.setattr("insitu.transports.serial.ptypair.os.name", "nt")
    with pytest.raises(Unsupported):
        PtyPair()
