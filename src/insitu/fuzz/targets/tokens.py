"""What lies in a token, which somebody else may have had in hands (needs the extra pkcs11, but no token)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, cast

from pkcs11 import Attribute, KeyType, ObjectClass, exceptions

from ...protocol.engine import EnvironmentFault, KeyKind, StateError, UsageError
from ...protocol.keys.token_access import TokenAccess, typed
from ...protocol.keys.token_secrets import MADE_MUST_BE
from ...protocol.keys.token_vault import APPLICATION, VERSION, TokenVault
from ...protocol.messages import ModuleRecord, encode_record
from ...protocol.messages.codec import encode
from ...protocol.stores.parts import DEPTH, taken_apart
from ...protocol.stores.sealed import StoreKind
from ..items import read_all
from ..scene import CopiedVault, Named, scene
from ..target import Shape, check, outcome_of, target
from .codec import sample

KIND: Final = StoreKind.MODULE
SPACE: Final = f"{APPLICATION} {KIND.value} "
ROOT: Final = f"{APPLICATION} {KIND.value}: root"
PART: Final = f"{APPLICATION} {KIND.value}: part "
SEAL: Final = bytes(range(32))
"""The key that vouches; in a real token nobody knows it."""
CURVE: Final = bytes.fromhex("06082a8648ce3d030107")
PAIR: Final = "identity"
MOST: Final = 32
"""Objects of one input."""

SEALED, UNSEALED, NAMED, MISNAMED, OTHERS, INCOMPLETE, FOREIGN = range(7)
"""What an object is: a root with a seal that fits or with whatever stands there, a part with its digest as its name or
with another one, another party's root, a root without a value, something that is none of ours."""


class _Object(dict[Attribute, object]):
    """An object in a token that is none."""

    def __init__(self, there: list[_Object], attributes: Mapping[Attribute, object]) -> None:
        super().__init__(attributes)
        self._there = there

    def __missing__(self, name: Attribute) -> object:
        raise exceptions.AttributeTypeInvalid

    def destroy(self) -> None:
        """It is gone."""
        self._there[:] = [each for each in self._there if each is not self]

    def sign(self, data: bytes, *, mechanism: object) -> bytes:
        """The seal's HMAC."""
        return hmac.digest(SEAL, data, "sha256")


class _Token:
    """Access to it, and a session: as far as a vault reads and clears away."""

    logins: Final = 1

    def __init__(self, objects: Iterator[Mapping[Attribute, object]]) -> None:
        self.objects: list[_Object] = []
        self.objects += [_Object(self.objects, each) for each in objects]

    @contextmanager
    def calling(self) -> Iterator[_Token]:
        """Itself."""
        try:
            yield self
        except exceptions.PKCS11Error as error:
            raise typed(error) from error

    def get_objects(self, wanted: Mapping[Attribute, object]) -> list[_Object]:
        """Those that are as `wanted` says."""
        return [each for each in self.objects if all(each.get(name) == value for name, value in wanted.items())]

    def close(self) -> None:
        """Nothing is held."""

    release = close


@cache
def _public() -> bytes:
    return CopiedVault("token").generate(PAIR, KeyKind.P256, b"").public.data


def _keys() -> Iterator[Mapping[Attribute, object]]:
    """The seal, and a pair."""
    bound = dict(MADE_MUST_BE)
    secret = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.GENERIC_SECRET}
    yield {**secret, Attribute.LABEL: f"{APPLICATION} {KIND.value}: seal", Attribute.ID: APPLICATION.encode(), **bound}
    named = {Attribute.LABEL: SPACE + PAIR, Attribute.ID: b"1", Attribute.KEY_TYPE: KeyType.EC, Attribute.TOKEN: True}
    yield {Attribute.CLASS: ObjectClass.PRIVATE_KEY, **named, **bound}
    point = b"\x04\x41" + _public()
    yield {
        Attribute.CLASS: ObjectClass.PUBLIC_KEY,
        **named,
        Attribute.EC_PARAMS: CURVE,
        Attribute.EC_POINT: point,
    }


def _data(what: int, value: bytes) -> Mapping[Attribute, object]:
    label, application = ROOT, APPLICATION
    if what == SEALED:
        value += hmac.digest(SEAL, b"insitu token root\0" + value, "sha256")
    elif what == NAMED:
        label = PART + hashlib.sha256(value).hexdigest()
    elif what == MISNAMED:
        label = PART + value[:32].hex()
    elif what == OTHERS:
        label = f"{APPLICATION} card: root"
    elif what == FOREIGN:
        label, application = value.decode(errors="replace"), "somebody"
    about: dict[Attribute, object] = {Attribute.CLASS: ObjectClass.DATA, Attribute.TOKEN: True}
    about |= {Attribute.APPLICATION: application, Attribute.LABEL: label}
    return about if what == INCOMPLETE else {**about, Attribute.VALUE: value}


def _objects(data: bytes) -> Iterator[Mapping[Attribute, object]]:
    """The keys, and what an input says: whole numbers, and what is in the objects, in turn."""
    yield from _keys()
    items = read_all(data) or []
    for what, content in zip(items[: 2 * MOST : 2], items[1 : 2 * MOST : 2], strict=False):
        value = content.content if content.inner is None else b"".join(each.write() for each in content.inner)
        yield _data(what.value % 7, value)


def _written(number: int, record: bytes | None) -> bytes:
    """A root and its parts, as a vault writes them."""
    skeleton, parts = (None, {}) if record is None else taken_apart(record)
    pairs = {PAIR: (KeyKind.P256.value, _public())} if record else {}
    root = encode((VERSION, KIND.value, number, skeleton, pairs, {}), max_depth=DEPTH + 2)
    return _said((SEALED, root), *((NAMED, part) for part in parts.values()))


def _said(*objects: tuple[int, bytes]) -> bytes:
    return b"".join(encode(what) + encode(value) for what, value in objects)


def token_seeds() -> Iterator[bytes]:
    """Tokens as commits leave them, whole and interrupted."""
    operating = encode_record(scene().a_module(operating=True).record)
    made = sample(ModuleRecord, 0)
    earlier = encode_record(made) if made is not None else encode({0: 1, 1: bytes(200)})
    yield _written(0, None)
    yield _written(7, operating)
    yield _written(7, operating) + _written(8, earlier) + _said((FOREIGN, b"a certificate"))
    yield _written(7, operating) + _said((INCOMPLETE, b""))
    yield _written(7, encode({0: [bytes((each,)) * 130 for each in range(70)]}))[:9_000]
    yield _said((OTHERS, b""), (UNSEALED, bytes(80)), (MISNAMED, bytes(40)))


@target("tokens", Shape.CBOR, token_seeds, seconds=0.5)
def tokens(data: bytes) -> str:
    """A token opens with a record that its seal vouches for, and the rest goes but others' objects; else it is left.

    A root without a value may be one that the token does not tell: such a token is refused.

    It is refused with StateError, UsageError or EnvironmentFault only, and opened once more it says the same.
    """
    token = _Token(_objects(data))
    before = list(token.objects)
    foreign = [each for each in before if each[Attribute.CLASS] is ObjectClass.DATA and _is_foreign(each)]
    try:
        vault = _opened(token)
    except (StateError, UsageError, EnvironmentFault) as error:
        check(token.objects == before, "a refused token was changed")
        return outcome_of(error)
    roots = [each for each in token.objects if each.get(Attribute.LABEL) == ROOT and not _is_foreign(each)]
    check(len(roots) == 1, "more than one root is left")
    value = roots[0][Attribute.VALUE]
    check(isinstance(value, bytes) and _is_sealed(value), "a root counts for which nobody vouches")
    check([each for each in token.objects if _is_foreign(each)] == foreign, "others' objects were touched")
    left = list(token.objects)
    again = _opened(token)
    check((again.record, again.labels()) == (vault.record, vault.labels()), "another record the next time")
    check(token.objects == left, "something was left over")
    return f"opened with {'a' if vault.record else 'no'} record, {len(vault.labels())} keys"


def _opened(token: _Token) -> TokenVault:
    return TokenVault.over(cast("TokenAccess", token), KIND, entropy=Named("token"))


def _is_foreign(each: _Object) -> bool:
    return each.get(Attribute.APPLICATION) == "somebody"


def _is_sealed(value: bytes) -> bool:
    fitting: Any = hmac.digest(SEAL, b"insitu token root\0" + value[:-32], "sha256")
    return hmac.compare_digest(fitting, value[-32:])
