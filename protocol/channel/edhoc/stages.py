"""Stages: the data of a handshake, one class a state, each used up by the event that it accepts.

A stage holds the secrets of one moment. It can be taken once: `take` hands it to the action that goes on from
there, and every later use is a UsageError, so that no message is answered twice with the same keys and no
failed check can be tried again (RFC 9528 section 5.1: no message is processed twice). For the same reason a
stage is neither copied nor pickled, and its repr is its name. This is the one place where a step leaves a mark
on its argument: the data that went in is spent, whether the step succeeds or not.

Only what all stages have in common lives here; the stages themselves stand beside the code that makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NoReturn, TypeVar, dataclass_transform

from ...engine import UsageError

S = TypeVar("S", bound="Stage")
T = TypeVar("T")

WHO = "edhoc"


class Secretive:
    """What holds secrets: neither copied nor pickled, and shown by name only."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __copy__(self) -> NoReturn:
        raise UsageError("never copied", who=WHO, got=type(self).__name__)

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise UsageError("never copied", who=WHO, got=type(self).__name__)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise UsageError("never pickled", who=WHO, got=type(self).__name__)


class Stage(Secretive):
    """Base of all stages.

    Attributes:
        public: whether nothing but public data has been worked on so far, so that a refusal may say its reason.

    """

    __slots__ = ("_spent",)

    public: ClassVar[bool] = False

    def take(self, kind: type[S]) -> S:
        """The stage itself, used up, as the `kind` that the caller goes on from.

        Raises:
            UsageError: it is another kind, or was used before.

        """
        if type(self) is not kind:
            raise UsageError("handshake data", who=WHO, expected=kind.__name__, got=type(self).__name__)
        if hasattr(self, "_spent"):
            raise UsageError("handshake data used twice", who=WHO, expected="each once", got=type(self).__name__)
        object.__setattr__(self, "_spent", True)
        return self

    def discard(self) -> None:
        """Use this stage up, whatever it is and whether it was used before."""
        object.__setattr__(self, "_spent", True)

    @property
    def spent(self) -> bool:
        """Whether this stage was used up."""
        return hasattr(self, "_spent")


@dataclass_transform(frozen_default=True, eq_default=False)
def stage(cls: type[T]) -> type[T]:
    """Make `cls` a frozen class with slots, from its annotations.

    It is built by `dataclasses` but is no dataclass to the outside: `asdict` would lay secrets open and
    `replace` would copy a stage that can be used once.
    """
    made = dataclass(frozen=True, eq=False, repr=False, slots=True)(cls)
    del made.__dataclass_fields__  # type: ignore[attr-defined]
    return made
