"""The registry in a file, into which somebody has written past the central system (needs the extra central)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from ...protocol.engine import EnvironmentFault, StateError, UsageError
from ...protocol.messages import encode
from ...protocol.messages.codec import DecodeError, decode
from ...protocol.stores.registry import Change, CommandKind, Crl, Delivery, Registry, Transaction
from ...registry.opening import open_registry
from ...registry.schema import METADATA
from ..mutation import cut, joined
from ..scene import NOW, SERIAL, scene
from ..scratch import scratch
from ..target import Shape, check, outcome_of, target

COLUMNS: Final = [column for table in METADATA.sorted_tables for column in table.columns]
MOST: Final = 8
"""Changes of one input."""


@cache
def _base() -> bytes:
    """The file of a registry with something in most of its tables."""
    path = scratch() / "base"
    about: dict[str, Any] = {"actor": "operator", "at": NOW}
    central = scene().a_central(waiting="key")
    there, registry = central.registry, open_registry(str(path))
    for issuer in there.issuers():
        registry.trust(issuer, **about)
    entry = there.module(SERIAL)
    assert entry is not None  # noqa: S101 - it was just put there
    transaction = Transaction(SERIAL, 1, 1, "1111", "3000", 5_000, "EUR", NOW)
    delivery = Delivery(SERIAL, 2, b"a payload", NOW)
    registry.commit(Change(replace(entry, version=0), transaction, delivery), at=NOW)
    registry.put_command(SERIAL, CommandKind.INSTRUCT, b"an instruction", **about)
    registry.import_crl(Crl(entry.issuer, 1, b"a list", frozenset({3, 1 << 120}), NOW + 99), **about)
    registry.close()
    with closing(sqlite3.connect(path)) as connection:  # all of it in the one file
        connection.execute("PRAGMA journal_mode = DELETE")
    return path.read_bytes()


def registry_seeds() -> Iterator[bytes]:
    """Changes: what is to stand in all rows of a column, or what stands at a place in the file."""
    names = [f"{column.table.name}.{column.name}" for column in COLUMNS]
    for name, value in (
        ("modules.certificate_number", "zz"),
        ("modules.standing", "lost"),
        ("issuers.fingerprint", 7),
        ("commands.kind", ""),
        ("audit.previous", "text"),
        ("crls.number", -1),
        ("transactions.amount", b"bytes"),
    ):
        yield joined([encode((names.index(name), value))])
    yield joined([encode((b"SQLite", 0)), encode((bytes(32), 100))])
    yield joined([encode((b"\x0d\xff", 4_096)), encode((0, None))])


@target("registry-files", Shape.FRAMES, registry_seeds, seconds=2.0)
def registry_files(data: bytes) -> str:
    """A registry's file that somebody wrote into is read, or refused with a declared error that repeats no value."""
    path = scratch() / "registry"
    for each in scratch().glob("registry*"):
        each.unlink()
    content, rows = bytearray(_base()), list[tuple[int, Any]]()
    for change in map(_change, cut(data)[:MOST]):
        match change:
            case (int(column), (int() | bytes() | str() | None) as value):
                rows.append((column % len(COLUMNS), value))
            case (bytes(piece), int(at)):
                at %= len(content)
                content[at : at + len(piece)] = piece
    path.write_bytes(content[: len(_base())])
    _write(path, rows)
    try:
        registry = open_registry(str(path))
    except (StateError, UsageError, EnvironmentFault) as error:
        return _refused(error, rows)
    try:
        outcomes = [_read(method, rows) for method in _methods(registry)]
    finally:
        registry.close()
    return ", ".join(sorted(set(outcomes)))


def _change(frame: bytes) -> object:
    try:
        return decode(frame)
    except DecodeError:
        return None


def _write(path: Path, rows: list[tuple[int, Any]]) -> None:
    """Past all that the central system would ask."""
    with suppress(sqlite3.Error, OverflowError, UnicodeError), closing(sqlite3.connect(path)) as connection:
        for place, value in rows:
            column = COLUMNS[place]
            with suppress(sqlite3.IntegrityError):
                connection.execute(f'UPDATE "{column.table.name}" SET "{column.name}" = ?', (value,))  # noqa: S608
        connection.commit()


def _methods(registry: Registry) -> Iterator[Callable[[], object]]:
    """All ways to read."""
    yield from (registry.issuers, registry.modules, registry.deliveries, registry.crls, registry.audit)
    by_serial = (registry.module, registry.transactions, registry.commands, registry.next_command)
    yield from (partial(each, SERIAL) for each in by_serial)
    issuer = scene().a_card().customer.fingerprint
    yield partial(registry.known, SERIAL, bytes(32), 1, issuer)
    yield partial(registry.transaction, SERIAL, 1)
    yield partial(registry.card_log, issuer)
    yield partial(registry.card_log_lines, issuer)
    yield from (registry.attention, registry.check)


def _read(method: Callable[[], object], rows: list[tuple[int, Any]]) -> str:
    try:
        method()
    except (StateError, EnvironmentFault) as error:
        return _refused(error, rows)
    return "read"


def _refused(error: StateError | UsageError | EnvironmentFault, rows: list[tuple[int, Any]]) -> str:
    long = [value for _, value in rows if isinstance(value, str) and len(value) > 7]
    check(not any(value in str(error) for value in long), "an error repeats what stands in the registry")
    return outcome_of(error)
