"""Standing approvals: what two people let a card certify without being asked each time (L13). Declarations only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from .fields import Key, Size, Within
from .wire import record

_NAME: Final = Size(1, 64)
MOST_STANDING: Final = 16
"""Standing approvals that wait for people on a card at a time."""
MOST_BY_STANDING: Final = 65_535
"""Certificates that one of them may be for."""
MOST_PATTERNS: Final = 256
ANY_ENDING: Final = "*"
"""At the end of a pattern; no serial number has it."""


def covers(patterns: Iterable[str], serial: str) -> bool:
    """Whether a serial number is one of these, or begins with what stands before the star of one of them."""
    return any(
        serial.startswith(pattern[:-1]) if pattern.endswith(ANY_ENDING) else serial == pattern for pattern in patterns
    )


@record
class StandingPolicy:
    """What standing approvals a card may have at all; fixed as it is taken into use.

    Attributes:
        most: certificates that they may be good for at a time, all together.
        days: how long one may last.

    CDDL::

        StandingPolicy = {
          1: 1..65535,  ; most
          2: 1..366,    ; days
        }

    """

    most: Annotated[int, Key(1), Within(1, MOST_BY_STANDING)]
    days: Annotated[int, Key(2), Within(1, 366)]


@record
class StandingJob:
    """A standing approval that waits for two people; what came into force stands in the log.

    Attributes:
        number: 16 random bytes that name it.
        serials: of the modules; one that ends with a star stands for all that begin so.
        most: how many certificates.
        until: unix seconds after which it is worth nothing.
        days: validity of each certificate.
        expires: unix seconds after which people's consent to it counts no more.
        approvals: names of the people who approved.

    CDDL::

        StandingJob = {
          1: bstr .size 16,                   ; number
          2: [1*256 tstr .size (1..64)],      ; serials
          3: 1..65535,                        ; most
          4: unix-time,                       ; until
          5: 1..36500,                        ; days
          6: unix-time,                       ; expires
          7: [*2 tstr .size (1..64)],         ; approvals
        }

    """

    number: Annotated[bytes, Key(1), Size(16)]
    serials: Annotated[tuple[Annotated[str, _NAME], ...], Key(2), Size(1, MOST_PATTERNS)]
    most: Annotated[int, Key(3), Within(1, MOST_BY_STANDING)]
    until: Annotated[int, Key(4)]
    days: Annotated[int, Key(5), Within(1, 36500)]
    expires: Annotated[int, Key(6)]
    approvals: Annotated[tuple[Annotated[str, _NAME], ...], Key(7), Size(0, 2)]
