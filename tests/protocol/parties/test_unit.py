from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pump import meeting, personalize
from recorder import Recorder, classified, one_of_each
from world import NOW, SERIAL, World

from insitu.protocol.channel import proofs
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.engine import (
    ChannelLost,
    Close,
    Consult,
    DeadlinePassed,
    Fault,
    KeyKind,
    LookUp,
    ProtocolError,
    Refused,
    Send,
    Show,
    StartTimer,
)
from insitu.protocol.keys.certificates import Role
from insitu.protocol.keys.public import compress
from insitu.protocol.messages import (
    ApprovalAwaited,
    CardRole,
    Certificates,
    GenerateKeyPair,
    Intent,
    ModuleCondition,
    ModuleKey,
    Personalized,
    Purpose,
    Status,
    TrustOption,
)
from insitu.protocol.parties.unit import (
    UNIT,
    ApprovalNeeded,
    CardRefused,
    CertificateNeeded,
    ComparisonNeeded,
    FingerprintsAgree,
    FingerprintsDiffer,
    JobApproved,
    JobDropped,
    JobQueued,
    KeyPresented,
    ModuleCertified,
    ModulePersonalized,
    ModuleReported,
    ModuleTurnedAway,
    UnitState,
)

S = UnitState


@pytest.fixture
def unit(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["unit"]


# All rows and all events


def test_every_row_is_taken(unit: Recorder):
    with unit.watching():
        UNIT.step(S.COMPARING, unit.data_in(S.COMPARING)[0], ChannelLost("while a person compares"))
        UNIT.step(S.COMPARING, unit.data_in(S.COMPARING)[0], DeadlinePassed("person"))
        UNIT.step(S.CERTIFYING, unit.data_in(S.CERTIFYING)[0], ChannelLost("while the card signs"))
        UNIT.step(S.QUEUING, unit.data_in(S.QUEUING)[0], ChannelLost("while the card notes the job"))
        UNIT.step(S.AWAITING_STATUS, unit.data_in(S.AWAITING_STATUS)[0], DeadlinePassed("module"))
    assert unit.missing() == []


def test_every_event_is_accepted_by_a_row_or_refused_without_a_trace(recorded: dict[str, Recorder], unit: Recorder):
    events = one_of_each(*recorded.values())
    assert len(classified(unit, events)) == len(list(S)) * len(events)


def test_what_has_ended_stays_as_it_is():
    assert [state.name for state in S if not UNIT.accepts(state)] == [
        "PERSONALIZED",
        "UNCONFIRMED",
        "REPORTED",
        "FAILED",
    ]


# Who is there


PEERS = {"an identity": Role.IDENTITY, "nobody certified": None}
OTHERS = {"a unit": Role.UNIT, "a module at work": Role.MODULE, "a central system": Role.CENTRAL, "a CA": Role.CUSTOMER}


def opened(world: World, purpose: Purpose, name: str, role: Role | None) -> ChannelOpened:
    peer = Peer(name, role, world.card.authentication.public)
    return ChannelOpened(peer, Intent(purpose=purpose, option=TrustOption.CERTIFICATES), bytes(range(32)), NOW)


@pytest.mark.parametrize("role", (PEERS | OTHERS).values(), ids=(PEERS | OTHERS).keys())
@pytest.mark.parametrize("name", [SERIAL, "SN-9", SERIAL.lower(), ""])
@pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name)
def test_only_the_module_of_the_job_counts(world: World, unit: Recorder, purpose, name, role):
    """The serial number is known from the job; a certificate of another role never stands for a module's identity."""
    data = unit.data_in(S.READY)[0]
    event = opened(world, purpose, name, role)
    expected = {Purpose.PERSONALIZE: S.AWAITING_KEY, Purpose.STATUS: S.AWAITING_STATUS}.get(purpose)
    if expected is None or name != SERIAL or role in OTHERS.values():
        with pytest.raises(Refused):
            UNIT.step(S.READY, data, event)
    else:
        assert UNIT.step(S.READY, data, event).state is expected


def test_the_order_prescribes_what_the_job_says(world: World, unit: Recorder):
    data = unit.data_in(S.READY)[0]
    step = UNIT.step(S.READY, data, opened(world, Purpose.PERSONALIZE, SERIAL, Role.IDENTITY))
    order = next(effect.message for effect in step.effects if isinstance(effect, Send))
    assert order == GenerateKeyPair(job=data.job, salt=data.salt, policy=data.policy, time=NOW)


# A person compares where nobody is certified (A1)


def test_without_an_identity_nothing_is_signed_before_a_person_compared(unit: Recorder):
    moments = [each for each in unit.moments if each.state is S.AWAITING_KEY and isinstance(each.event, ModuleKey)]
    assert {each.step.state for each in moments} == {S.CERTIFYING, S.COMPARING, S.QUEUING}
    for moment in moments:
        asked = moment.step.effects[-1]
        if not moment.data.peer.is_known:
            assert asked == Consult(ComparisonNeeded(moment.step.data.public))
        else:
            assert isinstance(asked, LookUp)
    agreed = UNIT.step(S.COMPARING, unit.data_in(S.COMPARING)[0], FingerprintsAgree())
    assert agreed.state is S.CERTIFYING
    differ = UNIT.step(S.COMPARING, unit.data_in(S.COMPARING)[0], FingerprintsDiffer())
    assert (differ.state, differ.effects[-1].fault) == (S.FAILED, Fault.UNTRUSTED)
    with pytest.raises(Refused):
        UNIT.step(S.COMPARING, unit.data_in(S.COMPARING)[0], ModuleCertified(b"certificate"))


# People approve a job once its key is known (L13)


def test_a_key_that_nobody_approved_is_certified_only_when_two_people_have(unit: Recorder):
    """Between ModuleKey and the card there is no way past JobApproved, and the module is told that it has to wait."""
    queued = [each for each in unit.moments if isinstance(each.event, ModuleKey) and each.data.queued]
    assert {each.step.state for each in queued} == {S.QUEUING}
    asked = queued[0].step.effects[-1].argument  # type: ignore[union-attr]
    assert asked == ApprovalNeeded(queued[0].data.job, SERIAL, queued[0].step.data.public)
    waiting = unit.data_in(S.QUEUING)[0]
    step = UNIT.step(S.QUEUING, waiting, JobQueued(900))
    assert step.state is S.APPROVING
    assert step.effects[:2] == (Send(ApprovalAwaited(900)), StartTimer("person", 900))
    for state in (S.QUEUING, S.APPROVING):
        with pytest.raises(Refused):
            UNIT.step(state, waiting, ModuleCertified(b"certificate"))
    approved = UNIT.step(S.APPROVING, waiting, JobApproved())
    assert approved.state is S.CERTIFYING
    assert isinstance(approved.effects[-1], LookUp)
    dropped = UNIT.step(S.APPROVING, waiting, JobDropped("withdrawn"))
    assert (dropped.state, dropped.effects[-1]) == (S.FAILED, Close(Fault.UNAVAILABLE, "withdrawn"))


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.LOCKED, Fault.UNAVAILABLE], ids=lambda fault: fault.name)
@pytest.mark.parametrize("state", [S.QUEUING, S.CERTIFYING], ids=lambda state: state.name)
def test_a_card_that_is_busy_or_locked_is_said(unit: Recorder, state, fault):
    step = UNIT.step(state, unit.data_in(state)[0], CardRefused("not now", fault))
    assert step.state is S.FAILED
    assert step.effects[-1] == Close(fault, "not now")
    assert Show(ModuleTurnedAway(SERIAL, fault, "not now")) in step.effects


# Possession and confirmation


def signed_by(world: World, statement: bytes, label: str = "new") -> bytes:
    vault = world.vault("new key")
    key = vault.find(label) or vault.generate(label, KeyKind.P256, b"")
    return vault.sign(key, statement)


@pytest.fixture
def awaiting(world: World, unit: Recorder) -> tuple[World, Any, Any]:
    """A unit that waits for a key, and the public half of a new pair."""
    public = world.vault("new key").generate("new", KeyKind.P256, b"").public
    peer = Peer(SERIAL, Role.IDENTITY, public)
    data = replace(unit.data_in(S.AWAITING_KEY)[0], serial=SERIAL, binding=bytes(range(32)), peer=peer)
    return world, data, public


def test_possession_is_proved_over_channel_serial_and_key(awaiting):
    world, data, public = awaiting
    other = world.vault("new key").generate("other", KeyKind.P256, b"").public
    right = proofs.possession(data.binding, SERIAL, public)
    wrong = {
        "another channel": proofs.possession(bytes(32), SERIAL, public),
        "another serial": proofs.possession(data.binding, "SN-9", public),
        "another key": proofs.possession(data.binding, SERIAL, other),
        "another statement": proofs.confirmation(data.binding, SERIAL, (public.data,)),
        "nothing": b"",
    }
    step = UNIT.step(S.AWAITING_KEY, data, ModuleKey(compress(public), signed_by(world, right)))
    assert step.state is S.CERTIFYING
    assert Show(KeyPresented(public)) in step.effects
    assert step.effects[-1] == LookUp("certificate", CertificateNeeded(data.job, SERIAL, public, data.at))
    assert not [
        what
        for what, statement in wrong.items()
        if not refused(S.AWAITING_KEY, data, ModuleKey(compress(public), signed_by(world, statement)))
    ]
    assert refused(S.AWAITING_KEY, data, ModuleKey(compress(other), signed_by(world, right)))
    assert refused(S.AWAITING_KEY, data, ModuleKey(compress(public), signed_by(world, right, "third")))


@pytest.mark.parametrize(
    "point", [bytes(33), b"\x02" + bytes(32), b"\x05" + bytes(31) + b"\x01", b"\x02" + b"\xff" * 32], ids=repr
)
def test_what_is_no_point_is_no_key(awaiting, point):
    world, data, public = awaiting
    proof = signed_by(world, proofs.possession(data.binding, SERIAL, public))
    assert refused(S.AWAITING_KEY, data, ModuleKey(point, proof))


def test_the_confirmation_names_channel_serial_and_every_certificate(awaiting):
    world, data, public = awaiting
    data = replace(data, public=public, certificate=b"module", customer=b"customer", central=b"central")
    kept = (b"module", b"customer", b"central")
    right = proofs.confirmation(data.binding, SERIAL, kept)
    wrong = {
        "another channel": proofs.confirmation(bytes(32), SERIAL, kept),
        "another serial": proofs.confirmation(data.binding, "SN-9", kept),
        "another module certificate": proofs.confirmation(data.binding, SERIAL, (b"x", *kept[1:])),
        "another anchor": proofs.confirmation(data.binding, SERIAL, (kept[0], b"x", kept[2])),
        "another central system": proofs.confirmation(data.binding, SERIAL, (*kept[:2], b"x")),
        "others in another place": proofs.confirmation(data.binding, SERIAL, kept[::-1]),
        "possession": proofs.possession(data.binding, SERIAL, public),
    }
    step = UNIT.step(S.AWAITING_CONFIRMATION, data, Personalized(signed_by(world, right)))
    assert step.state is S.PERSONALIZED
    assert Show(ModulePersonalized(SERIAL, b"module")) in step.effects
    assert step.effects[-1] == Close()
    assert not [
        what
        for what, statement in wrong.items()
        if not refused(S.AWAITING_CONFIRMATION, data, Personalized(signed_by(world, statement)))
    ]
    assert refused(S.AWAITING_CONFIRMATION, data, Personalized(signed_by(world, right, "another key")))


def refused(state: UnitState, data: Any, event: object) -> bool:
    try:
        UNIT.step(state, data, event)
    except ProtocolError:
        return True
    return False


# What is handed over


@pytest.mark.parametrize(("role", "crosses"), [(Role.IDENTITY, False), (None, True)])
def test_the_customers_certificate_crosses_once(unit: Recorder, role, crosses):
    moment = unit.at(S.CERTIFYING, ModuleCertified)
    presented = () if crosses else (b"unit", moment.data.customer)
    data = replace(moment.data, peer=replace(moment.data.peer, role=role), presented=presented)
    step = UNIT.step(S.CERTIFYING, data, moment.event)
    message = next(effect.message for effect in step.effects if isinstance(effect, Send))
    assert message == Certificates(
        module=moment.event.certificate, central=data.central, customer=data.customer if crosses else None
    )


def test_a_card_that_refuses_ends_it_and_the_module_learns_one_code(unit: Recorder):
    step = UNIT.step(S.CERTIFYING, unit.data_in(S.CERTIFYING)[0], CardRefused("not approved"))
    assert (step.state, step.effects[-1]) == (S.FAILED, Close(Fault.UNAVAILABLE, "not approved"))


# Losses


@pytest.mark.parametrize("event", [ChannelLost("gone"), DeadlinePassed("module")], ids=lambda each: type(each).__name__)
def test_a_lost_confirmation_leaves_open_whether_the_module_operates(unit: Recorder, event):
    step = UNIT.step(S.AWAITING_CONFIRMATION, unit.data_in(S.AWAITING_CONFIRMATION)[0], event)
    assert step.state is S.UNCONFIRMED


def test_every_wait_for_the_module_has_a_deadline(unit: Recorder):
    for moment in unit.moments:
        if moment.step.state.name.startswith("AWAITING") or moment.step.state is S.COMPARING:
            assert any(isinstance(effect, StartTimer) for effect in moment.step.effects)
            assert DeadlinePassed in UNIT.accepts(moment.step.state)


def test_a_report_is_shown_as_it_came(unit: Recorder):
    status = Status(ModuleCondition.OPERATING, 3, bytes(32))
    step = UNIT.step(S.AWAITING_STATUS, unit.data_in(S.AWAITING_STATUS)[0], status)
    assert step.state is S.REPORTED
    assert Show(ModuleReported(SERIAL, status)) in step.effects


# Whole sessions


def test_a_second_meeting_tells_the_lost_confirmation_from_a_failure(world: World):
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world, cut_after=7).start().finish()
    assert line.peer.session.state is S.UNCONFIRMED
    assert line.peer.error is not None
    certificate = line.peer.session.data.certificate
    world.approved(CardRole.MODULE, SERIAL)
    again = meeting(world).start().finish()
    record = world.module.record
    assert record.module == certificate
    assert again.peer.result == ModuleReported(SERIAL, Status(ModuleCondition.OPERATING, 0, record.fingerprint))


@pytest.mark.parametrize("option", TrustOption, ids=lambda option: option.name.lower())
def test_the_result_is_the_certificate_that_the_module_keeps(world: World, option):
    line = personalize(world, option)
    assert line.peer.result == ModulePersonalized(SERIAL, world.module.record.module)
