"""Links of a simulated world: memory links whose bytes pass somebody who may do to messages whatever he likes.

The parties dial and listen by the same calls as in the field (transports/links.py); what they get are the ends here.
Messages are the frames of transports/framing.py: the attacker of SECURITY.md sees every one, and keeps some of all
links for later. A link that nobody is in carries bytes in order; it may still be slow, stall, or break.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final

import trio

from ..transports.addresses import Address
from ..transports.errors import ConnectionRefused
from .chance import Chance
from .machine import HERE, Machine
from .plan import Trouble
from .serial_line import lay_serial_line
from .surroundings import Surroundings

LATENCY: Final = 0.02
"""Seconds that a message takes where nothing is wrong."""
HEARD: Final = 64
"""Messages that whoever is in the links keeps of all of them."""
_HEADER: Final = 2


class Network:
    """All links of a world.

    Attributes:
        places: the machine that listens at each place.
        names: the places that a name stands for, where it stands for several.
        serial: the places at the end of a serial line.
        private: the places that nobody else can get at.
        heard: messages of all links, for whoever is in them.
        secluded: names of the machines that are cut off from all others, until when.

    """

    def __init__(self, world: Surroundings) -> None:
        self.world = world
        self.chance = world.chance.of("network")
        self.places: dict[str, Machine] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self.serial: set[str] = set()
        self.private: set[str] = set()
        self.heard: deque[bytes] = deque(maxlen=HEARD)
        self.secluded: dict[str, float] = {}
        self._lines = 0
        self._ends: dict[str, list[End]] = {}

    def resolve(self, where: Address) -> Address:
        """Where a call to this address goes: one of the places that it stands for; see `links.lay_memory_lines`."""
        places = self.names.get(where.place)
        return where if places is None else Address(where.kind, self.chance.one_of(places))

    async def lay(self, where: Address) -> tuple[trio.abc.Stream, trio.abc.Stream]:
        """A line from here to `where`: the end here, the end there; see `links.lay_memory_lines`."""
        caller, called = HERE.get(), self.places[where.place]
        self._lines += 1
        if self.is_secluded(caller) or self.is_secluded(called):
            await trio.sleep(1.0)
            raise ConnectionRefused("nobody answers", who=str(where))
        if where.place in self.serial:
            return await lay_serial_line(self.world, caller, called, self.chance.of(f"serial {self._lines}"))
        line = _Line(self, self.chance.of(f"line {self._lines}"), private=where.place in self.private)
        here, there = End(line, caller), End(line, called)
        here.other, there.other = there, here
        line.ends = here, there
        for machine, end in ((caller, here), (called, there)):
            ends = [each for each in self._ends.get(machine.name, ()) if not each.is_over]
            self._ends[machine.name] = [*ends, end]
        return here, there

    def seclude(self, machine: Machine, seconds: float, *, cut: bool) -> None:
        """For so long nobody reaches this machine; its links break at once, or carry nothing more without any sign."""
        self.secluded[machine.name] = trio.current_time() + seconds
        for end in self._ends.pop(machine.name, ()):
            end.seclude(cut=cut)

    def is_secluded(self, machine: Machine) -> bool:
        """Whether no link to or from it works now."""
        return not self.world.calm and self.secluded.get(machine.name, 0.0) > trio.current_time()


class _Line:
    """What both ends have in common."""

    def __init__(self, network: Network, chance: Chance, *, private: bool) -> None:
        world, plan = network.world, network.world.plan
        self.network = network
        self.world = world
        self.chance = chance
        self.hostile = chance.happens(plan.hostile) and not private
        self.ends: tuple[End, ...] = ()
        self.broken = ""
        self.stalled = False
        self._left = chance.whole(1, 24)  # messages until what befalls this line as a whole
        self._fate = next((each for each in (Trouble.CUT, Trouble.STALL) if chance.happens(plan.of(each))), None)

    def passes(self) -> bool:
        """One more message is sent; whether the line still carries it."""
        self._left -= 1
        if self._left == 0 and self._fate is not None and not self.world.calm:
            self.world.count(self._fate, self.ends[0].name)
            if self._fate is Trouble.CUT:
                self.break_off("the line was cut")
            else:
                self.stalled = True
        return not (self.broken or self.stalled)

    def break_off(self, reason: str) -> None:
        """Both ends notice."""
        self.broken = self.broken or reason
        for end in self.ends:
            end.wake()


class End(trio.abc.Stream):
    """One end of a line.

    Attributes:
        other: the other end.

    """

    other: End

    def __init__(self, line: _Line, machine: Machine) -> None:
        self._line = line
        self._machine = machine
        self._arrived: deque[bytes] = deque()
        self._on_its_way = 0
        self._earliest = 0.0
        self._held: bytes | None = None
        self._changed = trio.Event()
        self._closed = False
        self.ended = False
        machine.at_power_cut(self._lose_power)

    @property
    def name(self) -> str:
        """For the trace."""
        return self._machine.name

    def wake(self) -> None:
        """Whoever reads here looks again."""
        self._changed.set()
        self._changed = trio.Event()

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes or goes here."""
        return self._closed or bool(self._line.broken)

    def seclude(self, *, cut: bool) -> None:
        """The machine is cut off from the network."""
        if cut:
            self._line.break_off("network unreachable")
        else:
            self._line.stalled = True

    def _lose_power(self) -> None:
        """Nobody says goodbye; the other side notices at once, or never."""
        self._closed = True
        if not self._line.chance.happens(0.3):
            self._line.break_off("connection reset")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send frames, whole ones. Nobody else gets a turn by it: a message arrives later anyway."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._machine.check_power()
        if self._closed:
            raise trio.ClosedResourceError("this end was closed")
        for frame in _frames(bytes(data)):
            self._line.world.see_message(self.name, self.other.name, frame)
            if self._line.passes():
                self._carry(frame)
            elif self._line.broken:
                raise trio.BrokenResourceError(self._line.broken)
            else:
                await trio.sleep_forever()

    def _carry(self, frame: bytes) -> None:
        line = self._line
        for to, each in self._tampered(frame) if line.hostile and not line.world.calm else [(self.other, frame)]:
            to.arrive(each, LATENCY)

    def arrive(self, frame: bytes, delay: float) -> None:
        """A frame is on its way to this end; none overtakes another by being faster."""
        line = self._line
        if line.world.befalls(Trouble.DELAY, line.chance, self.name):
            delay += line.chance.pause(3.0)
        self._earliest = max(trio.current_time() + delay, self._earliest)
        self._on_its_way += 1
        line.world.clock.at(self._earliest, partial(self._take_in, _framed(frame)))

    def _take_in(self, framed: bytes) -> None:
        self._on_its_way -= 1
        self._arrived.append(framed)
        self.wake()

    def _tampered(self, frame: bytes) -> list[tuple[End, bytes]]:
        """What somebody in the line lets arrive instead, and where."""
        world, chance, heard = self._line.world, self._line.chance, self._line.network.heard
        out: list[tuple[End, bytes]] = [(self.other, frame)]
        if world.befalls(Trouble.REFLECTION, chance, self.name):
            out.append((self, frame))
        if world.befalls(Trouble.DAMAGE, chance, self.name):
            out[0] = self.other, _flipped(frame, chance.whole(0, 8 * len(frame) - 1))
        if world.befalls(Trouble.REPLAY, chance, self.name):
            out.append((self.other, chance.one_of(heard) if heard and chance.happens(0.5) else frame))
        if world.befalls(Trouble.FORGERY, chance, self.name):
            out.insert(0, (self.other, chance.draw(chance.whole(1, 200))))
        if world.befalls(Trouble.LOSS, chance, self.name):
            out = [each for each in out if each[1] is not frame]
        if self._held is not None:
            out.append((self.other, self._held))
            self._held = None
        elif out and world.befalls(Trouble.REORDER, chance, self.name):
            self._held = out.pop()[1]
        heard.append(frame)
        return out

    async def wait_send_all_might_not_block(self) -> None:
        """At once."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next frame that has arrived."""
        waited = False
        while True:
            self._machine.check_power()
            if self._closed:
                raise trio.ClosedResourceError("this end was closed")
            if self._arrived:
                frame = self._arrived.popleft()
                if not waited:
                    await trio.lowlevel.checkpoint()
                return frame
            if self._line.broken and not self._on_its_way:  # what was sent before still comes
                raise trio.BrokenResourceError(self._line.broken)
            if self.other.ended and not self._on_its_way:
                return b""
            await self._changed.wait()
            waited = True

    async def aclose(self) -> None:
        """The other end reads what was sent, and then the end; where the line stalls, nothing."""
        if not self._closed:
            self._closed = True
            self.ended = not self._line.stalled
            self.other.wake()
        await trio.lowlevel.checkpoint_if_cancelled()


def _frames(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + _HEADER], "big")
        found.append(data[at + _HEADER : at + _HEADER + size])
        at += _HEADER + size
    return found


def _framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(_HEADER, "big") + frame


def _flipped(frame: bytes, bit: int) -> bytes:
    changed = bytearray(frame)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)
