"""Whom the loss of a card concerns: the modules that it certified, and what has to be done about each (S5, L12).

Read from the registry and, if somebody has it, from what the card's log proves. Nothing is changed; whether a module is
let in is decided in the central system's table, by the same rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from ..protocol.keys.certificates import Role
from ..protocol.parties.log_reading import Made
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


def affected_by(registry: Registry, issuer: Issuer, made: Iterable[Made] = ()) -> Iterator[Affected]:
    """The modules whose certificate is by `issuer`, by serial number; not those that another card has certified by now.

    Args:
        registry: of the central system.
        issuer: whose key it is.
        made: what the card made as its log says: it names modules as well that never came here.

    """
    elsewhere = {each.subject: each for each in made if each.role == Role.MODULE.value}
    for entry in all_modules(registry):
        if entry.issuer == issuer.fingerprint:
            yield _known(registry, issuer, entry)
        elsewhere.pop(entry.serial, None)
    for serial, each in sorted(elsewhere.items()):
        fate = Fate.ADMITTED if stands_in_spite_of_loss(issuer, None, each.fingerprint) else Fate.REFUSED
        yield Affected(serial, fate, each.at, None, None, each.fingerprint)


def _known(registry: Registry, issuer: Issuer, entry: ModuleEntry) -> Affected:
    fate = _STANDS.get(entry.standing)
    if fate is None:
        known = registry.known(entry.serial, entry.fingerprint, entry.certificate_number, issuer.fingerprint)
        stands = not known.revoked and stands_in_spite_of_loss(issuer, entry, entry.fingerprint)
        admitted = Fate.ADMITTED if issuer.lost is None else Fate.KEPT
        fate = admitted if stands else Fate.REFUSED
    return Affected(entry.serial, fate, entry.issued, entry.first_seen, entry.last_contact, entry.fingerprint)


def replacements(registry: Registry, issuer: Issuer) -> tuple[Issuer, ...]:
    """Other keys of the same customer that count: with these its modules can be personalized again."""
    gone = registry.attention().lost | {issuer.fingerprint}
    return tuple(each for each in registry.issuers() if each.owner == issuer.owner and each.fingerprint not in gone)
