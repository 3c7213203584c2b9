"""The model checker where a card brings its log: what is read stays, and what is cut short is noticed (L12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from insitu.check.mutants import instead
from insitu.check.search import Search
from insitu.check.syncing import Brought, Syncing
from insitu.check.themes import LOGS
from insitu.check.trace import mermaid
from insitu.protocol.engine import Persist
from insitu.protocol.parties.central_syncing import CENTRAL_SYNCING
from insitu.protocol.parties.log_reading import LogDoubted
from insitu.protocol.stores.card_logs import CardLog

B = Brought
OLDER = {B.CERTIFIED: 1, B.RESTORED: 1}
"""The copy is of the beginning."""


@pytest.mark.long
def test_a_card_that_certifies_and_comes_once_to_the_end():
    report = Search(Syncing({B.CERTIFIED: 1, B.CRASHES: 1}, runs=(1, 1, 0))).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.states > 300
    assert report.liveness == report.states - 1


def test_together_the_worlds_have_all_that_may_happen():
    assert {each for make in LOGS.values() for each in make().budget} == set(Brought)


def test_a_reader_that_doubts_a_sound_card_is_noticed(monkeypatch):
    """One that takes a log with nothing new in it for a shorter one."""

    def check(known: CardLog, entries: int) -> None:
        if entries <= known.entries:
            raise LogDoubted("shorter", who="card log")

    monkeypatch.setattr("insitu.protocol.parties.central_syncing.check_not_shorter", check)
    report = Search(Syncing({}, runs=(2, 2, 0)), live=False).run()
    assert report.violation is not None
    assert report.violation.invariant == "l12_a_card_is_in_doubt_for_a_reason"


@pytest.mark.long
def test_a_reader_that_takes_a_shorter_log_is_noticed():
    rows = tuple(row for row in CENTRAL_SYNCING.rows if row.when is None or row.when.__name__ != "its_log_got_shorter")
    with instead(CENTRAL_SYNCING, rows):
        report = Search(Syncing(OLDER, runs=(2, 2, 0))).run()
    assert report.violation is not None
    assert report.violation.what == "a log that is not what was read is not noticed"


def test_a_receipt_that_goes_out_before_the_log_is_kept_is_noticed():
    """The power fails between them."""

    def late(data: Any, event: Any) -> Any:
        after, effects = keep(data, event)
        return after, sorted(effects, key=lambda effect: isinstance(effect, Persist))

    number, row = next(each for each in enumerate(CENTRAL_SYNCING.rows) if each[1].do.__name__ == "keep_log")
    keep = row.do
    rows = list(CENTRAL_SYNCING.rows)
    rows[number] = replace(row, do=late)
    with instead(CENTRAL_SYNCING, tuple(rows)):
        only = frozenset({"l12_a_receipt_is_for_what_was_read"})
        report = Search(Syncing({B.CRASHES: 1}, runs=(1, 1, 0)), live=False, only=only).run()
    assert report.violation is not None
