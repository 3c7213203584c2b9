"""A vault in a token: a party's keys and its record lie there, and nowhere else (M1, M2, L4, S3).

The record is kept in data objects, which cannot be changed, only made and destroyed, and of which a power cut may
leave any. So one object counts, the root: it has a number that grows, names all keys and parts of the record that
belong to it, and ends in an HMAC by a key that the token made and that never leaves it. A commit first makes all that
is new, then the root of the next number, then destroys what is outdated. Opening takes the newest root that is
authentic and of which everything is there, and destroys all the rest: so an interrupted commit is undone or finished.
A token may fail to tell what is in an object, or whose it is. Such an object is not destroyed, and where it may be the
root that counts, nothing is opened or written; what is destroyed at an opening was outdated in two readings.
Labels in the token begin with "insitu" and the kind of the party; whatever else is there is left alone.

    root = bstr .cbor [2, kind: tstr, number: uint, skeleton, keys: {* label: tstr => key}, secrets: {* tstr => key}]
        followed by its HMAC-SHA-256, 32 bytes
    key = [kind: tstr, public: bstr] / [usage: tstr, algorithm: tstr, bits: uint, check value: tstr]

What the skeleton is, stores/parts.py says.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ..engine import InsituError, KeyHandle, KeyKind, PublicKey, SecretHandle, SecretUsage, UsageError
from ..engine import SecretAlgorithm as Algorithm
from ..messages.codec import DecodeError, Item, decode, encode
from ..stores.atomic import LARGEST, ErasureFailed, StoreFailed, StoreUncertain
from ..stores.parts import DEPTH, TAGS, digests_in, put_together, taken_apart
from ..stores.sealed import StoreDamaged, StoreExists, StoreKind, StoreMissing, WrongKind
from ..stores.secret import Entropy, Secret
from .pkcs11_uri import TokenUri
from .port import KeyMissing, KeyStoreError, Memory
from .token import TokenKeyStore, check_kept, found_in
from .token_access import TokenAccess
from .token_secrets import MADE_MUST_BE, TokenObject, hmac_in_token, make_hmac_key
from .vault import OwnVault

from pkcs11 import Attribute, ObjectClass, exceptions  # isort: skip - only when token_access has found it
from pkcs11.types import Session  # isort: skip

APPLICATION: Final = "insitu"
"""CKA_APPLICATION of all data objects, and the beginning of all labels."""
VERSION: Final = 2
"""Of the root; 1 is the version of sealed files."""

_WHO: Final = "token"
_MAC_BYTES: Final = 32
_DOMAIN: Final = b"insitu token root\0"
_DEPTH: Final = DEPTH + 2
_NOT_FOR_TOKENS: Final = {
    StoreKind.UNIT: "a book gives its TANs out, to be printed",
    StoreKind.TICKETS: "tickets are handed over as a file",
    StoreKind.CENTRAL: "keys for modules leave its registry, in key blocks",
}


@dataclass(frozen=True, slots=True)
class _Root:
    """What a root says.

    Attributes:
        number: it has the highest of all.
        skeleton: of the record, which is None before the first commit.
        pairs, secrets: the keys that belong to it.

    """

    number: int
    skeleton: Item
    pairs: Mapping[str, PublicKey]
    secrets: Mapping[str, SecretHandle]

    @property
    def labels(self) -> frozenset[str]:
        return frozenset((*self.pairs, *self.secrets))


@dataclass(frozen=True, slots=True)
class _Objects:
    """Data objects, as one reading found them.

    Attributes:
        roots: with their values.
        parts: with their names and values; None: the token does not tell it.

    """

    roots: list[tuple[TokenObject, bytes]]
    parts: list[tuple[TokenObject, str, bytes | None]]

    def known(self) -> dict[bytes, bytes]:
        """The parts that are what they are called."""
        told = ((name, value) for _, name, value in self.parts if value is not None)
        return {digest: value for name, value in told if (digest := _digest_of(name, value)) is not None}


class _Contents:
    """The objects of one party's vault in a token."""

    def __init__(self, access: TokenAccess, kind: StoreKind) -> None:
        self.access = access
        self.kind = kind
        self.root_label = f"{APPLICATION} {kind.value}: root"
        self.part_label = f"{APPLICATION} {kind.value}: part "
        self.seal_label = f"{APPLICATION} {kind.value}: seal"
        self._sealed_at = 0
        self._seal: TokenObject = None

    # Data objects

    def write(self, label: str, value: bytes) -> None:
        """Make a data object that only the user of the token can read."""
        with self.access.calling() as session:
            session.create_object(
                {
                    Attribute.CLASS: ObjectClass.DATA,
                    Attribute.TOKEN: True,
                    Attribute.PRIVATE: True,
                    Attribute.APPLICATION: APPLICATION,
                    Attribute.LABEL: label,
                    Attribute.VALUE: value,
                }
            )

    def everything(self) -> _Objects:
        """The roots and the parts.

        Raises:
            KeyStoreError: the token does not tell of each object which it is, or of each root what is in it.

        """
        roots: list[tuple[TokenObject, bytes]] = []
        parts: list[tuple[TokenObject, str, bytes | None]] = []
        with self.access.calling() as session:
            for each in _data(session):
                label = _told_label(each)
                if label == self.root_label:
                    roots.append((each, bytes(each[Attribute.VALUE])))
                elif label.startswith(self.part_label):
                    parts.append((each, label[len(self.part_label) :], _value(each)))
        return _Objects(roots, parts)

    def root_values(self) -> list[bytes]:
        """All roots that are there; raises KeyStoreError where the token does not tell them."""
        with self.access.calling() as session:
            return [value for _, value in self._roots(session)]

    def keep_root(self, kept: bytes) -> None:
        """Destroy the other roots, once this one was seen.

        Raises:
            KeyStoreError: it was not, or the token does not tell all of them; nothing is destroyed then.

        """
        with self.access.calling() as session:
            roots = self._roots(session)
            if kept not in [value for _, value in roots]:
                raise KeyStoreError("the token does not show the root that counts", who=_WHO, got=f"{len(roots)} roots")
            for each, value in roots:
                if value != kept:
                    each.destroy()

    def _roots(self, session: Session) -> list[tuple[TokenObject, bytes]]:
        found = found_in(session, self.root_label, ObjectClass.DATA)
        return [(each, bytes(each[Attribute.VALUE])) for each in found]

    def destroy_data(self, label: str) -> None:
        """Destroy the data objects with that label."""
        with self.access.calling() as session:
            for each in found_in(session, label, ObjectClass.DATA):
                each.destroy()

    def destroy_unfinished(self) -> None:
        """Destroy data objects that were being made when power went; they are not kept yet, and belong to nobody."""
        with self.access.calling() as session:
            for each in list(session.get_objects({Attribute.CLASS: ObjectClass.DATA, Attribute.TOKEN: False})):
                each.destroy()

    def kinds_there(self) -> set[str]:
        """The kinds of party that have a root in this token."""
        with self.access.calling() as session:
            labels = [_told_label(each) for each in _data(session)]
        return {label.removeprefix(f"{APPLICATION} ").removesuffix(": root") for label in labels if ": root" in label}

    # The seal

    @property
    def has_seal(self) -> bool:
        """Whether there is one, or what began as one."""
        with self.access.calling() as session:
            return bool(found_in(session, self.seal_label, ObjectClass.SECRET_KEY))

    def make_seal(self) -> None:
        """Have the token make the key that vouches for roots."""
        with self.access.calling() as session:
            made = make_hmac_key(session, self.seal_label, SecretUsage.PROOF, APPLICATION.encode())
            try:
                check_kept(self.seal_label, made, MADE_MUST_BE)
            except BaseException:
                made.destroy()
                raise

    def destroy_seals(self) -> None:
        """Destroy it, and those of interrupted beginnings."""
        with self.access.calling() as session:
            for each in found_in(session, self.seal_label, ObjectClass.SECRET_KEY):
                each.destroy()

    def mac(self, body: bytes) -> bytes:
        """What vouches for a root.

        Raises:
            StoreDamaged: there is no such key, or not one.

        """
        with self.access.calling() as session:
            if self._sealed_at != self.access.logins:
                found = found_in(session, self.seal_label, ObjectClass.SECRET_KEY)
                if len(found) != 1:
                    raise _damaged("one key that vouches for the record", f"{len(found)}")
                check_kept(self.seal_label, found[0], MADE_MUST_BE)
                self._seal, self._sealed_at = found[0], self.access.logins
            return hmac_in_token(self._seal, _DOMAIN + body)

    # Roots

    def root(self, root: _Root) -> bytes:
        """Its object's value."""
        pairs: dict[int | str, Item] = {label: (key.kind.value, key.data) for label, key in root.pairs.items()}
        held: dict[int | str, Item] = {
            label: (key.usage.value, key.algorithm.value, key.bits, key.check_value)
            for label, key in root.secrets.items()
        }
        body = encode((VERSION, self.kind.value, root.number, root.skeleton, pairs, held), max_depth=_DEPTH)
        return body + self.mac(body)

    def read_root(self, value: bytes) -> _Root | None:
        """What it says; None where it is not complete, not authentic, or another party's."""
        body, mac = value[:-_MAC_BYTES], value[-_MAC_BYTES:]
        if not hmac.compare_digest(self.mac(body), mac):
            return None
        try:
            match decode(body, max_bytes=LARGEST, max_depth=_DEPTH, max_items=LARGEST, allowed_tags=TAGS):
                case (int(version), str(kind), int(number), skeleton, dict(pairs), dict(held)) if (
                    version == VERSION and kind == self.kind.value
                ):
                    return _Root(
                        number,
                        skeleton,
                        {str(label): _public(each) for label, each in pairs.items()},
                        {str(label): _handle(str(label), each) for label, each in held.items()},
                    )
        except (DecodeError, ValueError):
            pass
        return None


class TokenVault(OwnVault):
    """A vault in a token; made by `create` and `open`. It is the owner of the token until it is closed.

    New keys are in the token at once; one that no commit kept is destroyed by `roll_back`, or where that cannot be
    done, at the next opening. Since calls come from worker threads, what changes the vault waits for its turn: else a
    roll back could destroy what a commit is just keeping.
    """

    def __init__(
        self, contents: _Contents, keys: TokenKeyStore, root: _Root, value: bytes, record: bytes | None
    ) -> None:
        super().__init__(keys, record, root.labels)
        self._token = keys
        self._contents = contents
        self._root = root
        self._value = value
        self._parts = frozenset[bytes]()
        self._unusable = ""
        self._detached = False
        self._turn = threading.RLock()

    @classmethod
    def create(
        cls, library: str, uri: TokenUri, kind: StoreKind, pin: Secret, *, entropy: Entropy = secrets.token_bytes
    ) -> TokenVault:
        """Make an empty vault in a token that has none.

        Args:
            library: path of the token's PKCS#11 library.
            uri: which token.
            kind: whose durable state.
            pin: of the token's user.
            entropy: names pairs, and fills PIN blocks.

        Raises:
            UsageError: not a kind that is kept in tokens, or as for TokenAccess.open.
            StoreExists: there is a party in this token already: each token belongs to one.
            StoreDamaged: there are keys of such a party, but nothing that belongs to them.
            MechanismMissing: the token makes no keys for HMAC-SHA-256.
            EnvironmentFault: as for TokenAccess.open.

        """
        return cls.begin(_access(library, uri, kind, pin), kind, entropy=entropy)

    @classmethod
    def begin(cls, access: TokenAccess, kind: StoreKind, *, entropy: Entropy = secrets.token_bytes) -> TokenVault:
        """As `create`, in a token that this program owns already; it is given back with the vault, or if this fails."""
        contents, keys = _in(access, kind, entropy)
        try:
            return cls(contents, keys, _Root(0, None, {}, {}), _begun(contents, keys), None)
        except BaseException:
            keys.close()
            raise

    @classmethod
    def open(
        cls, library: str, uri: TokenUri, kind: StoreKind, pin: Secret, *, entropy: Entropy = secrets.token_bytes
    ) -> TokenVault:
        """Open the vault as last committed; what an interrupted commit left is destroyed.

        Raises:
            StoreMissing: there is none in the token.
            WrongKind: there is another party's.
            StoreDamaged: something that belongs to it is missing or was altered.
            ErasureFailed: what an interrupted commit left cannot be destroyed.
            UsageError, EnvironmentFault: as for TokenAccess.open.

        """
        return cls.over(_access(library, uri, kind, pin), kind, entropy=entropy)

    @classmethod
    def over(cls, access: TokenAccess, kind: StoreKind, *, entropy: Entropy = secrets.token_bytes) -> TokenVault:
        """As `open`, in a token that this program owns already; it is given back with the vault, or when this fails."""
        contents, keys = _in(access, kind, entropy)
        try:
            objects = contents.everything()
            root, value = _newest(contents, keys, objects)
            parts = objects.known()
            try:
                vault = cls(contents, keys, root, value, _record_of(root, parts))
            except DecodeError as error:
                raise _damaged("a record, taken apart", error.summary) from error
            vault._parts = frozenset(digests_in(root.skeleton, parts))
            vault._clear_away()
        except BaseException:
            keys.close()
            raise
        return vault

    @property
    def memory(self) -> Memory | None:
        """See Vault: CK_TOKEN_INFO, where the token fills that in."""
        return self._contents.access.memory

    def _clear_away(self) -> None:
        """Destroy what does not belong to the root that counts, if it is the same one once more."""
        try:
            self._contents.destroy_unfinished()
            objects = self._contents.everything()
            if _newest(self._contents, self._token, objects)[1] != self._value:
                raise KeyStoreError("the token shows one root, and then another one", who=_WHO)
            needed = {digest.hex() for digest in self._parts}
            with self._contents.access.calling():
                for each, root in objects.roots:
                    if root != self._value:
                        each.destroy()
                for each, name, value in objects.parts:
                    if name not in needed or (value is not None and _digest_of(name, value) is None):
                        each.destroy()
            self._token.destroy_all_but(self._root.labels)
        except InsituError as error:
            raise ErasureFailed("leftovers of an interrupted write", who=_WHO, got=error.summary) from error

    def commit(self, record: bytes, keep: frozenset[str]) -> None:
        """See Vault."""
        with self._turn:
            super().commit(record, keep)

    def destroy(self, label: str) -> None:
        """See Vault."""
        with self._turn:
            super().destroy(label)

    def _make_durable(self, record: bytes | None, keep: frozenset[str], *, erase: bool) -> None:
        self._check()
        skeleton, parts = (None, {}) if record is None else taken_apart(record)
        root = _Root(self._root.number + 1, skeleton, *self._kept(keep))
        self._write_parts({digest: part for digest, part in parts.items() if digest not in self._parts})
        self._write_root(root)
        outdated, self._parts = self._parts - parts.keys(), frozenset(parts)
        try:
            self._contents.keep_root(self._value)
            for digest in outdated:
                self._contents.destroy_data(self._contents.part_label + digest.hex())
        except InsituError as error:
            raise ErasureFailed("the old record is not destroyed yet", who=_WHO, got=error.summary) from error

    def _kept(self, labels: frozenset[str]) -> tuple[dict[str, PublicKey], dict[str, SecretHandle]]:
        pairs: dict[str, PublicKey] = {}
        held: dict[str, SecretHandle] = {}
        for label in labels:
            pair = self._token.find(label)
            secret = None if pair is not None else self._token.find_secret(label)
            if pair is not None:
                pairs[label] = pair.public
            elif secret is not None:
                held[label] = secret
            else:
                raise KeyMissing("no such key", who=_WHO, expected=label)
        return pairs, held

    def _write_parts(self, parts: Mapping[bytes, bytes]) -> None:
        """All of them or none; what stays nevertheless belongs to nothing, and goes at the next opening."""
        try:
            for digest, part in parts.items():
                self._contents.write(self._contents.part_label + digest.hex(), part)
        except InsituError as error:
            with suppress(InsituError):
                for digest in parts:
                    self._contents.destroy_data(self._contents.part_label + digest.hex())
            raise StoreFailed("the token does not take the record", who=_WHO, got=error) from error

    def _write_root(self, root: _Root) -> None:
        value, label = self._contents.root(root), self._contents.root_label
        self._check_nobody_else_wrote()
        try:
            self._contents.write(label, value)
        except InsituError as error:
            try:
                self._contents.keep_root(self._value)
            except InsituError:
                self._unusable = "a write that may or may not have happened"
                raise StoreUncertain("whether the token took the record is not known", who=_WHO, got=error) from error
            raise StoreFailed("the token does not take the record", who=_WHO, got=error) from error
        self._root, self._value = root, value

    def _check_nobody_else_wrote(self) -> None:
        """The lock keeps out who looks for it where we do; nobody else's record is written over either."""
        if self._contents.root_values() != [self._value]:
            self._unusable = "another program has written"
            raise StoreUncertain("the token has another record by now", who=_WHO, expected="one owner", got="two")

    def _check(self) -> None:
        if self._unusable:
            raise StoreFailed("the token must be opened again", who=_WHO, got=self._unusable)

    def roll_back(self) -> None:
        """See Vault; where the token cannot be reached, that is done at the next opening."""
        with self._turn:
            if not self._detached:
                with suppress(InsituError):
                    super().roll_back()

    def discard(self) -> None:
        """Destroy the vault with all that is in it, and close it."""
        try:
            self._contents.destroy_data(self._contents.root_label)
            self._contents.destroy_seals()  # from here on, nobody takes the rest for a vault
            _destroy_rest(self._contents, self._token)
        finally:
            self.close()

    def detach(self) -> None:
        """See Vault."""
        with self._turn:
            self.roll_back()
            self._unusable, self._detached = "given back to others", True
            self._token.release()

    def close(self) -> None:
        """See Vault."""
        with self._turn:
            self.roll_back()
            self._unusable = self._unusable or "closed"
            self._detached = True
            self._token.close()


def _access(library: str, uri: TokenUri, kind: StoreKind, pin: Secret) -> TokenAccess:
    if kind in _NOT_FOR_TOKENS:
        raise UsageError(f"no store for a {kind.value}", who=_WHO, expected="a sealed file", got=_NOT_FOR_TOKENS[kind])
    return TokenAccess.open(library, uri, pin)


def _in(access: TokenAccess, kind: StoreKind, entropy: Entropy) -> tuple[_Contents, TokenKeyStore]:
    return _Contents(access, kind), TokenKeyStore(access, f"{APPLICATION} {kind.value} ", entropy)


def _begun(contents: _Contents, keys: TokenKeyStore) -> bytes:
    """Begin a vault in a token that has none, with a first root."""
    if there := contents.kinds_there():
        got = f"that of a {' and a '.join(sorted(there))}"
        raise StoreExists("there is a store in the token already", who=_WHO, expected="a token without", got=got)
    if keys.labels() and contents.has_seal:
        raise _damaged("no keys without a record", ", ".join(sorted(keys.labels())))
    contents.destroy_seals()
    _destroy_rest(contents, keys)
    contents.make_seal()
    value = contents.root(_Root(0, None, {}, {}))
    contents.write(contents.root_label, value)
    return value


def _destroy_rest(contents: _Contents, keys: TokenKeyStore) -> None:
    """What is left of a vault that has neither root nor seal."""
    keys.destroy_all_but(frozenset())
    for _, name, _ in contents.everything().parts:
        contents.destroy_data(contents.part_label + name)


def _newest(contents: _Contents, keys: TokenKeyStore, objects: _Objects) -> tuple[_Root, bytes]:
    """The root that counts, and its object's value."""
    if not objects.roots:
        raise _absent(contents.kind, contents.kinds_there())
    known = objects.known()
    said = [(root, value) for _, value in objects.roots if (root := contents.read_root(value)) is not None]
    lack = "a record that the token's key vouches for"
    for root, value in sorted(said, key=lambda each: each[0].number, reverse=True):
        lack = _lacking(root, known, keys)
        if not lack:
            return root, value
        if any(value is None for _, _, value in objects.parts):
            raise KeyStoreError("the token does not tell all of the record", who=_WHO, expected=lack)
    raise _damaged(lack, "none")


def _data(session: Session) -> list[TokenObject]:
    return list(session.get_objects({Attribute.CLASS: ObjectClass.DATA, Attribute.APPLICATION: APPLICATION}))


def _told_label(data: TokenObject) -> str:
    """Empty where it is not UTF-8: so it is none of ours. All have one, so that not to tell it is an error."""
    try:
        return str(data[Attribute.LABEL])
    except UnicodeDecodeError:
        return ""


def _value(part: TokenObject) -> bytes | None:
    """None where the token does not tell it: it may be incomplete."""
    try:
        return bytes(part[Attribute.VALUE])
    except (exceptions.AttributeTypeInvalid, exceptions.AttributeSensitive):
        return None


def _absent(kind: StoreKind, there: set[str]) -> WrongKind | StoreMissing:
    if there:
        return WrongKind("token of another party", who=_WHO, expected=kind.value, got=" and ".join(sorted(there)))
    return StoreMissing("there is no store in the token", who=_WHO, expected=f"a {kind.value} store")


def _digest_of(name: str, value: bytes) -> bytes | None:
    """The digest of a part that is what it is called."""
    digest = hashlib.sha256(value).digest()
    return digest if digest.hex() == name else None


def _lacking(root: _Root, parts: Mapping[bytes, bytes], keys: TokenKeyStore) -> str:
    """What of all that belongs to a root is not there; empty: nothing."""
    if any(digest not in parts for digest in digests_in(root.skeleton, parts)):
        return "all parts of the record"
    for label, public in root.pairs.items():
        if keys.find(label) != KeyHandle(label, public):
            return f"the key pair {label!r}"
    for label, handle in root.secrets.items():
        if keys.find_secret(label) != handle:
            return f"the key {label!r}"
    return ""


def _record_of(root: _Root, parts: Mapping[bytes, bytes]) -> bytes | None:
    return None if root.skeleton is None else put_together(root.skeleton, parts.__getitem__)


def _public(item: Item) -> PublicKey:
    match item:
        case (str(kind), bytes(data)):
            return PublicKey(KeyKind(kind), data)
    raise ValueError("no key")


def _handle(label: str, item: Item) -> SecretHandle:
    match item:
        case (str(usage), str(algorithm), int(bits), str(value)):
            return SecretHandle(label, SecretUsage(usage), Algorithm(algorithm), bits, value)
    raise ValueError("no key")


def _damaged(expected: object, got: object) -> StoreDamaged:
    return StoreDamaged("the store in the token is damaged", who=_WHO, expected=expected, got=got)
