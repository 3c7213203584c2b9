"""The model checker at the desks of card and manufacturer: what takes two is done by two, what is wrong is refused."""

from __future__ import annotations

from typing import Any

import pytest
from guards import unguarded

from insitu.check.mutants import Mutant, Themed, instead, tried
from insitu.check.office import MAKER, Asking, Business, Office, record_of
from insitu.check.office_lists import Books, Certifying, Revoking, Ticketing
from insitu.check.office_people import Furnishing, People, Token
from insitu.check.search import Search
from insitu.check.themes import OFFICE
from insitu.check.trace import mermaid
from insitu.protocol.engine import Table, given
from insitu.protocol.parties.card import CARD
from insitu.protocol.parties.manufacturer import MANUFACTURER

A = Asking


def test_a_card_and_a_manufacturer_to_the_end():
    for business in (Furnishing(), Certifying(), Revoking()):
        report = Search(Office(business, {A.CRASHES: 1, A.PROPOSED: 1, A.DONE: 1})).run()
        assert report.violation is None, mermaid(report.trace, report.violation)
        assert report.complete
        assert report.liveness == report.states - 1


def test_together_the_worlds_have_all_that_may_happen():
    worlds = [make() for make in OFFICE.values()]
    assert {each for world in worlds for each in world.budget} == set(Asking)
    kinds = {type(world.business) for world in worlds}
    assert kinds == {Furnishing, People, Token, Certifying, Revoking, Ticketing, Books}


def test_people_are_locked_and_unlocked_and_change():
    world = Office(People(("UNLOCK bob", "REMOVE bob")), {A.PROPOSED: 1, A.WRONG: 2})
    assert Search(world, live=False).run().complete
    cards = set(range(len(world.stores))) - {world.initial().stores[MAKER]}
    people = [given(record_of(world.stores[card].vault.record)).people for card in cards]
    bobs = {next((each.failures for each in some if each.name == "bob"), None) for some in people}
    assert bobs == {0, 1, 2, 3, 4, 5, None}  # begun with three, locked, unlocked and wrong again, removed


@pytest.mark.parametrize(
    ("table", "guard", "business", "invariant"),
    [
        (CARD, "pin_is_right", People(("UNLOCK bob",)), "l13_an_approval_is_given_by_who_knows_the_pin"),
        (CARD, "old_pin_is_right", People(("UNLOCK bob",)), "l13_a_wrong_pin_is_counted"),
        (CARD, "two_people_are_named", Furnishing(), "what_must_not_be_is_refused"),
        (CARD, "list_is_no_older", Revoking(), "what_must_not_be_is_refused"),
        (CARD, "the_mac_is_right", Ticketing(), "a4_a_ticket_is_one_modules"),
        (MANUFACTURER, "serial_is_unused", Books(), "l1_the_books_have_everything_once"),
    ],
)
def test_a_guard_that_is_missing_is_noticed(table: Table[Any, Any], guard: str, business: Business, invariant: str):
    budget = {A.PROPOSED: 1, A.WRONG: 1, A.DONE: 2}
    Office(business, budget).initial()
    with instead(table, unguarded(table, guard)):
        report = Search(Office(business, budget), live=False, only=frozenset({invariant})).run()
    assert report.violation is not None
    assert report.violation.invariant == invariant


def test_a_pin_that_is_told_to_be_wrong_before_that_is_durable_is_noticed():
    """Else a thief who cuts the power in time could try for ever."""
    number = next(
        n for n, row in enumerate(CARD.rows) if row.when is not None and row.when.__name__ == "person_may_try"
    )
    world = Themed("office", "they say wrong PINs", 100)
    assert tried(Mutant("card", number, "Persist last"), (world,)).by == "what_a_desk_does_is_whole"
