"""The central system's registry in memory: the rules of `registry.py` without a database, and nothing outlives it.

For tests, simulation and embedding; deterministic, and as strict as the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, TypeVar, cast

from ..engine import StateError
from .card_log import LogEntry
from .card_logs import CardLog, LogDoubt, Logged, LogGrowth, check_may_grow, fingerprints
from .registry import (
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
    RegistryConflict,
    Standing,
    Transaction,
    audit_digest,
    check_crl_is_newer,
    check_may_be_reset,
    how_read,
    how_trusted,
)

P = ParamSpec("P")
R = TypeVar("R")


def _alone(
    method: Callable[Concatenate[MemoryRegistry, P], R],
) -> Callable[Concatenate[MemoryRegistry, P], R]:
    """One call at a time, from whichever thread."""

    @wraps(method)
    def locked(self: MemoryRegistry, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self, *args, **kwargs)

    return cast("Callable[Concatenate[MemoryRegistry, P], R]", locked)


class MemoryRegistry:
    """Registry in memory; see the port for what each method means."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._issuers: dict[bytes, Issuer] = {}
        self._modules: dict[str, ModuleEntry] = {}
        self._retired: set[tuple[str, bytes]] = set()
        self._transactions: dict[tuple[str, int], Transaction] = {}
        self._deliveries: dict[tuple[str, int], Delivery] = {}
        self._commands: dict[tuple[str, int], Command] = {}
        self._crls: dict[bytes, Crl] = {}
        self._audit: list[AuditEntry] = []
        self._logs: dict[bytes, CardLog] = {}
        self._log_entries: dict[bytes, list[LogEntry]] = {}
        self._in_log: set[tuple[bytes, bytes]] = set()

    # What sessions ask and write

    @_alone
    def known(self, serial: str, fingerprint: bytes, certificate_number: int, issuer: bytes) -> Known:
        """See Registry."""
        by = self._issuers.get(issuer)
        crl = self._crls.get(issuer)
        revoked = crl is not None and certificate_number in crl.revoked
        return Known(
            entry=self._modules.get(serial),
            retired=(serial, fingerprint) in self._retired,
            revoked=revoked or (by is not None and self._is_revoked(by)),
            issuer=by,
            logged=self._logged(issuer, fingerprint),
        )

    @_alone
    def commit(self, change: Change, *, at: int) -> None:
        """See Registry."""
        entry = change.entry
        before = self._modules.get(entry.serial)
        if entry.version != (0 if before is None else before.version):
            raise RegistryConflict(
                f"module {entry.serial} was changed elsewhere", who="registry", expected=f"version {entry.version}"
            )
        if before is not None and before.fingerprint != entry.fingerprint:
            self._retired.add((entry.serial, before.fingerprint))
        self._modules[entry.serial] = replace(entry, version=entry.version + 1)
        if change.transaction is not None:
            self._transactions[entry.serial, change.transaction.number] = change.transaction
        if change.delivery is not None:
            name = entry.serial, change.delivery.number
            self._deliveries.setdefault(name, replace(change.delivery, id=len(self._deliveries) + 1))
        if change.concluded is not None:
            number, state, outcome = change.concluded
            known = self._commands[entry.serial, number]
            self._commands[entry.serial, number] = replace(known, state=state, outcome=outcome)
        if entry.standing is Standing.RESET:
            self._void(entry.serial)
        if change.note is not None:
            self._enter(at, "central", change.note[0], entry.serial, change.note[1])

    @_alone
    def transaction(self, serial: str, number: int) -> Transaction | None:
        """See Registry."""
        return self._transactions.get((serial, number))

    @_alone
    def next_command(self, serial: str) -> Command | None:
        """See Registry."""
        return next((each for each in self.commands(serial) if each.state is CommandState.WAITING), None)

    @_alone
    def attention(self) -> Attention:
        """See Registry."""
        waiting = {each.serial for each in self._commands.values() if each.state is CommandState.WAITING}
        disabled: set[str] = set()
        for entry in self._modules.values():
            crl = self._crls.get(entry.issuer)
            if entry.standing is Standing.RESET_ORDERED:
                waiting.add(entry.serial)
            if entry.standing is Standing.DISABLED or (crl and entry.certificate_number in crl.revoked):
                disabled.add(entry.serial)
        lost = {each.fingerprint for each in self._issuers.values() if each.lost is not None or self._is_revoked(each)}
        return Attention(frozenset(waiting), frozenset(disabled), frozenset(lost))

    # What the operator does

    @_alone
    def trust(self, issuer: Issuer, *, actor: str, at: int, how: str = "") -> None:
        """See Registry."""
        known = self._issuers.get(issuer.fingerprint)
        if known is not None and known.lost is not None:
            raise StateError(f"the key of {issuer.owner} was disabled", who="registry", expected="another key")
        if known is None:
            self._issuers[issuer.fingerprint] = issuer
            self._enter(at, actor, "trusted", issuer.owner, how_trusted(issuer, how))

    @_alone
    def disable_issuer(self, fingerprint: bytes, *, lost: int, keep_known: bool, actor: str, at: int) -> None:
        """See Registry."""
        known = self._known_issuer(fingerprint)
        if known.lost is not None:
            lost, keep_known = min(lost, known.lost), keep_known and known.keep_known
        self._issuers[fingerprint] = replace(known, lost=lost, keep_known=keep_known)
        kept = "modules known before stay admitted" if keep_known else "all its modules are refused"
        self._enter(at, actor, "disabled", known.owner, f"{fingerprint.hex()}, lost at {lost}, {kept}")

    @_alone
    def disable_module(self, serial: str, *, actor: str, at: int, reason: str) -> None:
        """See Registry."""
        self._stand(self._entry(serial), Standing.DISABLED)
        self._void(serial)
        self._enter(at, actor, "disabled", serial, reason)

    @_alone
    def enable_module(self, serial: str, *, actor: str, at: int) -> None:
        """See Registry."""
        entry = self._entry(serial)
        if entry.standing is not Standing.DISABLED:
            raise StateError(
                f"module {serial} is not disabled", who="registry", expected="disabled", got=entry.standing.value
            )
        self._stand(entry, Standing.RESET)
        self._enter(at, actor, "enabled", serial, "with a certificate of a newer epoch")

    @_alone
    def order_reset(self, serial: str, *, actor: str, at: int) -> None:
        """See Registry."""
        entry = self._entry(serial)
        check_may_be_reset(entry)
        self._stand(entry, Standing.RESET_ORDERED)
        self._enter(at, actor, "reset ordered", serial, f"epoch {entry.epoch}")

    @_alone
    def put_command(self, serial: str, kind: CommandKind, content: bytes, *, actor: str, at: int) -> Command:
        """See Registry."""
        entry = self._entry(serial)
        if entry.standing is Standing.DISABLED:
            raise StateError(f"module {serial} is disabled", who="registry", expected="a module that may work")
        number = max((known for of, known in self._commands if of == serial), default=0) + 1
        command = Command(serial, number, kind, content, at)
        self._commands[serial, number] = command
        self._enter(at, actor, "commanded", serial, f"{kind.value}, number {number}")
        return command

    @_alone
    def import_crl(self, crl: Crl, *, actor: str, at: int) -> None:
        """See Registry."""
        known = self._crls.get(crl.issuer)
        if check_crl_is_newer(crl, known):
            self._crls[crl.issuer] = crl
            self._enter(at, actor, "imported", crl.issuer.hex(), f"list {crl.number}, {len(crl.revoked)} revoked")

    # What is there

    @_alone
    def issuers(self) -> tuple[Issuer, ...]:
        """See Registry."""
        return tuple(self._issuers.values())

    @_alone
    def modules(self, *, after: str = "", limit: int = 1000) -> tuple[ModuleEntry, ...]:
        """See Registry."""
        return tuple(self._modules[serial] for serial in sorted(self._modules) if serial > after)[:limit]

    @_alone
    def module(self, serial: str) -> ModuleEntry | None:
        """See Registry."""
        return self._modules.get(serial)

    @_alone
    def transactions(self, serial: str, *, after: int = 0, limit: int = 1000) -> tuple[Transaction, ...]:
        """See Registry."""
        found = sorted(name for name in self._transactions if name[0] == serial and name[1] > after)
        return tuple(self._transactions[name] for name in found[:limit])

    @_alone
    def deliveries(self, *, after: int = 0, limit: int = 1000) -> tuple[Delivery, ...]:
        """See Registry."""
        return tuple(each for each in self._deliveries.values() if each.id > after)[:limit]

    @_alone
    def commands(self, serial: str) -> tuple[Command, ...]:
        """See Registry."""
        return tuple(self._commands[name] for name in sorted(self._commands) if name[0] == serial)

    @_alone
    def crls(self) -> tuple[Crl, ...]:
        """See Registry."""
        return tuple(self._crls[issuer] for issuer in sorted(self._crls))

    @_alone
    def audit(self, *, after: int = 0, limit: int = 1000) -> tuple[AuditEntry, ...]:
        """See Registry."""
        return tuple(self._audit[after : after + limit])

    # Logs of cards

    @_alone
    def card_log(self, issuer: bytes) -> CardLog:
        """See CardLogs."""
        return self._logs.get(issuer, CardLog(issuer))

    @_alone
    def card_log_lines(self, issuer: bytes, *, after: int = 0, limit: int = 1000) -> tuple[bytes, ...]:
        """See CardLogs."""
        return tuple(entry.line for entry in self._log_entries.get(issuer, [])[after : after + limit])

    @_alone
    def grow_log(self, growth: LogGrowth, *, actor: str, at: int) -> None:
        """See CardLogs."""
        issuer, known = self._known_issuer(growth.log.issuer), self.card_log(growth.log.issuer)
        check_may_grow(known)
        if known.entries != growth.before:
            raise RegistryConflict("the card's log was read elsewhere", who="registry", got=f"{known.entries} entries")
        self._logs[known.issuer] = growth.log
        self._log_entries.setdefault(known.issuer, []).extend(growth.entries)
        self._in_log |= {(known.issuer, each) for each in fingerprints(growth.entries).values()}
        if growth.entries:
            self._enter(at, actor, "log read", issuer.owner, how_read(growth.log, growth.before))

    @_alone
    def doubt_log(self, doubt: LogDoubt, *, actor: str, at: int) -> None:
        """See CardLogs."""
        issuer, known = self._known_issuer(doubt.issuer), self.card_log(doubt.issuer)
        if not known.doubt:
            self._logs[known.issuer] = replace(known, doubt=doubt.reason)
            self._enter(at, actor, "log doubted", issuer.owner, f"{doubt.issuer.hex()}, {doubt.reason}")

    def _logged(self, issuer: bytes, fingerprint: bytes) -> Logged:
        log = self.card_log(issuer)
        return Logged((issuer, fingerprint) in self._in_log, log.through, log.doubt)

    def _known_issuer(self, fingerprint: bytes) -> Issuer:
        issuer = self._issuers.get(fingerprint)
        if issuer is None:
            raise NotInRegistry("no such issuer", who="registry", got=fingerprint.hex())
        return issuer

    def check(self) -> None:
        """See Registry."""

    def close(self) -> None:
        """See Registry."""

    # What several methods share

    def _is_revoked(self, issuer: Issuer) -> bool:
        return any(issuer.certificate_number in crl.revoked for crl in self._crls.values() if crl.issuer == issuer.root)

    def _entry(self, serial: str) -> ModuleEntry:
        entry = self._modules.get(serial)
        if entry is None:
            raise NotInRegistry(f"module {serial} is not in the registry", who="registry", expected="a known module")
        return entry

    def _stand(self, entry: ModuleEntry, standing: Standing) -> None:
        self._modules[entry.serial] = replace(entry, standing=standing, version=entry.version + 1)

    def _void(self, serial: str) -> None:
        for command in self.commands(serial):
            if command.state is CommandState.WAITING:
                voided = replace(command, state=CommandState.VOID, outcome="the module was reset or disabled")
                self._commands[serial, command.number] = voided

    def _enter(self, at: int, actor: str, action: str, subject: str, detail: str) -> None:
        previous = self._audit[-1].digest if self._audit else bytes(32)
        entry = AuditEntry(len(self._audit) + 1, at, actor, action, subject, detail, previous, b"")
        self._audit.append(replace(entry, digest=audit_digest(entry)))
