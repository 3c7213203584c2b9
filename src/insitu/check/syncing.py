"""The worlds in which a card brings its central system its log (L12): cut short, forked, put back, held back.

A card with an approved job for each certificate that it may still make, and its central system with two lines. A thief
may copy the card's store and put the copy back, and whoever is in the network holds back what he likes: a session of
the central system goes on with what was sent to it, while the card is in its next one. Time passes whenever a session
of the central system is over, so that what was read before can be told from what was read meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final

from ..protocol.channel.trust import CardEnrolling, CentralSyncing
from ..protocol.engine import Show, given
from ..protocol.messages import RECORD_LIMITS, CardRecord, CardRole, Purpose, TrustOption, decode_record
from ..protocol.parties.card_record import log_of
from ..protocol.parties.card_syncing import CARD_SYNCING, CardSyncingData, CardSyncingState
from ..protocol.parties.central_syncing import CENTRAL_SYNCING, CentralSyncingData, CentralSyncingState
from ..protocol.parties.log_heads import LogReceipt
from ..protocol.ports import Ports
from ..protocol.stores.card_log import LogEntry
from ..protocol.stores.card_logs import all_lines
from ..shell.card import Card
from ..shell.central import Central
from ..shell.syncing import ports_of_card, ports_of_central
from .at_work import CentralParty, established
from .channel import CheckedSession, SymbolicHandshake
from .intruder import Intruder
from .memory import CheckedRegistry, fresh_pair
from .parties import Done, Party
from .scenario import CRASHES, Scenario
from .seen import SeenState
from .state import IDLE, NOBODY, Fact, Local, Move, Place, Slot, State
from .world import BANKS, DAY, NOW, Beginning, Store, approve, beginning, card_of

_CARD, _CENTRAL, _COPY = range(3)
"""Which store is whose."""
_SECONDS: Final = 10
"""That pass with each session of the central system."""


class Brought(IntEnum):
    """What may happen so many times, by its place in `State.left`."""

    CRASHES = CRASHES
    CERTIFIED = 1
    """The card makes a certificate."""
    COPIES = 2
    """The thief copies the card's store."""
    RESTORED = 3
    """He puts the copy back."""
    FAILURES = 4
    """Key memory of one of them fails at one operation."""


@dataclass(frozen=True)
class Certified:
    """A certificate left the card. `fingerprint`: of it."""

    fingerprint: bytes


@dataclass(frozen=True)
class CardParty(Party):
    """The card of the first bank, which brings its log."""

    start: Beginning

    def begin(self, store: Store, name: str) -> CheckedSession:
        """As `sync` begins one."""
        card = card_of(store.vault)
        own, export = card.authentication, card.signed_log()
        terms = CardEnrolling.of(card.customer, card.unit, own, card.central_key, now=NOW)
        data = CardSyncingData(tuple(entry.line for entry in export.log), export.head or b"")
        handshake = SymbolicHandshake(terms, name, purpose=Purpose.SYNC)
        return CheckedSession(CARD_SYNCING, CardSyncingState.READY, data, handshake)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        return ports_of_card(card_of(store.vault), lambda _: None)


@dataclass(frozen=True)
class ReaderParty(Party):
    """The central system, which reads logs."""

    central: CentralParty

    def begin(self, store: Store, name: str) -> CheckedSession:
        """As `take_in` begins one."""
        central: Central = self.central.program(store)
        own, key = central.record.name, central.key
        terms = CentralSyncing.of(own, key, central.issuers())
        handshake = SymbolicHandshake(terms, name, purposes=frozenset({Purpose.SYNC}))
        data = CentralSyncingData(own, key, at=store.clock, begun=store.clock)
        return CheckedSession(CENTRAL_SYNCING, CentralSyncingState.LISTENING, data, handshake)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        return ports_of_central(self.central.program(store), lambda _: None)

    def leave(self, store: Store, session: CheckedSession) -> Store:
        """See Party; time has passed."""
        store.vault.draw_as("rest")
        return replace(store, clock=store.clock + _SECONDS)


class Syncing(Scenario):
    """A card and its central system.

    Args:
        budget: what may happen, how often; what is not named does not.
        runs: sessions of the card, and on each line of the central system.

    """

    def __init__(self, budget: Mapping[Brought, int], *, runs: tuple[int, int, int] = (2, 2, 0)) -> None:
        start = beginning(TrustOption.CERTIFICATES)
        reader = ReaderParty(CentralParty(start, BANKS[0]))
        places = (
            Place("card", CardParty(start), _CARD, runs[0], calls=True),
            Place("central, line 1", reader, _CENTRAL, runs[1]),
            Place("central, line 2", reader, _CENTRAL, runs[2]),
        )
        super().__init__(
            start,
            places,
            Intruder(start, TrustOption.CERTIFICATES, frozenset()),
            (Purpose.SYNC,),
            failures=Brought.FAILURES,
        )
        self.budget = budget

    def initial(self) -> State:
        """See Scenario."""
        card = Store(self.start.units[BANKS[0]].vault.fork())
        left = tuple(self.budget.get(each, 0) for each in Brought)
        state = self.beginning((card, established(self.start), card), left)
        return self.consequences(state, state, 0, _NOTHING)

    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """See Scenario."""
        if isinstance(note, Certified):
            yield "certified", note.fingerprint

    def log(self, state: State) -> tuple[LogEntry, ...]:
        """Of the card."""
        return _log(given(self.stores[state.stores[_CARD]].vault.record))

    def registry(self, state: State) -> CheckedRegistry:
        """Of the central system."""
        return given(self.stores[state.stores[_CENTRAL]].registry)

    @property
    def issuer(self) -> bytes:
        """Fingerprint of the certificate of the card's signing key."""
        return card_of(self.start.units[BANKS[0]].vault.fork()).customer.fingerprint

    def consequences(self, before: State, after: State, place: int, local: Local) -> State:
        """See Scenario: what the card has ever written, by the digest of its last entry; who told how it ended wrongly.

        A card that offered its log does not know that nothing was read; a central system ends in doubt that notes it.
        """
        last = local.done.last
        if last is not None and self._is_misjudged(before, after, place, last):
            after = after._replace(facts=self.happened(after.facts, (("misjudged", self.places[place].name),)))
        if place != _CARD:
            return after
        log = self.log(after)
        return after._replace(facts=self.happened(after.facts, tuple(("wrote", each.digest) for each in log)))

    def _is_misjudged(self, before: State, after: State, place: int, last: CheckedSession) -> bool:
        if place == _CARD:
            number = before.slots[place].end
            was = None if number == IDLE else self.ends[number].session.state
            return was is CardSyncingState.OFFERED and last.state is CardSyncingState.FAILED
        doubts = [self.registry(state).card_log(self.issuer).doubt for state in (before, after)]
        return (last.state is CentralSyncingState.DOUBTED) != (not doubts[0] and bool(doubts[1]))

    def at(self, state: State) -> int:
        """See Scenario."""
        return self.stores[state.stores[_CENTRAL]].clock

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario: the card certifies between its sessions; the thief is at its store."""
        if state.slots[0].end != IDLE:
            return
        if state.left[Brought.CERTIFIED]:
            begun = self.less(state, Brought.CERTIFIED)
            what = "certify", state.left[Brought.CERTIFIED]
            do = _certifying(f"module {state.left[Brought.CERTIFIED]}")
            after = self.people(begun, 0, what, do)
            if after is not None:
                yield Move("people", "card", "people", "it makes a certificate"), after
            for partly in self.cut_short(begun, 0, what, do):
                yield Move("crash", "card", "people", "as it makes a certificate"), partly
        if state.left[Brought.COPIES]:
            stores = state.stores[_CARD], state.stores[_CENTRAL], state.stores[_CARD]
            yield (
                Move("people", "card", "thief", "he copies its store"),
                self.less(state._replace(stores=stores), Brought.COPIES),
            )
        if state.left[Brought.RESTORED] and not state.left[Brought.COPIES]:
            stores = state.stores[_COPY], state.stores[_CENTRAL], state.stores[_COPY]
            facts = self.happened(state.facts, (("restored",),))
            yield (
                Move("people", "card", "thief", "he puts the copy back"),
                self.less(state._replace(stores=stores, facts=facts), Brought.RESTORED),
            )

    # The ordinary course, and liveness

    def goes_wrong(self, settle: Callable[[State], State | str]) -> str:
        """See Scenario: a log is read, then a shorter one, another, and one of after the central system's own time."""
        first = self.initial()
        certified = self.people(first, 0, ("course", 1), _certifying("module of the course"))
        once = None if certified is None else self._brought(certified, settle)
        if certified is None or once is None or len(self._lines(once)) <= len(self._lines(first)):
            return "a log is not read"
        early = self.people(first, 0, ("course", "early"), _certifying("module of the course", NOW + 2 * DAY))
        behind = None if early is None else self._brought(early, settle)
        if behind is None or self._lines(behind):
            return "a log is read that is dated after the time of who reads it"
        restored = once._replace(facts=self.happened(once.facts, (("restored",),)))
        shorter = self._with(restored, _CARD, first.stores[_CARD])
        other = self.people(shorter, 0, ("course", 2), _certifying("another module of the course"))
        for each in (shorter, other):
            read = None if each is None else self._brought(each, settle)
            if read is None or not self.registry(read).card_log(self.issuer).doubt:
                return "a log that is not what was read is not noticed"
        return ""

    def _brought(self, state: State, settle: Callable[[State], State | str]) -> State | None:
        """The card comes once more, and all goes its way; None: it does not."""
        slots = tuple(Slot(IDLE, NOBODY, (), (), 1) for _ in state.slots)
        joined = self.joined(state._replace(slots=slots), 1)
        settled = None if joined is None else settle(joined)
        return settled if isinstance(settled, State) else None

    def _with(self, state: State, which: int, store: int) -> State:
        stores = list(state.stores)
        stores[which] = store
        return state._replace(stores=tuple(stores))

    def _lines(self, state: State) -> tuple[bytes, ...]:
        return tuple(all_lines(self.registry(state), self.issuer))

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario: the card comes once more, and is read to its end, or in doubt if its log is another by now."""
        mine, theirs = [entry.line for entry in self.log(state)], list(all_lines(self.registry(state), self.issuer))
        joined = self.joined(state._replace(slots=tuple(Slot(IDLE, NOBODY, (), (), 1) for _ in state.slots)), 1)
        end = "card and central system cannot meet any more" if joined is None else settle(joined)
        if isinstance(end, str):
            return end
        log = self.registry(end).card_log(self.issuer)
        is_in_doubt = bool(log.doubt)
        if self.registry(state).card_log(self.issuer).doubt:
            return "" if is_in_doubt and log.entries == len(theirs) else "a card in doubt is read all the same"
        if mine[: len(theirs)] != theirs:
            return "" if is_in_doubt else "a log that is not what was read is not noticed"
        receipt = _receipt(given(self.stores[end.stores[_CARD]].vault.record))
        if is_in_doubt or log.entries < len(mine) or receipt is None or receipt.entries < len(mine):
            return "a sound log is not read, or the card has no receipt for it"
        return ""


def _certifying(subject: str, clock: int = NOW) -> Callable[[Party, Store], Done]:
    """People approve a job, and it is done at once. `clock`: of the card's computer."""

    def do(party: Party, store: Store) -> Done:
        card: Card = card_of(store.vault, lambda: clock)
        public = fresh_pair(subject)[1].public
        made = card.certify(approve(card, CardRole.MODULE, subject.upper().replace(" ", "-")), public)
        store.vault.restart()
        return Done(None, store, order=(Show(Certified(sha256(made).digest())),))

    return do


@lru_cache(maxsize=4096)
def _log(record: bytes) -> tuple[LogEntry, ...]:
    return log_of(decode_record(CardRecord, record, **RECORD_LIMITS))


@lru_cache(maxsize=4096)
def _receipt(record: bytes) -> LogReceipt | None:
    """The one that the card keeps."""
    kept = decode_record(CardRecord, record, **RECORD_LIMITS).receipt
    return None if kept is None else LogReceipt.read(kept, None)


# What must hold --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeenInLogs(SeenState):
    """A state, for the invariants."""

    scenario: Syncing

    @property
    def lines(self) -> tuple[bytes, ...]:
        """What the central system has of the card's log."""
        return all_lines(self.scenario.registry(self.state), self.scenario.issuer)

    @property
    def doubt(self) -> str:
        """Why the card is in doubt; empty: it is not."""
        return self.scenario.registry(self.state).card_log(self.scenario.issuer).doubt

    @property
    def was_restored(self) -> bool:
        """Whether the thief put back an older copy."""
        return ("restored",) in self.facts

    @property
    def unlogged(self) -> set[bytes]:
        """The certificates that left the card, and are neither in its log nor in what was read of it; fingerprints."""
        everywhere = b"".join((*(entry.line for entry in self.scenario.log(self.state)), *self.lines))
        every = {fact[1] for fact in self.facts if fact[0] == "certified"}
        return {each for each in every if isinstance(each, bytes) and each.hex().encode() not in everywhere}


def l12_what_was_read_stays(before: SeenInLogs, move: Move, after: SeenInLogs) -> str:
    """L12: what the central system has read of a log, it has for good, and a doubt as well."""
    if after.lines[: len(before.lines)] != before.lines:
        return "what was read of the log is gone"
    return "a doubt is forgotten" if before.doubt and after.doubt != before.doubt else ""


def l12_what_is_read_the_card_wrote(seen: SeenInLogs) -> str:
    """L12: every entry that the central system has, the card has written."""
    wrote = {fact[1] for fact in seen.facts if fact[0] == "wrote"}
    return (
        "an entry was read that the card never wrote"
        if any(sha256(each).digest() not in wrote for each in seen.lines)
        else ""
    )


def l12_a_card_is_in_doubt_for_a_reason(seen: SeenInLogs) -> str:
    """L12: no delay, cut or crash brings a sound card into doubt."""
    return f"in doubt without a reason: {seen.doubt}" if seen.doubt and not seen.was_restored else ""


def l12_a_receipt_is_for_what_was_read(seen: SeenInLogs) -> str:
    """L12: what the card has a receipt for, the central system has."""
    receipt = _receipt(given(seen.scenario.stores[seen.state.stores[_CARD]].vault.record))
    if receipt is None or not receipt.entries:
        return ""
    read = seen.lines[: receipt.entries]
    is_so = len(read) == receipt.entries and sha256(read[-1]).digest() == receipt.digest
    return "" if is_so else f"a receipt for {receipt.entries} entries, and {len(seen.lines)} were read"


def l12_how_it_ended_is_told_as_it_is(seen: SeenInLogs) -> str:
    """L12: a card that offered its log does not call it unread; a central system that is in doubt has noted why."""
    who = next((fact[1] for fact in seen.facts if fact[0] == "misjudged"), "")
    return f"{who} says of a session that it ended otherwise" if who else ""


def l12_each_certificate_is_in_the_log(seen: SeenInLogs) -> str:
    """L12, S6: what left the card its log has, or the central system, if nobody put back an older copy."""
    return "a certificate is in no log" if seen.unlogged and not seen.was_restored else ""


def l12_each_certificate_is_in_some_log_for_good(before: SeenInLogs, move: Move, after: SeenInLogs) -> str:
    """L12, S6: the same whatever happened to the card. It is known not to hold for what was never read."""
    return "a certificate is in no log" if after.unlogged else ""


OF_A_STATE: Final = (
    l12_what_is_read_the_card_wrote,
    l12_a_card_is_in_doubt_for_a_reason,
    l12_a_receipt_is_for_what_was_read,
    l12_how_it_ended_is_told_as_it_is,
    l12_each_certificate_is_in_the_log,
)
OF_A_MOVE: Final = (l12_what_was_read_stays,)
NOT_HELD: Final = (l12_each_certificate_is_in_some_log_for_good,)
"""Known not to hold: looked at only where that must be found."""
_NOTHING: Final = Local(IDLE, IDLE, (), (), (), (), (), Done(None, Store(fresh_pair("nothing")[0])))


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    return state.stores, state.facts
