"""A state of a world as the invariants see it; each kind of world adds what its own look at."""

from __future__ import annotations

from dataclasses import dataclass

from .scenario import Scenario
from .state import Fact, State


@dataclass(frozen=True)
class SeenState:
    """A state, for the invariants."""

    scenario: Scenario
    state: State

    @property
    def facts(self) -> frozenset[Fact]:
        """What has happened."""
        return self.scenario.facts[self.state.facts]

    @property
    def untrue_end(self) -> str:
        """An end that was over in a state of its table that says what is not so; empty: there was none."""
        untrue = sorted(
            f"{fact[1]} is over in {fact[2]}, and that is not so" for fact in self.facts if fact[0] == "untrue"
        )
        return next(iter(untrue), "")
