"""A second opinion on the tables: SPIN searches everything they can do in a world of attacker, faults and people.

The model is generated from the tables (specs/spin). It must hold what SECURITY asks for, and must notice when a guard,
an order or a destination is taken away: a model that notices nothing shows nothing.
`make check` searches larger worlds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from abstraction import ACTIONS, EITHER, GUARDS, NOT_ENTERED, NOT_PLAYED, PLAYED
from promela import arrows, tables
from search import LIVENESS, SMALL, Search, main

from insitu.protocol.engine import Table
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.module_data import ModuleState

SPIN = Path(__file__).parents[2] / "specs" / "spin"
WORLD = SMALL["two channels"]


# The map -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAYED)
def test_every_guard_and_action_that_is_played_is_stated_and_no_other(name: str):
    played = arrows(name)
    assert {arrow.row.when.__name__ for arrow in played if arrow.row.when} == set(GUARDS[name])
    assert {arrow.row.do.__name__ for arrow in played if arrow.row.do} == set(ACTIONS[name])


@pytest.mark.parametrize("name", PLAYED)
def test_every_event_and_state_is_played_or_left_out_with_a_reason(name: str):
    table = PLAYED[name]
    events = {event.__name__ for event in table.events}
    played = {arrow.row.on.__name__ for arrow in arrows(name)}
    assert set(NOT_PLAYED[name]) | played == events
    assert not set(NOT_PLAYED[name]) & played
    assert all(NOT_PLAYED[name].values())
    entered = {table.initial.name, *(arrow.target.name for arrow in arrows(name)), *(s.name for s in table.entries)}
    assert {state.name for state in table.states} == (entered | set(NOT_ENTERED[name]))


def test_the_committed_text_is_what_the_tables_say():
    assert (SPIN / "tables.pml").read_text(encoding="utf-8") == tables(), "run `make specs`"


def test_little_is_left_to_chance():
    """What is left open is business; every guard that an invariant rests on has a meaning."""
    either = {guard for guards in GUARDS.values() for guard, meaning in guards.items() if meaning == EITHER}
    assert either == {"there_is_room", "answers_our_request", "it_was_given_up"}


# The search --------------------------------------------------------------------------------------------------


def test_everything_holds_whatever_the_way(tmp_path: Path):
    found = Search(tmp_path, WORLD).of("safety")
    assert found.holds, found.trace
    assert found.states > 50_000


def test_once_nobody_disturbs_the_module_works(tmp_path: Path):
    search = Search(tmp_path, {"LINKS": 1, "COPIES": 0}, lively=True)
    for claim in LIVENESS:
        found = search.of(claim)
        assert found.holds, found.trace
        assert found.states > 1_000


# What is taken away is noticed -------------------------------------------------------------------------------


def operating_is_no_end() -> Table[Any, Any]:
    """A module that can be personalized while it operates."""
    rows = [
        replace(each, sources=(*each.sources, ModuleState.OPERATING), when=None)
        if getattr(each.when, "__name__", "") == "personalization_is_the_purpose"
        else each
        for each in MODULE.rows
        if getattr(each.when, "__name__", "") != "status_is_the_purpose"
    ]
    return Table(MODULE.party, ModuleState, MODULE.initial, rows, entries=MODULE.entries)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "the module takes any chain": ({"unguarded": {"chain_is_complete"}}, "s2"),
    "the unit believes proofs of another channel": (
        {"unguarded": {"possession_is_proved", "the_new_key_confirms"}},
        "agreement",
    ),
    "the central system lets in whoever comes": ({"unguarded": {"nothing_speaks_against_it"}}, "s4"),
    "a reset is told before it is written": ({"reversed_in": {"erase"}}, "s3"),
    "the confirmation is sent before it is true": ({"reversed_in": {"commit"}}, "agreement"),
    "operating is no end": ({"instead": {"module": operating_is_no_end()}}, "s1"),
}


@pytest.mark.parametrize(("change", "claim"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_is_found(change: dict[str, Any], claim: str, tmp_path: Path):
    found = Search(tmp_path, WORLD, tables(**change)).of(claim)
    assert not found.holds
    assert len(found.trace) > 10
    assert any("ChannelOpened" in step for step in found.trace)


# The command -------------------------------------------------------------------------------------------------


def test_it_says_how_it_is_called(capsys: pytest.CaptureFixture[str]):
    assert main(["--all"]) == 2
    assert "--whole" in capsys.readouterr().err
