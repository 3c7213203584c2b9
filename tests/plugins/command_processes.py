"""Commands in processes of their own, where that matters: signals, kills, both sides at once.

Also whoever connects to them or listens for them without being one of ours.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest
import trio
from commands import Ran, Words, no_secret_in

from insitu.transports.serial.ptypair import PtyPair

PATIENCE = 30.0
"""Seconds that a test waits for a process before it fails."""


class Process:
    """A command in a process of its own. Made by `running`."""

    def __init__(
        self, words: Words, out: int | IO[bytes] = subprocess.PIPE, program: tuple[str, ...] = ("-m", "insitu")
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._popen = subprocess.Popen(
            [sys.executable, *program, *words],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
        self._lines: dict[str, list[str]] = {"out": [], "err": []}
        self._news = threading.Condition()
        self._told = {"out": 0, "err": 0}
        streams = {name: file for name, file in (("out", self._popen.stdout), ("err", self._popen.stderr)) if file}
        self._open = len(streams)
        self._readers = [threading.Thread(target=self._read, args=item, daemon=True) for item in streams.items()]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self._lines[name].append(line.decode().removesuffix("\n"))
                    self._news.notify_all()
        with self._news:
            self._open -= 1
            self._news.notify_all()

    @property
    def pid(self) -> int:
        """The process, and its group."""
        return self._popen.pid

    @property
    def out(self) -> str:
        """Standard output so far."""
        return "\n".join(self._lines["out"])

    @property
    def err(self) -> str:
        """Standard error so far."""
        return "\n".join(self._lines["err"])

    def ask(self, **request: object) -> None:
        """A line of JSON on its standard input."""
        self.write(json.dumps(request).encode() + b"\n")

    def write(self, data: bytes) -> None:
        """Bytes on its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(data)
        self._popen.stdin.flush()

    def close_input(self) -> None:
        """Nobody says anything any more."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()

    def line(self, matches: Callable[[str], bool], what: str, stream: str = "out") -> str:
        """Wait for a line of output after those that were waited for before."""
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while True:
                lines = self._lines[stream]
                while self._told[stream] < len(lines):
                    line = lines[self._told[stream]]
                    self._told[stream] += 1
                    if matches(line):
                        return line
                if not self._open or time.monotonic() > deadline:
                    pytest.fail(f"no {what} from {self._popen.args[3:5]}:\n{self.out}\n{self.err}")
                self._news.wait(1.0)

    def note(self, note: str, **facts: object) -> dict[str, Any]:
        """Wait for a note with these facts."""

        def matches(line: str) -> bool:
            told = json.loads(line)
            return told["note"] == note and all(told.get(name) == fact for name, fact in facts.items())

        return json.loads(self.line(matches, f"{note} {facts}"))

    def wait(self, seconds: float = PATIENCE) -> Ran:
        """Until it has ended."""
        try:
            code = self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self._popen.args[3:5]} does not end:\n{self.out}\n{self.err}")
        for reader in self._readers:
            reader.join(PATIENCE)
        no_secret_in(self.out, self.err)
        return Ran(code, self.out, self.err)

    def end(self, number: int = signal.SIGTERM) -> Ran:
        """Send a signal and wait."""
        self._popen.send_signal(number)
        return self.wait()

    def clear_away(self) -> None:
        """Kill what still runs, if a test failed before it ended it."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        if self._popen.stdin is not None:
            with suppress(BrokenPipeError):
                self._popen.stdin.close()
        for reader in self._readers:
            reader.join(PATIENCE)


def place(process: Process) -> str:
    """Where it says that it waits."""
    at = process.note("Ready")["at"]
    assert isinstance(at, str)
    return at


@contextmanager
def running(
    *words: str | Path, out: int | IO[bytes] = subprocess.PIPE, program: tuple[str, ...] = ("-m", "insitu")
) -> Iterator[Process]:
    """A command in a process of its own; killed at the end of the block if it runs on."""
    process = Process([str(word) for word in words], out, program)
    try:
        yield process
    finally:
        process.clear_away()


@contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """Somebody who listens at a TCP port and treats everybody who connects in his own way; the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"tcp:127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


Tamper = Callable[[bool, int, bytes], bytes | None]
"""What comes of bytes on their way: whether they go to the one who listens, how many came before, the bytes; what
goes on instead, or None to close.
"""


@contextmanager
def between(address: str, tamper: Tamper) -> Iterator[str]:
    """Somebody between the two ends of a TCP link; the address to connect to instead."""
    host, _, port = address.removeprefix("tcp:").rpartition(":")

    def pump(source: socket.socket, target: socket.socket, forth: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(4096):
                changed = tamper(forth, passed, data)
                if changed is None:
                    break
                passed += len(data)
                target.sendall(changed)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def relay(caller: socket.socket) -> None:
        with socket.create_connection((host, int(port)), PATIENCE) as listener:
            back = threading.Thread(target=pump, args=(listener, caller, False), daemon=True)
            back.start()
            pump(caller, listener, True)
            back.join(PATIENCE)

    with peer(relay) as at:
        yield at


class Line:
    """A serial line of two pseudo-terminals; made by `serial_line`.

    Attributes:
        left, right: addresses of its ends.

    """

    def __init__(self, pair: PtyPair, token: trio.lowlevel.TrioToken) -> None:
        self.left, self.right = (f"serial:{path}?baud=115200" for path in (pair.left, pair.right))
        self._pair = pair
        self._token = token

    @property
    def carried(self) -> int:
        """Bytes that went over it so far, both ways."""
        return sum(self._pair.carried)

    def cut(self) -> None:
        """Pull both plugs."""
        trio.from_thread.run_sync(self._pair.close, trio_token=self._token)


@contextmanager
def serial_line() -> Iterator[Line]:
    """A serial line while the block lasts."""
    begun: queue.SimpleQueue[tuple[PtyPair, trio.lowlevel.TrioToken]] = queue.SimpleQueue()
    over = trio.Event()

    async def relay() -> None:
        pair = PtyPair()
        begun.put((pair, trio.lowlevel.current_trio_token()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.run)
            await over.wait()
            nursery.cancel_scope.cancel()

    thread = threading.Thread(target=trio.run, args=[relay], daemon=True)
    thread.start()
    pair, token = begun.get(timeout=PATIENCE)
    try:
        yield Line(pair, token)
    finally:
        with suppress(trio.RunFinishedError):
            trio.from_thread.run_sync(over.set, trio_token=token)
        thread.join(PATIENCE)
