"""Files that commands write for others, certificates and logs say: the new content or the old, never part of either."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..protocol.engine import EnvironmentFault


def write_whole(path: Path, data: bytes) -> None:
    """Let a file consist of `data`; a full disk leaves what was there. A terminal or a pipe is written as it is.

    Raises:
        EnvironmentFault: it cannot be written.

    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {path}", got=error.strerror) from None


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with new.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            new.chmod(path.stat().st_mode & 0o777)
        new.replace(path)
    except PermissionError:  # who may write the file, and nothing else there
        path.write_bytes(data)
    finally:
        with suppress(OSError):
            new.unlink()
