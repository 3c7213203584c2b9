"""Two pseudo-terminals back to back: a serial line for tests and the demonstration, without hardware. POSIX only.

Programs open the two paths as serial ports; this end holds both masters and relays between them, over a faulty line if
asked. Like on a V.24 line, one program ending is invisible to the other; `close` is what unplugging looks like.
"""

from __future__ import annotations

import os

import trio

from ..errors import Unsupported
from ..faulty import CLEAN, Faults, relay
from ..tap import Tap


class PtyPair:
    """Two device paths, `left` and `right`, that `run` connects.

    Attributes:
        left, right: paths to open as serial ports.
        carried: bytes that were put on the line so far, for the right and for the left end.

    Raises:
        Unsupported: this system has no pseudo-terminals.

    """

    def __init__(self) -> None:
        """Make both terminals. Call within trio."""
        if os.name != "posix":
            raise Unsupported("pseudo-terminals exist on POSIX systems only", who="pty pair", got=os.name)
        self._left_master, self._left_keeper, self.left = _terminal()
        self._right_master, self._right_keeper, self.right = _terminal()
        self._left, self._right = Tap(self._left_master), Tap(self._right_master)

    @property
    def carried(self) -> tuple[int, int]:
        """See the class."""
        return self._left.received, self._right.received

    async def run(
        self,
        *,
        to_right: Faults = CLEAN,
        to_left: Faults = CLEAN,
        seed: int | str = 0,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Relay until cancelled or closed, or until a fault cuts the line; then both terminals are hung up."""
        try:
            await relay(self._left, self._right, to_right=to_right, to_left=to_left, seed=seed, task_status=task_status)
        finally:
            self.close()

    def close(self) -> None:
        """Hang up both terminals, as pulling the plugs would."""
        for keeper in (self._left_keeper, self._right_keeper):
            keeper.close()
        for master in (self._left_master, self._right_master):
            master.close()


class _Keeper:
    """Holds a terminal's device open: the master would report an error whenever no program has it open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _terminal() -> tuple[trio.lowlevel.FdStream, _Keeper, str]:
    import pty
    import tty

    master, device = pty.openpty()
    tty.setraw(device)
    return trio.lowlevel.FdStream(master), _Keeper(device), os.ttyname(device)
