from __future__ import annotations

from dataclasses import replace

import pytest
from recorder import Recorder, classified, one_of_each
from world import NOW, PINS, SERIAL, YEAR, World

from insitu.protocol.engine import Close, Fault, KeyKind, KeyOperationFailed, Persist, ProtocolError, Refused, Show
from insitu.protocol.keys.certificates import Role, trusted_root, verify_issued
from insitu.protocol.messages import Booked
from insitu.protocol.parties.manufacturer import (
    MANUFACTURER,
    CustomerRequested,
    IdentityRequested,
    Issued,
    Listed,
    ManufacturerData,
    ManufacturerState,
)

S = ManufacturerState


@pytest.fixture
def maker(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["manufacturer"]


def test_every_row_is_taken(maker: Recorder):
    assert maker.missing() == []


def test_every_event_is_accepted_by_a_row_or_refused_without_a_trace(recorded: dict[str, Recorder], maker: Recorder):
    events = one_of_each(*recorded.values())
    assert len(classified(maker, events)) == len(list(S)) * len(events)


def test_the_books_are_written_before_anything_is_handed_out(maker: Recorder):
    for moment in maker.moments:
        kinds = [type(effect) for effect in moment.step.effects]
        if Show in kinds:
            assert kinds == [Persist, Show]
            assert isinstance(moment.step.effects[1].note, (Issued, Listed))


def test_a_serial_number_is_certified_once(world: World, maker: Recorder):
    data = maker.at(S.READY, IdentityRequested).data
    data = replace(data, record=replace(data.record, identities=(Booked(SERIAL, bytes(16)),)))
    public = world.card.authentication.public
    for serial, accepted in ((SERIAL, False), ("SN-2", True), (SERIAL.lower(), True)):
        event = IdentityRequested(serial, public, bytes(16), NOW)
        if accepted:
            assert MANUFACTURER.step(S.READY, data, event).state is S.SIGNING
        else:
            with pytest.raises(Refused):
                MANUFACTURER.step(S.READY, data, event)


def test_only_a_request_that_its_own_key_signed_is_genuine(world: World, maker: Recorder):
    data = maker.at(S.READY, CustomerRequested).data
    request = world.blank_card("card-2").furnish("Other bank", PINS)
    assert MANUFACTURER.step(S.READY, data, CustomerRequested(request, bytes(16), NOW)).state is S.SIGNING
    for wrong in (
        request[:-1],
        bytes((*request[:-1], request[-1] ^ 1)),
        world.root,
        b"",
        request.replace(b"Other", b"Osher"),
    ):
        with pytest.raises(ProtocolError):
            MANUFACTURER.step(S.READY, data, CustomerRequested(wrong, bytes(16), NOW))


def test_what_it_certifies_holds_and_never_outlives_the_root(world: World):
    root = trusted_root(world.root)
    assert root.not_after == NOW + 20 * YEAR
    assert verify_issued(world.customer, root, Role.CUSTOMER, now=NOW).not_after == NOW + 10 * YEAR
    world.clock.at = NOW + 12 * YEAR
    late = world.new_module("SN-late").record.identity
    assert late is not None
    assert verify_issued(late, root, Role.IDENTITY, now=world.clock.at).not_after == root.not_after


def test_the_books_name_modules_and_customers(world: World):
    record = world.manufacturer._keeping.record
    assert record is not None
    identity, root = world.module.record.identity, trusted_root(world.root)
    assert identity is not None
    for booked, der, role in zip(
        (*record.identities, *record.customers), (identity, world.customer), (Role.IDENTITY, Role.CUSTOMER), strict=True
    ):
        certificate = verify_issued(der, root, role, now=NOW)
        assert booked == Booked(certificate.subject, certificate.serial_number.to_bytes(16, "big"))


@pytest.mark.parametrize("state", [S.KEYING, S.ROOTING, S.SIGNING], ids=lambda state: state.name)
def test_a_key_that_fails_leaves_the_books_as_they_were(maker: Recorder, state):
    data = maker.data_in(state)[0]
    step = MANUFACTURER.step(state, data, KeyOperationFailed("gone"))
    assert step.state is (S.READY if state is S.SIGNING else S.BLANK)
    assert step.effects == (Close(Fault.UNAVAILABLE, "gone"),)
    assert step.data == ManufacturerData(record=data.record, key=data.key)


def test_two_manufacturers_have_nothing_in_common(world: World):
    other = World(seed="other")
    assert trusted_root(world.root).public != trusted_root(other.root).public
    key = world.vault("x").generate("x", KeyKind.P256, b"").public
    with pytest.raises(ProtocolError):
        verify_issued(
            other.manufacturer.certify_identity("SN-7", key), trusted_root(world.root), Role.IDENTITY, now=NOW
        )
