"""The checks that the symbolic model found load-bearing: each attack fails, and succeeds once its check is removed.

A check that nobody misses is no check. So every attack here is run twice: as the product is, where it must fail, and
with a small deliberate mutation that takes the one check away, where it must get through. If it does not get through,
the test no longer shows what it says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from intruder import Intruder, Trap
from pump import NoStream, Side, personalize, sent_to_reset
from taken_away import (
    Attack,
    Patch,
    Unguarded,
    do_not_pin_the_serial,
    leave_the_exporter_out_of_both_proofs,
    let_the_certificates_bring_their_root,
    let_the_session_bring_its_root,
    present_own_key,
)
from world import NOW, SERIAL, World

from insitu.protocol.channel import proofs
from insitu.protocol.channel.edhoc import Credential
from insitu.protocol.channel.trust import ByCable, CentralAtWork, ModuleByIdentity, UnitByCertificate
from insitu.protocol.channel.trust import certificates as certificates_option
from insitu.protocol.engine import KeyKind, Sign
from insitu.protocol.keys.certificates import Role, verify_issued
from insitu.protocol.keys.public import decompress
from insitu.protocol.messages import (
    CardRole,
    Certificates,
    GenerateKeyPair,
    KeyPolicy,
    ModuleKey,
    Personalized,
    Purpose,
    ResetChallenge,
    ResetCommand,
    ResetRequest,
    TrustOption,
)
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import UNIT, UnitState, it_wants_personalization
from insitu.shell import unit as unit_shell

# The expected serial number is pinned ------------------------------------------------------------------------


def certify_a_stolen_modules_key(world: World) -> bool:
    """A stolen genuine module answers when SN-1 is to be personalized. Through: its key is certified as SN-1's."""
    world.approved(CardRole.MODULE, SERIAL)
    stolen = world.new_module("SN-stolen")
    vault = world.vault("SN-stolen")
    terms = ModuleByIdentity.of(stolen.record, vault.find("identity"))
    trap = trapped_unit(world, Intruder(terms, vault, Purpose.PERSONALIZE))
    return present_own_key(world, trap)


def trapped_unit(world: World, intruder: Intruder, option: TrustOption = TrustOption.CERTIFICATES) -> Trap:
    work = world.new_unit().personalize(NoStream(), SERIAL, option, wired=True)  # type: ignore[arg-type]
    return Trap(Side("unit", work), intruder)


def pose_as_another_module_on_the_cable(world: World) -> bool:
    """Physical: somebody plugged in another module. Through: its key is certified as SN-1's."""
    world.approved(CardRole.MODULE, SERIAL)
    vault = world.vault("rogue")
    terms = ByCable.of("SN-9", vault.generate("k", KeyKind.P256, b""), wired=True)
    trap = trapped_unit(world, Intruder(terms, vault, Purpose.PERSONALIZE), TrustOption.PHYSICAL)
    return present_own_key(world, trap)


def do_not_compare_the_serial(patch: Patch, world: World) -> None:
    patch.setattr(unit_shell, "UNIT", Unguarded(UNIT, it_wants_personalization))


# The unit's chain ends at the root that the module holds -----------------------------------------------------


def personalize_with_own_anchor(world: World) -> bool:
    """Another manufacturer's customer brings his own root. Through: the module operates under his anchor."""
    other = World(seed="other")
    card = other.card
    terms = UnitByCertificate.of(world.card.root, card.customer, card.unit, card.authentication, SERIAL)
    return take_over(world, other, Intruder(terms, card.keys), TrustOption.CERTIFICATES)


def personalize_over_the_cable_with_own_anchor(world: World) -> bool:
    """The same over the cable, where nobody proves anything first and the customer's certificate comes at the end."""
    other = World(seed="other")
    vault = world.vault("rogue")
    terms = ByCable.of("Bank", vault.generate("k", KeyKind.P256, b""), wired=True)
    return take_over(world, other, Intruder(terms, vault), TrustOption.PHYSICAL)


def take_over(world: World, other: World, intruder: Intruder, option: TrustOption) -> bool:
    world.equip(option)
    trap = Trap(Side("module", world.module.meet_unit(NoStream(), option, wired=True)), intruder)  # type: ignore[arg-type]
    if not intruder.is_in:
        return False
    trap.say(GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=KeyPolicy.NEW, time=NOW))
    (presented,) = intruder.got
    assert isinstance(presented, ModuleKey)
    module = other.certify(CardRole.MODULE, SERIAL, decompress(KeyKind.P256, presented.public_key))
    customer = other.customer if option is TrustOption.PHYSICAL else None
    trap.say(Certificates(module=module, central=other.central_certificate, customer=customer))
    trap.finish()
    return world.module.state is ModuleState.OPERATING and world.module.record.customer == other.customer


# The exporter value is in the proofs -------------------------------------------------------------------------


def relay_the_proofs(world: World) -> bool:
    """A man in the middle of the cable, who is in on both sides, passes the messages on. Through: nobody notices."""
    world.approved(CardRole.MODULE, SERIAL)
    vault = world.vault("mallory")
    cable = [vault.generate(name, KeyKind.P256, b"") for name in ("as unit", "as module")]
    work = world.module.meet_unit(NoStream(), TrustOption.PHYSICAL, wired=True)  # type: ignore[arg-type]
    to_module = Trap(Side("module", work), Intruder(ByCable.of("Bank", cable[0], wired=True), vault))
    as_module = Intruder(ByCable.of(SERIAL, cable[1], wired=True), vault, Purpose.PERSONALIZE)
    to_unit = trapped_unit(world, as_module, TrustOption.PHYSICAL)
    for source, target in ((to_unit, to_module), (to_module, to_unit)) * 2:
        if target.victim.session.closed:
            return False
        target.say(source.intruder.got[-1])
    assert isinstance(to_module.intruder.got[-1], Personalized)
    to_module.finish()
    return to_unit.victim.session.state is UnitState.PERSONALIZED


def relay_the_confirmation(world: World) -> bool:
    """As above, in a world where possession is not bound: the confirmation alone still catches it."""
    possession = proofs.possession
    with Patch.context() as patch:
        patch.setattr(proofs, "possession", lambda _, serial, public: possession(bytes(32), serial, public))
        return relay_the_proofs(world)


def leave_the_exporter_out_of_the_confirmation(patch: Patch, world: World) -> None:
    confirmation = proofs.confirmation
    patch.setattr(proofs, "confirmation", lambda _, serial, kept: confirmation(bytes(32), serial, kept))


# A reset is commanded for one challenge ----------------------------------------------------------------------


def command_a_reset_with_an_old_command(world: World) -> bool:
    """A command that was signed once and never arrived is said again in a later session. Through: the module erases."""
    personalize(world)
    line = sent_to_reset(world, hook=lambda _line, _side, number, frame: [] if number == 7 else None)
    signed: list[bytes] = []

    def listen(effect: object) -> None:
        if isinstance(effect, Sign):
            signed.append(line.peer.ports.keys.sign(effect.key, effect.message))

    line.peer.before = listen
    line.start().finish()
    command = ResetCommand(signed[-1])
    central = world.central
    terms = CentralAtWork.of(world.central_certificate, central.issuers(), central._key())
    intruder = Intruder(terms, world.vault("central Host"), seed="later")
    trap = Trap(Side("module", world.module.work(NoStream())), intruder)  # type: ignore[arg-type]
    trap.say(ResetRequest(0))
    assert isinstance(intruder.got[-1], ResetChallenge)
    trap.say(command)
    trap.finish()
    return world.module.state is ModuleState.RESET


def give_every_channel_the_same_challenge(patch: Patch, world: World) -> None:
    patch.setattr(proofs, "reset_challenge", lambda _: bytes(32))


# A role is no name -------------------------------------------------------------------------------------------


def act_as_a_unit_with_a_modules_certificate(world: World) -> bool:
    """A rogue module of the same customer opens a channel as a unit. Through: it is let in."""
    vault = world.vault("rogue")
    key = vault.generate("k", KeyKind.P256, b"")
    der = world.certify(CardRole.MODULE, "SN-rogue", key.public)
    card = world.card
    honest = UnitByCertificate.of(card.root, card.customer, card.unit, card.authentication, SERIAL)
    terms = replace(honest, own=Credential.x5chain((der, world.customer), key.public), key=key)
    work = world.module.meet_unit(NoStream(), TrustOption.CERTIFICATES)  # type: ignore[arg-type]
    return Trap(Side("module", work), Intruder(terms, vault)).intruder.is_in


def take_any_role(patch: Patch, world: World) -> None:
    def verify(data: bytes, issuer: Any, role: Role, *, now: int | None, subject: str | None = None) -> Any:
        return verify_issued(data, issuer, Role.MODULE if role is Role.UNIT else role, now=now, subject=subject)

    patch.setattr(certificates_option, "verify_issued", verify)


ATTACKS = {
    "the expected serial is pinned": Attack(certify_a_stolen_modules_key, do_not_pin_the_serial),
    "the serial counts on a cable too": Attack(pose_as_another_module_on_the_cable, do_not_compare_the_serial),
    "the unit's chain ends at the module's root": Attack(personalize_with_own_anchor, let_the_session_bring_its_root),
    "the customer's chain ends at the module's root": Attack(
        personalize_over_the_cable_with_own_anchor, let_the_certificates_bring_their_root
    ),
    "the proofs are bound to their channel": Attack(relay_the_proofs, leave_the_exporter_out_of_both_proofs),
    "the confirmation is bound to its channel": Attack(
        relay_the_confirmation, leave_the_exporter_out_of_the_confirmation
    ),
    "a reset answers one challenge": Attack(command_a_reset_with_an_old_command, give_every_channel_the_same_challenge),
    "a module is no unit": Attack(act_as_a_unit_with_a_modules_certificate, take_any_role),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_the_attack_fails(attack: Attack, world: World):
    assert attack.run(world) is False


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_without_the_check_it_gets_through(attack: Attack, world: World, monkeypatch: Patch):
    attack.remove(monkeypatch, world)
    assert attack.run(world) is True
