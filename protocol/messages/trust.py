"""What crosses the channel before a personalization, where a trust option has steps of its own. Declarations only."""

from __future__ import annotations

from typing import Annotated, Final

from .fields import Key, Size, Within
from .wire import message

LARGEST_TICKET: Final = (1 << 32) - 1
"""Number of a ticket."""


@message(6)
class Proof:
    """Either side, module first: it holds what the trust option asks for (A5 to A8).

    Attributes:
        mac: HMAC-SHA-256 over option, role, serial number and this channel's exporter value; 32 bytes.

    CDDL::

        Proof = {
          0: 6,
          1: bstr .size 32,  ; MAC
        }

    """

    mac: Annotated[bytes, Key(1), Size(32)]


@message(7)
class PakeShare:
    """Either side, module first: its share of a password-authenticated key exchange, which tells nothing (A6, A7).

    Attributes:
        share: an element of the group, encoded as in RFC 8032; 32 bytes.

    CDDL::

        PakeShare = {
          0: 7,
          1: bstr .size 32,  ; share
        }

    """

    share: Annotated[bytes, Key(1), Size(32)]


@message(8)
class Ticket:
    """Module: the manufacturer vouches for the identity key that this handshake used, by a ticket of your card (A4).

    Attributes:
        number: of the ticket, as the card counts.
        mac: HMAC-SHA-256 under the ticket's key over number, serial number and identity key; 32 bytes.

    CDDL::

        Ticket = {
          0: 8,
          1: ticket-number,
          2: bstr .size 32,  ; MAC
        }

        ticket-number = 1..4294967295

    """

    number: Annotated[int, Key(1), Within(1, LARGEST_TICKET)]
    mac: Annotated[bytes, Key(2), Size(32)]
