from __future__ import annotations

from typing import Any

import pytest
from lives import broken
from pump import Line, NoStream, Side, contact, meeting, personalize
from world import NOW, SERIAL, World, authorization, wanted

from insitu.protocol.engine import EnvironmentFault, KeyKind, ProtocolError, StateError, UsageError
from insitu.protocol.keys.certificates import CertificateRefused, Role
from insitu.protocol.keys.port import KeyMismatch
from insitu.protocol.keys.requests import read_request
from insitu.protocol.messages import CardRole, PayOut
from insitu.protocol.parties.central_data import AttentionCalled, CentralState, ModuleContacted
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.work_data import PayOutInstructed
from insitu.protocol.stores.registry import Issuer, Standing
from insitu.shell.central import refuse_all

# Setting up


def test_a_central_system_that_is_not_set_up_says_so(world: World):
    central = world.started_central("New")
    with pytest.raises(StateError, match="not set up"):
        _ = central.record
    with pytest.raises(StateError, match="not set up"):
        central.attend(NoStream()).send(None)  # type: ignore[arg-type]
    central.establish("New")
    with pytest.raises(StateError, match="no certificate"):
        central.attend(NoStream()).send(None)  # type: ignore[arg-type]
    with pytest.raises(StateError, match="is set up"):
        central.establish("Again")


@pytest.mark.parametrize("name", ["", "bad\nname", "x" * 65])
def test_a_name_that_no_certificate_can_carry_leaves_it_as_it_was(world: World, name):
    central = world.started_central("New")
    with pytest.raises(UsageError, match="name in a certificate"):
        central.establish(name)
    assert world.vault("central New").labels() == frozenset()
    assert read_request(central.establish("New")).subject == "New"


def test_key_memory_that_fails_leaves_it_as_it_was(world: World):
    central = world.started_central("New")
    with broken(world.vault("central New"), "sign"), pytest.raises(EnvironmentFault):
        central.establish("New")
    assert central.establish("New")


def test_customers_are_trusted_under_one_root(world: World):
    other = World(seed="other")
    central = world.central
    with pytest.raises(CertificateRefused):
        central.trust(world.root, other.customer, actor="operator")
    with pytest.raises(UsageError, match="another manufacturer's root"):
        central.trust(other.root, other.customer, actor="operator")
    with pytest.raises(ProtocolError):
        central.trust(world.root, world.card.unit, actor="operator")
    assert central.trust(world.root, world.customer, actor="operator").role is Role.CUSTOMER
    assert [each.der for each in central.issuers()] == [world.customer]
    second = world.new_card("Second", "card 2").customer.der
    central.trust(world.root, second, actor="operator")
    assert [each.der for each in world.started_central().issuers()] == [world.card.customer.der, second]


def test_an_issuer_that_somebody_else_put_into_the_registry_is_none(world: World):
    """M1: whoever writes into the database enters no issuer: the central system knows its own signature."""
    ours = [each.der for each in world.central.issuers()]
    second = world.new_card("Second", "card 2").customer
    forged = Issuer(second.fingerprint, second.der, second.subject, second.serial_number, bytes(32), bytes(64))
    world.central.registry.trust(forged, actor="intruder", at=NOW)
    assert [each.der for each in world.central.issuers()] == ours


def test_only_a_certificate_for_our_key_by_a_trusted_customer_is_installed(world: World):
    other = World(seed="other")
    public = world.vault("x").generate("x", KeyKind.P256, b"").public
    before = world.central.record.certificate
    wrong = {
        other.central_certificate: CertificateRefused,
        world.card.unit: CertificateRefused,
        world.certify(CardRole.CENTRAL, "Host", public): KeyMismatch,
        b"": CertificateRefused,
    }
    for der, error in wrong.items():
        with pytest.raises(error):
            world.central.install(der)
    assert world.central.record.certificate == before
    fresh = world.started_central("New")
    fresh.establish("New")
    with pytest.raises(UsageError, match="no customer is trusted"):
        fresh.install(world.central_certificate)


# Sessions


def test_the_registry_is_durable(world: World):
    personalize(world)
    line = contact(world).start()
    line.module.order(wanted())
    line.finish()
    entry = world.entry()
    assert (entry.epoch, entry.fingerprint, entry.standing) == (0, world.module.record.fingerprint, Standing.OPERATING)
    assert (entry.last_contact, entry.last_number, entry.owner) == (NOW, 1, "Bank")
    assert world.started_central().registry.module(SERIAL) == entry
    assert world.central.registry.module("SN-9") is None


def test_what_the_host_decides_reaches_the_module(world: World):
    personalize(world)
    asked: list[tuple[str, Any]] = []

    def decide(serial: str, wish: Any) -> PayOut:
        asked.append((serial, wish))
        return PayOut(number=wish.number, approved=wish.amount <= 100, amount=7, reference="r")

    world.central._decide = decide
    line = contact(world).start()
    for amount in (100, 101):
        line.module.order(wanted(amount=amount))
    instructed = [note for note in world.shown if isinstance(note, PayOutInstructed)]
    assert [(each.number, each.approved) for each in instructed] == [(1, True), (2, False)]
    assert [(serial, wish.number) for serial, wish in asked] == [(SERIAL, 1), (SERIAL, 2)]


def test_a_host_that_has_no_decision_pays_nothing():
    assert refuse_all(SERIAL, authorization(3)) == PayOut(number=3, approved=False, amount=0, reference="")


def test_a_host_that_answers_another_number_instructs_nobody(world: World):
    personalize(world)
    world.central._decide = lambda serial, wish: PayOut(number=99, approved=True, amount=1, reference="")
    line = contact(world).start()
    line.module.order(wanted())
    assert line.peer.session.state is CentralState.ENDED
    assert not [note for note in world.shown if isinstance(note, PayOutInstructed)]


def test_a_host_that_fails_with_our_error_is_told_and_the_module_gets_one_code(world: World):
    personalize(world)

    def decide(serial: str, wish: Any) -> PayOut:
        raise EnvironmentFault("the host is down", who="host")

    world.central._decide = decide
    line = contact(world).start()
    line.module.order(wanted())
    line.finish()
    assert "the host is down" in str(line.peer.error)
    assert "unavailable" in str(line.module.error)


def test_sessions_of_several_modules_do_not_touch_each_other(world: World):
    lines = []
    for serial in (SERIAL, "SN-2", "SN-3"):
        module = world.module if serial == SERIAL else world.new_module(serial)
        personalize(world, module=module)
        lines.append(contact(world, module=module).start())
    for count, line in enumerate(lines, 1):
        for _ in range(count):
            line.module.order(wanted())
    world.order_reset("SN-2")
    for line in lines:
        line.peer.order(AttentionCalled())
        assert line.peer.session.closed is (line is lines[1])
        line.finish()
    entries = [world.entry(serial) for serial in (SERIAL, "SN-2", "SN-3")]
    assert [entry.last_number for entry in entries] == [1, 2, 3]
    assert [entry.standing for entry in entries] == [Standing.OPERATING, Standing.RESET_ORDERED, Standing.OPERATING]


def test_notes_go_to_both_who_want_them(world: World):
    personalize(world)
    also: list[object] = []
    line = Line(
        Side("module", world.module.work(NoStream())),  # type: ignore[arg-type]
        Side("central", world.central.attend(NoStream(), also_show=also.append)),  # type: ignore[arg-type]
    ).start()
    line.finish()
    assert any(isinstance(note, ModuleContacted) for note in also)
    assert all(note in world.shown for note in also)


def test_a_module_of_a_customer_that_is_not_trusted_is_not_let_in(world: World):
    """Its central certificate was made by the other card, so it would pin us; but we do not know its issuer."""
    card = world.new_card("Second", "card 2")
    central = world.certify(CardRole.CENTRAL, "Host", world.central._key().public, card=card)
    world.approved(CardRole.MODULE, SERIAL, card=card)
    meeting(world, unit=world.new_unit(card, central)).start().finish()
    assert world.module.state is ModuleState.OPERATING
    line = contact(world).start().finish()
    assert line.peer.error is not None
    assert world.central.registry.module(SERIAL) is None


# Resets of modules that are not there


def test_a_reset_that_was_ordered_in_absence_is_the_first_thing_at_the_next_contact(world: World):
    with pytest.raises(StateError, match="not in the registry"):
        world.order_reset()
    personalize(world)
    contact(world).start().finish()
    world.order_reset()
    assert world.entry().standing is Standing.RESET_ORDERED
    line = contact(world).start().finish()
    assert (line.module.error, line.peer.error) == (None, None)
    assert world.module.state is ModuleState.RESET
    personalize(world)
    assert contact(world).start().peer.session.state is CentralState.ONLINE


def test_a_reset_that_was_ordered_meanwhile_ends_what_an_open_session_may_do(world: World):
    personalize(world)
    line = contact(world).start()
    world.order_reset()
    line.module.order(wanted())
    assert "changed elsewhere" in str(line.peer.session.error)
    assert not [note for note in world.shown if isinstance(note, PayOutInstructed)]
