"""Steps of a card's table up to the end: the head of its log is signed as its key memory would."""

from __future__ import annotations

from typing import Any

from world import World

from insitu.protocol.engine import Sign, Signed, Step
from insitu.protocol.parties.card import CARD
from insitu.protocol.parties.card_data import CardData, CardState


def with_head(world: World, step: Step[CardState, CardData]) -> Step[CardState, Any]:
    """The step after one in which something was entered: the authentication key has signed the head."""
    assert step.state is CardState.VOUCHING
    (sign,) = step.effects
    assert isinstance(sign, Sign)
    assert sign.key.label == "authentication"
    return CARD.step(step.state, step.data, Signed(world.vault("card").sign(sign.key, sign.message)))
