"""What crosses for a conveyed number (A9): three messages in the channel, four on the links of the mobile.

Those of the mobile travel in plain frames where the link itself proves who is there: the local one is taken for
authentic, the long-distance one is TLS or a telephone call. Where it is a channel of ours, they are records there. No
table takes one from a link that it is not meant for. Declarations only.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from .fields import Key, Matches, Secret, Size
from .wire import message, record

NUMBER_BYTES: Final = 16
"""A conveyed number is random and is used once: 128 bits."""
LONGEST_PASSAGE: Final = 1024
"""Bytes of a Passage: a second on a slow line, so that what has to go both ways does not wait long."""


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


@message(15)
class Passage:
    """Between mobile and module, on the local link: bytes of the mobile's long-distance link, which goes through here.

    The module passes them on to the unit and back, and neither reads nor changes them.

    Attributes:
        content: some of them; none: that link has ended.

    CDDL::

        Passage = {
          0: 15,
          1: bstr .size (0..1024),
        }

    """

    content: Annotated[bytes, Key(1), Size(0, LONGEST_PASSAGE)]


@message(35)
class CallReported:
    """Gateway of a network to unit, before anything else of a call: from which number it comes, as the network says.

    Attributes:
        caller: international (E.164), with its plus sign.

    CDDL::

        CallReported = {
          0: 35,
          1: tstr .regexp "[+][1-9][0-9]{6,14}",
        }

    """

    caller: Annotated[str, Key(1), Size(8, 16), Matches("[+][1-9][0-9]{6,14}")]


@record
class MobileRecord:
    """What a mobile keeps, beside its key.

    CDDL::

        MobileRecord = {
          1: tstr .size (1..64),  ; name
        }

    """

    name: Annotated[str, Key(1), Size(1, 64)]
