"""One party's durable state: a vault (sealed file, token or memory) and the record in it, decoded.

Commits to a token come from worker threads (aside.py), so that they take turns here.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ..protocol.engine import InsituError, StateError, UsageError
from ..protocol.keys.vault import Vault
from ..protocol.messages import RECORD_LIMITS, decode_record, encode_record
from ..protocol.ports import Ports
from ..protocol.stores.atomic import ErasureFailed, StoreUncertain

N = TypeVar("N")
R = TypeVar("R")

Show = Callable[[object], None]


def wall_clock() -> int:
    """Unix seconds."""
    return int(time.time())


def steady_clock() -> int:
    """Seconds by a clock that nobody can set; from whenever it likes, so that only differences mean something.

    It goes on while the machine sleeps, where the system has such a clock (Linux and Windows do).
    """
    if sys.platform == "linux":
        return int(time.clock_gettime(time.CLOCK_BOOTTIME))
    return int(time.monotonic())


def ignore(note: object) -> None:
    """Show to nobody."""


class Heard:
    """What a session shows, passed on, with what it came to among it.

    Args:
        show: gets each note.

    """

    def __init__(self, show: Show = ignore) -> None:
        self._show = show
        self._notes: list[object] = []

    def note(self, note: object) -> None:
        """Keep it and pass it on."""
        self._notes.append(note)
        self._show(note)

    def first(self, kind: type[N]) -> N | None:
        """The first note of this kind; None: there is none."""
        return next((note for note in self._notes if isinstance(note, kind)), None)


class Keeping(Generic[R]):
    """A vault whose record is of class `R`.

    Attributes:
        vault: key memory and stored bytes.
        record: decoded, as last committed; None before the first time.
        before: runs before each write, and may refuse it.
        after: runs after each write, before anything that depends on it.
        follows: whether a record that a session or desk wants written was made from the one that is there.
        alone: who holds it commits alone; for whoever reads the record first to see what to write.

    """

    def __init__(self, vault: Vault, record_class: type[R]) -> None:
        self.vault = vault
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[R], None] = lambda _: None
        self.follows: Callable[[R, R], bool] = lambda before, after: True
        self.alone = threading.RLock()
        self._class = record_class
        self._durable = vault.durable
        self._to_reopen = ""
        stored = vault.record
        self._record: R | None = None if stored is None else decode_record(record_class, stored, **RECORD_LIMITS)

    @property
    def record(self) -> R | None:
        """See the class.

        Raises:
            StoreUncertain: a write ended so that only opening the store again can tell what is in it, or its counter
                did not follow. A program ends by that, so that whoever supervises it starts it again.

        """
        if self._to_reopen:
            raise StoreUncertain(self._to_reopen, who="store", expected="the program started again")
        return self._record

    def commit(self, record: R, keep: frozenset[str] | None = None) -> None:
        """Make `record` durable with the pairs in `keep` (None: those that are durable already)."""
        with self.alone:
            keep = self._durable if keep is None else keep
            self.before()
            try:
                self.vault.commit(encode_record(record), keep)
            except ErasureFailed:
                self._written(record, keep)  # all the same; only the old content is still there
                raise
            except StoreUncertain:
                self._to_reopen = "what the store holds is not known"
                raise
            self._written(record, keep)

    def _written(self, record: R, keep: frozenset[str]) -> None:
        self._record, self._durable = record, keep
        try:
            self.after(record)
        except InsituError:
            self._to_reopen = "the counter did not follow the store"
            raise

    def ports(self, show: Show) -> Ports:
        """The ports of a party that lives in this vault and looks nothing up."""
        return Ports(keys=self.vault, commit=self._commit, show=show, blocking=not self.vault.answers_at_once)

    def _commit(self, record: object, keep: frozenset[str] | None) -> None:
        if not isinstance(record, self._class):
            raise UsageError("not a record of this party", expected=self._class.__name__, got=type(record).__name__)
        with self.alone:
            before = self.record
            if before is not None and not self.follows(before, record):
                expected = "a record made from the newest"
                raise StateError("the record was changed meanwhile", who="store", expected=expected)
            self.commit(record, keep)
