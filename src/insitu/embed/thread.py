"""A thread in which trio runs, and calls into it from all others. What runs there is the controller's matter.

Each call has one clock, the caller's: when its time is over, what it wished for is cancelled in the thread, and the
caller waits GRACE seconds more for what that leads to. Then the caller goes; a result that comes after all is undone.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar

import trio

from ..protocol.engine import EnvironmentFault, InsituError, StateError, UsageError
from ..transports.errors import TransportError

R = TypeVar("R")

GRACE: Final = 2.0
"""Seconds that a caller waits beyond its timeout for the cancellation to take effect."""
LONGEST_WAIT: Final = 86_400.0
"""Seconds that a caller can ask for: a day."""
EXIT_SECONDS: Final = 10.0
"""How long the end of the program may be held up so that sessions end in good order."""

_WHO: Final = "controller"

Program: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""What runs in the thread; it calls its argument when it is ready for calls, and runs until cancelled."""
Tell: TypeAlias = Callable[[str], None]


class NoAnswer(EnvironmentFault):
    """The time that the caller gave is over."""


class NotRunning(StateError):
    """The module was not started, was stopped, or runs in another process."""


class ModuleEnded(EnvironmentFault):
    """The thread ended by itself; `__cause__` is why. What was durable is; start the module again."""


class TrioThread:
    """One run of trio in a thread of its own. It can be started once.

    Args:
        program: what runs there.
        tell: gets a line for an error that no caller hears of; called in the thread.

    """

    def __init__(self, program: Program, tell: Tell) -> None:
        self._program = program
        self._tell = tell
        self._thread = threading.Thread(target=self._run, name="insitu module", daemon=True)
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: set[Future[Any]] = set()
        self._ready: Future[None] = Future()
        self._ended: InsituError | None = None
        self._failure: BaseException | None = None
        self._stopping = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet; in a process that was forked off it never runs."""
        return self._is_here and self._thread.is_alive()

    @property
    def _is_here(self) -> bool:
        return self._process == os.getpid()

    def start(self, timeout: float) -> None:
        """Return when the program is ready.

        Raises:
            NoAnswer: it is not; it is told to end.
            Exception: why it ended before that.

        """
        seconds = checked_timeout(timeout)
        self._thread.start()
        atexit.register(self._end_with_program)
        try:
            wait((self._ready,), seconds)
        except BaseException:
            self._ask_to_end()
            raise
        if not self._ready.done():
            self._ask_to_end()
            raise NoAnswer("the module did not start", who=_WHO, expected=f"within {seconds:g} s")
        self._ready.result()

    def stop(self, timeout: float) -> None:
        """End the program and wait for it; only ask for it where the thread itself is the caller. Can be repeated.

        Raises:
            NoAnswer: it has not ended yet.

        """
        seconds = checked_timeout(timeout)
        if not self._is_here or not self._thread.is_alive():
            return
        self._ask_to_end()
        if threading.current_thread() is self._thread:
            return
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise NoAnswer("the module does not end", who=_WHO, expected=f"within {seconds:g} s")

    def call(
        self,
        wish: Callable[[], Awaitable[R]],
        timeout: float,
        undo: Callable[[R], Awaitable[object]] | None = None,
    ) -> R:
        """Have something done in the thread, and wait for it.

        Args:
            wish: what; cancelled when the time is over or the caller is interrupted.
            timeout: seconds, 0 to LONGEST_WAIT.
            undo: what to do about a result that comes when the caller has gone.

        Raises:
            NoAnswer: the time is over.
            NotRunning: nothing runs, in this process.
            StateError: this is the thread itself, which would wait for itself.
            ModuleEnded: the program ended by itself.
            Exception: what the wish raised.

        """
        seconds = checked_timeout(timeout)
        if not self._is_here:
            raise NotRunning("the module runs in another process", who=_WHO, expected="the process that started it")
        if threading.current_thread() is self._thread:
            raise StateError("the module's own thread cannot wait for itself", who=_WHO, expected="another thread")
        future: Future[R] = Future()
        scope = trio.CancelScope()
        with self._lock:
            if self._ended is not None:
                raise self._ended from self._failure
            self._waiting.add(future)
        try:
            self._soon(self._admit, future, wish, scope, undo)
            wait((future,), seconds)
            if not future.done():
                self._soon(scope.cancel)
                wait((future,), GRACE)
        except BaseException:  # a signal's handler: Ctrl-C and the like
            self._soon(scope.cancel)
            if not future.cancel() and undo is not None and future.exception() is None:
                self._soon(self._admit, Future(), lambda: undo(future.result()), trio.CancelScope(), None)
            raise
        finally:
            with self._lock:
                self._waiting.discard(future)
        if future.cancel():
            raise NoAnswer("no answer in time", who=_WHO, expected=f"within {seconds:g} s")
        return future.result()

    # In the thread

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            trio.run(self._main)
        except BaseException as error:
            failure = _reason(error)
        finally:
            atexit.unregister(self._end_with_program)
            self._end(failure)

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        if self._stopping:
            return
        with self._scope:
            async with trio.open_nursery() as self._nursery:
                await self._program(self._be_ready)
                self._nursery.cancel_scope.cancel()

    def _be_ready(self) -> None:
        self._ready.set_result(None)

    def _end(self, failure: BaseException | None) -> None:
        if failure is None:
            ended: InsituError = NotRunning("the module was stopped", who=_WHO, expected="a module that runs")
        else:
            got = str(failure) if isinstance(failure, (InsituError, TransportError)) else type(failure).__name__
            ended = ModuleEnded("the module ended by itself", who=_WHO, expected="to be started again", got=got)
        with self._lock:
            self._ended, self._failure = ended, failure
            waiting = list(self._waiting)
        ended.__cause__ = failure
        for future in waiting:
            _settle(future, ended)
        if not self._ready.done():
            self._ready.set_exception(failure or ended)
        elif failure is not None:
            self._tell(str(ended))

    def _admit(
        self,
        future: Future[R],
        wish: Callable[[], Awaitable[R]],
        scope: trio.CancelScope,
        undo: Callable[[R], Awaitable[object]] | None,
    ) -> None:
        """In trio's own hands, where nothing may be raised."""
        admitted = False
        if self._nursery is not None:
            with suppress(RuntimeError):  # it is closed already
                self._nursery.start_soon(self._grant, future, wish, scope, undo)
                admitted = True
        if not admitted:
            _settle(future, NotRunning("the module was stopped", who=_WHO, expected="a module that runs"))

    async def _grant(
        self,
        future: Future[R],
        wish: Callable[[], Awaitable[R]],
        scope: trio.CancelScope,
        undo: Callable[[R], Awaitable[object]] | None,
    ) -> None:
        results: list[R] = []
        try:
            with scope:
                results.append(await wish())
        except trio.Cancelled:
            _settle(future, NotRunning("the module was stopped", who=_WHO, expected="a module that runs"))
            raise
        except Exception as error:  # the caller's to hear
            if not _settle(future, error):
                self._tell(str(error) if isinstance(error, InsituError) else type(error).__name__)
            return
        if not results:
            _settle(future, NoAnswer("no answer in time", who=_WHO, expected="an answer before the caller went"))
            return
        if not _settle(future, None, results[0]) and undo is not None:
            try:
                await undo(results[0])
            except InsituError as error:
                self._tell(str(error))

    # From elsewhere

    def _soon(self, do: Callable[..., object], *arguments: object) -> None:
        token = self._token
        if token is not None:
            with suppress(trio.RunFinishedError):  # those who wait are told by _end
                token.run_sync_soon(do, *arguments)

    def _ask_to_end(self) -> None:
        self._stopping = True
        self._soon(self._scope.cancel)

    def _end_with_program(self) -> None:
        with suppress(InsituError):
            self.stop(EXIT_SECONDS)


def checked_timeout(seconds: float) -> float:
    """The same number.

    Raises:
        UsageError: it is no time that can be waited.

    """
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds <= LONGEST_WAIT:
        return seconds
    got = seconds if isinstance(seconds, (int, float)) else type(seconds).__name__
    raise UsageError("timeout", who=_WHO, expected=f"0 to {LONGEST_WAIT:g} seconds", got=got)


def _settle(future: Future[R], error: BaseException | None, result: R | None = None) -> bool:
    """Give the caller what came of it; False where the caller has gone."""
    if future.done() or not future.set_running_or_notify_cancel():
        return False
    if error is None:
        future.set_result(result)  # type: ignore[arg-type]
    else:
        future.set_exception(error)
    return True


def _reason(error: BaseException) -> BaseException:
    """The one error that counts of a group: ours before others."""
    leaves: list[BaseException] = []
    todo = [error]
    while todo:
        each = todo.pop(0)
        if isinstance(each, BaseExceptionGroup):
            todo += each.exceptions
        else:
            leaves.append(each)
    return next((leaf for leaf in leaves if isinstance(leaf, (InsituError, TransportError))), leaves[0])
