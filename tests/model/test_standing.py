"""The model checker with standing approvals: what two people agreed to is used within its limits (S6)."""

from __future__ import annotations

import pytest
from guards import unguarded

from insitu.check.mutants import instead
from insitu.check.search import Search
from insitu.check.standing import Standing, Step
from insitu.check.state import Limits
from insitu.check.themes import STANDING, THEMES
from insitu.check.trace import mermaid
from insitu.check.world import STOLEN
from insitu.protocol.parties.card import CARD
from insitu.protocol.parties.card_record import begun
from insitu.protocol.stores.card_log import _Before

NOBODY = Limits(module=0, first=0, second=0, resets=0, jobs=0)
"""No session: only people, and the thief."""


def test_people_and_a_thief_to_the_end():
    world = Standing({Step.ASKED: 2, Step.WITHDRAWN: 1, Step.LATE: 1}, limits=NOBODY)
    report = Search(world, live=False).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    happened = {fact for facts in map(world.facts.__getitem__, range(len(world.facts))) for fact in facts}
    assert {fact for fact in happened if fact[0] == "obtained"} == {("obtained", STOLEN, 365)}


def test_together_the_worlds_have_all_that_may_happen():
    """Clock and store that are set back are among what is known not to hold."""
    worlds = [make() for make in (*STANDING.values(), *(each.make for each in THEMES["standing"].weaknesses))]
    assert {step for world in worlds if isinstance(world, Standing) for step in world.budget} == set(Step)


@pytest.mark.parametrize(
    ("guard", "agreed", "invariant"),
    [
        ("a_standing_approval_covers_it", True, "s6_uses_stay_within_the_standing_approval"),
        ("two_people_approved_exactly_this_standing", False, "s6_a_standing_approval_is_what_two_people_agreed_to"),
    ],
)
def test_a_guard_that_is_missing_is_noticed(monkeypatch, guard, agreed, invariant):
    """With the rules of the log, which would refuse it as well, out of the way."""
    monkeypatch.setattr(_Before, "_refuses_consent", lambda before, what, at: "")
    Standing({}, limits=NOBODY).initial()
    budget = {Step.PROPOSED: 1, Step.ASKED: 2}
    with instead(CARD, unguarded(CARD, guard)):
        report = Search(Standing(budget, agreed=agreed, limits=NOBODY), live=False).run()
    assert report.violation is not None
    assert report.violation.invariant == invariant


def test_a_standing_approval_that_is_used_by_nobody_is_noticed(monkeypatch):
    """An intent that does not name it: then it counts for more than people agreed to."""
    monkeypatch.setattr("insitu.protocol.parties.card_standing.begun", lambda *args: begun(*args[:5]))
    report = Search(Standing({Step.ASKED: 1}, limits=NOBODY), live=False).run()
    assert report.violation is not None
    assert report.violation.invariant == "s6_each_certificate_has_a_job_or_a_standing_approval"
