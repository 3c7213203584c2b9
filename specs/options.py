"""Writes the README's table of trust options: what each needs and is good for, and what it costs (`make specs`).

The words are those of `insitu trust`. The costs are counted here: each option personalizes a module once, with the
parties of example.py (seeded entropy, standing clock, deterministic signatures), so that the numbers repeat. Then the
flights that crossed are played over two ends of the serial link at 9600 baud, in a time that jumps: it is the line's
alone, computing and people take none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from heapq import heappop, heappush
from pathlib import Path
from typing import Final, TypeAlias

import trio
from example import NOW, SERIAL, Seeded, Story, now
from reader import flights

from insitu.protocol.channel.trust.conveyed import NumberConveyed, WordCame
from insitu.protocol.channel.trust.options import DESCRIPTIONS
from insitu.protocol.keys.codes import DECIMAL, write_symbols
from insitu.protocol.keys.tans import TanForm
from insitu.protocol.keys.vault import MemoryVault
from insitu.protocol.messages import CardRole, Conveyance, TrustOption, Verdict
from insitu.protocol.progress import MessageReceived, MessageSent
from insitu.shell.book import Book
from insitu.shell.manufacturer import Manufacturer
from insitu.shell.module import Module
from insitu.shell.second_link import SecondLink
from insitu.shell.trusting import Means, Mobiles
from insitu.transports.serial.arq import Timing
from insitu.transports.serial.endpoint import Endpoint

README: Final = Path(__file__).parents[1] / "README.md"
MARK: Final = "<!-- trust options -->\n"
BAUD: Final = 9600
KEY: Final = bytes(range(16))
SECRET: Final = b"correct horse"
CUSTOMER: Final = "Example Bank"
LENGTH_BYTES: Final = 2
"""Before each frame (transports/framing.py)."""

Flight: TypeAlias = tuple[str, int]
"""Who sends, and how many bytes."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one personalization, from the first byte to the module's confirmation.

    Attributes:
        messages: of the handshake, the proof and the parties, both ways.
        size: bytes, with the length of each frame, both ways.
        seconds: that the line needs at 9600 baud, with what the serial link adds.

    """

    messages: int
    size: int
    seconds: float


# One personalization -----------------------------------------------------------------------------------------


@dataclass
class Equipped(Story):
    """The parties, with what every trust option needs."""

    shown: list[object] = field(default_factory=list)

    def deliver(self, manufacturer: Manufacturer) -> None:
        """The module gets a shipped key and a ticket as well, and is told a secret; the unit issues it a TAN."""
        manufacturer.take_tickets(self.card.order_tickets(self.approve(CardRole.TICKETS, "1")))
        kept = MemoryVault(Seeded("book keys"), repeatable=True)
        self.book = Book(lambda: kept, entropy=Seeded("book"), now=now)
        self.book.issue(SERIAL, TanForm(), not_after=NOW + 3600)
        code = write_symbols(self.book.take_to_print(SERIAL), DECIMAL)
        self.local, self.distant = SecondLink(self._from_module), SecondLink(self._from_unit)
        about = {"enter": lambda _: code, "mobile": lambda: self.local, "show": self.shown.append}
        self.module = Module(self.vaults["module"], entropy=self.entropy, now=now, **about)
        self.module.initialize(
            SERIAL,
            self.root,
            lambda made: manufacturer.certify_identity(made.serial, made.key.public),
            shipped_key=KEY,
            ticket=lambda made: manufacturer.certify_by_ticket(CUSTOMER, made.serial, made.key.public),
        )
        self.module.agree_on(SECRET)

    def means(self, serial: str) -> Means:
        """All of them."""
        return Means(shipped_key=KEY, secret=SECRET, book=self.book, mobiles=Mobiles(frozenset({"m"}), self.distant))

    def _from_module(self, message: object) -> None:
        """A mobile in the middle; what crosses its links is not counted."""
        if isinstance(message, Conveyance) and message.random is not None:
            self.distant.report(NumberConveyed(message.serial, message.binding, message.random, "m"))

    def _from_unit(self, message: object) -> None:
        if isinstance(message, Verdict):
            self.local.report(WordCame(message.serial, message.binding))


def personalized(option: TrustOption) -> tuple[int, list[Flight]]:
    """How many messages crossed, and in which flights."""
    story = Equipped()
    trio.run(story.meet, option.text, option)
    if story.module.record.module is None:
        raise RuntimeError(f"{option.text}: the module was not personalized")
    messages = sum(isinstance(note, (MessageSent, MessageReceived)) for note in story.shown)
    crossed = flights(story.sessions[0][1].writes)
    return messages, [(sender, sum(LENGTH_BYTES + len(frame) for frame in frames)) for sender, frames in crossed]


# The line ----------------------------------------------------------------------------------------------------


class Line:
    """Two ends of the serial link and the wires between them: the unit calls, then flights go to and fro.

    Attributes:
        now: seconds since the call.

    """

    def __init__(self) -> None:
        timing = Timing(BAUD)
        self.now = 0.0
        self._ends = {
            "unit": Endpoint(timing, caller=True, number=1),
            "module": Endpoint(timing, caller=False, number=2),
        }
        self._ends["unit"].call(self.now)
        self._byte = timing.byte
        self._taken_until = dict.fromkeys(self._ends, 0.0)
        self._arriving: list[tuple[float, str, bytes]] = []

    def carry(self, sender: str, size: int) -> None:
        """One flight, until all of it is there."""
        receiver, unwritten, missing = _other(sender), bytes(size), size
        while missing:
            if (session := self._ends[sender].session) is not None:
                unwritten = unwritten[session.write(unwritten) :]
            if (session := self._ends[receiver].session) is not None:
                missing -= len(session.read(None, self.now))
            if missing:
                self._pass_time()

    def _pass_time(self) -> None:
        """Write what is due, then on to the next moment in which something happens."""
        for name, end in self._ends.items():
            while data := end.transmit(self.now):
                self._taken_until[name] = max(self.now, self._taken_until[name]) + len(data) * self._byte
                heappush(self._arriving, (self._taken_until[name], _other(name), data))
            end.expire(self.now)
        moments = [*(end.wake_at() for end in self._ends.values()), *(arriving[0] for arriving in self._arriving[:1])]
        self.now = max(self.now, min(moments))
        while self._arriving and self._arriving[0][0] <= self.now:
            _, receiver, data = heappop(self._arriving)
            self._ends[receiver].receive(data, self.now)


def _other(name: str) -> str:
    return "unit" if name == "module" else "module"


@cache
def costs(option: TrustOption) -> Costs:
    """What one personalization by this option costs."""
    messages, crossing = personalized(option)
    line = Line()
    for sender, size in crossing:
        line.carry(sender, size)
    return Costs(messages, sum(size for _, size in crossing), line.now)


# The README --------------------------------------------------------------------------------------------------


def table() -> str:
    """The options, in Markdown."""
    lines = [
        "| option | needs | protects against | does not protect against | messages | bytes | seconds at 9600 baud |",
        "|---|---|---|---|---|---|---|",
    ]
    for option, about in DESCRIPTIONS.items():
        cost = costs(option)
        counted = f"{cost.messages} | {cost.size} | {cost.seconds:.1f}"
        lines.append(f"| `{option.text}` | {about.needs} | {about.protects} | {about.leaves} | {counted} |")
    return "\n".join(lines) + "\n"


def with_table(readme: str) -> str:
    """The README with the table as it is now; it ends at the first empty line after its mark."""
    before, _, rest = readme.partition(MARK)
    return f"{before}{MARK}{table()}\n{rest.partition(chr(10) * 2)[2]}"


def main(write: Callable[[Path, str], object] = lambda path, text: path.write_text(text, encoding="utf-8")) -> None:
    """Write it."""
    write(README, with_table(README.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
