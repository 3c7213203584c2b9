"""Long-running programs: a module at its local link and at work, a central system that listens.

They go on after errors of a peer or a link, tell them, and end when cancelled. Requests come as lines of JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import trio

from ..protocol.driver import Order
from ..protocol.engine import InsituError, StateError, UsageError
from ..protocol.messages import Authorize, TrustOption
from ..protocol.parties.central import ModuleContacted, ResetOrdered
from ..protocol.parties.module_data import AuthorizationWanted, ModuleState, ResetByHand
from ..protocol.progress import SessionEnded
from ..transports.errors import TransportError
from ..transports.links import Address, Link, open_link, serve_links
from ..transports.tcp import PeerLimits
from .central import Central
from .module import Module

BACK_OFF: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts to reach the central system."""
MOST_WAITING: Final = 64
"""Authorizations that may wait for their turn."""
TAKEN_SECONDS: Final = 5.0
"""How long a session may take to accept an order."""
UNITS: Final = PeerLimits(peers=16, per_host=4)
"""Who may wait at a module's TCP port; one is served at a time."""
TURN_SECONDS: Final = 60.0
"""How long a unit waits for its turn."""
LARGEST_LINE: Final = 4096
"""Bytes of a request."""

Tell = Callable[[str], None]


async def input_lines(descriptor: int = 0) -> AsyncIterator[str]:
    """Lines of standard input, until it ends; an empty one for each that is too long or no UTF-8.

    Read without Python's own stream, which a thread that waits for input would hold locked as the program ends.
    """
    rest = b""
    with suppress(OSError):
        while piece := await trio.to_thread.run_sync(os.read, descriptor, LARGEST_LINE, abandon_on_cancel=True):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _text(line)
            rest = rest[: LARGEST_LINE + 1]
    if rest.strip():
        yield _text(rest)


def _text(line: bytes) -> str:
    try:
        return line.decode() if len(line) <= LARGEST_LINE else ""
    except UnicodeDecodeError:
        return ""


class ModuleProgram:
    """A module that waits for units at its link and works with the central system while it operates.

    Args:
        module: the module.
        link: where units turn up.
        option: how they are trusted.
        declared_wired: the operator answers for it that the link is a cable.
        central: the central system's address; None: never goes online.
        tell: gets a line for each error.
        once: end when the module operates.

    """

    def __init__(
        self,
        module: Module,
        link: Address,
        option: TrustOption,
        *,
        declared_wired: bool = False,
        central: Address | None = None,
        tell: Tell,
        once: bool = False,
    ) -> None:
        self._module = module
        self._link = link
        self._option = option
        self._declared_wired = declared_wired
        self._central = central
        self._tell = tell
        self._once = once
        self._one_unit = trio.Lock()
        self._changed = trio.Event()
        self._orders: trio.MemorySendChannel[Order] | None = None

    async def run(self, *, ready: Callable[[str], None], requests: AsyncIterator[str] | None = None) -> None:
        """Until cancelled, or until the module operates if `once`; `ready` gets the address once open."""
        async with trio.open_nursery() as nursery:
            serve = partial(serve_links, self._link, self._meet, declared_wired=self._declared_wired, limits=UNITS)
            places: list[Address] = await nursery.start(serve)
            ready(str(places[0]))
            if self._central is not None:
                nursery.start_soon(self._work, self._central)
            if requests is not None:
                nursery.start_soon(self._take, requests)
            while self._once and self._module.state is not ModuleState.OPERATING:
                await self._changed.wait()
            if self._once:
                async with self._one_unit:  # which has its confirmation by then
                    nursery.cancel_scope.cancel()

    async def _meet(self, link: Link) -> None:
        with trio.move_on_after(TURN_SECONDS) as patience:
            await self._one_unit.acquire()
        if patience.cancelled_caught:
            return
        try:
            await self._module.meet_unit(link.stream, self._option, wired=link.attests_wired, also_show=self._note_end)
        except (InsituError, TransportError) as error:
            self._tell(str(error))
        finally:
            self._one_unit.release()

    def _note_end(self, note: object) -> None:
        """What the session did is durable; work need not wait until the unit has taken leave of the link."""
        if isinstance(note, SessionEnded):
            self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _work(self, address: Address) -> None:
        attempt = 0
        while True:
            while self._module.state is not ModuleState.OPERATING:
                await self._changed.wait()
            sending, orders = trio.open_memory_channel[Order](0)
            began = trio.current_time()
            try:
                link = await open_link(address)
                self._orders = sending
                await self._module.work(link.stream, orders)
            except (InsituError, TransportError) as error:
                self._tell(str(error))
            finally:
                self._orders = None
                orders.close()
            if self._module.state is not ModuleState.OPERATING:
                self._note_change()
                attempt = 0
                continue
            if trio.current_time() - began > BACK_OFF[-1]:  # it did work; one that is refused at once waits longer
                attempt = 0
            await trio.sleep(BACK_OFF[min(attempt, len(BACK_OFF) - 1)])
            attempt += 1

    async def _take(self, requests: AsyncIterator[str]) -> None:
        sending, waiting = trio.open_memory_channel[AuthorizationWanted](MOST_WAITING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_in_turn, waiting)
            async for line in requests:
                try:
                    self._obey(read_request(line), sending)
                except InsituError as error:
                    self._tell(str(error))
            sending.close()

    def _obey(
        self, event: AuthorizationWanted | ResetByHand, queue: trio.MemorySendChannel[AuthorizationWanted]
    ) -> None:
        """Take a request. A reset waits for nobody, whatever a session is about."""
        if isinstance(event, ResetByHand):
            self._module.reset_by_hand()
            self._note_change()
            return
        try:
            queue.send_nowait(event)
        except trio.WouldBlock:
            raise StateError("no authorization now", who="module", expected=f"{MOST_WAITING} waiting at most") from None

    async def _ask_in_turn(self, queue: trio.MemoryReceiveChannel[AuthorizationWanted]) -> None:
        async for event in queue:
            order = Order(event)
            try:
                if self._orders is None:
                    raise StateError("no authorization now", who="module", expected="a session with the central system")
                await self._orders.send(order)
                await order.wait()
            except (InsituError, trio.BrokenResourceError) as error:
                self._tell(str(error) or "module: the session with the central system has ended")


def read_request(line: str) -> AuthorizationWanted | ResetByHand:
    """A request of the ATM controller: {"authorize": {...}} or {"reset": "by hand"}.

    Raises:
        UsageError: it is neither; nothing of it is repeated, since a card number may be in it.

    """
    asked = _json(line)
    match asked:
        case {"authorize": {**fields}} if len(asked) == 1:
            try:
                return AuthorizationWanted(Authorize(**cast("dict[str, Any]", fields)))
            except TypeError:
                names = "number, card, account, amount, currency"
                raise UsageError("request", who="controller", expected=names, got="other fields") from None
        case {"reset": "by hand"} if len(asked) == 1:
            return ResetByHand()
    raise UsageError(
        "request", who="controller", expected='{"authorize": {...}} or {"reset": "by hand"}', got="another line"
    )


def _json(line: str) -> Any:  # noqa: ANN401 - whatever it is
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class _Online:
    """A session with a module: where its orders go, and what ends it."""

    orders: trio.MemorySendChannel[Order]
    scope: trio.CancelScope


class CentralProgram:
    """A central system that listens for modules.

    Args:
        central: the central system.
        address: where to listen.
        tell: gets a line for each error.
        sessions: how many modules may be connected at once; a newer session of a module ends its older one.

    """

    def __init__(self, central: Central, address: Address, *, tell: Tell, sessions: int = 10_000) -> None:
        self._central = central
        self._address = address
        self._tell = tell
        self._limits = PeerLimits(peers=sessions)
        self._online: dict[str, _Online] = {}

    async def run(self, *, ready: Callable[[str], None], requests: AsyncIterator[str] | None = None) -> None:
        """Until cancelled; `ready` is told the address when the port is open."""
        async with trio.open_nursery() as nursery:
            serve = partial(serve_links, self._address, self._attend, limits=self._limits)
            places: list[Address] = await nursery.start(serve)
            ready(str(places[0]))
            if requests is not None:
                nursery.start_soon(self._take, requests)

    async def _attend(self, link: Link) -> None:
        sending, orders = trio.open_memory_channel[Order](0)
        here = _Online(sending, trio.CancelScope())
        serial = ""

        def note(shown: object) -> None:
            nonlocal serial
            if isinstance(shown, ModuleContacted):
                serial = shown.entry.serial
                if serial in self._online:
                    self._online[serial].scope.cancel()
                self._online[serial] = here

        try:
            with here.scope:
                await self._central.attend(link.stream, orders, also_show=note)
            if here.scope.cancelled_caught:
                self._tell(f"central: module {serial} began another session")
        except (InsituError, TransportError) as error:
            self._tell(str(error))
        finally:
            orders.close()
            if self._online.get(serial) is here:
                del self._online[serial]

    async def _take(self, requests: AsyncIterator[str]) -> None:
        async with trio.open_nursery() as nursery:
            async for line in requests:
                nursery.start_soon(self._obey, line)  # a session that hangs holds up no other command

    async def _obey(self, line: str) -> None:
        try:
            serial = read_command(line)
            online = self._online.get(serial)
            if online is None:
                self._central.order_reset(serial)
            elif not await _hand_over(online):  # whatever hinders the session, the reset is ordered
                online.scope.cancel()
                self._central.order_reset(serial)
        except InsituError as error:
            self._tell(str(error))


async def _hand_over(online: _Online) -> bool:
    """Whether the session with the module took the order for its reset, in time."""
    order = Order(ResetOrdered())
    with trio.move_on_after(TAKEN_SECONDS), suppress(InsituError, trio.BrokenResourceError):
        await online.orders.send(order)
        await order.wait()
        return True
    return False


def read_command(line: str) -> str:
    """The operator's command {"reset": SERIAL}: the serial number.

    Raises:
        UsageError: another line.

    """
    asked = _json(line)
    match asked:
        case {"reset": str(serial)} if len(asked) == 1:
            return serial
    raise UsageError("command", who="operator", expected='{"reset": SERIAL}', got="another line")
