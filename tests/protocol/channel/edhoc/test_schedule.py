"""The key schedule beyond what the traces show: long keystreams, other hashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.channel.edhoc import SUITES
from insitu.protocol.channel.edhoc.hashes import SHA256
from insitu.protocol.channel.edhoc.schedule import kdf, keystream, xor
from insitu.protocol.messages.codec import encode


@given(st.integers(-(1 << 32), 1 << 32), st.binary(max_size=300), st.integers(1, 8160))
def test_info_is_a_cbor_sequence(label, context, length):
    """RFC 9528 section 4.1.2."""
    key = bytes(range(32))
    info = encode(label) + encode(context) + encode(length)
    assert kdf(SUITES[3], key, label, encode(context), length) == SHA256.expand(key, info, length)


@pytest.mark.parametrize("number", [3, 24])
def test_keystream_in_parts(number):
    """RFC 9528 appendix G: OKM(i) has info_label -i; one part where HKDF-Expand reaches."""
    suite = SUITES[number]
    most = 255 * suite.hash.size
    prk, th_2 = bytes(range(suite.hash.size)), encode(bytes(suite.hash.size))
    first = kdf(suite, prk, 0, th_2, most)
    assert keystream(suite, prk, th_2, most) == first
    assert keystream(suite, prk, th_2, 1) == kdf(suite, prk, 0, th_2, 1)
    long = keystream(suite, prk, th_2, 2 * most + 7)
    assert long == first + kdf(suite, prk, -1, th_2, most) + kdf(suite, prk, -2, th_2, 7)


@given(st.binary(max_size=100), st.data())
def test_xor(left, data):
    right = data.draw(st.binary(min_size=len(left), max_size=len(left)))
    assert xor(left, right) == bytes(a ^ b for a, b in zip(left, right, strict=True))
    assert xor(xor(left, right), right) == left
