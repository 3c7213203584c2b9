from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.channel.edhoc.credentials import Kid
from insitu.protocol.channel.edhoc.ead import Ead, encode_ead
from insitu.protocol.channel.edhoc.messages import (
    RESERVED,
    ErrorCode,
    ErrorMessage,
    PeerRefused,
    read_error,
    read_message_1,
    read_octets,
    read_plaintext_2,
    read_plaintext_3,
    read_suites,
    write_message_1,
    write_suites,
)
from insitu.protocol.messages.codec import DecodeError, decode, encode

suites = st.lists(st.integers(-24, 99), min_size=1, max_size=6).map(tuple)


@given(st.integers(0, 3), suites, st.binary(max_size=48), st.binary(max_size=30), st.booleans())
def test_message_1_there_and_back(method, offered, g_x, c_i, padded):
    ead = (Ead(1, b"x"), *((Ead(0, b"pad"),) if padded else ()))
    data = write_message_1(method, offered, g_x, c_i, encode_ead(ead))
    message = read_message_1(data)
    assert (message.method, message.suites, message.g_x, message.c_i) == (method, offered, g_x, c_i)
    assert message.ead == ead[:1]
    assert message.encoded == data


G_X = encode(bytes(32))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "at least 4 items"),
        (b"\x00\x00" + G_X, "at least 4 items"),
        (b"\x40\x00" + G_X + b"\x00", "METHOD"),
        (b"\xf5\x00" + G_X + b"\x00", "METHOD"),
        (b"\x00\x40" + G_X + b"\x00", "cipher suites"),
        (b"\x00\xf5" + G_X + b"\x00", "cipher suites"),
        (b"\x00\x80" + G_X + b"\x00", "cipher suites"),
        (b"\x00\x81\x00" + G_X + b"\x00", "cipher suites"),
        (b"\x00\x82\x00\xf5" + G_X + b"\x00", "cipher suites"),
        (b"\x00\x82\x00\x40" + G_X + b"\x00", "cipher suites"),
        (b"\x00\x00\x00\x00", "G_X"),
        (b"\x00\x00" + G_X + b"\x18\x18", "C_I"),
        (b"\x00\x00" + G_X + b"\xf5", "C_I"),
        (b"\x00\x00" + G_X + b"\x00\x40", "EAD item"),
        (b"\x00\x00" + G_X + b"\x00\x01\xa0", "EAD item"),
        (b"\x00\x00" + G_X + b"\x00\xf5", "EAD item"),
        (b"\x00\x00" + G_X, "at least 4"),
        (b"\x00\x00" + G_X[:-1], "ends inside"),
        (b"\xf5\x00\x00" + G_X + b"\x00", "METHOD"),
    ],
)
def test_what_is_no_message_1(data, reason):
    with pytest.raises(DecodeError) as caught:
        read_message_1(data)
    assert reason in str(caught.value)


@given(suites)
def test_suites(offered):
    item = decode(write_suites(offered))
    assert read_suites(item) == offered
    assert (type(item) is int) == (len(offered) == 1)


@given(st.binary(max_size=400))
def test_octets_there_and_back(content):
    assert read_octets(encode(content), "message_2") == content


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 65_000])
def test_octets_of_every_head(size):
    assert read_octets(encode(bytes(size)), "message_2") == bytes(size)


@given(st.binary(max_size=60))
def test_octets_are_taken_in_their_one_encoding_only(data):
    try:
        content = read_octets(data, "message_3")
    except DecodeError:
        return
    assert encode(content) == data


NO_BYTE_STRING = "", "00", "60", "f5", "410000", "41", "5801ff", "590001ff", "5a00000001ff", "5f41ffff", "5818", "80"


@pytest.mark.parametrize("data", NO_BYTE_STRING)
def test_what_is_not_one_byte_string(data):
    with pytest.raises(DecodeError):
        read_octets(bytes.fromhex(data), "message_4")


@pytest.mark.parametrize(("data", "got"), [("", "0 items"), ("00", "an integer"), ("410000", "2 items")])
def test_what_stands_in_its_place_is_said(data, got):
    with pytest.raises(DecodeError) as caught:
        read_octets(bytes.fromhex(data), "message_4")
    assert caught.value.got == got


def test_plaintexts():
    assert read_plaintext_3(bytes.fromhex("2b4101")).id_cred == Kid(b"\x2b")
    c_r, content = read_plaintext_2(bytes.fromhex("402b410101410200"))
    assert c_r == b""
    assert (content.id_cred, content.proof) == (Kid(b"\x2b"), b"\x01")
    assert content.ead == (Ead(1, b"\x02"),)
    assert content.ead_encoded == bytes.fromhex("01410200")


@pytest.mark.parametrize("data", ["", "2b", "2b2b", "2b60", "2bf5", "2b410160", "41ff", "f54101"])
def test_what_is_no_plaintext_3(data):
    with pytest.raises(DecodeError):
        read_plaintext_3(bytes.fromhex(data))
    with pytest.raises(DecodeError):
        read_plaintext_2(bytes.fromhex("00" + data))


@pytest.mark.parametrize("data", ["", "00", "f52b4101", "18182b4101"])
def test_what_is_no_plaintext_2(data):
    with pytest.raises(DecodeError):
        read_plaintext_2(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("error", "encoded"),
    [
        (ErrorMessage(ErrorCode.UNSPECIFIED, text="refused"), "016772656675736564"),
        (ErrorMessage(ErrorCode.WRONG_SUITE, suites=(2,)), "0202"),
        (ErrorMessage(ErrorCode.WRONG_SUITE, suites=(2, 3)), "02820203"),
        (ErrorMessage(ErrorCode.UNKNOWN_CREDENTIAL), "03f5"),
    ],
)
def test_errors_there_and_back(error, encoded):
    """RFC 9528 section 6."""
    assert error.encode().hex() == encoded
    assert read_error(bytes.fromhex(encoded)) == error


@pytest.mark.parametrize(
    "encoded", ["0060", "00f6", "0101", "01f5", "0240", "0280", "028101", "03820102", "03f4", "0301"]
)
def test_errors_that_make_no_sense(encoded):
    assert read_error(bytes.fromhex(encoded)) == ErrorMessage(RESERVED)


@pytest.mark.parametrize("encoded", ["04f6", "20a0", "18ff60"])
def test_unknown_error_codes(encoded):
    error = read_error(bytes.fromhex(encoded))
    assert error is not None
    assert error.code not in (RESERVED, *ErrorCode)


@pytest.mark.parametrize("encoded", ["4000", "", "01", "010203", "40", "f560", "820160", "0161", "410001"])
def test_what_is_no_error(encoded):
    assert read_error(bytes.fromhex(encoded)) is None


def test_little_is_kept_of_what_the_other_side_says():
    error = read_error(encode(1) + encode("x" * 60_000))
    assert error is not None
    assert len(error.text) == 256
    assert len(str(PeerRefused(error))) < 400


@pytest.mark.parametrize(
    ("message", "got"),
    [
        (ErrorMessage(ErrorCode.UNSPECIFIED, text="full"), "code 1: full"),
        (ErrorMessage(ErrorCode.WRONG_SUITE, suites=(2, 3)), "code 2: supports suites (2, 3)"),
        (ErrorMessage(ErrorCode.UNKNOWN_CREDENTIAL), "code 3: nothing more"),
    ],
)
def test_what_the_other_side_said_is_told(message, got):
    assert PeerRefused(message).got == got
