"""The sheet for a security envelope: the only place where a TAN appears, besides the keypad (S9)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Final

from ..protocol.engine import EnvironmentFault, UsageError

_SHEET: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>TAN for {serial}</title>
<style>@page {{ margin: 25mm }} body {{ font: 12pt sans-serif }}
.tan {{ font: bold 20pt monospace; margin: 15mm 0 }}</style>
</head><body>
<h1>Module {serial}</h1>
<p>Put this sheet into a security envelope, and delete the file.</p>
<p class="tan">{code}</p>
<p>Key it in at this module, last symbol included, when it asks. Until {until}. Good for one attempt, right or wrong:
whoever else has read it could be the one who uses it.</p>
</body></html>
"""


def write_sheet(path: Path, serial: str, content: Callable[[], tuple[str, str]]) -> None:
    """Write a sheet into a new file of mode 0600.

    Args:
        path: of the file.
        serial: of the module.
        content: gives the code, in groups, and the end of its term; asked once the file can be written.

    Raises:
        UsageError: there is a file already, or no directory.
        EnvironmentFault: it cannot be written; the TAN has to be revoked.

    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except (FileExistsError, FileNotFoundError) as error:
        raise UsageError(f"cannot write {path}", expected="a new file", got=error.strerror) from None
    except OSError as error:
        raise EnvironmentFault(f"cannot write {path}", got=error.strerror) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            code, until = content()
            file.write(_SHEET.format(serial=escape(serial), code=escape(code), until=escape(until)))
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise EnvironmentFault(f"cannot write {path}; revoke the TAN", got=error.strerror) from None
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
