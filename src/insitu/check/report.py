"""What is searched for a trust option, and how it is told: nothing wrong by itself, and each attack that is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..protocol.engine import InsituError
from ..protocol.messages import TrustOption
from .attacks import Attack, attacks_on
from .intruder import Power
from .scenario import Scenario
from .search import Report, Search
from .state import Limits, Variant
from .trace import mermaid

SMALL: Final = Limits(module=1, first=1, second=1)
"""One session a party, besides the intruder's: enough for every known attack, and searched to the end in a second."""
FULL: Final = Limits()


@dataclass(frozen=True)
class Finding:
    """One search and what it came to.

    Attributes:
        option, variant: in which world.
        attack: what had to be found; None: nothing may be.
        report: what came of it.

    """

    option: TrustOption
    variant: Variant
    attack: Attack | None
    report: Report

    @property
    def as_expected(self) -> bool:
        """Nothing was wrong, or the known attack was found."""
        violation = self.report.violation
        if self.attack is None:
            return violation is None
        return violation is not None and violation.invariant == self.attack.breaks

    @property
    def diagram(self) -> str:
        """The way to what was found."""
        return mermaid(self.report.trace, self.report.violation)

    def facts(self) -> dict[str, Any]:
        """All of it, for programs."""
        report = self.report
        return {
            "option": self.option.text,
            "variant": self.variant.value,
            "powers": sorted(power.name.lower() for power in self.attack.powers) if self.attack else [],
            "as_expected": self.as_expected,
            "states": report.states,
            "transitions": report.transitions,
            "depth": report.depth,
            "complete": report.complete,
            "steps": report.steps,
            "seconds": round(report.seconds, 1),
            "violation": None if report.violation is None else report.violation._asdict(),
            "trace": [move._asdict() for move in report.trace],
        }

    def line(self) -> str:
        """It, for people."""
        report, where = self.report, f"{self.option.text}, {self.variant.value}"
        how_far = "all there are" if report.complete else f"to depth {report.depth}"
        size = f"{report.states} states ({how_far}), {report.transitions} moves, {report.seconds:.1f} s"
        if self.attack is not None:
            found = f"{len(report.trace)} moves" if self.as_expected else f"NOT FOUND in {size}"
            return f"{where}: attack by {self.attack.by}: {found}"
        if report.violation is None:
            return f"{where}: {size}: nothing wrong"
        return f"{where}: {size}: WRONG: {report.violation.what} ({report.violation.invariant})"


class InvariantBroken(InsituError):
    """Something that must hold does not, or an attack that is known was not found: a fault of this program."""


def search(
    option: TrustOption,
    variant: Variant,
    *,
    states: int,
    depth: int | None = None,
    limits: Limits = FULL,
    attacks: bool = True,
) -> Iterator[Finding]:
    """Search the world of an option, then for each attack on it that is known.

    Args:
        option: which world.
        variant: of it.
        states: after so many, the first search ends; attacks are looked for as far as they may be.
        depth: after so many moves, it goes no further.
        limits: how often what may happen any number of times happens.
        attacks: search for them.

    """
    plain = Search(Scenario(option, variant=variant, limits=limits), most=states, deepest=depth).run()
    yield Finding(option, variant, None, plain)
    for attack in attacks_on(option) if attacks else ():
        yield Finding(option, variant, attack, find(attack, variant))


def find(attack: Attack, variant: Variant = Variant.FIELD, *, states: int = 50_000) -> Report:
    """The shortest way to a known attack."""
    scenario = Scenario(attack.option, attack.powers, variant=variant, limits=SMALL)
    return Search(scenario, most=states, live=False, only=frozenset({attack.breaks})).run()


__all__ = ["FULL", "SMALL", "Finding", "InvariantBroken", "Power", "find", "search"]
