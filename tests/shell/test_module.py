from __future__ import annotations

import pytest
import trio
from lives import broken
from pump import NoStream, contact, meeting, personalize
from world import SERIAL, Seeded, Stored, World

from insitu.protocol.engine import (
    Cmac,
    EnvironmentFault,
    InsituError,
    ProtocolError,
    SecretUsage,
    StateError,
    UsageError,
)
from insitu.protocol.keys.port import KeyMissing
from insitu.protocol.messages import CardRole, ModuleCondition, TrustOption
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.work_data import PayloadGiven, WorkState
from insitu.protocol.stores.counter import CounterFailed, MemoryCounter, RolledBack
from insitu.shell.module import Module
from insitu.shell.trusting import SESSION_KEY

OPTIONS = list(TrustOption)


def begun(module: Module, option: TrustOption = TrustOption.CERTIFICATES, *, wired: bool = True) -> None:
    """Run until the session would begin."""
    module.meet_unit(NoStream(), option, wired=wired).send(None)  # type: ignore[arg-type]


# Delivery


def test_a_blank_module_says_so(world: World):
    module = world.blank_module("SN-new")
    assert module.state is ModuleState.BLANK
    with pytest.raises(StateError, match="blank"):
        _ = module.record
    with pytest.raises(StateError):
        module.reset_by_hand()
    with pytest.raises(StateError, match="blank"):
        begun(module)


def test_a_module_is_delivered_once(world: World):
    with pytest.raises(StateError, match="Initialize has no place in state DELIVERED"):
        world.module.initialize(SERIAL, world.root, None)
    assert world.module.record.identity is not None


def test_delivery_that_fails_leaves_it_blank_and_usable(world: World):
    module = world.blank_module("SN-new")
    other = World(seed="other")

    def refuse(made: object) -> bytes:
        raise StateError("no certificate today", who="manufacturer")

    attempts = {
        "the manufacturer refuses": (world.root, refuse, StateError),
        "another manufacturer's": (world.root, other.certify_identity, ProtocolError),
        "no certificate": (world.root, lambda made: b"nonsense", ProtocolError),
        "no root": (b"nonsense", None, ProtocolError),
        "a customer as root": (world.customer, None, ProtocolError),
    }
    for root, certify, error in attempts.values():
        with pytest.raises(error):
            module.initialize("SN-new", root, certify)
        assert module.state is ModuleState.BLANK
        assert world.vault("SN-new").labels() == frozenset()
    with broken(world.vault("SN-new"), "generate"), pytest.raises(EnvironmentFault):
        module.initialize("SN-new", world.root, world.certify_identity)
    with pytest.raises(UsageError):
        module.initialize("SN\n", world.root, None)
    module.initialize("SN-new", world.root, world.certify_identity, manufactured_key=True)
    assert world.blank_module("SN-new").state is ModuleState.DELIVERED


# Meeting units


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_no_key_of_a_session_outlives_it(world: World, option):
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world, option)
    certified = set(OPTIONS) - {TrustOption.PHYSICAL, TrustOption.SHIPPED_KEY, TrustOption.CONVEYED}
    assert (SESSION_KEY in world.vault(SERIAL).labels()) is (option not in certified)
    line.finish()
    assert world.vault(SERIAL).labels() == world.module.record.lasting


def test_the_physical_option_wants_a_wire_and_the_other_an_identity(world: World):
    with pytest.raises(UsageError, match="wired local link"):
        begun(world.module, TrustOption.PHYSICAL, wired=False)
    bare = world.new_module("SN-bare", identity=False)
    with pytest.raises(UsageError, match="no identity"):
        begun(bare, TrustOption.CERTIFICATES)
    assert world.vault("SN-bare").labels() == frozenset()
    assert personalize(world, TrustOption.PHYSICAL, module=bare).module.result is ModuleState.OPERATING


def test_one_session_a_link_at_a_time_and_both_links_at_once(world: World):
    personalize(world)
    local = world.module.meet_unit(NoStream(), TrustOption.CERTIFICATES)  # type: ignore[arg-type]
    online = contact(world)
    world.approved(CardRole.MODULE, SERIAL)
    first = meeting(world)
    with pytest.raises(StateError, match="a session with the unit is running"):
        local.send(None)
    with pytest.raises(StateError, match="a session with the central is running"):
        contact(world)
    first.start().finish()
    online.start()
    assert online.module.session.state is WorkState.ONLINE
    online.finish()
    assert contact(world).start().module.session.state is WorkState.ONLINE


def test_the_second_session_takes_nothing_from_the_first(world: World):
    """Refused before it touches key memory: the first one's fresh key is still there."""
    world.approved(CardRole.MODULE, SERIAL)
    first = meeting(world, TrustOption.PHYSICAL)
    with pytest.raises(StateError):
        begun(world.module, TrustOption.PHYSICAL)
    first.start().finish()
    assert first.module.result is ModuleState.OPERATING


# Work


def test_a_module_that_does_not_operate_does_not_work(world: World):
    for _ in range(2):
        with pytest.raises(UsageError, match="not personalized"):
            contact(world)
        personalize(world)
        world.module.reset_by_hand()


def test_a_store_without_the_key_that_it_names_is_noticed_before_anything_is_sent(world: World):
    personalize(world)
    world.vault(SERIAL).destroy("operating-0")
    with pytest.raises(KeyMissing):
        contact(world)


# Reset by hand


def test_a_reset_by_hand_counts_epochs_and_changes_the_key(world: World):
    seen = set()
    for epoch in range(3):
        personalize(world)
        assert world.module.record.epoch == epoch
        seen.add(world.module.operating_key)
        assert world.module.reset_by_hand() == epoch + 1
        assert world.module.record.condition is ModuleCondition.RESET
        with pytest.raises(StateError):
            world.module.reset_by_hand()
    assert len(seen) == 3


def test_a_reset_that_storage_refuses_ends_the_sessions_all_the_same(world: World, monkeypatch):
    """What is known no longer holds; who pressed the button sees the error and presses again."""
    personalize(world)
    line = contact(world).start()  # held: a session that nobody holds ends when its memory is collected
    scope = world.module._running["central"]

    def fail(*_: object, **__: object) -> None:
        raise EnvironmentFault("disk full")

    monkeypatch.setattr(world.vault(SERIAL), "_make_durable", fail)
    with pytest.raises(InsituError, match="disk full"):
        world.module.reset_by_hand()
    assert scope.cancel_called
    assert world.module.state is ModuleState.OPERATING
    monkeypatch.undo()
    assert world.module.reset_by_hand() == 1
    line.cut()


def test_a_module_that_was_never_personalized_has_nothing_to_reset(world: World):
    with pytest.raises(StateError, match="nothing to erase"):
        world.module.reset_by_hand()
    assert world.module.state is ModuleState.DELIVERED


# A monotonic counter (S4, S8)


def test_an_older_copy_of_the_store_is_noticed_without_anybody(world: World):
    counter = MemoryCounter(world.module.record.generation)

    def opened() -> Module:
        world.vault(SERIAL).roll_back()
        return Module(world.vault(SERIAL), counter=counter, entropy=Seeded("counted"), now=world.module_clock)

    world.module = opened()
    old = Stored.of(world.vault(SERIAL))
    personalize(world)
    assert counter.read() == world.module.record.generation
    contact(world).start().finish()
    assert counter.read() == world.module.record.generation
    copy = old.restored("old copy")
    with pytest.raises(RolledBack):
        Module(copy, counter=counter, now=world.module_clock)
    assert opened().state is ModuleState.OPERATING


def test_a_counter_vouches_for_the_store_after_a_restart(world: World):
    personalize(world)
    contact(world).start().finish()
    world.load_key()
    contact(world).start().finish()
    for counter, usable in ((None, False), (MemoryCounter(world.module.record.generation), True)):
        module = Module(world.vault(SERIAL), counter=counter, entropy=Seeded("restarted"), now=world.module_clock)
        try:
            used = trio.run(module.at_work.use, SecretUsage.MAC, Cmac(b"x"))
        except StateError:
            used = b""
        assert bool(used) is usable


def test_what_the_counter_did_not_follow_is_not_said(world: World):
    class Broken(MemoryCounter):
        def advance(self, to: int) -> None:
            raise CounterFailed("worn out", who="counter")

    counter = Broken(world.module.record.generation)
    world.module = Module(world.vault(SERIAL), counter=counter, entropy=Seeded("broken"), now=world.module_clock)
    line = personalize(world)
    assert isinstance(line.module.error, CounterFailed)
    assert "Personalized" not in [getattr(note, "message", "") for note in world.shown]


@pytest.mark.parametrize("known", [True, False], ids=["the right secret", "a wrong one"])
def test_attempts_at_the_secret_are_not_forgotten_by_a_session_with_the_central_system(world: World, known):
    """It knew an older record, and put it back with its next write: nobody who guessed was ever locked out."""
    personalize(world)
    world.equip(TrustOption.SECRET)
    if not known:
        world.module.agree_on(b"something quite different")
    line = contact(world).start()
    before = world.module.record
    world.approved(CardRole.MODULE, SERIAL)
    meeting(world, TrustOption.SECRET).start().finish()
    wrong = None if known else 1
    assert (world.module.record.wrong, world.module.record.generation) == (wrong, before.generation + 1 + known)
    line.module.order(PayloadGiven(1, b"to the host"))
    assert world.module.record.wrong == wrong
    assert world.module.record.generation == before.generation + 3 + known  # and the host has it
    assert world.module.unlock() == (0 if known else 1)
    line.module.order(PayloadGiven(2, b"another"))
    assert world.module.record.wrong is None
    line.finish()
    assert line.module.error is None or line.module.error.summary == "link lost"
