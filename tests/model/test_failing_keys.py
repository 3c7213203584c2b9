"""The model checker where key memory fails, at any operation of module, unit or card."""

from __future__ import annotations

import pytest

from insitu.check.mutants import instead
from insitu.check.search import Search
from insitu.check.themes import FAILING
from insitu.check.trace import mermaid
from insitu.protocol.engine import KeyOperationFailed
from insitu.protocol.parties.card import CARD


@pytest.mark.parametrize("option", ["certificates", pytest.param("secret", marks=pytest.mark.long)])
def test_nothing_is_wrong_where_a_key_operation_fails(option):
    report = Search(FAILING[option]()).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.states > 150


def test_a_card_that_does_not_enter_that_it_failed_is_noticed():
    """Its log says of every intent how it ended (L12)."""
    FAILING["certificates"]()  # how it begins is not part of it
    rows = tuple(row for row in CARD.rows if row.on is not KeyOperationFailed)
    with instead(CARD, rows):
        report = Search(FAILING["certificates"]()).run()
    assert report.violation is not None
    assert report.violation.invariant == "what_a_desk_does_is_whole"
    assert "key memory fails" in mermaid(report.trace, report.violation)
