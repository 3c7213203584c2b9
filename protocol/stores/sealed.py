"""A file sealed with a passphrase: what is inside is secret and unaltered, or the file does not open.

File: MAGIC, the length of the envelope (4 bytes, big-endian), the envelope, SHA-256 of all that. The checksum
only tells accidents from wrong passphrases. The envelope is a COSE_Encrypt0 (RFC 9052 section 5.2, tag 16) with
A256GCM and an empty external_aad, whose protected header also carries kind, version, salt and scrypt's
parameters (RFC 7914) under text labels; the key is scrypt's output. Its CDDL:

    envelope = #6.16([protected: bstr .cbor header, unprotected: {5 => bstr .size 12}, ciphertext: bstr])
    header = {1 => 3, "kind" => tstr, "salt" => bstr .size 16, "scrypt" => [n: uint, r: uint, p: uint], "version" => 1}

What the content means is for those above. Channels have COSE of their own; it lies above this layer, and a test
opens these files with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cbor2 import CBORTag
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..engine import EnvironmentFault, UsageError
from ..messages.codec import DecodeError, Item, decode, encode
from .atomic import (
    LARGEST,
    StoreFailed,
    StoreUncertain,
    clear_leftovers,
    failure,
    make_names_durable,
    replace_file,
)
from .files import OS_FILES, Files, Lock
from .secret import Entropy, Secret, Uncopied, draw

MAGIC: Final = b"\x89insitu\n"
"""The first byte is no text, the last is what a transfer as text would change."""
VERSION: Final = 1

_WHO: Final = "store"
_COSE_ENCRYPT0: Final = 16
_ALG, _A256GCM, _IV = 1, 3, 5
_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 16
_CHECKSUM_BYTES: Final = 32
_MOST_MEMORY: Final = 1 << 28
_MOST_LANES: Final = 4


class StoreKind(Enum):
    """Whose durable state a sealed file holds; the value stands in the file."""

    MODULE = "module"
    CARD = "card"
    CENTRAL = "central"
    MANUFACTURER = "manufacturer"
    UNIT = "unit"
    TOKEN = "token"  # noqa: S105 - a kind
    """An operator's, with TANs for modules; no party lives in it (A8)."""
    MOBILE = "mobile"
    TICKETS = "tickets"
    """On their way from a card to the manufacturer; no party lives in it (A4)."""


class StoreMissing(UsageError):
    """There is no file."""


class StoreExists(UsageError):
    """There is a file where a new one was to be made."""


class ForeignFile(UsageError):
    """Not a sealed file of ours."""


class WrongKind(UsageError):
    """A sealed file of another party."""


class WrongVersion(UsageError):
    """A sealed file of a later version."""


class WrongPassphrase(UsageError):
    """The passphrase does not open the file, or somebody altered the file on purpose: that looks the same."""


class StoreTruncated(EnvironmentFault):
    """The file ends too early."""


class StoreDamaged(EnvironmentFault):
    """The file was altered by accident, or does not contain what it must."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess of the passphrase costs: scrypt's parameters (RFC 7914); 128 * n * r bytes of memory.

    Attributes:
        n: CPU and memory cost, a power of 2.
        r: block size.
        p: parallelization.

    """

    n: int = 1 << 15
    r: int = 8
    p: int = 1

    @property
    def is_bearable(self) -> bool:
        """Whether a file may ask for this much: at most 256 MiB, four times over."""
        power_of_2 = self.n > 1 and self.n & self.n - 1 == 0
        return power_of_2 and self.r > 0 and 0 < self.p <= _MOST_LANES and 128 * self.n * self.r <= _MOST_MEMORY


class SealedFile(Uncopied):
    """An open sealed file. It is locked against others until it is closed; scrypt runs once, as it is opened.

    Made by `create` and `open`. Not for use by two threads at a time.
    """

    def __init__(
        self, path: Path, files: Files, lock: Lock, cipher: AESGCM, protected: bytes, entropy: Entropy
    ) -> None:
        self._path = path
        self._files = files
        self._lock = lock
        self._cipher = cipher
        self._protected = protected
        self._entropy = entropy
        self._is_new = False
        self._unusable = ""

    def __repr__(self) -> str:
        return f"<SealedFile {self._path}>"

    @classmethod
    def create(
        cls,
        path: Path,
        kind: StoreKind,
        passphrase: Secret,
        content: bytes,
        *,
        entropy: Entropy,
        cost: Cost | None = None,
        files: Files = OS_FILES,
    ) -> SealedFile:
        """Make a new sealed file with this content.

        Raises:
            StoreExists: there is a file already.
            StoreLocked: somebody is making one.
            StoreFailed: it cannot be written there.
            UsageError: a cost that could not be opened again.

        """
        cost = cost or Cost()
        if not cost.is_bearable:
            raise UsageError("cost of sealing", who=_WHO, expected="at most 256 MiB, n a power of 2", got=cost)
        path, lock = _locked(path, files)
        try:
            _refuse_existing(files, path)
            salt = draw(entropy, _SALT_BYTES)
            header: dict[int | str, Item] = {
                _ALG: _A256GCM,
                "kind": kind.value,
                "salt": salt,
                "scrypt": (cost.n, cost.r, cost.p),
                "version": VERSION,
            }
            sealed = cls(path, files, lock, _cipher(passphrase, salt, cost), encode(header), entropy)
            sealed._is_new = True
            sealed.write(content)
            sealed._is_new = False
        except BaseException:
            lock.release()
            raise
        return sealed

    @classmethod
    def open(
        cls, path: Path, kind: StoreKind, passphrase: Secret, *, entropy: Entropy, files: Files = OS_FILES
    ) -> SealedFile:
        """Open the file at `path`. Where this fails, the file is as it was.

        Raises:
            StoreMissing, ForeignFile, StoreTruncated, StoreDamaged, WrongVersion, WrongKind, WrongPassphrase: as
                their names say.
            StoreLocked: somebody holds it.
            StoreFailed: it cannot be read.

        """
        if not _exists(files, files.resolve(path)):
            raise StoreMissing(f"there is no store: {path}", who=_WHO, expected=f"a {kind.value} store")
        path, lock = _locked(path, files)
        try:
            protected, salt, cost, nonce, ciphertext = _parse(_read(files, path), kind, path)
            cipher = _cipher(passphrase, salt, cost)
            _decrypt(cipher, protected, nonce, ciphertext, path)
            clear_leftovers(files, path)
            make_names_durable(files, path)
        except BaseException:
            lock.release()
            raise
        return cls(path, files, lock, cipher, protected, entropy)

    def read(self) -> bytes:
        """The content.

        Raises:
            StoreFailed, StoreTruncated, StoreDamaged, WrongPassphrase: the file was changed behind our back.

        """
        self._check()
        envelope = _envelope(_read(self._files, self._path), self._path)
        protected, nonce, ciphertext = _split(envelope, self._path)
        if protected != self._protected:
            raise StoreDamaged(f"store was replaced while it was open: {self._path}", who=_WHO)
        return _decrypt(self._cipher, protected, nonce, ciphertext, self._path)

    def write(self, content: bytes, *, erase: bool = False) -> None:
        """Replace the content, durably, all of it or nothing.

        Args:
            content: what is to be sealed.
            erase: overwrite the old file's bytes as well (see atomic.py for its limits).

        Raises:
            StoreFailed: nothing has changed; also if the file is gone, which is not made anew.
            StoreUncertain: old or new content; this object is of no more use, open the file again.
            ErasureFailed: the new content is there, the old one not yet erased.

        """
        self._check()
        if not self._is_new and not _exists(self._files, self._path):  # taken away: what is durable no more is not done
            raise StoreFailed(f"store is gone: {self._path}", who=_WHO, expected="the file that was opened")
        nonce = draw(self._entropy, _NONCE_BYTES)
        ciphertext = self._cipher.encrypt(nonce, content, _associated(self._protected))
        envelope = encode(CBORTag(_COSE_ENCRYPT0, [self._protected, {_IV: nonce}, ciphertext]))
        body = b"".join((MAGIC, len(envelope).to_bytes(4, "big"), envelope))
        data = body + hashlib.sha256(body).digest()
        if len(data) > LARGEST:
            raise UsageError("content of a store", who=_WHO, expected=f"at most {LARGEST} bytes", got=len(data))
        try:
            replace_file(self._files, self._path, data, erase=erase)
        except StoreUncertain:
            self._unusable = "a write that may or may not have happened"
            raise

    def _check(self) -> None:
        if self._unusable:
            raise StoreFailed(f"store must be opened again: {self._path}", who=_WHO, got=self._unusable)

    def close(self) -> None:
        """Let others have the file; a second call does nothing."""
        self._unusable = self._unusable or "closed"
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _locked(path: Path, files: Files) -> tuple[Path, Lock]:
    """The file that `path` means, and the lock beside it."""
    path = files.resolve(path)
    try:
        return path, files.lock(path.with_name(f"{path.name}.lock"))
    except OSError as error:
        raise failure(path, error) from error


def _exists(files: Files, path: Path) -> bool:
    try:
        files.read(path, 1)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise failure(path, error) from error
    return True


def _refuse_existing(files: Files, path: Path) -> None:
    if _exists(files, path):
        raise StoreExists(f"there is a store already: {path}", who=_WHO, expected="a new file")


def _read(files: Files, path: Path) -> bytes:
    try:
        return files.read(path, LARGEST + 1)
    except FileNotFoundError:
        raise StoreMissing(f"there is no store: {path}", who=_WHO) from None
    except OSError as error:
        raise failure(path, error) from error


def _envelope(data: bytes, path: Path) -> bytes:
    """The envelope of an undamaged file."""
    head = len(MAGIC) + 4
    if not data.startswith(MAGIC[: len(data)]):
        # nothing of it is shown: it may be somebody's passphrase
        raise ForeignFile(f"not a sealed store: {path}", who=_WHO, expected="a store of insitu", got="another file")
    size = head + int.from_bytes(data[len(MAGIC) : head], "big") + _CHECKSUM_BYTES
    if len(data) < head or len(data) < size <= LARGEST:
        raise StoreTruncated(
            f"store is truncated: {path}", who=_WHO, expected=f"{max(size, head)} bytes", got=f"{len(data)} bytes"
        )
    body, checksum = data[: size - _CHECKSUM_BYTES], data[size - _CHECKSUM_BYTES :]
    if len(data) != size or hashlib.sha256(body).digest() != checksum:
        raise _damaged(path, "its checksum")
    return body[head:]


def _split(envelope: bytes, path: Path) -> tuple[bytes, bytes, bytes]:
    """Protected header, nonce and ciphertext of the envelope."""
    try:
        tagged = decode(envelope, max_bytes=LARGEST, allowed_tags=frozenset((_COSE_ENCRYPT0,)))
    except DecodeError as error:
        raise _damaged(path, "CBOR") from error
    match tagged:
        case CBORTag(tag=16, value=(bytes(protected), {5: bytes(nonce), **rest}, bytes(ciphertext))) if not rest:
            return protected, nonce, ciphertext
    raise _damaged(path, "COSE_Encrypt0")


def _parse(data: bytes, kind: StoreKind, path: Path) -> tuple[bytes, bytes, Cost, bytes, bytes]:
    """Protected header, salt, cost, nonce and ciphertext of a file of this kind."""
    protected, nonce, ciphertext = _split(_envelope(data, path), path)
    try:
        header = decode(protected)
    except DecodeError as error:
        raise _damaged(path, "CBOR in its header") from error
    if not isinstance(header, dict):
        raise _damaged(path, "a header")
    if header.get("version") != VERSION:
        raise WrongVersion(f"store of another version: {path}", who=_WHO, expected=VERSION, got=header.get("version"))
    if header.get("kind") != kind.value:
        raise WrongKind(f"store of another party: {path}", who=_WHO, expected=kind.value, got=header.get("kind"))
    match header:
        case {1: 3, "salt": bytes(salt), "scrypt": (int(n), int(r), int(p))} if len(header) == 5:
            cost = Cost(n, r, p)
        case _:
            raise _damaged(path, "algorithm, salt and scrypt")
    if not cost.is_bearable or len(salt) != _SALT_BYTES or len(nonce) != _NONCE_BYTES:
        raise _damaged(path, "a bearable cost and the usual lengths")
    return protected, salt, cost, nonce, ciphertext


def _damaged(path: Path, expected: str) -> StoreDamaged:
    return StoreDamaged(f"store is damaged: {path}", who=_WHO, expected=expected)


def _cipher(passphrase: Secret, salt: bytes, cost: Cost) -> AESGCM:
    memory = 128 * cost.r * (cost.n + cost.p + 2)
    key = hashlib.scrypt(passphrase.reveal(), salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=memory, dklen=32)
    return AESGCM(key)


def _associated(protected: bytes) -> bytes:
    """Enc_structure of COSE_Encrypt0 (RFC 9052 section 5.3) without external data."""
    return encode(["Encrypt0", protected, b""])


def _decrypt(cipher: AESGCM, protected: bytes, nonce: bytes, ciphertext: bytes, path: Path) -> bytes:
    try:
        return cipher.decrypt(nonce, ciphertext, _associated(protected))
    except (InvalidTag, ValueError):
        pass  # raised outside: nothing of the attempt hangs on the error
    raise WrongPassphrase(f"passphrase does not open the store: {path}", who=_WHO)
