"""The worlds at a desk: how a card and a manufacturer are established, and what people have them do (L1, L6, L13, S5).

No session runs. Whoever is there asks the desk of the card or of the manufacturer, in any order: people what they may,
and each of them, a thief or a careless clerk what must be refused. The power may fail before each thing that becomes
durable, key memory at any one operation. What is asked in a world its kind of business says (office_business.py,
office_lists.py); what must hold stands in office_rules.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final, Protocol

from ..protocol.engine import EnvironmentFault, InsituError, Show, TableError
from ..protocol.messages import (
    RECORD_LIMITS,
    CardRecord,
    ManufacturerRecord,
    Person,
    Purpose,
    TrustOption,
    decode_record,
)
from ..protocol.parties.card_data import Approve
from ..protocol.parties.card_people import pin_verifier
from ..protocol.parties.card_record import digest_of, job_of
from ..protocol.parties.manufacturer import TicketsReceived
from ..shell.manufacturer import Manufacturer
from .intruder import Intruder
from .memory import CheckedVault, Failing, Repeated, pins_remembered
from .parties import Done, ModuleParty, Party
from .scenario import CRASHES, Scenario
from .state import Fact, Move, Place, State
from .world import NOW, PINS, Beginning, Store, beginning, card_of, now

CARD: Final = 0
MAKER: Final = 1
"""Whose desk, and which store."""
_OPERATIONS: Final = 4
"""Of key memory, in what follows from one event; each may fail."""
NEW_PINS: Final = {name: f"0369-{name}".encode() for name in (*PINS, "carol", "dave")}
"""What people have once they have another PIN, or come later."""


class Asking(IntEnum):
    """What may happen so many times, by its place in `State.left`."""

    CRASHES = CRASHES
    FAILURES = 1
    """Key memory fails at one operation."""
    PROPOSED = 2
    """Something is proposed that two people must approve."""
    WRONG = 3
    """Somebody says a wrong PIN."""
    WITHDRAWN = 4
    """An approval is withdrawn, or a standing approval."""
    DONE = 5
    """Something that one alone may do, and that goes on for ever: a PIN changed, a ticket shown, a certificate made."""


@dataclass(frozen=True)
class Order:
    """What somebody asks of a desk.

    Attributes:
        who: a person, a thief or a clerk.
        text: what, in words; no two are the same in one world.
        event: what the desk gets.
        place: whose desk.
        wrong: why it must be refused, as things stand; empty: it may be admitted or not.
        step: which of what is bounded; None: nothing.

    """

    who: str
    text: str
    event: object = field(repr=False)
    place: int = CARD
    wrong: str = ""
    step: Asking | None = None


@dataclass(frozen=True)
class Asked:
    """A desk was asked, for whoever looks at it.

    Attributes:
        order: what.
        before, durable: what was there, DER of the record and the labels of keys.
        refused: why it was, empty: it was admitted.
        is_fault: it was told as one of key memory or storage.
        fails: key memory was made to fail.
        notes: what the desk told.

    """

    order: Order
    before: bytes | None = field(repr=False)
    durable: frozenset[str]
    refused: str
    is_fault: bool
    fails: bool
    notes: tuple[object, ...] = field(repr=False)


class Business(Hashable, Protocol):
    """A kind of business at the desks."""

    def begins(self, start: Beginning) -> tuple[CheckedVault, CheckedVault]:
        """The stores of card and manufacturer, before anything is asked; what orders need that is made only once."""
        ...

    def orders(self, seen: Desks) -> Iterator[Order]:
        """All that somebody may ask, as things stand."""
        ...

    def ends_well(self, seen: Desks, ask: Callable[[Order], Desks]) -> str:
        """Why people do not get what is due to them any more; empty: they do. `ask`: what is after an order."""
        ...


@dataclass(frozen=True)
class Desks:
    """How things stand. `card`, `maker`: what is durable, and key memory."""

    start: Beginning
    card: CheckedVault
    maker: CheckedVault

    @property
    def record(self) -> CardRecord | None:
        """What the card keeps; None: it is blank."""
        return record_of(self.card.record)

    @property
    def books(self) -> ManufacturerRecord | None:
        """What the manufacturer keeps; None: there is none yet."""
        return books_of(self.maker.record)


class CheckedManufacturer(Manufacturer):
    """The program of a manufacturer, which is watched, and can be asked what no program of ours would ask."""

    def __init__(self, vault: CheckedVault) -> None:
        def show(note: object) -> None:
            vault.told = True

        entropy = Repeated(f"office {sha256(vault.record or b'').hexdigest()}")
        super().__init__(vault, entropy=entropy, now=now, show=show)
        self._watched = vault

    def ask(self, event: object) -> list[object]:
        """Whatever somebody asks; keys of tickets are in key memory before, as the program sees to it."""
        if isinstance(event, TicketsReceived):
            for label in (ticket.label for ticket in event.tickets):
                if self._watched.find_secret(label) is None:
                    self._watched.storage.share(label, sha256(label.encode()).digest())
        try:
            return self._submit(event)
        except TableError as error:
            self._watched.amiss = str(error)
            raise
        finally:
            self._watched.told = False


class Office(Scenario):
    """A card and a manufacturer, at their desks.

    Args:
        business: what is asked.
        budget: what may happen, how often; what is not named does not.

    Attributes:
        first: the entries that are in the card's log as it begins.

    """

    def __init__(self, business: Business, budget: Mapping[Asking, int]) -> None:
        start = beginning(TrustOption.TICKET)
        party = ModuleParty(TrustOption.TICKET, start)  # no session of it begins
        places = Place("card", party, CARD, 0), Place("manufacturer", party, MAKER, 0)
        super().__init__(start, places, Intruder(start, TrustOption.TICKET, frozenset()), (Purpose.PERSONALIZE,))
        begun = record_of(_begun(business)[CARD].record)  # how it begins is not part of it
        self.first = frozenset(() if begun is None else begun.log)
        self.business = business
        self.budget = budget

    def initial(self) -> State:
        """See Scenario."""
        stores = tuple(Store(vault.fork()) for vault in _begun(self.business))
        return self.beginning(stores, tuple(self.budget.get(each, 0) for each in Asking))

    def desks(self, state: State) -> Desks:
        """How things stand."""
        card, maker = (self.stores[number].vault for number in state.stores)
        return Desks(self.start, card, maker)

    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """See Scenario: who approved what, and knew the PIN."""
        if isinstance(note, Asked) and isinstance(note.order.event, Approve) and not note.refused:
            event, record = note.order.event, record_of(note.before)
            if record is not None and knows(record, event.person, event.pin):
                yield "approves", event.person, event.number

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario."""
        for order in self.business.orders(self.desks(state)):
            if order.step is not None and not state.left[order.step]:
                continue
            begun = state if order.step is None else self.less(state, order.step)
            after = self._asked(begun, order)
            name = self.places[order.place].name
            yield Move("people", name, order.who, order.text), state if after == begun else after
            if after == begun:
                continue
            for partly in self.cut_short(begun, order.place, order.text, _asks(order)):
                yield Move("crash", name, order.who, f"within: {order.text}"), partly
            yield from self._failing(begun, order, after)

    def _failing(self, begun: State, order: Order, whole: State) -> Iterator[tuple[Move, State]]:
        if not begun.left[Asking.FAILURES]:
            return
        for number in range(_OPERATIONS):
            after = self._asked(begun, order, number)
            if after == whole:
                return  # there are no more
            failed = Move("fail", self.places[order.place].name, order.who, f"key memory fails: {order.text}")
            yield failed, self.less(after, Asking.FAILURES)

    def _asked(self, state: State, order: Order, fails: int | None = None) -> State:
        key = order.text, order.wrong, fails
        after = self.people(state, order.place, key, _asks(order, fails))
        assert after is not None  # noqa: S101 - a refusal is no error here
        return after

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario."""

        def ask(order: Order) -> Desks:
            nonlocal state
            state = self._asked(state, order)
            return self.desks(state)

        return self.business.ends_well(self.desks(state), ask)


def _asks(order: Order, fails: int | None = None) -> Callable[[Party, Store], Done]:
    def do(party: Party, store: Store) -> Done:
        vault, refused, is_fault, notes = store.vault, "", False, list[object]()
        before, durable = vault.record, vault.durable
        vault.failing = None if fails is None else Failing(fails)
        desk = card_of(vault) if order.place == CARD else CheckedManufacturer(vault)
        try:
            notes = desk.ask(order.event)
        except TableError:
            raise
        except EnvironmentFault as error:
            refused, is_fault = str(error), True
        except InsituError as error:
            refused = str(error)
        except StopIteration:
            vault.amiss = "an action does not find what it is about"
        finally:
            vault.failing = None
        vault.restart()
        asked = Asked(order, before, durable, refused, is_fault, fails is not None, tuple(notes))
        return Done(None, store, notes=(asked,), order=(Show(asked),))

    return do


@lru_cache(maxsize=16)
def _begun(business: Business) -> tuple[CheckedVault, CheckedVault]:
    """How it begins, made once a process: whatever is asked is at hand then."""
    start = beginning(TrustOption.TICKET)
    with pins_remembered():
        card, maker = business.begins(start)
        card.restart()
        maker.restart()
        for _ in business.orders(Desks(start, card, maker)):
            pass
    return card, maker


@lru_cache(maxsize=4096)
def record_of(record: bytes | None) -> CardRecord | None:
    """What a card keeps, from its bytes."""
    return None if record is None else decode_record(CardRecord, record, **RECORD_LIMITS)


@lru_cache(maxsize=1024)
def books_of(record: bytes | None) -> ManufacturerRecord | None:
    """What a manufacturer keeps, from its bytes."""
    return None if record is None else decode_record(ManufacturerRecord, record, **RECORD_LIMITS)


# People ------------------------------------------------------------------------------------------------------------

_verifier = lru_cache(maxsize=256)(pin_verifier)


def person(name: str, pin: bytes) -> Person:
    """Somebody who comes with this PIN."""
    salt = sha256(name.encode() + pin).digest()[:16]
    return Person(name, salt, _verifier(pin, salt), failures=0)


def knows(record: CardRecord, name: str, pin: bytes) -> bool:
    """Whether this is the PIN of somebody who is there."""
    found = next((each for each in record.people if each.name == name), None)
    return found is not None and _verifier(pin, found.salt)[: len(found.verifier)] == found.verifier


def pin_of(record: CardRecord, name: str) -> bytes:
    """The PIN that counts for this person."""
    return next(pin for pin in (PINS.get(name, b""), NEW_PINS[name]) if knows(record, name, pin))


def numbered(text: str) -> bytes:
    """The number of a job, by what it is called here."""
    return sha256(text.encode()).digest()[:16]


def approvals(record: CardRecord, number: bytes, called: str) -> Iterator[Order]:
    """Each of the people approves what waits, who has the PIN that counts."""
    job = job_of(record, number)
    if job is None:
        return
    for name in (each.name for each in record.people):
        wrong = "approved before" if name in job.approvals or len(job.approvals) == 2 else ""
        event = Approve(number, digest_of(job), name, pin_of(record, name), NOW)
        yield Order(name, f"{name} approves {called}", event, wrong=wrong)
