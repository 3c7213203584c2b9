"""The people of a card: who may approve, and what two of them may change about that (L13). Declarations only."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from .fields import Key, Secret, Size, Within
from .wire import record

_NAME: Final = Size(1, 64)
MOST_PEOPLE: Final = 16
"""People of a card."""
MOST_CHANGES: Final = 16
"""Changes of a card's people that wait for approval at a time."""


@record
class Person:
    """Somebody who may approve; two different ones must, for each signature (L13).

    Attributes:
        name: of the person.
        salt: of the verifier, 16 random bytes.
        verifier: scrypt of the PIN, 32 bytes; of half a token's PIN no more than its first.
        failures: wrong PINs in a row; at five the person is locked.

    CDDL::

        Person = {
          1: tstr .size (1..64),  ; name
          2: bstr .size 16,       ; salt
          3: bstr .size (1..32),  ; verifier
          4: 0..255,              ; failures
        }

    """

    name: Annotated[str, Key(1), _NAME]
    salt: Annotated[bytes, Key(2), Size(16)]
    verifier: Annotated[bytes, Key(3), Size(1, 32), Secret()]
    failures: Annotated[int, Key(4), Within(0, 255)]


class PeopleChange(IntEnum):
    """What becomes of the people.

    CDDL::

        people-change = &(
          add: 0,
          remove: 1,
          replace: 2,
          renew: 3,
          unlock: 4,
        )
    """

    ADD = 0
    REMOVE = 1
    REPLACE = 2
    """One leaves, another comes, in one step: so there never are too few."""
    RENEW = 3
    """The same person with a new PIN, who forgot the old one."""
    UNLOCK = 4
    """The same person with the same PIN, whose wrong ones are forgiven."""

    @property
    def brings_a_pin(self) -> bool:
        """Whether somebody gets a PIN by it."""
        return self not in (PeopleChange.REMOVE, PeopleChange.UNLOCK)


@record
class PeopleJob:
    """A change of the card's people: exactly this, for a limited time, once, like a certificate (L13).

    Attributes:
        number: 16 random bytes that name the job.
        change: what becomes of whom.
        person: who is concerned: who comes (ADD), or is there already (all others).
        new: who may approve from then on, with the verifier of that person's PIN; None for REMOVE and UNLOCK.
        expires: unix seconds after which approvals count no more.
        approvals: names of the people who approved.

    CDDL::

        PeopleJob = {
          1: bstr .size 16,            ; number
          2: people-change,
          3: tstr .size (1..64),       ; person
          ? 4: Person,                 ; new
          5: unix-time,                ; expires
          6: [*2 tstr .size (1..64)],  ; approvals
        }

    """

    number: Annotated[bytes, Key(1), Size(16)]
    change: Annotated[PeopleChange, Key(2)]
    person: Annotated[str, Key(3), _NAME]
    expires: Annotated[int, Key(5)]
    approvals: Annotated[tuple[Annotated[str, _NAME], ...], Key(6), Size(0, 2)]
    new: Annotated[Person | None, Key(4)] = None

    @property
    def comes(self) -> str:
        """Who is there afterwards; empty where somebody only leaves."""
        return "" if self.change is PeopleChange.REMOVE else self.person if self.new is None else self.new.name
