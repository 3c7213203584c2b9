"""The worlds in which a module is personalized: module SN-1, two banks with units and cards, people, a mobile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ..protocol.channel.trust.conveyed import NumberConveyed
from ..protocol.engine import Consult, Forward, InsituError, Send, Show, given
from ..protocol.messages import (
    NUMBER_BYTES,
    Conveyance,
    ModuleCondition,
    NumberMaker,
    Purpose,
    TrustOption,
    encode_message,
)
from ..protocol.parties.mobile import MOBILE, Begun, Conveyed, MobileData, MobileState, at_module
from ..protocol.parties.module_data import KeyMade
from ..protocol.parties.unit import FingerprintsAgree, FingerprintsDiffer, JobApproved, ModulePersonalized
from ..protocol.ports import Ports
from .intruder import Intruder, Power
from .memory import Repeated
from .networked import NetworkedUnit
from .parties import MOBILE as MOBILE_NAME
from .parties import Done, End, ModuleParty, Party, UnitParty
from .people import approve_another, reset_by_hand, see_to_module, see_to_unit
from .scenario import Scenario
from .state import IDLE, INTRUDER, NOBODY, Fact, Limits, Local, Move, Place, Slot, State, Variant
from .values import Pool, canonical
from .world import BANKS, SERIAL, Store, beginning

RESETS: Final = 1
JOBS: Final = 2
FAILURES: Final = 3
"""Where in `State.left` it says how many of these there may still be."""
_MOBILE: Final = (MobileState.READY, MobileData(SERIAL, bytes(NUMBER_BYTES)))


class Personalizing(Scenario):
    """One trust option, and everything that may happen.

    Args:
        option: of all honest sessions.
        powers: that the intruder has besides.
        variant: see Variant.
        maker: who makes the number that a mobile conveys (A9).
        limits: see Limits.

    """

    def __init__(
        self,
        option: TrustOption,
        powers: frozenset[Power] = frozenset(),
        *,
        variant: Variant = Variant.FIELD,
        maker: NumberMaker = NumberMaker.UNIT,
        limits: Limits | None = None,
    ) -> None:
        self.option = option
        self.maker = maker
        self.powers = powers
        self.variant = variant
        self.limits = limits or Limits()
        start = beginning(option)
        units = [UnitParty(option, start, bank, maker) for bank in BANKS]
        here = Place("module", ModuleParty(option, start), 0, self.limits.module, calls=True)
        if variant is Variant.FIELD:
            first = Place("unit 1", units[0], 1, self.limits.first)
            places = (here, first, Place("unit 2", units[1], 2, self.limits.second))
        else:
            service = NetworkedUnit(option, start, BANKS[0], maker)
            lines = (("unit, line 1", self.limits.first), ("unit, line 2", self.limits.second))
            first, second = (Place(name, service, 1, runs) for name, runs in lines)
            places = (here, first, second)
        purposes = Purpose.PERSONALIZE, Purpose.STATUS
        super().__init__(start, places, Intruder(start, option, powers), purposes, failures=FAILURES)
        self._mobiles: Pool[tuple[MobileState, MobileData]] = Pool()
        self._operating: dict[int, tuple[Fact, ...]] = {}
        self._news_of: dict[tuple[int, int], object | None] = {}

    def initial(self) -> State:
        """See Scenario."""
        units = [self.start.units[bank] for bank in BANKS]
        if self.variant is Variant.NETWORKED:
            units[0] = self.start.networked
        left = self.limits.crashes, self.limits.resets, self.limits.jobs, self.limits.failures
        return self.beginning((self.start.module, *units), left, self._mobiles.number(_MOBILE, canonical(_MOBILE)))

    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """See Scenario."""
        match note:
            case KeyMade(key):
                yield "made", key.public.data
            case ModulePersonalized(_, certificate):
                yield "confirmed", certificate

    def consequences(self, before: State, after: State, place: int, local: Local) -> State:
        """See Scenario: the module operates; a session hands something to its second link."""
        if place == 0 and local.store != before.stores[0]:
            after = after._replace(facts=self.happened(after.facts, self._what_operates(local.store)))
        for message in local.forwarded:
            after = self._conveyed(after, place, message)
        return after

    def _what_operates(self, store: int) -> tuple[Fact, ...]:
        if store not in self._operating:
            record = self.module_record(store)
            is_so = record.condition is ModuleCondition.OPERATING
            self._operating[store] = (("operated", record.epoch, given(record.module)),) if is_so else ()
        return self._operating[store]

    # The mobile, which is the first bank's

    def _conveyed(self, state: State, place: int, message: object) -> State:
        """What a session hands to its second link: the mobile is there, and passes it on as its table says."""
        where, data = self._mobiles[state.beside]
        events: list[object] = [message]
        if place == 0 and isinstance(message, Conveyance):
            if state.slots[0].peer == 1 and (message.random is None) != (self.maker is NumberMaker.MOBILE):
                state = state._replace(facts=self.happened(state.facts, (("number by another",),)))
            where, data = MobileState.READY, MobileData(message.serial, Repeated("mobile")(NUMBER_BYTES))
            events.insert(0, Begun())
        for event in events:
            try:
                step = MOBILE.step(where, data, event)
            except InsituError:
                return state
            where, data = step.state, step.data
            for effect in step.effects:
                if isinstance(effect, Show) and isinstance(effect.note, Conveyed):
                    told = "mobile", where.name, effect.note.accepted
                    state = state._replace(facts=self.happened(state.facts, (told,)))
            state = state._replace(beside=self._mobiles.number((where, data), canonical((where, data))))
            for effect in step.effects:
                if isinstance(effect, Send):
                    state = self.ordered(state, 0, at_module(encode_message(effect.message)))  # type: ignore[arg-type]
                elif isinstance(effect, Forward) and isinstance(effect.message, Conveyance):
                    said = effect.message
                    known = NumberConveyed(said.serial, said.binding, given(said.random), MOBILE_NAME)
                    state = self.ordered(state, 1, known)
        return state

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

    # People

    def replies(self, state: State, place: int, end: End) -> Iterator[tuple[str, Callable[[Ports, Consult], object]]]:
        """See Scenario; an honest person says what is so."""
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

    def wishes(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        """See Scenario: the unit looks what people did, and tells the session that waits for them."""
        unit, session = self.places[place].party, self.ends[slot.end].session
        if not isinstance(unit, NetworkedUnit) or JobApproved not in session.accepted:
            return
        number = state.stores[self.places[place].store]
        key = slot.end, number
        if key not in self._news_of:
            self._news_of[key] = unit.news(self.stores[number], session)
        news = self._news_of[key]
        if news is not None:
            local = self.told(state, place, slot, news)
            after = self.applied(state, place, local, inbox=slot.inbox, orders=slot.orders)
            yield Move("answer", self.places[place].name, "person", type(news).__name__), after

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario."""
        yield from self._conveyances(state)
        if state.left[RESETS] and state.slots[0].end == IDLE:
            after = self.people(state, 0, "reset", reset_by_hand)
            if after is not None:
                yield Move("people", "module", "person", "resets it by hand"), self.less(after, RESETS)
        if state.left[JOBS]:
            for place in range(1, len(state.slots)):
                if state.slots[place].end == IDLE or self.variant is Variant.NETWORKED:
                    after = self.people(state, place, "job", approve_another)
                    if after is not None:
                        made = Move("people", self.places[place].name, "person", "approve another job")
                        yield made, self.less(after, JOBS)

    # Liveness

    def see_to_unit(self, party: Party, store: Store) -> Done:
        """What people at the unit see to before a personalization."""
        return see_to_unit(party, store)

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario: module and unit meet, prepared by people, and the module is personalized."""
        prepared = self.people(state, 0, "see to", see_to_module)
        prepared = None if prepared is None else self.people(prepared, 1, "see to", self.see_to_unit)
        if prepared is None:
            return "people cannot prepare a personalization"
        slots = tuple(Slot(IDLE, NOBODY, (), (), 1) for _ in state.slots)
        joined = self.joined(prepared._replace(slots=slots), 1)
        if joined is None:
            return "module and unit cannot meet any more"
        end = settle(joined)
        if isinstance(end, str):
            return end
        record = self.module_record(end.stores[0])
        return "" if record.condition is ModuleCondition.OPERATING else "the module does not get personalized any more"
