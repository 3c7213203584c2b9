"""Ten thousand modules that are online and silent, and a thousand strangers half way in: what they cost the host.

The central system is the real command in a process of its own (crowd.py), seen from outside by /proc: memory of its own
(RssAnon) and processor time of all its threads. trio's own session is an accepted connection whose bytes are waited
for (idle.py). Each process may open as many files as the system lets it; a session takes one in each of two processes.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Awaitable, Callable, Iterable
from statistics import median
from typing import Final, TypeVar

import trio
from business import CENTS, CURRENCY, Business
from crowd import Caller, Crowd, Member, Process, host, idle
from measuring import Result

from insitu.protocol.messages import Authorize, Beat, Message, Outcome, PayOut, Received, TimeTold
from insitu.protocol.parties.work_data import BEAT_SECONDS

T = TypeVar("T")

MEMORY_GOAL: Final = 12.0
"""KiB of a session above trio's own."""
HALF_OPEN_GOAL: Final = 20.0
"""MiB of a thousand half-open sessions (SECURITY: resource limits)."""
DELAY_GOAL: Final = 2.0
CALLERS: Final = 32
"""Modules that are on their way in at once."""
WARM_UP: Final = 300
"""Sessions that fill caches, pools and arenas before the first is counted."""
SETTLE_SECONDS: Final = 4.0
GOOD: Final = 15
"""Sessions of a good client, one after the other, whose median is its usual time."""


async def measure(sessions: int, half_open: int, transactions: int) -> list[Result]:
    """Memory, time to accept, transactions on disk, strangers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        own = await _trio(sessions)
        with host() as (process, crowd):
            online, callers = await _online(process, crowd, sessions, own)
            durable = await _durable(process, callers, transactions)
            await _close(callers)
        gc.collect()
        with host() as (process, crowd):
            strangers = await _strangers(process, crowd, half_open)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return [*online, durable, *strangers]


async def _trio(sessions: int) -> float:
    """Bytes of a connection to trio's own server."""
    with idle() as process:
        streams = await _side_by_side(process.connect, [()] * min(WARM_UP, sessions // 2))
        before = process.memory
        streams += await _side_by_side(process.connect, [()] * sessions)
        await trio.sleep(SETTLE_SECONDS)
        used = process.memory - before
        for stream in streams:
            await trio.aclose_forcefully(stream)
    return used / sessions


async def _online(process: Process, crowd: Crowd, sessions: int, own: float) -> tuple[list[Result], list[Caller]]:
    async def come(member: Member) -> None:
        caller = await crowd.come(member, await process.connect())
        callers.append(caller)

    callers: list[Caller] = []
    warm = min(WARM_UP, sessions // 2)
    sessions -= warm
    await _side_by_side(come, [(each,) for each in crowd.members(0, warm)])
    members = crowd.members(warm, sessions)
    await trio.sleep(SETTLE_SECONDS)
    memory, seconds, began = process.memory, process.seconds, time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_beat, callers)
        await _side_by_side(come, [(each,) for each in members])
        nursery.cancel_scope.cancel()
    wall, used = time.perf_counter() - began, process.seconds - seconds
    await trio.sleep(SETTLE_SECONDS)
    each = (process.memory - memory) / sessions
    handshake = Business().handshake_seconds()
    note = f"{sessions} sessions, {each / 1024:.1f} KiB each; trio's own {own / 1024:.1f} KiB"
    share = f"{sessions} in {wall:.1f} s, {sessions / wall:.0f} a second; handshake {handshake * 1e3:.2f} ms of it"
    return [
        Result(
            "session.memory", "KiB of an idle session above trio's own", max(0.0, each - own) / 1024, MEMORY_GOAL, note
        ),
        Result("session.accept", "ms of processor time until a module is online", used / sessions * 1e3, note=share),
    ], callers


async def _beat(callers: list[Caller]) -> None:
    """Those who are online say so now and then: the first would be taken for dead before the last has come."""

    async def one(caller: Caller) -> None:
        await caller.say(Beat(0))
        await _expect(caller, TimeTold)

    while True:
        await trio.sleep(BEAT_SECONDS / 2)
        await _side_by_side(one, [(caller,) for caller in callers])


async def _durable(process: Process, callers: list[Caller], transactions: int) -> Result:
    """Whole transactions with the registry on disk, several modules at once."""

    async def work(caller: Caller) -> None:
        for number in range(1, 2 * rounds, 2):
            await caller.say(Authorize(number, "4000001234567899", "DE02120300000000202051", CENTS, CURRENCY))
            await _expect(caller, PayOut)
            await caller.say(Outcome(number + 1, number, CENTS))
            await _expect(caller, Received)

    at_once = callers[-min(CALLERS, len(callers)) :]
    rounds = max(1, transactions // len(at_once))
    seconds, began = process.seconds, time.perf_counter()
    await _side_by_side(work, [(caller,) for caller in at_once])
    wall, used, done = time.perf_counter() - began, process.seconds - seconds, rounds * len(at_once)
    rates = f"{done / used:.0f} a second and core, {done / wall:.0f} by the clock"
    note = f"{done} transactions, {len(at_once)} modules: {rates}"
    return Result("transactions.durable", "ms of processor time of a transaction, SQLite", used / done * 1e3, note=note)


async def _expect(caller: Caller, kind: type[Message]) -> None:
    message = await caller.hear()
    if not isinstance(message, kind):
        raise TypeError(f"expected {kind.__name__}, got {message}")


async def _strangers(process: Process, crowd: Crowd, half_open: int) -> list[Result]:
    """Memory of those who stop after message_2, and what a good client notices of them."""

    async def knock(member: Member) -> trio.SocketStream:
        stream = await process.connect()
        await crowd.first_flight(member, stream)
        return stream

    async def usual(members: Iterable[Member]) -> float:
        times = []
        for member in members:
            began = time.perf_counter()
            caller = await crowd.come(member, await process.connect())
            times.append(time.perf_counter() - began)
            await caller.channel.aclose()
        return median(times)

    good = crowd.members(0, 3 * GOOD)
    await usual(good[:GOOD])
    before = await usual(good[GOOD : 2 * GOOD])
    memory = process.memory
    (stranger,) = crowd.members(3 * GOOD, 1)
    streams = await _side_by_side(knock, [(stranger,)] * half_open)
    used = max(0, process.memory - memory) / half_open
    during = await usual(good[2 * GOOD :])
    for stream in streams:
        await trio.aclose_forcefully(stream)
    delay = f"{during * 1e3:.1f} ms / {before * 1e3:.1f} ms from connecting to the welcome"
    note = f"{half_open} of them, {used / 1024:.1f} KiB each; message_1 and message_2 have crossed"
    return [
        Result("half_open.memory", "MiB of 1,000 half-open sessions", used * 1000 / 2**20, HALF_OPEN_GOAL, note),
        Result("half_open.delay", "a good client's time among them / without", during / before, DELAY_GOAL, delay),
    ]


async def _side_by_side(work: Callable[..., Awaitable[T]], each: list[tuple[object, ...]]) -> list[T]:
    """The work for each, CALLERS at once; the results as they came."""
    waiting, done = iter(each), []

    async def some() -> None:
        for arguments in waiting:
            result = await work(*arguments)
            done.append(result)

    async with trio.open_nursery() as nursery:
        for _ in range(CALLERS):
            nursery.start_soon(some)
    return done


async def _close(callers: list[Caller]) -> None:
    for caller in callers:
        await trio.aclose_forcefully(caller.channel.stream)
