"""The registry in a database: every method of the port one transaction, with SQLAlchemy Core.

What two programs must not do at the same time is decided by the database: an entry is replaced only in the version that
was read, and numbers that must have no gaps are given under a lock. An error says what failed, never what was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from threading import Lock
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..protocol.engine import StateError
from ..protocol.stores.card_logs import CardLog, LogDoubt, LogGrowth, check_may_grow
from ..protocol.stores.registry import (
    Attention,
    AuditEntry,
    Change,
    Command,
    CommandKind,
    CommandState,
    Crl,
    Delivery,
    Issuer,
    Known,
    ModuleEntry,
    NotInRegistry,
    RegistryAway,
    RegistryConflict,
    RegistryDamaged,
    Standing,
    Transaction,
    audit_digest,
    check_crl_is_newer,
    check_may_be_reset,
    how_read,
    how_trusted,
)
from . import card_logs
from .schema import AUDIT, COMMANDS, CRLS, DELIVERIES, ISSUERS, MODULES, RETIRED, REVOKED, TRANSACTIONS

WHO: Final = "registry"
NUMBERS_LOCK: Final = 0x696E74
"""Key of PostgreSQL's advisory lock under which audit entries, deliveries and commands are numbered."""
TURN_SECONDS: Final = 5.0
"""How long a thread waits for its turn to write, where the database takes one writer at a time."""
_DAMAGED: Final = ("malformed", "not a database", "corrupt")


# What every session asks again and again, made once: making a statement costs more than answering it.


def _by(table: Table, *columns: str) -> list[ColumnElement[bool]]:
    """The rows with values that are given by name."""
    return [table.c[name] == bindparam(name) for name in columns]


_MODULE: Final = select(MODULES).where(*_by(MODULES, "serial"))
_ISSUER: Final = select(ISSUERS).where(*_by(ISSUERS, "fingerprint"))
_RETIRED: Final = select(text("1")).select_from(RETIRED).where(*_by(RETIRED, "serial", "fingerprint"))
_LISTED: Final = select(text("1")).select_from(REVOKED).where(*_by(REVOKED, "issuer", "certificate_number"))
_TRANSACTION: Final = select(TRANSACTIONS).where(*_by(TRANSACTIONS, "serial", "number"))
_NEXT_COMMAND: Final = (
    select(COMMANDS)
    .where(*_by(COMMANDS, "serial"), COMMANDS.c.state == text("'waiting'"))
    .order_by(COMMANDS.c.number)
    .limit(1)
)
_REVOKED_MODULES: Final = select(MODULES.c.serial).where(
    # The first condition is for the index: the few that are revoked are looked for among the many modules.
    MODULES.c.certificate_number.in_(select(REVOKED.c.certificate_number)),
    exists().where(REVOKED.c.issuer == MODULES.c.issuer, REVOKED.c.certificate_number == MODULES.c.certificate_number),
)


@contextmanager
def faults_told() -> Iterator[None]:
    """Turn what the database says into errors of ours, which hold no values.

    Raises:
        RegistryAway, RegistryDamaged, RegistryConflict: instead of the library's.

    """
    try:
        yield
    except IntegrityError:
        raise RegistryConflict("somebody else wrote the same meanwhile", who=WHO, expected="nobody else") from None
    except DBAPIError as error:
        said = str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
        if isinstance(error, DatabaseError) and any(word in said for word in _DAMAGED):
            raise RegistryDamaged("the registry is damaged", who=WHO, got=_short(said)) from None
        raise RegistryAway("the registry does not answer", who=WHO, got=_short(said)) from None
    except (PoolTimeout, SQLAlchemyError) as error:
        raise RegistryAway("the registry does not answer", who=WHO, got=type(error).__name__) from None
    except (ValueError, TypeError, OverflowError) as error:  # as rows are read; their texts repeat what stands there
        raise RegistryDamaged(
            "the registry is damaged", who=WHO, expected="what it wrote", got=type(error).__name__
        ) from None


def _short(said: str) -> str:
    """What the database said, without what it may repeat of the values."""
    return said.partition("DETAIL")[0].strip()[:120]


class Turn:
    """Writers of one process come one after the other.

    SQLite has those who find the file locked try again after a pause, whoever came first: of many threads one would
    starve until it is told that the database is locked. Other processes still meet there.
    """

    def __init__(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=TURN_SECONDS):
            raise RegistryAway("the registry does not answer", who=WHO, expected="a turn to write", got="others")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class SqlRegistry:
    """Registry in a database; see the port for what each method means. Made by `open_registry`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(writes=True)
        one_writer = engine.dialect.name == "sqlite"
        self._turn: AbstractContextManager[object] = Turn() if one_writer else nullcontext()

    def __repr__(self) -> str:
        return f"<SqlRegistry {self._engine.dialect.name}>"

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with faults_told(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._turn, faults_told(), self._writing.begin() as connection:
            yield connection

    # What sessions ask and write

    def known(self, serial: str, fingerprint: bytes, certificate_number: int, issuer: bytes) -> Known:
        """See Registry."""
        with self._read() as connection:
            entry = _entry(connection, serial)
            by = _one_issuer(connection, issuer)
            retired = connection.execute(_RETIRED, {"serial": serial, "fingerprint": fingerprint}).first() is not None
            revoked = _is_revoked(connection, issuer, certificate_number) or (
                by is not None and _is_revoked(connection, by.root, by.certificate_number)
            )
            logged = card_logs.logged(connection, issuer, fingerprint)
        return Known(entry=entry, retired=retired, revoked=revoked, issuer=by, logged=logged)

    def commit(self, change: Change, *, at: int) -> None:
        """See Registry."""
        entry = change.entry
        with self._write() as connection:
            _replace_entry(connection, entry)
            if change.transaction is not None:
                _put(connection, TRANSACTIONS, asdict(change.transaction), ("serial", "number"))
            if change.delivery is not None:
                self._deliver(connection, change.delivery)
            if change.concluded is not None:
                number, state, outcome = change.concluded
                connection.execute(
                    update(COMMANDS)
                    .where(COMMANDS.c.serial == entry.serial, COMMANDS.c.number == number)
                    .values(state=state.value, outcome=outcome)
                )
            if entry.standing is Standing.RESET:
                _void(connection, entry.serial)
            if change.note is not None:
                self._enter(connection, at, "central", change.note[0], entry.serial, change.note[1])

    def transaction(self, serial: str, number: int) -> Transaction | None:
        """See Registry."""
        with self._read() as connection:
            row = connection.execute(_TRANSACTION, {"serial": serial, "number": number}).one_or_none()
            return None if row is None else Transaction(**row._asdict())

    def next_command(self, serial: str) -> Command | None:
        """See Registry."""
        with self._read() as connection:
            row = connection.execute(_NEXT_COMMAND, {"serial": serial}).one_or_none()
            return None if row is None else _command(row)

    def attention(self) -> Attention:
        """See Registry."""
        with self._read() as connection:
            waiting = set(
                connection.scalars(select(COMMANDS.c.serial).where(COMMANDS.c.state == text("'waiting'")).distinct())
            )
            disabled: set[str] = set()
            other = select(MODULES.c.serial, MODULES.c.standing).where(MODULES.c.standing != text("'operating'"))
            for serial, standing in connection.execute(other):
                if standing == Standing.RESET_ORDERED.value:
                    waiting.add(serial)
                elif standing == Standing.DISABLED.value:
                    disabled.add(serial)
            disabled |= set(connection.scalars(_REVOKED_MODULES))
            by_root = and_(
                REVOKED.c.issuer == ISSUERS.c.root, REVOKED.c.certificate_number == ISSUERS.c.certificate_number
            )
            gone = select(ISSUERS.c.fingerprint).outerjoin(REVOKED, by_root)
            lost = connection.scalars(gone.where(or_(ISSUERS.c.lost.is_not(None), REVOKED.c.issuer.is_not(None))))
            return Attention(frozenset(waiting), frozenset(disabled), frozenset(bytes(each) for each in lost))

    # What the operator does

    def trust(self, issuer: Issuer, *, actor: str, at: int, how: str = "") -> None:
        """See Registry."""
        with self._write() as connection:
            self._lock_numbers(connection)
            known = _one_issuer(connection, issuer.fingerprint)
            if known is not None and known.lost is not None:
                raise StateError(f"the key of {issuer.owner} was disabled", who=WHO, expected="another key")
            if known is None:
                position = connection.scalar(select(func.coalesce(func.max(ISSUERS.c.position), 0))) or 0
                values = asdict(issuer) | {"certificate_number": _hex(issuer.certificate_number)}
                connection.execute(insert(ISSUERS).values(position=position + 1, **values))
                self._enter(connection, at, actor, "trusted", issuer.owner, how_trusted(issuer, how))

    def disable_issuer(self, fingerprint: bytes, *, lost: int, keep_known: bool, actor: str, at: int) -> None:
        """See Registry."""
        with self._write() as connection:
            self._lock_numbers(connection)
            known = _known_issuer(connection, fingerprint)
            if known.lost is not None:
                lost, keep_known = min(lost, known.lost), keep_known and known.keep_known
            values = {"lost": lost, "keep_known": keep_known}
            connection.execute(update(ISSUERS).where(ISSUERS.c.fingerprint == fingerprint).values(values))
            kept = "modules known before stay admitted" if keep_known else "all its modules are refused"
            detail = f"{fingerprint.hex()}, lost at {lost}, {kept}"
            self._enter(connection, at, actor, "disabled", known.owner, detail)

    def disable_module(self, serial: str, *, actor: str, at: int, reason: str) -> None:
        """See Registry."""
        with self._write() as connection:
            _stand(connection, _known_entry(connection, serial), Standing.DISABLED)
            _void(connection, serial)
            self._enter(connection, at, actor, "disabled", serial, reason)

    def enable_module(self, serial: str, *, actor: str, at: int) -> None:
        """See Registry."""
        with self._write() as connection:
            entry = _known_entry(connection, serial)
            if entry.standing is not Standing.DISABLED:
                got = entry.standing.value
                raise StateError(f"module {serial} is not disabled", who=WHO, expected="disabled", got=got)
            _stand(connection, entry, Standing.RESET)
            self._enter(connection, at, actor, "enabled", serial, "with a certificate of a newer epoch")

    def order_reset(self, serial: str, *, actor: str, at: int) -> None:
        """See Registry."""
        with self._write() as connection:
            entry = _known_entry(connection, serial)
            check_may_be_reset(entry)
            _stand(connection, entry, Standing.RESET_ORDERED)
            self._enter(connection, at, actor, "reset ordered", serial, f"epoch {entry.epoch}")

    def put_command(self, serial: str, kind: CommandKind, content: bytes, *, actor: str, at: int) -> Command:
        """See Registry."""
        with self._write() as connection:
            self._lock_numbers(connection)
            if _known_entry(connection, serial).standing is Standing.DISABLED:
                raise StateError(f"module {serial} is disabled", who=WHO, expected="a module that may work")
            highest = select(func.coalesce(func.max(COMMANDS.c.number), 0)).where(COMMANDS.c.serial == serial)
            command = Command(serial, (connection.scalar(highest) or 0) + 1, kind, content, at)
            values = asdict(command) | {"kind": kind.value, "state": command.state.value}
            connection.execute(insert(COMMANDS).values(values))
            self._enter(connection, at, actor, "commanded", serial, f"{kind.value}, number {command.number}")
        return command

    def import_crl(self, crl: Crl, *, actor: str, at: int) -> None:
        """See Registry."""
        with self._write() as connection:
            self._lock_numbers(connection)
            row = connection.execute(select(CRLS).where(CRLS.c.issuer == crl.issuer)).one_or_none()
            if not check_crl_is_newer(crl, None if row is None else _crl(row, frozenset())):
                return
            values = {"issuer": crl.issuer, "number": crl.number, "der": crl.der, "next_update": crl.next_update}
            _put(connection, CRLS, values, ("issuer",))
            connection.execute(delete(REVOKED).where(REVOKED.c.issuer == crl.issuer))
            if crl.revoked:
                listed = [{"issuer": crl.issuer, "certificate_number": _hex(number)} for number in sorted(crl.revoked)]
                connection.execute(insert(REVOKED), listed)
            detail = f"list {crl.number}, {len(crl.revoked)} revoked"
            self._enter(connection, at, actor, "imported", crl.issuer.hex(), detail)

    # What is there

    def issuers(self) -> tuple[Issuer, ...]:
        """See Registry."""
        with self._read() as connection:
            return tuple(map(_issuer, connection.execute(select(ISSUERS).order_by(ISSUERS.c.position))))

    def modules(self, *, after: str = "", limit: int = 1000) -> tuple[ModuleEntry, ...]:
        """See Registry."""
        # PostgreSQL orders text by the rules of a language unless told otherwise.
        serial = MODULES.c.serial if self._engine.dialect.name == "sqlite" else MODULES.c.serial.collate("C")
        chosen = select(MODULES).where(serial > after).order_by(serial).limit(limit)
        with self._read() as connection:
            return tuple(map(_module, connection.execute(chosen)))

    def module(self, serial: str) -> ModuleEntry | None:
        """See Registry."""
        with self._read() as connection:
            return _entry(connection, serial)

    def transactions(self, serial: str, *, after: int = 0, limit: int = 1000) -> tuple[Transaction, ...]:
        """See Registry."""
        chosen = select(TRANSACTIONS).where(TRANSACTIONS.c.serial == serial, TRANSACTIONS.c.number > after)
        with self._read() as connection:
            rows = connection.execute(chosen.order_by(TRANSACTIONS.c.number).limit(limit))
            return tuple(Transaction(**row._asdict()) for row in rows)

    def deliveries(self, *, after: int = 0, limit: int = 1000) -> tuple[Delivery, ...]:
        """See Registry."""
        chosen = select(DELIVERIES).where(DELIVERIES.c.id > after).order_by(DELIVERIES.c.id).limit(limit)
        with self._read() as connection:
            return tuple(_delivery(row) for row in connection.execute(chosen))

    def commands(self, serial: str) -> tuple[Command, ...]:
        """See Registry."""
        chosen = select(COMMANDS).where(COMMANDS.c.serial == serial).order_by(COMMANDS.c.number)
        with self._read() as connection:
            return tuple(map(_command, connection.execute(chosen)))

    def crls(self) -> tuple[Crl, ...]:
        """See Registry."""
        with self._read() as connection:
            found = []
            for row in connection.execute(select(CRLS).order_by(CRLS.c.issuer)):
                numbers = connection.scalars(select(REVOKED.c.certificate_number).where(REVOKED.c.issuer == row.issuer))
                found.append(_crl(row, frozenset(int(number, 16) for number in numbers)))
            return tuple(found)

    def audit(self, *, after: int = 0, limit: int = 1000) -> tuple[AuditEntry, ...]:
        """See Registry."""
        chosen = select(AUDIT).where(AUDIT.c.number > after).order_by(AUDIT.c.number).limit(limit)
        with self._read() as connection:
            return tuple(_audit_entry(row) for row in connection.execute(chosen))

    # Logs of cards

    def card_log(self, issuer: bytes) -> CardLog:
        """See CardLogs."""
        with self._read() as connection:
            return card_logs.card_log(connection, issuer)

    def card_log_lines(self, issuer: bytes, *, after: int = 0, limit: int = 1000) -> tuple[bytes, ...]:
        """See CardLogs."""
        with self._read() as connection:
            return card_logs.lines(connection, issuer, after, limit)

    def grow_log(self, growth: LogGrowth, *, actor: str, at: int) -> None:
        """See CardLogs."""
        log = growth.log
        with self._write() as connection:
            self._lock_numbers(connection)
            issuer, known = _known_issuer(connection, log.issuer), card_logs.card_log(connection, log.issuer)
            check_may_grow(known)
            if known.entries != growth.before:
                raise RegistryConflict("the card's log was read elsewhere", who=WHO, got=f"{known.entries} entries")
            card_logs.put_log(connection, log)
            card_logs.add_entries(connection, log.issuer, growth.entries)
            if growth.entries:
                self._enter(connection, at, actor, "log read", issuer.owner, how_read(log, growth.before))

    def doubt_log(self, doubt: LogDoubt, *, actor: str, at: int) -> None:
        """See CardLogs."""
        with self._write() as connection:
            self._lock_numbers(connection)
            issuer, known = _known_issuer(connection, doubt.issuer), card_logs.card_log(connection, doubt.issuer)
            if not known.doubt:
                card_logs.put_log(connection, replace(known, doubt=doubt.reason))
                detail = f"{doubt.issuer.hex()}, {doubt.reason}"
                self._enter(connection, at, actor, "log doubted", issuer.owner, detail)

    def check(self) -> None:
        """See Registry."""
        with self._read() as connection:
            connection.execute(select(AUDIT.c.number).limit(1))

    def close(self) -> None:
        """See Registry."""
        self._engine.dispose()

    # Numbers without gaps

    def _lock_numbers(self, connection: Connection) -> None:
        """Until the transaction ends; SQLite lets one writer in anyway."""
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": NUMBERS_LOCK})

    def _deliver(self, connection: Connection, delivery: Delivery) -> None:
        self._lock_numbers(connection)
        if not _exists(connection, DELIVERIES, serial=delivery.serial, number=delivery.number):
            highest = connection.scalar(select(func.coalesce(func.max(DELIVERIES.c.id), 0))) or 0
            connection.execute(insert(DELIVERIES).values(asdict(delivery) | {"id": highest + 1}))

    def _enter(self, connection: Connection, at: int, actor: str, action: str, subject: str, detail: str) -> None:
        self._lock_numbers(connection)
        last = connection.execute(select(AUDIT).order_by(AUDIT.c.number.desc()).limit(1)).one_or_none()
        number, previous = (1, bytes(32)) if last is None else (last.number + 1, bytes(last.digest))
        entry = AuditEntry(number, at, actor, action, subject, detail, previous, b"")
        connection.execute(insert(AUDIT).values(asdict(replace(entry, digest=audit_digest(entry)))))


# Rows and what they mean ---------------------------------------------------------------------------------------


def _hex(number: int) -> str:
    return f"{number:x}"


def _one_issuer(connection: Connection, fingerprint: bytes) -> Issuer | None:
    row = connection.execute(_ISSUER, {"fingerprint": fingerprint}).one_or_none()
    return None if row is None else _issuer(row)


def _known_issuer(connection: Connection, fingerprint: bytes) -> Issuer:
    issuer = _one_issuer(connection, fingerprint)
    if issuer is None:
        raise NotInRegistry("no such issuer", who=WHO, got=fingerprint.hex())
    return issuer


def _issuer(row: Row[Any]) -> Issuer:
    return Issuer(
        fingerprint=bytes(row.fingerprint),
        certificate=bytes(row.certificate),
        owner=row.owner,
        certificate_number=int(row.certificate_number, 16),
        root=bytes(row.root),
        seal=bytes(row.seal),
        lost=row.lost,
        keep_known=row.keep_known,
    )


def _entry(connection: Connection, serial: str) -> ModuleEntry | None:
    row = connection.execute(_MODULE, {"serial": serial}).one_or_none()
    return None if row is None else _module(row)


def _known_entry(connection: Connection, serial: str) -> ModuleEntry:
    entry = _entry(connection, serial)
    if entry is None:
        raise NotInRegistry(f"module {serial} is not in the registry", who=WHO, expected="a known module")
    return entry


def _module(row: Row[Any]) -> ModuleEntry:
    values = row._asdict() | {
        "issuer": bytes(row.issuer),
        "fingerprint": bytes(row.fingerprint),
        "certificate_number": int(row.certificate_number, 16),
        "standing": Standing(row.standing),
    }
    return ModuleEntry(**values)


def _values(entry: ModuleEntry) -> dict[str, Any]:
    return asdict(entry) | {
        "certificate_number": _hex(entry.certificate_number),
        "standing": entry.standing.value,
        "version": entry.version + 1,
    }


def _replace_entry(connection: Connection, entry: ModuleEntry) -> None:
    """Put the entry in the place of the one with its version, whose fingerprint is retired if it is another."""
    if entry.version == 0:
        connection.execute(insert(MODULES).values(_values(entry)))
        return
    mine = and_(MODULES.c.serial == entry.serial, MODULES.c.version == entry.version)
    before = connection.scalar(select(MODULES.c.fingerprint).where(mine).with_for_update())
    if before is None:
        raise RegistryConflict(
            f"module {entry.serial} was changed elsewhere", who=WHO, expected=f"version {entry.version}"
        )
    if bytes(before) != entry.fingerprint:
        _put(connection, RETIRED, {"serial": entry.serial, "fingerprint": bytes(before)}, ("serial", "fingerprint"))
    connection.execute(update(MODULES).where(mine).values(_values(entry)))


def _stand(connection: Connection, entry: ModuleEntry, standing: Standing) -> None:
    mine = and_(MODULES.c.serial == entry.serial, MODULES.c.version == entry.version)
    changed = connection.execute(update(MODULES).where(mine).values(standing=standing.value, version=entry.version + 1))
    if changed.rowcount != 1:
        raise RegistryConflict(f"module {entry.serial} is busy", who=WHO, expected="nobody else", got="a session")


def _void(connection: Connection, serial: str) -> None:
    connection.execute(
        update(COMMANDS)
        .where(COMMANDS.c.serial == serial, COMMANDS.c.state == CommandState.WAITING.value)
        .values(state=CommandState.VOID.value, outcome="the module was reset or disabled")
    )


def _command(row: Row[Any]) -> Command:
    return Command(
        serial=row.serial,
        number=row.number,
        kind=CommandKind(row.kind),
        content=bytes(row.content),
        created=row.created,
        state=CommandState(row.state),
        outcome=row.outcome,
    )


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(serial=row.serial, number=row.number, payload=bytes(row.payload), at=row.at, id=row.id)


def _crl(row: Row[Any], revoked: frozenset[int]) -> Crl:
    return Crl(bytes(row.issuer), row.number, bytes(row.der), revoked, row.next_update)


def _audit_entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        number=row.number,
        at=row.at,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        detail=row.detail,
        previous=bytes(row.previous),
        digest=bytes(row.digest),
    )


def _is_revoked(connection: Connection, issuer: bytes, number: int) -> bool:
    return connection.execute(_LISTED, {"issuer": issuer, "certificate_number": _hex(number)}).first() is not None


def _exists(connection: Connection, table: Any, **columns: object) -> bool:  # noqa: ANN401 - a table of the schema
    chosen = select(text("1")).select_from(table).where(*(table.c[name] == value for name, value in columns.items()))
    return connection.execute(chosen).first() is not None


def _put(connection: Connection, table: Any, values: dict[str, Any], name: tuple[str, ...]) -> None:  # noqa: ANN401
    """Insert a row, or put it in the place of the one with its name."""
    mine = and_(*(table.c[column] == values[column] for column in name))
    rest = {column: value for column, value in values.items() if column not in name}
    if not rest:
        if connection.execute(select(text("1")).select_from(table).where(mine)).first() is None:
            connection.execute(insert(table).values(values))
    elif connection.execute(update(table).where(mine).values(rest)).rowcount == 0:
        connection.execute(insert(table).values(values))
