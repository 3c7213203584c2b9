"""Payloads of 1 KiB one way: our records in frames against trio.SSLStream, both over trio's streams in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import tls
import trio
import trio.testing
from measuring import Result, Sample, clock, medians, profile
from parties import NOW, Parties
from pumping import shake_hands

from insitu.protocol.channel.records import Records
from insitu.transports.framing import FrameChannel

GOAL: Final = 0.65
PAYLOAD: Final = bytes(1024)
COUNT: Final = 100
"""Payloads in one sample."""

Job = Callable[[], Awaitable[None]]


async def measure(repeats: int) -> list[Result]:
    """The ratio."""
    ours = _ours()
    with tls.contexts() as contexts:
        found = await medians({"ours": ours, "tls": await _theirs(contexts)}, repeats)
    note = f"{found['ours'] * 1e6:.1f} us / {found['tls'] * 1e6:.1f} us for one"
    result = Result("records.tls", "1 KiB record one way / trio.SSLStream", found["ours"] / found["tls"], GOAL, note)
    if not result.met:
        result.why = await profile(ours)
    return [result]


def _ours() -> Sample:
    parties = Parties()
    parties.set_back()
    module, unit = parties.handshakes(*parties.terms())
    shake_hands(module, unit, (parties.module_keys, parties.card.keys), NOW)
    sealing, opening = (Records(each.established, initiator=each.initiator) for each in (module, unit))
    left, right = (FrameChannel(stream) for stream in trio.testing.memory_stream_pair())

    async def send() -> None:
        for _ in range(COUNT):
            await left.send_frames(sealing.seal(PAYLOAD))

    async def receive() -> None:
        for _ in range(COUNT):
            frame = await right.receive_frame()
            assert frame is not None
            assert opening.open(frame) == PAYLOAD

    return _one_way(send, receive)


async def _theirs(contexts: tls.Contexts) -> Sample:
    client, server = tls.ends(contexts)
    await tls.shake_hands(client, server)

    async def send() -> None:
        for _ in range(COUNT):
            await client.send_all(PAYLOAD)

    async def receive() -> None:
        left = COUNT * len(PAYLOAD)
        while left:
            left -= len(await server.receive_some())

    return _one_way(send, receive)


def _one_way(send: Job, receive: Job) -> Sample:
    async def sample() -> float:
        started = clock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(receive)
        return (clock() - started) / COUNT

    return sample
