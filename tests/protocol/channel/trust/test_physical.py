from __future__ import annotations

import pytest
from world import NOW, SERIAL, World

from insitu.protocol.channel.edhoc import X5T, Kccs, Kid, X5Chain, read_ccs, write_ccs
from insitu.protocol.channel.trust import ByCable
from insitu.protocol.engine import KeyHandle, KeyKind, ProtocolError, UsageError
from insitu.protocol.messages import TrustOption, encode


@pytest.fixture
def key(world: World) -> KeyHandle:
    return world.vault("cable").generate("session", KeyKind.P256, b"")


@pytest.fixture
def terms(key: KeyHandle) -> ByCable:
    return ByCable.of(SERIAL, key, wired=True)


def test_only_a_wired_link_will_do(key: KeyHandle):
    """A1: never network, never Bluetooth; the link attests it or the operator answers for it."""
    with pytest.raises(UsageError, match="wired local link only"):
        ByCable.of(SERIAL, key, wired=False)


def test_the_option_and_the_method_say_that_nobody_signs(terms: ByCable):
    assert (terms.option, terms.method) == (TrustOption.PHYSICAL, 3)


def test_the_credential_is_the_fresh_key_under_the_name(terms: ByCable, key: KeyHandle):
    assert isinstance(terms.own.id_cred, Kccs)
    assert terms.own.id_cred.ccs == write_ccs(key.public, subject=SERIAL)
    assert read_ccs(terms.own.id_cred.ccs) == key.public


def test_anybody_with_a_key_of_its_own_is_let_in_without_a_role(world: World, terms: ByCable):
    public = world.vault("other").generate("k", KeyKind.P256, b"").public
    credential, peer = terms.judge(Kccs(write_ccs(public, subject="Bank")), NOW)
    assert (peer.name, peer.role, peer.public, peer.chain) == ("Bank", None, public, ())
    assert credential.public == public


@pytest.mark.parametrize(
    "claim", [Kid(b"1"), X5T(-15, bytes(8)), X5Chain((b"x",))], ids=lambda claim: type(claim).__name__
)
def test_no_other_credential_is_mistaken_for_one(terms: ByCable, claim):
    with pytest.raises(ProtocolError, match="expected kccs"):
        terms.judge(claim, NOW)


@pytest.mark.parametrize(
    "name",
    [None, "", " ", "x" * 65, "a\nb", "Ban\u212a", "SN\u202e1", "\u0405N-1", "a\x7fb"],
    ids=ascii,
)
def test_a_name_that_a_person_could_misread_is_refused(world: World, terms: ByCable, name):
    public = world.vault("other").generate("k", KeyKind.P256, b"").public
    with pytest.raises(ProtocolError, match="subject of a claims set") as caught:
        terms.judge(Kccs(write_ccs(public, subject=name)), NOW)
    assert caught.value.got == ("another" if name else "none"), "the name itself is not said on"


@pytest.mark.parametrize(
    "ccs", [encode({}), encode({2: "Bank"}), encode({2: 7, 8: {}}), encode([1]), b"\xff", b""], ids=repr
)
def test_what_is_no_claims_set_is_refused(terms: ByCable, ccs):
    with pytest.raises(ProtocolError):
        terms.judge(Kccs(ccs), NOW)
