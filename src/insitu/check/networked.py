"""A unit in the network, for the search: it learns in the handshake who calls, and people approve the key that waits.

The product's own visit, terms for whoever calls, card desk and book; several sessions share one card. What a visit
knows belongs to its session, and is forked with it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from ..protocol.engine import given
from ..protocol.keys.revocation import check_unrevoked
from ..protocol.messages import CardRole, NumberMaker, Purpose, TrustOption
from ..protocol.parties.unit import UNIT, UnitState
from ..protocol.ports import Ports
from ..shell.attempts import LinkLimit
from ..shell.card import Card
from ..shell.card_desk import CardDesk
from ..shell.second_link import SecondLink
from ..shell.trusting import Means, Mobiles, UnitHas, terms_for_whoever
from ..shell.visit import Queue, Rules, Visit
from ..shell.whoever import ForWhoever
from .channel import CheckedSession, SymbolicHandshake
from .memory import CheckedVault, Repeated
from .parties import MOBILE, Party, named
from .values import canonical
from .world import PINS, SERIAL, Beginning, Store, book_of, now


class _Everybody:
    """A job list with every module on it."""

    def admits(self, serial: str) -> bool:
        """Always."""
        return bool(serial)


class _Whoever(ForWhoever):
    """Terms that can be gone on with from the same place more than once."""

    def taken_up(self, found: Callable[[str], None]) -> _Whoever:
        """The same once more, telling somebody else."""
        other = object.__new__(type(self))
        vars(other).update(vars(self) | {"_found": found})
        return other


class _Visit(Visit):
    """A visit that can be gone on with from the same place more than once."""

    def taken_up(self, **about: object) -> _Visit:
        """The same once more, with these surroundings."""
        other = object.__new__(type(self))
        vars(other).update(vars(self) | {f"_{name}": value for name, value in about.items()})
        return other

    @property
    def identity(self) -> Hashable:
        """What makes it the same as another."""
        return self._serial, canonical(self.job), self._standing, self._queued


@dataclass(frozen=True)
class Company:
    """What a session at such a unit has of its own.

    Attributes:
        name: of the session.
        visit: which job is for its module.
        keys: its fresh keys, and what the book gave it.

    """

    name: str
    visit: _Visit
    keys: CheckedVault

    @property
    def identity(self) -> Hashable:
        """What makes it the same as another."""
        return self.visit.identity, self.keys.identity


@dataclass(frozen=True)
class NetworkedUnit(Party):
    """The unit of a bank in the network."""

    option: TrustOption
    start: Beginning
    bank: str
    maker: NumberMaker = NumberMaker.UNIT

    def _surroundings_of(self, name: str, store: Store, keys: CheckedVault) -> dict[str, Any]:
        card = Card(store.vault, entropy=Repeated(f"visit {name}"), now=lambda: store.clock)
        desk = CardDesk(lambda: store.vault, lambda: (0,), card, now=lambda: store.clock)
        book = None if store.book is None else book_of(store.book, self.bank)
        return {"card": card, "desk": desk, "book": book, "keys": keys, "queue": Queue(), "limit": LinkLimit(_never)}

    def begin(self, store: Store, name: str) -> CheckedSession:
        """See Party."""
        keys = CheckedVault(name)
        about = self._surroundings_of(name, store, keys)
        listed: Any = _Everybody()
        rules = Rules(self.start.central[self.bank], listed)
        visit = _Visit(rules=rules, origin="", **about)
        mobiles = Mobiles(frozenset({MOBILE}), SecondLink(_nobody), self.maker)
        means = Means(book=about["book"], mobiles=mobiles)
        card: Card = about["card"]
        crl = card.heard
        check_unrevoked(card.customer, crl)
        has = UnitHas(card, keys, "", store.clock, crl, means, wired=False, entropy=Repeated(name))
        terms = _Whoever(terms_for_whoever(self.option, has), card.root, _nobody)
        purposes = frozenset({Purpose.PERSONALIZE, Purpose.STATUS})
        handshake = SymbolicHandshake(terms, named(name, crl), purposes=purposes)
        session = CheckedSession(UNIT, UnitState.READY, visit.data(""), handshake)
        session.company = Company(name, visit, keys)
        self.take_up(store, session)
        return session

    def take_up(self, store: Store, session: CheckedSession) -> None:
        """See Party."""
        before = self.company(session)
        keys = before.keys.fork()
        visit = before.visit.taken_up(**self._surroundings_of(before.name, store, keys))
        session.company = Company(before.name, visit, keys)
        terms = session.handshake.terms
        if isinstance(terms, _Whoever):

            def found(serial: str) -> None:
                session.begin_anew(UnitState.READY, visit.data(serial))

            session.handshake.terms = terms.taken_up(found)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        company = self.company(session)
        card = Card(store.vault, now=now)
        own = card.keys if session.handshake.terms.key == card.authentication else company.keys
        return Ports(own, look_up=company.visit.look_up, forward=forwarded.append)

    def news(self, store: Store, session: CheckedSession) -> object | None:
        """What the session is to be told of the job with which it waits; None: nothing new."""
        visit = self.company(session).visit
        if visit.job is None:
            return None
        waiting = {job.number: job for job in Card(store.vault.fork(), now=now).record.jobs}
        return visit.heard_of(waiting.get(visit.job.number))

    def company(self, session: CheckedSession) -> Company:
        """What the session has of its own."""
        company: Company | None = session.company
        return given(company)


def approve_what_waits(store: Store) -> bool:
    """Two people approve the first key of SN-1 that waits for them; whether there was one."""
    card = Card(store.vault, now=now)
    for job in card.record.jobs:
        if (job.role, job.subject) == (CardRole.MODULE, SERIAL) and job.public_key and len(job.approvals) < 2:
            for person, pin in PINS.items():
                card.approve(job, person, pin)
            return True
    return False


def _never() -> int:
    return 0


def _nobody(_: object) -> None:
    """Nobody is told."""
