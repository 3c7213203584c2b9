"""L6: a customer certified by its own central system only. It works over a cable, by policy, and says what it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pki import OpenSsl
from pump import contact, meeting, personalize
from recorder import Recorder
from world import NOW, PINS, World

from insitu.protocol.channel.trust import ModuleAtWork
from insitu.protocol.engine import InsituError, ProtocolError, Signed, StateError, UsageError
from insitu.protocol.keys.certificates import (
    CertificateRefused,
    Role,
    is_circular,
    trusted_root,
    verify_circle,
    verify_circular,
    verify_issued,
)
from insitu.protocol.keys.requests import read_request
from insitu.protocol.messages import CardRole, Certificates, ModuleCondition, TrustOption
from insitu.protocol.parties.central import CentralState
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.module_data import CircleAdmitted, ModuleState
from insitu.protocol.parties.unit import ModulePersonalized
from insitu.shell.operator import import_crl, send_crl

SERIAL = "SN-circle"


@pytest.fixture
def world() -> World:
    world = World()
    world.close_circle(SERIAL)
    return world


def condition(world: World) -> ModuleCondition:
    return world.module.record.condition


def test_over_a_cable_and_by_policy_the_module_is_personalized_works_and_is_reset(world):
    line = personalize(world, TrustOption.PHYSICAL)
    assert isinstance(line.peer.result, ModulePersonalized)
    record = world.module.record
    assert is_circular(record.customer)
    assert CircleAdmitted("Savings Bank", "Circle Host") in world.shown
    contact(world).start().finish()
    assert world.central.registry.module(SERIAL).owner == "Savings Bank"
    world.order_reset(SERIAL)
    contact(world).start().finish()
    assert condition(world) is ModuleCondition.RESET
    assert world.module.record.circular
    personalize(world, TrustOption.PHYSICAL)
    assert condition(world) is ModuleCondition.OPERATING


def test_what_is_admitted_is_said_once_it_is_durable(world):
    recorder = Recorder(MODULE)
    with recorder.watching():
        personalize(world, TrustOption.PHYSICAL)
    effects = [type(effect).__name__ for effect in recorder.at(ModuleState.CONFIRMING, Signed).step.effects]
    assert effects == ["Persist", "Show", "Send", "Close"]


def test_without_the_policy_nothing_changes():
    world = World()
    world.close_circle(SERIAL, admitted=False)
    before = world.module.record
    line = personalize(world, TrustOption.PHYSICAL)
    assert isinstance(line.module.error, CertificateRefused)
    assert (line.module.error.expected, line.module.error.got) == ("customer", "circular customer")
    assert world.module.record == before
    assert not [note for note in world.shown if isinstance(note, CircleAdmitted)]


@pytest.mark.parametrize("option", [each for each in TrustOption if each is not TrustOption.PHYSICAL], ids=str)
def test_our_unit_tries_no_other_option(world, option):
    world.approved(CardRole.MODULE, SERIAL)
    with pytest.raises(UsageError, match="a circular certificate"):
        meeting(world, option, serial=SERIAL).start()
    assert condition(world) is ModuleCondition.DELIVERED


@pytest.mark.parametrize(
    "option",
    [TrustOption.CERTIFICATES_ONE_WAY, TrustOption.SHIPPED_KEY, TrustOption.SECRET, TrustOption.CONVEYED],
    ids=str,
)
def test_a_module_admits_it_under_no_other_option_whoever_brings_it(option):
    """The policy is about a cable: over a network somebody else's pair of certificates would do (formal/oneway.pv)."""
    world = World()
    world.close_circle(SERIAL)
    circle = world.customer, world.central_certificate, world.card
    sound = World()
    sound.module, sound.courier = world.module, world.courier
    before = world.module.record
    recorder = Recorder(MODULE)
    with recorder.watching():
        personalize(sound, option)
    moment = recorder.at(ModuleState.KEYED, Certificates)
    customer, central, card = circle
    certificate = world.certify(CardRole.MODULE, SERIAL, moment.data.key.public, card=card)
    forged = Certificates(module=certificate, central=central, customer=customer)
    data = replace(moment.data, record=replace(before, circular=True))
    with pytest.raises(CertificateRefused) as refused:
        MODULE.step(ModuleState.KEYED, data, forged)
    assert refused.value.check == "role"
    wired = replace(data, peer=replace(data.peer, wired=True))
    assert MODULE.step(ModuleState.KEYED, wired, forged).state is ModuleState.CONFIRMING


def test_the_manufacturers_way_stays_open_to_a_module_that_admits_the_other_one(world):
    sound = World()
    sound.module = world.module
    line = personalize(sound, TrustOption.PHYSICAL)
    assert isinstance(line.peer.result, ModulePersonalized)
    assert not is_circular(world.module.record.customer)
    assert not [note for note in sound.shown + world.shown if isinstance(note, CircleAdmitted)]


# The circle itself


@pytest.fixture
def keyed(world) -> tuple[World, object, Certificates]:
    recorder = Recorder(MODULE)
    with recorder.watching():
        personalize(world, TrustOption.PHYSICAL)
    moment = recorder.at(ModuleState.KEYED, Certificates)
    return world, moment.data, moment.event


def test_a_circle_that_does_not_close_is_refused(keyed):
    world, data, right = keyed
    assert MODULE.step(ModuleState.KEYED, data, right).state is ModuleState.CONFIRMING
    other = World(seed="other")
    other.close_circle("SN-other")
    own = data.key.public
    wrong = {
        "another central system": replace(right, central=other.central_certificate),
        "another customer": replace(right, customer=other.customer),
        "another customer's module": replace(
            right, module=other.certify(CardRole.MODULE, SERIAL, own, card=other.card)
        ),
        "another key": replace(
            right, module=world.certify(CardRole.MODULE, SERIAL, world.vault("x").generate("x", own.kind, b"").public)
        ),
        "another serial": replace(right, module=world.certify(CardRole.MODULE, "SN-9", own)),
        "the customer as central": replace(right, central=right.customer),
        "the central as customer": replace(right, customer=right.central),
        "one bit of the customer": replace(right, customer=right.customer[:-1] + bytes((right.customer[-1] ^ 1,))),
        "one bit of the central": replace(right, central=right.central[:-1] + bytes((right.central[-1] ^ 1,))),
        "no customer": replace(right, customer=None),
    }
    admitted = []
    for what, event in wrong.items():
        try:
            MODULE.step(ModuleState.KEYED, data, event)
        except ProtocolError:
            continue
        admitted.append(what)
    assert admitted == []


@pytest.mark.parametrize("years", [0, 11])
def test_an_expired_circle_is_refused(keyed, years):
    _, data, right = keyed
    data = replace(data, at=NOW + years * 366 * 24 * 3600)
    if years:
        with pytest.raises(CertificateRefused, match="expired"):
            MODULE.step(ModuleState.KEYED, data, right)
    else:
        assert MODULE.step(ModuleState.KEYED, data, right).state is ModuleState.CONFIRMING


def test_a_circular_certificate_stands_below_no_root_and_no_root_above_it(world):
    central = read_request(world.card.record.central)
    circular = verify_circular(world.customer, central.subject, central.public)
    assert circular.role is Role.CIRCULAR
    with pytest.raises(CertificateRefused, match="role"):
        verify_issued(world.customer, trusted_root(world.root), Role.CUSTOMER, now=None)
    with pytest.raises(CertificateRefused):
        trusted_root(world.customer)
    with pytest.raises(CertificateRefused, match="authority key identifier"):
        verify_circular(world.customer, central.subject, circular.public)
    with pytest.raises(CertificateRefused, match="issuer"):
        verify_circular(world.customer, "Another", central.public)
    with pytest.raises(CertificateRefused, match="expected Another"):
        verify_circular(world.customer, central.subject, central.public, subject="Another")
    sound = World()
    with pytest.raises(CertificateRefused, match="role"):
        verify_circle(sound.customer, sound.central_certificate)


def test_to_openssl_it_is_a_path_that_ends_nowhere(world, tmp_path):
    openssl = OpenSsl(tmp_path)
    assert "unable to get" in openssl.verify(world.root, world.central_certificate, world.customer, at=NOW)


# At work


def test_a_record_without_the_policy_does_not_work_with_a_circle(world):
    personalize(world, TrustOption.PHYSICAL)
    record, key = world.module.record, world.operating_key(world.module)
    ModuleAtWork.of(record, key)
    with pytest.raises(CertificateRefused, match="role"):
        ModuleAtWork.of(replace(record, circular=None), key)
    with pytest.raises(CertificateRefused):
        ModuleAtWork.of(replace(record, central=World().central_certificate), key)


# The card and the central system


def test_a_card_takes_one_certificate_and_only_its_own(world):
    with pytest.raises(StateError, match="has its certificate"):
        world.card.install_circular(world.card.record.central, world.customer)
    request, blank = world.card.record.central, world.blank_card("another card")
    blank.furnish("Savings Bank", PINS)
    with pytest.raises(ProtocolError, match="another key"):
        blank.install_circular(request, world.customer)
    other = world.blank_card("a card of another name")
    other.furnish("Other Bank", PINS)
    with pytest.raises(CertificateRefused, match="expected Other Bank"):
        other.install_circular(request, world.customer)
    sound = World()
    with pytest.raises(CertificateRefused, match="circular customer certificate"):
        blank.install_circular(request, sound.customer)
    assert blank.record.customer is None


def test_a_circular_card_has_no_root_and_hears_no_list_of_a_manufacturer(world):
    assert world.card.is_circular
    with pytest.raises(StateError, match="its own central system only"):
        _ = world.card.root
    with pytest.raises(StateError, match="its own central system only"):
        world.card.heed(World().manufacturer.sign_list())
    assert not World().card.is_circular


def test_the_central_system_knows_its_circular_customers_after_a_restart_and_nobody_elses(world):
    (issuer,) = world.central.registry.issuers()
    assert (world.central.record.root, issuer.owner) == (None, "Savings Bank")
    assert [each.fingerprint for each in world.central.issuers()] == [issuer.fingerprint]
    assert [each.role for each in world.started_central("Circle Host").issuers()] == [Role.CIRCULAR]
    entry = world.central.registry.audit()[0]
    assert "a plausibility check only" in entry.detail
    stranger = World(seed="other")
    stranger.close_circle("SN-other")
    (theirs,) = stranger.central.registry.issuers()
    world.central.registry.trust(theirs, actor="intruder", at=NOW)
    assert [each.fingerprint for each in world.central.issuers()] == [issuer.fingerprint]


def test_a_customer_of_a_manufacturer_may_be_trusted_besides(world):
    sound = World()
    world.central.trust(sound.root, sound.customer, actor="operator")
    assert {each.role for each in world.central.issuers()} == {Role.CIRCULAR, Role.CUSTOMER}


def test_a_customer_cannot_have_the_central_systems_name(world):
    wish = world.blank_card("namesake").furnish("Circle Host", PINS)
    with pytest.raises(UsageError, match="not that of the issuer"):
        world.central.certify_customer(read_request(wish), days=9, actor="operator")
    assert len(world.central.registry.issuers()) == 1


def test_lists_of_a_circular_card_count_and_a_manufacturer_has_none(world):
    personalize(world, TrustOption.PHYSICAL)
    contact(world).start().finish()
    number = world.card.number_of(world.module.record.module)
    listed = world.card.sign_list(world.approved_list(number).number)
    assert import_crl(world.central, listed, actor="operator").number == 1
    assert contact(world).start().finish().peer.result is not CentralState.ONLINE
    with pytest.raises(InsituError, match="nobody is trusted yet"):
        send_crl(world.central, actor="operator")
