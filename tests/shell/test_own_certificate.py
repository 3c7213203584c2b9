"""A central system whose own certificate is revoked works with nobody: no new session, and open ones end (S5)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import trio
from pump import contact, personalize
from trio.testing import MockClock
from world import World

from insitu.protocol.engine import InsituError
from insitu.protocol.keys.certificates import CertificateRefused
from insitu.protocol.stores.registry import RegistryAway
from insitu.shell.central_program import CentralProgram
from insitu.shell.operator import import_crl
from insitu.transports.links import Address, open_link

HOST = Address.parse("memory:revoked host")


@pytest.fixture
def world() -> World:
    world = World()
    personalize(world)
    return world


def by_the_card(world: World) -> None:
    """The card revokes the certificate that it made for the host's key."""
    job = world.approved_list(world.card.number_of(world.central_certificate))
    import_crl(world.central, world.card.sign_list(job.number), actor="operator")


def by_the_manufacturer(world: World) -> None:
    """The manufacturer revokes the card."""
    world.manufacturer.revoke(world.manufacturer.number_of(world.customer))
    import_crl(world.central, world.manufacturer.sign_list(), actor="operator")


Revoke = Callable[[World], None]
REVOKED = pytest.mark.parametrize("revoke", [by_the_card, by_the_manufacturer])


@REVOKED
def test_no_new_session(world: World, revoke: Revoke):
    world.central.check_certificate()
    contact(world).start().finish()
    revoke(world)
    with pytest.raises(CertificateRefused, match="our own certificate is revoked"):
        world.central.check_certificate()
    with pytest.raises(CertificateRefused, match="our own certificate is revoked"):
        contact(world)


@REVOKED
def test_it_is_not_installed_again(world: World, revoke: Revoke):
    revoke(world)
    with pytest.raises(CertificateRefused, match="our own certificate is revoked"):
        world.central.install(world.central_certificate)


def test_a_list_that_names_others_does_no_harm(world: World):
    job = world.approved_list(*world.card.numbers_of("SN-1"))
    import_crl(world.central, world.card.sign_list(job.number), actor="operator")
    world.central.check_certificate()


async def test_open_sessions_end_and_it_is_told_once(world: World, autojump_clock: MockClock):
    told: list[str] = []
    program = CentralProgram(world.central, HOST, tell=told.append)
    ended: list[str] = []

    async def work(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        link = await open_link(HOST)
        task_status.started()
        try:
            await world.module.work(link.stream)
        except InsituError as error:
            ended.append(str(error))

    async with trio.open_nursery() as nursery:
        ready = trio.Event()
        nursery.start_soon(partial(program.run, ready=lambda _: ready.set()))
        await ready.wait()
        nursery.start_soon(work)
        while not world.module.at_work.online:
            await trio.sleep(0.1)
        by_the_card(world)
        with trio.fail_after(5):
            while world.module.at_work.online:
                await trio.sleep(0.1)
        for _ in range(2):
            await work()
        await trio.sleep(5)
        assert program.registry_answers, "it does; only our certificate does not count"
        nursery.cancel_scope.cancel()
    assert len(ended) == 3
    assert program.online == frozenset()
    assert len([line for line in told if "revoked" in line]) == 3, "once by itself, and to each who came"


async def test_a_registry_that_is_away_revokes_nothing(world: World, monkeypatch, autojump_clock: MockClock):
    told: list[str] = []
    program = CentralProgram(world.central, HOST, tell=told.append)

    def away(*_: object) -> None:
        raise RegistryAway("the registry does not answer", who="registry")

    async with trio.open_nursery() as nursery:
        ready = trio.Event()
        nursery.start_soon(partial(program.run, ready=lambda _: ready.set()))
        await ready.wait()
        link = await open_link(HOST)
        nursery.start_soon(world.module.work, link.stream)
        while not world.module.at_work.online:
            await trio.sleep(0.1)
        with monkeypatch.context() as patch:
            patch.setattr(world.central.registry, "known", away)
            await trio.sleep(5)
            assert not program.registry_answers
            assert world.module.at_work.online
        await trio.sleep(2)
        assert program.registry_answers
        assert world.module.at_work.online
        nursery.cancel_scope.cancel()
    assert told == ["registry: the registry does not answer", "central: the registry answers again"]
