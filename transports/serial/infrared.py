"""Which device paths are infrared: light reaches whoever is in the room, so it never counts as a wire (A1, K2)."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Final

_NAMES: Final = re.compile(r"(ir(comm|lpt|net|da|tty)|lirc)(-?\d+)?")
_LINUX_MAJOR: Final = 161
"""Of IrCOMM and IrLPT, in the kernel's list of devices."""


def is_infrared(path: str) -> bool:
    """Whether the path, after symbolic links, names an infrared device, or the device has such a number."""
    if sys.platform == "win32":  # COM ports; none attests itself either
        return False
    try:
        resolved = Path(path).resolve()
        number = resolved.stat().st_rdev if resolved.is_char_device() else 0
    except (OSError, ValueError, RuntimeError):  # nothing that could be opened either
        return bool(_NAMES.fullmatch(Path(path).name))
    return bool(_NAMES.fullmatch(resolved.name)) or os.major(number) == _LINUX_MAJOR
