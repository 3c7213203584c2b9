"""What follows the handshake, option by option, and the stage that its table runs in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pump import personalize, sound
from world import NOW, SERIAL, World

from insitu.protocol.channel.edhoc import Kccs, write_ccs
from insitu.protocol.channel.opened import ChannelOpened, Peer
from insitu.protocol.channel.trust.ticket import (
    CheckingState,
    ModuleByTicket,
    TicketAccepted,
    TicketClaim,
    TicketRefused,
    UnitByTicket,
)
from insitu.protocol.engine import (
    Close,
    Fault,
    KeyKind,
    LookUp,
    ProtocolError,
    Refused,
    Show,
    StartTimer,
    StopTimer,
    UsageError,
)
from insitu.protocol.messages import Intent, Purpose, Ticket, TrustOption
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.progress import PeerProved

S = CheckingState


@pytest.mark.parametrize("option", TrustOption, ids=lambda option: option.text)
def test_both_sides_of_every_option_end_in_a_module_that_works(world: World, option: TrustOption):
    line = personalize(world, option)
    assert line.peer.error is line.module.error is None
    assert world.module.state is ModuleState.OPERATING
    sound(world, line)


@pytest.fixture
def terms(world: World) -> UnitByTicket:
    return UnitByTicket.of("Bank", world.vault("unit").generate("session", KeyKind.P256, b""), SERIAL)


def test_a_module_without_a_ticket_or_its_pair_cannot_use_this_option(world: World):
    world.equip(TrustOption.TICKET)
    record, key = world.module.record, world.vault(SERIAL).find("identity")
    ModuleByTicket.of(record, key)
    for less, pair in ((record, None), (replace(record, ticket=None), key)):
        with pytest.raises(UsageError, match="no ticket"):
            ModuleByTicket.of(less, pair)


def test_a_unit_opens_no_channel_with_a_module_of_another_serial_number(world: World, terms: UnitByTicket):
    public = world.vault("x").generate("k", KeyKind.P256, b"").public
    assert terms.judge(Kccs(write_ccs(public, subject=SERIAL)), NOW)[1].name == SERIAL
    with pytest.raises(ProtocolError, match="serial number") as refused:
        terms.judge(Kccs(write_ccs(public, subject="SN-2")), NOW)
    assert (refused.value.expected, refused.value.got) == (SERIAL, "SN-2")


@pytest.fixture
def opened(world: World) -> ChannelOpened:
    public = world.vault(SERIAL).generate("identity again", KeyKind.P256, b"").public
    return ChannelOpened(Peer(SERIAL, None, public), Intent(Purpose.PERSONALIZE, TrustOption.TICKET), bytes(32), at=0)


def test_a_stage_goes_on_step_by_step_and_knows_its_peer_in_the_end(terms: UnitByTicket, opened: ChannelOpened):
    stage = terms.stage(opened)
    assert stage is not None
    assert (stage.name, stage.state, stage.accepts) == ("ticket-unit", S.OPENED, (ChannelOpened,))
    (timer,) = stage.step(opened)
    assert timer == StartTimer("proof", 30)
    assert stage.accepts == (Ticket,)
    claim = TicketClaim(7, SERIAL, opened.peer.public, bytes(32))
    assert list(stage.step(Ticket(7, bytes(32)))) == [StopTimer("proof"), LookUp("ticket", claim)]
    assert stage.proved is None
    (note,) = stage.step(TicketAccepted())
    assert note == Show(PeerProved("unit", SERIAL, TrustOption.TICKET))
    assert stage.proved is stage.data.proved is not None
    assert (stage.proved.name, stage.proved.proved) == (SERIAL, TrustOption.TICKET)
    assert stage.accepts == ()


def test_a_ticket_that_the_card_refuses_ends_it(terms: UnitByTicket, opened: ChannelOpened):
    stage = terms.stage(opened)
    assert stage is not None
    stage.step(opened)
    stage.step(Ticket(7, bytes(32)))
    refused = TicketRefused("another module's", Fault.LOCKED)
    assert list(stage.step(refused)) == [Close(Fault.LOCKED, "another module's")]
    assert (stage.state, stage.proved) == (S.REFUSED, None)


def test_what_happens_to_a_fork_does_not_happen_to_the_stage(terms: UnitByTicket, opened: ChannelOpened):
    stage = terms.stage(opened)
    assert stage is not None
    fork = stage.fork()
    assert (fork.name, fork.state, fork.data) == (stage.name, stage.state, stage.data)
    fork.step(opened)
    assert (fork.state, stage.state) == (S.AWAITING_TICKET, S.OPENED)
    assert fork.data.peer == opened.peer
    assert stage.data.peer is None


def test_a_refused_event_leaves_a_stage_as_it_was(terms: UnitByTicket, opened: ChannelOpened):
    stage = terms.stage(opened)
    assert stage is not None
    before = stage.data
    with pytest.raises(Refused):
        stage.step(Ticket(7, bytes(32)))
    assert (stage.state, stage.data) == (S.OPENED, before)
