from __future__ import annotations

import hashlib

import pytest

from insitu.protocol.channel.edhoc.curves import (
    ENTROPY_BYTES,
    PUBLIC_BYTES,
    EphemeralKey,
    as_public,
    load_static,
    load_x,
)
from insitu.protocol.engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError
from insitu.protocol.keys.public import CURVES

KINDS = (KeyKind.X25519, KeyKind.P256, KeyKind.P384)
PRIMES = {KeyKind.P256: 2**256 - 2**224 + 2**192 + 2**96 - 1, KeyKind.P384: 2**384 - 2**128 - 2**96 + 2**32 - 1}


def pair(kind, name="a"):
    return EphemeralKey.generate(kind, hashlib.shake_256(name.encode()).digest(ENTROPY_BYTES[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_agree(kind):
    one, other = pair(kind, "one"), pair(kind, "other")
    assert len(one.x) == PUBLIC_BYTES[kind]
    secret = one.agree(load_x(kind, other.x))
    assert secret == other.agree(load_x(kind, one.x))
    assert len(secret) == PUBLIC_BYTES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_static_key_may_come_with_either_y(kind):
    one, other = pair(kind, "one"), pair(kind, "other")
    public = as_public(load_x(kind, other.x))
    assert load_static(public) is load_static(public)
    assert one.agree(load_static(public)) == one.agree(load_x(kind, other.x))


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384])
def test_private_values_by_extra_random_bits(kind):
    """FIPS 186-5, A.2.1: (c mod (n - 1)) + 1 of 64 bits more than the order has; never 0, never n."""
    order, size = CURVES[kind].group_order, ENTROPY_BYTES[kind]
    assert size * 8 == order.bit_length() + 64
    for entropy, scalar in {
        bytes(size): 1,
        (order - 1).to_bytes(size, "big"): 1,
        (order - 2).to_bytes(size, "big"): order - 1,
        order.to_bytes(size, "big"): 2,
        b"\xff" * size: (2 ** (8 * size) - 1) % (order - 1) + 1,
    }.items():
        made = EphemeralKey.generate(kind, entropy)
        assert made._private.private_numbers().private_value == scalar


def test_private_values_of_x25519():
    """Any 32 bytes are one; X and G_X of RFC 9529 section 2.1."""
    x = bytes.fromhex("892ec28e5cb6669108470539500b705e60d008d347c5817ee9f3327c8a87bb03")
    for make in (EphemeralKey.generate, EphemeralKey.from_private):
        assert make(KeyKind.X25519, x).x.hex() == "31f82c7b5b9cbbf0f194d913cc12ef1532d328ef32632a4881a1c0701e237f04"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [-1, 1])
def test_entropy_of_the_wrong_length(kind, change):
    with pytest.raises(UsageError, match="entropy"):
        EphemeralKey.generate(kind, bytes(ENTROPY_BYTES[kind] + change))


def test_a_kind_that_does_not_agree():
    for make in (EphemeralKey.generate, EphemeralKey.from_private):
        with pytest.raises(UsageError):
            make(KeyKind.ED25519, bytes(32))


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384])
def test_private_values_out_of_range(kind):
    size = PUBLIC_BYTES[kind]
    for number in (0, CURVES[kind].group_order, 2 ** (8 * size) - 1):
        with pytest.raises(UsageError, match="private value") as caught:
            EphemeralKey.from_private(kind, number.to_bytes(size, "big"))
        assert caught.value.__context__ is None, "no other error carries the value along"


@pytest.mark.parametrize("kind", KINDS)
def test_ephemeral_keys_of_the_wrong_length(kind):
    for size in (0, 1, PUBLIC_BYTES[kind] - 1, PUBLIC_BYTES[kind] + 1, 65):
        with pytest.raises(ProtocolError, match="ephemeral key") as caught:
            load_x(kind, bytes(size))
        assert caught.value.fault is Fault.MALFORMED


B = {
    KeyKind.P256: 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    KeyKind.P384: int(
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef", 16
    ),
}


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384])
def test_points_are_on_the_curve(kind):
    """SP 800-56A, 5.6.2.3: an x is taken if and only if x < p and x^3 - 3x + b is a square."""
    size, prime = PUBLIC_BYTES[kind], PRIMES[kind]
    taken = 0
    for x in (*range(40), *range(prime - 20, prime), *range(prime, prime + 40), 2 ** (8 * size) - 1):
        square = (x**3 - 3 * x + B[kind]) % prime
        if x < prime and pow(square, (prime - 1) // 2, prime) in (0, 1):
            load_x(kind, x.to_bytes(size, "big"))
            taken += 1
        else:
            with pytest.raises(ProtocolError, match="expected a point on") as caught:
                load_x(kind, x.to_bytes(size, "big"))
            assert caught.value.fault is Fault.MALFORMED
    assert 20 < taken < 40


LOW_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_points_of_low_order(point):
    """RFC 7748 section 6: the all-zero check."""
    with pytest.raises(ProtocolError, match="no shared secret"):
        pair(KeyKind.X25519).agree(load_x(KeyKind.X25519, bytes.fromhex(point)))


def test_two_curves_do_not_agree():
    with pytest.raises(ProtocolError, match="no shared secret"):
        pair(KeyKind.P256).agree(load_x(KeyKind.P384, pair(KeyKind.P384).x))
    with pytest.raises(ProtocolError, match="no shared secret"):
        pair(KeyKind.X25519).agree(load_x(KeyKind.P256, pair(KeyKind.P256).x))
    with pytest.raises(ProtocolError, match="no shared secret"):
        pair(KeyKind.P256).agree(load_x(KeyKind.X25519, pair(KeyKind.X25519).x))


def test_static_keys_are_for_diffie_hellman():
    with pytest.raises(ProtocolError, match="static key"):
        load_static(
            PublicKey(
                KeyKind.ED25519, bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
            )
        )
    with pytest.raises(ProtocolError):
        load_static(PublicKey(KeyKind.P256, b"\x04" + bytes(64)))
