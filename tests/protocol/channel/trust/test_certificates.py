from __future__ import annotations

from dataclasses import replace

import pytest
from world import DAY, NOW, SERIAL, YEAR, World

from insitu.protocol.channel.edhoc import X5T, Kid, X5Chain
from insitu.protocol.channel.trust import ModuleByIdentity, UnitByCertificate, certificates
from insitu.protocol.engine import KeyKind, ProtocolError, UsageError
from insitu.protocol.keys.certificates import CertificateRefused, Role, trusted_root, verify_issued
from insitu.protocol.keys.port import KeyMismatch
from insitu.protocol.keys.revocation import read_crl
from insitu.protocol.messages import CardRole, TrustOption


@pytest.fixture
def module(world: World) -> ModuleByIdentity:
    return ModuleByIdentity.of(world.module.record, world.vault(SERIAL).find("identity"))


@pytest.fixture
def unit(world: World) -> UnitByCertificate:
    card = world.card
    return UnitByCertificate.of(card.root, card.customer, card.unit, card.authentication, SERIAL)


def test_both_sign_with_certificates_and_say_so(module, unit, world: World):
    for terms in (module, unit):
        assert (terms.option, terms.method) == (TrustOption.CERTIFICATES, 0)
    assert module.own.id_cred == X5Chain((world.module.record.identity,))
    assert unit.own.id_cred == X5Chain((world.card.unit, world.customer))


# The module's judgement (L6)


def test_a_unit_is_known_by_its_chain(module, world: World):
    credential, peer = module.judge(X5Chain((world.card.unit, world.customer)), NOW)
    assert (peer.name, peer.role, peer.public) == ("Bank unit 1", Role.UNIT, world.card.authentication.public)
    assert [certificate.der for certificate in peer.chain] == [world.card.unit, world.customer]
    assert credential.id_cred == X5Chain((world.card.unit, world.customer))


def test_a_session_never_brings_its_own_anchor(module, world: World):
    """Every path ends at the root that was there before the link opened."""
    other = World(seed="other")
    own = (other.card.unit, other.customer)
    for chain in (own, (*own, other.root), (world.card.unit, other.customer), (other.card.unit, world.customer)):
        with pytest.raises(ProtocolError):
            module.judge(X5Chain(chain), NOW)


def test_a_unit_whose_customer_is_revoked_is_none(module, world: World):
    """S5: by the manufacturer's list that the module was given."""
    chain = X5Chain((world.card.unit, world.customer))
    innocent = replace(module, crl=read_crl(world.revocations(1, 1 << 126), module.root))
    assert innocent.judge(chain, NOW) == module.judge(chain, NOW)
    told = replace(module, crl=read_crl(world.revocations(2, world.card.customer.serial_number), module.root))
    with pytest.raises(ProtocolError, match="revoked"):
        told.judge(chain, NOW)


def test_the_list_that_a_module_keeps_is_what_it_judges_by(module, world: World):
    assert module.crl is None
    held = world.revocations(1)
    record = replace(world.module.record, crl=held)
    assert ModuleByIdentity.of(record, world.vault(SERIAL).find("identity")).crl == read_crl(held, module.root)


def test_only_a_unit_is_a_unit(module, world: World):
    """S11, L6: a rogue module's certificates, of identity and of work, never act as a unit's."""
    key = world.vault("rogue").generate("k", KeyKind.P256, b"").public
    certificates = {
        "module": world.certify(CardRole.MODULE, "SN-9", key),
        "central": world.certify(CardRole.CENTRAL, "Host 9", key),
        "identity": world.manufacturer.certify_identity("SN-8", key),
        "customer": world.customer,
        "manufacturer": world.root,
    }
    for role, der in certificates.items():
        with pytest.raises(CertificateRefused):
            pytest.fail(f"{role}: {module.judge(X5Chain((der, world.customer)), NOW)}")
    for issuer in (world.root, world.card.unit, certificates["identity"]):
        with pytest.raises(CertificateRefused):
            module.judge(X5Chain((world.card.unit, issuer)), NOW)


@pytest.mark.parametrize(
    "claim", [Kid(b"1"), X5T(-15, bytes(8)), X5Chain((b"x",))], ids=lambda each: type(each).__name__
)
def test_a_unit_shows_its_whole_chain(module, claim):
    with pytest.raises(ProtocolError, match="x5chain of 2"):
        module.judge(claim, NOW)


@pytest.mark.parametrize(
    ("at", "accepted"),
    [(0, True), (NOW - 20 * YEAR, True), (NOW, True), (NOW + 365 * DAY, True), (NOW + 365 * DAY + 1, False)],
)
def test_a_clock_that_is_behind_is_forgiven_and_one_that_is_ahead_is_not(module, world: World, at, accepted):
    claim = X5Chain((world.card.unit, world.customer))
    if accepted:
        module.judge(claim, at)
    else:
        with pytest.raises(CertificateRefused, match="unit certificate has expired"):
            module.judge(claim, at)


def test_time_never_goes_behind_the_latest_seen(module, world: World):
    """A clock that was set back does not bring an expired unit back."""
    later = replace(module, latest=NOW + 2 * YEAR)
    with pytest.raises(CertificateRefused, match="has expired"):
        later.judge(X5Chain((world.card.unit, world.customer)), NOW)


def test_a_module_without_identity_cannot_use_this_option(world: World):
    bare = world.new_module("SN-bare", identity=False)
    with pytest.raises(UsageError, match="no identity"):
        ModuleByIdentity.of(bare.record, None)
    with pytest.raises(UsageError, match="no identity"):
        ModuleByIdentity.of(world.module.record, None)


def test_an_identity_that_is_not_for_the_pair_in_key_memory_is_noticed_at_once(world: World):
    """S2: before anything is sent."""
    another = world.vault(SERIAL).generate("another", KeyKind.P256, b"")
    with pytest.raises(KeyMismatch):
        ModuleByIdentity.of(world.module.record, another)
    with pytest.raises(CertificateRefused):
        ModuleByIdentity.of(replace(world.module.record, serial="SN-9"), world.vault(SERIAL).find("identity"))


# The unit's judgement


def test_the_module_of_the_job_is_known_by_its_identity(unit, world: World):
    identity = world.module.record.identity
    credential, peer = unit.judge(X5Chain((identity,)), NOW)
    assert (peer.name, peer.role) == (SERIAL, Role.IDENTITY)
    assert peer.public == world.vault(SERIAL).find("identity").public  # type: ignore[union-attr]
    assert credential.id_cred == X5Chain((identity,))


def test_formal_a_genuine_module_that_is_not_the_jobs_is_refused(unit, world: World):
    """The serial number is pinned: without this check a stolen module's key is certified (formal model)."""
    stolen = world.new_module("SN-stolen")
    with pytest.raises(CertificateRefused, match=f"expected {SERIAL}, got SN-stolen"):
        unit.judge(X5Chain((stolen.record.identity,)), NOW)


def test_only_an_identity_by_our_manufacturer_counts(unit, world: World):
    key = world.vault("rogue").generate("k", KeyKind.P256, b"").public
    other = World(seed="other")
    wrong = {
        "another manufacturer's": other.module.record.identity,
        "a module's certificate of work": world.certify(CardRole.MODULE, SERIAL, key),
        "a unit's": world.card.unit,
        "a customer's": world.customer,
    }
    for what, der in wrong.items():
        with pytest.raises(CertificateRefused):
            pytest.fail(f"{what}: {unit.judge(X5Chain((der,)), NOW)}")
    with pytest.raises(ProtocolError, match="x5chain of 1"):
        unit.judge(X5Chain((world.module.record.identity, world.root)), NOW)


def test_a_revoked_identity_is_refused(unit, world: World):
    """S5: by the manufacturer's list that the unit was given."""
    identity = world.module.record.identity
    number = verify_issued(identity, unit.root, Role.IDENTITY, now=NOW).serial_number
    claim = X5Chain((identity,))
    innocent = replace(unit, crl=read_crl(world.revocations(1, 1 << 126), unit.root))
    assert innocent.judge(claim, NOW) == unit.judge(claim, NOW)
    with pytest.raises(ProtocolError, match="revoked"):
        replace(unit, crl=read_crl(world.revocations(2, number), unit.root)).judge(claim, NOW)


def test_an_expired_identity_is_refused(unit, world: World):
    with pytest.raises(CertificateRefused, match="not valid at that time"):
        unit.judge(X5Chain((world.module.record.identity,)), NOW + 15 * YEAR + 1)


def test_a_units_certificate_that_is_not_for_its_key_is_noticed_at_once(world: World):
    card = world.card
    another = world.vault("rogue").generate("k", KeyKind.P256, b"")
    with pytest.raises(KeyMismatch):
        UnitByCertificate.of(card.root, card.customer, card.unit, another, SERIAL)
    with pytest.raises(CertificateRefused):
        UnitByCertificate.of(card.root, card.customer, world.central_certificate, card.authentication, SERIAL)


@pytest.mark.parametrize("years", [-1, 30])
def test_a_unit_with_a_clock_notices_at_once_that_its_own_certificates_do_not_hold_now(world: World, years):
    card = world.card
    about = card.root, card.customer, card.unit, card.authentication, SERIAL
    assert UnitByCertificate.of(*about, now=NOW) == UnitByCertificate.of(*about)
    with pytest.raises(CertificateRefused, match="not valid at that time"):
        UnitByCertificate.of(*about, now=NOW + years * YEAR)


def test_a_unit_with_a_clock_looks_at_each_of_its_certificates(world: World, monkeypatch):
    looked_at: list[tuple[bytes, int]] = []
    monkeypatch.setattr(certificates, "check_time", lambda each, now: looked_at.append((each.der, now)))
    card = world.card
    UnitByCertificate.of(card.root, card.customer, card.unit, card.authentication, SERIAL, now=NOW)
    assert looked_at == [(card.customer.der, NOW), (card.unit, NOW)]


def test_the_roots_are_those_of_delivery_and_installation(module, unit, world: World):
    assert module.root == unit.root == trusted_root(world.root)
