from __future__ import annotations

import hashlib
import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError
from insitu.protocol.keys.public import (
    CURVES,
    ECDSA,
    FIELD_BYTES,
    compress,
    decompress,
    der_signature,
    der_signature_holds,
    load_public,
    public_of,
    raw_signature,
    signature_holds,
)

P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
GENERATOR = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
SCALARS = st.integers(1, 1 << 250)


def pair(kind: KeyKind, scalar: int) -> PublicKey:
    return public_of(ec.derive_private_key(scalar, CURVES[kind]).public_key())


def test_a_key_is_its_point():
    assert pair(KeyKind.P256, 1) == PublicKey(KeyKind.P256, GENERATOR)
    loaded = load_public(PublicKey(KeyKind.P256, GENERATOR))
    assert public_of(loaded).data == GENERATOR


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384])
@given(scalar=SCALARS)
def test_compression_is_undone(kind, scalar):
    public = pair(kind, scalar)
    compressed = compress(public)
    assert len(compressed) == 1 + FIELD_BYTES[kind]
    assert decompress(kind, compressed) == public


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (KeyKind.P256, b""),
        (KeyKind.P256, GENERATOR[:-1]),
        (KeyKind.P256, GENERATOR + b"\0"),
        (KeyKind.P256, b"\x02" + GENERATOR[1:33]),  # compressed: not the form of a PublicKey
        (KeyKind.P256, b"\x06" + GENERATOR[1:]),  # hybrid form
        (KeyKind.P256, GENERATOR[:-1] + bytes([GENERATOR[-1] ^ 1])),  # not on the curve
        (KeyKind.P256, b"\0"),  # infinity
        (KeyKind.P256, b"\x04" + bytes(64)),
        (KeyKind.P256, b"\x04" + P256_PRIME.to_bytes(32, "big") + GENERATOR[33:]),
        (KeyKind.P384, GENERATOR),
        (KeyKind.ED25519, bytes(31)),
        (KeyKind.X25519, bytes(33)),
    ],
)
def test_other_bytes_are_no_key(kind, data):
    with pytest.raises(ProtocolError) as caught:
        load_public(PublicKey(kind, data))
    assert caught.value.fault is Fault.MALFORMED
    assert kind.value in caught.value.expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02" + bytes(31),
        b"\x04" + GENERATOR[1:33],
        GENERATOR,
        b"\x02" + b"\xff" * 32,
        b"\x02" + bytes(31) + b"\x01",
    ],
)
def test_other_bytes_are_no_compressed_key(data):
    with pytest.raises(ProtocolError):
        decompress(KeyKind.P256, data)


def test_only_points_are_compressed():
    with pytest.raises(UsageError):
        compress(PublicKey(KeyKind.ED25519, bytes(32)))
    with pytest.raises(ProtocolError):
        decompress(KeyKind.X25519, bytes(32))


def test_other_curves_are_refused():
    with pytest.raises(UsageError, match="got secp521r1"):
        public_of(ec.generate_private_key(ec.SECP521R1()).public_key())


@given(r=st.integers(1, 2**256 - 1), s=st.integers(1, 2**256 - 1))
def test_forms_of_signatures(r, s):
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert raw_signature(KeyKind.P256, der_signature(raw)) == raw


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384])
def test_ecdsa(kind):
    private = ec.derive_private_key(12345, CURVES[kind])
    public = public_of(private.public_key())
    encoded = private.sign(b"message", ECDSA[kind])
    signature = raw_signature(kind, encoded)
    assert len(signature) == 2 * FIELD_BYTES[kind]
    assert signature_holds(public, b"message", signature)
    assert not signature_holds(public, b"massage", signature)
    assert not signature_holds(pair(kind, 54321), b"message", signature)
    assert not signature_holds(public, b"message", signature[:-1])
    assert not signature_holds(public, b"message", b"")
    assert not signature_holds(public, b"message", bytes(len(signature)))
    assert not signature_holds(public, b"message", signature + b"\0\0")
    assert der_signature_holds(public, b"message", encoded)
    for other in (b"", encoded[:-1], encoded + b"\0", b"\x30\x81" + encoded[1:], signature):
        assert not der_signature_holds(public, b"message", other)


def test_each_curve_has_its_hash():
    """A signature with the other curve's hash does not hold (RFC 9053 section 2.1)."""
    assert (ECDSA[KeyKind.P256].algorithm.name, ECDSA[KeyKind.P384].algorithm.name) == ("sha256", "sha384")


def test_eddsa_of_the_cose_examples(repository):
    """Ed25519 over the Sig_structure of a published example."""
    example = json.loads((repository / "specs/vectors/cose/eddsa-examples/eddsa-sig-01.json").read_text())
    key = example["input"]["sign0"]["key"]
    public = PublicKey(KeyKind.ED25519, bytes.fromhex(key["x_hex"]))
    message = bytes.fromhex(example["intermediates"]["ToBeSign_hex"])
    signature = bytes.fromhex(example["output"]["cbor"])[-64:]
    assert signature_holds(public, message, signature)
    assert not signature_holds(public, message + b"\0", signature)
    assert not signature_holds(public, message, signature[:63])


def test_x25519_does_not_sign():
    public = public_of(x25519.X25519PrivateKey.from_private_bytes(os.urandom(32)).public_key())
    with pytest.raises(UsageError, match="does not sign"):
        signature_holds(public, b"", bytes(64))
    ed = public_of(ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"").digest()).public_key())
    with pytest.raises(UsageError, match="no ECDSA"):
        der_signature_holds(ed, b"", bytes(64))
