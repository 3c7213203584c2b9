"""A session's link to somebody besides its peer: a mobile (A9). It forwards, and what comes in is an order."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.driver import Order, Orders
from ..protocol.engine import StateError


class SecondLink:
    """For one session, which closes it at its end.

    Args:
        forward: takes what the session hands to its second link; at once.
        orders: the session's, if it takes others as well.

    Attributes:
        orders: for the driver, once.

    """

    def __init__(self, forward: Callable[[object], None], orders: Orders | None = None) -> None:
        self.forward = forward
        self.orders = Orders() if orders is None else orders

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self.orders.closed

    def close(self) -> None:
        """It never came to a session."""
        self.orders.close(StateError("no session"))

    def report(self, event: object) -> Order:
        """Something came over the second link: an order to the session, settled where the session is over."""
        order = Order(event)
        self.orders.put(order)
        return order
