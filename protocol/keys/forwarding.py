"""A KeyStore whose work another one does: for vaults over their key memory, and where two memories stand side by side.

Whoever derives from it says what it does otherwise. Nothing is decided here.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from ..engine import KeyHandle, KeyKind, PublicKey, SecretHandle, SecretOperation
from .port import KeyStore

K = TypeVar("K", bound=KeyStore)


class ForwardingKeys(Generic[K]):
    """KeyStore, by `keys`."""

    def __init__(self, keys: K) -> None:
        self._keys = keys

    @property
    def answers_at_once(self) -> bool:
        """See KeyStore."""
        return self._keys.answers_at_once

    def generate(self, label: str, kind: KeyKind, salt: bytes) -> KeyHandle:
        """See KeyStore."""
        return self._keys.generate(label, kind, salt)

    def sign(self, key: KeyHandle, message: bytes) -> bytes:
        """See KeyStore."""
        return self._keys.sign(key, message)

    def agree(self, key: KeyHandle, peer: PublicKey) -> bytes:
        """See KeyStore."""
        return self._keys.agree(key, peer)

    def unwrap(self, label: str, wrapping: bytes, block: str) -> SecretHandle:
        """See KeyStore."""
        return self._keys.unwrap(label, wrapping, block)

    def rewrap(self, block: str, wrapping: bytes) -> str:
        """See KeyStore."""
        return self._keys.rewrap(block, wrapping)

    def use(self, key: SecretHandle, operation: SecretOperation) -> bytes:
        """See KeyStore."""
        return self._keys.use(key, operation)

    def start_pake(self, label: str, password: SecretHandle, identities: tuple[bytes, bytes], *, begins: bool) -> bytes:
        """See KeyStore."""
        return self._keys.start_pake(label, password, identities, begins=begins)

    def finish_pake(self, label: str, share: bytes) -> SecretHandle:
        """See KeyStore."""
        return self._keys.finish_pake(label, share)

    def find(self, label: str) -> KeyHandle | None:
        """See KeyStore."""
        return self._keys.find(label)

    def find_secret(self, label: str) -> SecretHandle | None:
        """See KeyStore."""
        return self._keys.find_secret(label)

    def labels(self) -> frozenset[str]:
        """See KeyStore."""
        return self._keys.labels()

    def destroy(self, label: str) -> None:
        """See KeyStore."""
        self._keys.destroy(label)
