"""The mobile's local link (A9): which links are authentic enough, and both of its ends.

One message a frame, in the clear: that nobody else is on this link is what the option rests on. A mobile without a
network of its own has its long-distance link pass through here as well, which proves both ends itself: the module
carries its bytes and reads none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Final

import trio

from ..protocol.channel.trust.conveyed import NumberCame, WordCame
from ..protocol.driver import SEND_SECONDS, Order
from ..protocol.engine import InsituError, ProtocolError, UsageError
from ..protocol.messages import LONGEST_PASSAGE, Conveyance, Message, Passage, encode_message
from ..protocol.parties.mobile import at_module, from_module
from ..transports.errors import LinkBroken, TransportError
from ..transports.framing import FrameChannel
from ..transports.links import Address, Link, serve_links
from .second_link import SecondLink

LONGEST_FRAME: Final = LONGEST_PASSAGE + 16
MOST_PASSAGES: Final = 16
"""Passages that wait until they are taken."""
_ERRORS: Final = (InsituError, TransportError, trio.BrokenResourceError, trio.ClosedResourceError)
AGAIN_SECONDS: Final = 5.0
"""Until a local port that was lost is opened again."""


def check_local(where: Address) -> None:
    """Make sure that nobody but module and mobile is on such a link, as far as its kind tells.

    Raises:
        UsageError: somebody else may be.

    """
    expected = "serial:PATH, or Bluetooth paired by comparing numbers (--paired-by-comparison)"
    if where.kind == "bluetooth":
        if not where.numeric_comparison:
            raise UsageError(
                "Bluetooth that may have been paired in another way",
                who="mobile",
                expected="--paired-by-comparison, if both displays showed the same number",
                got=str(where),
            )
    elif where.kind == "tcp":
        if not is_loopback(where.place):
            expected = f"{expected}; tcp:127.0.0.1:PORT for tests"
            raise UsageError("somebody else may be on this local link", who="mobile", expected=expected, got=str(where))
    elif where.kind != "memory" and where.never_wired:
        raise UsageError(where.never_wired, who="mobile", expected=expected, got=str(where))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class _Messages:
    """Messages over a stream, whole, one at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._channel = FrameChannel(stream)
        self._one = trio.Lock()

    async def send(self, message: Message) -> None:
        async with self._one:
            with trio.move_on_after(SEND_SECONDS):
                await self._channel.send_frame(encode_message(message))
                return
        raise LinkBroken("the other end of the local link takes nothing any more", who="local link")

    async def receive(self) -> bytes | None:
        return await self._channel.receive_frame(LONGEST_FRAME)

    async def aclose(self) -> None:
        await self._channel.aclose()


# The mobile's end --------------------------------------------------------------------------------------------


class AtMobile:
    """The mobile's end, over a stream that it owns from now on; nothing comes while nobody listens.

    Attributes:
        lost: why nothing more comes; None while something may.

    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._messages = _Messages(stream)
        self._said, self._conveyances = trio.open_memory_channel[Conveyance](1)
        self._through, self._passages = trio.open_memory_channel[bytes](MOST_PASSAGES)
        self.lost: Exception | None = None

    async def listen(self) -> None:
        """Take what the module sends, until it ends the link; what is not to come here ends it, too."""
        async with self._said, self._through:
            try:
                while (frame := await self._messages.receive()) is not None:
                    message = from_module(frame)
                    if isinstance(message, Passage):
                        await self._through.send(message.content)
                    else:
                        await self._said.send(message)
                raise ProtocolError("the module ended the local link", who="mobile", expected="what to convey")
            except _ERRORS as error:
                self.lost = error

    async def conveyance(self) -> Conveyance:
        """What the module wants to be conveyed.

        Raises:
            ProtocolError, TransportError: the link is lost, or something else came.

        """
        try:
            return await self._conveyances.receive()
        except trio.EndOfChannel:
            raise _explained(self.lost) from self.lost

    async def send(self, message: Message) -> None:
        """To the module.

        Raises:
            TransportError, trio.BrokenResourceError: the link is lost.

        """
        await self._messages.send(message)

    def tunnel(self) -> trio.abc.Stream:
        """A stream through the module to wherever it was told to reach the unit; one at a time."""
        return _Tunnel(self._messages, self._passages)

    async def aclose(self) -> None:
        """End the link."""
        await self._messages.aclose()


def _explained(error: Exception | None) -> InsituError | TransportError:
    if isinstance(error, (InsituError, TransportError)):
        return error
    return LinkBroken("the local link is lost", who="mobile", got=error or "its end")


class _Tunnel(trio.abc.Stream):
    """The mobile's end of a stream that the module carries on."""

    def __init__(self, messages: _Messages, passages: trio.MemoryReceiveChannel[bytes]) -> None:
        self._messages = messages
        self._passages = passages
        self._rest = b""
        self._ended = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        for piece in _pieces(bytes(data)):
            await self._messages.send(Passage(piece))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._rest and not self._ended:
            try:
                self._rest = await self._passages.receive()
            except trio.EndOfChannel:
                raise LinkBroken("the local link is lost", who="mobile, through the module") from None
            self._ended = not self._rest
        size = len(self._rest) if max_bytes is None else max_bytes
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    async def aclose(self) -> None:
        with suppress(TransportError, trio.BrokenResourceError, trio.ClosedResourceError):
            await self._messages.send(Passage(b""))


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + LONGEST_PASSAGE] for at in range(0, len(data), LONGEST_PASSAGE)]


# The module's end --------------------------------------------------------------------------------------------


Dial = Callable[[], Awaitable[trio.abc.Stream]]


class LocalPort:
    """Where mobiles are plugged in at a module. One is there at a time: a new one takes the place of the one before.

    Args:
        tell: gets a line for each error.
        reach_unit: opens the way to the unit for mobiles whose long-distance link passes through here; None: none may.

    """

    def __init__(self, *, tell: Callable[[str], None], reach_unit: Dial | None = None) -> None:
        self._tell = tell
        self._reach_unit = reach_unit
        self._session: SecondLink | None = None
        self._conveyance: Conveyance | None = None
        self._wanted = trio.Event()
        self._present: trio.CancelScope | None = None

    def open(self) -> SecondLink:
        """For one session of the module, which speaks first."""
        link = SecondLink(lambda message: self._forward(link, message))
        return link

    def _forward(self, link: SecondLink, message: object) -> None:
        if not isinstance(message, Conveyance):
            raise UsageError("not for a mobile", who="module", expected="Conveyance", got=type(message).__name__)
        self._session, self._conveyance = link, message
        self._wanted.set()
        self._wanted = trio.Event()

    async def serve(
        self, address: Address, *, task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Wait for mobiles at `address`, until cancelled; a port that is lost later is told of and opened again.

        Raises:
            UsageError: somebody else may be on such a link.
            LinkError: why nobody can be awaited there.

        """
        check_local(address)
        async with trio.open_nursery() as nursery:
            places: list[Address] = await nursery.start(partial(self._serve, address))
            task_status.started(places)

    async def _serve(self, address: Address, *, task_status: trio.TaskStatus[list[Address]]) -> None:
        started = False

        class Once(trio.TaskStatus[list[Address]]):
            def started(self, value: list[Address] | None = None) -> None:
                nonlocal started
                if not started:
                    started = True
                    task_status.started(value or [])

        while True:
            try:
                await serve_links(address, self.attend, task_status=Once())
            except TransportError as error:
                if not started:
                    raise
                self._tell(str(error))
            await trio.sleep(AGAIN_SECONDS)

    async def attend(self, link: Link) -> None:
        """A mobile is there."""
        if self._present is not None:
            self._present.cancel()
        with trio.CancelScope() as self._present:
            messages = _Messages(link.stream)
            async with trio.open_nursery() as reports:  # what it said counts, also if it leaves at once
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._say, messages)
                        await self._listen(messages, nursery, reports)
                        nursery.cancel_scope.cancel()
                except* _ERRORS as errors:
                    self._tell(f"mobile: {_first(errors)}")

    async def _say(self, messages: _Messages) -> None:
        """Each session's wish, once for each mobile that is plugged in."""
        said: Conveyance | None = None
        while True:
            session, wish = self._session, self._conveyance
            if session is not None and wish is not None and wish is not said and not session.closed:
                said = wish
                await messages.send(wish)
            else:
                await self._wanted.wait()

    async def _listen(self, messages: _Messages, nursery: trio.Nursery, reports: trio.Nursery) -> None:
        tunnel: trio.MemorySendChannel[bytes] | None = None
        while (frame := await messages.receive()) is not None:
            match at_module(frame):
                case Passage(content):
                    if content and tunnel is None:
                        tunnel, passages = trio.open_memory_channel[bytes](MOST_PASSAGES)
                        nursery.start_soon(self._carry, messages, passages)
                    if tunnel is not None:
                        with suppress(trio.BrokenResourceError):
                            await tunnel.send(content)
                        tunnel = tunnel if content else None
                case NumberCame() | WordCame() as event:
                    if self._session is None:
                        raise ProtocolError("a mobile that nobody asked", who="module", got=type(event).__name__)
                    reports.start_soon(self._see_to, self._session.report(event))

    async def _see_to(self, order: Order) -> None:
        try:
            await order.wait()
        except InsituError as error:
            self._tell(f"mobile: {error}")

    async def _carry(self, messages: _Messages, passages: trio.MemoryReceiveChannel[bytes]) -> None:
        """The mobile's long-distance link, through us, until either end of it ends."""
        async with passages:
            try:
                if self._reach_unit is None:
                    raise UsageError("a mobile wants to reach the unit through us", expected="--mobile-through")
                async with await self._reach_unit() as unit, trio.open_nursery() as nursery:
                    nursery.start_soon(_upwards, passages, unit, nursery.cancel_scope)
                    while data := await unit.receive_some(LONGEST_PASSAGE):
                        await messages.send(Passage(bytes(data)))
                    nursery.cancel_scope.cancel()
            except* _ERRORS as errors:
                self._tell(f"mobile: {_first(errors)}")
            await messages.send(Passage(b""))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _upwards(passages: trio.MemoryReceiveChannel[bytes], unit: trio.abc.Stream, scope: trio.CancelScope) -> None:
    async for content in passages:
        if not content:
            break
        await unit.send_all(content)
    scope.cancel()
