"""The mobile's local link (A9): which links are admitted, what crosses it, what goes through it."""

from __future__ import annotations

import pytest
import trio
from mobile_site import Keeper, Site, quiet, served, together
from trio.testing import wait_all_tasks_blocked
from world import SERIAL, World

from insitu.protocol.driver import SEND_SECONDS
from insitu.protocol.engine import ProtocolError, UsageError
from insitu.protocol.messages import (
    Conveyance,
    Number,
    NumberSettled,
    Verdict,
    decode_message,
    encode_message,
)
from insitu.protocol.parties.module_data import ModuleState
from insitu.shell.far_link import ByChannel, through_module
from insitu.shell.local_link import AtMobile, LocalPort, check_local
from insitu.transports.errors import LinkBroken, TransportError
from insitu.transports.framing import FrameChannel
from insitu.transports.links import Address, Link
from insitu.transports.memory import MemoryStream, memory_pair

DEVICE = "AA:BB:CC:DD:EE:FF"


# Which links


@pytest.mark.parametrize(
    "address",
    [
        "serial:/dev/ttyUSB0",
        "serial:COM3",
        "device:/dev/i2c-bridge",
        f"bluetooth:{DEVICE}/1?pairing=numeric-comparison",
        "tcp:127.0.0.1:4711",
        "tcp:[::1]:4711",
        "memory:x",
    ],
)
def test_where_nobody_else_is(address):
    check_local(Address.parse(address))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (f"bluetooth:{DEVICE}/1", "--paired-by-comparison"),
        ("bluetooth:*/1", "--paired-by-comparison"),
        ("tcp:192.0.2.1:4711", "somebody else may be on this local link"),
        ("tcp:localhost:4711", "tcp:127.0.0.1:PORT for tests"),
        ("tcp:*:4711", "somebody else"),
        ("tls:127.0.0.1:1?ca=a&certificate=b&key=c", "a network is never"),
        ("serial:socket://127.0.0.1:1", "a network is never"),
        ("serial:/dev/ircomm0", "infrared is never"),
    ],
)
async def test_where_somebody_else_may_be(address, says):
    with pytest.raises(UsageError, match=says) as caught:
        check_local(Address.parse(address))
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match=says):
        await LocalPort(tell=print).serve(Address.parse(address))


# What crosses it


async def test_what_does_not_belong_there_ends_it(world: World, autojump_clock):
    """And nothing else: neither the module's session nor the next mobile."""
    site = Site(world)

    async def intruder(nursery: trio.Nursery) -> None:
        stream = site.plugged_in(nursery)
        await FrameChannel(stream).send_frame(encode_message(NumberSettled()))
        while await stream.receive_some():
            pass
        assert (await site.carry(nursery)).error is None

    module, _ = await together(site, intruder)
    assert module.result is ModuleState.OPERATING
    assert any("a frame of a mobile's link" in each for each in site.told)


async def test_a_mobile_that_nobody_asked(world: World, autojump_clock):
    site = Site(world)
    async with trio.open_nursery() as nursery:
        for said in (Verdict(serial=SERIAL, binding=bytes(32)), Number(bytes(16))):
            stream = site.plugged_in(nursery)
            await FrameChannel(stream).send_frame(encode_message(said))
            while await stream.receive_some():
                pass
        nursery.cancel_scope.cancel()
    assert len([each for each in site.told if "that nobody asked" in each]) == 2


async def test_a_word_that_is_not_of_this_channel_ends_the_session(world: World, autojump_clock):
    """Somebody else's unit says yes to the mobile."""
    site = Site(world)

    class Yes:
        async def ask(self, conveyance: Conveyance, near: AtMobile) -> Verdict:
            return Verdict(serial=SERIAL, binding=bytes(32))

    async def person(nursery: trio.Nursery) -> None:
        await site.carry(nursery, Yes())

    module, _ = await together(site, person)
    assert "does not vouch for this channel" in str(module.error)
    quiet(site)


async def test_the_word_counts_also_if_the_plug_is_pulled_at_once(world: World, autojump_clock):
    site = Site(world)

    async def person(nursery: trio.Nursery) -> None:
        stream = site.plugged_in(nursery)
        channel = FrameChannel(stream)
        frame = await channel.receive_frame()
        assert frame is not None
        said = decode_message(frame)
        assert isinstance(said, Conveyance)
        word = await site.far(nursery).ask(said, None)  # type: ignore[arg-type]
        await channel.send_frame(encode_message(word))
        await stream.aclose()

    module, _ = await together(site, person)
    assert module.result is ModuleState.OPERATING


async def test_a_mobile_whose_module_is_unplugged(world: World, autojump_clock):
    site = Site(world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_unplug, site)
        outcome = await site.carry(nursery)
        nursery.cancel_scope.cancel()
    assert "local link" in str(outcome.error)


async def _unplug(site: Site) -> None:
    await trio.sleep(1)
    assert site.port._present is not None
    site.port._present.cancel()


async def test_an_end_that_takes_nothing_is_not_waited_for(autojump_clock):
    """Found in a simulated world (seed 901042): whoever stood there with the mobile never plugged it in again."""
    here, _ = memory_pair(1)
    mobile = AtMobile(here)
    with pytest.raises(LinkBroken, match="takes nothing any more"):
        await mobile.send(Verdict(SERIAL))
    assert trio.current_time() == SEND_SECONDS


async def test_a_port_that_is_lost_is_opened_again(autojump_clock, monkeypatch):
    from insitu.shell import local_link

    opened: list[int] = []

    async def serve(address, handler, *, task_status):
        opened.append(1)
        if len(opened) == 4:
            await trio.sleep_forever()
        if len(opened) != 2:  # the second time it is not even there
            task_status.started([address])
        raise LinkBroken("unplugged", who="serial")

    monkeypatch.setattr(local_link, "serve_links", serve)
    told: list[str] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(LocalPort(tell=told.append).serve, Address.parse("serial:/dev/ttyUSB0"))
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert (len(opened), len(told)) == (4, 3)

    opened[:] = [1]
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(LocalPort(tell=told.append).serve, Address.parse("serial:/dev/ttyUSB0"))
    assert caught.group_contains(LinkBroken)


# What goes through it


def through(site: Site, nursery: trio.Nursery) -> ByChannel:
    far = site.far(nursery)
    far._dial = through_module(Address.parse("tcp:192.0.2.1:1"))
    return far


async def test_the_way_to_the_unit_through_the_module(world: World, autojump_clock):
    """The module sees a channel that it is no end of: the number never passes in the clear."""
    ends: list[trio.abc.Stream] = []

    async def reach_unit() -> trio.abc.Stream:
        here, there = memory_pair()
        ends.append(there)
        return here

    site = Site(world, reach_unit=reach_unit)
    keepers: list[Keeper] = []
    passed: list[bytes] = []
    outcomes = []

    async def unit(nursery: trio.Nursery) -> None:
        while not ends:
            await trio.sleep(1)
        far, inner = ends[0], memory_pair()
        nursery.start_soon(served, site.calls.attend, Link("tcp", "far", attests_wired=False, stream=inner[1]))
        nursery.start_soon(_copy, far, inner[0], passed)
        nursery.start_soon(_copy, inner[0], far, passed)

    async def person(nursery: trio.Nursery) -> None:
        keepers.append(Keeper(through(site, nursery)))
        outcomes.append(await site.carry(nursery, keepers[0]))

    module, _ = await together(site, person, unit)
    assert outcomes[0].error is None
    assert module.result is ModuleState.OPERATING
    (said,) = keepers[0].kept
    assert said.random is not None
    assert passed
    assert said.random not in b"".join(passed)
    assert said.binding not in b"".join(passed)


async def _copy(source: trio.abc.Stream, sink: trio.abc.Stream, seen: list[bytes]) -> None:
    while data := await source.receive_some():
        seen.append(bytes(data))
        await sink.send_all(data)


async def test_a_module_that_carries_nothing(world: World, autojump_clock):
    site = Site(world)
    outcomes = []

    async def person(nursery: trio.Nursery) -> None:
        outcomes.append(await site.carry(nursery, through(site, nursery)))

    await together(site, person)
    assert isinstance(outcomes[0].error, (ProtocolError, TransportError))
    assert any("--mobile-through" in each for each in site.told)
    quiet(site)


async def test_a_stream_through_the_module_carries_much_both_ways_and_ends(world: World):
    ends: list[MemoryStream] = []

    async def reach_unit() -> trio.abc.Stream:
        here, there = memory_pair(100)
        ends.append(there)
        return here

    site = Site(world, reach_unit=reach_unit)
    much = bytes(range(256)) * 40
    async with trio.open_nursery() as nursery:
        near = AtMobile(site.plugged_in(nursery))
        nursery.start_soon(near.listen)
        tunnel = near.tunnel()
        got = bytearray()

        async def echo() -> None:
            while data := await ends[0].receive_some():
                await ends[0].send_all(data)

        async def collect() -> None:
            while len(got) < len(much):
                got.extend(await tunnel.receive_some(7))

        async with trio.open_nursery() as work:
            work.start_soon(tunnel.send_all, much)
            while not ends:
                await wait_all_tasks_blocked()
            work.start_soon(collect)
            nursery.start_soon(echo)
        assert bytes(got) == much
        await ends[0].send_eof()
        assert await tunnel.receive_some() == b""
        assert await tunnel.receive_some() == b"", "it stays at its end"
        nursery.cancel_scope.cancel()


async def test_a_session_that_is_over_wants_nothing_of_a_mobile(world: World, autojump_clock):
    site = Site(world)
    link = site.port.open()
    link.forward(Conveyance(serial=SERIAL, binding=bytes(32), random=bytes(16)))
    link.close()
    async with trio.open_nursery() as nursery:
        stream = site.plugged_in(nursery)
        with trio.move_on_after(60) as waiting:
            await stream.receive_some()
        assert waiting.cancelled_caught
        await FrameChannel(stream).send_frame(encode_message(Verdict(serial=SERIAL)))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert site.told == ["mobile: no session"]
