"""What surrounds the machines of a simulated world: true time, chance, troubles; and where all that happens is seen.

No machine is known here: those stand above it, in what they see and do.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from .chance import Chance
from .clock import JumpingClock
from .history import History, LineWritten, MessageSeen, RemainsFound, StoreFound, Violation
from .invariants import check
from .plan import Plan, Trouble
from .trace import Trace

BEGINNING: Final = 1_800_000_000
"""Unix seconds at which worlds begin (January 2027)."""
CARD_NUMBERS: Final = "49991200"
"""How the numbers of all customers' cards begin here, so that they are found wherever they must not be."""
PIN_WORDS: Final = "pin-of-"
SECRET_WORDS: Final = "agreed-upon-"  # noqa: S105 - the beginning of some


class Surroundings:
    """What machines see of their world. Make it within the run of trio in which it lives.

    Args:
        plan: what the world is like.
        clock: of this run of trio.
        also: gets each line of the trace.

    Attributes:
        trace, history: what happens; what has happened.
        violation: what must not have happened; it ends the world.
        calm: no trouble befalls anybody any more.
        injected: how often each trouble befell somebody.
        lives: life cycles: personalized to operating, and used at least once, or reset.

    """

    def __init__(self, plan: Plan, clock: JumpingClock, also: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.clock = clock
        self.chance = Chance(f"world/{plan.seed}")
        self._began = clock.current_time()
        self.trace = Trace(self._elapsed, also)
        self.history = History(self.now, words=(CARD_NUMBERS, PIN_WORDS, SECRET_WORDS))
        self.violation: Violation | None = None
        self.calm = False
        self.injected: Counter[Trouble] = Counter()
        self.lives = 0
        self.scope = trio.CancelScope()

    def _elapsed(self) -> float:
        return self.clock.current_time() - self._began

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

    def see_note(self, who: str, note: object) -> None:
        """A program shows something."""
        text = repr(note)
        self.trace.write(who, text)
        self.see(LineWritten(text))

    def see_line(self, who: str, line: str) -> None:
        """A program writes a line for people."""
        self.trace.write(who, f"tells: {line}")
        self.see(LineWritten(line))

    def see_message(self, sender: str, receiver: str, frame: bytes) -> None:
        """A message crosses the network."""
        self.trace.write(sender, f"-> {receiver}, {len(frame)} bytes", frame)
        self.see(MessageSeen(frame))

    def see_other_store(self, who: str, *, may_be: bool) -> None:
        """A store does not hold what was promised."""
        self.trace.write(who, "finds another store than was promised")
        self.see(StoreFound(who, may_be))

    def see_remains(self, who: str) -> None:
        """What a write replaced is still there."""
        self.see(RemainsFound(who))
