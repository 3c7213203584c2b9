"""A technician of a simulated world: one who visits modules with a unit and a card, one module after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from ..protocol.engine import InsituError, PublicKey
from ..protocol.messages import CardRole, TrustOption
from ..protocol.progress import Secured
from ..shell.trusting import Means
from ..shell.unit import Unit
from ..transports.errors import TransportError
from ..transports.links import Address, open_link, serve_links
from .card_holders import CardHolders
from .history import ChannelSecured
from .messenger import Messenger
from .office import Office
from .plan import Trouble
from .terminal import Terminal
from .world import World


class Technician(CardHolders):
    """A unit with its card, on one machine.

    Attributes:
        terminals: the cash machines of this customer, by the serial numbers of their modules.
        calls: those that wait for a visit.
        office: the unit in the network with the same card, if there is one.

    """

    def __init__(self, world: World, name: str, customer: str) -> None:
        super().__init__(world, name, customer)
        self.terminals: dict[str, Terminal] = {}
        self.calls: list[Terminal] = []
        self._called = trio.Event()
        self._messenger = Messenger(world, self.machine, f"{name}/calls", self._show)
        self.office = Office(self)
        self._visited: Terminal | None = None

    # The unit's program

    def call(self, terminal: Terminal) -> None:
        """A module wants a visit, or calls itself."""
        is_heard = self.office.hears(terminal)
        if is_heard:
            self.office.expect(terminal)
        if terminal not in self.calls and (terminal.is_racing or not is_heard):
            self.calls.append(terminal)
            self._called.set()
            self._called = trio.Event()

    async def run(self) -> None:
        """The unit's program, from the start: one visit after the other."""
        self.store.spared = False
        self.card = self._taken()
        self.look_at_log()
        about: dict[str, Any] = {"entropy": self._draws, "now": self.machine.now, "show": self._show}
        unit = Unit(self.card, self.central, compare=self._compare, means=self._means, **about)
        messenger = self._messenger
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_links, messenger.lines, messenger.calls(self.card).attend))
            nursery.start_soon(self.office.run)
            await self._travel(unit)

    async def _travel(self, unit: Unit) -> None:
        while True:
            while not self.calls:
                await self._called.wait()
            terminal = self.calls.pop(0)
            await trio.sleep(self._people.between(0.5, 3.0))
            try:
                await self._visit(unit, terminal)
            except (InsituError, TransportError) as error:
                self.machine.tell(str(error))
            finally:
                self._visited = None
                self.look_at_log()
            _ = self.card.record  # where nobody knows what the store holds, the program ends by that

    async def _visit(self, unit: Unit, terminal: Terminal) -> None:
        self._visited = terminal
        try:
            self.approve(CardRole.MODULE, terminal.serial)
        except InsituError:
            if not self.world.befalls(Trouble.IMPATIENCE, self._people, self.machine.name):
                raise
        self.book.unlock(terminal.serial)
        if terminal.option is TrustOption.TAN:
            self.issue_tan(terminal)
        place = terminal.serial
        if self.world.befalls(Trouble.IMPOSTOR, self._people, terminal.serial):
            place = terminal.impostor_place
        async with await open_link(Address("memory", place)) as link:
            meet = partial(unit.personalize, link.stream, terminal.serial, terminal.option, wired=link.attests_wired)
            if terminal.option is not TrustOption.CONVEYED:
                await meet()
                return
            with trio.CancelScope() as scope:
                await _both(meet, partial(self._messenger.stand_at, terminal, self.card), scope)

    def _compare(self, public: PublicKey) -> bool:
        """The person looks at the module's display."""
        return self._visited is not None and self._visited.displayed == public.data

    def _means(self, serial: str) -> Means:
        terminal = self.terminals[serial]
        mobiles = self._messenger.board.place(serial) if terminal.option is TrustOption.CONVEYED else None
        return Means(shipped_key=terminal.shipped_key, secret=terminal.secret, book=self.book, mobiles=mobiles)

    def _show(self, note: object) -> None:
        self.see(note)
        if isinstance(note, Secured) and self._visited is not None:
            self.world.see(ChannelSecured(self._visited.option, note))


async def _both(
    task: Callable[[], Awaitable[object]], beside: Callable[[], Awaitable[None]], scope: trio.CancelScope
) -> None:
    """Do the task, and the other one until it is done; an error of the task goes up as it is."""
    failed: list[Exception] = []

    async def first() -> None:
        try:
            await task()
        except (InsituError, TransportError) as error:
            failed.append(error)
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        nursery.start_soon(beside)
    if failed:
        raise failed[0]
