from __future__ import annotations

from hashlib import sha256

import pytest
from lives import broken
from world import DAY, NOW, PINS, World

from insitu.protocol.engine import EnvironmentFault, KeyKind, ProtocolError, StateError, UsageError
from insitu.protocol.keys.certificates import Role, verify_issued
from insitu.protocol.keys.requests import read_request
from insitu.protocol.messages import CardRole
from insitu.protocol.parties.card_data import MAX_FAILURES
from insitu.protocol.stores.log_lines import import_lines
from insitu.shell.card import APPROVAL_SECONDS, Card
from insitu.shell.peopled_card import tries_text

ALICE, BOB = PINS


@pytest.fixture
def card(world: World) -> Card:
    return world.card


def approve(card: Card, job, person: str, pin: bytes | None = None) -> int:
    return card.approve(job, person, PINS[person] if pin is None else pin)


# Taking into use


def test_a_blank_card_says_so(world: World):
    card = world.blank_card("new")
    for use in (
        lambda: card.record,
        lambda: card.customer,
        lambda: card.root,
        lambda: card.unit,
        lambda: card.export_log(),
        lambda: card.propose(CardRole.MODULE, "SN-1"),
    ):
        with pytest.raises(StateError, match="blank"):
            use()


def test_a_furnished_card_waits_for_the_manufacturer(world: World):
    card = world.blank_card("new")
    request = read_request(card.furnish("New bank", PINS))
    assert request.subject == "New bank"
    assert request.public == world.vault("new").find("signing").public  # type: ignore[union-attr]
    assert world.vault("new").labels() == {"signing", "authentication"}
    for use in (lambda: card.customer, lambda: card.propose(CardRole.MODULE, "SN-1"), lambda: card.unit):
        with pytest.raises(StateError, match="waits for the manufacturer"):
            use()
    with pytest.raises(StateError):
        card.furnish("Again", PINS)


@pytest.mark.parametrize(
    ("name", "pins", "error"),
    [
        ("bad\nname", PINS, UsageError),
        ("x" * 65, PINS, UsageError),
        ("Bank", {"alice": b"2580-alice"}, StateError),
        ("Bank", {}, StateError),
        ("Bank", {"alice": b"123", "bob": b"12345"}, UsageError),
        ("Bank", {"": b"12345", "bob": b"12345"}, UsageError),
        ("Bank", {"alice": b"12345", "Alice": b"12345"}, StateError),
        ("Bank", {"a lice": b"12345", "alice": b"12345"}, StateError),
        ("Bank", {f"person {number}": b"12345" for number in range(17)}, UsageError),
    ],
    ids=[
        "a name",
        "a long name",
        "one person",
        "nobody",
        "a short PIN",
        "no name",
        "capitals only",
        "a space only",
        "too many",
    ],
)
def test_what_cannot_be_leaves_the_card_blank_and_usable(world: World, name, pins, error):
    card = world.blank_card("new")
    with pytest.raises(error) as refused:
        card.furnish(name, pins)
    assert "12345" not in str(refused.value)
    assert world.vault("new").labels() == frozenset()
    assert card.furnish("Bank", PINS)


@pytest.mark.parametrize(("operation", "after"), [("generate", 0), ("generate", 1), ("sign", 0)])
def test_key_memory_that_fails_leaves_it_blank(world: World, operation, after):
    card = world.blank_card("new")
    with broken(world.vault("new"), operation, after=after), pytest.raises(EnvironmentFault):
        card.furnish("Bank", PINS)
    assert card.furnish("Bank", PINS)


def test_a_certificate_for_another_key_is_not_installed(world: World):
    card = world.blank_card("new")
    card.furnish("Bank", PINS)
    with pytest.raises((ProtocolError, StateError)):
        card.install(world.root, world.customer)
    with pytest.raises(StateError, match="waits for the manufacturer"):
        _ = card.customer


# Jobs


def test_a_job_that_is_open_is_not_opened_twice(card: Card):
    job = card.propose(CardRole.MODULE, "SN-1")
    assert card.propose(CardRole.MODULE, "SN-1") == job
    approve(card, job, ALICE)
    with pytest.raises(StateError, match="a job for SN-1 is open"):
        card.propose(CardRole.MODULE, "SN-1", days=7)
    assert card.propose(CardRole.MODULE, "SN-2").number != job.number


def test_a_job_for_another_key_is_another_job(card: Card, world: World):
    keys = [world.vault("x").generate(name, KeyKind.P256, b"").public for name in "ab"]
    nobody_meant_it = card.propose(CardRole.CENTRAL, "Host 2", public=keys[0])
    job = card.propose(CardRole.CENTRAL, "Host 2", public=keys[1])
    assert nobody_meant_it.number not in {each.number for each in card.record.jobs}
    approve(card, job, ALICE)
    with pytest.raises(StateError, match="a job for Host 2 is open"):
        card.propose(CardRole.CENTRAL, "Host 2", public=keys[0])


def test_a_job_is_over_after_its_time(card: Card, world: World):
    job = card.propose(CardRole.MODULE, "SN-1", seconds=60)
    assert card.propose(CardRole.MODULE, "SN-2").expires == NOW + APPROVAL_SECONDS
    world.clock.at += 61
    with pytest.raises(StateError, match="no such job is open"):
        approve(card, job, ALICE)
    assert card.propose(CardRole.MODULE, "SN-1").number != job.number


@pytest.mark.parametrize("subject", ["", "SN\u202e1", "x" * 65])
def test_a_subject_that_no_certificate_can_carry_is_refused_at_once(card: Card, subject):
    with pytest.raises(UsageError, match="name in a certificate"):
        card.propose(CardRole.MODULE, subject)


# Approvals


def test_two_people_approve_and_the_card_says_what_is_missing(card: Card):
    job = card.propose(CardRole.MODULE, "SN-1")
    with pytest.raises(StateError, match=r"lacks approval.*expected two different people, got none"):
        card.approved_job(CardRole.MODULE, "SN-1")
    assert approve(card, job, ALICE) == 1
    with pytest.raises(StateError, match=r"no approval of alice is missing.*approved by alice"):
        approve(card, job, ALICE)
    with pytest.raises(StateError, match="got alice"):
        card.approved_job(CardRole.MODULE, "SN-1")
    assert approve(card, job, BOB) == 0
    assert card.approved_job(CardRole.MODULE, "SN-1").approvals == (ALICE, BOB)
    with pytest.raises(StateError, match=r"no job for SN-2.*got none"):
        card.approved_job(CardRole.MODULE, "SN-2")


def test_approvals_that_are_out_of_date_are_called_that(world: World):
    job = world.card.propose(CardRole.MODULE, "SN-1")
    for person in (ALICE, BOB):
        approve(world.card, job, person)
    world.clock.at += APPROVAL_SECONDS + 1
    with pytest.raises(StateError, match=r"no job for SN-1.*got one that is out of date"):
        world.card.approved_job(CardRole.MODULE, "SN-1")


def test_a_third_person_is_not_needed(world: World):
    card = world.blank_card("three")
    pins = {**PINS, "carol": b"36912-carol"}
    card.install(world.root, world.manufacturer.sign_customer(card.furnish("Three", pins)))
    job = card.propose(CardRole.MODULE, "SN-1")
    card.approve(job, "carol", pins["carol"])
    card.approve(job, ALICE, pins[ALICE])
    with pytest.raises(StateError, match="approved by carol and alice"):
        card.approve(job, BOB, pins[BOB])


def test_strangers_are_named_and_their_pins_are_not(card: Card):
    job = card.propose(CardRole.MODULE, "SN-1")
    with pytest.raises(StateError, match="expected alice or bob, got mallory") as refused:
        card.approve(job, "mallory", b"secret-pin")
    assert "secret-pin" not in str(refused.value)
    assert refused.value.exit_code == 5


def test_wrong_pins_are_counted_through_restarts_and_lock(world: World):
    job = world.card.propose(CardRole.MODULE, "SN-1")
    for left in range(MAX_FAILURES - 1, -1, -1):
        card = world.blank_card()
        with pytest.raises(UsageError, match=f"wrong PIN of alice, {tries_text(left)}"):
            approve(card, job, ALICE, b"wrong pin")
    card = world.blank_card()
    with pytest.raises(StateError, match="alice is locked"):
        approve(card, job, ALICE)
    assert approve(card, job, BOB) == 1


# Certificates


def test_certificates_are_made_once_and_as_the_job_says(card: Card, world: World):
    public = world.vault("x").generate("x", KeyKind.P256, b"").public
    job = world.approved(CardRole.CENTRAL, "Host 2", public, days=30)
    certificate = verify_issued(card.certify(job.number, public), card.customer, Role.CENTRAL, now=NOW)
    assert (certificate.subject, certificate.not_after) == ("Host 2", NOW + 30 * DAY)
    with pytest.raises(StateError):
        card.certify(job.number, public)
    with pytest.raises(StateError, match="no job"):
        card.approved_job(CardRole.CENTRAL, "Host 2")


def test_a_key_that_was_not_approved_is_not_certified_and_the_job_stays(card: Card, world: World):
    keys = [world.vault("x").generate(name, KeyKind.P256, b"").public for name in "ab"]
    job = world.approved(CardRole.CENTRAL, "Host 2", keys[0])
    log = card.export_log()
    with pytest.raises(StateError):
        card.certify(job.number, keys[1])
    assert card.export_log() == log
    assert card.certify(job.number, keys[0])


def test_the_log_is_a_chain_that_grows_by_two_with_each_certificate(card: Card, world: World):
    before = import_lines(card.export_log()).log
    world.certify(CardRole.UNIT, "unit 2", world.vault("x").generate("x", KeyKind.P256, b"").public)
    after = import_lines(card.export_log()).log
    assert after[: len(before)] == before
    assert [entry.what.kind for entry in after[len(before) :]] == ["intent", "result"]


def test_a_signature_that_fails_is_entered_and_the_approvals_are_used(card: Card, world: World):
    public = world.vault("x").generate("x", KeyKind.P256, b"").public
    job = world.approved(CardRole.CENTRAL, "Host 2", public)
    with broken(world.vault("card"), "sign"), pytest.raises(EnvironmentFault, match="key memory is gone"):
        card.certify(job.number, public)
    assert import_lines(card.export_log()).log[-1].what.kind == "failure"
    with pytest.raises(StateError):
        card.certify(job.number, public)


def test_the_authentication_key_needs_one_person_and_the_certificate_of_two(world: World):
    card = world.blank_card("new")
    card.install(world.root, world.manufacturer.sign_customer(card.furnish("New bank", PINS)))
    assert card.authentication.label == "authentication"
    with pytest.raises(StateError, match="the unit has no certificate"):
        _ = card.unit
    world.certify(CardRole.UNIT, "unit 1", card.authentication.public, card=card)
    assert verify_issued(card.unit, card.customer, Role.UNIT, now=NOW).public == card.authentication.public


def test_the_card_knows_what_it_certified_last(card: Card, world: World):
    public = world.vault("x").generate("x", KeyKind.P256, b"").public
    assert card.certified("SN-1") is None
    made = []
    for serial in ("SN-1", "SN-2", "SN-1"):
        world.clock.at += 1
        made.append(sha256(world.certify(CardRole.MODULE, serial, public)).digest())
    world.certify(CardRole.UNIT, "SN-3", public)
    assert [card.certified(serial) for serial in ("SN-1", "SN-2", "SN-3")] == [made[2], made[1], None]
    job = world.approved(CardRole.MODULE, "SN-1")
    with broken(world.vault("card"), "sign"), pytest.raises(EnvironmentFault):
        card.certify(job.number, public)
    assert card.certified("SN-1") == made[2]
