"""Chance by seed: everything in a simulated world that is not decided by a party is drawn here.

Each use has a stream of its own, named; so that what one fault draws does not change what another one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """A stream of chance.

    Args:
        seed: streams of one name are equal, of different names independent.

    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._random = Random(seed)  # noqa: S311 - to be repeated, not a secret

    def of(self, name: str) -> Chance:
        """The stream of a part of this one's owner."""
        return Chance(f"{self._seed}/{name}")

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens now; draws even where it cannot."""
        return self._random.random() < probability

    def between(self, least: float, most: float) -> float:
        """Any number of these."""
        return least + (most - least) * self._random.random()

    def pause(self, mean: float) -> float:
        """Seconds until something that happens once in `mean` seconds."""
        return self._random.expovariate(1 / mean)

    def whole(self, least: int, most: int) -> int:
        """Any whole number of these, both ends included."""
        return self._random.randint(least, most)

    def one_of(self, choices: Sequence[T]) -> T:
        """Any of them."""
        return self._random.choice(choices)

    def some_of(self, choices: Sequence[T], count: int) -> list[T]:
        """So many of them, in any order."""
        return self._random.sample(choices, count)

    def draw(self, size: int) -> bytes:
        """So many bytes: a party's entropy."""
        return self._random.randbytes(size)
