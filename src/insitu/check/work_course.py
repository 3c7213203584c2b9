"""The ordinary course of a module at work: everything that a world has happens once, and ends as it should.

Then the same once more, cut short: with the link gone after each message, and where the world has them, with a crash of
either side at each point and a failure of each key operation. So rows that only a repetition takes are taken on
purpose, and a search need not be as deep as that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..protocol.messages import ModuleCondition
from ..protocol.parties.central_data import CentralState
from ..protocol.parties.work_data import TimePassed, WorkState
from ..protocol.stores.registry import CommandState, Standing
from .at_work import KEY_SECONDS
from .liveness import Liveness
from .operating import MODULE, Budget, Operating
from .state import AMISS, IDLE, Move, State
from .world import NOW, SERIAL

_B: Final = Budget
_COURSE: Final = (
    *(_B.WISHES, _B.CANCELS, _B.PAYLOADS, _B.INSTRUCTIONS, _B.KEYS, _B.USES, _B.BEATS, _B.LATE),
    *(_B.LISTED, _B.ORDERED, _B.ANEW, _B.BY_HAND, _B.LOST, _B.DISABLED, _B.REVOKED),
)
"""What happens, in this order."""
_OFFLINE: Final = {_B.LATE, _B.ANEW, _B.BY_HAND}
"""Of that, what happens while no session is open."""
_REFUSED: Final = {_B.LOST, _B.DISABLED, _B.REVOKED}
"""After which the module may not work any more."""
_GOES_ON: Final = {_B.KEYS, _B.USES}
"""Of which a failure of key memory does not end the session."""
_ONLINE: Final = {WorkState.ONLINE, CentralState.ONLINE}
_NOTHING_PAID: Final = {(5000, 0), (0, 0), (0, None), (None, 0)}
"""How an authorization may end that somebody gave up, or of which nobody knows any more."""
_ASIDE: Final = {_B.CANCELS}
"""From which the course does not go on."""
_CUT: Final = (_B.WISHES, _B.CANCELS, _B.PAYLOADS, _B.INSTRUCTIONS, _B.KEYS, _B.USES, _B.BEATS, _B.ORDERED)
"""What may be cut short, and is made up for at the next contact, or the one after that."""


class WorkCourse:
    """The course of a world.

    Args:
        world: which.
        liveness: brings everything that runs to its end, and looks at it on the way.

    """

    def __init__(self, world: Operating, liveness: Liveness) -> None:
        self._world = world
        self._liveness = liveness

    def goes_wrong(self) -> str:
        """What is wrong with it; empty: nothing."""
        world = self._world
        state = world.joined(world.initial(), 1)
        for budget in (None, *(each for each in _COURSE if each in world.budget)):
            if state is not None and budget is not None and budget in _CUT:
                why = self._cut_short(state, budget)
                if why:
                    return f"cut short in {budget.name}: {why}"
            after = state if budget is None or state is None else self._after(state, budget)
            if after is None:
                return f"there is no {budget.name if budget else 'link'}"
            settled = self._liveness.settled(after)
            if isinstance(settled, str):
                return settled
            why = self._amiss(settled, budget) or self._aged(settled, budget)
            if not why and budget is Budget.BEATS:
                why = self._again(settled) or self._silent(settled)
            if why:
                return f"after {budget.name if budget else 'a contact'}: {why}"
            state = state if budget in _ASIDE else settled
        return ""

    def _after(self, state: State, budget: Budget) -> State | None:
        """The state in which this has happened, and the parties have met again where they parted; None: it cannot."""
        world = self._world
        after = self._once(world.closed(state) if budget in _OFFLINE else state, budget)
        if after is not None and budget is Budget.ORDERED:
            away = self._liveness.settled(after)  # the module is sent away, and comes again
            after = None if isinstance(away, str) else away
        if after is not None and budget in (Budget.LATE, Budget.ANEW, Budget.ORDERED):
            after = world.joined(world.closed(after), 1)
        return after

    def _once(self, state: State, budget: Budget) -> State | None:
        return next((after for _, after in self._beginnings(state, budget)), None)

    def _beginnings(self, state: State, budget: Budget) -> Iterator[tuple[Move, State]]:
        """How this may begin, the whole of it first."""
        world = self._world
        if budget is Budget.CANCELS:  # the customer goes while the host is asked
            asked = self._once(state, Budget.WISHES)
            if asked is not None:
                yield from self._beginning(asked, budget)
            return
        yield from self._beginning(state, budget)
        if budget is Budget.BEATS:
            yield from (each for each in world.deadlines(state) if each[0].text == "beat")

    def _beginning(self, state: State, budget: Budget) -> Iterator[tuple[Move, State]]:
        world = self._world
        for each, made, do in world.possible(state):
            if each is budget:
                left = world.less if state.left[budget] else _unspent
                yield from ((move, left(after, budget)) for move, after in do(state, made))
                return

    # Cut short

    def _cut_short(self, state: State, budget: Budget) -> str:
        """Why it does not end well if the link is cut, or something crashes or fails, at some point."""
        for kind, cut in self._cuts(state, budget):
            over = self._liveness.settled(cut) if kind in AMISS else cut
            if isinstance(over, str):
                return over
            if kind == "fail" and budget in _GOES_ON and _ONLINE - self._states(over):
                return "the session ended"
            settled = self._met(over)
            if budget is Budget.ORDERED and isinstance(settled, State):
                settled = self._met(settled)  # it was sent away, and comes again
            if isinstance(settled, str):
                return settled
            why = self._amiss(settled, budget, whole=False, crashed=kind in AMISS)
            if why:
                return why
        return ""

    def _met(self, state: State) -> State | str:
        """They meet once more, if nothing went to its end by now that needs no contact."""
        if self._world.module_record(state.stores[MODULE]).condition is ModuleCondition.RESET:
            return self._liveness.settled(state)
        again = self._world.joined(self._world.closed(state), 1)
        return "they cannot meet again" if again is None else self._liveness.settled(again)

    def _cuts(self, state: State, budget: Budget) -> Iterator[tuple[str, State]]:
        """Each state in which it may be cut, and how: by a crash or a failure (AMISS), or by hand."""
        following = list(self._beginnings(state, budget))
        while following:
            (made, after), *others = following
            yield from ((move.kind, amiss) for move, amiss in others if move.kind in AMISS)
            if self._liveness.wrong(state, made, after):
                return  # as the whole course will say
            yield "cut", after
            state = after
            following = list(self._world.honest_moves(state))

    # What is wrong

    def _amiss(self, state: State, budget: Budget | None, *, whole: bool = True, crashed: bool = False) -> str:
        """What is not as it should be once this happened and all is quiet; empty: nothing.

        `whole`: from its beginning to its end; `crashed`: somebody did, or key memory failed, so that what nobody knows
        any more is settled with nothing.
        """
        world = self._world
        record, registry = world.module_record(state.stores[MODULE]), world.registry(state)
        entry = registry.module(SERIAL)
        if budget in (Budget.ORDERED, Budget.BY_HAND):
            blank = record.condition is ModuleCondition.RESET
            known = budget is Budget.BY_HAND or (entry is not None and entry.standing is Standing.RESET)
            return "" if blank and known else "the module is not reset"
        if budget in _REFUSED:
            return "" if CentralState.ONLINE not in self._states(state) else "it works all the same"
        if WorkState.ONLINE not in self._states(state) or entry is None or entry.standing is not Standing.OPERATING:
            return "the module is not online"
        if record.open or record.outbox or record.inbox:
            return "something is left to be told"
        ended = {command.state for command in registry.commands(SERIAL)}
        if ended - {CommandState.DONE} - ({CommandState.REFUSED} if crashed else set()):
            return "a command is not done"
        kept = sum(fact[0] == "kept" for fact in world.facts[state.facts])
        if len(registry.deliveries()) < kept or (not crashed and len(registry.deliveries()) > kept):
            return "a payload is not here"
        admitted = {(5000, 5000)} | (
            {(5000, 0), (0, 0), (0, None), (None, 0)} if crashed or budget in _ASIDE else set()
        )
        if any((each.instructed, each.paid) not in admitted for each in registry.transactions(SERIAL)):
            return "a transaction is not settled"
        if not whole:
            return ""
        used = ("used",) in world.facts[state.facts]
        due = Budget.USES in world.budget and budget in (Budget.USES, Budget.BEATS)
        if used != due and budget is not Budget.LATE:
            return "the symmetric key was used" if used else "the symmetric key was not used"
        told = budget is not Budget.BEATS or entry.generation == record.generation
        return "" if told else "nobody told how far the store is"

    def _states(self, state: State) -> set[object]:
        """Where the sessions are that run."""
        running = (self._world.session(state, place) for place in range(len(state.slots)))
        return {session.state for session in running if session is not None}

    def _again(self, state: State) -> str:
        """The module beats once more, and nothing has changed."""
        beating = self._once(state, Budget.BEATS)
        settled = "it does not beat" if beating is None else self._liveness.settled(beating)
        return settled if isinstance(settled, str) else self._amiss(settled, Budget.BEATS)

    def _silent(self, state: State) -> str:
        """The module beats, and nothing comes any more: it does not stay online."""
        beating = self._once(state, Budget.BEATS)
        if beating is None:
            return "it does not beat"
        deaf = beating._replace(slots=tuple(slot._replace(inbox=()) for slot in beating.slots))
        over = [after for made, after in self._world.deadlines(deaf) if (made.who, made.text) == ("module", "peer")]
        return "" if over and over[0].slots[0].end == IDLE else "silence does not end the session"

    # Symmetric keys

    def _aged(self, state: State, budget: Budget | None) -> str:
        """What is wrong with how a symmetric key ages; empty: nothing."""
        if budget is Budget.LATE:
            return self._over(state, "online") or self._over(self._world.closed(state), "offline")
        return self._noted(self._world.closed(state)) if budget is Budget.KEYS else ""

    def _over(self, state: State, where: str) -> str:
        """Its time is over: whoever looks at the clock, or wants to use it, finds it gone."""
        world = self._world
        looked = world.wished(state, TimePassed(world.at(state), world.steady(state)))
        for after in (looked, self._once(state, Budget.USES)):
            if after is None or world.module_record(after.stores[MODULE]).keys:
                return f"the symmetric key is still there, {where}"
            if (after.slots[0].end == IDLE) != (where == "offline"):
                return "the session ended"
        return ""

    def _noted(self, state: State) -> str:
        """It grew older before a crash: no clock that is set back gives it that time once more (S8)."""
        world = self._world
        older = world.wished(state, TimePassed(NOW + 2 * KEY_SECONDS // 3, 2 * KEY_SECONDS // 3))
        if older is None:
            return "nobody may look at the clock"
        stores = list(older.stores)
        stores[MODULE] = world.came_up(stores[MODULE])
        after = world.wished(older._replace(stores=tuple(stores)), TimePassed(NOW, 0))
        after = None if after is None else world.wished(after, TimePassed(NOW, KEY_SECONDS // 2))
        if after is None or world.module_record(after.stores[MODULE]).keys:
            return "a restart gave the symmetric key a second life"
        return ""


def _unspent(state: State, _: int) -> State:
    """Where nothing is left of it: the course has more than the search."""
    return state
