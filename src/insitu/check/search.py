"""The search: every state that can be reached, the shallowest first, so that the way to what is wrong is a shortest.

Nothing is left out but what the scenario bounds: there is no reduction by symmetry or by order of independent moves.
What is compared is whole states, by value.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..protocol.engine import TableError
from .invariants import Violation
from .judge import Judge
from .liveness import Liveness
from .memory import pins_remembered
from .scenario import Scenario
from .state import Move, State


def tables_hold_together() -> None:
    """The name of the invariant: no table finds itself where it cannot be."""


@dataclass
class Report:
    """What a search came to.

    Attributes:
        states, transitions, depth: how much there was; depth in moves.
        complete: everything that the scenario admits was reached.
        seconds: of processor time.
        steps: how many different things a party was seen to do with an event.
        violation: what does not hold, if anything.
        trace: the moves that lead there, a shortest way.
        liveness: in how many of the states it was looked whether all ends well.

    """

    states: int = 0
    transitions: int = 0
    depth: int = 0
    complete: bool = False
    seconds: float = 0.0
    steps: int = 0
    violation: Violation | None = None
    trace: tuple[Move, ...] = ()
    liveness: int = 0


@dataclass
class Search:
    """One search.

    Args:
        scenario: what may happen.
        most: states after which it ends.
        deepest: moves after which it goes no further; None: as far as it goes.
        live: look also from each state whether all can end well.
        only: the invariants that count, by name; None: all.
        begin: the first state; None: that of the scenario.

    """

    scenario: Scenario
    most: int = 100_000
    deepest: int | None = None
    live: bool = True
    only: frozenset[str] | None = None
    begin: State | None = None
    clock: Callable[[], float] = time.process_time
    _parents: dict[State, State | None] = field(default_factory=dict, init=False)

    def run(self) -> Report:
        """Search."""
        with pins_remembered():
            return self._run()

    def _run(self) -> Report:
        began, report = self.clock(), Report()
        judge, liveness = Judge(self.scenario, self.only), Liveness(self.scenario)
        first = self.begin or self.scenario.initial()
        self._parents = {first: None}
        level, waiting = 0, deque([first])
        try:
            while waiting and not report.violation:
                if self.deepest is not None and level >= self.deepest:
                    break
                level += 1
                for _ in range(len(waiting)):
                    state = waiting.popleft()
                    if self._visit(state, report, judge, liveness, waiting):
                        break
                    if len(self._parents) >= self.most:
                        return report
                report.depth = level
            report.complete = not waiting and not report.violation
        except TableError as error:
            report.violation = Violation(tables_hold_together.__name__, str(error))
        finally:
            report.states, report.steps = len(self._parents), len(self.scenario.steps)
            report.seconds = self.clock() - began
        return report

    def _visit(
        self, state: State, report: Report, judge: Judge, liveness: Liveness, waiting: deque[State]
    ) -> Violation | None:
        found: Violation | None = None
        for move, after in self.scenario.moves(state):
            report.transitions += 1
            found = judge.move(state, move, after)
            if found is None and after not in self._parents:
                self._parents[after] = state
                waiting.append(after)
                found = judge.state(after) or judge.sessions()
                if found is None and self.live:
                    report.liveness += 1
                    found = liveness.stuck(after)
            found = found or judge.sessions()
            if found is not None:
                report.violation = found
                report.trace = (*self._way_to(state), move)
                return found
        return None

    def _way_to(self, state: State) -> tuple[Move, ...]:
        """The moves from the beginning."""
        moves: list[Move] = []
        while (before := self._parents[state]) is not None:
            here = state
            moves.append(next(move for move, after in self.scenario.moves(before) if after == here))
            state = before
        return tuple(reversed(moves))
