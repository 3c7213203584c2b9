import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.transports.serial import cobs

zeros = st.lists(st.sampled_from([b"\0", b"\1", b"\xff" * 253, b"\xfe" * 254, b"ab"]), max_size=8).map(b"".join)


def run(first, last):
    return bytes(range(first, last + 1))


# the cases by which implementations of the method are commonly compared
@pytest.mark.parametrize(
    ("plain", "stuffed"),
    [
        (b"", b"\x01"),
        (b"\x00", b"\x01\x01"),
        (b"\x00\x00", b"\x01\x01\x01"),
        (b"\x00\x11\x00", b"\x01\x02\x11\x01"),
        (b"\x11\x22\x00\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x11\x22\x33\x44", b"\x05\x11\x22\x33\x44"),
        (b"\x11\x00\x00\x00", b"\x02\x11\x01\x01\x01"),
        (run(1, 254), b"\xff" + run(1, 254)),
        (b"\x00" + run(1, 254), b"\x01\xff" + run(1, 254)),
        (run(1, 255), b"\xff" + run(1, 254) + b"\x02\xff"),
        (run(2, 255) + b"\x00", b"\xff" + run(2, 255) + b"\x01\x01"),
        (run(3, 255) + b"\x00\x01", b"\xfe" + run(3, 255) + b"\x02\x01"),
    ],
)
def test_known_cases(plain, stuffed):
    assert cobs.encode(plain) == stuffed
    assert cobs.decode(stuffed) == plain


@given(st.one_of(st.binary(max_size=600), zeros))
def test_comes_back_without_a_zero_on_the_way(plain):
    stuffed = cobs.encode(plain)
    assert 0 not in stuffed
    assert len(stuffed) <= len(plain) + 1 + len(plain) // 254
    assert cobs.decode(stuffed) == plain


@given(st.binary(max_size=100))
def test_noise_is_refused_or_is_a_stuffing(noise):
    plain = cobs.decode(noise)
    assert plain is None or cobs.encode(plain) == noise or b"\xff" in noise


@pytest.mark.parametrize("noise", [b"", b"\x00", b"\x02", b"\x03a", b"\x02a\x05bc", b"\x03a\x00", b"\x02\x00"])
def test_what_no_encoder_makes(noise):
    assert cobs.decode(noise) is None
