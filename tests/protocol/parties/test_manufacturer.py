from __future__ import annotations

from dataclasses import replace

import pytest
from recorder import Recorder, classified, one_of_each
from world import DAY, NOW, PINS, SERIAL, YEAR, World

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
from insitu.protocol.keys.certificates import Role, trusted_root, verify_issued
from insitu.protocol.keys.revocation import read_crl
from insitu.protocol.messages import Booked, Revoked
from insitu.protocol.parties.manufacturer import (
    MANUFACTURER,
    CustomerRequested,
    IdentityRequested,
    Issued,
    Listed,
    ListRequested,
    ManufacturerData,
    ManufacturerState,
    Revoke,
    Ticketed,
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
            assert isinstance(moment.step.effects[1].note, (Issued, Listed, Ticketed))


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


@pytest.mark.parametrize("state", [S.KEYING, S.ROOTING, S.SIGNING, S.LISTING], ids=lambda state: state.name)
def test_a_key_that_fails_leaves_the_books_as_they_were(maker: Recorder, state):
    data = maker.data_in(state)[0]
    step = MANUFACTURER.step(state, data, KeyOperationFailed("gone"))
    assert step.state is (S.READY if state in (S.SIGNING, S.LISTING) else S.BLANK)
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


# Revocation (S5)


@pytest.fixture
def office(world: World) -> ManufacturerData:
    record = world.manufacturer._keeping.record
    assert record is not None
    return ManufacturerData(record=record, key=world.vault("manufacturer").find("root"))


def booked(data: ManufacturerData) -> tuple[bytes, bytes]:
    """The numbers of the one identity and the one customer."""
    assert data.record is not None
    return data.record.identities[0].number, data.record.customers[0].number


def test_only_what_the_books_name_and_what_counts_is_revoked_once(office: ManufacturerData):
    identity, customer = booked(office)
    for numbers in ((identity,), (customer,), (identity, customer)):
        step = MANUFACTURER.step(S.READY, office, Revoke(numbers, NOW))
        assert step.data.record is not None
        assert step.data.record.revoked == tuple(Revoked(number, NOW) for number in numbers)
        assert step.effects == (Persist(step.data.record),)
    once = MANUFACTURER.step(S.READY, office, Revoke((identity,), NOW)).data
    refused = [
        (office, ()),
        (office, (b"x" * 16,)),
        (office, (identity, b"x" * 16)),
        (office, (identity, identity)),
        (once, (identity,)),
        (once, (customer, identity)),
    ]
    for data, numbers in refused:
        with pytest.raises(Refused):
            MANUFACTURER.step(S.READY, data, Revoke(numbers, NOW))


def test_no_more_is_revoked_than_a_list_can_hold(office: ManufacturerData):
    assert office.record is not None
    many = tuple(Booked(f"SN-{count}", (1 << 126 | count).to_bytes(16, "big")) for count in range(1, 1001))
    data = replace(office, record=replace(office.record, identities=many))
    numbers = tuple(each.number for each in many)
    assert MANUFACTURER.step(S.READY, data, Revoke(numbers[:800], NOW)).data.record
    with pytest.raises(UsageError, match="revocation list"):
        MANUFACTURER.step(S.READY, data, Revoke(numbers, NOW))


def listed(world: World, data: ManufacturerData, at: int, days: int = 90) -> ManufacturerData:
    step = MANUFACTURER.step(S.READY, data, ListRequested(days, at))
    (sign,) = step.effects
    assert isinstance(sign, Sign)
    done = MANUFACTURER.step(step.state, step.data, Signed(world.vault("manufacturer").sign(sign.key, sign.message)))
    persist, show = done.effects
    assert persist == Persist(done.data.record)
    assert done.data.record is not None
    assert show == Show(Listed(done.data.record.lists, done.data.record.crl or b""))
    assert done.state is S.READY
    return done.data


def test_every_list_has_the_next_number_and_all_that_is_revoked(world: World, office: ManufacturerData):
    root = trusted_root(world.root)
    identity, customer = booked(office)
    data = listed(world, office, NOW)
    data = MANUFACTURER.step(S.READY, data, Revoke((identity,), NOW + 5)).data
    data = listed(world, data, NOW + 6)
    data = MANUFACTURER.step(S.READY, data, Revoke((customer,), NOW + 7)).data
    data = listed(world, data, NOW + 8, days=7)
    assert data.record is not None
    crl = read_crl(data.record.crl or b"", root)
    assert (crl.number, crl.this_update, crl.next_update) == (3, NOW + 8, NOW + 8 + 7 * DAY)
    since = {number.to_bytes(16, "big"): at for number, at in crl.revoked.items()}
    assert since == {identity: NOW + 5, customer: NOW + 7}


def test_a_list_that_could_not_be_signed_uses_no_number(world: World, office: ManufacturerData):
    step = MANUFACTURER.step(S.READY, office, ListRequested(90, NOW))
    failed = MANUFACTURER.step(S.LISTING, step.data, KeyOperationFailed("gone")).data
    assert failed == office
    record = listed(world, failed, NOW).record
    assert record is not None
    assert record.lists == 1


@pytest.mark.parametrize(("behind", "accepted"), [(0, True), (DAY, True), (DAY + 1, False)])
def test_a_clock_behind_the_last_list_dates_none_back(world: World, office: ManufacturerData, behind, accepted):
    data = listed(world, office, NOW)
    if not accepted:
        with pytest.raises(UsageError, match="manufacturer: clock"):
            MANUFACTURER.step(S.READY, data, ListRequested(90, NOW - behind))
        return
    record = listed(world, data, NOW - behind).record
    assert record is not None
    assert read_crl(record.crl or b"", trusted_root(world.root)).this_update == NOW
