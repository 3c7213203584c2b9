"""Both tables of an enrollment (L14)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from recorder import Recorder, classified, one_of_each
from world import World

from insitu.protocol.channel import proofs
from insitu.protocol.channel.cose import ES256, verify_signature
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.engine import Close, KeyKind, Persist, ProtocolError, Refused, Send, Show, Sign, Signed
from insitu.protocol.keys.certificates import Role
from insitu.protocol.keys.requests import read_request
from insitu.protocol.messages import Enroll, Enrolled, Intent, Purpose, TrustOption
from insitu.protocol.parties.card_enrolling import CARD_ENROLLING, CardEnrolled, CardEnrollingState
from insitu.protocol.parties.central_enrolling import (
    CENTRAL_ENROLLING,
    CentralEnrollingState,
    Enrollment,
    IssuerEnrolled,
)

C = CardEnrollingState
H = CentralEnrollingState
TABLES = ("card-enrolling", "central-enrolling")


@pytest.fixture(params=TABLES)
def side(request: pytest.FixtureRequest, recorded: dict[str, Recorder]) -> Recorder:
    return recorded[request.param]


@pytest.fixture
def card(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["card-enrolling"]


@pytest.fixture
def central(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["central-enrolling"]


def test_every_row_is_taken(side: Recorder):
    assert side.missing() == []


def test_every_event_is_accepted_by_a_row_or_refused_without_a_trace(recorded: dict[str, Recorder], side: Recorder):
    events = one_of_each(*recorded.values())
    assert len(classified(side, events)) == len(side.table.states) * len(events)


@pytest.mark.parametrize("purpose", Purpose, ids=lambda purpose: purpose.name.lower())
def test_who_opens_a_channel_for_something_else_enrols_nothing(card: Recorder, central: Recorder, purpose):
    for recorder, state in ((card, C.READY), (central, H.LISTENING)):
        moment = recorder.at(state, ChannelOpened)
        event = replace(moment.event, intent=Intent(purpose, TrustOption.CERTIFICATES))
        if purpose is Purpose.ENROLL:
            assert recorder.table.step(state, moment.data, event).state is moment.step.state
        else:
            with pytest.raises(Refused):
                recorder.table.step(state, moment.data, event)


@pytest.mark.parametrize("role", [*Role, None], ids=str)
def test_only_a_key_that_a_signing_key_certified_as_a_units_speaks_for_a_card(central: Recorder, role):
    moment = central.at(H.LISTENING, ChannelOpened)
    event = replace(moment.event, peer=replace(moment.event.peer, role=role))
    if role is Role.UNIT:
        assert CENTRAL_ENROLLING.step(H.LISTENING, moment.data, event).state is H.AWAITING_CARD
    else:
        with pytest.raises(Refused):
            CENTRAL_ENROLLING.step(H.LISTENING, moment.data, event)


def test_l13_the_signing_key_signs_nothing(card: Recorder):
    signs = [effect for moment in card.moments for effect in moment.step.effects if isinstance(effect, Sign)]
    assert signs
    assert {sign.key.label for sign in signs} == {"authentication"}


def proof(world: World, statement: bytes, label: str = "authentication") -> Enroll:
    vault = world.vault("card")
    handle = vault.find(label)
    assert handle is not None
    return Enroll(vault.sign(handle, statement))


def test_the_proof_is_for_this_channel_this_signing_key_and_this_central_system(world: World, central: Recorder):
    data: Any = central.at(H.AWAITING_CARD, Enroll).data
    customer, public = world.customer, data.key.public
    other = world.vault("x").generate("x", KeyKind.P256, b"").public
    right = proof(world, proofs.enrollment(data.binding, customer, public))
    assert CENTRAL_ENROLLING.step(H.AWAITING_CARD, data, right).state is H.SEALING
    wrong = {
        "another channel": proof(world, proofs.enrollment(bytes(32), customer, public)),
        "another signing key": proof(world, proofs.enrollment(data.binding, world.root, public)),
        "another central system": proof(world, proofs.enrollment(data.binding, customer, other)),
        "another statement": proof(world, proofs.possession(data.binding, "Bank", public)),
        "the signing key itself": proof(world, proofs.enrollment(data.binding, customer, public), "signing"),
        "nothing": Enroll(bytes(64)),
    }
    for what, event in wrong.items():
        with pytest.raises(Refused):
            pytest.fail(f"{what}: {CENTRAL_ENROLLING.step(H.AWAITING_CARD, data, event)}")


def test_the_issuer_is_written_before_the_card_is_told(world: World, central: Recorder):
    for moment in central.moments:
        kinds = [type(effect) for effect in moment.step.effects]
        assert (Persist in kinds) is (Send in kinds) is (moment.step.state is H.ENROLLED)
    moment = central.at(H.REQUESTING, Signed)
    persist, send, show, close = moment.step.effects
    assert isinstance(persist, Persist)
    assert isinstance(persist.record, Enrollment)
    issuer = persist.record.issuer
    assert (issuer.certificate, issuer.owner) == (world.customer, "Bank")
    assert verify_signature(ES256, moment.data.key.public, proofs.trusted_issuer(world.customer), issuer.seal)
    assert persist.record.how.startswith("enrolled by the card itself, unit Bank unit 1, certificate ")
    assert isinstance(send, Send)
    assert isinstance(send.message, Enrolled)
    request = read_request(send.message.request)
    assert (request.subject, request.public) == ("New host", moment.data.key.public)
    assert (show, close) == (Show(IssuerEnrolled(issuer)), Close())


def test_only_a_request_for_the_key_and_name_of_the_channel_is_taken(world: World, card: Recorder):
    moment = card.at(C.AWAITING_CENTRAL, Enrolled)
    step = CARD_ENROLLING.step(C.AWAITING_CENTRAL, moment.data, moment.event)
    assert Show(CardEnrolled("New host", moment.event.request)) in step.effects
    named = world.started_central("Other host").establish("New host")
    for wrong in (named, world.started_central("Third").establish("Third")):
        with pytest.raises(Refused):
            CARD_ENROLLING.step(C.AWAITING_CENTRAL, moment.data, Enrolled(wrong))
    for wrong in (moment.event.request[:-1], world.root, b"\x00"):
        with pytest.raises(ProtocolError):
            CARD_ENROLLING.step(C.AWAITING_CENTRAL, moment.data, Enrolled(wrong))
    elsewhere = replace(moment.data, peer=Peer("Other", None, moment.data.peer.public))
    with pytest.raises(Refused):
        CARD_ENROLLING.step(C.AWAITING_CENTRAL, elsewhere, moment.event)


def test_a_lost_answer_leaves_open_whether_the_key_was_entered(card: Recorder):
    ends = {
        (moment.state, moment.step.state) for moment in card.moments if moment.step.state in (C.UNCONFIRMED, C.FAILED)
    }
    assert ends == {(C.AWAITING_CENTRAL, C.UNCONFIRMED), (C.READY, C.FAILED), (C.PROVING, C.FAILED)}


def test_the_card_persists_nothing(card: Recorder):
    effects = [effect for moment in card.moments for effect in moment.step.effects]
    assert not [effect for effect in effects if isinstance(effect, Persist)]
