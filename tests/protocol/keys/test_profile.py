from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.engine import KeyKind, PublicKey, UsageError
from insitu.protocol.keys import der
from insitu.protocol.keys.profile import (
    FOREVER,
    ISSUER,
    KEY_USE,
    OID_ARC,
    PATH_LENGTH,
    Role,
    checked_name,
    encode_key,
    encode_name,
    encode_time,
    is_name,
    key_identifier,
    read_name,
    read_time,
    serial_number,
    time_text,
)
from insitu.protocol.keys.public import public_of

PRIVATE = ec.derive_private_key(77, ec.SECP256R1())
PUBLIC = public_of(PRIVATE.public_key())
NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9 ._:/()+-]{0,62}[A-Za-z0-9.)])?", fullmatch=True)


def test_the_arc_is_that_of_a_random_uuid():
    identifier = uuid.UUID("b17e2f34-ee17-492c-af67-fd4716deedb4")
    assert f"2.25.{identifier.int}" == OID_ARC
    assert identifier.version == 4


def test_every_role_is_an_authority_or_has_a_use_of_its_own():
    assert set(PATH_LENGTH) | set(KEY_USE) == set(Role)
    assert not set(PATH_LENGTH) & set(KEY_USE)
    assert len(set(KEY_USE.values())) == len(KEY_USE)
    assert set(ISSUER) == set(Role)
    assert set(ISSUER.values()) == set(PATH_LENGTH)


# Names


@given(NAMES)
def test_names_are_encoded_as_others_do(name):
    encoded = encode_name(name)
    assert x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]).public_bytes() == encoded
    assert read_name(encoded) == name
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " x",
        "x ",
        "-x",
        "a" * 65,
        "a\nb",
        "a\0b",
        "caf\u00e9",
        "\u0430bc",
        "a\u202eb",
        "a,b",
        "a=b",
        'a"b',
        "a*",
        "x\n",
    ],
)
def test_other_names_are_refused(name):
    assert not is_name(name)
    with pytest.raises(UsageError, match="name in a certificate"):
        checked_name(name)


@given(st.binary(max_size=100) | NAMES.map(lambda name: encode_name(name) + b"\0"))
def test_other_bytes_are_no_name(data):
    assert read_name(data) is None


# Times


@given(st.integers(0, FOREVER))
def test_times_come_back(seconds):
    encoded = encode_time(seconds)
    assert read_time(der.Reader(encoded)) == seconds
    assert encoded[0] == (der.UTC_TIME if seconds < 2524608000 else der.GENERALIZED_TIME)


@pytest.mark.parametrize(
    ("seconds", "encoded"),
    [
        (0, b"\x17\r700101000000Z"),
        (1_790_000_000, b"\x17\r260921141320Z"),
        (2524607999, b"\x17\r491231235959Z"),
        (2524608000, b"\x18\x0f20500101000000Z"),
        (FOREVER, b"\x18\x0f99991231235959Z"),
    ],
)
def test_times_as_they_stand(seconds, encoded):
    assert encode_time(seconds) == encoded
    assert time_text(seconds) == datetime.fromtimestamp(seconds, UTC).isoformat()[:19] + "Z"


@pytest.mark.parametrize("seconds", [-1, FOREVER + 1, (1 << 64) - 1])
def test_times_that_no_calendar_has_are_shown_all_the_same(seconds):
    assert time_text(seconds) == f"{seconds} s"


@pytest.mark.parametrize("seconds", [-1, FOREVER + 1])
def test_times_out_of_range(seconds):
    with pytest.raises(UsageError, match="1970 to 9999"):
        encode_time(seconds)


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x17\r260921141360Z",
        b"\x17\r261321141320Z",
        b"\x17\r260230141320Z",
        b"\x17\r260921241320Z",
        b"\x17\r26092114132-Z",
        b"\x17\r260921141320z",
        b"\x17\r690101000000Z",  # 1969
        b"\x17\x0b2609211413Z",
        b"\x17\x11260921141320+0000",
        b"\x18\x0f20490101000000Z",  # must be UTCTime
        b"\x18\x1120500101000000.0Z",
        b"\x18\r500101000000Z",
        b"\x17\r2609211\xb24320Z",  # a digit to Python's str, not to us
        b"\x04\r260921141320Z",
    ],
)
def test_other_times_are_refused(encoded):
    with pytest.raises(der.DerError):
        read_time(der.Reader(encoded))


# Keys and numbers


def test_keys_are_encoded_as_others_do():
    expected = PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert encode_key(PUBLIC) == expected


@pytest.mark.parametrize(
    "public",
    [
        PublicKey(KeyKind.P384, public_of(ec.derive_private_key(7, ec.SECP384R1()).public_key()).data),
        PublicKey(KeyKind.ED25519, bytes(32)),
        PublicKey(KeyKind.P256, b"\x04" + bytes(64)),
        PublicKey(KeyKind.P256, b"\x02" + bytes(32)),
    ],
)
def test_other_keys_are_not_certified(public):
    with pytest.raises(UsageError):
        encode_key(public)


def test_key_identifiers_by_method_2():
    digest = int.from_bytes(hashlib.sha1(PUBLIC.data).digest(), "big")
    identifier = int.from_bytes(key_identifier(PUBLIC), "big")
    assert identifier >> 60 == 0b0100
    assert identifier & ((1 << 60) - 1) == digest & ((1 << 60) - 1)


@given(st.binary(min_size=16, max_size=16))
def test_serial_numbers_are_positive_and_16_bytes_long(random):
    number = serial_number(random)
    encoded = number.to_bytes(16, "big")
    assert 0x40 <= encoded[0] < 0x80
    assert encoded[1:] == random[1:]


@pytest.mark.parametrize("size", [0, 15, 17])
def test_serial_numbers_take_16_bytes(size):
    with pytest.raises(UsageError, match="16 random bytes"):
        serial_number(bytes(size))
