"""Ports that are open while something else goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from ..transports.links import Address


class Serve(Protocol):
    """Waits for others, until cancelled; says where once it does."""

    async def __call__(self, *, task_status: trio.TaskStatus[list[Address]]) -> None:
        """See the class."""
        ...


async def while_serving(
    ports: Sequence[Serve], ready: Callable[[str], None], then: Callable[[], Awaitable[None]]
) -> None:
    """Open all `ports`, in order, tell `ready` where each is, and close them after `then`.

    Raises:
        BaseExceptionGroup: what one of them or `then` raised.

    """
    async with trio.open_nursery() as nursery:
        for port in ports:
            places: list[Address] = await nursery.start(port)
            ready(str(places[0]))
        await then()
        nursery.cancel_scope.cancel()
