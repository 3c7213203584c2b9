from __future__ import annotations

import pytest
from pump import Line, NoStream, Side, meeting, personalize
from world import SERIAL, YEAR, World

from insitu.protocol.engine import InsituError, ProtocolError, StateError, UsageError
from insitu.protocol.keys.certificates import CertificateRefused
from insitu.protocol.messages import CardRole, KeyPolicy, TrustOption
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import KeyPresented, ModulePersonalized
from insitu.protocol.stores.card_log import TicketsOrdered, TicketUsed
from insitu.protocol.stores.log_lines import import_lines
from insitu.shell.unit import Unit

OPTIONS = list(TrustOption)


def begun(unit: Unit, option: TrustOption = TrustOption.CERTIFICATES, *, wired: bool = True) -> None:
    """Run until the session would begin."""
    unit.personalize(NoStream(), SERIAL, option, wired=wired).send(None)  # type: ignore[arg-type]


def test_a_unit_wants_the_central_systems_certificate_of_its_own_card(world: World):
    other = World(seed="other")
    for wrong in (other.central_certificate, world.card.unit, world.customer, b""):
        with pytest.raises(ProtocolError):
            Unit(world.card, wrong, now=world.clock)
    world.clock.at += 2 * YEAR
    with pytest.raises(CertificateRefused, match="not valid"):
        Unit(world.card, world.central_certificate, now=world.clock)


def test_without_two_approvals_nothing_begins(world: World):
    unit = world.new_unit()
    for attempt in (lambda: begun(unit), lambda: unit.check(SERIAL)):
        with pytest.raises(StateError, match="no job for SN-1"):
            attempt()
    job = world.card.propose(CardRole.MODULE, SERIAL)
    world.card.approve(job, "alice", b"2580-alice")
    for attempt in (lambda: begun(unit), lambda: unit.check(SERIAL)):
        with pytest.raises(StateError, match="lacks approval"):
            attempt()
    world.approved(CardRole.MODULE, SERIAL)
    unit.check(SERIAL)


def test_the_physical_option_wants_a_wire(world: World):
    world.approved(CardRole.MODULE, SERIAL)
    with pytest.raises(UsageError, match="wired local link"):
        begun(world.new_unit(), TrustOption.PHYSICAL, wired=False)
    assert world.vault("card").labels() == {"signing", "authentication"}


def test_an_expired_unit_notices_itself(world: World):
    world.clock.at += 2 * YEAR
    unit = world.new_unit(central=world.new_central("Host 2")[1])
    world.approved(CardRole.MODULE, SERIAL)
    with pytest.raises(CertificateRefused, match="unit certificate is not valid"):
        begun(unit)


def test_one_module_at_a_time(world: World):
    world.approved(CardRole.MODULE, SERIAL)
    unit = world.new_unit()
    first = meeting(world, TrustOption.PHYSICAL, unit=unit)
    with pytest.raises(StateError, match="one module at a time"):
        begun(unit, TrustOption.PHYSICAL)
    first.start().finish()
    assert isinstance(first.peer.result, ModulePersonalized)
    world.module.reset_by_hand()
    world.approved(CardRole.MODULE, SERIAL)
    assert isinstance(meeting(world, unit=unit).start().finish().peer.result, ModulePersonalized)


def without_tickets(log: bytes) -> list[object]:
    """What happened at the card, besides that tickets were ordered and shown."""
    entries = (entry.what for entry in import_lines(log).log)
    return [what for what in entries if not isinstance(what, (TicketsOrdered, TicketUsed))]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_the_key_is_shown_before_it_is_certified(world: World, option):
    world.approved(CardRole.MODULE, SERIAL)
    log = world.card.export_log()
    line = meeting(world, option)
    seen: list[bytes] = []

    def before(effect: object) -> None:
        if isinstance(getattr(effect, "note", None), KeyPresented):
            seen.append(world.card.export_log())

    line.peer.before = before
    line.start().finish()
    assert [without_tickets(each) for each in seen] == [without_tickets(log)]
    assert without_tickets(world.card.export_log()) != without_tickets(log)


def test_a_card_that_refuses_at_the_last_moment_ends_it_with_its_reason(world: World):
    """The approvals ran out while the module made its key."""
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world)

    def before(effect: object) -> None:
        if type(effect).__name__ == "LookUp":
            world.clock.at += 2 * 24 * 3600

    line.peer.before = before
    line.start().finish()
    assert isinstance(line.peer.error, InsituError)
    assert world.module.state is ModuleState.DELIVERED
    assert SERIAL not in world.card.export_log().decode()


@pytest.mark.parametrize("policy", KeyPolicy, ids=lambda policy: policy.name.lower())
@pytest.mark.parametrize("made", [False, True], ids=["none made", "made at manufacture"])
def test_the_policy_decides_which_key_is_certified(world: World, policy, made):
    """L3: the first personalization may use the pair of manufacture; after a reset it is a new one always."""
    module = world.new_module("SN-2", manufactured_key=made)
    personalize(world, module=module, policy=policy)
    used = made and policy is KeyPolicy.MANUFACTURE_ADMITTED
    assert module.record.key == ("manufactured" if used else "operating-0")
    assert world.vault("SN-2").labels() == {"identity", module.record.key}
    first = module.operating_key
    module.reset_by_hand()
    personalize(world, module=module, policy=policy)
    assert module.record.key == "operating-1"
    assert module.operating_key != first


# Asking how things stand


def inquiry(world: World, option: TrustOption = TrustOption.CERTIFICATES, serial: str = SERIAL) -> Line:
    unit = world.new_unit()
    world.equip(option)
    return Line(
        Side("module", world.module.meet_unit(NoStream(), option, wired=True)),  # type: ignore[arg-type]
        Side("unit", unit.inquire(NoStream(), serial, option, wired=True)),  # type: ignore[arg-type]
    ).start()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_a_module_at_work_tells_how_things_stand_without_a_job(world: World, option):
    personalize(world)
    log = world.card.export_log()
    line = inquiry(world, option).finish()
    assert line.peer.result.status.fingerprint == world.module.record.fingerprint
    assert line.peer.result.status.fingerprint == world.card.certified(SERIAL)
    assert line.module.error is None
    assert without_tickets(world.card.export_log()) == without_tickets(log)


def test_a_module_that_waits_for_its_personalization_is_told_that_this_is_an_inquiry(world: World):
    line = inquiry(world).finish()
    assert isinstance(line.peer.error, StateError)
    assert "waits for its personalization, which nobody approved" in str(line.peer.error)
    assert world.module.state is ModuleState.DELIVERED


def test_another_module_does_not_answer_for_the_one_that_was_meant(world: World):
    personalize(world)
    assert inquiry(world, serial="SN-2").finish().peer.error is not None
    assert inquiry(world, TrustOption.PHYSICAL, serial="SN-2").finish().peer.error is not None


def test_without_anybody_who_compares_nothing_is_certified_over_a_cable(world: World):
    world.approved(CardRole.MODULE, SERIAL)
    unit = Unit(world.card, world.central_certificate, now=world.clock)
    line = meeting(world, TrustOption.PHYSICAL, unit=unit).start().finish()
    assert "fingerprints" in str(line.peer.error)
    assert SERIAL not in world.card.export_log().decode()
    assert len(world.card.record.jobs) == 1
