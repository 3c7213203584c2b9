"""Two sessions joined without I/O: frames are carried one by one, in order, unless a test does something to them.

The sessions are those that the shell makes: its coroutines run up to the point where they would hand the session to
the driver, wait there while the line is worked by hand, and then go on to their end. No trio, no clock, no scheduler:
what happens is what the test says, in the order in which it says it.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import pytest
from world import SERIAL, Beginning, Seeded, World

from insitu.protocol.channel.trust import ModuleAtWork
from insitu.protocol.engine import Close, InsituError, Send, StartTimer, StopTimer
from insitu.protocol.keys.certificates import key_digest
from insitu.protocol.messages import CardRole, KeyPolicy, ModuleCondition, TrustOption
from insitu.protocol.parties.unit import ModulePersonalized
from insitu.protocol.ports import Ports, perform
from insitu.protocol.session import Session, Transmit
from insitu.shell import central as central_shell
from insitu.shell import enrolling as enrolling_shell
from insitu.shell import far_link as mobile_shell
from insitu.shell import module as module_shell
from insitu.shell import syncing as syncing_shell
from insitu.shell import unit as unit_shell
from insitu.shell import unit_service as service_shell
from insitu.shell import work as work_shell
from insitu.shell.card import Card
from insitu.shell.central import Central
from insitu.shell.module import Module
from insitu.shell.unit import Unit

SHELLS = (
    *(module_shell, unit_shell, service_shell, central_shell, work_shell),
    *(enrolling_shell, syncing_shell, mobile_shell),
)
"""The modules that hand a session to the driver."""


class PowerCut(BaseException):
    """Everything stops here; what is in memory only is lost."""


@dataclass
class Running:
    """What the shell handed over: a session that is not started, its surroundings, its clock."""

    session: Session[Any, Any]
    ports: Ports
    now: Callable[[], int]
    orders: Any = None


@types.coroutine
def _until_resumed(running: Running) -> Generator[Running, None, None]:
    yield running


async def _handed_over(
    session: Session[Any, Any], _stream: object, ports: Ports, *, now: Any, orders: Any = None, **_: Any
) -> Any:
    await _until_resumed(Running(session, ports, now, orders))
    if session.error is not None:
        raise session.error
    return session


class NoStream:
    """Stands where the shell closes its stream; the line here has none."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


class Side:
    """One end of a line.

    Attributes:
        name: of the party.
        sent: the frames that it sent, in order.
        timers: that are running, by name: seconds.
        performed: the effects that went to ports, in order.
        result: what the shell's call returned.
        error: the error that the shell's call raised.

    """

    def __init__(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        self.name = name
        self._work = work
        with pytest.MonkeyPatch.context() as patch:
            for shell in SHELLS:
                patch.setattr(shell, "run", _handed_over)
            running: Running = work.send(None)
        self.session = running.session
        self.ports = running.ports
        self.now = running.now
        self._orders = running.orders
        self.line: Line
        self.sent: list[bytes] = []
        self.timers: dict[str, float] = {}
        self.performed: list[object] = []
        self.before: Callable[[object], None] = lambda effect: None
        """Runs before each effect that goes to a port; may raise an InsituError for it, or PowerCut."""
        self.result: Any = None
        self.error: InsituError | None = None

    def __repr__(self) -> str:
        return f"<{self.name} {self.session.state.name}>"

    @property
    def other(self) -> Side:
        """The other end."""
        return next(side for side in self.line.sides if side is not self)

    def take(self, outcome: Iterable[object]) -> None:
        """Perform what the session wants, in order, with all that follows from it."""
        queue = deque(outcome)
        while queue:
            effect = queue.popleft()
            match effect:
                case Transmit(frames):
                    for frame in frames:
                        self.sent.append(frame)
                        self.line.carry(self, frame)
                case StartTimer(timer, seconds):
                    self.timers[timer] = seconds
                case StopTimer(timer):
                    self.timers.pop(timer, None)
                case Close() | Send():
                    pass
                case _:
                    try:
                        self.before(effect)
                        answer = perform(effect, self.ports)  # type: ignore[arg-type]
                    except InsituError as error:
                        queue = deque(self.session.undone(error))
                        continue
                    self.performed.append(effect)
                    if answer is not None:
                        queue.extend(self.session.answer(answer, self.now()))

    def obey(self) -> bool:
        """Take what came over a second link, if anything did."""
        if self._orders is None:
            return False
        order = self._orders.take()
        if order is None:
            return False
        try:
            self.take(self.session.submit(order.event, self.now()))
            order.settle(self.session.error)
        except InsituError as error:
            order.settle(error)
        return True

    def receive(self, frame: bytes) -> None:
        """A frame arrives."""
        self.take(self.session.receive(frame, self.now()))

    def order(self, event: object) -> None:
        """This side's person or program wants something; then the line flows until it is quiet."""
        self.take(self.session.submit(event, self.now()))
        self.line.flow()

    def expire(self, timer: str | None = None) -> None:
        """The timer that runs out first, or this one, does; then the line flows."""
        timer = timer or min(self.timers, key=lambda name: self.timers[name])
        del self.timers[timer]
        self.take(self.session.expire(timer, self.now()))
        self.line.flow()

    def finish(self) -> None:
        """Let the shell's call go on to its end."""
        try:
            self._work.send(None)
        except StopIteration as end:
            self.result = end.value
        except InsituError as error:
            self.error = error

    def abandon(self) -> None:
        """Power is gone: the shell's call never goes on."""
        self._work.close()


Hook = Callable[["Line", Side, int, bytes], Iterable[bytes] | None]
"""Sees each frame before it arrives: the line, who sent it, its number over both directions from 0. What it returns
arrives instead; None is the frame itself."""


class Line:
    """A line between two sides.

    Attributes:
        sides: the module first.
        crossed: every frame that was sent, with its sender, in order.
        cut_after: the line is cut when this many frames have arrived; None: never.

    """

    def __init__(self, *sides: Side, hook: Hook | None = None, cut_after: int | None = None) -> None:
        self.sides = sides
        self.crossed: list[tuple[Side, bytes]] = []
        self.cut_after = cut_after
        self.arrived = 0
        self._hook = hook
        self._queue: deque[tuple[Side, bytes]] = deque()
        for side in sides:
            side.line = self

    @property
    def module(self) -> Side:
        """The side that begins the handshake."""
        return self.sides[0]

    @property
    def peer(self) -> Side:
        """Unit or central system."""
        return self.sides[1]

    def carry(self, sender: Side, frame: bytes) -> None:
        """Put a frame on the line."""
        number = len(self.crossed)
        self.crossed.append((sender, frame))
        instead = None if self._hook is None else self._hook(self, sender, number, frame)
        for each in [frame] if instead is None else instead:
            self._queue.append((sender.other, each))

    def inject(self, receiver: Side, frame: bytes) -> None:
        """A frame of the attacker's."""
        self._queue.append((receiver, frame))

    def start(self) -> Line:
        """Both sides begin; the line flows until it is quiet."""
        for side in reversed(self.sides):
            side.take(side.session.start(side.now()))
        self.flow()
        return self

    def flow(self) -> None:
        """Carry frames until none is left; a side that is closed takes the line with it."""
        while self._queue or any(side.obey() for side in self.sides):
            if not self._queue:
                continue
            if self.cut_after is not None and self.arrived >= self.cut_after:
                self.cut()
                return
            receiver, frame = self._queue.popleft()
            self.arrived += 1
            receiver.receive(frame)
        if any(side.session.closed for side in self.sides):
            self.cut("the other side ended the link")

    def cut(self, reason: str = "line cut") -> None:
        """What is on the line is lost, and both sides notice."""
        self._queue.clear()
        for side in self.sides:
            side.take(side.session.lost(reason))
        self._queue.clear()

    def finish(self) -> Line:
        """Cut the line if it still stands, and let both calls of the shell end."""
        if not all(side.session.closed for side in self.sides):
            self.cut()
        for side in self.sides:
            side.finish()
        return self


# The usual meetings ------------------------------------------------------------------------------------------


def meeting(
    world: World,
    option: TrustOption = TrustOption.CERTIFICATES,
    *,
    module: Module | None = None,
    unit: Unit | None = None,
    unit_option: TrustOption | None = None,
    serial: str = SERIAL,
    policy: KeyPolicy = KeyPolicy.NEW,
    hook: Hook | None = None,
    cut_after: int | None = None,
) -> Line:
    """A module meets a unit, not begun yet."""
    module = module or world.module
    unit = unit or world.new_unit()
    theirs = option if unit_option is None else unit_option
    for each in {option, theirs}:
        world.equip(each, module)
    return Line(
        Side("module", module.meet_unit(NoStream(), option, wired=True)),  # type: ignore[arg-type]
        Side("unit", unit.personalize(NoStream(), serial, theirs, wired=True, policy=policy)),  # type: ignore[arg-type]
        hook=hook,
        cut_after=cut_after,
    )


def contact(
    world: World,
    *,
    module: Module | None = None,
    central: Central | None = None,
    hook: Hook | None = None,
    cut_after: int | None = None,
) -> Line:
    """A module contacts a central system, not begun yet."""
    return Line(
        Side("module", (module or world.module).work(NoStream())),  # type: ignore[arg-type]
        Side("central", (central or world.central).attend(NoStream())),  # type: ignore[arg-type]
        hook=hook,
        cut_after=cut_after,
    )


def enrollment(
    world: World,
    central: Central,
    *,
    card: Card | None = None,
    meant_card: bytes | None = None,
    meant_central: bytes | None = None,
    root: bytes | None = None,
    hook: Hook | None = None,
    cut_after: int | None = None,
) -> Line:
    """A card enrols at a central system, not begun yet; each is told the other's fingerprint or another one."""
    card = card or world.card
    theirs = key_digest(central.key.public) if meant_central is None else meant_central
    ours = card.customer.fingerprint if meant_card is None else meant_card
    about: dict[str, Any] = {"entropy": Seeded("enrolling card"), "now": world.clock, "show": world.shown.append}
    stream: Any = NoStream()
    host: dict[str, Any] = {"actor": "operator", "show": world.shown.append}
    return Line(
        Side("card", enrolling_shell.enrol(card, stream, theirs, **about)),
        Side(
            "central",
            enrolling_shell.admit(central, stream, root or world.root, ours, **host),
        ),
        hook=hook,
        cut_after=cut_after,
    )


def syncing(
    world: World,
    *,
    central: Central | None = None,
    card: Card | None = None,
    meant_central: bytes | None = None,
    hook: Hook | None = None,
    cut_after: int | None = None,
) -> Line:
    """A card brings its log to a central system, not begun yet; it is told the other's fingerprint or another one."""
    central, card = central or world.central, card or world.card
    theirs = key_digest(central.key.public) if meant_central is None else meant_central
    about: dict[str, Any] = {"entropy": Seeded("syncing card"), "now": world.clock, "show": world.shown.append}
    stream: Any = NoStream()
    return Line(
        Side("card", syncing_shell.sync(card, stream, theirs, **about)),
        Side("central", syncing_shell.take_in(central, stream, show=world.shown.append)),
        hook=hook,
        cut_after=cut_after,
    )


def personalized_by_a_thief(world: World) -> None:
    """The module gets a certificate by a copy of the card, whose owner's log knows nothing of it."""
    vault = world.vault("card")
    then = vault.record
    personalize(world)
    assert then is not None
    vault.commit(then, vault.labels())
    world.card = world.blank_card()


def sent_to_reset(world: World, **about: Any) -> Line:
    """A module that the operator wants reset contacts the central system, not begun yet."""
    module = about.get("module") or world.module
    serial = module.record.serial
    if world.central.registry.module(serial) is None:
        contact(world, module=module).start().finish()
    world.order_reset(serial)
    return contact(world, **about)


def personalize(world: World, option: TrustOption = TrustOption.CERTIFICATES, **about: Any) -> Line:
    """One whole personalization, approvals included; to its end, whatever that is."""
    module = about.get("module") or world.module
    world.approved(CardRole.MODULE, module.record.serial)
    return meeting(world, option, **{"serial": module.record.serial, **about}).start().finish()


@cache
def _personalized() -> Beginning:
    world = World()
    personalize(world)
    return Beginning.of(world)


def personalized_world() -> World:
    """A world whose module was personalized by certificates; it was once, and is taken up from there."""
    return World(begun=_personalized())


def sound(world: World, line: Line | None = None) -> None:
    """What holds after any attack: old state or new, S2, nothing certified outside the log, no stray key."""
    record = world.module.record
    operating = record.condition is ModuleCondition.OPERATING
    assert world.vault(SERIAL).labels() == (record.labels if operating else record.lasting)
    if operating:
        key = world.operating_key(world.module)
        ModuleAtWork.of(record, key)
        assert (record.fingerprint or b"").hex() in world.card.export_log().decode()
    if line is not None and isinstance(line.peer.result, ModulePersonalized):
        assert record.module == line.peer.result.certificate
