"""The mobile learned at its module and as it calls, and the unit that is called: each is what its table promises."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from black_box import Box, Player, Promise, learned
from networked_players import MobileCalls
from recorder import Recorder
from stream_players import ON_STREAMS, MobileAtModule, OnStream, StreamBox
from taken_away import Unguarded

from insitu.protocol.parties.mobile import MOBILE, the_unit_vouches
from insitu.shell import mobile as mobile_shell

Patch = pytest.MonkeyPatch
ALL = (MobileCalls, *ON_STREAMS)
LED = {
    "MobileCalls": ["its word", "the link is lost", "silence"],
    "MobileAtModule": [
        "a number, the unit vouches",
        "make one, it refuses",
        "another module's",
        "silence",
        "a number, silence",
        "the link is lost",
        "a number, the link is lost",
    ],
    "UnitIsCalled": ["a conveyance, the session's word", "the link is lost", "a conveyance, the link is lost"],
}
"""Words through which each of them is led, so that what its actions do is recorded."""


def box_of(player: type[Player]) -> type[Box]:
    return StreamBox if issubclass(player, OnStream) else Box


@pytest.fixture(scope="module")
def calls() -> dict[str, Recorder]:
    """What each table did, by its name."""
    recorders = {player.table.name: Recorder(player.table) for player in ALL}
    with ExitStack() as watched:
        for recorder in recorders.values():
            watched.enter_context(recorder.watching())
        for player in ALL:
            for word in LED[player.__name__]:
                box_of(player)(player).query((player.letters[0].name, *word.split(", ")))
    return recorders


@pytest.mark.parametrize("player", ALL, ids=lambda player: player.__name__)
def test_a_side_is_what_its_table_promises(player: type[Player], calls: dict[str, Recorder]):
    found = learned(player, Promise(player, calls[player.table.name]), box=box_of(player))
    assert found.difference == ""
    assert found.states > 2


@pytest.mark.long
@pytest.mark.parametrize("player", ALL, ids=lambda player: player.__name__)
def test_and_the_w_method_finds_no_difference(
    player: type[Player], calls: dict[str, Recorder], record_property: Callable[[str, object], None]
):
    promise = Promise(player, calls[player.table.name])
    found = learned(player, promise, more_states=1, box=box_of(player))
    record_property("states", found.states)
    record_property("words", found.words)
    assert found.difference == ""


def test_a_mobile_that_takes_any_word_is_told_apart(calls: dict[str, Recorder], monkeypatch: Patch):
    """It says that the unit vouched, of whichever module."""
    table: Any = Unguarded(MOBILE, the_unit_vouches)
    monkeypatch.setattr(mobile_shell, "MOBILE", table)
    promise = Promise(MobileAtModule, calls[MOBILE.name])
    found = learned(MobileAtModule, promise, box=StreamBox)
    word = "it vouches for another: Verdict, closed (the table promises: Verdict, fault UNTRUSTED, closed)"
    assert word in found.difference, found.difference
