"""The worlds with a standing approval (S6): a unit in the network certifies without people, within what two agreed to.

They are those of personalizing.py with a unit in the network. Two people agree to one certificate for modules whose
serial number begins as that of SN-1 and of the stolen SN-2; modules call; one of the people may withdraw. A thief has
the unit's computer with the card in it: without anybody's PIN he asks the card for whatever it gives, tries other
limits, cuts the power. What he can do with a standing approval that is in force, and what by a clock or a store that he
sets back, is known and must be found (themes.py).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache, partial
from typing import Final, TypeAlias

from ..protocol.channel import proofs
from ..protocol.engine import Show, given
from ..protocol.keys.public import compress
from ..protocol.messages import RECORD_LIMITS, CardRecord, Message, ModuleKey, StandingJob, TrustOption, decode_record
from ..protocol.parties.card_record import log_of
from ..protocol.parties.unit import UnitData
from ..protocol.stores.card_log import Intent, LogEntry, StandingBegun, StandingEnded
from ..shell.card import Card
from . import invariants as personal
from .channel import CheckedSession
from .intruder import Intruder, Sayings
from .memory import fresh_pair
from .parties import Done, Party
from .personalizing import Personalizing
from .state import Fact, Limits, Local, Move, State, Variant
from .world import BANKS, NOW, PINS, STOLEN, Store, card_of

UNTIL: Final = NOW + 1000
"""When the standing approval ends to which people agree."""
LATER: Final = NOW + 2000
DAYS: Final = 365
Limited: TypeAlias = tuple[tuple[str, ...], int, int, int]
"""Serial numbers, how many certificates, until when, and their validity."""
AGREED: Final[Limited] = ("SN-*",), 1, UNTIL, DAYS
"""What people agree to."""
OTHERS: Final[Limited] = ("SN-*",), 2, UNTIL, DAYS
"""What nobody agrees to."""
_STORE: Final = 1
"""Of the unit."""


class Step(IntEnum):
    """What may happen so many times, by its place in `State.left`, after what Personalizing has there."""

    PROPOSED = 4
    """Somebody proposes what people will agree to."""
    OTHERS = 5
    """The thief proposes what nobody agrees to."""
    WITHDRAWN = 6
    ASKED = 7
    """The thief asks for a certificate."""
    LATE = 8
    """The time of the standing approval passes."""
    SET_BACK = 9
    """The thief sets back the clock of the unit's computer."""
    RESTORED = 10
    """The thief puts back the card's store as it was as it all began."""


@dataclass(frozen=True)
class Obtained:
    """The thief has a certificate for his own key."""

    subject: str
    days: int


@dataclass(frozen=True)
class Approved:
    """A person approved these limits."""

    person: str
    job: StandingJob


class _Intruder(Intruder):
    """He also proves, as the stolen module, that he holds a key."""

    def sayings(self, victim: CheckedSession, known: frozenset[Message]) -> Sayings:
        """See Intruder."""
        yield from super().sayings(victim, known)
        opened, data = victim.handshake.opened, victim.data
        if opened is not None and ModuleKey in victim.accepted and isinstance(data, UnitData) and data.serial == STOLEN:
            public = self.own.key.public
            statement = proofs.possession(opened.binding, STOLEN, public)
            yield (
                f"his own key as that of {STOLEN}",
                ModuleKey(compress(public), self.own.vault.sign(self.own.key, statement)),
            )


class Standing(Personalizing):
    """A unit in the network, and a standing approval.

    Args:
        budget: what may happen, how often; what is not named does not.
        agreed: two people have agreed, and it counts.
        subjects: for whom the thief wants certificates.
        limits: see Limits; no jobs.

    """

    def __init__(
        self,
        budget: Mapping[Step, int],
        *,
        agreed: bool = True,
        subjects: tuple[str, ...] = (STOLEN, "XX-9"),
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits(module=1, first=1, second=0, resets=0, jobs=0)
        super().__init__(TrustOption.CERTIFICATES, variant=Variant.NETWORKED, limits=limits)
        self.intruder = _Intruder(self.start, self.option, self.powers)
        self.budget = budget
        self._agreed = agreed
        self._subjects = subjects

    def initial(self) -> State:
        """See Scenario."""
        first = super().initial()
        state = first._replace(left=(*first.left, *(self.budget.get(each, 0) for each in Step)))
        return given(self._counting(*given(self._approved(state, AGREED)))) if self._agreed else state

    def _approved(self, state: State, limits: Limited) -> tuple[State, bytes] | None:
        """Two people approve these limits; the number of the job. None: they cannot."""
        proposed = self.people(state, 1, ("propose", limits), partial(_propose, limits))
        if proposed is None:
            return None
        job = next(each for each in self._card(proposed).record.standing if _limits(each) == limits)
        approved: State | None = proposed
        for person in PINS:
            approved = approved and self.people(approved, 1, (person, job), partial(_approves, job, person))
        return None if approved is None else (approved, job.number)

    def _counting(self, state: State, number: bytes) -> State | None:
        return self.people(state, 1, ("force", number), partial(_brings_into_force, number))

    def goes_wrong(self, settle: Callable[[State], State | str]) -> str:
        """See Scenario: the ordinary course of a standing approval.

        Once two people agreed, one certificate comes of it, and no second; withdrawn, it gives none. Policy admits no
        more than that, be it proposed before or afterwards.
        """
        first = super().initial()
        approved = self._approved(first._replace(left=(*first.left, *(0 for _ in Step))), AGREED)
        counting = approved and self._counting(*approved)
        if approved is None or counting is None:
            return "people cannot agree to a standing approval"
        _, number = approved
        if self._approved(counting, OTHERS) is not None:
            return "more is proposed than the policy admits"
        both = self._approved(approved[0], OTHERS)
        one = both and self._counting(both[0], number)
        if both is None or one is None or self._counting(one, both[1]) is not None:
            return "of two standing approvals that the policy admits one of, not exactly one counts"
        ask = partial(self.people, place=1, what=("course", number), do=partial(_asks, number, STOLEN, DAYS))
        used, withdrawn = ask(counting), self.people(counting, 1, ("withdraw", number), partial(_withdraws, number))
        if used is None or ask(used) is not None:
            return "not exactly one certificate comes of it"
        if withdrawn is None or number in self._card(withdrawn).standing or ask(withdrawn) is not None:
            return "it is not withdrawn"
        return ""

    def _card(self, state: State) -> Card:
        return card_at(self.stores[state.stores[_STORE]].fork())

    def log(self, state: State) -> tuple[LogEntry, ...]:
        """Of the card."""
        return _log(given(self.stores[state.stores[_STORE]].vault.record))

    def is_late(self, state: State) -> bool:
        """Whether the time of the standing approval is over, whatever a clock shows."""
        return state.left[Step.LATE] < self.budget.get(Step.LATE, 0)

    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """See Scenario."""
        yield from super().facts_of(place, note)
        match note:
            case Obtained(subject, days):
                yield "obtained", subject, days
            case Approved(person, job):
                yield "approves", person, job.number, job.serials, job.most, job.until, job.days

    def consequences(self, before: State, after: State, place: int, local: Local) -> State:
        """See Scenario; each use that ever was, also of a store that is there no more."""
        after = super().consequences(before, after, place, local)
        if before.stores[_STORE] != after.stores[_STORE]:
            uses = (each.what for each in self.log(after) if isinstance(each.what, Intent) and each.what.standing)
            ever = tuple(("used", use.job, use.subject) for use in uses)
            after = after._replace(facts=self.happened(after.facts, ever))
        return after

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario."""
        yield from super().others(state)
        for step, who, text, key, do in self._possible(state):
            if step is not None and not state.left[step]:
                continue
            begun = state if step is None else self.less(state, step)
            after = self.people(begun, 1, key, do)
            if after is not None and after != begun:
                yield Move("people" if who else "later", self.places[1].name, who, text), after
            for partly in self.cut_short(begun, 1, key, do):
                yield Move("crash", self.places[1].name, who, f"within: {text}"), partly

    def _possible(self, state: State) -> Iterator[tuple[Step | None, str, str, Hashable, _Do]]:
        card = self._card(state)
        yield Step.PROPOSED, "person", "somebody proposes a standing approval", "propose", partial(_propose, AGREED)
        yield Step.OTHERS, "thief", "he proposes one for more", "others", partial(_propose, OTHERS)
        for job in card.record.standing:
            if _limits(job) == AGREED:
                for person in PINS:
                    if person not in job.approvals:
                        yield None, "person", f"{person} approves it", (person, job), partial(_approves, job, person)
            key = "force", job.number
            yield None, "thief", "he has one counted from now on", key, partial(_brings_into_force, job.number)
        for number in card.standing:
            yield Step.WITHDRAWN, "person", "somebody withdraws it", ("withdraw", number), partial(_withdraws, number)
            for subject, days in (*((each, DAYS) for each in self._subjects), (self._subjects[0], DAYS + 1)):
                text = f"he asks for a certificate for {subject}, for {days} days"
                yield Step.ASKED, "thief", text, ("ask", number, subject, days), partial(_asks, number, subject, days)
        yield Step.LATE, "", "", "late", partial(_shows, LATER)
        if self.is_late(state):
            yield Step.SET_BACK, "thief", "he sets the clock back", "set back", partial(_shows, NOW)
        yield Step.RESTORED, "thief", "he puts back an older copy of the card", "restored", self._restored

    def _restored(self, party: Party, store: Store) -> Done:
        first = self.stores[self.initial().stores[_STORE]]
        return Done(None, replace(first.restarted(), clock=store.clock))


_Do = Callable[[Party, Store], Done]


def card_at(store: Store) -> Card:
    """The card, by the clock of the unit's computer."""
    return card_of(store.vault, lambda: store.clock)


def _done(store: Store, *notes: object) -> Done:
    store.vault.draw_as("rest")
    return Done(None, store, notes=notes, order=tuple(map(Show, notes)))


def _limits(job: StandingJob) -> Limited:
    return job.serials, job.most, job.until, job.days


def _propose(limits: Limited, party: Party, store: Store) -> Done:
    serials, most, until, days = limits
    card_at(store).propose_standing(serials, most=most, until=until, days=days)
    return _done(store)


def _approves(job: StandingJob, person: str, party: Party, store: Store) -> Done:
    card_at(store).approve(job, person, PINS[person])
    return _done(store, Approved(person, job))


def _brings_into_force(number: bytes, party: Party, store: Store) -> Done:
    card_at(store).bring_into_force(number)
    return _done(store)


def _withdraws(number: bytes, party: Party, store: Store) -> Done:
    card_at(store).withdraw(number)
    return _done(store)


def _asks(number: bytes, subject: str, days: int, party: Party, store: Store) -> Done:
    card = card_at(store)
    card.certify_by_standing(number, card.draft(subject, days=days, seconds=300), fresh_pair("thief")[1].public)
    return _done(store, Obtained(subject, days))


def _shows(clock: int, party: Party, store: Store) -> Done:
    return Done(None, replace(store, clock=clock))


@lru_cache(maxsize=4096)
def _log(record: bytes) -> tuple[LogEntry, ...]:
    return log_of(decode_record(CardRecord, record, **RECORD_LIMITS))


# What must hold --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeenByStanding(personal.Seen):
    """A state, for the invariants, with the card's log."""

    scenario: Standing

    @property
    def log(self) -> tuple[LogEntry, ...]:
        """Of the card."""
        return self.scenario.log(self.state)

    @property
    def uses(self) -> list[tuple[LogEntry, Intent]]:
        """The entries of certificates by a standing approval."""
        found = ((entry, entry.what) for entry in self.log)
        return [(entry, what) for entry, what in found if isinstance(what, Intent) and what.standing]


def s6_a_standing_approval_is_what_two_people_agreed_to(seen: SeenByStanding) -> str:
    """S6: by the log two names; by what people did, both approved exactly these limits."""
    for begun in (each.what for each in seen.log if isinstance(each.what, StandingBegun)):
        limits = begun.job, begun.serials, begun.most, begun.until, begun.days
        people = {fact[1] for fact in seen.facts if fact[0] == "approves" and fact[2:] == limits}
        if len(set(begun.approvers)) < 2 or not people >= set(begun.approvers):
            return "a standing approval counts to which two people did not agree"
    return ""


def s6_each_certificate_has_a_job_or_a_standing_approval(seen: SeenByStanding) -> str:
    """S6: two names each, and none that is neither; people approved no jobs here."""
    for issued in seen.issued.values():
        if any(len(set(each.approvers)) < 2 for each in issued):
            return "a certificate with fewer than two approvers"
    mine = len(seen.issued[BANKS[0]])
    return f"{mine} certificates for {len(seen.uses)} uses" if mine != len(seen.uses) else ""


def s6_uses_stay_within_the_standing_approval(seen: SeenByStanding) -> str:
    """S6: counted by hand from the log: how many, for whom, until when, not before it and not after its withdrawal."""
    begun: dict[bytes, tuple[StandingBegun, int]] = {}
    for entry in seen.log:
        match entry.what:
            case StandingBegun(job=number) as what:
                begun[number] = what, 0
            case StandingEnded(number):
                del begun[number]
            case Intent(standing=number) as use if number:
                if number not in begun:
                    return "a certificate by a standing approval that does not count"
                what, used = begun[number]
                begun[number] = what, used + 1
                is_for = use.role == "module" and use.subject.startswith(what.serials[0].rstrip("*"))
                if used + 1 > what.most or not is_for or entry.at > what.until:
                    return f"a certificate beyond its standing approval: {use.role} {use.subject}, number {used + 1}"
            case _:
                pass
    if any(fact[0] == "obtained" and fact[2] != DAYS for fact in seen.facts):
        return "a certificate of another validity than people agreed to"
    return ""


def s6_no_more_certificates_than_agreed(seen: SeenByStanding) -> str:
    """S6: over all stores that there ever were, as many as people agreed to."""
    ever = sum(fact[0] == "used" for fact in seen.facts)
    return f"{ever} certificates, and people agreed to {AGREED[1]}" if ever > AGREED[1] else ""


def s6_a_standing_approval_ends_in_time(before: SeenByStanding, move: Move, after: SeenByStanding) -> str:
    """S6: once its time is over, whatever the unit's clock shows, nothing more is certified by it."""
    is_late = before.scenario.is_late(before.state) and len(after.uses) > len(before.uses)
    return "a certificate by a standing approval whose time is over" if is_late else ""


_BY_JOB: Final = personal.s6_two_people_approved_each_certificate_and_each_approval_once
"""Of which another takes the place, where certificates need no job."""
OF_A_STATE: Final = (
    *(each for each in personal.OF_A_STATE if each is not _BY_JOB),
    s6_a_standing_approval_is_what_two_people_agreed_to,
    s6_each_certificate_has_a_job_or_a_standing_approval,
    s6_uses_stay_within_the_standing_approval,
    s6_no_more_certificates_than_agreed,
)
OF_A_MOVE: Final = (*personal.OF_A_MOVE, s6_a_standing_approval_ends_in_time)


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    return personal.depends(state), state.left[Step.LATE]
