from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.keys.codes import (
    ALPHABETS,
    BASE32,
    DECIMAL,
    HEXADECIMAL,
    Alphabet,
    CodeRefused,
    check_symbol,
    read_code,
    read_symbols,
    write_code,
    write_symbols,
)

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
ALL = pytest.mark.parametrize("alphabet", ALPHABETS, ids=lambda each: each.name)


def test_check_symbols_of_other_systems():
    """0794 5 stands in ISO/IEC 7064; the other is the example of the Global Release Identifier (MOD 37,36)."""
    assert check_symbol("0794", DECIMAL) == "5"
    letters = Alphabet("alphanumeric", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert check_symbol("A12425GABC1234002", letters) == "M"


@pytest.mark.parametrize(("alphabet", "length"), [(DECIMAL, 39), (HEXADECIMAL, 32), (BASE32, 26)])
def test_a_key_of_128_bits(alphabet, length):
    assert alphabet.symbols_for(16) == length
    text = write_code(KEY, alphabet)
    groups = text.split(" ")
    assert {len(group) for group in groups[:-1]} == {4}
    assert sum(map(len, groups)) == length + 1
    assert read_code(text, 16) == KEY
    assert read_code(text, 16, [alphabet]) == KEY


@ALL
@given(data=st.binary(max_size=40))
def test_what_is_written_is_read(alphabet, data):
    assert read_code(write_code(data, alphabet), len(data), [alphabet]) == data
    if len(data) > 2:
        assert read_code(write_code(data, alphabet), len(data)) == data


@ALL
@given(data=st.data())
def test_symbols_of_any_length(alphabet, data):
    symbols = data.draw(st.text(alphabet.symbols, max_size=40))
    assert read_symbols(write_symbols(symbols, alphabet), alphabet, len(symbols)) == symbols


@ALL
def test_every_wrong_symbol_is_noticed(alphabet):
    typed = write_code(KEY, alphabet).replace(" ", "")
    for place, right in enumerate(typed):
        for symbol in alphabet.symbols.replace(right, ""):
            with pytest.raises(CodeRefused, match="check symbol"):
                read_code(typed[:place] + symbol + typed[place + 1 :], 16)


@ALL
def test_nearly_every_swap_of_neighbours_is_noticed(alphabet):
    symbols, missed, swaps = alphabet.symbols, 0, 0
    for first in symbols:
        for second in symbols.replace(first, ""):
            swaps += 1
            missed += check_symbol(f"70{first}{second}41", alphabet) == check_symbol(f"70{second}{first}41", alphabet)
    assert missed <= swaps * 0.03


def test_as_people_type_it():
    text = write_symbols("0011", BASE32)
    check = text[-1]
    for typed in (f"0011 {check}", f"o0il{check.lower()}", f"OO-LI-{check}\n", f"\t00 11\r\n{check} "):
        assert read_symbols(typed, BASE32, 4) == "0011"


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        ("", "length"),
        ("1234 5", "length"),
        ("1234 5678 9", "length"),
        ("12U4 567", "symbol 3"),
        ("12٣4 567", "symbol 3"),
        ("12*4 567", "symbol 3"),
        ("1234 560", "check symbol"),
    ],
)
def test_what_is_no_code(typed, what):
    with pytest.raises(CodeRefused, match=what) as caught:
        read_symbols(typed, BASE32, 6)
    assert not any(group in str(caught.value) for group in typed.split() if len(group) > 2)
    assert caught.value.exit_code == 2


def test_a_code_of_more_bits():
    """26 symbols hold 130 bits."""
    with pytest.raises(CodeRefused, match="128 bits"):
        read_code(write_symbols("Z" * 26, BASE32), 16)


def test_letters_where_there_are_digits_only():
    with pytest.raises(CodeRefused, match="33 hexadecimal digits"):
        read_code(write_code(KEY, BASE32), 16, [HEXADECIMAL])


@given(st.text())
def test_any_text_reads_as_a_key_or_not_at_all(text):
    with suppress(CodeRefused):
        assert len(read_code(text, 16)) == 16


def test_a_text_without_end():
    with pytest.raises(CodeRefused, match="length"):
        read_code("1" * 1_000_000, 16)
