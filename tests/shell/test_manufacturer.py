from __future__ import annotations

import pytest
from lives import broken
from world import NOW, PINS, SERIAL, World

from insitu.protocol.engine import EnvironmentFault, KeyKind, ProtocolError, StateError, UsageError
from insitu.protocol.keys.certificates import CertificateRefused, Role, trusted_root, verify_issued
from insitu.protocol.keys.revocation import read_crl
from insitu.protocol.parties.manufacturer import Issued


def test_a_manufacturer_is_established_once(world: World):
    maker = world.new_manufacturer("maker")
    root = maker.establish("Other maker")
    assert maker.root == root
    assert trusted_root(root).subject == "Other maker"
    with pytest.raises(StateError):
        maker.establish("Again")
    assert world.new_manufacturer("maker").root == root


@pytest.mark.parametrize("name", ["", "bad\nname", "x" * 65, " Acme"])
def test_a_name_that_no_certificate_can_carry_leaves_it_blank(world: World, name):
    """And the next attempt in the same program is not in the way of the one that failed."""
    maker = world.new_manufacturer("maker")
    with pytest.raises(UsageError, match="name in a certificate"):
        maker.establish(name)
    assert world.vault("maker").labels() == frozenset()
    assert maker.establish("Acme")


@pytest.mark.parametrize("operation", ["generate", "sign"])
def test_key_memory_that_fails_leaves_it_blank(world: World, operation):
    maker = world.new_manufacturer("maker")
    with broken(world.vault("maker"), operation), pytest.raises(EnvironmentFault, match="key memory is gone"):
        maker.establish("Acme")
    assert maker.establish("Acme")


def test_customers_and_modules_are_certified_and_booked(world: World):
    request = world.blank_card("second").furnish("Second bank", PINS)
    root = trusted_root(world.root)
    customer = verify_issued(world.manufacturer.sign_customer(request), root, Role.CUSTOMER, now=NOW)
    public = world.vault("x").generate("x", KeyKind.P256, b"").public
    identity = verify_issued(world.manufacturer.certify_identity("SN-7", public), root, Role.IDENTITY, now=NOW)
    assert (customer.subject, identity.subject, identity.public) == ("Second bank", "SN-7", public)
    assert [note.role for note in world.shown if isinstance(note, Issued)][-2:] == [Role.CUSTOMER, Role.IDENTITY]
    record = world.new_manufacturer()._keeping.record
    assert record is not None
    assert [booked.subject for booked in record.identities] == [SERIAL, "SN-7"]
    assert [booked.subject for booked in record.customers] == ["Bank", "Second bank"]


def test_a_serial_number_is_used_once_also_after_a_restart(world: World):
    public = world.vault("x").generate("x", KeyKind.P256, b"").public
    for maker in (world.manufacturer, world.new_manufacturer()):
        with pytest.raises(StateError, match=SERIAL):
            maker.certify_identity(SERIAL, public)


def test_what_is_no_request_is_the_others_mistake(world: World):
    with pytest.raises(ProtocolError) as refused:
        world.manufacturer.sign_customer(b"no request")
    assert refused.value.exit_code == 3


def test_two_certificates_never_have_one_serial_number(world: World):
    public = world.vault("x").generate("x", KeyKind.P256, b"").public
    root = trusted_root(world.root)
    made = [world.manufacturer.certify_identity(f"SN-{number}", public) for number in range(100, 120)]
    numbers = {verify_issued(der, root, Role.IDENTITY, now=NOW).serial_number for der in made}
    assert len(numbers) == 20


# Revocation (S5)


def test_what_is_revoked_is_named_by_serial_number_customer_or_certificate(world: World):
    maker, root = world.manufacturer, trusted_root(world.root)
    identity = world.module.record.identity
    assert identity is not None
    assert maker.number_of(identity) == maker.number_of_module(SERIAL)
    assert maker.number_of(world.customer) == maker.number_of_customer("Bank")
    maker.revoke(maker.number_of(identity))
    maker.revoke(maker.number_of_customer("Bank"))
    for again in (world.manufacturer, world.new_manufacturer()):
        with pytest.raises(StateError, match="a revoked one"):
            again.number_of_module(SERIAL)
        with pytest.raises(StateError, match="a revoked one"):
            again.number_of(identity)
        with pytest.raises(StateError, match="a revoked one"):
            again.number_of_customer("Bank")
    crl = read_crl(world.new_manufacturer().sign_list(), root)
    assert set(crl.revoked) == {
        verify_issued(identity, root, Role.IDENTITY, now=NOW).serial_number,
        verify_issued(world.customer, root, Role.CUSTOMER, now=NOW).serial_number,
    }


def test_what_is_not_there_is_not_revoked(world: World):
    maker = world.manufacturer
    for find in (lambda: maker.number_of_module("SN-9"), lambda: maker.number_of_customer("Nobody")):
        with pytest.raises(StateError, match="got none"):
            find()
    with pytest.raises(StateError):
        maker.revoke(b"x" * 16)
    other = World(seed="other")
    for wrong in (other.customer, world.card.unit, world.root, b""):
        with pytest.raises(CertificateRefused):
            maker.number_of(wrong)


def test_a_customer_with_two_cards_is_not_named_by_name(world: World):
    """Which of the two keys is lost, only the certificate tells."""
    second = world.new_card("Bank", "card 2").customer.der
    with pytest.raises(StateError, match="got 2 certificates"):
        world.manufacturer.number_of_customer("Bank")
    world.manufacturer.revoke(world.manufacturer.number_of(second))
    first = world.manufacturer.number_of_customer("Bank")
    crl = read_crl(world.manufacturer.sign_list(), trusted_root(world.root))
    assert first not in {number.to_bytes(16, "big") for number in crl.revoked}


def test_a_list_whose_signature_fails_leaves_no_trace(world: World):
    with broken(world.vault("manufacturer"), "sign"), pytest.raises(EnvironmentFault):
        world.manufacturer.sign_list()
    assert read_crl(world.new_manufacturer().sign_list(), trusted_root(world.root)).number == 1
