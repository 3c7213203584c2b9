"""The model checker with a thief who has the card: by no date does he work once the loss is known (S5)."""

from __future__ import annotations

import pytest

from insitu.check.lost_card import LostCard, s5_what_a_thief_certified_is_refused
from insitu.check.search import Search
from insitu.check.trace import mermaid

KNOWN = s5_what_a_thief_certified_is_refused.__name__


@pytest.mark.parametrize("kept", [False, True], ids=["nothing stays", "what was known stays"])
def test_nothing_is_wrong_in_a_small_world(kept):
    report = Search(LostCard({}, kept=kept)).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.states > 50
    assert report.liveness == report.states - 1


@pytest.mark.parametrize("kept", [False, True], ids=["nothing stays", "what was known stays"])
def test_a_date_that_is_believed_is_noticed(monkeypatch, kept):
    """As if what a certificate says of its time were asked, not when it was seen here."""
    monkeypatch.setattr("insitu.protocol.parties.central.stands_in_spite_of_loss", lambda issuer, entry, name: True)
    report = Search(LostCard({}, kept=kept), live=False, only=frozenset({KNOWN})).run()
    assert report.violation is not None


def test_a_policy_that_is_forgotten_is_noticed(monkeypatch):
    """Who was known does not get in any more."""
    asked = "insitu.protocol.parties.central.stands_in_spite_of_loss"
    monkeypatch.setattr(asked, lambda issuer, entry, name: issuer.lost is None)
    report = Search(LostCard({}, kept=True)).run()
    assert report.violation is not None
    assert report.violation.invariant == "all_can_end_well"
