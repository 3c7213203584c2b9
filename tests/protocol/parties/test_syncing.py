"""The tables with which a card brings its log: every row, and what is refused (L12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from recorder import Recorder, classified, one_of_each

from insitu.protocol.engine import Close, Fault, Persist, ProtocolError, Refused, Send, Show
from insitu.protocol.messages import LOG_ENTRY_MAX, LogOffered, LogPart, LogRead, LogWanted
from insitu.protocol.parties.card_log_data import ReceiptCame
from insitu.protocol.parties.card_syncing import CARD_SYNCING, CardSyncingState, LogWasRead, part_of
from insitu.protocol.parties.central_syncing import (
    CENTRAL_SYNCING,
    MOST_BYTES,
    MOST_PARTS,
    CardDoubted,
    CardLogRead,
    CentralSyncingState,
)
from insitu.protocol.parties.log_verdict import AHEAD_SECONDS, CardLogFound, LogFails, LogHolds
from insitu.protocol.stores.card_logs import LogDoubt, LogGrowth

C = CardSyncingState
H = CentralSyncingState


@pytest.fixture
def card(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["card-syncing"]


@pytest.fixture
def central(recorded: dict[str, Recorder]) -> Recorder:
    return recorded["central-syncing"]


def test_every_row_is_taken(card: Recorder, central: Recorder):
    assert (card.missing(), central.missing()) == ([], [])


def test_every_event_is_accepted_by_a_row_or_refused_without_a_trace(recorded: dict[str, Recorder]):
    events = one_of_each(*recorded.values())
    for name, states in (("card-syncing", C), ("central-syncing", H)):
        assert len(classified(recorded[name], events)) == len(list(states)) * len(events)


def test_a_card_gives_out_what_it_has_and_as_much_as_fits(card: Recorder):
    data: Any = card.at(C.OFFERED, LogWanted).data
    step = CARD_SYNCING.step(C.OFFERED, data, LogWanted(1))
    (sent,) = (effect.message for effect in step.effects if isinstance(effect, Send))
    assert sent == LogPart(data.lines[1:])
    assert CARD_SYNCING.step(C.OFFERED, data, LogWanted(len(data.lines))).effects[0] == Send(LogPart(()))
    with pytest.raises(Refused):
        CARD_SYNCING.step(C.OFFERED, data, LogWanted(len(data.lines) + 1))
    third = bytes(LOG_ENTRY_MAX // 3)
    assert part_of((third,) * 5) == (third,) * 3
    assert part_of((bytes(LOG_ENTRY_MAX), b"1")) == (bytes(LOG_ENTRY_MAX),)
    assert part_of(()) == ()


def test_the_receipt_goes_to_the_card_before_anything_is_said(card: Recorder):
    moment = card.at(C.OFFERED, LogRead)
    _, persist, show, close = moment.step.effects
    data: Any = moment.data
    assert persist == Persist(ReceiptCame(moment.event.receipt, data.peer.public))
    assert (show, close) == (Show(LogWasRead("Host", len(data.lines))), Close())


def test_parts_that_do_not_end(central: Recorder):
    moment = central.at(H.READING, LogPart)
    data: Any = moment.data
    lines = moment.event.lines
    for wrong in (LogPart(()), LogPart((*lines, *lines, *lines))):
        with pytest.raises(ProtocolError, match="part of a log"):
            CENTRAL_SYNCING.step(H.READING, data, wrong)
    offered = replace(data.offered, entries=200_000)
    much = replace(data, offered=offered, size=MOST_BYTES)
    with pytest.raises(ProtocolError, match="part of a log"):
        CENTRAL_SYNCING.step(H.READING, much, LogPart(lines[:1]))


def test_it_is_kept_before_the_card_hears_of_it(central: Recorder):
    moment = next(each for each in central.moments if each.step.state is H.READ)
    persist, send, show, close = moment.step.effects
    assert isinstance(persist, Persist)
    growth = persist.record
    assert isinstance(growth, LogGrowth)
    assert send == Send(LogRead(growth.log.receipt))
    assert show == Show(CardLogRead("Bank", growth.log.entries, len(growth.entries)))
    assert close == Close()


def test_a_doubt_is_kept_and_told(central: Recorder):
    reasons = []
    for moment in central.moments:
        if moment.step.state is H.DOUBTED:
            persist, show, close = moment.step.effects
            assert isinstance(persist.record, LogDoubt)  # type: ignore[union-attr]
            reason = persist.record.reason  # type: ignore[union-attr]
            assert show == Show(CardDoubted("Bank", persist.record.issuer, reason))  # type: ignore[union-attr]
            assert close == Close(Fault.UNTRUSTED, reason)
            reasons.append((type(moment.event), reason.partition(" (")[0]))
    assert reasons == [
        (CardLogFound, "card log: the end of the log is cut off, or an old copy of the card was put back"),
        (LogFails, "card log: entry 6: digest of the entry before"),
    ]


def test_an_offer_that_was_held_back_puts_no_card_in_doubt(central: Recorder):
    """The card came again meanwhile, and more of its log was read: whoever delays a message must gain nothing by it."""
    moment = next(each for each in central.moments if each.step.state is H.DOUBTED and type(each.event) is CardLogFound)
    data: Any = moment.data
    for read, doubted in ((data.begun - 1, True), (data.begun, False), (data.begun + 5, False)):
        found = replace(moment.event, log=replace(moment.event.log, read=read))  # type: ignore[type-var]
        if doubted:
            assert CENTRAL_SYNCING.step(H.RECALLING, data, found).state is H.DOUBTED
        else:
            with pytest.raises(ProtocolError, match="overtook"):
                CENTRAL_SYNCING.step(H.RECALLING, data, found)


def test_a_log_of_the_future_is_not_read(central: Recorder):
    """Other certificates are judged by its date."""
    moment = central.at(H.VERIFYING, LogHolds)
    event: Any = moment.event
    late = replace(event, log=(*event.log[:-1], replace(event.log[-1], at=moment.data.at + AHEAD_SECONDS + 1)))  # type: ignore[attr-defined]
    with pytest.raises(ProtocolError, match="future"):
        CENTRAL_SYNCING.step(H.VERIFYING, moment.data, late)


def test_parts_that_are_too_many(central: Recorder):
    moment = central.at(H.READING, LogPart)
    with pytest.raises(ProtocolError, match="part of a log"):
        CENTRAL_SYNCING.step(H.READING, replace(moment.data, parts=MOST_PARTS), moment.event)


def test_a_card_that_does_not_count_is_not_read(central: Recorder):
    moment = central.at(H.RECALLING, CardLogFound)
    with pytest.raises(ProtocolError, match="log refused"):
        CENTRAL_SYNCING.step(H.RECALLING, moment.data, replace(moment.event, objection="lost"))


def test_an_offer_is_what_the_card_has(central: Recorder):
    data: Any = central.at(H.RECALLING, CardLogFound).data
    assert data.offered == LogOffered(4, data.offered.head)
