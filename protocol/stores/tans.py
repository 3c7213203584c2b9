"""The rules of a unit's TANs and of wrong attempts: pure functions from one record to the next (A6, A7).

A TAN is gone, and the attempt counted as wrong, before anything is said that depends on it: `attempted` does both in
one record. What a right attempt takes back is the count, never the TAN. Nothing secret is here.
"""

from __future__ import annotations

from dataclasses import replace

from ..engine import StateError, UsageError
from ..messages.tans import MOST_TANS, Agreed, Tally, Tan, UnitRecord

MOST_WRONG = 5
"""Attempts without a right one after which no more are made until an operator says so (SECURITY: resource limits)."""
_WHO = "unit"


class TanGone(StateError):
    """There is no TAN for this module: none was issued, or it was used or revoked, or its term is over."""


class SecretGone(StateError):
    """There is no secret of this module."""


class Locked(StateError):
    """Too many wrong attempts for this module: an operator has to unlock it."""


def wrong_attempts(record: UnitRecord, serial: str) -> int:
    """How often in a row the secret of this module was not known."""
    return next((tally.wrong for tally in record.tallies if tally.serial == serial), 0)


def check_unlocked(record: UnitRecord, serial: str) -> None:
    """Make sure that attempts may be made.

    Raises:
        Locked: too many were wrong.

    """
    if wrong_attempts(record, serial) >= MOST_WRONG:
        expected = "an operator who unlocks it"
        raise Locked(f"module {serial} is locked", who=_WHO, expected=expected, got=f"{MOST_WRONG} wrong attempts")


def usable(record: UnitRecord, serial: str, at: int) -> Tan:
    """The TAN with which this module can be met at `at` (unix seconds).

    Raises:
        TanGone, Locked: see there.

    """
    check_unlocked(record, serial)
    tan = _tan_for(record, serial)
    if at > tan.not_after:
        raise TanGone(f"the term of the TAN for {serial} is over", who=_WHO, expected="one that is issued anew")
    return tan


def issued(
    record: UnitRecord, serial: str, *, not_after: int, at: int, identified: bool, key: bool = False
) -> tuple[UnitRecord, Tan]:
    """A new TAN; one whose term is over gives way to it.

    Raises:
        StateError: there is one for this module, or there are too many.
        UsageError: a term that is over.

    """
    if not_after <= at:
        raise UsageError("term of the TAN", who=_WHO, expected="a time to come", got=not_after)
    rest = tuple(tan for tan in record.tans if tan.serial != serial or at <= tan.not_after)
    if any(tan.serial == serial for tan in rest):
        raise StateError(f"there is a TAN for {serial}", who=_WHO, expected="one at a time; it can be revoked")
    if len(rest) >= MOST_TANS:
        raise StateError("too many TANs", who=_WHO, expected=f"at most {MOST_TANS}")
    number = record.issued + 1
    tan = Tan(serial, f"tan-{number}", not_after, identified, printed=False, key=key)
    return replace(record, tans=(*rest, tan), issued=number), tan


def printed(record: UnitRecord, serial: str) -> UnitRecord:
    """It is about to be given out.

    Raises:
        TanGone: there is none.
        StateError: it was already.

    """
    tan = _tan_for(record, serial)
    if tan.printed:
        expected = "once; revoke it and issue another"
        raise StateError(f"the TAN for {serial} was printed or given out", who=_WHO, expected=expected)
    return replace(record, tans=tuple(replace(each, printed=True) if each == tan else each for each in record.tans))


def revoked(record: UnitRecord, serial: str) -> UnitRecord:
    """It counts no more.

    Raises:
        TanGone: there is none.

    """
    tan = _tan_for(record, serial)
    return replace(record, tans=tuple(each for each in record.tans if each != tan))


def agreed(record: UnitRecord, serial: str) -> tuple[UnitRecord, Agreed]:
    """A module was told a secret; the one that there was counts no more.

    Raises:
        StateError: there are too many.

    """
    rest = tuple(each for each in record.agreed if each.serial != serial)
    if len(rest) >= MOST_TANS:
        raise StateError("too many secrets", who=_WHO, expected=f"at most {MOST_TANS}")
    number = record.issued + 1
    secret = Agreed(serial, f"secret-{number}")
    return replace(record, agreed=(*rest, secret), issued=number), secret


def secret_of(record: UnitRecord, serial: str) -> Agreed:
    """The secret of this module.

    Raises:
        SecretGone: there is none.

    """
    for each in record.agreed:
        if each.serial == serial:
            return each
    raise SecretGone(f"no secret of {serial}", who=_WHO, expected="one that both sides were told")


def attempted(record: UnitRecord, serial: str, at: int, *, by_tan: bool) -> UnitRecord:
    """One attempt is about to be made: counted as wrong for now, and the TAN, if it is by one, is burnt for good.

    Raises:
        TanGone, Locked: it must not be made.

    """
    check_unlocked(record, serial)
    if by_tan:
        usable(record, serial, at)
        record = revoked(record, serial)
    tally = Tally(serial, wrong_attempts(record, serial) + 1)
    rest = _others(record, serial)
    if len(rest) >= MOST_TANS:
        raise Locked("too many modules had wrong attempts", who=_WHO, expected="an operator who unlocks them")
    return replace(record, tallies=(*rest, tally))


def forgotten(record: UnitRecord, serial: str) -> UnitRecord:
    """The last attempt was right, or an operator says that it goes on."""
    return replace(record, tallies=_others(record, serial))


def _others(record: UnitRecord, serial: str) -> tuple[Tally, ...]:
    return tuple(tally for tally in record.tallies if tally.serial != serial)


def _tan_for(record: UnitRecord, serial: str) -> Tan:
    for tan in record.tans:
        if tan.serial == serial:
            return tan
    raise TanGone(f"no TAN for {serial}", who=_WHO, expected="one that was issued and not used")
