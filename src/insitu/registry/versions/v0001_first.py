"""The first schema, with an audit trail that the database itself lets nobody change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BYTES32 = sa.LargeBinary(32)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _number(name: str, *, key: bool = False, empty: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, autoincrement=False, nullable=empty and not key)


def _bytes(name: str, kind: sa.LargeBinary = _BYTES32, *, key: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, kind, primary_key=key, nullable=False)


def _serial(*, key: bool = True) -> sa.Column[str]:
    return sa.Column("serial", sa.String(64), primary_key=key, nullable=False)


def upgrade() -> None:
    """Make all tables."""
    long = sa.LargeBinary()
    op.create_table(
        "issuers",
        _bytes("fingerprint", key=True),
        sa.Column("position", sa.Integer, nullable=False, unique=True),
        _bytes("certificate", long),
        _text("owner", 64),
        _text("certificate_number", 40),
        _bytes("root"),
        _bytes("seal", long),
        _number("lost", empty=True),
        sa.Column("keep_known", sa.Boolean, nullable=False),
    )
    op.create_table(
        "modules",
        _serial(),
        _text("owner", 64),
        _bytes("issuer"),
        _number("epoch"),
        _bytes("fingerprint"),
        _text("certificate_number", 40),
        _number("issued"),
        _number("first_seen"),
        _text("standing", 16),
        _number("last_contact"),
        _number("last_number"),
        _number("generation"),
        _number("version"),
    )
    op.create_index("modules_by_certificate", "modules", ["certificate_number"])
    other = sa.text("standing <> 'operating'")
    op.create_index("modules_not_operating", "modules", ["standing"], sqlite_where=other, postgresql_where=other)
    op.create_table("retired", _serial(), _bytes("fingerprint", key=True))
    op.create_table(
        "transactions",
        _serial(),
        _number("number", key=True),
        _number("epoch"),
        _text("card", 4),
        _text("account", 4),
        _number("amount"),
        _text("currency", 3),
        _number("asked"),
        sa.Column("approved", sa.Boolean),
        _number("instructed"),
        _text("reference", 64),
        _number("paid", empty=True),
        _number("settled", empty=True),
    )
    op.create_table(
        "deliveries",
        _number("id", key=True),
        _serial(key=False),
        _number("number"),
        _bytes("payload", long),
        _number("at"),
    )
    op.create_index("deliveries_by_name", "deliveries", ["serial", "number"], unique=True)
    op.create_table(
        "commands",
        _serial(),
        _number("number", key=True),
        _text("kind", 16),
        _bytes("content", long),
        _number("created"),
        _text("state", 16),
        sa.Column("outcome", sa.Text, nullable=False),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "commands_waiting", "commands", ["serial", "number"], sqlite_where=waiting, postgresql_where=waiting
    )
    op.create_table("crls", _bytes("issuer", key=True), _number("number"), _bytes("der", long), _number("next_update"))
    op.create_table(
        "revoked",
        _bytes("issuer", key=True),
        sa.Column("certificate_number", sa.String(40), primary_key=True, nullable=False),
    )
    op.create_table(
        "audit",
        _number("number", key=True),
        _number("at"),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("actor", "action", "subject", "detail")),
        _bytes("previous"),
        _bytes("digest"),
    )
    _guard_audit()


def _guard_audit() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{action.lower()} BEFORE {action} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit trail only grows'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()"
    )
