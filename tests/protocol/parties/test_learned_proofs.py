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
from token_players import IN_TOKENS, ModuleBringsToken, UnitExpectsToken, met, plug_in
from world import World

from insitu.protocol.channel import proofs as statements
from insitu.protocol.channel.proofs import Side
from insitu.protocol.channel.trust import conveyed, mutual, pake, token
from insitu.protocol.messages import NumberMaker, TrustOption
from insitu.shell.card import Card

Patch = pytest.MonkeyPatch
ALL = (*PROVERS, *BY_TAN, *IN_TOKENS)
SLOWER = (UnitExpectsToken,)
"""Learned where there is time for the W-method as well, and only there."""


@pytest.fixture(scope="module")
def proofs() -> dict[str, Recorder]:
    """What each stage's table did while modules were personalized by each option, by the name of the table."""
    recorders = {player.stage.name: Recorder(player.stage) for player in ALL if player.stage is not None}
    with ExitStack() as watched:
        for recorder in recorders.values():
            watched.enter_context(recorder.watching())
        for option in {player.option for player in ALL}:
            for maker in NumberMaker if option is TrustOption.CONVEYED else (NumberMaker.UNIT,):
                world = World()
                world.equip(option)
                world.courier.maker = maker
                personalize(world, option)
        with_token = World()
        plug_in(with_token)
        met(with_token).start().finish()
    return recorders


def promise(player: type[Player], recorded: dict[str, Recorder], proofs: dict[str, Recorder]) -> Promise:
    assert player.stage is not None
    return Promise(player, recorded[player.table.name], proofs[player.stage.name])


@pytest.mark.parametrize("player", [each for each in ALL if each not in SLOWER], ids=lambda player: player.__name__)
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


def weighs_no_proof_of_a_token(patch: Patch) -> type[Player]:
    """The unit goes on with a module whose token has another key, and proves itself to it."""
    patch.setattr(token, "UNIT_TOKEN", Unguarded(token.UNIT_TOKEN, mutual.the_mac_is_right))
    return UnitExpectsToken


def makes_both_proofs_alike(patch: Patch) -> type[Player]:
    """Whose proof it is does not stand in it: the module takes its own, sent back."""
    possession = statements.possession_of_secret
    patch.setattr(statements, "possession_of_secret", lambda *about: possession(*about[:2], Side.UNIT, about[3]))
    return ModuleBringsToken


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
        pytest.param(
            weighs_no_proof_of_a_token,
            "a proof as the unit: Proof, GenerateKeyPair (the table promises: fault UNTRUSTED, closed)",
            marks=pytest.mark.long,
        ),
        (makes_both_proofs_alike, "its own proof: - (the table promises: fault UNTRUSTED, closed)"),
    ],
    ids=["guard", "another channel", "secret", "card", "token", "sent back"],
)
def test_a_broken_stage_is_told_apart(
    break_it: Any, word: str, recorded: dict[str, Recorder], proofs: dict[str, Recorder], monkeypatch: Patch
):
    player = break_it(monkeypatch)
    found = learned(player, promise(player, recorded, proofs))
    assert word in found.difference, found.difference
