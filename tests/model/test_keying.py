"""The model checker's keypad (A7): what goes to the module is what was keyed in, and nothing of it lies about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from insitu.check.keying import Keyed, Keying
from insitu.check.mutants import instead
from insitu.check.search import Search
from insitu.check.themes import KEYPAD as WORLDS
from insitu.check.trace import mermaid
from insitu.protocol.engine import Show
from insitu.protocol.parties.keypad import KEYPAD, KeypadData
from insitu.protocol.progress import KeysRefused

SMALL = {Keyed.ASKED: 1, Keyed.SLIPS: 1, Keyed.CORRECTED: 1, Keyed.ENTERED: 3}


def test_one_question_to_the_end():
    report = Search(Keying(SMALL)).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete
    assert report.liveness == report.states - 1


def test_its_world_has_all_that_may_happen_but_crashes_which_leave_nothing():
    (make,) = WORLDS.values()
    assert set(make().budget) == set(Keyed) - {Keyed.CRASHES}


def _kept(do):
    """What was typed stays where the pad was given up."""

    def kept(data, event):
        after, effects = do(data, event)
        return replace(after, typed=data.typed), effects

    return kept


def _told(do):
    """The operator is told what was wrong, by its content."""

    def told(data, event):
        after, effects = do(data, event)
        shown = [Show(KeysRefused("module", data.typed, 1)) if isinstance(each, Show) else each for each in effects]
        return after, shown

    return told


def _anew(do):
    """Slips are not counted."""

    def anew(data, event):
        return KeypadData(), do(data, event)[1]

    return anew


@pytest.mark.parametrize(
    ("action", "do", "what"),
    [
        ("give_up", _kept, "what was typed lies about"),
        ("begin_again", _told, "what was typed is told"),
        ("begin_again", _anew, "an operator begins again 3 times"),
    ],
)
def test_what_notices_a_wrong_action(action, do, what):
    rows = (
        replace(row, do=do(row.do)) if row.do is not None and row.do.__name__ == action else row for row in KEYPAD.rows
    )
    with instead(KEYPAD, tuple(rows)):
        report = Search(Keying(SMALL), live=False).run()
    assert report.violation is not None
    assert report.violation.what == what
