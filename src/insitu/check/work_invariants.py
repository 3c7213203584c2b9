"""What must hold where a module works: S3, S4, S5, S8, S10 and the agreement about transactions, one function each."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from ..protocol.messages import ModuleCondition, ModuleRecord, decode_message
from ..protocol.parties.central_data import CentralState
from ..protocol.parties.work_data import WorkState
from ..protocol.stores.registry import CommandKind, CommandState, ModuleEntry, Standing
from .channel import CheckedSession
from .memory import CheckedRegistry
from .operating import PAYLOAD, Budget, Operating
from .seen import SeenState
from .state import INTRUDER, Fact, Move, State
from .world import SERIAL

_AT_BUSINESS: Final = {
    CentralState.ONLINE,
    CentralState.CHECKING,
    CentralState.DECIDING,
    CentralState.SETTLING,
    CentralState.WRAPPING,
}


@dataclass(frozen=True)
class SeenAtWork(SeenState):
    """A state, for the invariants: what parties keep, which sessions run, and what has happened."""

    scenario: Operating

    @property
    def record(self) -> ModuleRecord:
        """Of the module."""
        return self.scenario.module_record(self.state.stores[0])

    @property
    def registry(self) -> CheckedRegistry:
        """Of the central system."""
        return self.scenario.registry(self.state)

    @property
    def entry(self) -> ModuleEntry | None:
        """Of the module, in the registry."""
        return self.registry.module(SERIAL)

    @property
    def list_number(self) -> int:
        """Of the manufacturer's list that the module has; 0: none."""
        crl, lists = self.record.crl, self.scenario.start.lists
        return 0 if crl is None else lists.index(crl) + 1

    def of(self, kind: str) -> set[Fact]:
        """The facts of a kind, without its name."""
        return {fact[1:] for fact in self.facts if fact[0] == kind}

    def session(self, place: int) -> CheckedSession | None:
        """That runs there."""
        return self.scenario.session(self.state, place)

    def business(self, place: int) -> ModuleEntry | None:
        """The module that works with the central system in the session there, as that last saw it in its registry."""
        session = self.session(place)
        if session is None or session.state not in _AT_BUSINESS:
            return None
        entry: ModuleEntry | None = session.data.entry
        return entry


# Of a state ------------------------------------------------------------------------------------------------------


def s3_a_reset_that_was_told_is_done(seen: SeenAtWork) -> str:
    """S3: it is durable before it is acknowledged."""
    told = max((int(str(fact[0])) for fact in seen.of("told of its reset")), default=0)
    return (
        f"the module acknowledged the reset to epoch {told}, and is in {seen.record.epoch}"
        if told > seen.record.epoch
        else ""
    )


def who_works_with_whom_proved_it(seen: SeenAtWork) -> str:
    """Mutual authentication: the module works with its central system, and that with nobody else as SN-1."""
    for place, slot in enumerate(seen.state.slots):
        session = seen.session(place)
        if session is None or slot.peer != INTRUDER:
            continue
        if place == 0 and session.state is not WorkState.OPERATING:
            return "the module works with somebody else than its central system"
        peer = session.data.peer if place else None
        if peer is not None and peer.name == SERIAL:
            return f"somebody else is taken for {SERIAL}"
    return ""


def s10_nothing_is_decided_or_paid_twice(seen: SeenAtWork) -> str:
    """S10, L10: the host is asked once for each authorization, and the customer gets the money once."""
    twice = seen.of("twice")
    return f"a second time: {min(map(str, twice))}" if twice else ""


def what_is_paid_was_decided_and_asked_for(seen: SeenAtWork) -> str:
    """Agreement: what the module pays out, the host decided; what the host decided, the module asked for."""
    asked = {fact[0] for fact in seen.of("asked")}
    known = seen.registry.transactions(SERIAL)
    decided = {(each.number, each.approved, each.instructed, each.reference) for each in known}
    if any(fact[1] and fact not in decided for fact in seen.of("instructed")):
        return "the module pays out what the host did not decide"
    if any(each.number not in asked for each in known):
        return "the host was asked what the module never asked for"
    return ""


def what_is_settled_is_what_was_paid(seen: SeenAtWork) -> str:
    """Agreement: what the registry says that the customer got, the customer got."""
    paid = {fact[0]: fact[2] for fact in seen.of("instructed")}
    for transaction in seen.registry.transactions(SERIAL):
        if transaction.paid is not None and transaction.paid != paid.get(transaction.number, 0):
            return f"the customer got {paid.get(transaction.number, 0)}, and the registry says {transaction.paid}"
    return ""


def what_is_delivered_was_given(seen: SeenAtWork) -> str:
    """Agreement: each payload for the host is the module's; each command that is done, the module has."""
    ours = [each for each in seen.registry.deliveries() if each.serial == SERIAL]
    given = seen.scenario.budget.get(Budget.PAYLOADS, 0) - seen.state.left[Budget.PAYLOADS]
    if len(ours) > given or any(each.payload != PAYLOAD for each in ours):
        return "the host has a payload that the module's controller never gave"
    for command in seen.registry.commands(SERIAL):
        if command.state is CommandState.DONE and command.number > seen.record.heard:
            return f"command {command.number} is done, and the module does not know it"
    return ""


def what_was_told_is_durable(seen: SeenAtWork) -> str:
    """L7, S10: of the module's store the central system knows nothing that a crash would undo."""
    entry, record = seen.entry, seen.record
    if entry is None or entry.fingerprint != record.fingerprint or Budget.RESTORED in seen.scenario.budget:
        return ""
    if entry.generation > record.generation or entry.last_number > record.last:
        return "the central system was told what the module does not know any more"
    return ""


def what_was_given_is_not_lost(seen: SeenAtWork) -> str:
    """L10: a payload is with the host, or with the module until the host has it, or went with a reset."""
    record, budget = seen.record, seen.scenario.budget
    if record.condition is not ModuleCondition.OPERATING or record.epoch or Budget.RESTORED in budget:
        return ""
    waiting = {decode_message(line).number for line in record.outbox}  # type: ignore[union-attr]
    there = {each.number for each in seen.registry.deliveries() if each.serial == SERIAL}
    lost = {fact[0] for fact in seen.of("kept")} - waiting - there
    return f"payload {min(map(str, lost))} is lost" if lost else ""


def s4_who_works_here_may_work(seen: SeenAtWork) -> str:
    """S4: no session does business under a certificate that the registry knows to be worthless by what it read last."""
    for place in (1, 2):
        entry = seen.business(place)
        if entry is not None and entry.serial == SERIAL and entry.standing is not Standing.OPERATING:
            return f"a session works, and the module is {entry.standing.value}"
    return ""


def s5_who_may_not_stay_goes(seen: SeenAtWork) -> str:
    """S5: a session of such a module ends when the central system looks again."""
    return "a module stays online that may not" if ("stayed in spite of it",) in seen.facts else ""


def s8_a_symmetric_key_is_used_in_its_time(seen: SeenAtWork) -> str:
    """S8: not once its time is over, also with the clock set back; and only where somebody vouched for the store."""
    if ("used too late",) in seen.facts:
        return "a symmetric key was used after its time"
    return "a symmetric key was used, and nobody vouched for the store" if ("used unvouched",) in seen.facts else ""


# Of a move ---------------------------------------------------------------------------------------------------------


def s4_what_is_worthless_stays_so(before: SeenAtWork, move: Move, after: SeenAtWork) -> str:
    """S4: a module that was reset, or is to be, works again only with another certificate, of a later epoch."""
    old, new = before.entry, after.entry
    if old is None or new is None:
        return ""
    worthless = old.standing is not Standing.OPERATING
    if worthless and new.standing is Standing.OPERATING and new.fingerprint == old.fingerprint:
        return f"a certificate counts again that was worthless ({old.standing.value})"
    if new.fingerprint != old.fingerprint and new.epoch <= old.epoch:
        return "another certificate of no later epoch takes the place of the one that counts"
    return ""


def s4_an_old_store_is_noticed(before: SeenAtWork, move: Move, after: SeenAtWork) -> str:
    """S4: how far the store is, and how far its messages are, never falls while a certificate counts."""
    old, new = before.entry, after.entry
    if old is None or new is None or old.fingerprint != new.fingerprint:
        return ""
    if new.generation < old.generation or new.last_number < old.last_number:
        return "an older copy of the module's store passes"
    return ""


def s4_no_business_under_what_is_worthless(before: SeenAtWork, move: Move, after: SeenAtWork) -> str:
    """S4, S5: nothing is decided, taken in or concluded for a module that may not work by now."""
    entry = before.entry
    if entry is None or entry.standing is Standing.OPERATING:
        return ""
    one, other = before.registry, after.registry
    if one.transactions(SERIAL) != other.transactions(SERIAL) or one.deliveries() != other.deliveries():
        return f"business with a module that is {entry.standing.value}"
    return ""


def s5_who_comes_to_work_is_admitted(before: SeenAtWork, move: Move, after: SeenAtWork) -> str:
    """S5: nobody comes online whose certificate or issuer is known to be lost, revoked or disabled."""
    for place in (1, 2):
        entry = after.business(place)
        if entry is None or before.business(place) is not None:
            continue
        if not before.scenario.is_admitted(before.state, entry):
            return f"{entry.serial} comes to work, and it or its issuer is lost, revoked or disabled"
    return ""


def s5_a_list_that_came_is_kept(before: SeenAtWork, move: Move, after: SeenAtWork) -> str:
    """S5: no older list takes the place of the manufacturer's newest, also after a crash or a reset."""
    old, new = before.list_number, after.list_number
    return f"the module had list {old}, and has list {new}" if new < old and move.kind != "restored" else ""


def s5_a_list_that_was_acknowledged_is_there(before: SeenAtWork, move: Move, after: SeenAtWork) -> str:
    """S5: that the module has it, the central system believes only if it does."""
    done = [each for each in after.registry.commands(SERIAL) if each.state is CommandState.DONE]
    lists = [each.content for each in done if each.kind is CommandKind.REVOKE]
    newest = max(map(after.scenario.start.lists.index, lists), default=-1) + 1
    return f"the central system believes in list {newest}" if newest > after.list_number else ""


def s1_no_message_changes_what_the_module_is(before: SeenAtWork, move: Move, after: SeenAtWork) -> str:
    """S1: what an operating module works with changes by a reset alone, which is by hand or by command."""
    old, new = before.record, after.record
    if old.condition is not ModuleCondition.OPERATING or move.kind in ("restored", "anew"):
        return ""
    kept = ("module", "customer", "central", "key", "epoch", "condition")
    changed = [name for name in kept if getattr(old, name) != getattr(new, name)]
    if changed and new.condition is not ModuleCondition.RESET:
        return f"{', '.join(changed)} of an operating module changed"
    return ""


def s10_what_is_out_of_place_changes_nothing(before: SeenAtWork, move: Move, after: SeenAtWork) -> str:
    """S10: a frame that is doubled, reordered, reflected or of another session accepts nothing and keeps nothing."""
    if move.kind != "inject":
        return ""
    if before.registry.identity != after.registry.identity or before.record != after.record:
        return f"{move.text}, replayed, had an effect"
    return ""


OF_A_STATE: Final[tuple[Callable[[SeenAtWork], str], ...]] = (
    s3_a_reset_that_was_told_is_done,
    s4_who_works_here_may_work,
    s5_who_may_not_stay_goes,
    s8_a_symmetric_key_is_used_in_its_time,
    s10_nothing_is_decided_or_paid_twice,
    who_works_with_whom_proved_it,
    what_is_paid_was_decided_and_asked_for,
    what_is_settled_is_what_was_paid,
    what_is_delivered_was_given,
    what_was_told_is_durable,
    what_was_given_is_not_lost,
)
OF_A_MOVE: Final[tuple[Callable[[SeenAtWork, Move, SeenAtWork], str], ...]] = (
    s1_no_message_changes_what_the_module_is,
    s4_what_is_worthless_stays_so,
    s4_an_old_store_is_noticed,
    s4_no_business_under_what_is_worthless,
    s5_who_comes_to_work_is_admitted,
    s5_a_list_that_came_is_kept,
    s5_a_list_that_was_acknowledged_is_there,
    s10_what_is_out_of_place_changes_nothing,
)


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    given = state.left[Budget.PAYLOADS]
    return state.stores, state.facts, state.beside, given, tuple((slot.end, slot.peer) for slot in state.slots)
