"""Files that targets need by name: they lie in one directory a process, which goes when the process ends."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp


@cache
def scratch() -> Path:
    """The directory of this process; whoever ends it otherwise than by the interpreter's end removes it himself."""
    made = Path(mkdtemp(prefix="insitu-fuzz-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
