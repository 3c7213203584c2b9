"""What a stage asks of its surroundings about a secret that may be guessed: whether one more attempt may be made.

The answer is durable before anything goes out that depends on it: an attempt counts as wrong, and a TAN is burnt, from
the moment in which it may be told right from wrong, and whatever comes then, a power cut too. Only an attempt
that turned out right takes its count back (A6, A7). Who keeps the counts, and where, is for the shell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...engine import SecretHandle
from ...messages import TrustOption

MOST_WRONG: Final = 5
"""Attempts without a right one after which no more are made until an operator says so (SECURITY: resource limits)."""
ATTEMPT: Final = "attempt"
"""What is looked up."""


@dataclass(frozen=True, slots=True)
class AttemptBegun:
    """The question: the other side is about to show whether it knows the secret; count it as wrong for now.

    Attributes:
        option: of the pin.
        serial: of the module.

    """

    option: TrustOption
    serial: str


@dataclass(frozen=True, slots=True)
class AttemptAdmitted:
    """It is counted, durably: go on. `secret`: what is to be known, where this side did not have it before."""

    secret: SecretHandle | None = None


@dataclass(frozen=True, slots=True)
class AttemptBarred:
    """It must not be made, for this reason; nothing secret is in it."""

    reason: str


@dataclass(frozen=True, slots=True)
class AttemptRight:
    """The other side knew the secret: forget the wrong attempts before."""

    option: TrustOption
    serial: str


@dataclass(frozen=True, slots=True)
class AttemptsForgotten:
    """Answer to AttemptRight, durable."""


# A secret that a person enters -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SecretNeeded:
    """The question to the person at this side, who has it on paper or in mind.

    Attributes:
        option: what kind of secret.
        serial: of the module.
        peer: who says to be at the other end; nothing is proved yet.

    """

    option: TrustOption
    serial: str
    peer: str


@dataclass(frozen=True, slots=True)
class SecretEntered:
    """It lies in key memory now."""

    secret: SecretHandle


@dataclass(frozen=True, slots=True)
class SecretDenied:
    """Nobody entered one."""

    reason: str
