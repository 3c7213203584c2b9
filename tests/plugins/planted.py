"""Faults, planted in the product one at a time: what must not happen is seen by the worlds in which it can happen.

Guards and actions stand in tables that are made once, so that the code of a function is exchanged, not its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any, Final

from insitu.protocol.keys import derive, revocation
from insitu.protocol.keys.software import SoftwareKeyStore
from insitu.protocol.keys.vault import OwnVault
from insitu.protocol.messages import TrustOption
from insitu.protocol.parties import card, central, central_business, module, work, work_keys
from insitu.protocol.stores import card_log, tans
from insitu.shell.card import Card
from insitu.shell.central import Central
from insitu.shell.unit import Unit
from insitu.simulate.plan import Plan, Trouble
from insitu.simulate.run import Verdict, run_world


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        invariant: what it violates.
        parts: functions, with what is done instead.
        troubles: what there is of these in the world where it is looked for; of all others nothing.
        about: what else that world is like.

    """

    invariant: str
    parts: Mapping[Callable[..., Any], Callable[..., Any]]
    troubles: Mapping[Trouble, float] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def plan(self, seed: int) -> Plan:
        """The world of this seed in which it is looked for."""
        plan = Plan.drawn(seed, modules=4, hours=0.2, faults="none")
        return replace(plan, strengths={**plan.strengths, **self.troubles}, **self.about)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """It is in the product."""
        before = {}
        for part, other in self.parts.items():
            assert isinstance(part, FunctionType)
            assert isinstance(other, FunctionType)
            before[part] = part.__code__, part.__kwdefaults__
            whole = FunctionType(part.__code__, part.__globals__, part.__name__, part.__defaults__)
            whole.__kwdefaults__ = part.__kwdefaults__
            part.__code__ = other.__code__
            part.__kwdefaults__ = {"whole": whole} if "whole" in (other.__kwdefaults__ or {}) else None
        try:
            yield
        finally:
            for part, (code, defaults) in before.items():
                part.__code__, part.__kwdefaults__ = code, defaults

    def looked_for(self, seed: int) -> Verdict:
        """What becomes of that world with the fault in it."""
        with self.planted():
            return run_world(self.plan(seed))


# What is done instead. Names are looked up where the code comes to lie; `whole` is what was there -----------------

_WHOLE: Any = None
NO_RESETS: Final = {Trouble.RESET_BY_HAND: 0.0, Trouble.RESET_ORDERED: 0.0}


def keep_all_keys(self: Any, record: Any, keep: Any) -> None:
    self._change(record, keep, frozenset(), erase=False)


def admit_whoever_was_reset(data: Any, known: Any) -> str:
    return _objection_to_issuer(data, known)  # type: ignore[name-defined,no-any-return]  # noqa: F821


def nothing(data: Any, known: Any) -> str:
    return ""


def no_refusal(self: Any, what: Any, at: Any) -> str:
    return ""


def yes(data: Any, event: Any) -> bool:
    return True


def never(certificate: Any, crl: Any) -> None:
    return None


def the_installed_one(self: Any) -> Any:
    return self.record.certificate


def one(self: Any) -> int:
    return 1


def no(data: Any, event: Any) -> bool:
    return False


def whichever_job(self: Any, role: Any, subject: Any) -> Any:
    return next(job for job in self.record.jobs if job.subject == subject)


def by_salt_alone(own: Any, salt: Any, info: Any, size: Any) -> Any:
    return HKDF(SHA512(), size, None, info).derive(salt)  # type: ignore[name-defined]  # noqa: F821


def pay_before_it_is_kept(data: Any, event: Any, *, whole: Any = _WHOLE) -> Any:
    known, (stop, persist, note) = whole(data, event)
    return known, [stop, note, persist]


def confirm_before_it_is_kept(data: Any, event: Any, *, whole: Any = _WHOLE) -> Any:
    known, (persist, *said, done, close) = whole(data, event)
    return known, [done, persist, *said, close]


def acknowledge_before_it_is_done(data: Any, event: Any, *, whole: Any = _WHOLE) -> Any:
    blank, (*effects, done, close) = whole(data, event)
    return blank, [done, *effects, close]


def burn_nothing(record: Any, serial: Any, at: Any, *, by_tan: Any, whole: Any = _WHOLE) -> Any:
    return whole(record, serial, at, by_tan=False)


def agree_without_a_look(self: Any, consult: Any) -> Any:
    return FingerprintsAgree()  # type: ignore[name-defined]  # noqa: F821


def commit_whatever_was_there(self: Any, change: Any, keep: Any, *, whole: Any = _WHOLE) -> Any:
    if isinstance(change, Change):  # type: ignore[name-defined]  # noqa: F821
        known = self.registry.module(change.entry.serial)
        entry = replace(change.entry, version=0 if known is None else known.version)
        change = replace(change, entry=entry)
    return whole(self, change, keep)


def show_the_private_key(self: Any, key: Any, message: Any, *, whole: Any = _WHOLE) -> Any:
    if not key.label.startswith("operating"):
        return whole(self, key, message)
    return self.private_bytes_for_sealing(key.label) * 2


def _getter(about: Any) -> Callable[..., Any]:
    assert isinstance(about, property)
    assert about.fget is not None
    return about.fget


FAULTS: Final[Mapping[str, Fault]] = {
    "a reset keeps the keys": Fault("S3", {OwnVault.commit: keep_all_keys}),
    "a reset is acknowledged before it is done": Fault(
        "S3",
        {work.erase: acknowledge_before_it_is_done},
        {Trouble.POWER_CUT: 0.1, Trouble.RESET_ORDERED: 60.0},
        {"sealed": 0.0},
    ),
    "a module says that it operates before it does": Fault(
        "S2", {module.commit: confirm_before_it_is_kept}, {Trouble.POWER_CUT: 0.1}, {"sealed": 0.0}
    ),
    "a reset ends no certificate": Fault(
        "S4", {central._objection: admit_whoever_was_reset}, {Trouble.OLD_COPY: 40.0}, {"sealed": 1.0, "guarded": 0.0}
    ),
    "a lost card certifies on": Fault("S5", {central._objection_to_issuer: nothing}, {Trouble.CARD_LOST: 30.0}),
    "a revoked certificate counts": Fault(
        "S5", {central._objection_to_issuer: nothing}, {Trouble.MODULE_REVOKED: 20.0}
    ),
    "the manufacturer's list counts for nothing": Fault(
        "S5",
        {revocation.check_unrevoked: never},
        {Trouble.IDENTITY_REVOKED: 20.0, Trouble.RESET_BY_HAND: 60.0},
        {"hours": 0.3, "options": (TrustOption.CERTIFICATES,)},
    ),
    "all modules are shown the first card's certificate": Fault(
        "liveness", {_getter(Central.certificate): the_installed_one}, {}, {"shared": 1.0, "modules": 2, "hours": 0.05}
    ),
    "a host writes over what another one wrote": Fault(
        "S4",
        {Central._commit: commit_whatever_was_there},
        {Trouble.DELAY: 0.3, Trouble.CUT: 0.5},
        {"paired": 1.0, "hours": 0.2},
    ),
    "nobody has to approve": Fault(
        "S6",
        {
            card.two_people_approved_exactly_this: yes,
            Card.approved_job: whichever_job,
            card_log._Before._refuses_consent: no_refusal,
        },
        {Trouble.WRONG_PIN: 0.3, Trouble.IMPATIENCE: 1.0},
    ),
    "a standing approval is never used up": Fault(
        "S6",
        {_getter(card_log.Standing.left): one},
        {Trouble.RESET_BY_HAND: 60.0},
        {"networked": 1.0, "options": (TrustOption.CERTIFICATES,)},
    ),
    "the salt determines the key": Fault("S7", {derive._expand: by_salt_alone}, {Trouble.SAME_SALT: 1.0}),
    "no key expires": Fault("S8", {work_keys._is_over: no}, NO_RESETS, {"hours": 0.6}),
    "a private key is told": Fault("S9", {SoftwareKeyStore.sign: show_the_private_key}),
    "every number is new": Fault("S10", {central_business.number_is_new: yes}, {Trouble.CUT: 0.5}),
    "money is paid before that is kept": Fault(
        "S10",
        {work.pay_out: pay_before_it_is_kept},
        {Trouble.POWER_CUT: 0.1, **NO_RESETS},
        {"sealed": 0.0, "hours": 0.6},
    ),
    "a TAN is not burnt": Fault(
        "S10",
        {tans.attempted: burn_nothing},
        {Trouble.WRONG_SECRET: 0.3},
        {"options": (TrustOption.TAN,), "networked": 1.0},
    ),
    "people do not compare": Fault(
        "S11", {Unit._ask_person: agree_without_a_look}, {Trouble.IMPOSTOR: 1.0}, {"options": (TrustOption.PHYSICAL,)}
    ),
}
"""By what is wrong."""
