"""The model checker's worlds by theme: nothing is wrong as they begin, and what is known not to hold is found.

What is particular to a theme, small worlds to their end and what is noticed there, has a file of its own.
"""

from __future__ import annotations

import pytest

from insitu.check.report import MOST_TO_FIND
from insitu.check.search import Search
from insitu.check.themes import THEMES, Weakness
from insitu.check.trace import mermaid

WORLDS = [(theme, name) for theme in THEMES for name in THEMES[theme].worlds]
WEAKNESSES = [
    pytest.param(weakness, id=f"{theme}: {weakness.known.by}", marks=[pytest.mark.long] if theme == "at-work" else [])
    for theme in THEMES
    for weakness in THEMES[theme].weaknesses
]


@pytest.mark.parametrize(("theme", "name"), WORLDS)
def test_nothing_is_wrong_in_the_beginning(theme: str, name: str):
    report = Search(THEMES[theme].worlds[name](), most=60).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.complete or report.states >= 60
    assert report.liveness == report.states - 1


@pytest.mark.parametrize("weakness", WEAKNESSES)
def test_what_is_known_not_to_hold_is_found(weakness: Weakness):
    report = Search(weakness.make(), most=MOST_TO_FIND, live=False, only=frozenset({weakness.known.breaks})).run()
    assert report.violation is not None
    assert report.trace
