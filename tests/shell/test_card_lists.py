"""Revocation lists by the card, through restarts, and who heeds them: unit and central system (S5)."""

from __future__ import annotations

import pytest
from lives import broken
from pump import contact, meeting, personalize
from world import DAY, NOW, PINS, SERIAL, World

from insitu.protocol.engine import EnvironmentFault, KeyKind, StateError, UsageError
from insitu.protocol.keys.certificates import CertificateRefused, Role, verify_issued
from insitu.protocol.keys.revocation import read_crl
from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import ModulePersonalized
from insitu.protocol.stores.card_log import open_intents
from insitu.protocol.stores.log_lines import import_lines
from insitu.shell.operator import import_crl


def module_certificate(world: World, serial: str = "SN-9") -> bytes:
    public = world.vault("x").find("x") or world.vault("x").generate("x", KeyKind.P256, b"")
    world.clock.at += 1
    return world.certify(CardRole.MODULE, serial, public.public)


def revoke(world: World, *numbers: bytes) -> bytes:
    return world.card.sign_list(world.approved_list(*numbers).number)


def test_all_certificates_of_a_module_are_found_and_revoked(world: World):
    card = world.card
    with pytest.raises(StateError, match="no certificate for SN-9"):
        card.numbers_of("SN-9")
    made = [module_certificate(world) for _ in range(2)]
    assert card.numbers_of("SN-9") == tuple(sorted(card.number_of(each) for each in made))
    crl = read_crl(revoke(world, *card.numbers_of("SN-9")), card.customer)
    assert set(crl.revoked) == {
        verify_issued(each, card.customer, Role.MODULE, now=None).serial_number for each in made
    }
    for again in (card, world.blank_card()):
        with pytest.raises(StateError, match="revoked since"):
            again.numbers_of("SN-9")
        with pytest.raises(StateError, match="revoked since"):
            again.number_of(made[0])
    third = module_certificate(world)
    assert card.numbers_of("SN-9") == (card.number_of(third),)


def test_only_certificates_of_this_card_are_named(world: World):
    other = World(seed="other")
    for wrong in (other.central_certificate, world.customer, world.root, b""):
        with pytest.raises(CertificateRefused, match="the card's log names"):
            world.card.number_of(wrong)


def test_a_list_is_proposed_once_and_found_again(world: World):
    number = world.card.number_of(world.central_certificate)
    first = world.card.propose_list([number])
    assert world.card.propose_list([number]) == first
    assert world.card.propose_list([number, number]) == first
    assert world.card.approve(first, "alice", PINS["alice"]) == 1
    world.clock.at += 1
    again = world.blank_card()
    assert again.propose_list([number]).approvals == ("alice",)
    assert again.approve(again.propose_list([number]), "bob", PINS["bob"]) == 0
    assert read_crl(again.sign_list(first.number), again.customer).number == 1
    with pytest.raises(StateError):
        again.sign_list(first.number)


def test_a_list_is_not_approved_for_ever(world: World):
    job = world.approved_list()
    world.clock.at += DAY + 1
    with pytest.raises(StateError):
        world.card.sign_list(job.number)


def test_there_is_no_list_before_the_first(world: World):
    with pytest.raises(StateError, match="no revocation list"):
        _ = world.card.crl
    assert world.card.list_number == 0
    der = revoke(world)
    assert world.blank_card().crl == der


def test_a_signature_that_fails_or_a_cut_before_it_is_made_up_for(world: World):
    """The log is whole, what was revoked is, and the next list has the next number."""
    number = world.card.number_of(world.central_certificate)
    job = world.approved_list(number)
    with broken(world.vault("card"), "sign"), pytest.raises(EnvironmentFault):
        world.card.sign_list(job.number)
    card = world.blank_card()
    log = import_lines(card.export_log()).log
    assert [entry.what.kind for entry in log[-2:]] == ["list", "failure"]
    assert open_intents(log) == ()
    assert (card.list_number, set(card.revoked)) == (1, {number})
    world.card = card
    crl = read_crl(revoke(world), card.customer)
    assert (crl.number, len(crl.revoked)) == (2, 1)


def test_a_card_goes_on_certifying_after_lists(world: World):
    revoke(world, world.card.number_of(world.central_certificate))
    log = import_lines(world.card.export_log()).log
    personalized = module_certificate(world)
    assert import_lines(world.card.export_log()).log[: len(log)] == log
    assert verify_issued(personalized, world.card.customer, Role.MODULE, now=None).not_before >= log[-1].at


# The unit


def test_a_unit_of_a_card_that_revoked_its_certificates_works_no_more(world: World):
    world.approved(CardRole.MODULE, SERIAL)
    unit = world.new_unit()
    revoke(world, world.card.number_of(world.card.unit))
    with pytest.raises(CertificateRefused, match="unit certificate of Bank unit 1"):
        meeting(world, unit=unit)
    revoke(world, world.card.number_of(world.central_certificate))
    with pytest.raises(CertificateRefused, match="central certificate of Host"):
        world.new_unit()
    assert world.module.state is ModuleState.DELIVERED


def test_a_unit_that_heeds_the_manufacturers_list_refuses_a_revoked_identity(world: World):
    maker = world.manufacturer
    before = maker.sign_list()
    maker.revoke(maker.number_of_module(SERIAL))
    world.approved(CardRole.MODULE, SERIAL)
    unit = world.new_unit()
    unit.heed(maker.sign_list())
    line = meeting(world, unit=unit).start().finish()
    assert "identity certificate of SN-1 is revoked" in str(line.peer.error)
    assert world.module.state is ModuleState.DELIVERED
    assert SERIAL not in world.card.export_log().decode()
    with pytest.raises(StateError, match="one newer than list 2, got list 1"):
        world.new_unit().heed(before)
    world.card = world.blank_card()
    line = meeting(world).start().finish()
    assert "is revoked" in str(line.peer.error), "the card remembers, also where nobody brings the list"
    world.module = world.new_module("SN-2")
    world.approved(CardRole.MODULE, "SN-2")
    assert isinstance(meeting(world, serial="SN-2").start().finish().peer.result, ModulePersonalized)


def test_which_lists_a_unit_heeds(world: World):
    unit, maker = world.new_unit(), world.manufacturer
    other = World(seed="other")
    for wrong in (other.manufacturer.sign_list(), revoke(world), b"", world.root):
        with pytest.raises(CertificateRefused):
            unit.heed(wrong)
    old = maker.sign_list(days=1)
    unit.heed(old)
    world.clock.at = NOW + DAY + 60
    with pytest.raises(CertificateRefused, match="validity of a revocation list"):
        world.new_unit().heed(old)
    maker.revoke(maker.number_of_customer("Bank"))
    with pytest.raises(CertificateRefused, match="customer certificate of Bank is revoked"):
        world.new_unit().heed(maker.sign_list())
    world.approved(CardRole.MODULE, SERIAL)
    with pytest.raises(CertificateRefused, match="customer certificate of Bank is revoked"):
        world.new_unit().check(SERIAL)
    for option in TrustOption:
        with pytest.raises(CertificateRefused, match="customer certificate of Bank is revoked"):
            meeting(world, option)


# The central system (tests/registry has what a registry does with a list)


def test_what_the_card_revoked_is_refused_once_the_central_system_has_the_list(world: World):
    personalize(world)
    contact(world).start().finish()
    crl = revoke(world, *world.card.numbers_of(SERIAL))
    line = contact(world).start()
    assert line.module.session.error is None, "nobody told the central system"
    line.finish()
    taken = import_crl(world.central, crl, actor="operator")
    assert taken.number == 1
    line = contact(world).start().finish()
    assert "revoked" in str(line.peer.error)
    world.module.reset_by_hand()
    world.clock.at += 1
    personalize(world)
    assert contact(world).start().module.session.error is None, "a new certificate is not on the list"


def test_replayed_older_and_foreign_lists_are_refused(world: World):
    first = revoke(world)
    second = revoke(world, world.card.number_of(world.central_certificate))
    import_crl(world.central, second, actor="operator")
    import_crl(world.central, second, actor="operator")
    entries = world.central.registry.audit()
    with pytest.raises(StateError):
        import_crl(world.central, first, actor="operator")
    stranger = world.new_card("Stranger", "card 2")
    foreign = stranger.sign_list(world.approved_list(card=stranger).number)
    for wrong in (foreign, World(seed="other").manufacturer.sign_list(), b"", second[:-1]):
        with pytest.raises((CertificateRefused, UsageError)):
            import_crl(world.central, wrong, actor="operator")
    assert world.central.registry.audit() == entries


def test_a_customer_whom_the_manufacturer_revoked_is_not_trusted_any_more(world: World):
    second = world.new_card("Second", "card 2").customer.der
    world.manufacturer.revoke(world.manufacturer.number_of(second))
    import_crl(world.central, world.manufacturer.sign_list(), actor="operator")
    with pytest.raises(CertificateRefused, match="customer certificate of Second is revoked"):
        world.central.trust(world.root, second, actor="operator")
    assert len(world.central.issuers()) == 1
