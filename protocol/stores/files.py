"""The port to a file system, as small as durable stores need it, and its one real implementation.

Every call is one thing that a disk does, so that a harness can put itself in its place and cut the power
between any two. What to do in which order is in `atomic.py`; what the bytes mean, above.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final, Protocol

from ..engine import EnvironmentFault

_BINARY: Final = getattr(os, "O_BINARY", 0)
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_LOCKED_BYTE: Final = 1 << 20
"""Where Windows locks: beyond the text, since what is locked cannot be read there."""


class StoreLocked(EnvironmentFault):
    """Another process, or another part of this one, holds the store."""


class Lock(Protocol):
    """A lock that is held."""

    def release(self) -> None:
        """Give it back; a second call does nothing."""
        ...


class Files(Protocol):
    """What stores ask of a file system. Every method may raise OSError; numbers are open files."""

    def resolve(self, path: Path) -> Path:
        """The file that `path` means, through symbolic links, whether it exists or not."""
        ...

    def read(self, path: Path, limit: int) -> bytes:
        """The file's first `limit` bytes."""
        ...

    def create(self, path: Path) -> int:
        """Open a new file for writing, readable by its owner only; FileExistsError if there is one."""
        ...

    def reopen(self, path: Path) -> tuple[int, int]:
        """Open an existing file for overwriting; the open file and its size in bytes."""
        ...

    def write(self, file: int, data: bytes) -> None:
        """Write all of `data`."""
        ...

    def sync(self, file: int) -> None:
        """Return when the file's content is on the medium."""
        ...

    def close(self, file: int) -> None:
        """Close."""
        ...

    def link(self, path: Path, other: Path) -> None:
        """Let `other` be a second name of the file `path`."""
        ...

    def replace(self, path: Path, other: Path) -> None:
        """Let `other` name the file `path`, whatever it named before, at one stroke."""
        ...

    def remove(self, path: Path) -> None:
        """Take the name away."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Return when the names in this directory are on the medium."""
        ...

    def lock(self, path: Path) -> Lock:
        """Hold the lock that lies in the file `path`, which stays when the lock is given back.

        Raises:
            StoreLocked: somebody else does.

        """
        ...


class OsFiles:
    """Files of this operating system.

    On Windows names are written through by the file system itself, and who may read a new file is inherited
    from its directory.
    """

    def resolve(self, path: Path) -> Path:
        """See Files."""
        return Path(os.path.realpath(path))

    def read(self, path: Path, limit: int) -> bytes:
        """See Files."""
        with path.open("rb") as file:
            return file.read(limit)

    def create(self, path: Path) -> int:
        """See Files."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_FOLLOW, 0o600)

    def reopen(self, path: Path) -> tuple[int, int]:
        """See Files."""
        file = os.open(path, os.O_WRONLY | _BINARY | _NO_FOLLOW)
        return file, os.fstat(file).st_size

    def write(self, file: int, data: bytes) -> None:
        """See Files."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]

    def sync(self, file: int) -> None:
        """See Files."""
        os.fsync(file)

    def close(self, file: int) -> None:
        """See Files."""
        os.close(file)

    def link(self, path: Path, other: Path) -> None:
        """See Files."""
        os.link(path, other)

    def replace(self, path: Path, other: Path) -> None:
        """See Files."""
        path.replace(other)

    def remove(self, path: Path) -> None:
        """See Files."""
        path.unlink()

    def sync_directory(self, path: Path) -> None:
        """See Files; file systems that cannot sync a directory by itself are taken at their word."""
        if sys.platform == "win32":
            return
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(directory)

    def lock(self, path: Path) -> Lock:
        """See Files."""
        file = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY | _NO_FOLLOW, 0o600)
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            holder = os.read(file, 100).decode("ascii", "replace").strip()
            os.close(file)
            raise StoreLocked(
                f"store is in use: {path}", who="store", expected="nobody else", got=holder or "another process"
            ) from None
        except OSError:
            os.close(file)
            raise
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, f"process {os.getpid()}\n".encode())
        return _HeldLock(file)


class _HeldLock:
    """An open file with a lock on it, which ends with it or with the process.

    A process that was forked off shares the open file, and so the lock: closing is not enough to give it back, and it
    is not the other process's to give back.
    """

    def __init__(self, file: int) -> None:
        self._file: int | None = file
        self._process = os.getpid()

    def release(self) -> None:
        """See Lock."""
        if self._file is not None:
            file, self._file = self._file, None
            if self._process == os.getpid():
                _unlock(file)
            os.close(file)


def _lock(file: int) -> None:
    """Lock an open file against all others that open it, without waiting."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(file, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(file: int) -> None:
    """Give back what `_lock` took. Windows shares no locks, and does so as the file is closed."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


OS_FILES: Final = OsFiles()
