"""The terminal as a pad: key by key, without echo, and as it was before when it is closed."""

from __future__ import annotations

import os
import select
import termios
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import trio

from insitu.transports.errors import PortNotFound
from insitu.transports.serial.terminal import Terminal


@dataclass
class Screen:
    """Both ends of a pseudo-terminal: the person's, and the path of the program's."""

    person: int
    program: int
    path: str


def shown(screen: Screen) -> bytes:
    """What the person sees, up to a mark that the program writes now."""
    os.write(screen.program, b"|")
    seen = b""
    while not seen.endswith(b"|"):
        seen += os.read(screen.person, 100)
    return seen[:-1]


@pytest.fixture
def screen() -> Iterator[Screen]:
    person, program = os.openpty()
    yield Screen(person, program, os.ttyname(program))
    for descriptor in (person, program):
        os.close(descriptor)


async def test_keys_come_one_by_one_and_none_is_echoed(screen: Screen):
    before = termios.tcgetattr(screen.program)
    assert before[3] & termios.ECHO
    os.write(screen.person, b"typed before it was asked\n")
    assert select.select([screen.program], [], [], 20)[0]  # the kernel has it, and its echo is out
    assert b"typed" in shown(screen)
    async with Terminal.open(screen.path) as terminal:
        os.write(screen.person, b"27")
        with trio.fail_after(20):
            assert await terminal.receive_some(1) == b"2"  # before anybody presses enter
            assert await terminal.receive_some(1) == b"7"
    assert shown(screen) == b""
    assert termios.tcgetattr(screen.program) == before


async def test_it_is_restored_after_an_error(screen: Screen):
    before = termios.tcgetattr(screen.program)
    with pytest.raises(RuntimeError):
        async with Terminal.open(screen.path):
            raise RuntimeError
    assert termios.tcgetattr(screen.program) == before


async def test_hung_up(screen: Screen):
    terminal = Terminal.open(screen.path)
    os.close(screen.person)
    try:
        with trio.fail_after(20):
            assert await terminal.receive_some(1) == b""
        await terminal.aclose()
    finally:
        screen.person = os.open(os.devnull, os.O_RDONLY)


async def test_there_is_none():
    with pytest.raises(PortNotFound, match="no terminal"):
        Terminal.open("/dev/none")
