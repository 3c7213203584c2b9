"""Any message, bytes or frames at any moment: the honest side ends in one of our errors or goes on, and stays sound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intruder import Intruder, Trap
from lives import new_host
from message_strategies import messages
from pump import NoStream, Side, enrollment, meeting, personalized_world, sound
from world import NOW, SERIAL, World, wanted

from insitu.protocol.channel.trust import (
    ByCable,
    CardEnrolling,
    CentralAtWork,
    CentralEnrolling,
    ModuleAtWork,
    ModuleByIdentity,
    UnitByCertificate,
)
from insitu.protocol.engine import InsituError, KeyKind
from insitu.protocol.keys.certificates import key_digest
from insitu.protocol.messages import (
    CardRole,
    GenerateKeyPair,
    Greeting,
    KeyPolicy,
    Purpose,
    ResetRequest,
    TrustOption,
    Welcome,
)
from insitu.protocol.parties.module_data import ModuleState

ORDER = GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=KeyPolicy.NEW, time=NOW)


def module_before_a_unit(world: World, option: TrustOption) -> Trap:
    card = world.card
    if option is TrustOption.PHYSICAL:
        vault: Any = world.vault("rogue")
        terms: Any = ByCable.of("Bank", vault.generate("k", KeyKind.P256, b""), wired=True)
    else:
        vault = card.keys
        terms = UnitByCertificate.of(card.root, card.customer, card.unit, card.authentication, SERIAL)
    world.equip(option)
    return Trap(Side("module", world.module.meet_unit(NoStream(), option, wired=True)), Intruder(terms, vault))  # type: ignore[arg-type]


def module_before_a_central(world: World) -> Trap:
    central = world.central
    terms = CentralAtWork.of(world.central_certificate, central.issuers(), central._key())
    return Trap(Side("module", world.module.work(NoStream())), Intruder(terms, world.vault("central Host")))  # type: ignore[arg-type]


def unit_before_a_module(world: World, purpose: Purpose) -> Trap:
    world.approved(CardRole.MODULE, SERIAL)
    vault = world.vault(SERIAL)
    terms = ModuleByIdentity.of(world.module.record, vault.find("identity"))
    work = world.new_unit().personalize(NoStream(), SERIAL, TrustOption.CERTIFICATES)  # type: ignore[arg-type]
    return Trap(Side("unit", work), Intruder(terms, vault, purpose))


def central_before_a_module(world: World) -> Trap:
    key = world.operating_key(world.module)
    terms = ModuleAtWork.of(world.module.record, key)
    intruder = Intruder(terms, world.vault(SERIAL), Purpose.OPERATE)
    return Trap(Side("central", world.central.attend(NoStream())), intruder)  # type: ignore[arg-type]


def greeted(world: World) -> Trap:
    trap = central_before_a_module(world)
    trap.say(Greeting(0, world.module.record.fingerprint or b"", 99, 0))
    return trap


def asked(world: World) -> Trap:
    trap = welcomed(world)
    trap.victim.take(trap.victim.session.submit(wanted(), NOW))
    return trap


def welcomed(world: World) -> Trap:
    return after(module_before_a_central(world), Welcome(NOW, 0))


def after(trap: Trap, message: Any) -> Trap:
    trap.say(message)
    return trap


def card_before_a_central(world: World) -> Trap:
    central = new_host(world)
    terms = CentralEnrolling.of("New host", central.key, world.card.root, world.card.customer.fingerprint)
    return Trap(enrollment(world, central).sides[0], Intruder(terms, world.vault("central New host")))


def central_before_a_card(world: World) -> Trap:
    central, card = new_host(world), world.card
    meant = key_digest(central.key.public)
    terms = CardEnrolling.of(card.customer, card.unit, card.authentication, meant, now=NOW)
    return Trap(enrollment(world, central).sides[1], Intruder(terms, card.keys, Purpose.ENROLL))


MOMENTS = {
    "module SECURED": lambda world: module_before_a_unit(world, TrustOption.CERTIFICATES),
    "module SECURED by cable": lambda world: module_before_a_unit(world, TrustOption.PHYSICAL),
    "module KEYED": lambda world: after(module_before_a_unit(world, TrustOption.CERTIFICATES), ORDER),
    "module KEYED by cable": lambda world: after(module_before_a_unit(world, TrustOption.PHYSICAL), ORDER),
    "module CALLING": module_before_a_central,
    "module ONLINE": welcomed,
    "module ONLINE and asking": asked,
    "module CHALLENGED": lambda world: after(module_before_a_central(world), ResetRequest(0)),
    "unit AWAITING_KEY": lambda world: unit_before_a_module(world, Purpose.PERSONALIZE),
    "unit AWAITING_STATUS": lambda world: unit_before_a_module(world, Purpose.STATUS),
    "central GREETING": central_before_a_module,
    "central ONLINE": greeted,
    "card AWAITING_CENTRAL": card_before_a_central,
    "central AWAITING_CARD": central_before_a_card,
}
AT_WORK = {"module CALLING", "module ONLINE", "module ONLINE and asking", "module CHALLENGED"}
AT_WORK |= {"central GREETING", "central ONLINE"}


def caught(moment: str) -> tuple[World, Trap]:
    """A world at this moment."""
    world = personalized_world() if moment in AT_WORK else World()
    return world, MOMENTS[moment](world)


@pytest.mark.parametrize("moment", MOMENTS)
@given(said=st.lists(messages(), min_size=1, max_size=4))
@settings(max_examples=25)
def test_any_messages(moment, said):
    world, trap = caught(moment)
    assert trap.intruder.is_in
    before = world.module.state
    for message in said:
        if trap.victim.session.closed:
            break
        trap.say(message)
    closed, error = trap.victim.session.closed, trap.victim.session.error
    assert error is None or (closed and isinstance(error, InsituError))
    trap.finish()
    assert world.module.state is before
    assert all(host.issuers() == () for name, host in world.registries.items() if name == "New host")
    sound(world)


@pytest.mark.parametrize("moment", MOMENTS)
@given(payload=st.binary(max_size=200), cut=st.integers(1, 3))
@settings(max_examples=15)
def test_any_bytes_in_a_record(moment, payload, cut):
    """Sealed rightly, and otherwise whatever: one code for the peer, the state as before."""
    world, trap = caught(moment)
    before = world.module.state
    for piece in {payload, payload[: len(payload) // cut]}:
        trap.intruder.frames += trap.intruder._records.seal(piece)  # type: ignore[union-attr]
    trap.flow()
    assert trap.victim.session.closed
    assert isinstance(trap.finish().victim.session.error, InsituError)
    assert world.module.state is before


@pytest.mark.parametrize("frames", range(3))
@pytest.mark.parametrize("who", [0, 1], ids=["module", "unit"])
@given(noise=st.lists(st.binary(max_size=300), min_size=1, max_size=3))
@settings(max_examples=25)
def test_any_frames_in_a_handshake(who, frames, noise):
    """Before anybody is authenticated."""
    world = World()
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world, cut_after=None)
    line._hook = lambda _, __, number, frame: None if number < frames else []
    line.start()
    side = line.sides[who]
    for frame in noise:
        side.receive(frame)
    line.finish()
    assert side.session.closed
    assert isinstance(side.session.error, InsituError)
    assert world.module.state is ModuleState.DELIVERED
    sound(world)
