"""A simulated world: its machines, its true time, its chance; and where everything that happens in it is seen."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import trio

from ..protocol.keys.vault import MemoryVault
from ..shell.manufacturer import Manufacturer
from ..transports.links import lay_memory_lines
from .chance import Chance
from .history import History, LineWritten, MessageSeen, RemainsFound, StoreFound, Violation
from .invariants import check
from .machine import Machine
from .network import Network
from .plan import Plan, Trouble
from .trace import Trace

if TYPE_CHECKING:
    from .bank import Bank
    from .site import Site

BEGINNING: Final = 1_800_000_000
"""Unix seconds at which worlds begin (January 2027)."""
CARD_NUMBERS: Final = "49991200"
"""How the numbers of all customers' cards begin here, so that they are found wherever they must not be."""
PIN_WORDS: Final = "pin-of-"
SECRET_WORDS: Final = "agreed-upon-"  # noqa: S105 - the beginning of some


class World:
    """A world. Make it within the run of trio in which it lives.

    Args:
        plan: what it is like.
        also: gets each line of the trace.

    Attributes:
        trace, history: what happens; what has happened.
        violation: what must not have happened; it ends the world.
        calm: no trouble befalls anybody any more.
        injected: how often each trouble befell somebody.
        lives: life cycles: personalized to operating, and used at least once, or reset.
        banks, sites: the customers and their modules.

    """

    def __init__(self, plan: Plan, also: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.chance = Chance(f"world/{plan.seed}")
        self._began = trio.current_time()
        self.trace = Trace(self._elapsed, also)
        self.history = History(self.now, words=(CARD_NUMBERS, PIN_WORDS, SECRET_WORDS))
        self.violation: Violation | None = None
        self.calm = False
        self.injected: Counter[Trouble] = Counter()
        self.lives = 0
        self.scope = trio.CancelScope()
        self.network = Network(self)
        lay_memory_lines(self.network.lay)
        self.machines: list[Machine] = []
        self.banks: list[Bank] = []
        self.sites: dict[str, Site] = {}
        maker = self.chance.of("manufacturer")
        vault = MemoryVault(maker.of("keys").draw, repeatable=True)
        self.manufacturer = Manufacturer(vault, entropy=maker.of("draws").draw, now=self.now)
        self.root = self.manufacturer.establish("Maker")

    def _elapsed(self) -> float:
        return trio.current_time() - self._began

    def now(self) -> int:
        """True time, unix seconds."""
        return BEGINNING + int(self._elapsed())

    def uptime(self) -> int:
        """Seconds since the world began."""
        return int(self._elapsed())

    # Troubles

    def befalls(self, trouble: Trouble, chance: Chance, who: str = "", times: float = 1.0) -> bool:
        """Whether this trouble befalls somebody now; then it is counted."""
        happens = chance.happens(self.plan.of(trouble) * times) and not self.calm
        if happens:
            self.count(trouble, who)
        return happens

    def count(self, trouble: Trouble, who: str) -> None:
        """A trouble befalls somebody."""
        self.injected[trouble] += 1
        self.trace.write(who, f"suffers: {trouble.value}")

    async def visit(
        self, trouble: Trouble, whom: str, per_hour: float, strike: Callable[[Chance], Awaitable[None]]
    ) -> None:
        """Let a trouble strike so many times an hour, until the world is calm."""
        chance = self.chance.of(f"{trouble.value} of {whom}")
        while per_hour and not self.calm:
            await trio.sleep(chance.pause(3600 / per_hour))
            if not self.calm:
                await strike(chance)

    # What is seen

    def see(self, event: object) -> None:
        """Something happened that invariants speak of; a violation ends the world."""
        try:
            check(self.history, event)
        except Violation as violation:
            self.fail(violation)

    def fail(self, violation: Violation) -> None:
        """What must not happen has happened."""
        if self.violation is None:
            self.violation = violation
            self.trace.write("invariants", f"violated: {violation}")
        self.scope.cancel()

    def fail_by(self, error: BaseException) -> None:
        """A program ended by an exception that nobody declared."""
        text = "".join(traceback.format_exception(error))
        self.fail(Violation("undeclared exception", text))

    def see_note(self, who: Machine, note: object) -> None:
        """A program shows something."""
        text = repr(note)
        self.trace.write(who.name, text)
        self.see(LineWritten(text))

    def see_line(self, who: Machine, line: str) -> None:
        """A program writes a line for people."""
        self.trace.write(who.name, f"tells: {line}")
        self.see(LineWritten(line))

    def see_message(self, sender: str, receiver: str, frame: bytes) -> None:
        """A message crosses the network."""
        self.trace.write(sender, f"-> {receiver}, {len(frame)} bytes", frame)
        self.see(MessageSeen(frame))

    def see_other_store(self, who: Machine, *, may_be: bool) -> None:
        """A store does not hold what was promised."""
        self.trace.write(who.name, "finds another store than was promised")
        self.see(StoreFound(who.name, may_be))

    def see_remains(self, who: Machine) -> None:
        """What a write replaced is still there."""
        self.see(RemainsFound(who.name))

    # Life

    def switch_on(self, machine: Machine, program: Callable[[], Awaitable[None]], nursery: trio.Nursery) -> None:
        """Let a machine run from now on."""
        self.machines.append(machine)
        nursery.start_soon(self._keep_running, machine, program)

    async def _keep_running(self, machine: Machine, program: Callable[[], Awaitable[None]]) -> None:
        try:
            await machine.run(program)
        except Exception as error:
            self.fail_by(error)
