"""The module at work, what time it is for a symmetric key (S8).

Three sources, and the latest counts: what the module's clock shows, what the central system told, and what it was at
the last look plus what has really passed since, by a clock that nobody can set. Of that, what is durable stands in the
record: the time of each key (`seen`) and of the central system (`latest`). The rest is a Reckoning, as old as the
program.
"""

from __future__ import annotations

from dataclasses import replace

from ..messages import HeldKey, TimeTold, Welcome
from .work_data import Reckoning, SecretWanted, TimePassed, WorkData


def learned(data: WorkData, event: SecretWanted | TimePassed | TimeTold | Welcome) -> WorkData:
    """The same, knowing what the event says of the time."""
    before = data.reckoning
    if isinstance(event, (TimeTold, Welcome)):
        return replace(data, reckoning=replace(before, told=max(before.told, event.time)))
    passed = max(0, event.steady - before.steady)
    times = {label: at + passed for label, at in before.times.items()}
    keys = data.record.keys
    times = {held.label: max(event.at, time_for(data, held), times.get(held.label, 0)) for held in keys}
    return replace(data, reckoning=Reckoning(before.told, event.steady, times))


def time_for(data: WorkData, held: HeldKey) -> int:
    """What time it is for this key as far as is known, unix seconds; it never goes back."""
    return max(noted_for(data, held), data.reckoning.told, data.reckoning.times.get(held.label, 0))


def noted_for(data: WorkData, held: HeldKey) -> int:
    """What of that a power cut would leave."""
    return max(held.seen, data.record.latest)
