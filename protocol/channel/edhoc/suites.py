"""Cipher suites, methods, and the suite that two sides agree on (RFC 9528 sections 3.2, 3.6, 6.3, 10.2).

Data and choice only; what the algorithms do is in `curves`, `schedule` and `..cose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ...engine import KeyKind
from ..cose import (
    A128GCM,
    A256GCM,
    AES_CCM_16_64_128,
    AES_CCM_16_128_128,
    EDDSA,
    ES256,
    ES384,
    Aead,
    Algorithm,
)
from .hashes import SHA256, SHA384, Hash


class Method(IntEnum):
    """How each side proves who it is: with a signature, or with a static Diffie-Hellman key (section 3.2)."""

    SIGNATURES = 0
    SIGNATURE_THEN_STATIC = 1
    """The initiator signs, the responder uses a static key."""
    STATIC_THEN_SIGNATURE = 2
    """The initiator uses a static key, the responder signs."""
    STATIC = 3

    @property
    def initiator_signs(self) -> bool:
        """Whether the initiator proves itself with a signature."""
        return self < 2

    @property
    def responder_signs(self) -> bool:
        """Whether the responder proves itself with a signature."""
        return self in _RESPONDER_SIGNS


_RESPONDER_SIGNS: Final = frozenset((0, 2))


@dataclass(frozen=True, slots=True)
class Suite:
    """One cipher suite.

    Attributes:
        number: its value in the registry.
        aead: protects message_3 and message_4.
        hash: of the transcript and of HKDF.
        mac_bytes: length of MAC_2 and MAC_3 where they stand for a static key; with a signature, the hash length.
        exchange: curve of the ephemeral keys and of static Diffie-Hellman keys.
        signature: algorithm of signature keys.
        application_aead: COSE number; for applications that follow the suite.
        application_hash: COSE number; likewise.

    """

    number: int
    aead: Aead
    hash: Hash
    mac_bytes: int
    exchange: KeyKind
    signature: Algorithm
    application_aead: int
    application_hash: int


_SUITES = (
    Suite(0, AES_CCM_16_64_128, SHA256, 8, KeyKind.X25519, EDDSA, 10, -16),
    Suite(1, AES_CCM_16_128_128, SHA256, 16, KeyKind.X25519, EDDSA, 10, -16),
    Suite(2, AES_CCM_16_64_128, SHA256, 8, KeyKind.P256, ES256, 10, -16),
    Suite(3, AES_CCM_16_128_128, SHA256, 16, KeyKind.P256, ES256, 10, -16),
    Suite(6, A128GCM, SHA256, 16, KeyKind.X25519, ES256, 1, -16),  # the first offer of RFC 9529's second trace
    Suite(24, A256GCM, SHA384, 16, KeyKind.P384, ES384, 3, -43),
)
SUITES: Final = {suite.number: suite for suite in _SUITES}
"""All suites that this library can run; which of them a side offers or admits is for its configuration."""


def best(preferences: Sequence[int], supported: Sequence[int]) -> int | None:
    """The suite most preferred by one side that the other one supports; None without any."""
    return next((number for number in preferences if number in supported), None)
