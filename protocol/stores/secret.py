"""Secret values: where fresh ones come from, a passphrase that never shows, and the refusal to be copied."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import NoReturn, SupportsIndex, TypeAlias

from ..engine import EnvironmentFault, UsageError

Entropy: TypeAlias = Callable[[int], bytes]
"""Draws that many fresh, unpredictable bytes: `secrets.token_bytes` in the field, a seeded source in simulations."""


def draw(entropy: Entropy, size: int) -> bytes:
    """Exactly `size` bytes from the source.

    Raises:
        EnvironmentFault: it gave another number.

    """
    drawn = entropy(size)
    if len(drawn) != size:
        raise EnvironmentFault("entropy source", who="entropy", expected=f"{size} bytes", got=len(drawn))
    return drawn


class Uncopied:
    """Base of objects that hold something secret: they are neither pickled nor copied (S9)."""

    __slots__ = ()

    def __reduce_ex__(self, _: SupportsIndex) -> NoReturn:
        raise UsageError("holds secrets and is not pickled or copied", who=type(self).__name__)

    def __copy__(self) -> NoReturn:
        self.__reduce_ex__(0)

    def __deepcopy__(self, _: object) -> NoReturn:
        self.__reduce_ex__(0)


class Secret(Uncopied):
    """A passphrase on its way to the function that uses it; shows nothing of itself, not even its length.

    Args:
        content: at least one byte.

    Raises:
        UsageError: it is empty.

    """

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        if not content:
            raise UsageError("empty secret", who="secret", expected="at least one byte")
        self._content = content

    def reveal(self) -> bytes:
        """The content; call this where it is used and keep the result nowhere."""
        return self._content

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        return isinstance(other, Secret) and hmac.compare_digest(self._content, other._content)

    __hash__ = None  # type: ignore[assignment]
