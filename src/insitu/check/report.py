"""What is searched for a trust option, and how it is told: nothing wrong by itself, and each attack that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..protocol.engine import InsituError
from ..protocol.messages import TrustOption
from .attacks import WITHSTOOD, Attack, attacks_on
from .intruder import Power
from .scenario import Scenario
from .search import Report, Search
from .state import Limits, Variant
from .trace import mermaid

SMALL: Final = Limits(module=1, first=1, second=1)
"""Side by side: one session of the module, one at either unit, the intruder at each of them; searched to the end."""
DEEP: Final = Limits(module=2, first=2, second=0)
"""One after the other: two sessions of the module and of one unit, a reset between them; searched to the end."""
TINY: Final = Limits(module=1, first=1, second=0, crashes=0, resets=0)
"""One session of the module and one of a unit: an attack needs no more."""
WORLDS: Final = {"side by side": SMALL, "one after the other": DEEP}
LARGE: Final = {"all of it": Limits()}
"""Both at once: two sessions of the module and of one unit, one of the other."""


@dataclass(frozen=True)
class Finding:
    """One search and what it came to.

    Attributes:
        option, variant, world: where.
        attack: what had to be found; None: nothing may be.
        report: what came of it.

    """

    option: TrustOption
    variant: Variant
    world: str
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
    def powers(self) -> frozenset[Power]:
        """What the intruder had besides."""
        return WITHSTOOD[self.option] if self.attack is None else self.attack.powers

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
            "world": self.world,
            "powers": sorted(power.name.lower() for power in self.powers),
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
        report, where = self.report, f"{self.option.text}, {self.variant.value}, {self.world}"
        how_far = "all there are" if report.complete else f"to depth {report.depth}"
        size = f"{report.states} states ({how_far}), {report.transitions} moves, {report.seconds:.1f} s"
        if self.attack is not None:
            found = f"{len(report.trace)} moves" if self.as_expected else f"NOT FOUND in {size}"
            return f"{where}, by {self.attack.by}: {found}"
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
    worlds: Mapping[str, Limits] = WORLDS,
) -> Iterator[Finding]:
    """Search the worlds of an option, then for each attack on it that is known.

    Args:
        option: whose worlds.
        variant: of them.
        states: after so many, a search ends; attacks are looked for as far as they may be.
        depth: after so many moves, it goes no further.
        worlds: by name.

    """
    for name, limits in worlds.items():
        scenario = Scenario(option, WITHSTOOD[option], variant=variant, limits=limits)
        yield Finding(option, variant, name, None, Search(scenario, most=states, deepest=depth).run())
    for attack in attacks_on(option):
        yield Finding(option, variant, "an attack", attack, find(attack, variant))


def find(attack: Attack, variant: Variant = Variant.FIELD, *, states: int = 50_000) -> Report:
    """The shortest way to a known attack."""
    scenario = Scenario(attack.option, attack.powers, variant=variant, limits=TINY)
    return Search(scenario, most=states, live=False, only=frozenset({attack.breaks})).run()
