from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from log_heads import with_head
from networked import with_policy
from world import DAY, NOW, PINS, SERIAL, World

from insitu.protocol.engine import (
    InsituError,
    KeyKind,
    KeyOperationFailed,
    Persist,
    PublicKey,
    Refused,
    Sign,
    Signed,
    UsageError,
)
from insitu.protocol.keys.public import compress
from insitu.protocol.messages import CardRole, Job, StandingJob, StandingPolicy
from insitu.protocol.parties.card import CARD
from insitu.protocol.parties.card_data import (
    CardData,
    CardState,
    StandingProposed,
    StandingUsed,
    StandingWanted,
    StandingWithdrawn,
)
from insitu.protocol.parties.card_record import log_of
from insitu.protocol.parties.card_standing import is_pattern
from insitu.protocol.stores.card_log import Intent, StandingBegun, StandingEnded, standing_in

S = CardState
PEOPLE = tuple(PINS)


def proposal(**about: Any) -> StandingJob:
    usual: dict[str, Any] = {
        "number": b"p" * 16,
        "serials": (SERIAL, "SM-2*"),
        "most": 2,
        "until": NOW + DAY,
        "days": 30,
        "expires": NOW + DAY,
        "approvals": (),
    }
    return StandingJob(**{**usual, **about})


POLICY = StandingPolicy(most=10, days=7)


def knowing(world: World, *jobs: StandingJob, policy: StandingPolicy | None = POLICY) -> CardData:
    vault = world.vault("card")
    record = replace(world.card.record, policy=policy, standing=jobs)
    return CardData(record=record, signing=vault.find("signing"), authentication=vault.find("authentication"))


def in_force(world: World, **about: Any) -> CardData:
    job = proposal(approvals=PEOPLE, **about)
    return CARD.step(S.READY, knowing(world, job), StandingWanted(job.number, NOW)).data


def job_for(serial: str = SERIAL, number: bytes = b"j", **about: Any) -> Job:
    usual: dict[str, Any] = {"role": CardRole.MODULE, "salt": bytes(32), "days": 30, "expires": NOW, "approvals": ()}
    return Job(number * 16, subject=serial, **{**usual, **about})


def public_of(world: World, label: str = "x") -> PublicKey:
    vault = world.vault("wanted")
    return (vault.find(label) or vault.generate(label, KeyKind.P256, b"")).public


def use(world: World, data: CardData, job: Job | None = None, *, at: int = NOW) -> Any:
    return CARD.step(S.READY, data, StandingUsed(b"p" * 16, job or job_for(), public_of(world), at))


# Proposing


def propose(data: CardData, **about: Any) -> Any:
    return CARD.step(S.READY, data, StandingProposed(proposal(**about), NOW))


def test_the_policy_limits_what_may_stand(world: World):
    data = knowing(world)
    assert propose(data).data.held.standing == (proposal(),)
    assert propose(data, most=10, until=NOW + 7 * DAY).state is S.READY
    for about in ({"most": 11}, {"until": NOW + 7 * DAY + 1}, {"until": NOW}, {"approvals": ("alice",)}):
        with pytest.raises(InsituError):
            pytest.fail(f"{about}: {propose(data, **about)}")
    with pytest.raises(InsituError, match="no standing approvals"):
        propose(knowing(world, policy=None))


def test_what_is_in_force_counts_as_far_as_it_is_not_used_or_over(world: World):
    data = in_force(world, most=8)
    other = {"number": b"q" * 16, "until": NOW + 3 * DAY}
    assert propose(data, most=2, **other).state is S.READY
    with pytest.raises(InsituError, match="2 at most"):
        propose(data, most=3, **other)
    used = finished(world, use(world, data))
    assert propose(used, most=3, **other).state is S.READY
    later = StandingProposed(proposal(most=10, **other), NOW + DAY + 1)
    assert CARD.step(S.READY, data, later).state is S.READY


@pytest.mark.parametrize("text", ["*", "", "SM-*1", "**", "SM 1*\n", "ä*", "-*", "SM-1 "])
def test_patterns_that_are_none(world: World, text):
    assert not is_pattern(text)
    if text:
        with pytest.raises(UsageError, match="serial number"):
            propose(knowing(world), serials=(text,))


@pytest.mark.parametrize("text", ["S*", "SM-*", "SM-1", "SM 1*"])
def test_patterns(text):
    assert is_pattern(text)


# Coming into force


def test_two_different_people_bring_it_into_force_in_time_and_once(world: World):
    wanted = StandingWanted(b"p" * 16, NOW)
    step = with_head(world, CARD.step(S.READY, knowing(world, proposal(approvals=PEOPLE)), wanted))
    assert step.data.held.standing == ()
    assert step.effects[0] == Persist(step.data.held)
    assert log_of(step.data.held)[-1].what == StandingBegun(
        b"p" * 16, (SERIAL, "SM-2*"), 2, NOW + DAY, 30, ("alice", "bob")
    )
    refused = {
        "one": knowing(world, proposal(approvals=("alice",))),
        "twice the same": knowing(world, proposal(approvals=("alice", "alice"))),
        "too late": knowing(world, proposal(approvals=PEOPLE, expires=NOW - 1)),
        "another": knowing(world, proposal(approvals=PEOPLE, number=b"q" * 16)),
        "again": step.data,
    }
    for what, data in refused.items():
        with pytest.raises(Refused):
            pytest.fail(f"{what}: {CARD.step(S.READY, data, wanted)}")


def test_what_two_people_approved_is_judged_by_the_policy_again(world: World):
    """Two proposals that the policy had room for, one at a time."""
    data = in_force(world, most=8)
    other = proposal(number=b"q" * 16, most=8, approvals=PEOPLE)
    data = replace(data, record=replace(data.held, standing=(other,)))
    with pytest.raises(InsituError, match="2 at most"):
        CARD.step(S.READY, data, StandingWanted(b"q" * 16, NOW))


# Use


def finished(world: World, step: Any) -> CardData:
    """The signature that was asked for is made."""
    sign = next(effect for effect in step.effects if isinstance(effect, Sign))
    signature = world.vault("card").sign(sign.key, sign.message)
    return with_head(world, CARD.step(S.SIGNING, step.data, Signed(signature))).data


def test_s6_it_is_used_up_in_the_write_of_the_intent_before_the_signature(world: World):
    step = use(world, in_force(world))
    persist, sign = step.effects
    assert persist == Persist(step.data.held)
    assert isinstance(sign, Sign)
    intent = log_of(step.data.held)[-1].what
    assert isinstance(intent, Intent)
    assert (intent.standing, intent.approvers, intent.to_be_signed) == (b"p" * 16, ("alice", "bob"), sign.message)
    assert standing_in(log_of(step.data.held))[b"p" * 16].used == 1
    failed = CARD.step(S.SIGNING, step.data, KeyOperationFailed("gone")).data
    assert standing_in(log_of(failed.held))[b"p" * 16].used == 1


def test_its_limits(world: World):
    data = in_force(world)
    assert use(world, data, job_for("SM-29")).state is S.SIGNING
    assert use(world, data, job_for(public_key=compress(public_of(world)))).state is S.SIGNING
    refused = {
        "another module": job_for("SM-3"),
        "another validity": job_for(days=31),
        "a unit": job_for(role=CardRole.UNIT),
        "another key": job_for(public_key=compress(public_of(world, "y"))),
        "somebody approved it": job_for(approvals=("alice",)),
    }
    for what, job in refused.items():
        with pytest.raises(Refused):
            pytest.fail(f"{what}: {use(world, data, job)}")
    with pytest.raises(Refused):
        use(world, data, at=NOW + DAY + 1)
    once = finished(world, use(world, data))
    twice = finished(world, use(world, once, job_for(number=b"k")))
    with pytest.raises(Refused):
        use(world, twice, job_for(number=b"l"))
    with pytest.raises(UsageError, match="second intent"):
        use(world, once, job_for())


def test_withdrawn_it_covers_nothing_whatever_the_clock_says(world: World):
    data = in_force(world)
    withdrawn = CARD.step(S.READY, data, StandingWithdrawn(b"p" * 16, 0)).data
    assert log_of(withdrawn.held)[-1].what == StandingEnded(b"p" * 16)
    for attempt in (
        lambda: use(world, withdrawn),
        lambda: CARD.step(S.READY, withdrawn, StandingWithdrawn(b"p" * 16, NOW)),
    ):
        with pytest.raises(Refused):
            attempt()
    waiting = knowing(world, proposal(approvals=("alice",)))
    assert CARD.step(S.READY, waiting, StandingWithdrawn(b"p" * 16, NOW)).data.held.standing == ()


# At the desk


def test_from_proposal_to_the_last_certificate(world: World):
    card = with_policy(world)
    job = card.propose_standing([SERIAL, SERIAL], most=2, until=NOW + DAY, days=30)
    assert card.propose_standing([SERIAL], most=2, until=NOW + DAY, days=30) == job
    assert card.approve(job, "alice", PINS["alice"]) == 1
    with pytest.raises(InsituError):
        card.bring_into_force(job.number)
    assert card.approve(job, "bob", PINS["bob"]) == 0
    assert card.bring_into_force(job.number).left == 2
    for number in range(2):
        draft = card.draft(SERIAL, days=30, seconds=60)
        assert card.certify_by_standing(job.number, draft, public_of(world, str(number)))
    assert card.standing[job.number].left == 0
    with pytest.raises(InsituError):
        card.certify_by_standing(job.number, card.draft(SERIAL, days=30, seconds=60), public_of(world))
    card.withdraw(job.number)
    assert card.standing == {}
