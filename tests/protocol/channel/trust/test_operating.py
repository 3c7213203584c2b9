from __future__ import annotations

from dataclasses import replace

import pytest
from pump import personalize
from world import DAY, NOW, SERIAL, World

from insitu.protocol.channel.edhoc import X5T, Kid, X5Chain
from insitu.protocol.channel.opened import ChannelOpened
from insitu.protocol.channel.trust import CentralAtWork, ModuleAtWork
from insitu.protocol.channel.trust.operating import SKEW_SECONDS
from insitu.protocol.engine import KeyHandle, KeyKind, ProtocolError, TableError, UsageError
from insitu.protocol.keys.certificates import CertificateRefused, Role
from insitu.protocol.keys.port import KeyMismatch, KeyMissing
from insitu.protocol.messages import CardRole, Intent, ModuleCondition, ModuleRecord, Purpose, TrustOption


@pytest.fixture
def operating(world: World) -> tuple[ModuleRecord, KeyHandle]:
    personalize(world)
    key = world.operating_key(world.module)
    assert key is not None
    return world.module.record, key


@pytest.fixture
def module(operating) -> ModuleAtWork:
    return ModuleAtWork.of(*operating)


@pytest.fixture
def central(world: World) -> CentralAtWork:
    return CentralAtWork.of(world.central_certificate, world.central.issuers(), world.central._key())


def test_both_sign_with_what_personalization_left(module, central, operating, world: World):
    for terms in (module, central):
        assert (terms.option, terms.method) == (TrustOption.CERTIFICATES, 0)
    assert module.own.id_cred == X5Chain((operating[0].module,))
    assert central.own.id_cred == X5T.of(world.central_certificate)


# The module (L9, S2)


def test_the_pinned_central_system_and_nobody_else(module, world: World):
    """S11: by its whole certificate; the hash only names it, and the whole of it is bound into the transcript."""
    credential, peer = module.judge(X5T.of(world.central_certificate), NOW)
    assert (peer.name, peer.role) == ("Host", Role.CENTRAL)
    assert credential.public == peer.public
    _, another = world.new_central("Host 2")
    same_name = world.certify(CardRole.CENTRAL, "Host", world.vault("x").generate("x", KeyKind.P256, b"").public)
    wrong = (
        X5T.of(another),
        X5T.of(same_name),
        X5T.of(world.central_certificate, -16),
        X5Chain((world.central_certificate,)),
        X5Chain((world.central_certificate, world.customer)),
        Kid(b"Host"),
        X5T.of(world.module.record.module or b""),
    )
    for claim in wrong:
        with pytest.raises(ProtocolError, match="the pinned central system"):
            module.judge(claim, NOW)


@pytest.mark.parametrize("condition", [ModuleCondition.DELIVERED, ModuleCondition.RESET], ids=lambda each: each.name)
def test_a_module_that_is_not_personalized_does_not_go_to_work(operating, condition):
    with pytest.raises(UsageError, match="not personalized"):
        ModuleAtWork.of(replace(operating[0], condition=condition), operating[1])


def test_s2_record_and_key_memory_are_checked_before_anything_is_sent(operating, world: World):
    record, key = operating
    other = World(seed="other")
    personalize(other)
    with pytest.raises(KeyMissing):
        ModuleAtWork.of(record, None)
    with pytest.raises(KeyMismatch):
        ModuleAtWork.of(record, world.vault("x").generate("x", KeyKind.P256, b""))
    for broken in (
        replace(record, serial="SN-9"),
        replace(record, root=other.root),
        replace(record, customer=other.customer),
        replace(record, module=other.module.record.module),
        replace(record, central=other.central_certificate),
        replace(record, central=record.module),
        replace(record, module=record.central),
    ):
        with pytest.raises(CertificateRefused):
            ModuleAtWork.of(broken, key)
    for missing in ("module", "customer", "central"):
        with pytest.raises(TableError):
            ModuleAtWork.of(replace(record, **{missing: None}), key)


# The central system (L9)


def test_a_module_is_known_by_a_certificate_of_a_trusted_customer(central, operating):
    credential, peer = central.judge(X5Chain((operating[0].module,)), NOW)
    assert (peer.name, peer.role, peer.public) == (SERIAL, Role.MODULE, operating[1].public)
    assert [certificate.der for certificate in peer.chain] == [operating[0].module, operating[0].customer]
    assert credential.public == operating[1].public


def test_roles_and_foreign_customers_are_refused(central, operating, world: World):
    other = World(seed="other")
    personalize(other)
    wrong = {
        "a unit": world.card.unit,
        "itself": world.central_certificate,
        "an identity": operating[0].identity,
        "the customer": world.customer,
        "another customer's module": other.module.record.module,
    }
    for what, der in wrong.items():
        with pytest.raises(ProtocolError):
            pytest.fail(f"{what}: {central.judge(X5Chain((der,)), NOW)}")
    for claim in (X5Chain((operating[0].module, world.customer)), X5T.of(operating[0].module or b""), Kid(b"x")):
        with pytest.raises(ProtocolError, match="x5chain of 1"):
            central.judge(claim, NOW)


def test_an_expired_module_is_refused(central, operating):
    central.judge(X5Chain((operating[0].module,)), NOW + 365 * DAY)
    with pytest.raises(CertificateRefused, match="not valid"):
        central.judge(X5Chain((operating[0].module,)), NOW + 365 * DAY + 1)


def test_a_module_below_an_expired_customer_is_refused(central, operating):
    """S5: whatever its own certificate says."""
    (customer,) = central.customers
    expired = replace(central, customers=(replace(customer, not_after=NOW),))
    expired.judge(X5Chain((operating[0].module,)), NOW)
    with pytest.raises(CertificateRefused, match="not valid"):
        expired.judge(X5Chain((operating[0].module,)), NOW + 1)


def test_a_units_clock_may_be_a_little_ahead(central, world: World):
    world.clock.at += DAY
    personalize(world)
    claim = X5Chain((world.module.record.module,))
    begins = central.judge(claim, NOW + DAY)[1].chain[0].not_before
    assert central.judge(claim, begins - SKEW_SECONDS)[1].name == SERIAL
    with pytest.raises(CertificateRefused, match="not valid at that time"):
        central.judge(claim, begins - SKEW_SECONDS - 1)


def test_several_customers_are_tried_and_none_is_named_to_a_stranger(operating, world: World):
    second = world.new_card("Second bank", "card 2").customer
    third = World(seed="other")
    personalize(third)
    both = CentralAtWork.of(world.central_certificate, (second, world.card.customer), world.central._key())
    assert both.judge(X5Chain((operating[0].module,)), NOW)[1].name == SERIAL
    with pytest.raises(ProtocolError, match="by one of 2 trusted customers"):
        both.judge(X5Chain((third.module.record.module,)), NOW)


def test_without_a_customer_or_with_a_strange_certificate_there_is_no_work(world: World):
    key = world.central._key()
    with pytest.raises(UsageError, match="no customer is trusted"):
        CentralAtWork.of(world.central_certificate, (), key)
    with pytest.raises(CertificateRefused):
        CentralAtWork.of(world.card.unit, (world.card.customer,), key)
    with pytest.raises(KeyMismatch):
        CentralAtWork.of(world.central_certificate, (world.card.customer,), world.card.authentication)


# Without a manufacturer (0030)


def test_a_circular_customer_is_pinned_like_any_other(world: World):
    """Nothing above it: customer and central system vouch for each other, where the record admits it."""
    world.close_circle("SN-circle")
    personalize(world, TrustOption.PHYSICAL)
    record, key = world.module.record, world.operating_key(world.module)
    assert record.circular
    terms, other = ModuleAtWork.of(record, key), World(seed="other")
    assert terms.judge(X5T.of(record.central or b""), NOW)[1].role is Role.CENTRAL
    for broken in (
        replace(record, circular=False),
        replace(record, central=other.central_certificate),
        replace(record, customer=other.customer),
    ):
        with pytest.raises(CertificateRefused):
            ModuleAtWork.of(broken, key)


def test_nothing_follows_the_handshake_at_work(module, central, world: World):
    opened = ChannelOpened(
        module.judge(X5T.of(world.central_certificate), NOW)[1],
        Intent(Purpose.OPERATE, TrustOption.CERTIFICATES),
        bytes(32),
        at=NOW,
    )
    assert module.stage(opened) is central.stage(opened) is None
