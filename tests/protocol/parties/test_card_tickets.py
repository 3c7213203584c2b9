from __future__ import annotations

from dataclasses import replace

import pytest
from pump import PowerCut
from world import DAY, NOW, PINS, SERIAL, World

from insitu.protocol.channel import proofs
from insitu.protocol.channel.trust import TICKETS, TicketClaim
from insitu.protocol.engine import (
    DeriveKeys,
    InsituError,
    KeyKind,
    ProtocolError,
    Prove,
    ProveDerived,
    SecretAlgorithm,
    SecretUsage,
    StateError,
    given,
)
from insitu.protocol.keys.methods import perform
from insitu.protocol.keys.port import KeyRefused
from insitu.protocol.messages import IDENTITY, CardRole, TicketOrder, TrustOption
from insitu.protocol.parties.card import log_of
from insitu.protocol.parties.card_tickets import is_ticket_count
from insitu.protocol.stores.card_log import TicketsOrdered, last_ticket, used_tickets


@pytest.fixture
def claim(world: World) -> TicketClaim:
    """What SN-1 shows, whose manufacturer used ticket 1."""
    world.equip(TrustOption.TICKET)
    held = given(world.module.record.ticket)
    return TicketClaim(held.number, SERIAL, given(world.module.keys.find(IDENTITY)).public, held.mac)


def another_key(world: World):
    return world.vault("another").generate("identity", KeyKind.P256, b"").public


def with_the_key_of(world: World, number: int, serial: str, public) -> TicketClaim:
    """What a manufacturer who kept the key of a ticket can make of it."""
    main = given(world.vault("card").find_secret(TICKETS))
    mac = world.vault("card").use(main, ProveDerived(proofs.ticket_path(number), proofs.ticket(number, serial, public)))
    return TicketClaim(number, serial, public, mac)


# Orders


@pytest.mark.parametrize("text", ["1", "50", "4096"])
def test_counts_that_may_be_ordered(text):
    assert is_ticket_count(text)


@pytest.mark.parametrize("text", ["", "0", "01", "-1", "1.0", "4097", "123456789", "٣", "SN-1", "1 "])
def test_counts_that_may_not(world: World, text):
    assert not is_ticket_count(text)
    with pytest.raises(InsituError):
        world.card.propose(CardRole.TICKETS, text)


def test_l13_tickets_leave_with_the_approval_of_two_people_in_time_and_once(world: World):
    job = world.card.propose(CardRole.TICKETS, "3")
    for person in PINS:
        with pytest.raises(StateError):
            world.card.order_tickets(job.number)
        assert world.vault("card").find_secret(TICKETS) is None
        world.card.approve(job, person, PINS[person])
    world.clock.at += 2 * DAY
    with pytest.raises(StateError):
        world.card.order_tickets(job.number)
    world.clock.at = NOW
    order = world.card.order_tickets(job.number)
    assert (order.customer, order.first, len(set(order.keys))) == ("Bank", 1, 3)
    with pytest.raises(StateError):
        world.card.order_tickets(job.number)
    assert world.card.order_tickets(world.approved(CardRole.TICKETS, "2").number).first == 4
    orders = [entry.what for entry in log_of(world.card.record) if isinstance(entry.what, TicketsOrdered)]
    assert [(each.first, each.count, each.approvers) for each in orders] == [
        (1, 3, tuple(sorted(PINS))),
        (4, 2, tuple(sorted(PINS))),
    ]
    assert last_ticket(log_of(world.card.record)) == 5


def test_an_order_of_tickets_makes_no_certificate_and_a_job_no_tickets(world: World):
    order = world.approved(CardRole.TICKETS, "3")
    with pytest.raises(StateError):
        world.card.certify(order.number, another_key(world))
    job = world.approved(CardRole.MODULE, SERIAL)
    with pytest.raises(StateError):
        world.card.order_tickets(job.number)


def test_the_log_comes_before_the_keys(world: World):
    """Power goes at the write: no key has left, and the numbers are not used; the main key is not kept either."""
    job = world.approved(CardRole.TICKETS, "3")
    vault = world.vault("card")

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    vault._make_durable = cut  # type: ignore[method-assign]
    with pytest.raises(PowerCut):
        world.card.order_tickets(job.number)
    del vault._make_durable
    card = world.blank_card()
    assert vault.find_secret(TICKETS) is None
    assert last_ticket(log_of(card.record)) == 0
    assert card.order_tickets(job.number).first == 1


def test_s9_keys_of_tickets_show_nowhere(world: World):
    order = world.card.order_tickets(world.approved(CardRole.TICKETS, "2").number)
    log = world.card.export_log().decode()
    for key in order.keys:
        assert key.hex() not in log
        assert not any(key.hex() in repr(note) or repr(key) in repr(note) for note in [*world.shown, order])


# One-way keys


def test_keys_are_derived_one_way_and_each_for_itself(world: World):
    order = world.card.order_tickets(world.approved(CardRole.TICKETS, "2").number)
    main = given(world.vault("card").find_secret(TICKETS))
    assert (main.usage, main.algorithm, main.bits) == (SecretUsage.DERIVATION, SecretAlgorithm.HMAC, 256)
    for number, key in enumerate(order.keys, order.first):
        path, statement = proofs.ticket_path(number), b"statement"
        assert world.vault("card").use(main, DeriveKeys((path,))) == key
        handle = world.vault("other").storage.share(f"ticket {number}", key)
        proved = world.vault("other").use(handle, Prove(statement))
        assert proved == world.vault("card").use(main, ProveDerived(path, statement))
        with pytest.raises(KeyRefused):
            perform(handle, key, DeriveKeys((path,)), bytes)
    with pytest.raises(KeyRefused):
        world.vault("card").use(main, Prove(b"statement"))


# Showing


def test_a_ticket_is_consumed_for_one_module_and_is_that_modules_ever_after(world: World, claim: TicketClaim):
    assert world.card.take_ticket(claim) is False
    (entry,) = used_tickets(log_of(world.card.record)).values()
    assert (entry.ticket, entry.serial) == (1, SERIAL)
    log = world.card.export_log()
    assert world.card.take_ticket(claim) is True
    assert world.blank_card().take_ticket(claim) is True
    assert world.card.export_log() == log


def test_of_two_modules_with_one_ticket_the_second_is_refused(world: World, claim: TicketClaim):
    """The manufacturer kept the key of the ticket, and made another module with it."""
    world.card.take_ticket(claim)
    log = world.card.export_log()
    for serial, public in ((SERIAL, another_key(world)), ("SN-2", claim.public)):
        with pytest.raises(ProtocolError, match="ticket 1 is used"):
            world.card.take_ticket(with_the_key_of(world, 1, serial, public))
    assert world.card.export_log() == log


def test_what_the_mac_is_not_for_is_refused_and_consumes_nothing(world: World, claim: TicketClaim):
    log = world.card.export_log()
    for wrong in (
        replace(claim, mac=bytes(32)),
        replace(claim, number=2),
        replace(claim, serial="SN-2"),
        replace(claim, public=another_key(world)),
    ):
        with pytest.raises(ProtocolError, match=f"expected one that vouches for {wrong.serial}"):
            world.card.take_ticket(wrong)
    assert world.card.export_log() == log
    assert world.card.take_ticket(claim) is False


def test_a_ticket_that_was_never_given_out(world: World, claim: TicketClaim):
    with pytest.raises(ProtocolError, match="expected one up to 2"):
        world.card.take_ticket(with_the_key_of(world, 3, SERIAL, claim.public))


def test_a_card_that_gave_none_out(world: World):
    with pytest.raises(StateError, match="no tickets were given out"):
        world.card.take_ticket(TicketClaim(1, SERIAL, another_key(world), bytes(32)))


def test_it_is_consumed_durably_before_anybody_acts_on_it(world: World, claim: TicketClaim):
    vault = world.vault("card")

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    vault._make_durable = cut  # type: ignore[method-assign]
    with pytest.raises(PowerCut):
        world.card.take_ticket(claim)
    del vault._make_durable
    card = world.blank_card()
    assert used_tickets(log_of(card.record)) == {}
    assert card.take_ticket(claim) is False


# The manufacturer


def test_an_order_is_taken_in_once_and_each_ticket_used_once(world: World):
    order = world.card.order_tickets(world.approved(CardRole.TICKETS, "2").number)
    maker, vault = world.manufacturer, world.vault("manufacturer")
    assert maker.take_tickets(order) == 2
    with pytest.raises(ProtocolError, match="ticket order"):
        maker.take_tickets(order)
    public = another_key(world)
    numbers = []
    for _ in order.keys:
        numbers.append(maker.certify_by_ticket("Bank", SERIAL, public).number)
        assert vault.labels() == {"root", *(ticket.label for ticket in maker.record.tickets)}
    assert numbers == [1, 2]
    with pytest.raises(StateError, match="no ticket of Bank"):
        maker.certify_by_ticket("Bank", SERIAL, public)
    with pytest.raises(ProtocolError, match="ticket order"):
        world.new_manufacturer().take_tickets(order)


def test_a_ticket_is_for_a_module_of_the_books(world: World):
    world.manufacturer.take_tickets(world.card.order_tickets(world.approved(CardRole.TICKETS, "1").number))
    with pytest.raises(StateError):
        world.manufacturer.certify_by_ticket("Bank", "SN-unknown", another_key(world))
    assert len(world.manufacturer.record.tickets) == 1


def test_more_tickets_than_there_is_room_for(world: World):
    keys = tuple(bytes([1]) * 32 for _ in range(4096))
    world.manufacturer.take_tickets(TicketOrder("Bank", bytes(16), 1, keys[:1]))
    with pytest.raises(StateError, match="4096 at most"):
        world.manufacturer.take_tickets(TicketOrder("Bank", bytes([1]) * 16, 2, keys))
