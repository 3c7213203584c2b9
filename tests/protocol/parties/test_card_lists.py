from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from log_heads import with_head
from recorder import Recorder
from world import DAY, NOW, PINS, World

from insitu.protocol.engine import (
    Close,
    Fault,
    KeyOperationFailed,
    Persist,
    ProtocolError,
    Refused,
    Show,
    Sign,
    Signed,
    UsageError,
)
from insitu.protocol.keys.profile import SERIAL_NUMBER_BYTES, serial_number
from insitu.protocol.keys.revocation import read_crl
from insitu.protocol.messages import MOST_LISTS, CardRole, Job, ListJob
from insitu.protocol.parties.card import CARD, log_of
from insitu.protocol.parties.card_data import (
    Approve,
    CardData,
    CardState,
    JobNoted,
    JobProposed,
    Listed,
    ListHeard,
    ListProposed,
    ListWanted,
)
from insitu.protocol.parties.card_lists import issued_in, revoked_in
from insitu.protocol.parties.card_record import digest_of, job_of
from insitu.protocol.stores.card_log import Failure, Intent, ListIntent, Result, last_list, open_intents

S = CardState
BOTH = tuple(PINS)


@pytest.fixture
def ready(world: World) -> CardData:
    """A card that has made two certificates: its unit's and the central system's."""
    vault = world.vault("card")
    return CardData(
        record=world.card.record, signing=vault.find("signing"), authentication=vault.find("authentication")
    )


@pytest.fixture
def numbers(ready: CardData) -> tuple[bytes, ...]:
    """What may be revoked, ascending."""
    return tuple(sorted(issued_in(log_of(ready.held))))


def job(number: bytes = b"1", **about: Any) -> ListJob:
    usual: dict[str, Any] = {"list_number": 1, "added": (), "days": 90, "expires": NOW + DAY, "approvals": ()}
    return ListJob(number=number * 16, **{**usual, **about})


def proposed(data: CardData, new: ListJob, at: int = NOW) -> CardData:
    return CARD.step(S.READY, data, ListProposed(new, at)).data


def approval(data: CardData, number: bytes, person: str, *, pin: bytes | None = None, at: int = NOW) -> Approve:
    """Of what the card has under this number, as the person was shown it."""
    shown = job_of(data.held, number * 16)
    digest = bytes(32) if shown is None else digest_of(shown)
    return Approve(number * 16, digest, person, PINS[person] if pin is None else pin, at)


def approved(data: CardData, new: ListJob) -> CardData:
    """The same with this list, which both people have approved."""
    return replace(data, record=replace(data.held, lists=(*data.held.lists, replace(new, approvals=BOTH))))


def signed(world: World, data: CardData, new: ListJob, at: int = NOW) -> CardData:
    """The same after this list was signed."""
    step = CARD.step(S.READY, approved(data, new), ListWanted(new.number, at))
    return with_head(world, CARD.step(S.LISTING, step.data, Signed(signature(world, step)))).data


def signature(world: World, step: Any) -> bytes:
    return world.vault("card").sign(step.data.signing, step.effects[1].message)


# What is proposed


def test_certificates_have_the_numbers_of_their_jobs(world: World, ready: CardData, numbers):
    by_number = issued_in(log_of(ready.held))
    assert {(intent.role, intent.subject) for intent in by_number.values()} == {
        ("unit", "Bank unit 1"),
        ("central", "Host"),
    }
    assert world.card.number_of(world.central_certificate) in numbers
    assert revoked_in(log_of(ready.held)) == {}


def test_a_list_is_the_next_one_and_adds_what_this_card_made_once(ready: CardData, numbers):
    for new in (job(), job(added=numbers[:1]), job(added=numbers)):
        step = CARD.step(S.READY, ready, ListProposed(new, NOW))
        assert step.data.held.lists == (new,)
        assert step.effects == (Persist(step.data.held), Show(JobNoted(new, missing=2)))
    refused = {
        "a number too far": job(list_number=2),
        "approved already": job(approvals=("alice",)),
        "not ascending": job(added=tuple(reversed(numbers))),
        "one of them twice": job(added=(numbers[0], numbers[0])),
        "a stranger's": job(added=(b"x" * 16,)),
        "with a stranger's": job(added=tuple(sorted((*numbers, b"x" * 16)))),
    }
    for what, new in refused.items():
        with pytest.raises(Refused):
            pytest.fail(f"{what}: {CARD.step(S.READY, ready, ListProposed(new, NOW))}")


def test_a_certificate_that_was_never_made_is_not_revoked(ready: CardData):
    """Its job failed for good, so there is no such certificate; one whose outcome is not known may exist."""
    log = log_of(ready.held)
    before = set(issued_in(log))
    intent = next(entry.what for entry in log if isinstance(entry.what, Intent))
    number = serial_number(b"9" * 16).to_bytes(SERIAL_NUMBER_BYTES, "big")
    open_one = replace(log[0], what=replace(intent, job=b"9" * 16))
    assert set(issued_in((*log, open_one))) == before | {number}
    assert set(issued_in((*log, open_one, replace(log[0], what=Failure(b"9" * 16, "gone"))))) == before


def test_a_list_that_nobody_approved_gives_way_and_one_that_somebody_did_does_not(ready: CardData, numbers):
    first = proposed(ready, job(b"1", added=numbers[:1]))
    second = proposed(first, job(b"2", added=numbers[1:]))
    assert [each.number[:1] for each in second.held.lists] == [b"2"]
    kept = CARD.step(S.READY, second, approval(second, b"2", "alice")).data
    assert kept.held.lists[0].approvals == ("alice",)
    third = proposed(kept, job(b"3"))
    assert [each.number[:1] for each in third.held.lists] == [b"2", b"3"]
    with pytest.raises(Refused):
        CARD.step(S.READY, kept, ListProposed(job(b"4", added=numbers[1:]), NOW))
    with pytest.raises(Refused):
        CARD.step(S.READY, kept, ListProposed(job(b"2"), NOW))
    assert [each.number[:1] for each in proposed(kept, job(b"5"), NOW + DAY + 1).held.lists] == [b"5"]


def test_so_many_lists_may_wait(ready: CardData):
    lists = tuple(job(bytes((count,)), days=count + 1, approvals=("alice",)) for count in range(MOST_LISTS))
    full = replace(ready, record=replace(ready.held, lists=lists))
    with pytest.raises(Refused):
        CARD.step(S.READY, full, ListProposed(job(b"x"), NOW))
    almost = replace(ready, record=replace(ready.held, lists=lists[1:]))
    assert len(proposed(almost, job(b"x")).held.lists) == MOST_LISTS


def test_lists_and_certificates_share_no_job_number(ready: CardData, world: World):
    """One approval names one job: of a list or of a certificate."""
    certificate = Job(b"1" * 16, CardRole.MODULE, "SN-9", bytes(32), 365, NOW + DAY, ())
    with_certificate = CARD.step(S.READY, ready, JobProposed(certificate, NOW)).data
    with pytest.raises(Refused):
        CARD.step(S.READY, with_certificate, ListProposed(job(b"1"), NOW))
    with_list = proposed(ready, job(b"1"))
    with pytest.raises(Refused):
        CARD.step(S.READY, with_list, JobProposed(certificate, NOW))


# What is signed (L13, S6)


def test_no_list_is_signed_without_two_approvals_of_exactly_this_one_in_time(ready: CardData, numbers):
    new = job(added=numbers)
    wanted = ListWanted(new.number, NOW)
    assert CARD.step(S.READY, approved(ready, new), wanted).state is S.LISTING
    refused = {
        "nobody": (proposed(ready, new), wanted),
        "one": (replace(ready, record=replace(ready.held, lists=(replace(new, approvals=("alice",)),))), wanted),
        "the same one twice": (
            replace(ready, record=replace(ready.held, lists=(replace(new, approvals=("alice", "alice")),))),
            wanted,
        ),
        "another job": (approved(ready, new), ListWanted(b"2" * 16, NOW)),
        "too late": (approved(ready, new), ListWanted(new.number, NOW + DAY + 1)),
    }
    for what, (data, event) in refused.items():
        with pytest.raises(Refused):
            pytest.fail(f"{what}: {CARD.step(S.READY, data, event)}")


def test_a_list_is_entered_before_it_is_signed_and_before_it_leaves(world: World, ready: CardData, numbers):
    other = job(b"2", days=7)
    step = CARD.step(S.READY, approved(approved(ready, other), job(added=numbers)), ListWanted(b"1" * 16, NOW))
    persist, sign = step.effects
    assert persist == Persist(step.data.held)
    assert isinstance(sign, Sign)
    assert sign.key.label == "signing"
    assert step.data.held.lists == (), "approvals are used up, and other lists of this number are void"
    (intent,) = open_intents(log_of(step.data.held))
    digest = sha256(sign.message).digest()
    assert intent == ListIntent(b"1" * 16, 1, numbers, NOW + 90 * DAY, BOTH, digest)
    made = signature(world, step)
    done = with_head(world, CARD.step(S.LISTING, step.data, Signed(made)))
    kept, show = done.effects
    assert kept == Persist(done.data.held)
    assert isinstance(show, Show)
    assert isinstance(show.note, Listed)
    crl = read_crl(show.note.crl, world.card.customer)
    assert (crl.number, crl.this_update, crl.next_update) == (1, NOW, NOW + 90 * DAY)
    assert crl.revoked == {int.from_bytes(number, "big"): NOW for number in numbers}
    assert done.data.held.crl == crl.der
    assert log_of(done.data.held)[-1].what == Result(b"1" * 16, made, sha256(crl.der).digest())


def test_what_is_revoked_stays_so_on_every_list_with_its_own_time(world: World, ready: CardData, numbers):
    once = signed(world, ready, job(added=numbers[:1]))
    with pytest.raises(Refused):
        CARD.step(S.READY, once, ListProposed(job(b"2", list_number=2, added=numbers), NOW))
    twice = signed(world, once, job(b"2", list_number=2, added=numbers[1:]), NOW + 5)
    crl = read_crl(twice.held.crl or b"", world.card.customer)
    assert {number.to_bytes(16, "big"): since for number, since in crl.revoked.items()} == {
        numbers[0]: NOW,
        numbers[1]: NOW + 5,
    }
    assert crl.number == 2


@pytest.mark.parametrize("how", ["power", "key memory"])
def test_a_list_whose_signature_is_not_made_counts_all_the_same(world: World, ready: CardData, numbers, how):
    """What two people have revoked is revoked; the next list has the next number, and says so."""
    step = CARD.step(S.READY, approved(ready, job(added=numbers)), ListWanted(b"1" * 16, NOW))
    if how == "power":  # gone after the write: the card wakes up with what is durable
        data = CardData(record=step.data.held, signing=ready.signing, authentication=ready.authentication)
    else:
        failed = CARD.step(S.LISTING, step.data, KeyOperationFailed("gone"))
        assert (failed.state, failed.effects[-1]) == (S.READY, Close(Fault.UNAVAILABLE, "gone"))
        assert log_of(failed.data.held)[-1].what == Failure(b"1" * 16, "gone")
        data = failed.data
    assert data.held.crl is None
    log = log_of(data.held)
    assert (last_list(log), set(revoked_in(log))) == (1, set(numbers))
    with pytest.raises(Refused):
        CARD.step(S.READY, data, ListWanted(b"1" * 16, NOW))
    with pytest.raises(Refused):
        CARD.step(S.READY, data, ListProposed(job(b"2", list_number=1), NOW))
    renewed = signed(world, data, job(b"2", list_number=2), NOW + 1)
    crl = read_crl(renewed.held.crl or b"", world.card.customer)
    assert (crl.number, len(crl.revoked)) == (2, len(numbers))


@pytest.mark.parametrize(("behind", "begins"), [(0, 0), (DAY, 0), (DAY + 1, None)])
def test_a_clock_behind_the_log_dates_no_list_back_and_uses_no_approval(world: World, ready, behind, begins):
    latest = log_of(ready.held)[-1].at
    data = approved(ready, job())
    event = ListWanted(b"1" * 16, latest - behind)
    if begins is None:
        with pytest.raises(UsageError, match="card: clock"):
            CARD.step(S.READY, data, event)
        return
    step = CARD.step(S.READY, data, event)
    done = with_head(world, CARD.step(S.LISTING, step.data, Signed(signature(world, step))))
    assert read_crl(done.data.held.crl or b"", world.card.customer).this_update == latest + begins


def test_approvals_of_lists_are_approvals_like_others(ready: CardData):
    """Wrong PINs count, nobody approves twice, and nobody approves a list that is none."""
    data = proposed(ready, job())
    wrong = CARD.step(S.READY, data, approval(data, b"1", "alice", pin=b"wrong")).data
    assert {person.name: person.failures for person in wrong.held.people} == {"alice": 1, "bob": 0}
    first = CARD.step(S.READY, wrong, approval(wrong, b"1", "alice")).data
    for event in (
        approval(first, b"1", "alice"),
        approval(first, b"9", "bob"),
        approval(first, b"1", "bob", at=NOW + DAY + 1),
    ):
        with pytest.raises(Refused):
            CARD.step(S.READY, first, event)
    assert CARD.step(S.READY, first, approval(first, b"1", "bob")).data.held.lists[0].approvals == BOTH


def test_whatever_was_recorded_a_list_is_signed_only_after_its_entry(recorded: dict[str, Recorder]):
    taken = [moment for moment in recorded["card"].moments if moment.step.state is S.LISTING]
    assert taken
    for moment in taken:
        persist, sign = moment.step.effects
        assert isinstance(persist, Persist)
        assert isinstance(sign, Sign)
        (intent,) = open_intents(log_of(persist.record))
        assert isinstance(intent, ListIntent)
        assert intent.digest == sha256(sign.message).digest()


# The manufacturer's list


def test_the_manufacturers_list_is_kept_and_never_an_older_one(world: World, ready: CardData):
    first, second, other = world.revocations(1), world.revocations(2), world.revocations(2, 1 << 126)
    data = CARD.step(S.READY, ready, ListHeard(first)).data
    assert data.held.heard == first
    step = CARD.step(S.READY, data, ListHeard(second))
    assert step.effects == (Persist(step.data.held),)
    assert step.data.held.heard == second
    assert CARD.step(S.READY, step.data, ListHeard(second)).data.held.heard == second
    for older in (first, other):
        with pytest.raises(Refused):
            CARD.step(S.READY, step.data, ListHeard(older))
    for wrong in (World("other").revocations(9), world.root, b""):
        with pytest.raises(ProtocolError):
            CARD.step(S.READY, step.data, ListHeard(wrong))
