"""Whole sessions under attack: the attacker owns the line, has parties of his own, and a stolen genuine module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from intruder import Intruder, Trap
from pump import Line, NoStream, Side, contact, meeting, personalize, sent_to_reset, sound
from world import NOW, SERIAL, YEAR, World, authorization, wanted

from insitu.protocol.channel.edhoc import Credential
from insitu.protocol.channel.trust import ByCable, CentralAtWork, ModuleByIdentity, UnitByCertificate
from insitu.protocol.engine import InsituError, KeyKind, Refused
from insitu.protocol.keys.certificates import CertificateRefused
from insitu.protocol.keys.public import compress
from insitu.protocol.messages import (
    CardRole,
    Certificates,
    FaultNotice,
    GenerateKeyPair,
    KeyPolicy,
    ModuleCondition,
    ModuleKey,
    PayOut,
    Personalized,
    Purpose,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    ResetRequest,
    Status,
    TrustOption,
)
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import UnitState
from insitu.protocol.parties.work_data import PayOutInstructed, WorkState
from insitu.protocol.stores.registry import Standing

OPTIONS = list(TrustOption)


def approved_meeting(world: World, option: TrustOption = TrustOption.CERTIFICATES, **about: Any) -> Line:
    world.approved(CardRole.MODULE, SERIAL)
    return meeting(world, option, **about)


# The line: double, drop, swap, reflect, flip, replay

Hook = Callable[[Line, Side, int, bytes], list[bytes] | None]


class Once:
    """Does something to the frame with one number."""

    def __init__(self, what: str, number: int, recorded: list[bytes]) -> None:
        self.what, self.number, self.recorded = what, number, recorded
        self.held: list[tuple[Side, bytes]] = []

    def __call__(self, line: Line, sender: Side, number: int, frame: bytes) -> list[bytes] | None:
        if self.held and self.held[0][0] is sender:
            return [frame, self.held.pop()[1]]
        if number != self.number:
            return None
        match self.what:
            case "double":
                return [frame, frame]
            case "drop":
                return []
            case "swap":
                self.held.append((sender, frame))
                return []
            case "reflect":
                line.inject(sender, frame)
                return []
            case "reflect too":
                line.inject(sender, frame)
                return None
            case "flip":
                return [bytes((*frame[:-1], frame[-1] ^ 0x80))]
            case "replay":
                return [self.recorded[number]] if number < len(self.recorded) else []
            case _:
                return [b"", frame]


WHAT = ["double", "drop", "swap", "reflect", "reflect too", "flip", "replay", "empty"]


@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_s10_whatever_is_done_to_one_frame_of_a_personalization(what, option):
    """Durable state is old or new, and a second attempt finishes or finds the module at work."""
    recorded = [frame for _, frame in personalize(World(seed="earlier"), option).crossed]
    reached = 0
    for number in range(len(recorded)):
        world = World()
        line = approved_meeting(world, option, hook=Once(what, number, recorded)).start().finish()
        sound(world, line)
        reached = max(reached, len(line.crossed))
        if what in ("flip", "replay", "drop") and number < len(recorded) - 1:
            assert world.module.state is ModuleState.DELIVERED
            assert line.peer.error is not None
        again = approved_meeting(world, option).start().finish()
        assert again.peer.error is None
        assert world.module.state is ModuleState.OPERATING
        sound(world, again)
    assert reached == len(recorded)


@pytest.mark.parametrize("what", WHAT)
def test_s10_whatever_is_done_to_one_frame_at_work(what, world: World):
    """No amount is paid twice, no number counts twice, no module is reset that nobody commanded."""
    personalize(world)
    decided: list[int] = []
    decide = world.central._decide
    world.central._decide = lambda serial, asked: decided.append(asked.number) or decide(serial, asked)  # type: ignore[func-returns-value]
    line = contact(world).start()
    line.module.order(wanted(1))
    line.finish()
    recorded = [frame for _, frame in line.crossed]
    last = 1
    for number in range(10):
        line = contact(world, hook=Once(what, number, recorded)).start()
        for tag in (1, 2):
            if not line.module.session.closed and line.module.session.state is WorkState.ONLINE:
                line.module.order(wanted(tag))
        line.finish()
        assert world.entry().last_number >= last
        last = world.entry().last_number
        assert (world.module.state, world.entry().standing) == (ModuleState.OPERATING, Standing.OPERATING)
        sound(world)
    line = contact(world).start()
    line.module.order(wanted(1))
    paid = [note.number for note in world.shown if isinstance(note, PayOutInstructed)]
    asked = [each.number for each in world.module.record.open]
    assert sorted(paid) == sorted(set(paid)) == asked == sorted(decided)
    assert len(paid) > 1


@pytest.mark.parametrize("what", WHAT)
def test_s10_whatever_is_done_to_one_frame_of_a_reset(what):
    for number in range(4, 9):
        world = World()
        personalize(world)
        sent_to_reset(world, hook=Once(what, number, [])).start().finish()
        sound(world)
        assert world.entry().standing in (Standing.RESET_ORDERED, Standing.RESET)
        if world.module.state is ModuleState.RESET:
            assert world.module.record.epoch == 1
        else:
            assert world.entry().standing is Standing.RESET_ORDERED


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_every_recorded_flight_into_fresh_sessions(world: World, option):
    """All that one side ever said, said again to a fresh session of the other: nothing is opened, nothing changes."""
    recorded = personalize(world, option)
    said = {side.name: side.sent for side in recorded.sides}
    fingerprint = world.module.record.fingerprint
    world.approved(CardRole.MODULE, SERIAL)
    jobs = world.card.record.jobs
    log = world.card.export_log()
    for victim in range(2):
        line = meeting(world, option)
        side = line.sides[victim]
        side.take(side.session.start(NOW))
        for frame in said[line.sides[1 - victim].name]:
            side.receive(frame)
        assert side.session._handshake.opened is None
        line.finish()
    assert world.module.record.fingerprint == fingerprint
    assert (world.card.record.jobs, world.card.export_log()) == (jobs, log)
    fresh = World(seed="fresh")
    fresh.approved(CardRole.MODULE, SERIAL)
    line = meeting(fresh, option)
    line.module.take(line.module.session.start(NOW))
    for frame in said["unit"]:
        line.module.receive(frame)
    assert fresh.module.state is ModuleState.DELIVERED
    assert line.module.session.closed


# Persons of no right: own anchors, roles, stolen modules


def rogue_unit(world: World, root: Any, card: Any, serial: str = SERIAL) -> Intruder:
    """A unit with another card that knows our manufacturer's root, as anybody may."""
    terms = UnitByCertificate.of(root, card.customer, card.unit, card.authentication, serial)
    return Intruder(terms, card.keys)


def trapped_module(world: World, intruder: Intruder, option: TrustOption = TrustOption.CERTIFICATES) -> Trap:
    world.equip(option)
    return Trap(Side("module", world.module.meet_unit(NoStream(), option, wired=True)), intruder)  # type: ignore[arg-type]


def trapped_unit(world: World, intruder: Intruder, option: TrustOption = TrustOption.CERTIFICATES) -> Trap:
    world.approved(CardRole.MODULE, SERIAL)
    work = world.new_unit().personalize(NoStream(), SERIAL, option, wired=True)  # type: ignore[arg-type]
    return Trap(Side("unit", work), intruder)


def test_a_unit_of_another_manufacturers_customer_gets_no_channel(world: World):
    other = World(seed="other")
    trap = trapped_module(world, rogue_unit(world, world.card.root, other.card))
    assert not trap.intruder.is_in
    assert isinstance(trap.finish().victim.error, CertificateRefused)
    sound(world)


@pytest.mark.parametrize("role", [CardRole.MODULE, CardRole.CENTRAL], ids=lambda role: role.name.lower())
def test_a_certificate_of_another_role_makes_no_unit(world: World, role):
    """A rogue module of the same customer, with all its keys, never acts as a unit; nor does a central system."""
    vault = world.vault("rogue")
    key = vault.generate("k", KeyKind.P256, b"")
    der = world.certify(role, "Rogue", key.public)
    honest = UnitByCertificate.of(
        world.card.root, world.card.customer, world.card.unit, world.card.authentication, SERIAL
    )
    terms = replace(honest, own=Credential.x5chain((der, world.customer), key.public), key=key)
    trap = trapped_module(world, Intruder(terms, vault))
    assert not trap.intruder.is_in
    error = trap.finish().victim.error
    assert isinstance(error, CertificateRefused)
    assert error.check == "role"


def stolen_identity(world: World, serial: str) -> tuple[ModuleByIdentity, Any]:
    """A genuine module of another serial number, whose identity pair the attacker holds."""
    stolen = world.new_module(serial)
    vault = world.vault(serial)
    return ModuleByIdentity.of(stolen.record, vault.find("identity")), vault


def test_a_stolen_genuine_module_is_not_taken_for_the_one_of_the_job(world: World):
    terms, vault = stolen_identity(world, "SN-stolen")
    trap = trapped_unit(world, Intruder(terms, vault, Purpose.PERSONALIZE))
    assert "expected SN-1, got SN-stolen" in str(trap.finish().victim.error)
    assert "SN-stolen" not in world.card.export_log().decode()


def test_under_the_physical_option_too_another_serial_number_is_refused(world: World):
    vault = world.vault("rogue")
    terms = ByCable.of("SN-9", vault.generate("k", KeyKind.P256, b""), wired=True)
    trap = trapped_unit(world, Intruder(terms, vault, Purpose.PERSONALIZE), TrustOption.PHYSICAL)
    assert trap.intruder.is_in
    assert isinstance(trap.finish().victim.error, Refused)
    assert [type(message) for message in trap.intruder.got] == [FaultNotice]
    assert len(world.card.record.jobs) == 1


def test_a_module_of_another_manufacturer_is_refused(world: World):
    other = World(seed="other")
    terms = ModuleByIdentity.of(other.module.record, other.vault(SERIAL).find("identity"))
    terms = replace(terms, root=world.card.root)
    trap = trapped_unit(world, Intruder(terms, other.vault(SERIAL), Purpose.PERSONALIZE))
    assert isinstance(trap.finish().victim.error, CertificateRefused)


def test_physical_even_an_owner_of_the_cable_cannot_plant_an_anchor(world: World):
    """Nobody proved anything, so the intruder is in; but the module still wants a chain from its manufacturer."""
    other = World(seed="other")
    vault = world.vault("rogue")
    terms = ByCable.of("Bank", vault.generate("k", KeyKind.P256, b""), wired=True)
    trap = trapped_module(world, Intruder(terms, vault), TrustOption.PHYSICAL)
    assert trap.intruder.is_in
    trap.say(GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=KeyPolicy.NEW, time=NOW))
    (presented,) = trap.intruder.got
    assert isinstance(presented, ModuleKey)
    public = trap.victim.session.data.key.public
    assert compress(public) == presented.public_key
    chain = Certificates(
        module=other.certify(CardRole.MODULE, SERIAL, public),
        central=other.central_certificate,
        customer=other.customer,
    )
    trap.say(chain)
    assert isinstance(trap.finish().victim.error, CertificateRefused)
    assert world.module.state is ModuleState.DELIVERED
    sound(world)


# Inside an open channel: a unit or central system gone bad says things out of turn

ORDER = GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=KeyPolicy.NEW, time=NOW)
OUT_OF_TURN = [
    ORDER,
    ModuleKey(bytes(33), bytes(64)),
    Certificates(module=b"m", central=b"c", customer=b"k"),
    Personalized(bytes(64)),
    Status(ModuleCondition.RESET, 9, bytes(32)),
    authorization(9),
    PayOut(number=9, approved=True, amount=9, reference=""),
    ResetRequest(7),
    ResetChallenge(0, bytes(32)),
    ResetCommand(bytes(64)),
    ResetDone(1),
]


@pytest.mark.parametrize("message", OUT_OF_TURN, ids=lambda message: type(message).__name__)
def test_s1_in_operating_nothing_said_by_the_central_system_personalizes_or_resets(world: World, message):
    personalize(world)
    before = world.module.record
    central = world.central
    terms = CentralAtWork.of(world.central_certificate, central.issuers(), central._key())
    trap = Trap(
        Side("module", world.module.work(NoStream())),  # type: ignore[arg-type]
        Intruder(terms, world.vault("central Host")),
    )
    assert trap.intruder.is_in
    trap.say(message)
    assert trap.victim.session.closed
    assert world.module.record == replace(before, generation=world.module.record.generation)
    assert not any(isinstance(note, PayOutInstructed) for note in world.shown)
    trap.finish()
    sound(world)


@pytest.mark.parametrize("message", OUT_OF_TURN, ids=lambda message: type(message).__name__)
def test_s1_a_unit_that_meets_an_operating_module_gets_its_status_and_nothing_else(world: World, message):
    """Also after a reconnect: the module asks for nothing, says how things stand, and is gone."""
    personalize(world)
    before = world.module.record
    for _ in range(2):
        trap = trapped_module(world, rogue_unit(world, world.card.root, world.card))
        assert trap.intruder.is_in
        assert [type(each) for each in trap.intruder.got] == [Status]
        trap.say(message)
        assert trap.intruder.got[1:] == []
        assert trap.finish().victim.error is None
        assert world.module.record == replace(before, generation=world.module.record.generation)


@pytest.mark.parametrize("message", OUT_OF_TURN[1:], ids=lambda message: type(message).__name__)
def test_a_unit_gone_bad_leads_a_fresh_module_nowhere(world: World, message):
    for turns in (0, 1):
        world = World()
        trap = trapped_module(world, rogue_unit(world, world.card.root, world.card))
        for _ in range(turns):
            trap.say(ORDER)
        if trap.victim.session.closed:
            continue
        trap.say(message)
        assert trap.victim.session.closed
        trap.finish()
        assert world.module.state is ModuleState.DELIVERED
        sound(world)


@pytest.mark.parametrize("message", OUT_OF_TURN, ids=lambda message: type(message).__name__)
def test_a_module_gone_bad_gets_no_certificate_out_of_turn(world: World, message):
    world.approved(CardRole.MODULE, SERIAL)
    terms = ModuleByIdentity.of(world.module.record, world.vault(SERIAL).find("identity"))
    work = world.new_unit().personalize(NoStream(), SERIAL, TrustOption.CERTIFICATES)  # type: ignore[arg-type]
    trap = Trap(Side("unit", work), Intruder(terms, world.vault(SERIAL), Purpose.PERSONALIZE))
    assert [type(each) for each in trap.intruder.got] == [GenerateKeyPair]
    trap.say(message)
    assert trap.finish().victim.session.state is UnitState.FAILED
    assert len(world.card.record.jobs) == 1
    assert SERIAL not in world.card.export_log().decode()


def test_an_impostor_of_the_central_system_is_refused_by_the_pin(world: World):
    """Certified by the same card, for the same name: not the pinned one (S11)."""
    personalize(world)
    vault = world.vault("impostor")
    key = vault.generate("central", KeyKind.P256, b"")
    der = world.certify(CardRole.CENTRAL, "Host", key.public)
    terms = CentralAtWork.of(der, (world.card.customer,), key)
    trap = Trap(Side("module", world.module.work(NoStream())), Intruder(terms, vault))  # type: ignore[arg-type]
    assert not trap.intruder.is_in
    assert "the pinned central system" in str(trap.finish().victim.error)


# A man in the middle


def test_a_man_in_the_middle_without_certificates_gets_in_on_neither_side(world: World):
    """With everything he can have: another manufacturer's world, and a genuine module that he stole."""
    other = World(seed="mallory")
    to_module = trapped_module(world, rogue_unit(world, world.card.root, other.card))
    terms, vault = stolen_identity(world, "SN-stolen")
    to_unit = trapped_unit(world, Intruder(terms, vault, Purpose.PERSONALIZE))
    assert not to_module.intruder.is_in
    assert not to_unit.intruder.is_in
    sound(world)


def test_physical_a_man_in_the_middle_gets_in_and_that_is_said_where_it_is_chosen(world: World):
    """A1 protects against listeners only (SECURITY: N). Relaying proofs still fails: they are bound to the channel."""
    vault = world.vault("mallory")
    cable = [vault.generate(name, KeyKind.P256, b"") for name in ("as unit", "as module")]
    to_module = trapped_module(world, Intruder(ByCable.of("Bank", cable[0], wired=True), vault), TrustOption.PHYSICAL)
    as_module = Intruder(ByCable.of(SERIAL, cable[1], wired=True), vault, Purpose.PERSONALIZE)
    to_unit = trapped_unit(world, as_module, TrustOption.PHYSICAL)
    assert to_module.intruder.is_in
    assert to_unit.intruder.is_in
    to_module.say(to_unit.intruder.got[0])
    to_unit.say(to_module.intruder.got[0])
    assert isinstance(to_unit.finish().victim.error, Refused)
    to_module.finish()
    assert world.module.state is ModuleState.DELIVERED
    assert len(world.card.record.jobs) == 1


# Options, time


@pytest.mark.parametrize("module_option", OPTIONS, ids=lambda option: option.name.lower())
@pytest.mark.parametrize("unit_option", OPTIONS, ids=lambda option: option.name.lower())
def test_s13_options_are_pinned_on_both_sides(world: World, module_option, unit_option):
    line = approved_meeting(world, module_option, unit_option=unit_option).start().finish()
    agreed = module_option is unit_option
    assert (line.peer.error is None) is agreed
    assert (line.module.error is None) is agreed
    assert world.module.state is (ModuleState.OPERATING if agreed else ModuleState.DELIVERED)


@pytest.mark.parametrize("position", range(10))
def test_s13_the_intent_in_message_1_is_bound_into_the_transcript(world: World, position):
    """Each bit of its last bytes, which hold the EAD item, turned: nobody ends up in another option or purpose."""
    for bit in range(8):
        world = World()

        def hook(_: Line, __: Side, number: int, frame: bytes, bit: int = bit) -> list[bytes] | None:
            if number != 0:
                return None
            spot = len(frame) - 1 - position
            return [frame[:spot] + bytes((frame[spot] ^ 1 << bit,)) + frame[spot + 1 :]]

        line = approved_meeting(world, hook=hook).start().finish()
        assert line.module.error is not None
        assert line.peer.error is not None
        assert world.module.state is ModuleState.DELIVERED


@pytest.mark.parametrize("years", [-40, -3, 0, 3, 12, 40])
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_a_modules_clock_that_is_behind_is_forgiven_and_one_far_ahead_is_named(world: World, option, years):
    world.module_clock.at = max(0, NOW + years * YEAR)
    line = personalize(world, option)
    if years <= 0:
        assert line.module.error is None
        assert world.module.record.latest == NOW
    else:
        assert isinstance(line.module.error, CertificateRefused)
        assert "expired" in str(line.module.error)
        assert world.module.state is ModuleState.DELIVERED
        world.module_clock.at = NOW
        assert personalize(world, option).peer.error is None


def test_time_that_passes_while_the_card_signs_does_no_harm(world: World):
    """The certificate begins later than the channel opened."""
    line = approved_meeting(world)
    ticking = line.peer.before

    def tick(effect: object) -> None:
        world.clock.at += 7
        ticking(effect)

    line.peer.before = tick
    line.start().finish()
    assert (line.module.error, line.peer.error) == (None, None)


def test_expired_certificates_of_the_unit_are_noticed_before_the_link_is_used(world: World):
    world.clock.at += 2 * YEAR
    unit = world.new_unit(central=world.new_central("Host 2")[1])
    world.approved(CardRole.MODULE, SERIAL)
    with pytest.raises(InsituError, match="unit certificate is not valid"):
        meeting(world, unit=unit)


def test_an_expired_module_is_refused_at_the_central_system(world: World):
    personalize(world)
    world.clock.at += 2 * YEAR
    line = contact(world).start().finish()
    assert isinstance(line.peer.error, CertificateRefused)
    assert line.module.error is not None
