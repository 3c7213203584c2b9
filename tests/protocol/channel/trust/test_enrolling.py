"""A card that enrols, and one that brings its log (L14, L12): one fingerprint each way, and whom that lets in."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from world import DAY, NOW, YEAR, World

from insitu.protocol.channel.edhoc import Kccs, Kid, X5Chain, write_ccs
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.channel.trust import CardEnrolling, CentralEnrolling, CentralSyncing
from insitu.protocol.channel.trust import enrolling as enrolling_module
from insitu.protocol.channel.trust.operating import SKEW_SECONDS
from insitu.protocol.engine import KeyHandle, KeyKind, ProtocolError
from insitu.protocol.keys.certificates import CertificateRefused, Role, fingerprint_text, key_digest, trusted_root
from insitu.protocol.keys.port import KeyMismatch
from insitu.protocol.keys.revocation import read_crl
from insitu.protocol.messages import CardRole, Intent, Purpose, TrustOption


@pytest.fixture
def host(world: World) -> KeyHandle:
    return world.central._key()


@pytest.fixture
def card(world: World, host: KeyHandle) -> CardEnrolling:
    return CardEnrolling.of(
        world.card.customer, world.card.unit, world.card.authentication, key_digest(host.public), now=NOW
    )


@pytest.fixture
def enrolling(world: World, host: KeyHandle) -> CentralEnrolling:
    return CentralEnrolling.of("Host", host, trusted_root(world.root), world.card.customer.fingerprint)


@pytest.fixture
def syncing(world: World, host: KeyHandle) -> CentralSyncing:
    return CentralSyncing.of("Host", host, (world.card.customer,))


@pytest.fixture
def claim(world: World) -> X5Chain:
    return X5Chain((world.card.unit, world.customer))


def test_a_card_looks_at_each_of_its_certificates(world: World, host: KeyHandle, monkeypatch):
    looked_at: list[bytes] = []
    monkeypatch.setattr(enrolling_module, "check_time", lambda each, now: looked_at.append(each.der))
    about = world.card.customer, world.card.unit, world.card.authentication, key_digest(host.public)
    CardEnrolling.of(*about, now=NOW)
    assert looked_at == [world.card.customer.der]
    with pytest.raises(CertificateRefused, match="not valid at that time"):
        CardEnrolling.of(*about, now=NOW - 10 * YEAR)


def test_all_sign_and_nothing_follows_in_the_channel(world: World, host, card, enrolling, syncing, claim):
    opened = ChannelOpened(
        Peer("any", None, host.public), Intent(Purpose.ENROLL, TrustOption.CERTIFICATES), bytes(32), at=NOW
    )
    for terms in (card, enrolling, syncing):
        assert (terms.option, terms.method) == (TrustOption.CERTIFICATES, 0)
        assert terms.stage(opened) is None
    assert card.own.id_cred == claim
    for terms in (enrolling, syncing):
        assert terms.own.id_cred == Kccs(write_ccs(host.public, subject="Host"))


# The card's side


def test_a_card_knows_the_key_that_people_told_it(world: World, host, card):
    _, peer = card.judge(Kccs(write_ccs(host.public, subject="whatever")), NOW)
    assert (peer.name, peer.role, peer.public) == ("whatever", None, host.public)
    other = world.vault("x").generate("x", KeyKind.P256, b"").public
    with pytest.raises(ProtocolError, match="key of the central system") as refused:
        card.judge(Kccs(write_ccs(other, subject="Host")), NOW)
    assert refused.value.expected == fingerprint_text(key_digest(host.public))
    assert refused.value.got == fingerprint_text(key_digest(other))
    foreign = world.vault("x").generate("y", KeyKind.ED25519, b"").public
    with pytest.raises(ProtocolError, match="got another kind"):
        card.judge(Kccs(write_ccs(foreign, subject="Host")), NOW)


def test_a_card_shows_only_what_holds_now_and_is_for_its_key(world: World, host, card):
    made, digest = world.card, key_digest(host.public)
    with pytest.raises(KeyMismatch):
        CardEnrolling.of(made.customer, made.unit, host, digest, now=NOW)
    ends = {"unit": NOW + 365 * DAY, "customer": made.customer.not_after}
    for role, end in ends.items():
        with pytest.raises(CertificateRefused, match=f"{role} certificate"):
            CardEnrolling.of(made.customer, made.unit, made.authentication, digest, now=end + 1)
    CardEnrolling.of(made.customer, made.unit, made.authentication, digest, now=ends["unit"])
    with pytest.raises(CertificateRefused):
        CardEnrolling.of(made.customer, world.central_certificate, host, digest, now=NOW)


# The central system's side


def test_the_card_that_was_told_and_no_other(world: World, enrolling, claim):
    credential, peer = enrolling.judge(claim, NOW)
    assert (peer.name, peer.role, peer.public) == ("Bank unit 1", Role.UNIT, world.card.authentication.public)
    assert [each.der for each in peer.chain] == [world.card.unit, world.customer]
    assert credential.id_cred == claim
    other = world.new_card("Second bank", "card 2")
    with pytest.raises(CertificateRefused) as refused:
        enrolling.judge(X5Chain((other.unit, other.customer.der)), NOW)
    assert refused.value.check == "fingerprint"
    assert refused.value.expected == fingerprint_text(world.card.customer.fingerprint)
    assert refused.value.got == fingerprint_text(other.customer.fingerprint)
    for chain in ((world.card.unit,), (world.card.unit, world.customer, world.root)):
        with pytest.raises(ProtocolError, match="x5chain of 2"):
            enrolling.judge(X5Chain(chain), NOW)


def test_the_signing_key_is_one_of_our_manufacturers(world: World, host, claim):
    """The right fingerprint of a certificate that is below another root is no way in."""
    other = World(seed="other")
    terms = CentralEnrolling.of("Host", host, trusted_root(other.root), world.card.customer.fingerprint)
    with pytest.raises(CertificateRefused):
        terms.judge(claim, NOW)


def test_a_revoked_signing_key_does_not_enrol(world: World, host, claim):
    root, about = trusted_root(world.root), ("Host", host, trusted_root(world.root), world.card.customer.fingerprint)
    mild = read_crl(world.revocations(1), root)
    CentralEnrolling.of(*about, crl=mild).judge(claim, NOW)
    revoked = read_crl(world.revocations(2, world.card.customer.serial_number), root)
    with pytest.raises(CertificateRefused, match="revoked"):
        CentralEnrolling.of(*about, crl=revoked).judge(claim, NOW)


def test_cards_that_enrolled_bring_their_logs_and_others_do_not(world: World, host, syncing, claim):
    other = world.new_card("Second bank", "card 2")
    theirs = X5Chain((other.unit, other.customer.der))
    assert syncing.judge(claim, NOW)[1].name == "Bank unit 1"
    with pytest.raises(CertificateRefused) as refused:
        syncing.judge(theirs, NOW)
    assert (refused.value.check, refused.value.expected) == ("fingerprint", "one that is known here")
    assert refused.value.got == fingerprint_text(sha256(other.customer.der).digest())
    both = CentralSyncing.of("Host", host, (world.card.customer, other.customer))
    assert both.judge(theirs, NOW)[1].public == other.authentication.public
    assert both.judge(claim, NOW)[1].public == world.card.authentication.public
    with pytest.raises(ProtocolError, match="x5chain of 2"):
        syncing.judge(Kid(b"1"), NOW)


def test_only_a_unit_below_its_own_signing_key(world: World, enrolling, syncing):
    key = world.vault("x").generate("x", KeyKind.P256, b"").public
    other = world.new_card("Second bank", "card 2")
    for leaf in (world.certify(CardRole.MODULE, "SN-9", key), world.central_certificate, other.unit, world.customer):
        for terms in (enrolling, syncing):
            with pytest.raises(CertificateRefused):
                terms.judge(X5Chain((leaf, world.customer)), NOW)


def test_time_counts(enrolling, syncing, claim):
    end = NOW + 365 * DAY
    for terms in (enrolling, syncing):
        for at in (NOW, end):
            terms.judge(claim, at)
        for at in (NOW - SKEW_SECONDS - 1, end + 1):
            with pytest.raises(CertificateRefused, match="is not valid at that time"):
                terms.judge(claim, at)


def test_a_cards_clock_may_be_a_little_ahead(world: World, host, claim):
    """What it made a moment ago begins a moment from now."""
    older = replace(world.card.customer, not_before=NOW - DAY)
    terms = CentralSyncing.of("Host", host, (older,))
    assert terms.judge(claim, NOW - SKEW_SECONDS)[1].chain[0].not_before == NOW
    with pytest.raises(CertificateRefused, match="unit certificate is not valid at that time"):
        terms.judge(claim, NOW - SKEW_SECONDS - 1)
    with pytest.raises(CertificateRefused, match="customer certificate is not valid at that time"):
        terms.judge(claim, NOW - DAY - 1)
