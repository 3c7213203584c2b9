"""Sheets for people: HTML that a browser prints, with a secret on it that stands nowhere else in readable form.

A sheet is written into a new file of mode 0600. Whoever prints it deletes the file afterwards. It loads nothing from
elsewhere. Where the package segno is installed (extra `qr`), the code is on it as a QR code, too.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ..protocol.engine import EnvironmentFault, UsageError
from ..protocol.keys.codes import write_code

_STYLE: Final = """\
@page { margin: 20mm }
body { font-family: sans-serif; max-width: 160mm; margin: 10mm auto }
.code, .tan { font: 20pt monospace; word-spacing: 0.4em; border: 1px solid; padding: 6mm }
svg { width: 40mm; height: 40mm }
.screen { break-before: page; font: 9pt/7pt monospace; overflow-wrap: anywhere }
"""
_SCREEN: Final = "8B3E5S0HZ2" * 620
"""For the back of a sheet: against a light, the code on its front cannot be told from this."""


def write_shipped_key_sheet(path: Path, manufacturer: str, serial: str, key: bytes) -> None:
    """The sheet for the documents of a module (A5).

    Args:
        path: a new file.
        manufacturer: who delivers.
        serial: of the module.
        key: 16 bytes.

    Raises:
        UsageError: the file exists.
        EnvironmentFault: it cannot be written.

    """
    code = write_code(key)
    body = f"""\
<h1>Security module {html.escape(serial)}</h1>
<p>Delivered by {html.escape(manufacturer)}. Key for its personalization with trust option shipped-key:</p>
<p class="code">{code}</p>
{_picture(code)}
<p>Type it at the personalization unit when it asks for the key out of the documents. The last symbol is a check symbol.
Upper and lower case, spaces and hyphens do not matter; O is read as 0, I and L as 1.</p>
<p>Keep this sheet sealed until then, and destroy it afterwards, unless the module may have to be personalized again in
this way. Whoever has read it can pose as this module, and to this module as a personalization unit.</p>
"""
    _write(path, f"Module {html.escape(serial)}", lambda: body)


def write_tan_sheet(path: Path, serial: str, content: Callable[[], tuple[str, str]]) -> None:
    """The sheet for a security envelope, with the back of it: the only place where a TAN appears (A7).

    Args:
        path: a new file.
        serial: of the module.
        content: gives the code, in groups, and the end of its term; asked once the file is there.

    Raises:
        UsageError: the file exists.
        EnvironmentFault: it cannot be written; the TAN has to be revoked.

    """
    name = html.escape(serial)

    def body() -> str:
        code, until = content()
        return f"""\
<h1>Security module {name}</h1>
<p>For the operator at this module, and nobody else. Print both pages on one sheet, seal it in a security envelope
on which the serial number stands, and delete the file.</p>
<p class="tan">{html.escape(code)}</p>
{_picture(code)}
<p>Key it in at this module when it asks, last symbol included, or have a reader scan it. Upper and lower case, spaces
and hyphens do not matter. Until {html.escape(until)}, for one attempt, right or wrong.</p>
<p>Was the envelope open before? Then tell whoever sent it, and do not use it: whoever has read this sheet can pose as
this module, and to it. Destroy the sheet afterwards.</p>
<p class="screen" aria-hidden="true">{_SCREEN}</p>
"""

    _write(path, f"TAN for module {name}", body)


def _picture(code: str) -> str:
    """The code as a QR code, where there is somebody to draw it."""
    if find_spec("segno") is None:
        return "<p>(no QR code: the package segno is not installed)</p>"
    import segno

    drawn: str = segno.make_qr(code.replace(" ", ""), error="m").svg_inline(omitsize=True)
    return drawn


def _write(path: Path, title: str, body: Callable[[], str]) -> None:
    """Make the file, then ask for what stands in it; where that cannot be had or written, there is no file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists", expected="a new file", got="one that is there") from None
    except OSError as error:
        raise EnvironmentFault(f"cannot write {path}", got=error.strerror) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(
                f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
                f"<style>\n{_STYLE}</style>\n</head>\n<body>\n{body()}</body>\n</html>\n"
            )
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise EnvironmentFault(f"cannot write {path}; it must not be used", got=error.strerror) from None
        raise
