"""A central system as a long-running program: it listens for modules and watches the registry for what concerns them.

Several such programs may share one registry: what is disabled or ordered through one takes effect in the sessions of
all, at the latest after WATCH_SECONDS and an answer of the registry. It goes on after errors of a peer, a link or the
registry, tells them, and ends when cancelled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from ..protocol.driver import Order, Orders
from ..protocol.engine import EnvironmentFault, InsituError, UsageError
from ..protocol.parties.central_data import AttentionCalled, ModuleContacted
from ..protocol.stores.registry import Attention
from ..transports.errors import TransportError
from ..transports.links import Address, Link, serve_links
from ..transports.tcp import PeerLimits
from .central import Central
from .programs import Tell, read_json

WATCH_SECONDS: Final = 1.0
"""How often the registry is asked whether something concerns the open sessions."""
TAKEN_SECONDS: Final = 3.0
"""How long a session may take to look again before it is ended."""


class _Online:
    """A session with a module: where its orders go, who certified it, and what ends it.

    Args:
        all: the sessions by serial number, which this one joins when its module has proved itself.

    """

    __slots__ = ("_all", "issuer", "orders", "scope", "serial")

    def __init__(self, all: dict[str, _Online]) -> None:  # noqa: A002 - all of them
        self._all = all
        self.orders = Orders()
        self.scope = trio.CancelScope()
        self.serial = ""
        self.issuer = b""

    def note(self, shown: object) -> None:
        """What the session shows; a newer session of a module ends its older one."""
        if isinstance(shown, ModuleContacted):
            self.serial, self.issuer = shown.entry.serial, shown.entry.issuer
            if self.serial in self._all:
                self._all[self.serial].scope.cancel()
            self._all[self.serial] = self

    def leave(self) -> None:
        """The session is over."""
        if self._all.get(self.serial) is self:
            del self._all[self.serial]


class CentralProgram:
    """A central system that listens for modules.

    Args:
        central: the central system.
        address: where to listen.
        tell: gets a line for each error.
        sessions: how many modules may be connected at once; a newer session of a module ends its older one.
        watch_seconds: how often the registry is asked whether something concerns the open sessions.

    """

    def __init__(
        self,
        central: Central,
        address: Address,
        *,
        tell: Tell,
        sessions: int = 10_000,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self._central = central
        self._address = address
        self._tell = tell
        self._limits = PeerLimits(peers=sessions)
        self._watch_seconds = watch_seconds
        self._online: dict[str, _Online] = {}
        self._nudged = trio.Event()
        self._counts = True
        self.registry_answers = True

    @property
    def online(self) -> frozenset[str]:
        """Serial numbers of the modules whose sessions are open here."""
        return frozenset(self._online)

    async def run(self, *, ready: Callable[[str], None], requests: AsyncIterator[str] | None = None) -> None:
        """Until cancelled; `ready` is told the address when the port is open."""
        async with trio.open_nursery() as nursery:
            serve = partial(serve_links, self._address, self._attend, limits=self._limits)
            places: list[Address] = await nursery.start(serve)
            ready(str(places[0]))
            nursery.start_soon(self._watch, nursery)
            if requests is not None:
                nursery.start_soon(self._take, requests)

    # Sessions

    async def _attend(self, link: Link) -> None:
        here = _Online(self._online)
        try:
            with here.scope:
                await self._central.attend(link.stream, here.orders, also_show=here.note)
            if here.scope.cancelled_caught:
                self._tell(f"central: the session with module {here.serial} was ended from this side")
        except (InsituError, TransportError) as error:
            self._tell(str(error))
        finally:
            here.leave()

    # What concerns open sessions

    async def _watch(self, nursery: trio.Nursery) -> None:
        while True:
            try:
                await self._look_at_ourselves()
                attention = await self._central.ask(self._central.registry.attention)
            except InsituError as error:
                if self.registry_answers:
                    self._tell(str(error))
                self.registry_answers = False
            else:
                if not self.registry_answers:
                    self._tell("central: the registry answers again")
                self.registry_answers = True
                for serial, online in tuple(self._online.items()):
                    if _concerns(attention, serial, online.issuer):
                        nursery.start_soon(_call_attention, online)
            with trio.move_on_after(self._watch_seconds):
                await self._nudged.wait()

    async def _look_at_ourselves(self) -> None:
        """Without a certificate that counts nobody works here: open sessions end, new ones are refused (S5)."""
        try:
            await self._central.ask(self._central.check_certificate)
        except EnvironmentFault:
            raise
        except InsituError as error:
            if self._counts:
                self._tell(str(error))
            self._counts = False
            for online in tuple(self._online.values()):
                online.scope.cancel()
        else:
            self._counts = True

    def nudge(self) -> None:
        """Something was just written into the registry: look at once."""
        self._nudged.set()
        self._nudged = trio.Event()

    # Commands

    async def _take(self, requests: AsyncIterator[str]) -> None:
        async with trio.open_nursery() as nursery:
            async for line in requests:
                nursery.start_soon(self._obey, line)  # a registry that hangs holds up no other command

    async def _obey(self, line: str) -> None:
        try:
            serial = read_command(line)
            order = partial(self._central.registry.order_reset, serial, actor="controller", at=self._central.now)
            await self._central.ask(order)
            self.nudge()
        except InsituError as error:
            self._tell(str(error))


def _concerns(attention: Attention, serial: str, issuer: bytes) -> bool:
    return serial in attention.waiting or serial in attention.disabled or issuer in attention.lost


async def _call_attention(online: _Online) -> None:
    """Have the session look again; one that hangs is ended, and the module comes again."""
    order = Order(AttentionCalled())
    with trio.move_on_after(TAKEN_SECONDS) as patience, suppress(InsituError):
        online.orders.put(order)
        await order.wait()
    if patience.cancelled_caught:
        online.scope.cancel()


def read_command(line: str) -> str:
    """The operator's command {"reset": SERIAL}: the serial number.

    Raises:
        UsageError: another line.

    """
    asked = read_json(line)
    match asked:
        case {"reset": str(serial)} if len(asked) == 1:
            return serial
    raise UsageError("command", who="operator", expected='{"reset": SERIAL}', got="another line")
