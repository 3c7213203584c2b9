"""Numbers that are none, and options that say nothing together: one clear line, exit code 2, nothing begun."""

from __future__ import annotations

import pytest
from commands import insitu

LINK = ("--link", "tcp:127.0.0.1:1")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    "words",
    [
        ("simulate", "--hours"),
        ("fuzz", "cobs", "--seconds"),
        ("fuzz", "all", "--total"),
        ("unit", "personalize", *LINK, "--card", "card.insitu", "--wait"),
        ("card", "enroll", *LINK, "--store", "card.insitu", "--wait"),
    ],
    ids=" ".join,
)
def test_what_is_no_finite_number_is_none(words, number):
    ran = insitu(*words, number)
    assert ran.code == 2
    assert "is not a finite number" in ran.err or "is not in the range" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("simulate", "--trace", "--seeds", "2"), "--trace shows one world"),
        (("simulate", "--trace", "--json"), "--trace shows one world"),
        (("check", "--table", "module"), "expected --mutants"),
        (("check", "--mutants", "--option", "ticket"), "mutants have worlds of their own"),
        (("check", "--option", "physical", "--variant", "networked"), "nobody has such worlds"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_options_that_say_nothing_together(words, says):
    ran = insitu(*words)
    assert ran.code == 2
    assert says in ran.err
    assert not ran.out
