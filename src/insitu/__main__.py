"""The command `insitu`, also `python -m insitu`. Only how it starts and ends is here; what it does, is in cli/."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line. SIGTERM is taken for Ctrl-C, so that nothing is left half done."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from .cli import main as command_line  # takes a while, in which Ctrl-C may come

        command_line(prog_name="insitu")
    except KeyboardInterrupt:
        sys.exit(130)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
