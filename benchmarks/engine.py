"""One step with guard and action: through a table of ours, and as a bare trigger of `transitions` on a model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from measuring import Result, Sample, batch, medians
from transitions import EventData, Machine

from insitu.protocol.engine import Effects, Table, row

GOAL_SECONDS = 12e-6
GOAL_RATIO = 2.0
STEPS = 200


class Lamp(Enum):
    """Two states."""

    OFF = auto()
    ON = auto()


@dataclass(frozen=True, slots=True)
class Pressed:
    """The event."""

    force: int


@dataclass(frozen=True, slots=True)
class Counted:
    """The data."""

    presses: int = 0


def is_firm(_: Counted, event: Pressed) -> bool:
    """The guard."""
    return event.force > 1


def count(data: Counted, _: Pressed) -> tuple[Counted, Effects]:
    """The action."""
    return Counted(data.presses + 1), ()


LAMP = Table[Lamp, Counted](
    "lamp",
    Lamp,
    Lamp.OFF,
    [row(Lamp.OFF, Pressed, is_firm, count, Lamp.ON), row(Lamp.ON, Pressed, is_firm, count, Lamp.OFF)],
)


def ours() -> None:
    """STEPS steps, there and back."""
    state, data, event = Lamp.OFF, Counted(), Pressed(2)
    for _ in range(STEPS):
        step = LAMP.step(state, data, event)
        state, data = step.state, step.data


class Model:
    """What `transitions` moves: the same guard and action, as it calls them."""

    def __init__(self) -> None:
        self.data = Counted()

    def is_firm(self, fired: EventData) -> bool:
        """The guard."""
        return is_firm(self.data, fired.args[0])

    def count(self, fired: EventData) -> None:
        """The action."""
        self.data, _ = count(self.data, fired.args[0])


def bare() -> Sample:
    """STEPS triggers on a model that is registered once."""
    model = Model()
    machine = Machine(model=model, states=["OFF", "ON"], initial="OFF", auto_transitions=False, send_event=True)
    for source, target in (("OFF", "ON"), ("ON", "OFF")):
        machine.add_transition("press", source, target, conditions="is_firm", before="count")
    event = Pressed(2)

    def run() -> None:
        for _ in range(STEPS):
            model.press(event)  # type: ignore[attr-defined]

    return batch(run, STEPS)


async def measure(repeats: int) -> list[Result]:
    """The step in microseconds, and against the bare trigger."""
    found = await medians({"ours": batch(ours, STEPS), "bare": bare()}, repeats)
    goal = max(GOAL_SECONDS, GOAL_RATIO * found["bare"])
    note = f"bare trigger {found['bare'] * 1e6:.1f} us; the goal is 12 us or twice that"
    return [Result("engine.step", "engine step with guard and action, us", found["ours"] * 1e6, goal * 1e6, note)]
