"""A party driven from outside: our own in memory, and devices that do what they must not, which is found."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
import trio

from insitu.cli.fuzz_device import COURSES
from insitu.fuzz import TARGETS, Device, Finding, cast, drive, replay_on
from insitu.fuzz.courier import Courier
from insitu.fuzz.device import Session, by_a_stranger
from insitu.fuzz.mutation import cut
from insitu.fuzz.scene import SERIAL, SHIPPED_KEY, CopiedVault, Named, now, scene
from insitu.protocol.engine import EnvironmentFault, InsituError
from insitu.protocol.messages import ModuleCondition, TrustOption
from insitu.shell.module import Module
from insitu.transports.memory import memory_pair

OPTION = TrustOption.CERTIFICATES


class Bench:
    """A module under test whose link is in memory; `spoil` puts something between it and the puppet."""

    def __init__(self, nursery, spoil=None, option=OPTION):
        self.option = option
        self.courier = Courier(lambda _: True)
        self.module = Module(
            CopiedVault("module now", scene().delivered),
            mobile=lambda: self.courier.at_module,
            entropy=Named("module session"),
            now=now,
            steady=now,
            enter=scene().enter,
        )
        self.card = scene().a_card()
        self._nursery = nursery
        self._spoil = spoil or (lambda stream: stream)
        self._entropy = Named("puppets")

    async def _meet(self, stream):
        with suppress(InsituError):
            await self.module.meet_unit(stream, self.option, wired=True)

    async def connect(self):
        here, there = memory_pair()
        self._nursery.start_soon(self._meet, here)
        return self._spoil(there)

    def play(self):
        self.card.keys.roll_back()
        self.courier = Courier(lambda _: True)
        about = {"certify": by_a_stranger(SERIAL), "entropy": self._entropy, "now": now}
        means = scene().means(SERIAL, self.courier)
        return cast.unit(self.card, scene().central, SERIAL, self.option, means, **about)

    def device(self, **changes) -> Device:
        about = {
            "reach": COURSES[self.option].reach,
            "since": COURSES[self.option].since,
            "now": now,
            "patience": 3.0,
            "secrets": (SHIPPED_KEY,),
            **changes,
        }
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


class Mute(Spoilt):
    """It takes all and says nothing."""

    async def receive_some(self, max_bytes=None):
        await trio.sleep_forever()


class Babbling(Spoilt):
    """Where it should end the link, it says the same thing again and again."""

    async def receive_some(self, max_bytes=None):
        return await super().receive_some(max_bytes) or b"\x00\x01x" * 10_000


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


@pytest.mark.parametrize("option", list(TrustOption))
async def test_under_every_option_and_nothing_lasts_of_it(option: TrustOption):
    """Neither at the module, whose attempts at a secret are few, nor at the card."""
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, option=option)
        before = bench.module.record, bench.card.record
        report = await drive(bench.device(), runs=12, seed=2, alive_every=4)
        assert [finding.what for finding in report.findings] == []
        assert len(report.outcomes) > 1
        after = bench.module.record
        assert (replace(after, generation=before[0].generation), bench.card.record) == before


@pytest.mark.parametrize("option", list(TrustOption), ids=lambda option: option.text)
def test_a_course_is_what_a_unit_says_up_to_the_certificates(option: TrustOption):
    name = next(name for name in TARGETS if name == f"module-by-{option.text}")
    assert COURSES[option].reach == len(cut(TARGETS[name].seeds()[0])) - 1
    assert COURSES[option].since <= COURSES[option].reach


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


@pytest.mark.parametrize("at", [1, 2])
async def test_a_device_that_says_nothing_any_more_is_found(autojump_clock, at: int):
    """Before the puppet has turned, too: nothing waits for ever."""
    links = []

    def dumb_later(stream):
        links.append(stream)
        return Mute(stream) if len(links) > at else stream

    findings = [finding.what for finding in await found(dumb_later)]
    assert findings[-1] == "no good session any more: nothing in 3 s"
    assert all(
        what.startswith("no session up to message") and what.endswith("nothing in 3 s") for what in findings[:-1]
    )


async def test_a_device_that_never_stops_is_found_before_memory_is_full():
    links = []

    def babbles_later(stream):
        links.append(stream)
        return Babbling(stream) if len(links) > 1 else stream

    findings = [finding.what for finding in await found(babbles_later)]
    assert findings == ["more than 1 MiB was said", "no good session any more: more than 1 MiB was said"]


async def test_a_link_that_is_never_there_is_not_awaited_for_ever(autojump_clock):
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        device = Device("bench", trio.sleep_forever, bench.play, reach=1, now=now, patience=3.0)
        with pytest.raises(EnvironmentFault, match="no link in 3 s"):
            await drive(device, runs=1)


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
