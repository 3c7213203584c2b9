"""What crosses for a conveyed number (A9): three messages in the channel, two on the links of the mobile.

Those of the mobile travel in plain frames, not in records: the local link is taken for authentic, the long-distance
one is TLS or the like. No table takes one from a link that it is not meant for. Declarations only.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from .fields import Key, Secret, Size
from .wire import message

NUMBER_BYTES: Final = 16
"""A conveyed number is random and is used once: 128 bits."""


class NumberMaker(IntEnum):
    """Who makes the number.

    CDDL::

        number-maker = &(
          unit: 0,
          module: 1,
          mobile: 2,
        )
    """

    UNIT = 0
    """The preferred one: its entropy is known to be good (0038)."""
    MODULE = 1
    MOBILE = 2


@message(10)
class NumberWanted:
    """Unit to module: who makes the number, which is in here if that is the unit.

    Attributes:
        maker: unit, module or mobile.
        random: the number, 16 bytes; None unless the unit makes it.

    CDDL::

        NumberWanted = {
          0: 10,
          1: number-maker,
          ? 2: bstr .size 16,  ; number, where the unit makes it
        }

    """

    maker: Annotated[NumberMaker, Key(1)]
    random: Annotated[bytes | None, Key(2), Size(NUMBER_BYTES), Secret()] = None


@message(11)
class Number:
    """Module to unit, in the channel, and mobile to module, on the local link: the number, which the unit did not make.

    Attributes:
        random: the number, 16 bytes.

    CDDL::

        Number = {
          0: 11,
          2: bstr .size 16,
        }

    """

    random: Annotated[bytes, Key(2), Size(NUMBER_BYTES), Secret()]


@message(12)
class NumberSettled:
    """Module to unit: the mobile brought the unit's word back to this side, too.

    CDDL::

        NumberSettled = {
          0: 12,
        }

    """


@message(13)
class Conveyance:
    """Module to mobile, then mobile to unit: what is to be compared with the unit's end of the channel.

    Attributes:
        serial: the module's serial number.
        random: the number, 16 bytes; None from a module whose mobile is to make it.
        binding: the exporter value of the module's end of the channel; 32 bytes.

    CDDL::

        Conveyance = {
          0: 13,
          1: tstr .size (1..64),  ; serial number
          ? 2: bstr .size 16,     ; number
          3: bstr .size 32,       ; exporter value
        }

    """

    serial: Annotated[str, Key(1), Size(1, 64)]
    binding: Annotated[bytes, Key(3), Size(32), Secret()]
    random: Annotated[bytes | None, Key(2), Size(NUMBER_BYTES), Secret()] = None


@message(14)
class Verdict:
    """Unit to mobile, then mobile to module: whether what was conveyed agrees with the unit's end of the channel.

    Attributes:
        serial: of the module.
        binding: it does: the exporter value of the unit's end of the channel, 32 bytes; None: it does not.

    CDDL::

        Verdict = {
          0: 14,
          1: tstr .size (1..64),  ; serial number
          ? 3: bstr .size 32,     ; exporter value, where it agrees
        }

    """

    serial: Annotated[str, Key(1), Size(1, 64)]
    binding: Annotated[bytes | None, Key(3), Size(32), Secret()] = None
