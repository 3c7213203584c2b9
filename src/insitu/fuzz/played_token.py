"""A PKCS#11 token that is none, as python-pkcs11 shows one, and answers of it that no honest token gives.

It keeps objects as bytes of attributes and has real keys in them, so that what a vault asks of it goes well. Each call
has a number; for some an input says what is answered instead: an error, before or after it was done, other bytes, none,
or one object too many. Bytes of attributes are read as python-pkcs11 reads those of a library. Needs the extra pkcs11.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, exceptions
from pkcs11.attributes import AttributeMapper

from ..protocol.keys.token_access import ILL_FORMED, typed

T = TypeVar("T")

ERRORS: Final = (
    exceptions.GeneralError,
    exceptions.DeviceMemory,
    exceptions.DeviceRemoved,
    exceptions.DeviceError,
    exceptions.FunctionFailed,
    exceptions.SessionHandleInvalid,
    exceptions.UserNotLoggedIn,
    exceptions.ObjectHandleInvalid,
    exceptions.AttributeTypeInvalid,
    exceptions.AttributeSensitive,
    exceptions.AttributeValueInvalid,
    exceptions.TemplateInconsistent,
    exceptions.MechanismInvalid,
    exceptions.PinLocked,
)
"""What a library returns, of the kinds that a vault tells apart and some that it does not."""
OFFERED: Final = (
    Mechanism.EC_KEY_PAIR_GEN,
    Mechanism.ECDSA,
    Mechanism.ECDH1_DERIVE,
    Mechanism.GENERIC_SECRET_KEY_GEN,
    Mechanism.SHA256_HMAC,
)
BOUND: Final = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.LOCAL: True,
}
"""What the token says of every key that it made."""
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_MAPPER: Final = AttributeMapper()


@dataclass(frozen=True)
class Instead:
    """What is answered instead of the truth.

    Attributes:
        error: the number of an error; None: none. An even one comes before the call was done, an odd one afterwards.
        raw: bytes of an attribute or of a result; of objects that were looked for there are none.
        doubled: objects that were looked for come twice.

    """

    error: int | None = None
    raw: bytes | None = None
    doubled: bool = False


@dataclass
class PlayedToken:
    """The token, the access to it, and a session with it, all in one.

    Attributes:
        entropy: of its keys.
        instead: by number of a call, from 0.
        calls: how many there were.
        lied: something was answered that is neither true nor an error.
        logins: see TokenAccess.

    """

    entropy: Callable[[int], bytes]
    instead: Mapping[int, Instead] = field(default_factory=dict)
    objects: list[PlayedObject] = field(default_factory=list)
    calls: int = 0
    lied: bool = False
    logins: int = 1

    # as TokenAccess

    @contextmanager
    def calling(self) -> Iterator[PlayedToken]:
        """See TokenAccess."""
        try:
            yield self
        except (exceptions.PKCS11Error, *ILL_FORMED) as error:
            self.logins += 1
            raise typed(error) from error

    def release(self) -> None:
        """Nothing is held."""

    close = release

    # as a session, its token and its slot

    @property
    def token(self) -> PlayedToken:
        """Itself."""
        return self

    slot = token

    def get_mechanisms(self) -> list[Mechanism]:
        """What it offers."""
        return self.found(lambda: list(OFFERED))

    def seed_random(self, _: bytes) -> None:
        """Its random numbers repeat."""
        self.done(lambda: None)

    def get_objects(self, wanted: Mapping[Attribute, object]) -> list[PlayedObject]:
        """Those that are as `wanted` says."""
        return self.found(lambda: [each for each in self.objects if each.fits(wanted)])

    def create_object(self, about: Mapping[Attribute, object]) -> PlayedObject:
        """Make one of what is brought."""
        secret = about[Attribute.VALUE] if about[Attribute.CLASS] is ObjectClass.SECRET_KEY else None
        told = {name: value for name, value in about.items() if secret is None or name is not Attribute.VALUE}
        return self.done(lambda: self.keep(told, secret))

    def generate_key(self, kind: KeyType, bits: int, **about: Any) -> PlayedObject:  # noqa: ANN401 - as python-pkcs11
        """Make a symmetric one."""
        told = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: kind, **about["template"], **BOUND}
        told |= {Attribute.LABEL: about["label"], Attribute.ID: about["id"], Attribute.TOKEN: True}
        return self.done(lambda: self.keep(told, self.entropy(bits // 8)))

    def create_domain_parameters(self, kind: KeyType, about: Mapping[Attribute, Any], *, local: bool) -> PlayedCurve:
        """Nothing of it is in the token."""
        return PlayedCurve(self, kind, about[Attribute.EC_PARAMS])

    def keep(self, about: Mapping[Attribute, object], secret: object = None) -> PlayedObject:
        """One more object."""
        raw = {name: bytes(_MAPPER.pack_attribute(name, value)) for name, value in about.items()}
        self.objects.append(PlayedObject(self, raw, secret))
        return self.objects[-1]

    def done(self, do: Callable[[], T]) -> T:
        """The answer of a call whose answer is no bytes: a library can only report an error.

        Raises:
            PKCS11Error: it does, or it is so.

        """
        return self._answered(do, self.instead.get(self.calls, Instead()))

    def told(self, honestly: Callable[[], bytes]) -> bytes:
        """The bytes that a call brings: what is so, or others, or none.

        Raises:
            PKCS11Error: as `done`.

        """
        instead = self.instead.get(self.calls, Instead())
        if instead.raw is None:
            return self._answered(honestly, instead)
        self.calls, self.lied = self.calls + 1, True
        return instead.raw

    def found(self, honestly: Callable[[], list[T]]) -> list[T]:
        """What there is of something: all of it, none of it, or each twice.

        Raises:
            PKCS11Error: as `done`.

        """
        instead = self.instead.get(self.calls, Instead())
        there = self._answered(honestly, instead)
        self.lied |= instead.raw is not None or instead.doubled
        return [] if instead.raw is not None else there * 2 if instead.doubled else there

    def _answered(self, do: Callable[[], T], instead: Instead) -> T:
        self.calls += 1
        if instead.error is None:
            return do()
        if instead.error % 2:
            do()
        raise ERRORS[instead.error // 2 % len(ERRORS)]


@dataclass
class PlayedCurve:
    """What pairs are made with."""

    token: PlayedToken
    kind: KeyType
    curve: bytes

    def generate_keypair(self, **about: Any) -> tuple[PlayedObject, PlayedObject]:  # noqa: ANN401 - as python-pkcs11
        """The public half and the private one."""

        def make() -> tuple[PlayedObject, PlayedObject]:
            key = ec.derive_private_key(int.from_bytes(self.token.entropy(32)) % (_P256_ORDER - 1) + 1, ec.SECP256R1())
            named = {Attribute.LABEL: about["label"], Attribute.ID: about["id"]}
            named |= {Attribute.KEY_TYPE: self.kind, Attribute.TOKEN: True}
            point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            shown = {Attribute.EC_PARAMS: self.curve, Attribute.EC_POINT: b"\x04\x41" + point}
            public = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, **named, **shown}
            private = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, **named, **about["private_template"], **BOUND}
            return self.token.keep(public), self.token.keep(private, key)

        return self.token.done(make)


@dataclass(eq=False)
class PlayedObject:
    """An object, as far as the product uses any."""

    token: PlayedToken
    raw: dict[Attribute, bytes]
    secret: object = field(default=None, repr=False)

    def fits(self, wanted: Mapping[Attribute, object]) -> bool:
        """Whether it is as `wanted` says."""
        return all(self.raw.get(name) == _MAPPER.pack_attribute(name, value) for name, value in wanted.items())

    def __getitem__(self, name: Attribute) -> Any:  # noqa: ANN401 - as python-pkcs11
        return _MAPPER.unpack_attributes(name, self.token.told(lambda: self._told(name)))

    def _told(self, name: Attribute) -> bytes:
        if name not in self.raw:
            raise exceptions.AttributeTypeInvalid
        return self.raw[name]

    def __setitem__(self, name: Attribute, value: object) -> None:
        self.token.done(lambda: self.raw.update({name: _MAPPER.pack_attribute(name, value)}))

    def destroy(self) -> None:
        """It is gone."""

        def go() -> None:
            self.token.objects[:] = [each for each in self.token.objects if each is not self]

        self.token.done(go)

    def sign(self, data: bytes, *, mechanism: Mechanism) -> bytes:
        """A signature or an HMAC."""
        return self.token.told(lambda: self._signed(data, mechanism))

    def _signed(self, data: bytes, mechanism: Mechanism) -> bytes:
        if isinstance(self.secret, bytes) and mechanism is Mechanism.SHA256_HMAC:
            return hmac.digest(self.secret, data, "sha256")
        if isinstance(self.secret, ec.EllipticCurvePrivateKey) and mechanism is Mechanism.ECDSA:
            signature = self.secret.sign(data, ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True))
            return b"".join(each.to_bytes(32) for each in decode_dss_signature(signature))
        raise exceptions.KeyTypeInconsistent

    def derive_key(self, kind: KeyType, bits: int, **about: Any) -> PlayedObject:  # noqa: ANN401 - as python-pkcs11
        """What both agree on, in an object of this session."""

        def agree() -> PlayedObject:
            if not isinstance(self.secret, ec.EllipticCurvePrivateKey):
                raise exceptions.KeyTypeInconsistent
            peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), about["mechanism_param"][2])
            value = self.secret.exchange(ec.ECDH(), peer)
            return self.token.keep({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.VALUE: value})

        return self.token.done(agree)
