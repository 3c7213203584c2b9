"""Parties as processes: commands that end, and programs that run on and tell notes line by line."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from ..shell.telling import Facts
from .report import DemoFailed, Report

PATIENCE: Final = 60.0
"""Seconds that a demonstration waits for any one thing."""

Matches = Callable[[Facts], bool]


def _argv(words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "insitu", *words]


async def call(report: Report, who: str, *words: str) -> None:
    """Run `insitu WORDS` to its end and tell what it said.

    Raises:
        DemoFailed: it failed.

    """
    report.tell(f"{who:<12} $ insitu {' '.join(words[:2])} ...")
    done = await trio.run_process(_argv(words), capture_stdout=True, capture_stderr=True, check=False)
    for line in done.stdout.decode().splitlines():
        report.tell(f"{who:<12} {line}")
    if done.returncode:
        raise DemoFailed(f"insitu {shlex.join(words[:2])}", expected="exit code 0", got=done.stderr.decode().strip())


class Program:
    """A process that runs on: its notes, and lines for its standard input. Use `start` within a nursery."""

    def __init__(self, report: Report, who: str, *words: str) -> None:
        self._report = report
        self._who = who
        self._words = (*words, "--json")
        self._heard: list[Facts] = []
        self._news = trio.Condition()
        self._process: trio.Process | None = None
        self.ended = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The process from start to end; cancelling interrupts it.

        Raises:
            DemoFailed: it failed.

        """
        self._report.tell(f"{self._who:<12} $ insitu {' '.join(self._words[:2])} ...")
        process = await trio.lowlevel.open_process(
            _argv(self._words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._process = process
        task_status.started()
        errors = bytearray()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._drain, process.stderr, errors)
                await self._listen(process.stdout)
                code = await process.wait()
        finally:
            with trio.CancelScope(shield=True):
                with trio.move_on_after(5):
                    if process.returncode is None:
                        process.send_signal(signal.SIGINT)
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        async with self._news:
            self.ended = True
            self._news.notify_all()
        if code:
            raise DemoFailed(f"insitu {' '.join(self._words[:2])}", expected="exit code 0", got=errors.decode().strip())

    async def _drain(self, stream: trio.abc.ReceiveStream | None, into: bytearray) -> None:
        if stream is not None:
            async for piece in stream:
                into += piece

    async def _listen(self, stream: trio.abc.ReceiveStream | None) -> None:
        if stream is None:
            return
        rest = b""
        async for piece in stream:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                facts: Facts = json.loads(line)
                if facts["note"] == "Error":
                    self._report.tell(f"{self._who:<12} {facts['error']}")
                else:
                    self._report.hear(facts)
                async with self._news:
                    self._heard.append(facts)
                    self._news.notify_all()

    async def ask(self, **line: object) -> None:
        """Put a line of JSON on its standard input."""
        await self.say(json.dumps(line))

    async def say(self, line: str) -> None:
        """Put a line on its standard input, as a person would.

        Raises:
            DemoFailed: it does not read that any more.

        """
        if self._process is not None and self._process.stdin is not None:
            with suppress(trio.BrokenResourceError):
                await self._process.stdin.send_all(line.encode() + b"\n")
                return
        raise DemoFailed(f"{self._who} is not running", expected="a program that takes requests")

    async def expect(self, what: str, matches: Matches, *, times: int = 1) -> Facts:
        """Wait until it has told a matching note `times` times; the last of these.

        Raises:
            DemoFailed: it ended, or nothing came for a minute.

        """
        with trio.move_on_after(PATIENCE):
            async with self._news:
                while True:
                    found = [facts for facts in self._heard if matches(facts)]
                    if len(found) >= times:
                        return found[times - 1]
                    if self.ended:
                        break
                    await self._news.wait()
        raise DemoFailed(f"{self._who} did not come to that", expected=what, got=self._heard[-1:])


def entered(state: str) -> Matches:
    """A note that says: the party is in `state` now."""
    return lambda facts: facts["note"] == "StateEntered" and facts["state"] == state


def noted(note: str) -> Matches:
    """Any note of this kind."""
    return lambda facts: facts["note"] == note
