"""What is ordered or disabled takes effect in open sessions, whatever hinders them (S4, S5)."""

from __future__ import annotations

import json
from functools import partial

import pytest
import trio
from pump import contact, personalize
from trio.testing import MockClock
from world import NOW, SERIAL, World

from insitu.protocol.engine import InsituError
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.stores.registry import Attention, RegistryAway, Standing
from insitu.shell.central_program import CentralProgram, _Online
from insitu.transports.links import Address, open_link

HOST = Address.parse("memory:central")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def program(world: World, told: list[str]) -> CentralProgram:
    personalize(world)
    return CentralProgram(world.central, HOST, tell=told.append)


async def serve(program: CentralProgram, nursery: trio.Nursery) -> None:
    ready = trio.Event()
    nursery.start_soon(partial(program.run, ready=lambda _: ready.set()))
    await ready.wait()


async def ended(world: World) -> str:
    """How a session of the module ends."""
    link = await open_link(HOST)
    try:
        await world.module.work(link.stream)
    except InsituError as error:
        return str(error)
    return ""


def disable_module(world: World) -> None:
    world.central.registry.disable_module(SERIAL, actor="operator", at=NOW, reason="stolen")


def disable_issuer(world: World) -> None:
    fingerprint = world.card.customer.fingerprint
    world.central.registry.disable_issuer(fingerprint, lost=NOW, keep_known=False, actor="operator", at=NOW)


@pytest.mark.parametrize("disable", [disable_module, disable_issuer], ids=["module", "issuer"])
async def test_s5_what_is_disabled_ends_open_sessions_within_five_seconds_and_lets_no_new_ones_in(
    world: World, program: CentralProgram, told: list[str], disable, autojump_clock: MockClock
):
    async with trio.open_nursery() as nursery:
        await serve(program, nursery)

        async def session() -> None:
            assert "refused" in await ended(world)
            assert trio.current_time() - disabled_at < 5
            assert "refused" in await ended(world)
            nursery.cancel_scope.cancel()

        nursery.start_soon(session)
        while not world.module.at_work.online:
            await trio.sleep(0.1)
        disabled_at = trio.current_time()
        disable(world)
    assert any("disabled" in line for line in told)


async def test_a_module_that_is_online_is_reset_when_that_is_ordered(
    world: World, program: CentralProgram, autojump_clock: MockClock
):
    async with trio.open_nursery() as nursery:
        await serve(program, nursery)

        async def sessions() -> None:
            while world.module.state is not ModuleState.RESET:
                await ended(world)
            nursery.cancel_scope.cancel()

        nursery.start_soon(sessions)
        while not world.module.at_work.online:
            await trio.sleep(0.1)
        begun = trio.current_time()
        await program._obey(json.dumps({"reset": SERIAL}))
    assert trio.current_time() - begun < 5
    assert world.entry().standing is Standing.RESET


async def test_a_session_that_is_stuck_is_ended(world: World, program: CentralProgram, autojump_clock: MockClock):
    contact(world).start().finish()
    stuck = _Online(program._online)
    program._online[SERIAL] = stuck
    async with trio.open_nursery() as nursery:
        await serve(program, nursery)
        await program._obey(json.dumps({"reset": SERIAL}))
        with trio.fail_after(5):
            while not stuck.scope.cancel_called:
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert world.entry().standing is Standing.RESET_ORDERED


async def test_a_registry_that_is_away_is_told_once_and_comes_back(
    world: World, program: CentralProgram, told: list[str], monkeypatch, autojump_clock: MockClock
):
    real = world.central.registry.attention

    def away() -> Attention:
        raise RegistryAway("the registry does not answer", who="registry")

    async with trio.open_nursery() as nursery:
        monkeypatch.setattr(world.central.registry, "attention", away)
        await serve(program, nursery)
        await trio.sleep(10)
        assert not program.registry_answers
        monkeypatch.setattr(world.central.registry, "attention", real)
        await trio.sleep(2)
        assert program.registry_answers
        nursery.cancel_scope.cancel()
    assert told == ["registry: the registry does not answer", "central: the registry answers again"]


async def test_a_module_that_is_not_online_is_reset_at_its_next_contact(world: World, program: CentralProgram):
    contact(world).start().finish()
    await program._obey(json.dumps({"reset": SERIAL}))
    assert world.entry().standing is Standing.RESET_ORDERED
