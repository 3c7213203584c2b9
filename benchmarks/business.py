"""A transaction (Authorize, PayOut, Outcome, Received) against the same messages over mutual TLS in trio.SSLStream.

Both ends of both in one process, over trio's streams in memory. Ours is the central system as it is, driver, table and
registry (in memory) included, and a module's end without driver and store. The TLS end decodes, decides and answers,
and keeps nothing: it is the least that anybody could do with these messages.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from statistics import median
from typing import Final

import tls
import trio
import trio.testing
from crowd import Caller, Crowd, Customer
from measuring import Result, Sample, clock, medians, profile
from pumping import shake_hands

from insitu.protocol.channel.handshake import Handshake
from insitu.protocol.channel.trust import CentralAtWork
from insitu.protocol.engine import InsituError, given
from insitu.protocol.keys.vault import MemoryVault
from insitu.protocol.messages import (
    Authorize,
    Message,
    Outcome,
    PayOut,
    Purpose,
    Received,
    decode_message,
    encode_message,
)
from insitu.protocol.stores.memory_registry import MemoryRegistry
from insitu.shell.central import Central
from insitu.shell.keeping import wall_clock

CENTS: Final = 5000
CURRENCY: Final = "EUR"
COUNT: Final = 20
"""Transactions in one sample."""
HANDSHAKES: Final = 20


def approve(serial: str, asked: Authorize) -> PayOut:
    """The host's decision."""
    return PayOut(number=asked.number, approved=True, amount=asked.amount, reference=f"{serial}/{asked.number}")


def authorize(number: int) -> Authorize:
    """What the module asks."""
    return Authorize(number, "4000001234567899", "DE02120300000000202051", CENTS, CURRENCY)


class Business:
    """A central system in memory, and modules for it.

    Attributes:
        central: the central system.
        crowd: its modules.

    """

    def __init__(self) -> None:
        customer = Customer()
        self.central = Central(MemoryVault(secrets.token_bytes), MemoryRegistry(), decide=approve, blocking=False)
        self.crowd = Crowd(customer, customer.set_up(self.central))

    def handshake_seconds(self) -> float:
        """Processor time of a handshake at the central system: half of what both sides take, which do alike."""
        central, members = self.central, self.crowd.members(0, HANDSHAKES)
        terms = CentralAtWork.of(given(central.record.certificate), central.issuers(), central._key())
        taken = []
        for member in members:
            module = Handshake.initiate(member.terms, Purpose.OPERATE, secrets.token_bytes(64))
            ours = Handshake.respond(terms, frozenset({Purpose.OPERATE}), secrets.token_bytes(64))
            began = clock()
            shake_hands(module, ours, (self.crowd.keys, central.keys), wall_clock())
            taken.append((clock() - began) / 2)
        return median(taken)


async def measure(repeats: int) -> list[Result]:
    """The ratio."""
    business = Business()
    with tls.contexts() as contexts:
        async with trio.open_nursery() as nursery:
            ours = await _ours(business, nursery)
            theirs = await _theirs(contexts, nursery)
            found = await medians({"ours": ours, "tls": theirs}, repeats)
            ratio = found["ours"] / found["tls"]
            note = (
                f"{1 / found['ours']:.0f} / {1 / found['tls']:.0f} a second and core, both ends in it; no goal was set"
            )
            result = Result("transactions.tls", "transaction / its messages over trio.SSLStream", ratio, note=note)
            result.why = await profile(ours)
            nursery.cancel_scope.cancel()
    return [result]


async def _ours(business: Business, nursery: trio.Nursery) -> Sample:
    here, there = trio.testing.memory_stream_pair()

    async def attend() -> None:
        try:
            await business.central.attend(there)
        except InsituError as error:
            raise RuntimeError("the central system ended the session") from error

    nursery.start_soon(attend)
    (member,) = business.crowd.members(HANDSHAKES, 1)
    caller: Caller = await business.crowd.come(member, here)
    last = 0

    async def sample() -> float:
        nonlocal last
        began = clock()
        for _ in range(COUNT):
            last += 2
            await caller.say(authorize(last - 1))
            assert isinstance(await caller.hear(), PayOut)
            await caller.say(Outcome(last, last - 1, CENTS))
            assert isinstance(await caller.hear(), Received)
        return (clock() - began) / COUNT

    return sample


async def _theirs(contexts: tls.Contexts, nursery: trio.Nursery) -> Sample:
    client, server = tls.ends(contexts)
    await tls.shake_hands(client, server)

    async def attend() -> None:
        async for data in server:
            asked = decode_message(bytes(data))
            match asked:
                case Authorize():
                    answer: Message = approve("SM-0000000", asked)
                case Outcome(number):
                    answer = Received(number)
                case _:
                    raise TypeError(f"expected a transaction, got {asked}")
            await server.send_all(encode_message(answer))

    async def ask(message: Message) -> Message:
        await client.send_all(encode_message(message))
        return decode_message(bytes(await client.receive_some()))

    nursery.start_soon(attend)

    async def sample() -> float:
        began = clock()
        for number in _numbers():
            assert isinstance(await ask(authorize(number)), PayOut)
            assert isinstance(await ask(Outcome(number + 1, number, CENTS)), Received)
        return (clock() - began) / COUNT

    return sample


def _numbers() -> Iterable[int]:
    return range(1, 2 * COUNT, 2)
