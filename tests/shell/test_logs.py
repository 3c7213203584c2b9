"""A card's log and its readers (L12, S6): what a head and a receipt add to the chain, attack by attack."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lives import broken
from pump import personalize
from world import DAY, World, memory

from insitu.protocol.engine import EnvironmentFault, InsituError, KeyKind, StateError, UsageError
from insitu.protocol.messages import CardRole
from insitu.protocol.parties.log_heads import LogHead, LogReceipt, message_to_sign, signed
from insitu.protocol.parties.log_reading import LIST, LogDoubted, made_in
from insitu.protocol.stores.card_log import ListIntent, LogBroken, LogEntry, Result, append
from insitu.protocol.stores.log_lines import Export, export_lines, import_lines
from insitu.shell.card import Card
from insitu.shell.logs import customer_certificate, find_made, state_of, state_told, told, verify


@pytest.fixture
def world() -> World:
    """A unit, a central system, two certificates of one module, and a list that revokes the first."""
    world = World()
    personalize(world)
    first = world.card.number_of(given(world.module.record.module))
    world.module.reset_by_hand()
    personalize(world)
    world.card.sign_list(world.approved_list(first).number)
    return world


def given(value: Any) -> Any:
    assert value is not None
    return value


def read(world: World) -> Export:
    return import_lines(world.card.export_log())


def receipt(world: World, export: Export, **changes: Any) -> bytes:
    """What the central system signs once it has read the log."""
    log = export.log
    said = LogReceipt("Host", world.card.customer.fingerprint, len(log), log[-1].digest, world.clock())
    payload = replace(said, **changes).payload
    return signed(payload, world.central.keys.sign(world.central.key, message_to_sign(payload)))


def rechained(entries: list[LogEntry]) -> tuple[LogEntry, ...]:
    """What somebody makes of entries who knows how the chain is made: numbers and digests fit, as far as rules let."""
    log: tuple[LogEntry, ...] = ()
    for entry in entries:
        log = (*log, append(log, entry.what, at=entry.at))
    return log


# What is there


def test_everything_that_was_signed_comes_back_byte_for_byte(world: World):
    """Certificates of all roles, and lists."""
    export, customer = read(world), world.card.customer
    made = list(made_in(export.log, customer))
    latest = {each.role: each.der for each in made}
    assert latest == {
        "unit": world.card.unit,
        "central": world.central_certificate,
        "module": world.module.record.module,
        LIST: world.card.crl,
    }
    assert [each.role for each in made] == ["unit", "central", "module", "module", LIST]
    assert find_made(export, customer, "module", "SN-1")[-1].der == world.module.record.module
    with pytest.raises(StateError, match="no module SN-9 in the log"):
        find_made(export, customer, "module", "SN-9")


def test_a_whole_log_holds_for_the_card_and_for_a_reader_with_files(world: World):
    export = replace(read(world), receipt=receipt(world, read(world)))
    for owner in (None, world.card.authentication.public):
        found = verify(export, world.card.customer, owner=owner, central=world.central_certificate, earlier=[export])
        assert (found.entries, found.certificates, found.lists, found.open, found.unsigned) == (10, 4, 1, 0, 0)
        assert (given(found.head).signatures, given(found.receipt).entries) == (5, 10)
    assert import_lines(export_lines(export)) == export
    assert customer_certificate(world.customer, world.root, None) == world.card.customer


def test_what_a_reader_lacks_is_said(world: World):
    with pytest.raises(UsageError, match="the manufacturer's root"):
        customer_certificate(world.customer, None, None)
    other = World(seed="circle")
    other.close_circle("SN-2")
    certificate = given(other.card.record.customer)
    with pytest.raises(UsageError, match="a circular certificate"):
        customer_certificate(certificate, other.root, None)
    assert customer_certificate(certificate, None, other.central_certificate) == other.card.customer


def test_the_head_is_signed_with_each_entry_and_counts_signatures(world: World):
    card = world.card
    before = LogHead.read(given(card.record.head), card.authentication.public)
    world.clock.at += 60
    card.sign_list(world.approved_list().number)
    after = LogHead.read(given(card.record.head), card.authentication.public)
    assert (after.entries, after.signatures) == (before.entries + 2, before.signatures + 1)
    assert (after.card, after.at) == (card.customer.fingerprint, world.clock())
    assert after.names(read(world).log)
    assert before.names(read(world).log)


# What the log says after a cut


def test_a_cut_between_intent_and_signature_leaves_a_log_that_says_so(world: World):
    card, other = world.card, world.vault("x").generate("x", KeyKind.P256, b"").public
    job = world.approved(CardRole.MODULE, "SN-5")
    with broken(world.vault("card"), "sign"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("insitu.protocol.desk.perform", cut_at_signature(patch))
        with pytest.raises(KeyboardInterrupt):
            card.certify(job.number, other)
    again = Card(world.vault("card"), now=world.clock)
    (line,) = (line for line in told(again.log.log) if "NO OUTCOME" in line)
    assert "about to certify module SN-5, approved by alice and bob" in line
    assert "NOT SIGNED: the last 1;" in "\n".join(state_told(again.log))
    assert state_of(again.log)["open"] == 1
    whole = again.signed_log()
    assert (state_of(whole)["signed"], state_of(whole)["entries"]) == (11, 11)
    found = verify(whole, card.customer)
    assert (found.open, found.unsigned, found.certificates) == (1, 0, 4)


def cut_at_signature(_: pytest.MonkeyPatch) -> Any:
    from insitu.protocol import desk
    from insitu.protocol.engine import Sign

    perform = desk.perform

    def performing(effect: Any, ports: Any) -> Any:
        if isinstance(effect, Sign):
            raise KeyboardInterrupt
        return perform(effect, ports)

    return performing


def test_a_head_that_cannot_be_signed_leaves_the_entry_and_gives_out_nothing(world: World):
    """The signature was made: so it is in the log, to be reconstructed, and the next head is of it too."""
    public = world.vault("x").generate("x", KeyKind.P256, b"").public
    job = world.approved(CardRole.MODULE, "SN-5")
    with broken(world.vault("card"), "sign", after=1), pytest.raises(EnvironmentFault):
        world.card.certify(job.number, public)
    card = Card(world.vault("card"), now=world.clock)
    assert state_of(card.log)["signed"] == 10
    with pytest.raises(LogDoubted):  # nobody but the card's own reader takes a log that is signed in part as whole
        verify(replace(card.log, head=None), card.customer)
    assert verify(card.log, card.customer).unsigned == 2
    assert verify(card.signed_log(), card.customer).unsigned == 0
    assert find_made(card.log, card.customer, "module", "SN-5")


def test_a_card_of_before_gets_its_head_when_the_log_is_shown(world: World):
    vault = world.vault("card")
    from insitu.protocol.messages import encode_record

    vault.commit(encode_record(replace(world.card.record, head=None)), vault.labels())
    card = Card(vault, now=world.clock)
    assert verify(card.signed_log(), card.customer).unsigned == 0
    blank = world.blank_card("blank")
    blank.furnish("New", {"alice": b"2580-alice", "bob": b"1470-bob"})
    assert blank.signed_log() == Export(())


# Attacks on a log that somebody carries, or who has the card's store


def without(log: tuple[LogEntry, ...], *numbers: int) -> list[LogEntry]:
    return [entry for entry in log if entry.number not in numbers]


def swapped(log: tuple[LogEntry, ...]) -> list[LogEntry]:
    return [*log[:2], *log[4:6], *log[2:4], *log[6:]]


ATTACKS: dict[str, Any] = {
    "an entry deleted": lambda log: tuple(without(log, 5)),
    "an entry doubled": lambda log: (*log[:5], log[4], *log[5:]),
    "two entries swapped": lambda log: (*log[:4], log[5], log[4], *log[6:]),
    "an entry changed": lambda log: (*log[:4], replace(log[4], at=log[4].at + 1), *log[5:]),
}
KNOWING: dict[str, Any] = {
    "a certificate deleted": lambda log: rechained(without(log, 4, 5)),
    "the last one deleted": lambda log: rechained(list(log[:-2])),
    "certificates swapped": lambda log: rechained(swapped(log)),
    "all of it anew, later": lambda log: rechained([replace(entry, at=entry.at + DAY) for entry in log]),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_breaks_the_chain_is_found_by_anybody(world: World, attack):
    lines = b"".join(entry.line + b"\n" for entry in ATTACKS[attack](read(world).log))
    with pytest.raises(LogBroken):
        import_lines(lines)


@pytest.mark.parametrize("attack", KNOWING)
def test_what_is_chained_anew_is_not_what_the_card_signed(world: World, attack):
    export = read(world)
    log = KNOWING[attack](export.log)
    import_lines(export_lines(Export(log)))
    with pytest.raises((LogDoubted, LogBroken)):
        verify(replace(export, log=log), world.card.customer)


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_tail_that_is_cut_off_is_found_by_the_head(world: World, cut):
    export = read(world)
    with pytest.raises(LogDoubted, match=r"the end of the log is cut off|no such key"):
        verify(replace(export, log=export.log[:-cut]), world.card.customer)


@pytest.mark.parametrize("cut", range(2, 10, 2))
def test_a_tail_that_is_cut_off_with_an_old_head_is_found_by_the_receipt(world: World, cut):
    """The head of then is genuine: only who has seen more can tell."""
    export = read(world)
    log = export.log[:-cut]
    head = LogHead.of(world.card.customer.fingerprint, log, world.clock()).payload
    old = signed(head, world.vault("card").sign(world.card.authentication, message_to_sign(head)))
    stale = Export(log, old, receipt(world, export))
    own = world.card.authentication.public
    assert verify(stale, world.card.customer, owner=own).entries == 10 - cut
    with pytest.raises(LogDoubted, match="the end of the log is cut off: Host has read more"):
        verify(stale, world.card.customer, owner=own, central=world.central_certificate)
    with pytest.raises(LogDoubted, match="the end of the log is cut off"):
        verify(stale, world.card.customer, owner=own, earlier=[export])


def test_a_log_that_forked_is_found_by_what_was_read(world: World):
    """An old copy of the card's store was put back, and the card went on from there."""
    vault = world.vault("card")
    then = given(vault.record)
    world.approved(CardRole.MODULE, "SN-5")
    world.card.sign_list(world.approved_list().number)
    known = read(world)
    vault.commit(then, vault.labels())
    world.clock.at += 60
    fork = Card(vault, now=world.clock)
    job = fork.propose_list()
    for person, pin in (("alice", b"2580-alice"), ("bob", b"1470-bob")):
        fork.approve(job, person, pin)
    fork.sign_list(job.number)
    export = fork.signed_log()
    assert verify(export, fork.customer).unsigned == 0
    with pytest.raises(LogDoubted, match="is not the one that was there"):
        verify(export, fork.customer, earlier=[known])
    with pytest.raises(LogDoubted, match="not the log that Host has read"):
        verify(replace(export, receipt=receipt(world, known)), fork.customer, central=world.central_certificate)


def test_another_cards_log_is_not_this_ones(world: World):
    other = World(seed="other")
    personalize(other)
    ours, theirs = read(world), import_lines(other.card.export_log())
    confused = replace(ours, log=theirs.log), replace(ours, head=theirs.head), replace(theirs, head=ours.head)
    for mixed in (theirs, *confused):
        with pytest.raises((LogDoubted, LogBroken)):
            verify(mixed, world.card.customer)
    own = world.card.authentication.public
    with pytest.raises(LogDoubted, match="signature does not hold"):
        verify(replace(ours, head=theirs.head), world.card.customer, owner=own)
    said = replace(LogHead.of(other.card.customer.fingerprint, ours.log, 1), at=2).payload
    with pytest.raises(LogDoubted, match="head of another card's log"):
        verify(replace(ours, head=by_card(world, said)), world.card.customer)
    with pytest.raises(LogDoubted, match="receipt for another card's log"):
        verify(
            replace(ours, receipt=receipt(world, ours, card=other.card.customer.fingerprint)),
            world.card.customer,
            central=world.central_certificate,
        )


def by_card(world: World, payload: bytes) -> bytes:
    return signed(payload, world.vault("card").sign(world.card.authentication, message_to_sign(payload)))


def test_heads_that_nobody_signed_and_heads_of_another_key(world: World):
    export = read(world)
    head = given(export.head)
    thief = memory("thief")
    key = thief.generate("k", KeyKind.P256, b"")
    payload = LogHead.of(world.card.customer.fingerprint, export.log, 1).payload
    forged = signed(payload, thief.sign(key, message_to_sign(payload)))
    bent = [head[:at] + bytes((head[at] ^ 1,)) + head[at + 1 :] for at in range(0, len(head), 7)]
    for wrong in (forged, b"", head[:-1], head + b"\0", head * 4, *bent):
        with pytest.raises(LogDoubted):
            verify(replace(export, head=wrong or b"\0"), world.card.customer, owner=world.card.authentication.public)
    with pytest.raises(LogDoubted, match="the card signed no head"):
        verify(replace(export, head=None), world.card.customer)


def test_a_head_with_a_wrong_count_of_signatures(world: World):
    export = read(world)
    right = LogHead.of(world.card.customer.fingerprint, export.log, 1)
    with pytest.raises(LogDoubted, match="not the one that its card signed"):
        verify(replace(export, head=by_card(world, replace(right, signatures=4).payload)), world.card.customer)


def test_receipts_that_are_none(world: World):
    export, central = read(world), world.central_certificate
    with pytest.raises(LogDoubted, match="nobody has read this log"):
        verify(export, world.card.customer, central=central)
    genuine = receipt(world, export)
    for wrong in (given(export.head), genuine[:-1], by_card(world, LogReceipt("Host", b"", 1, b"", 1).payload)):
        with pytest.raises(InsituError):
            verify(replace(export, receipt=wrong), world.card.customer, central=central)


def test_a_signature_in_the_log_that_is_not_the_cards(world: World):
    """Somebody who writes the store and has the authentication key, but not the signing key."""
    export = read(world)
    last = export.log[-1]
    bad = replace(last, what=replace(last.what, signature=bytes(31) + b"\1" + bytes(31) + b"\1"))
    log = (*export.log[:-1], bad)
    head = by_card(world, LogHead.of(world.card.customer.fingerprint, log, 1).payload)
    with pytest.raises(LogBroken, match=r"fingerprint|does not hold"):
        verify(Export(log, head), world.card.customer)


@pytest.mark.parametrize(
    "line", [b'{"kind":"head"}', b'{"cose":"zz","kind":"head"}', b'{"cose":"00","kind":"head","more":1}', b"[]", b"{"]
)
def test_lines_that_are_no_head(world: World, line):
    with pytest.raises(LogBroken, match="not an entry of a card log"):
        import_lines(export_lines(Export(read(world).log)) + line + b"\n")


def test_a_list_that_cannot_be_is_the_logs_fault(world: World):
    """Who writes a log of his own may date a list as he likes; readers say so, and go on with other cards."""
    log = list(world.card.log.log)
    number = world.card.list_number + 1
    what = ListIntent(b"x" * 16, number, (), 1 << 62, ("alice", "bob"), bytes(32))
    for happened in (what, Result(what.job, bytes(64), bytes(32))):
        log.append(append(log, happened, at=log[-1].at))
    with pytest.raises(LogBroken, match="what was signed"):
        list(made_in(log, world.card.customer))
    assert len(list(made_in(log[:-1], world.card.customer))) == len(list(made_in(log[:-2], world.card.customer)))
