"""A personalization unit in the network: it listens, and personalizes every module for which two people agree (V2).

Parties and tables are those of the field (unit.py); the link is TCP, and who turns up is known when it has proved its
identity, not before (whoever.py). Sessions run side by side and share one card, which answers one question at a time
(card_desk.py). Which job is for whom, and who agrees to it, stands in visit.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from ..protocol.channel.handshake import Handshake
from ..protocol.driver import Orders, run
from ..protocol.engine import InsituError, StateError
from ..protocol.keys.certificates import Role, verify_issued
from ..protocol.keys.revocation import VerifiedCrl, check_unrevoked, read_crl
from ..protocol.keys.vault import MemoryVault
from ..protocol.messages import Purpose, TrustOption
from ..protocol.parties.card_room import Room
from ..protocol.parties.unit import UNIT, UnitState
from ..protocol.ports import Ports
from ..protocol.session import Session
from ..transports.errors import TransportError
from ..transports.links import Address, Link, serve_links
from ..transports.tcp import PeerLimits
from .aside import Aside
from .attempts import LinkLimit
from .book import Book
from .calls import Calls, Switchboard
from .card import Card
from .card_desk import CardBusy, CardDesk
from .keeping import Show, ignore, wall_clock
from .trusting import Means, UnitHas, check_certified, terms_for_whoever
from .visit import Queue, Rules, Visit
from .whoever import ForWhoever

WATCH_SECONDS: Final = 0.5
"""How often it is looked whether people have approved something."""
LIMITS: Final = PeerLimits(peers=1000, per_host=64)
"""Who may be connected at once."""


class UnitService:
    """A unit that listens for modules.

    Args:
        desk: the card, for questions.
        card: the same card, whose authentication key opens channels; nothing is written through it.
        option: the trust option, pinned for all sessions.
        rules: which modules, which certificates, how long people have.
        board: where sessions and mobiles meet, under trust option conveyed.
        book: for options secret and tan.
        tell: gets a line for each error.
        show: gets the notes of all sessions.
        blocking: card and book take time: they are asked from worker threads.
        watch_seconds: how often it is looked whether people have approved something.
        entropy, now: random bytes, unix seconds.

    Attributes:
        queue: the sessions that wait for people.

    Raises:
        CertificateRefused: the central system's certificate is none by this card's customer, or is revoked.

    """

    def __init__(
        self,
        desk: CardDesk,
        card: Card,
        option: TrustOption,
        rules: Rules,
        *,
        board: Switchboard | None = None,
        book: Book | None = None,
        tell: Callable[[str], None],
        show: Show = ignore,
        blocking: bool = True,
        watch_seconds: float = WATCH_SECONDS,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
    ) -> None:
        check_certified(card, option)
        card.check_counts(verify_issued(rules.central, card.customer, Role.CENTRAL, now=now()))
        self._desk = desk
        self._card = card
        self._aside = Aside(card.keys)
        self._option = option
        self._rules = rules
        self._board = board
        self._book = book
        self._tell = tell
        self._show = show
        self._blocking = blocking
        self._watch_seconds = watch_seconds
        self._entropy = entropy
        self._now = now
        self._limit = LinkLimit()
        self.queue = Queue()

    def check(self) -> None:
        """Make sure, before anybody can call, that sessions can begin.

        Raises:
            UsageError: not under this option, under which a module cannot prove to a listening unit who it is.
            CertificateRefused: the unit's certificate or its customer's does not hold or is revoked.

        """
        crl = self._heard()
        check_unrevoked(self._card.customer, crl)
        means, _ = self._means(Orders())
        _ = self._card.authentication  # which `calls` asks for
        terms_for_whoever(self._option, self._has(MemoryVault(self._entropy), crl, means))

    @property
    def calls(self) -> Calls | None:
        """What takes calls of mobiles; None under options without any."""
        if self._board is None:
            return None
        card = self._card
        return Calls(
            self._board,
            card.record.name,
            card.authentication,
            card.keys,
            tell=self._tell,
            entropy=self._entropy,
            now=self._now,
        )

    @property
    def room(self) -> Room:
        """What is left on the card, as seen last."""
        return self._desk.room

    @property
    def answers(self) -> bool:
        """Whether the card came to an answer when it was asked last."""
        return self._desk.answers

    async def run(self, address: Address, *, ready: Callable[[str], None]) -> None:
        """Until cancelled; `ready` is told the address when the port is open."""
        async with trio.open_nursery() as nursery:
            places: list[Address] = await nursery.start(partial(serve_links, address, self._attend, limits=LIMITS))
            ready(str(places[0]))
            await self._watch()

    async def _attend(self, link: Link) -> None:
        """One session with whichever module is there; what goes wrong is told, and concerns no other."""
        try:
            await self.meet(link.stream, origin=link.origin)
        except (InsituError, TransportError) as error:
            self._tell(str(error))

    async def meet(self, stream: trio.abc.Stream, *, origin: str = "") -> UnitState:
        """One session with whichever module is at the other end of `stream`, which is closed then; how it ended.

        Args:
            stream: the link.
            origin: where the module is (`Link.origin`), which limits wrong attempts; empty: nothing does.

        Raises:
            InsituError: it did not end in good order.

        """
        keys = MemoryVault(self._entropy)
        visit = Visit(self._card, self._desk, self._rules, self.queue, self._book, keys, self._limit, origin)

        means, place = self._means(visit.orders)

        def found(serial: str) -> None:
            place(serial)
            session.begin_anew(UnitState.READY, visit.data(serial))

        async with stream:
            crl = self._heard()
            check_unrevoked(self._card.customer, crl)
            has = self._has(keys, crl, means)
            pinned, key = await self._aside(lambda: (terms_for_whoever(self._option, has), self._card.authentication))
            terms = ForWhoever(pinned, self._card.root, found)
            purposes = frozenset({Purpose.PERSONALIZE, Purpose.STATUS})
            handshake = Handshake.respond(terms, purposes, self._entropy(64))
            visit.shown = lambda: handshake.opened.peer.chain if handshake.opened else ()
            session = Session(UNIT, UnitState.READY, visit.data(""), handshake)
            own = self._card.keys if terms.key == key else keys
            ports = Ports(own, look_up=visit.look_up, show=self._show, blocking=self._blocking)
            if means.mobiles is not None:
                ports = replace(ports, forward=means.mobiles.link.forward)
            try:
                await run(session, stream, ports, now=self._now, orders=visit.orders)
            finally:
                self.queue.leave(visit)
                keys.roll_back()
            return session.state

    def _means(self, orders: Orders) -> tuple[Means, Callable[[str], None]]:
        """What there is for a session besides the card, and what is to be told which module is there."""
        if self._board is None:
            return Means(book=self._book), ignore
        mobiles, found = self._board.place_for_whoever(orders)
        return Means(mobiles=mobiles), found

    def _has(self, keys: MemoryVault, crl: VerifiedCrl | None, means: Means) -> UnitHas:
        return UnitHas(self._card, keys, "", self._now(), crl, means, wired=False, entropy=self._entropy)

    def _heard(self) -> VerifiedCrl | None:
        """The manufacturer's newest revocation list that the card was given, also while we serve (S5)."""
        heard = self._desk.record.heard
        return None if heard is None else read_crl(heard, self._card.root)

    async def _watch(self) -> None:
        """See what people do; a card that cannot be read is told once, and read as soon as that is possible."""
        told = ""
        while True:
            try:
                if self._blocking:
                    await trio.to_thread.run_sync(self._look)
                else:
                    self._look()
                told = ""
            except CardBusy:
                pass  # it is looked at by whoever has it
            except InsituError as error:
                if str(error) != told:
                    self._tell(str(error))
                told = str(error)
            self.queue.look(self._desk)
            await trio.sleep(self._watch_seconds)

    def _look(self) -> None:
        if self._desk.has_changed:
            self._desk.ask(_see)


def _see(card: Card) -> None:
    """Nothing but seeing what it holds."""
    if card.record.customer is None:
        raise StateError("the card waits for the manufacturer", who="card", expected="a certificate", got="none yet")
