"""The pad at which an operator keys in a TAN: the terminal, or a pad plugged into a serial port (A7).

Bytes of a pad become keys here, and the table of protocol/parties/keypad.py decides. A pad sends what a serial keyboard
sends: digits and letters; carriage return, line feed or # for enter; backspace, delete or * for a correction; escape
or control-C for cancel. Nothing is ever written to it, so it echoes nothing; the terminal's own echo is off.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

import trio

from ..protocol.engine import DeadlinePassed, EnvironmentFault, Show, StartTimer, StateError, StopTimer, UsageError
from ..protocol.parties.keypad import (
    KEYPAD,
    CancelKeyed,
    CorrectionKeyed,
    EnterKeyed,
    Key,
    KeypadData,
    KeypadState,
    SymbolKeyed,
    TanAsked,
)
from ..transports.errors import TransportError
from ..transports.links import Address, open_port
from ..transports.serial.terminal import Terminal
from . import keeping

Opener = Callable[[], Awaitable[trio.abc.ReceiveStream]]

_WHO: Final = "keypad"
_KEYS: Final[dict[int, Key]] = {
    **dict.fromkeys(b"\r\n#", EnterKeyed()),
    **dict.fromkeys(b"\b\x7f*", CorrectionKeyed()),
    **dict.fromkeys(b"\x1b\x03", CancelKeyed()),
}


class Keypad:
    """A pad, opened for each question: what was keyed in before it was asked does not count.

    Args:
        opened: opens its stream of bytes.
        show: gets the notes for the operator.

    """

    def __init__(self, opened: Opener, *, show: keeping.Show = keeping.ignore) -> None:
        self._opened = opened
        self._show = show

    async def ask(self, peer: str) -> str:
        """A TAN as it was keyed in, with its check symbol.

        Args:
            peer: the name that the unit gives itself.

        Raises:
            StateError: the operator did not come to one.
            EnvironmentFault: there is no pad, or it was unplugged.

        """
        try:
            async with await self._opened() as pad:
                return await self._listen(pad, peer)
        except (trio.BrokenResourceError, TransportError) as error:
            expected = "a terminal, --keypad, --token or --tan-file"
            raise EnvironmentFault("the pad does not work", who=_WHO, expected=expected, got=error) from None

    async def _listen(self, pad: trio.abc.ReceiveStream, peer: str) -> str:
        keying = _Keying(self._show)
        keying.take(TanAsked(peer))
        while keying.state is KeypadState.KEYING:
            pressed = b""
            with trio.move_on_at(keying.deadline) as waiting:
                pressed = bytes(await pad.receive_some(1))
                if not pressed:
                    raise EnvironmentFault("the pad was unplugged", who=_WHO)
            if waiting.cancelled_caught:
                keying.take(DeadlinePassed("key"))
            for byte in pressed:
                key = _key(byte)
                if key is not None:
                    keying.take(key)
        if keying.state is not KeypadState.KEYED:
            raise StateError("no TAN was keyed in", who=_WHO, expected="an operator", got=keying.data.reason)
        return keying.data.typed


class _Keying:
    """One walk through the table."""

    def __init__(self, show: keeping.Show) -> None:
        self.state = KeypadState.READY
        self.data = KeypadData()
        self.deadline = inf
        self._show = show

    def take(self, event: object) -> None:
        """One step."""
        step = KEYPAD.step(self.state, self.data, event)
        self.state, self.data = step.state, step.data
        for effect in step.effects:
            match effect:
                case StartTimer(_, seconds):
                    self.deadline = trio.current_time() + seconds
                case StopTimer():
                    self.deadline = inf
                case Show(note):
                    self._show(note)
                case _:
                    raise UsageError("not an effect of a pad", who=_WHO, got=type(effect).__name__)


def _key(byte: int) -> Key | None:
    """None: it means nothing."""
    symbol = chr(byte)
    return SymbolKeyed(symbol) if symbol.isascii() and symbol.isalnum() else _KEYS.get(byte)


# Pads --------------------------------------------------------------------------------------------------------


def plugged(address: Address) -> Opener:
    """A pad at a serial port or device, without a link layer of ours."""

    async def opened() -> trio.abc.ReceiveStream:
        return await open_port(address)

    return opened


async def terminal() -> trio.abc.ReceiveStream:
    """The terminal of this program."""
    return Terminal.open()
