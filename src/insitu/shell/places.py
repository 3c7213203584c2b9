"""Where a party's durable state lies: in a sealed file, or in a token that a PKCS#11 URI names.

Which of both is decided by what somebody wrote, and by nothing else: where a token is named and cannot be used, that
is an error, and no file takes its place.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from ..protocol.engine import UsageError
from ..protocol.keys.pkcs11_uri import TokenUri, is_uri, read_uri
from ..protocol.keys.vault import SealedVault, Vault
from ..protocol.stores.sealed import StoreKind, StoreMissing
from ..protocol.stores.secret import Secret
from .passphrase import from_file, passphrase
from .signing import with_signing_token
from .token_library import library_of

Place: TypeAlias = Path | TokenUri
"""A sealed file, or a token."""


class Opener(Protocol):
    """Opens one store as often as it is called."""

    def __call__(self) -> Vault:
        """The store, open; errors as for SealedVault.open and TokenVault.open."""
        ...

    def stamp(self) -> tuple[int, ...]:
        """Changes whenever somebody may have written the store."""
        ...


def read_place(text: str) -> Place:
    """The place that somebody wrote.

    Raises:
        UsageError: a PKCS#11 URI that is none, or that names an object: a store is a whole token.

    """
    if not is_uri(text):
        return Path(text)
    uri = read_uri(text)
    for name, value in (("object", uri.object), ("id", uri.id), ("type", uri.type)):
        if value:
            raise UsageError(f"PKCS#11 URI: {name}", who="token", expected="a whole token, which a store is", got=name)
    return uri


def opener(place: Place, kind: StoreKind, *, file: Path | None = None, command: Sequence[str] | None = None) -> Opener:
    """Opens a party's store; its passphrase or PIN is asked for once, now.

    Args:
        place: where it is.
        kind: whose it must be.
        file: an owner-only file with the passphrase, or the token's PIN.
        command: instead of a file, a command whose output is that.

    Raises:
        UsageError: the source of the passphrase or PIN is not usable, or the token's library is not named.

    """
    if isinstance(place, TokenUri):
        return _InToken(place, library_of(place), kind, pin_of(place, file, command))
    return _InFile(place, kind, passphrase(file=file, command=command, prompt=f"Passphrase of {place}: "))


@contextmanager
def created(
    place: Place, kind: StoreKind, *, file: Path | None = None, command: Sequence[str] | None = None
) -> Iterator[Vault]:
    """Make a party's store, never over an existing one; it is gone again if the block fails. Arguments as for `opener`.

    Raises:
        UsageError: there is one, or as for `opener`.

    """
    if isinstance(place, TokenUri):
        with _created_in_token(_InToken(place, library_of(place), kind, pin_of(place, file, command))) as vault:
            yield vault
        return
    secret = passphrase(file=file, command=command, prompt=f"New passphrase of {place}: ", new=True)
    with _created_in_file(_InFile(place, kind, secret)) as vault:
        yield vault


@contextmanager
def opened_or_created(
    place: Place, kind: StoreKind, *, file: Path | None = None, command: Sequence[str] | None = None
) -> Iterator[Vault]:
    """A party's store, made where there is none. Arguments and errors as for `opener` and `created`."""
    if isinstance(place, Path) and not place.exists():
        with created(place, kind, file=file, command=command) as vault:
            yield vault
        return
    there = opener(place, kind, file=file, command=command)
    try:
        vault = there()
    except StoreMissing:
        if not isinstance(there, _InToken):
            raise
        with _created_in_token(there) as vault:
            yield vault
        return
    with vault:
        yield vault


@dataclass(frozen=True, slots=True)
class _InFile:
    path: Path
    kind: StoreKind
    secret: Secret

    def __call__(self) -> Vault:
        vault = SealedVault.open(self.path, self.kind, self.secret, entropy=secrets.token_bytes)
        return _whole(vault, self.kind)

    def stamp(self) -> tuple[int, ...]:
        try:
            status = self.path.stat()
        except OSError:
            return ()
        return status.st_ino, status.st_mtime_ns, status.st_size


@dataclass(frozen=True, slots=True)
class _InToken:
    uri: TokenUri
    library: str
    kind: StoreKind
    pin: Secret

    def __call__(self) -> Vault:
        from ..protocol.keys.token_vault import TokenVault

        return _whole(TokenVault.open(self.library, self.uri, self.kind, self.pin), self.kind)

    def stamp(self) -> tuple[int, ...]:
        from ..protocol.keys.token_access import last_owned

        return last_owned(self.library, self.uri)


def _whole(vault: Vault, kind: StoreKind) -> Vault:
    """With what of it lies in a token of its own."""
    if kind is not StoreKind.CARD:
        return vault
    try:
        return with_signing_token(vault)
    except BaseException:
        vault.close()
        raise


@contextmanager
def _created_in_file(there: _InFile) -> Iterator[Vault]:
    vault = SealedVault.create(there.path, there.kind, there.secret, entropy=secrets.token_bytes)
    try:
        yield vault
    except BaseException:
        with suppress(OSError):
            there.path.unlink()
        raise
    finally:
        vault.close()


@contextmanager
def _created_in_token(there: _InToken) -> Iterator[Vault]:
    from ..protocol.keys.token_vault import TokenVault

    vault = TokenVault.create(there.library, there.uri, there.kind, there.pin)
    try:
        yield vault
    except BaseException:
        vault.discard()
        raise
    finally:
        vault.close()


def pin_of(uri: TokenUri, file: Path | None, command: Sequence[str] | None = None) -> Secret:
    """The PIN, from one source: the URI's, a file, a command, or a person."""
    if not uri.pin_source:
        return passphrase(file=file, command=command, prompt=f"PIN of {uri}: ")
    if file is not None or command is not None:
        raise UsageError("two sources of a PIN", who="token", expected="pin-source or an option", got="both")
    return from_file(Path(uri.pin_source))
