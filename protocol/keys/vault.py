"""Vaults: a party's durable record and its key pairs, which change together or not at all (L4, S3).

The rules are in `Vault`, and how they are kept is in `OwnVault`: by `SealedVault` in one sealed file, by `MemoryVault`
in memory for tests, simulation and embedding, and by `TokenVault` (token_vault.py) in a token. What the record means is
for the party whose it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ..engine import (
    InsituError,
    KeyKind,
    SecretAlgorithm,
    SecretUsage,
)
from ..messages.codec import DecodeError, Item, decode, encode
from ..stores.atomic import LARGEST, ErasureFailed
from ..stores.files import OS_FILES, Files
from ..stores.sealed import Cost, SealedFile, StoreDamaged, StoreKind
from ..stores.secret import Entropy, Secret, Uncopied
from .forwarding import ForwardingKeys
from .port import KeyMemory, KeyMissing, KeyStore, Memory, Storage
from .software import SoftwareKeyStore

_RECORD: Final = 1
_KEYS: Final = 2
_SECRETS: Final = 3
_MOST_ITEMS: Final = 1 << 16


class Vault(KeyStore, Uncopied, ABC):
    """KeyStore with a record beside it. For one caller at a time.

    New pairs can be used at once but last only if a commit keeps them; `roll_back`, closing and a power cut
    lose them. A commit makes the record, the new pairs that it keeps, and the destruction of all the others
    durable in one write. Whatever fails before that write leaves memory and medium as they were.
    """

    @property
    @abstractmethod
    def record(self) -> bytes | None:
        """The record as last committed; None before the first commit."""

    @property
    @abstractmethod
    def durable(self) -> frozenset[str]:
        """The labels of the pairs and symmetric keys that a commit has kept."""

    @property
    def memory(self) -> Memory | None:
        """What the medium says of its own room; None: nothing, and a record may have as many bytes as any store."""
        return None

    @property
    @abstractmethod
    def storage(self) -> Storage:
        """Where symmetric keys for others are made and wrapped; a new storage key lasts if a commit keeps it."""

    @abstractmethod
    def commit(self, record: bytes, keep: frozenset[str]) -> None:
        """Make `record` and the pairs in `keep` durable, and destroy all other pairs, in one write.

        Raises:
            KeyMissing: there is no pair for a label in `keep`; nothing has changed.
            StoreFailed, KeyStoreError: the medium refused; nothing has changed, new pairs are still there.
            StoreUncertain: whether it is written, only opening the vault again tells.
            ErasureFailed: committed, but what is no longer wanted could not be erased yet.

        """

    @abstractmethod
    def roll_back(self) -> None:
        """Destroy all pairs that no commit has kept; the durable ones and the record stay as they are.

        Exchanges that wait are given up.
        """

    # Life

    def detach(self) -> None:
        """Let others have the medium, and go on using the keys; nothing can be committed from now on."""

    def close(self) -> None:
        """Lose what is not committed, and let others have the medium; a second call does nothing."""
        self.roll_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OwnVault(ForwardingKeys[KeyMemory], Vault):
    """A vault that keeps its record and its keys itself, on whatever medium.

    Where there are durable keys, each write erases what it replaces, not only the write that destroys them: else
    copies of a key would lie about from earlier writes when it is destroyed (S3).

    `answers_at_once` is about keys in use; `commit` and `destroy` may wait for the medium all the same.
    """

    def __init__(self, keys: KeyMemory, record: bytes | None, durable: frozenset[str] | None = None) -> None:
        super().__init__(keys)
        self._record = record
        self._durable = keys.labels() if durable is None else durable

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._durable)} durable key pairs>"

    @property
    def record(self) -> bytes | None:
        """See Vault."""
        return self._record

    @property
    def durable(self) -> frozenset[str]:
        """See Vault."""
        return self._durable

    @property
    def storage(self) -> Storage:
        """See Vault."""
        return self._keys

    def commit(self, record: bytes, keep: frozenset[str]) -> None:
        """See Vault."""
        labels = self._keys.labels()
        if missing := keep - labels:
            raise KeyMissing("no such key pair", who="vault", expected=", ".join(sorted(missing)))
        self._change(record, keep, labels - keep, erase=bool(self._durable))

    def destroy(self, label: str) -> None:
        """See KeyStore; a durable pair goes with a write of its own, other new pairs stay new.

        Raises:
            KeyMissing: there is none.
            StoreFailed, StoreUncertain, ErasureFailed: as for `commit`.

        """
        if label in self._durable:
            self._change(self._record, self._durable - {label}, frozenset({label}), erase=True)
        else:
            self._keys.destroy(label)

    def _change(self, record: bytes | None, keep: frozenset[str], gone: frozenset[str], *, erase: bool) -> None:
        left: ErasureFailed | None = None
        try:
            self._make_durable(record, keep, erase=erase)
        except ErasureFailed as error:
            left = error
        self._durable = keep
        self._record = record
        for label in gone:
            try:
                self._keys.destroy(label)
            except KeyMissing:
                pass
            except InsituError as error:
                left = ErasureFailed("a key pair is not destroyed yet", who="vault", expected=label, got=error.summary)
        if left is not None:
            raise left

    @abstractmethod
    def _make_durable(self, record: bytes | None, keep: frozenset[str], *, erase: bool) -> None:
        """Write record and keys, all or nothing; `erase` says that what is replaced holds durable keys."""

    def roll_back(self) -> None:
        """See Vault."""
        self._keys.give_up_exchanges()
        for label in self._keys.labels() - self._durable:
            self._keys.destroy(label)


class SealedVault(OwnVault):
    """A vault in one sealed file; made by `create` and `open`.

    Content: {1: record (bstr) or null, 2: {label (tstr): [kind (tstr), private bytes (bstr)]},
    3: {label (tstr): [usage (tstr), algorithm (tstr), key (bstr)]}}.
    """

    def __init__(self, file: SealedFile, keys: SoftwareKeyStore, record: bytes | None) -> None:
        super().__init__(keys, record)
        self._software = keys
        self._file = file

    @classmethod
    def create(
        cls,
        path: Path,
        kind: StoreKind,
        passphrase: Secret,
        *,
        entropy: Entropy,
        cost: Cost | None = None,
        repeatable: bool = False,
        files: Files = OS_FILES,
    ) -> SealedVault:
        """Make an empty vault in a new file; errors as for SealedFile.create."""
        keys = SoftwareKeyStore(entropy, repeatable=repeatable)
        content = _content(None, keys, ())
        file = SealedFile.create(path, kind, passphrase, content, entropy=entropy, cost=cost, files=files)
        return cls(file, keys, None)

    @classmethod
    def open(
        cls,
        path: Path,
        kind: StoreKind,
        passphrase: Secret,
        *,
        entropy: Entropy,
        repeatable: bool = False,
        files: Files = OS_FILES,
    ) -> SealedVault:
        """Open the vault as last committed; errors as for SealedFile.open."""
        file = SealedFile.open(path, kind, passphrase, entropy=entropy, files=files)
        try:
            keys = SoftwareKeyStore(entropy, repeatable=repeatable)
            record = _restore(file.read(), keys, path)
        except BaseException:
            file.close()
            raise
        return cls(file, keys, record)

    def _make_durable(self, record: bytes | None, keep: frozenset[str], *, erase: bool) -> None:
        self._file.write(_content(record, self._software, keep), erase=erase)

    def detach(self) -> None:
        """See Vault."""
        self._file.close()

    def close(self) -> None:
        """See Vault; the keys are in the file only from now on."""
        super().close()
        self._file.close()
        for label in self._keys.labels():
            self._keys.destroy(label)


class MemoryVault(OwnVault):
    """A vault in memory: the same rules, and nothing outlives the process.

    Args:
        entropy: own entropy for new pairs.
        repeatable: ECDSA without random numbers (RFC 6979), for replays.

    """

    def __init__(self, entropy: Entropy, *, repeatable: bool = False) -> None:
        self._software = SoftwareKeyStore(entropy, repeatable=repeatable)
        super().__init__(self._software, None)

    def _make_durable(self, record: bytes | None, keep: frozenset[str], *, erase: bool) -> None:
        """There is no medium."""


def _content(record: bytes | None, keys: SoftwareKeyStore, labels: Iterable[str]) -> bytes:
    """What is sealed."""
    pairs: dict[int | str, Item] = {}
    secrets: dict[int | str, Item] = {}
    for label in labels:
        handle, secret = keys.find(label), keys.find_secret(label)
        if handle is not None:
            pairs[label] = (handle.public.kind.value, keys.private_bytes_for_sealing(label))
        elif secret is not None:
            key = keys.secret_bytes_for_sealing(label)
            secrets[label] = (secret.usage.value, secret.algorithm.value, key)
    return encode({_RECORD: record, _KEYS: pairs, _SECRETS: secrets})


def _restore(content: bytes, keys: SoftwareKeyStore, path: Path) -> bytes | None:
    """Put the sealed pairs into `keys`; the record."""
    try:
        match decode(content, max_bytes=LARGEST, max_items=_MOST_ITEMS):
            case {1: (bytes() | None) as record, 2: dict(pairs), **rest}:
                secrets = rest.pop(_SECRETS, {})  # a vault from before there were any has none
                if rest or not isinstance(secrets, dict):
                    raise _unknown_content(path)
                for label, pair in pairs.items():
                    match label, pair:
                        case str(), (str(kind), bytes(private)):
                            keys.restore_sealed(label, KeyKind(kind), private)
                        case _:
                            raise _unknown_content(path)
                for label, secret in secrets.items():
                    match label, secret:
                        case str(), (str(usage), str(algorithm), bytes(key)):
                            keys.restore_sealed_secret(label, SecretUsage(usage), SecretAlgorithm(algorithm), key)
                        case _:
                            raise _unknown_content(path)
                return record
    except (DecodeError, ValueError):
        pass
    raise _unknown_content(path)


def _unknown_content(path: Path) -> StoreDamaged:
    return StoreDamaged(f"store does not contain a vault: {path}", who="vault", expected="record and key pairs")
