"""A party driven from outside: our own in memory, and devices that do what they must not, which is found."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from insitu.fuzz import Device, Finding, cast, drive, replay_on
from insitu.fuzz.device import Session, by_a_stranger
from insitu.fuzz.scene import SERIAL, SHIPPED_KEY, Named, now, scene
from insitu.protocol.engine import EnvironmentFault, InsituError
from insitu.protocol.messages import ModuleCondition, TrustOption
from insitu.transports.memory import memory_pair

OPTION = TrustOption.CERTIFICATES


class Bench:
    """A module under test whose link is in memory; `spoil` puts something between it and the puppet."""

    def __init__(self, nursery, spoil=None):
        self.module = scene().a_module()
        self.card = scene().a_card()
        self._nursery = nursery
        self._spoil = spoil or (lambda stream: stream)
        self._entropy = Named("puppets")

    async def _meet(self, stream):
        with suppress(InsituError):
            await self.module.meet_unit(stream, OPTION)

    async def connect(self):
        here, there = memory_pair()
        self._nursery.start_soon(self._meet, here)
        return self._spoil(there)

    def play(self):
        self.card.keys.roll_back()
        about = {"certify": by_a_stranger(SERIAL), "entropy": self._entropy, "now": now}
        return cast.unit(self.card, scene().central, SERIAL, OPTION, scene().means(SERIAL), **about)

    def device(self, **changes) -> Device:
        about = {"reach": 1, "now": now, "patience": 3.0, "secrets": (SHIPPED_KEY,), **changes}
        return Device("bench", self.connect, self.play, **about)


class Spoilt(trio.abc.HalfCloseableStream):
    """What a puppet's stream would be if the device did something else."""

    def __init__(self, stream, received=lambda data: data, hears=True):
        self._stream, self._received, self._hears = stream, received, hears

    async def send_all(self, data):
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self):
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self):
        await self._stream.send_eof()

    async def receive_some(self, max_bytes=None):
        data = self._received(await self._stream.receive_some(max_bytes))
        if not data and not self._hears:
            await trio.sleep_forever()
        return data

    async def aclose(self):
        await self._stream.aclose()


async def test_a_module_of_ours_stands_and_is_not_personalized():
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        before = bench.module.record, bench.card.record
        report = await drive(bench.device(), runs=40, seed=1, alive_every=5)
        assert [finding.what for finding in report.findings] == []
        assert report.runs == 40
        assert any("code 2" in outcome for outcome in report.outcomes), report.outcomes
        assert any(outcome.startswith("ModuleKey") or "code 3" in outcome for outcome in report.outcomes)
        assert (bench.module.record, bench.card.record) == before
        assert bench.module.record.condition is ModuleCondition.DELIVERED


async def found(spoil, **about) -> list[Finding]:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, spoil)
        report = await drive(bench.device(**about), runs=6, seed=1, alive_every=2)
        nursery.cancel_scope.cancel()
        return report.findings


async def test_a_secret_on_the_wire_is_found():
    def leaks(stream):
        told = [b"\0\x10" + SHIPPED_KEY]
        return Spoilt(stream, received=lambda data: data or (told.pop() if told else b""))

    (finding,) = await found(leaks)
    assert finding.what == "a secret was sent"


async def test_a_link_that_does_not_end_is_found(autojump_clock):
    links = []

    def deaf_later(stream):
        links.append(stream)
        return Spoilt(stream, hears=len(links) != 3)

    (finding,) = await found(deaf_later)
    assert finding.what == "the link did not end in 3 s"


async def test_a_device_that_dies_is_found_and_how():
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        links = []

        async def connect():
            links.append(1)
            if len(links) > 4:
                raise EnvironmentFault("no answer", who="line")
            return await bench.connect()

        device = Device("bench", connect, bench.play, reach=1, now=now, patience=3.0)
        report = await drive(device, runs=9, seed=1)
        assert [finding.what for finding in report.findings] == [
            "no link any more: line: no answer",
            "no good session any more: line: no answer",
        ]


async def test_a_device_that_was_never_there():
    async def nowhere():
        raise EnvironmentFault("nobody", who="line")

    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        device = Device("bench", nowhere, bench.play, reach=1, now=now)
        with pytest.raises(EnvironmentFault, match="no good session"):
            await drive(device, runs=1)


async def test_a_session_is_written_and_held_again():
    session = Session(1, (b"\xa1\x00\x05", b"x"))
    assert Session.read(session.data) == session
    assert Session.read(b"") == Session(0, ())
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        assert await replay_on(bench.device(), session.data) == "FaultNotice, code 2"
        outcome = await replay_on(bench.device(), Session(0, (b"\xa1\x00\x19\x00\x05",)).data)
        assert isinstance(outcome, str)
        assert outcome.endswith("code 2")
