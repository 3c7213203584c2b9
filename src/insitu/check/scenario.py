"""The world as the search sees it: what a state is, and every move that is possible in one.

A state is a tuple of small numbers: the stores, one slot for each session that a party can have, what the intruder has
heard, what has happened so far that matters for the invariants, and how many crashes, resets and jobs are left. What a
party does with an event in one of its own states is computed once, by the product, and remembered (parties.py).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from ..protocol.channel.trust.conveyed import NumberConveyed
from ..protocol.engine import Consult, Forward, InsituError, Send, StateError, given
from ..protocol.messages import (
    NUMBER_BYTES,
    RECORD_LIMITS,
    Conveyance,
    Message,
    ModuleCondition,
    ModuleRecord,
    NumberMaker,
    Purpose,
    TrustOption,
    decode_message,
    decode_record,
    encode_message,
)
from ..protocol.parties.mobile import MOBILE, Begun, MobileData, MobileState, at_module
from ..protocol.parties.module_data import KeyMade
from ..protocol.parties.unit import FingerprintsAgree, FingerprintsDiffer, JobApproved, ModulePersonalized
from ..protocol.ports import Ports
from ..protocol.session import Outcome
from .channel import CheckedSession, Frame
from .intruder import Intruder, Power
from .memory import Repeated
from .networked import NetworkedUnit
from .parties import MOBILE as MOBILE_NAME
from .parties import Done, End, ModuleParty, Party, UnitParty, answer, begin, move
from .people import approve_another, reset_by_hand, see_to_module, see_to_unit
from .state import CUT, IDLE, INTRUDER, NOBODY, USEFUL, Fact, Limits, Local, Move, Place, Slot, State, Variant
from .values import Pool, canonical
from .world import BANKS, NOW, SERIAL, Beginning, Store, beginning


@dataclass
class Scenario:
    """One trust option, and everything that may happen.

    Attributes:
        option: of all honest sessions.
        powers: that the intruder has besides.
        variant: see Variant.
        limits: see Limits.
        maker: who makes the number that a mobile conveys (A9).

    """

    option: TrustOption
    powers: frozenset[Power] = frozenset()
    variant: Variant = Variant.FIELD
    maker: NumberMaker = NumberMaker.UNIT
    limits: Limits = field(default_factory=Limits)
    start: Beginning = field(init=False)
    places: tuple[Place, ...] = field(init=False)
    stores: Pool[Store] = field(default_factory=Pool, init=False)
    ends: Pool[End] = field(default_factory=Pool, init=False)
    frames: Pool[Frame] = field(default_factory=Pool, init=False)
    orders: Pool[object] = field(default_factory=Pool, init=False)
    heard: Pool[frozenset[Message]] = field(default_factory=Pool, init=False)
    facts: Pool[frozenset[Fact]] = field(default_factory=Pool, init=False)
    mobiles: Pool[tuple[MobileState, MobileData]] = field(default_factory=Pool, init=False)

    def __post_init__(self) -> None:
        self.start = beginning(self.option)
        module = ModuleParty(self.option, self.start)
        units = [UnitParty(self.option, self.start, bank, self.maker) for bank in BANKS]
        here = Place("module", module, 0, self.limits.module)
        if self.variant is Variant.FIELD:
            first = Place("unit 1", units[0], 1, self.limits.first)
            self.places = (here, first, Place("unit 2", units[1], 2, self.limits.second))
        else:
            service = NetworkedUnit(self.option, self.start, BANKS[0], self.maker)
            lines = (("unit, line 1", self.limits.first), ("unit, line 2", self.limits.second))
            self.places = (here, *(Place(name, service, 1, runs) for name, runs in lines))
        self.intruder = Intruder(self.start, self.option, self.powers)
        self._locals: dict[Hashable, Local | None] = {}
        self._done: list[tuple[Done, dict[str, bytes]]] = []
        self._sayings: dict[tuple[int, int], list[tuple[str, Message, int]]] = {}
        self._operating: dict[int, tuple[Fact, ...]] = {}
        self._intruded: dict[tuple[int, int, int], list[tuple[Move, Local]]] = {}
        self._told: dict[tuple[int, int], object | None] = {}
        self._restarted: dict[int, int] = {}
        self._described: dict[int, str] = {}
        self.frames.number(Frame("cut"), "cut")

    # The first state

    def initial(self) -> State:
        """Before anything happened."""
        units = [self.start.units[bank] for bank in BANKS]
        if self.variant is Variant.NETWORKED:
            units[0] = self.start.networked
        stores = (self.start.module, *units)
        return State(
            tuple(self.store_number(store) for store in stores),
            tuple(Slot(IDLE, NOBODY, (), (), place.runs) for place in self.places),
            self.heard.number(frozenset(), frozenset()),
            self.facts.number(frozenset(), frozenset()),
            (self.limits.crashes, self.limits.resets, self.limits.jobs),
            self.mobiles.number(_MOBILE, canonical(_MOBILE)),
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
                self._locals[about] = self._local(done)
                self._done.append((done, self.stores[store].vault.secrets()))
            except InsituError:
                self._locals[about] = None
        return self._locals[about]

    def _local(self, done: Done) -> Local:
        heard: list[Message] = []
        for frame in done.sent:
            if frame.kind == "record":
                message = decode_message(frame.content[4])
                if isinstance(message, USEFUL):
                    heard.append(message)
        return Local(
            IDLE if done.end is None else self.ends.number(done.end, done.end.identity),
            self.store_number(done.store),
            tuple(map(self.frame_number, done.sent)),
            tuple(heard),
            tuple(_facts(done)),
            done.forwarded,
            tuple((self.store_number(store), tuple(map(self.frame_number, sent))) for store, sent in done.crashes),
            done,
        )

    def event(
        self, place: int, slot: Slot, store: int, key: Hashable, do: Callable[[CheckedSession], Outcome]
    ) -> Local:
        """What comes of an event at a session that runs."""
        about, end = self.places[place], self.ends[slot.end]
        found = self.local(place, slot.end, store, key, lambda: move(about.party, end, self.stores[store], do))
        return given(found)

    def receive(self, place: int, slot: Slot, store: int, frame: int) -> Local:
        """What comes of a frame."""
        if frame == CUT:
            return self.event(place, slot, store, "lost", lambda session: session.lost("the link ended"))
        arrived = self.frames[frame]
        return self.event(place, slot, store, frame, lambda session: session.receive(arrived, NOW))

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
        if place == 0 and local.store != state.stores[0]:
            facts = self.happened(facts, self._what_operates(local.store))
        after = State(tuple(stores), tuple(slots), known, facts, state.left, state.mobile)
        for message in local.forwarded:
            after = self._conveyed(after, place, message)
        return after

    def learned(self, known: int, heard: tuple[Message, ...]) -> int:
        """What the intruder knows, having heard these as well."""
        more = self.heard[known].union(heard)
        return self.heard.number(more, more)

    def happened(self, facts: int, new: tuple[Fact, ...]) -> int:
        """What has happened, with these."""
        more = self.facts[facts].union(new)
        return self.facts.number(more, more)

    def module_record(self, store: int) -> ModuleRecord:
        """What the module keeps."""
        return decode_record(ModuleRecord, given(self.stores[store].vault.record), **RECORD_LIMITS)

    def _what_operates(self, store: int) -> tuple[Fact, ...]:
        if store not in self._operating:
            record = self.module_record(store)
            is_so = record.condition is ModuleCondition.OPERATING
            self._operating[store] = (("operated", record.epoch, given(record.module)),) if is_so else ()
        return self._operating[store]

    # The mobile, which is the first bank's

    def _conveyed(self, state: State, place: int, message: object) -> State:
        """What a session hands to its second link: the mobile is there, and passes it on as its table says."""
        where, data = self.mobiles[state.mobile]
        events: list[object] = [message]
        if place == 0 and isinstance(message, Conveyance):
            where, data = MobileState.READY, MobileData(message.serial, Repeated("mobile")(NUMBER_BYTES))
            events.insert(0, Begun())
        for event in events:
            try:
                step = MOBILE.step(where, data, event)
            except InsituError:
                return state
            where, data = step.state, step.data
            state = state._replace(mobile=self.mobiles.number((where, data), canonical((where, data))))
            for effect in step.effects:
                if isinstance(effect, Send):
                    state = self.ordered(state, 0, at_module(encode_message(effect.message)))  # type: ignore[arg-type]
                elif isinstance(effect, Forward) and isinstance(effect.message, Conveyance):
                    said = effect.message
                    known = NumberConveyed(said.serial, said.binding, given(said.random), MOBILE_NAME)
                    state = self.ordered(state, 1, known)
        return state

    def ordered(self, state: State, place: int, event: object) -> State:
        """Something came over the second link of a session, if there is one."""
        slot = state.slots[place]
        if slot.end == IDLE:
            return state
        number = self.orders.number(event, canonical(event))
        return _with(state, place, slot._replace(orders=(*slot.orders, number)))

    # Moves

    def moves(self, state: State) -> Iterator[tuple[Move, State]]:
        """Everything that may happen next, and the state after it."""
        for place, slot in enumerate(state.slots):
            if slot.end == IDLE:
                if slot.runs:
                    yield from self._openings(state, place)
            else:
                yield from self._happenings(state, place, slot)
        yield from self._conveyances(state)
        yield from self._by_people(state)
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

    def prepared(self, state: State) -> State:
        """People have seen to what a personalization by the first unit needs."""
        after = self._people(state, 0, "see to", see_to_module)
        after = None if after is None else self._people(after, 1, "see to", see_to_unit)
        if after is None:
            raise StateError("nobody can see to it", who="check")
        return after

    @property
    def steps(self) -> list[tuple[Done, dict[str, bytes]]]:
        """What sessions and people were seen to do, each once."""
        return self._done

    def _begun(self, state: State, place: int, peer: int) -> tuple[State, Local] | None:
        about, slot = self.places[place], state.slots[place]
        store = state.stores[about.store]
        name = f"{about.name}, run {slot.runs}"
        local = self.local(place, IDLE, store, name, lambda: begin(about.party, self.stores[store], name))
        if local is None:
            return None
        slots = list(state.slots)
        slots[place] = slot._replace(peer=peer, runs=slot.runs - 1)
        return self.applied(state._replace(slots=tuple(slots)), place, local, inbox=(), orders=()), local

    def _openings(self, state: State, place: int) -> Iterator[tuple[Move, State]]:
        if place == 0:
            for other in range(1, len(state.slots)):
                if state.slots[other].end == IDLE and state.slots[other].runs:
                    opened = self.joined(state, other)
                    if opened is not None:
                        yield Move("join", self.places[0].name, self.places[other].name, "a link is made"), opened
        yield from self._intrusions(state, place)

    def joined(self, state: State, unit: int) -> State | None:
        """A link between the module and this unit."""
        first = self._begun(state, unit, 0)
        if first is None:
            return None
        second = self._begun(first[0], 0, unit)
        return None if second is None else second[0]

    def _intrusions(self, state: State, place: int) -> Iterator[tuple[Move, State]]:
        """The intruder is at the other end, with whatever he has; his handshake to its end, whatever that is."""
        about, slot = self.places[place], state.slots[place]
        key = place, state.stores[about.store], slot.runs
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
        victim, name = self.ends[opened.slots[place].end].session, self.places[place].name
        for loot in self.intruder.loot:
            if place == 0:
                reply = self.intruder.called(loot)
                made = Move("intrude", name, "intruder", f"he answers by {loot.name}")
                yield (
                    made,
                    self._followed(place, local, _replies_to(map(self.frames.__getitem__, local.sent), reply), reply),
                )
                continue
            for purpose in (Purpose.PERSONALIZE, Purpose.STATUS):
                first, reply = self.intruder.calls(victim, loot, purpose)
                text = f"he calls by {loot.name}, {purpose.name.lower()}"
                yield Move("intrude", name, "intruder", text), self._followed(place, local, [first], reply)

    def _followed(
        self, place: int, local: Local, waiting: list[Frame], reply: Callable[[Frame], Frame | None]
    ) -> Local:
        """What all of a handshake comes to."""
        heard, facts, forwarded = local.heard, local.facts, local.forwarded
        while waiting and local.end != IDLE:
            slot = Slot(local.end, INTRUDER, (), (), 0)
            local = self.receive(place, slot, local.store, self.frame_number(waiting.pop(0)))
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
            yield Move("cut", self.places[place].name, "intruder"), _with(state, place, cut)
        elif slot.peer >= 0:
            if place < slot.peer:
                both = _with(state, place, slot._replace(inbox=(CUT,), peer=NOBODY))
                theirs = state.slots[slot.peer]._replace(inbox=(CUT,), peer=NOBODY)
                yield Move("cut", self.places[place].name, self.places[slot.peer].name), _with(both, slot.peer, theirs)
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
        if victim.records is None or slot.inbox:
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

    def _conveyances(self, state: State) -> Iterator[tuple[Move, State]]:
        """What the intruder brings over a second link; he is believed where he has the power."""
        if self.option is not TrustOption.CONVEYED:
            return
        for place, slot in enumerate(state.slots):
            if slot.end == IDLE or slot.peer != INTRUDER or slot.orders:
                continue
            for text, event in self.intruder.conveyances(self.ends[slot.end].session, self.heard[state.known]):
                after = self.ordered(state, place, event)
                yield Move("convey", self.places[place].name, "intruder", text), after

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
        local = self.receive(place, slot, state.stores[self.places[place].store], frame)
        shown = text or self.described(frame)
        made = Move(kind, self.places[place].name, sender, shown)
        yield made, self.applied(state, place, local, inbox=rest, orders=slot.orders)
        if state.left[0]:
            for crashed in self._crashed(state, place, local):
                yield Move("crash", self.places[place].name, sender, f"within: {shown}"), crashed

    def _crashed(self, state: State, place: int, local: Local) -> Iterator[State]:
        """The power is cut in the midst of it: part of it was sent, part of it is durable."""
        for store, sent in local.crashes:
            partly = Local(IDLE, store, sent, _heard_of(local, len(sent)), local.facts, (), (), local.done)
            after = self.applied(state, place, partly, inbox=(), orders=())
            yield self._less(after, 0)

    def _answers(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        about, end = self.places[place], self.ends[slot.end]
        if end.asked:
            for text, reply in self._replies(state, place, end):
                store = state.stores[about.store]
                do = partial(answer, about.party, end, self.stores[store], reply)
                local = given(self.local(place, slot.end, store, ("answer", text), do))
                after = self.applied(state, place, local, inbox=slot.inbox, orders=slot.orders)
                yield Move("answer", about.name, "person", text), after
        if isinstance(about.party, NetworkedUnit) and JobApproved in end.session.accepted:
            yield from self._news(state, place, slot, about.party)
        if slot.orders:
            order, *rest = slot.orders
            event = self.orders[order]
            local = self.event(
                place, slot, state.stores[about.store], ("order", order), lambda session: session.submit(event, NOW)
            )
            after = self.applied(state, place, local, inbox=slot.inbox, orders=tuple(rest))
            yield Move("order", about.name, "mobile", type(event).__name__), after

    def _news(self, state: State, place: int, slot: Slot, unit: NetworkedUnit) -> Iterator[tuple[Move, State]]:
        """The unit looks what people did, and tells the session that waits for them."""
        number = state.stores[self.places[place].store]
        key = slot.end, number
        if key not in self._told:
            self._told[key] = unit.news(self.stores[number], self.ends[slot.end].session)
        told = self._told[key]
        if told is not None:
            local = self.event(place, slot, number, "news", lambda session: session.submit(told, NOW))
            after = self.applied(state, place, local, inbox=slot.inbox, orders=slot.orders)
            yield Move("answer", self.places[place].name, "person", type(told).__name__), after

    def _replies(self, state: State, place: int, end: End) -> Iterator[tuple[str, Callable[[Ports, Consult], object]]]:
        """What the person says who is asked; an honest one says what is so."""
        if place == 0:
            yield "what is in the envelope", lambda ports, asked: ports.consult(asked)
            return
        shown = self._shown_by_module(state)
        question = end.asked[0].question
        same = shown is not None and shown == canonical(getattr(question, "public", None))
        if same or Power.UNHEEDED in self.powers:
            yield "the fingerprints agree", lambda ports, asked: FingerprintsAgree()
        else:
            yield "the fingerprints differ", lambda ports, asked: FingerprintsDiffer()

    def _shown_by_module(self, state: State) -> object:
        """The key whose fingerprint the module shows."""
        slot = state.slots[0]
        if slot.end == IDLE:
            return None
        key = self.ends[slot.end].session.data.key
        return None if key is None else canonical(key.public)

    def _expiries(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        store = state.stores[self.places[place].store]
        for timer in sorted(self.ends[slot.end].timers):
            local = self.event(place, slot, store, ("expire", timer), partial(_expire, timer))
            after = self.applied(state, place, local, inbox=slot.inbox, orders=slot.orders)
            yield Move("expire", self.places[place].name, "", timer), after

    def _crashes_at_rest(self, state: State) -> Iterator[tuple[Move, State]]:
        if not state.left[0]:
            return
        running = {self.places[place].store: place for place, slot in enumerate(state.slots) if slot.end != IDLE}
        for store, first in running.items():
            after, came_up = state, self._came_up(state.stores[store])
            for place, about in enumerate(self.places):
                if about.store == store and state.slots[place].end != IDLE:
                    local = Local(IDLE, came_up, (), (), (), (), (), _NOTHING)
                    after = self.applied(after, place, local, inbox=(), orders=())
            yield Move("crash", self.places[first].name, "", "and comes up again"), self._less(after, 0)

    def _came_up(self, store: int) -> int:
        if store not in self._restarted:
            self._restarted[store] = self.store_number(self.stores[store].restarted())
        return self._restarted[store]

    def _less(self, state: State, which: int) -> State:
        left = list(state.left)
        left[which] -= 1
        return state._replace(left=(left[0], left[1], left[2]))

    def _by_people(self, state: State) -> Iterator[tuple[Move, State]]:
        module = state.slots[0]
        if state.left[1] and module.end == IDLE:
            after = self._people(state, 0, "reset", reset_by_hand)
            if after is not None:
                yield Move("people", "module", "person", "resets it by hand"), self._less(after, 1)
        if state.left[2]:
            for place in range(1, len(state.slots)):
                if state.slots[place].end == IDLE or self.variant is Variant.NETWORKED:
                    after = self._people(state, place, "job", approve_another)
                    if after is not None:
                        yield (
                            Move("people", self.places[place].name, "person", "approve another job"),
                            self._less(after, 2),
                        )

    def _people(self, state: State, place: int, what: str, do: Callable[[Party, Store], Done]) -> State | None:
        about = self.places[place]
        store = state.stores[about.store]
        local = self.local(place, IDLE, store, what, lambda: do(about.party, self.stores[store].fork()))
        if local is None:
            return None
        stores = list(state.stores)
        stores[about.store] = local.store
        return state._replace(stores=tuple(stores))

    def described(self, frame: int) -> str:
        """A frame, for people."""
        if frame not in self._described:
            arrived = self.frames[frame]
            is_record = arrived.kind == "record"
            self._described[frame] = type(decode_message(arrived.content[4])).__name__ if is_record else arrived.kind
        return self._described[frame]


_MOBILE: Final = (MobileState.READY, MobileData(SERIAL, bytes(NUMBER_BYTES)))
_NOTHING: Final = Done(None, None)  # type: ignore[arg-type]


def _replies_to(frames: Iterable[Frame], reply: Callable[[Frame], Frame | None]) -> list[Frame]:
    return [answered for frame in frames if (answered := reply(frame)) is not None]


def _with(state: State, place: int, slot: Slot) -> State:
    slots = list(state.slots)
    slots[place] = slot
    return state._replace(slots=tuple(slots))


def _heard_of(local: Local, sent: int) -> tuple[Message, ...]:
    return local.heard if sent == len(local.sent) else local.heard[:sent]


def _facts(done: Done) -> Iterator[Fact]:
    """What happened, from what was shown."""
    for note in done.notes:
        match note:
            case KeyMade(key):
                yield "made", key.public.data
            case ModulePersonalized(_, certificate):
                yield "confirmed", certificate


def _expire(timer: str, session: CheckedSession) -> Outcome:
    return session.expire(timer, NOW)
