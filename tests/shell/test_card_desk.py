"""A card that others use as well: one question at a time, and whoever would wait too long is told that it is busy."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Event, Thread

import pytest
from world import PINS, SERIAL, World, restarted

from insitu.protocol.engine import InsituError
from insitu.protocol.keys.vault import Vault
from insitu.protocol.messages import CardRole, encode_record
from insitu.protocol.parties import card_room
from insitu.protocol.parties.card_room import CERTIFICATE_BYTES, KEPT, SHORT
from insitu.protocol.stores.files import StoreLocked
from insitu.shell import waiting
from insitu.shell.card import Card
from insitu.shell.card_desk import MOST_QUESTIONS, CardBusy, CardDesk


class Held:
    """The card's store, which others hold as often as `held` says."""

    def __init__(self, world: World, held: int = 0) -> None:
        self.held = held
        self._world = world

    def __call__(self) -> Vault:
        if self.held:
            self.held -= 1
            raise StoreLocked("store is in use", who="store", expected="nobody else", got="process 1")
        return restarted(self._world.vault("card"))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0.0)


def desk(world: World, reopen: Callable[[], Vault], *, patience: float = 5.0) -> CardDesk:
    return CardDesk(reopen, tuple, world.card, now=world.clock, patience=patience)


def test_a_question_waits_for_whoever_has_the_card_and_sees_what_he_did(world: World):
    held = Held(world, held=3)
    here = desk(world, held)
    job = world.approved(CardRole.MODULE, SERIAL)
    assert here.record.jobs == ()
    assert here.ask(lambda card: card.approved_job(CardRole.MODULE, SERIAL)).number == job.number
    assert (held.held, here.record.jobs[0].approvals) == (0, tuple(PINS))


def test_whoever_waits_too_long_is_told(world: World):
    here = desk(world, Held(world, held=1_000_000), patience=0.0)
    with pytest.raises(CardBusy, match="process 1"):
        here.ask(lambda card: card.record)
    assert not here.answers
    assert desk(world, Held(world)).ask(lambda card: card.record)


def test_what_the_card_refuses_is_an_answer(world: World):
    here = desk(world, Held(world))
    with pytest.raises(InsituError, match="no job"):
        here.ask(lambda card: card.approved_job(CardRole.MODULE, "SN-9"))
    assert here.answers


def test_no_more_than_a_few_wait_and_the_others_are_told_at_once(world: World):
    here = desk(world, Held(world))
    begun, go_on = Barrier(2), Event()

    def slow(card: Card) -> str:
        begun.wait(10)
        go_on.wait(10)
        return card.record.name

    answers: list[object] = []
    first = Thread(target=lambda: answers.append(here.ask(slow)))
    first.start()
    begun.wait(10)
    waiting = [Thread(target=lambda: answers.append(here.ask(lambda card: card.record.name))) for _ in range(15)]
    for thread in waiting:
        thread.start()
    while here._places.acquire(blocking=False):  # until all of them have a place
        here._places.release()
    with pytest.raises(CardBusy, match=f"at most {MOST_QUESTIONS}"):
        here.ask(lambda card: card.record)
    go_on.set()
    for thread in (first, *waiting):
        thread.join(10)
    assert answers == ["Bank"] * MOST_QUESTIONS
    assert here.ask(lambda card: card.record.name) == "Bank"


def test_a_card_that_fills_up_is_told_of_once(world: World, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    here = CardDesk(Held(world), tuple, world.card, now=world.clock, tell=told.append)
    assert here.room.certificates > SHORT
    monkeypatch.setattr(card_room, "LARGEST", len(encode_record(world.card.record)) + KEPT + 5 * CERTIFICATE_BYTES)
    for _ in range(2):
        here.ask(lambda card: card.record)
        assert told == ["the card has room for 5 more certificates: take another one into use (docs/card.md)"]
    assert here.room.certificates == 5
    CardDesk(Held(world), tuple, world.card, now=world.clock, tell=told.append)
    assert len(told) == 2


def test_a_store_that_fails_gives_its_place_back(world: World):
    def broken() -> Vault:
        raise InsituError("gone", who="store")

    here = desk(world, broken)
    for _ in range(2 * MOST_QUESTIONS):
        with pytest.raises(InsituError, match="gone"):
            here.ask(lambda card: card.record)
    assert not here.answers
