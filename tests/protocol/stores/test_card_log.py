from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.engine import UsageError
from insitu.protocol.stores.card_log import (
    NOTHING_BEFORE,
    Failure,
    Happening,
    Intent,
    ListIntent,
    LogBroken,
    LogEntry,
    Result,
    StandingBegun,
    StandingEnded,
    append,
    last_list,
    open_intents,
    standing_in,
    verify_chain,
)
from insitu.protocol.stores.log_lines import Export, export_lines, import_lines

JOBS = [bytes([number]) * 16 for number in range(5)]


def intent(job: bytes = JOBS[0], approvers: tuple[str, ...] = ("ann", "bob")) -> Intent:
    return Intent(job, "module", "SM-1", approvers, b"0\x82 to be signed")


def result(job: bytes = JOBS[0]) -> Result:
    return Result(job, bytes(64), b"f" * 32)


def listed(number: int = 1, job: bytes = JOBS[4], approvers: tuple[str, ...] = ("ann", "bob")) -> ListIntent:
    return ListIntent(job, number, (bytes(16), b"\xff" * 16), 1_800_000_000, approvers, b"d" * 32)


STANDING = b"s" * 16


def standing(most: int = 2, serials: tuple[str, ...] = ("SM-1", "SM-2*"), until: int = 1_800_000_000) -> StandingBegun:
    return StandingBegun(STANDING, serials, most, until, 365, ("ann", "bob"))


def used(job: bytes = JOBS[0], serial: str = "SM-1", **about: Any) -> Intent:
    usual: dict[str, Any] = {"role": "module", "approvers": ("ann", "bob"), "to_be_signed": b"x", "standing": STANDING}
    return Intent(job, subject=serial, **{**usual, **about})


def lines_of(log: tuple[LogEntry, ...]) -> bytes:
    return export_lines(Export(log))


def entries_of(data: bytes) -> tuple[LogEntry, ...]:
    return import_lines(data).log


def log_of(*happenings: Happening) -> tuple[LogEntry, ...]:
    log: tuple[LogEntry, ...] = ()
    for at, what in enumerate(happenings, start=1_700_000_000):
        log = (*log, append(log, what, at=at))
    return log


LOG = log_of(
    intent(),
    result(),
    intent(JOBS[1]),
    Failure(JOBS[1], "token unplugged"),
    intent(JOBS[2]),
    intent(JOBS[3], ("ann", "bob", "eve")),
    result(JOBS[2]),
    listed(),
    result(JOBS[4]),
)


def test_the_chain_holds():
    verify_chain(LOG)
    assert [entry.number for entry in LOG] == list(range(9))
    assert LOG[0].previous == NOTHING_BEFORE
    assert all(entry.previous == before.digest for before, entry in pairwise(LOG))
    assert open_intents(LOG) == (LOG[5].what,)


def test_the_same_events_give_the_same_log():
    assert log_of(*(entry.what for entry in LOG)) == LOG


def test_the_chain_can_be_checked_with_sha256sum_alone():
    lines = lines_of(LOG).splitlines()
    for before, line in pairwise(lines):
        assert json.loads(line)["previous"] == hashlib.sha256(before).hexdigest()


def test_an_exported_line_as_it_stands():
    assert lines_of(LOG[:1]).decode() == (
        '{"approvers":["ann","bob"],"at":1700000000,"job":"00000000000000000000000000000000","kind":"intent",'
        '"number":0,"previous":"' + 64 * "0" + '","role":"module","subject":"SM-1",'
        '"to_be_signed":"308220746f206265207369676e6564"}\n'
    )


def test_export_and_import():
    assert entries_of(lines_of(LOG)) == LOG
    assert entries_of(b"") == ()


def test_a_list_as_it_is_exported():
    assert lines_of(LOG[7:8]).decode() == (
        '{"added":["' + 32 * "0" + '","' + 32 * "f" + '"],"approvers":["ann","bob"],"at":1700000007,'
        '"digest":"' + 32 * "64" + '","job":"' + 16 * "04" + '","kind":"list","list_number":1,'
        '"next_update":1800000000,"number":7,"previous":"' + LOG[6].digest.hex() + '"}\n'
    )


def test_lists_are_counted_without_gaps():
    assert last_list(()) == 0
    assert last_list(LOG) == 1
    assert last_list(log_of(listed(), Failure(JOBS[4], "gone"), listed(2, JOBS[3]))) == 2
    assert open_intents(log_of(listed())) == (listed(),)


def test_a_standing_approval_and_its_use_as_they_are_exported():
    begun, use, ended = lines_of(log_of(standing(), used(), StandingEnded(STANDING))).decode().splitlines()
    assert '"days":365,"job":"' + 16 * "73" + '","kind":"standing","most":2,' in begun
    assert '"serials":["SM-1","SM-2*"],"until":1800000000}' in begun
    assert '"standing":"' + 16 * "73" + '"' in use
    assert '"kind":"withdrawal"' in ended
    log = log_of(standing(), used(), result(), StandingEnded(STANDING), intent(JOBS[3]))
    assert entries_of(lines_of(log)) == log
    assert b'"standing":' not in log[-1].line, "what two people approved for this job alone names none"


def test_what_is_left_of_standing_approvals_is_what_the_log_says():
    log = log_of(standing(3), used(), Failure(JOBS[0], "gone"), used(JOBS[1], "SM-22"))
    held = standing_in(log)[STANDING]
    assert (held.used, held.left) == (2, 1), "what failed was used all the same"
    for serial, covered in (("SM-1", True), ("SM-2", True), ("SM-29", True), ("SM-11", False), ("SM-", False)):
        assert held.covers(serial, 1_800_000_000) is covered
        assert not held.covers(serial, 1_800_000_001)
    assert standing_in(log_of(standing(), StandingEnded(STANDING))) == {}


def test_s6_an_intent_beyond_its_standing_approval_is_no_log():
    """By number, time, serial number, role, people, and after its end."""
    refused = {
        "never begun": ((), used()),
        "withdrawn": ((standing(), StandingEnded(STANDING)), used()),
        "used up": ((standing(), used(), used(JOBS[1])), used(JOBS[2])),
        "another module": ((standing(),), used(serial="SM-3")),
        "a unit": ((standing(),), used(role="unit")),
        "other people": ((standing(),), used(approvers=("ann", "eve"))),
        "too late": ((standing(until=1_700_000_000),), used()),
    }
    for what, (before, beyond) in refused.items():
        log = log_of(*before)
        with pytest.raises(UsageError, match="beyond its standing approval"):
            pytest.fail(f"{what}: {append(log, beyond, at=1_700_000_009)}")
        forged = LogEntry(len(log), log[-1].digest if log else NOTHING_BEFORE, 1_700_000_009, beyond)
        with pytest.raises(LogBroken, match="beyond its standing approval"):
            pytest.fail(f"{what}: {verify_chain((*log, forged))}")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (standing(0), "for nothing"),
        (standing(serials=()), "for nothing"),
        (replace(standing(), approvers=("ann",)), "two different approvers"),
        (StandingEnded(JOBS[0]), "no such standing approval"),
        (Result(STANDING, bytes(64), bytes(32)), "result without an open intent"),
    ],
)
def test_standing_approvals_that_are_none(what, message):
    with pytest.raises(UsageError, match=message):
        append(log_of(intent()), what, at=2_000_000_000)


# Appending ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "what", "message"),
    [
        ((), intent(approvers=("ann",)), "two different approvers"),
        ((), intent(approvers=("ann", "ann")), "two different approvers"),
        ((), intent(approvers=("bob", "ann")), "two different approvers"),
        ((), result(), "result without an open intent"),
        ((), Failure(JOBS[0], ""), "failure without an open intent"),
        (log_of(intent()), intent(), "second intent for one job"),
        (log_of(intent(), result()), intent(), "second intent for one job"),
        (log_of(intent(), result()), result(), "result without an open intent"),
        (log_of(intent(), result()), Failure(JOBS[0], ""), "failure without an open intent"),
        (log_of(intent(), Failure(JOBS[0], "")), result(), "result without an open intent"),
        (log_of(intent()), result(JOBS[1]), "result without an open intent"),
        ((), listed(0), "list 0 instead of 1"),
        ((), listed(2), "list 2 instead of 1"),
        (log_of(listed()), listed(1, JOBS[3]), "list 1 instead of 2"),
        (log_of(listed()), listed(2), "second intent for one job"),
        (log_of(listed(), Failure(JOBS[4], "")), result(JOBS[4]), "result without an open intent"),
        ((), listed(approvers=("ann",)), "two different approvers"),
        ((), listed(approvers=("bob", "ann")), "two different approvers"),
    ],
)
def test_what_does_not_follow_is_neither_appended_nor_accepted(log, what, message):
    with pytest.raises(UsageError, match=message):
        append(log, what, at=2_000_000_000)
    forged = LogEntry(len(log), log[-1].digest if log else NOTHING_BEFORE, 2_000_000_000, what)
    with pytest.raises(LogBroken, match=message) as caught:
        verify_chain((*log, forged))
    assert caught.value.number == len(log)


def test_a_clock_set_back_does_not_turn_the_log_back():
    log = log_of(intent())
    entry = append(log, result(), at=5)
    assert entry.at == log[0].at
    verify_chain((*log, entry))


# Tampering ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(LOG) - 1))
def test_a_missing_entry_is_noticed(number):
    with pytest.raises(LogBroken) as caught:
        verify_chain(LOG[:number] + LOG[number + 1 :])
    assert caught.value.number == number


@pytest.mark.parametrize("number", range(len(LOG) - 1))
def test_an_altered_entry_is_noticed_at_the_next(number):
    altered = replace(LOG[number], at=LOG[number + 1].at)
    with pytest.raises(LogBroken, match="digest of the entry before") as caught:
        verify_chain((*LOG[:number], altered, *LOG[number + 1 :]))
    assert caught.value.number == number + 1


def test_time_that_goes_back_is_noticed():
    first = log_of(intent())[0]
    with pytest.raises(LogBroken, match="time goes back"):
        verify_chain((first, LogEntry(1, first.digest, first.at - 1, result())))


def test_entries_in_another_order_are_noticed():
    with pytest.raises(LogBroken, match="expected 4, got 5"):
        verify_chain((*LOG[:4], LOG[5], LOG[4], LOG[6]))


@given(data=st.data())
def test_one_changed_byte_of_an_export_is_noticed_unless_in_the_last_line(data):
    export = lines_of(LOG)
    last = export.rindex(b"\n", 0, -1)
    at = data.draw(st.integers(0, last))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != export[at]))
    with pytest.raises(LogBroken):
        entries_of(export[:at] + bytes([byte]) + export[at + 1 :])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"number":1e999}',
        LOG[0].line.replace(b'"number":0', b'"number":false'),
        LOG[0].line.replace(b'"number":0', b'"number":0.0'),
        LOG[0].line.replace(b'"number":0', b'"number":0,"number":0'),
        LOG[0].line.replace(b'"kind":"intent"', b'"kind":"confession"'),
        LOG[0].line.replace(b'"ann"', b"7"),
        LOG[0].line.replace(b'"role"', b'"rule"'),
        LOG[0].line.replace(b'"job":"00', b'"job":"0G'),
        LOG[0].line.replace(b'"subject":"SM-1"', b'"subject":"SM-1","more":1'),
        LOG[0].line.replace(b",", b", "),
        LOG[0].line + b"\r",
        LOG[7].line.replace(b'"list_number":1', b'"list_number":true'),
        LOG[7].line.replace(b'"next_update":1800000000', b'"next_update":1800000000.0'),
        LOG[7].line.replace(b'"next_update":1800000000', b'"next_update":9223372036854775808'),
        LOG[7].line.replace(b'"added":[', b'"added":[7,'),
        LOG[7].line.replace(b'"digest"', b'"digests"'),
    ],
)
def test_other_lines_are_refused(line):
    with pytest.raises(LogBroken, match="entry 0: not an entry"):
        entries_of(line + b"\n")


def test_a_log_cut_within_a_line_is_refused():
    export = lines_of(LOG)
    with pytest.raises(LogBroken, match="ends too early"):
        entries_of(export[:-1])


def test_what_comes_after_verified_entries_is_looked_at_as_if_all_were():
    """Whatever is bent, doubled or missing behind the place where one goes on is found as from the beginning."""
    whole = log_of(intent(), result(), standing(), used(JOBS[1]), result(JOBS[1]), listed(), result(JOBS[4]))
    for after in range(len(whole) + 1):
        verify_chain(whole, after=after)
        for at in range(after, len(whole)):
            entry = whole[at]
            bent = [
                replace(entry, at=-1),
                replace(entry, previous=bytes(31) + b"1"),
                replace(entry, number=99),
            ]
            broken = [(*whole[:at], each, *whole[at + 1 :]) for each in bent]
            broken += [(*whole[: at + 1], entry, *whole[at + 1 :]), (*whole[:at], *whole[at + 1 :], entry)]
            for log in map(tuple, broken):
                faults = []
                for begin in (0, after):
                    try:
                        verify_chain(log, after=begin)
                    except LogBroken as error:
                        faults.append(str(error))
                    else:
                        faults.append("")
                assert faults[0] == faults[1]
