"""Key blocks of TR-31 (ANSI X9.143), version D: a symmetric key under an AES key, with what it may be used for.

The header says usage, algorithm, mode of use and exportability, and is bound to the key by a CMAC. What this library
does not use, it does not read: optional blocks, other versions, keys that may be exported. Every length of key gives
the same length of block. Random padding comes from key memory's own entropy, so that a run can be replayed; that is why
this is not a library's (specs/decisions/0019-key-blocks.md), and `psec` reads what is written here, and the reverse.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from ..engine import Fault, ProtocolError, SecretAlgorithm, SecretUsage, UsageError
from ..stores.secret import Entropy, draw
from .methods import check_key, cmac
from .port import KeyRefused

WRAPPING_BYTES: Final = 32
"""Bytes of a key block protection key: AES-256."""

_HEADER: Final = 16
_MAC: Final = 16
_HEADER_FORM: Final = re.compile(r"[0-9A-Z]{16}")
_REST_FORM: Final = re.compile(r"([0-9A-F]{32}){2,}")
_LONGEST: Final = {SecretAlgorithm.AES: 32, SecretAlgorithm.TDES: 24}
_LETTER: Final = {SecretAlgorithm.AES: "A", SecretAlgorithm.TDES: "T"}
_USAGES: Final = {
    (SecretUsage.MAC, SecretAlgorithm.AES): "M6",
    (SecretUsage.MAC, SecretAlgorithm.TDES): "M3",
    (SecretUsage.PIN, SecretAlgorithm.AES): "P0",
    (SecretUsage.PIN, SecretAlgorithm.TDES): "P0",
}
_MODES: Final = {SecretUsage.MAC: "CG", SecretUsage.PIN: "EB"}
"""Modes of use that allow what a module does: MACs both ways or generated, PINs encrypted or both ways. The first is
written."""


class KeyBlockRefused(ProtocolError):
    """A key block that is damaged, not ours, or not for what this library does."""


def write_block(wrapping: bytes, usage: SecretUsage, algorithm: SecretAlgorithm, key: bytes, entropy: Entropy) -> str:
    """The key as a block under `wrapping` (32 bytes); it may not be exported again.

    Raises:
        KeyRefused: no key block has such a usage, or the bytes are no key of this algorithm.
        UsageError: the wrapping key is not one.

    """
    check_key(usage, algorithm, key)
    if (usage, algorithm) not in _USAGES:
        raise KeyRefused("key block", who="keys", expected="a key for MACs or PINs", got=usage.value)
    payload_bytes = -(-(2 + _LONGEST[algorithm]) // 16) * 16
    padding = draw(entropy, payload_bytes - 2 - len(key))
    payload = (8 * len(key)).to_bytes(2, "big") + key + padding
    length = _HEADER + 2 * (payload_bytes + _MAC)
    name, mode = _USAGES[usage, algorithm], _MODES[usage][0]
    header = f"D{length:04}{name}{_LETTER[algorithm]}{mode}00N0000"
    encryption, authentication = _derived(wrapping)
    mac = cmac(authentication, header.encode("ascii") + payload)
    encryptor = Cipher(AES(encryption), CBC(mac)).encryptor()
    return header + (encryptor.update(payload) + encryptor.finalize() + mac).hex().upper()


def read_block(wrapping: bytes, block: str) -> tuple[SecretUsage, SecretAlgorithm, bytes]:
    """What a block under `wrapping` (32 bytes) holds: usage, algorithm and the key.

    Raises:
        KeyBlockRefused: the block is not whole, or made for something else.
        KeyRefused: it holds no key of its algorithm for its usage, or a weak one.
        UsageError: the wrapping key is not one.

    """
    usage, algorithm = _read_header(block)
    sealed = bytes.fromhex(block[_HEADER:])
    body, mac = sealed[:-_MAC], sealed[-_MAC:]
    encryption, authentication = _derived(wrapping)
    decryptor = Cipher(AES(encryption), CBC(mac)).decryptor()
    payload = decryptor.update(body) + decryptor.finalize()
    if not hmac.compare_digest(cmac(authentication, block[:_HEADER].encode("ascii") + payload), mac):
        raise _refused("MAC", "a block under this wrapping key", "another or altered one", Fault.UNTRUSTED)
    bits = int.from_bytes(payload[:2], "big")
    if bits % 8 or 2 + bits // 8 > len(payload):
        raise _refused("key length", "whole bytes within the block", "another")
    key = payload[2 : 2 + bits // 8]
    check_key(usage, algorithm, key)
    return usage, algorithm, key


def _read_header(block: str) -> tuple[SecretUsage, SecretAlgorithm]:
    if not _HEADER_FORM.match(block):
        raise _refused("form", "a header of 16 digits and capital letters", "something else")
    if block[0] != "D":
        raise _refused("version", "D", "another", Fault.UNSUPPORTED)
    if block[1:5] != f"{len(block):04}":
        raise _refused("length", "that of the block", "another")
    letter, mode, usage_name = block[7], block[8], block[5:7]
    algorithm = next((known for known, its in _LETTER.items() if its == letter), None)
    usage = next((u for (u, a), name in _USAGES.items() if a is algorithm and name == usage_name), None)
    if algorithm is None or usage is None:
        raise _refused("usage", "a MAC or PIN key of AES or TDES", "another", Fault.UNSUPPORTED)
    if mode not in _MODES[usage]:
        raise _refused("mode of use", " or ".join(_MODES[usage]), "another", Fault.UNSUPPORTED)
    if block[11] != "N":
        raise _refused("exportability", "N", "another", Fault.UNSUPPORTED)
    if block[12:16] != "0000":
        raise _refused("optional blocks", "none", "some", Fault.UNSUPPORTED)
    if not _REST_FORM.fullmatch(block[_HEADER:]):
        raise _refused("form", "hexadecimal digits in capital letters, in blocks of 16 bytes", "something else")
    return usage, algorithm


def _derived(wrapping: bytes) -> tuple[bytes, bytes]:
    """Encryption and authentication key of AES-256 from the key block protection key (X9.143 section 7.3, CMAC)."""
    if len(wrapping) != WRAPPING_BYTES:
        raise UsageError("wrapping key", who="keys", expected=f"{WRAPPING_BYTES} bytes", got=len(wrapping))
    purposes = (b"\x00\x00", b"\x00\x01")
    tail = b"\x00\x00\x04\x01\x00"  # separator, AES-256, 256 bits
    first, second = (b"".join(cmac(wrapping, bytes([n]) + purpose + tail) for n in (1, 2)) for purpose in purposes)
    return first, second


def _refused(what: str, expected: str, got: str, fault: Fault = Fault.MALFORMED) -> KeyBlockRefused:
    return KeyBlockRefused(f"key block: {what}", who="keys", expected=expected, got=got, fault=fault)
