"""Key memory in software (M3): keys in this process's memory, pairs as objects of `cryptography`, and nowhere else.

Secret bytes leave only through `private_bytes_for_sealing` and `secret_bytes_for_sealing`, which exist for the vault.
Python cannot wipe what it has used: whoever reads this process's memory reads its keys, which is why tokens are
preferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from ..engine import (
    Fault,
    KeyHandle,
    KeyKind,
    ProtocolError,
    PublicKey,
    SecretAlgorithm,
    SecretHandle,
    SecretOperation,
    SecretUsage,
    UsageError,
)
from ..stores.secret import Entropy, Secret, Uncopied, draw
from .derive import OWN_ENTROPY, PrivateKey, derive_private
from .exchange import Exchange, begin_exchange
from .keyblock import WRAPPING_BYTES, read_block, write_block
from .methods import DERIVED_BYTES, check_key, check_length, check_value, perform, with_odd_parity
from .port import KeyExists, KeyMismatch, KeyMissing, KeyRefused, KeyStoreError, brief, checked_label
from .public import CURVES, ECDSA, FIELD_BYTES, load_public, public_of, raw_signature

STORAGE: Final = "storage"
"""Label of the key that protects symmetric keys at rest, where a party keeps some for others."""

_ECDH: Final = ec.ECDH()
_REPEATABLE: Final = {
    KeyKind.P256: ec.ECDSA(SHA256(), deterministic_signing=True),
    KeyKind.P384: ec.ECDSA(SHA384(), deterministic_signing=True),
}


class SoftwareKeyStore(Uncopied):
    """KeyStore in memory.

    Args:
        entropy: own entropy for new pairs.
        repeatable: ECDSA without random numbers (RFC 6979), so that equal inputs replay to equal signatures.

    """

    def __init__(self, entropy: Entropy, *, repeatable: bool = False) -> None:
        self._entropy = entropy
        self._ecdsa = _REPEATABLE if repeatable else ECDSA
        self._pairs: dict[str, tuple[PublicKey, PrivateKey]] = {}
        self._secrets: dict[str, tuple[SecretHandle, Secret]] = {}
        self._exchanges: dict[str, Exchange] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._pairs)} key pairs, {len(self._secrets)} symmetric keys>"

    @property
    def answers_at_once(self) -> bool:
        """Always: nothing here waits."""
        return True

    def generate(self, label: str, kind: KeyKind, salt: bytes) -> KeyHandle:
        """See KeyStore."""
        self._check_new(label)
        private = derive_private(kind, draw(self._entropy, OWN_ENTROPY), salt, label)
        return self._keep(label, private)

    def _check_new(self, label: str) -> None:
        if checked_label(label) in self.labels():
            raise KeyExists("label is taken", who="keys", expected="a new label", got=label)

    def _keep(self, label: str, private: PrivateKey) -> KeyHandle:
        public = public_of(private.public_key())
        self._pairs[label] = public, private
        return KeyHandle(label, public)

    def _private(self, key: KeyHandle) -> PrivateKey:
        found = self._pairs.get(key.label)
        if found is None:
            raise _missing(key.label)
        public, private = found
        if public != key.public:
            raise KeyMismatch(
                f"another key pair is kept as {key.label!r}", who="keys", expected=brief(key.public), got=brief(public)
            )
        return private

    def sign(self, key: KeyHandle, message: bytes) -> bytes:
        """See KeyStore."""
        private = self._private(key)
        if isinstance(private, ec.EllipticCurvePrivateKey):
            kind = key.public.kind
            return raw_signature(kind, private.sign(message, self._ecdsa[kind]))
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return private.sign(message)
        raise KeyRefused("this kind of key does not sign", who="keys", got=key.public.kind.value)

    def agree(self, key: KeyHandle, peer: PublicKey) -> bytes:
        """See KeyStore."""
        kind = key.public.kind
        match self._private(key), load_public(peer):
            case ec.EllipticCurvePrivateKey() as private, ec.EllipticCurvePublicKey() as other if peer.kind is kind:
                return private.exchange(_ECDH, other)
            case x25519.X25519PrivateKey() as private, x25519.X25519PublicKey() as other:
                return _exchange_25519(private, other)
            case ed25519.Ed25519PrivateKey(), _:
                raise KeyRefused("this kind of key does not agree on secrets", who="keys", got=kind.value)
        raise ProtocolError("key of the other side", who="keys", expected=kind.value, got=peer.kind.value)

    def find(self, label: str) -> KeyHandle | None:
        """See KeyStore."""
        found = self._pairs.get(label)
        return None if found is None else KeyHandle(label, found[0])

    def labels(self) -> frozenset[str]:
        """See KeyStore."""
        return frozenset((*self._pairs, *self._secrets))

    def destroy(self, label: str) -> None:
        """See KeyStore; the object is dropped, its memory is not wiped."""
        if self._pairs.pop(label, None) is None and self._secrets.pop(label, None) is None:
            raise _missing(label)

    # Symmetric keys

    def unwrap(self, label: str, wrapping: bytes, block: str) -> SecretHandle:
        """See KeyStore."""
        self._check_new(label)
        usage, algorithm, key = read_block(wrapping, block)
        return self._keep_secret(label, usage, algorithm, key)

    def rewrap(self, block: str, wrapping: bytes) -> str:
        """See KeyStore."""
        usage, algorithm, key = read_block(self._storage_key(), block)
        return write_block(wrapping, usage, algorithm, key, self._entropy)

    def use(self, key: SecretHandle, operation: SecretOperation) -> bytes:
        """See KeyStore."""
        return perform(key, self._meant(key).reveal(), operation, self._entropy)

    def _meant(self, key: SecretHandle) -> Secret:
        found = self._secrets.get(key.label)
        if found is None:
            raise _missing(key.label)
        handle, secret = found
        if handle != key:
            raise KeyMismatch(
                f"another key is kept as {key.label!r}", who="keys", expected=key.check_value, got=handle.check_value
            )
        return secret

    def start_pake(self, label: str, password: SecretHandle, identities: tuple[bytes, bytes], *, begins: bool) -> bytes:
        """See KeyStore."""
        checked_label(label)
        if password.usage is not SecretUsage.PASSWORD:
            got = password.usage.value
            raise KeyRefused("use of this key", who="keys", expected=SecretUsage.PASSWORD.value, got=got)
        exchange = begin_exchange(self._meant(password).reveal(), identities, self._entropy, begins=begins)
        self._exchanges[label] = exchange
        return exchange.share

    def finish_pake(self, label: str, share: bytes) -> SecretHandle:
        """See KeyStore."""
        self._check_new(label)
        exchange = self._exchanges.pop(label, None)
        if exchange is None:
            raise KeyMissing("no such exchange", who="keys", expected=label)
        return self._keep_secret(label, SecretUsage.PROOF, SecretAlgorithm.HMAC, exchange.finish(share))

    def give_up_exchanges(self) -> None:
        """Forget all exchanges that wait for the other side's share."""
        self._exchanges.clear()

    def find_secret(self, label: str) -> SecretHandle | None:
        """See KeyStore."""
        found = self._secrets.get(label)
        return None if found is None else found[0]

    @property
    def keeps_passwords(self) -> bool:
        """It does."""
        return True

    def make_storage_key(self) -> SecretHandle:
        """See Storage."""
        return self._own(STORAGE, SecretUsage.WRAPPING, SecretAlgorithm.AES, WRAPPING_BYTES)

    def make_main_key(self, label: str) -> SecretHandle:
        """See Storage."""
        return self._own(label, SecretUsage.DERIVATION, SecretAlgorithm.HMAC, DERIVED_BYTES)

    def _own(self, label: str, usage: SecretUsage, algorithm: SecretAlgorithm, size: int) -> SecretHandle:
        found = self.find_secret(label)
        if found is not None and found.usage is usage:
            return found
        self._check_new(label)
        return self._keep_secret(label, usage, algorithm, draw(self._entropy, size))

    def share(self, label: str, key: bytes) -> SecretHandle:
        """See Storage."""
        self._check_new(label)
        check_key(SecretUsage.PROOF, SecretAlgorithm.HMAC, key)
        return self._keep_secret(label, SecretUsage.PROOF, SecretAlgorithm.HMAC, key)

    def share_password(self, label: str, password: bytes) -> SecretHandle:
        """See Storage."""
        self._check_new(label)
        check_key(SecretUsage.PASSWORD, SecretAlgorithm.SPAKE2, password)
        return self._keep_secret(label, SecretUsage.PASSWORD, SecretAlgorithm.SPAKE2, password)

    def new_secret_block(self, usage: SecretUsage, algorithm: SecretAlgorithm, bits: int) -> tuple[str, str]:
        """See Storage."""
        check_length(usage, algorithm, bits)
        return self._stored(usage, algorithm, _fitted(algorithm, draw(self._entropy, bits // 8)))

    def take_secret_block(self, block: str, wrapping: bytes) -> tuple[str, str]:
        """See Storage."""
        return self._stored(*read_block(wrapping, block))

    def join_secret_block(
        self, usage: SecretUsage, algorithm: SecretAlgorithm, components: Sequence[bytes]
    ) -> tuple[str, str]:
        """See Storage."""
        if len(components) not in (2, 3) or len({len(each) for each in components}) != 1:
            raise KeyRefused("key components", who="keys", expected="two or three of equal length", got=len(components))
        key = bytes(len(components[0]))
        for component in components:
            key = bytes(a ^ b for a, b in zip(key, component, strict=True))
        return self._stored(usage, algorithm, _fitted(algorithm, key))

    def _stored(self, usage: SecretUsage, algorithm: SecretAlgorithm, key: bytes) -> tuple[str, str]:
        block = write_block(self._storage_key(), usage, algorithm, key, self._entropy)
        return block, check_value(algorithm, key)

    def _storage_key(self) -> bytes:
        found = self.find_secret(STORAGE)
        if found is None or found.usage is not SecretUsage.WRAPPING:
            raise KeyMissing("no storage key", who="keys", expected=STORAGE)
        return self._secret_bytes(STORAGE)

    def _secret_bytes(self, label: str) -> bytes:
        found = self._secrets.get(label)
        if found is None:
            raise _missing(label)
        return found[1].reveal()

    def _keep_secret(self, label: str, usage: SecretUsage, algorithm: SecretAlgorithm, key: bytes) -> SecretHandle:
        told = (0, "") if usage is SecretUsage.PASSWORD else (8 * len(key), check_value(algorithm, key))
        handle = SecretHandle(label, usage, algorithm, *told)
        self._secrets[label] = handle, Secret(key)
        return handle

    # For the vault

    def private_bytes_for_sealing(self, label: str) -> bytes:
        """The private half as bytes, for nothing but the inside of a sealed file (M1, S9).

        Returns:
            P-256, P-384: the scalar (32, 48 bytes, big-endian); Ed25519, X25519: the 32 bytes of RFC 8032, RFC 7748.

        Raises:
            KeyMissing: there is no such pair.

        """
        found = self._pairs.get(label)
        if found is None:
            raise _missing(label)
        public, private = found
        if isinstance(private, ec.EllipticCurvePrivateKey):
            return private.private_numbers().private_value.to_bytes(FIELD_BYTES[public.kind], "big")
        return private.private_bytes_raw()

    def restore_sealed(self, label: str, kind: KeyKind, private: bytes) -> KeyHandle:
        """Take back what `private_bytes_for_sealing` gave.

        Raises:
            KeyExists: the label is taken.
            KeyStoreError: the bytes are no private key of this kind.

        """
        self._check_new(label)
        try:
            return self._keep(label, _load_private(kind, private))
        except (ValueError, UsageError):
            raise KeyStoreError(
                f"sealed key {label!r}", who="keys", expected=f"a {kind.value} private key", got=f"{len(private)} bytes"
            ) from None

    def secret_bytes_for_sealing(self, label: str) -> bytes:
        """The symmetric key as bytes, likewise for nothing but the inside of a sealed file.

        Raises:
            KeyMissing: there is no such key.

        """
        return self._secret_bytes(label)

    def restore_sealed_secret(self, label: str, usage: SecretUsage, algorithm: SecretAlgorithm, key: bytes) -> None:
        """Take back what `secret_bytes_for_sealing` gave.

        Raises:
            KeyExists: the label is taken.
            KeyStoreError: the bytes are no key of this algorithm for this usage.

        """
        self._check_new(label)
        try:
            check_key(usage, algorithm, key)
        except KeyRefused:
            raise KeyStoreError(
                f"sealed key {label!r}", who="keys", expected=f"a key of {algorithm.value}", got=f"{len(key)} bytes"
            ) from None
        self._keep_secret(label, usage, algorithm, key)


def _exchange_25519(private: x25519.X25519PrivateKey, other: x25519.X25519PublicKey) -> bytes:
    try:
        return private.exchange(other)
    except ValueError:  # all zeros: the check of RFC 7748 section 6.1
        raise ProtocolError(
            "key of the other side",
            who="keys",
            expected="not of low order",
            got=other.public_bytes_raw().hex(),
            fault=Fault.MALFORMED,
        ) from None


def _fitted(algorithm: SecretAlgorithm, key: bytes) -> bytes:
    return with_odd_parity(key) if algorithm is SecretAlgorithm.TDES else key


def _missing(label: str) -> KeyMissing:
    return KeyMissing("no such key", who="keys", expected=label)


def _load_private(kind: KeyKind, private: bytes) -> PrivateKey:
    match kind:
        case KeyKind.ED25519:
            return ed25519.Ed25519PrivateKey.from_private_bytes(private)
        case KeyKind.X25519:
            return x25519.X25519PrivateKey.from_private_bytes(private)
        case KeyKind.P256 | KeyKind.P384:
            if len(private) != FIELD_BYTES[kind]:
                raise ValueError("length")
            return ec.derive_private_key(int.from_bytes(private, "big"), CURVES[kind])
