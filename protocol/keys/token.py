"""Key memory in a token, by PKCS#11 (M1, M2): pairs are made in it, used in it, and cannot be taken out of it.

Whatever the token does not do is refused by name; nothing is done in software in its place. Symmetric keys and
exchanges by password are not kept here. Tables below say which attributes a private key must have and what becomes
of the token's return values.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, Hash, HashAlgorithm

from ..engine import (
    InsituError,
    KeyHandle,
    KeyKind,
    ProtocolError,
    PublicKey,
    SecretHandle,
    SecretOperation,
    UsageError,
)
from ..stores.secret import Secret, Uncopied
from .pkcs11_uri import TokenUri
from .port import KeyExists, KeyMismatch, KeyMissing, KeyRefused, KeyStoreError, brief, checked_label
from .public import FIELD_BYTES, load_public, signature_holds

try:
    import pkcs11
    from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, exceptions
    from pkcs11.constants import TokenFlag
    from pkcs11.types import Session, Slot, Token
except ImportError as error:
    raise UsageError(
        "a token needs the extra pkcs11", who="token", expected="insitu[pkcs11] installed", got=error
    ) from None

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as _lib

_Object: TypeAlias = Any
"""An object in the token. What it can do depends on its attributes, so that the types of `pkcs11` do not say it."""


class TokenMissing(KeyStoreError):
    """No token, or more than one, is what the URI says; or it was taken out."""


class TokenBusy(KeyStoreError):
    """The token has an owner in this process already: a login holds for all of a process, and so does a logout."""


class SessionLost(KeyStoreError):
    """The token forgot us. The next call logs in again; whether the lost one was done is not known."""


class PinWrong(UsageError):
    """The token refused the PIN. It is not tried a second time: each try may be one of the last."""


class PinLocked(KeyStoreError):
    """The token takes no PIN any more until its security officer unlocks it."""


class KeyExposed(KeyStoreError):
    """A private key that can leave the token, or that did not come into being there."""


class MechanismMissing(KeyRefused):
    """The token does not offer what the kind of pair needs."""


_CURVES: Final = {
    KeyKind.P256: bytes.fromhex("06082a8648ce3d030107"),
    KeyKind.P384: bytes.fromhex("06052b81040022"),
    KeyKind.ED25519: bytes.fromhex("06032b6570"),
}
"""CKA_EC_PARAMS: the curves' object identifiers (RFC 5480, RFC 8410), in DER."""

_OTHER_NAMES: Final = {b"\x13\x0cedwards25519": KeyKind.ED25519}
"""PKCS#11 3.0 lets a curve be named by a PrintableString as well."""

_KINDS: Final = {**{name: kind for kind, name in _CURVES.items()}, **_OTHER_NAMES}
_HASHES: Final[dict[KeyKind, HashAlgorithm]] = {KeyKind.P256: SHA256(), KeyKind.P384: SHA384()}

_NEEDED: Final = {
    KeyKind.P256: (Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA, Mechanism.ECDH1_DERIVE),
    KeyKind.P384: (Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA, Mechanism.ECDH1_DERIVE),
    KeyKind.ED25519: (Mechanism.EC_EDWARDS_KEY_PAIR_GEN, Mechanism.EDDSA),
}

_MUST_BE: Final = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.LOCAL: True,
}
"""What a private key here is and always was. The first four are asked for; the last three only the token can set."""

_ASKED: Final = {name: _MUST_BE[name] for name in list(_MUST_BE)[:4]}

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
    ((exceptions.UserAlreadyLoggedIn, exceptions.AnotherUserAlreadyLoggedIn), TokenBusy, "the token has an owner"),
    (
        (exceptions.MechanismInvalid, exceptions.FunctionNotSupported, exceptions.RandomSeedNotSupported),
        MechanismMissing,
        "the token does not offer that",
    ),
)
"""Return values of PKCS#11 that say more than that something failed."""

_FINAL: Final = (PinWrong, PinLocked)
_ENDING: Final = (TokenMissing, SessionLost)

_owned: Final[set[tuple[str, bytes, str]]] = set()
_owning: Final = threading.Lock()


class TokenKeyStore(Uncopied):
    """KeyStore of the pairs in a token; made by `open`. One call at a time reaches the token.

    Args:
        library: path of the token's PKCS#11 library.
        uri: which token.
        pin: of its user.

    """

    def __init__(self, library: str, uri: TokenUri, pin: Secret) -> None:
        self._library = library
        self._uri = uri
        self._pin = pin
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._final: InsituError | None = None
        self._owned: tuple[str, bytes, str] | None = None

    @classmethod
    def open(cls, library: str, uri: TokenUri, pin: Secret) -> TokenKeyStore:
        """Log in to the token.

        Raises:
            TokenMissing: none, or several, are what `uri` says.
            TokenBusy: it has an owner in this process.
            PinWrong, PinLocked: it refused the PIN.
            KeyStoreError: the library or the token failed.

        """
        store = cls(library, uri, pin)
        try:
            with store._calling():
                pass
        except BaseException:
            store.close()
            raise
        return store

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._library}>"

    @property
    def answers_at_once(self) -> bool:
        """Never: a card takes a good part of a second for a signature."""
        return False

    # Pairs

    def generate(self, label: str, kind: KeyKind, salt: bytes) -> KeyHandle:
        """See KeyStore; the salt is mixed into the token's random numbers (C_SeedRandom) before it draws any.

        Raises:
            MechanismMissing: the token does not offer such pairs, or takes no salt.
            KeyExposed: the token made a pair that could leave it; the pair is destroyed.

        """
        checked_label(label)
        with self._calling() as session:
            self._check_offered(session, kind)
            if _found(session, label, ObjectClass.PRIVATE_KEY):
                raise KeyExists("label is taken", who="token", expected="a new label", got=label)
            if salt:
                session.seed_random(salt)
            edwards = kind is KeyKind.ED25519
            parameters = session.create_domain_parameters(
                KeyType.EC_EDWARDS if edwards else KeyType.EC, {Attribute.EC_PARAMS: _CURVES[kind]}, local=True
            )
            public, private = parameters.generate_keypair(
                id=secrets.token_bytes(16),
                label=label,
                store=True,
                capabilities=MechanismFlag.SIGN if edwards else MechanismFlag.SIGN | MechanismFlag.DERIVE,
                mechanism=_NEEDED[kind][0],
                private_template=dict(_ASKED),
            )
            try:
                _check_kept(label, private)
                return KeyHandle(label, _public_of(session, label, private))
            except BaseException:
                with suppress(exceptions.PKCS11Error):
                    public.destroy()
                private.destroy()
                raise

    def _check_offered(self, session: Session, kind: KeyKind) -> None:
        offered = session.token.slot.get_mechanisms()
        for mechanism in _NEEDED.get(kind, ()):
            if mechanism not in offered:
                raise MechanismMissing(
                    "the token does not offer that kind of pair", who="token", expected=mechanism.name, got=kind.value
                )
        if kind not in _NEEDED:
            raise MechanismMissing("tokens are not used for that kind of pair", who="token", got=kind.value)

    def sign(self, key: KeyHandle, message: bytes) -> bytes:
        """See KeyStore; hashed here (but for Ed25519), signed in the token, verified here before it is given out."""
        with self._calling() as session:
            private = self._meant(session, key)
            kind = key.public.kind
            if kind in _HASHES:
                digest = Hash(_HASHES[kind])
                digest.update(message)
                signature = _bytes(private.sign(digest.finalize(), mechanism=Mechanism.ECDSA))
            else:
                signature = _bytes(private.sign(message, mechanism=Mechanism.EDDSA))
        if not signature_holds(key.public, message, signature):
            raise KeyStoreError("the token's signature does not hold", who="token", expected=brief(key.public))
        return signature

    def agree(self, key: KeyHandle, peer: PublicKey) -> bytes:
        """See KeyStore; what is agreed on leaves the token, the private key does not."""
        other = load_public(peer)
        with self._calling() as session:
            private = self._meant(session, key)
            kind = key.public.kind
            if kind not in FIELD_BYTES:
                raise KeyRefused("this kind of key does not agree on secrets", who="token", got=kind.value)
            if peer.kind is not kind or not isinstance(other, ec.EllipticCurvePublicKey):
                raise ProtocolError("key of the other side", who="keys", expected=kind.value, got=peer.kind.value)
            size = FIELD_BYTES[kind]
            derived = private.derive_key(
                KeyType.GENERIC_SECRET,
                8 * size,
                mechanism=Mechanism.ECDH1_DERIVE,
                mechanism_param=(pkcs11.KDF.NULL, None, peer.data),
                template={Attribute.TOKEN: False, Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
            )
            try:
                agreed = _bytes(derived[Attribute.VALUE])
            finally:
                derived.destroy()
        if len(agreed) != size:
            raise KeyStoreError("secret agreed on", who="token", expected=f"{size} bytes", got=len(agreed))
        return agreed

    def find(self, label: str) -> KeyHandle | None:
        """See KeyStore.

        Raises:
            KeyExposed: the private key could leave the token.

        """
        with self._calling() as session:
            private = _only(session, label)
            return None if private is None else KeyHandle(label, _public_of(session, label, private))

    def labels(self) -> frozenset[str]:
        """See KeyStore: those of all private keys in the token, whoever put them there."""
        with self._calling() as session:
            found = session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})
            return frozenset(str(each[Attribute.LABEL]) for each in found)

    def destroy(self, label: str) -> None:
        """See KeyStore; the private key goes first."""
        with self._calling() as session:
            found = _found(session, label, ObjectClass.PRIVATE_KEY)
            if not found:
                raise KeyMissing("no such key", who="token", expected=label)
            for each in (*found, *_found(session, label, ObjectClass.PUBLIC_KEY)):
                each.destroy()

    def _meant(self, session: Session, key: KeyHandle) -> _Object:
        private = _only(session, key.label)
        if private is None:
            raise KeyMissing("no such key", who="token", expected=key.label)
        public = _public_of(session, key.label, private)
        if public != key.public:
            raise KeyMismatch(
                f"another key pair is kept as {key.label!r}", who="token", expected=brief(key.public), got=brief(public)
            )
        return private

    # Symmetric keys: none

    def find_secret(self, label: str) -> SecretHandle | None:
        """See KeyStore: never one."""
        return None

    def unwrap(self, label: str, wrapping: bytes, block: str) -> SecretHandle:
        """See KeyStore: refused."""
        _keeps_pairs_only()

    def rewrap(self, block: str, wrapping: bytes) -> str:
        """See KeyStore: refused."""
        _keeps_pairs_only()

    def use(self, key: SecretHandle, operation: SecretOperation) -> bytes:
        """See KeyStore: refused."""
        _keeps_pairs_only()

    def start_pake(self, label: str, password: SecretHandle, identities: tuple[bytes, bytes], *, begins: bool) -> bytes:
        """See KeyStore: refused."""
        _keeps_pairs_only()

    def finish_pake(self, label: str, share: bytes) -> SecretHandle:
        """See KeyStore: refused."""
        _keeps_pairs_only()

    # Life

    @contextmanager
    def _calling(self) -> Iterator[Session]:
        """A session, logged in, for one call; what the token answers becomes an error of ours.

        No call is repeated by itself, and no PIN that was refused is tried again.
        """
        with self._lock:
            if self._final is not None:
                raise self._final.with_traceback(None)
            try:
                if self._session is None:
                    self._session = self._log_in()
                yield self._session
            except exceptions.PKCS11Error as error:
                ours = typed(error)
                if isinstance(ours, _FINAL):
                    self._final = ours
                if isinstance(ours, _ENDING):
                    self._drop()
                raise ours from error

    def _log_in(self) -> Session:
        library = pkcs11.lib(self._library)
        token = self._token(library)
        owned = self._library, bytes(token.serial), token.label
        with _owning:
            if self._owned is None and owned in _owned:
                raise TokenBusy("the token has an owner", who="token", expected="one store for each token")
            if self._owned not in (None, owned):
                raise TokenMissing("another token than before", who="token")
            _owned.add(owned)
            self._owned = owned
        if TokenFlag.USER_PIN_LOCKED in token.flags:
            raise PinLocked("PIN locked", who="token", got=token.label)
        try:
            pin = self._pin.reveal().decode()
        except UnicodeDecodeError:
            raise PinWrong("PIN", who="token", expected="UTF-8") from None
        return token.open(rw=True, user_pin=pin)

    def _token(self, library: _lib) -> Token:
        found = [
            token
            for slot in _slots(library)
            for token in _inserted(slot)
            if _is_meant(self._uri, _description(library, token))
        ]
        if len(found) != 1:
            raise TokenMissing("tokens that are what the URI says", who="token", expected="1", got=len(found))
        return found[0]

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(exceptions.PKCS11Error):
                session.close()

    def close(self) -> None:
        """Log out, and let others have the token; a second call does nothing."""
        with self._lock:
            self._drop()
            self._final = KeyStoreError("the token's store is closed", who="token")
            with _owning:
                if self._owned is not None:
                    _owned.discard(self._owned)
                    self._owned = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def typed(error: exceptions.PKCS11Error) -> InsituError:
    """The error of ours that says what the token's means."""
    for theirs, ours, summary in _MEANINGS:
        if isinstance(error, theirs):
            return ours(summary, who="token", got=type(error).__name__)
    return KeyStoreError("the token failed", who="token", got=type(error).__name__)


def _slots(library: _lib) -> list[Slot]:
    return library.get_slots(token_present=True)


def _inserted(slot: Slot) -> list[Token]:
    """The slot's token; none, where it was taken out since, or was never set up."""
    try:
        token = slot.get_token()
    except (exceptions.TokenNotPresent, exceptions.TokenNotRecognised, exceptions.SlotIDInvalid):
        return []
    return [token] if TokenFlag.TOKEN_INITIALIZED in token.flags else []


def _description(library: _lib, token: Token) -> dict[str, str]:
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


def _is_meant(uri: TokenUri, description: dict[str, str]) -> bool:
    wanted = dict(uri.selects)
    version = wanted.get("library-version", ".")
    if "." not in version:
        wanted["library-version"] = version + ".0"
    return all(description[name] == value for name, value in wanted.items())


def _found(session: Session, label: str, kind: ObjectClass, **more: bytes) -> list[_Object]:
    wanted: dict[Attribute, object] = {Attribute.CLASS: kind, Attribute.LABEL: label}
    wanted.update({Attribute[name]: value for name, value in more.items()})
    return list(session.get_objects(wanted))


def _only(session: Session, label: str) -> _Object | None:
    """The private key with this label, if there is one, and is as it must be."""
    found = _found(session, label, ObjectClass.PRIVATE_KEY)
    if len(found) > 1:
        raise KeyStoreError(f"private keys labelled {label!r}", who="token", expected="one", got=len(found))
    if not found:
        return None
    _check_kept(label, found[0])
    return found[0]


def _check_kept(label: str, private: _Object) -> None:
    """Notice a private key that can, or could once, leave the token.

    Raises:
        KeyExposed: it can.

    """
    for name, value in _MUST_BE.items():
        try:
            got = private[name]
        except (exceptions.AttributeTypeInvalid, exceptions.AttributeSensitive):
            got = "not told"
        if got is not value:
            raise KeyExposed(
                f"private key {label!r} is not bound to the token",
                who="token",
                expected=f"{name.name} {value}",
                got=got,
            )


def _public_of(session: Session, label: str, private: _Object) -> PublicKey:
    """The public half: the object with the same label and id. A wrong one is found by the first signature."""
    found = _found(session, label, ObjectClass.PUBLIC_KEY, ID=_bytes(private[Attribute.ID]))
    if len(found) != 1:
        raise KeyStoreError(f"public keys of {label!r}", who="token", expected="one", got=len(found))
    try:
        kind = _KINDS.get(_bytes(found[0][Attribute.EC_PARAMS]))
        point = _bytes(found[0][Attribute.EC_POINT])
    except exceptions.AttributeTypeInvalid:
        kind, point = None, b""
    if kind is None:
        raise KeyRefused(f"{label!r} is no pair of a kind that is used here", who="token")
    public = PublicKey(kind, _unwrapped(kind, point))
    load_public(public)
    return public


def _unwrapped(kind: KeyKind, point: bytes) -> bytes:
    """A point out of its OCTET STRING, in which CKA_EC_POINT has it; some tokens leave that away."""
    size = 1 + 2 * FIELD_BYTES[kind] if kind in FIELD_BYTES else 32
    return point[2:] if point[:2] == bytes((0x04, size)) and len(point) == 2 + size else point


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise KeyStoreError("answer of the token", who="token", expected="bytes", got=type(value).__name__)
    return value


def _keeps_pairs_only() -> NoReturn:
    raise KeyRefused("this key memory keeps key pairs only", who="token", got="a symmetric key")
