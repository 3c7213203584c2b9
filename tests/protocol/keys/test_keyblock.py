"""Key blocks: published and HSM-made examples, two other implementations, and every way to be no block of ours."""

from __future__ import annotations

import random
import string

import psec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from key_block_reference import (
    KBPK,
    PUBLISHED,
    PUBLISHED_KEY,
    PUBLISHED_PADDING,
    header,
    payload_of,
    unwrap,
    wrap,
)

from insitu.protocol.engine import Fault, SecretAlgorithm, SecretUsage, UsageError
from insitu.protocol.keys.keyblock import KeyBlockRefused, read_block, write_block
from insitu.protocol.keys.port import KeyRefused

MAC, PIN, WRAPPING = SecretUsage.MAC, SecretUsage.PIN, SecretUsage.WRAPPING
AES, TDES = SecretAlgorithm.AES, SecretAlgorithm.TDES
KEY = bytes(range(16))
NAMES = {(MAC, AES): ("M6", "A", "C"), (MAC, TDES): ("M3", "T", "C"), (PIN, AES): ("P0", "A", "E")}
NAMES[PIN, TDES] = ("P0", "T", "E")
KINDS = [
    (MAC, AES, 16),
    (MAC, AES, 24),
    (MAC, AES, 32),
    (MAC, TDES, 16),
    (PIN, AES, 16),
    (PIN, AES, 24),
    (PIN, AES, 32),
    (PIN, TDES, 16),
    (PIN, TDES, 24),
]
BLOCK = write_block(KBPK, MAC, AES, KEY, random.Random(1).randbytes)

wrappings = st.binary(min_size=32, max_size=32)
seeds = st.integers(0, 1 << 32)


def key_of(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


# The reference and the standard --------------------------------------------------------------------------------


def test_the_reference_writes_and_reads_the_published_example():
    payload = payload_of(PUBLISHED_KEY, PUBLISHED_PADDING)
    assert wrap(KBPK, header("P0", "A", "E", export="E"), payload) == PUBLISHED
    assert unwrap(KBPK, PUBLISHED) == (PUBLISHED[:16], PUBLISHED_KEY)


@pytest.mark.parametrize(
    ("block", "key"),
    [
        (
            "D0112B0TN00N000037DB9B046B7B0048785690759580ABC3B9842AB4BB7717B49E92528E575785D8123559376A2553B27BE94F054F4E971C",
            "1FA1F7CEC798D91545DA8AE0C7796BD9",
        ),
        (
            "D0144D0AN00N0000127862F945C2DED04530FAF7CDBC8B0BA10C7AA79BD5E0C2C5D6AC173BF588E4B19ACF1357178D50EA0AB193228E13"
            "958304FC6149632DFDCADF3A5B3D57E814",
            "BE19E6A07A760F10EF8E83A226B63AAD141F463FDDD4F47DB244B4023EC3CACC",
        ),
    ],
    ids=["tdes", "aes"],
)
def test_blocks_of_a_hardware_module_are_read_by_the_reference_and_not_by_us(block, key):
    """Made by a payShield 10k (published with the library openemv/tr31); B0 and D0 are not for a module of ours."""
    wrapping = b"\x41" * 32
    assert unwrap(wrapping, block)[1] == bytes.fromhex(key)
    with pytest.raises(KeyBlockRefused, match="usage"):
        read_block(wrapping, block)


def test_the_published_example_may_be_exported_and_is_therefore_refused():
    with pytest.raises(KeyBlockRefused, match="exportability"):
        read_block(KBPK, PUBLISHED)
    ours = wrap(KBPK, header("P0", "A", "E"), payload_of(PUBLISHED_KEY, PUBLISHED_PADDING))
    assert read_block(KBPK, ours) == (PIN, AES, PUBLISHED_KEY)


# Both ways with both other implementations ---------------------------------------------------------------------


@pytest.mark.parametrize(("usage", "algorithm", "size"), KINDS)
@given(wrapping=wrappings, seed=seeds)
def test_others_read_what_we_write(usage, algorithm, size, wrapping, seed):
    key = key_of(seed, size)
    block = write_block(wrapping, usage, algorithm, key, random.Random(seed).randbytes)
    assert read_block(wrapping, block) == (usage, algorithm, key)
    name, letter, mode = NAMES[usage, algorithm]
    assert unwrap(wrapping, block) == (header(name, letter, mode, length=len(block)), key)
    head, read = psec.tr31.unwrap(wrapping, block)
    assert read == key
    said = (head.version_id, head.key_usage, head.algorithm, head.mode_of_use, head.exportability)
    assert said == ("D", name, letter, mode, "N")


@pytest.mark.parametrize(("usage", "algorithm", "size"), KINDS)
@given(wrapping=wrappings, seed=seeds)
def test_we_read_what_others_write(usage, algorithm, size, wrapping, seed):
    key = key_of(seed, size)
    name, letter, _ = NAMES[usage, algorithm]
    for mode in "CG" if usage is MAC else "EB":
        for masked in (0, 32):
            theirs = psec.tr31.wrap(wrapping, psec.tr31.Header("D", name, letter, mode, "00", "N"), key, masked)
            assert read_block(wrapping, theirs) == (usage, algorithm, key)
        padding = bytes(-(2 + size) % 16)
        reference = wrap(wrapping, header(name, letter, mode, number="17"), payload_of(key, padding))
        assert read_block(wrapping, reference) == (usage, algorithm, key)


# What we write -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "length"), [(AES, 144), (TDES, 112)])
def test_the_length_of_a_block_does_not_tell_that_of_the_key(algorithm, length):
    kinds = [(usage, size) for usage, its, size in KINDS if its is algorithm]
    blocks = {len(write_block(KBPK, usage, algorithm, key_of(1, size), random.randbytes)) for usage, size in kinds}
    assert blocks == {length}


def test_padding_is_the_callers_entropy_and_nothing_else():
    def write(seed: int) -> str:
        return write_block(KBPK, MAC, AES, KEY, random.Random(seed).randbytes)

    assert write(1) == write(1)
    assert write(1)[16:48] != write(2)[16:48]


@pytest.mark.parametrize(
    ("usage", "algorithm", "key"),
    [
        (WRAPPING, AES, bytes(range(32))),
        (WRAPPING, TDES, bytes(range(16))),
        (MAC, AES, b""),
        (MAC, AES, bytes(range(15))),
        (MAC, AES, bytes(range(33))),
        (MAC, AES, bytes(16)),
        (MAC, TDES, bytes(range(24))),
        (PIN, TDES, bytes(range(8))),
        (PIN, TDES, bytes(range(8)) * 2),
        (PIN, TDES, bytes(range(8)) * 2 + bytes(8)),
        (PIN, TDES, bytes(8) + bytes(range(8)) * 2),
        (PIN, TDES, bytes(range(8)) + bytes(each ^ 1 for each in range(8))),
    ],
)
def test_what_is_no_key_for_that_is_not_written(usage, algorithm, key):
    with pytest.raises(KeyRefused) as caught:
        write_block(KBPK, usage, algorithm, key, random.randbytes)
    assert not key or key.hex() not in str(caught.value)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_a_wrapping_key_is_of_aes_256(size):
    for act in (
        lambda: write_block(bytes(size), MAC, AES, KEY, random.randbytes),
        lambda: read_block(bytes(size), BLOCK),
    ):
        with pytest.raises(UsageError, match="wrapping key"):
            act()


# What we refuse ------------------------------------------------------------------------------------------------

HEADERS = [
    (header("M6", "A", "C", version="A"), "version"),
    (header("M6", "A", "C", version="B"), "version"),
    (header("M6", "A", "C", version="C"), "version"),
    (header("M6", "A", "C", version="E"), "version"),
    *[
        (header(usage, "A", "C"), "usage")
        for usage in ("M0", "M1", "M3", "M5", "M7", "M8", "K0", "B0", "D0", "V0", "00")
    ],
    *[(header(usage, "T", "C"), "usage") for usage in ("M6", "M1", "K0")],
    *[(header("M6", letter, "C"), "usage") for letter in ("D", "E", "H", "R", "S", "0")],
    *[(header("M6", "A", mode), "mode of use") for mode in "VNSXEBDT0"],
    *[(header("P0", "A", mode), "mode of use") for mode in "DNCGVX0"],
    *[(header("M6", "A", "C", export=letter), "exportability") for letter in "ES0"],
    (header("M6", "A", "C", tail="0100"), "optional blocks"),
    (header("M6", "A", "C", tail="0010"), "optional blocks"),
    (header("M6", "A", "C", tail="0001"), "optional blocks"),
]


@pytest.mark.parametrize(("head", "what"), HEADERS)
def test_an_authentic_block_for_something_else(head, what):
    with pytest.raises(KeyBlockRefused, match=f"key block: {what}") as caught:
        read_block(KBPK, wrap(KBPK, head, payload_of(KEY)))
    assert caught.value.fault is Fault.UNSUPPORTED


def test_an_authentic_block_with_an_optional_block():
    """KS, 24 characters, as in the examples of the standard."""
    head = header("M6", "A", "C", tail="0100") + "KS1800604B120F9292800000PB080000"
    with pytest.raises(KeyBlockRefused, match="optional blocks"):
        read_block(KBPK, wrap(KBPK, head, payload_of(KEY)))


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"\x00\x81" + KEY + bytes(14), KeyBlockRefused),
        (b"\xff\xf8" + KEY + bytes(14), KeyBlockRefused),
        (b"\x00\xf8" + KEY + bytes(14), KeyBlockRefused),
        (b"\x00\xf0" + KEY + bytes(14), KeyRefused),
        (b"\x00\x00" + KEY + bytes(14), KeyRefused),
        (b"\x00\x08" + KEY + bytes(14), KeyRefused),
        (b"\x00\x80" + bytes(30), KeyRefused),
    ],
)
def test_an_authentic_block_without_a_key(payload, error):
    with pytest.raises(error):
        read_block(KBPK, wrap(KBPK, header("M6", "A", "C"), payload))


def test_authentic_tdes_keys_that_are_weak_or_of_the_wrong_length():
    part = bytes(range(8))
    for name, mode, key in (
        ("P0", "E", part),
        ("P0", "E", part * 2),
        ("M3", "C", part * 2),
        ("M3", "C", bytes(range(24))),
        ("P0", "E", bytes(range(32))),
    ):
        with pytest.raises(KeyRefused):
            read_block(KBPK, wrap(KBPK, header(name, "T", mode), payload_of(key, bytes(-(2 + len(key)) % 16))))


@pytest.mark.parametrize("length", [0, 111, 113, 9999])
def test_an_authentic_block_that_lies_about_its_length(length):
    with pytest.raises(KeyBlockRefused, match="length"):
        read_block(KBPK, wrap(KBPK, header("M6", "A", "C", length=length), payload_of(KEY), keep_length=True))


def test_any_other_character_anywhere():
    for at, was in enumerate(BLOCK):
        for other in string.printable + "\x00Äā０":
            if other != was:
                with pytest.raises(KeyBlockRefused):
                    read_block(KBPK, BLOCK[:at] + other + BLOCK[at + 1 :])


def test_a_block_cut_short_or_continued():
    for end in range(len(BLOCK)):
        with pytest.raises(KeyBlockRefused):
            read_block(KBPK, BLOCK[:end])
        with pytest.raises(KeyBlockRefused):
            read_block(KBPK, f"D{end:04}{BLOCK[5:end]}")
    for more in ("0", "\n", "00" * 16):
        with pytest.raises(KeyBlockRefused):
            read_block(KBPK, BLOCK + more)


@given(wrappings)
def test_under_another_wrapping_key(wrapping):
    with pytest.raises(KeyBlockRefused, match="MAC") as caught:
        read_block(wrapping, BLOCK)
    assert caught.value.fault is Fault.UNTRUSTED


@given(st.text() | st.from_regex(r"D0112(M6A|M3T|P0A|P0T)[CGEB]00N0000[0-9A-F]{96}", fullmatch=True))
@example("")
@example("D" * 9999)
@example("D0048M6AC00N0000" + "0" * 32)
@example("D10000M6AC00N000" + "0" * 9984)
def test_random_text_is_no_block(text):
    with pytest.raises(KeyBlockRefused):
        read_block(KBPK, text)


def test_what_is_refused_tells_nothing():
    """Neither the key nor what it was wrapped in shows in an error, also not where the block is authentic."""
    weak = bytes(range(8)) * 2
    for block in (wrap(KBPK, header("P0", "T", "E"), payload_of(weak)), BLOCK[:-1] + "@", PUBLISHED):
        with pytest.raises((KeyBlockRefused, KeyRefused)) as caught:
            read_block(KBPK, block)
        shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
        assert not any(part in shown.upper() for part in (weak.hex().upper(), block[16:32], KBPK.hex().upper()))
