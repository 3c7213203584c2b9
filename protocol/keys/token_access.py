"""The way to a token by PKCS#11: which one it is, who owns it, the login, and what its return values mean.

One login to a token serves all of this process that use it, since PKCS#11 has no other: a login holds for a whole
process, and so does a logout. An owner's lock, in a directory of this user, keeps other programs of his out. No call
is repeated by itself, and no PIN that was refused is tried again.

A library is told by nobody that threads use it (`pkcs11` calls C_Initialize without arguments), and so takes one call
at a time, whichever of its tokens that is for: each call is made with its turn (`turn_of`).
"""

from __future__ import annotations

import hashlib
import os
import ssl
import stat
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from ..engine import EnvironmentFault, InsituError, UsageError
from ..stores.files import OS_FILES, Lock, StoreLocked
from ..stores.secret import Secret, Uncopied
from .pkcs11_uri import TokenUri
from .port import KeyRefused, KeyStoreError, Memory
from .token_calls import close_all_sessions, memory_of

try:
    import pkcs11
    from pkcs11 import exceptions
    from pkcs11.constants import TokenFlag
    from pkcs11.types import Session, Slot, Token
except ImportError as error:
    raise UsageError(
        "a token needs the extra pkcs11", who="token", expected="insitu[pkcs11] installed", got=error
    ) from None

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as _lib

RUNTIME_VARIABLE: Final = "INSITU_RUNTIME_DIR"
"""Names the directory of the locks where it is to be another one; users who share a token name a common one."""


class TokenMissing(KeyStoreError):
    """No token, or more than one, is what the URI says; or it was taken out."""


class LibraryUnusable(KeyStoreError):
    """What is named as PKCS#11 library is none, or cannot be loaded here."""


class TokenBusy(StoreLocked):
    """The token has an owner already: another program of this user, or another part of this one."""


class SessionLost(KeyStoreError):
    """The token forgot us. The next call logs in again; whether the lost one was done is not known."""


class PinWrong(UsageError):
    """The token refused the PIN. It is not tried a second time: each try may be one of the last."""


class PinLocked(KeyStoreError):
    """The token takes no PIN any more until its security officer unlocks it."""


class TokenFull(KeyStoreError):
    """There is no room in the token for what was to be made there."""


class MechanismMissing(KeyRefused):
    """The token does not offer what the kind of key or the operation needs."""


_MEANINGS: Final[tuple[tuple[tuple[type[Exception], ...], type[InsituError], str], ...]] = (
    ((exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange), PinWrong, "PIN refused"),
    (
        (exceptions.PinLocked, exceptions.PinExpired, exceptions.UserPinNotInitialized),
        PinLocked,
        "PIN locked, expired or not set",
    ),
    (
        (
            exceptions.DeviceRemoved,
            exceptions.TokenNotPresent,
            exceptions.TokenNotRecognised,
            exceptions.SlotIDInvalid,
            exceptions.NoSuchToken,
        ),
        TokenMissing,
        "no such token, or it was taken out",
    ),
    (
        (
            exceptions.SessionClosed,
            exceptions.SessionHandleInvalid,
            exceptions.UserNotLoggedIn,
            exceptions.ObjectHandleInvalid,
            exceptions.KeyHandleInvalid,
        ),
        SessionLost,
        "session lost",
    ),
    ((exceptions.DeviceMemory,), TokenFull, "no room in the token"),
    ((exceptions.UserAlreadyLoggedIn, exceptions.AnotherUserAlreadyLoggedIn), TokenBusy, "the token has an owner"),
    (
        (exceptions.MechanismInvalid, exceptions.FunctionNotSupported, exceptions.RandomSeedNotSupported),
        MechanismMissing,
        "the token does not offer that",
    ),
)
"""Return values of PKCS#11 that say more than that something failed."""

_FINAL: Final = (PinWrong, PinLocked)


ILL_FORMED: Final = (UnicodeDecodeError, struct.error)
"""What python-pkcs11 raises where the bytes of an attribute are not of its form."""


def typed(error: Exception) -> InsituError:
    """The error of ours that says what the token's means."""
    for theirs, ours, summary in _MEANINGS:
        if isinstance(error, theirs):
            return ours(summary, who="token", got=type(error).__name__)
    return KeyStoreError("the token failed", who="token", got=type(error).__name__)


_unended: Final[set[tuple[str, ...]]] = set()
"""Libraries and tokens with which this process has a session, perhaps logged in, of which it holds no handle."""
_turns: Final[dict[str, threading.RLock]] = {}


def turn_of(library: str) -> threading.RLock:
    """Held by the thread that calls this library."""
    return _turns.setdefault(library, threading.RLock())


def text_of(pin: Secret) -> str:
    """A PIN as PKCS#11 takes it.

    Raises:
        PinWrong: it is no text.

    """
    try:
        return pin.reveal().decode()
    except UnicodeDecodeError:
        raise PinWrong("PIN", who="token", expected="UTF-8") from None


class _Login(Uncopied):
    """A login of this process to one token.

    Attributes:
        users: how many stores use it.
        times: how often it was made; a handle of an earlier one names nothing.

    """

    def __init__(self, library: str, uri: TokenUri, pin: Secret, identity: tuple[str, ...]) -> None:
        self.turn = turn_of(library)
        self.pin = pin
        self.users = 0
        self.times = 0
        self.session: Session | None = None
        self._library = library
        self._uri = uri
        self._identity = identity
        self._final: InsituError | None = None

    def opened(self) -> Session:
        """The session; made where there is none."""
        if self._final is not None:
            raise self._final.with_traceback(None)
        if self.session is None:
            token = find_token(self._library, self._uri)
            if identity_of(token) != self._identity:
                raise TokenMissing("another token than before", who="token")
            if TokenFlag.USER_PIN_LOCKED in token.flags:
                raise PinLocked("PIN locked", who="token", got=token.label)
            pin = text_of(self.pin)
            if self._which in _unended:
                close_all_sessions(self._library, token.slot.slot_id)
            _unended.add(self._which)
            self.session = token.open(rw=True, user_pin=pin)
            _unended.discard(self._which)
            self.times += 1
        return self.session

    def failed(self, error: Exception) -> InsituError:
        """What that means to us. The next call logs in again, or is refused as well where the PIN was.

        A session of which a call has failed is not used any more, whatever the token said: what it was about may still
        be under way there, and would be in the way of all that comes.
        """
        ours = typed(error)
        if isinstance(ours, _FINAL):
            self._final = ours
        self.end()
        return ours

    def end(self) -> None:
        """Log out."""
        session, self.session = self.session, None
        if session is not None:
            try:
                session.close()
            except exceptions.PKCS11Error:
                _unended.add(self._which)

    @property
    def _which(self) -> tuple[str, ...]:
        return self._library, *self._identity


_logins: Final[dict[tuple[str, ...], _Login]] = {}
_joining: Final = threading.Lock()


class TokenAccess(Uncopied):
    """A token that is open; made by `open`. One call at a time reaches it.

    Args:
        login: shared with others of this process.
        identity: of the token.
        held: the owner's lock.

    """

    def __init__(self, login: _Login, identity: tuple[str, ...], held: Lock) -> None:
        self._login = login
        self._identity = identity
        self._held = held
        self._closed = False

    @classmethod
    def open(cls, library: str, uri: TokenUri, pin: Secret) -> TokenAccess:
        """Become the token's owner, and log in to it.

        Args:
            library: path of the token's PKCS#11 library.
            uri: which token.
            pin: of its user.

        Raises:
            LibraryUnusable: there is no such library.
            TokenMissing: none, or several, are what `uri` says.
            TokenBusy: it has an owner.
            PinWrong, PinLocked: it refused the PIN.
            KeyStoreError: the library or the token failed.

        """
        try:
            identity = identity_of(find_token(library, uri))
        except exceptions.PKCS11Error as error:
            raise typed(error) from error
        held = _owned(lock_of(identity))
        try:
            with _joining:
                key = (library, *identity)
                login = _logins.setdefault(key, _Login(library, uri, pin, identity))
                login.users += 1
            access = cls(login, key, held)
        except BaseException:
            held.release()
            raise
        try:
            access.check(pin)
            _forget_errors_of_others()
        except BaseException:
            access.close()
            raise
        return access

    def check(self, pin: Secret) -> None:
        """Log in, if nobody of this process did; the PIN must be the one that was used for it.

        Raises:
            PinWrong: it is another.
            KeyStoreError: the token failed.

        """
        if self._login.pin != pin:
            raise PinWrong("PIN", who="token", expected="the one that the token took", got="another")
        with self.calling():
            pass

    @property
    def logins(self) -> int:
        """How often there was a login; what was found before the last one is to be looked for again."""
        return self._login.times

    @property
    def memory(self) -> Memory | None:
        """What the token says of the room in it; None: nothing."""
        with self.calling() as session:
            return memory_of(self._identity[0], session.token.slot.slot_id)

    @contextmanager
    def calling(self) -> Iterator[Session]:
        """A session, logged in, for what belongs together; what the token answers becomes an error of ours."""
        with self._login.turn:
            if self._closed:
                raise KeyStoreError("the token's store is closed", who="token")
            try:
                yield self._login.opened()
            except (exceptions.PKCS11Error, *ILL_FORMED) as error:
                raise self._login.failed(error) from error

    def release(self) -> None:
        """Let others own the token, and go on using it; a second call does nothing."""
        self._held.release()

    def close(self) -> None:
        """Log out, unless others of this process use the login, and let others own the token."""
        with _joining:
            if not self._closed:
                self._closed = True
                self._login.users -= 1
                if not self._login.users:
                    _logins.pop(self._identity, None)
                    with self._login.turn:
                        self._login.end()
        self._held.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def opened_by_officer(library: str, uri: TokenUri, pin: Secret) -> Iterator[Session]:
    """A session of the token's security officer, who can set the user's PIN and sees no key.

    Raises:
        TokenMissing, TokenBusy, PinWrong, PinLocked, KeyStoreError: as for TokenAccess.open.

    """
    try:
        token = find_token(library, uri)
        held = _owned(lock_of(identity_of(token)))
        try:
            with turn_of(library), token.open(rw=True, so_pin=text_of(pin)) as session:
                yield session
        finally:
            held.release()
            _forget_errors_of_others()
    except exceptions.PKCS11Error as error:
        raise typed(error) from error


def _forget_errors_of_others() -> None:
    """Empty OpenSSL's list of errors: SoftHSM leaves one there, which the next TLS context would take for its own."""
    with suppress(ssl.SSLError, ValueError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=b"\0")


# Which token -------------------------------------------------------------------------------------------------


def find_token(library: str, uri: TokenUri) -> Token:
    """The one token that is what the URI says.

    Raises:
        LibraryUnusable: there is no such library.
        TokenMissing: none is, or several are.
        PKCS11Error: the library failed.

    """
    with turn_of(library):
        return _found(library, uri)


def _found(library: str, uri: TokenUri) -> Token:
    loaded = _loaded(library)
    there = [token for slot in _slots(loaded) for token in _inserted(slot)]
    found = [token for token in there if _is_meant(uri, description(loaded, token))]
    if len(found) != 1:
        labels = ", ".join(sorted(repr(token.label) for token in (found or there))) or "none at all"
        raise TokenMissing(
            "tokens that are what the URI says", who="token", expected="1", got=f"{len(found)}; there are: {labels}"
        )
    return found[0]


def _loaded(library: str) -> _lib:
    try:
        return pkcs11.lib(library)
    except exceptions.PKCS11Error as error:
        if type(error) is exceptions.PKCS11Error:  # the others are what a library answered
            raise LibraryUnusable(
                "PKCS#11 library", who="token", expected="the path of a library that can be loaded", got=error
            ) from None
        raise


def identity_of(token: Token) -> tuple[str, ...]:
    """What tells it from all others, and stays."""
    return token.serial.hex(), token.label, token.manufacturer_id, token.model


def _slots(library: _lib) -> list[Slot]:
    return library.get_slots(token_present=True)


def _inserted(slot: Slot) -> list[Token]:
    """The slot's token; none, where it was taken out since, or was never set up."""
    try:
        token = slot.get_token()
    except (exceptions.TokenNotPresent, exceptions.TokenNotRecognised, exceptions.SlotIDInvalid):
        return []
    return [token] if TokenFlag.TOKEN_INITIALIZED in token.flags else []


def description(library: _lib, token: Token) -> dict[str, str]:
    """What RFC 7512 section 2.3 lets a URI say of a token; a version without a minor number has 0 there."""
    slot = token.slot
    return {
        "token": token.label,
        "serial": token.serial.decode(errors="replace"),
        "manufacturer": token.manufacturer_id,
        "model": token.model,
        "slot-id": str(slot.slot_id),
        "slot-description": slot.slot_description,
        "slot-manufacturer": slot.manufacturer_id,
        "library-manufacturer": library.manufacturer_id,
        "library-description": library.library_description,
        "library-version": "{}.{}".format(*library.library_version),
    }


def _is_meant(uri: TokenUri, said: dict[str, str]) -> bool:
    wanted = dict(uri.selects)
    version = wanted.get("library-version", ".")
    if "." not in version:
        wanted["library-version"] = version + ".0"
    return all(said[name] == value for name, value in wanted.items())


# Whose it is -------------------------------------------------------------------------------------------------


def runtime_directory() -> Path:
    """Where the locks are: a directory that lasts as long as this user's programs run, and is his."""
    named = os.environ.get(RUNTIME_VARIABLE)
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(tempfile.gettempdir()) / "insitu"  # Windows has one for each user
    of_user = Path(f"/run/user/{os.geteuid()}")  # not by XDG_RUNTIME_DIR: a service of the same user may lack that
    if of_user.is_dir():
        return of_user / "insitu"
    return Path(tempfile.gettempdir()) / f"insitu-{os.geteuid()}"


def lock_of(identity: tuple[str, ...]) -> Path:
    """The lock file of a token. Its name tells of the token nothing but that it is this one."""
    digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()
    return runtime_directory() / f"token-{digest[:32]}.lock"


def last_owned(library: str, uri: TokenUri) -> tuple[int, ...]:
    """Changes whenever somebody becomes the token's owner, as everybody must who writes there; empty: nobody ever."""
    try:
        status = lock_of(identity_of(find_token(library, uri))).stat()
    except (OSError, InsituError, exceptions.PKCS11Error):
        return ()
    return status.st_ino, status.st_mtime_ns


def _owned(lock_file: Path) -> Lock:
    directory = lock_file.parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_foreign(directory)
        return _locked(lock_file)
    except StoreLocked as error:
        raise TokenBusy("the token is in use", who="token", expected=error.expected, got=error.got) from None
    except OSError as error:
        raise EnvironmentFault(f"lock of the token: {lock_file}", who="token", got=error.strerror) from error


def _refuse_foreign(directory: Path) -> None:
    """Who can write where locks are can take them away, so that a token has two owners; or keep everybody out.

    Where nobody named the directory, somebody else could have made one of that name, and it is this user's alone. Where
    users share a named one, its owner is one of them or the system's administrator, and who writes there its group.
    """
    if expected := foreign(directory.lstat(), named=bool(os.environ.get(RUNTIME_VARIABLE))):
        raise EnvironmentFault(f"directory of locks: {directory}", who="token", expected=expected, got="another")


def foreign(status: os.stat_result, *, named: bool) -> str:
    """What a directory of locks has to be, if it is not that; empty if it is, and on Windows."""
    if sys.platform == "win32":
        return ""
    ours = (os.geteuid(), 0) if named else (os.geteuid(),)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in ours:
        return f"a directory of user {' or '.join(map(str, ours))}"
    others = stat.S_IWOTH if named else stat.S_IWOTH | stat.S_IWGRP
    return "one that others cannot write" if status.st_mode & others else ""


def _locked(lock_file: Path) -> Lock:
    """The lock; who may write in a directory that users share may take it as well."""
    held = OS_FILES.lock(lock_file)
    if sys.platform != "win32" and lock_file.parent.stat().st_mode & stat.S_IWGRP:
        file = os.open(lock_file, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if os.fstat(file).st_uid == os.geteuid():
                os.fchmod(file, 0o660)
        finally:
            os.close(file)
    return held
