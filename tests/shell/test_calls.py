"""Where mobiles call the unit (A9): which it believes by file, TLS with client certificates, a network's gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import trio
from mobile_site import Site, quiet, together
from tls_files import Authority
from world import SERIAL, World

from insitu.protocol.channel.trust.conveyed import NumberConveyed
from insitu.protocol.engine import InsituError, ProtocolError, UsageError
from insitu.protocol.messages import CallReported, Conveyance, NumberSettled, Verdict, decode_message, encode_message
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.progress import MobileHeard
from insitu.shell.calls import CALL_SECONDS, WORD_SECONDS, KnownMobiles
from insitu.shell.far_link import ByProvenLink, ByTelephone, directly
from insitu.shell.gateway import REPORT_SECONDS, GatewayAtPort, SimulatedOperator
from insitu.transports.errors import TransportError
from insitu.transports.framing import FrameChannel
from insitu.transports.links import Address, open_link

SAID = Conveyance(serial=SERIAL, binding=bytes(32), random=bytes(16))
ALICE, MALLORY = "+4930123456", "+4930666666"


# Which mobiles


def test_a_file_of_mobiles(tmp_path):
    file = tmp_path / "mobiles"
    digest = bytes(range(32)).hex()
    pairs = ":".join(digest[at : at + 2] for at in range(0, 64, 2)).upper()
    file.write_text(f"# ours\n\nkey {digest} Alice's\n certificate   {pairs}  Bob's, the grey one\ncaller {ALICE}\n")
    known = KnownMobiles(file)
    assert known() == {
        f"key {digest}": "Alice's",
        f"certificate {digest}": "Bob's, the grey one",
        f"caller {ALICE}": "",
    }
    file.write_text("")
    assert known() == {}, "read anew"


@pytest.mark.parametrize(
    "line",
    [
        "key",
        f"key {'0' * 63}",
        f"key {'0' * 65}",
        f"key {'g' * 64}",
        f"Key {'0' * 64}",
        f"{'0' * 64}",
        "caller 030123456",
        "caller +0301234567",
        "caller +49301234567890123",
        "caller Alice",
    ],
)
def test_a_file_of_mobiles_with_a_line_that_is_none(tmp_path, line):
    file = tmp_path / "mobiles"
    file.write_text(f"caller {ALICE}\n{line}\n")
    with pytest.raises(UsageError, match="line 2"):
        KnownMobiles(file)()


def test_files_that_are_none(tmp_path):
    for content in (b"\xff", b"#" * (1 << 20) + b"#"):
        file = tmp_path / "mobiles"
        file.write_bytes(content)
        with pytest.raises(UsageError, match="file of mobiles"):
            KnownMobiles(file)()
    with pytest.raises(UsageError, match="file of mobiles"):
        KnownMobiles(tmp_path / "none")()


async def test_who_is_struck_off_between_port_and_session_does_not_count(world: World, autojump_clock):
    """The session was told of it as it began, and the port let it in; the file is read once more."""
    site = Site(world)
    (name,) = site.known
    link = site.board.place(SERIAL).link
    site.known.clear()
    said = NumberConveyed(SERIAL, bytes(32), bytes(16), name)
    assert await site.board.convey(said) == Verdict(serial=SERIAL)
    assert link.orders.take() is None, "the session heard nothing of it"


# TLS


class Phones:
    """A unit that takes calls over TLS, and phones with certificates of its authority."""

    def __init__(self, site: Site, place: Path, port: int, authority: Authority) -> None:
        self.site, self.place, self.port, self.authority = site, place, port, authority

    def issue(self, name: str, *, by: Authority | None = None, **validity: timedelta) -> tuple[Path, ByProvenLink]:
        """A phone; its certificate, which the unit was told of."""
        certificate, key, fingerprint = (by or self.authority).issue(name, **validity)
        self.site.known[f"certificate {fingerprint}"] = name
        options = f"ca={self.authority.file}&certificate={certificate}&key={key}"
        return certificate, ByProvenLink(directly(Address.parse(f"tls:127.0.0.1:{self.port}?{options}")))


@asynccontextmanager
async def calls_over_tls(world: World, place: Path) -> AsyncIterator[Phones]:
    site, authority = Site(world), Authority(place)
    address = Address.parse(f"tls:127.0.0.1:0?{authority.options('unit')}&crl={authority.revoke()}")
    async with trio.open_nursery() as nursery:
        (where,) = await nursery.start(site.calls.serve, address)
        yield Phones(site, place, where.port, authority)
        nursery.cancel_scope.cancel()


async def ask(far: ByProvenLink | ByTelephone) -> Verdict | Exception:
    try:
        return await far.ask(SAID, None)  # type: ignore[arg-type]
    except (InsituError, TransportError) as error:
        return error


async def test_a_client_certificate_that_counts(world: World, tmp_path):
    async with calls_over_tls(world, tmp_path) as phones:
        _, far = phones.issue("phone")
        assert await ask(far) == Verdict(serial=SERIAL), "nobody waits for it"
    assert [type(note) for note in phones.site.notes] == [MobileHeard]


async def test_client_certificates_that_do_not_count(world: World, tmp_path):
    (tmp_path / "others").mkdir()
    others = Authority(tmp_path / "others", "others")
    async with calls_over_tls(world, tmp_path) as phones:
        _, foreign = phones.issue("phone", by=others)
        _, expired = phones.issue("old", until=timedelta(days=-1))
        certificate, revoked = phones.issue("lost")
        _, struck_off = phones.issue("stolen")
        assert await ask(revoked) == Verdict(serial=SERIAL)
        phones.authority.revoke(certificate)
        phones.site.known = {name: note for name, note in phones.site.known.items() if note != "stolen"}
        phones.site.notes.clear()
        for far in (foreign, expired, revoked, struck_off):
            assert isinstance(await ask(far), (ProtocolError, TransportError))
        assert phones.site.notes == [], "what they conveyed was not looked at"
        _, far = phones.issue("another")
        assert await ask(far) == Verdict(serial=SERIAL)


async def test_other_links_take_no_calls(world: World):
    calls = Site(world).calls
    for address in ("serial:/dev/ttyUSB0", "bluetooth:*/1", "memory:x"):
        with pytest.raises(UsageError, match="where mobiles call"):
            await calls.serve(Address.parse(address))


# Callers that say nothing, or something else


async def test_who_calls_and_says_nothing_is_let_go(world: World, autojump_clock):
    site = Site(world)
    async with trio.open_nursery() as nursery:
        stream = await site.dial(nursery)(None)  # type: ignore[arg-type]
        assert await stream.receive_some() == b""
        assert trio.current_time() <= CALL_SECONDS
        nursery.cancel_scope.cancel()


async def test_a_conveyance_waits_for_the_number_and_not_for_ever(world: World, autojump_clock):
    """The channel's number never comes: its other end is no module."""
    site = Site(world)
    link = site.board.place(SERIAL).link
    async with trio.open_nursery() as nursery:
        assert await site.far(nursery).ask(SAID, None) == Verdict(serial=SERIAL)  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()
    assert trio.current_time() == WORD_SECONDS
    order = link.orders.take()
    assert order is not None
    assert order.settled, "nobody waits for it any more"  # type: ignore[union-attr]


async def test_a_file_of_mobiles_that_cannot_be_read_refuses_everybody(world: World, autojump_clock, tmp_path):
    site = Site(world)
    site.board._known = KnownMobiles(tmp_path / "none")
    async with trio.open_nursery() as nursery:
        assert isinstance(await ask(site.far(nursery)), Exception)  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()
    assert any("file of mobiles" in each for each in site.told)


# A gateway


@asynccontextmanager
async def network(site: Site, subscribers: dict[bytes, str]) -> AsyncIterator[Address]:
    """An operator whose gateway calls the unit; where phones call it."""
    async with trio.open_nursery() as nursery:
        unit = Address.parse("memory:gateway")
        await nursery.start(site.calls.serve_gateway, GatewayAtPort(unit, tell=site.told.append))
        operator = SimulatedOperator(subscribers, unit, tell=site.told.append)
        (where,) = await nursery.start(operator.serve, Address.parse("memory:network"))
        yield where
        nursery.cancel_scope.cancel()


async def test_a_call_from_a_number_that_the_unit_believes(world: World, autojump_clock):
    site = Site(world, known={f"caller {ALICE}": "Alice's"})

    async def person(nursery: trio.Nursery) -> None:
        async with network(site, {b"alice's sim": ALICE, b"mallory's sim": MALLORY}) as where:
            for sim in (b"mallory's sim", b"no sim"):
                assert (await site.carry(nursery, ByTelephone(where, sim))).error is not None
            outcome = await site.carry(nursery, ByTelephone(where, b"alice's sim"))
            assert outcome.error is None

    module, unit = await together(site, person)
    assert (module.error, unit.error) == (None, None)
    assert any(f"got caller {MALLORY}" in each for each in site.told)
    assert any("no subscriber" in each for each in site.told)


async def test_whoever_forges_a_caller_number_passes_for_that_mobile(world: World, autojump_clock):
    """Why this way is called weaker: Mallory is in the channel, and the network lets him say who he is.

    Here he conveys for the channel that he holds himself, so that the unit takes him for the module's mobile.
    """
    site = Site(world, known={f"caller {ALICE}": "Alice's"})

    async def mallory(nursery: trio.Nursery) -> None:
        async with network(site, {b"forged": ALICE}) as where:
            said = await _what_the_module_wants(site, nursery)
            word = await ByTelephone(where, b"forged").ask(said, None)  # type: ignore[arg-type]
            assert word.binding == said.binding

    await together(site, mallory)


async def _what_the_module_wants(site: Site, nursery: trio.Nursery) -> Conveyance:
    frame = await FrameChannel(site.plugged_in(nursery)).receive_frame()
    assert frame is not None
    said = decode_message(frame)
    assert isinstance(said, Conveyance)
    return said


@pytest.mark.parametrize(
    "address",
    ["tcp:192.0.2.1:1", "tcp:*:1", "serial:/dev/ttyUSB0", "tls:127.0.0.1:1?ca=a&certificate=b&key=c"],
)
def test_a_gateway_is_pinned(address):
    with pytest.raises(UsageError, match="anybody could report numbers there"):
        GatewayAtPort(Address.parse(address), tell=print)
    GatewayAtPort(Address.parse(f"tls:*:1?ca=a&certificate=b&key=c&fingerprint={'0' * 64}"), tell=print)


async def test_a_simulated_operator_is_for_this_machine():
    with pytest.raises(UsageError, match="a simulation"):
        await SimulatedOperator({}, Address.parse("memory:x"), tell=print).serve(Address.parse("tcp:*:1"))


@pytest.mark.parametrize("first", [None, b"\x00", encode_message(NumberSettled()), b"nothing"], ids=repr)
async def test_a_gateway_that_reports_no_number(world: World, autojump_clock, first):
    site = Site(world, known={f"caller {ALICE}": "Alice's"})
    async with trio.open_nursery() as nursery:
        serve = partial(site.calls.serve_gateway, GatewayAtPort(Address.parse("memory:gateway"), tell=site.told.append))
        await nursery.start(serve)
        async with await open_link("memory:gateway") as link:
            channel = FrameChannel(link.stream)
            if first is not None:
                await channel.send_frames([first, encode_message(CallReported(ALICE)), encode_message(SAID)])
            assert await channel.receive_frame() is None
        assert trio.current_time() <= REPORT_SECONDS
        nursery.cancel_scope.cancel()
    assert site.notes == []
    assert len(site.told) == 1
    quiet(site)


async def test_the_way_by_telephone_personalizes_nothing_by_itself(world: World, autojump_clock):
    site = Site(world, known={f"caller {ALICE}": "Alice's"})

    async def person(nursery: trio.Nursery) -> None:
        async with network(site, {b"sim": ALICE}) as where:
            assert await ask(ByTelephone(where, b"sim")) == Verdict(serial=SERIAL)

    await together(site, person)
    assert site.world.module.state is ModuleState.DELIVERED
