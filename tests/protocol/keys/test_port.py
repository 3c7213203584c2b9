"""What every key memory must do, whichever it is; a store of another make is added to `stores`."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from pki import Pki

from insitu.protocol.engine import Fault, KeyHandle, KeyKind, ProtocolError, PublicKey
from insitu.protocol.keys.certificates import Role
from insitu.protocol.keys.port import (
    LABEL_LENGTH,
    KeyExists,
    KeyMismatch,
    KeyMissing,
    KeyRefused,
    KeyStore,
    check_certificate_matches,
)
from insitu.protocol.keys.public import load_public, public_of, signature_holds
from insitu.protocol.keys.software import SoftwareKeyStore
from insitu.protocol.keys.vault import MemoryVault, SealedVault
from insitu.protocol.stores.sealed import Cost, StoreKind
from insitu.protocol.stores.secret import Secret

SIGNING = {KeyKind.P256: 64, KeyKind.P384: 96, KeyKind.ED25519: 64}
AGREEING = {KeyKind.P256: 32, KeyKind.P384: 48, KeyKind.X25519: 32}


@pytest.fixture(params=["software", "memory vault", "sealed vault"])
def store(request, tmp_path) -> KeyStore:
    stores: dict[str, Callable[[], KeyStore]] = {
        "software": lambda: SoftwareKeyStore(os.urandom),
        "memory vault": lambda: MemoryVault(os.urandom),
        "sealed vault": lambda: SealedVault.create(
            tmp_path / "store", StoreKind.MODULE, Secret(b"x"), entropy=os.urandom, cost=Cost(n=2)
        ),
    }
    return stores[request.param]()


@pytest.mark.parametrize("kind", KeyKind)
def test_a_new_pair_is_found_under_its_label(store, kind):
    handle = store.generate("label", kind, b"salt")
    assert handle.label == "label"
    assert handle.public.kind is kind
    load_public(handle.public)
    assert store.find("label") == handle
    assert store.labels() == {"label"}


def test_what_is_not_there(store):
    assert store.find("label") is None
    assert store.labels() == frozenset()
    handle = KeyHandle("label", SoftwareKeyStore(os.urandom).generate("x", KeyKind.P256, b"").public)
    for use in (
        lambda: store.sign(handle, b""),
        lambda: store.agree(handle, handle.public),
        lambda: store.destroy("label"),
    ):
        with pytest.raises(KeyMissing, match="expected label"):
            use()


def test_the_salt_does_not_determine_the_key(store):
    """Equal salts, different keys (S7)."""
    keys = {store.generate(f"label {number}", KeyKind.P256, b"salt").public for number in range(8)}
    assert len(keys) == 8


@pytest.mark.parametrize("kind", SIGNING)
def test_signatures(store, kind):
    handle = store.generate("label", kind, b"")
    signature = store.sign(handle, b"message")
    assert len(signature) == SIGNING[kind]
    assert signature_holds(handle.public, b"message", signature)
    assert not signature_holds(handle.public, b"another", signature)


@pytest.mark.parametrize("kind", AGREEING)
def test_agreement(store, kind):
    one, other = store.generate("one", kind, b""), store.generate("other", kind, b"")
    secret = store.agree(one, other.public)
    assert len(secret) == AGREEING[kind]
    assert store.agree(other, one.public) == secret
    assert store.agree(one, one.public) != secret


def test_agreement_with_somebody_elses_code(store):
    """The shared secret is the plain x-coordinate, and X25519's output, as `cryptography` computes them."""
    private = ec.generate_private_key(ec.SECP256R1())
    handle = store.generate("p", KeyKind.P256, b"")
    loaded = load_public(handle.public)
    assert isinstance(loaded, ec.EllipticCurvePublicKey)
    assert store.agree(handle, public_of(private.public_key())) == private.exchange(ec.ECDH(), loaded)
    x_private = x25519.X25519PrivateKey.generate()
    handle = store.generate("x", KeyKind.X25519, b"")
    x_loaded = load_public(handle.public)
    assert isinstance(x_loaded, x25519.X25519PublicKey)
    assert store.agree(handle, public_of(x_private.public_key())) == x_private.exchange(x_loaded)


def test_pairs_are_used_for_what_they_are(store):
    signing = store.generate("signing", KeyKind.ED25519, b"")
    agreeing = store.generate("agreeing", KeyKind.X25519, b"")
    with pytest.raises(KeyRefused, match="does not sign"):
        store.sign(agreeing, b"")
    with pytest.raises(KeyRefused, match="does not agree"):
        store.agree(signing, agreeing.public)


@pytest.mark.parametrize("low", ["00" * 32, "01" + "00" * 31, "ecff" + "ff" * 29 + "7f"])
def test_a_peer_of_low_order_is_refused(store, low):
    handle = store.generate("x", KeyKind.X25519, b"")
    with pytest.raises(ProtocolError, match="low order") as caught:
        store.agree(handle, PublicKey(KeyKind.X25519, bytes.fromhex(low)))
    assert caught.value.fault is Fault.MALFORMED


def test_a_peer_off_the_curve_is_refused(store):
    handle = store.generate("p", KeyKind.P256, b"")
    with pytest.raises(ProtocolError, match="not a public key"):
        store.agree(handle, PublicKey(KeyKind.P256, b"\x04" + bytes(63) + b"\x01"))


def test_a_peer_of_another_kind_is_refused(store):
    handle = store.generate("p", KeyKind.P256, b"")
    other = store.generate("x", KeyKind.X25519, b"")
    with pytest.raises(ProtocolError, match="expected P-256, got X25519"):
        store.agree(handle, other.public)


def test_a_label_is_never_taken_twice(store):
    handle = store.generate("label", KeyKind.P256, b"")
    with pytest.raises(KeyExists):
        store.generate("label", KeyKind.P256, b"")
    assert store.find("label") == handle


@pytest.mark.parametrize("label", ["", "x" * (LABEL_LENGTH + 1)])
def test_bad_labels(store, label):
    with pytest.raises(KeyRefused, match="label"):
        store.generate(label, KeyKind.P256, b"")
    assert store.labels() == frozenset()


def test_a_destroyed_pair_is_gone(store):
    handle = store.generate("label", KeyKind.P256, b"")
    kept = store.generate("kept", KeyKind.P256, b"")
    store.destroy("label")
    with pytest.raises(KeyMissing):
        store.sign(handle, b"")
    assert store.labels() == {"kept"}
    assert signature_holds(kept.public, b"m", store.sign(kept, b"m"))


def test_a_handle_of_an_earlier_pair_is_refused(store):
    """After a reset the label may come again; who still holds the old handle must not use the new pair."""
    old = store.generate("label", KeyKind.P256, b"")
    store.destroy("label")
    new = store.generate("label", KeyKind.P256, b"")
    for use in (lambda: store.sign(old, b""), lambda: store.agree(old, new.public)):
        with pytest.raises(KeyMismatch) as caught:
            use()
        assert old.public.data[1:9].hex() in caught.value.expected
        assert new.public.data[1:9].hex() in caught.value.got


def test_software_answers_at_once(store):
    assert store.answers_at_once


def test_a_certificate_for_another_key_is_noticed(pki: Pki):
    holder = pki.issue(Role.MODULE)
    check_certificate_matches(KeyHandle("operating", holder.public), holder.certificate)
    with pytest.raises(KeyMismatch, match="certificate for another key than 'operating'"):
        check_certificate_matches(KeyHandle("operating", pki.customer.public), holder.certificate)
