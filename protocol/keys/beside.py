"""Key memory with a token plugged in beside it: secrets that lie in the token are used there, the rest in key memory.

So what a token holds does its work without leaving it (A8). What is made for a session is made where it belongs: a key
that comes of an exchange with a secret of the token stays in the token.
"""

from __future__ import annotations

from ..engine import SecretHandle, SecretOperation
from .forwarding import ForwardingKeys
from .port import KeyStore


class KeysBeside(ForwardingKeys[KeyStore]):
    """KeyStore of two memories.

    Args:
        own: where everything is that the token does not have.
        token: symmetric keys and passwords that others brought.

    """

    def __init__(self, own: KeyStore, token: KeyStore) -> None:
        super().__init__(own)
        self._token = token
        self._exchanging = own

    @property
    def answers_at_once(self) -> bool:
        """Whether both do."""
        return self._keys.answers_at_once and self._token.answers_at_once

    def _with(self, secret: SecretHandle) -> KeyStore:
        return self._token if self._token.find_secret(secret.label) == secret else self._keys

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
