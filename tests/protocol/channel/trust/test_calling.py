"""A mobile calls a unit over a channel of ours (A9): each side knows the other's key, and nothing else counts."""

from __future__ import annotations

from hashlib import sha256

import pytest
from world import NOW, World

from insitu.protocol.channel.edhoc import X5T, Kccs, write_ccs
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.channel.trust import MobileCalling, UnitCalled
from insitu.protocol.channel.trust.calling import by_caller, by_certificate, by_key
from insitu.protocol.engine import KeyHandle, KeyKind, ProtocolError
from insitu.protocol.keys.certificates import fingerprint_text, key_digest
from insitu.protocol.messages import Intent, Purpose, TrustOption


@pytest.fixture
def phone(world: World) -> KeyHandle:
    return world.vault("phone").generate("mobile", KeyKind.P256, b"")


@pytest.fixture
def unit(world: World) -> KeyHandle:
    return world.card.authentication


def claim(key: KeyHandle, name: str) -> Kccs:
    return Kccs(write_ccs(key.public, subject=name))


def test_names_say_what_the_link_proves(world: World, phone: KeyHandle):
    names = [by_key(phone.public), by_certificate(world.card.unit), by_caller("+431234")]
    assert names == [
        f"key {key_digest(phone.public).hex()}",
        f"certificate {sha256(world.card.unit).hexdigest()}",
        "caller +431234",
    ]


def test_both_sign_with_keys_that_people_told(phone: KeyHandle, unit: KeyHandle):
    calling = MobileCalling.of("phone", phone, key_digest(unit.public))
    called = UnitCalled.of("Bank", unit, frozenset({by_key(phone.public)}))
    for terms, key in ((calling, phone), (called, unit)):
        assert (terms.option, terms.method, terms.key) == (TrustOption.CONVEYED, 0, key)
    assert calling.own.id_cred == claim(phone, "phone")
    assert called.own.id_cred == claim(unit, "Bank")
    opened = ChannelOpened(
        Peer("phone", None, phone.public), Intent(Purpose.CONVEY, TrustOption.CONVEYED), bytes(32), at=NOW
    )
    assert calling.stage(opened) is called.stage(opened) is None


def test_each_takes_the_other_whatever_it_is_called(phone: KeyHandle, unit: KeyHandle):
    calling = MobileCalling.of("phone", phone, key_digest(unit.public))
    called = UnitCalled.of("Bank", unit, frozenset({by_caller("+43"), by_key(phone.public)}))
    credential, peer = calling.judge(claim(unit, "any name"), NOW)
    assert (credential.public, peer.name, peer.public, peer.role) == (unit.public, "any name", unit.public, None)
    assert called.judge(claim(phone, "mine"), NOW)[1].public == phone.public


def test_another_key_is_nobody(world: World, phone: KeyHandle, unit: KeyHandle):
    calling = MobileCalling.of("phone", phone, key_digest(unit.public))
    digest = key_digest(phone.public)
    for terms, key, expected in (
        (calling, phone, fingerprint_text(key_digest(unit.public))),
        (UnitCalled.of("Bank", unit, frozenset()), phone, "one that this unit was told of"),
        (UnitCalled.of("Bank", unit, frozenset({f"certificate {digest.hex()}"})), phone, "one that this unit"),
    ):
        with pytest.raises(ProtocolError, match="key at the other end of a mobile's call") as refused:
            terms.judge(claim(key, "phone"), NOW)
        assert refused.value.expected.startswith(expected)
        assert refused.value.got == fingerprint_text(digest)


def test_another_kind_of_key_is_nobody_either(world: World, phone: KeyHandle, unit: KeyHandle):
    """Its digest is not even asked for: an empty one is in nobody's list."""
    other = world.vault("phone").generate("other", KeyKind.ED25519, b"")
    for terms in (
        MobileCalling.of("phone", phone, key_digest(unit.public)),
        UnitCalled.of("Bank", unit, frozenset({by_key(phone.public)})),
    ):
        with pytest.raises(ProtocolError, match="got another kind of key"):
            terms.judge(claim(other, "phone"), NOW)
        with pytest.raises(ProtocolError, match="expected kccs"):
            terms.judge(X5T(-15, bytes(8)), NOW)
