from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pump import Line, contact, personalize
from recorder import Recorder, classified, one_of_each
from world import CARD_NUMBER, DAY, NOW, YEAR, World, wanted

from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.engine import (
    ChannelLost,
    Close,
    Cmac,
    DeadlinePassed,
    EncipherPin,
    Fault,
    KeyOperationFailed,
    KeyUnwrapped,
    Persist,
    PinFormat,
    ProtocolError,
    Refused,
    RetailMac,
    SecretAlgorithm,
    SecretHandle,
    SecretUsage,
    SecretUsed,
    Send,
    Show,
    StartTimer,
    StopTimer,
    UseSecret,
)
from insitu.protocol.keys.certificates import Role
from insitu.protocol.messages import (
    MOST_OPEN,
    Authorize,
    Declined,
    HeldInstruction,
    HeldKey,
    Instruct,
    Intent,
    KeyLoaded,
    LoadKey,
    ModuleCondition,
    Outcome,
    Payload,
    PayOut,
    Purpose,
    Received,
    ResetCommand,
    ResetDone,
    ResetRequest,
    Revocations,
    TimeTold,
    TrustOption,
    Welcome,
    decode_message,
    encode_message,
)
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.work import CONNECTED, RESTING, WORK, WORKING
from insitu.protocol.parties.work_changes import caught_up
from insitu.protocol.parties.work_data import (
    InstructionTaken,
    KeyExpired,
    PayloadGiven,
    PayOutInstructed,
    ResetByHand,
    SecretAnswered,
    SecretWanted,
    TimePassed,
    TransactionSettled,
    WorkData,
    WorkState,
)
from insitu.protocol.parties.work_keys import (
    NOTE_SECONDS,
    MethodExcluded,
    SecretExpired,
    SecretMissing,
    SecretUnusable,
    SecretUnvouched,
    why_unusable,
)

S = WorkState
HANDLE = SecretHandle("secret-9", SecretUsage.MAC, SecretAlgorithm.AES, 128, "KCV(CMAC)=0011223344")


@pytest.fixture
def work(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["module-at-work"]


@pytest.fixture
def online(world: World) -> Line:
    personalize(world)
    return contact(world).start()


@pytest.fixture
def data(online: Line) -> WorkData:
    """A module that is online, with nothing under way."""
    return online.module.session.data


def with_key(data: WorkData, *, left: int = 5, not_after: int = NOW + DAY, seen: int = 0, **about: Any) -> WorkData:
    """A module with a symmetric key."""
    handle = replace(HANDLE, **about)
    held = HeldKey(handle.label, 9, not_after, left, seen)
    return replace(data, secrets=(handle,), record=replace(data.record, keys=(held,)))


def mac(at: int = NOW) -> SecretWanted:
    return SecretWanted(1, SecretUsage.MAC, Cmac(b"data"), at, 0)


def sent(step: Any) -> list[object]:
    return [effect.message for effect in step.effects if isinstance(effect, Send)]


def shown(step: Any) -> list[object]:
    return [effect.note for effect in step.effects if isinstance(effect, Show)]


# All rows and all events


def test_every_row_is_taken(work: Recorder, data: WorkData):
    asked = WORK.step(S.ONLINE, data, wanted()).data
    inbox = replace(data, record=replace(data.record, inbox=(HeldInstruction(1, b"x"),)))
    full = replace(data, record=replace(data.record, inbox=(HeldInstruction(1, b"x"),) * MOST_OPEN))
    keyed, times = with_key(data), (NOW, NOW + NOTE_SECONDS, NOW + YEAR)
    with work.watching():
        for state in RESTING:
            WORK.step(state, asked, TransactionSettled(1, 0))
            WORK.step(state, data, PayloadGiven(1, b"x"))
            for event in (mac(), mac(NOW + YEAR)):
                WORK.step(state, keyed, event)
            for at in times:
                WORK.step(state, keyed, TimePassed(at, 0))
            for event in (SecretUsed(b"mac"), KeyOperationFailed("gone")):
                WORK.step(state, replace(keyed, using=1), event)
            WORK.step(state, inbox, InstructionTaken(1))
        for at in times:
            WORK.step(S.ONLINE, keyed, TimePassed(at, 0))
            WORK.step(S.ONLINE, keyed, TimeTold(at))
        WORK.step(S.LOADING, data, ChannelLost("while it is unwrapped"))
        WORK.step(S.LOADING, data, ResetByHand())
        WORK.step(S.ONLINE, asked, PayOut(1, approved=True, amount=1, reference=""))
        WORK.step(S.ONLINE, replace(asked, asked=()), PayOut(1, approved=True, amount=1, reference=""))
        WORK.step(S.ONLINE, full, Instruct(9, b"x"))
        WORK.step(S.ONLINE, replace(data, record=replace(data.record, heard=9)), Revocations(9, b"x"))
    assert work.missing() == []


def test_every_event_is_accepted_by_a_row_or_refused_without_a_trace(recorded: dict[str, Recorder], work: Recorder):
    events = one_of_each(*recorded.values())
    assert len(classified(work, events)) == len(list(S)) * len(events)


def test_whatever_is_promised_is_durable_before(work: Recorder):
    """One write a step, before anything that depends on it leaves."""
    promises = (Received, KeyLoaded, Authorize, Payload, Outcome, ResetDone)
    for moment in work.moments:
        kinds = [type(effect) for effect in moment.step.effects]
        assert kinds.count(Persist) <= 1
        if any(isinstance(message, promises) for message in sent(moment.step)) and Persist in kinds:
            assert kinds.index(Persist) < kinds.index(Send)


def test_every_write_is_a_generation_further(work: Recorder):
    for moment in work.moments:
        for effect in moment.step.effects:
            if isinstance(effect, Persist):
                assert effect.record.generation == moment.data.record.generation + 1
                assert effect.record is moment.step.data.record


def test_a_lost_channel_forgets_the_session_and_keeps_what_was_asked(data: WorkData):
    asked = WORK.step(S.ONLINE, data, wanted()).data
    for event in (ChannelLost("gone"), DeadlinePassed("authorization 1")):
        step = WORK.step(S.ONLINE, asked, event)
        assert step.state is S.OPERATING
        assert step.data == WorkData(asked.record, vouched=True, asked=asked.asked, reckoning=asked.reckoning)
        assert isinstance(step.effects[-1], Close)


# Contact (L9, S4)


@pytest.mark.parametrize("role", [*Role, None], ids=str)
@pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name)
def test_only_the_pinned_central_system_is_called(world: World, data: WorkData, role, purpose):
    """The certificate counts as a whole: role and name are not enough (S11)."""
    right = data.peer.chain[0]  # type: ignore[union-attr]
    _, other = world.new_central("Other host")
    resting = data.at_rest
    for chain in ((right,), (replace(right, der=other),), ()):
        peer = Peer("Host", role, right.public, chain)
        event = ChannelOpened(peer, Intent(purpose=purpose, option=TrustOption.CERTIFICATES), bytes(32), NOW)
        if (purpose, role, chain) == (Purpose.OPERATE, Role.CENTRAL, (right,)):
            step = WORK.step(S.OPERATING, resting, event)
            assert step.state is S.CALLING
            (greeting,) = sent(step)
            assert greeting.generation == resting.record.generation + 1
        else:
            with pytest.raises(Refused):
                WORK.step(S.OPERATING, resting, event)


def test_the_time_of_the_central_system_is_a_floor(data: WorkData):
    step = WORK.step(S.CALLING, data, Welcome(NOW + 7, 0))
    assert step.data.record.latest == NOW + 7
    assert WORK.step(S.CALLING, step.data, Welcome(NOW, 0)).data.record.latest == NOW + 7
    assert step.data.vouched


# Business (L10, S10)


def test_a_number_is_durable_before_it_is_used_and_never_comes_again(data: WorkData):
    step = WORK.step(S.ONLINE, data, wanted())
    persist, note, send, timer = step.effects
    assert isinstance(persist, Persist)
    assert (persist.record.last, persist.record.open[0].number) == (1, 1)
    assert (send.message.number, send.message.card) == (1, CARD_NUMBER)  # type: ignore[union-attr]
    assert isinstance(timer, StartTimer)
    assert note.note.number == 1  # type: ignore[union-attr]
    second = WORK.step(S.ONLINE, step.data, wanted(2)).data
    assert second.record.last == 2
    assert CARD_NUMBER not in repr(second)
    assert CARD_NUMBER.encode() not in b"".join(second.record.outbox)


def test_an_answer_is_taken_once_and_only_for_what_was_asked(data: WorkData):
    asked = WORK.step(S.ONLINE, data, wanted()).data
    right = PayOut(1, approved=True, amount=5000, reference="r")
    with pytest.raises(Refused):
        WORK.step(S.ONLINE, asked, replace(right, number=2))
    step = WORK.step(S.ONLINE, asked, right)
    assert shown(step) == [PayOutInstructed(1, approved=True, amount=5000, reference="r")]
    assert step.data.record.open[0].instructed == 5000
    again = WORK.step(S.ONLINE, step.data, right)
    assert (again.data, again.effects) == (step.data, ())
    refused = WORK.step(S.ONLINE, asked, PayOut(1, approved=False, amount=9, reference=""))
    assert shown(refused) == [PayOutInstructed(1, approved=False, amount=0, reference="")]
    assert refused.data.record.open == ()


def test_no_more_is_reported_than_was_instructed(data: WorkData):
    asked = WORK.step(S.ONLINE, data, wanted()).data
    with pytest.raises(Refused):
        WORK.step(S.ONLINE, asked, TransactionSettled(1, 1))
    instructed = WORK.step(S.ONLINE, asked, PayOut(1, approved=True, amount=5000, reference="")).data
    for number, paid in ((1, 5001), (2, 0)):
        with pytest.raises(Refused):
            WORK.step(S.ONLINE, instructed, TransactionSettled(number, paid))
    step = WORK.step(S.ONLINE, instructed, TransactionSettled(1, 4000))
    assert sent(step) == [Outcome(2, 1, 4000)]
    with pytest.raises(Refused):
        WORK.step(S.ONLINE, step.data, TransactionSettled(1, 4000))


def test_who_stops_waiting_gets_no_money(data: WorkData):
    asked = WORK.step(S.ONLINE, data, wanted()).data
    step = WORK.step(S.ONLINE, asked, TransactionSettled(1, 0))
    assert sent(step) == [Outcome(2, 1, 0)]
    late = WORK.step(S.ONLINE, step.data, PayOut(1, approved=True, amount=5000, reference=""))
    assert (late.data, late.effects) == (step.data, ())


def test_what_was_not_answered_is_said_again_in_order(data: WorkData):
    first = WORK.step(S.ONLINE, data, PayloadGiven(1, b"one")).data
    second = WORK.step(S.ONLINE, first, wanted()).data
    third = WORK.step(S.OPERATING, second.at_rest, PayloadGiven(2, b"three"))
    assert sent(third) == []
    again = WORK.step(S.CALLING, third.data, Welcome(NOW, 0))
    assert [message.number for message in sent(again)] == [1, 2, 3]  # type: ignore[attr-defined]
    assert [message.number for message in sent(WORK.step(S.CALLING, third.data, Welcome(NOW, 2)))] == [2, 3]  # type: ignore[attr-defined]
    struck = WORK.step(S.ONLINE, again.data, Received(3)).data
    assert struck.record.outbox == ()


def test_what_nobody_waits_for_after_a_restart_is_settled_with_nothing(data: WorkData):
    """A card number is kept nowhere, so that it cannot be asked again (S9)."""
    asked = WORK.step(S.ONLINE, data, wanted()).data
    instructed = WORK.step(S.ONLINE, asked, PayOut(1, approved=True, amount=5000, reference="")).data
    both = WORK.step(S.ONLINE, instructed, wanted()).data
    restarted = WorkData(both.record)
    step = WORK.step(S.CALLING, restarted, Welcome(NOW, 2))
    assert sent(step) == [Outcome(3, 2, 0)]
    assert [each.number for each in step.data.record.open] == [1]  # what became of the money, only the controller knows


def test_the_module_keeps_no_more_than_it_can(data: WorkData):
    for _ in range(MOST_OPEN):
        data = WORK.step(S.OPERATING, data, PayloadGiven(1, b"x")).data
    for event in (PayloadGiven(1, b"x"), wanted()):
        with pytest.raises(Refused):
            WORK.step(S.ONLINE, data, event)


def test_an_instruction_is_taken_in_once(data: WorkData):
    step = WORK.step(S.ONLINE, data, Instruct(1, b"x"))
    assert sent(step) == [Received(1)]
    again = WORK.step(S.ONLINE, step.data, Instruct(1, b"x"))
    assert (sent(again), shown(again), again.data) == ([Received(1)], [], step.data)
    taken = WORK.step(S.OPERATING, step.data, InstructionTaken(1)).data
    assert taken.record.inbox == ()
    with pytest.raises(Refused):
        WORK.step(S.OPERATING, taken, InstructionTaken(1))


def test_an_instruction_that_finds_no_room_comes_later(data: WorkData):
    for number in range(1, MOST_OPEN + 1):
        data = WORK.step(S.ONLINE, data, Instruct(number, b"x")).data
    step = WORK.step(S.ONLINE, data, Instruct(MOST_OPEN + 1, b"x"))
    assert sent(step) == [Declined(MOST_OPEN + 1, Fault.UNAVAILABLE)]
    assert step.data.record.heard == MOST_OPEN


def test_each_authorization_has_a_deadline_of_its_own(data: WorkData):
    timers: set[str] = set()
    for event in (wanted(1), wanted(2), PayOut(1, approved=True, amount=1, reference="")):
        step = WORK.step(S.ONLINE, data, event)
        data = step.data
        timers |= {effect.timer for effect in step.effects if isinstance(effect, StartTimer)}
        timers -= {effect.timer for effect in step.effects if isinstance(effect, StopTimer)}
    assert timers == {"authorization 2"}


def test_a_list_of_the_manufacturer_takes_the_place_of_an_older_one_only(world: World, data: WorkData):
    step = WORK.step(S.ONLINE, data, Revocations(1, world.revocations(2)))
    assert step.data.record.crl == world.revocations(2)
    older = WORK.step(S.ONLINE, step.data, Revocations(2, world.revocations(1)))
    assert sent(older) == [Declined(2, Fault.UNSUPPORTED)]
    assert older.data.record.crl == world.revocations(2)
    assert sent(WORK.step(S.ONLINE, older.data, Revocations(2, world.revocations(1)))) == sent(older)
    assert sent(WORK.step(S.ONLINE, older.data, Revocations(1, world.revocations(2)))) == [Received(1)]
    foreign = World("another manufacturer").revocations(9)
    with pytest.raises(ProtocolError):
        WORK.step(S.ONLINE, step.data, Revocations(3, foreign))


# Symmetric keys (L11, S8)


def test_a_use_is_counted_before_it_is_done(data: WorkData):
    keyed = with_key(data, left=2)
    step = WORK.step(S.ONLINE, keyed, mac())
    persist, use = step.effects
    assert isinstance(persist, Persist)
    assert persist.record.keys[0].left == 1
    assert use == UseSecret(keyed.secrets[0], Cmac(b"data"))
    with pytest.raises(Refused):
        WORK.step(S.ONLINE, step.data, mac())  # one at a time
    answered = WORK.step(S.ONLINE, step.data, SecretUsed(b"mac"))
    assert shown(answered) == [SecretAnswered(1, b"mac")]
    last = WORK.step(S.ONLINE, answered.data, mac()).data
    over = WORK.step(S.ONLINE, replace(last, using=None), mac())
    assert over.data.record.keys == ()
    assert over.effects[0] == Persist(over.data.record, over.data.record.labels)
    assert KeyExpired(SecretUsage.MAC, HANDLE.check_value) in shown(over)


@pytest.mark.parametrize("state", WORKING, ids=lambda state: state.name)
def test_s8_an_expired_key_is_erased_and_never_used_also_with_the_clock_set_back(data: WorkData, state):
    for late in (
        with_key(data, not_after=NOW - 1),
        with_key(replace(data, record=replace(data.record, latest=NOW + 2 * DAY))),
        with_key(data, seen=NOW + 2 * DAY),
    ):
        step = WORK.step(state, late, mac(NOW))
        assert not [effect for effect in step.effects if isinstance(effect, UseSecret)]
        assert (step.data.record.keys, step.data.secrets) == ((), ())
        assert HANDLE.label not in step.effects[0].keep  # type: ignore[operator, union-attr]
        assert WORK.step(state, late, TimePassed(NOW, 0)).data.record.keys == ()
    used = WORK.step(state, with_key(data), mac(NOW + DAY)).data
    back = WORK.step(state, replace(used, using=None), mac(NOW))
    assert back.data.record.keys[0].seen == NOW + DAY


@pytest.mark.parametrize("state", WORKING, ids=lambda state: state.name)
def test_s8_a_key_that_nobody_uses_grows_older_and_stays_so(data: WorkData, state):
    """The time that passed is durable, so that neither a clock set back nor a restart gives it again."""
    keyed = with_key(data, not_after=NOW + DAY)
    noted = WORK.step(state, keyed, TimePassed(NOW + DAY, 0))
    assert noted.effects == (Persist(noted.data.record, noted.data.record.labels),)
    assert (noted.data.record.keys[0].seen, noted.data.record.keys[0].left) == (NOW + DAY, 5)
    assert noted.data.record.latest == keyed.record.latest, "no key that comes later is harmed"
    assert not WORK.step(state, noted.data, TimePassed(NOW, 0)).effects
    soon = with_key(data, seen=NOW)
    assert not WORK.step(state, soon, TimePassed(NOW + NOTE_SECONDS - 1, 0)).effects
    short = replace(noted.data.record.keys[0], not_after=NOW + DAY - 1)
    back = replace(noted.data, record=replace(noted.data.record, keys=(short,)))
    assert WORK.step(state, back, mac(NOW)).data.record.keys == ()


def test_s8_after_a_restart_somebody_must_vouch_for_the_store(data: WorkData):
    for vouched in (False, True):
        keyed = replace(with_key(data), vouched=vouched)
        if vouched:
            WORK.step(S.OPERATING, keyed, mac())
        else:
            with pytest.raises(Refused):
                WORK.step(S.OPERATING, keyed, mac())


def test_older_methods_need_explicit_policy(data: WorkData):
    pin = EncipherPin("1234", CARD_NUMBER, PinFormat.ISO_0)
    for usage, operation in ((SecretUsage.MAC, RetailMac(b"x")), (SecretUsage.PIN, pin)):
        keyed = with_key(data, usage=usage, algorithm=SecretAlgorithm.TDES)
        wish = SecretWanted(1, usage, operation, NOW, 0)
        with pytest.raises(Refused):
            WORK.step(S.ONLINE, keyed, wish)
        WORK.step(S.ONLINE, replace(keyed, legacy=True), wish)
    order = LoadKey(9, "D" * 16, NOW + DAY, 3)
    loading = WORK.step(S.ONLINE, data, order).data
    older = KeyUnwrapped(replace(HANDLE, algorithm=SecretAlgorithm.TDES))
    refused = WORK.step(S.LOADING, loading, older)
    assert sent(refused) == [Declined(9, Fault.UNSUPPORTED)]
    assert HANDLE.label not in refused.effects[0].keep  # type: ignore[operator, union-attr]
    assert sent(WORK.step(S.ONLINE, refused.data, order)) == [Declined(9, Fault.UNSUPPORTED)], "told again, as it was"
    taken = WORK.step(S.LOADING, replace(loading, legacy=True), older)
    assert sent(taken) == [KeyLoaded(9, HANDLE.check_value)]


def test_why_a_key_cannot_be_used_is_said_in_the_order_in_which_people_can_help(data: WorkData):
    pin = SecretWanted(1, SecretUsage.PIN, EncipherPin("1234", CARD_NUMBER, PinFormat.ISO_0), NOW, 0)
    expired = with_key(data, not_after=NOW - 1)
    older = replace(with_key(data, usage=SecretUsage.PIN, algorithm=SecretAlgorithm.TDES), vouched=False)
    cases: list[tuple[WorkData, SecretWanted, type[SecretUnusable] | None]] = [
        (data, mac(), SecretMissing),
        (with_key(data), pin, SecretMissing),
        (replace(expired, vouched=False), mac(), SecretExpired),
        (with_key(data, not_after=NOW), mac(), None),
        (replace(older, legacy=True), pin, SecretUnvouched),
        (older, pin, SecretUnvouched),
        (replace(older, vouched=True), pin, MethodExcluded),
        (replace(older, vouched=True, legacy=True), pin, None),
    ]
    for known, wish, expected in cases:
        why = why_unusable(known, wish)
        assert type(why) is (expected or type(None))
        if why is None:
            WORK.step(S.ONLINE, known, wish)
        else:
            assert wish.usage.value in str(why) or expected is MethodExcluded
            assert why.who == "module"


def test_what_the_host_has_heard_already_is_not_said_under_the_same_numbers(data: WorkData):
    """Its store was put back, or it is a module in the place of another: what waits was never sent."""
    waiting = (Payload(6, b"a"), Outcome(7, 3, 100))
    record = replace(data.record, last=7, outbox=tuple(map(encode_message, waiting)))
    for taken in (0, 7):
        assert caught_up(record, taken) is record
    ahead = caught_up(record, 9)
    assert ahead.last == 11
    assert [decode_message(line) for line in ahead.outbox] == [Payload(10, b"a"), Outcome(11, 3, 100)]
    empty = caught_up(replace(record, outbox=()), 8)
    assert (empty.last, empty.outbox) == (8, ())


def test_a_new_key_takes_the_place_of_the_one_for_the_same_usage(data: WorkData):
    keyed = with_key(data)
    pin = replace(HANDLE, label="secret-10", usage=SecretUsage.PIN)
    both = WORK.step(S.LOADING, replace(keyed, loading=LoadKey(10, "D" * 16, NOW + DAY, 3)), KeyUnwrapped(pin)).data
    assert {secret.label for secret in both.secrets} == {"secret-9", "secret-10"}
    newer = replace(HANDLE, label="secret-11")
    step = WORK.step(S.LOADING, replace(both, loading=LoadKey(11, "D" * 16, NOW + DAY, 3)), KeyUnwrapped(newer))
    assert {held.label for held in step.data.record.keys} == {"secret-10", "secret-11"}
    assert step.effects[0].keep == step.data.record.labels  # type: ignore[union-attr]
    again = WORK.step(S.ONLINE, step.data, LoadKey(11, "D" * 16, NOW + DAY, 3))
    assert (sent(again), again.data) == ([KeyLoaded(11, newer.check_value)], step.data)
    gone = WORK.step(S.ONLINE, step.data, LoadKey(9, "D" * 16, NOW + DAY, 3))
    assert sent(gone) == [Declined(9, Fault.UNSUPPORTED)], "it is not here"


def test_a_key_is_for_one_usage(data: WorkData):
    with pytest.raises(Refused):
        WORK.step(S.ONLINE, with_key(data), SecretWanted(1, SecretUsage.PIN, EncipherPin("1234", CARD_NUMBER), NOW, 0))


# Reset (L8, S3)


def test_only_the_present_epoch_is_reset_and_only_at_the_beginning_of_a_session(data: WorkData):
    for epoch in (1, 2, 1 << 40):
        with pytest.raises(Refused):
            WORK.step(S.CALLING, data, ResetRequest(epoch))
    assert WORK.step(S.CALLING, data, ResetRequest(0)).state is S.CHALLENGED
    with pytest.raises(Refused):
        WORK.step(S.ONLINE, data, ResetRequest(0))


def test_a_command_counts_for_this_module_this_epoch_and_this_channel(world: World, work: Recorder):
    moment = work.at(S.CHALLENGED, ResetCommand)
    data, command = moment.data, moment.event
    assert WORK.step(S.CHALLENGED, data, command).state is S.RESET
    wrong = {
        "another channel": replace(data, binding=bytes(32)),
        "another epoch": replace(data, record=replace(data.record, epoch=data.record.epoch + 1)),
        "another module": replace(data, record=replace(data.record, serial="SN-9")),
        "another signer": replace(data, peer=replace(data.peer, public=world.card.authentication.public)),
        "nobody": replace(data, peer=None),
    }
    for what, other in wrong.items():
        with pytest.raises(Refused):
            pytest.fail(f"{what}: {WORK.step(S.CHALLENGED, other, command)}")
    flipped = bytes((command.signature[0] ^ 1, *command.signature[1:]))
    with pytest.raises(ProtocolError):
        WORK.step(S.CHALLENGED, data, ResetCommand(flipped))


@pytest.mark.parametrize("state", [*WORKING, S.LOADING], ids=lambda state: state.name)
def test_a_reset_by_hand_erases_whatever_goes_on(data: WorkData, state):
    full = WORK.step(S.ONLINE, with_key(data), PayloadGiven(1, b"x")).data
    full = WORK.step(S.ONLINE, full, Instruct(4, b"y")).data
    step = WORK.step(state, full, ResetByHand())
    old, record = full.record, step.data.record
    assert step.state is S.RESET
    assert (record.condition, record.epoch) == (ModuleCondition.RESET, old.epoch + 1)
    assert (record.key, record.module, record.customer, record.central) == (None, None, None, None)
    assert (record.serial, record.root, record.identity) == (old.serial, old.root, old.identity)
    assert (record.keys, record.outbox, record.inbox, record.open) == ((), (), (), ())
    assert (record.last, record.heard) == (1, 4)  # numbers never fall
    assert record.generation == old.generation + 1
    persist = next(effect for effect in step.effects if isinstance(effect, Persist))
    assert persist.keep == frozenset({"identity"})
    assert shown(step)[0].dropped == 2  # type: ignore[attr-defined]


def test_a_commanded_reset_persists_before_it_acknowledges(work: Recorder):
    moment = work.at(S.CHALLENGED, ResetCommand)
    kinds = [type(effect) for effect in moment.step.effects]
    assert kinds.index(Persist) < kinds.index(Send)
    assert sent(moment.step) == [ResetDone(moment.data.record.epoch + 1)]


def test_a_clock_that_was_wrong_at_a_reset_does_no_lasting_harm(world: World):
    personalize(world)
    right = world.module_clock.at
    contact(world).start().finish()
    world.module_clock.at += 40 * YEAR
    world.order_reset()
    contact(world).start().finish()
    assert world.module.state is ModuleState.RESET
    world.module_clock.at = right
    assert personalize(world).module.error is None
    assert world.module.state is ModuleState.OPERATING


def test_what_a_module_knows_of_a_channel_does_not_show(world: World):
    personalize(world)
    seen: list[str] = []
    line = contact(world)
    line.module.before = lambda effect: seen.append(repr(line.module.session.data) + repr(effect))
    line.start()
    world.load_key()
    line.peer.order(AttentionCalled())
    line.finish()
    opened = line.module.session._handshake.opened
    assert seen
    for secret in (opened.binding, opened.wrapping):  # type: ignore[union-attr]
        assert not [text for text in seen if repr(secret)[2:-1] in text or secret.hex() in text]


def test_the_outbox_holds_messages_and_nothing_else(data: WorkData):
    step = WORK.step(S.OPERATING, data, PayloadGiven(1, b"x"))
    assert [decode_message(line) for line in step.data.record.outbox] == [Payload(1, b"x")]
    assert set(CONNECTED) < set(WORKING)
