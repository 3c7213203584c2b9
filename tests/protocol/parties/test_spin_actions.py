"""What the SPIN model says of actions is what they did: kinds and order of their effects, in every recorded step."""

from __future__ import annotations

from typing import Any

import pytest
from abstraction import ACTIONS, PLAYED
from promela import arrows
from recorder import Recorder

from insitu.protocol.engine import LookUp, Send, Show, StartTimer, StopTimer

WITHOUT_CONSEQUENCE = (Show, StartTimer, StopTimer)


def kind(effect: object) -> str:
    """As the model names it."""
    name = type(effect).__name__
    if isinstance(effect, Send):
        return f"Send {type(effect.message).__name__}"
    return f"{name} {effect.what}" if isinstance(effect, LookUp) else name


@pytest.mark.parametrize("name", PLAYED)
def test_actions_do_what_the_model_says(name: str, recorded: dict[str, Recorder]):
    table = PLAYED[name]
    played = {id(arrow.row) for arrow in arrows(name)}
    stated = {do: [did.kind for did in done if did.kind] for do, done in ACTIONS[name].items()}
    differing: dict[str, Any] = {}
    seen: set[str] = set()
    for moment in recorded[table.name].moments:
        do = moment.arrow.row.do
        if do is None or id(moment.arrow.row) not in played:
            continue
        done = [kind(effect) for effect in moment.step.effects if not isinstance(effect, WITHOUT_CONSEQUENCE)]
        again = len(stated[do.__name__]) if do.__name__ == "resume" else None  # it says again what was not answered
        if done[:again] != stated[do.__name__]:
            differing[do.__name__] = done
        seen.add(do.__name__)
    assert differing == {}
    assert set(stated) == seen
