"""What a fuzzing target is: something that takes bytes, and one sentence that holds whatever they are.

A target is a function, or a class whose objects are called; it answers what became of the input in a few words, its
*outcome*, and raises Broken where its sentence does not hold. Any other exception that escapes breaks it as well.
How inputs are made stands in mutation.py, how they are run in engine.py; nothing here knows either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, TypeVar

Run: TypeAlias = Callable[[bytes], str]
"""Takes one input; its outcome, of which there are few."""

T = TypeVar("T")

FRAME_SECONDS: Final = 0.05
"""What one frame of unauthenticated input may cost (SECURITY: resource limits)."""
FRAME_MEMORY: Final = 16 << 20
"""Bytes, likewise."""


class Shape(Enum):
    """What the inputs of a target are made of, so that a mutation hits what a check looks at."""

    CBOR = "one CBOR item, or several one after the other"
    FRAMES = "frames: two bytes of length, then that many bytes, which are CBOR"
    DER = "DER, as certificates are"
    TEXT = "text"
    BYTES = "bytes"


class Broken(AssertionError):
    """A target's sentence does not hold."""


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        name: on the command line.
        invariant: what holds for every input, in one sentence.
        shape: what inputs are made of.
        seconds: what one input may cost.
        make: makes what takes inputs, with whatever stands around it.
        make_seeds: real inputs to begin with; the same ones every time.

    """

    name: str
    invariant: str
    shape: Shape
    seconds: float
    make: Callable[[], Run]
    make_seeds: Callable[[], Iterable[bytes]]

    def seeds(self) -> list[bytes]:
        """Real inputs to begin with, without repetitions."""
        return list(dict.fromkeys(self.make_seeds()))


TARGETS: Final[dict[str, Target]] = {}
"""Every target by its name, in the order of their declaration. Importing `insitu.fuzz.targets` fills it."""


def target(
    name: str,
    shape: Shape,
    seeds: Callable[[], Iterable[bytes]],
    *,
    seconds: float = FRAME_SECONDS,
) -> Callable[[T], T]:
    """Declare a function or class as the target `name`; the first paragraph of its docstring is its invariant.

    A class is made once, without arguments, before the first input.
    """

    def declare(made: T) -> T:
        invariant = " ".join((made.__doc__ or "").split("\n\n")[0].split())
        assert invariant.endswith("."), f"{name}: its docstring says what holds"  # noqa: S101 - our own modules
        assert name not in TARGETS, f"{name}: declared twice"  # noqa: S101
        make: Callable[[], Run] = made if isinstance(made, type) else lambda: made  # type: ignore[assignment,return-value]
        TARGETS[name] = Target(name, invariant, shape, seconds, make, seeds)
        return made

    return declare


def check(holds: object, what: str) -> None:
    """Make sure that something holds.

    Raises:
        Broken: it does not.

    """
    if not holds:
        raise Broken(what)


def outcome_of(error: BaseException) -> str:
    """The outcome of an input that was refused with `error`: its class and its words, without numbers and names."""
    summary = getattr(error, "summary", "")
    words = [word for word in str(summary).split() if word.isalpha()]
    return " ".join([type(error).__name__, *words[:6]])
