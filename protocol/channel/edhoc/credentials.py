"""Authentication credentials and how messages identify them (RFC 9528 section 3.5, RFC 9360).

CRED_x is what the sender proves itself with, ID_CRED_x says which one that is or brings it along. Whether a
credential is to be trusted is for whoever looks it up; here the two are only kept together (S11).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256, sha384, sha512
from typing import ClassVar, Final, TypeAlias

from ...engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError
from ...keys.public import FIELD_BYTES, decompress, load_public
from ...messages.codec import DecodeError, Item, decode, encode, kind_of
from ..cose import octets
from .identifiers import decode_identifier, encode_identifier
from .stages import WHO


class HeaderLabel:
    """COSE header parameters that identify credentials (plain integers, as the codec wants its map keys)."""

    KID: Final = 4
    KCCS: Final = 14
    X5CHAIN: Final = 33
    X5T: Final = 34


MAX_CHAIN: Final = 8
"""So many certificates a chain may have."""
_ARRAY: Final = 0x80
_X5CHAIN: Final = b"\xa1" + encode(HeaderLabel.X5CHAIN)
_KCCS: Final = b"\xa1" + encode(HeaderLabel.KCCS)


@dataclass(frozen=True, slots=True)
class Kid:
    """A key identifier: refers to a credential that the other side has. Never unique by itself."""

    value: bytes
    by_value: ClassVar[bool] = False

    @property
    def encoded(self) -> bytes:
        """ID_CRED_x: the header map."""
        return encode({HeaderLabel.KID: self.value})

    @property
    def compact(self) -> bytes:
        """As it stands in a plaintext: without the map (section 3.5.3.2)."""
        return encode_identifier(self.value)

    def identifies(self, cred: bytes) -> bool:
        """Any credential may be meant; the MAC decides."""
        return bool(cred)


@dataclass(frozen=True, slots=True)
class Kccs:
    """A CWT claims set by value: a raw public key, protected by nothing (sections 3.5.3.1 and D.5)."""

    ccs: bytes
    by_value: ClassVar[bool] = True

    @property
    def encoded(self) -> bytes:
        """ID_CRED_x: the header map."""
        return _KCCS + self.ccs

    @property
    def compact(self) -> bytes:
        """As it stands in a plaintext."""
        return self.encoded

    def identifies(self, cred: bytes) -> bool:
        """The one that crossed."""
        return cred == self.ccs


@dataclass(frozen=True, slots=True)
class X5Chain:
    """A certificate, or several in order, each issued by the next one; DER."""

    certificates: tuple[bytes, ...]
    by_value: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= len(self.certificates) <= MAX_CHAIN:
            raise UsageError("x5chain", who=WHO, expected=f"1 to {MAX_CHAIN} certificates", got=len(self.certificates))

    @property
    def encoded(self) -> bytes:
        """ID_CRED_x: the header map."""
        count = len(self.certificates)
        head = b"" if count == 1 else bytes((_ARRAY + count,))
        return _X5CHAIN + head + b"".join(map(octets, self.certificates))

    @property
    def compact(self) -> bytes:
        """As it stands in a plaintext."""
        return self.encoded

    def identifies(self, cred: bytes) -> bool:
        """The end entity's, which stands first."""
        return cred == octets(self.certificates[0])


@dataclass(frozen=True, slots=True)
class X5T:
    """The hash of a certificate that the other side has.

    Attributes:
        algorithm: COSE number of the hash: -15 SHA-256 truncated to 64 bits, -16 SHA-256, -43 SHA-384, -44 SHA-512.
        digest: of the DER.

    """

    algorithm: int
    digest: bytes
    by_value: ClassVar[bool] = False

    @classmethod
    def of(cls, certificate: bytes, algorithm: int = -15) -> X5T:
        """The hash of `certificate` (DER).

        Raises:
            UsageError: an unknown hash algorithm.

        """
        if algorithm not in THUMBPRINTS:
            raise UsageError("x5t hash algorithm", who=WHO, expected=sorted(THUMBPRINTS), got=algorithm)
        hash_of, size = THUMBPRINTS[algorithm]
        return cls(algorithm, hash_of(certificate).digest()[:size])

    @property
    def encoded(self) -> bytes:
        """ID_CRED_x: the header map."""
        return encode({HeaderLabel.X5T: [self.algorithm, self.digest]})

    @property
    def compact(self) -> bytes:
        """As it stands in a plaintext."""
        return self.encoded

    def identifies(self, cred: bytes) -> bool:
        """The certificate with this hash."""
        certificate = decode(cred)
        return type(certificate) is bytes and self == X5T.of(certificate, self.algorithm)


THUMBPRINTS: Final = {-15: (sha256, 8), -16: (sha256, 32), -43: (sha384, 48), -44: (sha512, 64)}

IdCred: TypeAlias = Kid | Kccs | X5Chain | X5T
ALL_KINDS: Final = frozenset({Kid, Kccs, X5Chain, X5T})


def read_id_cred(item: Item) -> IdCred:
    """ID_CRED_x from the item in a plaintext.

    Raises:
        DecodeError: none, in another than the prescribed encoding, or of an unknown kind.

    """
    if type(item) is int or type(item) is bytes:
        return Kid(decode_identifier(item, "ID_CRED"))
    if type(item) is not dict or len(item) != 1:
        raise DecodeError("ID_CRED", expected="a kid, or a map of one header parameter", got=kind_of(item))
    ((label, value),) = item.items()
    match label, value:
        case HeaderLabel.KCCS, dict():
            return Kccs(encode(value))
        case HeaderLabel.X5CHAIN, bytes():
            return X5Chain((value,))
        case HeaderLabel.X5CHAIN, tuple() if 1 < len(value) <= MAX_CHAIN and all(type(each) is bytes for each in value):
            return X5Chain(value)  # type: ignore[arg-type]
        case HeaderLabel.X5T, (int(algorithm), bytes(digest)) if algorithm in THUMBPRINTS:
            if len(digest) == THUMBPRINTS[algorithm][1]:
                return X5T(algorithm, digest)
            raise DecodeError("x5t", expected=f"{THUMBPRINTS[algorithm][1]} bytes", got=f"{len(digest)} bytes")
        case HeaderLabel.KID, bytes():  # section 3.5.3.2: the compact encoding, if and only if a single kid
            raise DecodeError("ID_CRED", expected="a kid without a map around it", got="a map")
    raise DecodeError(
        "ID_CRED", expected="kid, kccs, x5chain or x5t", got=f"header parameter {label}", fault=Fault.UNSUPPORTED
    )


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential with its identification: what one side authenticates with.

    Attributes:
        id_cred: how messages identify it.
        cred: CRED_x, one encoded CBOR item: the end-entity certificate as a byte string, or a claims set.
        public: the authentication key in it.

    """

    id_cred: IdCred
    cred: bytes
    public: PublicKey

    @classmethod
    def x5chain(cls, certificates: tuple[bytes, ...], public: PublicKey) -> Credential:
        """Certificates (DER, end entity first) that cross in the handshake; `public` is the end entity's key."""
        return cls(X5Chain(certificates), octets(certificates[0]), public)

    @classmethod
    def x5t(cls, certificate: bytes, public: PublicKey, *, algorithm: int = -15) -> Credential:
        """A certificate (DER) with this key that the other side has; its hash crosses."""
        return cls(X5T.of(certificate, algorithm), octets(certificate), public)

    @classmethod
    def kid(cls, ccs: bytes, kid: bytes) -> Credential:
        """A claims set that the other side has under `kid`.

        Raises:
            ProtocolError: no claims set with a usable key.

        """
        return cls(Kid(kid), ccs, read_ccs(ccs))

    @classmethod
    def kccs(cls, ccs: bytes) -> Credential:
        """A claims set that crosses in the handshake.

        Raises:
            ProtocolError: no claims set with a usable key.

        """
        return cls(Kccs(ccs), ccs, read_ccs(ccs))


# Claims sets: {? 2: subject, 8: {1: COSE_Key}} (RFC 8392, RFC 8747, RFC 9053 section 7)

_CLAIM_SUB: Final = 2
_CLAIM_CNF: Final = 8
_CNF_COSE_KEY: Final = 1
_KTY, _KEY_KID, _CRV, _X, _Y, _D = 1, 2, -1, -2, -3, -4
_OKP, _EC2 = 1, 2
_CURVE_NUMBERS: Final = {
    (_EC2, 1): KeyKind.P256,
    (_EC2, 2): KeyKind.P384,
    (_OKP, 4): KeyKind.X25519,
    (_OKP, 6): KeyKind.ED25519,
}
_CURVE_OF: Final = {kind: number for number, kind in _CURVE_NUMBERS.items()}


def write_ccs(public: PublicKey, *, subject: str | None = None, kid: bytes | None = None) -> bytes:
    """The claims set around a public key, in the one encoding that both sides of ours use."""
    kty, crv = _CURVE_OF[public.kind]
    key: dict[int, int | bytes] = {_KTY: kty, _CRV: crv}
    if kid is not None:
        key[_KEY_KID] = kid
    if kty == _OKP:
        key[_X] = public.data
    else:
        size = FIELD_BYTES[public.kind]
        key[_X], key[_Y] = public.data[1 : 1 + size], public.data[1 + size :]
    claims: dict[int, object] = {_CLAIM_CNF: {_CNF_COSE_KEY: key}}
    if subject is not None:
        claims[_CLAIM_SUB] = subject
    return encode(claims)


def read_ccs(ccs: bytes) -> PublicKey:
    """The public key in a claims set. EC2 keys may hold x and y, x and the sign of y, or x alone.

    With x alone either y is taken: both give the same Diffie-Hellman secret, and of two signature keys that
    differ in the sign of y, whoever holds one holds both.

    Raises:
        ProtocolError: no claims set, no key in it, a private one, or a key that is none.

    """
    key: Item = decode(ccs)
    for label in (_CLAIM_CNF, _CNF_COSE_KEY):
        key = key.get(label) if type(key) is dict else None
    if type(key) is not dict or _D in key:
        raise DecodeError("claims set", expected="a public COSE_Key in its cnf claim", got=kind_of(key))
    kty, crv, x, y = key.get(_KTY), key.get(_CRV), key.get(_X), key.get(_Y)
    kind = _CURVE_NUMBERS.get((kty, crv)) if type(kty) is int and type(crv) is int else None
    if kind is None:
        raise ProtocolError("COSE_Key", who=WHO, expected="P-256, P-384, X25519 or Ed25519", fault=Fault.UNSUPPORTED)
    if type(x) is not bytes:
        raise DecodeError("COSE_Key", expected="x as a byte string", got=kind_of(x))
    if kty == _OKP:
        public = PublicKey(kind, x)
        load_public(public)
        return public
    if y is None or type(y) is bool:
        return decompress(kind, (b"\x03" if y else b"\x02") + x)
    if type(y) is not bytes or len(x) != len(y):
        raise DecodeError("COSE_Key", expected="y as a boolean or a byte string as long as x", got=kind_of(y))
    public = PublicKey(kind, b"\x04" + x + y)
    load_public(public)
    return public
