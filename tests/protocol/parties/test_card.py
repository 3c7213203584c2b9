from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from log_heads import with_head
from recorder import Recorder, classified, one_of_each
from world import DAY, NOW, PINS, World

from insitu.protocol.engine import (
    Close,
    Fault,
    KeyKind,
    KeyOperationFailed,
    Persist,
    ProtocolError,
    Refused,
    Show,
    Sign,
    Signed,
    UsageError,
)
from insitu.protocol.keys.certificates import Role, verify_issued
from insitu.protocol.keys.public import compress
from insitu.protocol.messages import CardRole, Job, Person
from insitu.protocol.parties.card import CARD, log_of, pin_verifier, resting_state
from insitu.protocol.parties.card_data import (
    MAX_FAILURES,
    Approve,
    CardData,
    CardState,
    CertificateWanted,
    Certified,
    CustomerCertified,
    Furnish,
    JobNoted,
    JobProposed,
    PinRefused,
)
from insitu.protocol.parties.card_record import digest_of, job_of
from insitu.protocol.stores.card_log import Failure, Intent, ListIntent, Result, open_intents

S = CardState
ALICE, BOB, CAROL = "alice", "bob", "carol"


@pytest.fixture
def card(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["card"]


# All rows and all events


def test_every_row_is_taken(card: Recorder):
    assert card.missing() == []


def test_every_event_is_accepted_by_a_row_or_refused_without_a_trace(recorded: dict[str, Recorder], card: Recorder):
    events = one_of_each(*recorded.values())
    assert len(classified(card, events)) == len(list(S)) * len(events)


def test_a_card_wakes_up_where_its_record_says(world: World):
    record = world.card.record
    assert resting_state(None) is S.BLANK
    assert resting_state(replace(record, customer=None)) is S.REQUESTED
    assert resting_state(record) is S.READY


def test_s6_the_signing_key_signs_nothing_without_an_entry_but_its_own_request(card: Recorder):
    """Whatever was recorded: a Sign effect stands behind the Persist of an intent for exactly these bytes."""
    for moment in card.moments:
        effects = moment.step.effects
        for number, effect in enumerate(effects):
            if isinstance(effect, Sign):
                if effect.key.label == "authentication":  # the head of the log
                    assert (moment.step.state, effects) == (S.VOUCHING, (effect,))
                    continue
                assert effect.key.label == "signing"
                if moment.state is S.PAIRING:
                    continue
                before = [each for each in effects[:number] if isinstance(each, Persist)]
                assert len(before) == 1
                (intent,) = open_intents(log_of(before[0].record))
                if isinstance(intent, ListIntent):
                    assert intent.digest == sha256(effect.message).digest()
                else:
                    assert intent.to_be_signed == effect.message
                assert len(set(intent.approvers)) == 2


# People


def person(name: str) -> Person:
    salt = sha256(name.encode()).digest()[:16]
    return Person(name=name, salt=salt, verifier=pin_verifier(name.encode(), salt), failures=0)


@pytest.mark.parametrize(
    ("names", "accepted"),
    [((), False), ((ALICE,), False), ((ALICE, ALICE), False), ((ALICE, BOB), True), ((ALICE, BOB, CAROL), True)],
    ids=str,
)
def test_l13_four_eyes_need_two_different_names(names, accepted):
    """The verifiers may be anything here; what counts are the names."""
    people = tuple(Person(name=name, salt=bytes(16), verifier=bytes(32), failures=0) for name in names)
    event = Furnish("Bank", people)
    if accepted:
        assert CARD.step(S.BLANK, CardData(), event).state is S.FURNISHING
    else:
        with pytest.raises(Refused):
            CARD.step(S.BLANK, CardData(), event)


# Installing


def test_only_a_certificate_for_our_key_and_name_is_installed(world: World, card: Recorder):
    moment = card.at(S.REQUESTED, CustomerCertified)
    other = World(seed="other")
    right = moment.event
    assert CARD.step(S.REQUESTED, moment.data, right).state is S.READY
    request = world.blank_card("card-9").furnish("Bank", PINS)
    wrong = {
        "another key of our name": CustomerCertified(world.root, world.manufacturer.sign_customer(request)),
        "another manufacturer's": CustomerCertified(other.root, right.customer),
        "another root": CustomerCertified(other.root, other.customer),
        "a root as customer": CustomerCertified(right.root, right.root),
        "a unit as customer": CustomerCertified(right.root, world.card.unit),
        "no root": CustomerCertified(right.customer, right.customer),
        "nothing": CustomerCertified(b"", b""),
    }
    for what, event in wrong.items():
        with pytest.raises(ProtocolError):
            pytest.fail(f"{what}: {CARD.step(S.REQUESTED, moment.data, event)}")


# Jobs and approvals


@pytest.fixture
def ready(world: World) -> CardData:
    """A card with three people and one open job."""
    vault = world.vault("card")
    people = (person(ALICE), person(BOB), person(CAROL))
    record = replace(world.card.record, people=people, jobs=(job(b"1"),))
    return CardData(record=record, signing=vault.find("signing"), authentication=vault.find("authentication"))


def job(number: bytes, **about: Any) -> Job:
    usual: dict[str, Any] = {
        "role": CardRole.MODULE,
        "subject": "SN-1",
        "salt": bytes(32),
        "days": 365,
        "expires": NOW + DAY,
        "approvals": (),
    }
    return Job(number=number * 16, **{**usual, **about})


def approve(
    data: CardData,
    name: str,
    *,
    pin: bytes | None = None,
    at: int = NOW,
    number: bytes = b"1",
    shown: Job | None = None,
) -> Any:
    """What the person was shown is what the card has, if nothing else is said."""
    there = shown or job_of(data.held, number * 16)
    digest = bytes(32) if there is None else digest_of(there)
    return CARD.step(S.READY, data, Approve(number * 16, digest, name, name.encode() if pin is None else pin, at))


def test_a_job_is_new_without_approvals_and_knows_its_key_if_there_is_one(ready: CardData, world: World):
    public = compress(world.card.authentication.public)
    approved = approve(ready, ALICE).data
    accepted = {
        "another module": job(b"2", subject="SN-2"),
        "another role": job(b"2", role=CardRole.UNIT, public_key=public),
        "the same module, with the key that it made": job(b"2", public_key=public),
    }
    refused = {
        "the same number": job(b"1", subject="SN-2"),
        "the same subject": job(b"2"),
        "approved already": job(b"2", subject="SN-2", approvals=(ALICE,)),
        "a unit without": job(b"2", role=CardRole.UNIT),
    }
    for new in accepted.values():
        step = CARD.step(S.READY, ready, JobProposed(new, NOW))
        assert step.data.record.jobs == (job(b"1"), new)
        assert Show(JobNoted(new, missing=2)) in step.effects
    for what, new in refused.items():
        with pytest.raises(Refused):
            pytest.fail(f"{what}: {CARD.step(S.READY, approved, JobProposed(new, NOW))}")


def test_a_job_that_nobody_approved_gives_way(ready: CardData):
    step = CARD.step(S.READY, ready, JobProposed(job(b"2", days=7), NOW))
    assert step.data.record.jobs == (job(b"2", days=7),)


def test_a_job_whose_time_is_over_makes_room(ready: CardData):
    step = CARD.step(S.READY, ready, JobProposed(job(b"2"), NOW + DAY + 1))
    assert step.data.record.jobs == (job(b"2"),)


def test_two_different_people_approve_and_no_third_is_needed(ready: CardData):
    first = approve(ready, ALICE)
    assert Show(JobNoted(replace(job(b"1"), approvals=(ALICE,)), missing=1)) in first.effects
    with pytest.raises(Refused):
        approve(first.data, ALICE)
    second = approve(first.data, CAROL)
    assert second.data.record.jobs[0].approvals == (ALICE, CAROL)
    with pytest.raises(Refused):
        approve(second.data, BOB)


def test_who_may_not_even_try(ready: CardData):
    """An unknown person, an unknown job, a job whose time is over: no PIN is looked at, none is counted."""
    for arguments in ({"name": "mallory"}, {"name": ALICE, "number": b"9"}, {"name": ALICE, "at": NOW + DAY + 1}):
        for pin in (b"alice", b"wrong"):
            with pytest.raises(Refused):
                approve(ready, **{"pin": pin, **arguments})


def test_five_wrong_pins_in_a_row_lock_durably_and_a_right_one_before_forgives(ready: CardData):
    data = ready
    for left in range(MAX_FAILURES - 1, 0, -1):
        step = approve(data, ALICE, pin=b"wrong")
        assert step.effects == (Persist(step.data.record), Show(PinRefused(ALICE, left)))
        data = step.data
    assert approve(data, ALICE).data.record.people[0].failures == 0
    locked = approve(data, ALICE, pin=b"wrong").data
    for pin in (b"alice", b"wrong"):
        with pytest.raises(Refused):
            approve(locked, ALICE, pin=pin)
    assert approve(locked, BOB).data.record.jobs[0].approvals == (BOB,)


def test_the_pin_of_one_person_is_not_that_of_another(ready: CardData):
    assert isinstance(approve(ready, ALICE, pin=b"bob").effects[1].note, PinRefused)


# Certifying (L12, S6)


@pytest.fixture
def approved(ready: CardData) -> CardData:
    return approve(approve(ready, ALICE).data, BOB).data


def wanted(world: World, label: str = "x") -> CertificateWanted:
    vault = world.vault("wanted")
    key = vault.find(label) or vault.generate(label, KeyKind.P256, b"")
    return CertificateWanted(b"1" * 16, key.public, NOW)


def test_nothing_is_signed_without_two_approvals_of_exactly_this_job_in_time(world: World, approved: CardData):
    event = wanted(world)
    one = replace(approved.held.jobs[0], approvals=(ALICE,))
    twice = replace(approved.held.jobs[0], approvals=(ALICE, ALICE))
    assert CARD.step(S.READY, approved, event).state is S.SIGNING
    refused = {
        "one approval": (replace(approved, record=replace(approved.held, jobs=(one,))), event),
        "the same one twice": (replace(approved, record=replace(approved.held, jobs=(twice,))), event),
        "another job": (approved, replace(event, number=b"2" * 16)),
        "too late": (approved, replace(event, at=NOW + DAY + 1)),
    }
    for what, (data, each) in refused.items():
        with pytest.raises(Refused):
            pytest.fail(f"{what}: {CARD.step(S.READY, data, each)}")


def test_a_key_that_was_approved_is_the_only_one_certified(world: World, approved: CardData):
    event = wanted(world)
    fixed = replace(approved.held.jobs[0], role=CardRole.CENTRAL, public_key=compress(event.public))
    data = replace(approved, record=replace(approved.held, jobs=(fixed,)))
    assert CARD.step(S.READY, data, event).state is S.SIGNING
    with pytest.raises(Refused):
        CARD.step(S.READY, data, wanted(world, "another"))


def test_approvals_are_used_up_before_the_signature_is_made(world: World, approved: CardData):
    """An approval is used once, also if the signature fails or the power does."""
    step = CARD.step(S.READY, approved, wanted(world))
    assert step.data.record.jobs == ()
    persist, sign = step.effects
    assert persist == Persist(step.data.record)
    assert isinstance(sign, Sign)
    failed = CARD.step(S.SIGNING, step.data, KeyOperationFailed("gone"))
    assert (failed.state, failed.data.record.jobs) == (S.READY, ())
    assert log_of(failed.data.record)[-1].what == Failure(b"1" * 16, "gone")
    assert failed.effects[-1] == Close(Fault.UNAVAILABLE, "gone")
    with pytest.raises(Refused):
        CARD.step(S.READY, failed.data, wanted(world))


def test_the_certificate_is_in_the_log_before_it_leaves(world: World, approved: CardData):
    step = CARD.step(S.READY, approved, wanted(world))
    signature = world.vault("card").sign(approved.signing, step.effects[1].message)  # type: ignore[union-attr]
    done = with_head(world, CARD.step(S.SIGNING, step.data, Signed(signature)))
    persist, show = done.effects
    certificate = show.note.certificate
    assert persist == Persist(done.data.record)
    assert isinstance(show.note, Certified)
    *_, intent, result = [entry.what for entry in log_of(done.data.record)]
    assert isinstance(intent, Intent)
    assert (intent.approvers, intent.subject, intent.role) == ((ALICE, BOB), "SN-1", "module")
    assert result == Result(b"1" * 16, signature, sha256(certificate).digest())
    verified = verify_issued(certificate, world.card.customer, Role.MODULE, now=NOW, subject="SN-1")
    assert verified.public == wanted(world).public
    assert verified.not_after == NOW + 365 * DAY


@pytest.mark.parametrize(("behind", "begins"), [(0, 0), (1, 0), (DAY, 0), (DAY + 1, None), (5 * 365 * DAY, None)])
def test_a_clock_behind_the_log_dates_nothing_back_and_uses_no_approval(
    world: World, approved: CardData, behind, begins
):
    """S4 counts on it that of two certificates of one card the later one begins later."""
    latest = log_of(approved.held)[-1].at
    event = replace(wanted(world), at=latest - behind)
    if begins is None:
        with pytest.raises(UsageError, match="card: clock"):
            CARD.step(S.READY, approved, event)
        return
    step = CARD.step(S.READY, approved, event)
    signature = world.vault("card").sign(approved.signing, step.effects[1].message)  # type: ignore[union-attr]
    certificate = with_head(world, CARD.step(S.SIGNING, step.data, Signed(signature))).effects[1].note.certificate
    assert verify_issued(certificate, world.card.customer, Role.MODULE, now=None).not_before == latest + begins


def test_a_certificate_never_outlives_its_issuer(world: World, ready: CardData):
    long = replace(job(b"1"), days=36500, approvals=(ALICE, BOB))
    data = replace(ready, record=replace(ready.held, jobs=(long,)))
    step = CARD.step(S.READY, data, wanted(world))
    signature = world.vault("card").sign(data.signing, step.effects[1].message)  # type: ignore[union-attr]
    certificate = with_head(world, CARD.step(S.SIGNING, step.data, Signed(signature))).effects[1].note.certificate
    customer = world.card.customer
    assert verify_issued(certificate, customer, Role.MODULE, now=NOW).not_after == customer.not_after


@pytest.mark.parametrize("own", [True, False], ids=["our own key", "another unit's key"])
def test_only_the_certificate_for_our_own_authentication_key_becomes_ours(world: World, own):
    before = world.card.unit
    public = world.card.authentication.public if own else wanted(world).public
    made = world.certify(CardRole.UNIT, "unit 2", public)
    assert (world.card.unit == made) is own
    assert (world.card.unit == before) is not own


def test_a_name_that_no_certificate_can_carry_changes_nothing(world: World, ready: CardData):
    """A bare module's serial number, say: the job was approved, and is still there."""
    odd = replace(job(b"1"), subject="SN\u202e1", approvals=(ALICE, BOB))
    data = replace(ready, record=replace(ready.held, jobs=(odd,)))
    with pytest.raises(UsageError):
        CARD.step(S.READY, data, wanted(world))


def test_an_approval_shows_no_pin_and_is_not_pickled():
    import pickle

    event = Approve(b"1" * 16, bytes(32), ALICE, b"2580", NOW)
    assert "2580" not in repr(event)
    with pytest.raises(UsageError):
        pickle.dumps(event)
