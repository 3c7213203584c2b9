"""A unit in the network of a simulated world: the technician's card serves whoever calls, and people there approve.

The service is that of the field (shell/unit_service.py). It lives on the technician's machine and has the same card, so
that two units race for a module that is called by one and calls the other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from ..protocol.engine import InsituError, UsageError, given
from ..protocol.messages import CardRole, TrustOption
from ..protocol.parties.module_data import ModuleState
from ..protocol.progress import Secured
from ..shell.card import Card
from ..shell.card_desk import CardDesk
from ..shell.job_list import JobList, Modules
from ..shell.unit_service import UnitService
from ..shell.visit import Rules
from ..transports.links import Address, serve_links
from .card_holders import EVERY_SERIAL, CardHolders
from .history import ChannelSecured
from .messenger import Messenger
from .terminal import Terminal

R = TypeVar("R")

LISTENING: Final = (
    TrustOption.CERTIFICATES,
    TrustOption.CERTIFICATES_ONE_WAY,
    TrustOption.TICKET,
    TrustOption.SECRET,
    TrustOption.TAN,
    TrustOption.CONVEYED,
)
"""Options under which a unit listens."""
WAYS: Final = ("jobs", "list", "standing")
"""How people agree: to a job beforehand; to a draft once its key is known; to many jobs at once."""
STANDING: Final = 20
"""Certificates that one standing approval covers, at most."""
LOOK_SECONDS: Final = 10.0
"""Between two looks of the people at what waits for them."""
WATCH_SECONDS: Final = 4.0
"""Between two looks of the service at what they did: less often than in the field, since each costs as much as a
message."""


class Desk(CardDesk):
    """The unit's own card, which answers at once."""

    def __init__(self, card: Card, now: Callable[[], int]) -> None:
        self._card = card
        super().__init__(lambda: card.keys, tuple, card, now=now)

    def ask(self, question: Callable[[Card], R]) -> R:
        """See CardDesk."""
        card = self._card
        try:
            return question(card)
        finally:
            with suppress(InsituError):
                if card.record is not self.record:
                    self.record, self.standing = card.record, tuple(card.standing.values())

    @property
    def has_changed(self) -> bool:
        """The technician uses it, too."""
        try:
            return self._card.record is not self.record
        except InsituError:  # the look will say why
            return True


class Listed(JobList):
    """A job list that lies in no file: all modules of this bank."""

    def __init__(self, now: Callable[[], int]) -> None:
        super().__init__(Path("nowhere"), now=now)

    def modules(self) -> Modules:
        """Who is on it."""
        return {"*": 1 << 62}


class Office:
    """Where the unit in the network stands.

    Args:
        holders: whose card it has.

    Attributes:
        option: the trust option that it pins; None: there is no such unit.
        address: where it listens.

    """

    def __init__(self, holders: CardHolders) -> None:
        world, self._holders = holders.world, holders
        self._chance = holders.machine.chance.of("office")
        options = [each for each in LISTENING if each in world.plan.options]
        there_is_one = self._chance.happens(world.plan.networked)
        self.option = self._chance.one_of(options) if options and there_is_one else None
        self._way = self._chance.one_of(WAYS)
        self._draws = self._chance.of("draws").draw
        self._agreed: set[str] = set()
        self._messenger = Messenger(world, holders.machine, f"{holders.machine.name}/mobiles", self._show)
        self._waiting: dict[str, Terminal] = {}
        self.address = Address("memory", f"{holders.machine.name}/office")
        world.network.places[self.address.place] = holders.machine

    def hears(self, terminal: Terminal) -> bool:
        """Whether this module calls here, instead of being visited, or besides (`is_racing`)."""
        return terminal.may_call and terminal.option is self.option

    def expect(self, terminal: Terminal) -> None:
        """A module is to be personalized, and calls."""
        self._waiting[terminal.serial] = terminal

    async def run(self) -> None:
        """The service's program beside the technician's, from the start; and the people."""
        holders, option = self._holders, self.option
        if option is None:
            return
        machine, card = holders.machine, holders.card
        about: dict[str, Any] = {"entropy": self._draws, "now": machine.now, "show": self._show}
        rules = Rules(holders.central, Listed(machine.now) if self._way == "list" else None, seconds=300)
        desk = Desk(card, machine.now)
        book = holders.book if option in (TrustOption.SECRET, TrustOption.TAN) else None
        messenger = self._messenger if option is TrustOption.CONVEYED else None
        board = messenger and messenger.board
        about = {"board": board, "book": book, "tell": machine.tell, "blocking": False, **about}
        service = UnitService(desk, card, option, rules, watch_seconds=WATCH_SECONDS, **about)
        try:
            service.check()
        except UsageError as error:  # no tickets were given out by this card
            machine.tell(str(error))
            self.option = None
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(service.run, self.address, ready=lambda _: None))
            if messenger is not None:
                nursery.start_soon(partial(serve_links, messenger.lines, given(service.calls).attend))
                nursery.start_soon(self._walk, messenger, card)
            while True:
                await trio.sleep(self._chance.between(0.5, 1.5) * LOOK_SECONDS)
                self._serve_people()
                _ = card.record  # where nobody knows what the store holds, the program ends by that

    async def _walk(self, messenger: Messenger, card: Card) -> None:
        """At each module that waits somebody stands with the mobile."""
        standing: dict[str, trio.CancelScope] = {}

        async def stand(terminal: Terminal, scope: trio.CancelScope) -> None:
            with scope:
                await messenger.stand_at(terminal, card)

        async with trio.open_nursery() as nursery:
            while True:
                for serial in standing.keys() - self._waiting.keys():
                    standing.pop(serial).cancel()
                for serial, terminal in self._waiting.items():
                    if serial not in standing:
                        standing[serial] = trio.CancelScope()
                        nursery.start_soon(stand, terminal, standing[serial])
                await trio.sleep(1.0)

    def _serve_people(self) -> None:
        """People see what waits for them."""
        for serial, terminal in tuple(self._waiting.items()):
            if terminal.serial != serial or terminal.module is None or terminal.module.state is ModuleState.OPERATING:
                del self._waiting[serial]
                continue
            try:
                self._prepare(terminal)
            except InsituError as error:
                self._holders.machine.tell(str(error))
        self._holders.look_at_log()

    def _prepare(self, terminal: Terminal) -> None:
        holders = self._holders
        holders.book.unlock(terminal.serial)
        if self.option is TrustOption.SECRET and terminal.serial not in self._agreed:
            holders.book.agree(terminal.serial, terminal.secret)
            self._agreed.add(terminal.serial)
        if self.option is TrustOption.TAN:
            holders.issue_tan(terminal, anew=self._chance.happens(0.1))
        if self._way == "jobs":
            holders.approve(CardRole.MODULE, terminal.serial)
            return
        if self._way == "standing":
            others = self._chance.one_of((terminal.serial, EVERY_SERIAL))
            holders.approve_standing(terminal.serial, others, self._chance.whole(1, STANDING))
            return
        for job in holders.card.record.jobs:
            if job.subject == terminal.serial and job.public_key is not None:
                holders.have_approved(job)

    def _show(self, note: object) -> None:
        holders = self._holders
        holders.see(note)
        if isinstance(note, Secured) and self.option is not None:
            holders.world.see(ChannelSecured(self.option, note))
