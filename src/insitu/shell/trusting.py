"""Terms of each trust option out of what module and unit hold: the one place that knows what an option needs.

What an option protects against stands in protocol/channel/trust/options.py; what it does, in a file of its own there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from ..protocol.channel.trust import (
    MOST_WRONG,
    SECRET,
    SHIPPED,
    TICKETS,
    ByCable,
    BySecret,
    ByShippedKey,
    ByTan,
    ModuleByConveyed,
    ModuleByIdentity,
    ModuleByTicket,
    ModuleOneWay,
    Terms,
    UnitByCertificate,
    UnitByConveyed,
    UnitByTicket,
    UnitOneWay,
)
from ..protocol.channel.trust.certificates import own_unit
from ..protocol.engine import KeyHandle, KeyKind, SecretHandle, StateError, UsageError
from ..protocol.keys.port import KeyStore
from ..protocol.keys.revocation import VerifiedCrl
from ..protocol.keys.vault import Vault
from ..protocol.messages import IDENTITY, NUMBER_BYTES, ModuleRecord, NumberMaker, TrustOption

if TYPE_CHECKING:
    from .book import Book
    from .card import Card
    from .second_link import SecondLink
    from .whoever import Pinnable

SESSION_KEY: Final = "session"
"""Label of the fresh pair that some options use; never committed."""

Strategy = TypeVar("Strategy")


@dataclass(frozen=True, slots=True)
class Mobiles:
    """The mobiles that may convey for a unit, and the unit's link to them (A9).

    Attributes:
        known: as their long-distance link proves or reports them.
        link: of this session.
        maker: who makes the number.

    """

    known: frozenset[str]
    link: SecondLink
    maker: NumberMaker = NumberMaker.UNIT


@dataclass(frozen=True, slots=True)
class Means:
    """What people and documents contribute to an option at the unit, besides what both sides hold anyway.

    Attributes:
        shipped_key: out of the module's documents, 16 bytes (A5).
        secret: what was agreed on with whoever looks after the module (A6).
        book: the unit's own, with its TANs and the counts of wrong attempts (A6, A7).
        identified: the module has to prove its identity before anything else (A6); of a TAN, the book says so.
        mobiles: who may convey a number (A9).

    """

    shipped_key: bytes | None = field(default=None, repr=False)
    secret: bytes | None = field(default=None, repr=False)
    book: Book | None = None
    identified: bool = True
    mobiles: Mobiles | None = None


NOTHING: Final = Means()


# The module's side -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModuleHas:
    """What a module has for one session.

    Attributes:
        record: durable state.
        vault: its key memory.
        wired: whether the link is a wired local one, or was declared so.
        entropy: random bytes.
        mobile: its link to a mobile, as far as there is one.
        token: its operator's, with a TAN, as far as one is plugged in (A8).

    """

    record: ModuleRecord
    vault: Vault
    wired: bool
    entropy: Callable[[int], bytes]
    mobile: SecondLink | None = None
    token: KeyStore | None = None


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


def _module_by_ticket(has: ModuleHas) -> Terms:
    return ModuleByTicket.of(has.record, has.vault.find(IDENTITY))


def _module_by_shipped_key(has: ModuleHas) -> Terms:
    secret = has.vault.find_secret(SHIPPED)
    if secret is None:
        raise _lacks("module", "a module with a shipped key", TrustOption.SHIPPED_KEY)
    return ByShippedKey.module(has.record.serial, _fresh(has.vault), secret)


def _module_by_secret(has: ModuleHas) -> Terms:
    secret = has.vault.find_secret(SECRET)
    if secret is None:
        raise _lacks("module", "a module that was told a secret", TrustOption.SECRET)
    if (has.record.wrong or 0) >= MOST_WRONG:
        expected, got = "an operator who unlocks it", f"{MOST_WRONG} wrong attempts"
        raise StateError("the module's secret is locked", who="module", expected=expected, got=got)
    return _module_by(BySecret, has, secret)


def _module_by_tan(has: ModuleHas) -> Terms:
    if has.token is None:
        return _module_by(ByTan, has, None)
    tan = has.token.find_secret(has.record.serial)
    if tan is None:
        raise _lacks("module", f"a token with a TAN for {has.record.serial}", TrustOption.TAN)
    return _module_by(ByTan, has, tan)


def _module_by(terms: type[BySecret], has: ModuleHas, secret: SecretHandle | None) -> Terms:
    identity = has.vault.find(IDENTITY)
    if identity is None:
        return terms.bare_module(has.record.serial, _fresh(has.vault), secret)
    return terms.module(has.record, identity, secret)


def _module_by_conveyed(has: ModuleHas) -> Terms:
    if has.mobile is None:
        raise _lacks("module", "a local link to a mobile", TrustOption.CONVEYED)
    return ModuleByConveyed.of(has.record.serial, _fresh(has.vault), has.entropy(NUMBER_BYTES))


_MODULES: Final[dict[TrustOption, Callable[[ModuleHas], Terms]]] = {
    TrustOption.PHYSICAL: _module_by_cable,
    TrustOption.CERTIFICATES: _module_by_identity,
    TrustOption.CERTIFICATES_ONE_WAY: _module_one_way,
    TrustOption.TICKET: _module_by_ticket,
    TrustOption.SHIPPED_KEY: _module_by_shipped_key,
    TrustOption.SECRET: _module_by_secret,
    TrustOption.TAN: _module_by_tan,
    TrustOption.CONVEYED: _module_by_conveyed,
}


# The unit's side ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnitHas:
    """What a unit has for one session.

    Attributes:
        card: with the unit's keys.
        keys: where a fresh pair and a shared key are put for this session: the card's key memory, or memory of its own
            where several sessions run at a time.
        serial: the module that the job is for; empty where it is not known yet.
        now: unix seconds.
        crl: the manufacturer's revocation list, as far as there is one (S5).
        means: what people and documents contribute.
        wired: whether the link is a wired local one, or was declared so.
        entropy: random bytes.

    """

    card: Card
    keys: Vault
    serial: str
    now: int
    crl: VerifiedCrl | None
    means: Means
    wired: bool
    entropy: Callable[[int], bytes]


def unit_terms(option: TrustOption, has: UnitHas) -> Terms:
    """The terms of a unit. A fresh key pair and a shared key last until `has.keys` rolls back.

    Raises:
        UsageError: the unit lacks what this option needs, or its card is certified by its own central system only.
        CertificateRefused: its certificate does not hold or is revoked.

    """
    check_certified(has.card, option)
    return _of(_UNITS, option)(has)


def check_certified(card: Card, option: TrustOption) -> None:
    """Make sure that the card may be used with this option: a circular certificate is for a cable only (L6).

    Raises:
        UsageError: it may not.

    """
    if card.is_circular and option is not TrustOption.PHYSICAL:
        expected = f"trust option {TrustOption.PHYSICAL.text}, or a card that the manufacturer certified"
        raise UsageError("a circular certificate", who="unit", expected=expected, got=option.text)


def _unit_by_cable(has: UnitHas) -> Terms:
    return ByCable.of(has.card.record.name, _fresh(has.keys), wired=has.wired)


def _unit_by_certificate(has: UnitHas) -> UnitByCertificate:
    card = has.card
    card.check_counts(own_unit(card.unit, card.customer))
    return UnitByCertificate.of(
        card.root, card.customer, card.unit, card.authentication, has.serial, now=has.now, crl=has.crl
    )


def _unit_one_way(has: UnitHas) -> UnitOneWay:
    card = has.card
    return UnitOneWay.of(card.root, card.record.name, _fresh(has.keys), has.serial, crl=has.crl)


def _unit_by_ticket(has: UnitHas) -> UnitByTicket:
    card = has.card
    if card.keys.find_secret(TICKETS) is None:
        raise _lacks("unit", "a card that gave out tickets", TrustOption.TICKET)
    return UnitByTicket.of(card.record.name, _fresh(has.keys), has.serial)


def _unit_by_shipped_key(has: UnitHas) -> Terms:
    card, key = has.card, has.means.shipped_key
    if key is None:
        raise _lacks("unit", "the key out of the module's documents", TrustOption.SHIPPED_KEY)
    return ByShippedKey.unit(card.record.name, _fresh(has.keys), has.keys.storage.share(SHIPPED, key), has.serial)


def _unit_by_secret(has: UnitHas) -> Terms:
    means = has.means
    if means.secret is None:
        raise _lacks("unit", "the secret that the module was told", TrustOption.SECRET)
    if means.book is None:
        raise _lacks("unit", "a book, which counts wrong attempts", TrustOption.SECRET)
    means.book.check_unlocked(has.serial)
    secret = has.keys.storage.share_password(SECRET, means.secret)
    return _unit_by(BySecret, has, secret, identified=means.identified)


def _unit_by_tan(has: UnitHas) -> Terms:
    if has.means.book is None:
        raise _lacks("unit", "a book with TANs", TrustOption.TAN)
    tan, value = has.means.book.usable(has.serial)
    storage = has.keys.storage
    secret = storage.share(SECRET, value) if tan.key else storage.share_password(SECRET, value)
    return _unit_by(ByTan, has, secret, identified=tan.identified)


def _unit_by(terms: type[BySecret], has: UnitHas, secret: SecretHandle, *, identified: bool) -> Terms:
    card = has.card
    root = card.root if identified else None
    return terms.unit(card.record.name, _fresh(has.keys), secret, has.serial, root=root, crl=has.crl)


def _unit_by_conveyed(has: UnitHas) -> UnitByConveyed:
    card, mobiles = has.card, has.means.mobiles
    if mobiles is None or not mobiles.known:
        raise _lacks("unit", "mobiles that may convey the number", TrustOption.CONVEYED)
    key, number = _fresh(has.keys), has.entropy(NUMBER_BYTES)
    return UnitByConveyed.of(
        card.record.name, key, has.serial, mobiles=mobiles.known, maker=mobiles.maker, number=number
    )


_UNITS: Final[dict[TrustOption, Callable[[UnitHas], Terms]]] = {
    TrustOption.PHYSICAL: _unit_by_cable,
    TrustOption.CERTIFICATES: _unit_by_certificate,
    TrustOption.CERTIFICATES_ONE_WAY: _unit_one_way,
    TrustOption.TICKET: _unit_by_ticket,
    TrustOption.SHIPPED_KEY: _unit_by_shipped_key,
    TrustOption.SECRET: _unit_by_secret,
    TrustOption.TAN: _unit_by_tan,
    TrustOption.CONVEYED: _unit_by_conveyed,
}


# The unit's side, before it is known which module is there ---------------------------------------------------


def terms_for_whoever(option: TrustOption, has: UnitHas) -> Pinnable:
    """The terms of a unit in the network, which learns in the handshake which module they are for.

    A secret or TAN has to wait for that, too; the module must have proved an identity by then, else anybody in the
    network could use up the attempts and burn the TANs of all (SECURITY: resource limits).

    Raises:
        UsageError: not under this option, or the unit lacks what it needs.
        CertificateRefused: the unit's certificate does not hold or is revoked.

    """
    if option not in _FOR_WHOEVER:
        summary = f"trust option {option.text} is not for a unit that listens"
        raise UsageError(summary, who="unit", expected="insitu unit personalize", got=_NOT_FOR_WHOEVER.get(option, ""))
    return _FOR_WHOEVER[option](has)


def _whoever_by(terms: type[BySecret], has: UnitHas) -> BySecret:
    if has.means.book is None:
        raise UsageError("secrets and TANs", who="unit", expected="a book (--book)", got="none")
    return terms.unit(has.card.record.name, _fresh(has.keys), None, "", root=has.card.root, crl=has.crl)


_FOR_WHOEVER: Final[dict[TrustOption, Callable[[UnitHas], Pinnable]]] = {
    TrustOption.CERTIFICATES: _unit_by_certificate,
    TrustOption.CERTIFICATES_ONE_WAY: _unit_one_way,
    TrustOption.TICKET: _unit_by_ticket,
    TrustOption.CONVEYED: _unit_by_conveyed,
    TrustOption.SECRET: partial(_whoever_by, BySecret),
    TrustOption.TAN: partial(_whoever_by, ByTan),
}
_NOT_FOR_WHOEVER: Final = {
    TrustOption.PHYSICAL: "a network, whose other end no cable vouches for",
    TrustOption.SHIPPED_KEY: "a module whose documents are at hand only once it is known which it is",
}
"""Why not."""


def _of(strategies: dict[TrustOption, Strategy], option: TrustOption) -> Strategy:
    if option not in strategies:
        known = ", ".join(sorted(each.text for each in strategies))
        raise UsageError("trust option", expected=known, got=option.text)
    return strategies[option]


def _fresh(vault: Vault) -> KeyHandle:
    return vault.generate(SESSION_KEY, KeyKind.P256, b"")


def _lacks(who: str, expected: str, option: TrustOption) -> UsageError:
    return UsageError(f"trust option {option.text}", who=who, expected=expected, got="none")
