"""A module as a long-running program: at its local link for units, at work with the central system.

It goes on after errors of a peer or a link, tells them, and ends when cancelled. Requests come as lines of JSON.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import trio

from ..protocol.engine import InsituError, StateError, UsageError
from ..protocol.messages import Authorize, TrustOption
from ..protocol.parties.module_data import ModuleState
from ..protocol.progress import Secured, SessionEnded
from ..transports.errors import TransportError
from ..transports.links import Address, Link, open_link, serve_links
from ..transports.tcp import PeerLimits
from .module import Module
from .work import Work

BACK_OFF: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts to reach the central system."""
MOST_WAITING: Final = 64
"""Requests that may wait for what they lead to."""
UNITS: Final = PeerLimits(peers=16, per_host=4)
"""Who may wait at a module's TCP port; one is served at a time."""
TURN_SECONDS: Final = 60.0
"""How long a unit waits for its turn."""
HASTE_SECONDS: Final = 2.0
"""How long somebody has for the handshake while others wait for their turn; alone, as long as a handshake may take."""
LARGEST_LINE: Final = 4096
"""Bytes of a request."""

CLOCK_SECONDS: Final = 60.0
"""How often it is looked whether a symmetric key has expired."""

Tell = Callable[[str], None]
Request = Callable[[Work], Awaitable[object]]
"""What the ATM controller wants, ready to be done."""
Jitter = Callable[[], float]


def any_pace() -> float:
    """A factor for a pause, from 0.5 to 1.5."""
    return 0.5 + secrets.randbelow(1000) / 1000


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
        link: where units turn up; None: nowhere, the module is personalized elsewhere.
        option: how they are trusted.
        declared_wired: the operator answers for it that the link is a cable.
        unit: a unit in the network, called as long as the module is to be personalized.
        central: the central system's address; None: never goes online.
        tell: gets a line for each error.
        once: end when the module operates.
        jitter: a factor for each pause, so that modules do not come all at once.

    """

    def __init__(
        self,
        module: Module,
        link: Address | None,
        option: TrustOption,
        *,
        declared_wired: bool = False,
        unit: Address | None = None,
        central: Address | None = None,
        tell: Tell,
        once: bool = False,
        jitter: Jitter = any_pace,
    ) -> None:
        self._module = module
        self._link = link
        self._option = option
        self._declared_wired = declared_wired
        self._unit = unit
        self._central = central
        self._tell = tell
        self._once = once
        self._jitter = jitter
        self._waiting = 0
        self._one_unit = trio.Lock()
        self._changed = trio.Event()

    async def run(self, *, ready: Callable[[str], None], requests: AsyncIterator[str] | None = None) -> None:
        """Until cancelled, or until the module operates if `once`; `ready` gets the address once open."""
        async with trio.open_nursery() as nursery:
            ready(await self._open(nursery))
            if requests is not None:
                self._module.at_work.remind()
            if self._unit is not None:
                nursery.start_soon(self._seek, self._unit)
            if self._central is not None:
                nursery.start_soon(self._work, self._central)
            nursery.start_soon(self._watch_clock)
            if requests is not None:
                nursery.start_soon(self._take, requests)
            while self._once and self._module.state is not ModuleState.OPERATING:
                await self._changed.wait()
            if self._once:
                async with self._one_unit:  # which has its confirmation by then
                    nursery.cancel_scope.cancel()

    async def _open(self, nursery: trio.Nursery) -> str:
        """Wait for units; where."""
        if self._link is None:
            return ""
        serve = partial(serve_links, self._link, self._meet, declared_wired=self._declared_wired, limits=UNITS)
        places: list[Address] = await nursery.start(serve)
        return str(places[0])

    async def _meet(self, link: Link) -> None:
        with trio.move_on_after(TURN_SECONDS) as patience:
            await self._one_unit.acquire()
        if patience.cancelled_caught:
            return
        known = trio.Event()

        def note(shown: object) -> None:
            if isinstance(shown, Secured):
                known.set()
            self._note_end(shown)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._make_haste, known, nursery.cancel_scope)
                try:
                    wired, origin = link.attests_wired, link.origin
                    await self._module.meet_unit(link.stream, self._option, wired=wired, origin=origin, also_show=note)
                except (InsituError, TransportError) as error:
                    self._tell(str(error))
                nursery.cancel_scope.cancel()
        finally:
            self._one_unit.release()

    async def _make_haste(self, known: trio.Event, scope: trio.CancelScope) -> None:
        """Who has not proved himself in time leaves as soon as somebody else waits."""
        with trio.move_on_after(HASTE_SECONDS):
            await known.wait()
        while not known.is_set():
            if self._one_unit.statistics().tasks_waiting:
                self._tell("module: somebody who has not proved himself makes room for the next one")
                scope.cancel()
            await trio.sleep(HASTE_SECONDS / 10)

    def _note_end(self, note: object) -> None:
        """What the session did is durable; work need not wait until the unit has taken leave of the link."""
        if isinstance(note, SessionEnded):
            self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _seek(self, address: Address) -> None:
        """Call the unit in the network while the module is to be personalized; the pauses grow, with jitter."""
        attempt = 0
        while True:
            while self._operates:
                attempt = 0
                await self._changed.wait()
            try:
                async with await open_link(address) as link, self._one_unit:
                    origin, note = link.origin, self._note_end
                    await self._module.meet_unit(link.stream, self._option, origin=origin, also_show=note)
            except (InsituError, TransportError) as error:
                self._tell(str(error))
            if not self._operates:
                await trio.sleep(BACK_OFF[min(attempt, len(BACK_OFF) - 1)] * self._jitter())
                attempt += 1

    @property
    def _operates(self) -> bool:
        return self._module.state is ModuleState.OPERATING

    async def _work(self, address: Address) -> None:
        """Work with the central system, again and again; the pauses grow, and no two modules keep step (jitter)."""
        attempt = 0
        while True:
            while self._module.state is not ModuleState.OPERATING:
                await self._changed.wait()
            began = trio.current_time()
            try:
                link = await open_link(address)
                await self._module.work(link.stream, also_show=self._note_end)
            except (InsituError, TransportError) as error:
                self._tell(str(error))
            if self._module.state is not ModuleState.OPERATING:
                self._note_change()
                attempt = 0
                continue
            if trio.current_time() - began > BACK_OFF[-1]:  # it did work; one that is refused at once waits longer
                attempt = 0
            await trio.sleep(BACK_OFF[min(attempt, len(BACK_OFF) - 1)] * self._jitter())
            attempt += 1

    async def _watch_clock(self) -> None:
        while True:
            try:
                await self._module.at_work.look_at_clock()
            except InsituError as error:
                self._tell(str(error))
            await trio.sleep(CLOCK_SECONDS)

    async def _take(self, requests: AsyncIterator[str]) -> None:
        """What requests lead to is told by notes; authorizations wait for their answers side by side."""
        async with trio.open_nursery() as nursery:
            async for line in requests:
                try:
                    await self._obey(read_request(line), nursery)
                except InsituError as error:
                    self._tell(str(error))

    async def _obey(self, request: Request | None, nursery: trio.Nursery) -> None:
        """Take a request. A reset waits for nobody, whatever a session is about."""
        if request is None:
            try:
                await self._module.reset()
            finally:  # also where it is done and old content could not be overwritten
                self._note_change()
            return
        if self._waiting >= MOST_WAITING:
            raise StateError("no request now", who="module", expected=f"{MOST_WAITING} waiting at most")
        self._waiting += 1
        nursery.start_soon(self._serve, request)

    async def _serve(self, request: Request) -> None:
        try:
            await request(self._module.at_work)
        except InsituError as error:
            self._tell(str(error))
        finally:
            self._waiting -= 1


def read_request(line: str) -> Request | None:
    """A request of the ATM controller; None: {"reset": "by hand"}.

    The others: {"authorize": {"card", "account", "amount", "currency"}}, {"settle": {"number", "paid"}}, {"send": HEX}
    and {"take": NUMBER}.

    Raises:
        UsageError: it is none; nothing of it is repeated, since a card number may be in it.

    """
    asked = read_json(line)
    match asked:
        case {"reset": "by hand"} if len(asked) == 1:
            return None
        case {"authorize": {"card": str(card), "account": str(account), "amount": int(amount), "currency": str(unit)}}:
            Authorize(1, card, account, amount, unit)  # to say now what is wrong with it
            return lambda work: work.authorize(card, account, amount, unit)
        case {"settle": {"number": int(number), "paid": int(paid)}}:
            return lambda work: work.settle(number, paid)
        case {"send": str(content)} if _is_hexadecimal(content):
            return lambda work: work.send(bytes.fromhex(content))
        case {"take": int(number)}:
            return lambda work: work.take(number)
    expected = "authorize, settle, send, take or reset, with their fields"
    raise UsageError("request", who="controller", expected=expected, got="another line")


def _is_hexadecimal(text: str) -> bool:
    try:
        return bytes.fromhex(text) is not None
    except ValueError:
        return False


def read_json(line: str) -> Any:  # noqa: ANN401 - whatever it is
    """The JSON of a line; None for what is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
