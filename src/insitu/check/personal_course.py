"""The ordinary course of a personalization, and what else must not keep it from its end.

At a unit in the network people approve a key that waits. Where mobiles convey, a strange one is turned away and changes
nothing, and the unit's own may be faster than the channel (A9).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ..protocol.channel.trust.conveyed import NumberConveyed
from ..protocol.messages import NUMBER_BYTES, ModuleCondition, TrustOption
from ..protocol.parties.unit import JobApproved
from .liveness import Liveness
from .people import approve_another
from .personalizing import Personalizing
from .state import IDLE, State, Variant
from .world import SERIAL

_STRANGE: Final = NumberConveyed(SERIAL, bytes(32), bytes(NUMBER_BYTES), "another mobile")


class PersonalCourse:
    """The course of a world.

    Args:
        world: which.
        liveness: brings everything that runs to its end, and looks at it on the way.

    """

    def __init__(self, world: Personalizing, liveness: Liveness) -> None:
        self._world = world
        self._liveness = liveness

    def goes_wrong(self) -> str:
        """What is wrong with it; empty: nothing."""
        world, first = self._world, self._world.initial()
        joined = world.joined(first, 1)
        if joined is None:
            return "module and unit cannot meet"
        for text, state, kind in self._ways(joined):
            end = self._liveness.settled(state, kind)
            if isinstance(end, str):
                return f"{text}: {end}"
            if world.module_record(end.stores[0]).condition is not ModuleCondition.OPERATING:
                return f"{text}: the module is not personalized"
        stuck = self._liveness.stuck(first)
        return stuck.what if stuck else ""

    def _ways(self, joined: State) -> Iterator[tuple[str, State, str]]:
        """Where the course may go on from, in words, and which kind of move waits for no other there."""
        if self._world.variant is Variant.FIELD:
            yield "undisturbed", joined, ""
        for state in self._on_the_way(joined, JobApproved):
            approved = self._world.people(state, 1, "job", approve_another)
            yield "people approve what waits", approved or state, ""
        if self._world.option is TrustOption.CONVEYED:
            yield "the mobile is faster than the channel", joined, "order"
            for state in self._on_the_way(joined, NumberConveyed):
                yield "a strange mobile comes first", self._turned_away(state), ""

    def _turned_away(self, state: State) -> State:
        """The unit has heard a strange mobile; what it answers goes to that one."""
        slot = state.slots[1]
        local = replace(self._world.told(state, 1, slot, _STRANGE), forwarded=())
        return self._world.applied(state, 1, local, inbox=slot.inbox, orders=slot.orders)

    def _on_the_way(self, state: State, awaited: type) -> Iterator[State]:
        """The states on the way in which the unit waits for such an event, and none has come."""
        while (following := next(self._world.honest_moves(state), None)) is not None:
            state = following[1]
            slot = state.slots[1]
            if slot.end != IDLE and not slot.orders and awaited in self._world.ends[slot.end].session.accepted:
                yield state
