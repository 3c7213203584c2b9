"""What every key memory and every vault must do, whichever it is: suites for those of this and of other makes.

Derive a test class for pytest, with a fixture `store` that is empty at the start of each test:

    class TestMyStore(KeyStoreConformance):
        kinds = frozenset({KeyKind.P256})

        @pytest.fixture
        def store(self): ...

`KeyStoreConformance` covers key pairs, `SymmetricKeyConformance` the symmetric keys that a memory may keep besides.
`VaultConformance` and `DurableVaultConformance` cover what a vault adds to that: a record, and that all of it changes
together. Exchanges by password are no part of any of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import ClassVar, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519

from .protocol.engine import (
    Cmac,
    DeriveKeys,
    EncipherPin,
    Fault,
    InsituError,
    KeyHandle,
    KeyKind,
    PinFormat,
    ProtocolError,
    Prove,
    ProveDerived,
    PublicKey,
    SecretAlgorithm,
    SecretUsage,
)
from .protocol.keys.keyblock import write_block
from .protocol.keys.methods import check_value, cmac
from .protocol.keys.port import LABEL_LENGTH, KeyExists, KeyMemory, KeyMismatch, KeyMissing, KeyRefused, KeyStore
from .protocol.keys.public import CURVES, load_public, public_of, signature_holds
from .protocol.keys.vault import Vault
from .protocol.messages.codec import encode

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


WRAPPING: Final = bytes(range(32))
"""A key block protection key."""


class SymmetricKeyConformance:
    """The suite of symmetric keys, for memories that keep any: for proofs, derivation, MACs and PINs by AES."""

    def test_keys_for_proofs(self, store: KeyMemory) -> None:
        """Of 16 and 32 bytes: both sides compute the same HMAC, over anything."""
        for size in (16, 32):
            key = bytes(range(1, size + 1))
            handle = store.share(f"proof {size}", key)
            assert handle.usage is SecretUsage.PROOF
            assert handle.bits == 8 * size
            assert handle.check_value == check_value(SecretAlgorithm.HMAC, key)
            assert store.find_secret(handle.label) == handle
            for statement in (b"", b"statement", bytes(10_000)):
                assert store.use(handle, Prove(statement)) == hmac.digest(key, statement, "sha256")
        assert store.labels() == {"proof 16", "proof 32"}

    def test_other_lengths_are_refused(self, store: KeyMemory) -> None:
        """And a key of zeros."""
        for key in (b"", bytes(16), b"x" * 15, b"x" * 33):
            refusal(KeyRefused, lambda key=key: store.share("label", key))  # type: ignore[misc]
        assert store.labels() == frozenset()

    def test_a_main_key_is_made_once(self, store: KeyMemory) -> None:
        """Keys are derived from it as from no other; it stays what it is."""
        main = store.make_main_key("main")
        assert main.usage is SecretUsage.DERIVATION
        assert store.make_main_key("main") == main
        derived = store.use(main, DeriveKeys((b"one", b"two")))
        assert len(derived) == 64
        assert derived[:32] != derived[32:]
        assert store.use(main, ProveDerived(b"two", b"m")) == hmac.digest(derived[32:], b"m", "sha256")
        other = store.make_main_key("other")
        assert store.use(other, DeriveKeys((b"one",))) != derived[:32]
        assert main.check_value != other.check_value

    def test_key_blocks(self, store: KeyMemory) -> None:
        """Keys that come in blocks (TR-31) make the MACs and PIN blocks that they would make elsewhere."""
        key = bytes(range(16, 32))
        mac = store.unwrap("mac", WRAPPING, write_block(WRAPPING, SecretUsage.MAC, SecretAlgorithm.AES, key, bytes))
        for data in (b"", b"data", bytes(1000)):
            assert store.use(mac, Cmac(data)) == cmac(key, data)
        pin = store.unwrap("pin", WRAPPING, write_block(WRAPPING, SecretUsage.PIN, SecretAlgorithm.AES, key, bytes))
        blocks = {store.use(pin, EncipherPin("1234", "4000001234567899", PinFormat.ISO_4)) for _ in range(4)}
        assert len(blocks) == 4
        assert {len(block) for block in blocks} == {16}

    def test_a_block_under_another_key_is_refused(self, store: KeyMemory) -> None:
        """And leaves nothing behind."""
        block = write_block(WRAPPING, SecretUsage.MAC, SecretAlgorithm.AES, bytes(range(16)), bytes)
        refusal(ProtocolError, lambda: store.unwrap("mac", bytes(32), block), "MAC")
        assert store.labels() == frozenset()

    def test_keys_are_used_for_what_they_are(self, store: KeyMemory) -> None:
        """One usage each."""
        proof, main = store.share("proof", b"x" * 32), store.make_main_key("main")
        refusal(KeyRefused, lambda: store.use(proof, DeriveKeys((b"path",))))
        refusal(KeyRefused, lambda: store.use(main, Prove(b"m")))
        refusal(KeyRefused, lambda: store.use(proof, Cmac(b"m")))

    def test_pairs_and_symmetric_keys_share_their_labels(self, store: KeyMemory) -> None:
        """No label is taken twice."""
        store.share("label", b"x" * 16)
        refusal(KeyExists, lambda: store.generate("label", KeyKind.P256, b""))
        store.generate("pair", KeyKind.P256, b"")
        refusal(KeyExists, lambda: store.share("pair", b"x" * 16))
        assert store.find("label") is None
        assert store.find_secret("pair") is None

    def test_a_destroyed_key_is_gone(self, store: KeyMemory) -> None:
        """And another one under its label is another one."""
        old = store.share("label", b"x" * 16)
        store.destroy("label")
        assert store.find_secret("label") is None
        refusal(KeyMissing, lambda: store.use(old, Prove(b"m")))
        store.share("label", b"y" * 16)
        refusal(KeyMismatch, lambda: store.use(old, Prove(b"m")))


def works(vault: Vault, handle: KeyHandle) -> bool:
    """Whether the vault signs with that pair."""
    return signature_holds(handle.public, b"message", vault.sign(handle, b"message"))


class VaultConformance:
    """The suite of vaults, with a fixture `vault` that is new."""

    def test_a_new_vault_is_empty(self, vault: Vault) -> None:
        """No record, no keys."""
        assert vault.record is None
        assert vault.labels() == frozenset()

    def test_commit_keeps_what_it_names_and_destroys_the_rest(self, vault: Vault) -> None:
        """Record and pairs change together."""
        kept, dropped = vault.generate("kept", KeyKind.P256, b""), vault.generate("dropped", KeyKind.P256, b"")
        vault.commit(b"record", frozenset({"kept"}))
        assert vault.record == b"record"
        assert vault.labels() == {"kept"}
        assert works(vault, kept)
        refusal(KeyMissing, lambda: vault.sign(dropped, b""))

    def test_roll_back_destroys_what_was_not_committed(self, vault: Vault) -> None:
        """And nothing else; the label is free again."""
        old = vault.generate("old", KeyKind.P256, b"")
        vault.commit(b"record", frozenset({"old"}))
        vault.generate("new", KeyKind.P256, b"")
        vault.roll_back()
        assert vault.labels() == {"old"}
        assert vault.record == b"record"
        assert works(vault, old)
        vault.generate("new", KeyKind.P256, b"")

    def test_a_commit_that_names_a_missing_pair_changes_nothing(self, vault: Vault) -> None:
        """Neither record nor pairs."""
        vault.generate("old", KeyKind.P256, b"")
        vault.commit(b"record", frozenset({"old"}))
        vault.generate("new", KeyKind.P256, b"")
        refusal(KeyMissing, lambda: vault.commit(b"other", frozenset({"new", "missing"})), "missing")
        assert vault.record == b"record"
        assert vault.labels() == {"old", "new"}
        vault.roll_back()
        assert vault.labels() == {"old"}

    def test_destroying_one_pair_leaves_the_others(self, vault: Vault) -> None:
        """New ones stay new."""
        for label in ("one", "other"):
            vault.generate(label, KeyKind.P256, b"")
        vault.commit(b"record", frozenset({"one", "other"}))
        new = vault.generate("new", KeyKind.P256, b"")
        vault.destroy("one")
        assert vault.labels() == {"other", "new"}
        assert works(vault, new)
        vault.destroy("new")
        vault.generate("new", KeyKind.P256, b"")
        vault.roll_back()
        assert vault.labels() == {"other"}
        assert vault.record == b"record"

    def test_the_last_record_counts(self, vault: Vault) -> None:
        """Of any length, and of none."""
        for record in (
            b"",
            b"short",
            bytes(100_000),
            encode({1: bytes(300), 2: [bytes([n]) * 200 for n in range(200)]}),
        ):
            vault.commit(record, frozenset())
            assert vault.record == record


class DurableVaultConformance(VaultConformance):
    """The suite of vaults that outlast the program, with a fixture `reopen` that opens it again once it is closed."""

    def test_what_was_committed_is_there_again(self, vault: Vault, reopen: Callable[[], Vault]) -> None:
        """Record and pairs; what was not committed is not."""
        kept = vault.generate("kept", KeyKind.P256, b"salt")
        record = encode({1: "name", 2: [bytes([n]) * 130 for n in range(150)], 3: bytes(1000)})
        vault.commit(record, frozenset({"kept"}))
        vault.generate("new", KeyKind.P256, b"")
        vault.close()
        vault = reopen()
        assert vault.record == record
        assert vault.labels() == {"kept"}
        assert vault.find("kept") == kept
        assert works(vault, kept)
        assert vault.find("new") is None

    def test_a_new_vault_is_there_again(self, vault: Vault, reopen: Callable[[], Vault]) -> None:
        """Empty as it was."""
        vault.close()
        assert reopen().record is None

    def test_a_record_grows(self, vault: Vault, reopen: Callable[[], Vault]) -> None:
        """Entry by entry, as a log does, and shrinks again."""
        entries: list[bytes] = []
        for number in range(5):
            entries.append(bytes([number]) * 200)
            vault.commit(encode({1: entries}), frozenset())
        vault.close()
        vault = reopen()
        assert vault.record == encode({1: entries})
        vault.commit(encode({1: entries[3:]}), frozenset())
        vault.close()
        assert reopen().record == encode({1: entries[3:]})

    def test_a_destroyed_pair_does_not_come_back(self, vault: Vault, reopen: Callable[[], Vault]) -> None:
        """Whether a commit dropped it or it was destroyed by itself (S3)."""
        for label in ("one", "two", "three"):
            vault.generate(label, KeyKind.P256, b"")
        vault.commit(b"record", frozenset({"one", "two", "three"}))
        vault.commit(b"other", frozenset({"two", "three"}))
        vault.destroy("two")
        vault.close()
        vault = reopen()
        assert vault.labels() == {"three"}
        assert vault.record == b"other"

    def test_a_closed_vault_writes_nothing(self, vault: Vault, reopen: Callable[[], Vault]) -> None:
        """It says so; a second end does no harm."""
        vault.commit(b"record", frozenset())
        vault.close()
        vault.close()
        refusal(InsituError, lambda: vault.commit(b"other", frozenset()))
        assert reopen().record == b"record"

    def test_others_may_have_the_medium_of_a_detached_vault(self, vault: Vault, reopen: Callable[[], Vault]) -> None:
        """Its keys can be used on; it writes no more."""
        handle = vault.generate("kept", KeyKind.P256, b"")
        vault.commit(b"record", frozenset({"kept"}))
        vault.detach()
        other = reopen()
        assert works(other, handle)
        other.commit(b"other", frozenset({"kept"}))
        assert works(vault, handle)
        refusal(InsituError, lambda: vault.commit(b"record", frozenset({"kept"})))
        vault.close()
        assert works(other, handle)
        assert other.record == b"other"
