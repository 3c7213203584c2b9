"""A conveyed number as the programs do it (A9): mobile, module's local port, unit's calls, under a clock that jumps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio
from mobile_site import OPTION, Keeper, Site, quiet, together
from networked import Desk
from pump import NoStream
from world import SERIAL, Seeded, World

from insitu.protocol.channel.handshake import Handshake
from insitu.protocol.channel.trust import ModuleByConveyed, calling, conveyed
from insitu.protocol.channel.trust.calling import by_key
from insitu.protocol.driver import run
from insitu.protocol.engine import InsituError, KeyKind, ProtocolError, StateError, UsageError
from insitu.protocol.messages import CardRole, Conveyance, NumberMaker, Purpose, Verdict
from insitu.protocol.parties.mobile import Conveyed
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import UnitState
from insitu.protocol.ports import Ports
from insitu.protocol.progress import MobileAwaited, MobileHeard
from insitu.protocol.session import Session
from insitu.shell.local_link import LocalPort
from insitu.shell.unit_service import UnitService
from insitu.shell.visit import Rules
from insitu.transports.memory import memory_pair

MAKERS = pytest.mark.parametrize("maker", NumberMaker, ids=lambda maker: maker.name.lower())


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


# In good order


@MAKERS
@pytest.mark.parametrize("late", [0, 200], ids=["plugged in before", "brought in minutes later"])
async def test_the_number_arrives_both_ways(world: World, maker, late, autojump_clock):
    site = Site(world, maker)
    outcomes = []

    async def person(nursery: trio.Nursery) -> None:
        await trio.sleep(late)
        outcomes.append(await site.carry(nursery))

    module, unit = await together(site, person)
    assert (module.error, unit.error) == (None, None)
    assert module.result is world.module.state is ModuleState.OPERATING
    assert outcomes[0].error is None
    assert unit.at >= late
    heard = MobileHeard("unit", SERIAL, by_key(site.phone.key.public), agrees=True)
    assert site.notes.count(heard) == 1
    assert Conveyed(SERIAL, accepted=True) in site.notes
    assert MobileAwaited("unit", SERIAL, conveyed.UNIT_SECONDS) in site.notes
    assert site.told == []


async def test_nobody_comes(site: Site, autojump_clock):
    module, unit = await together(site)
    assert unit.at == conveyed.UNIT_SECONDS
    assert "no answer in time (expected what a mobile brings)" in str(unit.error)
    assert isinstance(module.error, ProtocolError)
    quiet(site)


async def test_a_mobile_that_waits_for_a_module_that_never_speaks(site: Site, autojump_clock):
    async with trio.open_nursery() as nursery:
        outcome = await site.carry(nursery)
        assert outcome.at == 300
        assert "module" in str(outcome.error)
        nursery.cancel_scope.cancel()


async def test_plugged_in_again_the_newest_one_counts(site: Site, autojump_clock):
    """Somebody pulls the plug; the same conveyance is asked for again."""
    outcomes = []

    async def first(nursery: trio.Nursery) -> None:
        await site.plugged_in(nursery).receive_some()

    async def second(nursery: trio.Nursery) -> None:
        await trio.sleep(9)
        outcomes.append(await site.carry(nursery))

    _, unit = await together(site, first, second)
    assert unit.error is outcomes[0].error is None


# Mobiles that do not count


async def test_a_mobile_that_the_unit_was_not_told_of_ends_nothing(site: Site, autojump_clock):
    mallory = site.new_phone("Mallory")
    outcomes = []

    async def persons(nursery: trio.Nursery) -> None:
        keeper = Keeper(site.far(nursery, mallory))
        outcomes.append(await site.carry(nursery, keeper))
        assert keeper.words == []
        outcomes.append(await site.carry(nursery))

    _, unit = await together(site, persons)
    assert unit.error is outcomes[1].error is None
    assert isinstance(outcomes[0].error, ProtocolError)
    assert any("one that this unit was told of" in each for each in site.told)


async def test_a_stolen_mobile_is_struck_off_while_a_session_waits(site: Site, autojump_clock):
    async def person(nursery: trio.Nursery) -> None:
        await trio.sleep(9)
        site.known.clear()
        outcome = await site.carry(nursery)
        assert isinstance(outcome.error, ProtocolError)

    await together(site, person)
    assert not any(isinstance(note, MobileHeard) for note in site.notes)
    quiet(site)


async def test_who_is_let_in_at_the_port_is_still_none_that_the_session_believes(
    site: Site, monkeypatch, autojump_clock
):
    """Two checks: without that of the handshake, that of the session is left."""
    mallory = site.new_phone("Mallory")
    monkeypatch.setattr(calling, "_known", lambda claim, *_, **__: calling.anybody(claim))
    keeper = Keeper(None)  # type: ignore[arg-type]

    async def person(nursery: trio.Nursery) -> None:
        await trio.sleep(9)
        keeper.far = site.far(nursery, mallory)
        site.known[by_key(mallory.key.public)] = "put on the list after the session began"
        await site.carry(nursery, keeper)

    await together(site, person)
    assert keeper.words == [Verdict(serial=SERIAL)]
    quiet(site)


# Numbers that do not count


@MAKERS
@pytest.mark.parametrize(
    "change",
    [
        lambda said: replace(said, binding=bytes(32)),
        lambda said: replace(said, random=bytes(16)),
        lambda said: replace(said, serial="SN-2"),
    ],
    ids=["another channel's", "another number", "another module's"],
)
async def test_what_does_not_agree_is_refused(world: World, maker, change, autojump_clock):
    site = Site(world, maker)
    outcomes = []

    async def person(nursery: trio.Nursery) -> None:
        outcomes.append(await site.carry(nursery, Keeper(site.far(nursery), change)))

    _, unit = await together(site, person)
    assert "the unit refused" in str(outcomes[0].error)
    assert unit.error is not None
    assert not any(note.agrees for note in site.notes if isinstance(note, MobileHeard))
    quiet(site)


async def test_a_number_of_another_session_and_one_that_was_used(site: Site, autojump_clock):
    old: list[Conveyance] = []

    async def first(nursery: trio.Nursery) -> None:
        keeper = Keeper(site.far(nursery))
        await site.carry(nursery, keeper)
        old.extend(keeper.kept)
        again = await site.far(nursery).ask(old[0], None)  # type: ignore[arg-type]
        assert again == Verdict(serial=SERIAL), "used"

    await together(site, first)
    assert site.world.module.state is ModuleState.OPERATING
    site.world.module.reset_by_hand()
    site.world.approved(CardRole.MODULE, SERIAL)

    async def replay(nursery: trio.Nursery) -> None:
        await trio.sleep(9)
        assert await site.far(nursery).ask(old[0], None) == Verdict(serial=SERIAL)  # type: ignore[arg-type]

    _, unit = await together(site, replay)
    assert "not of this channel" in str(unit.error)
    assert site.world.module.state is ModuleState.RESET


async def test_a_mobile_at_another_module(site: Site, autojump_clock):
    keeper = Keeper(None)  # type: ignore[arg-type]
    outcomes = []

    async def person(nursery: trio.Nursery) -> None:
        outcomes.append(await site.carry(nursery, keeper, serial="SN-2"))

    await together(site, person)
    assert "the module at the local link is 'SN-1', not 'SN-2'" in str(outcomes[0].error)
    assert keeper.kept == []
    quiet(site)


async def test_for_which_nobody_waits(site: Site, autojump_clock):
    async with trio.open_nursery() as nursery:
        said = Conveyance(serial=SERIAL, binding=bytes(32), random=bytes(16))
        assert await site.far(nursery).ask(said, None) == Verdict(serial=SERIAL)  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()


# Units that do not count


async def test_a_mobile_shows_the_number_to_its_own_unit_only(site: Site, monkeypatch, autojump_clock):
    """Somebody took the unit's place in the network. Without the check he gets what only the two may know."""
    seen = []
    original = type(site.board).convey
    monkeypatch.setattr(type(site.board), "convey", lambda board, said: seen.append(said) or original(board, said))
    said = Conveyance(serial=SERIAL, binding=bytes(32), random=bytes(16))
    async with trio.open_nursery() as nursery:
        with pytest.raises(ProtocolError, match="key at the other end"):
            await site.far(nursery, unit=bytes(32)).ask(said, None)  # type: ignore[arg-type]
        assert seen == []
        monkeypatch.setattr(calling, "_known", lambda claim, *_, **__: calling.anybody(claim))
        await site.far(nursery, unit=bytes(32)).ask(said, None)  # type: ignore[arg-type]
        assert len(seen) == 1
        nursery.cancel_scope.cancel()


# Several sessions


async def test_further_sessions_for_one_serial_number_do_not_hide_the_right_one(site: Site, autojump_clock):
    """Somebody opens sessions under the module's name at a unit that many modules call (decision 0033)."""
    others = [site.board.place(SERIAL).link for _ in range(3)]

    async def person(nursery: trio.Nursery) -> None:
        outcome = await site.carry(nursery)
        assert outcome.error is None

    module, unit = await together(site, person)
    assert (module.error, unit.error) == (None, None)
    assert all(link.orders.take() is not None for link in others), "each was asked"


async def test_sessions_that_are_over_are_forgotten(site: Site, autojump_clock):
    for _ in range(3):
        site.board.place(SERIAL).link.close()
    link = site.board.place(SERIAL).link
    assert [place.link for place in site.board._places[SERIAL]] == [link]
    link.close()
    with pytest.raises(StateError):
        await link.report(None).wait()


def test_a_session_that_never_began_gives_its_place_back(site: Site):
    site.known.clear()
    with pytest.raises(Exception, match="mobiles that may convey"):
        site.unit().personalize(NoStream(), SERIAL, OPTION).send(None)  # type: ignore[arg-type]
    assert all(place.link.closed for place in site.board._places[SERIAL])


# A unit in the network


async def test_a_unit_that_many_modules_call(world: World):
    """Each module's mobile finds its session; a stranger under the name of one gets nothing, and ends nobody's."""
    site = Site(world)
    modules = [world.module, world.new_module("SN-2")]
    ports = [site.port, LocalPort(tell=site.told.append)]
    world.approved(CardRole.MODULE, "SN-2")
    world.vault("SN-2")
    modules[1]._mobile = ports[1].open
    rules = Rules(world.central_certificate, None)
    about: dict[str, Any] = {"tell": site.told.append, "show": site.notes.append, "now": world.clock}
    unit = UnitService(Desk(world), world.card, OPTION, rules, board=site.board, entropy=Seeded("service"), **about)
    unit.check()
    assert unit.calls is not None
    stranger = ModuleByConveyed.of(SERIAL, world.vault("mallory").generate("x", KeyKind.P256, b""), bytes(16))
    states: dict[str, object] = {}

    async def met(name: str, meet: Callable[[trio.abc.Stream], Any], stream: trio.abc.Stream) -> None:
        try:
            states[name] = await meet(stream)
        except InsituError as error:
            states[name] = error

    async with trio.open_nursery() as nursery:
        here, there = memory_pair()
        nursery.start_soon(met, "stranger's", unit.meet, there)
        handshake = Handshake.initiate(stranger, Purpose.PERSONALIZE, Seeded("stranger")(64))
        session = Session(MODULE, ModuleState.DELIVERED, world.module._data(), handshake)
        known = Ports(world.vault("mallory"), forward=lambda _: nursery.start_soon(persons))

        async def persons() -> None:  # the stranger's channel stands, and was asked for the number
            async with trio.open_nursery() as work:
                for module, port in zip(modules, ports, strict=True):
                    here, there = memory_pair()
                    serial = module.record.serial
                    work.start_soon(met, f"at {serial}", unit.meet, there)
                    work.start_soon(met, serial, partial(module.meet_unit, option=OPTION), here)
                    site.port = port
                    outcome = await site.carry(work, serial=serial)
                    assert outcome.error is None
            nursery.cancel_scope.cancel()

        with suppress(InsituError):
            await run(session, here, known, now=world.clock)
    assert [module.state for module in modules] == [ModuleState.OPERATING] * 2
    assert states["at SN-1"] is states["at SN-2"] is UnitState.PERSONALIZED
    assert isinstance(states["stranger's"], ProtocolError)


async def test_a_unit_in_the_network_needs_mobiles(world: World):
    rules = Rules(world.central_certificate, None)
    unit = UnitService(Desk(world), world.card, OPTION, rules, tell=print, now=world.clock)
    assert unit.calls is None
    with pytest.raises(UsageError, match="mobiles that may convey"):
        unit.check()
