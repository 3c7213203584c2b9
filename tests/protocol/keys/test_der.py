from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.keys import der


@pytest.mark.parametrize(
    ("dotted", "encoded"),
    [
        ("1.2.840.10045.4.3.2", "06082a8648ce3d040302"),
        ("2.5.4.3", "0603550403"),
        ("1.3.101.112", "06032b6570"),
        ("2.999.3", "0603883703"),
        ("2.25.0", "06026900"),
    ],
)
def test_object_identifiers(dotted, encoded):
    assert der.object_identifier(dotted).hex() == encoded


@given(st.integers(0, (1 << 128) - 1))
def test_object_identifiers_of_uuids_are_read_by_others(arc):
    """As an extended key usage, which `cryptography` parses."""
    dotted = f"2.25.{arc}"
    encoded = der.sequence(der.object_identifier(dotted))
    assert x509.ExtendedKeyUsage([x509.ObjectIdentifier(dotted)]).public_bytes() == encoded


@pytest.mark.parametrize(
    ("size", "header"),
    [(0, "0400"), (127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100"), (65535, "0482ffff")],
)
def test_lengths_are_the_shortest(size, header):
    encoded = der.element(der.OCTET_STRING, bytes(size))
    assert encoded == bytes.fromhex(header) + bytes(size)
    reader = der.Reader(encoded)
    assert reader.take(der.OCTET_STRING) == bytes(size)
    reader.finish()


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_what_is_written_is_read(contents):
    encoded = der.sequence(*(der.element(der.OCTET_STRING, content) for content in contents))
    outer = der.Reader(encoded)
    inner = outer.enter(der.SEQUENCE)
    outer.finish()
    assert [inner.take(der.OCTET_STRING) for _ in contents] == contents
    inner.finish()


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "04",
        "0401",
        "0301ff",
        "04810161",  # 1 in two bytes
        "04817f" + 127 * "61",
        "0482007f" + 127 * "61",
        "048200ff" + 255 * "61",
        "0480610000",  # indefinite
        "04ff",
        "0483000001" + "61",
        "0482",
        "04820001",
    ],
)
def test_other_encodings_are_refused(encoded):
    with pytest.raises(der.DerError):
        der.Reader(bytes.fromhex(encoded)).take(der.OCTET_STRING)


def test_an_element_ends_within_the_one_around_it():
    inner = der.Reader(bytes.fromhex("3003040561ff616161")).enter(der.SEQUENCE)
    with pytest.raises(der.DerError):
        inner.take(der.OCTET_STRING)


def test_skip_whole_rest_and_finish():
    data = bytes.fromhex("0401610401620401")
    reader = der.Reader(data, 0, 6)
    assert not reader.skip(b"\x05\x00")
    assert reader.skip(data[:3])
    assert reader.rest == data[3:6]
    assert reader.next_is(der.OCTET_STRING)
    with pytest.raises(der.DerError):
        reader.finish()
    assert not reader.skip(data[3:]), "not beyond the end"
    assert reader.whole(der.OCTET_STRING) == data[3:6]
    assert not reader.next_is(der.OCTET_STRING)
    reader.finish()
