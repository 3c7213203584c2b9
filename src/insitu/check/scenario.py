"""A world as the search sees it: what a state is, and every move that is possible in one.

A state is a tuple of small numbers: the stores, one slot for each session that a party can have, what the intruder has
heard, what has happened so far that matters for the invariants, and how often what is bounded may still happen. What a
party does with an event in one of its own states is computed once, by the product, and remembered (parties.py).

What all worlds have in common is here: links, frames, timers, crashes, and the intruder at any end. Who is there and
what people and programs do besides is in personalizing.py and in operating.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from operator import methodcaller
from typing import Final

from ..protocol.engine import Consult, InsituError, Show, TableError, given
from ..protocol.messages import (
    RECORD_LIMITS,
    Message,
    ModuleRecord,
    Purpose,
    decode_message,
    decode_record,
)
from ..protocol.ports import Ports
from ..protocol.session import Outcome, Transmit
from .channel import CheckedSession, Frame, messages_in
from .intruder import Intruder
from .memory import Failing
from .parties import Done, End, Party, answer, begin, cut_short, move
from .state import CUT, IDLE, INTRUDER, NOBODY, USEFUL, Fact, Local, Move, Place, Slot, State, with_slot
from .values import Pool, canonical
from .world import NOW, Beginning, Store

_OPERATIONS: Final = 3
"""Of key memory, in what follows from one event; each may fail."""
CRASHES: Final = 0
"""Where in `State.left` it says how many crashes there may still be."""


class Scenario(ABC):
    """A world, and everything that may happen in it.

    Args:
        start: how it begins.
        places: where sessions take place, those first that call.
        intruder: who is there besides.
        purposes: for which those call.
        failures: where in `State.left` it says how many key operations may still fail; None: none.

    """

    def __init__(
        self,
        start: Beginning,
        places: tuple[Place, ...],
        intruder: Intruder,
        purposes: tuple[Purpose, ...],
        *,
        failures: int | None = None,
    ) -> None:
        self.start = start
        self.places = places
        self.intruder = intruder
        self._purposes = purposes
        self._failures = failures
        self.stores: Pool[Store] = Pool()
        self.ends: Pool[End] = Pool()
        self.frames: Pool[Frame] = Pool()
        self.orders: Pool[object] = Pool()
        self.heard: Pool[frozenset[Message]] = Pool()
        self.facts: Pool[frozenset[Fact]] = Pool()
        self._locals: dict[Hashable, Local | None] = {}
        self._done: list[tuple[Done, dict[str, bytes]]] = []
        self._sayings: dict[tuple[int, int], list[tuple[str, Message, int]]] = {}
        self._intruded: dict[tuple[int, int, int, int], list[tuple[Move, Local]]] = {}
        self._cut: dict[Hashable, tuple[int, ...]] = {}
        self._restarted: dict[int, int] = {}
        self._records: dict[int, ModuleRecord] = {}
        self._described: dict[int, str] = {}
        self.frames.number(Frame("cut"), "cut")

    # What a world is

    @abstractmethod
    def initial(self) -> State:
        """Before anything happened."""

    @abstractmethod
    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """What happened, from what was shown, asked or sent (a message) at this place."""

    def goes_wrong(self, settle: Callable[[State], State | str]) -> str:
        """What is wrong with the course that people take, where there is one; empty: nothing. `settle`: see below."""
        return ""

    @abstractmethod
    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """From a state in which nothing runs: why it cannot end well, if people see to what they must; empty: it can.

        `settle` has everything that runs come to its end, or says why it does not.
        """

    def consequences(self, before: State, after: State, place: int, local: Local) -> State:
        """What follows besides when a session did something: `after`, where nothing does."""
        return after

    def replies(self, state: State, place: int, end: End) -> Iterator[tuple[str, Callable[[Ports, Consult], object]]]:
        """What the person says who is asked there."""
        return iter(())

    def wishes(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        """What a session is told by its own people and programs, in the ordinary course of things."""
        return iter(())

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """What happens beside the sessions."""
        return iter(())

    def passed(self, state: State, timer: str) -> State | None:
        """The state in which this timer may run out; None: it may not, any more."""
        return state

    def rests(self, slot: Slot) -> bool:
        """Whether nothing more has to happen there."""
        return slot.end == IDLE

    def hears_more(self, victim: CheckedSession) -> bool:
        """Whether the intruder says still more to this session."""
        return True

    def at(self, state: State) -> int:
        """What time it is, unix seconds."""
        return NOW

    def beginning(self, stores: tuple[Store, ...], left: tuple[int, ...], beside: int = 0) -> State:
        """A state in which nothing has happened."""
        return State(
            tuple(map(self.store_number, stores)),
            tuple(Slot(IDLE, NOBODY, (), (), place.runs) for place in self.places),
            self.heard.number(frozenset(), frozenset()),
            self.facts.number(frozenset(), frozenset()),
            left,
            beside,
        )

    def store_number(self, store: Store) -> int:
        """The number of a store."""
        return self.stores.number(store, store.identity)

    def frame_number(self, frame: Frame) -> int:
        """The number of a frame."""
        return self.frames.number(frame, bytes(frame))

    # What a party does

    def local(self, place: int, end: int, store: int, key: Hashable, do: Callable[[], Done]) -> Local | None:
        """What comes of `do` in this place, computed once; None: it cannot be done."""
        about = place, end, store, key
        if about not in self._locals:
            try:
                done = do()
                self._locals[about] = self._local(place, done)
                self._done.append((done, self.stores[store].vault.secrets()))
            except TableError:
                raise
            except InsituError:
                self._locals[about] = None
        return self._locals[about]

    def _local(self, place: int, done: Done) -> Local:
        came_up = self.came_up(self.store_number(done.store))
        every = self._told(place, done.order)
        crashes: dict[tuple[int, tuple[int, ...], tuple[Fact, ...]], None] = {}
        numbers: dict[int, int] = {}
        for store, sent, order in done.crashes:
            if id(store) not in numbers:
                numbers[id(store)] = self.store_number(store)
            facts = self._told(place, done.order[:order])
            crashes[numbers[id(store)], tuple(map(self.frame_number, sent)), facts] = None
        crashes.pop((came_up, tuple(map(self.frame_number, done.sent)), every), None)  # a move of its own
        return Local(
            IDLE if done.end is None else self.ends.number(done.end, done.end.identity),
            self.store_number(done.store),
            tuple(map(self.frame_number, done.sent)),
            tuple(message for message in messages_in(done.sent) if isinstance(message, USEFUL)),
            every,
            done.forwarded,
            tuple(crashes),
            done,
        )

    def _told(self, place: int, order: tuple[object, ...]) -> tuple[Fact, ...]:
        """The facts in what was done, in order."""
        found: list[Fact] = []
        for effect in order:
            match effect:
                case Show(note):
                    found += self.facts_of(place, note)
                case Transmit(frames):
                    for message in messages_in(frames):
                        found += self.facts_of(place, message)
                case _:
                    found += self.facts_of(place, effect)
        return tuple(found)

    def event(
        self,
        place: int,
        slot: Slot,
        store: int,
        key: Hashable,
        do: Callable[[CheckedSession], Outcome],
        at: int = NOW,
        fails: int | None = None,
    ) -> Local:
        """What comes of an event at a session that runs; `fails`: the number of a key operation that does."""
        about, end = self.places[place], self.ends[slot.end]

        def done() -> Done:
            return move(about.party, end, self.stores[store], do, at, None if fails is None else Failing(fails))

        return given(self.local(place, slot.end, store, key if fails is None else (key, "fails", fails), done))

    def receive(self, place: int, slot: Slot, store: int, frame: int, at: int) -> Local:
        """What comes of a frame."""
        if frame == CUT:
            return self.event(place, slot, store, "lost", lambda session: session.lost("the link ended"))
        arrived = self.frames[frame]
        return self.event(place, slot, store, (frame, at), lambda session: session.receive(arrived, at), at)

    # States that follow

    def applied(
        self, state: State, place: int, local: Local, *, inbox: tuple[int, ...], orders: tuple[int, ...]
    ) -> State:
        """The state after what a session did; `inbox` and `orders`: what it has left to take."""
        slots, slot = list(state.slots), state.slots[place]
        ended = local.end == IDLE
        peer = NOBODY if ended else slot.peer
        slots[place] = Slot(local.end, peer, () if ended else inbox, () if ended else orders, slot.runs)
        known = state.known
        if slot.peer >= 0:
            theirs = slots[slot.peer]
            sent = theirs.inbox + local.sent + ((CUT,) if ended else ())
            slots[slot.peer] = theirs._replace(inbox=sent, peer=NOBODY if ended else theirs.peer)
        elif slot.peer == INTRUDER and local.heard:
            known = self.learned(known, local.heard)
        stores = list(state.stores)
        stores[self.places[place].store] = local.store
        facts = state.facts
        if local.facts:
            facts = self.happened(facts, local.facts)
        after = State(tuple(stores), tuple(slots), known, facts, state.left, state.beside)
        return self.consequences(state, after, place, local)

    def learned(self, known: int, heard: tuple[Message, ...]) -> int:
        """What the intruder knows, having heard these as well."""
        more = self.heard[known].union(heard)
        return self.heard.number(more, more)

    def happened(self, facts: int, new: tuple[Fact, ...]) -> int:
        """What has happened, with these."""
        if not new:
            return facts
        more = self.facts[facts].union(new)
        return self.facts.number(more, more)

    def module_record(self, store: int) -> ModuleRecord:
        """What the module keeps."""
        if store not in self._records:
            kept = given(self.stores[store].vault.record)
            self._records[store] = decode_record(ModuleRecord, kept, **RECORD_LIMITS)
        return self._records[store]

    def ordered(self, state: State, place: int, event: object) -> State:
        """Something came over the second link of a session, if there is one."""
        slot = state.slots[place]
        if slot.end == IDLE:
            return state
        number = self.orders.number(event, canonical(event))
        return with_slot(state, place, slot._replace(orders=(*slot.orders, number)))

    # Moves

    def moves(self, state: State) -> Iterator[tuple[Move, State]]:
        """Everything that may happen next, and the state after it."""
        for place, slot in enumerate(state.slots):
            if slot.end == IDLE:
                if slot.runs:
                    yield from self._openings(state, place)
            else:
                yield from self._happenings(state, place, slot)
        yield from self.others(state)
        yield from self._crashes_at_rest(state)

    def honest_moves(self, state: State) -> Iterator[tuple[Move, State]]:
        """What happens if nobody interferes: frames arrive, people answer."""
        for place, slot in enumerate(state.slots):
            if slot.end != IDLE:
                yield from self._deliveries(state, place, slot)
                yield from self._answers(state, place, slot)

    def deadlines(self, state: State) -> Iterator[tuple[Move, State]]:
        """What happens if nothing arrives: waits end."""
        for place, slot in enumerate(state.slots):
            if slot.end != IDLE:
                yield from self._expiries(state, place, slot)

    @property
    def steps(self) -> list[tuple[Done, dict[str, bytes]]]:
        """What sessions and people were seen to do, each once."""
        return self._done

    def _begun(self, state: State, place: int, peer: int) -> tuple[State, Local] | None:
        about, slot = self.places[place], state.slots[place]
        store = state.stores[about.store]
        name = f"{about.name}, run {slot.runs}"
        at = self.at(state)
        local = self.local(place, IDLE, store, (name, at), lambda: begin(about.party, self.stores[store], name, at))
        if local is None:
            return None
        slots = list(state.slots)
        slots[place] = slot._replace(peer=peer, runs=slot.runs - 1)
        return self.applied(state._replace(slots=tuple(slots)), place, local, inbox=(), orders=()), local

    def _openings(self, state: State, place: int) -> Iterator[tuple[Move, State]]:
        if self.places[place].calls:
            for other, slot in enumerate(state.slots):
                if slot.end == IDLE and slot.runs and not self.places[other].calls:
                    opened = self.joined(state, other, place)
                    if opened is not None:
                        names = self.places[place].name, self.places[other].name
                        yield Move("join", *names, "a link is made"), opened
        yield from self._intrusions(state, place)

    def joined(self, state: State, called: int, caller: int = 0) -> State | None:
        """A link between these two places."""
        first = self._begun(state, called, caller)
        if first is None:
            return None
        second = self._begun(first[0], caller, called)
        return None if second is None else second[0]

    def _intrusions(self, state: State, place: int) -> Iterator[tuple[Move, State]]:
        """The intruder is at the other end, with whatever he has; his handshake to its end, whatever that is."""
        about, slot = self.places[place], state.slots[place]
        key = place, state.stores[about.store], slot.runs, self.at(state)
        if key not in self._intruded:
            self._intruded[key] = list(self._shaken(state, place))
        for move_made, local in self._intruded[key]:
            slots = list(state.slots)
            slots[place] = slot._replace(peer=INTRUDER, runs=slot.runs - 1)
            yield move_made, self.applied(state._replace(slots=tuple(slots)), place, local, inbox=(), orders=())

    def _shaken(self, state: State, place: int) -> Iterator[tuple[Move, Local]]:
        begun = self._begun(state, place, INTRUDER)
        if begun is None:
            return
        opened, local = begun
        victim, name, at = self.ends[opened.slots[place].end].session, self.places[place].name, self.at(state)
        for loot in self.intruder.loot:
            if self.places[place].calls:
                reply = self.intruder.called(loot)
                made = Move("intrude", name, "intruder", f"he answers by {loot.name}")
                waiting = _replies_to(map(self.frames.__getitem__, local.sent), reply)
                yield made, self._followed(place, local, waiting, reply, at)
                continue
            for purpose in self._purposes:
                first, reply = self.intruder.calls(victim, loot, purpose)
                text = f"he calls by {loot.name}, {purpose.name.lower()}"
                yield Move("intrude", name, "intruder", text), self._followed(place, local, [first], reply, at)

    def _followed(
        self, place: int, local: Local, waiting: list[Frame], reply: Callable[[Frame], Frame | None], at: int
    ) -> Local:
        """What all of a handshake comes to."""
        heard, facts, forwarded = local.heard, local.facts, local.forwarded
        while waiting and local.end != IDLE:
            slot = Slot(local.end, INTRUDER, (), (), 0)
            local = self.receive(place, slot, local.store, self.frame_number(waiting.pop(0)), at)
            heard, facts, forwarded = heard + local.heard, facts + local.facts, forwarded + local.forwarded
            waiting += _replies_to(map(self.frames.__getitem__, local.sent), reply)
        return replace(local, sent=(), heard=heard, facts=facts, forwarded=forwarded, crashes=())

    def _happenings(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        yield from self._deliveries(state, place, slot)
        yield from self._answers(state, place, slot)
        yield from self._expiries(state, place, slot)
        if slot.peer == INTRUDER:
            yield from self._said(state, place, slot)
            cut = slot._replace(inbox=(CUT,), peer=NOBODY)
            yield Move("cut", self.places[place].name, "intruder"), with_slot(state, place, cut)
        elif slot.peer >= 0:
            if place < slot.peer:
                both = with_slot(state, place, slot._replace(inbox=(CUT,), peer=NOBODY))
                theirs = state.slots[slot.peer]._replace(inbox=(CUT,), peer=NOBODY)
                yield (
                    Move("cut", self.places[place].name, self.places[slot.peer].name),
                    with_slot(both, slot.peer, theirs),
                )
            yield from self._injections(state, place, slot)

    def _deliveries(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        if slot.inbox:
            frame, *rest = slot.inbox
            sender = "" if slot.peer < 0 else self.places[slot.peer].name
            yield from self._with_crashes(state, place, slot, frame, "deliver", sender, tuple(rest))

    def _injections(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        """Any frame that is under way, to whom it is not for, or too early: doubled, reordered, reflected, replayed."""
        session = self.ends[slot.end].session
        under_way = {frame for each in state.slots for frame in each.inbox if frame != CUT}
        for frame in sorted(under_way):
            is_next = (frame,) == slot.inbox[:1] or session.expects(self.frames[frame])
            kind = "double" if is_next else "inject"
            yield from self._with_crashes(state, place, slot, frame, kind, "intruder", slot.inbox)

    def _said(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        victim = self.ends[slot.end].session
        if victim.records is None or slot.inbox or not self.hears_more(victim):
            return
        about = slot.end, state.known
        if about not in self._sayings:
            said = self.intruder.sayings(victim, self.heard[state.known])
            self._sayings[about] = [
                (f"{type(message).__name__}, {text}", message, self.frame_number(self.intruder.record(victim, message)))
                for text, message in said
            ]
        for text, _, frame in self._sayings[about]:
            yield from self._with_crashes(state, place, slot, frame, "say", "intruder", (), text)

    def _with_crashes(
        self,
        state: State,
        place: int,
        slot: Slot,
        frame: int,
        kind: str,
        sender: str,
        rest: tuple[int, ...],
        text: str = "",
    ) -> Iterator[tuple[Move, State]]:
        local = self.receive(place, slot, state.stores[self.places[place].store], frame, self.at(state))
        shown = text or self.described(frame)
        made = Move(kind, self.places[place].name, sender, shown)
        yield made, self.applied(state, place, local, inbox=rest, orders=slot.orders)
        yield from self.cut_within(state, place, local, made)
        if frame != CUT:
            at, arrived = self.at(state), self.frames[frame]
            after = slot._replace(inbox=rest)
            yield from self.fails(state, place, after, (frame, at), methodcaller("receive", arrived, at), made)

    def fails(
        self,
        state: State,
        place: int,
        slot: Slot,
        key: Hashable,
        do: Callable[[CheckedSession], Outcome],
        made: Move,
    ) -> Iterator[tuple[Move, State]]:
        """The same, and one of the key operations in it fails. `slot`: as it will be, but for what the session does."""
        if self._failures is None or not state.left[self._failures]:
            return
        store, at = state.stores[self.places[place].store], self.at(state)
        whole = self.event(place, slot, store, key, do, at)
        for number in range(_OPERATIONS):
            local = self.event(place, slot, store, key, do, at, number)
            if (local.end, local.store, local.sent) == (whole.end, whole.store, whole.sent):
                return  # there are no more
            after = self.applied(state, place, local, inbox=slot.inbox, orders=slot.orders)
            failed = Move("fail", made.who, made.whom, f"key memory fails: {made.text}")
            yield failed, self.less(after, self._failures)

    def cut_within(self, state: State, place: int, local: Local, made: Move) -> Iterator[tuple[Move, State]]:
        """The power is cut in the midst of it: part of it was sent, part of it is durable, part of it was shown."""
        if not state.left[CRASHES]:
            return
        for store, sent, facts in local.crashes:
            heard = local.heard if len(sent) == len(local.sent) else local.heard[: len(sent)]
            partly = Local(IDLE, store, sent, heard, facts, (), (), local.done)
            after = self.applied(state, place, partly, inbox=(), orders=())
            yield Move("crash", made.who, made.whom, f"within: {made.text}"), self.less(after, CRASHES)

    def _answers(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        about, end, at = self.places[place], self.ends[slot.end], self.at(state)
        if end.asked:
            for text, reply in self.replies(state, place, end):
                store = state.stores[about.store]
                do = partial(answer, about.party, end, self.stores[store], reply, at)
                local = given(self.local(place, slot.end, store, ("answer", text, at), do))
                after = self.applied(state, place, local, inbox=slot.inbox, orders=slot.orders)
                made = Move("answer", about.name, "person", text)
                yield made, after
                yield from self.cut_within(state, place, local, made)
        yield from self.wishes(state, place, slot)
        if slot.orders:
            order, *rest = slot.orders
            event = self.orders[order]
            local = self.told(state, place, slot, event)
            after = self.applied(state, place, local, inbox=slot.inbox, orders=tuple(rest))
            made = Move("order", about.name, "mobile", type(event).__name__)
            yield made, after
            yield from self.cut_within(state, place, local, made)

    def told(self, state: State, place: int, slot: Slot, event: object, name: Hashable = None) -> Local:
        """What comes of a local event, submitted to a session that runs; `name`: of one that nobody may look into."""
        store, at = state.stores[self.places[place].store], self.at(state)
        key = "told", name or canonical(event), at
        return self.event(place, slot, store, key, lambda session: session.submit(event, at), at)

    def _expiries(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        store = state.stores[self.places[place].store]
        at = self.at(state)
        for timer in sorted(self.ends[slot.end].timers):
            before = self.passed(state, timer)
            if before is None:
                continue
            local = self.event(place, slot, store, ("expire", timer, at), methodcaller("expire", timer, at), at)
            after = self.applied(before, place, local, inbox=slot.inbox, orders=slot.orders)
            made = Move("expire", self.places[place].name, "", timer)
            yield made, after
            yield from self.cut_within(before, place, local, made)

    def _crashes_at_rest(self, state: State) -> Iterator[tuple[Move, State]]:
        if not state.left[0]:
            return
        running = {self.places[place].store: place for place, slot in enumerate(state.slots) if slot.end != IDLE}
        for store, first in running.items():
            after, came_up = state, self.came_up(state.stores[store])
            for place, about in enumerate(self.places):
                if about.store == store and state.slots[place].end != IDLE:
                    local = Local(IDLE, came_up, (), (), (), (), (), _NOTHING)
                    after = self.applied(after, place, local, inbox=(), orders=())
            yield Move("crash", self.places[first].name, "", "and comes up again"), self.less(after, 0)

    def came_up(self, store: int) -> int:
        """The number of a store after a crash."""
        if store not in self._restarted:
            self._restarted[store] = self.store_number(self.stores[store].restarted())
        return self._restarted[store]

    def less(self, state: State, which: int) -> State:
        """One of these the fewer."""
        left = list(state.left)
        left[which] -= 1
        return state._replace(left=tuple(left))

    def people(self, state: State, place: int, what: Hashable, do: Callable[[Party, Store], Done]) -> State | None:
        """What somebody does with a party while no session of it is concerned; None: it cannot be done."""
        about = self.places[place]
        store = state.stores[about.store]
        local = self.local(place, IDLE, store, what, lambda: do(about.party, self.stores[store].fork()))
        if local is None:
            return None
        stores = list(state.stores)
        stores[about.store] = local.store
        after = state._replace(stores=tuple(stores), facts=self.happened(state.facts, local.facts))
        return self.consequences(state, after, place, local)

    def cut_short(
        self, state: State, place: int, what: Hashable, do: Callable[[Party, Store], Done]
    ) -> Iterator[State]:
        """The same, and the power fails in the midst of it."""
        store = state.stores[self.places[place].store]
        about = place, store, what
        if state.left[CRASHES]:
            if about not in self._cut:
                try:
                    left = map(self.store_number, cut_short(do, self.places[place].party, self.stores[store]))
                    self._cut[about] = tuple(dict.fromkeys(left))
                except InsituError:
                    self._cut[about] = ()
            for partly in self._cut[about]:
                stores = list(state.stores)
                stores[self.places[place].store] = partly
                after = self.consequences(state, state._replace(stores=tuple(stores)), place, _PARTLY)
                yield self.less(after, CRASHES)

    def described(self, frame: int) -> str:
        """A frame, for people."""
        if frame not in self._described:
            arrived = self.frames[frame]
            is_record = arrived.kind == "record"
            self._described[frame] = type(decode_message(arrived.content[4])).__name__ if is_record else arrived.kind
        return self._described[frame]


_NOTHING: Final = Done(None, None)  # type: ignore[arg-type]
_PARTLY: Final = Local(IDLE, IDLE, (), (), (), (), (), _NOTHING)
"""Of what was cut short nobody heard anything."""


def _replies_to(frames: Iterable[Frame], reply: Callable[[Frame], Frame | None]) -> list[Frame]:
    return [answered for frame in frames if (answered := reply(frame)) is not None]
