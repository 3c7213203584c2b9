from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.engine import SecretAlgorithm, SecretUsage
from insitu.protocol.keys.components import read_component
from insitu.protocol.keys.methods import check_value
from insitu.protocol.keys.port import KeyRefused

MAC, PIN = SecretUsage.MAC, SecretUsage.PIN
AES, TDES = SecretAlgorithm.AES, SecretAlgorithm.TDES
DES_KEY = "0123456789ABCDEFFEDCBA9876543210"  # its check value stands in many a manual
AES_KEY = "2B7E151628AED2A6ABF7158809CF4F3C"
AES_VALUE = check_value(AES, bytes.fromhex(AES_KEY))


@pytest.mark.parametrize(
    ("algorithm", "text", "key"),
    [
        (TDES, f"{DES_KEY} KCV(ENC)=08D7B4", DES_KEY),
        (TDES, "0123 4567 89ab cdef\n fedc ba98 7654 3210\nkcv(enc)=08d7b4\n", DES_KEY),
        (AES, f"{AES_KEY} {AES_VALUE}", AES_KEY),
        (AES, f"2 {AES_KEY[1:]}\t{AES_VALUE}", AES_KEY),
    ],
)
def test_a_component_with_its_check_value(algorithm, text, key):
    assert read_component(PIN, algorithm, text) == bytes.fromhex(key)


@pytest.mark.parametrize(
    ("algorithm", "text", "what"),
    [
        (AES, "", "key component"),
        (AES, AES_KEY, "key component"),
        (AES, AES_VALUE, "bits"),
        (AES, f"{AES_VALUE} {AES_KEY}", "key component"),
        (AES, f"{AES_KEY[:-1]} {AES_VALUE}", "key component"),
        (AES, f"{AES_KEY[:-1]}G {AES_VALUE}", "key component"),
        (AES, f"{AES_KEY[:-1]}٣ {AES_VALUE}", "key component"),
        (AES, f"{AES_KEY} KCV=08D7B4", "key component"),
        (AES, f"{AES_KEY} KCV(ENC)=08D7B4", "key component"),
        (TDES, f"{DES_KEY} KCV(CMAC)=08D7B4AAAA", "key component"),
        (AES, f"{AES_KEY[:-2]} {AES_VALUE}", "bits"),
        (TDES, f"{DES_KEY[:16]} KCV(ENC)=D5D44F", "bits"),
        (AES, f"{AES_KEY} {AES_VALUE[:-1]}", "check value"),
        (AES, f"{AES_KEY} KCV(CMAC)=", "check value"),
        (AES, f"{AES_KEY[:-1]}D {AES_VALUE}", "check value"),
        (TDES, f"{DES_KEY} KCV(ENC)=08D7B5", "check value"),
    ],
)
def test_what_is_no_component(algorithm, text, what):
    with pytest.raises(KeyRefused, match=what) as caught:
        read_component(PIN, algorithm, text)
    for word in text.split():
        assert "=" in word or word not in str(caught.value)


def test_three_parts_are_too_long_for_a_retail_mac():
    long = DES_KEY + DES_KEY[:16]
    text = f"{long} {check_value(TDES, bytes.fromhex(long))}"
    assert read_component(PIN, TDES, text) == bytes.fromhex(long)
    with pytest.raises(KeyRefused, match="bits"):
        read_component(MAC, TDES, text)


@given(st.binary(min_size=16, max_size=16), st.integers(0, 127), st.sampled_from((AES, TDES)))
def test_a_slip_is_noticed(component, bit, algorithm):
    """All but a slip in a parity bit, which changes nothing."""
    value = check_value(algorithm, component)
    slip = (int.from_bytes(component, "big") ^ 1 << bit).to_bytes(16, "big")
    if algorithm is TDES and bit % 8 == 0:
        return
    with pytest.raises(KeyRefused, match="check value"):
        read_component(PIN, algorithm, f"{slip.hex()} {value}")


@given(st.text())
def test_any_text(text):
    with pytest.raises(KeyRefused):
        read_component(PIN, AES, text)
