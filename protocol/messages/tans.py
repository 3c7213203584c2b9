"""What a unit keeps of secrets that may be guessed: its TANs, and who guessed wrong. Declarations only (A6, A7)."""

from __future__ import annotations

from typing import Annotated, Final

from .fields import Key, Size, Within
from .records import NAME
from .wire import array, record

MOST_TANS: Final = 4096
"""TANs, secrets, and modules with wrong attempts, that a unit keeps at a time, of each."""


@record
class Tan:
    """A TAN that was issued and neither used nor revoked; itself it lies in key memory.

    Attributes:
        serial: the module that it is for.
        label: in key memory.
        not_after: unix seconds after which it is worth nothing.
        identified: the module has to prove its identity before it may use the TAN.
        printed: it was given out, on a sheet or in a token, and never is again.
        key: it is a key of 32 bytes that is used in a token and never leaves it (A8).

    CDDL::

        Tan = {
          1: tstr .size (1..64),  ; serial
          2: tstr .size (1..64),  ; label
          3: unix-time,           ; not after
          4: bool,                ; identified
          5: bool,                ; printed
          6: bool,                ; key
        }

    """

    serial: Annotated[str, Key(1), NAME]
    label: Annotated[str, Key(2), NAME]
    not_after: Annotated[int, Key(3)]
    identified: Annotated[bool, Key(4)]
    printed: Annotated[bool, Key(5)]
    key: Annotated[bool, Key(6)] = False


@array
class Tally:
    """How often in a row somebody did not know the secret of a module.

    CDDL::

        Tally = [
          serial: tstr .size (1..64),
          wrong: 1..5,
        ]

    """

    serial: Annotated[str, Key(0), NAME]
    wrong: Annotated[int, Key(1), Within(1, 5)]


@array
class Agreed:
    """The secret of a module that it was told; itself it lies in key memory (A6).

    CDDL::

        Agreed = [
          serial: tstr .size (1..64),
          label: tstr .size (1..64),
        ]

    """

    serial: Annotated[str, Key(0), NAME]
    label: Annotated[str, Key(1), NAME]


@record
class UnitRecord:
    """What a unit keeps, beside the TANs themselves.

    Attributes:
        tans: at most one for each module.
        tallies: of modules whose last attempt was not right; five lock.
        issued: how many TANs and secrets there ever were, so that no label comes twice.
        agreed: secrets of modules that may call, at most one for each.

    CDDL::

        UnitRecord = {
          1: [*4096 Tan],
          2: [*4096 Tally],
          3: uint,         ; issued
          4: [*4096 Agreed],
        }

    """

    tans: Annotated[tuple[Tan, ...], Key(1), Size(0, MOST_TANS)] = ()
    tallies: Annotated[tuple[Tally, ...], Key(2), Size(0, MOST_TANS)] = ()
    issued: Annotated[int, Key(3)] = 0
    agreed: Annotated[tuple[Agreed, ...], Key(4), Size(0, MOST_TANS)] = ()
