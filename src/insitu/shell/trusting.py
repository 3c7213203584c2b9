"""Terms of each trust option out of what module and unit hold: the one place that knows what an option needs.

What an option protects against stands in protocol/channel/trust/options.py; what it does, in a file of its own there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from ..protocol.channel.trust import (
    SHIPPED,
    ByCable,
    ByShippedKey,
    ModuleByIdentity,
    ModuleOneWay,
    Terms,
    UnitByCertificate,
    UnitOneWay,
)
from ..protocol.channel.trust.certificates import own_unit
from ..protocol.engine import KeyHandle, KeyKind, UsageError
from ..protocol.keys.revocation import VerifiedCrl
from ..protocol.keys.vault import Vault
from ..protocol.messages import IDENTITY, ModuleRecord, TrustOption

if TYPE_CHECKING:
    from .card import Card

SESSION_KEY: Final = "session"
"""Label of the fresh pair that some options use; never committed."""

Strategy = TypeVar("Strategy")


@dataclass(frozen=True, slots=True)
class Means:
    """What people and documents contribute to an option at the unit, besides what both sides hold anyway.

    Attributes:
        shipped_key: out of the module's documents, 16 bytes (A5).

    """

    shipped_key: bytes | None = field(default=None, repr=False)


NOTHING: Final = Means()


# The module's side -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModuleHas:
    """What a module has for one session.

    Attributes:
        record: durable state.
        vault: its key memory.
        wired: whether the link is a wired local one, or was declared so.

    """

    record: ModuleRecord
    vault: Vault
    wired: bool


def module_terms(option: TrustOption, has: ModuleHas) -> Terms:
    """The terms of a delivered module. A fresh key pair lasts until its vault rolls back.

    Raises:
        UsageError: the module lacks what this option needs.

    """
    return _of(_MODULES, option)(has)


def _module_by_cable(has: ModuleHas) -> Terms:
    return ByCable.of(has.record.serial, _fresh(has.vault), wired=has.wired)


def _module_by_identity(has: ModuleHas) -> Terms:
    return ModuleByIdentity.of(has.record, has.vault.find(IDENTITY))


def _module_one_way(has: ModuleHas) -> Terms:
    return ModuleOneWay.of(has.record, has.vault.find(IDENTITY))


def _module_by_shipped_key(has: ModuleHas) -> Terms:
    secret = has.vault.find_secret(SHIPPED)
    if secret is None:
        raise _lacks("module", "a module with a shipped key", TrustOption.SHIPPED_KEY)
    return ByShippedKey.module(has.record.serial, _fresh(has.vault), secret)


_MODULES: Final[dict[TrustOption, Callable[[ModuleHas], Terms]]] = {
    TrustOption.PHYSICAL: _module_by_cable,
    TrustOption.CERTIFICATES: _module_by_identity,
    TrustOption.CERTIFICATES_ONE_WAY: _module_one_way,
    TrustOption.SHIPPED_KEY: _module_by_shipped_key,
}


# The unit's side ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnitHas:
    """What a unit has for one session.

    Attributes:
        card: with the unit's keys.
        serial: the module that the job is for.
        now: unix seconds.
        crl: the manufacturer's revocation list, as far as there is one (S5).
        means: what people and documents contribute.
        wired: whether the link is a wired local one, or was declared so.

    """

    card: Card
    serial: str
    now: int
    crl: VerifiedCrl | None
    means: Means
    wired: bool


def unit_terms(option: TrustOption, has: UnitHas) -> Terms:
    """The terms of a unit. A fresh key pair and a shared key last until the card's vault rolls back.

    Raises:
        UsageError: the unit lacks what this option needs.
        CertificateRefused: its certificate does not hold or is revoked.

    """
    return _of(_UNITS, option)(has)


def _unit_by_cable(has: UnitHas) -> Terms:
    return ByCable.of(has.card.record.name, _fresh(has.card.keys), wired=has.wired)


def _unit_by_certificate(has: UnitHas) -> Terms:
    card = has.card
    card.check_counts(own_unit(card.unit, card.customer))
    return UnitByCertificate.of(
        card.root, card.customer, card.unit, card.authentication, has.serial, now=has.now, crl=has.crl
    )


def _unit_one_way(has: UnitHas) -> Terms:
    card = has.card
    return UnitOneWay.of(card.root, card.record.name, _fresh(card.keys), has.serial, crl=has.crl)


def _unit_by_shipped_key(has: UnitHas) -> Terms:
    card, key = has.card, has.means.shipped_key
    if key is None:
        raise _lacks("unit", "the key out of the module's documents", TrustOption.SHIPPED_KEY)
    return ByShippedKey.unit(card.record.name, _fresh(card.keys), card.keys.storage.share(SHIPPED, key), has.serial)


_UNITS: Final[dict[TrustOption, Callable[[UnitHas], Terms]]] = {
    TrustOption.PHYSICAL: _unit_by_cable,
    TrustOption.CERTIFICATES: _unit_by_certificate,
    TrustOption.CERTIFICATES_ONE_WAY: _unit_one_way,
    TrustOption.SHIPPED_KEY: _unit_by_shipped_key,
}


def _of(strategies: dict[TrustOption, Strategy], option: TrustOption) -> Strategy:
    if option not in strategies:
        known = ", ".join(sorted(each.text for each in strategies))
        raise UsageError("trust option", expected=known, got=option.text)
    return strategies[option]


def _fresh(vault: Vault) -> KeyHandle:
    return vault.generate(SESSION_KEY, KeyKind.P256, b"")


def _lacks(who: str, expected: str, option: TrustOption) -> UsageError:
    return UsageError(f"trust option {option.text}", who=who, expected=expected, got="none")
