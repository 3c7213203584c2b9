"""Several sessions with one module at a central system: a copy of its old storage must not undo what another learned.

The sessions are the shell's own, joined without I/O (`pump.py`).
"""

from __future__ import annotations

import pytest
from pump import Line, contact, personalize, sent_to_reset
from world import SERIAL, Seeded, World, memory, wanted

from insitu.protocol.engine import StateError
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.stores.registry import Standing
from insitu.shell.module import Module


@pytest.fixture
def world() -> World:
    world = World()
    personalize(world)
    return world


@pytest.fixture
def thief(world: World) -> Module:
    """A module with a copy of the genuine one's storage, as it was before any reset."""
    genuine, copy = world.vault(SERIAL), memory("thief")
    for label in genuine.labels():
        handle = genuine.find(label)
        assert handle is not None
        copy._keys.restore_sealed(label, handle.public.kind, genuine._keys.private_bytes_for_sealing(label))
    assert genuine.record is not None
    copy.commit(genuine.record, genuine.labels())
    return Module(copy, entropy=Seeded("thief sessions"), now=world.module_clock)


def reset_by_command(world: World) -> None:
    sent_to_reset(world).start().finish()
    assert world.module.state is ModuleState.RESET


def refused(world: World, line: Line) -> bool:
    """Whether the central system ended this session, and the registry still knows of the reset."""
    return line.peer.session.closed and world.entry().standing is not Standing.OPERATING


def test_an_older_session_cannot_undo_a_reset(world: World, thief: Module):
    """S4: the certificate is worthless at once, also in sessions that are open."""
    older = contact(world, module=thief).start()
    contact(world).start().finish()  # refused: somebody was here with this generation of the store
    reset_by_command(world)
    older.module.order(wanted())
    assert refused(world, older)
    assert isinstance(older.peer.session.error, StateError)
    older.finish()
    later = contact(world, module=thief).start()
    assert refused(world, later)
    later.finish()


def test_a_session_that_began_before_the_reset_and_greets_after_it(world: World, thief: Module):
    contact(world).start().finish()
    slow = contact(world, module=thief)
    reset_by_command(world)
    slow.start()
    assert refused(world, slow)
    slow.finish()


def test_a_number_counts_once_over_all_sessions(world: World, thief: Module):
    older = contact(world, module=thief).start()
    contact(world).start().finish()
    newer = contact(world).start()
    newer.module.order(wanted())
    older.module.order(wanted())
    assert world.entry().last_number == 1
    assert [each.number for each in world.central.registry.transactions(SERIAL)] == [1]
    assert older.peer.session.closed
    assert not newer.peer.session.closed
    for line in (older, newer):
        line.finish()
