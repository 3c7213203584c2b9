"""The load-bearing checks of the trust options one by one, as in test_formal_checks.py: missed when it is taken away.

One way, ticket and shipped key (formal models: oneway.pv, ticket.pv, shipped.pv). The attacker is another customer of
the same manufacturer, where that helps him: his certificates end at the right root.
"""

from __future__ import annotations

from typing import Any

import pytest
from intruder import Intruder, Trap
from pump import NoStream, Side, meeting
from taken_away import (
    Attack,
    Patch,
    Unguarded,
    do_not_pin_the_serial,
    let_the_certificates_bring_their_root,
    present_own_key,
)
from world import SERIAL, World, shipped_key

from insitu.protocol.channel import proofs
from insitu.protocol.channel.trust import (
    TICKETS,
    ByShippedKey,
    ModuleByTicket,
    ModuleOneWay,
    UnitByTicket,
    UnitOneWay,
    mutual,
)
from insitu.protocol.channel.trust.terms import fresh_credential
from insitu.protocol.engine import KeyKind, ProveDerived, given
from insitu.protocol.keys.public import decompress
from insitu.protocol.keys.vault import Vault
from insitu.protocol.messages import (
    IDENTITY,
    CardRole,
    Certificates,
    GenerateKeyPair,
    KeyPolicy,
    ModuleKey,
    ModuleTicket,
    Proof,
    Purpose,
    Ticket,
    TrustOption,
)
from insitu.protocol.parties import card_tickets
from insitu.protocol.parties.card import CARD
from insitu.protocol.parties.module_data import ModuleState
from insitu.shell import kept_card


def trapped_module(world: World, intruder: Intruder, option: TrustOption) -> Trap:
    world.equip(option)
    return Trap(Side("module", world.module.meet_unit(NoStream(), option)), intruder)  # type: ignore[arg-type]


def trapped_unit(world: World, intruder: Intruder, option: TrustOption) -> Trap:
    world.approved(CardRole.MODULE, SERIAL)
    return Trap(Side("unit", world.new_unit().personalize(NoStream(), SERIAL, option)), intruder)  # type: ignore[arg-type]


def fresh(vault: Vault, label: str = "session") -> Any:
    return vault.generate(label, KeyKind.P256, b"")


def hand_over(world: World, trap: Trap, *, of_another_manufacturer: bool) -> bool:
    """Go on as a unit would, with certificates of somebody else's card; whether the module operates under them."""
    if trap.victim.session.closed:
        return False
    trap.say(GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=KeyPolicy.NEW, time=world.clock()))
    if trap.victim.session.closed:
        return False
    presented = trap.intruder.got[-1]
    assert isinstance(presented, ModuleKey)
    public = decompress(KeyKind.P256, presented.public_key)
    if of_another_manufacturer:
        other = World(seed="other")
        module, customer = other.certify(CardRole.MODULE, SERIAL, public), other.customer
        central = other.central_certificate
    else:
        ours, card = world.customer, world.new_card("Evil bank", "evil card")
        customer, world.customer = world.customer, ours
        module = world.certify(CardRole.MODULE, SERIAL, public, card=card)
        central = world.certify(CardRole.CENTRAL, "Evil host", fresh(world.vault("evil host")).public, card=card)
    trap.say(Certificates(module=module, central=central, customer=customer))
    trap.finish()
    return world.module.state is ModuleState.OPERATING and world.module.record.customer == customer


# One way: the certificates that come later are all there is --------------------------------------------------


def personalize_one_way_with_own_anchor(world: World) -> bool:
    vault = world.vault("rogue")
    terms = UnitOneWay.of(world.card.root, "Bank", fresh(vault), SERIAL)
    trap = trapped_module(world, Intruder(terms, vault), TrustOption.CERTIFICATES_ONE_WAY)
    assert trap.intruder.is_in
    return hand_over(world, trap, of_another_manufacturer=True)


def certify_a_stolen_modules_key_one_way(world: World) -> bool:
    stolen = world.new_module("SN-stolen")
    vault = world.vault("SN-stolen")
    terms = ModuleOneWay.of(stolen.record, vault.find("identity"))
    trap = trapped_unit(world, Intruder(terms, vault, Purpose.PERSONALIZE), TrustOption.CERTIFICATES_ONE_WAY)
    return present_own_key(world, trap)


# Shipped key: exporter, both directions, roles ---------------------------------------------------------------


def shipped(world: World, vault: Vault, side: str, key: bytes | None = None) -> ByShippedKey:
    """Terms of an intruder, who has no use for the key unless a test says so."""
    secret = vault.storage.share(f"shipped {side}", key or b"no idea, frankly")
    if side == "module":
        return ByShippedKey.module(SERIAL, fresh(vault, side), secret)
    return ByShippedKey.unit("Bank", fresh(vault, side), secret, SERIAL)


def relay_the_proofs(world: World) -> bool:
    """A man in the middle, who is in on both sides, passes both proofs on, then goes on alone with the module."""
    vault = world.vault("mallory")
    as_unit = Intruder(shipped(world, vault, "unit"), vault)
    to_module = trapped_module(world, as_unit, TrustOption.SHIPPED_KEY)
    as_module = Intruder(shipped(world, vault, "module"), vault, Purpose.PERSONALIZE)
    to_unit = trapped_unit(world, as_module, TrustOption.SHIPPED_KEY)
    to_unit.say(as_unit.got[-1])
    if to_unit.victim.session.closed:
        return False
    (answer,) = [message for message in as_module.got if isinstance(message, Proof)]
    to_module.say(answer)
    return hand_over(world, to_module, of_another_manufacturer=False)


def leave_the_exporter_out(patch: Patch, _: World) -> None:
    full = proofs.possession_of_secret
    patch.setattr(proofs, "possession_of_secret", lambda _, *words: full(bytes(32), *words))


def say_nothing_in_return(world: World) -> bool:
    """A unit that does not know the key answers the module's proof with one of its own invention."""
    vault = world.vault("mallory")
    trap = trapped_module(world, Intruder(shipped(world, vault, "unit"), vault), TrustOption.SHIPPED_KEY)
    trap.say(Proof(bytes(32)))
    return hand_over(world, trap, of_another_manufacturer=False)


def let_the_module_believe_any_proof(patch: Patch, _: World) -> None:
    patch.setattr(mutual, "MODULE_PROOF", Unguarded(mutual.MODULE_PROOF, mutual.the_mac_is_right))


def send_the_proof_back(world: World) -> bool:
    """The module's own proof, sent back to it."""
    vault = world.vault("mallory")
    trap = trapped_module(world, Intruder(shipped(world, vault, "unit"), vault), TrustOption.SHIPPED_KEY)
    trap.say(trap.intruder.got[-1])
    return hand_over(world, trap, of_another_manufacturer=False)


def leave_the_role_out(patch: Patch, _: World) -> None:
    full = proofs.possession_of_secret
    patch.setattr(
        proofs,
        "possession_of_secret",
        lambda binding, option, _, serial: full(binding, option, proofs.Side.MODULE, serial),
    )


def guess_as_the_module(world: World) -> bool:
    """A module that does not know the key proves itself to the unit. Through: its key is certified."""
    vault = world.vault("mallory")
    as_module = Intruder(shipped(world, vault, "module"), vault, Purpose.PERSONALIZE)
    trap = trapped_unit(world, as_module, TrustOption.SHIPPED_KEY)
    trap.say(Proof(bytes(32)))
    return present_own_key(world, trap)


def let_the_unit_believe_any_proof(patch: Patch, _: World) -> None:
    patch.setattr(mutual, "UNIT_PROOF", Unguarded(mutual.UNIT_PROOF, mutual.the_mac_is_right))


def use_the_key_of_another_module(world: World) -> bool:
    """A stolen module with a shipped key of its own, while SN-1 is to be personalized."""
    vault = world.vault("SN-stolen")
    terms = shipped(world, vault, "module", shipped_key("SN-stolen"))
    trap = trapped_unit(world, Intruder(terms, vault, Purpose.PERSONALIZE), TrustOption.SHIPPED_KEY)
    opened = trap.intruder._handshake.opened
    assert opened is not None
    statement = proofs.possession_of_secret(opened.binding, "shipped-key", proofs.Side.MODULE, SERIAL)
    trap.say(Proof(vault.use(terms.secret, mutual.Prove(statement))))
    return present_own_key(world, trap)


# Ticket: root, serial number, MAC, and what is consumed -------------------------------------------------------


def personalize_by_ticket_with_own_anchor(world: World) -> bool:
    vault = world.vault("rogue")
    terms = UnitByTicket.of("Bank", fresh(vault), SERIAL)
    trap = trapped_module(world, Intruder(terms, vault), TrustOption.TICKET)
    assert trap.intruder.is_in
    return hand_over(world, trap, of_another_manufacturer=True)


def show(world: World, vault: Vault, key: Any, ticket: ModuleTicket) -> bool:
    """A module with this identity key shows this ticket while SN-1 is to be personalized."""
    world.equip(TrustOption.TICKET)
    terms = ModuleByTicket(ticket, fresh_credential(SERIAL, key), key)
    trap = trapped_unit(world, Intruder(terms, vault, Purpose.PERSONALIZE), TrustOption.TICKET)
    if not trap.intruder.is_in or trap.victim.session.closed:
        return False
    trap.say(Ticket(ticket.number, ticket.mac))
    return present_own_key(world, trap)


def show_a_stolen_modules_ticket(world: World) -> bool:
    """It has a good ticket of its own, for another serial number, and says that it is SN-1."""
    stolen = world.new_module("SN-stolen")
    world.equip(TrustOption.TICKET, stolen)
    key, ticket = given(stolen.keys.find(IDENTITY)), given(stolen.record.ticket)
    return show(world, world.vault("SN-stolen"), key, ticket)


def pin_no_serial_of_a_ticket(patch: Patch, _: World) -> None:
    full = proofs.ticket
    patch.setattr(proofs, "ticket", lambda number, _, public: full(number, "", public))


def show_a_ticket_of_own_invention(world: World) -> bool:
    vault = world.vault("rogue")
    return show(world, vault, fresh(vault, "identity"), ModuleTicket(1, bytes(32)))


def believe_any_ticket(patch: Patch, _: World) -> None:
    patch.setattr(kept_card, "CARD", Unguarded(CARD, card_tickets.the_mac_is_right))


def show_the_ticket_of_sn_1_with_another_key(world: World) -> bool:
    """The manufacturer kept the key of a ticket that SN-1 has used, and made a second SN-1 with it."""
    world.equip(TrustOption.TICKET)
    world.approved(CardRole.MODULE, SERIAL)
    meeting(world, TrustOption.TICKET, cut_after=5).start().finish()
    vault = world.vault("rogue")
    key = fresh(vault, "identity")
    number, main = given(world.module.record.ticket).number, given(world.vault("card").find_secret(TICKETS))
    path, statement = proofs.ticket_path(number), proofs.ticket(number, SERIAL, key.public)
    mac = world.vault("card").use(main, ProveDerived(path, statement))
    return show(world, vault, key, ModuleTicket(number, mac))


def consume_no_ticket(patch: Patch, _: World) -> None:
    patch.setattr(kept_card, "CARD", Unguarded(CARD, card_tickets.the_ticket_is_free_or_its_own))


ATTACKS = {
    "one way: own anchor": Attack(personalize_one_way_with_own_anchor, let_the_certificates_bring_their_root),
    "one way: a stolen module": Attack(certify_a_stolen_modules_key_one_way, do_not_pin_the_serial),
    "ticket: own anchor": Attack(personalize_by_ticket_with_own_anchor, let_the_certificates_bring_their_root),
    "ticket: a stolen module": Attack(show_a_stolen_modules_ticket, pin_no_serial_of_a_ticket),
    "ticket: invented": Attack(show_a_ticket_of_own_invention, believe_any_ticket),
    "ticket: used by another": Attack(show_the_ticket_of_sn_1_with_another_key, consume_no_ticket),
    "shipped key: a relay": Attack(relay_the_proofs, leave_the_exporter_out),
    "shipped key: no proof by the unit": Attack(say_nothing_in_return, let_the_module_believe_any_proof),
    "shipped key: a proof reflected": Attack(send_the_proof_back, leave_the_role_out),
    "shipped key: no proof by the module": Attack(guess_as_the_module, let_the_unit_believe_any_proof),
    "shipped key: another module's": Attack(use_the_key_of_another_module, let_the_unit_believe_any_proof),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_the_attack_fails(world: World, attack: Attack):
    assert not attack.run(world)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_without_its_check_it_gets_through(world: World, attack: Attack, monkeypatch: Patch):
    attack.remove(monkeypatch, world)
    assert attack.run(world)
