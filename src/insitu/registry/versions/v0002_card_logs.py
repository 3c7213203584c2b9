"""Logs of cards, entry by entry, and how far each was read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _number(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, autoincrement=False, nullable=False)


def _digest(name: str, *, key: bool = False, empty: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(32), primary_key=key, nullable=empty)


def _signed(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "card_logs",
        _digest("issuer", key=True),
        _number("entries"),
        _digest("digest"),
        _number("signatures"),
        _number("through"),
        _signed("head"),
        _signed("receipt"),
        _number("read"),
        sa.Column("doubt", sa.Text, nullable=False),
    )
    op.create_table(
        "card_log_entries",
        _digest("issuer", key=True),
        _number("number", key=True),
        _signed("line"),
        _digest("fingerprint", empty=True),
    )
    op.create_index("card_log_entries_by_fingerprint", "card_log_entries", ["fingerprint"])
    _guard_entries()


def _guard_entries() -> None:
    """Entries of a log are never changed and never go."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER card_log_no_{action.lower()} BEFORE {action} ON card_log_entries "
                "BEGIN SELECT RAISE(ABORT, 'the log of a card only grows'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION card_log_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the log of a card only grows'; END $$"
    )
    op.execute(
        "CREATE TRIGGER card_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON card_log_entries "
        "FOR EACH STATEMENT EXECUTE FUNCTION card_log_only_grows()"
    )
