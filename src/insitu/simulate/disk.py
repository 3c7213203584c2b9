"""A disk in memory that forgets what was not synced: the port `stores.files.Files` with power cuts and failures.

Contents and names reach the medium separately, as on a real disk: a content when its file is synced, a name when
its directory is. `survivors` answers with what may be left after a cut: of every unsynced content all, nothing, a
beginning or any of its sectors, the others old or zero; of the unsynced changes of names any, in whatever order the
disk liked. A disk that lies says of some syncs that they are done and does nothing; one whose writes stray puts what
is synced onto another file instead.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..protocol.stores.files import Lock, StoreLocked
from .power import PowerCut as PowerCut

SECTOR: Final = 512
"""Bytes that a disk writes at one stroke."""


@dataclass
class Content:
    """What lies behind a name: as the process sees it, and as it is on the medium."""

    seen: bytes = b""
    kept: bytes = b""


@dataclass
class CrashDisk:
    """Files in memory.

    Attributes:
        names: as the process sees them.
        kept_names: as on the medium.
        changes: of names, not yet on the medium: each at one stroke, of (name, content or None).
        calls: the calls so far, by name.
        before_call: runs before each call with its number (from 0) and name; may raise PowerCut or OSError.
        lies: whether the sync with this number and name does nothing, and says that it has.
        strays: whether the sync of a file with this number hits another file of the medium instead.
        short_writes: a write that fails has written its first half.
        atomic_renames: a cut leaves both sides of a rename or neither, as on file systems with a journal.
        links: whether the file system has hard links.
        written: all that was ever to be written, in order.

    """

    names: dict[Path, Content] = field(default_factory=dict)
    kept_names: dict[Path, Content] = field(default_factory=dict)
    changes: list[list[tuple[Path, Content | None]]] = field(default_factory=list)
    contents: list[Content] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    before_call: Callable[[int, str], None] = lambda number, name: None
    lies: Callable[[int, str], bool] = lambda number, name: False
    strays: Callable[[int], bool] = lambda number: False
    short_writes: bool = False
    atomic_renames: bool = True
    links: bool = True
    written: list[bytes] = field(default_factory=list)
    open_files: dict[int, tuple[Content, int]] = field(default_factory=dict)
    locks: set[Path] = field(default_factory=set)
    broken: bool = False

    def _call(self, name: str) -> None:
        if self.broken:
            raise PowerCut
        self.calls.append(name)
        try:
            self.before_call(len(self.calls) - 1, name)
        except PowerCut:
            self.broken = True
            raise

    def _rename(self, path: Path, content: Content | None) -> None:
        self.changes.append([(path, content)])
        if content is None:
            del self.names[path]
        else:
            self.names[path] = content

    def _found(self, path: Path) -> Content:
        if path not in self.names:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return self.names[path]

    def _open(self, content: Content) -> int:
        number = len(self.open_files) + 3
        self.open_files[number] = content, 0
        return number

    # The port

    def resolve(self, path: Path) -> Path:
        """See Files."""
        return path

    def read(self, path: Path, limit: int) -> bytes:
        """See Files."""
        self._call("read")
        return self._found(path).seen[:limit]

    def create(self, path: Path) -> int:
        """See Files."""
        self._call("create")
        if path in self.names:
            raise FileExistsError(17, "File exists", str(path))
        content = Content()
        self.contents.append(content)
        self._rename(path, content)
        return self._open(content)

    def reopen(self, path: Path) -> tuple[int, int]:
        """See Files."""
        self._call("reopen")
        content = self._found(path)
        return self._open(content), len(content.seen)

    def write(self, file: int, data: bytes) -> None:
        """See Files."""
        self.written.append(data)
        try:
            self._call("write")
        except OSError:
            if self.short_writes:
                self._put(file, data[: len(data) // 2])
            raise
        self._put(file, data)

    def _put(self, file: int, data: bytes) -> None:
        content, at = self.open_files[file]
        content.seen = content.seen[:at] + data + content.seen[at + len(data) :]
        self.open_files[file] = content, at + len(data)

    def sync(self, file: int) -> None:
        """See Files."""
        self._call("sync")
        content, _ = self.open_files[file]
        others = [each for each in self.kept_names.values() if each is not content]
        if others and self.strays(len(self.calls) - 1):
            others[0].kept = content.seen
        elif not self._lying("sync"):
            content.kept = content.seen

    def _lying(self, name: str) -> bool:
        return self.lies(len(self.calls) - 1, name)

    def close(self, file: int) -> None:
        """See Files."""
        self._call("close")

    def link(self, path: Path, other: Path) -> None:
        """See Files."""
        self._call("link")
        if not self.links:
            raise PermissionError(1, "Operation not permitted")
        if other in self.names:
            raise FileExistsError(17, "File exists", str(other))
        self._rename(other, self._found(path))

    def replace(self, path: Path, other: Path) -> None:
        """See Files."""
        self._call("replace")
        content = self._found(path)
        self._rename(other, content)
        self._rename(path, None)
        if self.atomic_renames:
            removal = self.changes.pop()
            self.changes[-1] += removal

    def remove(self, path: Path) -> None:
        """See Files."""
        self._call("remove")
        self._found(path)
        self._rename(path, None)

    def sync_directory(self, path: Path) -> None:
        """See Files."""
        self._call("sync_directory")
        if self._lying("sync_directory"):
            return
        self.kept_names = dict(self.names)
        self.changes.clear()

    def lock(self, path: Path) -> Lock:
        """See Files."""
        if path in self.locks:
            raise StoreLocked("store is in use", who="store")
        self.locks.add(path)
        return _CrashLock(self, path)

    # After the cut

    def survivors(self, seed: int) -> CrashDisk:
        """A disk as it may be found after a cut now. Seed 0: nothing unsynced is left; 1: all of it; else chance."""
        chance = random.Random(seed)  # noqa: S311 - to be repeated, not a secret
        after: dict[int, Content] = {}
        for content in self.contents:
            left = content.kept if seed == 0 else content.seen if seed == 1 else _torn(content, chance)
            after[id(content)] = Content(left, left)
        names = dict(self.kept_names)
        for stroke in self.changes:
            if seed == 1 or (seed > 1 and chance.random() < 0.5):
                for path, change in stroke:
                    if change is None:
                        names.pop(path, None)
                    else:
                        names[path] = change
        found = {path: after[id(content)] for path, content in names.items()}
        return CrashDisk(dict(found), dict(found), contents=list(after.values()), links=self.links)

    def copy(self) -> CrashDisk:
        """The disk as it is at this moment, for cuts that come at this moment in another run of the world."""
        same = {id(content): Content(content.seen, content.kept) for content in self.contents}
        return CrashDisk(
            {path: same[id(content)] for path, content in self.names.items()},
            {path: same[id(content)] for path, content in self.kept_names.items()},
            [[(path, content and same[id(content)]) for path, content in stroke] for stroke in self.changes],
            list(same.values()),
            atomic_renames=self.atomic_renames,
            links=self.links,
        )

    def everything(self) -> Iterator[bytes]:
        """All bytes that lie on the medium, with or without a name."""
        for content in self.contents:
            yield content.kept


def _torn(content: Content, chance: random.Random) -> bytes:
    """Part of what was not synced: none, all, a beginning, or any sectors, the others as they were or never written."""
    seen, kept = content.seen, content.kept
    match chance.randrange(4) if seen != kept else 0:
        case 0:
            return kept
        case 1:
            return seen
        case 2:
            at = chance.randrange(len(seen) + 1)
            return seen[:at] + kept[at:]
    size = max(len(seen), len(kept))
    sides = [side.ljust(size, b"\0") for side in (seen, kept, b"")]
    return b"".join(chance.choice(sides)[at : at + SECTOR] for at in range(0, size, SECTOR))


@dataclass
class _CrashLock:
    disk: CrashDisk
    path: Path

    def release(self) -> None:
        """See Lock."""
        self.disk.locks.discard(self.path)
