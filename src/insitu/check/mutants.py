"""Mutants: the tables with one thing wrong, to see whether the checker would notice.

Each guard dropped, each destination redirected, each Persist moved behind what it has to come before; one at a time. A
mutant is killed by the table itself, which refuses to be built; by the ordinary course, which does not come to its end
any more; or by an invariant in a small world. One that survives must be explained, in survivors.json, by a reason why
it is harmless; rows that these worlds never take are told as what they are, out of reach.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import wraps
from importlib.resources import files
from typing import Any, Final, NamedTuple, Protocol

from ..protocol.channel.edhoc import INITIATOR, RESPONDER
from ..protocol.channel.trust.conveyed import MODULE_CONVEYED, UNIT_CONVEYED
from ..protocol.channel.trust.mutual import MODULE_PROOF, UNIT_PROOF
from ..protocol.channel.trust.pake import MODULE_PAKE, UNIT_PAKE
from ..protocol.channel.trust.ticket import TICKET_MODULE, TICKET_UNIT
from ..protocol.channel.trust.token import UNIT_TOKEN
from ..protocol.engine import STAY, Effects, Persist, Row, StateError, Table, TableError
from ..protocol.messages import NumberMaker, TrustOption
from ..protocol.parties.card import CARD
from ..protocol.parties.card_enrolling import CARD_ENROLLING
from ..protocol.parties.card_syncing import CARD_SYNCING
from ..protocol.parties.central import CENTRAL
from ..protocol.parties.central_enrolling import CENTRAL_ENROLLING
from ..protocol.parties.central_syncing import CENTRAL_SYNCING
from ..protocol.parties.keypad import KEYPAD
from ..protocol.parties.manufacturer import MANUFACTURER
from ..protocol.parties.mobile import MOBILE
from ..protocol.parties.mobile_call import CALLED, CALLING
from ..protocol.parties.module import MODULE
from ..protocol.parties.unit import UNIT
from ..protocol.parties.work import WORK
from .attacks import WITHSTOOD
from .judge import Judge
from .liveness import Liveness
from .memory import pins_remembered
from .operating import Budget, Operating
from .personal_course import PersonalCourse
from .personalizing import Personalizing
from .scenario import Scenario
from .search import Search
from .state import Limits, State, Variant
from .themes import OFFICE, THEMES
from .work_course import WorkCourse

AnyTable = Table[Any, Any]
LIMITS: Final = Limits(module=1, first=1, second=0, failures=1)
"""Of a small world: one session each, a crash, a reset, another job, a key operation that fails, and the intruder."""
STATES: Final = 3000
"""At most so many, where the intruder has much to say."""
WORKING_STATES: Final = 1000
"""At most so many where a module works: each of these worlds is small, and the ordinary course says most."""

THEMED_STATES: Final = 1500
"""At most so many of a world that was not made for mutants."""
LOGS_STATES: Final = 400
"""At most so many where a log is brought: what is not seen by then, the ordinary course of that theme says."""
OFFICE_STATES: Final = 300
"""At most so many at a desk, where all that may be asked is asked in each."""


class World(Protocol):
    """A small world in which a mutant of some table is tried.

    Attributes:
        states: after so many, a search of it ends.

    """

    @property
    def states(self) -> int:
        """See the class."""
        ...

    def scenario(self) -> Scenario:
        """It, anew: nothing that was remembered under another table."""
        ...

    def begins(self, scenario: Scenario) -> State:
        """The state of it in which its search begins."""
        ...

    def goes_wrong(self, scenario: Scenario, liveness: Liveness) -> str:
        """What is wrong with the ordinary course of it; empty: nothing."""
        ...


@dataclass(frozen=True)
class Option:
    """One in which a module is personalized."""

    option: TrustOption
    maker: NumberMaker = NumberMaker.UNIT
    variant: Variant = Variant.FIELD
    states: int = STATES

    def scenario(self) -> Scenario:
        """See World."""
        powers = WITHSTOOD[self.option]
        return Personalizing(self.option, powers, variant=self.variant, maker=self.maker, limits=LIMITS)

    def begins(self, scenario: Scenario) -> State:
        """See World."""
        return scenario.initial()

    def goes_wrong(self, scenario: Scenario, liveness: Liveness) -> str:
        """See World."""
        assert isinstance(scenario, Personalizing)  # noqa: S101 - its own
        return PersonalCourse(scenario, liveness).goes_wrong()


@dataclass(frozen=True)
class Working:
    """One in which a module works, with so much of what may happen.

    Attributes:
        budget, runs, talk: as for Operating.
        states: see World.
        online: the search begins when the module is online.

    """

    budget: tuple[tuple[Budget, int], ...]
    runs: tuple[int, int, int] = (2, 2, 0)
    talk: int | None = None
    states: int = WORKING_STATES
    online: bool = False

    def scenario(self) -> Scenario:
        """See World."""
        return Operating(dict(self.budget), runs=self.runs, talk=self.talk)

    def begins(self, scenario: Scenario) -> State:
        """See World."""
        joined = scenario.joined(scenario.initial(), 1) if self.online else None
        settled = None if joined is None else Liveness(scenario).settled(joined)
        return settled if isinstance(settled, State) else scenario.initial()

    def goes_wrong(self, scenario: Scenario, liveness: Liveness) -> str:
        """See World."""
        assert isinstance(scenario, Operating)  # noqa: S101 - its own
        return WorkCourse(scenario, liveness).goes_wrong()


@dataclass(frozen=True)
class Themed:
    """One of those that `insitu check` searches as well, as far as `states` go.

    Attributes:
        theme, name: which.
        states: see World.

    """

    theme: str
    name: str
    states: int = THEMED_STATES

    def scenario(self) -> Scenario:
        """See World."""
        return THEMES[self.theme].worlds[self.name]()

    def begins(self, scenario: Scenario) -> State:
        """See World."""
        return scenario.initial()

    def goes_wrong(self, scenario: Scenario, liveness: Liveness) -> str:
        """See World; its own search looks at what is on the way to a good end."""
        stuck = Liveness(scenario).stuck(scenario.initial())
        return stuck.what if stuck else scenario.goes_wrong(liveness.settled)


def _working(*budgets: Budget, runs: tuple[int, int, int] = (2, 2, 0), talk: int | None = None) -> Working:
    online = not {Budget.ANEW, Budget.COPIES, Budget.LOST, Budget.REVOKED} & set(budgets)
    return Working(tuple((budget, 1 + (budget is Budget.BEATS)) for budget in budgets), runs, talk, online=online)


_T = TrustOption
_B = Budget
_AT_WORK: Final = (
    _working(_B.WISHES, _B.CANCELS, _B.CRASHES),
    _working(_B.PAYLOADS, _B.INSTRUCTIONS, _B.BEATS, _B.CRASHES),
    _working(_B.KEYS, _B.USES, _B.LATE, _B.CRASHES, _B.FAILURES),
    _working(_B.ORDERED, _B.ANEW, _B.BY_HAND, _B.CRASHES, _B.FAILURES),
    _working(_B.COPIES, _B.RESTORED, _B.PAYLOADS),
    _working(_B.LISTED, _B.LISTED_BEFORE, _B.CRASHES),
    _working(_B.LOST, _B.DISABLED),
    _working(_B.REVOKED, runs=(1, 1, 0), talk=2),
)
_DELIVERY: Final = (
    Themed("delivery", "at the bench"),
    Themed("delivery", "some of them plain"),
    Themed("delivery", "a key made for the first bank, side by side"),
)
_ENROLLING: Final = tuple(Themed("enrolling", name) for name in ("crashes", "a key of either", "failing key memory"))
_TOKENS: Final = tuple(Themed("tokens", name) for name in ("revoked meanwhile", "failing key memory"))
_HANDSHAKES: Final = tuple(Themed("handshakes", name) for name in ("what an intruder offers", "failing key memory"))
_CALLS: Final = (Themed("calls", "crashes"),)
_STANDING: Final = tuple(Themed("standing", name) for name in ("what people agree to", "withdrawn", "over"))
_LOGS: Final = tuple(Themed("logs", name, LOGS_STATES) for name in ("crashes", "failing key memory"))
_OFFICE: Final = tuple(Themed("office", name, OFFICE_STATES) for name in OFFICE)
_BOOKS: Final = _OFFICE[-1:]
_NETWORKED: Final = Option(_T.CERTIFICATES, variant=Variant.NETWORKED)
_CONVEYED: Final = tuple(Option(_T.CONVEYED, maker) for maker in NumberMaker)
WORLDS: Final[dict[str, tuple[AnyTable, tuple[World, ...]]]] = {
    "module": (MODULE, (Option(_T.CERTIFICATES), Option(_T.PHYSICAL), *_DELIVERY)),
    "unit": (UNIT, (*map(Option, (_T.CERTIFICATES, _T.PHYSICAL, _T.SHIPPED_KEY)), _NETWORKED)),
    "card": (CARD, (*_OFFICE[:-1], *_LOGS[1:], *_STANDING)),
    "manufacturer": (MANUFACTURER, (*_BOOKS, *_DELIVERY[:1])),
    "proof-module": (MODULE_PROOF, (Option(_T.SHIPPED_KEY),)),
    "proof-unit": (UNIT_PROOF, (Option(_T.SHIPPED_KEY),)),
    "pake-module": (MODULE_PAKE, (Option(_T.SECRET), Option(_T.TAN))),
    "pake-unit": (UNIT_PAKE, (Option(_T.SECRET), Option(_T.TAN))),
    "token-unit": (UNIT_TOKEN, _TOKENS),
    "ticket-module": (TICKET_MODULE, (Option(_T.TICKET),)),
    "ticket-unit": (TICKET_UNIT, (Option(_T.TICKET),)),
    "conveyed-module": (MODULE_CONVEYED, _CONVEYED),
    "conveyed-unit": (UNIT_CONVEYED, _CONVEYED),
    "mobile": (MOBILE, _CONVEYED),
    "module-at-work": (WORK, _AT_WORK),
    "central": (CENTRAL, _AT_WORK),
    "initiator": (INITIATOR, _HANDSHAKES),
    "responder": (RESPONDER, _HANDSHAKES),
    "keypad": (KEYPAD, (Themed("keypad", "an operator"),)),
    "mobile-calling": (CALLING, _CALLS),
    "mobile-called": (CALLED, _CALLS),
    "card-enrolling": (CARD_ENROLLING, _ENROLLING),
    "central-enrolling": (CENTRAL_ENROLLING, _ENROLLING),
    "card-syncing": (CARD_SYNCING, _LOGS),
    "central-syncing": (CENTRAL_SYNCING, _LOGS),
}
"""Tables by name, and the worlds that use them."""


# Mutants -----------------------------------------------------------------------------------------------------------


_DROPPED: Final = "guard dropped"


@dataclass(frozen=True)
class Mutant:
    """One thing wrong in one row.

    Attributes:
        table: name.
        row: number, from 0.
        what: "guard dropped", "to STATE", "Persist last".

    """

    table: str
    row: int
    what: str

    @property
    def name(self) -> str:
        """With the row in words, for people and for survivors.json."""
        table, _ = WORLDS[self.table]
        row = table.rows[self.row]
        source = "/".join(state.name for state in row.sources[:2]) + ("/.." if len(row.sources) > 2 else "")
        guard = "" if row.when is None else f" if {row.when.__name__}"
        return f"{self.table}: {source} on {row.on.__name__}{guard}: {self.what}"

    def rows(self) -> tuple[Row[Any], ...]:
        """The table's rows, with it."""
        table, _ = WORLDS[self.table]
        rows = list(table.rows)
        before = rows[self.row]
        if self.what == _DROPPED:
            rows[self.row] = replace(before, when=_always())
        elif self.what == "Persist last":
            assert before.do is not None  # noqa: S101 - such a mutant is made of rows with an action only
            rows[self.row] = replace(before, do=_late(before.do))
        else:
            name = self.what.removeprefix("to ")
            rows[self.row] = replace(before, then=next(state for state in table.states if state.name == name))
        return tuple(rows)


def _always() -> Callable[[Any, Any], bool]:
    """A guard that admits everything, and is no other guard: rows behind it are looked at no more."""

    def admitted(data: object, event: object) -> bool:
        return True

    return admitted


def _late(do: Callable[[Any, Any], tuple[Any, Effects]]) -> Callable[[Any, Any], tuple[Any, Effects]]:
    @wraps(do)
    def late(data: Any, event: Any) -> tuple[Any, Effects]:  # noqa: ANN401 - of any table
        after, effects = do(data, event)
        early = [effect for effect in effects if not isinstance(effect, Persist)]
        return after, [*early, *(effect for effect in effects if isinstance(effect, Persist))]

    return late


def mutants_of(name: str, how: Taken) -> Iterator[Mutant]:
    """Those of a table that its worlds can tell from it: of rows that they take, of guards that had to refuse."""
    table, _ = WORLDS[name]
    for number, row in enumerate(table.rows):
        if number in how.refusing:
            yield Mutant(name, number, _DROPPED)
        if number in how.rows:
            yield from (Mutant(name, number, f"to {state.name}") for state in _elsewhere(table, row))
        if number in how.persisting:
            yield Mutant(name, number, "Persist last")


def beyond(name: str, how: Taken) -> Iterator[str]:
    """What its worlds cannot tell: rows that they never take, guards that never had to refuse."""
    table, _ = WORLDS[name]
    for number, row in enumerate(table.rows):
        words = Mutant(name, number, "").name.removesuffix(": ")
        if number not in how.rows:
            yield f"{words}: never taken"
        elif row.when is not None and number not in how.refusing:
            yield f"{words}: nothing comes that it would refuse"


def _elsewhere(table: AnyTable, row: Row[Any]) -> tuple[Enum, ...]:
    """Two other destinations: where the row comes from, and the state that follows in the table's order."""
    then = row.sources[0] if row.then is STAY else row.then
    at = table.states.index(then)
    others = dict.fromkeys((row.sources[0], table.states[(at + 1) % len(table.states)], table.states[at - 1]))
    return tuple(state for state in others if state is not then)[:2]


@contextmanager
def instead(table: AnyTable, rows: tuple[Row[Any], ...]) -> Iterator[None]:
    """These rows take the place of the table's, wherever it is used in this process.

    Raises:
        TableError: no table can be built of them.

    """
    before = dict(vars(table))
    made: AnyTable = Table(
        table.party, type(table.initial), table.initial, rows, entries=table.entries, name=table.name
    )
    vars(table).update(vars(made))
    try:
        yield
    finally:
        vars(table).update(before)


# Trying them -------------------------------------------------------------------------------------------------------


class Fate(Enum):
    """What became of a mutant."""

    REFUSED = "the table refuses to be built"
    STUCK = "the ordinary course comes to no end"
    CAUGHT = "an invariant breaks"
    SURVIVED = "nothing is noticed"


@dataclass(frozen=True)
class Tried:
    """A mutant, and what became of it; `by`: what noticed it."""

    mutant: Mutant
    fate: Fate
    by: str = ""


def tried(mutant: Mutant, worlds: tuple[World, ...] | None = None) -> Tried:
    """Plant it, look in these worlds (None: all of its table), and take it out again."""
    table, every = WORLDS[mutant.table]
    worlds = every if worlds is None else worlds
    for world in worlds:
        world.scenario()
    try:
        with pins_remembered(), instead(table, mutant.rows()):
            return next((found for world in worlds if (found := _in_its_course(mutant, world))), None) or next(
                (found for world in worlds if (found := _by_search(mutant, world))), Tried(mutant, Fate.SURVIVED)
            )
    except TableError as error:
        return Tried(mutant, Fate.REFUSED, error.summary)


def _in_its_course(mutant: Mutant, world: World) -> Tried | None:
    scenario = world.scenario()
    liveness = Liveness(scenario, Judge(scenario).all)
    try:
        why = world.goes_wrong(scenario, liveness)
    except TableError as error:
        return Tried(mutant, Fate.CAUGHT, error.summary)
    except LookupError:  # an action that was reached for what is not there
        return Tried(mutant, Fate.CAUGHT, "an action does not find what it is about")
    if liveness.found is not None:
        return Tried(mutant, Fate.CAUGHT, liveness.found.invariant)
    return Tried(mutant, Fate.STUCK, why) if why else None


def _by_search(mutant: Mutant, world: World) -> Tried | None:
    scenario = world.scenario()
    report = Search(scenario, most=world.states, begin=world.begins(scenario)).run()
    return None if report.violation is None else Tried(mutant, Fate.CAUGHT, report.violation.invariant)


class Taken(NamedTuple):
    """The rows of a table, by number, that its worlds take.

    Attributes:
        rows: all of them.
        persisting: that persist before they do something else.
        refusing: whose guard had to refuse something.
        where: by number, the worlds in which it was taken.
        refused: by number, the worlds in which its guard had to refuse something.

    """

    rows: frozenset[int]
    persisting: frozenset[int]
    refusing: frozenset[int]
    where: Mapping[int, tuple[World, ...]]
    refused: Mapping[int, tuple[World, ...]]

    def worlds(self, mutant: Mutant) -> tuple[World, ...]:
        """Those that can tell it from its table: a dropped guard only those in which it refuses something."""
        return (self.refused if mutant.what == _DROPPED else self.where)[mutant.row]


def taken(name: str) -> Taken:
    """Which rows its worlds take, and how.

    Raises:
        StateError: the ordinary course of one is wrong, so that it would say nothing about a mutant.

    """
    table, worlds = WORLDS[name]
    for world in worlds:
        world.scenario()  # how it begins is not part of it
    fired: set[int] = set()
    where: dict[int, list[World]] = {}
    refused: dict[int, list[World]] = {}
    persisting: set[int] = set()
    refusing: set[int] = set()
    here: set[int] = set()
    refused_here: set[int] = set()

    def watched(number: int, row: Row[Any]) -> Row[Any]:
        def do(data: Any, event: Any) -> tuple[Any, Effects]:  # noqa: ANN401 - of any table
            fired.add(number)
            here.add(number)
            after, effects = (data, ()) if row.do is None else row.do(data, event)
            kinds = [isinstance(effect, Persist) for effect in effects]
            if any(kinds) and not kinds[-1]:
                persisting.add(number)
            return after, effects

        def when(data: Any, event: Any) -> bool:  # noqa: ANN401 - of any table
            assert row.when is not None  # noqa: S101 - put in where there is one
            admitted = False
            try:
                admitted = row.when(data, event)
            finally:
                if not admitted:
                    refusing.add(number)
                    refused_here.add(number)
            return admitted

        return replace(row, do=do, when=row.when and when)

    rows = tuple(watched(number, row) for number, row in enumerate(table.rows))
    with pins_remembered(), instead(table, rows):
        for world in worlds:
            here.clear()
            refused_here.clear()
            scenario = world.scenario()
            why = world.goes_wrong(scenario, Liveness(scenario))
            if why:
                raise StateError("a course is wrong without any fault", who="check", expected="none", got=why)
            Search(scenario, most=world.states, begin=world.begins(scenario)).run()
            for number in here:
                where.setdefault(number, []).append(world)
            for number in refused_here:
                refused.setdefault(number, []).append(world)
    found, held = ({number: tuple(each) for number, each in every.items()} for every in (where, refused))
    return Taken(frozenset(fired), frozenset(persisting), frozenset(refusing), found, held)


def explained() -> dict[str, str]:
    """Why a mutant that survives is harmless, by its name."""
    text = (files(__name__.rpartition(".")[0]) / "survivors.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


@dataclass
class Score:
    """What became of all mutants of some tables.

    Attributes:
        outcomes: one by one.
        beyond: rows that no world takes and guards that nothing tries, in words; they have no mutants here.

    """

    outcomes: list[Tried]
    beyond: list[str]

    def by_table(self) -> list[dict[str, str | int]]:
        """For each table its name, how many mutants it has, and how many of them were noticed; what is beyond."""
        killed = Counter(each.mutant.table for each in self.outcomes if each.fate is not Fate.SURVIVED)
        every = Counter(each.mutant.table for each in self.outcomes)
        beyond = Counter(words.partition(":")[0] for words in self.beyond)
        return [
            {"table": name, "mutants": number, "killed": killed[name], "beyond": beyond[name]}
            for name, number in every.items()
        ]

    @property
    def survivors(self) -> list[Mutant]:
        """Those that nobody noticed."""
        return [each.mutant for each in self.outcomes if each.fate is Fate.SURVIVED]

    @property
    def reasons(self) -> dict[str, str]:
        """Why those that survive are harmless, as far as that is known."""
        known = explained()
        return {each.name: known[each.name] for each in self.survivors if each.name in known}

    @property
    def unexplained(self) -> list[str]:
        """Survivors without a reason, and reasons without a survivor."""
        names, reasons = {each.name for each in self.survivors}, explained()
        tables = {each.mutant.table for each in self.outcomes}
        stale = {name for name in reasons if name.split(":")[0] in tables} - names
        return sorted((names - reasons.keys()) | stale)


def score(names: Iterator[str] | list[str], *, told: Callable[[Tried], None] = lambda _: None) -> Score:
    """Try all mutants of these tables."""
    result = Score([], [])
    for name in names:
        how = taken(name)
        result.beyond += beyond(name, how)
        for mutant in mutants_of(name, how):
            result.outcomes.append(tried(mutant, how.worlds(mutant)))
            told(result.outcomes[-1])
    return result
