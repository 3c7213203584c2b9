"""A unit in the network of a simulated world: the technician's card serves whoever calls, and people there approve.

The service is that of the field (shell/unit_service.py). It lives on the technician's machine and has the same card, so
that two units race for a module that is called by one and calls the other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from ..protocol.engine import InsituError, UsageError
from ..protocol.messages import CardRole, TrustOption
from ..protocol.parties.module_data import ModuleState
from ..protocol.progress import Secured
from ..shell.card import Card
from ..shell.card_desk import CardDesk
from ..shell.job_list import JobList, Modules
from ..shell.unit_service import UnitService
from ..shell.visit import Rules
from ..transports.links import Address
from .history import ChannelSecured

if TYPE_CHECKING:
    from .site import Site
    from .technician import Technician

R = TypeVar("R")

LISTENING: Final = (
    TrustOption.CERTIFICATES,
    TrustOption.CERTIFICATES_ONE_WAY,
    TrustOption.TICKET,
    TrustOption.SECRET,
    TrustOption.TAN,
)
"""Options under which a unit listens here (conveyed needs a person at the module: the technician does that one)."""
LOOK_SECONDS: Final = 10.0
"""Between two looks of the people at what waits for them."""


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
                self.record, self.standing = card.record, tuple(card.standing.values())

    @property
    def has_changed(self) -> bool:
        """The technician uses it, too."""
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
        technician: whose card it has.

    Attributes:
        option: the trust option that it pins; None: there is no such unit.
        address: where it listens.

    """

    def __init__(self, technician: Technician) -> None:
        world, self._technician = technician.world, technician
        self._chance = technician.machine.chance.of("office")
        options = [each for each in LISTENING if each in world.plan.options]
        there_is_one = self._chance.happens(world.plan.networked)
        self.option = self._chance.one_of(options) if options and there_is_one else None
        self._by_list = self._chance.happens(0.5)
        self._draws = self._chance.of("draws").draw
        self._agreed: set[str] = set()
        self._waiting: dict[str, Site] = {}
        self.address = Address("memory", f"{technician.machine.name}/office")
        world.network.places[self.address.place] = technician.machine

    def expect(self, site: Site) -> None:
        """A module is to be personalized, and calls."""
        self._waiting[site.serial] = site

    async def run(self) -> None:
        """The service's program beside the technician's, from the start; and the people."""
        technician, option = self._technician, self.option
        if option is None:
            return
        machine, card = technician.machine, technician.card
        about: dict[str, Any] = {"entropy": self._draws, "now": machine.now, "show": self._show}
        rules = Rules(technician.central, Listed(machine.now) if self._by_list else None, seconds=300)
        desk = Desk(card, machine.now)
        book = technician.book if option in (TrustOption.SECRET, TrustOption.TAN) else None
        service = UnitService(desk, card, option, rules, book=book, tell=machine.tell, blocking=False, **about)
        try:
            service.check()
        except UsageError as error:  # no tickets were given out by this card
            machine.tell(str(error))
            self.option = None
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(service.run, self.address, ready=lambda _: None))
            while True:
                await trio.sleep(self._chance.between(0.5, 1.5) * LOOK_SECONDS)
                self._serve_people()
                _ = card.record  # where nobody knows what the store holds, the program ends by that

    def _serve_people(self) -> None:
        """People see what waits for them."""
        for serial, site in tuple(self._waiting.items()):
            if site.serial != serial or site.module is None or site.module.state is ModuleState.OPERATING:
                del self._waiting[serial]
                continue
            try:
                self._prepare(site)
            except InsituError as error:
                self._technician.machine.tell(str(error))
        self._technician.look_at_log()

    def _prepare(self, site: Site) -> None:
        technician = self._technician
        technician.book.unlock(site.serial)
        if self.option is TrustOption.SECRET and site.serial not in self._agreed:
            technician.book.agree(site.serial, site.secret)
            self._agreed.add(site.serial)
        if self.option is TrustOption.TAN:
            technician.issue_tan(site, anew=self._chance.happens(0.1))
        if not self._by_list:
            technician.approve(CardRole.MODULE, site.serial)
            return
        for job in technician.card.record.jobs:
            if job.subject == site.serial and job.public_key is not None:
                technician.have_approved(job)

    def _show(self, note: object) -> None:
        technician = self._technician
        technician.see(note)
        if isinstance(note, Secured) and self.option is not None:
            technician.world.see(ChannelSecured(self.option, note))
