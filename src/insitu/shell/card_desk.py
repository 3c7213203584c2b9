"""A card in a store that others use as well: opened for each question, one after the other, and given back.

So people can approve further jobs while a service has the card. Who finds it taken is told soon that it is busy; nobody
waits without end, and no more than a few wait at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from threading import BoundedSemaphore, Lock
from typing import Final, TypeVar

from ..protocol.engine import EnvironmentFault, InsituError, StateError
from ..protocol.keys.vault import Vault
from ..protocol.messages import CardRecord
from ..protocol.stores.card_log import Standing
from ..protocol.stores.files import StoreLocked
from .card import Card
from .card_status import room_warning
from .keeping import ignore, wall_clock
from .waiting import PATIENCE_SECONDS, opened

R = TypeVar("R")

MOST_QUESTIONS: Final = 16
"""That wait for the card at once; each holds a thread."""


class CardBusy(EnvironmentFault):
    """The card serves others for longer than anybody waits, or too many wait for it."""


class CardLocked(StateError):
    """Too many people are locked by wrong PINs: with this card nothing is approved any more."""


class CardDesk:
    """A card, for questions.

    Args:
        reopen: opens the card's store.
        stamp: changes whenever somebody may have written it.
        now: unix seconds.
        patience: seconds that a question waits.
        read: is given the card after a question by which its log has grown beyond what a central system has read;
            what goes wrong there concerns no question. None: nobody reads it here.
        tell: gets a line for each such error.

    Attributes:
        record: the card's durable state, as last seen.
        standing: the standing approvals that its log names, as last seen.
        room: what is left on it, as last seen; `tell` gets a line as soon as it is short.
        answers: whether the last question came to an answer of the card, be it a refusal.

    """

    def __init__(
        self,
        reopen: Callable[[], Vault],
        stamp: Callable[[], tuple[int, ...]],
        card: Card,
        *,
        now: Callable[[], int] = wall_clock,
        patience: float = PATIENCE_SECONDS,
        read: Callable[[Card], None] | None = None,
        tell: Callable[[str], None] = ignore,
    ) -> None:
        self.record: CardRecord = card.record
        self.standing: tuple[Standing, ...] = tuple(card.standing.values())
        self.answers = True
        self._reopen = reopen
        self._stamp = stamp
        self._now = now
        self._patience = patience
        self._read = read
        self._tell = tell
        self._one = Lock()
        self.room = card.room
        self._warn(was_short=False)
        self._places = BoundedSemaphore(MOST_QUESTIONS)
        self._seen: tuple[int, ...] = ()

    def ask(self, question: Callable[[Card], R]) -> R:
        """Have the card answer; from a worker thread, since it may take seconds.

        Raises:
            CardBusy: it serves others.
            InsituError: what the question or the store raises.

        """
        if not self._places.acquire(blocking=False):
            raise _busy(f"at most {MOST_QUESTIONS} questions that wait", "more")
        try:
            return self._asked(question, time.monotonic() + self._patience)
        finally:
            self._places.release()

    def _asked(self, question: Callable[[Card], R], until: float) -> R:
        if not self._one.acquire(timeout=self._patience):
            raise _busy("a free one", "others before us")
        try:
            self.answers = False
            with self._opened(until) as vault:
                card = Card(vault, now=self._now)
                try:
                    return question(card)
                finally:
                    self._have_it_read(card)
                    with suppress(InsituError):  # a store of which nobody knows what is in it is read again
                        record, standing = card.record, tuple(card.standing.values())
                        self.record, self.standing, self._seen = record, standing, self._stamp()
                        was_short, self.room = self.room.is_short, card.room
                        self._warn(was_short=was_short)
                        self.answers = True
        finally:
            self._one.release()

    def _warn(self, *, was_short: bool) -> None:
        if self.room.is_short and not was_short:
            self._tell(room_warning(self.room))

    def _have_it_read(self, card: Card) -> None:
        """While nobody else can use the card, so that what is read is never older than what was read before."""
        try:
            if self._read is not None and card.has_unread_entries:
                self._read(card)
        except InsituError as error:
            self._tell(str(error))

    @property
    def has_changed(self) -> bool:
        """Whether somebody wrote the store since it was last seen."""
        return self._stamp() != self._seen

    def _opened(self, until: float) -> Vault:
        try:
            return opened(self._reopen, until - time.monotonic())
        except StoreLocked as error:
            raise _busy(error.expected, error.got) from None


def _busy(expected: str, got: str) -> CardBusy:
    return CardBusy("the card is busy", who="card", expected=expected, got=got)
