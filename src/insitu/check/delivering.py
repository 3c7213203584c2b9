"""The worlds of delivery (L1): two blank modules at the manufacturer's bench, and the first bank of a delivered one.

At the bench there are no sessions: the product's programs of module and manufacturer run, and the power may fail at
either before anything becomes durable. Somebody may enter a serial number twice, hand the module a certificate that is
not its own, or put back the manufacturer's books. A module that was delivered with a key made for the first bank is
then personalized as in personalizing.py, by units whose policy admits that key (L3).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import sha256
from typing import Final

from ..protocol.engine import InsituError, PublicKey, given
from ..protocol.keys.certificates import Role, verify_issued
from ..protocol.keys.profile import SERIAL_NUMBER_BYTES
from ..protocol.messages import (
    IDENTITY,
    RECORD_LIMITS,
    KeyPolicy,
    ManufacturerRecord,
    ModuleCondition,
    ModuleRecord,
    ModuleTicket,
    Purpose,
    TrustOption,
    decode_record,
)
from ..protocol.parties.module_data import MANUFACTURED, IdentityMade
from ..shell.module import Module
from . import invariants as personal
from .intruder import Intruder
from .memory import CheckedVault, Failing, PowerCut, fresh_pair
from .operating import again
from .parties import ModuleParty, UnitParty
from .personalizing import Personalizing
from .scenario import CRASHES, Scenario
from .seen import SeenState
from .state import Fact, Limits, Move, Place, State
from .world import BANKS, NOW, SERIAL, Maker, Store, beginning, now

_BOOKS: Final = 2
"""Which store is the manufacturer's."""
FOREIGN: Final = "SN-3"
"""The serial number that the second module ought to get."""
SPARE: Final = "SN-9"
"""One for a module that lost its own: a number is used up once the books have it."""


class Bench(IntEnum):
    """What may happen so many times, by its place in `State.left`."""

    CRASHES = CRASHES
    TRIES = 1
    """A module is to be delivered."""
    SWAPPED = 2
    """The module is handed a certificate of another manufacturer's, or of another key."""
    PRESENTED = 3
    """Somebody at the bench has his own key certified as the module's."""
    RESTORED = 4
    """Somebody puts back the manufacturer's books as they were at first."""
    PLAIN = 5
    """A module is to have no identity, or no key for its first bank."""
    FAILURES = 6
    """Key memory of the module fails as it makes a key."""


@dataclass(frozen=True)
class _Try:
    """One module is to be delivered.

    Attributes:
        device: which, 0 or 1.
        serial: under which number.
        how: "" as it should be; else which certificate it is handed.
        run: so many tries came before.

    """

    device: int
    serial: str
    how: str
    run: int


class Delivering(Scenario):
    """Two modules and the manufacturer.

    Args:
        budget: what may happen, how often; what is not named does not.

    """

    def __init__(self, budget: Mapping[Bench, int]) -> None:
        start = beginning(TrustOption.TICKET)
        bench = ModuleParty(TrustOption.TICKET, start)
        places = tuple(
            Place(name, bench, number, 0) for number, name in enumerate(("module", "second module", "maker"))
        )
        super().__init__(start, places, Intruder(start, TrustOption.TICKET, frozenset()), (Purpose.PERSONALIZE,))
        self.budget = budget
        self._tried: dict[tuple[tuple[int, ...], _Try], list[tuple[str, tuple[int, ...], tuple[Fact, ...]]]] = {}
        self._again: dict[int, bool] = {}
        self._ways: dict[tuple[tuple[int, ...], int, str], frozenset[str] | None] = {}

    def initial(self) -> State:
        """See Scenario."""
        blank = (Store(CheckedVault("first at the bench")), Store(CheckedVault("second at the bench")))
        stores = (*blank, Store(self.start.office.fork().vault))
        return self.beginning(stores, tuple(self.budget.get(each, 0) for each in Bench))

    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """See Scenario; here nothing is shown."""
        return iter(())

    def record(self, state: State, device: int) -> ModuleRecord | None:
        """What a module keeps; None: it is blank."""
        kept = self.stores[state.stores[device]].vault.record
        return None if kept is None else decode_record(ModuleRecord, kept, **RECORD_LIMITS)

    def books(self, state: State) -> ManufacturerRecord:
        """The manufacturer's."""
        return decode_record(ManufacturerRecord, given(self.stores[state.stores[_BOOKS]].vault.record), **RECORD_LIMITS)

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario."""
        if state.left[Bench.TRIES]:
            for device, serial in ((0, SERIAL), (1, FOREIGN), (1, SERIAL)):
                for how, step in (("", None), *_WRONGLY.items()):
                    if step is None or state.left[step]:
                        yield from self._delivered(state, device, serial, how, step)
        if state.left[Bench.RESTORED]:
            stores = *state.stores[:_BOOKS], self.initial().stores[_BOOKS]
            after = self.less(state._replace(stores=stores), Bench.RESTORED)
            yield Move("people", "maker", "somebody", "puts back older books"), after

    def _delivered(
        self, state: State, device: int, serial: str, how: str, step: Bench | None
    ) -> Iterator[tuple[Move, State]]:
        before = self.less(state, Bench.TRIES)
        before = before if step is None else self.less(before, step)
        run = self.budget[Bench.TRIES] - state.left[Bench.TRIES]
        name = self.places[device].name
        for cut, stores, facts in self._outcomes(state.stores, _Try(device, serial, how, run)):
            after = before._replace(stores=stores, facts=self.happened(before.facts, facts))
            text = f"to be delivered as {serial}{how and f', with {how}'}"
            if not cut:
                yield Move("people", name, "maker", text), after
            elif state.left[Bench.CRASHES]:
                yield Move("crash", name, "maker", f"at the {cut}, within: {text}"), self.less(after, Bench.CRASHES)

    def _outcomes(self, stores: tuple[int, ...], what: _Try) -> list[tuple[str, tuple[int, ...], tuple[Fact, ...]]]:
        """What is left: where the power failed, empty for nowhere; the stores; what somebody got."""
        about = stores, what
        if about not in self._tried:
            found = [self._tried_once(stores, what, {})]
            for who, number in (("module", what.device), ("maker", _BOOKS)):
                writes = 0
                while (cut := self._tried_once(stores, what, {number: writes}))[0]:
                    found.append((who, *cut[1:]))
                    writes += 1
            self._tried[about] = found
        return self._tried[about]

    def _tried_once(
        self, stores: tuple[int, ...], what: _Try, writes: Mapping[int, int]
    ) -> tuple[str, tuple[int, ...], tuple[Fact, ...]]:
        forks = [self.stores[number].fork() for number in stores]
        for number, left in writes.items():
            forks[number].vault.writes_left = left
        module, office = forks[what.device].vault, Maker(self.start.office.name, forks[_BOOKS].vault)
        module.draw_as(f"device {what.device}, try {what.run}")
        facts: list[Fact] = []
        cut = ""
        module.failing = Failing(_FAILING.index(what.how)) if what.how in _FAILING else None
        try:
            self._deliver(what, module, office, facts)
        except PowerCut:
            cut = "cut"
        except InsituError:
            pass  # what is durable by then, is
        finally:
            module.failing = None
        return cut, tuple(self.store_number(fork.restarted()) for fork in forks), tuple(facts)

    def _deliver(self, what: _Try, vault: CheckedVault, office: Maker, facts: list[Fact]) -> None:
        """As `insitu manufacturer deliver` does it."""
        thief = fresh_pair("thief at the bench")[1].public

        def certify(made: IdentityMade) -> bytes:
            facts.append(("made", made.key.public.data))
            if what.how == _OF_ANOTHER_MAKER:
                return self.start.loot[2].certificates[0]  # that of SN-1
            public: PublicKey = thief if what.how == _OF_ANOTHER_KEY else made.key.public
            certificate = office.program.certify_identity(what.serial, public)
            facts.append(("identity", what.serial, public.data))
            return certificate

        def ticket(made: IdentityMade) -> ModuleTicket:
            return office.ticket(what.serial, made.key.public)

        module = Module(vault, now=now, steady=lambda: 0)
        if what.how == _BARE:
            facts.append(("bare", what.device))
            module.initialize(what.serial, office.root, None)
            return
        with_key = what.how != _KEYLESS
        module.initialize(what.serial, office.root, certify, manufactured_key=with_key, ticket=ticket)

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario: what is blank can be delivered, and the first module, if it is SN-1, be personalized."""
        for device in (0, 1):
            if self.record(state, device) is None:
                for how, wanted in _WANTED.items():
                    if self._delivered_as(state, device, how) != wanted:
                        return f"a blank module cannot be delivered any more{how and f', with {how}'}"
        first = self.record(state, 0)
        if first is not None and first.identity is not None:
            store = state.stores[0]
            if store not in self._again:
                self._again[store] = again(self.stores[store], self.start.units[BANKS[0]]) is not None
            return "" if self._again[store] else "a delivered module cannot be personalized"
        return ""

    def _delivered_as(self, state: State, device: int, how: str) -> frozenset[str] | None:
        """The keys of a blank module once it is delivered; None: it is not."""
        about = state.stores, device, how
        if about not in self._ways:
            _, stores, _ = self._tried_once(state.stores, _Try(device, SPARE, how, 99), {})
            is_delivered = self.record(state._replace(stores=stores), device) is not None
            self._ways[about] = self.stores[stores[device]].vault.durable if is_delivered else None
        return self._ways[about]


_OF_ANOTHER_MAKER: Final = "a certificate of another manufacturer's"
_OF_ANOTHER_KEY: Final = "a certificate for the key of somebody at the bench"
_BARE: Final = "no identity"
_KEYLESS: Final = "no key for its first bank"
_FAILING: Final = ("key memory that fails at its first key", "key memory that fails at its second key")
_WANTED: Final = {"": frozenset({IDENTITY, MANUFACTURED}), _BARE: frozenset[str](), _KEYLESS: frozenset({IDENTITY})}
"""The keys of a module that is delivered so."""
_WRONGLY: Final = {
    _OF_ANOTHER_MAKER: Bench.SWAPPED,
    _OF_ANOTHER_KEY: Bench.PRESENTED,
    _BARE: Bench.PLAIN,
    _KEYLESS: Bench.PLAIN,
    **dict.fromkeys(_FAILING, Bench.FAILURES),
}
"""What else happens than that a module is delivered with all that it may have."""


# What must hold at the bench ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeenAtBench(SeenState):
    """A state, for the invariants."""

    scenario: Delivering

    @property
    def modules(self) -> list[tuple[ModuleRecord, CheckedVault]]:
        """Those that were delivered."""
        kept = ((self.scenario.record(self.state, device), device) for device in (0, 1))
        stores = self.scenario.stores
        return [(record, stores[self.state.stores[device]].vault) for record, device in kept if record is not None]


def l1_a_module_is_delivered_whole_or_blank(seen: SeenAtBench) -> str:
    """L1, S2: root, identity by the manufacturer and its key belong together, and a blank module holds nothing."""
    for device in (0, 1):
        vault = seen.scenario.stores[seen.state.stores[device]].vault
        if vault.record is None and vault.durable:
            return f"a blank module holds {', '.join(sorted(vault.durable))}"
    for record, vault in seen.modules:
        if record.identity is None:
            if vault.durable or not any(fact[0] == "bare" for fact in seen.facts):
                return f"{record.serial} is delivered without the identity that it ought to have"
            continue
        identity = verify_issued(
            given(record.identity), seen.scenario.start.root, Role.IDENTITY, now=NOW, subject=record.serial
        )
        if record.condition is not ModuleCondition.DELIVERED or identity.public != given(vault.find(IDENTITY)).public:
            return f"{record.serial} is delivered with an identity that is not its own"
        if vault.durable not in (_WANTED[""], _WANTED[_KEYLESS]):
            return f"{record.serial} holds {', '.join(sorted(vault.durable))}"
    return ""


def s7_no_two_modules_have_a_number_or_a_key_in_common(seen: SeenAtBench) -> str:
    """S7: neither serial number nor key nor ticket; of a module without identity nobody vouches for its number."""
    modules = [each for each in seen.modules if each[0].identity is not None]
    if len(modules) < 2:
        return ""
    (one, mine), (other, theirs) = modules
    keys = [{given(vault.find(label)).public.data for label in vault.durable} for vault in (mine, theirs)]
    if one.serial == other.serial or keys[0] & keys[1]:
        return f"two modules are {one.serial}" if one.serial == other.serial else "two modules have a key in common"
    return "two modules have one ticket" if given(one.ticket).number == given(other.ticket).number else ""


def l1_whatever_left_is_in_the_books(seen: SeenAtBench) -> str:
    """L1, S5: the books have the identity of each module, so that it can be revoked, and its ticket no more."""
    books = seen.scenario.books(seen.state)
    booked = [(each.subject, each.number) for each in books.identities]
    for record, _ in seen.modules:
        if record.identity is None:
            continue
        identity = verify_issued(given(record.identity), seen.scenario.start.root, Role.IDENTITY, now=NOW)
        if (record.serial, identity.serial_number.to_bytes(SERIAL_NUMBER_BYTES, "big")) not in booked:
            return f"the books do not have the identity of {record.serial}"
        if any((each.customer, each.number) == (BANKS[0], given(record.ticket).number) for each in books.tickets):
            return f"the ticket of {record.serial} is still in stock"
    return "" if len({subject for subject, _ in booked}) == len(booked) else "a serial number is in the books twice"


def s11_an_identity_is_for_a_key_that_a_module_made(seen: SeenAtBench) -> str:
    """S11: the manufacturer certifies no other key as a module's."""
    made = {fact[1] for fact in seen.facts if fact[0] == "made"}
    wrong = [fact[1] for fact in seen.facts if fact[0] == "identity" and fact[2] not in made]
    return f"the identity of {wrong[0]} is for a key that no module made" if wrong else ""


def l1_what_was_delivered_stays(before: SeenAtBench, move: Move, after: SeenAtBench) -> str:
    """L1: no second delivery changes anything of a module."""
    for device in (0, 1):
        was_delivered = before.scenario.record(before.state, device) is not None
        if was_delivered and before.state.stores[device] != after.state.stores[device]:
            return "a delivered module was delivered anew"
    return ""


OF_A_STATE: Final[tuple[Callable[[SeenAtBench], str], ...]] = (
    l1_a_module_is_delivered_whole_or_blank,
    s7_no_two_modules_have_a_number_or_a_key_in_common,
    l1_whatever_left_is_in_the_books,
    s11_an_identity_is_for_a_key_that_a_module_made,
)
OF_A_MOVE: Final = (l1_what_was_delivered_stays,)


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    return state.stores, state.facts


# The first bank of a module with a key made for it ------------------------------------------------------------------


class ByMadeKey(Personalizing):
    """A module that was delivered with a key, and units whose policy admits it; limits: see Personalizing."""

    def __init__(self, option: TrustOption, *, limits: Limits | None = None) -> None:
        super().__init__(option, limits=limits)
        here, *units = self.places
        admits = KeyPolicy.MANUFACTURE_ADMITTED
        parties = (replace(each.party, policy=admits) for each in units if isinstance(each.party, UnitParty))
        self.places = (here, *(replace(unit, party=party) for unit, party in zip(units, parties, strict=True)))

    def initial(self) -> State:
        """See Scenario."""
        first = super().initial()
        module = Store(self.start.office.fork().module(SERIAL, self.option, manufactured_key=True))
        return first._replace(stores=(self.store_number(module), *first.stores[1:]))


def l3_a_key_made_at_manufacture_serves_until_the_first_reset(seen: personal.Seen) -> str:
    """L3, S3: after a reset the module operates with another pair, and the one of before is gone."""
    record = seen.record
    vault = seen.scenario.stores[seen.state.stores[0]].vault
    if not record.epoch:
        return ""
    by_it = record.condition is ModuleCondition.OPERATING and record.key == MANUFACTURED
    return "the key made at manufacture outlived a reset" if by_it or MANUFACTURED in vault.durable else ""


def s7_no_key_serves_again_after_a_reset(seen: personal.Seen) -> str:
    """S7: what operates in one epoch has another key than in any other."""
    certified = {each.fingerprint: each.public for issued in seen.issued.values() for each in issued}
    operated = [fact for fact in seen.facts if fact[0] == "operated"]
    named = [(epoch, sha256(der).digest()) for _, epoch, der in operated if isinstance(der, bytes)]
    keys = {(epoch, certified[name]) for epoch, name in named if name in certified}
    return "a key serves in two epochs" if len({key for _, key in keys}) < len(keys) else ""


OF_A_MADE_KEY: Final = (
    *personal.OF_A_STATE,
    l3_a_key_made_at_manufacture_serves_until_the_first_reset,
    s7_no_key_serves_again_after_a_reset,
)
