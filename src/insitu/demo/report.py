"""What a demonstration is about to report, gathered from the notes of its parties."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..protocol.engine import EnvironmentFault
from ..shell.telling import Facts, line_of

QUIET: Final = frozenset({"MessageReceived", "SessionEnded", "Result"})
"""Notes that only repeat, for a person, what the other side's notes say."""


class DemoFailed(EnvironmentFault):
    """The demonstration did not come to its end."""


@dataclass
class Report:
    """The story so far.

    Attributes:
        link, trust: what the module and the unit used.
        say: gets the lines for people.
        states: the module's, in order.
        fingerprints: of the module's key pairs, as the module and as the unit showed them.
        flights: changes of direction in the first personalization, counted at the unit.
        wire: bytes of the first personalization as they crossed the link: from the module, from the unit.
        transactions: instructions of the central system that the module received.

    """

    link: str
    trust: str
    say: Callable[[str], None]
    states: list[str] = field(default_factory=list)
    fingerprints: dict[str, list[str]] = field(default_factory=lambda: {"module": [], "unit": []})
    flights: int = 0
    wire: tuple[int, int] = (0, 0)
    transactions: int = 0
    _directions: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def hear(self, facts: Facts) -> None:
        """Take a note of any party."""
        note, party = facts["note"], facts.get("party")
        if note == "StateEntered" and party == "module":
            self._enter(str(facts["state"]))
        elif note in ("MessageSent", "MessageReceived") and party == "unit":
            self._directions.append(str(note))
        elif note == "KeyMade" or note == "KeyPresented":
            self.fingerprints[str(party)].append(str(facts["fingerprint"]))
        elif note == "PayOutInstructed":
            self.transactions += 1
        if note not in QUIET and party is not None:
            self.tell(line_of(facts))

    def tell(self, line: str) -> None:
        """A line for people."""
        self.say(f"{self.seconds:6.2f}s  {line}")

    def begin_at(self, state: str) -> None:
        """The state in which the module wakes up."""
        self._enter(state)

    def personalized(self, sent: int, received: int) -> None:
        """A personalization is over; `sent` and `received` are the unit's bytes. The first one is reported."""
        if self.wire == (0, 0):
            self.wire = (received, sent)
            pairs = zip(self._directions, ["", *self._directions], strict=False)
            self.flights = sum(one != before for one, before in pairs)

    def _enter(self, state: str) -> None:
        if not self.states or self.states[-1] != state:
            self.states.append(state)

    def facts(self, files: list[str], *, ok: bool) -> dict[str, object]:
        """The report as one JSON object; `ok`: the story came to its end."""
        return {
            "ok": ok,
            "link": self.link,
            "trust": self.trust,
            "states": self.states,
            "wire_bytes": {"module_to_unit": self.wire[0], "unit_to_module": self.wire[1]},
            "flights": self.flights,
            "seconds": round(self.seconds, 3),
            "files": files,
        }

    def check(self) -> None:
        """Make sure that the story was what it should have been.

        Raises:
            DemoFailed: it was not.

        """
        shown = self.fingerprints
        if shown["module"] != shown["unit"] or len(shown["module"]) != 2:
            raise DemoFailed("fingerprints", expected="two, equal on both sides", got=shown)
        if shown["module"][0] == shown["module"][1]:
            raise DemoFailed("second personalization", expected="another key", got="the same key")
        if self.transactions != 1:
            raise DemoFailed("transactions", expected=1, got=self.transactions)
        if self.states[-1] not in ("OPERATING", "ONLINE") or "RESET" not in self.states:
            raise DemoFailed("states", expected="a reset, and operating at the end", got=self.states)
