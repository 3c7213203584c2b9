"""Key memory with a token plugged in beside it: secrets that lie in the token are used there, the rest in key memory.

So what a token holds does its work without leaving it (A8). What is made for a session is made where it belongs: a key
that comes of an exchange with a secret of the token stays in the token.
"""

from __future__ import annotations

from ..engine import KeyHandle, KeyKind, PublicKey, SecretHandle, SecretOperation
from .port import KeyStore


class KeysBeside:
    """KeyStore of two memories.

    Args:
        own: where everything is that the token does not have.
        token: symmetric keys and passwords that others brought.

    """

    def __init__(self, own: KeyStore, token: KeyStore) -> None:
        self._own = own
        self._token = token
        self._exchanging = own

    @property
    def answers_at_once(self) -> bool:
        """Whether both do."""
        return self._own.answers_at_once and self._token.answers_at_once

    def _with(self, secret: SecretHandle) -> KeyStore:
        return self._token if self._token.find_secret(secret.label) == secret else self._own

    def use(self, key: SecretHandle, operation: SecretOperation) -> bytes:
        """See KeyStore."""
        return self._with(key).use(key, operation)

    def start_pake(self, label: str, password: SecretHandle, identities: tuple[bytes, bytes], *, begins: bool) -> bytes:
        """See KeyStore."""
        self._exchanging = self._with(password)
        return self._exchanging.start_pake(label, password, identities, begins=begins)

    def finish_pake(self, label: str, share: bytes) -> SecretHandle:
        """See KeyStore."""
        return self._exchanging.finish_pake(label, share)

    # The token has no part in the rest.

    def generate(self, label: str, kind: KeyKind, salt: bytes) -> KeyHandle:
        """See KeyStore."""
        return self._own.generate(label, kind, salt)

    def sign(self, key: KeyHandle, message: bytes) -> bytes:
        """See KeyStore."""
        return self._own.sign(key, message)

    def agree(self, key: KeyHandle, peer: PublicKey) -> bytes:
        """See KeyStore."""
        return self._own.agree(key, peer)

    def unwrap(self, label: str, wrapping: bytes, block: str) -> SecretHandle:
        """See KeyStore."""
        return self._own.unwrap(label, wrapping, block)

    def rewrap(self, block: str, wrapping: bytes) -> str:
        """See KeyStore."""
        return self._own.rewrap(block, wrapping)

    def find(self, label: str) -> KeyHandle | None:
        """See KeyStore."""
        return self._own.find(label)

    def find_secret(self, label: str) -> SecretHandle | None:
        """See KeyStore."""
        return self._own.find_secret(label)

    def labels(self) -> frozenset[str]:
        """See KeyStore."""
        return self._own.labels()

    def destroy(self, label: str) -> None:
        """See KeyStore."""
        self._own.destroy(label)
