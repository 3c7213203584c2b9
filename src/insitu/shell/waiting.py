"""Opening a store that another program of its owner holds for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from ..protocol.stores.files import StoreLocked

V = TypeVar("V")

PATIENCE_SECONDS: Final = 5.0
"""How long to wait for it."""
PAUSE_SECONDS: Final = 0.05
"""Between attempts."""


def opened(reopen: Callable[[], V], patience: float | None = None) -> V:
    """What `reopen` opens, tried again while somebody else holds the store.

    Args:
        reopen: opens it.
        patience: seconds; None: PATIENCE_SECONDS.

    Raises:
        StoreLocked: it was held for longer than that.
        InsituError: whatever else `reopen` raises, at once.

    """
    until = time.monotonic() + (PATIENCE_SECONDS if patience is None else patience)
    while True:
        try:
            return reopen()
        except StoreLocked:
            if time.monotonic() >= until:
                raise
        time.sleep(PAUSE_SECONDS)
