"""A card brings its log to a central system: what is kept, what is found out, and whom that keeps out (L12, S5, S6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lives import dropping
from log_lives import losing
from pump import Line, contact, enrollment, meeting, personalize, personalized_by_a_thief, syncing
from world import DAY, SERIAL, World

from insitu.protocol.engine import InsituError, KeyKind, ProtocolError, StateError
from insitu.protocol.keys.certificates import CertificateRefused, key_digest
from insitu.protocol.messages import CardRole, encode_record
from insitu.protocol.parties.card_syncing import LogWasRead
from insitu.protocol.parties.central_syncing import CardDoubted, CentralSyncingState
from insitu.protocol.parties.log_heads import LogHead, LogReceipt, message_to_sign, signed
from insitu.protocol.parties.log_reading import LogDoubted, read_further
from insitu.protocol.stores.card_logs import CardLog, all_lines
from insitu.protocol.stores.registry import RegistryDamaged
from insitu.shell import read_logs
from insitu.shell.card import Card
from insitu.shell.logs import verify
from insitu.shell.read_logs import ReadLogs
from insitu.shell.syncing import read_at_once

BY_HAND: Any = {"alice": b"2580-alice", "bob": b"1470-bob"}


@pytest.fixture
def world() -> World:
    """A module was personalized; nobody has read the card's log."""
    world = World()
    personalize(world)
    return world


def known(world: World) -> CardLog:
    return world.central.registry.card_log(world.card.customer.fingerprint)


def lines(world: World) -> tuple[bytes, ...]:
    return all_lines(world.central.registry, world.card.customer.fingerprint)


def brought(world: World, **about: Any) -> Line:
    return syncing(world, **about).start().finish()


def put_back(world: World, record: bytes | None) -> None:
    """An old copy of the card's store, some time after all that was read."""
    assert record is not None
    world.clock.at += 1
    world.vault("card").commit(record, world.vault("card").labels())
    world.card = world.blank_card()


# In good order


def test_the_log_is_kept_and_the_card_has_a_receipt(world: World):
    line = brought(world)
    assert (line.sides[0].error, line.sides[1].error) == (None, None)
    assert line.sides[0].result == LogWasRead("Host", 6)
    assert line.sides[1].result is CentralSyncingState.READ
    assert lines(world) == world.card.record.log
    log = known(world)
    assert (log.entries, log.signatures, log.read, log.doubt) == (6, 3, world.clock(), "")
    assert (log.head, log.receipt) == (world.card.record.head, world.card.record.receipt)
    receipt = LogReceipt.read(log.receipt, world.central.key.public)
    assert (receipt.central, receipt.entries, receipt.digest) == ("Host", 6, log.digest)
    assert not world.card.has_unread_entries
    last = world.central.registry.audit()[-1]
    assert (last.actor, last.action, last.subject) == ("central", "log read", "Bank")
    found = verify(world.card.log, world.card.customer, central=world.central_certificate)
    assert found.receipt == receipt


def test_only_what_is_new_crosses_again(world: World):
    brought(world)
    audit = world.central.registry.audit()
    assert brought(world).sides[0].result == LogWasRead("Host", 6)
    assert world.central.registry.audit() == audit, "nothing new, nothing said"
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    assert world.card.has_unread_entries
    line = brought(world)
    assert lines(world) == world.card.record.log
    assert len(known(world).receipt) == len(world.card.record.receipt or b"")
    assert max(len(frame) for sender, frame in line.crossed if sender is line.sides[0]) < 4_000
    assert world.central.registry.audit()[-1].detail.partition(", ")[2].startswith("entries 6 to 7, ")


def test_in_one_program_it_is_the_same_without_a_link(world: World):
    over_a_link, at_once = World(), world
    personalize(over_a_link)
    brought(over_a_link)
    read_at_once(at_once.central, at_once.card, show=at_once.shown.append)
    assert replace(known(at_once), receipt=b"") == replace(known(over_a_link), receipt=b"")
    assert not at_once.card.has_unread_entries
    read_at_once(at_once.central, at_once.card)
    assert lines(at_once) == lines(over_a_link)


def test_the_card_knows_the_central_system_that_it_certified(world: World):
    assert world.card.central_key == key_digest(world.central.key.public)
    world.card.sign_list(world.approved_list(world.card.number_of(world.central_certificate)).number)
    with pytest.raises(StateError, match="no central system"):
        _ = world.card.central_key


def test_a_log_with_an_open_intent_and_a_list_is_read_like_any_other(world: World):
    world.card.sign_list(world.approved_list(world.card.number_of(world.card.unit)).number)
    line = brought(world)
    assert line.sides[0].result == LogWasRead("Host", 8)


# Who is not meant


def test_another_central_system_gets_nothing(world: World):
    other, _ = world.new_central("Other host")
    line = brought(world, central=other, meant_central=key_digest(world.central.key.public))
    assert "key of the central system" in str(line.sides[0].error)
    assert not any(world.card.record.log[0] in frame for _, frame in line.crossed)
    assert other.registry.card_log(world.card.customer.fingerprint).entries == 0


def test_a_card_that_is_not_known_or_does_not_count_is_not_read(world: World):
    stranger = world.new_card("Stranger", "card 2")
    assert isinstance(brought(world, card=stranger).sides[1].error, CertificateRefused)
    enrollment(world, world.central, card=stranger).start().finish()
    assert brought(world, card=stranger).sides[1].error is None
    fingerprint = world.card.customer.fingerprint
    world.central.registry.disable_issuer(fingerprint, lost=world.clock(), keep_known=True, actor="a", at=1)
    assert "log refused" in str(brought(world).sides[1].error)
    with pytest.raises(StateError, match="log refused"):
        read_at_once(world.central, world.card)
    assert known(world) == CardLog(fingerprint)


@pytest.mark.parametrize("silent", [False, True], ids=["cut", "silent"])
def test_whatever_is_lost_the_next_time_all_is_there(world: World, silent):
    for number in range(9):
        brought(world, hook=dropping(number) if silent else None, cut_after=None if silent else number)
        assert lines(world) in ((), world.card.record.log)
        assert known(world).doubt == ""
    for count in (1, 2):
        line = syncing(world)
        line.peer.before = losing(line, count)
        line.start().finish()
    assert brought(world).sides[0].result == LogWasRead("Host", 6)


def test_nobody_changes_a_byte(world: World):
    for bent in range(4, 8):
        line = brought(world, hook=bending(bent))
        assert any(side.error for side in line.sides)
        assert known(world).doubt == "", "a bent frame is nobody's lie"
        assert lines(world) == (world.card.record.log if bent == 7 else ()), "the receipt comes last"
    assert world.card.record.receipt is None


def bending(bent: int) -> Any:
    """Changes a bit of the frame with this number."""

    def bend(line: Line, sender: Any, number: int, frame: bytes) -> list[bytes] | None:
        return [frame[:-1] + bytes((frame[-1] ^ 1,))] if number == bent else None

    return bend


# What a card's log must not do


def test_an_old_copy_of_the_card_is_found_and_marked_for_good(world: World):
    then = world.vault("card").record
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    brought(world)
    whole = world.vault("card").record
    put_back(world, then)
    line = brought(world)
    assert "the end of the log is cut off" in str(line.sides[1].error)
    doubted(world, "the end of the log is cut off, or an old copy of the card was put back")
    put_back(world, whole)
    assert "log refused" in str(brought(world).sides[1].error), "it stays"


def test_a_card_that_went_on_from_an_old_copy_is_found(world: World):
    then = world.vault("card").record
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    brought(world)
    put_back(world, then)
    world.clock.at += 60
    for serial in ("SN-7", "SN-8"):
        world.certify(CardRole.MODULE, serial, world.card.authentication.public)
    brought(world)
    doubted(world, "entry 8: digest of the entry before")
    assert lines(world)[6:] != world.card.record.log[6:8], "what was read stays as it was"


def test_as_many_entries_and_still_others(world: World):
    then = world.vault("card").record
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    brought(world)
    put_back(world, then)
    world.clock.at += 60
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    with pytest.raises(LogDoubted):
        read_at_once(world.central, world.card, show=world.shown.append)
    doubted(world, "the log is not the one that its card signed")


def test_a_card_whose_store_somebody_wrote(world: World):
    """He has the authentication key, but the people's consent and the signing key he has not."""
    record = world.card.record
    lines_of = list(record.log)
    lines_of[2] = lines_of[2].replace(b"alice", b"carol")
    world.vault("card").commit(encode_record(replace(record, log=tuple(lines_of))), world.vault("card").labels())
    world.card = world.blank_card()
    with pytest.raises(InsituError):
        world.card.signed_log()


def doubted(world: World, reason: str) -> None:
    assert known(world).doubt.startswith(f"card log: {reason}")
    notes = [note for note in world.shown if isinstance(note, CardDoubted)]
    assert [note.reason for note in notes] == [known(world).doubt]
    last = world.central.registry.audit()[-1]
    assert (last.action, last.subject) == ("log doubted", "Bank")
    assert last.detail.endswith(known(world).doubt)


# Receipts that the card does not take


def test_a_receipt_for_less_or_by_somebody_else(world: World):
    brought(world)
    old = world.card.record.receipt
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    brought(world)
    assert old is not None
    with pytest.raises(StateError):
        world.card.keep_receipt(old, world.central.key.public)
    with pytest.raises(ProtocolError, match="signature does not hold"):
        world.card.keep_receipt(old, world.card.authentication.public)
    assert world.card.record.receipt != old


# Policy: certificates that are in no log


def test_who_asks_for_logs_lets_nobody_in_before_the_log_was_read(world: World):
    central = world.asking_for_logs()
    line = contact(world, central=central).start().finish()
    assert "its certificate waits for its card's log" in str(line.peer.error)
    assert central.registry.module(SERIAL) is None
    brought(world)
    line = contact(world, central=central).start()
    assert line.module.session.error is None
    assert central.registry.module(SERIAL) is not None


def test_without_the_policy_logs_do_not_matter(world: World):
    personalized_by_a_thief(fresh := World())
    assert contact(fresh).start().module.session.error is None
    assert contact(world).start().module.session.error is None


@pytest.mark.parametrize("grace", [0, 3600])
def test_s6_a_certificate_by_a_stolen_signing_key_is_refused_once_the_log_was_read(grace):
    """Intent and consent are in the thief's copy of the log, if anywhere; the owner's has neither."""
    world = World()
    personalized_by_a_thief(world)
    world.clock.at += 60
    world.certify(CardRole.MODULE, "SN-8", world.card.authentication.public)
    brought(world)
    central = world.asking_for_logs(grace=grace)
    line = contact(world, central=central).start().finish()
    assert "its certificate was made outside its card's log" in str(line.peer.error)
    assert central.registry.module(SERIAL) is None
    assert known(world).doubt.endswith("of SN-1 was made outside its log")
    assert central.registry.audit()[-1].action == "log doubted"


def test_s6_a_thief_who_dates_ahead_waits_for_ever(world: World):
    """Later than all that the owner's log has: without a grace it never counts."""
    world = World()
    brought(world)
    world.clock.at += DAY
    personalized_by_a_thief(world)
    central = world.asking_for_logs()
    for _ in range(3):
        line = contact(world, central=central).start().finish()
        assert "its certificate waits for its card's log" in str(line.peer.error)
        brought(world)
    assert central.registry.module(SERIAL) is None


def test_a_grace_lasts_from_the_first_contact_and_ends_sessions_that_are_open(world: World):
    central = world.asking_for_logs(grace=600)
    line = contact(world, central=central).start()
    assert line.module.session.error is None
    world.clock.at += 599
    line.module.expire("beat")
    assert line.peer.session.error is None
    world.clock.at += 1
    line.module.expire("beat")
    line.finish()
    assert "its certificate waits for its card's log" in str(line.peer.error)
    assert "waits for its card's log" in str(contact(world, central=central).start().finish().peer.error)
    brought(world)
    line = contact(world, central=central).start()
    assert line.module.session.error is None
    world.clock.at += 10_000
    line.module.expire("beat")
    assert line.peer.session.error is None, "what is in the log stays"


def test_s5_what_was_admitted_on_time_is_refused_when_the_log_proves_otherwise():
    world = World()
    personalized_by_a_thief(world)
    central = world.asking_for_logs(grace=600)
    line = contact(world, central=central).start()
    assert line.peer.session.error is None
    world.clock.at += 60
    world.certify(CardRole.MODULE, "SN-8", world.card.authentication.public)
    brought(world)
    line.module.expire("beat")
    line.finish()
    assert "was made outside its card's log" in str(line.peer.error)


def test_a_card_in_doubt_gets_no_grace_and_keeps_what_was_read(world: World):
    central = world.asking_for_logs(grace=600)
    brought(world)
    line = contact(world, central=central).start()
    then = world.vault("card").record
    other = world.new_module("SN-2")
    world.approved(CardRole.MODULE, "SN-2")
    meeting(world, module=other, serial="SN-2").start().finish()
    late = contact(world, module=other, central=central).start()
    assert late.peer.session.error is None
    put_back(world, then)
    world.clock.at += 60
    world.certify(CardRole.MODULE, "SN-8", world.card.authentication.public)
    read_at_once(world.central, world.card)  # nothing is wrong as far as anybody can see
    put_back(world, then)
    brought(world)
    assert known(world).doubt
    late.module.expire("beat")
    assert "is in doubt" in str(late.finish().peer.error)
    line.module.expire("beat")
    assert line.peer.session.error is None


def test_a_card_reads_its_own_log_as_it_was_left(world: World):
    """What the central system keeps is enough to tell a log that its card lost."""
    brought(world)
    kept = lines(world)
    card = Card(world.vault("card"), now=world.clock)
    assert tuple(entry.line for entry in card.log.log) == kept


# What is remembered


def test_a_contact_reads_only_what_is_new(world: World, monkeypatch: pytest.MonkeyPatch):
    brought(world)
    known_before = world.central.logs.recall(world.central.registry, known(world))
    monkeypatch.setattr(world.central.registry, "card_log_lines", lambda *_, **__: pytest.fail("read once more"))
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    read_at_once(world.central, world.card)
    assert known(world).entries == 8
    entries = world.central.logs.recall(world.central.registry, known(world))
    assert all(each is before for each, before in zip(entries, known_before, strict=False)), "not even looked at again"


def test_a_host_that_was_started_again_reads_its_registry(world: World):
    brought(world)
    world.central.logs = ReadLogs()
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    assert brought(world).sides[0].result == LogWasRead("Host", 8)


def test_what_is_remembered_counts_as_far_as_the_registry_has_it(world: World):
    """A verdict that was remembered, and could not be kept; or another host that was faster."""
    brought(world)
    issuer, log = world.card.customer.fingerprint, world.card.log.log
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    world.central.logs.remember(issuer, world.card.log.log)
    assert world.central.logs.recall(world.central.registry, known(world)) == log
    assert brought(world).sides[0].result == LogWasRead("Host", 8)
    world.central.logs.remember(issuer, log)
    assert len(world.central.logs.recall(world.central.registry, known(world))) == 8


@pytest.mark.parametrize("lines", [(), (b"{}",), None], ids=["gone", "no entry", "fewer"])
def test_a_registry_that_lost_entries_puts_no_card_in_doubt(world: World, monkeypatch, lines):
    brought(world)
    real = world.central.registry.card_log_lines(world.card.customer.fingerprint)
    left = real[:-1] if lines is None else lines
    monkeypatch.setattr(world.central.registry, "card_log_lines", lambda _, *, after=0, limit=1000: left[after:])
    world.central.logs = ReadLogs()
    world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    with pytest.raises(RegistryDamaged, match="entries of a card's log"):
        read_at_once(world.central, world.card)
    assert isinstance(brought(world).sides[1].error, RegistryDamaged)
    assert known(world).doubt == ""


def test_no_more_is_remembered_than_has_room(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(read_logs, "MOST_REMEMBERED", 10)
    logs, log = ReadLogs(), world.card.log.log
    for issuer in (b"1", b"2", b"1"):
        logs.remember(issuer, log)
    assert list(logs._logs) == [b"1"]
    logs.remember(b"3", log * 2)
    assert list(logs._logs) == []


# Another unit of the same signing key


def other_unit(world: World) -> Card:
    """Certified by the card, with a copy of its log, whose head it has signed itself."""
    vault = world.vault("unit 2")
    keys = [vault.generate(label, KeyKind.P256, b"") for label in ("authentication", "signing")]
    certificate = world.certify(CardRole.UNIT, "unit 2", keys[0].public)
    head = LogHead.of(world.card.customer.fingerprint, world.card.log.log, world.clock())
    message = signed(head.payload, vault.sign(keys[0], message_to_sign(head.payload)))
    record = replace(world.card.record, unit=certificate, head=message)
    vault.commit(encode_record(record), frozenset({"authentication", "signing"}))
    return Card(vault, now=world.clock)


def test_once_read_a_log_is_its_own_cards_to_bring(world: World):
    """Another unit neither grows it nor puts the card in doubt, whatever it shows."""
    brought(world)
    other, before = other_unit(world), known(world)
    line = brought(world, card=other)
    assert "signed by another unit" in str(line.sides[1].error)
    with pytest.raises(StateError, match="signed by another unit"):
        read_at_once(world.central, other)
    assert known(world) == before
    assert brought(world).sides[0].result == LogWasRead("Host", 8)


def test_a_head_by_a_unit_that_the_log_does_not_name_counts_for_nothing(world: World):
    """It has a certificate by the signing key that was made outside the log."""
    log = world.card.log
    lines, customer = [entry.line for entry in log.log], world.card.customer
    other = other_unit(world)
    head = LogHead.of(customer.fingerprint, log.log, world.clock())
    message = signed(head.payload, other.keys.sign(other.authentication, message_to_sign(head.payload)))
    with pytest.raises(LogDoubted, match="another unit's"):
        read_further((), lines, message, customer, other.authentication.public)
    with pytest.raises(LogDoubted, match="head of the log"):
        verify(replace(log, head=message), customer)
    later = world.card.log
    with pytest.raises(LogDoubted, match="head of the log"):
        verify(replace(later, head=message), customer)  # certified after that head
    assert verify(replace(later, head=other.record.head), customer).unsigned == 0
    with pytest.raises(LogDoubted, match="by the key of the earlier one"):
        verify(replace(later, head=other.record.head), customer, earlier=[log])
