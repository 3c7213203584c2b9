"""The peer of a party under test: a real one, with real keys, up to some message; then it says what it is given.

A Puppet is a session like any other until it turns. What it then says is sealed for the channel, so that it reaches
the places behind the cryptography. It goes over any stream: to a party in this process or to a device on a line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Any, Final, TypeVar

import trio

from ..protocol.driver import Order, Orders
from ..protocol.engine import Close, InsituError, ProtocolError, Send, StartTimer, StateError, StopTimer
from ..protocol.messages import DecodeError, FaultNotice, Message, decode_message, encode_message
from ..protocol.ports import Ports, perform
from ..protocol.session import Outcome, Session, Transmit
from ..transports.errors import TransportError
from ..transports.framing import FrameChannel

S = TypeVar("S", bound=Enum)
D = TypeVar("D")

NEVER: Final = 1 << 30
"""A turn that is not taken: the whole conversation is the real one."""


class Puppet(Session[S, D]):
    """A session that turns.

    Attributes:
        turn: how many messages of its own it says in the channel before.
        says: the payloads that it says then, instead of the next one.
        twist: makes these payloads of the one that it would have said; None: `says` stands as it is.
        said: the payloads that it said by itself.
        turned: it has turned.
        heard: the payloads that came since.
        wishes: what its own side wants once it is in the state of this name.
        orders: what comes over its second link, to a mobile.

    """

    turn: int = NEVER
    says: tuple[bytes, ...] = ()
    twist: Callable[[bytes], tuple[bytes, ...]] | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as Session
        super().__init__(*arguments, **options)
        self.said: list[bytes] = []
        self.heard: list[bytes] = []
        self.turned = False
        self.wishes: dict[str, list[object]] = {}
        self.orders = Orders()

    def receive(self, frame: bytes, at: int) -> Outcome:
        """A frame arrived; once turned, it is only opened."""
        if not self.turned:
            return super().receive(frame, at)
        if self._records is not None and not self.closed:
            try:
                payload = self._records.open(frame)
            except ProtocolError:
                self.closed = True
            else:
                self.heard += [] if payload is None else [payload]
        return []

    def _send(self, message: object) -> Outcome:
        if self.turned:
            return []
        if len(self.said) < self.turn:
            self.said.append(encode_message(message))  # type: ignore[arg-type]
            return super()._send(message)
        self.turned = True
        if self.twist is not None:
            self.says = self.twist(encode_message(message))  # type: ignore[arg-type]
        records = self._records
        frames = () if records is None else tuple(frame for payload in self.says for frame in records.seal(payload))
        return [Transmit(frames)]

    @property
    def told(self) -> list[Message]:
        """The messages among what it heard."""
        found = []
        for payload in self.heard:
            try:
                found.append(decode_message(payload))
            except DecodeError:
                continue
        return found

    @property
    def faults(self) -> list[int]:
        """The codes of the refusals that it heard."""
        return [int(each.code) for each in self.told if isinstance(each, FaultNotice)]


@dataclass
class Played:
    """How a puppet's conversation went.

    Attributes:
        frames: what came over the link, frame by frame.
        error: why it ended, where the link or the other side ended it.
        ended: the link, and not the time for it.

    """

    frames: list[bytes] = field(default_factory=list)
    error: Exception | None = None
    ended: bool = False


async def play(
    puppet: Puppet[Any, Any],
    stream: trio.abc.Stream,
    ports: Ports,
    *,
    now: Callable[[], int],
    linger: float,
    hangs_up: bool = True,
    played: Played | None = None,
    until_turned: trio.CancelScope | None = None,
) -> Played:
    """Run a puppet over `stream` to the other side's end, or for `linger` seconds after it has turned.

    Args:
        puppet: not started yet.
        stream: closed afterwards.
        ports: of the puppet's own party.
        now: unix seconds.
        linger: seconds.
        hangs_up: its own direction is closed once it has turned and said what it says.
        played: what is written there, for who ends this before; None: a new one.
        until_turned: a scope around this whose deadline counts no more once it has turned.

    """
    channel, played = FrameChannel(stream), Played() if played is None else played
    try:
        async with stream:
            await _follow(puppet, channel, ports, now, puppet.start(now()))
            while not puppet.closed and not puppet.turned:
                came = await _next(puppet, channel)
                if came is None:
                    break
                if isinstance(came, Order):
                    await _follow(puppet, channel, ports, now, puppet.submit(came.take(), now()))
                    came.settle(None)
                    continue
                played.frames.append(came)
                await _follow(puppet, channel, ports, now, puppet.receive(came, now()))
                for wish in puppet.wishes.pop(puppet.state.name, []):
                    await _follow(puppet, channel, ports, now, puppet.submit(wish, now()))
            if puppet.turned and until_turned is not None:
                until_turned.deadline = inf
            if puppet.turned:
                if hangs_up and isinstance(channel.stream, trio.abc.HalfCloseableStream):
                    await channel.stream.send_eof()
                await _listen(puppet, channel, played, now, linger)
            else:
                played.ended = True
    except (trio.BrokenResourceError, trio.ClosedResourceError, TransportError, InsituError) as error:
        played.error, played.ended = error, True
    finally:
        puppet.orders.close(StateError("the session is over", who="puppet"))
    return played


async def _next(puppet: Puppet[Any, Any], channel: FrameChannel) -> bytes | Order | None:
    """What came over the second link, else the next frame; None: the link ended."""
    while True:
        if isinstance(order := puppet.orders.take(), Order):
            return order
        with trio.CancelScope() as puppet.orders.reading:
            return await channel.receive_frame()


async def _listen(
    puppet: Puppet[Any, Any], channel: FrameChannel, played: Played, now: Callable[[], int], linger: float
) -> None:
    """Nothing more is said; whatever comes is taken, until the other side ends the link."""
    with trio.move_on_after(linger):
        while (frame := await channel.receive_frame()) is not None:
            played.frames.append(frame)
            puppet.receive(frame, now())
        played.ended = True


async def _follow(
    puppet: Puppet[Any, Any], channel: FrameChannel, ports: Ports, now: Callable[[], int], outcome: Iterable[Any]
) -> None:
    queue = deque(outcome)
    while queue:
        match queue.popleft():
            case Transmit(frames):
                if frames:
                    await channel.send_frames(frames)
            case StartTimer() | StopTimer() | Close() | Send():
                pass
            case effect:
                try:
                    answer = perform(effect, ports)
                except InsituError as error:
                    queue = deque(puppet.undone(error))
                    continue
                if answer is not None:
                    queue.extend(puppet.answer(answer, now()))


class Dribble(trio.abc.HalfCloseableStream):
    """A stream that sends byte by byte."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See Stream."""
        for at in range(len(data)):
            await self._stream.send_all(data[at : at + 1])

    async def wait_send_all_might_not_block(self) -> None:
        """See Stream."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """See Stream."""
        await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See Stream."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """See Stream."""
        await self._stream.aclose()
