"""Worlds that belong to no trust option: where modules work, lists, and what else people agree on; by theme.

Each world has some of what may happen, and is searched to its end; together those of a theme have all of it. What is
known not to hold there must be found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..protocol.messages import TrustOption
from .attacks import WITHSTOOD, Known
from .calling import Calling
from .delivering import (
    Bench,
    ByMadeKey,
    Delivering,
    s7_no_two_modules_have_a_number_or_a_key_in_common,
    s11_an_identity_is_for_a_key_that_a_module_made,
)
from .edhoc import Shaking
from .enrolling import Enrolling, MutualEnrolling, Stolen
from .intruder import Power
from .invariants import s11_only_a_key_that_the_module_made_is_certified
from .keying import Keyed, Keying
from .listing import Listing, Lists, s5_a_unit_turns_away_whom_a_list_names_that_came_meanwhile
from .lost_card import LostCard, s5_what_a_thief_certified_is_refused
from .office import Asking, Office
from .office_lists import Books, Certifying, Revoking, Ticketing
from .office_people import Furnishing, People, Token
from .operating import Budget, Operating
from .personalizing import Personalizing
from .scenario import Scenario
from .standing import (
    Standing,
    Step,
    s6_a_standing_approval_ends_in_time,
    s6_no_more_certificates_than_agreed,
)
from .state import Limits, Variant
from .syncing import Brought, Syncing, l12_each_certificate_is_in_some_log_for_good
from .tokens import ByToken
from .work_invariants import what_is_settled_is_what_was_paid
from .world import SERIAL, STOLEN

B = Budget
O = TrustOption  # noqa: E741 - as B


class Weakness(NamedTuple):
    """What is known not to hold, and the world in which it is found.

    Attributes:
        known: by whom, and what it breaks.
        make: the world.

    """

    known: Known
    make: Callable[[], Scenario]


@dataclass(frozen=True)
class Theme:
    """Worlds that have something in common.

    Attributes:
        who: of whom they are, in the place of a kind of unit.
        worlds: by name.
        weaknesses: that must be found.

    """

    who: str
    worlds: Mapping[str, Callable[[], Scenario]]
    weaknesses: tuple[Weakness, ...] = ()


AT_WORK: Final[dict[str, Callable[[], Operating]]] = {
    "business": lambda: Operating({B.CRASHES: 1, B.WISHES: 1, B.CANCELS: 1}, runs=(2, 2, 0)),
    "payloads": lambda: Operating({B.CRASHES: 1, B.PAYLOADS: 1}, runs=(2, 2, 0)),
    "instructions": lambda: Operating({B.CRASHES: 1, B.INSTRUCTIONS: 1}, runs=(2, 2, 0)),
    "two sessions": lambda: Operating({B.WISHES: 1}, runs=(2, 1, 1)),
    "strangers": lambda: Operating({B.WISHES: 1}, runs=(1, 1, 1), talk=2),
    "resets": lambda: Operating({B.ORDERED: 1, B.BY_HAND: 1, B.ANEW: 1}, runs=(2, 1, 1)),
    "resets and crashes": lambda: Operating({B.CRASHES: 1, B.ORDERED: 1, B.BY_HAND: 1, B.ANEW: 1}, runs=(2, 2, 0)),
    "old stores": lambda: Operating({B.PAYLOADS: 1, B.COPIES: 1, B.RESTORED: 1}, runs=(2, 2, 0)),
    "old stores and resets": lambda: Operating({B.BY_HAND: 1, B.ANEW: 1, B.COPIES: 1, B.RESTORED: 1}, runs=(2, 2, 0)),
    "symmetric keys": lambda: Operating({B.CRASHES: 1, B.KEYS: 1, B.USES: 1, B.LATE: 1}, runs=(2, 2, 0)),
    "lost and revoked": lambda: Operating(
        {B.LOST: 1, B.LOST_BUT_KNOWN: 1, B.DISABLED: 1, B.REVOKED: 1, B.BANK_REVOKED: 1}, runs=(2, 2, 0)
    ),
    "beats": lambda: Operating({B.CRASHES: 1, B.BEATS: 1}, runs=(1, 1, 0)),
    "failing key memory": lambda: Operating({B.FAILURES: 1, B.KEYS: 1, B.USES: 1, B.ORDERED: 1}, runs=(2, 2, 0)),
    "lists": lambda: Operating({B.LISTED: 1, B.LISTED_BEFORE: 1}, runs=(2, 2, 0)),
    "lists and crashes": lambda: Operating({B.CRASHES: 1, B.LISTED: 1, B.LISTED_BEFORE: 1}, runs=(2, 1, 0)),
}
"""Worlds in which a module works."""
_COUNTERLESS: Final = Weakness(
    Known(
        "somebody who puts back a copy of the module's store that is younger than its last contact",
        what_is_settled_is_what_was_paid.__name__,
    ),
    lambda: Operating({B.WISHES: 1, B.COPIES: 1, B.RESTORED: 1}, runs=(2, 2, 0)),
)
"""Of a module without a monotonic counter (S4)."""


def _module_with_a_list(option: TrustOption) -> Callable[[], Listing]:
    """Its list names the rival, which is no defence of any of these options otherwise."""
    limits = Limits(module=1, first=1, second=1)
    return lambda: Listing(option, Lists(at_module=True), frozenset({Power.RIVAL}), limits=limits)


LISTS: Final[dict[str, Callable[[], Listing]]] = {
    "given to a unit": lambda: Listing(
        O.CERTIFICATES, Lists(given=(1, 3, 4), times=2), limits=Limits(module=1, first=2, second=0, resets=0)
    ),
    "given to a unit that serves": lambda: Listing(
        O.CERTIFICATES,
        Lists(given=(1, 3), times=2),
        variant=Variant.NETWORKED,
        limits=Limits(module=1, first=1, second=0, resets=0),
    ),
    "known to units, a stolen identity": lambda: Listing(
        O.CERTIFICATES,
        Lists(at_units=3, given=(1,), times=1),
        frozenset({Power.IDENTITY}),
        limits=Limits(module=1, first=2, second=1),
    ),
    "known to the module, by certificates": _module_with_a_list(O.CERTIFICATES),
    "known to the module, one way": _module_with_a_list(O.CERTIFICATES_ONE_WAY),
    "known to the module, by a cable": _module_with_a_list(O.PHYSICAL),
}
"""Worlds with the manufacturer's revocation lists."""
_MEANWHILE: Final = Weakness(
    Known(
        "somebody whose session had begun before the unit was given the list",
        s5_a_unit_turns_away_whom_a_list_names_that_came_meanwhile.__name__,
    ),
    lambda: Listing(
        O.CERTIFICATES,
        Lists(given=(3,), times=1),
        variant=Variant.NETWORKED,
        limits=Limits(module=1, first=1, second=0, resets=0, crashes=0),
    ),
)
"""A session goes by the list with which it began."""


def _modules(module: int, first: int, second: int, *, crashes: int = 1) -> Limits:
    """So many sessions of the module, and on each line of the unit; nobody resets it or approves a job."""
    return Limits(module, first, second, crashes, resets=0, jobs=0)


STANDING: Final[dict[str, Callable[[], Standing]]] = {
    "what people agree to": lambda: Standing(
        {Step.PROPOSED: 1, Step.OTHERS: 1, Step.ASKED: 1, Step.WITHDRAWN: 1}, agreed=False, limits=_modules(0, 0, 0)
    ),
    "a module calls meanwhile": lambda: Standing(
        {Step.PROPOSED: 1, Step.ASKED: 1}, agreed=False, limits=_modules(1, 1, 0, crashes=0)
    ),
    "withdrawn": lambda: Standing({Step.ASKED: 1, Step.WITHDRAWN: 1}, limits=_modules(1, 1, 0)),
    "over": lambda: Standing({Step.ASKED: 1, Step.LATE: 1}, limits=_modules(1, 1, 0)),
    "two lines": lambda: Standing({}, limits=_modules(1, 1, 1, crashes=0)),
}
"""Worlds with a standing approval."""
_HELD: Final = (
    Weakness(
        Known(
            "somebody who has the unit and its card while a standing approval counts",
            s11_only_a_key_that_the_module_made_is_certified.__name__,
        ),
        lambda: Standing({Step.ASKED: 1}, subjects=(SERIAL,), limits=_modules(0, 0, 0)),
    ),
    Weakness(
        Known(
            "somebody who has the unit and its card, and sets the clock back",
            s6_a_standing_approval_ends_in_time.__name__,
        ),
        lambda: Standing({Step.ASKED: 1, Step.LATE: 1, Step.SET_BACK: 1}, limits=_modules(0, 0, 0)),
    ),
    Weakness(
        Known(
            "somebody who has the unit and its card, and puts back an older copy of the card",
            s6_no_more_certificates_than_agreed.__name__,
        ),
        lambda: Standing({Step.ASKED: 2, Step.RESTORED: 1}, subjects=(STOLEN, "SN-9"), limits=_modules(0, 0, 0)),
    ),
)
"""What a standing approval gives to who holds the card: that knows no key beforehand, and has no clock or counter."""

DELIVERY: Final[dict[str, Callable[[], Scenario]]] = {
    "at the bench": lambda: Delivering({Bench.CRASHES: 2, Bench.TRIES: 4, Bench.SWAPPED: 1}),
    "some of them plain": lambda: Delivering({Bench.CRASHES: 1, Bench.TRIES: 3, Bench.PLAIN: 1, Bench.FAILURES: 1}),
    "a key made for the first bank, side by side": lambda: ByMadeKey(
        O.CERTIFICATES, limits=Limits(module=1, first=1, second=1)
    ),
    "a key made for the first bank, one after the other": lambda: ByMadeKey(
        O.CERTIFICATES, limits=Limits(module=2, first=2, second=0)
    ),
}
"""Worlds of delivery, and of what comes with a module."""
_AT_THE_BENCH: Final = (
    Weakness(
        Known(
            "somebody who puts back older books of the manufacturer's",
            s7_no_two_modules_have_a_number_or_a_key_in_common.__name__,
        ),
        lambda: Delivering({Bench.TRIES: 2, Bench.RESTORED: 1}),
    ),
    Weakness(
        Known(
            "somebody at the bench who presents a key of his own",
            s11_an_identity_is_for_a_key_that_a_module_made.__name__,
        ),
        lambda: Delivering({Bench.TRIES: 1, Bench.PRESENTED: 1}),
    ),
)
"""The manufacturer's premises and books are trusted."""

LOGS: Final[dict[str, Callable[[], Syncing]]] = {
    "crashes": lambda: Syncing({Brought.CERTIFIED: 1, Brought.CRASHES: 1}, runs=(2, 2, 0)),
    "failing key memory": lambda: Syncing({Brought.CERTIFIED: 1, Brought.FAILURES: 1}, runs=(1, 1, 0)),
    "two lines": lambda: Syncing({Brought.CERTIFIED: 1}, runs=(2, 1, 1)),
    "an older copy of the card": lambda: Syncing(
        {Brought.CERTIFIED: 2, Brought.COPIES: 1, Brought.RESTORED: 1}, runs=(2, 2, 0)
    ),
}
"""Worlds in which a card brings its log."""
_UNREAD: Final = Weakness(
    Known(
        "somebody who puts back a copy of the card that is older than what was not read yet",
        l12_each_certificate_is_in_some_log_for_good.__name__,
    ),
    lambda: Syncing({Brought.CERTIFIED: 1, Brought.COPIES: 1, Brought.RESTORED: 1}),
)
"""Of a card without a counter, until its central system has read what it did (0044)."""


TOKENS: Final[dict[str, Callable[[], ByToken]]] = {
    "side by side": lambda: ByToken(limits=Limits(module=1, first=1, second=1)),
    "revoked meanwhile": lambda: ByToken(limits=Limits(module=1, first=1, second=0), revoked=1),
    "one after the other": lambda: ByToken(limits=Limits(module=2, first=2, second=0)),
    "failing key memory": lambda: ByToken(limits=Limits(module=1, first=1, second=0, crashes=0, failures=1)),
}
"""Worlds with a TAN that is a key in a token."""

HANDSHAKES: Final[dict[str, Callable[[], Shaking]]] = {
    "what an intruder offers": lambda: Shaking(O.CERTIFICATES, made=3),
    "one signs": lambda: Shaking(O.CERTIFICATES_ONE_WAY),
    "neither signs": lambda: Shaking(O.PHYSICAL),
    "two units": lambda: Shaking(O.CERTIFICATES, second=1, made=0),
    "one after the other": lambda: Shaking(O.CERTIFICATES, module=2, first=2, made=0),
    "failing key memory": lambda: Shaking(O.PHYSICAL, failures=1, made=0),
}
"""Worlds with real handshakes."""

CALLS: Final[dict[str, Callable[[], Calling]]] = {
    "crashes": lambda: Calling(crashes=1, runs=(2, 2, 0)),
    "two lines": lambda: Calling(runs=(1, 1, 1)),
}
"""Worlds in which a mobile calls a unit."""

K = Keyed
KEYPAD: Final[dict[str, Callable[[], Keying]]] = {
    "an operator": lambda: Keying({K.ASKED: 2, K.SLIPS: 1, K.CORRECTED: 1, K.ENTERED: 4}),
}
"""The world of a keypad."""

E = Enrolling
ENROLLING: Final[dict[str, Callable[[], MutualEnrolling]]] = {
    "crashes": lambda: MutualEnrolling({E.CRASHES: 1, E.PROPOSED: 1, E.OTHERS: 1}, runs=(2, 2, 0)),
    "two lines": lambda: MutualEnrolling({E.PROPOSED: 1}, runs=(2, 1, 1)),
    "a key of either": lambda: MutualEnrolling({E.PROPOSED: 1}, runs=(2, 2, 0), stolen=frozenset(Stolen)),
    "failing key memory": lambda: MutualEnrolling({E.FAILURES: 1, E.OTHERS: 1}, runs=(1, 1, 0)),
}
"""Worlds in which card and central system enrol each other."""

A = Asking
OFFICE: Final[dict[str, Callable[[], Office]]] = {
    "a card is taken into use": lambda: Office(Furnishing(), {A.CRASHES: 1, A.FAILURES: 1}),
    "its people change": lambda: Office(People(), {A.CRASHES: 1, A.PROPOSED: 1, A.WRONG: 1}),
    "they say wrong PINs": lambda: Office(
        People(("UNLOCK bob",)), {A.CRASHES: 1, A.FAILURES: 1, A.PROPOSED: 1, A.WRONG: 2, A.DONE: 1}
    ),
    "they take back what they said": lambda: Office(
        People(("RENEW alice", "REMOVE bob")), {A.PROPOSED: 1, A.WITHDRAWN: 2}
    ),
    "two changes at once": lambda: Office(People(("RENEW alice", "REMOVE bob")), {A.PROPOSED: 2}),
    "its signing key is in a token": lambda: Office(Token(), {A.CRASHES: 1, A.PROPOSED: 1, A.WRONG: 1, A.DONE: 2}),
    "it certifies": lambda: Office(Certifying(), {A.CRASHES: 1, A.FAILURES: 1, A.PROPOSED: 1, A.WITHDRAWN: 1}),
    "it revokes": lambda: Office(Revoking(), {A.CRASHES: 1, A.FAILURES: 1, A.PROPOSED: 2}),
    "it gives out tickets": lambda: Office(Ticketing(), {A.CRASHES: 1, A.FAILURES: 1, A.PROPOSED: 1, A.DONE: 3}),
    "the manufacturer's books": lambda: Office(Books(), {A.CRASHES: 1, A.FAILURES: 1, A.DONE: 4}),
}
"""Worlds at the desks of a card and of a manufacturer."""


def _failing(option: TrustOption) -> Callable[[], Personalizing]:
    """One key operation fails, of module, unit or card, wherever there is one."""
    limits = Limits(module=1, first=1, second=0, crashes=0, failures=1)
    return lambda: Personalizing(option, WITHSTOOD[option], limits=limits)


FAILING: Final[dict[str, Callable[[], Personalizing]]] = {option.text: _failing(option) for option in TrustOption}
"""Worlds in which key memory fails while a module is personalized."""

LOST: Final[dict[str, Callable[[], LostCard]]] = {
    "nothing stays admitted": lambda: LostCard({B.CRASHES: 1}, kept=False, runs=(1, 1, 1)),
    "what was known stays admitted": lambda: LostCard({B.WISHES: 1}, kept=True, runs=(1, 1, 1)),
}
"""Worlds in which a thief has the card, and dates back what it certifies."""
_UNNOTICED: Final = Weakness(
    Known(
        "somebody who has the card and its PINs, until the loss is noticed",
        s5_what_a_thief_certified_is_refused.__name__,
    ),
    lambda: LostCard({}, kept=None),
)

THEMES: Final[dict[str, Theme]] = {
    "at-work": Theme("central system", AT_WORK, (_COUNTERLESS,)),
    "lists": Theme("unit and module", LISTS, (_MEANWHILE,)),
    "standing": Theme("unit in the network", STANDING, _HELD),
    "delivery": Theme("manufacturer", DELIVERY, _AT_THE_BENCH),
    "lost-card": Theme("central system", LOST, (_UNNOTICED,)),
    "logs": Theme("card and central system", LOGS, (_UNREAD,)),
    "handshakes": Theme("module and unit", HANDSHAKES),
    "keypad": Theme("operator at a module", KEYPAD),
    "calls": Theme("mobile and unit", CALLS),
    "tokens": Theme("unit in the field", TOKENS),
    "enrolling": Theme("card and central system", ENROLLING),
    "office": Theme("card and manufacturer", OFFICE),
    "failing-keys": Theme("unit and module", FAILING),
}
"""By name, which stands in the place of a trust option."""
