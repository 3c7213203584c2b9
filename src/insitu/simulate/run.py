"""One world from its seed to its verdict, in one run of trio that repeats to the last byte.

The clock jumps to the next deadline, the scheduler draws from the seed, worker threads are run in place, signatures
are deterministic (RFC 6979). First comes the phase with troubles, in which nothing forbidden may happen; then a phase
without any, in which every module must come to operate and serve a customer.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from unittest.mock import patch

import trio

from ..protocol.channel.records import Records
from ..protocol.parties import card_people
from .bank import MODULES, Bank
from .clock import JumpingClock
from .history import PayloadSealed, Violation
from .mishaps import Mishaps
from .plan import Plan, Trouble
from .quicker import quicker_points
from .site import Site
from .world import World

PATIENCE_SECONDS: Final = 2 * 3600.0
"""Simulated seconds in which all must finish once nothing goes wrong any more."""
LOOK_SECONDS: Final = 10.0
LITTER: Final = 50_000
"""New objects after which Python looks for circles among them: seventy times as many as usual; there are hardly any."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one world.

    Attributes:
        plan: what it was like.
        invariant: which one was violated; empty: none.
        violation: what must not have happened.
        events: how many there were.
        lives: life cycles of modules.
        injected: how often each trouble befell somebody.
        hours: simulated hours in all.
        calm_seconds: how long it took until all had finished once nothing went wrong.
        digest: of the trace.
        tail: its last lines, for a violation.

    """

    plan: Plan
    invariant: str
    violation: str
    events: int
    lives: int
    injected: Mapping[Trouble, int]
    hours: float
    calm_seconds: float
    digest: str
    tail: tuple[str, ...]


def run_world(plan: Plan, also: Callable[[str], None] | None = None) -> Verdict:
    """Let a world live.

    Args:
        plan: what it is like.
        also: gets each line of the trace.

    """
    with repeatable(plan.seed):
        clock = JumpingClock()
        return trio.run(partial(_live, plan, clock, also), clock=clock)


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Runs of trio repeat in here: the scheduler draws by seed, and there are no threads. PINs cost little.

    So does garbage: what is in no circle goes at once in any case.
    """
    scheduler: Any = trio._core._run  # noqa: SLF001 - what trio has for this
    state, litter = scheduler._r.getstate(), gc.get_threshold()  # noqa: SLF001
    with (
        patch.object(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        patch.object(trio.to_thread, "run_sync", _run_in_place),
        patch.object(card_people, "scrypt", _scrypt),
        quicker_points(),
    ):
        scheduler._r.seed(seed)  # noqa: SLF001
        gc.set_threshold(LITTER, *litter[1:])
        try:
            yield
        finally:
            gc.set_threshold(*litter)
            scheduler._r.setstate(state)  # noqa: SLF001


@contextmanager
def _overheard(world: World) -> Iterator[None]:
    """Whatever parties put into channels is shown to the invariants before it is sealed."""
    seal = Records.seal

    def overheard(records: Records, payload: bytes) -> list[bytes]:
        world.see(PayloadSealed(payload))
        return seal(records, payload)

    with patch.object(Records, "seal", overheard):
        yield


def _scrypt(password: bytes, *, salt: bytes, dklen: int, **_: int) -> bytes:
    """Scrypt at its lowest cost."""
    return hashlib.scrypt(password, salt=salt, n=2, r=1, p=1, dklen=dklen)


async def _run_in_place(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:  # noqa: ANN401 - as trio's
    await trio.lowlevel.checkpoint()
    return function(*arguments)


async def _live(plan: Plan, clock: JumpingClock, also: Callable[[str], None] | None) -> Verdict:
    world = World(plan, clock, also)
    calm_since = 0.0
    with world.scope, _overheard(world):
        banks = _settled(world)
        async with trio.open_nursery() as nursery:
            for bank in banks:
                bank.open(nursery)
            Mishaps(world, banks).begin(nursery)
            await trio.sleep(plan.hours * 3600)
            calm_since = trio.current_time()
            _calm_down(world, banks)
            await _all_finish(world, [site for bank in banks for site in bank.sites])
            nursery.cancel_scope.cancel()
    ended = trio.current_time()
    return Verdict(
        plan,
        "" if world.violation is None else world.violation.invariant,
        "" if world.violation is None else str(world.violation),
        world.trace.events,
        world.lives,
        dict(world.injected),
        world.uptime() / 3600,
        ended - calm_since if calm_since else 0.0,
        world.trace.digest,
        tuple(world.trace.tail),
    )


def _settled(world: World) -> list[Bank]:
    banks: list[Bank] = []
    chance = world.chance.of("hosts")
    for left in range(world.plan.modules, 0, -MODULES):
        modules = min(MODULES, left)
        others = modules // 2 if chance.happens(world.plan.shared) else 0
        banks.append(Bank(world, len(banks) + 1, modules - others))
        if others:
            banks.append(Bank(world, len(banks) + 1, others, banks[-1].hosts))
    return banks


def _calm_down(world: World, banks: Sequence[Bank]) -> None:
    """Whatever was wrong is put right, once."""
    world.calm = True
    world.trace.write("world", "calms down")
    for machine in world.machines:
        machine.ahead = 0
    for bank in banks:
        bank.enable_all()


async def _all_finish(world: World, sites: Sequence[Site]) -> None:
    """Every module operates, serves a customer, and owes nobody anything."""
    with trio.move_on_after(PATIENCE_SECONDS):
        while any(not site.has_finished for site in sites):
            await trio.sleep(LOOK_SECONDS)
        return
    stuck = [site for site in sites if not site.has_finished]
    text = ", ".join(f"{site.serial} ({site.standing})" for site in stuck[:5])
    world.fail(Violation("liveness", f"{len(stuck)} of {len(sites)} modules never finish: {text}"))
