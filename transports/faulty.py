"""Bad lines on purpose: damage, loss, doubling, noise, delay, an emulated baud rate, cuts and stalls, all by seed.

`Damage` is the part without I/O: the same faults and seed do the same to the same bytes, however they are cut into
pieces. `FaultyStream` wraps one stream, `relay` stands between two. Time is trio's, so a test's clock may jump.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from math import inf, log
from random import Random
from typing import Final

import trio

from .errors import AddressError, LinkBroken
from .streams import send_eof

BITS_PER_BYTE: Final = 10
"""On an asynchronous line: start bit, eight bits, stop bit (8N1)."""

_PIECE: Final = 16
"""Bytes that pass a paced relay at once, as much as a UART collects before it interrupts."""

_PIECE_UNPACED: Final = 4_096
_QUEUE: Final = 8
"""Pieces on their way through a relay beyond what its delay holds; a reader that stops is soon felt by the sender."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with one direction of a line. The default is a clean line of infinite speed.

    Attributes:
        bit_errors: probability that a bit arrives wrong, each of the eight bits of each byte.
        losses: probability that a byte does not arrive.
        doubles: probability that a byte arrives twice.
        bursts: probability, for each byte, that a burst of noise begins there.
        burst_length: bytes that a burst replaces by random ones.
        junk: random bytes that arrive before the first.
        baud: bits per second of an emulated line, ten for each byte; None for no limit.
        delay: seconds on the way, beside the pace.
        cut_after: bytes after which the line drops, both ways; None for never.
        stall_after: bytes after which nothing is taken any more, without any sign; None for never.

    """

    bit_errors: float = 0.0
    losses: float = 0.0
    doubles: float = 0.0
    bursts: float = 0.0
    burst_length: int = 24
    junk: int = 0
    baud: int | None = None
    delay: float = 0.0
    cut_after: int | None = None
    stall_after: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no line can be."""
        for name in ("bit_errors", "losses", "doubles", "bursts"):
            if not 0 <= getattr(self, name) <= 1:
                raise AddressError(f"{name} is a probability", who="faults", expected="0 to 1", got=getattr(self, name))
        if self.baud is not None and self.baud < 1:
            raise AddressError("no such speed", who="faults", expected="baud of at least 1", got=self.baud)


CLEAN: Final = Faults()


class Damage:
    """What a line does to the bytes that pass it; deterministic in faults, seed and bytes."""

    def __init__(self, faults: Faults, seed: int | str = 0) -> None:
        def chance(kind: str, rate: float) -> _Chance:
            return _Chance(rate, Random(f"{seed}/{kind}"))  # noqa: S311  reproducible noise, not a secret

        self._bits = chance("bits", faults.bit_errors)
        self._losses = chance("losses", faults.losses)
        self._doubles = chance("doubles", faults.doubles)
        self._bursts = chance("bursts", faults.bursts)
        self._burst_length = faults.burst_length
        self._burst_left = 0
        self._noise = Random(f"{seed}/noise")  # noqa: S311
        self._junk = faults.junk

    def apply(self, data: bytes | bytearray) -> bytes:
        """What arrives of `data`, the next bytes sent."""
        junk, self._junk = (self._noise.randbytes(self._junk), 0) if data else (b"", self._junk)
        arriving = bytearray(data)
        for place in self._bits.hits(8 * len(data)):
            arriving[place >> 3] ^= 1 << (place & 7)
        self._burst(arriving)
        lost = set(self._losses.hits(len(data)))
        doubled = set(self._doubles.hits(len(data)))
        if lost or doubled:
            copies = (0 if place in lost else 2 if place in doubled else 1 for place in range(len(arriving)))
            arriving = bytearray(byte for byte, count in zip(arriving, copies, strict=True) for _ in range(count))
        return junk + bytes(arriving)

    def _burst(self, arriving: bytearray) -> None:
        begins = set(self._bursts.hits(len(arriving)))
        if not begins and not self._burst_left:
            return
        for place in range(len(arriving)):
            if place in begins:
                self._burst_left = self._burst_length
            if self._burst_left:
                self._burst_left -= 1
                arriving[place] = self._noise.randrange(256)


class _Chance:
    """Where an event of the given rate happens, counted through all calls: geometric gaps, one draw an event."""

    def __init__(self, rate: float, random: Random) -> None:
        self._rate = rate
        self._random = random
        self._next = self._gap()

    def hits(self, count: int) -> Iterator[int]:
        """The places among the next `count`."""
        while self._next < count:
            yield int(self._next)
            self._next += 1 + self._gap()
        self._next -= count

    def _gap(self) -> float:
        if self._rate <= 0:
            return inf
        if self._rate >= 1:
            return 0
        return float(int(log(1.0 - self._random.random()) / log(1.0 - self._rate)))


class Fate(Enum):
    """What becomes of a line after some bytes."""

    NONE = "none"
    CUT = "cut"
    STALL = "stall"


class _Direction:
    """One direction of a bad line: how much may pass, what becomes of it, how long it takes."""

    def __init__(self, faults: Faults, seed: int | str) -> None:
        self.faults = faults
        self._damage = Damage(faults, seed)
        self._passed = 0

    def admit(self, data: bytes) -> tuple[bytes, Fate]:
        """What passes of `data`, damaged, and what happens to the line after it."""
        cut_at = inf if self.faults.cut_after is None else self.faults.cut_after
        stall_at = inf if self.faults.stall_after is None else self.faults.stall_after
        room = max(0, min(cut_at, stall_at) - self._passed)
        self._passed += len(data)
        if len(data) < room:
            return self._damage.apply(data), Fate.NONE
        return self._damage.apply(data[: int(room)]), Fate.CUT if cut_at <= stall_at else Fate.STALL

    def arrival(self, count: int) -> float:
        """When the last of `count` bytes that begin to cross now has crossed, the delay not counted."""
        taken = 0.0 if self.faults.baud is None else count * BITS_PER_BYTE / self.faults.baud
        return trio.current_time() + taken


class FaultyStream(trio.abc.HalfCloseableStream):
    """`stream` behind a bad line: `sending` befalls what is sent, `receiving` what is received.

    A send takes the time that its bytes take on the line, and the delay. When the line drops, the stream beneath is
    closed and both sides of this one raise LinkBroken.
    """

    def __init__(
        self, stream: trio.abc.Stream, *, sending: Faults = CLEAN, receiving: Faults = CLEAN, seed: int | str = 0
    ) -> None:
        self._stream = stream
        self._out = _Direction(sending, f"{seed}/sending")
        self._in = _Direction(receiving, f"{seed}/receiving")
        self._arriving: tuple[float, bytes] | None = None
        self._fate = Fate.NONE
        self._dropped = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send what the line lets through."""
        self._check()
        passing, fate = self._out.admit(bytes(data))
        until = self._out.arrival(len(data)) + self._out.faults.delay
        if until > trio.current_time():
            await trio.sleep_until(until)
        await self._stream.send_all(passing)
        await self._suffer(fate)

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream's."""
        self._check()
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive what the line lets through; doubled bytes and junk may exceed `max_bytes`."""
        while True:
            self._check()
            if self._arriving is None:
                await self._suffer(self._fate)
                data = await self._stream.receive_some(max_bytes)
                if not data:
                    return data
                passing, self._fate = self._in.admit(bytes(data))
                self._arriving = self._in.arrival(len(data)) + self._in.faults.delay, passing
            arrival, passing = self._arriving
            await trio.sleep_until(arrival)
            self._arriving = None
            if passing:
                return passing

    async def send_eof(self) -> None:
        """As the stream's, where it can."""
        self._check()
        await send_eof(self._stream)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def _check(self) -> None:
        if self._dropped:
            raise LinkBroken("the line was cut", who="faulty stream")

    async def _suffer(self, fate: Fate) -> None:
        if fate is Fate.CUT:
            self._dropped = True
            await trio.aclose_forcefully(self._stream)
            self._check()
        elif fate is Fate.STALL:
            await trio.sleep_forever()


async def relay(
    left: trio.abc.Stream,
    right: trio.abc.Stream,
    *,
    to_right: Faults = CLEAN,
    to_left: Faults = CLEAN,
    seed: int | str = 0,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Carry bytes between two streams over a bad line until it drops or both have ended; closes both.

    An end on one side reaches the other as an end where that stream can send one. A stream that breaks ends the relay:
    errors of the two streams are not raised, they are what a line does.
    """
    task_status.started()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_Way(left, right, to_right, f"{seed}/right").run, nursery.cancel_scope)
            nursery.start_soon(_Way(right, left, to_left, f"{seed}/left").run, nursery.cancel_scope)
    finally:
        try:
            await trio.aclose_forcefully(left)
        finally:  # closing is where a cancellation is felt
            await trio.aclose_forcefully(right)


class _Way:
    """One direction of a relay."""

    def __init__(self, source: trio.abc.Stream, sink: trio.abc.Stream, faults: Faults, seed: str) -> None:
        self._source = source
        self._sink = sink
        self._line = _Direction(faults, seed)

    async def run(self, relay: trio.CancelScope) -> None:
        faults = self._line.faults
        # what a delayed line holds must not slow it down
        on_the_way = int(faults.delay * (faults.baud or 0) / BITS_PER_BYTE / _PIECE)
        queue_in, queue_out = trio.open_memory_channel[tuple[float, bytes, bool]](_QUEUE + on_the_way)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take, queue_in)
            if await self._deliver(queue_out):
                relay.cancel()
            nursery.cancel_scope.cancel()

    async def _take(self, queue: trio.MemorySendChannel[tuple[float, bytes, bool]]) -> None:
        """Read at the pace of the line and note when each piece arrives; an empty piece is the end."""
        faults = self._line.faults
        piece = _PIECE if faults.baud is not None else _PIECE_UNPACED
        while True:
            try:
                data = await self._source.receive_some(piece)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await queue.send((trio.current_time(), b"", True))
                return
            passing, fate = self._line.admit(bytes(data)) if data else (b"", Fate.NONE)
            crossed = self._line.arrival(len(data))
            await trio.sleep_until(crossed)
            if passing or fate is Fate.CUT or not data:
                await queue.send((crossed + faults.delay, passing, fate is Fate.CUT))
            if fate is Fate.STALL:
                await trio.sleep_forever()
            if fate is Fate.CUT or not data:
                return

    async def _deliver(self, queue: trio.MemoryReceiveChannel[tuple[float, bytes, bool]]) -> bool:
        """Write each piece at its time; answers whether the line dropped (rather than ended)."""
        try:
            async for arrival, data, dropped in queue:
                await trio.sleep_until(arrival)
                if data:
                    await self._sink.send_all(data)
                if dropped:
                    return True
                if not data:
                    if isinstance(self._sink, trio.abc.HalfCloseableStream):
                        await self._sink.send_eof()
                    return False
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return True
        return True
