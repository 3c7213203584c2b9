"""Where a passphrase comes from: a file that only its owner can read, standard input, a hook command, or a person.

Never from the command line or the environment: other processes see those. Nothing of a passphrase appears in an
error; a `Secret` carries it to the store that it opens.
"""

from __future__ import annotations

import errno
import getpass
import os
import stat
import sys
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..protocol.engine import UsageError
from ..protocol.stores.secret import Secret
from .hook import HOOK_SECONDS, output_of

LONGEST: Final = 4096
"""Bytes of a passphrase."""
STANDARD_INPUT: Final = Path("-")
_WHO: Final = "passphrase"


def passphrase(
    *, file: Path | None = None, command: Sequence[str] | None = None, prompt: str = "Passphrase: ", new: bool = False
) -> Secret:
    """The passphrase from `file` or `command` if one is given, else from the terminal.

    Args:
        file: see from_file.
        command: see from_command.
        prompt: what a person is asked.
        new: it is for a new store: a person types it twice.

    Raises:
        UsageError: both are given, or as the source that is used says.
        EnvironmentFault: the hook command failed.

    """
    if file is not None and command is not None:
        raise UsageError("two sources", who=_WHO, expected="a file or a command", got="both")
    if file is not None:
        return from_file(file)
    if command is not None:
        return from_command(command)
    return from_terminal(prompt, twice=new)


def from_file(path: Path) -> Secret:
    """The content of a file without the end of its last line; of `-`, the next line of standard input.

    The file must be a regular one, no symbolic link, ours, and of mode 0600 or 0400. On Windows, who may read it
    is a matter of its access control list, which is not checked.

    Raises:
        UsageError: it is not such a file, cannot be read, is empty or longer than LONGEST.

    """
    if path == STANDARD_INPUT:
        return _next_line()
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.open(path, flags)
        try:
            _refuse_unsafe(path, os.fstat(file))
            content = os.read(file, LONGEST + 3)
        finally:
            os.close(file)
    except OSError as error:
        got = "a symbolic link" if error.errno in (errno.ELOOP, errno.EMLINK) else error.strerror
        raise UsageError(f"file {path}", who=_WHO, expected="a file that can be read", got=got) from None
    return _secret(content, f"file {path}")


def _next_line() -> Secret:
    """A line of standard input, and no byte of the one after it, which may be somebody else's secret.

    Raises:
        UsageError: it is a terminal, which would show what is typed; it has ended, or the line is no passphrase.

    """
    line = b""
    with suppress(OSError):
        if os.isatty(0):
            raise UsageError(
                "standard input", who=_WHO, expected="a file or pipe", got="a terminal, which would show it"
            )
        while not line.endswith(b"\n") and len(line) < LONGEST + 3 and (piece := os.read(0, 1)):
            line += piece
    return _secret(line, "standard input")


def _refuse_unsafe(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"file {path}", who=_WHO, expected="a regular file", got=stat.filemode(status.st_mode))
    if sys.platform == "win32":
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode not in (0o600, 0o400):
        raise UsageError(f"mode of file {path}", who=_WHO, expected="0600 or 0400", got=f"{mode:04o}")
    if status.st_uid != os.geteuid():
        raise UsageError(
            f"owner of file {path}", who=_WHO, expected=f"user {os.geteuid()}", got=f"user {status.st_uid}"
        )


def from_command(argv: Sequence[str], *, seconds: float = HOOK_SECONDS) -> Secret:
    """What a command writes to its standard output, without the end of the last line.

    It gets no input, and its error output is dropped. No shell is involved.

    Args:
        argv: program and arguments.
        seconds: after that it is ended, with all that it started.

    Raises:
        UsageError: no command, or its output is empty or longer than LONGEST.
        EnvironmentFault: it cannot be run, fails or takes too long.

    """
    return _secret(output_of(argv, who=_WHO, seconds=seconds), f"hook command {argv[0]}")


def from_terminal(prompt: str, *, twice: bool = False, ask: Callable[[str], str] = getpass.getpass) -> Secret:
    """What a person types, unseen; as UTF-8 in normalization form C, so that keyboards do not matter.

    Args:
        prompt: what the person is asked.
        twice: ask again and compare, for a new passphrase.
        ask: shows a prompt and answers with a line, without echo.

    Raises:
        UsageError: there is no terminal, nothing was typed, or the two differ.

    """
    typed = _typed(prompt, ask)
    if twice and typed != _typed("Once more: ", ask):
        raise UsageError("the two passphrases differ", who=_WHO, expected="the same twice")
    return typed


def _typed(prompt: str, ask: Callable[[str], str]) -> Secret:
    line: str | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would go on with echo
        with suppress(getpass.GetPassWarning, EOFError, OSError):
            line = ask(prompt)
    if line is None:
        raise UsageError("no terminal to ask at", who=_WHO, expected="a terminal, a file or a hook command")
    return _secret(unicodedata.normalize("NFC", line).encode(errors="surrogateescape"), "terminal")


def _secret(content: bytes, source: str) -> Secret:
    """The content without the end of its last line."""
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    if not 1 <= len(content) <= LONGEST:
        got = "more" if content else "nothing"
        raise UsageError(f"passphrase from {source}", who=_WHO, expected=f"1 to {LONGEST} bytes", got=got)
    return Secret(content)
