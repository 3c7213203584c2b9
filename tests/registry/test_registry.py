"""The registry's rules, the same in memory and in a database."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from postgres_server import Server
from registries import ENTRY, ISSUER, about
from sqlalchemy.exc import DBAPIError

from insitu.fuzz import TARGETS, fuzz
from insitu.fuzz.targets.registry_calls import RegistryCalls
from insitu.protocol.engine import StateError, UsageError
from insitu.protocol.messages.fields import COUNT_MAX
from insitu.protocol.stores.registry import (
    AuditEntry,
    Change,
    CommandKind,
    CommandState,
    Crl,
    Delivery,
    ModuleEntry,
    NotInRegistry,
    Registry,
    RegistryAway,
    RegistryConflict,
    RegistryDamaged,
    Standing,
    Transaction,
    check_chain,
)
from insitu.registry import open_registry

PAID = Transaction("SM-1", 3, 0, "1111", "2222", 5000, "EUR", 210)


def current(registry: Registry, serial: str = "SM-1") -> ModuleEntry:
    entry = registry.module(serial)
    assert entry is not None
    return entry


def test_an_empty_registry_knows_nobody(registry: Registry):
    found = about(registry)
    assert (found.entry, found.retired, found.revoked, found.issuer) == (None, False, False, None)
    assert (
        registry.modules() == registry.issuers() == registry.deliveries() == registry.audit() == registry.crls() == ()
    )
    assert registry.next_command("SM-1") is None
    assert registry.transaction("SM-1", 1) is None
    registry.check()


def test_what_is_written_is_there(known: Registry):
    assert known.issuers() == (ISSUER,)
    assert current(known) == replace(ENTRY, version=1)
    found = about(known)
    assert (found.entry, found.issuer, found.retired) == (current(known), ISSUER, False)


def test_an_entry_is_replaced_only_in_the_version_that_was_read(known: Registry):
    for version in (0, 2, 7):
        with pytest.raises(RegistryConflict):
            known.commit(Change(replace(ENTRY, epoch=9, version=version)), at=3)
    assert current(known) == replace(ENTRY, version=1)
    known.commit(Change(replace(ENTRY, epoch=1, version=1)), at=3)
    assert (current(known).epoch, current(known).version) == (1, 2)


def test_a_change_is_all_or_nothing(known: Registry):
    delivery = Delivery("SM-1", 4, b"payload", 5)
    with pytest.raises(RegistryConflict):
        known.commit(Change(replace(ENTRY, version=9), transaction=PAID, delivery=delivery), at=5)
    assert known.transaction("SM-1", 3) is None
    assert known.deliveries() == ()
    known.commit(Change(replace(ENTRY, version=1), transaction=PAID, delivery=delivery), at=5)
    assert known.transaction("SM-1", 3) == PAID
    assert known.deliveries() == (replace(delivery, id=1),)


def test_a_displaced_certificate_is_retired_for_good(known: Registry):
    known.commit(Change(replace(ENTRY, fingerprint=b"g" * 32, version=1)), at=3)
    assert about(known).retired
    known.commit(Change(replace(ENTRY, fingerprint=b"h" * 32, version=2)), at=3)
    assert about(known).retired
    assert not about(known, replace(ENTRY, fingerprint=b"h" * 32)).retired


def test_a_transaction_is_decided_and_settled_in_its_place(known: Registry):
    decided = replace(PAID, approved=True, instructed=5000, reference="r")
    settled = replace(decided, paid=4000, settled=300)
    for version, transaction in enumerate((PAID, decided, settled), 1):
        known.commit(Change(replace(ENTRY, version=version), transaction=transaction), at=4)
        assert known.transactions("SM-1") == (transaction,)
    assert known.transactions("SM-1", after=3) == known.transactions("SM-2") == ()


def test_the_greatest_numbers_that_a_module_can_tell_are_kept(known: Registry):
    """What a message may carry, a database takes: no module, genuine or not, can make a write fail for good."""
    most = COUNT_MAX
    entry = replace(current(known), epoch=most, generation=most, last_number=most)
    known.commit(Change(entry, transaction=replace(PAID, number=most, amount=most, paid=most)), at=3)
    assert (current(known).generation, current(known).last_number) == (most, most)
    assert known.transaction("SM-1", most) == replace(PAID, number=most, amount=most, paid=most)


def test_payloads_come_once_and_in_order(known: Registry):
    for version, number in enumerate((1, 2, 2, 3), 1):
        delivery = Delivery("SM-1", number, bytes([version]), 5)
        known.commit(Change(replace(ENTRY, version=version), delivery=delivery), at=5)
    assert [(each.id, each.number, each.payload) for each in known.deliveries()] == [
        (1, 1, b"\1"),
        (2, 2, b"\2"),
        (3, 3, b"\4"),
    ]
    assert [each.id for each in known.deliveries(after=1, limit=1)] == [2]


def test_commands_wait_in_order_until_they_are_concluded(known: Registry):
    first, second = (known.put_command("SM-1", CommandKind.INSTRUCT, text, actor="a", at=3) for text in (b"1", b"2"))
    assert (first.number, second.number, known.next_command("SM-1")) == (1, 2, first)
    assert known.attention().waiting == {"SM-1"}
    known.commit(Change(replace(ENTRY, version=1), concluded=(1, CommandState.DONE, "received")), at=4)
    assert known.next_command("SM-1") == second
    known.commit(Change(replace(ENTRY, standing=Standing.RESET, version=2)), at=5)
    assert [each.state for each in known.commands("SM-1")] == [CommandState.DONE, CommandState.VOID]
    assert known.put_command("SM-1", CommandKind.REVOKE, b"3", actor="a", at=6).number == 3
    with pytest.raises(NotInRegistry):
        known.put_command("SM-9", CommandKind.INSTRUCT, b"", actor="a", at=3)


def test_an_ordered_reset_is_noticed_and_makes_open_sessions_fail(known: Registry):
    known.order_reset("SM-1", actor="bob", at=3)
    assert current(known).standing is Standing.RESET_ORDERED
    assert known.attention().waiting == {"SM-1"}
    with pytest.raises(RegistryConflict):
        known.commit(Change(replace(ENTRY, version=1)), at=4)
    known.order_reset("SM-1", actor="bob", at=3)
    known.commit(Change(replace(current(known), standing=Standing.RESET)), at=5)
    with pytest.raises(StateError, match="cannot be reset"):
        known.order_reset("SM-1", actor="bob", at=6)
    with pytest.raises(NotInRegistry):
        known.order_reset("SM-9", actor="bob", at=6)


def test_s5_a_disabled_module_stays_so_until_it_is_enabled(known: Registry):
    known.put_command("SM-1", CommandKind.INSTRUCT, b"", actor="a", at=3)
    known.disable_module("SM-1", actor="bob", at=4, reason="stolen")
    assert known.attention().disabled == {"SM-1"}
    assert known.next_command("SM-1") is None
    for forbidden in (
        lambda: known.put_command("SM-1", CommandKind.INSTRUCT, b"", actor="a", at=3),
        lambda: known.order_reset("SM-1", actor="a", at=3),
    ):
        with pytest.raises(StateError):
            forbidden()
    known.enable_module("SM-1", actor="bob", at=5)
    assert current(known).standing is Standing.RESET
    with pytest.raises(StateError):
        known.enable_module("SM-1", actor="bob", at=5)


def test_s5_a_lost_key_is_never_trusted_again(known: Registry):
    known.disable_issuer(ISSUER.fingerprint, lost=50, keep_known=True, actor="bob", at=60)
    assert about(known).issuer == replace(ISSUER, lost=50, keep_known=True)
    assert known.attention().lost == {ISSUER.fingerprint}
    known.disable_issuer(ISSUER.fingerprint, lost=70, keep_known=True, actor="bob", at=80)
    assert about(known).issuer.lost == 50  # the earlier time counts
    known.disable_issuer(ISSUER.fingerprint, lost=40, keep_known=False, actor="bob", at=80)
    known.disable_issuer(ISSUER.fingerprint, lost=40, keep_known=True, actor="bob", at=80)
    assert about(known).issuer == replace(ISSUER, lost=40, keep_known=False)  # kept modules can only be dropped
    with pytest.raises(StateError, match="was disabled"):
        known.trust(ISSUER, actor="bob", at=90)
    with pytest.raises(NotInRegistry):
        known.disable_issuer(bytes(32), lost=1, keep_known=False, actor="bob", at=1)


def test_s5_lists_of_issuers_are_honoured_and_never_go_back(known: Registry):
    def listed(number: int, *revoked: int, issuer: bytes = ISSUER.fingerprint) -> Crl:
        return Crl(issuer, number, bytes([number, len(revoked)]), frozenset(revoked), 999)

    known.import_crl(listed(2, ENTRY.certificate_number), actor="a", at=3)
    assert about(known).revoked
    assert known.attention().disabled == {"SM-1"}
    known.import_crl(listed(2, ENTRY.certificate_number), actor="a", at=3)
    for wrong in (listed(1), listed(2)):
        with pytest.raises(StateError):
            known.import_crl(wrong, actor="a", at=3)
    known.import_crl(listed(3), actor="a", at=3)
    assert not about(known).revoked
    known.import_crl(listed(1, ISSUER.certificate_number, issuer=ISSUER.root), actor="a", at=3)
    assert about(known).revoked
    assert known.attention().lost == {ISSUER.fingerprint}
    assert {crl.issuer: crl.number for crl in known.crls()} == {ISSUER.fingerprint: 3, ISSUER.root: 1}


def test_modules_come_page_by_page(registry: Registry):
    for number in range(25):
        registry.commit(Change(replace(ENTRY, serial=f"SM-{number:02}")), at=1)
    seen: list[str] = []
    while page := registry.modules(after=seen[-1] if seen else "", limit=10):
        seen += [entry.serial for entry in page]
    assert seen == [f"SM-{number:02}" for number in range(25)]


def test_the_audit_trail_is_a_chain(known: Registry):
    known.order_reset("SM-1", actor="bob", at=9)
    trail = known.audit()
    assert [(each.number, each.actor, each.action) for each in trail] == [
        (1, "alice", "trusted"),
        (2, "central", "registered"),
        (3, "bob", "reset ordered"),
    ]
    check_chain(trail)
    check_chain(known.audit(after=1), trail[0].digest)
    for spoiled in (trail[1:], (trail[0], trail[2]), (replace(trail[0], actor="mallory"), *trail[1:])):
        with pytest.raises(RegistryDamaged):
            check_chain(spoiled)
    assert isinstance(trail[0], AuditEntry)


def test_of_many_writers_each_version_has_one(known: Registry):
    """Threads that all read the same version: one gets through each time, the others are told."""
    won: list[int] = []
    barrier = threading.Barrier(4)

    def write() -> None:
        for _ in range(10):
            entry = current(known)
            barrier.wait()
            try:
                known.commit(Change(entry, delivery=Delivery("SM-1", entry.version, b"", 1), note=("noted", "")), at=1)
            except RegistryConflict:
                continue
            finally:
                barrier.wait()
            won.append(entry.version)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(1, 11))
    assert [each.id for each in known.deliveries()] == list(range(1, 11))
    check_chain(known.audit())


# The database ------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


def test_it_lasts_and_others_may_not_read_it(path: Path):
    first = open_registry(str(path))
    first.trust(ISSUER, actor="alice", at=1)
    second = open_registry(f"sqlite:///{path}")
    assert second.issuers() == (ISSUER,)
    assert path.stat().st_mode & 0o777 == 0o600
    first.close()
    second.close()
    assert repr(second) == "<SqlRegistry sqlite>"


def test_the_database_itself_lets_nobody_change_the_audit_trail(path: Path):
    made = open_registry(str(path))
    made.trust(ISSUER, actor="alice", at=1)
    made.close()
    with sqlite3.connect(path) as raw:
        for statement in ("UPDATE audit SET actor = 'mallory'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.DatabaseError, match="only grows"):
                raw.execute(statement)
    raw.close()


def test_a_locked_database_is_away_and_comes_back(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("insitu.registry.opening.LOCK_SECONDS", 0.05)
    made = open_registry(str(path))
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(RegistryAway, match="locked") as caught:
        made.trust(ISSUER, actor="alice", at=1)
    assert caught.value.__cause__ is None
    raw.execute("ROLLBACK")
    raw.close()
    made.trust(ISSUER, actor="alice", at=1)
    made.close()


def test_a_full_disk_writes_nothing(path: Path):
    made: Any = open_registry(str(path))
    made.trust(ISSUER, actor="alice", at=1)
    made.commit(Change(ENTRY), at=1)
    with made._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RegistryAway, match="full") as caught:
        made.put_command("SM-1", CommandKind.INSTRUCT, b"secret payload" * 4000, actor="a", at=1)
    assert "secret" not in f"{caught.value}{caught.value!r}"
    assert made.commands("SM-1") == ()
    with made._engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 100}")
    made.put_command("SM-1", CommandKind.INSTRUCT, b"payload" * 4000, actor="a", at=1)
    assert [command.number for command in made.commands("SM-1")] == [1], "there is room again, and no gap"
    check_chain(made.audit())
    made.close()


def test_what_is_no_database_is_damaged(path: Path):
    path.write_bytes(b"this is no database, but long enough to look at" * 100)
    with pytest.raises(RegistryDamaged):
        open_registry(str(path))


def test_a_schema_of_a_later_version_is_refused(path: Path):
    open_registry(str(path)).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(StateError, match="later version"):
        open_registry(str(path))


def test_programs_that_start_together_set_it_up_once(path: Path):
    opened: list[Registry] = []
    threads = [threading.Thread(target=lambda: opened.append(open_registry(str(path)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for made in opened:
        made.check()
        made.close()


def test_threads_of_one_process_never_find_the_file_locked(path: Path, monkeypatch: pytest.MonkeyPatch):
    """They take turns, although here a lock that is met is waited for not even once."""
    monkeypatch.setattr("insitu.registry.opening.LOCK_SECONDS", 0)
    made = open_registry(str(path))
    told: list[Exception] = []

    def write(first: int) -> None:
        for number in range(first, first + 10):
            try:
                made.trust(replace(ISSUER, fingerprint=number.to_bytes(32, "big")), actor="alice", at=1)
            except RegistryAway as error:
                told.append(error)

    threads = [threading.Thread(target=write, args=(10 * each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == []
    assert len(made.issuers()) == 80
    check_chain(made.audit())
    made.close()


def test_who_gets_no_turn_is_told(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("insitu.registry.sql.TURN_SECONDS", 0.01)
    made = open_registry(str(path))
    with made._turn, pytest.raises(RegistryAway, match="expected a turn to write"):
        made.trust(ISSUER, actor="alice", at=1)
    made.trust(ISSUER, actor="alice", at=1)
    made.close()


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "no such\0url://"])
def test_other_urls(url: str):
    with pytest.raises((UsageError, RegistryAway)):
        open_registry(url)


def test_a_password_in_a_url_does_not_show():
    with pytest.raises(RegistryAway) as caught:
        open_registry("postgresql://user:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in f"{caught.value}{caught.value!r}"


def test_a_directory_that_is_not_there(tmp_path: Path):
    with pytest.raises(UsageError, match="can be written"):
        open_registry(str(tmp_path / "nowhere" / "registry.db"))


# PostgreSQL ----------------------------------------------------------------------------------------------------


def test_a_server_that_goes_away_comes_back(server: Server):
    """Nothing is half written meanwhile, and the program need not be started again."""
    made = open_registry(server.database())
    made.trust(ISSUER, actor="alice", at=1)
    server.stop()
    for _ in range(2):
        with pytest.raises(RegistryAway) as caught:
            made.commit(Change(ENTRY), at=2)
        assert caught.value.__cause__ is None
    with pytest.raises(RegistryAway):
        made.check()
    server.start()
    made.check()
    assert made.modules() == ()
    made.commit(Change(ENTRY), at=3)
    assert made.issuers() == (ISSUER,)
    made.close()


def test_the_server_lets_nobody_change_the_audit_trail(server: Server):
    made: Any = open_registry(server.database())
    made.trust(ISSUER, actor="alice", at=1)
    for statement in ("UPDATE audit SET actor = 'mallory'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(DBAPIError, match="only grows"), made._engine.begin() as connection:
            connection.exec_driver_sql(statement)
    check_chain(made.audit())
    made.close()


WRITER = """
import sys
from dataclasses import replace
from insitu.registry import open_registry
from insitu.protocol.stores.registry import Change, Delivery, RegistryConflict
registry = open_registry(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2]), 1000, 2):
    while True:
        entry = registry.module("SM-1")
        try:
            delivery = Delivery("SM-1", number, b"x", 1)
            registry.commit(Change(entry, delivery=delivery, note=("noted", str(number))), at=1)
        except RegistryConflict:
            continue
        print(number, flush=True)
        break
    if number >= 40:
        break
registry.close()
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_processes_lose_nothing_and_leave_no_gap(request: pytest.FixtureRequest, tmp_path: Path, kind: str):
    url = str(tmp_path / "r.db") if kind == "sqlite" else request.getfixturevalue("server").database()
    made = open_registry(url)
    made.commit(Change(ENTRY), at=1)
    words = [sys.executable, "-c", WRITER, url]
    about: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen([*words, first], **about) for first in ("0", "1")]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    acknowledged = [int(line) for writer in writers for line in writer.communicate(timeout=60)[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(each.number for each in made.deliveries()) == sorted(acknowledged) == list(range(42))
    assert [each.id for each in made.deliveries()] == list(range(1, 43))
    check_chain(made.audit())
    made.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_was_acknowledged_outlives_a_kill(request: pytest.FixtureRequest, tmp_path: Path, kind: str):
    url = str(tmp_path / "r.db") if kind == "sqlite" else request.getfixturevalue("server").database()
    made = open_registry(url)
    made.commit(Change(ENTRY), at=1)
    words = [sys.executable, "-c", WRITER, url, "0"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        writer.stdout.readline()
        writer.stdin.write("go\n")
        writer.stdin.flush()
        told = [int(writer.stdout.readline()) for _ in range(5)]
        writer.kill()
        told += [int(line) for line in writer.stdout.read().split()]
    assert {each.number for each in made.deliveries()} >= set(told)
    check_chain(made.audit())
    made.trust(ISSUER, actor="alice", at=1)
    made.close()


def test_postgresql_says_what_the_registry_in_memory_says(server: Server):
    """As the target does with SQLite, for its seeds and what mutation makes of them."""
    target = TARGETS["registry-calls"]
    report = fuzz(replace(target, make=lambda: RegistryCalls(server.database())), runs=40, seed=2)
    assert [finding.trace for finding in report.findings] == []
    assert len(report.outcomes) > 3
