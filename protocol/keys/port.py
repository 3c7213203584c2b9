"""The port to key memory: what a software store, a sealed vault and a token have in common, and their errors.

Private keys are used here, never read (M1): nothing in this port returns one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ..engine import (
    EnvironmentFault,
    KeyHandle,
    KeyKind,
    PublicKey,
    SecretAlgorithm,
    SecretHandle,
    SecretOperation,
    SecretUsage,
    UsageError,
)

LABEL_LENGTH: Final = 64
"""Labels have one to this many characters."""


class KeyStoreError(EnvironmentFault):
    """Key memory does not do its work."""


class KeyMissing(KeyStoreError):
    """No key has this label: key memory and the durable state that names it do not belong together."""


class KeyMismatch(KeyStoreError):
    """The key pair under this label is not the one that the handle or certificate means."""


class KeyExists(UsageError):
    """There already is a key pair under this label; a new one never replaces it silently."""


class KeyRefused(UsageError):
    """The key pair is not for that: an X25519 pair does not sign, an Ed25519 pair does not agree; or a bad label."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a token says of its room for objects that only its user can read. `free`, `total`: bytes."""

    free: int
    total: int


class KeyStore(Protocol):
    """Key memory. Labels are unique in it. Calls come from one thread at a time, except for the two below.

    `start_pake` and `finish_pake` are slow and come from worker threads while others go on.

    Attributes:
        answers_at_once: True: every other call returns within a millisecond; False: call it from a worker thread.

    """

    @property
    def answers_at_once(self) -> bool:
        """Whether a call may be made where it must not block."""
        ...

    def generate(self, label: str, kind: KeyKind, salt: bytes) -> KeyHandle:
        """Make a key pair from key memory's own entropy, influenced but never determined by `salt` (L3, S7).

        Raises:
            KeyExists: the label is taken.
            KeyRefused: a label that is empty or too long, or a kind that this memory does not offer.
            EnvironmentFault: key memory or its source of entropy failed.

        """
        ...

    def sign(self, key: KeyHandle, message: bytes) -> bytes:
        """Sign `message` (not hashed yet).

        Returns:
            ECDSA with the curve's hash (SHA-256, SHA-384): r || s, 64 or 96 bytes; Ed25519: 64 bytes.

        Raises:
            KeyMissing, KeyMismatch: the pair that `key` means is not there.
            KeyRefused: it does not sign.

        """
        ...

    def agree(self, key: KeyHandle, peer: PublicKey) -> bytes:
        """Diffie-Hellman with `peer`.

        Returns:
            P-256, P-384: the x-coordinate (32, 48 bytes); X25519: 32 bytes.

        Raises:
            KeyMissing, KeyMismatch: the pair that `key` means is not there.
            KeyRefused: it does not agree on secrets.
            ProtocolError: `peer` is of another kind, not on the curve or of low order.

        """
        ...

    def unwrap(self, label: str, wrapping: bytes, block: str) -> SecretHandle:
        """Take a symmetric key out of its key block (TR-31 version D) under `wrapping`, 32 bytes (L11).

        Raises:
            KeyExists: the label is taken.
            KeyRefused: a bad label or a weak key.
            ProtocolError: the block is not whole, or not for what this memory does with keys.

        """
        ...

    def rewrap(self, block: str, wrapping: bytes) -> str:
        """The key in a block under this memory's own storage key, in a block under `wrapping`, 32 bytes.

        Raises:
            KeyMissing: there is no storage key.
            ProtocolError: the block is not one under the storage key.

        """
        ...

    def use(self, key: SecretHandle, operation: SecretOperation) -> bytes:
        """Do `operation` with a symmetric key: a MAC or an encrypted PIN block, whose random fill is this memory's.

        Raises:
            KeyMissing, KeyMismatch: the key that `key` means is not there.
            KeyRefused: it is not for that, or the data are not of the method's form.

        """
        ...

    def start_pake(self, label: str, password: SecretHandle, identities: tuple[bytes, bytes], *, begins: bool) -> bytes:
        """Begin an exchange (SPAKE2 over Ed25519) that waits under `label`; one that waited there is given up.

        Args:
            label: of the exchange, and of the key that comes of it.
            password: what both sides share.
            identities: of side A and side B, bound into the key.
            begins: whether this is side A.

        Returns:
            This side's share, 32 bytes, which tells nothing of the password.

        Raises:
            KeyMissing, KeyMismatch: the password that the handle means is not there.
            KeyRefused: it is no password, or a bad label.
            UsageError: the extra `pake` is not installed.

        """
        ...

    def finish_pake(self, label: str, share: bytes) -> SecretHandle:
        """End the exchange under `label` with the other side's share: a key for proofs, 32 bytes.

        Raises:
            KeyExists: the label is taken.
            KeyMissing: no exchange waits there; each is ended once.
            ProtocolError: the share is no element of the group, of low order, or our own.

        """
        ...

    def find(self, label: str) -> KeyHandle | None:
        """The handle of the pair with this label, None if there is none."""
        ...

    def find_secret(self, label: str) -> SecretHandle | None:
        """The handle of the symmetric key with this label, None if there is none."""
        ...

    def labels(self) -> frozenset[str]:
        """The labels of all pairs and symmetric keys, which share one name space."""
        ...

    def destroy(self, label: str) -> None:
        """Destroy the pair or symmetric key with this label, for good when the call returns.

        Raises:
            KeyMissing: there is none.

        """
        ...


class Storage(Protocol):
    """Where symmetric keys are made, brought in and given away: for those who deliver modules and run hosts.

    Attributes:
        keeps_passwords: secrets that are short enough to be guessed are used here, too.

    """

    @property
    def keeps_passwords(self) -> bool:
        """Whether `share_password` is for this memory."""
        ...

    def make_storage_key(self) -> SecretHandle:
        """Make the key under which this memory gives symmetric keys away to be kept; the one that is there, if any.

        Raises:
            KeyExists: another key has its label.

        """
        ...

    def make_main_key(self, label: str) -> SecretHandle:
        """Make the key from which others are derived (A4); the one that is there, if any.

        Raises:
            KeyExists: another key has its label.

        """
        ...

    def share(self, label: str, key: bytes) -> SecretHandle:
        """Keep a key for proofs whose twin another party holds (A5): 16 or 32 bytes.

        Raises:
            KeyExists: the label is taken.
            KeyRefused: it is no such key.

        """
        ...

    def share_password(self, label: str, password: bytes) -> SecretHandle:
        """Keep a secret for exchanges that is short enough to be guessed: 6 to 64 bytes (A6, A7).

        Raises:
            KeyExists: the label is taken.
            KeyRefused: it is no such secret.

        """
        ...

    def new_secret_block(self, usage: SecretUsage, algorithm: SecretAlgorithm, bits: int) -> tuple[str, str]:
        """A new random symmetric key, as a block under the storage key, with its check value.

        Raises:
            KeyMissing: there is no storage key.
            KeyRefused: no such usage or length.

        """
        ...

    def take_secret_block(self, block: str, wrapping: bytes) -> tuple[str, str]:
        """A key that came in a block under `wrapping` (32 bytes), as a block under the storage key; its check value.

        Raises:
            KeyMissing: there is no storage key.
            ProtocolError, KeyRefused: see `unwrap`.

        """
        ...

    def join_secret_block(
        self, usage: SecretUsage, algorithm: SecretAlgorithm, components: Sequence[bytes]
    ) -> tuple[str, str]:
        """A key from clear components, added modulo 2, as a block under the storage key, with its check value.

        Args:
            usage: of the key.
            algorithm: of the key.
            components: two or three of equal length, from as many people.

        Raises:
            KeyMissing: there is no storage key.
            KeyRefused: the components do not fit together, or give no good key.

        """
        ...

    def secret_bytes_for_sealing(self, label: str) -> bytes:
        """The symmetric key as bytes, for nothing but the inside of a sealed file or what is printed once.

        Raises:
            KeyMissing: there is no such key.
            KeyRefused: this memory gives none out.

        """
        ...


class KeyMemory(KeyStore, Storage, Protocol):
    """What a vault needs of its key memory."""

    def give_up_exchanges(self) -> None:
        """Forget all exchanges that wait for the other side's share."""
        ...


class HasPublicKey(Protocol):
    """A verified certificate, as far as this file cares."""

    @property
    def public(self) -> PublicKey:
        """The key that is certified."""
        ...


def check_certificate_matches(handle: KeyHandle, certificate: HasPublicKey) -> None:
    """Notice, when a certificate is loaded, that it is for another key pair than the one held (S2).

    Raises:
        KeyMismatch: it is.

    """
    if handle.public != certificate.public:
        raise KeyMismatch(
            f"certificate for another key than {handle.label!r}",
            who="keys",
            expected=brief(handle.public),
            got=brief(certificate.public),
        )


def brief(public: PublicKey) -> str:
    """A public key in an error: the kind and the first bytes that tell keys apart."""
    start = 1 if public.kind in (KeyKind.P256, KeyKind.P384) else 0
    return f"{public.kind.value} {public.data[start : start + 8].hex()}.."


def checked_label(label: str) -> str:
    """The label, if it is one.

    Raises:
        KeyRefused: it is empty or too long.

    """
    if not 1 <= len(label) <= LABEL_LENGTH:
        raise KeyRefused("label", who="keys", expected=f"1 to {LABEL_LENGTH} characters", got=len(label))
    return label
