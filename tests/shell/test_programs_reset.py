"""A reset that is ordered happens, whatever hinders the session with the module (S4)."""

from __future__ import annotations

import json

import pytest
import trio
from pump import personalize
from trio.testing import MockClock
from world import SERIAL, World

from insitu.shell import programs
from insitu.shell.programs import CentralProgram, _Online
from insitu.transports.links import Address


@pytest.fixture
def program(world: World) -> CentralProgram:
    personalize(world)
    return CentralProgram(world.central, Address.parse("memory:central"), tell=lambda line: None)


async def known(world: World) -> None:
    """One contact, after which the registry knows the module."""
    from pump import contact

    contact(world).start().finish()
    assert world.central.entry(SERIAL).valid  # type: ignore[union-attr]


@pytest.mark.parametrize("taken", [False, True], ids=["nobody reads the order", "the order is taken and never done"])
async def test_a_session_that_is_stuck_is_ended_and_the_reset_is_written(
    world: World, program: CentralProgram, taken: bool, autojump_clock: MockClock
):
    await known(world)
    sending, orders = trio.open_memory_channel[programs.Order](0)
    stuck = _Online(sending, trio.CancelScope())
    program._online[SERIAL] = stuck
    async with trio.open_nursery() as nursery:
        if taken:
            nursery.start_soon(orders.receive)
        await program._obey(json.dumps({"reset": SERIAL}))
    assert stuck.scope.cancel_called
    assert world.central.entry(SERIAL).valid is False  # type: ignore[union-attr]


async def test_a_module_that_is_not_online_is_reset_at_its_next_contact(world: World, program: CentralProgram):
    await known(world)
    await program._obey(json.dumps({"reset": SERIAL}))
    assert world.central.entry(SERIAL).valid is False  # type: ignore[union-attr]
