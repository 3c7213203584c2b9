from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.channel.edhoc.identifiers import decode_identifier, encode_identifier
from insitu.protocol.messages.codec import DecodeError, decode


@pytest.mark.parametrize(
    ("identifier", "crosses"),
    [
        *(("21", "21"), ("0d", "0d"), ("18", "4118"), ("38", "4138"), ("abcd", "42abcd"), ("", "40")),
        *(("00", "00"), ("37", "37"), ("ff", "41ff"), ("17", "17"), ("20", "20"), ("1f", "411f")),
    ],
)
def test_examples(identifier, crosses):
    """RFC 9528 section 3.3.2, and the edges."""
    assert encode_identifier(bytes.fromhex(identifier)).hex() == crosses
    assert decode_identifier(decode(bytes.fromhex(crosses)), "C_I").hex() == identifier


@given(st.binary(max_size=70))
def test_there_and_back(identifier):
    assert decode_identifier(decode(encode_identifier(identifier)), "C_I") == identifier


@pytest.mark.parametrize("number", range(-30, 30))
def test_integers_of_one_byte_and_no_others(number):
    if -24 <= number <= 23:
        assert encode_identifier(decode_identifier(number, "C_I")) == decode_identifier(number, "C_I")
    else:
        with pytest.raises(DecodeError, match="C_I"):
            decode_identifier(number, "C_I")


@pytest.mark.parametrize("item", [True, False, None, "a", (), {}, b"\x00", b"\x17", b"\x20", b"\x37"])
def test_what_is_no_identifier(item):
    with pytest.raises(DecodeError, match="C_R"):
        decode_identifier(item, "C_R")
