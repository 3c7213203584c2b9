"""Clocks that jump, at the module and at the central system; modules that share a serial number (S4, S5, S8, A2)."""

from __future__ import annotations

import pytest
import trio
from pump import Line, contact, meeting, personalize
from world import DAY, NOW, SERIAL, YEAR, Seeded, Stored, World, memory, wanted

from insitu.protocol.engine import Cmac, InsituError, SecretUsage
from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.work_data import KeyExpired, PayOutInstructed, SecretAnswered, SecretWanted
from insitu.protocol.stores.registry import Standing
from insitu.shell.module import Module

BEGUN = NOW + 2 * DAY
JUMPS = [-10 * YEAR, -DAY, -1, 1, DAY, 300 * DAY, 10 * YEAR]


@pytest.fixture
def world() -> World:
    """Personalized some days after the certificates of the issuers were made."""
    world = World()
    world.clock.at = world.module_clock.at = BEGUN
    personalize(world)
    return world


def works(world: World, line: Line, module: Module | None = None) -> bool:
    """Whether an authorization is answered in this session."""
    before = len([note for note in world.shown if isinstance(note, PayOutInstructed)])
    try:
        line.module.order(wanted())
    except InsituError:
        return False
    return len([note for note in world.shown if isinstance(note, PayOutInstructed)]) == before + 1


# Clocks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", JUMPS)
def test_the_clock_of_the_central_system_jumps_in_a_session(world: World, jump: int):
    """An open session goes on, unless it would outlive its certificates; nothing counts twice."""
    line = contact(world).start()
    assert works(world, line)
    world.clock.at += jump
    assert works(world, line)
    line.module.expire("beat")
    if jump > 365 * DAY:
        assert not works(world, line)
        assert line.peer.session.closed
        line.finish()
        world.clock.at = BEGUN + DAY
        line = contact(world).start()
    assert works(world, line)
    line.finish()
    assert [each.number for each in world.central.registry.transactions(SERIAL)] == [1, 2, 3]


@pytest.mark.parametrize("jump", JUMPS)
def test_the_clock_of_the_central_system_jumps_between_sessions(world: World, jump: int):
    """Outside of a certificate's life nobody is let in, and is told why; with the right time all is as before."""
    contact(world).start().finish()
    world.clock.at += jump
    line = contact(world).start()
    is_valid = -300 <= jump < 365 * DAY
    assert works(world, line) is is_valid
    assert ("not valid at that time" in str(line.peer.session.error)) is not is_valid
    line.finish()
    world.clock.at = BEGUN + DAY
    line = contact(world).start()
    assert works(world, line)
    line.finish()
    assert world.entry().standing is Standing.OPERATING


@pytest.mark.parametrize("jump", JUMPS)
def test_the_clock_of_the_module_jumps(world: World, jump: int):
    """Sessions do not depend on it; a key is not used after its time, and not longer because the clock went back."""
    line = contact(world).start()
    world.load_key(seconds=2 * DAY, uses=10)
    line.peer.order(AttentionCalled())
    for seconds, usable in (
        (0, True),
        (jump, jump <= 2 * DAY),
        (-jump, abs(jump) <= 2 * DAY),
        (3 * DAY, False),
        (0, False),
    ):
        world.module_clock.at = BEGUN + seconds
        assert uses_key(world, line) is usable, seconds
        assert works(world, line)
    assert any(isinstance(note, KeyExpired) for note in world.shown)
    line.finish()


def uses_key(world: World, line: Line) -> bool:
    try:
        line.module.order(SecretWanted(1, SecretUsage.MAC, Cmac(b"x"), world.module_clock(), world.steady()))
    except InsituError:
        return False
    answer = next(note for note in reversed(world.shown) if isinstance(note, SecretAnswered))
    return answer.result is not None


@pytest.mark.parametrize("jump", [jump for jump in JUMPS if jump < 0])
def test_a_module_whose_clock_is_behind_is_personalized(jump: int):
    """A certificate that begins later shows that the clock is behind, and by how much at least."""
    world = World()
    world.module_clock.at += jump
    personalize(world)
    assert world.module.state is ModuleState.OPERATING
    line = contact(world).start()
    assert works(world, line)
    line.finish()


def test_a_module_whose_clock_is_far_ahead_is_not_and_can_be_once_it_is_right():
    world = World()
    world.module_clock.at += 50 * YEAR
    line = personalize(world)
    assert world.module.state is ModuleState.DELIVERED
    assert "has expired" in str(line.module.error)
    world.module_clock.at = NOW
    personalize(world)
    assert world.module.state is ModuleState.OPERATING


# Twins -------------------------------------------------------------------------------------------------------


def twin(world: World) -> Module:
    """Another module that was given the same serial number, with keys of its own."""
    module = Module(memory("twin"), entropy=Seeded("twin sessions"), now=world.module_clock, show=world.shown.append)
    module.initialize(SERIAL, world.root, None)
    return module


def test_a_manufacturer_gives_a_serial_number_once(world: World):
    other = Module(memory("twin"), entropy=Seeded("twin sessions"), now=world.module_clock)
    with pytest.raises(InsituError, match=f"serial number {SERIAL} is used"):
        other.initialize(SERIAL, world.root, world.certify_identity)


def test_two_modules_of_one_issuer_with_one_serial_number(world: World):
    """The later certificate takes the place of the earlier one, which is worthless from then on: never both."""
    contact(world).start().finish()
    world.clock.at += 60
    other = twin(world)
    personalize(world, TrustOption.PHYSICAL, module=other)
    first = contact(world).start()
    assert not first.peer.session.closed, "nobody has seen the other one yet"
    second = contact(world, module=other).start()
    assert works(world, second)
    assert not works(world, first), "the registry's entry is another one's now"
    first.finish()
    again = contact(world).start()
    assert "a certificate from before a reset" in str(again.peer.session.error)
    again.finish()
    assert works(world, second)
    second.finish()
    assert world.entry().fingerprint == other.record.fingerprint


def test_a_twin_goes_on_with_the_numbers_of_the_first(world: World):
    """The numbers of a serial number never fall, whoever bears it: the transactions of the first stay what they are."""
    line = contact(world).start()
    assert works(world, line)
    line.finish()
    world.clock.at += 60
    other = twin(world)
    personalize(world, TrustOption.PHYSICAL, module=other)
    line = contact(world, module=other).start()
    assert works(world, line, other)
    line.finish()
    assert [each.number for each in world.central.registry.transactions(SERIAL)] == [1, 2]
    line = contact(world).start()
    assert "a certificate from before a reset" in str(line.peer.session.error)
    line.finish()


def test_a_module_whose_store_was_put_back_works_again_after_a_reset_and_a_personalization(world: World):
    """The host has heard more of it than it knows itself: nothing that waits is taken for what was heard before."""
    copy = Stored.of(world.vault(SERIAL)).restored("copy")
    line = contact(world).start()
    assert works(world, line)
    assert works(world, line)
    line.finish()
    module = Module(copy, entropy=Seeded("put back"), now=world.module_clock, show=world.shown.append)
    line = contact(world, module=module).start()
    assert "its store is an old copy" in str(line.peer.session.error)
    line.finish()
    module.reset_by_hand()
    world.clock.at += 60
    world.module_clock.at += 60
    personalize(world, module=module)
    trio.run(module.at_work.send, b"waits")
    assert module.record.last == 1
    line = contact(world, module=module).start()
    assert [(each.number, each.payload) for each in world.central.registry.deliveries()] == [(3, b"waits")]
    assert module.record.last == 3
    assert works(world, line, module)
    line.finish()
    assert [each.number for each in world.central.registry.transactions(SERIAL)] == [1, 2, 4]


def test_two_modules_of_two_issuers_with_one_serial_number(world: World):
    """Each owner's card certifies what it likes; the central system lets in whose module it was first."""
    contact(world).start().finish()
    world.clock.at += 60
    theirs = world.new_card("Other Bank", "other card")
    world.central.trust(world.root, world.customer, actor="operator")
    central = world.central.keys.find("central")
    assert central is not None
    certificate = world.certify(CardRole.CENTRAL, "Host", central.public, card=theirs)
    other = twin(world)
    world.approved(CardRole.MODULE, SERIAL, card=theirs)
    unit = world.new_unit(theirs, certificate)
    meeting(world, TrustOption.PHYSICAL, module=other, unit=unit).start().finish()
    world.central.install(certificate)  # it can be that of one customer; modules of the other pin another one
    assert other.state is ModuleState.OPERATING
    line = contact(world, module=other).start()
    assert "the module is Bank's until it is reset" in str(line.peer.session.error)
    line.finish()
    world.central.install(world.central_certificate)
    line = contact(world).start()
    assert works(world, line)
    line.finish()
    assert world.entry().owner == "Bank"
