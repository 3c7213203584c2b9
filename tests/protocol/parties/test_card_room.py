"""Room on a card: what is told in time, what is held back, and what still works on a card that is full (L12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from networked import in_force, with_policy
from world import DAY, NOW, PINS, SERIAL, World

from insitu.protocol.channel.trust import TicketClaim
from insitu.protocol.engine import KeyKind, StateError, given
from insitu.protocol.keys.port import Memory
from insitu.protocol.keys.vault import MemoryVault
from insitu.protocol.messages import IDENTITY, CardRole, TrustOption, encode_record
from insitu.protocol.parties import card_room
from insitu.protocol.parties.card_room import CERTIFICATE_BYTES, KEPT, SHORT, TICKET_BYTES, room_on
from insitu.protocol.stores.card_log import TicketsOrdered, TicketUsed
from insitu.shell.card import Card

Leaves = Callable[[int], None]


@pytest.fixture
def leaves(world: World, monkeypatch: pytest.MonkeyPatch) -> Leaves:
    """From now on the card has room for so many bytes besides those that are kept."""

    def leave(count: int) -> None:
        monkeypatch.setattr(card_room, "LARGEST", len(encode_record(world.card.record)) + KEPT + count)

    return leave


def key_of(world: World):
    vault = world.vault("another module")
    return (vault.find("x") or vault.generate("x", KeyKind.P256, b"")).public


# What takes how much


def test_nothing_takes_more_than_is_counted_for_it(world: World):
    """The longest serial number and names, and a standing approval."""
    card = world.blank_card("long")
    people = {letter * 64: b"2580-pin" for letter in "ab"}
    vault = world.vault("long")
    card.install(world.root, world.manufacturer.sign_customer(card.furnish("B" * 64, people)))
    vault.commit(encode_record(replace(card.record, policy=world_policy(world))), vault.durable)
    card = Card(vault, now=world.clock)
    job = card.propose_standing(["S" * 64], most=3, until=NOW + DAY)
    for person, pin in people.items():
        card.approve(job, person, pin)
    number = card.bring_into_force(job.number).begun.job
    for _ in range(2):  # the first one lengthens numbers of the head as well
        before = card.record
        card.certify_by_standing(number, card.draft("S" * 64, days=365, seconds=DAY), key_of(world))
    grown = len(encode_record(card.record)) - len(encode_record(before))
    assert 1000 < grown <= CERTIFICATE_BYTES
    used = TicketUsed(4096, "S" * 64, bytes(32))
    entry = replace(card.log.log[-1], number=9_999_999, what=used)
    assert len(entry.line) <= TICKET_BYTES


def world_policy(world: World):
    with_policy(world)
    return world.card.record.policy


# Certificates


def test_a_card_that_is_full_uses_no_approval(world: World, leaves: Leaves):
    """Nor does anybody approve something for nothing. Revocation lists are still signed."""
    job = world.approved(CardRole.MODULE, SERIAL)
    leaves(CERTIFICATE_BYTES - 1)
    with pytest.raises(StateError, match="the card is full"):
        world.card.certify(job.number, key_of(world))
    with pytest.raises(StateError, match="the card is full"):
        world.card.propose(CardRole.MODULE, "SN-2")
    assert world.card.job(job.number).approvals == tuple(PINS)
    unit = world.card.number_of(world.card.unit)
    listed = world.card.propose_list([unit])
    for person, pin in PINS.items():
        world.card.approve(listed, person, pin)
    assert world.card.sign_list(listed.number)
    leaves(CERTIFICATE_BYTES)
    assert world.card.certify(job.number, key_of(world))


def test_entries_are_counted_too(world: World, monkeypatch: pytest.MonkeyPatch):
    job = world.approved(CardRole.MODULE, SERIAL)
    for room, holds in ((2, True), (1, False)):
        most = len(world.card.record.log) + card_room.ENTRIES_KEPT + room
        monkeypatch.setattr(card_room, "MOST_LOG_ENTRIES", most)
        assert world.card.room.certificates == int(holds)
    with pytest.raises(StateError, match="the card is full"):
        world.card.certify(job.number, key_of(world))


# Promises


def test_a_standing_approval_needs_room_for_all_that_it_is_good_for(world: World, leaves: Leaves):
    with_policy(world)
    leaves(6 * CERTIFICATE_BYTES)
    with pytest.raises(StateError, match="no room for all that is promised"):
        world.card.propose_standing([SERIAL], most=7, until=NOW + DAY)
    in_force(world.card, most=2)
    leaves(6 * CERTIFICATE_BYTES)
    with pytest.raises(StateError, match="no room for all that is promised"):
        world.card.propose_standing(["SN-2"], most=5, until=NOW + DAY)
    job = world.card.propose_standing(["SN-2"], most=4, until=NOW + DAY)
    for person, pin in PINS.items():
        world.card.approve(job, person, pin)
    leaves(5 * CERTIFICATE_BYTES)  # others were faster
    with pytest.raises(StateError, match="no room for all that is promised"):
        world.card.bring_into_force(job.number)
    leaves(6 * CERTIFICATE_BYTES)
    assert world.card.bring_into_force(job.number)


def test_a_standing_approval_that_is_over_holds_nothing_back(world: World, leaves: Leaves):
    with_policy(world)
    in_force(world.card, most=5)
    leaves(2 * CERTIFICATE_BYTES)
    world.clock.at += 2 * DAY
    assert world.card.propose_standing(["SN-2"], most=2, until=world.clock.at + DAY)


def test_a_standing_approval_makes_nothing_on_a_full_card(world: World, leaves: Leaves):
    with_policy(world)
    standing = in_force(world.card, most=2)
    draft = world.card.draft(SERIAL, days=standing.days, seconds=DAY)
    leaves(CERTIFICATE_BYTES - 1)
    with pytest.raises(StateError, match="the card is full"):
        world.card.certify_by_standing(standing.job, draft, key_of(world))
    assert world.card.standing[standing.job].used == 0


def test_tickets_are_held_back_when_room_is_short(world: World, leaves: Leaves):
    world.card.order_tickets(world.approved(CardRole.TICKETS, "3").number)
    leaves(9 * TICKET_BYTES)
    with pytest.raises(StateError, match="no room for all that is promised"):
        world.card.propose(CardRole.TICKETS, "7")
    job = world.approved(CardRole.TICKETS, "6")
    leaves(9 * TICKET_BYTES - 1)
    with pytest.raises(StateError, match="no room for all that is promised"):
        world.card.order_tickets(job.number)
    assert world.card.job(job.number).approvals == tuple(PINS)
    leaves(9 * TICKET_BYTES)
    assert world.card.order_tickets(job.number).first == 4
    assert sum(isinstance(entry.what, TicketsOrdered) for entry in world.card.log.log) == 2


def test_no_ticket_is_used_up_on_a_card_that_is_too_full_to_certify(world: World, leaves: Leaves):
    world.equip(TrustOption.TICKET)
    held = given(world.module.record.ticket)
    claim = TicketClaim(held.number, SERIAL, given(world.module.keys.find(IDENTITY)).public, held.mac)
    leaves(CERTIFICATE_BYTES - 1)
    with pytest.raises(StateError, match="the card is full"):
        world.card.take_ticket(claim)
    leaves(CERTIFICATE_BYTES)
    assert world.card.take_ticket(claim) is False


# What a token says


@pytest.mark.parametrize(
    ("memory", "certificates"),
    [
        (None, None),
        (Memory(free=1 << 16, total=1 << 16), ((1 << 16) - (1 << 13)) // CERTIFICATE_BYTES),
        (Memory(free=1 << 13, total=1 << 16), 0),
        (Memory(free=0, total=1 << 16), 0),
        (Memory(free=1 << 40, total=1 << 41), None),
        (Memory(free=KEPT + CERTIFICATE_BYTES, total=1 << 30), 1),
    ],
    ids=["nothing", "a small one", "what is kept", "full", "more than a record may have", "a large one"],
)
def test_a_token_has_less_room_than_a_record_may_have_bytes(world: World, memory, certificates):
    usual = room_on(world.card.record, None).certificates
    assert usual > 9_000
    assert room_on(world.card.record, memory).certificates == (usual if certificates is None else certificates)


def test_the_card_asks_its_token_each_time(world: World, monkeypatch: pytest.MonkeyPatch):
    said = Memory(KEPT, 1 << 30)
    monkeypatch.setattr(MemoryVault, "memory", property(lambda _: said))
    with pytest.raises(StateError, match="the card is full"):
        world.card.propose(CardRole.MODULE, SERIAL)
    said = Memory(KEPT + SHORT * CERTIFICATE_BYTES, 1 << 30)
    assert world.card.propose(CardRole.MODULE, SERIAL)
    assert (world.card.room.certificates, world.card.room.is_short) == (SHORT, False)
    said = Memory(KEPT + SHORT * CERTIFICATE_BYTES - 1, 1 << 30)
    assert world.card.room.is_short
