"""The handshake learned as a black box in a real session: both sides, by signatures and by static keys.

What is not in these alphabets: suites that are not ours, whose answers depend on how often they were named.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from black_box import learned
from handshake_players import SHAKERS, HandshakePromise, ModuleInitiates, Shaking, UnitResponds
from pump import personalize
from recorder import Recorder
from world import World

from insitu.protocol.channel.edhoc import initiator, proofs, responder
from insitu.protocol.messages import TrustOption

Patch = pytest.MonkeyPatch


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
        for player in SHAKERS:
            for name in ("no message", "an error"):
                began = player()
                began.hear(next(letter for letter in began.letters if letter.name == name))
                began.leave()
    return recorders


@pytest.mark.parametrize("player", SHAKERS, ids=lambda player: player.__name__)
def test_a_side_is_what_its_table_promises(player: type[Shaking], recorded: dict[str, Recorder]):
    found = learned(player, HandshakePromise(player, recorded[player.table.name]))
    assert found.difference == ""
    assert found.states > 2


@pytest.mark.long
@pytest.mark.parametrize("player", SHAKERS, ids=lambda player: player.__name__)
def test_and_the_w_method_finds_no_difference(
    player: type[Shaking], recorded: dict[str, Recorder], record_property: Callable[[str, object], None]
):
    found = learned(player, HandshakePromise(player, recorded[player.table.name]), more_states=1)
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


@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (verifies_nothing, "message 3 by another key: message, open (the table promises: error, closed)"),
        (trusts_any_unit, "the next message altered: message (the table promises: error, closed)"),
        (admits_any_option, "message 1 under another option: message (the table promises: error, closed)"),
    ],
    ids=["unit", "module", "option"],
)
def test_a_broken_side_is_told_apart(
    break_it: Any, word: str, recorded: dict[str, Recorder], monkeypatch: pytest.MonkeyPatch
):
    player = break_it(monkeypatch)
    found = learned(player, HandshakePromise(player, recorded[player.table.name]))
    assert word in found.difference, found.difference
