"""The model checker on the product's own tables: a small world of each option to its end, every known attack.

`insitu check` searches far more; what it finds in the worlds here, it must find within seconds.
"""

from __future__ import annotations

import json

import pytest
from commands import insitu

from insitu.check.attacks import ATTACKS, WITHSTOOD
from insitu.check.judge import invariants
from insitu.check.mutants import LIMITS
from insitu.check.personalizing import Personalizing
from insitu.check.report import SMALL, Finding, find
from insitu.check.search import Search
from insitu.check.state import Variant
from insitu.check.trace import mermaid
from insitu.protocol.messages import TrustOption

OPTIONS = list(TrustOption)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_nothing_is_wrong_in_a_small_world(option):
    """One session of the module and of a unit, one crash, one reset, one more job, and the intruder: to the end."""
    report = Search(Personalizing(option, WITHSTOOD[option], limits=LIMITS)).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.states > 150
    assert report.complete
    assert report.liveness == report.states - 1


@pytest.mark.parametrize("option", Variant.NETWORKED.options, ids=lambda option: option.name.lower())
def test_nothing_is_wrong_in_a_small_world_with_a_unit_in_the_network(option):
    """Two lines at once, and people who approve what waits; the beginning of it."""
    report = Search(Personalizing(option, WITHSTOOD[option], variant=Variant.NETWORKED, limits=SMALL), most=1500).run()
    assert report.violation is None, mermaid(report.trace, report.violation)
    assert report.states >= 1500


def test_which_variants_an_option_has():
    """A cable is in no network, and of a module with documents nobody knows beforehand who calls."""
    cable = {TrustOption.PHYSICAL, TrustOption.SHIPPED_KEY}
    assert set(Variant.FIELD.options) == set(OPTIONS)
    assert set(Variant.NETWORKED.options) == set(OPTIONS) - cable


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.option.text}, {attack.by}")
def test_what_an_option_does_not_withstand_is_found(attack):
    report = find(attack)
    assert report.violation is not None, "not found"
    assert report.violation.invariant == attack.breaks
    diagram = mermaid(report.trace, report.violation)
    assert diagram.startswith("sequenceDiagram\n")
    assert "intruder" in diagram
    assert attack.breaks in diagram


def test_every_option_has_an_attack_that_is_known():
    """None of them is told to be good against everybody."""
    assert {attack.option for attack in ATTACKS} == set(OPTIONS)


def test_a_search_repeats():
    first, second = (Search(Personalizing(TrustOption.TICKET, limits=SMALL), most=800).run() for _ in range(2))
    assert (first.states, first.transitions, first.steps) == (second.states, second.transitions, second.steps)


def test_the_invariants_say_what_they_are():
    named = dict(invariants())
    assert len(named) > 10
    assert all(named.values())
    said = " ".join(named.values())
    assert [number for number in (1, 2, 3, 6, 7, 9, 10, 11, 12, 13) if f"S{number}" not in said] == []


def test_a_command_for_it(tmp_path):
    ran = insitu("check", "--option", "ticket", "--variant", "field", "--states", "200", "--depth", "4", "--json")
    assert ran.code == 0
    first, second, *attacks = [json.loads(line) for line in ran.out.splitlines()]
    assert (first["option"], first["powers"], first["violation"]) == ("ticket", ["documents"], None)
    assert {first["world"], second["world"]} == {"side by side", "one after the other"}
    assert 100 < first["states"] <= 201
    assert first["depth"] <= 4
    assert [each["as_expected"] for each in attacks] == [True] * len(attacks)


def test_a_fault_is_told_with_the_way_to_it(tmp_path, monkeypatch):
    """With an attack that is known as if it were not."""
    from insitu.check import report as reports

    attack = ATTACKS[0]
    broken = Finding(attack.option.text, Variant.FIELD.value, "an attack", None, find(attack))
    monkeypatch.setattr("insitu.cli.check.search", lambda *_, **__: iter([broken]))
    kept = tmp_path / "trace.mmd"
    ran = insitu("check", "--option", "physical", "--variant", "field", "--trace", str(kept))
    assert ran.code == 1
    assert "WRONG" in ran.out
    assert "the check found a fault" in ran.err
    assert kept.read_text() == broken.diagram
    kept.write_text("something of yours")
    assert insitu("check", "--trace", str(kept)).code == 2
    assert kept.read_text() == "something of yours"
    assert reports.InvariantBroken.exit_code == 1
