"""The world that tests live in repeats itself to the byte, and the line carries what it is told to."""

from __future__ import annotations

import pytest
import world as world_module
from pump import Line, Side, meeting, personalize
from world import SERIAL, World

from insitu.protocol.messages import CardRole, TrustOption


def life(option: TrustOption, seed: str = "world") -> list[bytes]:
    """Every frame of a personalization, of a reset, and of another personalization."""
    world = World(seed)
    frames = [frame for _, frame in personalize(world, option).crossed]
    world.module.reset_by_hand()
    return frames + [frame for _, frame in personalize(world, option).crossed]


@pytest.mark.parametrize("option", TrustOption, ids=lambda option: option.name.lower())
def test_the_same_seed_gives_the_same_bytes_made_anew_or_taken_up(option):
    taken_up = [life(option), life(option)]
    world_module._BEGINNINGS.clear()
    made_anew = life(option)
    assert taken_up == [made_anew, made_anew]
    assert not set(life(option, "other")) & set(made_anew[1:])


def test_worlds_of_one_seed_do_not_touch_each_other():
    first, second = World(), World()
    personalize(first)
    assert first.module.record != second.module.record
    assert len(first.card.record.log) == len(second.card.record.log) + 2
    assert first.vault(SERIAL).labels() != second.vault(SERIAL).labels()


def test_a_hook_sees_each_frame_and_decides_what_arrives():
    seen: list[tuple[str, int]] = []

    def hook(_: Line, sender: Side, number: int, frame: bytes) -> list[bytes] | None:
        seen.append((sender.name, number))
        return [] if number == 2 else None

    world = World()
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world, hook=hook).start()
    assert seen == [("module", 0), ("unit", 1), ("module", 2)]
    assert line.arrived == 2
    line.finish()
    assert line.module.error is not None
