from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pump import Line, contact, meeting, personalize
from recorder import Recorder, classified, one_of_each
from world import NOW, SERIAL, YEAR, World, authorization

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
    StopTimer,
    UsageError,
)
from insitu.protocol.keys.certificates import Role
from insitu.protocol.messages import (
    MESSAGES,
    CardRole,
    Certificates,
    GenerateKeyPair,
    Intent,
    KeyPolicy,
    ModuleCondition,
    PayOut,
    Purpose,
    ResetCommand,
    ResetDone,
    ResetRequest,
    TrustOption,
)
from insitu.protocol.parties.central import ResetOrdered
from insitu.protocol.parties.module import AT_WORK, MODULE, PERSONALIZING
from insitu.protocol.parties.module_data import (
    AuthorizationWanted,
    IdentityCertified,
    Initialize,
    ModuleData,
    ModuleState,
    PayOutInstructed,
    ResetByHand,
    operating_label,
    resting_state,
)

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
    assert {kind for kind in MESSAGES if kind.__name__ != "FaultNotice"} <= {type(event) for event in events}


@pytest.mark.parametrize("state", [S.OPERATING, *AT_WORK], ids=lambda state: state.name)
def test_s1_no_personalization_message_has_a_row_once_the_module_operates(state):
    known = {event.__name__ for event in MODULE.accepts(state)}
    assert known.isdisjoint(
        {"Initialize", "IdentityCertified", "GenerateKeyPair", "Certificates", "KeyPairMade", "Signed"}
    )


@pytest.mark.parametrize("state", PERSONALIZING, ids=lambda state: state.name)
def test_a_personalization_knows_nothing_of_payments_and_resets(state):
    """L2: an unpersonalized module can do no transaction; and there is nothing to reset by hand."""
    known = set(MODULE.accepts(state))
    assert known.isdisjoint({AuthorizationWanted, PayOut, ResetRequest, ResetCommand, ResetByHand})


def test_only_three_states_persist_and_only_before_what_they_promise(module: Recorder):
    promises = {"Personalized", "ResetDone"}
    for moment in module.moments:
        kinds = [type(effect) for effect in moment.step.effects]
        if Persist in kinds:
            assert moment.step.state in (S.DELIVERED, S.OPERATING, S.RESET)
            assert kinds.count(Persist) == 1
        sent = [type(effect.message).__name__ for effect in moment.step.effects if isinstance(effect, Send)]
        if promises & set(sent):
            assert kinds.index(Persist) < kinds.index(Send)


def test_every_wait_for_the_other_side_has_a_deadline(module: Recorder):
    for moment in module.moments:
        if moment.step.state in (S.SECURED, S.KEYED, S.CHALLENGED) and moment.step.state is not moment.state:
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
    """A central system only with the pinned certificate: role and name are not enough (S11)."""
    personalize(world)
    data = ModuleData(record=world.module.record)
    event = opened(world, purpose, role)
    if purpose is Purpose.STATUS and role in (None, Role.UNIT):
        assert MODULE.step(S.OPERATING, data, event).state is S.OPERATING
    else:
        with pytest.raises(Refused):
            MODULE.step(S.OPERATING, data, event)


def test_the_pinned_central_system_counts_as_a_whole_certificate(world: World):
    personalize(world)
    line = contact(world).start()
    event, data = line.module.session.data.peer, ModuleData(record=world.module.record)
    _, other = world.new_central("Other host")
    right = event.chain[0]
    for chain, accepted in (((right,), True), ((replace(right, der=other),), False), ((), False)):
        offered = opened(world, Purpose.OPERATE, Role.CENTRAL, chain)
        if accepted:
            assert MODULE.step(S.OPERATING, data, offered).state is S.ONLINE
        else:
            with pytest.raises(Refused):
                MODULE.step(S.OPERATING, data, offered)


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


# At work (L10, S10)


@pytest.fixture
def online(world: World) -> Line:
    personalize(world)
    return contact(world).start()


def test_an_answer_is_taken_once_and_only_for_what_was_asked(online: Line):
    session = online.module.session
    online.peer.before = lambda effect: None
    asked = MODULE.step(S.ONLINE, session.data, AuthorizationWanted(authorization(7)))
    right = PayOut(number=7, approved=True, amount=1, reference="")
    for state in AT_WORK:
        with pytest.raises(Refused):
            MODULE.step(state, asked.data, replace(right, number=8))
        answered = MODULE.step(state, asked.data, right)
        assert answered.state is state
        assert Show(PayOutInstructed(right)) in answered.effects
        with pytest.raises(Refused):
            MODULE.step(state, answered.data, right)


def test_an_open_number_is_not_asked_again(online: Line):
    asked = MODULE.step(S.ONLINE, online.module.session.data, AuthorizationWanted(authorization(7)))
    with pytest.raises(Refused):
        MODULE.step(S.ONLINE, asked.data, AuthorizationWanted(authorization(7)))
    assert MODULE.step(S.ONLINE, asked.data, AuthorizationWanted(authorization(8))).state is S.ONLINE


def test_each_authorization_has_a_deadline_of_its_own(online: Line):
    """One that is answered, or asked later, does not prolong the wait for another; nor does it end that of a reset."""
    data = online.module.session.data
    timers: set[str] = set()

    def take(state: ModuleState, event: object) -> None:
        nonlocal data
        step = MODULE.step(state, data, event)
        data = step.data
        for effect in step.effects:
            if isinstance(effect, StartTimer):
                assert effect.timer not in timers
                timers.add(effect.timer)
            elif isinstance(effect, StopTimer):
                timers.discard(effect.timer)

    for number in (1, 2):
        take(S.ONLINE, AuthorizationWanted(authorization(number)))
    assert len(timers) == 2
    take(S.ONLINE, PayOut(number=1, approved=True, amount=1, reference=""))
    assert len(timers) == 1
    take(S.ONLINE, ResetRequest(0))
    assert len(timers) == 2
    take(S.CHALLENGED, PayOut(number=2, approved=True, amount=1, reference=""))
    assert timers == {"peer"}


# Reset (L8, S3)


def test_only_the_present_epoch_is_reset(online: Line):
    data = online.module.session.data
    for epoch in (1, 2, 1 << 40):
        with pytest.raises(Refused):
            MODULE.step(S.ONLINE, data, ResetRequest(epoch))
    assert MODULE.step(S.ONLINE, data, ResetRequest(0)).state is S.CHALLENGED


def test_a_command_counts_for_this_module_this_epoch_and_this_channel(world: World, module: Recorder):
    moment = module.at(S.CHALLENGED, ResetCommand)
    data, command = moment.data, moment.event
    assert MODULE.step(S.CHALLENGED, data, command).state is S.RESET
    wrong = {
        "another channel": replace(data, binding=bytes(32)),
        "another epoch": replace(data, record=replace(data.record, epoch=data.record.epoch + 1)),
        "another module": replace(data, record=replace(data.record, serial="SN-9")),
        "another signer": replace(data, peer=replace(data.peer, public=world.card.authentication.public)),
        "nobody": replace(data, peer=None),
    }
    for what, other in wrong.items():
        with pytest.raises(Refused):
            pytest.fail(f"{what}: {MODULE.step(S.CHALLENGED, other, command)}")
    flipped = bytes((command.signature[0] ^ 1, *command.signature[1:]))
    with pytest.raises(ProtocolError):
        MODULE.step(S.CHALLENGED, data, ResetCommand(flipped))


@pytest.mark.parametrize("state", [S.OPERATING, *AT_WORK], ids=lambda state: state.name)
def test_a_reset_by_hand_erases_whatever_goes_on(module: Recorder, state):
    data = module.data_in(state)[0]
    step = MODULE.step(state, data, ResetByHand())
    record = step.data.record
    assert step.state is S.RESET
    assert (record.condition, record.epoch) == (ModuleCondition.RESET, data.record.epoch + 1)
    assert (record.key, record.module, record.customer, record.central) == (None, None, None, None)
    assert (record.serial, record.root, record.identity) == (data.record.serial, data.record.root, data.record.identity)
    persist = next(effect for effect in step.effects if isinstance(effect, Persist))
    assert persist.keep == frozenset({"identity"})


def test_a_commanded_reset_persists_before_it_acknowledges(module: Recorder):
    kinds = [type(effect) for effect in module.at(S.CHALLENGED, ResetCommand).step.effects]
    sent = module.at(S.CHALLENGED, ResetCommand).step.effects[kinds.index(Send)]
    assert kinds.index(Persist) < kinds.index(Send)
    assert sent.message == ResetDone(module.at(S.CHALLENGED, ResetCommand).data.record.epoch + 1)


def test_a_clock_that_was_wrong_at_a_reset_does_no_lasting_harm(world: World):
    personalize(world)
    right = world.module_clock.at
    world.module_clock.at += 40 * YEAR
    line = contact(world).start()
    line.peer.order(ResetOrdered())
    line.finish()
    assert world.module.state is S.RESET
    world.module_clock.at = right
    assert personalize(world).module.error is None
    assert world.module.state is S.OPERATING


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
