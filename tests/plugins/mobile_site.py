"""Where trust option conveyed happens, in one trio run: a module with its local port, a unit, mobiles that call it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import trio
from side_by_side import Outcome
from world import SERIAL, Seeded, World

from insitu.protocol.channel.trust.calling import by_key
from insitu.protocol.engine import InsituError, PublicKey
from insitu.protocol.keys.certificates import key_digest
from insitu.protocol.messages import CardRole, Conveyance, NumberMaker, TrustOption, Verdict
from insitu.protocol.parties.module_data import ModuleState
from insitu.shell.calls import Calls, Switchboard
from insitu.shell.far_link import ByChannel, FarLink
from insitu.shell.local_link import AtMobile, LocalPort
from insitu.shell.mobile import Mobile, convey
from insitu.shell.trusting import Means
from insitu.shell.unit import Unit
from insitu.transports.errors import TransportError
from insitu.transports.links import Link
from insitu.transports.memory import memory_pair

OPTION = TrustOption.CONVEYED


@dataclass
class Site:
    """All of it; use it within `running`.

    Attributes:
        known: the mobiles that the unit believes, which a test may change at any time.
        told: errors that the programs told.
        notes: what they showed.

    """

    world: World
    maker: NumberMaker = NumberMaker.UNIT
    known: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)
    reach_unit: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        world = self.world
        self.phone = self.new_phone("Alice")
        self.known[by_key(self.phone.key.public)] = "Alice's"
        self.board = Switchboard(lambda: self.known, maker=self.maker, show=self.notes.append)
        card = world.card
        about = {"tell": self.told.append, "entropy": Seeded("calls"), "now": world.clock}
        self.calls = Calls(self.board, card.record.name, card.authentication, card.keys, **about)  # type: ignore[arg-type]
        self.port = LocalPort(tell=self.told.append, reach_unit=self.reach_unit)
        world.module._mobile = self.port.open
        world.approved(CardRole.MODULE, SERIAL)
        self._drawn = 0

    def new_phone(self, name: str) -> Mobile:
        """A mobile with a key."""
        phone = Mobile(self.world.vault(f"phone {name}"))
        phone.establish(name)
        return phone

    @property
    def unit_key(self) -> PublicKey:
        """By which mobiles know the unit."""
        return self.world.card.authentication.public

    def plugged_in(self, nursery: trio.Nursery) -> trio.abc.Stream:
        """A mobile's end of a new local link."""
        here, there = memory_pair()
        nursery.start_soon(served, self.port.attend, Link("memory", "local", attests_wired=True, stream=there))
        return here

    def dial(self, nursery: trio.Nursery) -> Callable[[AtMobile], Any]:
        """Calls the unit over a network that proves nothing."""

        async def dial(_: object) -> trio.abc.Stream:
            here, there = memory_pair()
            nursery.start_soon(served, self.calls.attend, Link("tcp", "far", attests_wired=False, stream=there))
            return here

        return dial

    def far(self, nursery: trio.Nursery, phone: Mobile | None = None, *, unit: bytes | None = None) -> ByChannel:
        """The way to the unit over a channel of ours."""
        phone = phone or self.phone
        self._drawn += 1
        about: dict[str, Any] = {"entropy": Seeded(f"call {self._drawn}"), "now": self.world.clock}
        unit = unit or key_digest(self.unit_key)
        dial = self.dial(nursery)
        return ByChannel(dial, phone.name, phone.key, phone.keys, unit, show=self.notes.append, **about)

    async def carry(self, nursery: trio.Nursery, far: Any = None, serial: str = SERIAL) -> Outcome:
        """A person plugs the mobile in and waits; what became of it."""
        outcome = Outcome()
        stream = self.plugged_in(nursery)
        try:
            await convey(stream, serial, far or self.far(nursery), entropy=Seeded("number"), show=self.notes.append)
        except (InsituError, TransportError) as error:
            outcome.error = error  # type: ignore[assignment]
        outcome.at = trio.current_time()
        return outcome

    def unit(self, seed: str = "unit") -> Unit:
        """The unit, whose sessions mobiles can reach."""
        world = self.world
        return Unit(
            world.card,
            world.central_certificate,
            means=lambda serial: Means(mobiles=self.board.place(serial)),
            entropy=Seeded(seed),
            now=world.clock,
            show=self.notes.append,
        )

    async def meeting(self) -> tuple[Outcome, Outcome]:
        """Module and unit meet; what became of either."""
        here, there = memory_pair()
        module, unit = Outcome(), Outcome()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(module.of, lambda: self.world.module.meet_unit(here, OPTION))
            nursery.start_soon(unit.of, lambda: self.unit().personalize(there, SERIAL, OPTION))
        return module, unit


async def served(attend: Callable[[Link], Awaitable[None]], link: Link) -> None:
    """As links.serve_links does it."""
    async with link:
        await attend(link)


class Keeper:
    """A way to the unit on which somebody keeps what he sees, and may change it."""

    def __init__(self, far: FarLink, change: Callable[[Conveyance], Conveyance] = lambda said: said) -> None:
        self.far = far
        self.change = change
        self.kept: list[Conveyance] = []
        self.words: list[Verdict] = []

    async def ask(self, conveyance: Conveyance, near: AtMobile) -> Verdict:
        """See FarLink."""
        self.kept.append(conveyance)
        word = await self.far.ask(self.change(conveyance), near)
        self.words.append(word)
        return word


async def together(site: Site, *others: Callable[[trio.Nursery], Any]) -> tuple[Outcome, Outcome]:
    """Module and unit meet while others do something, each with a nursery that ends with them."""
    async with trio.open_nursery() as nursery:
        for other in others:
            nursery.start_soon(other, nursery)
        ended = await site.meeting()
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    return ended


def quiet(site: Site) -> None:
    """Nothing was signed, nothing is kept."""
    assert site.world.module.state is ModuleState.DELIVERED
    assert site.world.card.certified(SERIAL) is None
