"""The invariants of specs/requirements.md that belong to part 1, over whole sessions.

S1, S3 and S10 have many more tests beside these: test_attacks.py (the line, intruders), test_cuts.py (power).
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from eavesdropper import Eavesdropper, eavesdropping, forms
from pump import Line, contact, meeting, personalize, sent_to_reset, sound
from world import CARD_NUMBER, NOW, PINS, SERIAL, Seeded, World, memory, private_bytes, wanted

from insitu.protocol.channel.handshake import Handshake
from insitu.protocol.channel.trust import ModuleAtWork
from insitu.protocol.engine import GenerateKey, InsituError, KeyKind, Persist
from insitu.protocol.keys.certificates import Role, trusted_root, verify_issued
from insitu.protocol.keys.vault import MemoryVault
from insitu.protocol.messages import Authorize, CardRole, ModuleCondition, ModuleRecord, TrustOption, encode_record
from insitu.protocol.parties.card import log_of
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import ModuleReported
from insitu.protocol.parties.work_data import ResetByHand, TransactionSettled
from insitu.protocol.stores.card_log import Intent, Result
from insitu.protocol.stores.registry import CommandKind, Standing
from insitu.shell.card import Card
from insitu.shell.module import Module

OPTIONS = list(TrustOption)


def copy_of(vault: MemoryVault, seed: str = "copy") -> MemoryVault:
    """What an attacker has who copied the storage and its passphrase."""
    copied = MemoryVault(Seeded(seed), repeatable=True)
    for label, private in private_bytes(vault).items():
        copied._keys.restore_sealed(label, vault.find(label).public.kind, private)  # type: ignore[union-attr]
    if vault.record is not None:
        copied.commit(vault.record, vault.labels())
    return copied


def online(world: World, module: Module | None = None) -> Line:
    return contact(world, module=module).start()


def is_let_in(line: Line) -> bool:
    """Whether the central system accepted the module; ends the session."""
    accepted = line.peer.session.state.name == "ONLINE"
    line.finish()
    return accepted


# S1


def test_s1_from_operating_the_only_way_back_is_a_reset(world: World):
    """Meetings with units, of either option, again and again, with approved jobs: nothing moves."""
    personalize(world)
    for option in OPTIONS:
        world.equip(option)
    record, labels = world.module.record, world.vault(SERIAL).labels()
    for option in OPTIONS * 2:
        line = personalize(world, option)
        assert isinstance(line.peer.result, ModuleReported)
        counted = 2 if option is TrustOption.SECRET else 0  # an attempt, and that it was right
        record = replace(record, generation=record.generation + counted)
        assert world.module.record == record
        assert world.vault(SERIAL).labels() == labels
        world.module = world.blank_module()
    world.module.reset_by_hand()
    assert personalize(world).module.result is ModuleState.OPERATING


def test_s1_two_sessions_at_once_are_not_let_begin(world: World):
    """Both would begin from DELIVERED, and the slower one would overwrite what the faster one made."""
    world.approved(CardRole.MODULE, SERIAL)
    first = meeting(world)
    with pytest.raises(InsituError, match="a session with the unit is running"):
        meeting(world)
    first.start().finish()
    assert world.module.state is ModuleState.OPERATING


# S2


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_s2_operating_means_a_whole_chain_our_key_and_a_pin(world: World, option):
    personalize(world, option)
    record = world.module.record
    root = trusted_root(record.root)
    customer = verify_issued(record.customer or b"", root, Role.CUSTOMER, now=NOW)
    module = verify_issued(record.module or b"", customer, Role.MODULE, now=NOW, subject=SERIAL)
    assert module.public == world.operating_key(world.module).public  # type: ignore[union-attr]
    assert record.central == world.central_certificate
    verify_issued(record.central, customer, Role.CENTRAL, now=NOW)
    assert ModuleAtWork.of(record, world.operating_key(world.module)).central.der == record.central


# S4


def test_s4_a_commanded_reset_makes_the_old_certificate_worthless_at_once(world: World):
    """Also if the command never arrives, and for sessions that are open elsewhere."""
    personalize(world)
    stolen = Module(copy_of(world.vault(SERIAL)), entropy=Seeded("thief"), now=world.clock)
    elsewhere = contact(world, module=stolen)
    line = sent_to_reset(world, cut_after=7).start()  # the command itself is lost
    assert world.module.state is ModuleState.OPERATING
    assert world.entry().standing is Standing.RESET_ORDERED
    line.finish()
    another = Module(copy_of(world.vault(SERIAL)), entropy=Seeded("t2"), now=world.clock)
    assert not is_let_in(elsewhere.start())
    for module in (another, world.module):  # whoever comes with the old certificate is reset, and nothing else
        assert not is_let_in(contact(world, module=module).start())
        assert module.state is ModuleState.RESET
    assert world.entry().standing is Standing.RESET


def test_s4_an_open_session_decides_nothing_once_another_one_changed_the_entry(world: World):
    """The clone of a stolen store is online when the real module comes back: never both."""
    personalize(world)
    clone = online(world, Module(copy_of(world.vault(SERIAL)), entropy=Seeded("thief"), now=world.clock))
    real = online(world)
    assert "an old copy" in str(real.peer.session.error)  # somebody has been here with this generation: it is told
    real.finish()
    again = online(world)
    clone.module.order(wanted())
    assert "changed elsewhere" in str(clone.peer.session.error)
    again.module.order(wanted())
    assert world.entry().last_number == 1


def test_s4_after_a_reset_by_hand_the_next_contact_retires_the_old_certificate(world: World):
    personalize(world)
    assert is_let_in(online(world))
    old = copy_of(world.vault(SERIAL))
    old_fingerprint = world.module.record.fingerprint
    world.module.reset_by_hand()
    personalize(world)
    assert is_let_in(online(world))
    assert world.central.registry.known(SERIAL, old_fingerprint or b"", 0, b"").retired
    restored = Module(old, entropy=Seeded("restored"), now=world.clock)
    assert restored.state is ModuleState.OPERATING
    assert not is_let_in(online(world, restored))
    lying = Module(claiming_epoch(old, 7), entropy=Seeded("lying"), now=world.clock)
    assert not is_let_in(online(world, lying))
    assert is_let_in(online(world))


def claiming_epoch(vault: MemoryVault, epoch: int) -> MemoryVault:
    """A manipulated store that claims to be of a later epoch."""
    claiming = copy_of(vault, "claiming")
    record = Module(claiming).record
    claiming.commit(encode_record(replace(record, epoch=epoch)), claiming.labels())
    return claiming


# S6


def test_s6_every_certificate_of_the_card_has_its_entries_and_two_approvers(world: World):
    personalize(world)
    world.certify(CardRole.UNIT, "unit 2", world.vault("x").generate("x", KeyKind.P256, b"").public)
    entries = [entry.what for entry in log_of(world.card.record)]
    intents = {what.job: what for what in entries if isinstance(what, Intent)}
    results = {what.fingerprint: what for what in entries if isinstance(what, Result)}
    made = [world.card.unit, world.central_certificate, world.module.record.module]
    for der in made:
        certificate = verify_issued(der or b"", world.card.customer, role_of(world, der), now=NOW)
        result = results[certificate.fingerprint]
        intent = intents[result.job]
        assert set(intent.approvers) == set(PINS)
        assert intent.subject == certificate.subject
        assert intent.to_be_signed in der  # type: ignore[operator]
        assert entries.index(intent) < entries.index(result)


def role_of(world: World, der: bytes | None) -> Role:
    return {world.card.unit: Role.UNIT, world.central_certificate: Role.CENTRAL}.get(der or b"", Role.MODULE)


def test_s6_one_approval_makes_one_certificate(world: World):
    personalize(world)
    world.module.reset_by_hand()
    with pytest.raises(InsituError, match="no job for SN-1"):
        meeting(world)
    job = world.card.propose(CardRole.MODULE, SERIAL)
    world.card.approve(job, "alice", PINS["alice"])
    with pytest.raises(InsituError, match="lacks approval"):
        meeting(world)
    with pytest.raises(InsituError):
        world.card.approve(job, "alice", PINS["alice"])
    with pytest.raises(InsituError):
        world.card.certify(job.number, world.card.authentication.public)


# S7


def test_s7_the_salt_decides_nothing_and_no_two_modules_share_a_key(world: World, monkeypatch):
    """A unit that prescribes the same salt to everybody, always."""
    monkeypatch.setattr(Card, "approved_job", salted(Card.approved_job))
    keys = set()
    for serial in ("SN-1", "SN-2", "SN-3"):
        module = world.module if serial == SERIAL else world.new_module(serial)
        for _ in range(2):
            line = personalize(world, module=module)
            made = [effect for effect in line.module.performed if isinstance(effect, GenerateKey)]
            assert [effect.salt for effect in made] == [bytes(32)]
            keys.add(module.operating_key)
            module.reset_by_hand()
    assert len(keys) == 6


def salted(real: Any) -> Any:
    return lambda card, role, subject: replace(real(card, role, subject), salt=bytes(32))


def test_s7_the_salt_does_reach_the_key():
    """The same entropy with another salt gives another key: what the unit prescribes has its influence (L3)."""
    made = [memory("same").generate("operating-0", KeyKind.P256, salt).public for salt in (bytes(32), b"\1" * 32)]
    assert made[0] != made[1]


# S5


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_s5_a_revoked_customer_personalizes_no_module_that_has_the_list(world: World, option):
    """The list comes while the module operates, and outlives the reset."""
    personalize(world)
    contact(world).start().finish()
    world.command(CommandKind.REVOKE, world.revocations(1, world.card.customer.serial_number))
    contact(world).start().finish()
    assert world.module.record.crl is not None
    world.module.reset_by_hand()
    line = personalize(world, option)
    assert "is revoked" in str(line.module.error)
    assert world.module.state is ModuleState.RESET
    second = world.new_card("Second", "card 2")
    central = world.certify(CardRole.CENTRAL, "Host", world.central._key().public, card=second)
    world.approved(CardRole.MODULE, SERIAL, card=second)
    if option is TrustOption.TICKET:  # those of one customer are nothing to another
        world.card = second
        world.module._keeping.commit(replace(world.module.record, ticket=None), world.vault(SERIAL).labels())
    meeting(world, option, unit=world.new_unit(second, central)).start().finish()
    assert world.module.state is ModuleState.OPERATING


# S9


@pytest.fixture
def eavesdropper(world: World) -> Iterator[Eavesdropper]:
    with eavesdropping(world) as listening:
        yield listening


def test_the_eavesdropper_would_notice(world: World, eavesdropper: Eavesdropper):
    """Each form of each kind of secret, planted."""
    secret = world.private_keys()["card/signing"]
    for form in forms(secret):
        listening = Eavesdropper()
        listening.secrets = {"signing": secret}
        listening.hear(b"x" + form + b"y")
        assert listening.found() == ["signing"]
    listening.heard.clear()
    listening.hear({"note": secret})
    assert listening.found() == ["signing"]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_s9_a_life_tells_no_secret(world: World, eavesdropper: Eavesdropper, option):
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world, option)
    eavesdropper.follow(world, line)
    line.start().finish()
    eavesdropper.after(world, line)
    work = contact(world)
    eavesdropper.follow(world, work)
    work.start()
    work.module.order(wanted())
    work.module.order(TransactionSettled(1, 5000))
    work.finish()
    eavesdropper.after(world, work)
    work = sent_to_reset(world)
    eavesdropper.follow(world, work)
    work.start().finish()
    eavesdropper.after(world, work)
    assert world.module.state is ModuleState.RESET
    kinds = {name.split()[0] for name in eavesdropper.secrets}
    assert {"PIN", "card", "record", "entropy", "SN-1/identity", "SN-1/operating-0", "card/signing"} <= kinds
    assert eavesdropper.found() == []


def test_s9_what_goes_wrong_tells_no_secret(world: World, eavesdropper: Eavesdropper):
    """Cuts, refusals, wrong PINs, wrong numbers: errors with their causes, and notes."""
    hear = eavesdropper.hear
    for number in range(8):
        world.approved(CardRole.MODULE, SERIAL)
        line = meeting(world, cut_after=number)
        eavesdropper.follow(world, line)
        line.start().finish()
        eavesdropper.after(world, line)
        if world.module.state is ModuleState.OPERATING:
            world.module.reset_by_hand()
    personalize(world)
    job = world.card.propose(CardRole.MODULE, "SN-7")
    eavesdropper.secrets["wrong PIN"] = b"wrong-13579"
    attempts: list[Any] = [
        lambda: world.card.approve(job, "alice", b"wrong-13579"),
        lambda: world.card.approve(job, "mallory", b"wrong-13579"),
        lambda: world.card.furnish("Bank", {"alice": b"wrong-13579", "bob": b"12"}),
        lambda: authorization_with(card=CARD_NUMBER + "x"),
        lambda: authorization_with(currency=CARD_NUMBER),
        lambda: authorization_with(account=CARD_NUMBER * 4),
    ]
    for attempt in attempts:
        try:
            attempt()
        except InsituError as error:
            hear(error)
            hear("".join(traceback.format_exception(error, limit=0)))
        else:
            pytest.fail("accepted")
    line = online(world)
    line.module.order(wanted())
    with suppress(InsituError):
        line.module.order(TransactionSettled(1, 9999))
    line.finish()
    eavesdropper.after(world, line)
    assert eavesdropper.found() == []


def authorization_with(**changed: Any) -> None:
    usual: dict[str, Any] = {"number": 1, "card": CARD_NUMBER, "account": "x", "amount": 1, "currency": "EUR"}
    Authorize(**{**usual, **changed})


# S11


def test_s11_names_and_hashes_are_not_enough(world: World):
    """Another certificate with the pinned one's name, by the same card; another module with the same serial number."""
    personalize(world)
    assert is_let_in(online(world))
    second, certificate = world.new_central("Host two")
    line = contact(world, central=second).start().finish()
    assert line.module.error is not None
    assert certificate != world.module.record.central
    double = rival(world, world.card, "double")
    assert double.record.serial == SERIAL
    assert not is_let_in(online(world, double))


# S12


def rival(world: World, card: Card, seed: str) -> Module:
    """A module that another unit personalized as SN-1 in the same epoch: a key that the real one never made."""
    vault = copy_of(world.vault(SERIAL), seed)
    vault.roll_back()
    key = vault.generate("operating-9", KeyKind.P256, b"rival")
    der = world.certify(CardRole.MODULE, SERIAL, key.public, card=card)
    record: ModuleRecord = replace(
        world.module.record,
        condition=ModuleCondition.OPERATING,
        key=key.label,
        module=der,
        customer=card.customer.der,
        central=world.certify(CardRole.CENTRAL, "Host", world.central._key().public, card=card),
    )
    vault.commit(encode_record(record), frozenset({"identity", key.label}))
    return Module(vault, entropy=Seeded(seed), now=world.clock)


@pytest.mark.parametrize("first", ["ours", "rival"])
def test_s12_of_two_racing_units_one_certificate_is_accepted(world: World, first):
    """Two cards of one bank, both with approvals: whoever reaches the central system first is the module."""
    second_card = world.new_card("Bank", "card 2")
    world.central.trust(world.root, second_card.customer.der, actor="operator")
    personalize(world)
    other = rival(world, second_card, "rival")
    world.central.install(other.record.central or b"")
    order = [world.module, other] if first == "ours" else [other, world.module]
    world.central.install(order[0].record.central or b"")
    assert is_let_in(online(world, order[0]))
    world.central.install(order[1].record.central or b"")
    assert not is_let_in(online(world, order[1]))
    assert len(world.central.registry.modules()) == 1


def test_s12_the_second_unit_gets_a_report_and_its_card_signs_nothing(world: World):
    second_card = world.new_card("Second", "card 2")
    central = world.certify(CardRole.CENTRAL, "Host", world.central._key().public, card=second_card)
    personalize(world)
    world.approved(CardRole.MODULE, SERIAL, card=second_card)
    log = second_card.export_log()
    line = meeting(world, unit=world.new_unit(second_card, central)).start().finish()
    assert isinstance(line.peer.result, ModuleReported)
    assert second_card.export_log() == log
    assert log_of(world.card.record)[-1].what.kind == "result"
    sound(world, None)


# S3, S10 in one: what a reset leaves


def test_s3_a_reset_leaves_nothing_to_go_on_with(world: World):
    personalize(world)
    line = online(world)
    line.module.order(ResetByHand())
    persisted = [effect for effect in line.module.performed if isinstance(effect, Persist)]
    assert persisted[-1].keep == {"identity"}
    assert world.vault(SERIAL).labels() == {"identity"}
    for held in (world.module.record, line.module.session.data.record):
        assert (held.key, held.module, held.customer, held.central) == (None, None, None, None)
    assert isinstance(line.module.session._handshake, Handshake)
    line.finish()
    with pytest.raises(InsituError, match="not personalized"):
        contact(world)
