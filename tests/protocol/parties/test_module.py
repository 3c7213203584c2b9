from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pump import meeting, personalize
from recorder import Recorder, classified, one_of_each
from world import NOW, SERIAL, World

from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Fault,
    KeyHandle,
    KeyKind,
    KeyOperationFailed,
    KeyPairMade,
    Persist,
    ProtocolError,
    Refused,
    Send,
    Show,
    Sign,
    StartTimer,
    UsageError,
)
from insitu.protocol.keys.certificates import Role
from insitu.protocol.messages import (
    LONGEST_WAIT,
    MESSAGES,
    ApprovalAwaited,
    CardRole,
    Certificates,
    GenerateKeyPair,
    Intent,
    KeyPolicy,
    ModuleCondition,
    Purpose,
    TrustOption,
)
from insitu.protocol.parties.module import MODULE, PERSONALIZING
from insitu.protocol.parties.module_data import (
    MACHINE_SECONDS,
    IdentityCertified,
    Initialize,
    ModuleData,
    ModuleState,
    operating_label,
    resting_state,
)
from insitu.protocol.parties.work import WORK
from insitu.protocol.parties.work_data import WorkState
from insitu.protocol.progress import PeopleAwaited

S = ModuleState
ENDINGS = (ChannelLost("gone"), DeadlinePassed("peer"), KeyOperationFailed("gone"))


@pytest.fixture
def module(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["module"]


@pytest.fixture
def events(recorded: dict[str, Recorder]) -> list[Any]:
    """One of each kind, of all parties."""
    return one_of_each(*recorded.values())


def of_condition(recorder: Recorder, state: ModuleState, condition: ModuleCondition) -> ModuleData:
    """Data of a module in `state` that was in this durable condition before."""
    return next(data for data in recorder.data_in(state) if data.record.condition is condition)


def personalizing(recorder: Recorder, state: ModuleState, condition: ModuleCondition) -> ModuleData:
    data = recorder.data_in(state)[0]
    return replace(data, record=replace(data.record, condition=condition))


# All rows and all events


@pytest.mark.parametrize("event", ENDINGS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("condition", [ModuleCondition.DELIVERED, ModuleCondition.RESET], ids=lambda each: each.name)
@pytest.mark.parametrize("state", PERSONALIZING, ids=lambda state: state.name)
def test_whatever_ends_a_personalization_leads_back(module: Recorder, state, condition, event):
    data = personalizing(module, state, condition)
    with module.watching():
        step = MODULE.step(state, data, event)
    assert step.state.name == condition.name
    assert step.data == ModuleData(record=data.record, made=data.made)
    *_, close = step.effects
    expected = {DeadlinePassed: Fault.TIMEOUT, KeyOperationFailed: Fault.UNAVAILABLE}.get(type(event))
    assert isinstance(close, Close)
    assert close.fault is expected
    assert not any(isinstance(effect, Persist) for effect in step.effects)


def test_every_row_is_taken(module: Recorder):
    """Runs after the endings above, which some rows exist for alone."""
    with module.watching():
        for state in PERSONALIZING:
            for condition in (ModuleCondition.DELIVERED, ModuleCondition.RESET):
                for event in ENDINGS:
                    MODULE.step(state, personalizing(module, state, condition), event)
    assert module.missing() == []


def test_every_event_is_accepted_by_a_row_or_refused_without_a_trace(module: Recorder, events: list[Any]):
    found = classified(module, events)
    assert len(found) == len(list(S)) * len(events)
    of_a_mobile = ("CallReported", "NumberWanted", "Number", "NumberSettled", "Conveyance", "Verdict", "Passage")
    elsewhere = ("FaultNotice", "Proof", "PakeShare", "Ticket", *of_a_mobile)
    assert {kind for kind in MESSAGES if kind.__name__ not in elsewhere} <= {type(event) for event in events}


@pytest.mark.parametrize(
    ("table", "state"),
    [(MODULE, S.OPERATING), *((WORK, state) for state in WorkState if state is not WorkState.LOADING)],
    ids=lambda each: getattr(each, "name", ""),
)
def test_s1_no_personalization_message_has_a_row_once_the_module_operates(table, state):
    known = {event.__name__ for event in table.accepts(state)}
    messages = {"GenerateKeyPair", "ApprovalAwaited", "Certificates"}
    assert known.isdisjoint({"Initialize", "IdentityCertified", "KeyPairMade", "Signed"} | messages)


@pytest.mark.parametrize("state", PERSONALIZING, ids=lambda state: state.name)
def test_a_personalization_knows_nothing_of_payments_and_resets(state):
    """L2: an unpersonalized module can do no transaction; and there is nothing to reset by hand."""
    assert set(MODULE.accepts(state)).isdisjoint(set(WORK.events) - {ChannelOpened, *map(type, ENDINGS)})


def test_only_two_states_persist_and_only_before_what_they_promise(module: Recorder):
    promises = {"Personalized"}
    for moment in module.moments:
        kinds = [type(effect) for effect in moment.step.effects]
        if Persist in kinds:
            assert moment.step.state in (S.DELIVERED, S.OPERATING)
            assert kinds.count(Persist) == 1
        sent = [type(effect.message).__name__ for effect in moment.step.effects if isinstance(effect, Send)]
        if promises & set(sent):
            assert kinds.index(Persist) < kinds.index(Send)


def test_every_wait_for_the_other_side_has_a_deadline(module: Recorder):
    for moment in module.moments:
        if moment.step.state in (S.SECURED, S.KEYED) and moment.step.state is not moment.state:
            assert any(isinstance(effect, StartTimer) for effect in moment.step.effects)
            assert DeadlinePassed in MODULE.accepts(moment.step.state)


# Delivery


def test_a_bare_module_keeps_serial_and_root(world: World):
    module = world.new_module("SN-bare", identity=False)
    record = module.record
    assert (record.serial, record.root, record.condition) == ("SN-bare", world.root, ModuleCondition.DELIVERED)
    assert (record.identity, record.key, record.epoch) == (None, None, 0)
    assert world.vault("SN-bare").labels() == frozenset()


def test_a_module_with_identity_and_key_of_manufacture_keeps_both(world: World):
    world.new_module("SN-2", manufactured_key=True)
    assert world.vault("SN-2").labels() == {"identity", "manufactured"}


@pytest.mark.parametrize("serial", ["", " SN", "SN\n1", "x" * 65, "S\N{RIGHT-TO-LEFT OVERRIDE}N"])
def test_a_serial_number_that_no_certificate_can_carry_is_refused(world: World, serial):
    with pytest.raises(UsageError, match="name in a certificate"):
        Initialize(serial, world.root, identity=False)


def test_a_key_of_manufacture_needs_an_identity(world: World):
    with pytest.raises(UsageError, match="key pair made at manufacture"):
        Initialize("SN-2", world.root, identity=False, manufactured_key=True)


def test_an_identity_for_another_key_serial_or_by_another_root_is_refused(world: World, module: Recorder):
    moment = module.at(S.IDENTIFIED, IdentityCertified)
    other = World(seed="other")
    key = world.vault("x").generate("x", KeyKind.P256, b"").public
    serial = moment.data.wish.serial
    assert MODULE.step(S.IDENTIFIED, moment.data, moment.event).state is S.DELIVERED
    wrong = {
        "another key": world.manufacturer.certify_identity("SN-none" if serial == SERIAL else serial + "x", key),
        "another root": other.manufacturer.certify_identity(serial + "y", moment.data.key.public),
        "no identity": world.customer,
        "nothing": b"",
    }
    for what, certificate in wrong.items():
        with pytest.raises(ProtocolError):
            pytest.fail(f"{what}: {MODULE.step(S.IDENTIFIED, moment.data, IdentityCertified(certificate))}")


# Opening a channel


PEERS = {
    "unit": Role.UNIT,
    "nobody": None,
    "module": Role.MODULE,
    "central": Role.CENTRAL,
    "identity": Role.IDENTITY,
    "customer": Role.CUSTOMER,
}


def opened(world: World, purpose: Purpose, role: Role | None, chain: tuple[Any, ...] = ()) -> ChannelOpened:
    public = world.card.authentication.public
    intent = Intent(purpose=purpose, option=TrustOption.CERTIFICATES)
    return ChannelOpened(Peer("x", role, public, chain), intent, bytes(32), NOW)


@pytest.mark.parametrize("role", PEERS.values(), ids=PEERS.keys())
@pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name)
def test_who_may_open_a_channel_to_a_delivered_module(world: World, module: Recorder, role, purpose):
    data = of_condition(module, S.DELIVERED, ModuleCondition.DELIVERED)
    event = opened(world, purpose, role)
    if purpose is Purpose.PERSONALIZE and role in (None, Role.UNIT):
        assert MODULE.step(S.DELIVERED, data, event).state is S.SECURED
    else:
        with pytest.raises(Refused):
            MODULE.step(S.DELIVERED, data, event)


@pytest.mark.parametrize("role", PEERS.values(), ids=PEERS.keys())
@pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name)
def test_who_may_open_a_channel_to_an_operating_module(world: World, module: Recorder, role, purpose):
    """A central system never: it meets the module at work, under the table of that."""
    personalize(world)
    data = ModuleData(record=world.module.record)
    event = opened(world, purpose, role)
    if purpose is Purpose.STATUS and role in (None, Role.UNIT):
        assert MODULE.step(S.OPERATING, data, event).state is S.OPERATING
    else:
        with pytest.raises(Refused):
            MODULE.step(S.OPERATING, data, event)


# Making and proving the key (L3)


@pytest.mark.parametrize("policy", KeyPolicy, ids=lambda policy: policy.name)
@pytest.mark.parametrize("made", [False, True], ids=["none made", "made at manufacture"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_key_of_manufacture_serves_once_and_by_policy(module: Recorder, policy, made, epoch):
    data = of_condition(module, S.SECURED, ModuleCondition.DELIVERED)
    handle = KeyHandle("manufactured", module.at(S.KEYING, KeyPairMade).event.key.public)
    data = replace(data, made=handle if made else None, record=replace(data.record, epoch=epoch))
    order = GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=policy, time=NOW)
    step = MODULE.step(S.SECURED, data, order)
    serves = made and epoch == 0 and policy is KeyPolicy.MANUFACTURE_ADMITTED
    assert step.state is (S.PROVING if serves else S.KEYING)
    if serves:
        assert next(effect.key for effect in step.effects if isinstance(effect, Sign)) == handle
    else:
        assert step.effects[-1].label == operating_label(epoch)
        assert step.effects[-1].salt == order.salt


def test_the_time_of_the_unit_is_a_floor_and_no_ceiling(module: Recorder):
    data = of_condition(module, S.SECURED, ModuleCondition.DELIVERED)
    for time, at in ((data.at - 9, data.at), (data.at + 9, data.at + 9)):
        order = GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=KeyPolicy.NEW, time=time)
        assert MODULE.step(S.SECURED, data, order).data.at == at


def test_the_label_of_a_key_says_its_epoch():
    assert len({operating_label(epoch) for epoch in range(9)}) == 9


# The chain (L4-L6, S2)


@pytest.fixture(params=[TrustOption.CERTIFICATES, TrustOption.PHYSICAL], ids=lambda option: option.name.lower())
def keyed(request: pytest.FixtureRequest, world: World) -> tuple[World, ModuleData, Certificates]:
    """A module that waits for its certificates, and those that it got."""
    recorder = Recorder(MODULE)
    with recorder.watching():
        personalize(world, request.param)
    moment = recorder.at(S.KEYED, Certificates)
    return world, moment.data, moment.event


def accepts(data: ModuleData, event: Certificates) -> bool:
    try:
        MODULE.step(S.KEYED, data, event)
    except ProtocolError:
        return False
    return True


def test_the_right_chain_is_complete(keyed):
    _, data, right = keyed
    assert accepts(data, right)


def test_certificates_of_other_roles_serials_keys_and_customers_are_refused(keyed):
    """S2, L6: each certificate in the place of each other, and each from another world."""
    world, data, right = keyed
    other = World(seed="other")
    personalize(other)
    foreign = other.module.record
    public = data.key.public
    another = world.vault("x").generate("x", KeyKind.P256, b"").public
    wrong_modules = {
        "another key": world.certify(CardRole.MODULE, SERIAL, another),
        "another serial": world.certify(CardRole.MODULE, "SN-9", public),
        "the central system's": right.central,
        "the customer's": world.customer,
        "the unit's": world.card.unit,
        "the identity": world.module.record.identity,
        "another customer's": foreign.module,
        "cut short": right.module[:-1],
        "one bit": bytes((right.module[0], *right.module[1:-1], right.module[-1] ^ 1)),
    }
    wrong_centrals = {
        "the module's": right.module,
        "the unit's": world.card.unit,
        "the customer's": world.customer,
        "another customer's": foreign.central,
    }
    assert not [what for what, der in wrong_modules.items() if accepts(data, replace(right, module=der))]
    assert not [what for what, der in wrong_centrals.items() if accepts(data, replace(right, central=der))]


def test_the_customers_certificate_comes_exactly_once(keyed):
    world, data, right = keyed
    assert not accepts(data, replace(right, customer=None if right.customer else world.customer))


def test_s5_a_revoked_customer_is_refused_by_a_module_that_has_the_list(keyed):
    world, data, right = keyed
    for number, revoked in ((1, ()), (2, (world.card.customer.serial_number,))):
        record = replace(data.record, crl=world.revocations(number, *revoked))
        assert accepts(replace(data, record=record), right) is (not revoked)


def test_a_customer_of_another_manufacturer_is_refused(world: World):
    """L6: whoever owns the cable still cannot hand over an anchor of his own."""
    recorder = Recorder(MODULE)
    with recorder.watching():
        personalize(world, TrustOption.PHYSICAL)
    data, right = recorder.at(S.KEYED, Certificates).data, recorder.at(S.KEYED, Certificates).event
    other = World(seed="other")
    chain = Certificates(
        module=other.certify(CardRole.MODULE, SERIAL, data.key.public),
        central=other.central_certificate,
        customer=other.customer,
    )
    assert accepts(data, right)
    assert not accepts(data, chain)
    own_root = replace(chain, customer=other.root)
    assert not accepts(data, own_root)


@pytest.mark.parametrize("years", [-30, 0, 9, 11, 30])
def test_expired_certificates_are_refused_by_a_clock_that_may_be_behind(keyed, years):
    """A module's clock that stands still is no obstacle; one that is ahead of the certificates' end is."""
    _, data, right = keyed
    assert accepts(replace(data, at=NOW + years * 365 * 24 * 3600), right) is (years <= 0)


# Waking up


def test_a_module_wakes_up_where_its_record_says(world: World):
    assert resting_state(None) is S.BLANK
    record = world.module.record
    for condition in ModuleCondition:
        assert resting_state(replace(record, condition=condition)).name == condition.name
    assert {resting_state(None)} | {S[condition.name] for condition in ModuleCondition} == set(MODULE.entries)


def test_what_a_module_knows_of_a_channel_does_not_show(world: World):
    world.approved(CardRole.MODULE, SERIAL)
    seen: list[str] = []
    line = meeting(world)
    line.module.before = lambda effect: seen.append(repr(line.module.session.data) + repr(effect))
    line.start().finish()
    binding = line.module.session._handshake.opened.binding
    assert seen
    assert not [text for text in seen if repr(binding)[2:-1] in text or binding.hex() in text]


def test_a_module_waits_for_people_once_a_session_and_no_longer_than_it_was_told(module: Recorder):
    moment = module.at(S.KEYED, ApprovalAwaited)
    step = MODULE.step(S.KEYED, moment.data, ApprovalAwaited(LONGEST_WAIT))
    assert step.state is S.WAITING
    assert step.effects == (
        StartTimer("peer", LONGEST_WAIT + MACHINE_SECONDS),
        Show(PeopleAwaited("module", moment.data.held.serial, LONGEST_WAIT)),
    )
    with pytest.raises(Refused):
        MODULE.step(S.WAITING, step.data, ApprovalAwaited(1))
    with pytest.raises(UsageError):
        ApprovalAwaited(LONGEST_WAIT + 1)
