"""Replacing a file so that a power cut at any moment leaves the old content or the new, whole and durable.

Only the order of the calls lives here; the calls are behind `files.Files`. While a replacement is under way two
more names stand beside the file: NAME.new, the new content before it is complete, and, where the old content is
to be erased, NAME.old. What a power cut leaves of them is cleared away at the next opening. A disk that says of a sync
that it is done when it is not makes all of this void: see specs/decisions/0021-crash-consistency.md.

Limits of erasing: the old content is overwritten with zeros where it lies. A file system that copies on write,
a journal, a backup or a flash memory may keep older copies, and one without hard links cannot erase at all.
Older copies are as safe as the passphrase they are sealed with. What an old copy can still be used for, the
epoch at the central system limits (S4).
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..engine import EnvironmentFault
from .files import Files

LARGEST: Final = 1 << 24
"""Bytes that a store may have; nothing longer is read."""


_NO_LINKS: Final = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class StoreFailed(EnvironmentFault):
    """The file system refused (full, read-only, gone); the store is as it was before."""


class StoreUncertain(EnvironmentFault):
    """The file system failed while names were being made durable: old or new content, only reopening tells."""


class ErasureFailed(EnvironmentFault):
    """The new content is durable, but the old one could not be overwritten; the next opening tries again."""


def replace_file(files: Files, path: Path, data: bytes, *, erase: bool = False) -> None:
    """Let the file `path` consist of `data`, durable when the call returns. One caller at a time.

    Args:
        files: the file system.
        path: resolved; what it named before, if anything, is replaced.
        data: the new content.
        erase: overwrite the old content with zeros, as far as that goes (see above).

    Raises:
        StoreFailed: nothing has changed.
        StoreUncertain: old or new content; do not go on with this file before it is read again.
        ErasureFailed: the new content is there for good, the old one not yet erased.

    """
    new, old = _beside(path)
    kept = False
    try:
        _clear(files, path, new)  # of a write that failed
        kept = erase and _keep_old(files, path, old)
        _write_new(files, new, data, name_first=erase)
        files.replace(new, path)
    except OSError as error:
        with suppress(OSError):  # what stays of it is cleared away by the next write or opening
            _erase(files, new) if erase else files.remove(new)
        if kept:
            with suppress(OSError):
                files.remove(old)
        raise failure(path, error) from error
    try:
        files.sync_directory(path.parent)
    except OSError as error:
        raise StoreUncertain(f"store may or may not have been written: {path}", who="store", got=_why(error)) from error
    if kept:
        try:
            _erase(files, old)
            files.sync_directory(path.parent)
        except OSError as error:
            raise ErasureFailed(f"old content is not overwritten: {old}", who="store", got=_why(error)) from error


def clear_leftovers(files: Files, path: Path) -> None:
    """Finish what a power cut interrupted: erase an old content that was to be erased, remove a half new one.

    Call it only when the file `path` has been read and found whole.

    Raises:
        ErasureFailed: what is left cannot be removed.

    """
    try:
        for leftover in _beside(path):
            _clear(files, path, leftover)
    except OSError as error:
        raise ErasureFailed(
            f"leftovers of an interrupted write beside {path} cannot be removed", who="store", got=_why(error)
        ) from error


def make_names_durable(files: Files, path: Path) -> None:
    """Call it when the file `path` has been read and before anything is done that rests on what is in it.

    A program that was ended between a rename and its sync leaves a content that is there and may be gone after a power
    cut; whoever said meanwhile what stands in it would have said something that is not so.

    Raises:
        StoreFailed: the file system refuses.

    """
    try:
        files.sync_directory(path.parent)
    except OSError as error:
        raise failure(path, error) from error


def failure(path: Path, error: OSError) -> StoreFailed:
    """What the operating system said, as our error."""
    return StoreFailed(f"store cannot be read or written: {path}", who="store", got=_why(error))


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}.old")


def _content(files: Files, path: Path) -> bytes | None:
    try:
        return files.read(path, LARGEST)
    except FileNotFoundError:
        return None


def _write_new(files: Files, new: Path, data: bytes, *, name_first: bool) -> None:
    """Write `data` durably to a new file.

    Args:
        files: the file system.
        new: the new file.
        data: its content.
        name_first: make all names durable before there is a content, and before names change their meaning. Else a
            power cut could leave a content on the medium without any name, and nobody to erase it.

    """
    file = files.create(new)
    try:
        if name_first:
            files.sync_directory(new.parent)
        files.write(file, data)
        files.sync(file)
    finally:
        files.close(file)


def _keep_old(files: Files, path: Path, old: Path) -> bool:
    """Give the old content a second name; False where there is no old content, or the file system has no links."""
    _clear(files, path, old)
    try:
        files.link(path, old)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _clear(files: Files, path: Path, leftover: Path) -> None:
    """Erase a leftover, but only take the name away if it is a second name of the file itself."""
    content = _content(files, leftover)
    if content is None:
        return
    if content == _content(files, path):
        files.remove(leftover)
    else:
        _erase(files, leftover)
    files.sync_directory(path.parent)


def _erase(files: Files, path: Path) -> None:
    file, size = files.reopen(path)
    try:
        files.write(file, bytes(size))
        files.sync(file)
    finally:
        files.close(file)
    files.remove(path)
