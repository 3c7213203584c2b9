"""What takes long in simulated worlds, quicker and with the same result: points of SPAKE2 that everybody multiplies.

The group is that of the library `spake2`, and so are doubling and addition. It begins anew with each multiplication,
bit by bit; here the multiples of its three fixed points are kept, so that a product is a sum of sixty of them, and of
other points four bits are taken at once. Whether what comes is an element of the group, the library finds out by a
product; of what was encoded in this very world that is known. Time depends on secrets here, as it does in the library:
for worlds, not the field.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, repeat
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from spake2 import ed25519_basic as group
from spake2.parameters.ed25519 import ParamsEd25519

Point: TypeAlias = tuple[int, int, int, int]

_DIGIT: Final = 4
"""Bits of a scalar that are looked up at once."""
_LARGEST: Final = (1 << _DIGIT) - 1
_ZERO: Final[Point] = group.Zero.XYTZ
_tables: Final[dict[Point, list[list[Point]]]] = {}
_encoded: Final[dict[bytes, Any]] = {}
"""The elements of this world, by their encoding."""
_decoded: Final = group.bytes_to_element


@contextmanager
def quicker_points() -> Iterator[None]:
    """Points are multiplied by `multiple` in here, and elements that were encoded in here are recognized."""
    if not _tables:
        for each in (group.Base, ParamsEd25519.M, ParamsEd25519.N):
            _tables[each.XYTZ] = _table(each.XYTZ)
    with (
        patch.object(group, "scalarmult_element", multiple),
        patch.object(group, "scalarmult_element_safe_slow", multiple),
        patch.object(group, "inv", inverse),
        patch.object(group.Element, "to_bytes", encode),
        patch.object(group, "bytes_to_element", decode),
    ):
        try:
            yield
        finally:
            _encoded.clear()


def encode(element: Any) -> bytes:  # noqa: ANN401 - the library has no types
    """The bytes of an element, which is remembered."""
    data: bytes = group.encodepoint(group.xform_extended_to_affine(element.XYTZ))
    _encoded[data] = element
    return data


def decode(data: bytes) -> Any:  # noqa: ANN401
    """The element of which these are the bytes; errors are the library's."""
    return _encoded[data] if data in _encoded else _decoded(data)


def inverse(number: int) -> int:
    """Of the field; of 0, as the library has it, 0."""
    return pow(number, -1, group.Q) if number % group.Q else 0


def multiple(point: Point, times: int) -> Point:
    """The same point as the library's, perhaps in other coordinates."""
    total, table = _ZERO, _tables.get(point)
    digits = [times >> at & _LARGEST for at in range(0, times.bit_length(), _DIGIT)]
    if table is not None:
        for row, digit in zip(table, digits, strict=False):
            total = group.add_elements(total, row[digit]) if digit else total
        return total
    row = _multiples(point)
    for digit in reversed(digits):
        for _ in range(_DIGIT):
            total = group.double_element(total)
        total = group.add_elements(total, row[digit]) if digit else total
    return total


def _multiples(point: Point) -> list[Point]:
    """No times, once, twice ... fifteen times the point."""
    return list(accumulate(repeat(point, _LARGEST), group.add_elements, initial=_ZERO))


def _table(point: Point) -> list[list[Point]]:
    """The multiples of the point, of 16 times the point, 256 times and so on."""
    rows: list[list[Point]] = []
    for _ in range(0, group.L.bit_length(), _DIGIT):
        rows.append(_multiples(point))
        point = group.add_elements(rows[-1][-1], point)
    return rows
