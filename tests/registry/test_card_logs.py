"""Logs of cards in the registry, the same in memory and in a database (L12)."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from registries import ENTRY, ISSUER, about

from insitu.protocol.engine import StateError
from insitu.protocol.stores.card_log import LogEntry, Result
from insitu.protocol.stores.card_logs import CardLog, LogDoubt, Logged, LogGrowth, all_lines
from insitu.protocol.stores.registry import NotInRegistry, Registry, RegistryConflict, check_chain
from insitu.registry import open_registry


def card_entries(count: int, first: int = 0, tag: str = "") -> tuple[LogEntry, ...]:
    """Entries whose chain nobody looks at here."""
    return tuple(
        LogEntry(number, bytes(32), 100 + number, Result(b"j" * 16, bytes(64), f"{tag}{number}".encode().ljust(32)))
        for number in range(first, first + count)
    )


def growth(count: int, before: int = 0, tag: str = "") -> LogGrowth:
    log = CardLog(ISSUER.fingerprint, before + count, b"d" * 32, 7, 100 + before + count, b"head", b"receipt", 300)
    return LogGrowth(log, before, card_entries(count, before, tag))


def test_a_log_that_was_never_read(known: Registry):
    assert known.card_log(ISSUER.fingerprint) == CardLog(ISSUER.fingerprint)
    assert known.card_log_lines(ISSUER.fingerprint) == ()
    assert about(known).logged == Logged(holds=False)


def test_a_log_grows_and_names_certificates(known: Registry):
    known.grow_log(growth(3), actor="central", at=5)
    known.grow_log(growth(2, 3), actor="central", at=6)
    log = known.card_log(ISSUER.fingerprint)
    assert log == growth(2, 3).log
    lines = tuple(entry.line for entry in card_entries(5))
    assert all_lines(known, ISSUER.fingerprint) == lines
    assert known.card_log_lines(ISSUER.fingerprint, after=1, limit=2) == lines[1:3]
    signed = replace(ENTRY, fingerprint=b"4".ljust(32))
    assert about(known, signed).logged == Logged(holds=True, through=105)
    assert about(known, replace(signed, issuer=b"x" * 32)).logged == Logged(holds=False)
    assert about(known).logged == Logged(holds=False, through=105)
    assert [entry.action for entry in known.audit()][-2:] == ["log read", "log read"]
    assert known.audit()[-1].detail.split(", ")[1] == "entries 3 to 4"
    check_chain(known.audit())


def test_nothing_new_says_nothing_but_how_long_ago(known: Registry):
    known.grow_log(growth(3), actor="central", at=5)
    audit = known.audit()
    later = replace(growth(3).log, read=900, receipt=b"another")
    known.grow_log(LogGrowth(later, 3, ()), actor="central", at=6)
    assert (known.card_log(ISSUER.fingerprint), known.audit()) == (later, audit)


def test_of_two_that_read_one_log_the_second_is_told(known: Registry):
    known.grow_log(growth(3), actor="central", at=5)
    for other in (growth(2, 0, "x"), growth(2, 2, "x"), growth(2, 4, "x")):
        with pytest.raises(RegistryConflict):
            known.grow_log(other, actor="central", at=6)
    assert len(all_lines(known, ISSUER.fingerprint)) == 3
    assert known.card_log(ISSUER.fingerprint) == growth(3).log


def test_a_doubt_stays_and_nothing_grows_after_it(known: Registry):
    known.grow_log(growth(3), actor="central", at=5)
    for reason in ("first", "second"):
        known.doubt_log(LogDoubt(ISSUER.fingerprint, reason), actor="central", at=6)
    assert known.card_log(ISSUER.fingerprint) == replace(growth(3).log, doubt="first")
    assert about(known).logged == Logged(holds=False, through=103, doubt="first")
    with pytest.raises(StateError, match="in doubt"):
        known.grow_log(growth(2, 3), actor="central", at=7)
    assert [entry.action for entry in known.audit()].count("log doubted") == 1


def test_a_card_in_doubt_that_was_never_read(known: Registry):
    known.doubt_log(LogDoubt(ISSUER.fingerprint, "made outside"), actor="central", at=6)
    assert known.card_log(ISSUER.fingerprint) == CardLog(ISSUER.fingerprint, doubt="made outside")


def test_logs_of_cards_that_nobody_knows(registry: Registry):
    with pytest.raises(NotInRegistry):
        registry.grow_log(growth(1), actor="central", at=5)
    with pytest.raises(NotInRegistry):
        registry.doubt_log(LogDoubt(ISSUER.fingerprint, "x"), actor="central", at=5)
    assert registry.card_log(ISSUER.fingerprint) == CardLog(ISSUER.fingerprint)


def test_the_database_itself_lets_nobody_change_what_was_read(tmp_path: Path):
    path = tmp_path / "registry.db"
    registry = open_registry(str(path))
    registry.trust(ISSUER, actor="alice", at=1)
    registry.grow_log(growth(3), actor="central", at=5)
    registry.close()
    with sqlite3.connect(path) as connection:
        for statement in ("UPDATE card_log_entries SET line = x'00'", "DELETE FROM card_log_entries"):
            with pytest.raises(sqlite3.IntegrityError, match="only grows"):
                connection.execute(statement)
    connection.close()
