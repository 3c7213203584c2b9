"""A signing key under a PIN in two halves: what is done with the halves, with a token in memory (L13)."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
from two_halves import NAME, OFFICER, PRESENT, furnished, held, two_halves
from world import NOW, PINS, World

from insitu.protocol.engine import EnvironmentFault, InsituError, KeyKind, Refused, StateError, UsageError
from insitu.protocol.keys.port import KeyRefused, KeyStoreError
from insitu.protocol.keys.split_vault import SignersAbsent, SplitVault
from insitu.protocol.messages import CardRole, PeopleChange, StandingPolicy
from insitu.protocol.parties.card import CARD, log_of
from insitu.protocol.parties.card_data import SIGNING, CardData, CardState
from insitu.protocol.parties.card_people_data import HalvesTaken
from insitu.protocol.stores.card_log import Failure, Intent
from insitu.protocol.stores.secret import Secret
from insitu.shell.card import Card

ALICE, BOB = PINS


def unit_job(card: Card):
    return card.propose(CardRole.UNIT, "unit-9", public=card.authentication.public)


def test_a_signature_takes_both_halves_each_time(world: World) -> None:
    split, token = two_halves(world)
    card = furnished(world, split)
    job = unit_job(card)
    before = token.signed
    for person, pin in PINS.items():
        card.approve(job, person, pin)
    assert card.certify(job.number, card.authentication.public)
    assert token.signed == before + 1
    key = split.find(SIGNING)
    assert key is not None
    with pytest.raises(SignersAbsent):
        split.sign(key, b"one more")
    split.hold(ALICE, Secret(PINS[ALICE]))
    with pytest.raises(SignersAbsent):
        split.sign(key, b"with one half")
    assert token.signed == before + 1


def test_a_signature_that_fails_has_used_up_the_halves(world: World) -> None:
    split, token = two_halves(world)
    card = furnished(world, split)
    job = unit_job(card)
    for person, pin in PINS.items():
        card.approve(job, person, pin)
    token.set_pin(Secret(PINS[ALICE] + PINS[BOB]), PRESENT)
    with pytest.raises(EnvironmentFault, match="PIN refused"):
        card.certify(job.number, card.authentication.public)
    with pytest.raises(SignersAbsent):
        split.check()


def test_the_authentication_key_needs_no_halves(world: World) -> None:
    """Channels are opened by one person alone."""
    split, _ = two_halves(world)
    card = furnished(world, split)
    assert len(split.sign(card.authentication, b"x")) == 64
    assert split.labels() == split.durable == {"signing", "authentication"}
    assert not split.answers_at_once


def test_halves_are_put_together_in_one_order(world: World) -> None:
    split, token = two_halves(world)
    split.forget()
    for person in (BOB, ALICE):
        split.hold(person, Secret(PINS[person]))
    split.check()
    assert token.wrong == 0


def test_a_wrong_half_is_forgotten_with_the_right_one_and_no_approval_is_left(world: World) -> None:
    split, token = two_halves(world)
    card = furnished(world, split)
    token.set_pin(Secret(PINS[ALICE] + PINS[BOB]), Secret(b"another"))
    job = unit_job(card)
    card.approve(job, ALICE, PINS[ALICE])
    with pytest.raises(UsageError, match="PIN refused"):
        card.approve(job, BOB, PINS[BOB])
    assert token.wrong == 1, "one try of the token's, and no other by itself"
    assert unit_job(card).approvals == ()
    with pytest.raises(StateError, match="both halves"):
        split.check()


def test_approvals_end_with_the_session(world: World) -> None:
    split, _ = two_halves(world)
    card = furnished(world, split)
    job = unit_job(card)
    for person, pin in PINS.items():
        card.approve(job, person, pin)
    again = Card(split, now=world.clock)
    assert unit_job(again) == replace(job, approvals=())
    with pytest.raises(StateError):
        again.certify(job.number, again.authentication.public)


def test_nobody_can_use_an_approval_that_the_halves_do_not_come_with(world: World) -> None:
    """Somebody wrote them into the record: the token does not care."""
    split, token = two_halves(world)
    card = furnished(world, split)
    job = unit_job(card)
    forged = replace(card.record, jobs=(replace(job, approvals=(ALICE, BOB)),))
    card._keeping.commit(forged)
    signed = token.signed
    with pytest.raises(EnvironmentFault, match="both halves"):
        card.certify(job.number, card.authentication.public)
    assert token.signed == signed
    assert [type(entry.what) for entry in log_of(card.record)] == [Intent, Failure]


def test_a_change_of_the_pin_that_was_cut_off_is_done_again(world: World) -> None:
    split, token = two_halves(world)
    held(split)
    for _ in range(2):
        held(split)
        split.change(ALICE, ALICE, Secret(b"a new half"))
    token.check(Secret(b"a new half" + PINS[BOB]))
    with pytest.raises(StateError):
        split.change(ALICE, ALICE, Secret(b"another"))


def test_a_wrong_pin_of_whoever_set_the_token_up_costs_one_try(world: World) -> None:
    split, token = two_halves(world)
    split.roll_back()
    with pytest.raises(UsageError, match="PIN refused"):
        split.begin(Secret(b"mistyped"))
    assert token.wrong == 1


def test_a_change_that_the_token_refuses_leaves_no_approval(world: World) -> None:
    """One byte of a half can be guessed with the record at hand: what the token says counts."""
    split, token = two_halves(world)
    card = furnished(world, split)
    new = b"carols half"
    job = card.propose_change(PeopleChange.REPLACE, BOB, comes="carol", pin=new)
    for person, pin in PINS.items():
        card.approve(job, person, pin)
    token.set_pin(Secret(PINS[ALICE] + PINS[BOB]), Secret(b"another"))
    with pytest.raises(UsageError, match="PIN refused"):
        card.change_people(job.number, new)
    assert card.change(job.number).approvals == ()
    with pytest.raises(StateError):
        card.change_people(job.number, new)
    assert [person.name for person in card.record.people] == [ALICE, BOB]


def test_exactly_two_people_and_no_one_of_them_alone(world: World) -> None:
    split, _ = two_halves(world)
    card = furnished(world, split)
    with pytest.raises(StateError, match="half of the signing token's"):
        card.change_pin(ALICE, PINS[ALICE], b"a new half")
    for change, person, pin in (
        (PeopleChange.ADD, "carol", b"carols half"),
        (PeopleChange.REMOVE, BOB, None),
        (PeopleChange.UNLOCK, BOB, None),  # people unlock asks the token instead
    ):
        with pytest.raises(InsituError, match="exactly two people"):
            card.propose_change(change, person, pin=pin)
    with pytest.raises(UsageError, match="at least 8"):
        card.propose_change(PeopleChange.REPLACE, BOB, comes="carol", pin=b"1234567")
    other, _ = two_halves(world, "three")
    with pytest.raises(StateError):
        Card(other, now=world.clock).furnish("Bank", {**PINS, "carol": b"carols half"}, signing="pkcs11:token=x")


def test_a_card_that_could_not_be_made_leaves_the_token_as_it_was(world: World) -> None:
    split, token = two_halves(world)
    split.generate(SIGNING, KeyKind.P256, b"")
    split.roll_back()
    assert token.find(SIGNING) is None
    split.give_back(PRESENT)
    token.check(PRESENT)
    furnished_split, furnished_token = two_halves(world, "used")
    furnished(world, furnished_split)
    with pytest.raises(StateError, match="in use"):
        SplitVault(world.vault("next"), furnished_token, SIGNING, (ALICE, BOB)).begin(PRESENT)


def test_a_token_that_makes_no_key_has_its_pin_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, token = two_halves(world)
    token.destroy(SIGNING, Secret(PINS[ALICE] + PINS[BOB]))
    token.set_pin(Secret(PINS[ALICE] + PINS[BOB]), PRESENT)
    split = SplitVault(world.vault("next"), token, SIGNING, (ALICE, BOB))
    held(split)

    def full(*_: object) -> None:
        raise KeyStoreError("no room", who="token")

    monkeypatch.setattr(token, "generate", full)
    with pytest.raises(KeyStoreError):
        split.begin(PRESENT)
    token.check(PRESENT)
    assert split.asks_each_time is None


@pytest.mark.parametrize("officer", [None, OFFICER], ids=["by both", "by the officer"])
def test_halves_that_the_token_takes_end_what_rested_on_others(world: World, officer: Secret | None) -> None:
    split, _ = two_halves(world)
    card = furnished(world, split)
    job = card.propose_change(PeopleChange.RENEW, BOB, pin=b"bobs new half")
    card.approve(job, ALICE, PINS[ALICE])
    card.approve(unit_job(card), ALICE, PINS[ALICE])
    card.take_halves(BOB, PINS, officer)
    assert card.record.changes == ()
    assert unit_job(card).approvals == ()
    with pytest.raises(SignersAbsent):
        split.check()
    for person, pin in PINS.items():
        card.approve(unit_job(card), person, pin)
    assert card.certify(unit_job(card).number, card.authentication.public)


def test_halves_are_taken_for_both_who_hold_them_and_nobody_else(world: World) -> None:
    split, token = two_halves(world)
    card = furnished(world, split)
    people = card.record.people
    locked = replace(people[0], failures=5)
    data = card._known
    for event in (
        HalvesTaken(b"n" * 16, "carol", people, False, NOW),
        HalvesTaken(b"n" * 16, BOB, people[::-1], False, NOW),
        HalvesTaken(b"n" * 16, BOB, people[:1], False, NOW),
        HalvesTaken(b"n" * 16, BOB, (locked, people[1]), False, NOW),
    ):
        with pytest.raises(Refused):
            CARD.step(CardState.READY, data, event)
    with pytest.raises(StateError, match="nobody of that name"):
        card.take_halves("carol", PINS)
    assert token.wrong == 0
    with pytest.raises(StateError, match="no signing token"):
        world.card.take_halves(BOB, PINS)
    ours = CardData(record=world.card.record)
    with pytest.raises(Refused):
        CARD.step(CardState.READY, ours, HalvesTaken(b"n" * 16, BOB, ours.held.people, False, NOW))


def test_a_card_with_a_signing_token_has_no_standing_approvals(world: World) -> None:
    split, _ = two_halves(world)
    with pytest.raises(StateError):
        Card(split, now=world.clock).furnish("Bank", PINS, policy=StandingPolicy(1, 1), signing=NAME)
    card = furnished(world, two_halves(world, "none")[0])
    with pytest.raises(StateError, match="no standing approvals with a signing token"):
        card.propose_standing(["SN-1"], most=1, until=NOW + 10)


def test_nothing_of_a_half_shows(world: World) -> None:
    split, _ = two_halves(world)
    assert "2580" not in repr(split)
    for away in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(UsageError):
            away(split)
    with pytest.raises(KeyRefused):
        split.destroy(SIGNING)
    split.close()
    with pytest.raises(StateError):
        split.check()
