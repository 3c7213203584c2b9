"""What reaches a vault that takes time, away from trio's thread: a token is waited for, and nobody else waits with it.

Key operations, commits and look-ups of a session are the driver's matter, which does the same. Here is the rest: what
comes before a session and after it, and what a person or program wants of a party between sessions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import trio

from ..protocol.keys.vault import Vault

T = TypeVar("T")


class Aside:
    """The way to one party's vault from trio's thread.

    Args:
        vault: where `answers_at_once` is true, all is done at once, and trio is not needed.
        beside: another one that the same calls may use.
        alone: held meanwhile; who commits beside us takes it, too.

    """

    def __init__(self, vault: Vault, *, beside: Vault | None = None, alone: threading.RLock | None = None) -> None:
        self._vault = vault
        self._beside = beside
        self._alone = threading.RLock() if alone is None else alone
        self._turn = trio.Lock()

    @property
    def _is_quick(self) -> bool:
        return self._vault.answers_at_once and (self._beside is None or self._beside.answers_at_once)

    async def __call__(self, call: Callable[[], T]) -> T:
        """What `call` gives: one such call after the other, from a worker thread. Once begun, none is given up."""
        if self._is_quick:
            return call()
        async with self._turn:
            return await trio.to_thread.run_sync(self._by_itself, call)

    async def at_last(self, call: Callable[[], object]) -> None:
        """The same for what is to be done in the end, whoever gave up before."""
        if self._is_quick:
            call()
            return
        with trio.CancelScope(shield=True):
            await self(call)

    def where_trio_runs(self, call: Callable[[], None]) -> None:
        """Do what is for trio's thread, from the worker thread of a session; at once where there is none."""
        if self._vault.answers_at_once or trio.lowlevel.in_trio_run():
            call()
        else:
            trio.from_thread.run_sync(call)

    def _by_itself(self, call: Callable[[], T]) -> T:
        with self._alone:
            return call()
