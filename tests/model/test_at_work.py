"""The model checker where modules work: small worlds to their end, the beginning of all others, and what it notices."""

from __future__ import annotations

from typing import Any

import pytest
from guards import unguarded

from insitu.check.at_work import KEY_SECONDS
from insitu.check.mutants import instead
from insitu.check.operating import Budget, Operating
from insitu.check.search import Search
from insitu.check.themes import AT_WORK
from insitu.check.trace import mermaid
from insitu.protocol.engine import Table
from insitu.protocol.parties.central import CENTRAL
from insitu.protocol.parties.work import WORK

B = Budget


def test_nothing_is_wrong_in_a_small_world():
    """One session, an authorization that may be given up, a crash of either side at any point: to the end."""
    world = Operating({B.CRASHES: 1, B.WISHES: 1, B.CANCELS: 1}, runs=(1, 1, 0))
    report = Search(world).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.states > 500
    assert report.liveness == report.states - 1


def test_together_the_worlds_have_all_that_may_happen():
    assert {budget for make in AT_WORK.values() for budget in make().budget} == set(Budget)


def test_a_search_says_what_happens_to_a_key():
    """In some state it was used, and in no state after its time (S8)."""
    world = Operating({B.KEYS: 1, B.USES: 1, B.LATE: 1}, runs=(1, 1, 0))
    report = Search(world, live=False).run()
    assert report.complete
    assert report.violation is None
    happened = {fact for facts in map(world.facts.__getitem__, range(len(world.facts))) for fact in facts}
    assert ("used",) in happened
    assert world.at(world.initial()._replace(beside=1)) > world.at(world.initial()) + KEY_SECONDS


@pytest.mark.parametrize(
    ("table", "guard", "budget", "invariant"),
    [
        (CENTRAL, "nothing_speaks_against_it", {B.DISABLED: 1}, "s4_what_is_worthless_stays_so"),
        (CENTRAL, "it_may_stay", {B.LOST: 1}, "s5_who_may_not_stay_goes"),
        (CENTRAL, "number_is_new", {B.WISHES: 1}, "s10_nothing_is_decided_or_paid_twice"),
        (WORK, "list_is_newer", {B.LISTED: 1, B.LISTED_BEFORE: 1}, "s5_a_list_that_came_is_kept"),
        (WORK, "key_is_usable", {B.KEYS: 1, B.USES: 1, B.LATE: 1}, "s8_a_symmetric_key_is_used_in_its_time"),
    ],
)
def test_a_guard_that_is_missing_is_noticed(table: Table[Any, Any], guard: str, budget: Any, invariant: str):
    Operating({})  # how it begins is not part of it
    with instead(table, unguarded(table, guard)):
        report = Search(Operating(budget, runs=(2, 2, 0)), most=20_000, live=False).run()
    assert report.violation is not None
    assert report.violation.invariant == invariant
