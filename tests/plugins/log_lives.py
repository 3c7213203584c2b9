"""Scripts like those of `lives.py`, for what happens to a card's log: brought to a central system, required there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lives import broken, dropping, wait_out
from networked import fresh_card
from pump import Line, contact, personalize, personalized_by_a_thief, syncing
from world import World, cheap_pins, wanted

from insitu.protocol.engine import LookUp, Sign, given
from insitu.protocol.messages import CardRole
from insitu.protocol.parties import card_syncing


def syncs() -> None:
    """A card brings its log; the line is cut or silent; it goes on, is cut off, forks; the central's key fails."""
    for number in range(8):
        for silent in (False, True):
            world = World()
            if silent:
                line = syncing(world, hook=dropping(number)).start()
                wait_out(line)
                line.finish()
            else:
                syncing(world, cut_after=number).start().finish()
    world = World()
    with broken(world.central.keys, "sign", after=1):
        syncing(world).start().finish()
    for count in range(1, 5):
        line = syncing(world)
        line.peer.before = losing(line, count)
        line.start().finish()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card_syncing, "LOG_PART_MAX", 2)
        syncing(World()).start().finish()
    for certificates in (0, 2):
        world = World()
        then = given(world.vault("card").record)
        personalize(world)
        syncing(world).start().finish()
        world.vault("card").commit(then, world.vault("card").labels())
        world.card = fresh_card(world)
        world.clock.at += 60
        for number in range(certificates):
            world.certify(CardRole.MODULE, f"SN-{number}", world.card.authentication.public)
        syncing(world).start().finish()


def losing(line: Line, count: int) -> Callable[[object], None]:
    """Cuts the line before the effect with this number, from 1, that goes to a port of the central system."""
    seen = 0

    def before(effect: object) -> None:
        nonlocal seen
        if isinstance(effect, (LookUp, Sign)):
            seen += 1
            if seen == count:
                line.cut()

    return before


def unlogged() -> None:
    """A central system that asks for logs meets certificates that are in none yet, and one that never will be."""
    world = World()
    personalize(world)
    central = world.asking_for_logs(grace=600)
    line = contact(world, central=central).start()
    for _ in range(2):
        line.module.order(wanted(1))
        line.module.expire("beat")
    world.clock.at += 601
    line.module.expire("beat")
    line.finish()
    for first in (True, False):
        world = World()
        personalized_by_a_thief(world)
        central = world.asking_for_logs(grace=600)
        line = contact(world, central=central)
        if first:
            line.start()
        world.clock.at += 60
        world.certify(CardRole.MODULE, "SN-8", world.card.authentication.public)
        syncing(world).start().finish()
        if first:
            line.module.expire("beat")
        else:
            line.start()
        line.finish()


def live() -> None:
    """All of it."""
    with cheap_pins():
        syncs()
        unlogged()
