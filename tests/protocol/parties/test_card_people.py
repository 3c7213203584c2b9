"""Who may approve, and with which PIN: the card's rules on its people (L13)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from world import DAY, NOW, PINS, World

from insitu.protocol.engine import InsituError, Persist, Refused, Show, Signed, StateError, UsageError
from insitu.protocol.messages import MOST_CHANGES, CardRole, Job, PeopleChange, PeopleJob, Person
from insitu.protocol.parties.card import CARD, log_of, pin_verifier
from insitu.protocol.parties.card_data import (
    MAX_FAILURES,
    Approve,
    CardData,
    CardState,
    CertificateWanted,
    PinRefused,
)
from insitu.protocol.parties.card_people_data import (
    ApprovalsOutlived,
    ApprovalWithdrawn,
    PeopleAre,
    PeopleProposed,
    PeopleWanted,
    PinChanged,
    PinTaken,
)
from insitu.protocol.parties.card_record import digest_of
from insitu.protocol.stores.card_log import PeopleChanged

S = CardState
ALICE, BOB, CAROL = "alice", "bob", "carol"
C = PeopleChange


def person(name: str, pin: bytes = b"13579", failures: int = 0) -> Person:
    salt = name.encode().ljust(16, b".")
    return Person(name=name, salt=salt, verifier=pin_verifier(pin, salt), failures=failures)


def change(kind: PeopleChange, who: str, new: Person | None = None, **about: Any) -> PeopleJob:
    usual: dict[str, Any] = {"number": b"c" * 16, "expires": NOW + DAY, "approvals": ()}
    return PeopleJob(**{**usual, **about}, change=kind, person=who, new=new)


def knowing(world: World, *changes: PeopleJob, people: tuple[Person, ...] | None = None, **about: Any) -> CardData:
    vault = world.vault("card")
    there = people or world.card.record.people
    record = replace(world.card.record, people=there, changes=changes, **about)
    return CardData(record=record, signing=vault.find("signing"), authentication=vault.find("authentication"))


def propose(data: CardData, job: PeopleJob) -> Any:
    return CARD.step(S.READY, data, PeopleProposed(job, NOW))


def want(data: CardData, at: int = NOW) -> Any:
    return CARD.step(S.READY, data, PeopleWanted(b"c" * 16, at))


def names(data: CardData) -> dict[str, int]:
    return {each.name: each.failures for each in data.held.people}


LOCKED = person(CAROL, failures=MAX_FAILURES)


@pytest.fixture
def three(world: World) -> tuple[Person, ...]:
    return (*world.card.record.people, LOCKED)


# What may be changed


def test_whatever_leaves_two_who_can_approve(world: World, three):
    for job, people in (
        (change(C.ADD, CAROL, person(CAROL)), None),
        (change(C.REPLACE, BOB, person(CAROL)), None),
        (change(C.RENEW, BOB, person(BOB, b"24680")), None),
        (change(C.UNLOCK, CAROL), three),
        (change(C.REMOVE, CAROL), three),
        (change(C.REMOVE, BOB), (*three[:2], person(CAROL))),
    ):
        step = propose(knowing(world, people=people), job)
        assert (step.state, step.data.held.changes) == (S.READY, (job,))


def test_what_does_not(world: World, three):
    full = tuple(person(f"person {number}", b"1") for number in range(16))
    wrong = {
        "one is left": (change(C.REMOVE, BOB), None),
        "one who can approve is left": (change(C.REMOVE, BOB), three),
        "nobody of that name": (change(C.REMOVE, "mallory"), three),
        "nobody to unlock": (change(C.UNLOCK, "mallory"), three),
        "a name that is there": (change(C.ADD, BOB, person(BOB)), None),
        "a name that is there already": (change(C.REPLACE, ALICE, person(BOB)), None),
        "one person twice": (change(C.REPLACE, ALICE, person(ALICE)), None),
        "another than was named": (change(C.ADD, CAROL, person("mallory")), None),
        "another's PIN": (change(C.RENEW, BOB, person("mallory")), None),
        "no PIN": (change(C.ADD, CAROL), None),
        "a PIN for who leaves": (change(C.REMOVE, CAROL, person(CAROL)), three),
        "a PIN for who is unlocked": (change(C.UNLOCK, CAROL, person(CAROL)), three),
        "locked as it comes": (change(C.ADD, CAROL, LOCKED), None),
        "too many": (change(C.ADD, CAROL, person(CAROL)), full),
        "approved already": (change(C.ADD, CAROL, person(CAROL), approvals=(ALICE,)), None),
    }
    for what, (job, people) in wrong.items():
        with pytest.raises(InsituError):
            pytest.fail(f"{what}: {propose(knowing(world, people=people), job)}")


def test_a_number_is_given_once_and_so_many_may_wait(world: World):
    taken = knowing(world, change(C.ADD, CAROL, person(CAROL), approvals=(ALICE,)))
    with pytest.raises(Refused):
        propose(taken, change(C.RENEW, BOB, person(BOB)))
    many = tuple(
        change(C.RENEW, BOB, person(BOB), number=bytes([number]) * 16, approvals=(ALICE,))
        for number in range(MOST_CHANGES)
    )
    with pytest.raises(Refused):
        propose(knowing(world, *many), change(C.ADD, CAROL, person(CAROL)))
    one_less = replace(many[0], approvals=())
    step = propose(knowing(world, one_less, *many[1:]), change(C.ADD, CAROL, person(CAROL)))
    assert one_less not in step.data.held.changes, "nobody approved it: it makes room"


# Coming into force


def test_l13_two_different_people_in_time_and_once(world: World):
    job = change(C.REPLACE, BOB, person(CAROL))
    for approvals, at in (((), NOW), ((ALICE,), NOW), ((ALICE, ALICE), NOW), ((ALICE, BOB), NOW + DAY + 1)):
        with pytest.raises(Refused):
            want(knowing(world, replace(job, approvals=approvals)), at)
    step = want(knowing(world, replace(job, approvals=(BOB, ALICE))))
    entry = log_of(step.data.held)[-1].what
    assert entry == PeopleChanged(b"c" * 16, "replace", BOB, (ALICE, BOB), CAROL)
    assert step.state is S.VOUCHING, "nothing is stored or said before the head of the log is signed"
    done = CARD.step(S.VOUCHING, step.data, Signed(bytes(64)))
    assert done.effects == (Persist(done.data.held), Show(PeopleAre(entry)))
    assert names(done.data) == {ALICE: 0, CAROL: 0}
    with pytest.raises(Refused):
        want(done.data)


@pytest.mark.parametrize("kind", [C.RENEW, C.UNLOCK])
def test_who_comes_back_has_the_pin_that_was_approved(world: World, three, kind):
    new = person(CAROL, b"24680") if kind is C.RENEW else None
    step = want(knowing(world, change(kind, CAROL, new, approvals=(ALICE, BOB)), people=three))
    assert names(step.data) == {ALICE: 0, BOB: 0, CAROL: 0}
    assert step.data.held.people[2].verifier == (new or LOCKED).verifier


def test_what_was_approved_is_judged_again_by_who_is_there_then(world: World, three):
    job = change(C.REMOVE, BOB, approvals=(ALICE, BOB))
    with pytest.raises(InsituError, match="two who are not locked"):
        want(knowing(world, job, people=three))
    with pytest.raises(InsituError, match="nobody of that name"):
        want(knowing(world, change(C.UNLOCK, "gone", approvals=(ALICE, BOB)), people=three))


def test_whatever_the_one_who_leaves_approved_counts_no_more(world: World):
    """It may be that it was somebody else: that is why there is another PIN, or another person."""
    module = Job(b"m" * 16, CardRole.MODULE, "SN-1", bytes(32), 365, NOW + DAY, approvals=(ALICE, BOB))
    other = change(C.RENEW, ALICE, person(ALICE), number=b"d" * 16, approvals=(BOB,))
    outdated = change(C.REMOVE, BOB, number=b"e" * 16, approvals=(ALICE,))
    job = change(C.RENEW, BOB, person(BOB, b"24680"), approvals=(ALICE, BOB))
    data = want(knowing(world, job, other, outdated, jobs=(module,))).data
    assert data.held.jobs == (replace(module, approvals=(ALICE,)),)
    assert data.held.changes == (replace(other, approvals=()),)
    with pytest.raises(Refused):
        CARD.step(S.READY, data, CertificateWanted(b"m" * 16, world.card.authentication.public, NOW))


def test_a_clock_behind_the_log_uses_up_nothing(world: World):
    with pytest.raises(UsageError, match="clock"):
        want(knowing(world, change(C.ADD, CAROL, person(CAROL), approvals=(ALICE, BOB))), NOW - 2 * DAY)


# PINs


def new_pin(data: CardData, old: bytes, new: Person) -> Any:
    return CARD.step(S.READY, data, PinChanged(ALICE, old, new))


def test_who_knows_the_pin_sets_another(world: World):
    waiting = change(C.RENEW, ALICE, person(ALICE, b"0"), approvals=(BOB,))
    data = knowing(world, waiting, change(C.ADD, CAROL, person(CAROL), number=b"d" * 16))
    step = new_pin(data, PINS[ALICE], person(ALICE, b"24680"))
    assert step.effects == (Persist(step.data.held), Show(PinTaken(ALICE)))
    assert step.data.held.people[0] == person(ALICE, b"24680")
    assert [job.person for job in step.data.held.changes] == [CAROL], "or the change would bring back another PIN"


def test_who_does_not_is_counted_and_locked(world: World):
    data = knowing(world)
    for left in (4, 3, 2, 1, 0):
        step = new_pin(data, b"wrong", person(ALICE, b"24680"))
        assert step.effects == (Persist(step.data.held), Show(PinRefused(ALICE, left)))
        data = step.data
    with pytest.raises(Refused):
        new_pin(data, PINS[ALICE], person(ALICE, b"24680"))
    assert data.held.people[0].verifier == world.card.record.people[0].verifier


@pytest.mark.parametrize("new", [person(BOB), person(ALICE, failures=1)], ids=["another's", "with failures"])
def test_nobody_sets_the_pin_of_another(world: World, new):
    with pytest.raises(Refused):
        new_pin(knowing(world), PINS[ALICE], new)


# Exactly this job


def test_s6_an_approval_is_for_what_was_shown_and_nothing_else(world: World):
    """A job that says anything else by now is refused, and that costs no try."""
    shown = Job(b"m" * 16, CardRole.MODULE, "SN-1", bytes(32), 365, NOW + DAY, approvals=(), public_key=bytes(33))
    others = {
        "subject": "SN-2",
        "role": CardRole.UNIT,
        "salt": b"1" * 32,
        "days": 366,
        "expires": NOW + DAY + 1,
        "public_key": b"1" * 33,
    }
    assert others.keys() | {"number", "approvals"} == {field.name for field in fields(Job)}
    for field, value in others.items():
        data = knowing(world, jobs=(replace(shown, **{field: value}),))  # type: ignore[arg-type]
        with pytest.raises(Refused):
            CARD.step(S.READY, data, Approve(b"m" * 16, digest_of(shown), ALICE, PINS[ALICE], NOW))
        assert names(data) == {ALICE: 0, BOB: 0}
    first = CARD.step(
        S.READY, knowing(world, jobs=(shown,)), Approve(b"m" * 16, digest_of(shown), ALICE, PINS[ALICE], NOW)
    )
    assert digest_of(first.data.held.jobs[0]) == digest_of(shown), "the second is shown the same digest as the first"


def test_jobs_of_other_kinds_have_other_digests(world: World):
    one, other = change(C.REMOVE, BOB), change(C.UNLOCK, BOB)
    again = change(C.RENEW, BOB, person(BOB)), change(C.RENEW, BOB, person(BOB, b"24680"))
    assert len({digest_of(job) for job in (one, other, *again)}) == 4


# Withdrawing


def test_an_approval_is_withdrawn_while_it_was_not_used(world: World):
    module = Job(b"m" * 16, CardRole.MODULE, "SN-1", bytes(32), 365, NOW + DAY, approvals=(ALICE, BOB))
    data = knowing(world, change(C.REMOVE, CAROL, approvals=(ALICE,)), jobs=(module,))
    step = CARD.step(S.READY, data, ApprovalWithdrawn(b"m" * 16, ALICE))
    assert step.data.held.jobs == (replace(module, approvals=(BOB,)),)
    assert step.data.held.changes == data.held.changes, "that of another job counts"
    for event in (ApprovalWithdrawn(b"m" * 16, ALICE), ApprovalWithdrawn(b"x" * 16, BOB)):
        with pytest.raises(Refused):
            CARD.step(S.READY, step.data, event)


# A signing key in a token, whose PIN two people hold together

TOKEN = "pkcs11:token=bank;object=signing"


def test_who_holds_half_a_pin_is_not_added_removed_or_unlocked(world: World, three):
    """There are exactly two halves: somebody takes a place, or all get a new PIN."""
    for job in (change(C.ADD, "dave", person("dave")), change(C.REMOVE, CAROL), change(C.UNLOCK, CAROL)):
        propose(knowing(world, people=three), job)
        with pytest.raises(StateError, match="people of a signing token") as refused:
            propose(knowing(world, people=three, signing=TOKEN), job)
        assert refused.value.got == job.change.name.lower()
    for job in (change(C.REPLACE, BOB, person("dave")), change(C.RENEW, BOB, person(BOB))):
        assert propose(knowing(world, signing=TOKEN), job).data.held.changes == (job,)


def test_nobody_sets_a_half_alone(world: World):
    right = PINS["alice"]
    new_pin(knowing(world), right, person(ALICE, b"24680"))
    with pytest.raises(Refused):
        new_pin(knowing(world, signing=TOKEN), right, person(ALICE, b"24680"))


def test_consent_ends_with_the_session_where_the_token_shut_and_nowhere_else(world: World):
    job = Job(b"m" * 16, CardRole.MODULE, "SN-1", bytes(32), 365, NOW + DAY, approvals=(ALICE, BOB))
    data = knowing(world, change(C.REPLACE, BOB, person("dave"), approvals=(ALICE,)), jobs=(job,), signing=TOKEN)
    step = CARD.step(S.READY, data, ApprovalsOutlived())
    assert step.data.held.jobs == (replace(job, approvals=()),)
    assert [each.approvals for each in step.data.held.changes] == [()]
    assert [type(effect) for effect in step.effects] == [Persist]
    with pytest.raises(Refused):
        CARD.step(S.READY, replace(data, record=replace(data.held, signing=None)), ApprovalsOutlived())


def test_nothing_of_a_pin_shows(world: World):
    import pickle

    event = PinChanged(ALICE, b"2580", person(ALICE, b"24680"))
    assert "2580" not in repr(event)
    assert repr(person(ALICE).verifier) not in repr(event)
    with pytest.raises(UsageError):
        pickle.dumps(event)
