"""The tables of the registry. What their columns mean stands in `protocol/stores/registry.py`.

The newest schema, for queries; how a database comes to it is in `versions/`, one file a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)


class Octets(TypeDecorator[bytes]):
    """Bytes; SQLite gives what stands there, and of a number Python would make as many bytes."""

    impl = LargeBinary
    cache_ok = True

    def result_processor(self, dialect: object, coltype: object) -> Callable[..., bytes | None]:
        """See TypeDecorator."""
        return _octets


def _octets(value: Any) -> bytes | None:  # noqa: ANN401 - whatever stands in the database
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    raise TypeError(type(value).__name__)


METADATA: Final = MetaData()

ISSUERS: Final = Table(
    "issuers",
    METADATA,
    Column("fingerprint", Octets(32), primary_key=True),
    Column("position", Integer, nullable=False, unique=True),
    Column("certificate", Octets, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("certificate_number", String(40), nullable=False),
    Column("root", Octets(32), nullable=False),
    Column("seal", Octets, nullable=False),
    Column("lost", BigInteger),
    Column("keep_known", Boolean, nullable=False),
)

MODULES: Final = Table(
    "modules",
    METADATA,
    Column("serial", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("issuer", Octets(32), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("fingerprint", Octets(32), nullable=False),
    Column("certificate_number", String(40), nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("standing", String(16), nullable=False),
    Column("last_contact", BigInteger, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
)
Index("modules_by_certificate", MODULES.c.certificate_number)
_NOT_OPERATING: Final = text("standing <> 'operating'")
Index("modules_not_operating", MODULES.c.standing, sqlite_where=_NOT_OPERATING, postgresql_where=_NOT_OPERATING)

RETIRED: Final = Table(
    "retired",
    METADATA,
    Column("serial", String(64), primary_key=True),
    Column("fingerprint", Octets(32), primary_key=True),
)

TRANSACTIONS: Final = Table(
    "transactions",
    METADATA,
    Column("serial", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("card", String(4), nullable=False),
    Column("account", String(4), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("asked", BigInteger, nullable=False),
    Column("approved", Boolean),
    Column("instructed", BigInteger, nullable=False),
    Column("reference", String(64), nullable=False),
    Column("paid", BigInteger),
    Column("settled", BigInteger),
)

DELIVERIES: Final = Table(
    "deliveries",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("serial", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("payload", Octets, nullable=False),
    Column("at", BigInteger, nullable=False),
)
Index("deliveries_by_name", DELIVERIES.c.serial, DELIVERIES.c.number, unique=True)

COMMANDS: Final = Table(
    "commands",
    METADATA,
    Column("serial", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("content", Octets, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("outcome", Text, nullable=False),
)
_WAITING: Final = text("state = 'waiting'")
Index("commands_waiting", COMMANDS.c.serial, COMMANDS.c.number, sqlite_where=_WAITING, postgresql_where=_WAITING)

CRLS: Final = Table(
    "crls",
    METADATA,
    Column("issuer", Octets(32), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("der", Octets, nullable=False),
    Column("next_update", BigInteger, nullable=False),
)

REVOKED: Final = Table(
    "revoked",
    METADATA,
    Column("issuer", Octets(32), primary_key=True),
    Column("certificate_number", String(40), primary_key=True),
)

CARD_LOGS: Final = Table(
    "card_logs",
    METADATA,
    Column("issuer", Octets(32), primary_key=True),
    Column("entries", BigInteger, nullable=False),
    Column("digest", Octets(32), nullable=False),
    Column("signatures", BigInteger, nullable=False),
    Column("through", BigInteger, nullable=False),
    Column("head", Octets, nullable=False),
    Column("receipt", Octets, nullable=False),
    Column("read", BigInteger, nullable=False),
    Column("doubt", Text, nullable=False),
)

CARD_LOG_ENTRIES: Final = Table(
    "card_log_entries",
    METADATA,
    Column("issuer", Octets(32), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("line", Octets, nullable=False),
    Column("fingerprint", Octets(32)),
)
Index("card_log_entries_by_fingerprint", CARD_LOG_ENTRIES.c.fingerprint)

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", Octets(32), nullable=False),
    Column("digest", Octets(32), nullable=False),
)
