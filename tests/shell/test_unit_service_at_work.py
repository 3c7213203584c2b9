"""A unit in the network and many modules as programs side by side: queues, busy cards, limits, people who do not come.

Time jumps; what takes real time here are the signatures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import trio
from networked import approve_queued, fresh_card, in_force, service, with_policy
from pump import personalize
from world import DAY, NOW, PINS, SERIAL, World

from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import ModulePersonalized, ModuleTurnedAway
from insitu.protocol.progress import PeopleAwaited
from insitu.protocol.stores.atomic import ErasureFailed
from insitu.protocol.stores.card_log import Intent
from insitu.protocol.stores.log_lines import import_lines
from insitu.shell.module import Module
from insitu.shell.programs import ModuleProgram
from insitu.shell.unit_service import UnitService
from insitu.shell.visit import APPROVAL_SECONDS
from insitu.transports.links import Address

UNIT = Address.parse("memory:unit")
MANY = 24


class Network:
    """A unit and modules that call it until they operate.

    Attributes:
        told: errors of the modules.

    """

    def __init__(self, nursery: trio.Nursery, world: World, modules: int) -> None:
        self.world = world
        self.told: list[str] = []
        self.modules = [world.new_module(f"MANY-{number}") for number in range(modules)]
        self._nursery = nursery

    async def begin(self, **about: Any) -> UnitService:
        """The unit listens, and all modules call."""
        here = service(self.world, **about)
        ready = trio.Event()
        self._nursery.start_soon(partial(here.run, UNIT, ready=lambda _: ready.set()))
        await ready.wait()
        for module in self.modules:
            self.call(module)
        return here

    def call(self, module: Module) -> None:
        program = ModuleProgram(
            module, None, TrustOption.CERTIFICATES, unit=UNIT, tell=self.told.append, once=True, jitter=lambda: 1.0
        )
        self._nursery.start_soon(partial(program.run, ready=lambda _: None))

    @property
    def operating(self) -> int:
        return sum(module.state is ModuleState.OPERATING for module in self.modules)

    async def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        with trio.fail_after(seconds):
            while not condition():
                await trio.sleep(0.3)

    def certified(self) -> list[Intent]:
        log = import_lines(fresh_card(self.world).export_log()).log
        return [e.what for e in log if isinstance(e.what, Intent) and e.what.subject.startswith("MANY")]

    def seen(self, kind: type) -> int:
        return sum(isinstance(note, kind) for note in self.world.shown)


async def test_many_wait_side_by_side_and_each_is_approved_by_itself(autojump_clock):
    async with trio.open_nursery() as nursery:
        network = Network(nursery, World(), MANY)
        here = await network.begin(jobs=["MANY-*"])
        await network.until(lambda: len(here.queue) == MANY)
        for number in range(MANY - 1):
            approve_queued(network.world, f"MANY-{number}")
        await network.until(lambda: network.operating == MANY - 1)
        approve_queued(network.world, f"MANY-{MANY - 1}", people=["alice"])
        await trio.sleep(60)
        assert (network.operating, len(here.queue)) == (MANY - 1, 1), "one waits on, and holds up nobody"
        approve_queued(network.world, f"MANY-{MANY - 1}", people=["bob"])
        await network.until(lambda: network.operating == MANY)
        nursery.cancel_scope.cancel()
    assert sorted(intent.subject for intent in network.certified()) == sorted(m.record.serial for m in network.modules)
    assert network.seen(ModulePersonalized) == MANY


async def test_people_who_do_not_come_leave_one_job_and_a_module_that_calls_again(autojump_clock):
    """Each call has a key of its own; its job takes the place of the one before, and the last one counts."""
    async with trio.open_nursery() as nursery:
        network = Network(nursery, World(), 1)
        here = await network.begin(jobs=["MANY-0"])
        await network.until(lambda: network.seen(PeopleAwaited) == 6, seconds=4 * APPROVAL_SECONDS)
        assert trio.current_time() > 2 * APPROVAL_SECONDS, "two calls were waited out to the end"
        assert [job.subject for job in fresh_card(network.world).record.jobs] == ["MANY-0"]
        assert any("timeout" in text for text in network.told)
        approve_queued(network.world, "MANY-0")
        await network.until(lambda: network.operating == 1)
        assert len(here.queue) == 0
        nursery.cancel_scope.cancel()
    assert len(network.certified()) == 1


async def test_a_busy_card_is_said_to_all_and_all_come_again(autojump_clock):
    async with trio.open_nursery() as nursery:
        network = Network(nursery, World(), MANY)
        in_force(with_policy(network.world, most=2 * MANY), "MANY-*", most=MANY)
        here = service(network.world)
        places = here._desk._places
        while places.acquire(blocking=False):
            pass
        ready = trio.Event()
        nursery.start_soon(partial(here.run, UNIT, ready=lambda _: ready.set()))
        await ready.wait()
        for module in network.modules:
            network.call(module)
        await network.until(lambda: network.seen(ModuleTurnedAway) >= 2 * MANY)
        assert network.operating == 0
        assert all("got busy" in text for text in network.told)
        assert network.certified() == []
        for _ in range(16):
            places.release()
        await network.until(lambda: network.operating == MANY)
        nursery.cancel_scope.cancel()
    assert len(network.certified()) == MANY, "being told that it is busy used nothing up"


@pytest.mark.parametrize("most", [1, 5])
async def test_a_standing_approval_is_good_for_so_many_whoever_comes_first(autojump_clock, most):
    async with trio.open_nursery() as nursery:
        network = Network(nursery, World(), 9)
        card = with_policy(network.world, most=most)
        job = card.propose_standing(["MANY-*"], most=most, until=NOW + DAY)
        for person, pin in PINS.items():
            card.approve(job, person, pin)
        card.bring_into_force(job.number)
        await network.begin()
        await network.until(lambda: network.operating == most)
        await trio.sleep(300)
        assert network.operating == most
        nursery.cancel_scope.cancel()
    assert [intent.standing for intent in network.certified()] == [job.number] * most


async def test_one_that_is_taken_from_the_list_is_turned_away_and_the_others_wait_on(autojump_clock):
    async with trio.open_nursery() as nursery:
        network = Network(nursery, World(), 3)
        here = await network.begin(jobs=[f"MANY-{number}" for number in range(3)])
        await network.until(lambda: len(here.queue) == 3)
        del here._rules.jobs.listed["MANY-1"]  # type: ignore[union-attr]
        await network.until(lambda: len(here.queue) == 2)
        assert sum("unavailable" in text for text in network.told) >= 1
        for number in (0, 2):
            approve_queued(network.world, f"MANY-{number}")
        await network.until(lambda: network.operating == 2)
        nursery.cancel_scope.cancel()
    assert {intent.subject for intent in network.certified()} == {"MANY-0", "MANY-2"}


async def test_a_unit_that_ends_ends_the_waiting_and_another_goes_on(autojump_clock):
    """What people approved for a key that is gone counts for nothing."""
    async with trio.open_nursery() as nursery:
        network = Network(nursery, World(), 1)
        with trio.CancelScope() as life:
            here = service(network.world, jobs=["MANY-0"])
            async with trio.open_nursery() as first:
                ready = trio.Event()
                first.start_soon(partial(here.run, UNIT, ready=lambda _: ready.set()))
                await ready.wait()
                network.call(network.modules[0])
                await network.until(lambda: len(here.queue) == 1)
                approve_queued(network.world, "MANY-0", people=["alice"])
                life.cancel()
        assert len(here.queue) == 0
        other = service(network.world, jobs=["MANY-0"])
        nursery.start_soon(partial(other.run, UNIT, ready=lambda _: None))
        await network.until(lambda: len(other.queue) == 1)
        approve_queued(network.world, "MANY-0")
        await network.until(lambda: network.operating == 1)
        nursery.cancel_scope.cancel()
    assert [intent.approvers for intent in network.certified()] == [("alice", "bob")]


async def test_a_module_whose_old_keys_are_not_overwritten_is_reset_and_calls_all_the_same(autojump_clock, monkeypatch):
    """While its host is away: found in a simulated world (seed 8, twelve modules), where it called nobody any more."""
    world = World()
    personalize(world)
    module, told = world.module, list[str]()
    vault = module._keeping.vault
    write = vault.commit

    def written(record: bytes, keep: frozenset[str]) -> None:
        write(record, keep)
        monkeypatch.setattr(vault, "commit", write)
        raise ErasureFailed("old content is not overwritten", who="store")

    async def requests() -> AsyncIterator[str]:
        await trio.sleep(30)
        yield '{"reset": "by hand"}'

    world.approved(CardRole.MODULE, SERIAL)
    async with trio.open_nursery() as nursery:
        ready = trio.Event()
        nursery.start_soon(partial(service(world).run, UNIT, ready=lambda _: ready.set()))
        await ready.wait()
        program = ModuleProgram(
            module, None, TrustOption.CERTIFICATES, unit=UNIT, central=Address.parse("memory:nobody"), tell=told.append
        )
        monkeypatch.setattr(vault, "commit", written)
        nursery.start_soon(partial(program.run, ready=lambda _: None, requests=requests()))
        with trio.fail_after(600):
            while not (module.state is ModuleState.OPERATING and module.record.epoch == 1):
                await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert any("old content is not overwritten" in text for text in told)
