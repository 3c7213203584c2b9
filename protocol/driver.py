"""The driver: runs one session over any trio stream. The only file of the core that knows trio.

It performs effects in order and feeds what comes of them back: frames, answers of key memory, timeouts, orders.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from math import inf
from typing import Final, TypeAlias, TypeVar

import trio

from insitu.transports.errors import FrameError, FrameTruncated
from insitu.transports.framing import MAX_FRAME, FrameChannel

from .engine import (
    Close,
    Consult,
    Effect,
    Fault,
    FinishPake,
    InsituError,
    KeyOperation,
    LookUp,
    Persist,
    ProtocolError,
    Send,
    Show,
    StartPake,
    StartTimer,
    StateError,
    StopTimer,
)
from .ports import Ports, perform
from .session import HANDSHAKE_FRAME as HANDSHAKE_FRAME
from .session import SEND_SECONDS as SEND_SECONDS
from .session import Outcome, Session, Transmit

S = TypeVar("S", bound=Enum)
D = TypeVar("D")

FAREWELL_SECONDS: Final = 5.0
"""How long closing the link in good order may take before it is cut."""

Orders: TypeAlias = "trio.MemoryReceiveChannel[Order]"


class Order:
    """A local event for a running session, and where its refusal goes: `wait` returns when it was taken."""

    def __init__(self, event: object) -> None:
        self.event = event
        self._done = trio.Event()
        self._error: InsituError | None = None

    async def wait(self) -> None:
        """Until the session took the event.

        Raises:
            InsituError: it was refused, or the session ended first.

        """
        await self._done.wait()
        if self._error is not None:
            raise self._error

    def settle(self, error: InsituError | None) -> None:
        """The session took the event, or refused it with `error`. What was settled first counts."""
        if not self._done.is_set():
            self._error = error
            self._done.set()


async def run(
    session: Session[S, D],
    stream: trio.abc.Stream,
    ports: Ports,
    *,
    now: Callable[[], int],
    orders: Orders | None = None,
    scope: trio.CancelScope | None = None,
) -> Session[S, D]:
    """Run `session` to its end over `stream`, which is closed then; the session itself, for its state and data.

    Args:
        session: not started yet.
        stream: any byte stream; frames are made here.
        ports: key memory, storage, look-ups and notes of the party.
        now: unix seconds.
        orders: local events for the party while the channel stands. The session's own from now on: it is closed at
            the end, and orders that still wait in it are refused.
        scope: whoever cancels it ends the session from this side.

    Raises:
        InsituError: `session.error`, if it did not end in good order.
        StateError: `scope` was cancelled.

    """
    channel = FrameChannel(stream, lambda: MAX_FRAME if session.is_open else HANDSHAKE_FRAME)
    driver = _Driver(session, channel, ports, now)
    scope = trio.CancelScope() if scope is None else scope
    try:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(driver.read)
                if orders is not None:
                    nursery.start_soon(driver.take, orders)
                await driver.serve(nursery)
                nursery.cancel_scope.cancel()
    finally:
        if orders is not None:
            _refuse_rest(orders, session.party)
        with trio.move_on_after(FAREWELL_SECONDS) as farewell:
            farewell.shield = True
            await channel.aclose()
    if session.error is not None:
        raise session.error
    if scope.cancelled_caught:
        raise StateError("the session was ended from this side", who=session.party)
    return session


class _Lost:
    """The reader's last word."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class _Answer:
    """What a person said."""

    def __init__(self, event: object) -> None:
        self.event = event


_Item: TypeAlias = "bytes | _Lost | _Answer | Order | InsituError"


class _Driver:
    def __init__(self, session: Session[S, D], channel: FrameChannel, ports: Ports, now: Callable[[], int]) -> None:
        self._session = session
        self._channel = channel
        self._ports = ports
        self._now = now
        self._timers: dict[str, float] = {}
        self._gone = False
        self._nursery: trio.Nursery | None = None
        self._into: trio.MemorySendChannel[_Item]
        self._inbox: trio.MemoryReceiveChannel[_Item]
        self._into, self._inbox = trio.open_memory_channel(0)

    async def read(self) -> None:
        """Frames from the link into the inbox, until it ends."""
        while True:
            try:
                frame = await self._channel.receive_frame()
            except FrameTruncated as error:
                await self._into.send(_Lost(str(error)))
                return
            except FrameError as error:
                who, expected, got = self._session.party, error.expected, error.got
                fault = ProtocolError(error.summary, who=who, expected=expected, got=got, fault=Fault.MALFORMED)
                await self._into.send(fault)
                return
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                await self._into.send(_Lost(str(error) or "link broken"))
                return
            if frame is None:
                await self._into.send(_Lost("the other side ended the link"))
                return
            await self._into.send(frame)

    async def take(self, orders: Orders) -> None:
        """Orders into the inbox."""
        async for order in orders:
            try:
                await self._into.send(order)
            except BaseException:
                order.settle(_too_late(self._session.party))
                raise

    async def serve(self, nursery: trio.Nursery) -> None:
        """One event at a time, until the session is closed."""
        session, self._nursery = self._session, nursery
        await self._perform(session.start(self._now()))
        while not session.closed:
            deadline = min(self._timers.values(), default=inf)
            item: _Item | None = None
            with trio.move_on_at(deadline):
                item = await self._inbox.receive()
            if item is None:
                timer = min(self._timers, key=lambda name: self._timers[name])
                del self._timers[timer]
                await self._perform(session.expire(timer, self._now()))
            elif isinstance(item, bytes):
                await self._perform(session.receive(item, self._now()))
            elif isinstance(item, Order):
                await self._obey(item)
            elif isinstance(item, _Answer):
                await self._perform(session.answer(item.event, self._now()))
            elif isinstance(item, InsituError):
                await self._perform(session.fail(item))
            else:
                await self._perform(session.lost(item.reason))

    async def _obey(self, order: Order) -> None:
        try:
            await self._perform(self._session.submit(order.event, self._now()))
            order.settle(self._session.error)
        except InsituError as error:
            order.settle(error)
        finally:
            order.settle(_too_late(self._session.party))

    async def _perform(self, outcome: Outcome) -> None:
        """In order; frames gather until something else takes time, so that a flight is one write."""
        queue = deque(outcome)
        flight: list[bytes] = []
        while queue or flight:
            effect = queue.popleft() if queue else None
            match effect:
                case Transmit(frames):
                    flight += frames
                case StartTimer(timer, seconds):
                    self._timers[timer] = trio.current_time() + seconds
                case StopTimer(timer):
                    self._timers.pop(timer, None)
                case Show():
                    perform(effect, self._ports)
                case Close() | Send():
                    pass
                case _:
                    queue.extend(await self._transmit(flight))
                    flight = []
                    if effect is not None:
                        queue = await self._follow(effect, queue)

    async def _follow(
        self, effect: Persist | LookUp | Consult | KeyOperation, queue: deque[Effect | Transmit]
    ) -> deque[Effect | Transmit]:
        """Perform an effect that takes time; what is to be done after it."""
        if isinstance(effect, Consult) and (self._ports.blocking or self._ports.patient) and self._nursery is not None:
            self._nursery.start_soon(self._consult, effect)
            return queue
        try:
            answer = await self._ask(effect)
        except InsituError as error:
            return deque(self._session.undone(error))
        if answer is not None:
            queue.extend(self._session.answer(answer, self._now()))
        return queue

    async def _ask(self, effect: Persist | LookUp | Consult | KeyOperation) -> object | None:
        by_keys = not isinstance(effect, (Persist, LookUp, Consult))
        slow = isinstance(effect, (StartPake, FinishPake)) or not self._ports.keys.answers_at_once
        if slow if by_keys else self._ports.blocking:
            return await trio.to_thread.run_sync(perform, effect, self._ports)
        return perform(effect, self._ports)

    async def _consult(self, effect: Consult) -> None:
        """Ask a person, who may take minutes or have gone: meanwhile the link may be lost and deadlines pass."""
        item: _Answer | InsituError
        try:
            item = _Answer(await trio.to_thread.run_sync(perform, effect, self._ports, abandon_on_cancel=True))
        except InsituError as error:
            item = error
        await self._into.send(item)

    async def _transmit(self, frames: list[bytes]) -> Outcome:
        """Send one flight; what follows if that cannot be done. After that, nothing more is sent."""
        if not frames or self._gone:
            return []
        try:
            with trio.fail_after(SEND_SECONDS):
                await self._channel.send_frames(frames)
        except trio.TooSlowError:
            reason = "the other side does not read"
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            reason = str(error) or "link broken"
        else:
            return []
        self._gone = True
        return self._session.lost(reason)


def _refuse_rest(orders: Orders, party: str) -> None:
    """Settle the orders that came too late, and take no more."""
    with suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
        while True:
            orders.receive_nowait().settle(_too_late(party))
    orders.close()


def _too_late(party: str) -> StateError:
    return StateError("the session ended first", who=party)
