"""What is searched, and how it is told: the worlds of a trust option, known attacks on it, modules at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..protocol.engine import InsituError
from ..protocol.messages import TrustOption
from .attacks import WITHSTOOD, Attack, Known, attacks_on
from .intruder import Power
from .operating import Budget, Operating
from .personalizing import Personalizing
from .search import Report, Search
from .state import Limits, Variant
from .trace import mermaid
from .work_invariants import what_is_settled_is_what_was_paid

SMALL: Final = Limits(module=1, first=1, second=1)
"""Side by side: one session of the module, one at either unit, the intruder at each of them; searched to the end."""
DEEP: Final = Limits(module=2, first=2, second=0)
"""One after the other: two sessions of the module and of one unit, a reset between them; searched to the end."""
TINY: Final = Limits(module=1, first=1, second=0, crashes=0, resets=0)
"""One session of the module and one of a unit: an attack needs no more."""
WORLDS: Final = {"side by side": SMALL, "one after the other": DEEP}
LARGE: Final = {"all of it": Limits()}
"""Both at once: two sessions of the module and of one unit, one of the other."""
WORKING: Final = "at-work"
"""In the place of a trust option, where modules work: what that was is over by then."""
B = Budget
AT_WORK: Final[dict[str, Callable[[], Operating]]] = {
    "business": lambda: Operating({B.CRASHES: 1, B.WISHES: 1, B.CANCELS: 1}, runs=(2, 2, 0)),
    "payloads": lambda: Operating({B.CRASHES: 1, B.PAYLOADS: 1}, runs=(2, 2, 0)),
    "instructions": lambda: Operating({B.CRASHES: 1, B.INSTRUCTIONS: 1}, runs=(2, 2, 0)),
    "two sessions": lambda: Operating({B.WISHES: 1}, runs=(2, 1, 1)),
    "strangers": lambda: Operating({B.WISHES: 1}, runs=(1, 1, 1), talk=2),
    "resets": lambda: Operating({B.ORDERED: 1, B.BY_HAND: 1, B.ANEW: 1}, runs=(2, 1, 1)),
    "resets and crashes": lambda: Operating({B.CRASHES: 1, B.ORDERED: 1, B.BY_HAND: 1, B.ANEW: 1}, runs=(2, 2, 0)),
    "old stores": lambda: Operating({B.PAYLOADS: 1, B.COPIES: 1, B.RESTORED: 1}, runs=(2, 2, 0)),
    "old stores and resets": lambda: Operating({B.BY_HAND: 1, B.ANEW: 1, B.COPIES: 1, B.RESTORED: 1}, runs=(2, 2, 0)),
    "symmetric keys": lambda: Operating({B.CRASHES: 1, B.KEYS: 1, B.USES: 1, B.LATE: 1}, runs=(2, 2, 0)),
    "lost and revoked": lambda: Operating(
        {B.LOST: 1, B.LOST_BUT_KNOWN: 1, B.DISABLED: 1, B.REVOKED: 1, B.BANK_REVOKED: 1}, runs=(2, 2, 0)
    ),
    "beats": lambda: Operating({B.CRASHES: 1, B.BEATS: 1}, runs=(1, 1, 0)),
}
"""Worlds in which a module works, each with some of what may happen; together they have all of it."""
NOT_WITHSTOOD: Final = (
    (
        Known(
            "somebody who puts back a copy of the module's store that is younger than its last contact",
            what_is_settled_is_what_was_paid.__name__,
        ),
        lambda: Operating({B.WISHES: 1, B.COPIES: 1, B.RESTORED: 1}, runs=(2, 2, 0)),
    ),
)
"""What a module at work without a monotonic counter is known not to withstand, and where it is found (S4)."""


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
        scenario = Personalizing(option, WITHSTOOD[option], variant=variant, limits=limits)
        report = Search(scenario, most=states, deepest=depth).run()
        yield Finding(option.text, variant.value, name, None, report, WITHSTOOD[option])
    for attack in attacks_on(option):
        yield Finding(option.text, variant.value, "an attack", attack, find(attack, variant), attack.powers)


def search_at_work(*, states: int, depth: int | None = None) -> Iterator[Finding]:
    """Search the worlds in which a module works; arguments as for `search`."""
    for name, make in AT_WORK.items():
        report = Search(make(), most=states, deepest=depth).run()
        yield Finding(WORKING, "central system", name, None, report)
    for known, make in NOT_WITHSTOOD:
        report = Search(make(), most=50_000, live=False, only=frozenset({known.breaks})).run()
        yield Finding(WORKING, "central system", "an attack", known, report)


def find(attack: Attack, variant: Variant = Variant.FIELD, *, states: int = 50_000) -> Report:
    """The shortest way to a known attack."""
    scenario = Personalizing(attack.option, attack.powers, variant=variant, limits=TINY)
    return Search(scenario, most=states, live=False, only=frozenset({attack.breaks})).run()
