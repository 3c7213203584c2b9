"""Parties whose waits run out one by one, by name, to be learned: the promise says when which of them runs.

Where the other alphabets have the silence that ends whatever is waited for first, these have a letter for each timer of
the table. Which of them run is part of a state, so that one that is never started, or not stopped, is told apart.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import Final

from black_box import Done, Letter, Player, runs_out
from networked_players import UnitWithQueue
from pump import personalized_world
from wire_players import CentralBeforeModule, ModuleBeforeCentral, ModuleBeforeUnit, holds
from world import Beginning, World

from insitu.protocol.engine import Fault
from insitu.protocol.messages import Beat, Declined, Instruct, Message, Received
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.stores.registry import CommandKind

COMMANDS: Final = 40
"""That wait for the module, more than any word concludes."""


def chosen(player: type[Player], *names: str) -> tuple[Letter, ...]:
    """These letters of another alphabet."""
    return tuple(next(each for each in player.letters if each.name == name) for name in names)


class ModuleInTime(ModuleBeforeUnit):
    """A module before a unit, which may ask people."""

    letters = (
        *chosen(ModuleBeforeUnit, "meet", "make a new key", "people are asked", "certificates", "the link is lost"),
        runs_out("peer"),
    )


class UnitInTime(UnitWithQueue):
    """A unit that waits for its module, and for people."""

    letters = (
        *chosen(UnitWithQueue, "meet", "my key", "people approve", "it is struck off", "confirmation"),
        runs_out("module"),
        runs_out("person"),
    )


class ModuleAtWorkInTime(ModuleBeforeCentral):
    """A module at work: its own pace, and the wait for an answer to it."""

    letters = (
        *chosen(ModuleBeforeCentral, "meet", "welcome", "an instruction", "the time", "a reset?", "the link is lost"),
        runs_out("peer"),
        runs_out("beat", "it_is_time_to_beat"),
    )


class CentralInTime(CentralBeforeModule):
    """A central system with commands that wait: it waits for the module, for its beat, and for each receipt."""

    shortest = holds("hand_over")  # of instructions and lists; here all are instructions
    unheard = MappingProxyType({("put_off", "Declined"): Done((), (), None, timers=(("command", False),))})

    def __init__(self) -> None:
        super().__init__(World(begun=_ordered()))
        self.generation += 1  # of the greeting that was said there

    def command(self) -> int:
        """The number of the command that it sent last."""
        sent = [each.number for each in self.live.intruder.got if isinstance(each, Instruct)]
        return sent[-1] if sent else 1

    def busy(self) -> Message:
        """Not now."""
        return Declined(self.command(), Fault.UNAVAILABLE)

    letters = (
        *chosen(CentralBeforeModule, "meet"),
        Letter("greeting", "Greeting", holds("nothing_speaks_against_it"), lambda me: me.greeting()),  # type: ignore[attr-defined]
        Letter("I am here", "Beat", say=lambda _: Beat(1)),
        Letter(
            "done",
            "Received",
            say=lambda me: Received(me.command()),  # type: ignore[attr-defined]
            within=MappingProxyType({"command": holds("it_acknowledges_our_command")}),
        ),
        Letter(
            "not now",
            "Declined",
            say=lambda me: me.busy(),  # type: ignore[attr-defined]
            within=MappingProxyType({"command": holds("it_is_busy")}),
        ),
        Letter(
            "look again",
            "AttentionCalled",
            holds("it_may_stay"),
            do=lambda me: me.call_attention(),  # type: ignore[attr-defined]
            own=True,
            within=MappingProxyType({"command": holds("nothing_waits")}),
        ),
        runs_out("module"),
        runs_out("silence"),
        runs_out("command"),
    )

    def call_attention(self) -> None:
        """Somebody changed something about the module."""
        victim = self.live.victim
        victim.take(victim.session.submit(AttentionCalled(), victim.now()))


@cache
def _ordered() -> Beginning:
    world = personalized_world()
    first = CentralBeforeModule(world)
    first.hear(first.letters[0])
    first.live.say(first.greeting())
    first.leave()
    for number in range(COMMANDS):
        world.command(CommandKind.INSTRUCT, b"%d" % number)
    return Beginning.of(world)


IN_TIME: Final[tuple[type[Player], ...]] = (ModuleInTime, UnitInTime, ModuleAtWorkInTime, CentralInTime)
