"""Where a party's durable state lies: in a sealed file, or in a token that a PKCS#11 URI names.

Which of both is decided by what somebody wrote, and by nothing else: where a token is named and cannot be used, that
is an error, and no file takes its place.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from ..protocol.engine import UsageError
from ..protocol.keys.pkcs11_uri import TokenUri, is_uri, read_uri
from ..protocol.keys.vault import SealedVault, Vault
from ..protocol.stores.sealed import StoreKind, StoreMissing
from ..protocol.stores.secret import Secret
from .passphrase import from_file, passphrase

Place: TypeAlias = Path | TokenUri
"""A sealed file, or a token."""

LIBRARY_VARIABLE: Final = "INSITU_PKCS11_MODULE"
"""Names the PKCS#11 library where a URI does not."""
_DIRECTORIES: Final = (
    *("/usr/lib/pkcs11", "/usr/lib64/pkcs11", "/usr/local/lib/pkcs11", "/usr/lib/softhsm", "/usr/lib64/softhsm"),
    *("/usr/lib/x86_64-linux-gnu/pkcs11", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu/pkcs11"),
    *("/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib", "/opt/homebrew/lib"),
)
"""Where libraries are looked for that a URI names without a path."""
_ENDINGS: Final = {"win32": (".dll",), "darwin": (".dylib", ".so")}


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
        return _InToken(place, library_of(place), kind, _pin(place, file, command))
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
        with _created_in_token(_InToken(place, library_of(place), kind, _pin(place, file, command))) as vault:
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
        return SealedVault.open(self.path, self.kind, self.secret, entropy=secrets.token_bytes)

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

        return TokenVault.open(self.library, self.uri, self.kind, self.pin)

    def stamp(self) -> tuple[int, ...]:
        from ..protocol.keys.token_access import last_owned

        return last_owned(self.library, self.uri)


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


def _pin(uri: TokenUri, file: Path | None, command: Sequence[str] | None) -> Secret:
    """The PIN, from one source: the URI's, a file, a command, or a person."""
    if not uri.pin_source:
        return passphrase(file=file, command=command, prompt=f"PIN of {uri}: ")
    if file is not None or command is not None:
        raise UsageError("two sources of a PIN", who="token", expected="pin-source or an option", got="both")
    return from_file(Path(uri.pin_source))


def library_of(uri: TokenUri) -> str:
    """The path of the PKCS#11 library: `module-path`, or `module-name`, or else what INSITU_PKCS11_MODULE names.

    Raises:
        UsageError: none is named, or the one that is named by `module-name` is nowhere.

    """
    if uri.module_name:
        places = (uri.module_path,) if uri.module_path else _DIRECTORIES
        return _library_named(uri.module_name, places)
    path = uri.module_path or environ.get(LIBRARY_VARIABLE, "")
    if not path:
        expected = f"module-path or module-name in the URI, or {LIBRARY_VARIABLE}"
        raise UsageError("which PKCS#11 library?", who="token", expected=expected, got="none")
    return path


def _library_named(name: str, places: Sequence[str]) -> str:
    if "/" in name or "\\" in name:
        raise UsageError("PKCS#11 URI: module-name", who="token", expected="a name without a path", got=name)
    endings = _ENDINGS.get(sys.platform, (".so",))
    for place in places:
        for ending in endings:
            for file in (f"{name}{ending}", f"lib{name}{ending}"):
                if (Path(place) / file).is_file():
                    return str(Path(place) / file)
    raise UsageError(f"no PKCS#11 library {name}", who="token", expected="one in a usual place, or module-path")
