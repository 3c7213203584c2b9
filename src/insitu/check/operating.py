"""The worlds in which a module works: SN-1, its central system with two sessions at a time, operators, the intruder.

The module was personalized by the first bank, in the way that personalizing.py searches. The intruder holds a stolen
module of the same bank that works, everything that is public, and a copy of the module's store if he takes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from functools import lru_cache, partial
from operator import methodcaller
from typing import Final, TypeAlias

from ..protocol.engine import Cmac, LookUp, SecretUsage, given
from ..protocol.messages import CardRole, ModuleCondition, Purpose, ResetDone, TrustOption
from ..protocol.parties.central_data import (
    AttentionCalled,
    CentralState,
    Question,
)
from ..protocol.parties.work_data import (
    AuthorizationAsked,
    AuthorizationWanted,
    InstructionTaken,
    PayloadGiven,
    PayloadKept,
    PayOutInstructed,
    SecretAnswered,
    SecretWanted,
    TimePassed,
    TransactionSettled,
    WorkState,
)
from ..protocol.parties.work_data import ResetByHand as ByHand
from ..protocol.session import Outcome
from ..protocol.stores.registry import ModuleEntry, Standing, stands_in_spite_of_loss
from . import at_work
from .at_work import KEY_SECONDS, CentralParty, WorkParty, established, wanted
from .channel import CheckedSession
from .intruder_at_work import IntruderAtWork
from .liveness import Liveness
from .memory import CheckedRegistry, fresh_pair
from .parties import Done, Party
from .people import see_to_unit
from .personalizing import Personalizing
from .scenario import CRASHES, Scenario
from .state import IDLE, NOBODY, Fact, Local, Move, Place, Slot, State
from .values import canonical
from .world import BANKS, NOW, SERIAL, STOLEN, Beginning, Store, approve, beginning, card_of

MODULE, _CENTRAL, _COPY, _UNIT = range(4)
"""Which store is whose."""
_CARD: Final = "4000001234567899"
_ACCOUNT: Final = "DE02120300000000202051"
PAYLOAD: Final = b"a payload"
LATE: Final = 1
VOUCHED: Final = 2
"""Bits of `State.beside`: the symmetric key's time is over; the module was online since its program began."""


class Budget(IntEnum):
    """What may happen so many times, by its place in `State.left`."""

    CRASHES = CRASHES
    BY_HAND = 1
    ORDERED = 2
    ANEW = 3
    """The module is personalized once more."""
    WISHES = 4
    """Authorizations that the ATM controller wants."""
    CANCELS = 5
    """Of those, how many it gives up before there is an answer."""
    PAYLOADS = 6
    INSTRUCTIONS = 7
    KEYS = 8
    USES = 9
    BEATS = 10
    COPIES = 11
    """The intruder copies the module's store."""
    RESTORED = 12
    """He puts the copy in its place."""
    LOST = 13
    """The first bank's card is lost, and what it certified with it."""
    LOST_BUT_KNOWN = 14
    """The same, and modules that were known stay admitted."""
    DISABLED = 15
    REVOKED = 16
    """The module's certificate is on a list."""
    BANK_REVOKED = 17
    LATE = 18
    """The time of the symmetric key passes."""
    LISTED = 19
    """The manufacturer's list is sent to the module."""
    LISTED_BEFORE = 20
    """The one before that list is sent to it."""
    FAILURES = 21
    """Of key memory, each of one operation."""


Happening: TypeAlias = Callable[[State, Move], Iterator[tuple[Move, State]]]
"""What may come of something, the whole of it first, then what a crash leaves of it; nothing: it cannot happen."""


class Operating(Scenario):
    """A module at work and its central system.

    Args:
        runs: sessions of the module, and on each line of the central system.
        budget: what else may happen, how often; what is not named does not.
        talk: how many messages the intruder says in one session; None: he is on the links only.

    Attributes:
        module: the store of SN-1 at first.
        stolen: the certificate of SN-2, DER.

    """

    def __init__(
        self, budget: Mapping[Budget, int], *, runs: tuple[int, int, int] = (2, 1, 1), talk: int | None = None
    ) -> None:
        self.budget = budget
        start, self._first = _personalized()
        central = CentralParty(start, BANKS[0])
        places = (
            Place("module", WorkParty(), MODULE, runs[0], calls=True),
            Place("central, line 1", central, _CENTRAL, runs[1]),
            Place("central, line 2", central, _CENTRAL, runs[2]),
        )
        self.module, self.stolen = self._first[MODULE], _stolen(start)
        intruder = IntruderAtWork(start, self.module, self.stolen)
        if talk is None:
            intruder.loot = []
        super().__init__(start, places, intruder, (Purpose.OPERATE,), failures=Budget.FAILURES)
        self._talk = talk or 0
        self._anew: dict[tuple[int, int], tuple[int, int] | None] = {}

    def initial(self) -> State:
        """See Scenario."""
        return self.beginning(self._first, tuple(self.budget.get(each, 0) for each in Budget))

    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """See Scenario; of the stolen module nothing is kept."""
        match note:
            case AuthorizationAsked(_, number):
                yield "asked", number
            case PayOutInstructed(number, approved, amount, reference):
                yield "instructed", number, approved, amount, reference
            case PayloadKept(_, number):
                yield "kept", number
            case SecretAnswered(_, result) if result is not None:
                yield ("used",)
            case ResetDone(epoch) if place == 0:
                yield "told of its reset", epoch
            case LookUp("decision", Question(serial, asked)) if serial == SERIAL:
                yield "host asked", asked.number

    def consequences(self, before: State, after: State, place: int, local: Local) -> State:
        """See Scenario: what happened twice; who was online since when; what was used too late."""
        known = self.facts[before.facts]
        more: list[Fact] = [("twice", *fact) for fact in local.facts if fact[0] in _ONCE and fact in known]
        if place == 0:
            beside = after.beside & ~VOUCHED
            slot = after.slots[0]
            online = slot.end != IDLE and self.ends[slot.end].session.state in (WorkState.ONLINE, WorkState.LOADING)
            remembers = self.stores[after.stores[MODULE]].memory is not None or slot.end != IDLE
            if online or (remembers and before.beside & VOUCHED):
                beside |= VOUCHED
            after = after._replace(beside=beside)
            if ("used",) in local.facts:
                more += [("used too late",)] if before.beside & LATE else []
                more += [] if before.beside & VOUCHED else [("used unvouched",)]
        return after._replace(facts=self.happened(after.facts, tuple(more))) if more else after

    def registry(self, state: State) -> CheckedRegistry:
        """Of the central system."""
        return given(self.stores[state.stores[_CENTRAL]].registry)

    def is_admitted(self, state: State, entry: ModuleEntry) -> bool:
        """Whether the module may work under this certificate, as far as the registry knows of loss and lists (S5)."""
        known = self.registry(state).known(entry.serial, entry.fingerprint, entry.certificate_number, entry.issuer)
        if known.issuer is None or known.revoked:
            return False
        if known.entry is not None and known.entry.standing is Standing.DISABLED:
            return False
        return stands_in_spite_of_loss(known.issuer, known.entry, entry.fingerprint)

    def session(self, state: State, place: int) -> CheckedSession | None:
        """That runs there."""
        end = state.slots[place].end
        return None if end == IDLE else self.ends[end].session

    def at(self, state: State) -> int:
        """See Scenario."""
        return NOW + 2 * KEY_SECONDS if state.beside & LATE else NOW

    def passed(self, state: State, timer: str) -> State | None:
        """See Scenario: the module may beat so many times."""
        if timer != "beat":
            return state
        return self.less(state, Budget.BEATS) if state.left[Budget.BEATS] else None

    def rests(self, slot: Slot) -> bool:
        """See Scenario: who is online is at rest."""
        return slot.end == IDLE or self.ends[slot.end].session.state in (WorkState.ONLINE, CentralState.ONLINE)

    def hears_more(self, victim: CheckedSession) -> bool:
        """See Scenario."""
        return given(victim.records).received < self._talk

    # What a session is told in the ordinary course

    def wishes(self, state: State, place: int, slot: Slot) -> Iterator[tuple[Move, State]]:
        """See Scenario: the controller tells what the customer got; the central system looks at its registry."""
        session = self.ends[slot.end].session
        if place == 0:
            for event in self._due(state):
                made = Move("wish", "module", "controller", type(event).__name__)
                yield from ((each, after) for each, after in self._wish(state, made, event) if after != state)
        elif session.state is CentralState.ONLINE and self._concerned(state, session):
            local = self.told(state, place, slot, _LOOK)
            stays = local.end != IDLE and not self.is_admitted(state, given(session.data.entry))
            if stays or local.end != slot.end or local.store != state.stores[_CENTRAL]:
                after = self.applied(state, place, local, inbox=slot.inbox, orders=slot.orders)
                if stays:
                    after = after._replace(facts=self.happened(after.facts, (("stayed in spite of it",),)))
                made = Move("attention", self.places[place].name, "registry", "something concerns the module")
                yield made, after
                about, do = ("told", canonical(_LOOK), self.at(state)), methodcaller("submit", _LOOK, self.at(state))
                yield from self.fails(state, place, slot, about, do, made)

    def _concerned(self, state: State, session: CheckedSession) -> bool:
        attention, entry = self.registry(state).attention(), given(session.data.entry)
        concerned = entry.serial in attention.waiting or entry.serial in attention.disabled
        return concerned or entry.issuer in attention.lost

    def _due(self, state: State) -> Iterator[object]:
        """What the controller has to tell."""
        record = self.module_record(state.stores[MODULE])
        if record.condition is not ModuleCondition.OPERATING:
            return
        paid = {fact[1]: fact[3] for fact in self.facts[state.facts] if fact[0] == "instructed"}
        for each in record.open:
            if each.instructed is not None:
                yield TransactionSettled(each.number, paid.get(each.number, 0))  # type: ignore[arg-type]
        for held in record.inbox:
            yield InstructionTaken(held.number)

    def _wish(self, state: State, made: Move, event: object, key: object = None) -> Iterator[tuple[Move, State]]:
        """What may come of it if the controller wants this, the whole of it first; nothing: it may not."""
        slot, local = state.slots[0], None
        if slot.end == IDLE:
            store, about = state.stores[MODULE], ("wish", key or event, self.at(state))
            do = partial(wanted(event), self.places[0].party, self.stores[store].fork())
            local = self.local(0, IDLE, store, about, do)
        elif self.ends[slot.end].session.is_open and type(event) in self.ends[slot.end].session.accepted:
            local = self.told(state, 0, slot, event, key)
        if local is not None:
            yield made, self.applied(state, 0, local, inbox=slot.inbox, orders=slot.orders)
            yield from self.cut_within(state, 0, local, made)
            if slot.end != IDLE:
                about = "told", key or canonical(event), self.at(state)
                yield from self.fails(state, 0, slot, about, methodcaller("submit", event, self.at(state)), made)

    def wished(self, state: State, event: object) -> State | None:
        """The state after the controller wanted this, and all of it was done; None: it may not."""
        return next((after for _, after in self._wish(state, _ASKED, event)), None)

    # What else may happen

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario."""
        for budget, made, do in self.possible(state):
            if state.left[budget]:
                yield from ((each, self.less(after, budget)) for each, after in do(state, made))
        if state.slots[0].end == IDLE:
            for event in self._due(state):
                yield from self._wish(state, Move("wish", "module", "controller", type(event).__name__), event)

    def possible(self, state: State) -> Iterator[tuple[Budget, Move, Happening]]:
        """What the budget is for, whether anything of it is left or not."""
        for budget, who, text, do in self._happenings_besides(state):
            yield budget, Move(budget.name.lower(), who, "", text), do

    def _happenings_besides(self, state: State) -> Iterator[tuple[Budget, str, str, Happening]]:
        yield Budget.BY_HAND, "module", "somebody resets it", self._reset
        yield Budget.ANEW, "module", "it is personalized once more", _whole(self._personalized_anew)
        online = self.session(state, 0)
        if online is not None and online.state is WorkState.ONLINE:
            ask = AuthorizationWanted(1, _CARD, _ACCOUNT, 5000, "EUR")
            yield Budget.WISHES, "module", "the controller asks for an authorization", partial(self._wish, event=ask)
        unanswered = [each.number for each in self.module_record(state.stores[MODULE]).open if each.instructed is None]
        for number in unanswered[:1]:
            cancel = partial(self._wish, event=TransactionSettled(number, 0))
            yield Budget.CANCELS, "module", "the customer goes away", cancel
        give = partial(self._wish, event=PayloadGiven(1, PAYLOAD))
        yield Budget.PAYLOADS, "module", "the controller has something for the host", give
        steady = self.steady(state)
        for at, text in ((self.at(state), "as it is"), (NOW - KEY_SECONDS, "set back")):
            use = SecretWanted(1, SecretUsage.MAC, Cmac(b"a message"), at, steady)
            do = partial(self._wish, event=use, key=("use", at, steady))
            yield Budget.USES, "module", f"the controller uses the symmetric key, the clock {text}", do
        yield Budget.LATE, "module", "the key's time passes", _whole(self._later)
        yield Budget.COPIES, "module", "the intruder copies its store", _whole(self._copied)
        yield Budget.RESTORED, "module", "the intruder puts the copy back", _whole(self._restored)
        for budget, text, done in _OPERATOR:
            if budget is Budget.KEYS and state.beside & LATE:
                continue  # nobody orders what is over
            yield budget, "central, line 1", text, _whole(partial(self._at_central, do=done))

    def after_the_loss(self, state: State, *, keep_known: bool) -> State | None:
        """The operator says that the first bank's card is lost."""
        return self._at_central(state, at_work.lose_card_but_keep_known if keep_known else at_work.lose_card)

    def _at_central(self, state: State, do: Callable[[Party, Store], Done]) -> State | None:
        return self.people(state, 1, ("operator", do), do)

    def _reset(self, state: State, made: Move) -> Iterator[tuple[Move, State]]:
        if state.slots[0].end == IDLE:
            yield from self._wish(state, made, ByHand())

    def steady(self, state: State) -> int:
        """What the clock shows that nobody can set; it began when the world did, or with the program."""
        return 2 * KEY_SECONDS if state.beside & LATE else 0

    def _later(self, state: State) -> State | None:
        """The program looks at the clock every minute; then time passes, while the module is offline.

        One that is online hears from its central system every minute what time it is.
        """
        looked = None if state.slots[0].end != IDLE else self.wished(state, TimePassed(NOW, 0))
        return None if looked is None else looked._replace(beside=looked.beside | LATE)

    def _copied(self, state: State) -> State | None:
        stores = list(state.stores)
        stores[_COPY] = self.came_up(stores[MODULE])
        return state._replace(stores=tuple(stores))

    def _restored(self, state: State) -> State | None:
        if state.slots[0].end != IDLE or state.left[Budget.COPIES]:
            return None
        stores = list(state.stores)
        stores[MODULE] = stores[_COPY]
        return state._replace(stores=tuple(stores), beside=state.beside & ~VOUCHED)

    def _personalized_anew(self, state: State) -> State | None:
        """Module and unit meet undisturbed, as personalizing.py has it."""
        if state.slots[0].end != IDLE:
            return None
        about = state.stores[MODULE], state.stores[_UNIT]
        if about not in self._anew:
            made = again(self.stores[about[0]], self.stores[about[1]])
            self._anew[about] = None if made is None else (self.store_number(made[0]), self.store_number(made[1]))
        found = self._anew[about]
        if found is None:
            return None
        stores = list(state.stores)
        stores[MODULE], stores[_UNIT] = found
        return state._replace(stores=tuple(stores), beside=state.beside & ~VOUCHED)

    def closed(self, state: State) -> State:
        """All sessions end."""
        for place in range(len(state.slots)):
            if self.session(state, place) is not None:
                slot, store = state.slots[place], state.stores[self.places[place].store]
                local = self.event(place, slot, store, "end", _ended)
                state = self.applied(state, place, local, inbox=(), orders=())
        return state._replace(slots=tuple(Slot(IDLE, NOBODY, (), (), 1) for _ in state.slots))

    # Liveness

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario: the module works again, where something speaks against it enabled, reset and personalized."""
        at_rest = self.closed(state)
        registry = self.registry(at_rest)
        if registry.attention().lost or any(crl.der not in self.start.lists for crl in registry.crls()):
            return ""  # another bank has to see to it, which is not in these worlds
        why = self.works(at_rest, settle)
        if not why or self._may_work(at_rest):
            return why
        enabled = self._at_central(at_rest, at_work.enable_module) or at_rest
        blank = self.wished(enabled, ByHand()) or enabled
        anew = self._personalized_anew(blank)
        if anew is None:
            return f"{why}; and cannot be personalized"
        entry = registry.module(SERIAL)
        if entry is not None and self.module_record(anew.stores[MODULE]).epoch <= entry.epoch:
            return ""  # two certificates of one epoch and one second: the next one is later, but time stands still
        return self.works(anew, settle)

    def _may_work(self, state: State) -> bool:
        """Whether nothing speaks against the module: nobody reset, disabled or copied it, or certified it once more."""
        record, entry = self.module_record(state.stores[MODULE]), self.registry(state).module(SERIAL)
        is_known = entry is None or (entry.standing is Standing.OPERATING and entry.fingerprint == record.fingerprint)
        return record.condition is ModuleCondition.OPERATING and is_known and Budget.RESTORED not in self.budget

    def works(self, state: State, settle: Callable[[State], State | str]) -> str:
        """Why the module cannot come online, and have what it has asked answered; empty: it can."""
        joined = self.joined(state, 1)
        if joined is None:
            return "module and central system cannot meet"
        online = settle(joined)
        if isinstance(online, str):
            return online
        session = self.session(online, 0)
        if session is None or session.state is not WorkState.ONLINE:
            return "the module does not come online"
        ask = AuthorizationWanted(9, _CARD, _ACCOUNT, 700, "EUR")
        asked = self.wished(online, ask)
        done = "it may not ask" if asked is None else settle(asked)
        if isinstance(done, str):
            return done
        record = self.module_record(done.stores[MODULE])
        transaction = self.registry(done).transaction(SERIAL, record.last - 1)
        settled = transaction is not None and (transaction.instructed, transaction.paid) == (700, 700)
        return "" if settled and not record.open and not record.outbox else "what the module asked is not settled"


def _whole(do: Callable[[State], State | None]) -> Happening:
    """What no crash can cut short in these worlds."""

    def happened(state: State, made: Move) -> Iterator[tuple[Move, State]]:
        after = do(state)
        if after is not None:
            yield made, after

    return happened


_LOOK: Final = AttentionCalled()
_ASKED: Final = Move("wish", "module", "controller")


def _ended(session: CheckedSession) -> Outcome:
    return session.lost("the end")


_ONCE: Final = {"host asked", "instructed"}
"""Facts that may not come about twice."""
_OPERATOR: Final = (
    (Budget.ORDERED, "the operator orders a reset", at_work.order_reset),
    (Budget.INSTRUCTIONS, "the host has an instruction", at_work.instruct),
    (Budget.KEYS, "the host has a symmetric key", at_work.order_symmetric_key),
    (Budget.LOST, "the first bank's card is lost", at_work.lose_card),
    (Budget.LOST_BUT_KNOWN, "the first bank's card is lost, and what is known stays", at_work.lose_card_but_keep_known),
    (Budget.DISABLED, "the operator disables the module", at_work.disable_module),
    (Budget.REVOKED, "the module's certificate is revoked", at_work.revoke_module),
    (Budget.BANK_REVOKED, "the manufacturer revokes the bank", at_work.revoke_bank),
    (Budget.LISTED, "the module is to have the manufacturer's list", at_work.send_list),
    (Budget.LISTED_BEFORE, "the module is to have an older list", at_work.send_older_list),
)


# How it begins ----------------------------------------------------------------------------------------------------


_again: list[Personalizing] = []


def again(module: Store, unit: Store) -> tuple[Store, Store] | None:
    """Module and unit after an undisturbed personalization that people prepared; None: it cannot be."""
    if not _again:
        _again.append(Personalizing(TrustOption.CERTIFICATES))
    world = _again[0]
    state = world.beginning(
        (module.restarted(), unit, world.start.units[BANKS[1]]), (0, 0, 0, 0), world.initial().beside
    )
    if world.module_record(state.stores[0]).condition is ModuleCondition.OPERATING:
        return None
    ready = world.people(state, 1, "see to", see_to_unit)
    joined = None if ready is None else world.joined(ready, 1)
    end = "no" if joined is None else Liveness(world).settled(joined)
    if isinstance(end, str) or world.module_record(end.stores[0]).condition is not ModuleCondition.OPERATING:
        return None
    return world.stores[end.stores[0]], world.stores[end.stores[1]]


@lru_cache(maxsize=1)
def _personalized() -> tuple[Beginning, tuple[Store, ...]]:
    start = beginning(TrustOption.CERTIFICATES)
    module, unit = given(again(start.module, start.units[BANKS[0]]))
    return start, (module, established(start), module, unit)


def _stolen(start: Beginning) -> bytes:
    """The certificate of SN-2, which was personalized like SN-1."""
    vault, key = start.units[BANKS[0]].vault.fork(), fresh_pair("stolen at work")[1]
    card = card_of(vault)
    return card.certify(approve(card, CardRole.MODULE, STOLEN, key.public), key.public)
