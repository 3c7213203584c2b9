"""Faults planted in the tables: a few of them here, all of them by `insitu check --mutants`."""

from __future__ import annotations

import pytest
from commands import insitu

from insitu.check.judge import Judge
from insitu.check.liveness import Liveness
from insitu.check.mutants import LIMITS, WORLDS, Fate, Mutant, Working, explained, instead, taken, tried
from insitu.check.personalizing import Personalizing
from insitu.check.search import Search
from insitu.protocol.engine import TableError
from insitu.protocol.messages import TrustOption
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.tables import TABLES
from insitu.protocol.parties.unit import UNIT
from insitu.protocol.parties.work import WORK


def row_of(table: str, guard: str) -> int:
    rows = WORLDS[table][0].rows
    return next(number for number, row in enumerate(rows) if row.when is not None and row.when.__name__ == guard)


@pytest.mark.parametrize(
    ("table", "guard", "what", "fate"),
    [
        ("module", "chain_is_complete", "guard dropped", Fate.CAUGHT),
        ("unit", "a_known_module_proves_possession", "guard dropped", Fate.CAUGHT),
        ("proof-unit", "the_mac_is_right", "guard dropped", Fate.CAUGHT),
        ("token-unit", "the_mac_is_right", "guard dropped", Fate.CAUGHT),
        ("unit", "it_wants_personalization", "to AWAITING_CONFIRMATION", Fate.REFUSED),
        ("unit", "people_are_to_approve_it", "guard dropped", Fate.STUCK),
        ("central", "a_reset_is_due", "guard dropped", Fate.CAUGHT),
        ("module-at-work", "answers_our_request", "to LOADING", Fate.STUCK),
        ("module-at-work", "it_is_time_to_beat", "guard dropped", Fate.STUCK),
        ("central", "number_is_new", "guard dropped", Fate.CAUGHT),
        ("card-syncing", "there_is_so_much", "to READ", Fate.STUCK),
        ("manufacturer", "they_are_ours_and_count", "guard dropped", Fate.CAUGHT),
        ("conveyed-unit", "the_channel_agrees", "to PROVED", Fate.STUCK),
        ("conveyed-unit", "the_mobile_may_not", "to OPENED", Fate.STUCK),
    ],
)
def test_what_notices_a_fault(table, guard, what, fate):
    before = WORLDS[table][0].rows
    outcome = tried(Mutant(table, row_of(table, guard), what))
    assert (outcome.fate, bool(outcome.by)) == (fate, True)
    assert WORLDS[table][0].rows is before


@pytest.mark.parametrize(
    ("table", "guard", "invariant"),
    [
        ("responder", "suite_is_agreed", "s13_nobody_is_talked_down"),
        ("responder", "another_try_is_left", "a_handshake_is_where_it_says"),
        ("initiator", "another_suite_is_left", "a_row_finds_what_it_needs"),
        ("card-enrolling", "request_is_for_its_key", "l14_people_are_asked_for_the_key_that_was_meant"),
        ("central-enrolling", "card_means_us", "l14_the_card_said_so_in_that_channel"),
    ],
)
def test_by_what_a_guard_that_is_missing_is_noticed(table, guard, invariant):
    outcome = tried(Mutant(table, row_of(table, guard), "guard dropped"))
    assert (outcome.fate, outcome.by) == (Fate.CAUGHT, invariant)


@pytest.mark.parametrize("world", dict.fromkeys(world for _, worlds in WORLDS.values() for world in worlds), ids=str)
def test_nothing_is_wrong_with_the_ordinary_course_of_any_world(world):
    """Whole, and cut short at each point; else it would say nothing about a fault."""
    scenario = world.scenario()
    liveness = Liveness(scenario, Judge(scenario).all)
    assert world.goes_wrong(scenario, liveness) == ""
    assert liveness.found is None


def test_a_request_that_leaves_before_its_number_is_durable_is_noticed():
    """Also where the controller begins it, and no frame (L10)."""
    number = row_of("module-at-work", "there_is_room")
    outcome = tried(Mutant("module-at-work", number, "Persist last"))
    assert (outcome.fate, outcome.by) == (Fate.CAUGHT, "what_a_step_tells_is_durable")
    only = frozenset({"s10_nothing_is_decided_or_paid_twice", "all_can_end_well"})
    world = next(world for world in WORLDS["module-at-work"][1] if isinstance(world, Working))
    with instead(WORK, Mutant("module-at-work", number, "Persist last").rows()):
        scenario = world.scenario()
        report = Search(scenario, most=world.states, begin=world.begins(scenario), only=only).run()
    assert report.violation is not None


def test_a_commit_that_comes_after_its_message_is_noticed():
    """The power fails between them: the unit believes what is not so (L7)."""
    number = next(
        number for number, row in enumerate(MODULE.rows) if row.do is not None and row.do.__name__ == "commit"
    )
    outcome = tried(Mutant("module", number, "Persist last"))
    assert (outcome.fate, outcome.by) == (Fate.CAUGHT, "what_a_step_tells_is_durable")
    only = frozenset({"a_unit_is_right_about_what_it_did"})
    with instead(MODULE, Mutant("module", number, "Persist last").rows()):
        report = Search(Personalizing(TrustOption.PHYSICAL, limits=LIMITS), only=only).run()
    assert report.violation is not None


def test_a_signature_before_its_entry_in_the_log_is_noticed():
    number = row_of("card", "two_people_approved_exactly_this")
    outcome = tried(Mutant("card", number, "Persist last"))
    assert (outcome.fate, outcome.by) == (Fate.CAUGHT, "s6_what_is_signed_was_announced")


def test_a_table_is_itself_again_after_a_mutant_that_could_not_be_built():
    rows = UNIT.rows
    with pytest.raises(TableError), instead(UNIT, rows[:1]):
        pytest.fail("built")
    assert UNIT.rows is rows


def test_every_explained_survivor_is_still_a_mutant_of_a_row_that_is_there():
    """That each still survives, and no other does, the whole run says."""
    there = {
        Mutant(name, number, "").name.removesuffix(": ")
        for name, (table, _) in WORLDS.items()
        for number in range(len(table.rows))
    }
    for name, reason in explained().items():
        assert name.rsplit(": ", 1)[0] in there, name
        assert len(reason) > 40


def test_every_table_of_the_product_has_mutants():
    assert {table.name for table, _ in WORLDS.values()} == {table.name for table in TABLES}


def test_which_rows_a_world_takes():
    how = taken("ticket-unit")
    assert how.rows == frozenset(range(len(WORLDS["ticket-unit"][0].rows)))
    assert how.persisting == how.refusing == frozenset()


def test_a_command_for_it():
    ran = insitu("check", "--mutants", "--table", "ticket-module", "--json")
    assert ran.code == 0
    assert '"unexplained": []' in ran.out.splitlines()[-1]
    assert '"survivors": {' in ran.out.splitlines()[-1]
