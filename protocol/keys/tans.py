"""TANs as people key them in: 16 or 32 symbols of a keypad or of Crockford's base32, never a trivial one (A7).

What is written and typed, with its check symbol, is `codes.py`; here is which of them are drawn, and which alphabet one
is in that is typed: a hexadecimal TAN has a letter, one in base32 a letter that is no hexadecimal digit. So typed
symbols tell their alphabet, and its check symbol is the one that must fit: a slip costs no TAN.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from ..engine import EnvironmentFault
from ..stores.secret import Entropy, draw
from .codes import BASE32, DECIMAL, HEXADECIMAL, Alphabet, CodeRefused, plain, read_symbols

LENGTHS: Final = (16, 32)
"""Symbols of a TAN, without the check symbol."""
_LEAST_DIFFERENT: Final = 4
_LONGEST_PERIOD: Final = 8
_TRIES: Final = 1000
_ALL_BYTES: Final = 256


class TanAlphabet(Enum):
    """What a TAN is written in; the values are those of the command line."""

    DECIMAL = "decimal"
    HEXADECIMAL = "hexadecimal"
    BASE32 = "base32"

    @property
    def alphabet(self) -> Alphabet:
        """The symbols."""
        return {"decimal": DECIMAL, "hexadecimal": HEXADECIMAL, "base32": BASE32}[self.value]


@dataclass(frozen=True, slots=True)
class TanForm:
    """How a TAN is written.

    Attributes:
        alphabet: its symbols.
        length: how many, 16 or 32.

    """

    alphabet: TanAlphabet = TanAlphabet.DECIMAL
    length: int = 16


def draw_tan(form: TanForm, entropy: Entropy) -> str:
    """A fresh TAN, without check symbol.

    Raises:
        EnvironmentFault: the source of entropy gives trivial ones only.

    """
    symbols = form.alphabet.alphabet.symbols
    fair = _ALL_BYTES - _ALL_BYTES % len(symbols)  # beyond it, some symbols would come more often
    for _ in range(_TRIES):
        drawn = [byte for byte in draw(entropy, 2 * form.length) if byte < fair][: form.length]
        tan = "".join(symbols[byte % len(symbols)] for byte in drawn)
        if len(tan) == form.length and not is_trivial(tan) and alphabet_of(tan) is form.alphabet:
            return tan
    raise EnvironmentFault("entropy source", who="entropy", expected="numbers that are not trivial", got="others")


def is_trivial(tan: str) -> bool:
    """Whether somebody might try it first: few different symbols, a pattern that repeats, a run up or down."""
    if len(set(tan)) < _LEAST_DIFFERENT:
        return True
    if any(tan == (tan[:period] * len(tan))[: len(tan)] for period in range(1, _LONGEST_PERIOD + 1)):
        return True
    symbols = alphabet_of(tan).alphabet.symbols
    values = [symbols.index(symbol) for symbol in tan]
    steps = {(second - first) % len(symbols) for first, second in pairwise(values)}
    return len(steps) == 1


def alphabet_of(tan: str) -> TanAlphabet:
    """The smallest alphabet that has all symbols of `tan`."""
    return next(each for each in TanAlphabet if set(tan) <= set(each.alphabet.symbols) or each is TanAlphabet.BASE32)


def read_tan(typed: str) -> str:
    """The TAN that somebody typed, without its check symbol.

    Raises:
        CodeRefused: it is none as they are printed; nothing of it is repeated.

    """
    whole = plain(typed)
    length = len(whole) - 1
    if length not in LENGTHS:
        expected = " or ".join(f"{each + 1} symbols" for each in LENGTHS)
        raise CodeRefused("length of a TAN", expected=expected, got=len(whole))
    tan = read_symbols(whole, alphabet_of(whole[:-1]).alphabet, length)
    if is_trivial(tan):
        raise CodeRefused("TAN", expected="one that was issued", got="a trivial one")
    return tan
