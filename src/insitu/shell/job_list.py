"""The job list of a unit in the network: which modules may be personalized, and until when. It only filters.

Who is not on the list is turned away; who is on it still needs the consent of two people, which the card alone judges.
The list is a file in JSON that holds nothing secret, replaced as a whole, so that a service reads it at any time:

    {"insitu": "job list 1", "modules": {"SM-0001": "2026-05-31T12:00:00Z", "SM-00*": ...}}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ..protocol.engine import EnvironmentFault, StateError, UsageError
from ..protocol.keys.profile import time_text
from ..protocol.messages import covers
from ..protocol.parties.card_standing import PATTERN_RULE, is_pattern
from ..protocol.stores.atomic import clear_leftovers, failure, replace_file
from ..protocol.stores.files import OS_FILES, Files
from .keeping import wall_clock

MARK: Final = "job list 1"
LARGEST: Final = 1 << 22
"""Bytes of a list: some hundred thousand modules."""

Modules = Mapping[str, int]
"""Until when (unix seconds) by serial number; one that ends with a star stands for all that begin so."""


class JobListDamaged(EnvironmentFault):
    """The file is there and is no job list: nobody is on it."""


class JobList:
    """The list in the file `path`, which need not exist yet: then nobody is on it.

    Args:
        path: the file; beside it lies PATH.lock, which keeps two writers apart.
        now: unix seconds.
        files: the file system.

    """

    def __init__(self, path: Path, *, now: Callable[[], int] = wall_clock, files: Files = OS_FILES) -> None:
        self._path = path
        self._now = now
        self._files = files
        self._seen: tuple[int, ...] | None = None
        self._known: Modules = {}

    def modules(self) -> Modules:
        """Who is on it now, also those whose time is over; read again when the file has changed.

        Raises:
            JobListDamaged: it is no list.
            StoreFailed: it cannot be read.

        """
        try:
            status = self._path.stat()
            stamp: tuple[int, ...] = status.st_ino, status.st_mtime_ns, status.st_size
            if stamp != self._seen:
                self._known = _read(self._path, self._files.read(self._path, LARGEST + 1))
                self._seen = stamp
        except FileNotFoundError:
            self._known, self._seen = {}, None
        except OSError as error:
            raise failure(self._path, error) from error
        return self._known

    def admits(self, serial: str) -> bool:
        """Whether this module may be personalized now, as far as the list is concerned; errors as of `modules`."""
        at = self._now()
        return covers((pattern for pattern, until in self.modules().items() if at <= until), serial)

    def allow(self, pattern: str, until: int) -> None:
        """Put modules on it, or change until when they are.

        Raises:
            UsageError: not a serial number or beginning of some, or a time that is over.
            StoreLocked: somebody else is writing.
            StoreFailed: it cannot be written; nothing has changed.

        """
        if not is_pattern(pattern):
            raise UsageError("serial number", who="unit", expected=PATTERN_RULE, got=ascii(pattern))
        if until <= self._now():
            raise UsageError("end of the permission", who="unit", expected="a time to come", got=time_text(until))
        self._change(lambda known: {**known, pattern: until})

    def withdraw(self, pattern: str) -> None:
        """Take modules from it: exactly this entry.

        Raises:
            StateError: it is not there.
            StoreLocked: somebody else is writing.

        """

        def without(known: Modules) -> Modules:
            if pattern not in known:
                raise StateError(f"{pattern} is not on the list", who="unit", expected="an entry as it was made")
            return {each: until for each, until in known.items() if each != pattern}

        self._change(without)

    def _change(self, changed: Callable[[Modules], Modules]) -> None:
        path = self._files.resolve(self._path)
        try:
            lock = self._files.lock(path.with_name(f"{path.name}.lock"))
        except OSError as error:
            raise failure(path, error) from error
        try:
            known = changed(self.modules())
            times = {each: time_text(until) for each, until in sorted(known.items())}
            text = json.dumps({"insitu": MARK, "modules": times}, indent=1) + "\n"
            if len(text) > LARGEST:
                raise UsageError("the job list is full", who="unit", expected=f"{LARGEST} bytes at most", got=len(text))
            clear_leftovers(self._files, path)
            replace_file(self._files, path, text.encode("ascii"))
        finally:
            lock.release()


def _read(path: Path, data: bytes) -> Modules:
    try:
        match json.loads(data):
            case {"insitu": str(mark), "modules": dict(modules), **rest} if mark == MARK and not rest:
                known = {str(pattern): _moment(until) for pattern, until in modules.items()}
                if len(data) <= LARGEST and all(is_pattern(pattern) for pattern in known):
                    return known
    except (ValueError, RecursionError):
        pass
    raise JobListDamaged(f"{path} is no job list", who="unit", expected="one that insitu unit allow made")


def _moment(text: object) -> int:
    when = datetime.fromisoformat(str(text))
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
