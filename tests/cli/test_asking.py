"""People are asked at the terminal who approves: what counts is what the card says after each answer (L13)."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest
from two_halves import furnished, two_halves
from world import DAY, PINS, SERIAL, World

from insitu.cli import people as cli_people
from insitu.cli.people import ask_for_approvals
from insitu.protocol.engine import StateError
from insitu.protocol.messages import CardRole, Job
from insitu.protocol.parties import card_people
from insitu.protocol.stores.secret import Secret
from insitu.shell.card import Card

ALICE, BOB = PINS
Answers = Callable[..., list[str]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """People give these names; PINs are their own, where nothing else is said. What they are asked is noted."""

    def given(*names: str, pins: list[bytes] | None = None, between: Callable[[], object] = lambda: None) -> list[str]:
        asked: list[str] = []
        others = list(names)

        def prompt(text: str, **_: object) -> str:
            asked.append(text.strip())
            return others.pop(0)

        def typed(*, prompt: str = "", **_: object) -> Secret:
            between()
            person = prompt.removeprefix("PIN of ").removesuffix(": ")
            return Secret(pins.pop(0) if pins else PINS[person])

        monkeypatch.setattr(click, "prompt", prompt)
        monkeypatch.setattr(cli_people, "passphrase", typed)
        return asked

    return given


@pytest.fixture
def job(world: World) -> Job:
    return world.card.propose(CardRole.MODULE, SERIAL)


def test_slips_are_asked_again(world: World, job: Job, answers: Answers) -> None:
    told: list[str] = []
    asked = answers(ALICE, ALICE, "mallory", BOB, BOB, pins=[PINS[ALICE], b"wrong", PINS[BOB]])
    assert ask_for_approvals(world.card, job, (), told.append) == (ALICE, BOB)
    assert asked == ["Who approves? (alice, bob)", *["Who approves? (bob)"] * 4]
    assert [line.split(" (")[0] for line in told] == [
        "alice has approved",
        "nobody of that name approves here: 'mallory'",
        "card: wrong PIN of bob, 4 tries left",
    ]


def test_a_half_that_only_the_token_notices_is_asked_for_with_the_other(world, answers, monkeypatch) -> None:
    """Then nobody has approved any more, and the card says so: who typed the right one is asked as well."""
    split, token = two_halves(world)
    card = furnished(world, split)
    job = card.propose(CardRole.MODULE, SERIAL)
    monkeypatch.setattr(card_people, "compare_digest", lambda *_: True)
    asked = answers(ALICE, BOB, BOB, ALICE, pins=[PINS[ALICE], b"not bobs half", PINS[BOB], PINS[ALICE]])
    told: list[str] = []
    assert ask_for_approvals(card, job, (), told.append) == (BOB, ALICE)
    assert [text.partition("? ")[2] for text in asked] == ["(alice, bob)", "(bob)", "(alice, bob)", "(alice)"]
    assert (token.wrong, len(told)) == (1, 1)


def test_somebody_else_approved_meanwhile(world: World, job: Job, answers: Answers) -> None:
    other = Card(world.vault("card"), now=world.clock)
    other.approve(job, BOB, PINS[BOB])
    answers(ALICE)
    assert ask_for_approvals(Card(world.vault("card"), now=world.clock), job, (), pytest.fail) == (BOB, ALICE)


def test_a_job_whose_time_is_over_is_asked_for_no_more(world: World, job: Job, answers: Answers) -> None:
    """Nobody is asked again and again for a PIN that nothing will come of."""

    def later() -> None:
        world.clock.at += 2 * DAY

    answers(ALICE, BOB, between=later)
    told: list[str] = []
    with pytest.raises(StateError, match="no such job is open"):
        ask_for_approvals(world.card, job, (), told.append)
    assert len(told) == 1


def test_nobody_is_asked_on_a_card_that_is_locked(world: World, job: Job, answers: Answers) -> None:
    answers(*[ALICE] * 5, *[BOB] * 5, pins=[b"wrong"] * 10)
    with pytest.raises(StateError, match="nobody can approve any more"):
        ask_for_approvals(world.card, job, (), lambda _: None)
