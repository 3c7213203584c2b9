"""The invariants S1 to S13 of SECURITY.md, as far as a search can see them: one function each, of a state or a move.

Each says what is wrong, or nothing. What was issued and by whom is read from the cards' own logs, what the module keeps
from its own record; that a key is the module's, and how many jobs people approved, the search has seen for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from ..protocol.channel.trust import ModuleAtWork
from ..protocol.engine import InsituError, Persist, Show, StartTimer, StopTimer, TableError, given
from ..protocol.keys.certificates import Role
from ..protocol.messages import RECORD_LIMITS, CardRecord, ModuleCondition, ModuleRecord, decode_record
from ..protocol.parties.card_record import log_of
from ..protocol.parties.mobile import MobileState
from ..protocol.parties.module import MODULE
from ..protocol.parties.module_data import resting_state
from ..protocol.parties.unit import UNIT, ModulePersonalized, ModuleReported, UnitState
from ..protocol.progress import StateEntered
from ..protocol.stores.card_log import Intent, Result
from .channel import CheckedSession
from .memory import CheckedVault
from .parties import Done
from .personalizing import JOBS, Personalizing
from .seen import SeenState
from .state import Move, State, Variant
from .values import canonical
from .world import BANKS, SERIAL, card_of

_P256_KEY: Final = re.compile(
    re.escape(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")) + b"(.{65})", re.DOTALL
)
"""A P-256 key in a certificate (RFC 5480)."""


_RESULTS: Final = {ModulePersonalized: UnitState.PERSONALIZED, ModuleReported: UnitState.REPORTED}
"""With what a unit's session may end well, by what it shows then."""


class Violation(NamedTuple):
    """An invariant that does not hold."""

    invariant: str
    what: str


class Issued(NamedTuple):
    """A certificate for a module by an honest card, as its log has it.

    Attributes:
        job: number of it.
        public: the key that is certified, an uncompressed point.
        subject: serial number.
        approvers: who approved it.
        fingerprint: of the certificate; empty where the log has an intent only.

    """

    job: bytes
    public: bytes
    subject: str
    approvers: tuple[str, ...]
    fingerprint: bytes


@lru_cache(maxsize=4096)
def issued_by(record: bytes) -> tuple[Issued, ...]:
    """What a card has issued for modules."""
    log = [entry.what for entry in log_of(decode_record(CardRecord, record, **RECORD_LIMITS))]
    results = {what.job: what.fingerprint for what in log if isinstance(what, Result)}
    found: list[Issued] = []
    for what in log:
        if isinstance(what, Intent) and what.role == Role.MODULE.value:
            key = given(_P256_KEY.search(what.to_be_signed)).group(1)
            found.append(Issued(what.job, key, what.subject, what.approvers, results.get(what.job, b"")))
    return tuple(found)


@dataclass(frozen=True)
class Seen(SeenState):
    """A state, for the invariants: what parties keep, and what has happened.

    Attributes:
        record: of the module.
        issued: by bank.
        facts: what has happened.
        jobs: how many were approved, over all.

    """

    scenario: Personalizing

    @property
    def record(self) -> ModuleRecord:
        """Of the module."""
        return self.scenario.module_record(self.state.stores[0])

    @property
    def issued(self) -> dict[str, tuple[Issued, ...]]:
        """By bank."""
        stores = self.state.stores[1:]
        return {
            bank: issued_by(given(self.scenario.stores[store].vault.record))
            for bank, store in zip(BANKS, stores, strict=False)
        }

    @property
    def jobs(self) -> int:
        """How many jobs two people approved, over all."""
        beforehand = len(BANKS) - (self.scenario.variant is Variant.NETWORKED)
        return beforehand + self.scenario.limits.jobs - self.state.left[JOBS]


# Of the module ---------------------------------------------------------------------------------------------------


def s2_operating_means_a_whole_chain_and_its_key(record: ModuleRecord, vault: CheckedVault) -> str:
    """S2: chain, key pair and pin hold together, judged by what a module begins to work with."""
    if record.condition is not ModuleCondition.OPERATING:
        return ""
    try:
        ModuleAtWork.of(record, vault.find(given(record.key)))
    except InsituError as error:
        return f"the module operates, and {error}"
    return ""


def s3_after_a_reset_nothing_of_before_is_left(record: ModuleRecord, vault: CheckedVault) -> str:
    """S3: neither keys nor certificates, symmetric keys included; what is durable besides came at manufacture."""
    left = vault.fork()
    left.restart()
    if record.condition is ModuleCondition.RESET and (left.labels() != record.lasting or record.module):
        return f"after a reset the module holds {', '.join(sorted(left.labels() - record.lasting)) or 'a certificate'}"
    return ""


# Of a state ------------------------------------------------------------------------------------------------------


def s6_two_people_approved_each_certificate_and_each_approval_once(seen: Seen) -> str:
    """S6: by the log, two names; by what people did, no more certificates than jobs."""
    every = [each for issued in seen.issued.values() for each in issued]
    if any(len(set(each.approvers)) < 2 for each in every):
        return "a certificate with fewer than two approvers"
    if len({each.job for each in every}) < len(every) or len(every) > seen.jobs:
        return f"{len(every)} certificates for {seen.jobs} approved jobs"
    return ""


def s11_only_a_key_that_the_module_made_is_certified(seen: Seen) -> str:
    """S7, S11: under the serial number of the module no other key, whatever names and numbers said."""
    made = {fact[1] for fact in seen.facts if fact[0] == "made"}
    for bank, issued in seen.issued.items():
        for each in issued:
            if each.subject == SERIAL and each.public not in made:
                return f"the card of {bank} certified a key as {SERIAL}'s that {SERIAL} never made"
    return ""


def what_operates_came_from_one_bank(seen: Seen) -> str:
    """Agreement: certificate, issuer and central system are those that one honest unit handed over."""
    record = seen.record
    if record.condition is not ModuleCondition.OPERATING:
        return ""
    for bank, store in zip(BANKS, seen.state.stores[1:], strict=False):
        card = card_of(seen.scenario.stores[store].vault.fork())
        is_there = any(each.fingerprint == record.fingerprint for each in seen.issued[bank])
        if is_there and (record.customer, record.central) == (card.customer.der, seen.scenario.start.central[bank]):
            return ""
    return f"{SERIAL} operates with certificates that no bank handed over"


def s12_one_certificate_counts_until_a_reset(seen: Seen) -> str:
    """S12: however many units were there."""
    operated = {(fact[1], fact[2]) for fact in seen.facts if fact[0] == "operated"}
    if len({epoch for epoch, _ in operated}) < len(operated):
        return "the module took two certificates without a reset between them"
    return ""


def a_unit_is_right_about_what_it_did(seen: Seen) -> str:
    """Agreement: the unit that says that the module is personalized is right."""
    operated = {fact[2] for fact in seen.facts if fact[0] == "operated"}
    confirmed = {fact[1] for fact in seen.facts if fact[0] == "confirmed"}
    return "a unit believes that the module operates, and it never did" if confirmed - operated else ""


def a_mobile_is_where_it_says(seen: Seen) -> str:
    """A9: its person was told how it went, and so it is; and the number is by whom the unit chose."""
    ends = {True: MobileState.VOUCHED.name, False: MobileState.REFUSED.name}
    for fact in seen.facts:
        if fact[0] == "mobile" and fact[1] != ends[bool(fact[2])]:
            return f"the mobile told its person how it went, and is in {fact[1]}"
    return "the number was made by another than the unit chose" if ("number by another",) in seen.facts else ""


# Of a move ---------------------------------------------------------------------------------------------------------

_COUNTED: Final = {"wrong", "generation"}
"""What an attempt at a secret may change."""


def _changed(before: ModuleRecord, after: ModuleRecord) -> set[str]:
    names = ModuleRecord.__dataclass_fields__
    return {name for name in names if getattr(before, name) != getattr(after, name)} - _COUNTED


def s1_what_operates_is_left_alone_until_a_reset(before: Seen, move: Move, after: Seen) -> str:
    """S1: no message, in whatever session, changes what the module operates with."""
    is_reset = move.kind == "people" and move.who == "module"
    if before.record.condition is ModuleCondition.OPERATING and not is_reset:
        changed = _changed(before.record, after.record)
        return f"{', '.join(sorted(changed))} of an operating module changed" if changed else ""
    return ""


def s10_what_is_replayed_changes_nothing(before: Seen, move: Move, after: Seen) -> str:
    """S10: a frame that is doubled, reordered, reflected or of another session accepts nothing and keeps nothing."""
    if move.kind != "inject":
        return ""
    if _changed(before.record, after.record) or before.issued != after.issued:
        return f"{move.text}, replayed, had an effect"
    return ""


def an_agreement_counts_once(before: Seen, move: Move, after: Seen) -> str:
    """Injective agreement: nothing is taken for done twice."""
    if move.kind == "people" or before.state.stores[0] == after.state.stores[0]:
        return ""
    old, new = before.record, after.record
    began = new.condition is ModuleCondition.OPERATING and old.condition is not ModuleCondition.OPERATING
    if began and any(fact[0] == "operated" and fact[2] == new.module for fact in before.facts):
        return "the module took the same certificate a second time"
    return ""


# Of the two ends of a link -----------------------------------------------------------------------------------------


def s13_both_ends_want_the_same(one: CheckedSession, other: CheckedSession) -> str:
    """S13: option, method, purpose and version of an open channel are what both sides pinned."""
    if one.records is None or other.records is None or one.records.channel != other.records.channel:
        return ""
    ours, theirs = one.handshake, other.handshake
    pinned = (ours.terms.option, ours.terms.method) == (theirs.terms.option, theirs.terms.method)
    told = ours.opened is not None and theirs.opened is not None and ours.opened.intent == theirs.opened.intent
    same = pinned and told and given(ours.opened).binding == given(theirs.opened).binding
    return "" if same else "the two ends of a channel do not agree on what it is"


# Of what a session does, in whichever state of the world --------------------------------------------------------------


def s9_no_secret_is_told(done: Done, before: dict[str, bytes]) -> str:
    """S9: in no frame, note, forwarded message or error."""
    told = repr(canonical((tuple(frame.content for frame in done.sent), done.notes, done.forwarded, done.error)))
    secrets = {**before, **done.store.vault.secrets()}
    for label, secret in secrets.items():
        if len(secret) >= 6 and (repr(secret)[2:-1] in told or secret.hex() in told):
            return f"{label!r} is told"
    return ""


def s6_what_is_signed_was_announced(done: Done, _: dict[str, bytes]) -> str:
    """S6: the entry in the log is durable before the signature is made."""
    return "a card signed before its log said so" if done.store.vault.early else ""


def what_a_step_tells_is_durable(done: Done, _: dict[str, bytes]) -> str:
    """L7, S8, S10: a step writes before it does or tells what a crash would not undo; timers aside."""
    told = ""
    for effect in done.order:
        match effect:
            case Show(StateEntered()):
                told = ""  # the next step begins
            case Persist() if told:
                return f"{told} comes before the write that it depends on"
            case StartTimer() | StopTimer() | Persist():
                pass
            case _:
                told = told or type(effect).__name__
    return ""


def what_a_desk_does_is_whole(done: Done, _: dict[str, bytes]) -> str:
    """L7, L12: it writes before it tells, leaves its party at rest, and a card's log says how each signature ended."""
    return done.store.vault.amiss


def a_session_that_is_over_is_at_an_end(done: Done, _: dict[str, bytes]) -> str:
    """Where a session ended, nothing could go on: the module is as its record says, others are in a last state."""
    session = done.last
    if session is None:
        return ""
    if session.party == MODULE.party:
        kept = resting_state(decode_record(ModuleRecord, given(done.store.vault.record), **RECORD_LIMITS))
        ends = kept.name == session.state.name
    else:
        ends = not session.accepted_by_party
    if not ends:
        return f"{session.party}: the session is over, in {session.state.name}"
    return f"{session.party}: the proof is over, in {session.proving}" if _ended_by_proof(done, session) else ""


def a_row_finds_what_it_needs(done: Done, _: dict[str, bytes]) -> str:
    """Whatever the other side says, a session does not end by an action that does not find what its row promised it."""
    error = None if done.last is None else done.last.error
    return str(error) if isinstance(error, TableError) else ""


def a_unit_is_where_it_says(done: Done, _: dict[str, bytes]) -> str:
    """Where a unit's session ended well, it said with what result; where it did not, the state does not say so."""
    session = done.last
    if session is None or session.party != UNIT.party:
        return ""
    told = {_RESULTS[type(note)] for note in done.notes if type(note) in _RESULTS}
    state = {session.state} & set(_RESULTS.values())
    return "" if told == state else f"the unit is in {session.state.name}, and told otherwise"


def _ended_by_proof(done: Done, session: CheckedSession) -> bool:
    """Whether the stage of proof ended the session, and is somewhere else than at its end."""
    entered = [each.note.party for each in done.order if isinstance(each, Show) and isinstance(each.note, StateEntered)]
    return bool(session.proving and session.accepted and session.proof_name in entered)


OF_THE_MODULE: Final[tuple[Callable[[ModuleRecord, CheckedVault], str], ...]] = (
    s2_operating_means_a_whole_chain_and_its_key,
    s3_after_a_reset_nothing_of_before_is_left,
)
"""In every kind of world, where the module is the first party."""
OF_A_STATE: Final[tuple[Callable[[Seen], str], ...]] = (
    s6_two_people_approved_each_certificate_and_each_approval_once,
    s11_only_a_key_that_the_module_made_is_certified,
    what_operates_came_from_one_bank,
    s12_one_certificate_counts_until_a_reset,
    a_unit_is_right_about_what_it_did,
    a_mobile_is_where_it_says,
)
OF_A_MOVE: Final[tuple[Callable[[Seen, Move, Seen], str], ...]] = (
    s1_what_operates_is_left_alone_until_a_reset,
    s10_what_is_replayed_changes_nothing,
    an_agreement_counts_once,
)
OF_A_SESSION: Final[tuple[Callable[[Done, dict[str, bytes]], str], ...]] = (
    s9_no_secret_is_told,
    s6_what_is_signed_was_announced,
    what_a_step_tells_is_durable,
    what_a_desk_does_is_whole,
    a_session_that_is_over_is_at_an_end,
    a_row_finds_what_it_needs,
    a_unit_is_where_it_says,
)
"""In every kind of world."""


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    return state.stores, state.facts, state.left[JOBS]
