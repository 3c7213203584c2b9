"""What is done with symmetric keys: CMAC, retail MAC, PIN blocks, check values. Primitives are `cryptography`'s.

Key bytes come from key memory and go back to nobody; errors name no value, since all of them are secret.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hmac import digest
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from ..engine import (
    Cmac,
    DeriveKeys,
    EncipherPin,
    PinFormat,
    Prove,
    ProveDerived,
    RetailMac,
    SecretAlgorithm,
    SecretHandle,
    SecretOperation,
    SecretUsage,
)
from ..stores.secret import Entropy, draw
from .port import KeyRefused

_BITS: Final = {
    (SecretUsage.MAC, SecretAlgorithm.AES): (128, 192, 256),
    (SecretUsage.MAC, SecretAlgorithm.TDES): (128,),  # algorithm 3 has two keys: of a third, nothing would be used
    (SecretUsage.PIN, SecretAlgorithm.AES): (128, 192, 256),
    (SecretUsage.PIN, SecretAlgorithm.TDES): (128, 192),
    (SecretUsage.WRAPPING, SecretAlgorithm.AES): (256,),
    (SecretUsage.PROOF, SecretAlgorithm.HMAC): (128, 256),
    (SecretUsage.DERIVATION, SecretAlgorithm.HMAC): (256,),
}
PASSWORD_BYTES: Final = (6, 64)
"""Of a shared secret that is used in a PAKE."""
DERIVED_BYTES: Final = 32
"""Of keys that are derived, and of those that they are derived from: what HMAC-SHA-256 gives."""
_DES_BLOCK: Final = 8
_PIN_DIGITS: Final = (4, 12)
_PAN_DIGITS: Final = (12, 19)


def cmac(key: bytes, data: bytes) -> bytes:
    """AES CMAC, 16 bytes."""
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256, 32 bytes."""
    return digest(key, data, "sha256")


def check_value(algorithm: SecretAlgorithm, key: bytes) -> str:
    """The check value, named by its method (ANSI X9.24-1, X9.143).

    AES: the first 5 bytes of the CMAC over a block of zeros. TDES: the first 3 bytes of the encrypted block of zeros.
    HMAC: the first 5 bytes of the HMAC over nothing.
    """
    if algorithm is SecretAlgorithm.HMAC:
        return hmac_check_value(hmac_sha256(key, b""))
    if algorithm is SecretAlgorithm.AES:
        return f"KCV(CMAC)={cmac(key, bytes(16))[:5].hex().upper()}"
    return f"KCV(ENC)={_tdes(key, bytes(_DES_BLOCK))[:3].hex().upper()}"


def hmac_check_value(mac: bytes) -> str:
    """The check value of a key whose HMAC over nothing is this."""
    return f"KCV(HMAC)={mac[:5].hex().upper()}"


def check_length(usage: SecretUsage, algorithm: SecretAlgorithm, bits: int) -> None:
    """Refuse a length that no key of this algorithm for this usage has; parity bits count.

    Raises:
        KeyRefused: it is such a length, or there is no such usage of this algorithm.

    """
    lengths = _BITS.get((usage, algorithm), ())
    if bits not in lengths:
        expected = f"{' or '.join(map(str, lengths))} bits" if lengths else "another algorithm"
        raise KeyRefused(f"{algorithm.value} key for {usage.value}", who="keys", expected=expected, got=bits)


def check_key(usage: SecretUsage, algorithm: SecretAlgorithm, key: bytes) -> None:
    """Refuse bytes that are no key of this algorithm for this usage, all zeros, and TDES keys as weak as DES.

    Raises:
        KeyRefused: they are such bytes.

    """
    if (usage, algorithm) == (SecretUsage.PASSWORD, SecretAlgorithm.SPAKE2):
        least, most = PASSWORD_BYTES
        if not least <= len(key) <= most:  # how long it is, is as secret as it is itself
            raise KeyRefused("secret", who="keys", expected=f"{least} to {most} bytes", got="another length")
        return
    check_length(usage, algorithm, 8 * len(key))
    if not any(key):
        raise KeyRefused(f"{algorithm.value} key", who="keys", expected="a key", got="zeros")
    if algorithm is SecretAlgorithm.TDES:
        parts = [_without_parity(key[start : start + 8]) for start in range(0, len(key), 8)]
        if parts[0] == parts[1] or parts[-1] == parts[-2]:
            raise KeyRefused("TDES key", who="keys", expected="parts that differ", got="DES in effect")


def with_odd_parity(key: bytes) -> bytes:
    """A DES key whose last bit of each byte makes the number of ones odd, as some equipment insists (ANSI X9.24-1)."""
    return bytes(byte & 0xFE | ~(byte >> 1).bit_count() & 1 for byte in key)


def perform(handle: SecretHandle, key: bytes, operation: SecretOperation, entropy: Entropy) -> bytes:
    """Do `operation` with `key`.

    Args:
        handle: says what the key is for.
        key: its bytes.
        operation: what is wanted.
        entropy: fills PIN blocks.

    Raises:
        KeyRefused: the key is not for that, or the data are not of the form that the method needs.

    """
    check_operation(handle, operation)
    match operation:
        case Cmac(data):
            return cmac(key, data)
        case Prove(statement):
            return hmac_sha256(key, statement)
        case DeriveKeys(paths):
            return b"".join(hmac_sha256(key, path) for path in paths)
        case ProveDerived(path, statement):
            return hmac_sha256(hmac_sha256(key, path), statement)
        case RetailMac(data, padding):
            return _retail_mac(key, _padded(data, padding))
        case EncipherPin(pin, pan, pin_format):
            cipher = _one_block(key) if pin_format == PinFormat.ISO_4 else partial(_tdes, key)
            return encipher_pin(cipher, pin, pan, pin_format, entropy)


def check_operation(handle: SecretHandle, operation: SecretOperation) -> None:
    """Refuse what the key is not for.

    Raises:
        KeyRefused: it is not.

    """
    wanted, algorithm = _needs(operation)
    if (handle.usage, handle.algorithm) != (wanted, algorithm):
        got = f"{handle.usage.value} with {handle.algorithm.value}"
        raise KeyRefused("use of this key", who="keys", expected=f"{wanted.value} with {algorithm.value}", got=got)


def encipher_pin(
    encrypt: Callable[[bytes], bytes], pin: str, pan: str, pin_format: PinFormat, entropy: Entropy
) -> bytes:
    """An encrypted PIN block, wherever the key is.

    Args:
        encrypt: one block, with the key.
        pin: see EncipherPin.
        pan: see EncipherPin.
        pin_format: see EncipherPin.
        entropy: fills the block.

    Raises:
        KeyRefused: the PIN or the card number is not of the form that the method needs.

    """
    _check_digits("PIN", pin, _PIN_DIGITS)
    _check_digits("card number", pan, _PAN_DIGITS)
    if pin_format == PinFormat.ISO_4:
        return _format_4(encrypt, pin, pan, draw(entropy, 8))
    fill = "F" * 16 if pin_format == PinFormat.ISO_0 else _letters(draw(entropy, 16))
    return encrypt(_format_0_or_3(pin_format, pin, pan, fill))


def _needs(operation: SecretOperation) -> tuple[SecretUsage, SecretAlgorithm]:
    match operation:
        case Cmac():
            return SecretUsage.MAC, SecretAlgorithm.AES
        case Prove():
            return SecretUsage.PROOF, SecretAlgorithm.HMAC
        case DeriveKeys() | ProveDerived():
            return SecretUsage.DERIVATION, SecretAlgorithm.HMAC
        case RetailMac():
            return SecretUsage.MAC, SecretAlgorithm.TDES
        case EncipherPin(format=PinFormat.ISO_4):
            return SecretUsage.PIN, SecretAlgorithm.AES
        case EncipherPin(format=PinFormat.ISO_0 | PinFormat.ISO_3):
            return SecretUsage.PIN, SecretAlgorithm.TDES
    raise KeyRefused("method", who="keys", expected="a MAC or a PIN block of format 0, 3 or 4", got="another")


def _check_digits(what: str, text: str, limits: tuple[int, int]) -> None:
    least, most = limits
    if not (text.isascii() and text.isdigit() and least <= len(text) <= most):
        raise KeyRefused(what, who="keys", expected=f"{least} to {most} digits", got="something else")


def _tdes(key: bytes, data: bytes) -> bytes:
    whole = (key + key[:8])[:24]  # double length is triple length with the first part again
    encryptor = Cipher(TripleDES(whole), ECB()).encryptor()  # noqa: S305 - one block
    return encryptor.update(data) + encryptor.finalize()


def _padded(data: bytes, method: int) -> bytes:
    """ISO/IEC 9797-1 section 6.3: zeros to the end of the block, at least one block; method 2 with a bit before."""
    if method not in (1, 2):
        raise KeyRefused("padding", who="keys", expected="method 1 or 2", got=method)
    data += b"\x80" if method == 2 else b""
    return data + bytes(-len(data) % _DES_BLOCK or (0 if data else _DES_BLOCK))


def _retail_mac(key: bytes, data: bytes) -> bytes:
    """Algorithm 3: CBC with single DES under the left half, then decrypted under the right and encrypted again."""
    left, right = key[:8], key[8:16]
    single = Cipher(TripleDES(left * 3), CBC(bytes(_DES_BLOCK))).encryptor()
    last = (single.update(data) + single.finalize())[-_DES_BLOCK:]
    back = Cipher(TripleDES(right * 3), ECB()).decryptor()  # noqa: S305 - one block
    return _tdes(left * 3, back.update(last) + back.finalize())


def _format_0_or_3(pin_format: PinFormat, pin: str, pan: str, fill: str) -> bytes:
    """ISO 9564-1 sections 9.3.2 and 9.3.5: PIN field and account number field, added modulo 2."""
    pin_field = f"{pin_format:X}{len(pin):X}{pin}{fill}"[:16]
    pan_field = pan[:-1][-12:].rjust(16, "0")
    return _xor(bytes.fromhex(pin_field), bytes.fromhex(pan_field))


def _one_block(key: bytes) -> Callable[[bytes], bytes]:
    return Cipher(AES(key), ECB()).encryptor().update  # noqa: S305 - single blocks


def _format_4(encrypt: Callable[[bytes], bytes], pin: str, pan: str, random: bytes) -> bytes:
    """ISO 9564-1 section 9.4.2: the PIN field encrypted, the account number field added, encrypted again."""
    pin_field = bytes.fromhex(f"4{len(pin):X}{pin}".ljust(16, "A")) + random
    pan_field = bytes.fromhex(f"{len(pan) - 12}{pan}".ljust(32, "0"))
    return encrypt(_xor(encrypt(pin_field), pan_field))


def _letters(random: bytes) -> str:
    """Random digits from A to F, each as likely, from bytes of which few are not used (ISO 9564-1 section 9.3.5)."""
    digits = "".join(f"{10 + byte % 6:X}" for byte in random if byte < 252)
    return digits.ljust(16, "A")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _without_parity(part: bytes) -> bytes:
    return bytes(byte & 0xFE for byte in part)
