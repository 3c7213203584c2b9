"""A person with a mobile in a simulated world, who carries what a module shows to the unit that it calls (conveyed)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from ..protocol.channel.trust.calling import by_key
from ..protocol.engine import InsituError
from ..protocol.keys.certificates import key_digest
from ..protocol.keys.vault import MemoryVault
from ..shell.calls import Calls, Switchboard
from ..shell.card import Card
from ..shell.far_link import ByChannel
from ..shell.local_link import AtMobile
from ..shell.mobile import Mobile, convey
from ..transports.errors import TransportError
from ..transports.links import Address, open_link
from .machine import Machine
from .terminal import Terminal
from .world import World


class Messenger:
    """The person, and where the unit takes his calls.

    Args:
        machine: the unit's.
        name: how the place is called where it takes calls.
        show: gets the notes of his sessions, and of the board.

    Attributes:
        board: where sessions of the unit and of the mobile meet.
        lines: where the unit takes calls.

    """

    def __init__(self, world: World, machine: Machine, name: str, show: Callable[[object], None]) -> None:
        self._machine = machine
        self._show = show
        chance = machine.chance.of(f"phone of {name}")
        self._draws = chance.of("draws").draw
        self._phone = Mobile(MemoryVault(chance.draw, repeatable=True))
        self._phone.establish(f"phone of {name}")
        known = {by_key(self._phone.key.public): "ours"}
        self.board = Switchboard(lambda: known, show=show)
        self.lines = Address("memory", name)
        world.network.places[name] = machine

    def calls(self, card: Card) -> Calls:
        """What takes his calls at the unit with this card."""
        machine = self._machine
        about = self.board, card.record.name, card.authentication, card.keys
        return Calls(*about, tell=machine.tell, entropy=self._draws, now=machine.now)

    async def stand_at(self, terminal: Terminal, card: Card) -> None:
        """Try until cancelled to get through to the unit with this card what that module shows."""

        async def dial(_: AtMobile) -> trio.abc.Stream:
            return (await open_link(self.lines)).stream

        phone, unit, machine = self._phone, key_digest(card.authentication.public), self._machine
        about: dict[str, Any] = {"entropy": self._draws, "now": machine.now, "show": self._show}
        far = ByChannel(dial, phone.name, phone.key, phone.keys, unit, **about)
        while True:
            try:
                near = await open_link(terminal.port)
                await convey(near.stream, terminal.serial, far, entropy=self._draws, show=self._show)
            except (InsituError, TransportError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                machine.tell(f"mobile: {error}")
            await trio.sleep(1.0)
