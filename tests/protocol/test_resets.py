"""Commands to reset that do not count (L8, S3, S4, S10), said by somebody who sits in the right channel, and cuts.

Who opens the channel has the pinned central system's key, and so could sign the right command: the first test shows
that it would count. All others say something else, and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from intruder import Intruder, Trap
from pump import Line, NoStream, PowerCut, Side, contact, personalize, sound
from world import NOW, SERIAL, Seeded, Stored, World, authorization

from insitu.protocol.channel import proofs
from insitu.protocol.channel.cose import ES256, to_be_signed
from insitu.protocol.channel.trust import CentralAtWork, ModuleAtWork
from insitu.protocol.engine import InsituError, KeyKind, UsageError
from insitu.protocol.messages import (
    Beat,
    Greeting,
    Message,
    PayOut,
    Purpose,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    ResetRequest,
    Welcome,
    encode,
)
from insitu.protocol.parties.central_data import CentralState
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.work_data import WorkState
from insitu.protocol.progress import StateEntered
from insitu.protocol.stores.registry import Standing
from insitu.shell.module import Module

HOST = "central Host"


@pytest.fixture
def world() -> World:
    world = World()
    personalize(world)
    return world


def at_module(world: World, module: Module | None = None, seed: str = "intruder") -> Trap:
    """In a channel with a module at work, with the key of its central system."""
    terms = CentralAtWork.of(world.central_certificate, world.central.issuers(), world.central._key())
    module = module or world.module
    trap = Trap(Side("module", module.work(NoStream())), Intruder(terms, world.vault(HOST), seed=seed))  # type: ignore[arg-type]
    assert trap.intruder.is_in
    return trap


def challenged(trap: Trap, epoch: int = 0) -> bytes:
    """The module asks to have this signed."""
    trap.say(ResetRequest(epoch))
    answer = trap.intruder.got[-1]
    assert isinstance(answer, ResetChallenge)
    return answer.challenge


def signed(world: World, statement: bytes) -> ResetCommand:
    """By the central system."""
    return ResetCommand(world.vault(HOST).sign(world.central._key(), statement))


def command(world: World, challenge: bytes, serial: str = SERIAL, epoch: int = 0) -> ResetCommand:
    return signed(world, proofs.reset_command(serial, epoch, challenge))


def untouched(world: World, trap: Trap, before: object, module: Module | None = None) -> None:
    """The session is over, and nothing has changed but the generation, which each contact counts."""
    module = module or world.module
    assert trap.victim.session.closed
    assert not any(isinstance(message, ResetDone) for message in trap.intruder.got)
    trap.finish()
    assert module.state is ModuleState.OPERATING
    assert replace(module.record, generation=0) == before


def as_it_is(module: Module) -> object:
    return replace(module.record, generation=0)


def still_resettable(world: World) -> None:
    """Whatever was tried, the right command at the next contact does it."""
    trap = at_module(world, seed="the right one")
    epoch = world.module.record.epoch
    trap.say(command(world, challenged(trap, epoch), epoch=epoch))
    assert trap.intruder.got[-1] == ResetDone(epoch + 1)
    trap.finish()
    assert world.module.state is ModuleState.RESET
    assert world.vault(SERIAL).labels() == {"identity"}


def test_the_right_command_counts(world: World):
    still_resettable(world)


# At the module: commands of any kind but the right one ------------------------------------------------------------


def of_an_impostor(world: World, challenge: bytes) -> ResetCommand:
    """Certified by the same card for the same name, but not pinned."""
    vault = world.vault("impostor")
    key = vault.generate("central", KeyKind.P256, b"")
    return ResetCommand(vault.sign(key, proofs.reset_command(SERIAL, 0, challenge)))


def of_the_card(world: World, challenge: bytes) -> ResetCommand:
    key = world.card.authentication
    return ResetCommand(world.card.keys.sign(key, proofs.reset_command(SERIAL, 0, challenge)))


def of_the_module_itself(world: World, challenge: bytes) -> ResetCommand:
    key = world.operating_key(world.module)
    assert key is not None
    return ResetCommand(world.vault(SERIAL).sign(key, proofs.reset_command(SERIAL, 0, challenge)))


Signature = Callable[[World, bytes], ResetCommand]
WRONG: dict[str, Signature] = {
    "another serial number": lambda world, challenge: command(world, challenge, "SN-2"),
    "a serial number that begins alike": lambda world, challenge: command(world, challenge, f"{SERIAL}0"),
    "no serial number": lambda world, challenge: command(world, challenge, ""),
    "the next epoch": lambda world, challenge: command(world, challenge, epoch=1),
    "an epoch far away": lambda world, challenge: command(world, challenge, epoch=(1 << 63) - 1),
    "no challenge": lambda world, _: command(world, b""),
    "zeros as the challenge": lambda world, _: command(world, bytes(32)),
    "the challenge hashed again": lambda world, challenge: command(world, proofs.reset_challenge(challenge)),
    "the challenge alone": signed,
    "the challenge as payload": lambda world, challenge: signed(
        world, to_be_signed(ES256, encode(["insitu reset", SERIAL, 0, challenge]), external_aad=b"")
    ),
    "a statement about a key": lambda world, challenge: signed(
        world, proofs.possession(challenge, SERIAL, world.central._key().public)
    ),
    "a statement about an issuer": lambda world, challenge: signed(world, proofs.trusted_issuer(challenge)),
    "another central system's key": of_an_impostor,
    "the card's key": of_the_card,
    "the module's own key": of_the_module_itself,
    "zeros": lambda *_: ResetCommand(bytes(64)),
    "ones": lambda *_: ResetCommand(b"\xff" * 64),
    "halves swapped": lambda world, challenge: ResetCommand(
        command(world, challenge).signature[32:] + command(world, challenge).signature[:32]
    ),
    "one bit turned": lambda world, challenge: ResetCommand(
        command(world, challenge).signature[:-1] + bytes([command(world, challenge).signature[-1] ^ 1])
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_command_that_is_signed_wrongly_changes_nothing(world: World, wrong: str):
    before = as_it_is(world.module)
    trap = at_module(world)
    trap.say(WRONG[wrong](world, challenged(trap)))
    untouched(world, trap, before)
    still_resettable(world)


@pytest.mark.parametrize("size", [0, 63, 65, 128])
def test_a_signature_of_another_length_is_no_command(size: int):
    with pytest.raises(UsageError):
        ResetCommand(bytes(size))


def test_a_command_for_the_challenge_of_an_earlier_session(world: World):
    """Signed for this very module and epoch, and held back: after a reconnect there is another challenge."""
    before = as_it_is(world.module)
    first = at_module(world, seed="first")
    earlier = challenged(first)
    held_back = command(world, earlier)
    first.finish()
    second = at_module(world, seed="second")
    assert challenged(second) != earlier
    second.say(held_back)
    untouched(world, second, before)
    still_resettable(world)


def test_a_command_between_two_challenges(world: World):
    """There are no two challenges in a session: the second request ends it, and the command comes too late."""
    before = as_it_is(world.module)
    trap = at_module(world)
    held_back = command(world, challenged(trap))
    trap.say(ResetRequest(0))
    trap.say(held_back)
    untouched(world, trap, before)
    still_resettable(world)


def test_commands_of_another_modules_session(world: World):
    """Two modules in two channels at once: neither does what was signed for the other."""
    other = world.new_module("SN-2")
    personalize(world, module=other)
    here, there = at_module(world, seed="here"), at_module(world, other, seed="there")
    before = as_it_is(world.module), as_it_is(other)
    mine, theirs = challenged(here), challenged(there)
    here.say(command(world, theirs, "SN-2"))
    there.say(command(world, mine))
    untouched(world, here, before[0])
    untouched(world, there, before[1], other)
    still_resettable(world)
    assert other.state is ModuleState.OPERATING


def test_a_command_of_an_earlier_epoch(world: World):
    """What reset the module once does not reset it again, nor does a request for the epoch that it was for."""
    trap = at_module(world)
    used = command(world, challenged(trap))
    trap.say(used)
    trap.say(used)
    assert [type(message) for message in trap.intruder.got].count(ResetDone) == 1, "a doubled one is one"
    trap.finish()
    personalize(world)
    before = as_it_is(world.module)
    late = at_module(world, seed="late")
    late.say(ResetRequest(0))
    assert not isinstance(late.intruder.got[-1], ResetChallenge)
    untouched(world, late, before)
    later = at_module(world, seed="later")
    challenge = challenged(later, 1)
    later.say(used)
    untouched(world, later, before)
    latest = at_module(world, seed="latest")
    latest.say(command(world, challenge, epoch=0))
    untouched(world, latest, before)
    still_resettable(world)


UNASKED: dict[str, list[Message]] = {
    "a command without a request": [ResetCommand(bytes(64))],
    "a request after the welcome": [Welcome(NOW, 0), ResetRequest(0)],
    "a command after the welcome": [Welcome(NOW, 0), ResetCommand(bytes(64))],
    "an answer instead of a command": [ResetRequest(0), ResetDone(1)],
    "the welcome after the request": [ResetRequest(0), Welcome(NOW, 0)],
    "a payment after the request": [ResetRequest(0), PayOut(1, approved=True, amount=1, reference="")],
}


@pytest.mark.parametrize("said", UNASKED)
def test_what_is_said_out_of_turn_around_a_reset(world: World, said: str):
    before = as_it_is(world.module)
    trap = at_module(world)
    for message in UNASKED[said]:
        assert not trap.victim.session.closed
        trap.say(message)
    untouched(world, trap, before)
    still_resettable(world)


def test_the_challenge_comes_back(world: World):
    before = as_it_is(world.module)
    trap = at_module(world)
    trap.say(ResetChallenge(0, challenged(trap)))
    untouched(world, trap, before)


def test_somebody_who_falls_silent_after_the_challenge(world: World):
    """The module waits for the command no longer than for any machine, and works again."""
    before = as_it_is(world.module)
    trap = at_module(world)
    challenged(trap)
    trap.victim.take(trap.victim.session.expire("peer", NOW))
    assert trap.victim.session.state is WorkState.OPERATING
    untouched(world, trap, before)
    assert contact(world).start().peer.session.state is CentralState.ONLINE


# At the central system: a genuine module gone bad does not say what it should -----------------------------------------


def at_central(world: World) -> Trap:
    """In a channel with the central system, with the key of a genuine module whose reset was ordered."""
    contact(world).start().finish()
    world.order_reset()
    terms = ModuleAtWork.of(world.module.record, world.operating_key(world.module))
    intruder = Intruder(terms, world.vault(SERIAL), Purpose.OPERATE)
    trap = Trap(Side("central", world.central.attend(NoStream())), intruder)  # type: ignore[arg-type]
    assert intruder.is_in
    record = world.module.record
    assert record.fingerprint is not None
    trap.say(Greeting(record.epoch, record.fingerprint, record.generation + 1, record.last))
    assert trap.intruder.got == [ResetRequest(0)]
    return trap


EVADED: dict[str, list[Message]] = {
    "done without a command": [ResetDone(1)],
    "another epoch": [ResetChallenge(1, bytes(32))],
    "the request comes back": [ResetRequest(0)],
    "a command comes back": [ResetCommand(bytes(64))],
    "a second challenge": [ResetChallenge(0, bytes(32)), ResetChallenge(0, bytes(32))],
    "still this epoch": [ResetChallenge(0, bytes(32)), ResetDone(0)],
    "an epoch too far": [ResetChallenge(0, bytes(32)), ResetDone(2)],
    "business instead": [authorization()],
    "business after the command": [ResetChallenge(0, bytes(32)), authorization()],
    "a sign of life instead": [Beat(99)],
}


@pytest.mark.parametrize("said", EVADED)
def test_a_module_that_evades_its_reset_gets_nothing(world: World, said: str):
    trap = at_central(world)
    for message in EVADED[said]:
        assert not trap.victim.session.closed
        trap.say(message)
    assert trap.victim.session.closed
    assert not any(isinstance(message, (Welcome, PayOut)) for message in trap.intruder.got)
    trap.finish()
    assert world.entry().standing is Standing.RESET_ORDERED
    assert world.central.registry.transactions(SERIAL) == ()


def test_a_module_that_lies_about_its_reset_gains_nothing(world: World):
    """It says that it has erased its keys, and has not: its certificate is worthless all the same (S4)."""
    trap = at_central(world)
    trap.say(ResetChallenge(0, bytes(32)))
    trap.say(ResetDone(1))
    trap.finish()
    assert world.entry().standing is Standing.RESET
    heard = len(world.shown)
    line = contact(world).start().finish()
    assert "ONLINE" not in [note.state for note in world.shown[heard:] if isinstance(note, StateEntered)]
    assert world.module.state is ModuleState.RESET, "it is asked for nothing but the same reset, once more"
    assert line.peer.error is None


# Cuts -----------------------------------------------------------------------------------------------------------


def copy_of_module(world: World) -> Module:
    """A module with a copy of the genuine one's storage."""
    copy = Stored.of(world.vault(SERIAL)).restored("copy")
    return Module(copy, entropy=Seeded("copy sessions"), now=world.module_clock)


def ordered(world: World) -> Line:
    """A module whose reset was ordered contacts its central system, not begun yet."""
    contact(world).start().finish()
    world.order_reset()
    return contact(world)


def steps() -> Iterator[tuple[str, int]]:
    """Every effect that goes to a port, on either side, in an undisturbed reset."""
    world = World()
    personalize(world)
    for side in ordered(world).start().sides:
        for number in range(len(side.performed) + 1):  # one more: none
            yield side.name, number


@pytest.mark.parametrize(("name", "number"), list(steps()))
def test_power_goes_before_any_effect_of_a_commanded_reset(world: World, name: str, number: int):
    """On either side: the order stands, the next contact finishes it, and the old certificate never works again."""
    copy = copy_of_module(world)
    line = ordered(world)
    side = next(each for each in line.sides if each.name == name)
    count = 0

    def before(_: object) -> None:
        nonlocal count
        count += 1
        if count == number + 1:
            raise PowerCut

    side.before = before
    try:
        line.start()
    except PowerCut:
        side.abandon()
        side.other.take(side.other.session.lost("no power at the other end"))
        side.other.finish()
    else:
        line.finish()
    world.module, world.central = world.blank_module(), world.started_central()
    sound(world)
    assert world.entry().standing in (Standing.RESET_ORDERED, Standing.RESET)
    if world.module.state is ModuleState.OPERATING:
        assert world.entry().standing is Standing.RESET_ORDERED, "nobody is told of a reset that was not"
        contact(world).start().finish()
    assert world.module.state is ModuleState.RESET
    assert world.module.record.epoch == 1
    assert world.vault(SERIAL).labels() == {"identity"}
    assert copy.state is ModuleState.OPERATING
    personalize(world)
    online = contact(world).start()
    assert online.peer.session.state is CentralState.ONLINE
    online.finish()
    assert (world.entry().standing, world.entry().epoch) == (Standing.OPERATING, 1)
    late = contact(world, module=copy).start().finish()
    assert isinstance(late.peer.error, InsituError)
    assert (world.entry().standing, world.entry().epoch) == (Standing.OPERATING, 1)
