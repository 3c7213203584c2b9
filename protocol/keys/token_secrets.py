"""Symmetric keys in a token: which kind of object and which mechanism each one is for, and the operations.

Only where bytes were brought from outside are they seen here, once, on their way in. What a token has no mechanism
for, or none that this file knows of, is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.types import Session

from ..engine import (
    Cmac,
    DeriveKeys,
    EncipherPin,
    PinFormat,
    Prove,
    ProveDerived,
    SecretAlgorithm,
    SecretHandle,
    SecretOperation,
    SecretUsage,
)
from ..messages.codec import DecodeError, decode, encode
from ..stores.secret import Entropy
from .methods import check_operation, check_value, encipher_pin, hmac_check_value, hmac_sha256
from .port import KeyMismatch, KeyRefused, KeyStoreError
from .token_access import MechanismMissing

TokenObject: TypeAlias = Any
"""An object in the token. What it can do depends on its attributes, so that the types of `pkcs11` do not say it."""

_HMAC_BYTES: Final = 32
"""Tokens ask for this many in a key of HMAC-SHA-256. A shorter one is followed by zeros, which changes no HMAC (RFC
2104: keys are filled with zeros anyway)."""
_TDES_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class _Form:
    """How a kind of key lies in a token: type of the object, its mechanism, the attribute that admits it."""

    key_type: KeyType
    mechanism: Mechanism
    admits: Attribute


_FORMS: Final = {
    (SecretUsage.PROOF, SecretAlgorithm.HMAC): _Form(KeyType.GENERIC_SECRET, Mechanism.SHA256_HMAC, Attribute.SIGN),
    (SecretUsage.DERIVATION, SecretAlgorithm.HMAC): _Form(
        KeyType.GENERIC_SECRET, Mechanism.SHA256_HMAC, Attribute.SIGN
    ),
    (SecretUsage.MAC, SecretAlgorithm.AES): _Form(KeyType.AES, Mechanism.AES_CMAC, Attribute.SIGN),
    (SecretUsage.PIN, SecretAlgorithm.AES): _Form(KeyType.AES, Mechanism.AES_ECB, Attribute.ENCRYPT),
    (SecretUsage.PIN, SecretAlgorithm.TDES): _Form(KeyType.DES3, Mechanism.DES3_ECB, Attribute.ENCRYPT),
}
"""Not among them: passwords, since no token does a PAKE; keys that wrap others, since a key block is made with keys
that are derived outside; TDES MACs, which need single DES with halves of the key."""

SECRET_MUST_BE: Final = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
}
"""What every key here is: it is in the token, and does not come out of it."""

MADE_MUST_BE: Final = {
    **SECRET_MUST_BE,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.LOCAL: True,
}
"""What one that came into being there always was besides; only the token can set these."""

_USES: Final = (Attribute.SIGN, Attribute.VERIFY, Attribute.ENCRYPT, Attribute.DECRYPT, Attribute.WRAP)
_NEVER: Final = (Attribute.UNWRAP, Attribute.DERIVE)


def check_offered(session: Session, usage: SecretUsage, algorithm: SecretAlgorithm, *more: Mechanism) -> None:
    """Refuse a kind of key that this token has nothing for.

    Raises:
        MechanismMissing: it has not.

    """
    form = _FORMS.get((usage, algorithm))
    if form is None:
        got = f"{usage.value} with {algorithm.value}"
        raise MechanismMissing("tokens are not used for that kind of key", who="token", got=got)
    offered = session.token.slot.get_mechanisms()
    for mechanism in (form.mechanism, *more):
        if mechanism not in offered:
            raise MechanismMissing(
                "the token does not offer that kind of key", who="token", expected=mechanism.name, got=usage.value
            )


def bring(session: Session, name: str, handle: SecretHandle, key: bytes) -> TokenObject:
    """Put a key that came from outside into the token, from which it does not come out again."""
    form = _FORMS[handle.usage, handle.algorithm]
    return session.create_object(
        {
            **_uses(form.admits),
            **SECRET_MUST_BE,
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: form.key_type,
            Attribute.LABEL: name,
            Attribute.ID: _identified(handle),
            Attribute.VALUE: _fitted(form.key_type, key),
        }
    )


def make_hmac_key(session: Session, name: str, usage: SecretUsage, identity: bytes = b"") -> TokenObject:
    """Have the token make a key of 256 bits for HMAC-SHA-256 of its own random numbers."""
    check_offered(session, usage, SecretAlgorithm.HMAC, Mechanism.GENERIC_SECRET_KEY_GEN)
    return session.generate_key(
        KeyType.GENERIC_SECRET,
        8 * _HMAC_BYTES,
        label=name,
        id=identity,
        store=True,
        capabilities=MechanismFlag.SIGN,
        mechanism=Mechanism.GENERIC_SECRET_KEY_GEN,
        template=dict(SECRET_MUST_BE),
    )


def made_handle(label: str, key: TokenObject, usage: SecretUsage) -> SecretHandle:
    """Says what was made by `make_hmac_key`, and has it written on it."""
    value = hmac_check_value(hmac_in_token(key, b""))
    handle = SecretHandle(label, usage, SecretAlgorithm.HMAC, 8 * _HMAC_BYTES, value)
    key[Attribute.ID] = _identified(handle)
    return handle


def brought_handle(label: str, usage: SecretUsage, algorithm: SecretAlgorithm, key: bytes) -> SecretHandle:
    """Says what is to be brought."""
    return SecretHandle(label, usage, algorithm, 8 * len(key), check_value(algorithm, key))


def read_handle(label: str, key: TokenObject) -> SecretHandle:
    """What is written on a key.

    Raises:
        KeyRefused: it is none of ours.

    """
    try:
        match decode(bytes_of(key[Attribute.ID])):
            case (str(usage), str(algorithm), int(bits), str(value)):
                return SecretHandle(label, SecretUsage(usage), SecretAlgorithm(algorithm), bits, value)
    except (DecodeError, ValueError):
        pass
    raise KeyRefused(f"{label!r} is no key of a kind that is used here", who="token")


def operate(key: TokenObject, handle: SecretHandle, operation: SecretOperation, entropy: Entropy) -> bytes:
    """Do `operation` with the key in the token.

    Raises:
        KeyRefused: it is not for that, or the data are not of the form that the method needs.

    """
    check_operation(handle, operation)
    match operation:
        case Cmac(data):
            return bytes_of(key.sign(data, mechanism=Mechanism.AES_CMAC))
        case Prove(statement):
            return hmac_in_token(key, statement)
        case DeriveKeys(paths):
            return b"".join(hmac_in_token(key, path) for path in paths)
        case ProveDerived(path, statement):  # the derived key is here for this one moment; the main key is not
            return hmac_sha256(hmac_in_token(key, path), statement)
        case EncipherPin(pin, pan, pin_format):
            mechanism = Mechanism.AES_ECB if pin_format == PinFormat.ISO_4 else Mechanism.DES3_ECB
            return encipher_pin(_cipher(key, mechanism), pin, pan, pin_format, entropy)
    raise MechanismMissing("tokens are not used for that method", who="token", got=type(operation).__name__)


def hmac_in_token(key: TokenObject, data: bytes) -> bytes:
    """HMAC-SHA-256, 32 bytes."""
    mac = bytes_of(key.sign(data, mechanism=Mechanism.SHA256_HMAC))
    if len(mac) != _HMAC_BYTES:
        raise KeyStoreError("HMAC", who="token", expected=f"{_HMAC_BYTES} bytes", got=len(mac))
    return mac


def check_meant(label: str, wanted: SecretHandle, found: SecretHandle) -> None:
    """Notice another key under the same label.

    Raises:
        KeyMismatch: it is.

    """
    if wanted != found:
        raise KeyMismatch(
            f"another key is kept as {label!r}", who="token", expected=wanted.check_value, got=found.check_value
        )


def _cipher(key: TokenObject, mechanism: Mechanism) -> Callable[[bytes], bytes]:
    return lambda block: bytes_of(key.encrypt(block, mechanism=mechanism))


def _uses(admitted: Attribute) -> dict[Attribute, object]:
    return {**dict.fromkeys((*_USES, *_NEVER), False), admitted: True}


def _identified(handle: SecretHandle) -> bytes:
    return encode((handle.usage.value, handle.algorithm.value, handle.bits, handle.check_value))


def _fitted(key_type: KeyType, key: bytes) -> bytes:
    if key_type is KeyType.DES3:
        return (key + key[:8])[:_TDES_BYTES]
    return key.ljust(_HMAC_BYTES, b"\0") if key_type is KeyType.GENERIC_SECRET else key


def bytes_of(value: object) -> bytes:
    """What a token answered, where that is to be bytes."""
    if not isinstance(value, bytes):
        raise KeyStoreError("answer of the token", who="token", expected="bytes", got=type(value).__name__)
    return value
