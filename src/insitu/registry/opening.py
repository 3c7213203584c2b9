"""Opening a registry by its URL: which database, how it is set up, and bringing its schema up to date."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..protocol.engine import StateError, UsageError
from ..protocol.stores.registry import Registry

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

WHO: Final = "registry"
LOCK_SECONDS: Final = 5
"""How long a write waits for another one."""
MIGRATION_LOCK: Final = 0x696E73
"""Key of the advisory lock of PostgreSQL under which the schema is changed."""


def open_registry(url: str) -> Registry:
    """The registry behind `url`: a path or sqlite:///PATH, or postgresql://HOST/DATABASE.

    A file that is not there is made, readable by its owner only; a schema that is older is brought up to date. The
    password for PostgreSQL best comes from where libpq looks for it (PGPASSWORD, PGPASSFILE, ~/.pgpass).

    Raises:
        UsageError: not a URL for this, or the packages for it are not installed.
        StateError: the schema is newer than this program.
        RegistryAway: the database does not answer.
        RegistryDamaged: the file is no database.

    """
    try:
        from sqlalchemy import create_engine, make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise UsageError("the central system's packages are missing", who=WHO, expected="insitu[central]") from None
    from .sql import SqlRegistry, faults_told

    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError:
        raise UsageError("registry", who=WHO, expected="a path or a URL", got="neither") from None
    backend = parsed.get_backend_name()
    options: dict[str, Any] = {"hide_parameters": True}
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise UsageError("registry", who=WHO, expected="a file", got="a database in memory")
        _make_private(Path(parsed.database))
        options["connect_args"] = {"timeout": LOCK_SECONDS, "isolation_level": None}
    elif backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        try:
            import psycopg  # noqa: F401 - to say so if it is missing
        except ImportError:
            raise UsageError("the package for PostgreSQL is missing", who=WHO, expected="insitu[postgres]") from None
        options |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": LOCK_SECONDS}}
    else:
        raise UsageError("registry", who=WHO, expected="sqlite or postgresql", got=backend)
    with faults_told():
        engine = create_engine(parsed, **options)
        if backend == "sqlite":
            _set_up_sqlite(engine)
        try:
            _migrate(engine)
        except BaseException:
            engine.dispose()
            raise
    return SqlRegistry(engine)


def _make_private(path: Path) -> None:
    """Make the file, so that SQLite does not make it for others to read."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise UsageError(
            f"registry {path}", who=WHO, expected="a file that can be written", got=error.strerror
        ) from None


def _set_up_sqlite(engine: Engine) -> None:
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        for pragma in (
            f"busy_timeout = {LOCK_SECONDS * 1000}",
            "journal_mode = WAL",
            "synchronous = FULL",  # what was committed is on the medium
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(engine: Engine) -> None:
    """Bring the schema up to date; of several programs that start together one does it, the others wait."""
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from sqlalchemy import text

    here = Path(__file__).parent
    config = Config()
    config.set_main_option("script_location", str(here).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    with engine.execution_options(writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        try:
            if current is not None:
                scripts.get_revision(current)
        except CommandError:
            raise StateError(
                "the registry is of a later version of this program",
                who=WHO,
                expected=f"schema {scripts.get_current_head()} or older",
                got=current,
            ) from None
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
