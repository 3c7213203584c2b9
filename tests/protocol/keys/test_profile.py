from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.engine import KeyKind, PublicKey, UsageError
from insitu.protocol.keys.profile import (
    FOREVER,
    ISSUER,
    KEY_USE,
    OID_ARC,
    PATH_LENGTH,
    Role,
    certified_key,
    checked_name,
    common_name,
    encode_key,
    extensions,
    is_name,
    key_identifier,
    moment,
    serial_number,
    time_text,
    x509_name,
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
    assert set(PATH_LENGTH) & set(KEY_USE) == {Role.CIRCULAR}
    assert len(set(KEY_USE.values())) == len(KEY_USE)
    assert set(ISSUER) == set(Role)
    assert set(ISSUER.values()) == {Role.MANUFACTURER, Role.CUSTOMER, Role.CENTRAL}


# Names


@given(NAMES)
def test_names_come_back(name):
    """A UTF8String (0x0c) of the length that it says, and nothing behind it."""
    encoded = x509_name(name).public_bytes()
    assert encoded.endswith(bytes.fromhex("06035504030c") + bytes([len(name)]) + name.encode())
    assert common_name(x509.Name.from_bytes(encoded)) == name
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


def attribute(text: str, oid: x509.ObjectIdentifier = x509.NameOID.COMMON_NAME) -> x509.NameAttribute:
    return x509.NameAttribute(oid, text)


@pytest.mark.parametrize(
    "name",
    [
        x509.Name([]),
        x509.Name([attribute("a"), attribute("b")]),
        x509.Name([x509.RelativeDistinguishedName([attribute("a"), attribute("b")])]),
        x509.Name([attribute("a", x509.NameOID.ORGANIZATION_NAME)]),
        x509.Name([attribute("a"), attribute("b", x509.NameOID.SERIAL_NUMBER)]),
        x509.Name([attribute("caf\u00e9")]),
        x509.Name(
            [
                x509.NameAttribute(
                    x509.NameOID.X500_UNIQUE_IDENTIFIER, b"\x00a", x509.name._ASN1Type.BitString, _validate=False
                )
            ]
        ),
    ],
)
def test_other_names_are_nobodys(name):
    assert common_name(name) is None


# Times


@given(st.integers(0, FOREVER))
def test_moments_are_those_of_unix_seconds(seconds):
    at = moment(seconds)
    assert at.timestamp() == seconds
    assert at.utcoffset() == timedelta(0)
    assert time_text(seconds) == at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_790_000_000, "2026-09-21T14:13:20Z"), (FOREVER, "9999-12-31T23:59:59Z")],
)
def test_times_as_they_are_told(seconds, text):
    assert time_text(seconds) == text


@pytest.mark.parametrize("seconds", [-1, FOREVER + 1, (1 << 64) - 1])
def test_times_that_no_calendar_has_are_shown_all_the_same(seconds):
    assert time_text(seconds) == f"{seconds} s"


@pytest.mark.parametrize("seconds", [-1, FOREVER + 1, 1 << 70])
def test_times_out_of_range(seconds):
    with pytest.raises(UsageError, match="1970 to 9999"):
        moment(seconds)


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
    for use in (encode_key, certified_key):
        with pytest.raises(UsageError):
            use(public)


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


# Extensions


@pytest.mark.parametrize("role", Role)
def test_only_authorities_identify_their_own_key(role):
    """So leaves of one issuer share all extensions."""
    other = public_of(ec.derive_private_key(78, ec.SECP256R1()).public_key())
    own = [each.value for each in extensions(role, PUBLIC, other) if isinstance(each.value, x509.SubjectKeyIdentifier)]
    assert [value.digest for value in own] == ([key_identifier(PUBLIC)] if role in PATH_LENGTH else [])


@pytest.mark.parametrize("role", Role)
def test_every_extension_but_key_identifiers_is_critical(role):
    for each in extensions(role, PUBLIC, PUBLIC):
        named = isinstance(each.value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier)
        assert each.critical is not named
