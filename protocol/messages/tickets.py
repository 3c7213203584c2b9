"""Tickets where they are kept and how they travel to the manufacturer (A4). Declarations only."""

from __future__ import annotations

from typing import Annotated, Final

from .fields import Key, Secret, Size, Within
from .trust import LARGEST_TICKET
from .wire import array, record

_NAME: Final = Size(1, 64)
MOST_TICKETS: Final = 4096
"""Tickets of one order, and those that a manufacturer has not used yet, of all customers."""


@array
class ModuleTicket:
    """What a manufacturer made of a customer's ticket for one module (A4).

    Attributes:
        number: of the ticket.
        mac: under its key, over number, serial number and identity key; 32 bytes.

    CDDL::

        ModuleTicket = [
          number: ticket-number,
          mac: bstr .size 32,
        ]

    """

    number: Annotated[int, Key(0), Within(1, LARGEST_TICKET)]
    mac: Annotated[bytes, Key(1), Size(32)]


@array
class TicketInStock:
    """A ticket that a manufacturer has and did not use yet; its key lies in key memory (A4).

    Attributes:
        customer: whose.
        order: number of the card's job under which it was made, 16 bytes.
        number: of the ticket.

    CDDL::

        TicketInStock = [
          customer: tstr .size (1..64),
          order: bstr .size 16,
          number: ticket-number,
        ]

    """

    customer: Annotated[str, Key(0), _NAME]
    order: Annotated[bytes, Key(1), Size(16)]
    number: Annotated[int, Key(2), Within(1, LARGEST_TICKET)]

    @property
    def label(self) -> str:
        """Of its key."""
        return f"ticket-{self.order.hex()}-{self.number}"


@record
class TicketOrder:
    """Tickets on their way from a card to the manufacturer, in a sealed file (A4).

    Attributes:
        customer: name of the card.
        order: number of the card's job, 16 bytes.
        first: the number of the first ticket; the others follow without gaps.
        keys: theirs, 32 bytes each.

    CDDL::

        TicketOrder = {
          1: tstr .size (1..64),  ; customer
          2: bstr .size 16,       ; order
          3: ticket-number,       ; first
          4: [1*4096 bstr .size 32],  ; keys
        }

    """

    customer: Annotated[str, Key(1), _NAME]
    order: Annotated[bytes, Key(2), Size(16)]
    first: Annotated[int, Key(3), Within(1, LARGEST_TICKET)]
    keys: Annotated[tuple[Annotated[bytes, Size(32)], ...], Key(4), Size(1, MOST_TICKETS), Secret()]

    @property
    def tickets(self) -> tuple[TicketInStock, ...]:
        """The tickets, in the order of their keys."""
        return tuple(TicketInStock(self.customer, self.order, self.first + each) for each in range(len(self.keys)))
