"""COSE (RFC 9052, 9053), the small subset that this product needs: Sign1 and Encrypt0, one signer, one key.

Algorithms: ES256, ES384, EdDSA on Ed25519; A128GCM, A256GCM, AES-CCM-16-64-128, AES-CCM-16-128-128. What has
several signers or recipients, MACs, counter signatures and Ed448 stays outside. Signatures are made in key
memory: here are only the bytes to be signed, the assembly of the message, and the check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache, partial
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from ..engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError
from ..keys.public import signature_holds
from ..messages.codec import DecodeError, Item, decode, encode, kind_of

WHO: Final = "cose"


class Algorithm(IntEnum):
    """Signature algorithms with their COSE numbers (RFC 9053 section 2)."""

    ES256 = -7
    EDDSA = -8
    ES384 = -35


ES256: Final = Algorithm.ES256
ES384: Final = Algorithm.ES384
EDDSA: Final = Algorithm.EDDSA

KEY_KINDS: Final = {ES256: KeyKind.P256, ES384: KeyKind.P384, EDDSA: KeyKind.ED25519}
"""The one kind of key that each algorithm is used with here; COSE itself leaves curve and hash independent."""

SIGNATURE_BYTES: Final = {ES256: 64, ES384: 96, EDDSA: 64}


@dataclass(frozen=True, slots=True)
class Aead:
    """An AEAD algorithm: its COSE number (RFC 9053 section 4), lengths in bytes, and the cipher behind it."""

    number: int
    key_bytes: int
    nonce_bytes: int
    tag_bytes: int
    cipher: Callable[[bytes], AESCCM | AESGCM] = field(repr=False)

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Ciphertext followed by the tag.

        Raises:
            UsageError: key or nonce of the wrong length.

        """
        self._check(key, nonce)
        return self.cipher(key).encrypt(nonce, plaintext, aad)

    def open(self, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """The plaintext of ciphertext and tag.

        Raises:
            UsageError: key or nonce of the wrong length.
            ProtocolError: it was not sealed with this key, nonce and associated data.

        """
        self._check(key, nonce)
        try:
            return self.cipher(key).decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            pass  # raised outside: the reason must not depend on how the library failed
        raise ProtocolError("ciphertext does not authenticate", who=WHO, expected="a valid tag")

    def _check(self, key: bytes, nonce: bytes) -> None:
        if len(key) != self.key_bytes or len(nonce) != self.nonce_bytes:
            expected = f"key of {self.key_bytes} and nonce of {self.nonce_bytes} bytes"
            raise UsageError("lengths", who=WHO, expected=expected, got=f"{len(key)} and {len(nonce)} bytes")


A128GCM: Final = Aead(1, 16, 12, 16, AESGCM)
A256GCM: Final = Aead(3, 32, 12, 16, AESGCM)
AES_CCM_16_64_128: Final = Aead(10, 16, 13, 8, partial(AESCCM, tag_length=8))
AES_CCM_16_128_128: Final = Aead(30, 16, 13, 16, partial(AESCCM, tag_length=16))
AEADS: Final = {aead.number: aead for aead in (A128GCM, A256GCM, AES_CCM_16_64_128, AES_CCM_16_128_128)}


_HEADS: Final = tuple(encode(bytes(size))[: 1 if size < 24 else 2] for size in range(256))


def octets(data: bytes) -> bytes:
    """The encoding of a byte string: what `encode` says, for the one kind of item that is spliced all the time."""
    size = len(data)
    if size < len(_HEADS):
        return _HEADS[size] + data
    if size <= 0xFFFF:
        return b"\x59" + size.to_bytes(2, "big") + data
    return encode(data)


# Structures that are signed or authenticated (RFC 9052 sections 4.4 and 5.3)


def sig_structure(protected: bytes, external_aad: bytes, payload: bytes) -> bytes:
    """Sig_structure of one signer: the bytes that are signed. `protected` is the encoded header map, or empty."""
    return b"\x84\x6aSignature1" + octets(protected) + octets(external_aad) + octets(payload)


def enc_structure(protected: bytes, external_aad: bytes) -> bytes:
    """Enc_structure of Encrypt0: the associated data. `protected` is the encoded header map, or empty."""
    return b"\x83\x68Encrypt0" + octets(protected) + octets(external_aad)


@lru_cache(maxsize=8)
def _only_alg(algorithm: int) -> bytes:
    return encode({HEADER_ALG: int(algorithm)})


def to_be_signed(algorithm: Algorithm, payload: bytes, *, external_aad: bytes = b"") -> bytes:
    """What a key signs under `algorithm`, where the protected header says the algorithm and nothing else."""
    return sig_structure(_only_alg(algorithm), external_aad, payload)


HMAC_256: Final = 5
"""HMAC with SHA-256 and a tag of 32 bytes (RFC 9053 section 3.1)."""


def to_be_maced(payload: bytes, *, external_aad: bytes) -> bytes:
    """MAC_structure of a COSE_Mac0 under HMAC_256 (RFC 9052 section 6.3), whose protected header says that alone."""
    return encode(["MAC0", encode({HEADER_ALG: HMAC_256}), external_aad, payload])


def verify_signature(algorithm: Algorithm, public: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (raw) over `message` holds under `public`; False too where the key is not for `algorithm`.

    Raises:
        ProtocolError: `public` is no key of its kind.

    """
    return KEY_KINDS[algorithm] is public.kind and signature_holds(public, message, signature)


# Messages

HEADER_ALG: Final = 1
HEADER_CRIT: Final = 2
HEADER_CONTENT_TYPE: Final = 3
HEADER_KID: Final = 4
HEADER_IV: Final = 5
_UNDERSTOOD: Final = frozenset((HEADER_ALG, HEADER_CRIT, HEADER_CONTENT_TYPE, HEADER_KID, HEADER_IV))
_TAG_ENCRYPT0: Final = 0xD0
_TAG_SIGN1: Final = 0xD2

Header: TypeAlias = Mapping[int | str, Item]


@dataclass(frozen=True, slots=True)
class Sign1:
    """COSE_Sign1: one signature over protected header, external data and payload (RFC 9052 section 4.2).

    Attributes:
        protected: the encoded map as it was transferred; empty for an empty map.
        unprotected: the other header map.
        payload: None where it is detached.
        signature: raw.

    """

    protected: bytes
    unprotected: Header
    payload: bytes | None
    signature: bytes

    def encode(self, *, tagged: bool = True) -> bytes:
        """The message, with tag 18 or without."""
        body = encode([self.protected, dict(self.unprotected), self.payload, self.signature])
        return bytes((_TAG_SIGN1,)) + body if tagged else body

    @classmethod
    def decode(cls, data: bytes) -> Sign1:
        """The message in `data`, tagged 18 or untagged.

        Raises:
            DecodeError: there is none.

        """
        protected, unprotected, (payload, signature) = _parts(data, _TAG_SIGN1, 4)
        if type(signature) is not bytes:
            raise DecodeError("signature of COSE_Sign1", expected="a byte string", got=kind_of(signature))
        return cls(protected, unprotected, _octets_or_none(payload), signature)

    def to_be_signed(self, *, payload: bytes | None = None, external_aad: bytes = b"") -> bytes:
        """The bytes that the signature is over; `payload` is given exactly where it is detached.

        Raises:
            UsageError: payload given and enclosed, or neither.

        """
        return sig_structure(self.protected, external_aad, _one_of(self.payload, payload))

    def verify(self, public: PublicKey, *, payload: bytes | None = None, external_aad: bytes = b"") -> bytes:
        """The payload, once the signature holds under `public` with the algorithm that the header names.

        Raises:
            ProtocolError: an unknown algorithm, one that is not for this key, a critical header that is not
                understood, or a signature that does not hold.
            UsageError: payload given and enclosed, or neither.

        """
        content = _one_of(self.payload, payload)
        number = _algorithm(self.protected, self.unprotected)
        try:
            algorithm = Algorithm(number)
        except ValueError:
            raise _unsupported("signature algorithm", "ES256, ES384 or EdDSA", number) from None
        message = sig_structure(self.protected, external_aad, content)
        if not verify_signature(algorithm, public, message, self.signature):
            raise ProtocolError("signature does not hold", who=WHO, expected=f"{algorithm.name} by the key named")
        return content


@dataclass(frozen=True, slots=True)
class Encrypt0:
    """COSE_Encrypt0: a ciphertext under a key that both sides know (RFC 9052 section 5.2).

    Attributes:
        protected: the encoded map as it was transferred; empty for an empty map.
        unprotected: the other header map; holds the IV.
        ciphertext: None where it is detached; ends with the tag.

    """

    protected: bytes
    unprotected: Header
    ciphertext: bytes | None

    def encode(self, *, tagged: bool = True) -> bytes:
        """The message, with tag 16 or without."""
        body = encode([self.protected, dict(self.unprotected), self.ciphertext])
        return bytes((_TAG_ENCRYPT0,)) + body if tagged else body

    @classmethod
    def decode(cls, data: bytes) -> Encrypt0:
        """The message in `data`, tagged 16 or untagged.

        Raises:
            DecodeError: there is none.

        """
        protected, unprotected, (ciphertext,) = _parts(data, _TAG_ENCRYPT0, 3)
        return cls(protected, unprotected, _octets_or_none(ciphertext))

    @classmethod
    def seal(
        cls,
        aead: Aead,
        key: bytes,
        iv: bytes,
        plaintext: bytes,
        *,
        unprotected: Header | None = None,
        external_aad: bytes = b"",
    ) -> Encrypt0:
        """Encrypt with the algorithm in the protected header and the IV in the unprotected one.

        Raises:
            UsageError: key or IV of the wrong length.

        """
        protected = _only_alg(aead.number)
        ciphertext = aead.seal(key, iv, plaintext, enc_structure(protected, external_aad))
        return cls(protected, {**(unprotected or {}), HEADER_IV: iv}, ciphertext)

    def open(self, key: bytes, *, ciphertext: bytes | None = None, external_aad: bytes = b"") -> bytes:
        """The plaintext; `ciphertext` is given exactly where it is detached.

        Raises:
            ProtocolError: an unknown algorithm or one for another length of key, a wrong IV, a critical header
                that is not understood, or a ciphertext that does not authenticate.
            UsageError: ciphertext given and enclosed, or neither.

        """
        content = _one_of(self.ciphertext, ciphertext)
        number = _algorithm(self.protected, self.unprotected)
        aead = AEADS.get(number)
        if aead is None:
            raise _unsupported("content encryption algorithm", sorted(AEADS), number)
        iv = self.unprotected.get(HEADER_IV, _protected_map(self.protected).get(HEADER_IV))
        if type(iv) is not bytes or len(iv) != aead.nonce_bytes:
            raise ProtocolError(
                "IV", who=WHO, expected=f"{aead.nonce_bytes} bytes", got=kind_of(iv), fault=Fault.MALFORMED
            )
        if len(key) != aead.key_bytes:
            raise _unsupported("algorithm", f"one for a key of {len(key)} bytes", number)
        return aead.open(key, iv, content, enc_structure(self.protected, external_aad))


def assemble_sign1(
    algorithm: Algorithm,
    signature: bytes,
    payload: bytes | None,
    *,
    unprotected: Header | None = None,
) -> Sign1:
    """The message around a signature over `to_be_signed(algorithm, ...)`; payload None leaves it detached.

    Raises:
        UsageError: a signature of the wrong length.

    """
    if len(signature) != SIGNATURE_BYTES[algorithm]:
        raise UsageError(
            "signature", who=WHO, expected=f"{SIGNATURE_BYTES[algorithm]} bytes", got=f"{len(signature)} bytes"
        )
    return Sign1(_only_alg(algorithm), unprotected or {}, payload, signature)


def _parts(data: bytes, tag: int, count: int) -> tuple[bytes, Header, tuple[Item, ...]]:
    """Protected header, unprotected header and the rest; the tag is optional, no other is admitted."""
    item = decode(data[1:] if data[:1] == bytes((tag,)) else data)
    if type(item) is not tuple or len(item) != count:
        raise DecodeError("COSE message", expected=f"an array of {count}", got=kind_of(item))
    protected, unprotected, *rest = item
    if type(protected) is not bytes or type(unprotected) is not dict:
        got = f"{kind_of(protected)} and {kind_of(unprotected)}"
        raise DecodeError("COSE headers", expected="a byte string and a map", got=got)
    inner = _protected_map(protected)
    if twice := inner.keys() & unprotected.keys():  # RFC 9052 section 3: a label stands in one of the two
        raise DecodeError("COSE headers", expected="each label once", got=f"{len(twice)} twice")
    if HEADER_CRIT in unprotected:
        raise DecodeError("COSE headers", expected="crit among the protected ones", got="crit unprotected")
    crit = inner.get(HEADER_CRIT)
    if crit is not None and (type(crit) is not tuple or not crit or not _UNDERSTOOD.issuperset(crit)):
        raise DecodeError(
            "critical COSE header that is not understood", expected=sorted(_UNDERSTOOD), fault=Fault.UNSUPPORTED
        )
    # RFC 9052 section 3: an empty map counts as the empty string in the structures
    return protected if inner else b"", unprotected, tuple(rest)


def _protected_map(protected: bytes) -> Header:
    item = decode(protected) if protected else {}
    if type(item) is not dict:
        raise DecodeError("protected COSE header", expected="a map", got=kind_of(item))
    return item


def _algorithm(protected: bytes, unprotected: Header) -> int:
    number = _protected_map(protected).get(HEADER_ALG, unprotected.get(HEADER_ALG))
    if type(number) is not int:
        raise _unsupported("algorithm", "a known number", kind_of(number))
    return number


def _unsupported(what: str, expected: object, got: object) -> ProtocolError:
    return ProtocolError(what, who=WHO, expected=expected, got=got, fault=Fault.UNSUPPORTED)


def _octets_or_none(item: Item) -> bytes | None:
    if item is not None and type(item) is not bytes:
        raise DecodeError("content of a COSE message", expected="a byte string or null", got=kind_of(item))
    return item


def _one_of(enclosed: bytes | None, detached: bytes | None) -> bytes:
    if enclosed is not None and detached is None:
        return enclosed
    if enclosed is None and detached is not None:
        return detached
    raise UsageError("content", who=WHO, expected="either enclosed or given detached", got="both or neither")
