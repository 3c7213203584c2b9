"""What every key memory must do, whichever it is: a suite for stores of this and of other makes.

Derive a test class for pytest, with a fixture `store` that is empty at the start of each test:

    class TestMyStore(KeyStoreConformance):
        kinds = frozenset({KeyKind.P256})

        @pytest.fixture
        def store(self): ...

It covers key pairs. Symmetric keys and exchanges by password are no part of it, since not every memory keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519

from .protocol.engine import Fault, InsituError, KeyHandle, KeyKind, ProtocolError, PublicKey
from .protocol.keys.port import LABEL_LENGTH, KeyExists, KeyMismatch, KeyMissing, KeyRefused, KeyStore
from .protocol.keys.public import CURVES, load_public, public_of, signature_holds

SIGNATURE_BYTES: Final = {KeyKind.P256: 64, KeyKind.P384: 96, KeyKind.ED25519: 64}
"""The kinds that sign, and the length of their signatures."""

SECRET_BYTES: Final = {KeyKind.P256: 32, KeyKind.P384: 48, KeyKind.X25519: 32}
"""The kinds that agree on secrets, and the length of these."""

LOW_ORDER: Final = tuple(bytes.fromhex(low) for low in ("00" * 32, "01" + "00" * 31, "ecff" + "ff" * 29 + "7f"))
"""X25519 keys with which everybody agrees on the same secret."""


def refusal(wanted: type[InsituError], call: Callable[[], object], words: str = "") -> InsituError:
    """The error that the call must raise, of the kind `wanted` and with `words` in its text."""
    try:
        call()
    except wanted as error:
        found = error
    else:
        raise AssertionError(f"no {wanted.__name__}")
    assert words in str(found), f"{words!r} is not in {found}"
    return found


class KeyStoreConformance:
    """The suite.

    Attributes:
        kinds: the kinds of pair that the store offers; it must refuse the others. P-256 is always among them.

    """

    kinds: ClassVar[frozenset[KeyKind]] = frozenset(KeyKind)

    def test_a_new_pair_is_found_under_its_label(self, store: KeyStore) -> None:
        """Pairs are found under their labels, and are of the kind that was asked for."""
        for kind in self.kinds:
            handle = store.generate(kind.value, kind, b"salt")
            assert handle.label == kind.value
            assert handle.public.kind is kind
            load_public(handle.public)
            assert store.find(kind.value) == handle
        assert store.labels() == {kind.value for kind in self.kinds}

    def test_kinds_that_are_not_offered_are_refused(self, store: KeyStore) -> None:
        """No other kind takes their place."""
        for kind in frozenset(KeyKind) - self.kinds:
            refusal(KeyRefused, lambda kind=kind: store.generate("label", kind, b""), kind.value)  # type: ignore[misc]
        assert store.labels() == frozenset()

    def test_what_is_not_there(self, store: KeyStore) -> None:
        """Nothing is found, used or destroyed that is not there."""
        assert store.find("label") is None
        assert store.find_secret("label") is None
        assert store.labels() == frozenset()
        public = public_of(ec.generate_private_key(CURVES[KeyKind.P256]).public_key())
        handle = KeyHandle("label", public)
        refusal(KeyMissing, lambda: store.sign(handle, b""), "expected label")
        refusal(KeyMissing, lambda: store.agree(handle, public), "expected label")
        refusal(KeyMissing, lambda: store.destroy("label"), "expected label")

    def test_the_salt_does_not_determine_the_key(self, store: KeyStore) -> None:
        """Equal salts, different keys (S7)."""
        keys = {store.generate(f"label {number}", KeyKind.P256, b"salt").public for number in range(8)}
        assert len(keys) == 8

    def test_any_salt_is_taken(self, store: KeyStore) -> None:
        """Also none, and a long one."""
        for number, salt in enumerate((b"", b"\0", bytes(1024))):
            store.generate(f"label {number}", KeyKind.P256, salt)

    def test_signatures(self, store: KeyStore) -> None:
        """They hold for the message, empty and long ones too, and for no other."""
        for kind in self.kinds & SIGNATURE_BYTES.keys():
            handle = store.generate(kind.value, kind, b"")
            for message in (b"message", b"", bytes(100_000)):
                signature = store.sign(handle, message)
                assert len(signature) == SIGNATURE_BYTES[kind]
                assert signature_holds(handle.public, message, signature)
                assert not signature_holds(handle.public, message + b"x", signature)

    def test_agreement(self, store: KeyStore) -> None:
        """Both sides agree, and what they agree on depends on both."""
        for kind in self.kinds & SECRET_BYTES.keys():
            one = store.generate(f"one {kind.value}", kind, b"")
            other = store.generate(f"other {kind.value}", kind, b"")
            secret = store.agree(one, other.public)
            assert len(secret) == SECRET_BYTES[kind]
            assert store.agree(other, one.public) == secret
            assert store.agree(one, one.public) != secret

    def test_agreement_with_somebody_elses_code(self, store: KeyStore) -> None:
        """The secret is the plain x-coordinate, and X25519's output, as `cryptography` computes them."""
        for kind in self.kinds & SECRET_BYTES.keys():
            handle = store.generate(kind.value, kind, b"")
            match load_public(handle.public):
                case ec.EllipticCurvePublicKey() as loaded:
                    private = ec.generate_private_key(loaded.curve)
                    secret = private.exchange(ec.ECDH(), loaded)
                    assert store.agree(handle, public_of(private.public_key())) == secret
                case x25519.X25519PublicKey() as loaded:
                    x_private = x25519.X25519PrivateKey.generate()
                    assert store.agree(handle, public_of(x_private.public_key())) == x_private.exchange(loaded)

    def test_pairs_are_used_for_what_they_are(self, store: KeyStore) -> None:
        """What does not sign does not, and what does not agree does not."""
        if KeyKind.X25519 in self.kinds:
            agreeing = store.generate("agreeing", KeyKind.X25519, b"")
            refusal(KeyRefused, lambda: store.sign(agreeing, b""), "does not sign")
        if KeyKind.ED25519 in self.kinds:
            signing = store.generate("signing", KeyKind.ED25519, b"")
            peer = public_of(x25519.X25519PrivateKey.generate().public_key())
            refusal(KeyRefused, lambda: store.agree(signing, peer), "does not agree")

    def test_a_peer_that_is_no_key_is_refused(self, store: KeyStore) -> None:
        """Off the curve, of low order."""
        handle = store.generate("p", KeyKind.P256, b"")
        off = PublicKey(KeyKind.P256, b"\x04" + bytes(63) + b"\x01")
        refusal(ProtocolError, lambda: store.agree(handle, off), "not a public key")
        if KeyKind.X25519 in self.kinds:
            handle = store.generate("x", KeyKind.X25519, b"")
            for low in LOW_ORDER:
                peer = PublicKey(KeyKind.X25519, low)
                error = refusal(ProtocolError, lambda peer=peer: store.agree(handle, peer), "low order")  # type: ignore[misc]
                assert isinstance(error, ProtocolError)
                assert error.fault is Fault.MALFORMED

    def test_a_peer_of_another_kind_is_refused(self, store: KeyStore) -> None:
        """Secrets are agreed on within a kind."""
        handle = store.generate("p", KeyKind.P256, b"")
        for private in (
            x25519.X25519PrivateKey.generate(),
            ed25519.Ed25519PrivateKey.generate(),
            ec.generate_private_key(CURVES[KeyKind.P384]),
        ):
            peer = public_of(private.public_key())
            words = f"expected P-256, got {peer.kind.value}"
            refusal(ProtocolError, lambda peer=peer: store.agree(handle, peer), words)  # type: ignore[misc]

    def test_a_label_is_never_taken_twice(self, store: KeyStore) -> None:
        """The pair that is there stays."""
        handle = store.generate("label", KeyKind.P256, b"")
        refusal(KeyExists, lambda: store.generate("label", KeyKind.P256, b""))
        assert store.find("label") == handle

    def test_labels(self, store: KeyStore) -> None:
        """From one to LABEL_LENGTH characters, of any alphabet; others are refused."""
        for label in ("", "x" * (LABEL_LENGTH + 1)):
            refusal(KeyRefused, lambda label=label: store.generate(label, KeyKind.P256, b""), "label")  # type: ignore[misc]
        assert store.labels() == frozenset()
        good = {"x" * LABEL_LENGTH, "Schlüssel 鍵", "a;b=c%"}
        for label in good:
            assert store.generate(label, KeyKind.P256, b"") == store.find(label)
        assert store.labels() == good

    def test_a_destroyed_pair_is_gone(self, store: KeyStore) -> None:
        """And the others stay."""
        handle = store.generate("label", KeyKind.P256, b"")
        kept = store.generate("kept", KeyKind.P256, b"")
        store.destroy("label")
        refusal(KeyMissing, lambda: store.sign(handle, b""))
        assert store.labels() == {"kept"}
        assert signature_holds(kept.public, b"m", store.sign(kept, b"m"))

    def test_a_handle_of_an_earlier_pair_is_refused(self, store: KeyStore) -> None:
        """After a reset the label may come again; who still holds the old handle must not use the new pair."""
        old = store.generate("label", KeyKind.P256, b"")
        store.destroy("label")
        new = store.generate("label", KeyKind.P256, b"")
        for error in (
            refusal(KeyMismatch, lambda: store.sign(old, b"")),
            refusal(KeyMismatch, lambda: store.agree(old, new.public)),
        ):
            assert old.public.data[1:9].hex() in error.expected
            assert new.public.data[1:9].hex() in error.got
