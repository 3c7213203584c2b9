"""Parties: one session of a module or a unit, moved on by one event, with all that follows from it.

The session, the tables, the terms, the ports and what they ask are the product's own programs; here they only begin
from a copy, so that the same session can be moved on by any other event as well. What a crash in the midst of a step
leaves is told too: after each frame that was sent, each note that was shown and each thing that became durable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from ..protocol.engine import (
    Close,
    Consult,
    InsituError,
    KeyOperation,
    KeyOperationFailed,
    LookUp,
    Persist,
    Send,
    Show,
    StartTimer,
    StopTimer,
)
from ..protocol.keys.revocation import VerifiedCrl, check_unrevoked
from ..protocol.messages import CardRole, KeyPolicy, NumberMaker, Purpose, TrustOption
from ..protocol.parties.module import MODULE
from ..protocol.parties.module_data import ModuleState
from ..protocol.parties.unit import UNIT, UnitData, UnitState
from ..protocol.ports import Ports, perform
from ..protocol.session import Outcome, Transmit
from ..shell.module import Module
from ..shell.second_link import SecondLink
from ..shell.trusting import Means, Mobiles, UnitHas, module_terms, unit_terms
from ..shell.unit import Unit
from .channel import CheckedSession, Frame, SymbolicHandshake
from .memory import CheckedVault, Failing, PowerCut, Repeated
from .values import canonical
from .world import NOW, SERIAL, Beginning, Store, book_of, card_of, now, shared_secret, shipped_key

MOBILE: Final = "certificate 00"
"""The mobile that the units believe, as its long-distance link proves it."""


@dataclass(frozen=True)
class End:
    """One end of a link: a session that runs.

    Attributes:
        session: of the party.
        timers: that run.
        asked: what a person is asked and has not answered.

    """

    session: CheckedSession
    timers: frozenset[str] = frozenset()
    asked: tuple[Consult, ...] = ()

    @property
    def identity(self) -> Hashable:
        """What makes it the same as another."""
        return self.session.identity, self.timers, canonical(self.asked)


@dataclass(frozen=True)
class Done:
    """What came of one event.

    Attributes:
        end: the session; None: it is over.
        store: what is durable, and key memory.
        sent: the frames, in order.
        notes: what was shown, in order.
        forwarded: what went to a second link.
        crashes: what would be left, and sent, and how many of the effects done, if the power had been cut within.
        error: why the session ended, where it did not end in good order.
        order: the effects in the order in which they were performed.
        last: the session as it ended; None: it goes on, or there was none.

    """

    end: End | None
    store: Store
    sent: tuple[Frame, ...] = ()
    notes: tuple[object, ...] = ()
    forwarded: tuple[object, ...] = ()
    crashes: tuple[tuple[Store, tuple[Frame, ...], int], ...] = ()
    error: str = ""
    order: tuple[object, ...] = ()
    last: CheckedSession | None = None


class Party(ABC):
    """A kind of party: how its sessions begin, and what surrounds them."""

    @abstractmethod
    def begin(self, store: Store, name: str) -> CheckedSession:
        """A session called `name`, from what is durable.

        Raises:
            InsituError: there is no reason for one, or something is missing.

        """

    @abstractmethod
    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """Its ports."""

    def take_up(self, store: Store, session: CheckedSession) -> None:  # noqa: B027 - most parties have nothing to do
        """`session`, which was forked, goes on with `store`, which was forked: nothing is kept besides."""

    def leave(self, store: Store, session: CheckedSession) -> Store:
        """`store`, which was forked, when the session is over: what is not durable is gone."""
        store.vault.restart()
        return store


def begin(party: Party, store: Store, name: str, at: int = NOW) -> Done:
    """The session called `name`, begun.

    Raises:
        InsituError: as for Party.

    """
    store = store.fork()
    store.vault.draw_as(name)
    session = party.begin(store, name)
    return _performed(party, End(session), store, session.start(at), at)


def move(
    party: Party,
    end: End,
    store: Store,
    do: Callable[[CheckedSession], Outcome],
    at: int = NOW,
    failing: Failing | None = None,
) -> Done:
    """What comes of `do`, if key memory does its work or fails; `end` and `store` are as before."""
    store, session = store.fork(), end.session.fork()
    party.take_up(store, session)
    try:
        outcome = do(session)
    except InsituError as error:  # an order that is refused changes nothing
        return Done(end, store, error=str(error))
    return _performed(party, replace(end, session=session), store, outcome, at, failing)


def answer(party: Party, end: End, store: Store, reply: Callable[[Ports, Consult], object], at: int = NOW) -> Done:
    """A person answers what was asked first."""
    asked, *others = end.asked
    store, session = store.fork(), end.session.fork()
    party.take_up(store, session)
    ports = party.surroundings(store, session, [])
    event = reply(ports, asked)
    outcome = session.answer(event, at)
    return _performed(party, replace(end, session=session, asked=tuple(others)), store, outcome, at)


def cut_short(do: Callable[[Party, Store], Done], party: Party, store: Store) -> Iterator[Store]:
    """What is left if the power fails while a program does this, before each thing that becomes durable.

    Raises:
        InsituError: it does not do it.

    """
    for writes in count():
        partly = store.fork()
        partly.vault.writes_left = writes
        try:
            do(party, partly)
        except PowerCut:
            yield partly.restarted()
        else:
            return


def _performed(party: Party, end: End, store: Store, outcome: Outcome, at: int, failing: Failing | None = None) -> Done:
    session, timers, asked = end.session, set(end.timers), list(end.asked)
    sent: list[Frame] = []
    notes: list[object] = []
    forwarded: list[object] = []
    order: list[object] = []
    crashes: list[tuple[Store, tuple[Frame, ...], int]] = []
    ports = replace(party.surroundings(store, session, forwarded), show=notes.append)
    queue = deque(outcome)

    left: list[Store] = []

    def may_crash() -> None:
        if not left:
            left.append(store.restarted())
        crashes.append((left[0], tuple(sent), len(order)))

    while queue:
        effect = queue.popleft()
        order.append(effect)
        match effect:
            case Transmit(frames):
                sent += [frame for frame in frames if isinstance(frame, Frame)]
                may_crash()
            case StartTimer(timer):
                timers.add(timer)
            case StopTimer(timer):
                timers.discard(timer)
            case Close() | Send():
                pass
            case Consult():
                asked.append(effect)
            case _:
                store.vault.failing = failing if isinstance(effect, LookUp) else None
                try:
                    is_lost = failing is not None and isinstance(effect, KeyOperation) and failing.fails()
                    event = KeyOperationFailed("key memory is gone") if is_lost else perform(effect, ports)
                except InsituError as error:
                    queue = deque(session.undone(error))
                    continue
                finally:
                    store.vault.failing = None
                if isinstance(effect, (Persist, LookUp)):
                    left.clear()
                    may_crash()
                elif isinstance(effect, Show):  # whoever is told may act on it at once
                    may_crash()
                if event is not None:
                    queue.extend(session.answer(event, at))
    going_on = None if session.closed else End(session, frozenset(timers), tuple(asked))
    if going_on is None:
        store = party.leave(store, session)
    return Done(
        going_on,
        store,
        tuple(sent),
        tuple(notes),
        tuple(forwarded),
        tuple(crashes),
        "" if session.error is None else str(session.error),
        tuple(order),
        session if going_on is None else None,
    )


# Module --------------------------------------------------------------------------------------------------------


class _Module(Module):
    """The program of a module, met one event at a time."""

    def session(self, option: TrustOption, name: str) -> CheckedSession:
        """As `meet_unit` begins one."""
        terms = module_terms(option, self._has(wired=True, mobile=SecondLink(lambda _: None)))
        purpose = Purpose.STATUS if self.state is ModuleState.OPERATING else Purpose.PERSONALIZE
        handshake = SymbolicHandshake(terms, name, purpose=purpose)
        return CheckedSession(MODULE, self.state, self._data(), handshake)

    def surroundings(self, option: TrustOption, session: CheckedSession, forward: Callable[[object], None]) -> Ports:
        """Its ports."""
        mobile = SecondLink(forward) if option is TrustOption.CONVEYED else None
        return self._ports(session, option, lambda _: None, mobile, "")


@dataclass(frozen=True)
class ModuleParty(Party):
    """Module SN-1, which wants to be personalized or reports that it is.

    Attributes:
        option, start: see Beginning.
        token: its operator's, with a TAN, where one is plugged in (A8).

    """

    option: TrustOption
    start: Beginning
    token: CheckedVault | None = None

    def program(self, store: Store) -> _Module:
        """Of the module with this store."""
        entropy = Repeated(store.vault.identity.__hash__().__str__())
        about: dict[str, Any] = {"token": self.token, "entropy": entropy, "now": now, "steady": lambda: 0}
        return _Module(store.vault, enter=self._envelope, **about)

    def begin(self, store: Store, name: str) -> CheckedSession:
        """See Party."""
        return self.program(store).session(self.option, name)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        return self.program(store).surroundings(self.option, session, forwarded.append)

    def _envelope(self, peer: str) -> str:
        """The operator keys in the TAN of whichever unit there says to be."""
        return self.start.envelopes.get(peer) or next(iter(self.start.envelopes.values()))


def named(name: str, crl: VerifiedCrl | None) -> str:
    """Of an end that goes by this list (None: by none), so that it is no other's."""
    return name if crl is None else f"{name}, by list {crl.number}"


# Unit in the field -----------------------------------------------------------------------------------------------


class _Unit(Unit):
    """The program of a unit, met one event at a time."""

    def session(self, option: TrustOption, name: str, means: Means, policy: KeyPolicy) -> CheckedSession:
        """As `personalize` begins one."""
        card, crl = self._card, self._card.heard
        check_unrevoked(card.customer, crl)
        job = card.approved_job(CardRole.MODULE, SERIAL)
        data = UnitData(job.number, SERIAL, job.salt, policy, card.customer.der, self._central)
        entropy = Repeated(name)
        has = UnitHas(card, card.keys, SERIAL, NOW, crl, means, wired=True, entropy=entropy)
        purposes = frozenset({Purpose.PERSONALIZE, Purpose.STATUS})
        handshake = SymbolicHandshake(unit_terms(option, has), named(name, crl), purposes=purposes)
        return CheckedSession(UNIT, UnitState.READY, data, handshake)

    def surroundings(self, means: Means, forward: Callable[[object], None]) -> Ports:
        """Its ports."""
        return replace(self._ports(means, lambda _: None), forward=forward)


@dataclass(frozen=True)
class UnitParty(Party):
    """The unit of a bank in the field: one module at a time, SN-1 and no other."""

    option: TrustOption
    start: Beginning
    bank: str
    maker: NumberMaker = NumberMaker.UNIT
    policy: KeyPolicy = KeyPolicy.NEW

    def program(self, store: Store) -> _Unit:
        """Of the unit with this store."""
        return _Unit(card_of(store.vault), self.start.central[self.bank], now=now)

    def means(self, store: Store, forward: Callable[[object], None]) -> Means:
        """What people and documents contribute."""
        mobiles = Mobiles(frozenset({MOBILE}), SecondLink(forward), self.maker)
        book = None if store.book is None else book_of(store.book, self.bank)
        return Means(shipped_key(SERIAL), shared_secret(SERIAL), book, mobiles=mobiles)

    def begin(self, store: Store, name: str) -> CheckedSession:
        """See Party."""
        return self.program(store).session(self.option, name, self.means(store, lambda _: None), self.policy)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        return self.program(store).surroundings(self.means(store, forwarded.append), forwarded.append)
