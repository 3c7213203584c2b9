"""The terminal of this program, read key by key and without echo: what a person types who is asked. POSIX only."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import trio

from ..errors import PortNotFound, Unsupported

_OURS: Final = "/dev/tty"


class Terminal(trio.abc.ReceiveStream):
    """Keys as bytes. What was typed before it was opened is dropped; closing leaves the terminal as it was before.

    Args:
        descriptor: of the terminal, for nothing else; closed with this.

    """

    def __init__(self, descriptor: int) -> None:
        import termios

        self._descriptor = descriptor
        self._before = termios.tcgetattr(descriptor)
        silent = termios.tcgetattr(descriptor)
        silent[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON)
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, silent)
        self._stream = trio.lowlevel.FdStream(descriptor)

    @classmethod
    def open(cls, path: str = _OURS) -> Terminal:
        """The terminal from which this program was started.

        Raises:
            PortNotFound: there is none.
            Unsupported: this system has no such terminals.

        """
        if os.name != "posix":
            raise Unsupported("terminals without echo exist on POSIX systems only", who="terminal", got=os.name)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        except OSError as error:
            raise PortNotFound("no terminal", who="terminal", expected="a person at one", got=error.strerror) from None
        return cls(descriptor)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Keys that were pressed; empty when the terminal is gone."""
        try:
            return await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:  # how Linux says that it was hung up
            return b""

    async def aclose(self) -> None:
        """As before."""
        import termios

        with suppress(termios.error):  # it may be gone
            termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._before)
        await self._stream.aclose()
