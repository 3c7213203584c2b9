from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from recorder import Recorder, classified, one_of_each
from world import NOW, World, authorization

from insitu.protocol.channel import proofs
from insitu.protocol.channel.cose import ES256, verify_signature
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Fault,
    KeyOperationFailed,
    LookUp,
    Persist,
    Refused,
    Send,
    Show,
    StartTimer,
)
from insitu.protocol.keys.certificates import Role
from insitu.protocol.messages import (
    Intent,
    ModuleCondition,
    ModuleEntry,
    PayOut,
    Purpose,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    ResetRequest,
    Status,
    TrustOption,
)
from insitu.protocol.parties.central import CENTRAL, OPEN, CentralData, CentralState, Decided, ModuleContacted

S = CentralState


@pytest.fixture
def central(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["central"]


# All rows and all events


def test_every_row_is_taken(central: Recorder):
    with central.watching():
        for state in (S.DECIDING, S.COMMANDING):
            CENTRAL.step(state, central.data_in(state)[0], ChannelLost("while others work"))
    assert central.missing() == []


def test_every_event_is_accepted_by_a_row_or_refused_without_a_trace(recorded: dict[str, Recorder], central: Recorder):
    events = one_of_each(*recorded.values())
    assert len(classified(central, events)) == len(list(S)) * len(events)


@pytest.mark.parametrize("state", [S.LISTENING, *OPEN], ids=lambda state: state.name)
def test_a_lost_channel_ends_it_and_writes_nothing(central: Recorder, state):
    step = CENTRAL.step(state, central.data_in(state)[0], ChannelLost("gone"))
    assert step.state is S.ENDED
    assert step.effects[-1] == Close(None, "gone")
    assert not [effect for effect in step.effects if isinstance(effect, Persist)]


def test_every_wait_for_the_module_has_a_deadline(central: Recorder):
    for moment in central.moments:
        if moment.step.state in (S.GREETING, S.RESETTING, S.COMMANDED) and moment.step.state is not moment.state:
            assert any(isinstance(effect, StartTimer) for effect in moment.step.effects)
            assert DeadlinePassed in CENTRAL.accepts(moment.step.state)


# Who is there (L9)


@pytest.mark.parametrize("role", [*Role, None], ids=str)
@pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name)
def test_only_a_certified_module_that_wants_to_operate_is_let_in(world: World, central: Recorder, purpose, role):
    peer = Peer("SN-1", role, world.card.authentication.public)
    event = ChannelOpened(peer, Intent(purpose=purpose, option=TrustOption.CERTIFICATES), bytes(32), NOW)
    if (purpose, role) == (Purpose.OPERATE, Role.MODULE):
        assert CENTRAL.step(S.LISTENING, central.data_in(S.LISTENING)[0], event).state is S.GREETING
    else:
        with pytest.raises(Refused):
            CENTRAL.step(S.LISTENING, central.data_in(S.LISTENING)[0], event)


# What the registry knows (S4)

OURS, OLD, OLDER, FOREIGN = b"n" * 32, b"o" * 32, b"p" * 32, b"f" * 32


@pytest.fixture
def greeting(central: Recorder) -> CentralData:
    """A module whose certificate has the fingerprint OURS is there; nothing is known of it."""
    data = central.data_in(S.GREETING)[0]
    certificate = replace(data.peer.chain[0], fingerprint=OURS)
    return replace(data, entry=None, peer=replace(data.peer, chain=(certificate,)))


def known(
    data: CentralData, epoch: int, fingerprint: bytes, *, valid: bool = True, retired: Any = (), issued: int = 0
) -> CentralData:
    """The registry has an entry; `issued`: seconds from when the certificate that is shown was made."""
    entry = ModuleEntry(
        serial=data.peer.name,  # type: ignore[union-attr]
        epoch=epoch,
        fingerprint=fingerprint,
        valid=valid,
        last_contact=NOW - 9,
        last_number=7,
        retired=retired,
        issued=data.peer.chain[0].not_before + issued,  # type: ignore[union-attr]
    )
    return replace(data, entry=entry)


OPERATING = ModuleCondition.OPERATING


@dataclass(frozen=True)
class Known:
    """What the registry says."""

    epoch: int
    fingerprint: bytes
    valid: bool = True
    retired: tuple[bytes, ...] = ()
    issued: int = 0


@pytest.mark.parametrize(
    ("before", "epoch", "accepted"),
    [
        (Known(2, OURS), 2, True),
        (Known(2, OURS, valid=False), 3, False),  # and the certificate is still the old one
        (Known(2, OURS), 1, False),  # an old store
        (Known(2, OURS), 3, False),  # a new epoch without a new certificate
        (Known(2, FOREIGN), 2, False),  # S12: another certificate of the same epoch was first
        (Known(2, OLD), 3, True),  # personalized again after a reset by hand
        (Known(2, OLD, issued=-9), 3, True),
        (Known((1 << 64) - 1, OLD, issued=-9), 1, True),  # the one before lied about its epoch: the card's word counts
        (Known(2, OLD, issued=1), 3, False),  # the certificate is older than the one that we know
        (Known(2, OLD, valid=False), 3, True),  # or by command
        (Known(2, OLD), 1, False),
        (Known(2, OLD), 0, False),
        (Known(3, OLD, retired=(OLDER, OURS)), 4, False),  # retired, and now claims a new epoch
        (Known(3, OLD, retired=(OLDER, OURS)), 3, False),
    ],
)
def test_s4_nothing_from_before_a_reset_is_accepted(greeting: CentralData, before, epoch, accepted):
    data = known(greeting, **vars(before))
    status = Status(OPERATING, epoch, OURS)
    if accepted:
        step = CENTRAL.step(S.GREETING, data, status)
        entry = step.data.entry
        assert (entry.epoch, entry.fingerprint, entry.valid, entry.last_number) == (epoch, OURS, True, 7)
        assert set(entry.retired) == {*data.entry.retired, *({data.entry.fingerprint} - {OURS})}
        assert step.effects[1:] == (Persist(entry), Show(ModuleContacted(entry)))
    else:
        with pytest.raises(Refused):
            CENTRAL.step(S.GREETING, data, status)


def test_s4_a_module_whose_reset_was_ordered_may_only_be_reset(greeting: CentralData):
    data = known(greeting, 2, OURS, valid=False)
    step = CENTRAL.step(S.GREETING, data, Status(OPERATING, 2, OURS))
    assert (step.state, step.effects[0]) == (S.RESETTING, Send(ResetRequest(2)))
    assert not [effect for effect in step.effects if isinstance(effect, Persist)]
    for status in (Status(OPERATING, 1, OURS), Status(ModuleCondition.RESET, 2, OURS), Status(OPERATING, 2, FOREIGN)):
        with pytest.raises(Refused):
            CENTRAL.step(S.GREETING, data, status)


@pytest.mark.parametrize("condition", ModuleCondition, ids=lambda condition: condition.name)
@pytest.mark.parametrize("fingerprint", [OURS, FOREIGN, None], ids=["ours", "another", "none"])
def test_the_modules_word_agrees_with_its_certificate(greeting: CentralData, condition, fingerprint):
    status = Status(condition, 0, fingerprint)
    if condition is OPERATING and fingerprint == OURS:
        assert CENTRAL.step(S.GREETING, greeting, status).state is S.ONLINE
    else:
        with pytest.raises(Refused):
            CENTRAL.step(S.GREETING, greeting, status)


def test_the_entry_is_that_of_the_module_that_proved_itself(world: World, central: Recorder, greeting: CentralData):
    mine = known(greeting, 0, OURS).entry
    entries = (replace(mine, serial="SN-0"), replace(mine, epoch=3), replace(mine, serial="SN-2"))
    peer = Peer(mine.serial, Role.MODULE, world.card.authentication.public)  # type: ignore[union-attr]
    event = ChannelOpened(peer, Intent(purpose=Purpose.OPERATE, option=TrustOption.CERTIFICATES), bytes(32), NOW)
    data = CentralData(central.data_in(S.LISTENING)[0].key, entries)
    assert CENTRAL.step(S.LISTENING, data, event).data.entry == entries[1]
    other = CENTRAL.step(S.LISTENING, data, replace(event, peer=replace(peer, name="SN-9"))).data.entry
    assert other is None


# Authorizations (L10, S10)


@pytest.fixture
def online(greeting: CentralData) -> CentralData:
    """The last number was 7."""
    return known(greeting, 2, OURS)


@pytest.mark.parametrize(("number", "accepted"), [(0, False), (6, False), (7, False), (8, True), (1 << 40, True)])
def test_a_number_counts_once_and_from_before_the_host_decides(online: CentralData, number, accepted):
    for state in (S.ONLINE, S.RESETTING):
        if not accepted:
            with pytest.raises(Refused):
                CENTRAL.step(state, online, authorization(number))
            continue
        step = CENTRAL.step(state, online, authorization(number))
        assert step.data.entry.last_number == number
        assert step.effects[0] == Persist(step.data.entry)
    if accepted:
        asked = CENTRAL.step(S.ONLINE, online, authorization(number))
        assert asked.effects[1:] == (LookUp("decision", authorization(number)),)
        with pytest.raises(Refused):
            CENTRAL.step(S.ONLINE, asked.data, authorization(number))


def test_the_decision_is_about_what_was_asked(online: CentralData):
    asked = CENTRAL.step(S.ONLINE, online, authorization(8)).data
    yes = PayOut(number=8, approved=True, amount=5000, reference="r")
    step = CENTRAL.step(S.DECIDING, asked, Decided(yes))
    assert (step.state, step.effects) == (S.ONLINE, (Send(yes),))
    with pytest.raises(Refused):
        CENTRAL.step(S.DECIDING, asked, Decided(replace(yes, number=9)))


def test_an_authorization_that_crosses_a_reset_is_declined_and_the_reset_goes_on(online: CentralData):
    step = CENTRAL.step(S.RESETTING, online, authorization(8))
    no = PayOut(number=8, approved=False, amount=0, reference="")
    assert (step.state, step.effects[1]) == (S.RESETTING, Send(no))


# Reset (L8, S4)


def test_the_command_is_signed_for_serial_epoch_and_challenge(world: World, online: CentralData):
    challenge = bytes(range(32))
    with pytest.raises(Refused):
        CENTRAL.step(S.RESETTING, online, ResetChallenge(1, challenge))
    step = CENTRAL.step(S.RESETTING, online, ResetChallenge(2, challenge))
    sign = step.effects[-1]
    assert sign.message == proofs.reset_command(online.entry.serial, 2, challenge)  # type: ignore[union-attr]
    assert sign.key == online.key  # type: ignore[union-attr]


def test_the_old_certificate_is_worthless_before_anything_is_asked_of_the_module(central: Recorder):
    moment = next(each for each in central.moments if each.state is S.ONLINE and each.step.state is S.RESETTING)
    persist, send, timer = moment.step.effects
    assert persist.record == replace(moment.data.entry, valid=False)
    assert send == Send(ResetRequest(moment.data.entry.epoch))
    assert isinstance(timer, StartTimer)


def test_the_command_answers_no_other_challenge(central: Recorder):
    moment = next(each for each in central.moments if each.state is S.COMMANDING and each.step.state is S.COMMANDED)
    send, timer = moment.step.effects
    assert isinstance(send.message, ResetCommand)
    assert isinstance(timer, StartTimer)
    assert (
        verify_signature(
            ES256,
            moment.data.key.public,
            proofs.reset_command(moment.data.entry.serial, moment.data.entry.epoch, bytes(32)),
            send.message.signature,
        )
        is False
    )


@pytest.mark.parametrize(("epoch", "accepted"), [(0, False), (2, False), (3, True), (4, False)])
def test_the_module_counts_exactly_one_reset(online: CentralData, epoch, accepted):
    if accepted:
        assert CENTRAL.step(S.COMMANDED, online, ResetDone(epoch)).state is S.ENDED
    else:
        with pytest.raises(Refused):
            CENTRAL.step(S.COMMANDED, online, ResetDone(epoch))


def test_a_key_that_does_not_sign_ends_the_session_with_nothing_changed(central: Recorder):
    step = CENTRAL.step(S.COMMANDING, central.data_in(S.COMMANDING)[0], KeyOperationFailed("gone"))
    assert step.effects[-1] == Close(Fault.UNAVAILABLE, "gone")
    assert not [effect for effect in step.effects if isinstance(effect, Persist)]
