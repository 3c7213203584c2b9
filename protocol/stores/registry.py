"""The central system's registry: what it keeps of issuers, modules, transactions and commands, and the port to it.

Only what is kept, and what an implementation promises, lives here; what is decided with it is for the central
system's table. `memory_registry.py` keeps it in memory; `insitu.registry` in a database, which several processes share.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Protocol

from ..engine import EnvironmentFault, StateError
from .card_logs import CardLog, CardLogs, Logged

# Errors ------------------------------------------------------------------------------------------------------


class RegistryAway(EnvironmentFault):
    """The registry does not answer or cannot write: database away, locked for too long, disk full. Nothing changed."""


class RegistryDamaged(EnvironmentFault):
    """What the registry holds is not what was written into it."""


class RegistryConflict(StateError):
    """Somebody else changed what this write was based on; nothing changed. Whoever decided must decide anew."""


class NotInRegistry(StateError):
    """The module, issuer or command that is meant is not there."""


# What is kept ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Issuer:
    """A customer's signing key whose modules are admitted (L9), entered with an integrity check.

    Attributes:
        fingerprint: SHA-256 of the certificate, 32 bytes.
        certificate: DER.
        owner: subject of the certificate: the customer whose modules these are.
        certificate_number: X.509 serial number of the certificate, by which the manufacturer revokes it.
        root: fingerprint of the manufacturer's root that signed it, 32 bytes.
        seal: the central system's own signature over the certificate, 64 bytes: nobody else entered it (M1).
        lost: unix seconds from which the key is no longer in its owner's hands; None: trusted.
        keep_known: modules that the central system knew before `lost` stay admitted (S5).

    """

    fingerprint: bytes
    certificate: bytes = field(repr=False)
    owner: str
    certificate_number: int
    root: bytes
    seal: bytes = field(repr=False)
    lost: int | None = None
    keep_known: bool = False


class Standing(Enum):
    """What a module may do here. The values are stored."""

    OPERATING = "operating"
    RESET_ORDERED = "reset ordered"
    """It may do one thing, be reset (S4)."""
    RESET = "reset"
    """It has erased its keys and said so; a certificate of a newer epoch lets it in again."""
    DISABLED = "disabled"
    """Refused, whatever it shows, until it is enabled again (S5)."""


@dataclass(frozen=True, slots=True)
class ModuleEntry:
    """What the central system knows of one module (L9, S4, S5).

    Attributes:
        serial: the module's serial number, which names the entry.
        owner: customer whose card certified it; only a reset gives it to another.
        issuer: fingerprint of the certificate of the key that certified it, 32 bytes.
        epoch: of the certificate that is accepted, as the module told it; a reset ends it.
        fingerprint: SHA-256 of the one certificate that is accepted in this epoch, 32 bytes.
        certificate_number: X.509 serial number of that certificate, by which its issuer revokes it.
        issued: when it was made, unix seconds; that of a newer epoch is not older.
        first_seen: when it was first shown here, unix seconds.
        standing: what the module may do.
        last_contact: unix seconds.
        last_number: the highest message number of the module that was taken in; never falls (S10).
        generation: how often the module had written its durable state when it last said so; never falls (S4).
        version: how often this entry was written; 0 for one that is not in the registry yet.

    """

    serial: str
    owner: str
    issuer: bytes
    epoch: int
    fingerprint: bytes
    certificate_number: int
    issued: int
    first_seen: int
    standing: Standing
    last_contact: int
    last_number: int = 0
    generation: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Transaction:
    """One authorization and what became of it (L10). No whole card or account number is kept (S9).

    Attributes:
        serial, number: the module, and its number for the transaction; together the name.
        epoch: of the module.
        card, account: the last four characters; nothing of an account number that is not longer.
        amount, currency: what was asked for; minor units, ISO 4217.
        asked: unix seconds.
        approved: the host's decision; None while there is none.
        instructed: what to pay out, minor units; 0 where refused or undecided.
        reference: the central's own name for the transaction.
        paid: what was paid out, as the module says; None until it says so.
        settled: when it said so, unix seconds.

    """

    serial: str
    number: int
    epoch: int
    card: str
    account: str
    amount: int
    currency: str
    asked: int
    approved: bool | None = None
    instructed: int = 0
    reference: str = ""
    paid: int | None = None
    settled: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An opaque payload of an ATM controller, taken in once (L10).

    Attributes:
        serial, number: the module, and its number for the message; together the name.
        payload: bytes for the host.
        at: unix seconds.
        id: ascending in the registry, across modules; 0 before it is stored.

    """

    serial: str
    number: int
    payload: bytes = field(repr=False)
    at: int
    id: int = 0


class CommandKind(Enum):
    """What the central system may have waiting for a module. The values are stored."""

    INSTRUCT = "instruct"
    """An opaque payload for the ATM controller."""
    LOAD_KEY = "load key"
    """A symmetric key: its terms and its key block under the central's storage key (L11)."""
    REVOKE = "revoke"
    """The manufacturer's certificate revocation list, DER."""


class CommandState(Enum):
    """What became of a command. The values are stored."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    VOID = "void"
    """The module was reset or disabled before."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something that waits for a module, until the module acknowledges it.

    Attributes:
        serial, number: the module, and the central's number for the command, ascending for each module from 1.
        kind: what it is.
        content: for an INSTRUCT the payload; for others see CommandKind.
        created: unix seconds.
        state: what became of it.
        outcome: in words or a check value; empty while it waits.

    """

    serial: str
    number: int
    kind: CommandKind
    content: bytes = field(repr=False)
    created: int
    state: CommandState = CommandState.WAITING
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Crl:
    """The newest certificate revocation list of one issuer.

    Attributes:
        issuer: fingerprint of the issuer's certificate: a customer's, or the manufacturer's root.
        number: CRL number; a newer list has a greater one.
        der: the list.
        revoked: X.509 serial numbers of the certificates on it.
        next_update: unix seconds.

    """

    issuer: bytes
    number: int
    der: bytes = field(repr=False)
    revoked: frozenset[int] = field(repr=False)
    next_update: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit trail, which only grows.

    Attributes:
        number: counts from 1 without gaps.
        at: unix seconds.
        actor: who: a person at a command, or the program.
        action: what, in the past tense ("trusted", "disabled", "reset ordered", ...).
        subject: serial number or name.
        detail: more, in words; no secret.
        previous: digest of the entry before, 32 bytes; zeros for the first.
        digest: SHA-256 over all other fields in canonical JSON, 32 bytes.

    """

    number: int
    at: int
    actor: str
    action: str
    subject: str
    detail: str
    previous: bytes
    digest: bytes


# What is written and asked for together ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """What a session with a module writes in one step, all or nothing.

    Attributes:
        entry: replaces that of the module if the stored one has exactly `entry.version` (0: if there is none); it is
            stored with version + 1. A fingerprint that it displaces is retired for good.
        transaction: inserted, or put in the place of the one with its name.
        delivery: inserted; one that is there already stays as it is.
        concluded: a command that waits no more: its number, what became of it, and its outcome.
        note: for the audit trail: (action, detail); None for everyday business.

    """

    entry: ModuleEntry
    transaction: Transaction | None = None
    delivery: Delivery | None = None
    concluded: tuple[int, CommandState, str] | None = None
    note: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry knows of a module that showed a certificate.

    Attributes:
        entry: that of its serial number, or None.
        retired: the certificate counted in an earlier epoch.
        revoked: the newest list of its issuer has it, or that of the manufacturer has its issuer.
        issuer: the key that certified it, as it stands now; None: it was never trusted.
        logged: what that key's card has in its log, as far as it was read.

    """

    entry: ModuleEntry | None
    retired: bool
    revoked: bool
    issuer: Issuer | None
    logged: Logged = field(default_factory=lambda: Logged(holds=False))


@dataclass(frozen=True, slots=True)
class Attention:
    """What an open session may have to react to; asked for once a second, so it is small and needs no history.

    Attributes:
        waiting: serial numbers of modules with a waiting command or an ordered reset.
        disabled: serial numbers of modules that are disabled or whose certificate is revoked.
        lost: fingerprints of issuers that are lost or revoked.

    """

    waiting: frozenset[str]
    disabled: frozenset[str]
    lost: frozenset[bytes]


class Registry(CardLogs, Protocol):
    """The port. Every call is one transaction and may take time; calls may come from any thread, several at once.

    Every method may raise RegistryAway; what was not written then may be tried again. `actor` is who wants it, for
    the audit trail; `at` is unix seconds.
    """

    # What sessions ask and write

    def known(self, serial: str, fingerprint: bytes, certificate_number: int, issuer: bytes) -> Known:
        """What is known of the module that shows the certificate with this fingerprint and number, by `issuer`."""
        ...

    def commit(self, change: Change, *, at: int) -> None:
        """Write what a session decided. An entry that becomes RESET voids the commands that wait for the module.

        Raises:
            RegistryConflict: the entry is not as the session knows it.

        """
        ...

    def transaction(self, serial: str, number: int) -> Transaction | None:
        """The transaction with this name."""
        ...

    def next_command(self, serial: str) -> Command | None:
        """The waiting command with the lowest number."""
        ...

    def attention(self) -> Attention:
        """See the class."""
        ...

    # What the operator does

    def trust(self, issuer: Issuer, *, actor: str, at: int, how: str = "") -> None:
        """Admit an issuer's modules; the same one again changes nothing. `how` it came here, for the audit trail.

        Raises:
            StateError: it was lost; a lost key is never trusted again.

        """
        ...

    def disable_issuer(self, fingerprint: bytes, *, lost: int, keep_known: bool, actor: str, at: int) -> None:
        """Take an issuer's key as lost; a second time the earlier `lost` counts, and `keep_known` can only be dropped.

        Raises:
            NotInRegistry: no such issuer.

        """
        ...

    def disable_module(self, serial: str, *, actor: str, at: int, reason: str) -> None:
        """Refuse a module from now on; void what waits for it.

        Raises:
            NotInRegistry: no such module.

        """
        ...

    def enable_module(self, serial: str, *, actor: str, at: int) -> None:
        """Let a disabled module in again, but only with a certificate of a newer epoch (it becomes RESET).

        Raises:
            NotInRegistry: no such module.
            StateError: it is not disabled.

        """
        ...

    def order_reset(self, serial: str, *, actor: str, at: int) -> None:
        """Have a module reset at its next contact or, if it is online, at once; until then it may do nothing else.

        Raises:
            NotInRegistry: no such module.
            StateError: it is reset or disabled.

        """
        ...

    def put_command(self, serial: str, kind: CommandKind, content: bytes, *, actor: str, at: int) -> Command:
        """Have something wait for a module; the command with its number.

        Raises:
            NotInRegistry: no such module.
            StateError: it is disabled.

        """
        ...

    def import_crl(self, crl: Crl, *, actor: str, at: int) -> None:
        """Keep a newer list of an issuer, whose signature the caller has verified.

        Raises:
            StateError: the one that is here is newer, or another one of the same number.

        """
        ...

    # What is there

    def issuers(self) -> tuple[Issuer, ...]:
        """All issuers, in the order in which they were trusted."""
        ...

    def modules(self, *, after: str = "", limit: int = 1000) -> tuple[ModuleEntry, ...]:
        """Entries in the order of their serial numbers, from the first one behind `after`."""
        ...

    def module(self, serial: str) -> ModuleEntry | None:
        """The entry of one module."""
        ...

    def transactions(self, serial: str, *, after: int = 0, limit: int = 1000) -> tuple[Transaction, ...]:
        """A module's transactions in ascending order, from the first number behind `after`."""
        ...

    def deliveries(self, *, after: int = 0, limit: int = 1000) -> tuple[Delivery, ...]:
        """Payloads in the order in which they came, from the first id behind `after`: the host remembers its place."""
        ...

    def commands(self, serial: str) -> tuple[Command, ...]:
        """All commands for a module, ascending."""
        ...

    def crls(self) -> tuple[Crl, ...]:
        """The newest list of each issuer, in the order of their fingerprints."""
        ...

    def audit(self, *, after: int = 0, limit: int = 1000) -> tuple[AuditEntry, ...]:
        """The audit trail from the first number behind `after`."""
        ...

    def check(self) -> None:
        """Make sure that the registry answers."""
        ...

    def close(self) -> None:
        """Let go of connections; a second call does nothing."""
        ...


def check_chain(entries: Sequence[AuditEntry], previous: bytes = bytes(32)) -> None:
    """Check that nothing in this stretch of the audit trail is missing, altered or out of place.

    Args:
        entries: consecutive ones.
        previous: digest of the entry before the first of them.

    Raises:
        RegistryDamaged: with the number of the first entry that does not fit.

    """
    for entry in entries:
        if entry.previous != previous or audit_digest(entry) != entry.digest:
            raise RegistryDamaged(
                f"audit trail: entry {entry.number}", who="registry", expected="what was entered", got="something else"
            )
        previous = entry.digest


def audit_digest(entry: AuditEntry) -> bytes:
    """The digest that the entry should carry: SHA-256 over its other fields as JSON (sorted keys, no spaces, ASCII)."""
    flat = {
        "number": entry.number,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "detail": entry.detail,
        "previous": entry.previous.hex(),
    }
    return sha256(json.dumps(flat, sort_keys=True, separators=(",", ":")).encode("ascii")).digest()


def stands_in_spite_of_loss(issuer: Issuer, entry: ModuleEntry | None, fingerprint: bytes) -> bool:
    """Whether a certificate by `issuer` counts as far as the loss of its key goes (S5).

    What was seen here before the loss decides, and no date in the certificate: whoever has the key dates back.

    Args:
        issuer: of the certificate.
        entry: what is known of the module; None if nothing.
        fingerprint: SHA-256 of the certificate, 32 bytes.

    """
    if issuer.lost is None:
        return True
    was_known = entry is not None and entry.fingerprint == fingerprint and entry.first_seen < issuer.lost
    return issuer.keep_known and was_known


def check_may_be_reset(entry: ModuleEntry) -> None:
    """Make sure that a reset of this module may be ordered.

    Raises:
        StateError: it has no keys that count, or it is disabled.

    """
    if entry.standing not in (Standing.OPERATING, Standing.RESET_ORDERED):
        raise StateError(
            f"module {entry.serial} cannot be reset", who="registry", expected="operating", got=entry.standing.value
        )


def how_read(log: CardLog, before: int) -> str:
    """The detail of the audit entry of a card's log that was read further."""
    return f"{log.issuer.hex()}, entries {before} to {log.entries - 1}, last {log.digest.hex()}"


def how_trusted(issuer: Issuer, how: str) -> str:
    """The detail of the audit entry of an issuer that is trusted: which one, and how it came here."""
    return f"{issuer.fingerprint.hex()}, {how}" if how else issuer.fingerprint.hex()


def check_crl_is_newer(crl: Crl, known: Crl | None) -> bool:
    """Whether the list takes the place of the one that is here; False: it is the same.

    Raises:
        StateError: the one that is here is newer, or another one of the same number.

    """
    if known is not None and (crl.number < known.number or (crl.number == known.number and crl.der != known.der)):
        raise StateError(
            "revocation list", who="registry", expected=f"a number above {known.number}", got=f"number {crl.number}"
        )
    return known is None or crl.number > known.number
