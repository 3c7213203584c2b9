from __future__ import annotations

import hashlib

import pytest

from insitu.protocol.channel.edhoc.hashes import SHA256, SHA384


@pytest.mark.parametrize(
    ("ikm", "salt", "info", "prk", "okm"),
    [
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            "0b" * 22,
            "",
            "",
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf(ikm, salt, info, prk, okm):
    """RFC 5869, test cases 1 and 3."""
    assert SHA256.extract(bytes.fromhex(salt), bytes.fromhex(ikm)).hex() == prk
    assert SHA256.expand(bytes.fromhex(prk), bytes.fromhex(info), len(okm) // 2).hex() == okm


@pytest.mark.parametrize("hash_", [SHA256, SHA384])
def test_sizes(hash_):
    assert hash_.digest(b"abc") == hashlib.new(hash_.name, b"abc").digest()
    assert len(hash_.digest(b"")) == len(hash_.extract(b"s", b"k")) == hash_.size
    assert len(hash_.expand(bytes(hash_.size), b"", 255 * hash_.size)) == 255 * hash_.size
