"""Logs of cards in the database: statements within a transaction of `sql.py`, whose registry asks for them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, exists, insert, select, update

from ..protocol.stores.card_log import LogEntry
from ..protocol.stores.card_logs import CardLog, Logged, fingerprints
from .schema import CARD_LOG_ENTRIES, CARD_LOGS

_LOG: Final = select(CARD_LOGS).where(CARD_LOGS.c.issuer == bindparam("issuer"))
_HAS: Final = exists().where(
    CARD_LOG_ENTRIES.c.fingerprint == bindparam("fingerprint"), CARD_LOG_ENTRIES.c.issuer == bindparam("issuer")
)
_LOGGED: Final = select(CARD_LOGS.c.through, CARD_LOGS.c.doubt, _HAS.label("holds")).where(
    CARD_LOGS.c.issuer == bindparam("issuer")
)


def logged(connection: Connection, issuer: bytes, fingerprint: bytes) -> Logged:
    """What the card's log says of one certificate."""
    row = connection.execute(_LOGGED, {"issuer": issuer, "fingerprint": fingerprint}).one_or_none()
    return Logged(holds=False) if row is None else Logged(bool(row.holds), row.through, row.doubt)


def card_log(connection: Connection, issuer: bytes) -> CardLog:
    """How far it was read."""
    row = connection.execute(_LOG, {"issuer": issuer}).one_or_none()
    return CardLog(issuer) if row is None else _card_log(row)


def _card_log(row: Row[Any]) -> CardLog:
    values: dict[str, Any] = row._asdict()
    values |= {name: bytes(values[name]) for name in ("issuer", "digest", "head", "receipt")}
    return CardLog(**values)


def lines(connection: Connection, issuer: bytes, after: int, limit: int) -> tuple[bytes, ...]:
    """A page of its entries."""
    table = CARD_LOG_ENTRIES
    mine = and_(table.c.issuer == issuer, table.c.number >= after)
    chosen = select(table.c.line).where(mine).order_by(table.c.number).limit(limit)
    return tuple(bytes(line) for line in connection.scalars(chosen))


def put_log(connection: Connection, log: CardLog) -> None:
    """In the place of what was known."""
    values = asdict(log)
    changed = connection.execute(update(CARD_LOGS).where(CARD_LOGS.c.issuer == log.issuer).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(CARD_LOGS).values(values))


def add_entries(connection: Connection, issuer: bytes, entries: tuple[LogEntry, ...]) -> None:
    """Further ones; two programs that add the same number meet at the key of the table."""
    signed = fingerprints(entries)
    rows = [
        {"issuer": issuer, "number": each.number, "line": each.line, "fingerprint": signed.get(each.number)}
        for each in entries
    ]
    if rows:
        connection.execute(insert(CARD_LOG_ENTRIES), rows)
