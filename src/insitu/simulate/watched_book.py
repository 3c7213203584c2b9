"""A book of TANs in a simulated world: that of the field, which tells the invariants what is tried."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.keys.vault import Vault
from ..protocol.stores.secret import Entropy
from ..shell.book import Book
from .history import TanTried
from .surroundings import Surroundings


class WatchedBook(Book):
    """A book that tells which TANs are tried."""

    def __init__(self, world: Surroundings, vault: Vault, entropy: Entropy, now: Callable[[], int]) -> None:
        super().__init__(lambda: vault, entropy=entropy, now=now)
        self._world = world

    def begin_attempt(self, serial: str, *, by_tan: bool) -> None:
        """See Book."""
        label = self._label(serial, by_tan=by_tan)
        super().begin_attempt(serial, by_tan=by_tan)
        self._tell(serial, label)

    def attempt(self, serial: str, *, by_tan: bool) -> bytes:
        """See Book."""
        label = self._label(serial, by_tan=by_tan)
        value = super().attempt(serial, by_tan=by_tan)
        self._tell(serial, label)
        return value

    def _label(self, serial: str, *, by_tan: bool) -> str:
        return next((tan.label for tan in self.record().tans if by_tan and tan.serial == serial), "")

    def _tell(self, serial: str, label: str) -> None:
        if label:
            self._world.see(TanTried(serial, label))
