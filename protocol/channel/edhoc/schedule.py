"""The key schedule: EDHOC_KDF and what is derived with it (RFC 9528 section 4.1), transcript hashes, stream cipher.

Pure functions of bytes. A transcript hash is handed around as the encoded byte string (`th`), which is how it enters
every structure. Which key is mixed in when depends on the method and is decided by the roles.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ...messages.codec import encode
from ..cose import enc_structure, octets
from .suites import Suite


class Label(IntEnum):
    """info_label of each derivation (section 4.1.2, figure 6; key update: appendix H)."""

    KEYSTREAM_2 = 0
    SALT_3E2M = 1
    MAC_2 = 2
    K_3 = 3
    IV_3 = 4
    SALT_4E3M = 5
    MAC_3 = 6
    PRK_OUT = 7
    K_4 = 8
    IV_4 = 9
    PRK_EXPORTER = 10
    KEY_UPDATE = 11


_LABELS: Final = {int(label): encode(int(label)) for label in Label}
_LENGTHS: Final = tuple(encode(length) for length in range(256))


def kdf(suite: Suite, key: bytes, label: int, context: bytes, length: int) -> bytes:
    """EDHOC_KDF (section 4.1.2): HKDF-Expand of the CBOR sequence (label, context, length).

    Args:
        suite: whose hash is used.
        key: a pseudorandom key.
        label: info_label.
        context: a byte string, encoded; a transcript hash is one.
        length: of the output, bytes.

    """
    head = _LABELS.get(label) or encode(label)
    info = head + context + (_LENGTHS[length] if length < len(_LENGTHS) else encode(length))
    return suite.hash.expand(key, info, length)


def keystream(suite: Suite, prk_2e: bytes, th_2: bytes, length: int) -> bytes:
    """KEYSTREAM_2, also for plaintexts longer than HKDF-Expand reaches (appendix G)."""
    most = 255 * suite.hash.size
    if length <= most:
        return kdf(suite, prk_2e, Label.KEYSTREAM_2, th_2, length)
    starts = range(0, length, most)
    return b"".join([kdf(suite, prk_2e, -i, th_2, min(most, length - start)) for i, start in enumerate(starts)])


def xor(left: bytes, right: bytes) -> bytes:
    """The binary sum of two strings of equal length."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def hash_2(suite: Suite, g_y: bytes, message_1: bytes) -> bytes:
    """TH_2 = H(G_Y, H(message_1)) (section 5.3.2), encoded."""
    return octets(suite.hash.digest(octets(g_y) + octets(suite.hash.digest(message_1))))


def next_hash(suite: Suite, th: bytes, plaintext: bytes, cred: bytes) -> bytes:
    """TH_3 and TH_4: H(TH before, plaintext of the message, credential of its sender), encoded (section 5.4.2)."""
    return octets(suite.hash.digest(th + plaintext + cred))


def extract_2e(suite: Suite, th_2: bytes, secret: bytes) -> bytes:
    """PRK_2e = Extract(TH_2, G_XY) (section 4.1.1.1)."""
    return suite.hash.extract(th_2[-suite.hash.size :], secret)


def mix(suite: Suite, prk: bytes, label: Label, th: bytes, secret: bytes) -> bytes:
    """PRK_3e2m and PRK_4e3m of a side with a static key: Extract(SALT, static secret) (section 4.1.1)."""
    return suite.hash.extract(kdf(suite, prk, label, th, suite.hash.size), secret)


def seal(suite: Suite, prk: bytes, labels: tuple[Label, Label], th: bytes, plaintext: bytes) -> bytes:
    """CIPHERTEXT_3 and CIPHERTEXT_4 under the key and IV with these labels (sections 5.4.2, 5.5.2)."""
    key, nonce, aad = _protection(suite, prk, labels, th)
    return suite.aead.seal(key, nonce, plaintext, aad)


def unseal(suite: Suite, prk: bytes, labels: tuple[Label, Label], th: bytes, ciphertext: bytes) -> bytes:
    """The plaintext of CIPHERTEXT_3 or CIPHERTEXT_4.

    Raises:
        ProtocolError: it does not authenticate.

    """
    key, nonce, aad = _protection(suite, prk, labels, th)
    return suite.aead.open(key, nonce, ciphertext, aad)


MESSAGE_3: Final = (Label.K_3, Label.IV_3)
MESSAGE_4: Final = (Label.K_4, Label.IV_4)


def _protection(suite: Suite, prk: bytes, labels: tuple[Label, Label], th: bytes) -> tuple[bytes, bytes, bytes]:
    key, nonce = labels
    return (
        kdf(suite, prk, key, th, suite.aead.key_bytes),
        kdf(suite, prk, nonce, th, suite.aead.nonce_bytes),
        _ENCRYPT0 + th,
    )


_ENCRYPT0: Final = enc_structure(b"", b"")[:-1]
"""Enc_structure up to its external_aad, which is the encoded TH."""
