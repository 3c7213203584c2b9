from __future__ import annotations

from dataclasses import replace

import pytest
from world import World, memory

from insitu.protocol.engine import KeyKind, Persist, Show, UsageError
from insitu.protocol.keys.port import KeyMissing
from insitu.protocol.keys.vault import Vault
from insitu.protocol.messages import DecodeError, ManufacturerRecord, ModuleRecord, decode_record, encode_record
from insitu.protocol.ports import perform
from insitu.protocol.stores.atomic import ErasureFailed, StoreFailed, StoreUncertain
from insitu.protocol.stores.counter import CounterFailed
from insitu.shell.keeping import Keeping, wall_clock


@pytest.fixture
def record(world: World) -> ModuleRecord:
    return world.module.record


@pytest.fixture
def keeping() -> Keeping[ModuleRecord]:
    vault = memory("keeping")
    vault.generate("identity", KeyKind.P256, b"")
    vault.commit(b"", frozenset({"identity"}))
    vault._record = None
    return Keeping(vault, ModuleRecord)


def failing(vault: Vault, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(vault, "_make_durable", fail)


def test_the_record_is_that_of_the_last_commit_also_after_a_restart(keeping, record):
    assert keeping.record is None
    keeping.commit(record)
    assert keeping.record == record
    assert keeping.vault.labels() == {"identity"}
    assert Keeping(keeping.vault, ModuleRecord).record == record
    assert decode_record(ModuleRecord, keeping.vault.record) == record


def test_a_commit_without_names_keeps_exactly_what_was_durable(keeping, record):
    keeping.vault.generate("session", KeyKind.P256, b"")
    keeping.commit(record)
    assert keeping.vault.labels() == {"identity"}
    keeping.vault.generate("operating-0", KeyKind.P256, b"")
    keeping.commit(record, frozenset({"identity", "operating-0"}))
    keeping.commit(record)
    assert keeping.vault.labels() == {"identity", "operating-0"}
    keeping.commit(record, frozenset({"identity"}))
    keeping.commit(record)
    assert keeping.vault.labels() == {"identity"}


def test_what_refuses_to_be_written_changes_nothing(keeping, record, monkeypatch):
    keeping.commit(record)
    failing(keeping.vault, StoreFailed("full"), monkeypatch)
    with pytest.raises(StoreFailed):
        keeping.commit(replace(record, epoch=7), frozenset())
    assert keeping.record == record
    monkeypatch.undo()
    with pytest.raises(KeyMissing):
        keeping.commit(replace(record, epoch=7), frozenset({"nobody"}))
    assert keeping.record == record
    keeping.commit(record)
    assert keeping.vault.labels() == {"identity"}


def test_what_was_written_counts_although_the_old_content_is_still_there(keeping, record, monkeypatch):
    keeping.commit(record)
    failing(keeping.vault, ErasureFailed("old content"), monkeypatch)
    with pytest.raises(ErasureFailed):
        keeping.commit(replace(record, epoch=7), frozenset())
    monkeypatch.undo()
    assert keeping.record == replace(record, epoch=7)
    assert keeping.vault.labels() == frozenset()
    keeping.commit(record)


def test_what_is_not_known_is_not_guessed(keeping, record, monkeypatch):
    keeping.commit(record)
    failing(keeping.vault, StoreUncertain("names"), monkeypatch)
    with pytest.raises(StoreUncertain):
        keeping.commit(replace(record, epoch=7))
    monkeypatch.undo()
    with pytest.raises(StoreUncertain, match="not known"):
        _ = keeping.record


def test_the_ports_store_records_of_this_party_only(keeping, record, world: World):
    shown: list[object] = []
    ports = keeping.ports(shown.append)
    perform(Persist(record), ports)
    perform(Show("note"), ports)
    assert (keeping.record, shown) == (record, ["note"])
    other = ManufacturerRecord(name="x", root=world.root)
    with pytest.raises(UsageError, match="not a record of this party"):
        perform(Persist(other), ports)
    assert keeping.record == record


def test_a_record_of_another_party_is_not_read(world: World):
    vault = memory("other")
    vault.commit(encode_record(ManufacturerRecord(name="x", root=world.root)), frozenset())
    with pytest.raises(DecodeError):
        Keeping(vault, ModuleRecord)


def test_the_wall_clock_is_in_unix_seconds():
    assert 1_700_000_000 < wall_clock() < 10_000_000_000


def test_a_program_whose_counter_did_not_follow_ends_and_begins_anew(keeping, record):
    """It would refuse every write from then on, and go on telling that nothing works."""

    def after(_: ModuleRecord) -> None:
        raise CounterFailed("gone", who="counter")

    keeping.commit(record)
    keeping.after = after
    with pytest.raises(CounterFailed):
        keeping.commit(record.written())
    with pytest.raises(StoreUncertain, match="did not follow"):
        _ = keeping.record
    assert Keeping(keeping.vault, ModuleRecord).record == record.written()
