"""Whom the loss of a card concerns: the modules that it certified, and what has to be done about each (S5, L12).

Read from the registry and, if somebody has it, from the card's exported log; nothing is changed, and whether a module
is let in is decided in the central system's table, by the same rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from ..protocol.stores.card_log import Intent, LogEntry, Result
from ..protocol.stores.registry import Issuer, ModuleEntry, NotInRegistry, Registry, Standing, stands_in_spite_of_loss
from .operator import all_modules


class Fate(Enum):
    """What becomes of a module. The values are for programs."""

    ADMITTED = "admitted"
    """The key is not disabled."""
    KEPT = "kept"
    """It was known here before the loss, and stays admitted by policy."""
    REFUSED = "refused"
    """It may not work; it wants a reset and another card's certificate."""
    RESET_ORDERED = "reset ordered"
    """It is reset at its next contact, and may do nothing else."""
    RESET = "reset"
    """It has erased its keys, and waits for another card's certificate."""
    DISABLED = "disabled"
    """It was disabled by itself."""


AGAIN = frozenset({Fate.REFUSED, Fate.RESET_ORDERED, Fate.RESET})
"""Of these each has to be personalized again, with another card."""
_STANDS = {
    Standing.RESET_ORDERED: Fate.RESET_ORDERED,
    Standing.RESET: Fate.RESET,
    Standing.DISABLED: Fate.DISABLED,
}


@dataclass(frozen=True, slots=True)
class Affected:
    """A module that the card certified.

    Attributes:
        serial: of the module.
        fate: what becomes of it.
        certified: when the card made its certificate, as card or certificate say, unix seconds.
        known_since: when that certificate was first shown here; None: never.
        last_contact: unix seconds; None: never.
        fingerprint: SHA-256 of the certificate, 32 bytes.

    """

    serial: str
    fate: Fate
    certified: int
    known_since: int | None
    last_contact: int | None
    fingerprint: bytes

    @property
    def again(self) -> bool:
        """It has to be personalized again."""
        return self.fate in AGAIN


def find_issuer(registry: Registry, fingerprint: bytes) -> Issuer:
    """The issuer with this certificate.

    Raises:
        NotInRegistry: there is none.

    """
    for issuer in registry.issuers():
        if issuer.fingerprint == fingerprint:
            return issuer
    raise NotInRegistry("no such issuer", who="central", expected="one that is trusted here", got=fingerprint.hex())


def affected_by(registry: Registry, issuer: Issuer, log: Iterable[LogEntry] = ()) -> Iterator[Affected]:
    """The modules whose certificate is by `issuer`, by serial number; not those that another card has certified by now.

    Args:
        registry: of the central system.
        issuer: whose key it is.
        log: of the card, verified: it names modules as well that never came here.

    """
    elsewhere = dict(_certified(log))
    for entry in all_modules(registry):
        if entry.issuer == issuer.fingerprint:
            yield _known(registry, issuer, entry)
        elsewhere.pop(entry.serial, None)
    for serial, (at, fingerprint) in sorted(elsewhere.items()):
        fate = Fate.ADMITTED if stands_in_spite_of_loss(issuer, None, fingerprint) else Fate.REFUSED
        yield Affected(serial, fate, at, None, None, fingerprint)


def _known(registry: Registry, issuer: Issuer, entry: ModuleEntry) -> Affected:
    fate = _STANDS.get(entry.standing)
    if fate is None:
        known = registry.known(entry.serial, entry.fingerprint, entry.certificate_number, issuer.fingerprint)
        stands = not known.revoked and stands_in_spite_of_loss(issuer, entry, entry.fingerprint)
        admitted = Fate.ADMITTED if issuer.lost is None else Fate.KEPT
        fate = admitted if stands else Fate.REFUSED
    return Affected(entry.serial, fate, entry.issued, entry.first_seen, entry.last_contact, entry.fingerprint)


def _certified(log: Iterable[LogEntry]) -> Mapping[str, tuple[int, bytes]]:
    """The last certificate for each module: when, and its fingerprint."""
    jobs: dict[bytes, str] = {}
    made: dict[str, tuple[int, bytes]] = {}
    for entry in log:
        match entry.what:
            case Intent(job=job, role="module", subject=serial):
                jobs[job] = serial
            case Result(job=job, fingerprint=fingerprint) if job in jobs:
                made[jobs[job]] = entry.at, fingerprint
    return made


def replacements(registry: Registry, issuer: Issuer) -> tuple[Issuer, ...]:
    """Other keys of the same customer that count: with these its modules can be personalized again."""
    gone = registry.attention().lost | {issuer.fingerprint}
    return tuple(each for each in registry.issuers() if each.owner == issuer.owner and each.fingerprint not in gone)
