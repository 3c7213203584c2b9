"""What the trust options do not withstand, by SECURITY.md and by what `insitu trust` tells: each must be found.

A search that finds nothing where something is known to be would not be worth much where nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from ..protocol.messages import TrustOption
from .intruder import Power
from .invariants import s11_only_a_key_that_the_module_made_is_certified, what_operates_came_from_one_bank

_WRONG_KEY: Final = s11_only_a_key_that_the_module_made_is_certified.__name__
_WRONG_BANK: Final = what_operates_came_from_one_bank.__name__
T = TrustOption
P = Power


class Known(NamedTuple):
    """Something that does not hold, and must be found.

    Attributes:
        by: whom, in words.
        breaks: the invariant that does not hold then.

    """

    by: str
    breaks: str


@dataclass(frozen=True)
class Attack:
    """One on a trust option that must be found.

    Attributes:
        option: under which.
        powers: what the intruder has to have for it.
        breaks: the invariant that does not hold then.

    """

    option: TrustOption
    powers: frozenset[Power]
    breaks: str

    @property
    def by(self) -> str:
        """Who, for people."""
        return "somebody who " + " and ".join(sorted(power.value for power in self.powers))


def _attack(option: TrustOption, breaks: str, *powers: Power) -> Attack:
    return Attack(option, frozenset(powers), breaks)


ATTACKS: Final = (
    _attack(T.PHYSICAL, _WRONG_KEY, P.UNHEEDED),
    _attack(T.PHYSICAL, _WRONG_BANK, P.RIVAL),
    _attack(T.CERTIFICATES, _WRONG_KEY, P.IDENTITY),
    _attack(T.CERTIFICATES, _WRONG_BANK, P.RIVAL),
    _attack(T.CERTIFICATES_ONE_WAY, _WRONG_KEY, P.IDENTITY),
    _attack(T.CERTIFICATES_ONE_WAY, _WRONG_BANK, P.RIVAL),
    _attack(T.TICKET, _WRONG_KEY, P.TICKETS),
    _attack(T.TICKET, _WRONG_KEY, P.IDENTITY),
    _attack(T.TICKET, _WRONG_BANK, P.RIVAL),
    _attack(T.SHIPPED_KEY, _WRONG_KEY, P.DOCUMENTS),
    _attack(T.SECRET, _WRONG_KEY, P.KNOWS, P.IDENTITY),
    _attack(T.SECRET, _WRONG_BANK, P.KNOWS, P.RIVAL),
    _attack(T.TAN, _WRONG_KEY, P.KNOWS, P.IDENTITY),
    _attack(T.TAN, _WRONG_BANK, P.KNOWS, P.RIVAL),
    _attack(T.CONVEYED, _WRONG_KEY, P.LOCAL_LINK),
    _attack(T.CONVEYED, _WRONG_KEY, P.MOBILE),
    _attack(T.CONVEYED, _WRONG_BANK, P.LOCAL_LINK, P.RIVAL),
)
"""In the order of the options."""


WITHSTOOD: Final = {
    T.PHYSICAL: frozenset[Power](),
    T.CERTIFICATES: frozenset({P.DOCUMENTS}),
    T.CERTIFICATES_ONE_WAY: frozenset({P.DOCUMENTS}),
    T.TICKET: frozenset({P.DOCUMENTS}),
    T.SHIPPED_KEY: frozenset({P.IDENTITY, P.RIVAL}),
    T.SECRET: frozenset({P.IDENTITY, P.RIVAL}),
    T.TAN: frozenset({P.IDENTITY, P.RIVAL}),
    T.CONVEYED: frozenset({P.IDENTITY, P.RIVAL}),
}
"""What the intruder has, besides what he always has, where nothing may be found."""


def attacks_on(option: TrustOption) -> tuple[Attack, ...]:
    """Those on this option."""
    return tuple(attack for attack in ATTACKS if attack.option is option)
