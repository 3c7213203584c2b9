"""The serial link as a trio stream: endpoint.py's rules with a clock, a port and tasks.

What is decided here is only who waits for what.

A link must acknowledge and retransmit while its owner is busy elsewhere. That work runs in a trio system task (as
trio's own DTLS endpoint does), so that a link is an ordinary stream, opened and closed anywhere, and an error of its
owner does not come wrapped in the exception group of a nursery that the owner never saw. The task ends when the line
is closed or lost, at the latest with the program.
"""

from __future__ import annotations

import secrets
from math import inf
from typing import Final

import trio

from ..errors import LinkBroken, NoAnswer, TransportError
from ..streams import OneTask, positive
from .arq import Session, Timing
from .endpoint import Endpoint
from .frames import VERSION

ANSWER_TIMEOUT: Final = 10.0
"""Seconds that `call` waits for the other end unless told otherwise."""

_LAST_WORDS: Final = 1.0
"""Seconds for the last frames and the closing of the port."""

_DEFAULT_TIMING: Final = Timing()


class SerialLink(trio.abc.HalfCloseableStream):
    """One session over a serial line: a reliable stream of bytes (REQUIREMENTS K1).

    Passes `trio.testing.check_half_closeable_stream`. Limits: nothing acknowledged for `timing.limit` seconds (15 by
    default), a reset by the peer or a lost line break it: LinkBroken, which is a trio.BrokenResourceError. Bytes that
    were received in order before can still be read. An idle link sends nothing, so a line that is cut while nobody
    sends is noticed by nobody: whoever waits sets a deadline.

    Closing in good order sends what is written, then the end, and waits until the peer knows; at most `timing.limit`
    seconds. A cancelled close resets the session and returns at once; the port closes within a second after.
    """

    def __init__(self, line: _Line, session: Session, *, owns_line: bool) -> None:
        self._line = line
        self._session = session
        self._owns_line = owns_line
        self._sending = OneTask("sending")
        self._receiving = OneTask("receiving")
        self._sent_eof = False
        self._closed = False

    @classmethod
    async def call(
        cls,
        raw: trio.abc.Stream,
        *,
        timing: Timing = _DEFAULT_TIMING,
        timeout: float = ANSWER_TIMEOUT,
        number: int | None = None,
    ) -> SerialLink:
        """Wake the other end and open a session with it; the side that begins (the unit).

        Args:
            raw: the line; owned from now on, closed with the link or when the call fails.
            timing: what the line's speed implies.
            timeout: seconds to wait for an answer.
            number: this end's part of the session's number, 1 to 2^32 - 1; random by default, tests may give it.

        Raises:
            NoAnswer: nobody answered in time, or with another version of this link.
            LinkBroken: the line was lost.

        """
        line = _Line(raw, Endpoint(timing, caller=True, number=number or _fresh_number()))
        line.endpoint.call(trio.current_time())
        line.start()
        try:
            with trio.move_on_after(timeout):
                while line.endpoint.session is None and line.endpoint.refusal is None:
                    line.check()
                    await line.changed.park()
        except BaseException:
            line.shut()
            raise
        established = line.endpoint.session
        if established is None:
            line.shut()
            await line.stopped.wait()
            expected = f"version {VERSION}" if line.endpoint.refusal else "an answer to the attention frame"
            got = line.endpoint.refusal or line.endpoint.overheard
            raise NoAnswer(f"no session within {timeout:g} s", who="serial link", expected=expected, got=got)
        return cls(line, established, owns_line=True)

    @property
    def retransmissions(self) -> int:
        """Link frames that were sent again so far."""
        return self._session.retransmissions

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Hand all of `data` to the link; waits while its memory (512 bytes and a window) is full."""
        with self._sending:
            self._check_may_send()
            await trio.lowlevel.checkpoint()
            with memoryview(data) as view:
                sent = 0
                while True:
                    self._check_may_send()
                    if taken := self._session.write(view[sent:]):
                        sent += taken
                        self._line.kick()
                    if sent == len(view):
                        return
                    await self._line.changed.park()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room."""
        with self._sending:
            await trio.lowlevel.checkpoint()
            while True:
                self._check_may_send()
                if self._session.room:
                    return
                await self._line.changed.park()

    async def send_eof(self) -> None:
        """No more bytes follow those sent; receiving goes on."""
        with self._sending:
            await trio.lowlevel.checkpoint()
            if self._closed:
                raise trio.ClosedResourceError("this link was closed")
            if not self._sent_eof:
                self._sent_eof = True
                self._session.end_sending()
                self._line.kick()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come in order, at most `max_bytes`; empty after the peer's end."""
        limit = positive(max_bytes)
        with self._receiving:
            if self._session.readable or self._closed:
                await trio.lowlevel.checkpoint()
            while not self._session.readable or self._closed:
                if self._closed:
                    raise trio.ClosedResourceError("this link was closed")
                if self._session.ended:
                    await trio.lowlevel.checkpoint()
                    return b""
                self._check_whole()
                await self._line.changed.park()
            data = self._session.read(limit, trio.current_time())
            self._line.kick()
            return data

    async def aclose(self) -> None:
        """Send what was written and the end, wait until the peer knows, then let go of the session and the port."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        self._session.close()
        self._line.kick()
        self._line.changed.unpark_all()
        try:
            with trio.move_on_after(self._line.endpoint.timing.limit):
                await trio.lowlevel.checkpoint()
                while not self._session.finished:
                    await self._line.changed.park()
        finally:
            self._line.endpoint.dispose(self._session, trio.current_time())
            self._line.kick()
            if self._owns_line:
                self._line.shut()
        if self._owns_line:
            await self._line.stopped.wait()

    def _check_may_send(self) -> None:
        if self._closed or self._sent_eof:
            raise trio.ClosedResourceError("this link was closed for sending")
        if self._session.peer_gone:
            raise LinkBroken("the peer has closed the link", who="serial link")
        self._check_whole()

    def _check_whole(self) -> None:
        if self._session.failure is not None:
            raise LinkBroken(self._session.failure, who="serial link") from self._line.cause


class SerialListener(trio.abc.Listener[SerialLink]):
    """The side that waits to be called (the module): one session after another on the same open port.

    A new call breaks the session before it: there is one peer, and it has started anew.
    """

    def __init__(self, raw: trio.abc.Stream, *, timing: Timing = _DEFAULT_TIMING, number: int | None = None) -> None:
        """Take over `raw`, tell the other end that older sessions are void, and wait. Call within trio.

        Args:
            raw: the line; owned from now on, closed with the listener.
            timing: what the line's speed implies.
            number: as in `SerialLink.call`, for the first session.

        """
        self._line = _Line(raw, Endpoint(timing, caller=False, number=number or _fresh_number()))
        self._accepting = OneTask("accepting")
        self._last: Session | None = None
        self._closed = False
        self._line.endpoint.reset_all()
        self._line.start()

    async def accept(self) -> SerialLink:
        """Wait for the next session.

        Raises:
            LinkBroken: the line was lost; the listener is of no use any more.
            trio.ClosedResourceError, trio.BusyResourceError: as `trio.abc.Listener.accept`.

        """
        with self._accepting:
            await trio.lowlevel.checkpoint()
            while True:
                if self._closed:
                    raise trio.ClosedResourceError("this listener was closed")
                session = self._line.endpoint.session
                if session is not None and session is not self._last:
                    self._last = session
                    return SerialLink(self._line, session, owns_line=False)
                self._line.check()
                await self._line.changed.park()

    async def aclose(self) -> None:
        """Reset the session that is on, if any, and close the port."""
        self._closed = True
        session = self._line.endpoint.session
        if session is not None:
            session.fail("the listener was closed")
            self._line.endpoint.dispose(session, trio.current_time())
        self._line.shut()
        await self._line.stopped.wait()


class _Line:
    """The raw stream, its endpoint, and the task that moves bytes between them."""

    def __init__(self, raw: trio.abc.Stream, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.changed = trio.lowlevel.ParkingLot()
        self.stopped = trio.Event()
        self.cause: BaseException | None = None
        self._raw = raw
        self._lost: str | None = None
        self._shutting = False
        self._kicked = trio.Event()
        self._asleep_until = -inf

    def start(self) -> None:
        trio.lowlevel.spawn_system_task(self._run, name="insitu serial link")

    def kick(self) -> None:
        """The endpoint may have something to do earlier than the writing task knows."""
        if self.endpoint.wake_at() < self._asleep_until or self._shutting:
            self._kicked.set()

    def shut(self) -> None:
        """Write what is owed and close the port, in the background; `stopped` tells when."""
        self._shutting = True
        self.kick()

    def check(self) -> None:
        """Raise LinkBroken when the line is lost."""
        if self._lost is not None:
            raise LinkBroken(self._lost, who="serial link") from self.cause

    async def _run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, nursery.cancel_scope)
                nursery.start_soon(self._write, nursery.cancel_scope)
        except Exception as error:
            # a system task must not raise: whatever it is reaches the owner as the cause of LinkBroken
            self._lose("the link itself failed", error)
        finally:
            self._lose("the line was closed")
            with trio.move_on_after(_LAST_WORDS):
                await _close_quietly(self._raw)
            self.stopped.set()

    async def _read(self, scope: trio.CancelScope) -> None:
        try:
            while data := await self._raw.receive_some():
                self.endpoint.receive(data, trio.current_time())
                self.changed.unpark_all()
                self.kick()
            self._lose("the line was hung up")
        except (trio.BrokenResourceError, trio.ClosedResourceError, TransportError) as error:
            self._lose("the line was lost", error)
        scope.cancel()

    async def _write(self, scope: trio.CancelScope) -> None:
        try:
            while not (self._shutting and self.endpoint.idle):
                await self._write_due()
        except (trio.BrokenResourceError, trio.ClosedResourceError, TransportError) as error:
            self._lose("the line was lost", error)
        scope.cancel()

    async def _write_due(self) -> None:
        limit = _LAST_WORDS if self._shutting else self.endpoint.timing.limit
        while data := self.endpoint.transmit(trio.current_time()):
            with trio.move_on_after(limit) as patience:
                await self._raw.send_all(data)
            if patience.cancelled_caught:
                raise LinkBroken(f"the line took nothing for {limit:g} s", who="serial link")
        if self._shutting and self.endpoint.idle:
            return
        self.endpoint.expire(trio.current_time())
        self.changed.unpark_all()
        self._asleep_until = self.endpoint.wake_at()
        with trio.move_on_at(self._asleep_until):
            await self._kicked.wait()
        self._asleep_until = -inf
        self._kicked = trio.Event()

    def _lose(self, reason: str, cause: BaseException | None = None) -> None:
        if self._lost is None:
            self._lost, self.cause = reason, cause
            self.endpoint.lose(reason)
        self.changed.unpark_all()


def _fresh_number() -> int:
    return 1 + secrets.randbelow(2**32 - 1)


async def _close_quietly(raw: trio.abc.Stream) -> None:
    try:
        await raw.aclose()
    except (trio.BrokenResourceError, TransportError):
        return
