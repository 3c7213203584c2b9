"""The lean machine against the stock one: same states, same triggers, same arrows, so the same moves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from random import Random
from typing import Any

import pytest
from transitions import EventData, Machine, MachineError

from insitu.protocol.engine.machine import Cell, LeanMachine

STATES = ["A", "B", "C", "D"]
TRIGGERS = ["one", "two"]

Guard = Callable[[Any, Any], bool]
Arrow = tuple[str, str, str, Guard | None]


def bit_is_set(number: int, _data: object, event: int) -> bool:
    return bool(event >> number & 1)


def count(data: int, event: int) -> tuple[int, list[str]]:
    return data + 1, [f"took {event}"]


def random_arrows(seed: int) -> list[Arrow]:
    chance = Random(seed)
    guards = [None, partial(bit_is_set, 0), partial(bit_is_set, 1)]
    return [
        (chance.choice(TRIGGERS), chance.choice(STATES), chance.choice(STATES), chance.choice(guards))
        for _ in range(chance.randrange(1, 12))
    ]


def lean(arrows: list[Arrow]) -> LeanMachine:
    machine = LeanMachine(STATES)
    for trigger, source, target, guard in arrows:
        machine.add_transition(trigger, source, target, when=guard, do=count)
    return machine


def stock(arrows: list[Arrow]) -> Machine:
    def check(guard: Guard, fired: EventData) -> bool:
        cell: Any = fired.model
        return guard(cell.data, cell.event)

    def act(fired: EventData) -> None:
        cell: Any = fired.model
        cell.data, effects = count(cell.data, cell.event)
        cell.effects = tuple(effects)

    machine = Machine(model=None, states=STATES, initial=None, auto_transitions=False, send_event=True)
    for trigger, source, target, guard in arrows:
        machine.add_transition(trigger, source, target, conditions=guard and partial(check, guard), before=act)
    return machine


def fire(machine: Machine, trigger: str, state: str, event: int) -> tuple[object, ...]:
    cell = Cell(state, 5, event)
    try:
        taken = machine.events[trigger].trigger(cell)
    except MachineError:  # a stock machine: no such arrow at all
        taken = False
    return taken, cell.state, cell.data, cell.effects


@pytest.mark.parametrize("seed", range(100))
def test_moves_as_the_stock_machine_does(seed: int):
    arrows = random_arrows(seed)
    ours, theirs = lean(arrows), stock(arrows)
    for trigger, state, event in product({arrow[0] for arrow in arrows}, STATES, range(4)):
        assert fire(ours, trigger, state, event) == fire(theirs, trigger, state, event)


def test_the_arrows_are_there_for_whoever_draws_or_exports_them():
    arrows = [("one", "A", "B", None), ("one", "A", "C", None), ("two", "B", "D", None)]
    found = [(each.source, each.dest) for each in lean(arrows).get_transitions()]
    assert found == [(source, target) for _, source, target, _ in arrows]


def test_an_exception_leaves_the_cell_where_it_was():
    def fail(_data: int, _event: int) -> tuple[int, list[str]]:
        raise ValueError("no")

    machine = LeanMachine(STATES)
    machine.add_transition("one", "A", "B", do=fail)
    cell = Cell("A", 5, 0)
    with pytest.raises(ValueError, match="no"):
        machine.events["one"].trigger(cell)
    assert (cell.state, cell.data, cell.effects) == ("A", 5, ())
