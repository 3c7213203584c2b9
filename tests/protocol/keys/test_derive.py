from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.engine import KeyKind
from insitu.protocol.keys.derive import OWN_ENTROPY, derive_private, scalar
from insitu.protocol.keys.port import KeyStoreError
from insitu.protocol.keys.public import public_of

OWN = bytes(range(OWN_ENTROPY))
SALT = b"prescribed by the unit".ljust(32, b".")
ORDERS = {
    KeyKind.P256: int("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16),
    KeyKind.P384: int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
    ),
}
EXTENDED = {KeyKind.P256: 40, KeyKind.P384: 56, KeyKind.ED25519: 32, KeyKind.X25519: 32}


def hkdf(own: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 by hand."""
    extracted = hmac.digest(salt or bytes(64), own, "sha512")
    block = output = b""
    for counter in range(1, 3):
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha512")
        output += block
    return output[:size]


def private_bytes(kind: KeyKind, own: bytes = OWN, salt: bytes = SALT, label: str = "operating-0") -> bytes:
    private = derive_private(kind, own, salt, label)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.private_numbers().private_value.to_bytes(private.key_size // 8, "big")
    return private.private_bytes_raw()


@pytest.mark.parametrize("salt", [SALT, b"", bytes(200)])
@pytest.mark.parametrize("kind", KeyKind)
def test_as_written_down(kind, salt):
    """The documented derivation, done again from RFC 5869 and FIPS 186-5."""
    info = b"insitu key pair 1\0" + kind.value.encode() + b"\0operating-0"
    output = hkdf(OWN, salt, info, EXTENDED[kind])
    if kind in ORDERS:
        number = int.from_bytes(output, "big") % (ORDERS[kind] - 1) + 1
        output = number.to_bytes(32 if kind is KeyKind.P256 else 48, "big")
    assert private_bytes(kind, salt=salt) == output


@pytest.mark.parametrize("kind", KeyKind)
def test_everything_that_enters_matters(kind):
    """Own entropy, salt, label and kind each change the key (S7)."""
    keys = {
        private_bytes(kind),
        private_bytes(kind, own=OWN[:-1] + b"\0"),
        private_bytes(kind, own=bytes(OWN_ENTROPY)),
        private_bytes(kind, salt=SALT[:-1]),
        private_bytes(kind, salt=b""),
        private_bytes(kind, label="operating-1"),
    }
    assert len(keys) == 6
    assert private_bytes(kind) == private_bytes(kind)


def test_kinds_do_not_share_a_seed():
    assert private_bytes(KeyKind.ED25519) != private_bytes(KeyKind.X25519)


@given(salt=st.binary(max_size=64), one=st.binary(min_size=64, max_size=64), other=st.binary(min_size=64, max_size=64))
def test_equal_salts_give_different_keys_to_different_modules(salt, one, other):
    same = private_bytes(KeyKind.P256, one, salt) == private_bytes(KeyKind.P256, other, salt)
    assert same is (one == other)


@pytest.mark.parametrize("size", [0, 32, OWN_ENTROPY - 1])
def test_too_little_entropy_is_refused(size):
    with pytest.raises(KeyStoreError, match="own entropy"):
        derive_private(KeyKind.P256, bytes(size), SALT, "label")


@pytest.mark.parametrize("order", ORDERS.values())
def test_scalars_lie_within_the_group(order):
    size = (order.bit_length() + 64) // 8
    assert scalar(bytes(size), order) == 1
    assert scalar((order - 2).to_bytes(size, "big"), order) == order - 1
    assert scalar((order - 1).to_bytes(size, "big"), order) == 1
    for seed in range(200):
        bits = hashlib.shake_256(bytes([seed])).digest(size)
        assert 1 <= scalar(bits, order) < order


def test_public_half():
    """The key object is the one of the derived scalar."""
    private = derive_private(KeyKind.P256, OWN, SALT, "operating-0")
    number = int.from_bytes(private_bytes(KeyKind.P256), "big")
    again = ec.derive_private_key(number, ec.SECP256R1())
    assert public_of(private.public_key()) == public_of(again.public_key())
