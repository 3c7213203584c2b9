"""The model checker with revocation lists: who is on one is turned away, and no older list makes up for that (S5)."""

from __future__ import annotations

import pytest
from guards import unguarded

from insitu.check.intruder import Power
from insitu.check.listing import Listing, Lists, module_that_knows_a_list, names
from insitu.check.mutants import instead
from insitu.check.search import Search
from insitu.check.state import Limits
from insitu.check.trace import mermaid
from insitu.check.world import BANKS, LISTED, RIVAL, SERIAL, STOLEN, beginning
from insitu.protocol.keys.revocation import VerifiedCrl, read_crl
from insitu.protocol.messages import TrustOption
from insitu.protocol.parties.card import CARD
from insitu.protocol.parties.card_data import ListHeard
from insitu.shell.card import Card

SMALL = Limits(module=1, first=1, second=0, resets=0, crashes=0)


def test_a_world_to_its_end():
    world = Listing(TrustOption.CERTIFICATES, Lists(given=(3,), times=1), limits=SMALL)
    report = Search(world).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete


def test_each_list_names_one_more():
    start = beginning(TrustOption.CERTIFICATES)
    lists = [read_crl(der, start.root) for der in start.lists]
    assert [each.number for each in lists] == [1, 2, 3, 4]
    assert [len(each.revoked) for each in lists] == [1, 2, 3, 4]
    assert (STOLEN, RIVAL, SERIAL, BANKS[0]) == LISTED
    assert [names(SERIAL, number) for number in range(5)] == [False, False, False, True, True]


def test_a_module_that_knows_a_list_got_it_at_work_and_kept_it_over_a_reset():
    world = Listing(TrustOption.CERTIFICATES, Lists(at_module=True))
    record = world.module_record(world.initial().stores[0])
    assert (record.condition.name, record.epoch, record.crl) == ("RESET", 1, world.start.lists[1])
    assert module_that_knows_a_list() is module_that_knows_a_list()


@pytest.mark.parametrize(
    ("where", "lists", "power", "option", "invariant"),
    [
        (
            "channel.trust.certificates",
            Lists(at_units=3),
            Power.IDENTITY,
            TrustOption.CERTIFICATES,
            "s5_a_unit_turns_away_whom_its_list_names",
        ),
        (
            "parties.module",
            Lists(at_module=True),
            Power.RIVAL,
            TrustOption.PHYSICAL,
            "s5_a_module_turns_away_whom_its_list_names",
        ),
    ],
)
def test_a_check_that_is_missing_is_noticed(monkeypatch, where, lists, power, option, invariant):
    """Nobody looks at the list any more."""
    monkeypatch.setattr(f"insitu.protocol.{where}.check_unrevoked", lambda certificate, crl: None)
    world = Listing(option, lists, frozenset({power}), limits=SMALL)
    report = Search(world, live=False, only=frozenset({invariant})).run()
    assert report.violation is not None


def test_an_older_list_that_passes_is_noticed(monkeypatch):
    """By a card whose program and table take whatever comes."""

    def heed(card: Card, crl: bytes) -> VerifiedCrl:
        card._submit(ListHeard(crl))
        return read_crl(crl, card.root)

    monkeypatch.setattr(Card, "heed", heed)
    world = Listing(TrustOption.CERTIFICATES, Lists(given=(1, 3), times=2), limits=SMALL)
    with instead(CARD, unguarded(CARD, "list_is_no_older")):
        report = Search(world, live=False).run()
    assert report.violation is not None
    assert report.violation.invariant == "s5_no_older_list_takes_the_place_of_a_newer"
