"""TANs: which are drawn, which never, and how one that was typed is read."""

from __future__ import annotations

import os

import pytest
from world import Seeded

from insitu.protocol.engine import EnvironmentFault
from insitu.protocol.keys.codes import CodeRefused, write_symbols
from insitu.protocol.keys.tans import LENGTHS, TanAlphabet, TanForm, alphabet_of, draw_tan, is_trivial, read_tan

FORMS = [TanForm(alphabet, length) for alphabet in TanAlphabet for length in LENGTHS]
by_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.length} {form.alphabet.value}")


@by_form
def test_what_is_drawn_is_read_as_it_was_written(form):
    for _ in range(50):
        tan = draw_tan(form, os.urandom)
        written = write_symbols(tan, form.alphabet.alphabet)
        assert len(tan) == form.length
        assert read_tan(written) == read_tan(written.lower().replace(" ", "-")) == tan


@by_form
def test_all_symbols_come_about_as_often(form):
    tans = "".join(draw_tan(form, os.urandom) for _ in range(400))
    symbols = form.alphabet.alphabet.symbols
    expected = len(tans) / len(symbols)
    assert all(0.5 * expected < tans.count(symbol) < 1.6 * expected for symbol in symbols)


@by_form
def test_a_slip_is_noticed(form):
    tan = draw_tan(form, Seeded("slips"))
    written = write_symbols(tan, form.alphabet.alphabet).replace(" ", "")
    for place in range(len(written)):
        wrong = "5" if written[place] != "5" else "6"
        with pytest.raises(CodeRefused) as caught:
            read_tan(written[:place] + wrong + written[place + 1 :])
        assert tan not in str(caught.value)


@pytest.mark.parametrize(
    "tan",
    [
        "1111111111111111",
        "1212121212121212",
        "1122112211221122",
        "1234567812345678",
        "0123456789012345",
        "9876543210987654",
        "2468024680246802",
        "1234123412341234",
        "0123456789ABCDEF",
    ],
)
def test_trivial_ones_are_neither_issued_nor_taken(tan):
    assert is_trivial(tan)
    with pytest.raises(CodeRefused, match="trivial"):
        read_tan(write_symbols(tan, alphabet_of(tan).alphabet))


def test_entropy_that_gives_trivial_ones_only_is_noticed():
    with pytest.raises(EnvironmentFault):
        draw_tan(TanForm(), bytes)


@pytest.mark.parametrize("typed", ["", "1", "1234 5678", "1" * 18, "x" * 17, "\N{SNOWMAN}" * 17])
def test_what_is_no_tan(typed):
    with pytest.raises(CodeRefused):
        read_tan(typed)
