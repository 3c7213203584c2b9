"""What trust option conveyed adds to the story in memory: a mobile, the module's local port, the unit's switchboard."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

import trio

from ..protocol.channel.trust.calling import by_key
from ..protocol.keys.certificates import key_digest
from ..protocol.keys.vault import MemoryVault
from ..shell.calls import Calls, Switchboard
from ..shell.card import Card
from ..shell.far_link import ByChannel
from ..shell.local_link import AtMobile, LocalPort
from ..shell.mobile import Mobile, convey
from ..shell.trusting import Means
from ..transports.links import Link
from ..transports.memory import memory_pair
from . import stage as names
from .report import Report

Show = Callable[[object], None]


class MobileInMemory:
    """A person with a mobile.

    Attributes:
        local: where it is plugged in at the module.

    """

    def __init__(self, report: Report, show: Show) -> None:
        self._phone = Mobile(MemoryVault(secrets.token_bytes))
        self._phone.establish(names.MOBILE)
        known = {by_key(self._phone.key.public): names.MOBILE}
        self._board = Switchboard(lambda: known, show=show)
        self._tell = report.tell
        self._show = show
        self.local = LocalPort(tell=report.tell)

    def means(self, others: Means, serial: str) -> Means:
        """What the unit has for a session with the module `serial`, that can be conveyed to besides."""
        return replace(others, mobiles=self._board.place(serial))

    async def bring(self, card: Card, nursery: trio.Nursery) -> None:
        """Stand at the module with the mobile, which calls the unit over a channel of ours; `nursery` plays both."""
        calls = Calls(self._board, card.record.name, card.authentication, card.keys, tell=self._tell)

        async def dial(_: AtMobile) -> trio.abc.Stream:
            here, there = memory_pair()
            nursery.start_soon(_attended, calls.attend, Link("memory", "far", attests_wired=False, stream=there))
            return here

        here, there = memory_pair()
        nursery.start_soon(_attended, self.local.attend, Link("memory", "near", attests_wired=True, stream=there))
        unit, phone = key_digest(card.authentication.public), self._phone
        far = ByChannel(dial, phone.name, phone.key, phone.keys, unit, show=self._show)
        await convey(here, names.SERIAL, far, show=self._show)


async def _attended(attend: Callable[[Link], Awaitable[None]], link: Link) -> None:
    async with link:
        await attend(link)
