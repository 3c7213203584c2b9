"""The handshake learned as a black box in a real session: both sides, by signatures and by static keys.

Suites that are not ours are in it: how often one side names its own to the other is limited, and so counted.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from black_box import learned
from handshake_players import SHAKERS, HandshakePromise, ModuleInitiates, Shaking, UnitResponds
from pump import personalize
from recorder import Recorder
from suite_players import IN_OTHER_SUITES, ModuleIsToldSuites, UnitNamesSuites
from taken_away import Unguarded
from world import World

from insitu.protocol.channel.edhoc import frames, initiator, proofs, responder
from insitu.protocol.engine import Table
from insitu.protocol.messages import TrustOption

Patch = pytest.MonkeyPatch
ALL = (*SHAKERS, *IN_OTHER_SUITES)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Recorder]:
    """What both tables did in handshakes that came to an end, and in others, by the name of the table."""
    recorders = {table.name: Recorder(table) for table in (initiator.INITIATOR, responder.RESPONDER)}
    with ExitStack() as watched:
        for recorder in recorders.values():
            watched.enter_context(recorder.watching())
        for option in (TrustOption.CERTIFICATES, TrustOption.SHIPPED_KEY):
            world = World()
            world.equip(option)
            personalize(world, option)
        for player in ALL:
            for word in player.led:
                began = player()
                for name in word:
                    began.hear(next(letter for letter in began.letters if letter.name == name))
                began.leave()
    return recorders


@pytest.mark.parametrize("player", ALL, ids=lambda player: player.__name__)
def test_a_side_is_what_its_table_promises(player: type[Shaking], recorded: dict[str, Recorder]):
    found = learned(player, HandshakePromise(player, recorded[player.table.name]))
    assert found.difference == ""
    assert found.states > 2


@pytest.mark.long
@pytest.mark.parametrize("player", ALL, ids=lambda player: player.__name__)
def test_and_the_w_method_finds_no_difference(
    player: type[Shaking], recorded: dict[str, Recorder], record_property: Callable[[str, object], None]
):
    more = 0 if player in IN_OTHER_SUITES else 1  # they have more states than the others together
    found = learned(player, HandshakePromise(player, recorded[player.table.name]), more_states=more)
    record_property("states", found.states)
    record_property("words", found.words)
    assert found.difference == ""


# Broken on purpose -------------------------------------------------------------------------------------------


def verifies_nothing(patch: Patch) -> type[Shaking]:
    """The unit does not look whether the module's signature holds."""
    patch.setattr(proofs.Statement, "verify", lambda *_: None)
    return UnitResponds


def trusts_any_unit(patch: Patch) -> type[Shaking]:
    """The module does not either."""
    patch.setattr(proofs.Statement, "verify", lambda *_: None)
    return ModuleInitiates


def admits_any_option(patch: Patch) -> type[Shaking]:
    """The unit does not look what the module has pinned."""
    patch.setattr("insitu.protocol.channel.handshake.admission", lambda *_: lambda items: None)
    return UnitResponds


def names_suites_for_ever(patch: Patch) -> type[Shaking]:
    """The unit does not count how often it has refused a suite."""
    table: Any = Unguarded(responder.RESPONDER, responder.another_try_is_left)
    patch.setattr(frames, "RESPONDER", table)
    return UnitNamesSuites


def takes_the_weaker_suite(patch: Patch) -> type[Shaking]:
    """The unit does not look whether both could do better: a downgrade."""

    def it_is_supported(data: Any, event: Any) -> bool:
        return event.message.suites[-1] in data.config.suites

    whole, kept = responder.RESPONDER, responder.suite_is_agreed
    rows = [replace(each, when=it_is_supported) if each.when is kept else each for each in whole.rows]
    patch.setattr(frames, "RESPONDER", Table(whole.party, responder.ResponderState, whole.initial, rows))
    return UnitNamesSuites


def offers_whatever_was_tried(patch: Patch) -> type[Shaking]:
    """The module begins anew with what it prefers, whatever it is told."""
    patch.setattr(initiator, "best", lambda preferred, _: preferred[0])
    return ModuleIsToldSuites


@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (verifies_nothing, "message 3 by another key: message, open (the table promises: error, closed)"),
        (trusts_any_unit, "the next message altered: message (the table promises: error, closed)"),
        (admits_any_option, "message 1 under another option: message (the table promises: error, closed)"),
        (names_suites_for_ever, "message 1 in a suite of others: error (the table promises: error, closed)"),
        (takes_the_weaker_suite, "message 1 in a weaker suite: message (the table promises: error)"),
        (offers_whatever_was_tried, "an error that names what was offered: message (the table promises: closed)"),
    ],
    ids=["unit", "module", "option", "for ever", "weaker", "again"],
)
def test_a_broken_side_is_told_apart(
    break_it: Any, word: str, recorded: dict[str, Recorder], monkeypatch: pytest.MonkeyPatch
):
    player = break_it(monkeypatch)
    found = learned(player, HandshakePromise(player, recorded[player.table.name]))
    assert word in found.difference, found.difference
