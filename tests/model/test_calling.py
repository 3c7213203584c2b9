"""The model checker where a mobile calls a unit over a channel of ours (A9)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from insitu.check.calling import BROUGHT, Calling
from insitu.check.mutants import instead
from insitu.check.search import Search
from insitu.check.trace import mermaid
from insitu.protocol.messages import Verdict
from insitu.protocol.parties.mobile_call import CALLED, CALLING


def test_one_call_to_the_end():
    report = Search(Calling(crashes=1, runs=(1, 1, 0))).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.liveness == report.states - 1


def _changed(table, action, do):
    return tuple(
        replace(row, do=do(row.do)) if row.do is not None and row.do.__name__ == action else row for row in table.rows
    )


def _in_anothers_name(ask):
    """A unit that hands on what it heard as the first mobile's, whoever called."""
    mobile = Calling().mobile

    def do(data, event):
        return ask(replace(data, mobile=mobile), event)

    return do


def _another_word(hear):
    def do(data, event):
        return hear(data, replace(event, serial="SN-9"))

    return do


def _unheard(_say):
    """A mobile that is content with what it hoped to hear."""

    def do(data, event):
        return replace(data, word=Verdict(BROUGHT.serial, BROUGHT.binding)), []

    return do


@pytest.mark.parametrize(
    ("table", "action", "do", "invariant"),
    [
        (CALLED, "ask", _in_anothers_name, "a9_what_is_asked_a_mobile_conveyed"),
        (CALLING, "hear", _another_word, "a9_a_mobile_has_the_word_for_what_it_brought"),
        (CALLING, "say", _unheard, "all_can_end_well"),
    ],
)
def test_what_notices_a_wrong_action(table, action, do, invariant):
    with instead(table, _changed(table, action, do)):
        report = Search(Calling(runs=(1, 1, 0)), live=invariant == "all_can_end_well").run()
    assert report.violation is not None
    assert report.violation.invariant == invariant
