"""The stages of proof learned over the wire: each is what its table promises, and the party begins behind it only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from black_box import Player, Promise, learned
from networked_players import BY_TAN
from proof_players import PROVERS, ModuleHasMobile, ModuleProvesKey, UnitAsksForTicket, UnitKnowsSecret
from pump import personalize
from recorder import Recorder
from taken_away import Unguarded
from world import World

from insitu.protocol.channel.trust import conveyed, mutual, pake
from insitu.protocol.messages import NumberMaker, TrustOption
from insitu.shell.card import Card

Patch = pytest.MonkeyPatch
ALL = (*PROVERS, *BY_TAN)


@pytest.fixture(scope="module")
def proofs() -> dict[str, Recorder]:
    """What each stage's table did while modules were personalized by each option, by the name of the table."""
    recorders = {
        player.stage.name: Recorder(player.stage) for player in (*PROVERS, *BY_TAN) if player.stage is not None
    }
    with ExitStack() as watched:
        for recorder in recorders.values():
            watched.enter_context(recorder.watching())
        for option in {player.option for player in ALL}:
            for maker in NumberMaker if option is TrustOption.CONVEYED else (NumberMaker.UNIT,):
                world = World()
                world.equip(option)
                world.courier.maker = maker
                personalize(world, option)
    return recorders


def promise(player: type[Player], recorded: dict[str, Recorder], proofs: dict[str, Recorder]) -> Promise:
    assert player.stage is not None
    return Promise(player, recorded[player.table.name], proofs[player.stage.name])


@pytest.mark.parametrize("player", ALL, ids=lambda player: player.__name__)
def test_a_stage_is_what_its_table_promises(
    player: type[Player], recorded: dict[str, Recorder], proofs: dict[str, Recorder]
):
    found = learned(player, promise(player, recorded, proofs))
    assert found.difference == ""
    assert found.states > 2


@pytest.mark.long
@pytest.mark.parametrize("player", ALL, ids=lambda player: player.__name__)
def test_and_the_w_method_finds_no_difference(
    player: type[Player],
    recorded: dict[str, Recorder],
    proofs: dict[str, Recorder],
    record_property: Callable[[str, object], None],
):
    found = learned(player, promise(player, recorded, proofs), more_states=0)
    record_property("states", found.states)
    record_property("words", found.words)
    assert found.difference == ""


# Broken on purpose -------------------------------------------------------------------------------------------


def believes_any_proof(patch: Patch) -> type[Player]:
    """The module does not compare."""
    patch.setattr(mutual, "MODULE_PROOF", Unguarded(mutual.MODULE_PROOF, mutual.the_mac_is_right))
    return ModuleProvesKey


def vouched_for_by_anybody(patch: Patch) -> type[Player]:
    """The module takes the word of a unit at the end of another channel."""
    table = Unguarded(conveyed.MODULE_CONVEYED, conveyed.the_unit_vouched_for_this_channel)
    patch.setattr(conveyed, "MODULE_CONVEYED", table)
    return ModuleHasMobile


def knows_no_secret(patch: Patch) -> type[Player]:
    """The unit goes on with a module that did not know the secret, and proves itself to it."""
    patch.setattr(pake, "UNIT_PAKE", Unguarded(pake.UNIT_PAKE, mutual.the_mac_is_right))
    return UnitKnowsSecret


def looks_at_no_ticket(patch: Patch) -> type[Player]:
    """The table is as it was; the card takes whatever number and MAC it is shown."""
    patch.setattr(Card, "take_ticket", lambda card, claim: True)
    return UnitAsksForTicket


@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (believes_any_proof, "its own proof: - (the table promises: fault UNTRUSTED, closed)"),
        (
            vouched_for_by_anybody,
            "it vouches for another channel: NumberSettled (the table promises: fault UNTRUSTED, closed)",
        ),
        (knows_no_secret, "a proof of nothing: Proof, GenerateKeyPair (the table promises: fault UNTRUSTED, closed)"),
        (looks_at_no_ticket, "another's ticket: GenerateKeyPair (the table promises: fault UNTRUSTED, closed)"),
    ],
    ids=["guard", "another channel", "secret", "card"],
)
def test_a_broken_stage_is_told_apart(
    break_it: Any, word: str, recorded: dict[str, Recorder], proofs: dict[str, Recorder], monkeypatch: Patch
):
    player = break_it(monkeypatch)
    found = learned(player, promise(player, recorded, proofs))
    assert word in found.difference, found.difference
