"""The conveyed number (A9): three orders, what an attacker gets, and checks that are missed when taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from courier import MOBILE_NAME
from intruder import Intruder, Trap
from pump import Line, NoStream, Side, meeting, personalize
from taken_away import Attack, Patch, Unguarded, present_own_key
from world import SERIAL, World

from insitu.protocol.channel.trust import ModuleByConveyed, UnitByConveyed, conveyed
from insitu.protocol.engine import KeyHandle, KeyKind, ProtocolError, Refused, StateError, Table, UsageError
from insitu.protocol.messages import (
    CardRole,
    Certificates,
    Conveyance,
    GenerateKeyPair,
    KeyPolicy,
    ModuleKey,
    Number,
    NumberMaker,
    NumberSettled,
    NumberWanted,
    Purpose,
    TrustOption,
    Verdict,
    encode_message,
)
from insitu.protocol.parties import mobile
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import UnitState
from insitu.protocol.progress import MobileAwaited
from insitu.shell.second_link import SecondLink
from insitu.shell.trusting import ModuleHas, module_terms

OPTION = TrustOption.CONVEYED
MAKERS = pytest.mark.parametrize("maker", NumberMaker, ids=lambda maker: maker.name.lower())
WRONG = bytes(32)


def quiet(world: World, line: Line | None = None) -> None:
    """Nothing was signed, nothing is kept."""
    assert world.module.state is ModuleState.DELIVERED
    assert world.card.certified(SERIAL) is None
    if line is not None:
        assert all(side.session.closed for side in line.sides)


# In good order


@MAKERS
def test_all_three_orders(world: World, maker):
    world.courier.maker = maker
    line = personalize(world, OPTION)
    assert line.peer.session.state is UnitState.PERSONALIZED
    assert world.module.state is ModuleState.OPERATING
    (known,) = [each for each in world.courier.distant if isinstance(each, Conveyance)]
    assert known.serial == SERIAL
    assert len(known.random or b"") == 16


@MAKERS
def test_each_session_has_a_number_of_its_own(world: World, maker):
    world.courier.maker = maker
    for serial in ("SN-2", "SN-3"):
        personalize(world, OPTION, module=world.new_module(serial))
    first, second = [each for each in world.courier.distant if isinstance(each, Conveyance)]
    assert first.random != second.random
    assert first.binding != second.binding


def without_answer(world: World, maker: NumberMaker) -> tuple[Line, SecondLink, Conveyance]:
    """A meeting in which the mobile has no long-distance link yet; the unit's end of that, and what is to be said."""
    world.approved(CardRole.MODULE, SERIAL)
    world.courier.maker = maker
    line = meeting(world, OPTION)
    unit, world.courier.unit = world.courier.unit, None
    assert unit is not None
    line.start()
    return line, unit, next(each for each in world.courier.distant if isinstance(each, Conveyance))


@MAKERS
def test_nothing_goes_on_before_the_mobile_was_there_or_after_its_time(world: World, maker):
    line, _, _ = without_answer(world, maker)
    assert not any(side.session.closed for side in line.sides)
    assert line.peer.timers == {conveyed.MOBILE_TIMER: conveyed.UNIT_SECONDS}
    assert MobileAwaited("unit", SERIAL, conveyed.UNIT_SECONDS) in world.shown
    line.peer.expire()
    assert isinstance(line.finish().peer.error, ProtocolError)
    quiet(world, line)


@MAKERS
def test_another_mobile_changes_nothing(world: World, maker):
    """Else whoever can call the unit could end any session."""
    line, unit, said = without_answer(world, maker)
    for name in ("somebody", MOBILE_NAME):
        assert line.peer.session.state is UnitState.READY
        world.courier.unit = unit
        world.courier.convey(said, name=name)
        world.courier.unit = None
        if name == "somebody":
            line.peer.obey()
            assert not any(side.session.closed for side in line.sides)
        else:
            line.flow()
    line.finish()
    assert world.module.state is ModuleState.OPERATING


def test_both_need_the_mobile(world: World):
    module = world.module
    with pytest.raises(UsageError, match="a local link to a mobile"):
        module_terms(OPTION, ModuleHas(module.record, module.keys, wired=True, entropy=bytes))
    world.approved(CardRole.MODULE, SERIAL)
    world.courier.believed = frozenset()
    with pytest.raises(UsageError, match="mobiles that may convey"):
        world.new_unit().personalize(NoStream(), SERIAL, OPTION).send(None)  # type: ignore[arg-type]


# What is conveyed wrongly


@MAKERS
@pytest.mark.parametrize(
    "change",
    [
        lambda said: replace(said, binding=WRONG),
        lambda said: replace(said, random=bytes(16)),
        lambda said: replace(said, serial="SN-2"),
    ],
    ids=["another channel's", "another number", "another module's"],
)
def test_what_does_not_agree_is_refused_and_nothing_is_signed(world: World, maker, change):
    world.courier.maker, world.courier.to_unit = maker, change
    line = personalize(world, OPTION)
    quiet(world, line)
    assert world.courier.distant[-1] == Verdict(serial=SERIAL)


@MAKERS
def test_a_second_use_is_refused(world: World, maker):
    line, unit, said = without_answer(world, maker)
    assert said.random is not None
    known = conveyed.NumberConveyed(SERIAL, said.binding, said.random, MOBILE_NAME)
    first, second = unit.report(known), unit.report(known)
    while line.peer.obey():
        pass
    first.settle(StateError("settled before"))
    assert first._error is None
    assert isinstance(second._error, StateError)
    assert [each for each in world.courier.distant if isinstance(each, Verdict)] == [
        Verdict(serial=SERIAL, binding=said.binding)
    ]


def test_a_number_of_another_session_is_refused(world: World):
    personalize(world, OPTION, module=world.new_module("SN-2"))
    (old,) = [each for each in world.courier.distant if isinstance(each, Conveyance)]
    world.courier.to_unit = lambda _: replace(old, serial=SERIAL)
    quiet(world, personalize(world, OPTION))


# Links of the mobile


def test_each_link_takes_what_belongs_there():
    known = Conveyance(serial=SERIAL, binding=WRONG, random=bytes(16))
    asked, word, number = replace(known, random=None), Verdict(serial=SERIAL), Number(bytes(16))
    takes = {
        mobile.from_module: (known, asked),
        mobile.from_unit: (word,),
        mobile.at_module: (word, number),
        mobile.at_unit: (known,),
    }
    for read, admitted in takes.items():
        for message in (known, asked, word, number, NumberSettled()):
            if message in admitted:
                read(encode_message(message))
            else:
                with pytest.raises(ProtocolError, match="a frame of a mobile's link"):
                    read(encode_message(message))


def test_a_mobile_serves_the_module_at_which_its_person_stands():
    data = mobile.MobileData(SERIAL, bytes(16))
    other = Conveyance(serial="SN-2", binding=WRONG, random=bytes(16))
    step = mobile.MOBILE.step(mobile.MobileState.READY, data, other)
    assert step.state is mobile.MobileState.REFUSED
    step = mobile.MOBILE.step(mobile.MobileState.CONVEYED, data, Verdict(serial="SN-2", binding=WRONG))
    assert step.state is mobile.MobileState.REFUSED


# Attacks, and the checks that they miss


def fresh(world: World, name: str) -> KeyHandle:
    return world.vault("mallory").generate(name, KeyKind.P256, b"")


def as_unit(world: World) -> Trap:
    """Mallory is the module's unit."""
    terms = UnitByConveyed.of(
        "Bank",
        fresh(world, "as unit"),
        SERIAL,
        mobiles=frozenset(),
        maker=NumberMaker.UNIT,
        number=bytes(16),
    )
    side = Side("module", world.module.meet_unit(NoStream(), OPTION))  # type: ignore[arg-type]
    return Trap(side, Intruder(terms, world.vault("mallory")))


def as_module(world: World) -> Trap:
    """Mallory is the unit's module."""
    world.approved(CardRole.MODULE, SERIAL)
    terms = ModuleByConveyed.of(SERIAL, fresh(world, "as module"), bytes(16))
    side = Side("unit", world.new_unit().personalize(NoStream(), SERIAL, OPTION))  # type: ignore[arg-type]
    return Trap(side, Intruder(terms, world.vault("mallory"), Purpose.PERSONALIZE))


def relay_the_number(world: World) -> bool:
    """Mallory splits the exchange and passes the unit's number on, so that the mobile brings the right one."""
    to_unit, to_module = as_module(world), as_unit(world)
    (wish,) = to_unit.intruder.got
    to_module.say(wish)
    to_unit.flow()
    if not to_unit.victim.session.closed:
        to_unit.say(NumberSettled())
    return present_own_key(world, to_unit)


def take_a_number_for_enough(patch: Patch, _: World) -> None:
    patch.setattr(conveyed, "is_of_this_channel", lambda data, said: said.serial == data.serial)


def send_another_mobile(world: World) -> bool:
    """Mallory knows number and exporter value of his own channel to the unit, and calls it with a mobile of his."""
    trap = as_module(world)
    (wish,) = trap.intruder.got
    assert isinstance(wish, NumberWanted)
    opened = trap.intruder._handshake.opened
    assert opened is not None
    world.courier.convey(Conveyance(serial=SERIAL, binding=opened.binding, random=wish.random), name="Mallory's")
    trap.flow()
    if not any(isinstance(each, Verdict) and each.binding for each in world.courier.distant):
        return False
    trap.say(NumberSettled())
    return present_own_key(world, trap)


def believe_any_mobile(patch: Patch, _: World) -> None:
    patch.setattr(conveyed, "UNIT_CONVEYED", Never(conveyed.UNIT_CONVEYED, conveyed.the_mobile_may_not))


class Never(Unguarded):
    """A table without the rows of one guard."""

    def __init__(self, table: Table[Any, Any], guard: Callable[..., bool]) -> None:
        super().__init__(table, guard)
        self._rows = [row for row in table.rows if row.when is not guard]


def bring_another_number(world: World) -> bool:
    """The mobile's unit gets a number that never was in the channel. Through: it vouches all the same."""
    world.courier.to_unit = lambda said: replace(said, random=bytes(16))
    return personalize(world, OPTION).peer.session.state is UnitState.PERSONALIZED


def compare_no_numbers(patch: Patch, _: World) -> None:
    patch.setattr(conveyed, "is_that_number", lambda *_: True)


def pose_as_the_unit(world: World) -> bool:
    """The mobile reaches the right unit, which knows nothing of this channel. Through: Mallory's certificates count."""
    world.approved(CardRole.MODULE, SERIAL)
    trap = as_unit(world)
    line = Side("unit", world.new_unit().personalize(NoStream(), SERIAL, OPTION))  # type: ignore[arg-type]
    assert line.session.state is UnitState.READY
    trap.say(NumberWanted(maker=NumberMaker.UNIT, random=bytes(16)))
    module = world.courier._module
    assert module is not None
    module.report(mobile.at_module(encode_message(Verdict(serial=SERIAL, binding=WRONG))))
    trap.flow()
    if trap.victim.session.closed:
        return False
    trap.say(GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=KeyPolicy.NEW, time=world.clock()))
    return any(isinstance(each, ModuleKey) for each in trap.intruder.got)


def take_any_word(patch: Patch, _: World) -> None:
    guard = conveyed.the_unit_vouched_for_this_channel
    patch.setattr(conveyed, "MODULE_CONVEYED", Unguarded(conveyed.MODULE_CONVEYED, guard))


ATTACKS = {
    "the exporter value is compared": Attack(relay_the_number, take_a_number_for_enough),
    "the mobile is one of those that are believed": Attack(send_another_mobile, believe_any_mobile),
    "the number is compared": Attack(bring_another_number, compare_no_numbers),
    "the unit's word is for this channel": Attack(pose_as_the_unit, take_any_word),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_the_attack_fails(world: World, attack: Attack):
    assert not attack.run(world)
    quiet(world)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_without_its_check_it_gets_through(world: World, attack: Attack, monkeypatch: Patch):
    attack.remove(monkeypatch, world)
    assert attack.run(world)


@pytest.mark.parametrize("said", [NumberSettled(), Number(bytes(16)), Verdict(serial=SERIAL, binding=WRONG)], ids=repr)
def test_nobody_in_the_channel_speaks_for_the_mobile(world: World, said):
    """A number stolen from the channel is worth nothing there."""
    trap = as_module(world)
    trap.say(said)
    assert isinstance(trap.victim.session.error, Refused)
    trap = as_unit(world)
    trap.say(NumberWanted(maker=NumberMaker.UNIT, random=bytes(16)))
    trap.say(Verdict(serial=SERIAL, binding=trap.intruder._handshake.opened.binding))  # type: ignore[union-attr]
    assert isinstance(trap.victim.session.error, Refused)
    assert not any(isinstance(each, Certificates) for each in trap.intruder.got)
    quiet(world)
