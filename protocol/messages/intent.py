"""What the module asks for when it opens a handshake: version, purpose and trust option, in EAD_1 of EDHOC.

Not a message: it travels before there is a channel, in the clear, and is bound into the transcript (S13). Both
sides have pinned purpose and option beforehand; what is refused here is refused as unsupported. Nothing secret may
ever be added.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Final

from ..engine import Fault
from .fields import Key, RefusedAs, Within
from .wire import array, decode_record, encode_record

VERSION: Final = 1
"""The version of the protocol that this library speaks."""

INTENT_MAX: Final = 16
"""The longest Intent that is read, in bytes."""


class Purpose(IntEnum):
    """What the session is for.

    CDDL::

        purpose = &(
          personalize: 0,
          operate: 1,
          status: 2,
          enroll: 3,
          convey: 4,
          sync: 5,
        )
    """

    PERSONALIZE = 0
    OPERATE = 1
    STATUS = 2
    ENROLL = 3
    """A card enrols at a central system (L14)."""
    CONVEY = 4
    """A mobile brings the unit a number, over a channel of its own (A9)."""
    SYNC = 5
    """A card brings a central system its log (L12)."""


class TrustOption(IntEnum):
    """How the two sides trust each other.

    CDDL::

        trust-option = &(
          physical: 0,
          certificates: 1,
          certificates-one-way: 2,
          ticket: 3,
          shipped-key: 4,
          secret: 5,
          tan: 6,
          conveyed: 7,
        )
    """

    PHYSICAL = 0
    """A wired local link and nothing else (A1)."""
    CERTIFICATES = 1
    """Certificates that end at the manufacturer's root, both ways (A2)."""
    CERTIFICATES_ONE_WAY = 2
    """The module's certificate at set-up, the unit's as it hands over (A3)."""
    TICKET = 3
    """The module's identity key under a MAC by a key that the customer gave to the manufacturer once (A4)."""
    SHIPPED_KEY = 4
    """A random key whose twin travels in the accompanying documents (A5)."""
    SECRET = 5
    """A short secret that both sides were told, in a password-authenticated key exchange (A6)."""
    TAN = 6
    """A one-off number from an envelope, keyed in at the module, likewise (A7, A8)."""
    CONVEYED = 7
    """A random number that goes through the channel and, by a mobile, around it (A9)."""

    @property
    def text(self) -> str:
        """Its name everywhere: in commands, output and documents."""
        return self.name.lower().replace("_", "-")


@array
class Intent:
    """The value of the EAD_1 item.

    Attributes:
        purpose: what the session is for.
        option: how the sides trust each other.
        version: of the protocol.

    CDDL::

        Intent = [
          version: 1,
          purpose: purpose,
          option: trust-option,
        ]

        EAD-Intent = bstr .cbor Intent

    """

    purpose: Annotated[Purpose, Key(1), RefusedAs(Fault.UNSUPPORTED)]
    option: Annotated[TrustOption, Key(2), RefusedAs(Fault.UNSUPPORTED)]
    version: Annotated[int, Key(0), Within(VERSION, VERSION), RefusedAs(Fault.UNSUPPORTED)] = VERSION


def encode_intent(intent: Intent) -> bytes:
    """The value of the EAD_1 item, to be wrapped in its byte string by the handshake."""
    return encode_record(intent)


@lru_cache(maxsize=16)
def decode_intent(data: bytes) -> Intent:
    """The Intent that came as the value of an EAD_1 item.

    Raises:
        DecodeError: with fault UNSUPPORTED for a version, purpose or option unknown here, else MALFORMED.

    """
    return decode_record(Intent, data, max_bytes=INTENT_MAX, max_depth=1)
