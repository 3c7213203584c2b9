"""Inputs made to hurt: each gives one DecodeError, or is harmless, within 50 ms and 16 MiB (SECURITY: limits)."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest

from insitu.protocol.messages import decode, decode_intent, decode_message, decode_sequence
from insitu.protocol.messages.codec import MAX_BYTES, MAX_ITEMS, DecodeError

SECONDS = 0.050
MEMORY = 16 << 20


def filled(head: str, unit: str, tail: str = "") -> bytes:
    """`head`, then as many of `unit` as fit into 64 KiB, then `tail`."""
    start, end = bytes.fromhex(head), bytes.fromhex(tail)
    piece = bytes.fromhex(unit)
    return start + piece * ((MAX_BYTES - len(start) - len(end)) // len(piece)) + end


def colliding_keys(count: int) -> bytes:
    """A map of `count` integer keys whose hashes agree in all low bits."""
    keys = sorted(number << 48 for number in range(1, count + 1))
    return b"\xb9" + count.to_bytes(2, "big") + b"".join(b"\x1b" + key.to_bytes(8, "big") + b"\x00" for key in keys)


HOSTILE = {
    "an exponent that takes seconds to use": bytes.fromhex("c4821a000f423f01"),
    "a bigfloat": bytes.fromhex("c5821a7fffffff01"),
    "a shared value that contains itself": bytes.fromhex("d81c81d81d00"),
    "a reference to nothing": bytes.fromhex("d81d1bffffffffffffffff"),
    "a regular expression that backtracks": b"\xd8\x23\x6c(a*)*(a*)*b$",
    "a bignum of 64 KiB": b"\xc2\x59" + (MAX_BYTES - 4).to_bytes(2, "big") + b"\xff" * (MAX_BYTES - 4),
    "a float as key": bytes.fromhex("a1f93c0000"),
    "true as key": bytes.fromhex("a1f500"),
    "arrays in arrays": filled("", "81"),
    "maps in maps": filled("", "a100"),
    "maps as keys": filled("", "a1"),
    "tags on tags": filled("", "c1"),
    "long tags on tags": filled("", "dbffffffffffffffff"),
    "indefinite arrays": filled("", "9f"),
    "indefinite strings": filled("", "5f"),
    "an array of 2^64 - 1": bytes.fromhex("9bffffffffffffffff"),
    "a map of 2^64 - 1": bytes.fromhex("bbffffffffffffffff"),
    "a byte string of 2^64 - 1": bytes.fromhex("5bffffffffffffffff"),
    "a text string of 2^63": bytes.fromhex("7b8000000000000000"),
    "an array of 2^32 with 64 KiB of content": filled("9affffffff", "00"),
    "declared lengths, nested": filled("9af0000000", "9af0000000"),
    "65,000 small integers": filled("99fffd", "00"),
    "65,000 empty arrays": filled("99fffd", "80"),
    "65,000 empty maps": filled("99fffd", "a0"),
    "21,000 small maps": filled("995554", "a10000"),
    "as many items as are allowed, all maps": b"\x99" + MAX_ITEMS.to_bytes(2, "big") + b"\xa0" * MAX_ITEMS + b"\x00",
    "as many integers as are allowed, then one wrong": b"\x99\x10\x00" + b"\x1a\xff\xff\xff\xff" * 4095 + b"\xf7",
    "keys whose hashes collide": colliding_keys(2048)[:-1] + b"\xff",
    "more keys whose hashes collide": colliding_keys(6500),
    "long keys that differ at the end": b"\xa3" + (b"\x79\x50\x00" + b"a" * 0x5000 + b"\x00") * 3,
    "text that is not UTF-8 at its end": b"\x79\xff\xfc" + b"a" * 0xFFFB + b"\xff",
    "surrogates": b"\x79\xff\xfc" + b"\xed\xa0\x80" * 21_844,
    "zeros": bytes(MAX_BYTES),
    "ones": b"\xff" * MAX_BYTES,
    "one byte too many": b"\x5a\x00\x00\xff\xfc" + bytes(MAX_BYTES - 4),
    "much too long": bytes(64 * MAX_BYTES),
    "nothing": b"",
}


def cost(call: Callable[[], object]) -> tuple[float, int]:
    """CPU seconds (other processes do not count) and peak bytes of a call that raises DecodeError."""
    gc.collect()
    gc.freeze()  # what the tests before have left is not the codec's to search
    try:
        began = time.thread_time()
        with pytest.raises(DecodeError):
            call()
        seconds = time.thread_time() - began
    finally:
        gc.unfreeze()
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            call()
        return seconds, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("reader", [decode, decode_message, decode_intent])
def test_one_error_within_the_limits(reader: Callable[[bytes], object], name: str) -> None:
    seconds, memory = cost(lambda: reader(HOSTILE[name]))
    assert seconds < SECONDS
    assert memory < MEMORY


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "nothing"])
def test_sequences_have_the_same_limits(name: str) -> None:
    seconds, memory = cost(lambda: decode_sequence(HOSTILE[name]))
    assert seconds < SECONDS
    assert memory < MEMORY


def test_the_largest_harmless_inputs_stay_within_the_limits_too() -> None:
    harmless = [
        b"\x99" + MAX_ITEMS.to_bytes(2, "big") + b"\xa0" * MAX_ITEMS,
        b"\x99" + MAX_ITEMS.to_bytes(2, "big") + b"\x80" * MAX_ITEMS,
        colliding_keys(MAX_ITEMS // 2),
        b"\x59\xff\xfd" + bytes(MAX_BYTES - 3),
        b"\x79\xff\xfd" + b"a" * (MAX_BYTES - 3),
    ]
    for data in harmless:
        tracemalloc.start()
        try:
            decode(data)
            assert tracemalloc.get_traced_memory()[1] < MEMORY
        finally:
            tracemalloc.stop()
        began = time.thread_time()
        decode(data)
        assert time.thread_time() - began < SECONDS


@pytest.mark.parametrize("number", range(256))
def test_every_first_byte_alone_and_before_64_kib(number: int) -> None:
    for data in (bytes([number]), bytes([number]) + bytes(MAX_BYTES - 1), bytes([number]) * MAX_BYTES):
        began = time.thread_time()
        with suppress(DecodeError):
            decode(data)
        assert time.thread_time() - began < SECONDS


def test_the_limits_in_numbers() -> None:
    """SECURITY: resource limits. The outermost array is not counted."""
    decode(b"\x99\x10\x00" + b"\x00" * 4_096)
    with pytest.raises(DecodeError, match="too many items"):
        decode(b"\x99\x10\x01" + b"\x00" * 4_097)
    decode(b"\x81" * 8 + b"\x00")
    with pytest.raises(DecodeError):
        decode(b"\x81" * 9 + b"\x00")
    decode(b"\x59\xff\xfd" + bytes(65_533))
    with pytest.raises(DecodeError):
        decode(b"\x59\xff\xfe" + bytes(65_534))
