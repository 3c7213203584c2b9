"""The driver: runs one session over any trio stream. The only file of the core that knows trio.

It performs effects in order and feeds what comes of them back: frames, answers of key memory, timeouts, orders.

One task does all of it, since a central system may have ten thousand sessions that wait: what else may happen while it
reads (an order, a person's answer, a deadline) interrupts the reading, which loses nothing by that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
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
    Forward,
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

KEY_THREADS: Final = 8
"""Worker threads that may wait for key memory at once: a token that hangs leaves the others to registry and storage."""
FAREWELL_SECONDS: Final = 5.0
"""How long closing the link in good order may take before it is cut."""


class Order:
    """A local event for a running session, and where its refusal goes: `wait` returns when the session is done with it.

    Whoever stops waiting before the session has taken it takes it back.

    Attributes:
        taken: the session began with it.

    """

    def __init__(self, event: object) -> None:
        self.event = event
        self.taken = False
        self._begun = trio.Event()
        self._done = trio.Event()
        self._error: InsituError | None = None

    async def until_taken(self) -> None:
        """Until the session began with it, or it was refused."""
        try:
            await self._begun.wait()
        except trio.Cancelled:
            if not self.taken:  # in the same moment, it counts as taken; the next wait is cancelled
                self.settle(StateError("nobody waits for it any more"))
                raise

    async def wait(self) -> None:
        """Until the session is done with the event.

        Raises:
            InsituError: it was refused, or the session ended first.

        """
        if not self._begun.is_set():
            await self.until_taken()
        if not self._done.is_set():
            await self._done.wait()
        if self._error is not None:
            raise self._error

    def take(self) -> object:
        """The event, for the session that begins with it."""
        self.taken = True
        self._begun.set()
        return self.event

    @property
    def settled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._done.is_set()

    def settle(self, error: InsituError | None) -> None:
        """The session took the event, or refused it with `error`. What was settled first counts."""
        if not self._done.is_set():
            self._error = error
            self._done.set()
            self._begun.set()


class Orders:
    """Where orders for one session wait until it takes them, one after the other.

    The driver puts people's answers there as well, and says in `reading` what is to be cancelled when something came.
    """

    __slots__ = ("_late", "_waiting", "reading")

    def __init__(self) -> None:
        self._waiting: list[_Item] = []
        self.reading: trio.CancelScope | None = None
        self._late: InsituError | None = None

    def put(self, order: Order) -> None:
        """The session takes the order next; once it has ended, orders are refused."""
        if self._late is not None:
            order.settle(self._late)
        else:
            self.add(order)

    @property
    def closed(self) -> bool:
        """Whether orders are refused."""
        return self._late is not None

    def close(self, late: InsituError) -> None:
        """Refuse with `late` what waits, and whatever comes later."""
        self._late = late
        while self._waiting:
            item = self._waiting.pop(0)
            if isinstance(item, Order):
                item.settle(late)

    def add(self, item: _Item) -> None:
        """Something to be taken: for the driver."""
        self._waiting.append(item)
        if self.reading is not None:
            self.reading.cancel()

    def take(self) -> _Item | None:
        """What is to be taken next: for the driver."""
        return self._waiting.pop(0) if self._waiting else None


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
        stream: any byte stream whose reading may be cancelled without loss; frames are made here.
        ports: key memory, storage, look-ups and notes of the party.
        now: unix seconds.
        orders: local events for the party while the channel stands. The session's own from now on: they are closed at
            the end, and those that still wait are refused.
        scope: whoever cancels it ends the session from this side.

    Raises:
        InsituError: `session.error`, if it did not end in good order.
        StateError: `scope` was cancelled.

    """
    orders = Orders() if orders is None else orders
    channel = FrameChannel(stream)
    driver = _Driver(session, channel, ports, now, orders)
    try:
        with nullcontext() if scope is None else scope:
            if ports.asks_people:
                async with trio.open_nursery() as nursery:
                    await driver.serve(nursery)
                    nursery.cancel_scope.cancel()
            else:
                await driver.serve(None)
    finally:
        orders.close(_too_late(session.party))
        with trio.move_on_after(FAREWELL_SECONDS) as farewell:
            farewell.shield = True
            await channel.aclose()
    if session.error is not None:
        raise session.error
    if scope is not None and scope.cancelled_caught:
        raise StateError("the session was ended from this side", who=session.party)
    return session


class _Answer:
    """What a person said."""

    def __init__(self, event: object) -> None:
        self.event = event


_Item: TypeAlias = Order | _Answer | InsituError


class _Driver:
    __slots__ = ("_channel", "_gone", "_inbox", "_now", "_nursery", "_ports", "_session", "_timers")

    def __init__(
        self, session: Session[S, D], channel: FrameChannel, ports: Ports, now: Callable[[], int], inbox: Orders
    ) -> None:
        self._session = session
        self._channel = channel
        self._ports = ports
        self._now = now
        self._inbox = inbox
        self._timers: dict[str, float] = {}
        self._gone = False
        self._nursery: trio.Nursery | None = None

    async def serve(self, nursery: trio.Nursery | None) -> None:
        """One event at a time, until the session is closed; people are asked in `nursery`.

        What waits is here and in no coroutine of its own, of which there would be ten thousand.
        """
        session, self._nursery = self._session, nursery
        await self._perform(session.start(self._now()))
        while not session.closed:
            timer = min(self._timers, key=self._timers.__getitem__, default=None)
            deadline = inf if timer is None else self._timers[timer]
            if timer is not None and deadline <= trio.current_time():  # whatever else there is: a peer may send on
                del self._timers[timer]
                await self._perform(session.expire(timer, self._now()))
                continue
            if (item := self._inbox.take()) is not None:
                await self._attend_to(item)
                continue
            came: bytes | str | ProtocolError | None = None
            with self._reading_until(deadline):
                try:
                    if self._channel.has_more:
                        await trio.lowlevel.checkpoint()  # a peer that sends many frames at once holds up nobody
                    else:
                        session.rest()
                    limit = MAX_FRAME if session.is_open else HANDSHAKE_FRAME
                    came = await self._channel.receive_frame(limit) or "the other side ended the link"
                except (FrameError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    came = self._what_is_wrong(error)
            await self._take_in(came)

    async def _attend_to(self, item: _Item) -> None:
        if isinstance(item, Order):
            await self._obey(item)
        elif isinstance(item, _Answer):
            await self._perform(self._session.answer(item.event, self._now()))
        else:
            await self._perform(self._session.fail(item))

    def _reading_until(self, deadline: float) -> trio.CancelScope:
        """Reading ends at `deadline`, or when something else is to be done."""
        self._inbox.reading = trio.CancelScope(deadline=deadline)
        return self._inbox.reading

    async def _take_in(self, came: bytes | str | ProtocolError | None) -> None:
        """The next frame, the end of the link, or None: time is over, or something else is to be done."""
        self._inbox.reading = None
        await trio.lowlevel.checkpoint_if_cancelled()  # whoever ended the session meanwhile may have taken its keys
        if isinstance(came, bytes):
            await self._perform(self._session.receive(came, self._now()))
        elif isinstance(came, ProtocolError):
            await self._perform(self._session.fail(came))
        elif came is not None:
            await self._perform(self._session.lost(came))

    def _what_is_wrong(self, error: Exception) -> str | ProtocolError:
        """Why the link ended, or what is wrong with what came."""
        if isinstance(error, FrameError) and not isinstance(error, FrameTruncated):
            who, expected, got = self._session.party, error.expected, error.got
            return ProtocolError(error.summary, who=who, expected=expected, got=got, fault=Fault.MALFORMED)
        return str(error) or "link broken"

    async def _obey(self, order: Order) -> None:
        if order.settled:
            return
        try:
            await self._perform(self._session.submit(order.take(), self._now()))
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
                case Show() | Forward():  # by far the most frequent
                    perform(effect, self._ports)
                case Transmit(frames):
                    flight += frames
                case StartTimer(timer, seconds):
                    self._timers[timer] = trio.current_time() + seconds
                case StopTimer(timer):
                    self._timers.pop(timer, None)
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
        if isinstance(effect, Consult) and self._nursery is not None:
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
            limiter = _key_threads() if by_keys else None
            return await trio.to_thread.run_sync(perform, effect, self._ports, limiter=limiter)
        return perform(effect, self._ports)

    async def _consult(self, effect: Consult) -> None:
        """Ask a person, who may take minutes or have gone: meanwhile the link may be lost and deadlines pass."""
        item: _Item
        try:
            if self._ports.confer is not None:
                item = _Answer(await self._ports.confer(effect))
            else:
                item = _Answer(await trio.to_thread.run_sync(perform, effect, self._ports, abandon_on_cancel=True))
        except InsituError as error:
            item = error
        self._inbox.add(item)

    async def _transmit(self, frames: list[bytes]) -> Outcome:
        """Send one flight; what follows if that cannot be done. After that, nothing more is sent."""
        if not frames or self._gone:
            return []
        reason = "the other side does not read"
        try:
            with trio.move_on_after(SEND_SECONDS):
                await self._channel.send_frames(frames)
                return []
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            reason = str(error) or "link broken"
        self._gone = True
        return self._session.lost(reason)


_limiter: Final[trio.lowlevel.RunVar[trio.CapacityLimiter]] = trio.lowlevel.RunVar("key threads")


def _key_threads() -> trio.CapacityLimiter:
    """Of this run of trio."""
    try:
        return _limiter.get()
    except LookupError:
        _limiter.set(trio.CapacityLimiter(KEY_THREADS))
        return _limiter.get()


def _too_late(party: str) -> StateError:
    return StateError("the session ended first", who=party)
