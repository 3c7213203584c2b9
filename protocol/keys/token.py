"""Key memory in a token, by PKCS#11 (M1, M2): keys are made in it, used in it, and cannot be taken out of it.

Whatever the token does not do is refused by name; nothing is done in software in its place. The way to the token is
in token_access.py, symmetric keys in token_secrets.py. The table below says which attributes a private key must have.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, NoReturn, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, Hash, HashAlgorithm

from ..engine import (
    KeyHandle,
    KeyKind,
    ProtocolError,
    PublicKey,
    SecretAlgorithm,
    SecretHandle,
    SecretOperation,
    SecretUsage,
)
from ..stores.secret import Entropy, Secret, Uncopied
from .keyblock import read_block
from .methods import check_key
from .pkcs11_uri import TokenUri
from .port import KeyExists, KeyMismatch, KeyMissing, KeyRefused, KeyStoreError, brief, checked_label
from .public import FIELD_BYTES, load_public, signature_holds
from .token_access import (
    MechanismMissing,
    PinLocked,
    PinWrong,
    SessionLost,
    TokenAccess,
    TokenBusy,
    TokenMissing,
)
from .token_secrets import (
    MADE_MUST_BE,
    SECRET_MUST_BE,
    TokenObject,
    bring,
    brought_handle,
    bytes_of,
    check_meant,
    check_offered,
    made_handle,
    make_hmac_key,
    operate,
    read_handle,
)

import pkcs11  # isort: skip - only when token_access has found it
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, exceptions  # isort: skip
from pkcs11.types import Session  # isort: skip

__all__ = [
    "KeyExposed",
    "MechanismMissing",
    "PinLocked",
    "PinWrong",
    "SessionLost",
    "TokenBusy",
    "TokenKeyStore",
    "TokenMissing",
]


class KeyExposed(KeyStoreError):
    """A key that can leave the token, or that did not come into being there."""


CURVES: Final = {
    KeyKind.P256: bytes.fromhex("06082a8648ce3d030107"),
    KeyKind.P384: bytes.fromhex("06052b81040022"),
    KeyKind.ED25519: bytes.fromhex("06032b6570"),
}
"""CKA_EC_PARAMS: the curves' object identifiers (RFC 5480, RFC 8410), in DER."""

_OTHER_NAMES: Final = {b"\x13\x0cedwards25519": KeyKind.ED25519}
"""PKCS#11 3.0 lets a curve be named by a PrintableString as well."""

_KINDS: Final = {**{name: kind for kind, name in CURVES.items()}, **_OTHER_NAMES}
_HASHES: Final[dict[KeyKind, HashAlgorithm]] = {KeyKind.P256: SHA256(), KeyKind.P384: SHA384()}

_NEEDED: Final = {
    KeyKind.P256: (Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA, Mechanism.ECDH1_DERIVE),
    KeyKind.P384: (Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA, Mechanism.ECDH1_DERIVE),
    KeyKind.ED25519: (Mechanism.EC_EDWARDS_KEY_PAIR_GEN, Mechanism.EDDSA),
}

_PAIR_TYPES: Final = (KeyType.EC, KeyType.EC_EDWARDS)
_SECRET_TYPES: Final = (KeyType.GENERIC_SECRET, KeyType.AES, KeyType.DES3)


class TokenKeyStore(Uncopied):
    """KeyStore of the keys in a token; made by `open`. One call at a time reaches the token.

    What was found in the token once is not looked for again before the next login, since nobody else may write there.

    Args:
        access: the token.
        space: how the labels of all keys of this store begin in the token; others are none of its business.
        entropy: fills PIN blocks, and names pairs.

    """

    def __init__(self, access: TokenAccess, space: str = "", entropy: Entropy = secrets.token_bytes) -> None:
        self._access = access
        self._space = space
        self._entropy = entropy
        self._seen_at = 0
        self._labels: set[str] | None = None
        self._pairs: dict[str, tuple[TokenObject, PublicKey]] = {}
        self._secrets: dict[str, tuple[TokenObject, SecretHandle]] = {}

    @classmethod
    def open(cls, library: str, uri: TokenUri, pin: Secret) -> TokenKeyStore:
        """Become the token's owner, and log in to it; errors as for TokenAccess.open."""
        return cls(TokenAccess.open(library, uri, pin))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._space or 'all keys'}>"

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
        with self._access.calling() as session:
            self._check_offered(session, kind)
            self._check_new(session, label)
            if salt:
                session.seed_random(salt)
            edwards = kind is KeyKind.ED25519
            parameters = session.create_domain_parameters(
                KeyType.EC_EDWARDS if edwards else KeyType.EC, {Attribute.EC_PARAMS: CURVES[kind]}, local=True
            )
            public, private = parameters.generate_keypair(
                id=self._entropy(16),
                label=self._space + label,
                store=True,
                capabilities=MechanismFlag.SIGN if edwards else MechanismFlag.SIGN | MechanismFlag.DERIVE,
                mechanism=_NEEDED[kind][0],
                private_template=dict(SECRET_MUST_BE),
            )
            try:
                check_kept(label, private, MADE_MUST_BE)
                found = _public_of(session, self._space + label, private)
            except BaseException:
                with suppress(exceptions.PKCS11Error):
                    public.destroy()
                private.destroy()
                raise
            self._pairs[label] = private, found
            self._note(label)
            return KeyHandle(label, found)

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
        with self._access.calling() as session:
            signature = sign_in_token(self._meant(session, key), key.public.kind, message)
        return checked_signature(key.public, message, signature)

    def agree(self, key: KeyHandle, peer: PublicKey) -> bytes:
        """See KeyStore; what is agreed on leaves the token, the private key does not."""
        other = load_public(peer)
        with self._access.calling() as session:
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
                agreed = bytes_of(derived[Attribute.VALUE])
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
        with self._access.calling() as session:
            found = self._pair(session, label)
            return None if found is None else KeyHandle(label, found[1])

    def _meant(self, session: Session, key: KeyHandle) -> TokenObject:
        found = self._pair(session, key.label)
        if found is None:
            raise _missing(key.label)
        private, public = found
        if public != key.public:
            raise KeyMismatch(
                f"another key pair is kept as {key.label!r}", who="token", expected=brief(key.public), got=brief(public)
            )
        return private

    def _pair(self, session: Session, label: str) -> tuple[TokenObject, PublicKey] | None:
        self._look_anew()
        if label not in self._pairs:
            private = _only(session, self._space + label, ObjectClass.PRIVATE_KEY)
            if private is None:
                return None
            check_kept(label, private, MADE_MUST_BE)
            self._pairs[label] = private, _public_of(session, self._space + label, private)
        return self._pairs[label]

    # Symmetric keys

    def unwrap(self, label: str, wrapping: bytes, block: str) -> SecretHandle:
        """See KeyStore; the block is opened here, and the key is in the token from then on."""
        return self._bring(label, *read_block(wrapping, block))

    def use(self, key: SecretHandle, operation: SecretOperation) -> bytes:
        """See KeyStore.

        Raises:
            MechanismMissing: the token does not offer that method.

        """
        with self._access.calling() as session:
            found = self._secret(session, key.label)
            if found is None:
                raise _missing(key.label)
            check_meant(key.label, key, found[1])
            return operate(found[0], key, operation, self._entropy)

    def find_secret(self, label: str) -> SecretHandle | None:
        """See KeyStore.

        Raises:
            KeyExposed: the key could leave the token.

        """
        with self._access.calling() as session:
            found = self._secret(session, label)
            return None if found is None else found[1]

    def make_main_key(self, label: str) -> SecretHandle:
        """See Storage; the token makes it of its own random numbers, and nobody ever saw it."""
        with self._access.calling() as session:
            there = self._secret(session, label)
            if there is not None and there[1].usage is SecretUsage.DERIVATION:
                return there[1]
            self._check_new(session, label)
            made = make_hmac_key(session, self._space + label, SecretUsage.DERIVATION)
            try:
                check_kept(label, made, MADE_MUST_BE)
                handle = made_handle(label, made, SecretUsage.DERIVATION)
            except BaseException:
                made.destroy()
                raise
            return self._kept(made, handle)

    def share(self, label: str, key: bytes) -> SecretHandle:
        """See Storage; the key is in the token from then on."""
        check_key(SecretUsage.PROOF, SecretAlgorithm.HMAC, key)
        return self._bring(label, SecretUsage.PROOF, SecretAlgorithm.HMAC, key)

    def _bring(self, label: str, usage: SecretUsage, algorithm: SecretAlgorithm, key: bytes) -> SecretHandle:
        with self._access.calling() as session:
            check_offered(session, usage, algorithm)
            self._check_new(session, label)
            handle = brought_handle(label, usage, algorithm, key)
            return self._kept(bring(session, self._space + label, handle, key), handle)

    def _kept(self, key: TokenObject, handle: SecretHandle) -> SecretHandle:
        self._secrets[handle.label] = key, handle
        self._note(handle.label)
        return handle

    def _secret(self, session: Session, label: str) -> tuple[TokenObject, SecretHandle] | None:
        self._look_anew()
        if label not in self._secrets:
            found = _only(session, self._space + label, ObjectClass.SECRET_KEY)
            if found is None:
                return None
            handle = read_handle(label, found)
            check_kept(label, found, MADE_MUST_BE if handle.usage is SecretUsage.DERIVATION else SECRET_MUST_BE)
            self._secrets[label] = found, handle
        return self._secrets[label]

    # What no token does

    def rewrap(self, block: str, wrapping: bytes) -> str:
        """See KeyStore: refused."""
        _gives_nothing_out()

    def make_storage_key(self) -> SecretHandle:
        """See Storage: refused."""
        _gives_nothing_out()

    def new_secret_block(self, usage: SecretUsage, algorithm: SecretAlgorithm, bits: int) -> tuple[str, str]:
        """See Storage: refused."""
        _gives_nothing_out()

    def take_secret_block(self, block: str, wrapping: bytes) -> tuple[str, str]:
        """See Storage: refused."""
        _gives_nothing_out()

    def join_secret_block(
        self, usage: SecretUsage, algorithm: SecretAlgorithm, components: Sequence[bytes]
    ) -> tuple[str, str]:
        """See Storage: refused."""
        _gives_nothing_out()

    def secret_bytes_for_sealing(self, label: str) -> bytes:
        """See Storage: refused."""
        _gives_nothing_out()

    @property
    def keeps_passwords(self) -> bool:
        """No token does an exchange by password."""
        return False

    def share_password(self, label: str, password: bytes) -> SecretHandle:
        """See Storage: refused."""
        _does_no_pake()

    def start_pake(self, label: str, password: SecretHandle, identities: tuple[bytes, bytes], *, begins: bool) -> bytes:
        """See KeyStore: refused."""
        _does_no_pake()

    def finish_pake(self, label: str, share: bytes) -> SecretHandle:
        """See KeyStore: refused."""
        _does_no_pake()

    def give_up_exchanges(self) -> None:
        """See KeyMemory: there are none."""

    # All of them

    def labels(self) -> frozenset[str]:
        """See KeyStore: of all keys in the token whose labels begin as this store's do, whoever put them there."""
        with self._access.calling() as session:
            self._look_anew()
            if self._labels is None:
                wanted = (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY)
                names = {label_of(each) for kind in wanted for each in _all_of(session, kind)}
                self._labels = {name[len(self._space) :] for name in names if name.startswith(self._space)}
            return frozenset(self._labels)

    def destroy(self, label: str) -> None:
        """See KeyStore; the private key goes first."""
        with self._access.calling() as session:
            name, wanted = self._space + label, (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY)
            found = [each for kind in wanted for each in found_in(session, name, kind)]
            if not found:
                self._forget(label)
                raise _missing(label)
            for each in (*found, *found_in(session, name, ObjectClass.PUBLIC_KEY)):
                each.destroy()
            self._forget(label)

    def destroy_all_but(self, labels: frozenset[str]) -> None:
        """Destroy all other keys, and halves of pairs that were being made when power went.

        Such halves may have no label yet, nor the mark of what is kept; nobody makes pairs that are not kept.
        """
        with self._access.calling() as session:
            for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY, ObjectClass.PUBLIC_KEY):
                for each in _all_of(session, kind):
                    name = label_of(each)
                    unfinished = kind is not ObjectClass.SECRET_KEY and not each[Attribute.TOKEN]
                    outdated = name.startswith(self._space) and name[len(self._space) :] not in labels
                    if unfinished or outdated:
                        each.destroy()
                        self._forget(name[len(self._space) :])

    def _check_new(self, session: Session, label: str) -> None:
        checked_label(label)
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY):
            if found_in(session, self._space + label, kind):
                raise KeyExists("label is taken", who="token", expected="a new label", got=label)

    def _note(self, label: str) -> None:
        if self._labels is not None:
            self._labels.add(label)

    def _forget(self, label: str) -> None:
        self._pairs.pop(label, None)
        self._secrets.pop(label, None)
        if self._labels is not None:
            self._labels.discard(label)

    def _look_anew(self) -> None:
        """After a login, objects are to be found anew."""
        if self._seen_at != self._access.logins:
            self._seen_at, self._labels = self._access.logins, None
            self._pairs.clear()
            self._secrets.clear()

    # Life

    def release(self) -> None:
        """Let others own the token, and go on using its keys; nothing is written from now on."""
        self._access.release()

    def close(self) -> None:
        """Log out, and let others have the token; a second call does nothing."""
        self._access.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sign_in_token(private: TokenObject, kind: KeyKind, message: bytes, **more: str) -> bytes:
    """The token's signature. Args: `more`: of the call, say a PIN that the key asks for."""
    if kind not in _HASHES:
        return bytes_of(private.sign(message, mechanism=Mechanism.EDDSA, **more))
    digest = Hash(_HASHES[kind])
    digest.update(message)
    return bytes_of(private.sign(digest.finalize(), mechanism=Mechanism.ECDSA, **more))


def checked_signature(public: PublicKey, message: bytes, signature: bytes) -> bytes:
    """The signature, if it holds: a wrong one is not given out, since it may tell of the key.

    Raises:
        KeyStoreError: it does not.

    """
    if not signature_holds(public, message, signature):
        raise KeyStoreError("the token's signature does not hold", who="token", expected=brief(public))
    return signature


def _all_of(session: Session, kind: ObjectClass) -> list[TokenObject]:
    """All keys of that class; not those of which a power cut left not even the type, which no library can name."""
    types = _SECRET_TYPES if kind is ObjectClass.SECRET_KEY else _PAIR_TYPES
    wanted = ({Attribute.CLASS: kind, Attribute.KEY_TYPE: each} for each in types)
    return [each for template in wanted for each in list(session.get_objects(template))]


def label_of(found: TokenObject) -> str:
    """Its label; empty where it has none, or one that is not UTF-8: so it is none of ours."""
    try:
        return str(found[Attribute.LABEL])
    except (exceptions.AttributeTypeInvalid, UnicodeDecodeError):
        return ""


def found_in(session: Session, name: str, kind: ObjectClass, **more: bytes) -> list[TokenObject]:
    """The objects of that class with that label."""
    wanted: dict[Attribute, object] = {Attribute.CLASS: kind, Attribute.LABEL: name}
    wanted.update({Attribute[name]: value for name, value in more.items()})
    return list(session.get_objects(wanted))


def _only(session: Session, name: str, kind: ObjectClass) -> TokenObject | None:
    """The key with this label, if there is one."""
    found = found_in(session, name, kind)
    if len(found) > 1:
        raise KeyStoreError(f"keys labelled {name!r}", who="token", expected="one", got=len(found))
    return found[0] if found else None


def check_kept(label: str, key: TokenObject, must_be: dict[Attribute, bool]) -> None:
    """Notice a key that can, or could once, leave the token.

    Raises:
        KeyExposed: it can.

    """
    for name, value in must_be.items():
        try:
            got = key[name]
        except (exceptions.AttributeTypeInvalid, exceptions.AttributeSensitive):
            got = "not told"
        if got is not value:
            raise KeyExposed(
                f"key {label!r} is not bound to the token", who="token", expected=f"{name.name} {value}", got=got
            )


def _public_of(session: Session, name: str, private: TokenObject) -> PublicKey:
    """The public half: the object with the same label and id. A wrong one is found by the first signature."""
    public = public_in(session, name, ID=bytes_of(private[Attribute.ID]))
    if public is None:
        raise KeyStoreError(f"public keys of {name!r}", who="token", expected="one", got=0)
    return public


def public_in(session: Session, name: str, **more: bytes) -> PublicKey | None:
    """The public key with this label; None if there is none. No login is needed for it."""
    found = found_in(session, name, ObjectClass.PUBLIC_KEY, **more)
    if not found:
        return None
    if len(found) != 1:
        raise KeyStoreError(f"public keys of {name!r}", who="token", expected="one", got=len(found))
    try:
        kind = _KINDS.get(bytes_of(found[0][Attribute.EC_PARAMS]))
        point = bytes_of(found[0][Attribute.EC_POINT])
    except exceptions.AttributeTypeInvalid:
        kind, point = None, b""
    if kind is None:
        raise KeyRefused(f"{name!r} is no pair of a kind that is used here", who="token")
    public = PublicKey(kind, _unwrapped(kind, point))
    try:
        load_public(public)
    except ProtocolError as error:  # nobody sent it
        raise KeyRefused(f"public key of {name!r}", who="token", expected=error.expected, got=error.got) from None
    return public


def _unwrapped(kind: KeyKind, point: bytes) -> bytes:
    """A point out of its OCTET STRING, in which CKA_EC_POINT has it; some tokens leave that away."""
    size = 1 + 2 * FIELD_BYTES[kind] if kind in FIELD_BYTES else 32
    return point[2:] if point[:2] == bytes((0x04, size)) and len(point) == 2 + size else point


def _missing(label: str) -> KeyMissing:
    return KeyMissing("no such key", who="token", expected=label)


def _gives_nothing_out() -> NoReturn:
    raise MechanismMissing("a token gives no key out, not in a key block either", who="token", got="a key for others")


def _does_no_pake() -> NoReturn:
    raise MechanismMissing("a token does no exchange by password", who="token", got="a password")
