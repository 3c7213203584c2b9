"""Monotonic counters: how a machine notices by itself that its store is an older copy (S4, S8).

The store carries its generation, which grows by one in every write. A counter that lies elsewhere follows it: it is
advanced after each write of the store and before anything is said that depends on the write. Only the port, the rule
and what needs no more than `files.Files` live here; counters that are commands of the operator are in the shell.

What the rule cannot see: a power cut between the store's write and the counter's leaves a store of the next
generation of which nobody was told. Whoever keeps a copy of that one, puts the store of before back and lets the
machine write again, has two stores of one generation, and may choose between them until the next write. See
specs/decisions/0021-crash-consistency.md.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Protocol, Self

from ..engine import EnvironmentFault, StateError, UsageError
from .atomic import ErasureFailed, StoreFailed, StoreUncertain, replace_file
from .files import OS_FILES, Files

LARGEST_COUNT: Final = (1 << 63) - 1
"""Counters do not go further; so much every counter can be expected to hold."""

_WHO: Final = "counter"
_MAGIC: Final = b"insitu counter 1\n"
_MOST_BYTES: Final = 256


class RolledBack(StateError):
    """The store is older than the counter says: a copy of former days, or the counter of another store."""


class CounterAhead(StateError):
    """The store is newer than the counter can be: the counter was reset, or belongs to another store."""


class CounterFailed(EnvironmentFault):
    """The counter cannot be read or advanced; where a write came before, it is not vouched for yet."""


class MonotonicCounter(Protocol):
    """A number that only ever grows. One caller at a time; both calls may block for as long as the medium takes."""

    def read(self) -> int:
        """The number, 0 to LARGEST_COUNT.

        Raises:
            CounterFailed: it cannot be read.

        """
        ...

    def advance(self, to: int) -> None:
        """Let the number be `to`, durably when the call returns; no change where it is `to` already.

        Raises:
            RolledBack: it is beyond `to`; nothing has changed.
            CounterFailed: old or new number; only reading it tells.

        """
        ...


# The rule ----------------------------------------------------------------------------------------------------


def must_advance(count: int, generation: int) -> bool:
    """Whether the counter is one write behind a store of this generation; False: both agree.

    Args:
        count: what the counter says.
        generation: how often the store was written; 0 for one that was made and never written.

    Raises:
        RolledBack: the store is older than the counter.
        CounterAhead: the store is newer by more than the one write that a power cut can have come after.

    """
    if generation < count:
        raise RolledBack("store is an old copy", who=_WHO, expected=f"generation {count}", got=generation)
    if generation > count + 1:
        raise CounterAhead(
            "counter was reset, or is not this store's; an operator may adopt it",
            who=_WHO,
            expected=f"{generation - 1} or {generation}",
            got=count,
        )
    return generation == count + 1


def adopt(counter: MonotonicCounter, generation: int) -> None:
    """Let a new, reset or foreign counter stand for a store of this generation, because an operator says so.

    From now on older copies are noticed. Whether this store is one already, nobody can tell: the operator answers for
    that, best after a contact with the central system, which knows the generation too. Never done silently.

    Raises:
        RolledBack: the counter is beyond this generation; it cannot be turned back. Take a new one.
        CounterFailed: see `advance`.

    """
    counter.advance(generation)


class Guard:
    """A store's generation and its counter, kept in step.

    Args:
        counter: of this store and no other.
        generation: of the store as it was opened; 0 for one that was never written.

    Raises:
        RolledBack, CounterAhead: the store must not be used.
        CounterFailed: the counter cannot be read, or cannot be advanced to a write that a power cut came after.

    """

    def __init__(self, counter: MonotonicCounter, generation: int) -> None:
        self._counter = counter
        self._behind = False
        if must_advance(counter.read(), generation):
            counter.advance(generation)

    def check(self) -> None:
        """Call it before each write: two writes that the counter has not followed could not be told from a reset.

        Raises:
            CounterFailed: an advance failed; open the store again.

        """
        if self._behind:
            raise CounterFailed("counter is behind the store", who=_WHO, expected="the store opened again")

    def written(self, generation: int) -> None:
        """Call it after each write of the store, also one whose old content could not be erased (ErasureFailed).

        Nothing that depends on the write may be said before this returns.

        Args:
            generation: of the store now.

        Raises:
            CounterFailed: written, but not vouched for; do not go on before the store is opened again.
            RolledBack: the counter is beyond it: two machines use one counter. Do not go on.

        """
        self.check()
        self._behind = True
        self._counter.advance(generation)
        self._behind = False


# Counters ----------------------------------------------------------------------------------------------------


class MemoryCounter:
    """A counter for tests and simulations; it lasts as long as the object.

    Attributes:
        count: the number.

    """

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def read(self) -> int:
        """See MonotonicCounter."""
        return self.count

    def advance(self, to: int) -> None:
        """See MonotonicCounter."""
        checked_step(self.count, to)
        self.count = to


class FileCounter:
    """A counter in a file of its own, replaced at one stroke.

    It protects as far as its medium is protected: against somebody who copies and restores the store but cannot
    write this file, because it lies on other storage (a token, a controller's flash, a share that only this machine
    can write). Beside the store it protects against a restored back-up of the store alone, and against nobody who
    restores both. The file is neither sealed nor signed; its checksum is against accidents.

    Args:
        path: the file, which exists; see `create`.
        files: the file system.

    """

    def __init__(self, path: Path, files: Files = OS_FILES) -> None:
        self._files = files
        self._path = files.resolve(path)

    @classmethod
    def create(cls, path: Path, count: int = 0, *, files: Files = OS_FILES) -> Self:
        """Make the file. Only here: a file that is gone is never made anew by itself.

        Raises:
            UsageError: there is a file already, or `count` is no count.
            CounterFailed: it cannot be written there.

        """
        counter = cls(path, files)
        checked_step(0, count)
        if counter._bytes() is not None:
            raise UsageError(f"there is a file already: {path}", who=_WHO, expected="a new file")
        counter._write(count)
        return counter

    def read(self) -> int:
        """See MonotonicCounter."""
        content = self._bytes()
        if content is None:
            raise CounterFailed(f"there is no counter: {self._path}", who=_WHO, expected="the file that was made")
        match content.split(b"\n"):
            case [_, digits, _, b""] if digits.isdigit() and content == _encoded(int(digits)):
                if (count := int(digits)) <= LARGEST_COUNT:
                    return count
        raise CounterFailed(f"counter is damaged: {self._path}", who=_WHO, expected="a count and its checksum")

    def advance(self, to: int) -> None:
        """See MonotonicCounter."""
        if checked_step(self.read(), to):
            self._write(to)

    def _bytes(self) -> bytes | None:
        try:
            return self._files.read(self._path, _MOST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            got = error.strerror or type(error).__name__
            raise CounterFailed(f"counter cannot be read: {self._path}", who=_WHO, got=got) from error

    def _write(self, count: int) -> None:
        try:
            replace_file(self._files, self._path, _encoded(count))
        except (StoreFailed, StoreUncertain, ErasureFailed) as error:
            raise CounterFailed(f"counter cannot be written: {self._path}", who=_WHO, got=error.got) from error


def checked_step(count: int, to: int) -> bool:
    """Whether a counter that says `count` has a step to make to `to`.

    Raises:
        RolledBack: it would be a step back.
        UsageError: no counter goes there.

    """
    if not 0 <= to <= LARGEST_COUNT:
        raise UsageError("count", who=_WHO, expected=f"0 to {LARGEST_COUNT}", got=to)
    if to < count:
        raise RolledBack("a counter only grows", who=_WHO, expected=f"at least {count}", got=to)
    return to > count


def _encoded(count: int) -> bytes:
    """The counter's file: what it is, the number, SHA-256 over both; three lines of text."""
    body = _MAGIC + b"%d\n" % count
    return body + hashlib.sha256(body).hexdigest().encode() + b"\n"
