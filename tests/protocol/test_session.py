from __future__ import annotations

import copy
from itertools import groupby
from typing import Any

import pytest
from pump import Line, Side, contact, meeting, personalize, sent_to_reset
from world import NOW, SERIAL, World, wanted

from insitu.protocol.channel.edhoc.messages import read_error
from insitu.protocol.engine import (
    Close,
    Fault,
    LookUp,
    Persist,
    ProtocolError,
    Refused,
    Show,
    StartTimer,
    StateError,
    UsageError,
)
from insitu.protocol.messages import (
    CardRole,
    FaultNotice,
    ModuleCondition,
    Personalized,
    Purpose,
    TrustOption,
    decode_message,
    encode_message,
)
from insitu.protocol.parties.central_data import AttentionCalled, CentralState
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import UnitState
from insitu.protocol.parties.work_data import ResetByHand, WorkState
from insitu.protocol.progress import MessageReceived, MessageSent, Secured, SessionEnded, StateEntered
from insitu.protocol.session import HANDSHAKE_TIMER, PeerRefusedError, Session, Transmit
from insitu.protocol.stores.atomic import StoreFailed
from insitu.protocol.stores.registry import Standing

M = ModuleState
W = WorkState


@pytest.fixture
def line(world: World) -> Line:
    """A module and a unit with an approved job, not begun."""
    world.approved(CardRole.MODULE, SERIAL)
    return meeting(world)


@pytest.fixture
def online(world: World) -> Line:
    personalize(world)
    return contact(world).start()


def shown(side: Side, kind: type) -> list[Any]:
    return [note for effect in side.performed if isinstance(effect, Show) and isinstance(note := effect.note, kind)]


def told(side: Side) -> Fault:
    """The code in the last record that a side got: read by a copy of nothing, from what its session was told."""
    assert isinstance(side.session.error, PeerRefusedError)
    return side.session.error.fault


# In good order


def test_a_deadline_that_a_party_lives_with_is_no_error(online):
    """A module that had said that it is there got an error with each order after that, done though they were."""
    online.module.expire("beat")
    assert online.module.session.error is None
    online.module.order(ResetByHand())
    assert online.finish().module.error is None


@pytest.mark.parametrize("option", TrustOption, ids=lambda option: option.name.lower())
def test_a_personalization_takes_seven_flights_and_those_of_a_proof(world: World, option):
    crossed = personalize(world, option).crossed
    pake = {TrustOption.SECRET: 4, TrustOption.TAN: 4}
    proof = {TrustOption.SHIPPED_KEY: 2, TrustOption.CONVEYED: 2, TrustOption.TICKET: 1, **pake}.get(option, 0)
    flights = [sender.name for sender, _ in groupby(crossed, lambda each: each[0])]
    assert flights == ["module", "unit"] * (3 + (proof + 1) // 2) + ["module"]
    assert len(crossed) == 8 + proof  # the first order shares a flight with message_4, or with the unit's proof


def test_both_sides_tell_what_happens_and_end_without_error(line: Line):
    line.start().finish()
    for side, last in ((line.module, M.OPERATING), (line.peer, UnitState.PERSONALIZED)):
        assert side.session.closed
        assert side.session.error is None
        assert side.session.state is last
        assert shown(side, StateEntered)[-1].state == last.name
        assert shown(side, SessionEnded) == [SessionEnded(side.name, "")]
        (secured,) = shown(side, Secured)
        assert (secured.method, secured.suite, secured.intent.purpose) == (0, 3, Purpose.PERSONALIZE)
    assert [note.name for note in shown(line.module, MessageReceived)] == [
        "handshake",
        "handshake",
        "GenerateKeyPair",
        "Certificates",
    ]
    sent = shown(line.module, MessageSent)
    assert sum(note.size for note in sent) == sum(len(frame) for side, frame in line.crossed if side is line.module)


def test_a_session_that_has_ended_takes_nothing_more(line: Line):
    line.start().finish()
    for side in line.sides:
        before = side.session.state, side.session.data
        assert side.session.receive(b"x", NOW) == []
        assert side.session.answer(object(), NOW) == []
        assert side.session.expire("peer", NOW) == []
        assert side.session.lost("again") == []
        assert side.session.fail(StateError("again")) == []
        with pytest.raises(StateError, match="a closed one"):
            side.session.submit(ResetByHand(), NOW)
        assert (side.session.state, side.session.data) == before
        assert side.session.error is None


# A peer's fault


def test_what_does_not_open_ends_it_for_good_and_says_nothing_more(online: Line):
    module = online.module
    out = module.session.receive(bytes(40), NOW)
    assert module.session.closed
    assert isinstance(module.session.error, ProtocolError)
    assert module.session.error.fault is Fault.MALFORMED
    assert not [effect for effect in out if isinstance(effect, Transmit)]
    assert out[-1] == Close(Fault.MALFORMED, str(module.session.error))
    assert module.session.state is W.OPERATING


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"", Fault.MALFORMED),
        (b"\xa1\x00\x18\x63", Fault.MALFORMED),
        (encode_message(Personalized(bytes(64))), Fault.UNEXPECTED),
        (bytes(1 << 17), Fault.MALFORMED),
    ],
    ids=["nothing", "an unknown number", "a message without a place", "a long payload"],
)
def test_a_record_that_opens_and_carries_nonsense_ends_it_with_one_code(online: Line, payload, fault):
    for frame in online.module.session._records.seal(payload):
        online.peer.receive(frame)
    online.flow()
    assert online.peer.session.error.fault is fault
    assert told(online.module) is fault


def test_a_notice_of_the_peer_is_not_answered(online: Line):
    for frame in online.peer.session._records.seal(encode_message(FaultNotice(Fault.UNAVAILABLE))):
        out = online.module.session.receive(frame, NOW)
    assert told(online.module) is Fault.UNAVAILABLE
    assert not [effect for effect in out if isinstance(effect, Transmit)]


def test_a_refused_message_leaves_state_and_data_as_they_were(online: Line):
    """S1: whatever of personalization comes, operating stays operating, on disk too."""
    record = online.module.session.data.record
    refused = encode_message(Personalized(bytes(64)))
    online.module.performed.clear()
    for frame in online.peer.session._records.seal(refused):
        online.module.receive(frame)
    assert isinstance(online.module.session.error, Refused)
    assert online.module.session.data.record == record
    assert not [effect for effect in online.module.performed if isinstance(effect, Persist)]


def test_a_module_that_is_not_the_jobs_is_refused_readably(world: World):
    """Physical: the serial number comes in message_3; message_4 still goes out, for the reason is sealed behind it."""
    world.approved(CardRole.MODULE, "SN-2")
    line = meeting(world, TrustOption.PHYSICAL, serial="SN-2").start().finish()
    assert line.peer.session.state is UnitState.FAILED
    assert "ChannelOpened refused" in str(line.peer.error)
    assert told(line.module) is Fault.UNTRUSTED
    assert world.module.state is M.DELIVERED


def test_during_the_handshake_the_peer_gets_an_error_message(world: World):
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world, TrustOption.CERTIFICATES, unit_option=TrustOption.PHYSICAL).start().finish()
    assert read_error(line.peer.sent[-1]) is not None
    assert line.module.session.error is not None
    assert line.peer.session.error is not None
    assert world.module.state is M.DELIVERED


# Orders


def test_before_the_channel_stands_nothing_can_be_ordered(world: World):
    personalize(world)
    line = contact(world)
    with pytest.raises(StateError, match=r"needs an open channel.*a handshake"):
        line.module.session.submit(ResetByHand(), NOW)


def test_an_order_without_a_place_is_refused_and_the_session_goes_on(online: Line):
    with pytest.raises(StateError, match="AttentionCalled has no place in state ONLINE"):
        online.module.session.submit(AttentionCalled(), NOW)
    online.module.order(wanted())
    assert online.module.session.state is W.ONLINE
    assert not online.module.session.closed


def test_an_order_that_cannot_be_sealed_changes_nothing(online: Line, monkeypatch):
    def refuse(_: bytes) -> list[bytes]:
        raise UsageError("no key update now")

    monkeypatch.setattr(online.module.session._records, "seal", refuse)
    before = online.module.session.data
    with pytest.raises(UsageError):
        online.module.session.submit(wanted(), NOW)
    assert (online.module.session.state, online.module.session.data) == (W.ONLINE, before)


def test_an_answer_that_cannot_be_sealed_ends_it(online: Line, monkeypatch):
    def refuse(_: bytes) -> list[bytes]:
        raise UsageError("no key update now")

    monkeypatch.setattr(online.peer.session._records, "seal", refuse)
    online.module.order(wanted())
    assert isinstance(online.peer.session.error, UsageError)
    assert online.peer.session.closed


# Time


def test_the_whole_handshake_has_one_deadline(line: Line):
    for side in line.sides:
        first = side.session.start(NOW)[0]
        assert first == StartTimer(HANDSHAKE_TIMER, 30.0)
        out = side.session.expire(HANDSHAKE_TIMER, NOW)
        assert side.session.error.fault is Fault.TIMEOUT
        assert out[-1].fault is Fault.TIMEOUT
        frames = [frame for effect in out if isinstance(effect, Transmit) for frame in effect.frames]
        assert [read_error(frame) is not None for frame in frames] == [True]


def test_a_deadline_of_the_handshake_that_comes_late_means_nothing(online: Line):
    assert online.module.session.expire(HANDSHAKE_TIMER, NOW) == []
    assert not online.module.session.closed


def test_a_deadline_passed_tells_the_peer_and_leads_the_party_back(online: Line):
    online.module.take(online.module.session.submit(wanted(), NOW))
    out = online.module.session.expire("authorization 1", NOW)
    assert online.module.session.state is W.OPERATING
    assert online.module.session.error.fault is Fault.TIMEOUT
    assert [effect for effect in out if isinstance(effect, Transmit)]
    assert out[-1].fault is Fault.TIMEOUT


def test_a_deadline_in_a_state_that_waits_for_nothing_still_ends_it(online: Line):
    """A timer that some state forgot to stop: the session ends, it does not hang or crash."""
    out = online.peer.session.expire("module", NOW)
    assert online.peer.session.error.fault is Fault.TIMEOUT
    assert online.peer.session.state is CentralState.ENDED
    assert out[-1].fault is Fault.TIMEOUT


# The link


@pytest.mark.parametrize("frames", range(9))
def test_a_lost_link_leaves_the_old_state_or_the_new_one(world: World, line: Line, frames):
    line.cut_after = frames
    line.start().finish()
    assert world.module.state in (M.DELIVERED, M.OPERATING)
    assert line.module.session.state is world.module.state
    assert (world.module.state is M.OPERATING) is (frames >= 7)
    if frames < 8:
        assert line.peer.error is not None
        assert "link lost" in str(line.peer.error)


def test_a_lost_link_is_told_to_the_party_and_nothing_is_sent(online: Line):
    out = online.module.session.lost("unplugged")
    assert online.module.session.state is W.OPERATING
    assert "unplugged" in str(online.module.session.error)
    assert not [effect for effect in out if isinstance(effect, Transmit)]


# Ports that fail


def failing(kind: type, which: int = 0) -> Any:
    """Lets the effect of this kind with this number fail."""
    count = 0

    def before(effect: object) -> None:
        nonlocal count
        if isinstance(effect, kind):
            count += 1
            if count == which + 1:
                raise StoreFailed("disk full", who="store")

    return before


def test_a_commit_that_fails_promises_nothing(world: World, line: Line):
    line.module.before = failing(Persist)
    line.start().finish()
    assert isinstance(line.module.error, StoreFailed)
    assert world.module.state is line.module.session.state is M.DELIVERED
    assert line.peer.session.state is UnitState.UNCONFIRMED
    assert "link lost" in str(line.peer.error)  # no notice behind a record that was sealed and never sent
    assert "Personalized" not in [note.name for note in shown(line.peer, MessageReceived)]
    assert world.vault(SERIAL).labels() == {"identity"}


def test_a_reset_that_fails_is_not_acknowledged(world: World):
    personalize(world)
    line = sent_to_reset(world)
    line.module.before = failing(Persist, 1)  # the first write is that of the contact
    line.start().finish()
    assert isinstance(line.module.error, StoreFailed)
    assert world.module.state is M.OPERATING
    assert line.peer.session.error is not None
    assert world.entry().standing is Standing.RESET_ORDERED


@pytest.mark.parametrize(("which", "state"), [(0, "GREETING"), (1, "ONLINE")])
def test_a_registry_that_fails_instructs_nothing(world: World, which, state):
    personalize(world)
    line = contact(world)
    line.peer.before = failing(Persist, which)
    line.start()
    if which:
        line.module.order(wanted())
    line.finish()
    assert isinstance(line.peer.error, StoreFailed)
    assert line.peer.session.state is CentralState.ENDED
    assert "PayOut" not in [note.name for note in shown(line.module, MessageReceived)]
    entry = world.central.registry.module(SERIAL)
    assert entry is None if which == 0 else entry.last_number == 0
    if state == "GREETING":  # the welcome behind the write was sealed already, and nothing can follow it
        assert "link lost" in str(line.module.error)
    else:
        assert told(line.module) is Fault.UNAVAILABLE


def test_a_look_up_that_fails_is_told_the_peer(world: World, line: Line):
    line.peer.before = failing(LookUp)
    line.start().finish()
    assert isinstance(line.peer.error, StoreFailed)
    assert told(line.module) is Fault.UNAVAILABLE
    assert world.module.state is M.DELIVERED


def test_a_port_that_fails_after_the_end_changes_no_reason(online: Line):
    online.module.session.lost("unplugged")
    error = online.module.session.error
    assert online.module.session.undone(StoreFailed("too late")) == []
    assert online.module.session.error is error


# What it shows


def test_a_session_shows_party_and_state_and_no_secret(online: Line):
    assert repr(online.module.session) == "<Session module ONLINE>"
    online.finish()
    assert repr(online.module.session) == "<Session module OPERATING closed>"
    with pytest.raises(UsageError):
        copy.deepcopy(online.module.session)


def test_frames_do_not_show(online: Line):
    assert repr(Transmit((b"secret",))) == "Transmit()"


def test_a_status_session_ends_in_good_order_on_both_sides(world: World):
    personalize(world)
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world).start().finish()
    assert (line.module.error, line.peer.error) == (None, None)
    assert line.peer.result.status.condition is ModuleCondition.OPERATING
    assert isinstance(line.module.session, Session)
    assert decode_message(encode_message(line.peer.result.status)) == line.peer.result.status
