"""Logs that a central system has read and verified, kept in memory so that a contact reads only what is new (L12).

The registry's entries stay what counts: what is remembered is used as far as its digest is that of the registry's last
entry, and read from there otherwise.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from ..protocol.stores.card_log import NOTHING_BEFORE, LogBroken, LogEntry
from ..protocol.stores.card_logs import CardLog, CardLogs, all_lines
from ..protocol.stores.log_lines import read_entries
from ..protocol.stores.registry import RegistryDamaged

MOST_REMEMBERED: Final = 1 << 14
"""Entries of all logs together; each takes some kilobytes."""


class ReadLogs:
    """Verified logs, the last ones used. For any threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._logs: OrderedDict[bytes, tuple[LogEntry, ...]] = OrderedDict()

    def recall(self, registry: CardLogs, known: CardLog) -> tuple[LogEntry, ...]:
        """The entries of a log as far as the registry has them.

        Raises:
            RegistryDamaged: what the registry has is not what was kept there, which is not the card's doing.

        """
        with self._lock:
            entries = self._logs.get(known.issuer, ())[: known.entries]
        if not _is_all(entries, known):
            try:
                entries = read_entries(all_lines(registry, known.issuer))
            except LogBroken as error:
                raise RegistryDamaged("entries of a card's log", who="registry", got=error.summary) from None
            if not _is_all(entries, known):
                expected = f"{known.entries}, as was kept"
                raise RegistryDamaged("entries of a card's log", who="registry", expected=expected, got=len(entries))
            self.remember(known.issuer, entries)
        return entries

    def remember(self, issuer: bytes, log: tuple[LogEntry, ...]) -> None:
        """A log that was verified; what was used longest ago makes room."""
        with self._lock:
            self._logs[issuer] = log
            self._logs.move_to_end(issuer)
            while self._logs and sum(map(len, self._logs.values())) > MOST_REMEMBERED:
                self._logs.popitem(last=False)


def _is_all(entries: tuple[LogEntry, ...], known: CardLog) -> bool:
    digest = entries[-1].digest if entries else NOTHING_BEFORE
    return (len(entries), digest) == (known.entries, known.digest)
