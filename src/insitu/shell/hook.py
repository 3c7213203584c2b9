"""Hook commands: programs of the operator's that are run for what they write to their standard output.

No shell is involved, and nothing secret is ever an argument. What the output means is for the callers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ..protocol.engine import EnvironmentFault, UsageError

HOOK_SECONDS: Final = 30.0
"""How long a hook command may take; a person who must first unlock a token takes longer than a machine."""


def output_of(argv: Sequence[str], *, who: str, seconds: float = HOOK_SECONDS) -> bytes:
    """What a command writes to its standard output. It gets no input, and its error output is dropped.

    Args:
        argv: program and arguments.
        who: for whom it is run, as errors name it.
        seconds: after that it is ended, with all that it started.

    Raises:
        UsageError: no command.
        EnvironmentFault: it cannot be run, fails or takes too long; nothing of its output is in the error.

    """
    if not argv:
        raise UsageError("hook command", who=who, expected="a program")
    what = f"hook command {argv[0]}"
    expected = f"exit code 0 within {seconds:g} s"
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentFault(what, who=who, expected=expected, got=error.strerror) from None
    output: bytes | None = None
    with process, suppress(subprocess.TimeoutExpired):
        try:
            output, _ = process.communicate(timeout=seconds)
        finally:
            if output is None:
                _end(process)
    if output is None:  # raised outside: the expired wait carries what was written so far
        raise EnvironmentFault(what, who=who, expected=expected, got="no answer")
    if process.returncode:
        raise EnvironmentFault(what, who=who, expected=expected, got=f"exit code {process.returncode}")
    return output


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, on POSIX with those that it started, which may outlive it."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
