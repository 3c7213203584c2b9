"""What a card's log proves to its readers, function by function: heads, receipts, and what was signed (L12).

Whole attacks on logs stand in tests/shell/test_logs.py, where `insitu log verify` is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pump import personalize
from world import NOW, World

from insitu.protocol.engine import KeyHandle, KeyKind, ProtocolError, given
from insitu.protocol.keys.certificates import VerifiedCertificate
from insitu.protocol.messages import SIGNED_LOG_MAX, encode
from insitu.protocol.parties.card_heads import head_is_behind
from insitu.protocol.parties.card_lists import revoked_in
from insitu.protocol.parties.log_heads import LogHead, LogReceipt, message_to_sign, signatures_of, signed, signed_by
from insitu.protocol.parties.log_reading import LIST, LogDoubted, check_head, made_in, owner_keys, read_further
from insitu.protocol.stores.card_log import NOTHING_BEFORE, ListIntent, LogBroken, LogEntry, append
from insitu.protocol.stores.log_lines import Export, import_lines


@dataclass
class Logs:
    """A card's log with certificates of all roles and two lists, and whoever can sign for it."""

    world: World
    export: Export
    customer: VerifiedCertificate
    own: KeyHandle

    @property
    def log(self) -> tuple[LogEntry, ...]:
        return self.export.log

    def by_card(self, payload: bytes) -> bytes:
        return signed(payload, self.world.vault("card").sign(self.own, message_to_sign(payload)))

    def head(self, log: tuple[LogEntry, ...], **changes: Any) -> bytes:
        return self.by_card(replace(LogHead.of(self.customer.fingerprint, log, NOW), **changes).payload)

    def instead(self, place: int, **changes: Any) -> tuple[LogEntry, ...]:
        """Another word in this entry, and all that follow chained to it."""
        log: tuple[LogEntry, ...] = ()
        for number, entry in enumerate(self.log):
            what: Any = replace(entry.what, **changes) if number == place % len(self.log) else entry.what
            log = (*log, append(log, what, at=entry.at))
        return log


@pytest.fixture
def logs(world: World) -> Logs:
    personalize(world)
    module = world.card.number_of(given(world.module.record.module))
    world.card.sign_list(world.approved_list(module).number)
    world.clock.at += 60
    world.card.sign_list(world.approved_list().number)
    export = import_lines(world.card.export_log())
    return Logs(world, export, world.card.customer, world.card.authentication)


# What was signed


def test_what_was_made_is_put_together_as_it_left_the_card(logs: Logs):
    made = list(made_in(logs.log, logs.customer))
    assert [each.role for each in made] == ["unit", "central", "module", LIST, LIST]
    card = logs.world.card
    assert [each.der for each in made[:2]] == [card.unit, logs.world.central_certificate]
    assert made[-1].der == card.crl
    assert [(each.subject, each.at) for each in made[-2:]] == [("1", NOW), ("2", NOW + 60)]
    for each in made:
        entry = logs.log[each.number]
        assert (entry.number, entry.at) == (each.number, each.at)
        assert each.der.hex() not in repr(each)
    assert [each.number for each in made_in(logs.log, logs.customer, after=5)] == [each.number for each in made[2:]]
    assert list(made_in(logs.log, logs.customer, after=len(logs.log))) == []
    assert signatures_of(logs.log) == len(made)


def test_only_units_keys_sign_heads(logs: Logs):
    assert owner_keys(logs.log, logs.customer) == (logs.own.public,)
    other = logs.world.vault("x").generate("x", KeyKind.P256, b"").public
    from insitu.protocol.messages import CardRole

    logs.world.certify(CardRole.UNIT, "Bank unit 2", other)
    logs.world.certify(CardRole.UNIT, "Bank unit 1", logs.own.public)
    log = import_lines(logs.world.card.export_log()).log
    assert owner_keys(log, logs.customer) == (logs.own.public, other)


WRONG: dict[str, tuple[int, dict[str, Any], str]] = {
    "fingerprint of a certificate": (5, {"fingerprint": bytes(32)}, "fingerprint"),
    "fingerprint of a list": (-1, {"fingerprint": bytes(32)}, "fingerprint"),
    "digest of a list": (-2, {"digest": bytes(32)}, "digest of the list"),
    "end of a list": (-2, {"next_update": NOW + 61}, "digest of the list"),
    "a list of no time": (-2, {"next_update": NOW + 60}, "what was signed"),
    "a list for ever": (-2, {"next_update": (1 << 63) - 1}, "what was signed"),
    "role": (4, {"role": "central"}, "what was signed does not hold"),
    "no role": (4, {"role": "nobody"}, "what was signed does not hold"),
    "subject": (4, {"subject": "SN-2"}, "what was signed does not hold"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_an_entry_says_of_what_was_signed_is_looked_at(logs: Logs, what: str):
    place, changes, reason = WRONG[what]
    with pytest.raises(LogBroken) as broken:
        list(made_in(logs.instead(place, **changes), logs.customer))
    assert reason in str(broken.value)


def test_a_signature_of_no_length_that_there_is(logs: Logs):
    with pytest.raises(LogBroken):
        list(made_in(logs.instead(5, signature=bytes(63)), logs.customer))


@pytest.mark.parametrize("place", [5, -1], ids=["certificate", "list"])
def test_a_signature_that_is_not_the_signing_keys(logs: Logs, place: int):
    """With the fingerprint that fits: whoever writes the store can compute one."""
    bad = bytes(31) + b"\1" + bytes(31) + b"\1"
    with pytest.raises(LogBroken, match="fingerprint"):
        list(made_in(logs.instead(place, signature=bad), logs.customer))
    fitting = fingerprint_with(logs, place, bad)
    with pytest.raises(LogBroken, match="what was signed does not hold"):
        list(made_in(logs.instead(place, signature=bad, fingerprint=fitting), logs.customer))


def fingerprint_with(logs: Logs, place: int, signature: bytes) -> bytes:
    from insitu.protocol.parties import log_reading

    log = logs.instead(place, signature=signature)
    result: Any = log[place].what
    begun = next(
        log_reading._Begun(entry.number, entry.at, entry.what)  # type: ignore[arg-type]
        for entry in log
        if getattr(entry.what, "job", None) == result.job
    )
    revoked = {int.from_bytes(number, "big"): at for number, at in revoked_in(log[: begun.number + 1]).items()}
    what = begun.what
    draft = log_reading._list(begun, what, revoked, logs.customer) if isinstance(what, ListIntent) else None
    return log_reading._made(begun, draft, result).fingerprint


def test_a_certificate_begins_when_its_entry_was_written(logs: Logs):
    """Else a certificate could be dated back to before a theft."""
    from insitu.protocol.parties import log_reading

    made = next(each for each in made_in(logs.log, logs.customer) if each.role == "module")
    begun = log_reading._Begun(made.number, made.at, logs.log[made.number].what)  # type: ignore[arg-type]
    log_reading._check(made, begun, logs.customer, made.number + 1)
    with pytest.raises(LogBroken, match="time of the certificate") as broken:
        log_reading._check(made, replace(begun, at=made.at + 1), logs.customer, made.number + 1)
    assert (broken.value.expected, broken.value.got) == (str(made.at + 1), str(made.at))


# Heads


def test_who_has_signed_a_head(logs: Logs):
    head = logs.head(logs.log)
    assert signed_by(head, logs.own.public)
    assert not signed_by(head, logs.customer.public)
    assert not signed_by(b"", logs.own.public)


def test_a_head_that_the_card_signed_about_this_log(logs: Logs):
    for entries in (1, len(logs.log) - 1, len(logs.log)):
        part = logs.log[:entries]
        head = check_head(logs.log, logs.head(part), logs.customer.fingerprint, logs.own.public)
        assert (head.entries, head.digest, head.at) == (entries, part[-1].digest, NOW)
        assert head.signatures == signatures_of(part)
    empty = LogHead.of(logs.customer.fingerprint, (), NOW)
    assert (empty.entries, empty.digest, empty.signatures) == (0, NOTHING_BEFORE, 0)
    assert check_head(logs.log, logs.head(()), logs.customer.fingerprint, logs.own.public) == empty


HEADS: dict[str, tuple[Callable[[Logs], bytes], str]] = {
    "another key": (lambda logs: by_thief(logs, LogHead.of(logs.customer.fingerprint, logs.log, 1).payload), "head of"),
    "another card": (lambda logs: logs.head(logs.log, card=bytes(32)), "head of another card's log"),
    "one entry more": (lambda logs: logs.head(logs.log, entries=len(logs.log) + 1), "the end of the log is cut off"),
    "one entry less": (lambda logs: logs.head(logs.log, entries=len(logs.log) - 1), "not the one that its card"),
    "another digest": (lambda logs: logs.head(logs.log, digest=bytes(32)), "not the one that its card"),
    "a signature more": (lambda logs: logs.head(logs.log, signatures=9), "not the one that its card"),
    "a receipt": (lambda logs: logs.by_card(a_receipt(logs).payload), "head of the log"),
    "nothing": (lambda logs: b"", "head of the log"),
    "a number": (lambda logs: logs.by_card(encode(7)), "head of the log"),
    "another beginning": (
        lambda logs: logs.by_card(encode(["head", logs.customer.fingerprint, 0, NOTHING_BEFORE, 0, NOW])),
        "head of the log",
    ),
    "true for one": (
        lambda logs: logs.by_card(encode(["insitu log head", logs.customer.fingerprint, True, NOTHING_BEFORE, 0, NOW])),
        "head of the log",
    ),
    "a signature too short": (lambda logs: logs.head(logs.log)[:-66] + b"\x58\x3f" + bytes(63), "head of the log"),
    "its payload elsewhere": (lambda logs: logs.head(logs.log)[:7] + b"\xf6\x58\x40" + bytes(64), "head of the log"),
    "without its tag": (lambda logs: logs.head(logs.log)[1:], "head of the log"),
    "with a tag more": (lambda logs: b"\xd2" + logs.head(logs.log), "head of the log"),
    "a byte behind": (lambda logs: logs.head(logs.log) + b"\0", "head of the log"),
    "too long": (lambda logs: logs.by_card(bytes(SIGNED_LOG_MAX)), "head of the log"),
}


def by_thief(logs: Logs, payload: bytes) -> bytes:
    thief = logs.world.vault("thief")
    return signed(payload, thief.sign(thief.generate("k", KeyKind.P256, b""), message_to_sign(payload)))


def a_receipt(logs: Logs) -> LogReceipt:
    return LogReceipt("Host", logs.customer.fingerprint, len(logs.log), logs.log[-1].digest, NOW)


@pytest.mark.parametrize("what", HEADS)
def test_what_is_no_head_of_it(logs: Logs, what: str):
    make, reason = HEADS[what]
    with pytest.raises(LogDoubted, match=reason):
        check_head(logs.log, make(logs), logs.customer.fingerprint, logs.own.public)


def test_whose_head_it_is_matters_only_to_who_asks(logs: Logs):
    """The card's own record was written by the card."""
    forged = by_thief(logs, LogHead.of(logs.customer.fingerprint, logs.log, 1).payload)
    assert LogHead.read(forged, None).names(logs.log)
    with pytest.raises(ProtocolError):
        LogHead.read(forged, logs.own.public)


def test_a_head_is_behind_until_the_last_entry_is_signed(logs: Logs):
    record = logs.world.card.record
    assert not head_is_behind(record)
    assert head_is_behind(replace(record, head=None))
    assert head_is_behind(replace(record, head=logs.head(logs.log[:-1])))
    assert not head_is_behind(replace(record, head=None, log=())), "a new card has nothing to sign"


# Receipts


def test_a_receipt_names_a_beginning_of_the_log(logs: Logs):
    for entries in (1, len(logs.log)):
        receipt = replace(a_receipt(logs), entries=entries, digest=logs.log[entries - 1].digest)
        assert LogReceipt.read(logs.by_card(receipt.payload), logs.own.public) == receipt
        assert receipt.names(logs.log)
        assert receipt.names(logs.log[:entries])
        assert not receipt.names(logs.log[: entries - 1])
        assert not replace(receipt, digest=bytes(32)).names(logs.log)
    nothing = replace(a_receipt(logs), entries=0, digest=NOTHING_BEFORE)
    assert nothing.names(logs.log)
    assert nothing.names(())
    assert not replace(nothing, digest=logs.log[0].digest).names(logs.log)
    assert not replace(nothing, entries=len(logs.log) + 1).names(logs.log)


def test_what_is_no_receipt(logs: Logs):
    right = a_receipt(logs)
    forged = by_thief(logs, right.payload)
    assert LogReceipt.read(forged, None) == right
    card = logs.customer.fingerprint
    others = (
        logs.head(logs.log),
        forged,
        logs.by_card(encode(["receipt", "Host", card, 1, bytes(32), NOW])),
        logs.by_card(encode(["insitu log receipt", "Host", card, 1, bytes(32)])),
        logs.by_card(encode(["insitu log receipt", "Host", card, True, bytes(32), NOW])),
    )
    for wrong in others:
        with pytest.raises(ProtocolError):
            LogReceipt.read(wrong, logs.own.public)


# Reading further


def test_a_log_goes_on_where_it_was_read_to_and_is_signed_whole(logs: Logs):
    log, about = logs.log, (logs.customer, logs.own.public)
    lines = [entry.line for entry in log]
    for known in (0, 5, len(lines)):
        assert read_further(log[:known], lines[known:], given(logs.export.head), *about) == log
    with pytest.raises(LogDoubted, match="entries without a head"):
        read_further(log[:5], lines[5:], logs.head(log[:-1]), *about)
    with pytest.raises(LogBroken):
        read_further(log[:5], lines[6:], given(logs.export.head), *about)


def test_what_was_read_before_is_not_verified_again(logs: Logs):
    """It was, and that costs a signature each."""
    log = logs.instead(5, fingerprint=bytes(32))
    lines = [entry.line for entry in log]
    about = logs.head(log), logs.customer, logs.own.public
    assert read_further(log[:6], lines[6:], *about) == log
    with pytest.raises(LogBroken, match="fingerprint"):
        read_further(log[:5], lines[5:], *about)


def test_a_log_is_brought_by_a_unit_that_it_has_a_certificate_for(logs: Logs):
    """Its own signature is not enough: the signing key has to have certified whoever made it."""
    other = logs.world.vault("other")
    key = other.generate("k", KeyKind.P256, b"")
    payload = LogHead.of(logs.customer.fingerprint, logs.log, NOW).payload
    head = signed(payload, other.sign(key, message_to_sign(payload)))
    with pytest.raises(LogDoubted, match="head of the log") as doubted:
        read_further((), [entry.line for entry in logs.log], head, logs.customer, key.public)
    assert doubted.value.got == "another unit's"
