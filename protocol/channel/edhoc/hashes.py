"""The hash functions of the suites, and HKDF over them (RFC 5869). Knows nothing of EDHOC."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand


@dataclass(frozen=True, slots=True)
class Hash:
    """A SHA-2 hash function.

    Attributes:
        name: as hashlib and hmac know it.
        size: length of its output, bytes.

    """

    name: str
    size: int
    _digest: Callable[[bytes], hashlib._Hash] = field(repr=False)
    _algorithm: hashes.HashAlgorithm = field(repr=False)

    def digest(self, data: bytes) -> bytes:
        """The hash of `data`."""
        return self._digest(data).digest()

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        """HKDF-Extract: a pseudorandom key of `size` bytes."""
        return hmac.digest(salt, secret, self.name)

    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        """HKDF-Expand: `length` bytes, at most 255 times `size`."""
        return HKDFExpand(self._algorithm, length, info).derive(key)


SHA256: Final = Hash("sha256", 32, hashlib.sha256, hashes.SHA256())
SHA384: Final = Hash("sha384", 48, hashlib.sha384, hashes.SHA384())
