"""Reaching a peer that may not be there yet."""

from __future__ import annotations

from typing import Final

import trio

from ..transports.errors import ConnectionRefused, NoAnswer
from ..transports.links import Address, Link, open_link

PAUSE: Final = 0.2
"""Seconds between attempts."""


async def reach(address: Address, *, declared_wired: bool = False, seconds: float = 0.0) -> Link:
    """Open a link to `address`, trying again for `seconds` while nobody is there.

    Raises:
        AddressError, LinkError: as `open_link`, after the last attempt.

    """
    until = trio.current_time() + seconds
    while True:
        try:
            return await open_link(address, declared_wired=declared_wired)
        except (ConnectionRefused, NoAnswer):
            if trio.current_time() + PAUSE > until:
                raise
        await trio.sleep(PAUSE)
