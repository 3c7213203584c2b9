"""A command at a terminal of its own, with somebody who reads, types and presses Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from command_processes import PATIENCE
from commands import Ran, no_secret_in

AT_ITS_TERMINAL: Final = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv[0] = "insitu"
runpy.run_module("insitu", run_name="__main__")
"""
"""The terminal is the process's own, so that Ctrl-C reaches it, and nobody else's."""


class Terminal:
    """A process and its terminal. Made by `at_a_terminal`.

    Attributes:
        screen: everything that was shown so far.

    """

    def __init__(self, words: list[str]) -> None:
        self._own, other = pty.openpty()
        termios.tcsetwinsize(self._own, (50, 1000))  # so that no line that a test waits for is broken
        self._popen = subprocess.Popen(
            [sys.executable, "-c", AT_ITS_TERMINAL, *words],
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
        )
        os.close(other)
        self._told = 0
        self.screen = ""

    def read(self, text: str) -> None:
        """Wait until the screen shows this, after what was waited for before."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.screen.find(text, self._told)) < 0:
            if not self._receive(deadline):
                pytest.fail(f"no {text!r} on the screen:\n{self.screen}")
        self._told = found + len(text)

    def _receive(self, deadline: float) -> bool:
        """Whether something more came."""
        if not select.select([self._own], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            piece = os.read(self._own, 4096)
        except OSError:  # nobody has the other end open any more
            return False
        self.screen += piece.decode()
        return bool(piece)

    def type(self, line: str, after: str) -> None:
        """Wait for a question, then answer."""
        self.read(after)
        if after.startswith(("PIN", "Passphrase")):
            self.until_unseen()
        os.write(self._own, f"{line}\n".encode())

    def until_unseen(self) -> None:
        """Wait until what is typed is not shown."""
        deadline = time.monotonic() + PATIENCE
        while self.echoes:
            if time.monotonic() > deadline:
                pytest.fail(f"a secret is typed for everybody to see:\n{self.screen}")
            time.sleep(0.01)

    def interrupt(self) -> Ran:
        """Ctrl-C as it waits, and what comes of it."""
        deadline = time.monotonic() + PATIENCE
        while Path(f"/proc/{self._popen.pid}/stat").read_text().rpartition(") ")[2][:1] != "S":
            if time.monotonic() > deadline:
                pytest.fail(f"it does not wait:\n{self.screen}")
            time.sleep(0.01)
        os.write(self._own, b"\x03")
        return self.wait()

    @property
    def echoes(self) -> bool:
        """Whether what is typed is shown."""
        return bool(termios.tcgetattr(self._own)[3] & termios.ECHO)

    def wait(self) -> Ran:
        """Until it has ended: everything that it showed."""
        deadline = time.monotonic() + PATIENCE
        while self._receive(deadline):
            pass
        try:
            code = self._popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it does not end:\n{self.screen}")
        no_secret_in(self.screen)
        return Ran(code, self.screen.replace("\r\n", "\n"), "")

    def clear_away(self) -> None:
        """Kill what still runs, if a test failed before it ended."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        os.close(self._own)


@contextmanager
def at_a_terminal(*words: str | Path) -> Iterator[Terminal]:
    """A command at a terminal of its own; killed at the end of the block if it runs on."""
    terminal = Terminal([str(word) for word in words])
    try:
        yield terminal
    finally:
        terminal.clear_away()
