"""Secrets that people read and type: digits of a keypad or letters, grouped by four, with a check symbol at the end.

The check symbol notices slips, it protects nothing and does not count as secret. It is that of ISO/IEC 7064, the hybrid
system MOD n+1,n over an alphabet of n symbols, so that a keypad on which the code can be typed has it, too. It notices
each wrong symbol, and all but a few of the swaps of two neighbours. Letters are Crockford's base32: O is read as 0,
I and L as 1, and there is no U. Nothing typed appears in an error (S9).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from ..engine import UsageError

_WHO: Final = "code"
_GROUP: Final = 4
_IGNORED: Final = re.compile(r"[\s-]+")
_READ_AS: Final = str.maketrans(ascii_lowercase + "OILoil", ascii_uppercase + "011011")
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class Alphabet:
    """What a code is written in.

    Attributes:
        name: for people.
        symbols: in the order of their values; an even number of them.

    """

    name: str
    symbols: str

    def symbols_for(self, size: int) -> int:
        """How many symbols hold any `size` bytes, without the check symbol."""
        count = 0
        while len(self.symbols) ** count < 1 << 8 * size:
            count += 1
        return count


DECIMAL: Final = Alphabet("decimal digits", "0123456789")
HEXADECIMAL: Final = Alphabet("hexadecimal digits", "0123456789ABCDEF")
BASE32: Final = Alphabet("digits and letters", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")
ALPHABETS: Final = (DECIMAL, HEXADECIMAL, BASE32)


class CodeRefused(UsageError):
    """What was typed is no such code; which of its symbols is wrong is said by place, never by content."""

    def __init__(self, summary: str, *, expected: object = "", got: object = "") -> None:
        super().__init__(summary, who=_WHO, expected=expected, got=got)


# Bytes -------------------------------------------------------------------------------------------------------


def write_code(data: bytes, alphabet: Alphabet = BASE32) -> str:
    """The code of `data`, in groups, check symbol included."""
    return write_symbols(_digits(int.from_bytes(data, "big"), alphabet, alphabet.symbols_for(len(data))), alphabet)


def read_code(text: str, size: int, alphabets: Iterable[Alphabet] = ALPHABETS) -> bytes:
    """The `size` bytes of a code in one of `alphabets`; of which one its length tells, from 3 bytes on.

    Raises:
        CodeRefused: it is no such code.

    """
    lengths = {alphabet.symbols_for(size): alphabet for alphabet in alphabets}
    typed = plain(text)
    alphabet = lengths.get(len(typed) - 1)
    if alphabet is None:
        expected = " or ".join(f"{length + 1} {each.name}" for length, each in lengths.items())
        raise CodeRefused("length", expected=expected, got=len(typed))
    value = 0
    for symbol in read_symbols(typed, alphabet, len(typed) - 1):
        value = value * len(alphabet.symbols) + alphabet.symbols.index(symbol)
    if value >> 8 * size:
        raise CodeRefused("value", expected=f"one of {8 * size} bits", got="a larger one")
    return value.to_bytes(size, "big")


# Symbols -----------------------------------------------------------------------------------------------------


def write_symbols(symbols: str, alphabet: Alphabet) -> str:
    """The code of `symbols`, all of `alphabet`: with their check symbol, in groups."""
    whole = symbols + check_symbol(symbols, alphabet)
    return " ".join(whole[start : start + _GROUP] for start in range(0, len(whole), _GROUP))


def read_symbols(text: str, alphabet: Alphabet, length: int) -> str:
    """The `length` symbols of a code as people type it, without the check symbol, which must hold.

    Upper or lower case, spaces, hyphens and line ends do not matter, nor does O for 0, nor I or L for 1.

    Raises:
        CodeRefused: a symbol too many or too few, one that is none, or a check symbol that does not fit.

    """
    typed = plain(text)
    if len(typed) != length + 1:
        raise CodeRefused("length", expected=f"{length + 1} {alphabet.name}", got=len(typed))
    for place, symbol in enumerate(typed, 1):
        if symbol not in alphabet.symbols:
            raise CodeRefused(f"symbol {place}", expected=alphabet.name, got="another")
    symbols, check = typed[:-1], typed[-1]
    if check != check_symbol(symbols, alphabet):
        raise CodeRefused("check symbol", expected="a code as it is printed", got="a slip in one of its symbols")
    return symbols


def check_symbol(symbols: str, alphabet: Alphabet) -> str:
    """The check symbol of `symbols` (ISO/IEC 7064, hybrid system MOD n+1,n)."""
    count = len(alphabet.symbols)
    carried = count
    for symbol in symbols:
        carried = (carried + alphabet.symbols.index(symbol)) % count or count
        carried = 2 * carried % (count + 1)
    return alphabet.symbols[(1 - carried) % count]


def plain(text: str) -> str:
    """What people type as symbols: upper case, without spaces and hyphens, look-alikes read as digits."""
    return _IGNORED.sub("", text[:_LONGEST]).translate(_READ_AS)


def _digits(value: int, alphabet: Alphabet, length: int) -> str:
    digits = ""
    for _ in range(length):
        value, digit = divmod(value, len(alphabet.symbols))
        digits = alphabet.symbols[digit] + digits
    return digits
