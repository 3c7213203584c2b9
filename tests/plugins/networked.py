"""A unit in the network, met without I/O: its card at a desk, its job list in memory, people and their queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pump import Line, NoStream, Side
from world import DAY, NOW, PINS, SERIAL, World, restarted, shared_secret

from insitu.protocol.messages import Job, StandingPolicy, TrustOption
from insitu.protocol.stores.card_log import StandingBegun
from insitu.shell.card import Card
from insitu.shell.card_desk import CardDesk
from insitu.shell.job_list import JobList, Modules
from insitu.shell.module import Module
from insitu.shell.unit_service import UnitService
from insitu.shell.visit import Rules


class Listed(JobList):
    """A job list that lies in no file."""

    def __init__(self, world: World, patterns: Iterable[str]) -> None:
        super().__init__(Path("nowhere"), now=world.clock)
        self.listed: dict[str, int] = {pattern: world.clock() + DAY for pattern in patterns}

    def modules(self) -> Modules:
        """Who is on it."""
        return self.listed


class Desk(CardDesk):
    """A card in a vault in memory, opened for each question; it may always have changed."""

    def __init__(self, world: World) -> None:
        self.world = world
        super().__init__(lambda: restarted(world.vault("card")), tuple, world.card, now=world.clock)

    @property
    def has_changed(self) -> bool:
        """See CardDesk."""
        return True

    def look(self) -> None:
        """See what is in it now."""
        self.ask(lambda card: None)


def fresh_card(world: World) -> Card:
    """The card as it is now; the world's own object knows nothing of what was done at a desk."""
    world.card = world.blank_card()
    return world.card


def service(
    world: World,
    option: TrustOption = TrustOption.CERTIFICATES,
    *,
    jobs: Iterable[str] | None = None,
    told: list[str] | None = None,
    allowed: Callable[[], None] = lambda: None,
    **about: Any,
) -> UnitService:
    """A unit that listens, with the world's card; `jobs`: who is on its job list."""
    rules = Rules(world.central_certificate, None if jobs is None else Listed(world, jobs), allowed=allowed, **about)
    tell = (told if told is not None else []).append
    more: dict[str, Any] = world._about(f"service {len(world.shown)}")
    if option in (TrustOption.SECRET, TrustOption.TAN):
        more["book"] = world.book()
    here = UnitService(Desk(world), world.card, option, rules, tell=tell, now=world.clock, blocking=False, **more)
    here.check()
    return here


def call(
    world: World,
    here: UnitService,
    option: TrustOption = TrustOption.CERTIFICATES,
    *,
    module: Module | None = None,
    origin: str = "",
    **about: Any,
) -> Line:
    """A module calls from `origin`, and has not begun yet."""
    module = module or world.module
    world.equip(option, module)
    if option is TrustOption.SECRET:
        world.book().agree(module.record.serial, shared_secret(module.record.serial))
    stream: Any = NoStream()
    unit = Side("unit", here.meet(stream, origin=origin))
    return Line(Side("module", module.meet_unit(stream, option, wired=True)), unit, **about)


def with_policy(world: World, *, most: int = 10, days: int = 7) -> Card:
    """The world's card, as if it had been taken into use with a policy that admits standing approvals."""
    record = replace(world.card.record, policy=StandingPolicy(most, days))
    world.card._keeping.commit(record)
    return world.card


def in_force(card: Card, *serials: str, most: int = 1, until: int = NOW + DAY) -> StandingBegun:
    """A standing approval to which two people agreed, for modules with these numbers; none: SERIAL."""
    job = card.propose_standing(serials or (SERIAL,), most=most, until=until)
    for person, pin in PINS.items():
        card.approve(job, person, pin)
    return card.bring_into_force(job.number).begun


def queued(world: World, serial: str = SERIAL) -> Job:
    """The job that waits with this module's key."""
    jobs = [job for job in fresh_card(world).record.jobs if job.subject == serial and job.public_key is not None]
    return jobs[-1]


def approve_queued(world: World, serial: str = SERIAL, people: Iterable[str] = PINS) -> None:
    """People approve what waits."""
    job = queued(world, serial)
    for person in people:
        world.card.approve(job, person, PINS[person])


def look(here: UnitService) -> None:
    """What the service does twice a second: see what people did, and tell the sessions."""
    here._desk.look()  # type: ignore[attr-defined]
    here.queue.look(here._desk)
