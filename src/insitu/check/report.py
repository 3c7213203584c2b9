"""What is searched, and how it is told: the worlds of a trust option, known attacks on it, the worlds by theme."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..protocol.engine import InsituError
from ..protocol.messages import TrustOption
from .attacks import WITHSTOOD, Attack, Known, attacks_on
from .intruder import Power
from .personalizing import Personalizing
from .search import Report, Search
from .state import Limits, Variant
from .themes import THEMES
from .trace import mermaid

SMALL: Final = Limits(module=1, first=1, second=1)
"""Side by side: one session of the module, one at either unit, the intruder at each of them; searched to the end."""
DEEP: Final = Limits(module=2, first=2, second=0)
"""One after the other: two sessions of the module and of one unit, a reset between them; searched to the end."""
TINY: Final = Limits(module=1, first=1, second=0, crashes=0, resets=0)
"""One session of the module and one of a unit: an attack needs no more."""
WORLDS: Final = {"side by side": SMALL, "one after the other": DEEP}
MOST_TO_FIND: Final = 50_000
"""States after which an attack counts as not found."""
LARGE: Final = {"all of it": Limits()}
"""Both at once: two sessions of the module and of one unit, one of the other."""


@dataclass(frozen=True)
class Finding:
    """One search and what it came to.

    Attributes:
        option, variant, world: where, in words.
        attack: what had to be found; None: nothing may be.
        report: what came of it.
        powers: what the intruder had besides.

    """

    option: str
    variant: str
    world: str
    attack: Attack | Known | None
    report: Report
    powers: frozenset[Power] = frozenset()

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
            "option": self.option,
            "variant": self.variant,
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
        report, where = self.report, f"{self.option}, {self.variant}, {self.world}"
        size = f"{report.states} states, {report.transitions} moves, depth {report.depth}, {report.seconds:.1f} s"
        if self.attack is not None:
            found = f"{len(report.trace)} moves" if self.as_expected else f"NOT FOUND in {size}"
            return f"{where}, by {self.attack.by}: {found}"
        if report.violation is None:
            if report.complete:
                return f"{where}: searched to the end, {size}: nothing wrong"
            return f"{where}: NOT SEARCHED TO THE END, {size}: nothing wrong as far as that goes"
        return f"{where}: {size}: WRONG: {report.violation.what} ({report.violation.invariant})"


def summary(findings: Sequence[Finding]) -> str:
    """All of it in a line, for people: how much was searched, and whether to the end."""
    searches = [each for each in findings if each.attack is None]
    states, ended = sum(each.report.states for each in searches), sum(each.report.complete for each in searches)
    attacks = len(findings) - len(searches)
    others = f", {len(searches) - ended} NOT" if ended < len(searches) else ""
    far = f"{ended} searched to the end{others}"
    return f"{len(searches)} worlds: {far}; {states} states; {attacks} known attacks, all found"


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
        scenario = Personalizing(option, WITHSTOOD[option], variant=variant, limits=limits)
        report = Search(scenario, most=states, deepest=depth).run()
        yield Finding(option.text, variant.value, name, None, report, WITHSTOOD[option])
    for attack in attacks_on(option):
        yield Finding(option.text, variant.value, "an attack", attack, find(attack, variant), attack.powers)


def search_theme(name: str, *, states: int, depth: int | None = None) -> Iterator[Finding]:
    """Search the worlds of a theme, then for what is known not to hold there; arguments as for `search`."""
    theme = THEMES[name]
    for world, make in theme.worlds.items():
        yield Finding(name, theme.who, world, None, Search(make(), most=states, deepest=depth).run())
    for known, make in theme.weaknesses:
        report = Search(make(), most=MOST_TO_FIND, live=False, only=frozenset({known.breaks})).run()
        yield Finding(name, theme.who, "an attack", known, report)


def find(attack: Attack, variant: Variant = Variant.FIELD, *, states: int = MOST_TO_FIND) -> Report:
    """The shortest way to a known attack."""
    scenario = Personalizing(attack.option, attack.powers, variant=variant, limits=TINY)
    return Search(scenario, most=states, live=False, only=frozenset({attack.breaks})).run()
