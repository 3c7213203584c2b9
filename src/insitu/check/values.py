"""Values: what makes two parts of a world the same, and where each that was ever met has its number.

A state of the search is a handful of these numbers, so that comparing and keeping hundreds of thousands of states
costs next to nothing, and what a party did once in a state of its own is not done again in another state of the world.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Generic, TypeVar

T = TypeVar("T")


def canonical(value: object) -> Hashable:
    """What `value` consists of, as something that can be compared and hashed; functions and classes are themselves."""
    match value:
        case None | bool() | int() | float() | str() | bytes():
            return value
        case tuple() | list():
            return tuple(map(canonical, value))
        case frozenset() | set():
            return frozenset(map(canonical, value))
        case Mapping():
            return frozenset((canonical(key), canonical(each)) for key, each in value.items())
        case BaseException():
            return type(value), str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), *(canonical(getattr(value, each.name)) for each in fields(value))
    if not isinstance(value, Hashable):
        raise TypeError(f"no way to compare a {type(value).__name__}")
    return value


def digest(*parts: object) -> bytes:
    """32 bytes that stand for these values in this process, and for no others."""
    return sha256(repr(canonical(parts)).encode()).digest()


class Pool(Generic[T]):
    """Each value once, by number."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._values: list[T] = []

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, number: int) -> T:
        return self._values[number]

    def number(self, value: T, identity: Hashable) -> int:
        """The number of the value that has this identity; `value` itself is kept where it is the first."""
        found = self._numbers.get(identity)
        if found is None:
            found = self._numbers[identity] = len(self._values)
            self._values.append(value)
        return found
