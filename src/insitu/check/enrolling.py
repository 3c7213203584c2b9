"""The worlds in which card and central system enrol each other (L14): over a line, by people, and by people again.

The card's signing key gets into the registry over the line; what the central system asks for comes back, two people
approve it, the card certifies it, and the operator installs it. An intruder is at the line with whatever the
manufacturer certified for others; a thief at the desks proposes his own key, asks for what nobody approved and hands
over the certificate of another card. In some worlds he has a key of one of the two parties besides, which helps him to
no more than that party could: whoever has another unit of this card's, or the central system's own key.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache, partial
from typing import Final

from ..protocol.channel import proofs
from ..protocol.channel.trust import CardEnrolling, CentralEnrolling
from ..protocol.engine import Persist, PublicKey, Show, UsageError, given
from ..protocol.keys.certificates import Role, key_digest
from ..protocol.keys.public import compress
from ..protocol.keys.requests import draft_request, read_request
from ..protocol.messages import (
    RECORD_LIMITS,
    CardRecord,
    CardRole,
    Enroll,
    Enrolled,
    Job,
    Message,
    Purpose,
    TrustOption,
    decode_record,
)
from ..protocol.parties.card_enrolling import CARD_ENROLLING, CardEnrolled, CardEnrollingData, CardEnrollingState
from ..protocol.parties.card_record import log_of
from ..protocol.parties.central_enrolling import (
    CENTRAL_ENROLLING,
    CentralEnrollingData,
    CentralEnrollingState,
    Enrollment,
)
from ..protocol.ports import Ports
from ..protocol.progress import SessionEnded
from ..protocol.stores.card_log import Intent
from ..protocol.stores.registry import Issuer
from ..shell.central import KEY, Central
from ..shell.enrolling import ports_of_central
from .channel import CheckedSession, SymbolicHandshake
from .intruder import Intruder, Power, Sayings
from .memory import CheckedRegistry, CheckedVault, Repeated, fresh_pair
from .parties import Done, Party
from .scenario import CRASHES, Scenario
from .seen import SeenState
from .state import IDLE, NOBODY, Fact, Local, Move, Place, Slot, State
from .world import BANKS, PINS, Beginning, Loot, Store, approve, beginning, card_of, now

_CARD, _CENTRAL = range(2)
"""Which store is whose, and which place the first of whose."""
HOST: Final = "Host"
_ENTERED: Final[Fact] = ("entered",)
_OVER: Final[Fact] = ("over",)
_ZEROS: Final = bytes(32)


class Enrolling(IntEnum):
    """What may happen so many times, by its place in `State.left`."""

    CRASHES = CRASHES
    PROPOSED = 1
    """Somebody proposes at the card what the central system asked for."""
    OTHERS = 2
    """The thief proposes there that his own key be certified as the central system's."""
    FAILURES = 3
    """An operation of key memory fails."""


class Stolen(Enum):
    """Whose key the intruder has besides."""

    UNIT = "another unit of this card's"
    HOST = "the central system's key"


@dataclass(frozen=True)
class Certified:
    """A certificate left the card. `certificate`: DER."""

    certificate: bytes


@dataclass(frozen=True)
class Approved:
    """A person approved a job."""

    person: str
    job: bytes
    key: bytes


# Parties -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CardParty(Party):
    """The card of the first bank, which people told whose key the central system's is."""

    central: bytes

    def begin(self, store: Store, name: str) -> CheckedSession:
        """As `enrol` begins one."""
        card = card_of(store.vault)
        own = card.authentication
        terms = CardEnrolling.of(card.customer, card.unit, own, self.central, now=now())
        handshake = SymbolicHandshake(terms, name, purpose=Purpose.ENROLL)
        data = CardEnrollingData(own, card.customer.der)
        return CheckedSession(CARD_ENROLLING, CardEnrollingState.READY, data, handshake)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        return Ports(card_of(store.vault).keys)


@dataclass(frozen=True)
class CentralParty(Party):
    """The central system, whose operator was told which card is meant."""

    start: Beginning
    customer: bytes

    def program(self, store: Store) -> Central:
        """Of the central system with this store."""
        return Central(store.vault, given(store.registry), entropy=Repeated("central"), now=now, blocking=False)

    def begin(self, store: Store, name: str) -> CheckedSession:
        """As `admit` begins one."""
        central = self.program(store)
        central.check_root(self.start.root.der)
        own, key = central.record.name, central.key
        terms = CentralEnrolling.of(own, key, self.start.root, self.customer)
        handshake = SymbolicHandshake(terms, name, purposes=frozenset({Purpose.ENROLL}))
        data = CentralEnrollingData(own, key)
        return CheckedSession(CENTRAL_ENROLLING, CentralEnrollingState.LISTENING, data, handshake)

    def surroundings(self, store: Store, session: CheckedSession, forwarded: list[object]) -> Ports:
        """See Party."""
        return ports_of_central(self.program(store), self.start.root.der, lambda _: None, actor="operator")

    def leave(self, store: Store, session: CheckedSession) -> Store:
        """See Party."""
        store.vault.draw_as("rest")
        return store


class _Intruder(Intruder):
    """The intruder, as far as he is at an end at all: what he enrols, and what he asks for.

    In one thing he holds back: by another unit of this card's he could enrol the card, as people meant to.
    """

    def sayings(self, victim: CheckedSession, known: frozenset[Message]) -> Sayings:
        """See Intruder."""
        yield from super().sayings(victim, known)
        opened = victim.handshake.opened
        loot = next((each for each in self.loot if opened and each.key.public == opened.peer.public), None)
        if opened is None or loot is None:
            return
        if Enroll in victim.accepted:
            data, (_, customer) = victim.data, opened.peer.chain
            if loot.name != Stolen.UNIT.value:
                statement = proofs.enrollment(opened.binding, customer.der, data.key.public)
                yield "as whose unit it is", Enroll(loot.vault.sign(loot.key, statement))
            for text, statement in (
                ("proved for another channel", proofs.enrollment(_ZEROS, customer.der, data.key.public)),
                ("meant for his own central system", proofs.enrollment(opened.binding, customer.der, loot.key.public)),
                ("of another card", proofs.enrollment(opened.binding, loot.certificates[0], data.key.public)),
            ):
                yield text, Enroll(loot.vault.sign(loot.key, statement))
        if Enrolled in victim.accepted:
            yield "no request", Enrolled(b"nothing")
            yield "for his own key", Enrolled(_request(self.own, opened.peer.name))
            yield "under another name", Enrolled(_request(loot, f"{opened.peer.name} two"))
            yield "as it may", Enrolled(_request(loot, opened.peer.name))


def _request(loot: Loot, name: str) -> bytes:
    draft = draft_request(name, loot.key.public)
    return draft.assemble(loot.vault.sign(loot.key, draft.to_be_signed))


@lru_cache(maxsize=1)
def _another_unit() -> tuple[CheckedVault, Loot]:
    """The first bank's card, and another unit, which two people had it certify before that was stolen."""
    card = beginning(TrustOption.CERTIFICATES).units[BANKS[0]].vault.fork()
    vault, key = fresh_pair("another unit")
    program = card_of(card)
    unit = program.certify(approve(program, CardRole.UNIT, "another unit", key.public), key.public)
    card.restart()
    return card, Loot(Stolen.UNIT.value, vault, key, (unit, program.customer.der))


# The world ---------------------------------------------------------------------------------------------------------


class MutualEnrolling(Scenario):
    """A card and its central system, which do not know each other yet.

    Args:
        budget: what may happen, how often; what is not named does not.
        runs: sessions of the card, and on each line of the central system.
        stolen: whose keys the intruder has besides.

    """

    def __init__(
        self,
        budget: Mapping[Enrolling, int],
        *,
        runs: tuple[int, int, int] = (2, 2, 0),
        stolen: frozenset[Stolen] = frozenset(),
    ) -> None:
        start = beginning(TrustOption.CERTIFICATES)
        card, another = _another_unit()
        self._card = card.fork()
        self.host: PublicKey = given(start.host.find(KEY)).public
        self.stolen = stolen
        intruder = _Intruder(start, TrustOption.CERTIFICATES, frozenset({Power.RIVAL}))
        if Stolen.UNIT in stolen:
            intruder.loot.append(another)
        if Stolen.HOST in stolen:
            intruder.loot.append(Loot(Stolen.HOST.value, start.host.fork(), given(start.host.find(KEY))))
        reader = CentralParty(start, card_of(self._card).customer.fingerprint)
        places = (
            Place("card", CardParty(key_digest(self.host)), _CARD, runs[0], calls=True),
            Place("central, line 1", reader, _CENTRAL, runs[1]),
            Place("central, line 2", reader, _CENTRAL, runs[2]),
        )
        super().__init__(start, places, intruder, (Purpose.ENROLL, Purpose.SYNC), failures=Enrolling.FAILURES)
        self.budget = budget
        self._reader = reader
        self._words: dict[bytes, bytes] = {}
        self._before = len(asked_of(given(self._card.record)))

    def initial(self) -> State:
        """See Scenario."""
        central = Store(self.start.host.fork(), registry=CheckedRegistry())
        return self.beginning(
            (Store(self._card.fork()), central), tuple(self.budget.get(each, 0) for each in Enrolling)
        )

    def facts_of(self, place: int, note: object) -> Iterator[Fact]:
        """See Scenario."""
        match note:
            case Enroll(proof):
                yield "said", proof
            case CardEnrolled(_, request):
                yield "asked", request
            case Persist(Enrollment()):
                yield _ENTERED
            case SessionEnded():
                yield _OVER
            case Certified(certificate):
                yield "certified", certificate
            case Approved(person, job, key):
                yield "approved", person, job, key

    def central(self, state: State) -> Central:
        """The program of the central system, which is only looked at."""
        return self._reader.program(self.stores[state.stores[_CENTRAL]].fork())

    def issuers(self, state: State) -> tuple[Issuer, ...]:
        """In the registry."""
        return tuple(given(self.stores[state.stores[_CENTRAL]].registry).issuers())

    def issued(self, state: State) -> tuple[tuple[bytes, tuple[str, ...], bytes], ...]:
        """For central systems since the beginning, as the card's log has it: job, approvers, what was signed."""
        return asked_of(given(self.stores[state.stores[_CARD]].vault.record))[self._before :]

    def consequences(self, before: State, after: State, place: int, local: Local) -> State:
        """See Scenario: what the card must have said in a channel by which something was entered; ends that are untrue.

        How a session ended is looked at here, and is no part of the state.
        """
        passing = {_ENTERED, _OVER}.intersection(local.facts) if local.facts else ()
        if not passing:
            return after
        lasting = [fact for fact in local.facts if fact not in passing]
        session = local.done.last or self.ends[before.slots[place].end].session
        opened = session.handshake.opened
        word = None if opened is None else self._word(opened.binding)
        if _ENTERED in passing:
            lasting.append(("needed", word))
        said = ("said", word) in self.facts[before.facts]
        true = {
            CardEnrollingState.ENROLLED.name: _ENTERED in passing or any(fact[0] == "asked" for fact in lasting),
            CardEnrollingState.UNCONFIRMED.name: said,
            CardEnrollingState.FAILED.name: _ENTERED not in passing and not (place == _CARD and said),
        }
        if _OVER in passing and not true.get(session.state.name, False):
            lasting.append(("untrue", self.places[place].name, session.state.name))
        return after._replace(facts=self.happened(before.facts, tuple(lasting)))

    def _word(self, binding: bytes) -> bytes:
        """What the card's authentication key signs in this channel, if it is meant: always the same."""
        if binding not in self._words:
            vault = self._card.fork()
            card = card_of(vault)
            statement = proofs.enrollment(binding, card.customer.der, self.host)
            self._words[binding] = vault.sign(card.authentication, statement)
        return self._words[binding]

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario: people and a thief at the desks of card and central system."""
        for place, step, who, text, key, do in self._possible(state):
            if step is not None and not state.left[step]:
                continue
            begun = state if step is None else self.less(state, step)
            after = self.people(begun, place, key, do)
            if after is not None and after != begun:
                yield Move("people", self.places[place].name, who, text), after
            for partly in self.cut_short(begun, place, key, do):
                yield Move("crash", self.places[place].name, who, f"within: {text}"), partly

    def _possible(self, state: State) -> Iterator[tuple[int, Enrolling | None, str, str, Hashable, _Do]]:
        facts = sorted(self.facts[state.facts], key=repr)
        asked = [fact[1] for fact in facts if fact[0] == "asked" and isinstance(fact[1], bytes)]
        if state.slots[_CARD].end == IDLE:
            thief = self.intruder.own.key.public
            for request in asked:
                what = "propose", request
                yield _CARD, Enrolling.PROPOSED, "person", "somebody proposes it", what, partial(_propose, request)
            propose: _Do = partial(_propose_key, HOST, thief)
            yield _CARD, Enrolling.OTHERS, "thief", "he proposes his own key", "others", propose
            wanted = {compress(_read_request(request).public) for request in asked}
            for job in _jobs(given(self.stores[state.stores[_CARD]].vault.record)):
                for person in sorted(PINS.keys() - set(job.approvals)) if job.public_key in wanted else ():
                    do: _Do = partial(_approves, person, job.number, given(job.public_key))
                    yield _CARD, None, "person", f"{person} approves it", (person, job.number), do
                for name, public in (("it", self.host), ("his own key", thief)):
                    do = partial(_certify, job.number, public)
                    yield _CARD, None, "thief", f"he has {name} certified", ("certify", job.number, public), do
        if all(slot.end == IDLE for slot in state.slots[_CENTRAL:]):
            made = [fact[1] for fact in facts if fact[0] == "certified" and isinstance(fact[1], bytes)]
            by_others = self.start.central["foreign"], self.start.central[BANKS[1]]
            for who, certificates in (("person", made), ("thief", by_others)):
                for certificate in certificates:
                    text = "it is handed the certificate" if who == "person" else "it is handed another card's"
                    yield _CENTRAL, None, who, text, ("install", certificate), partial(_install, certificate)

    # Liveness

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario: they meet once more, people see to what is asked for, and the central system is certified."""
        joined = self.joined(state._replace(slots=tuple(Slot(IDLE, NOBODY, (), (), 1) for _ in state.slots)), 1)
        end = "card and central system cannot meet any more" if joined is None else settle(joined)
        if isinstance(end, str):
            return end
        if [issuer.fingerprint for issuer in self.issuers(end)] != [self._reader.customer]:
            return "the card's signing key does not get into the registry"
        asked = [fact[1] for fact in self.facts[end.facts] - self.facts[state.facts] if fact[0] == "asked"]
        asked = asked or [fact[1] for fact in self.facts[end.facts] if fact[0] == "asked"]
        requests = [each for each in asked if isinstance(each, bytes) and _read_request(each).subject == HOST]
        if not requests:
            return "the card does not learn what the central system asks for"
        return "" if self._certified(end, requests[0]) else "the central system does not get its certificate"

    def _certified(self, state: State, request: bytes) -> bool:
        """Whether people can have it certified and install that."""
        if self.central(state).record.certificate is not None:
            return True
        with_job = self.people(state, _CARD, ("propose", request), partial(_propose, request))
        after: State | None = with_job or state
        key = compress(_read_request(request).public)
        jobs = _jobs(given(self.stores[given(after).stores[_CARD]].vault.record))
        job = next((each for each in jobs if each.public_key == key and each.subject == HOST), None)
        for person in sorted(PINS.keys() - set(job.approvals)) if job else ():
            do: _Do = partial(_approves, person, given(job).number, key)
            after = after and self.people(after, _CARD, (person, given(job).number), do)
        if job is not None and after is not None:
            do = partial(_certify, job.number, self.host)
            after = self.people(after, _CARD, ("certify", job.number, self.host), do)
        made = [] if after is None else [fact[1] for fact in self.facts[after.facts] if fact[0] == "certified"]
        for certificate in made:
            assert after is not None  # noqa: S101 - there is none otherwise
            assert isinstance(certificate, bytes)  # noqa: S101 - see facts_of
            if self.people(after, _CENTRAL, ("install", certificate), partial(_install, certificate)):
                return True
        return False


_Do = Callable[[Party, Store], Done]


def _at_card(store: Store, *notes: object) -> Done:
    store.vault.restart()
    return Done(None, store, notes=notes, order=tuple(map(Show, notes)))


def _propose(request: bytes, party: Party, store: Store) -> Done:
    read = _read_request(request)
    return _propose_key(read.subject, read.public, party, store)


def _propose_key(subject: str, public: PublicKey, _: Party, store: Store) -> Done:
    card_of(store.vault).propose(CardRole.CENTRAL, subject, public=public)
    return _at_card(store)


def _approves(person: str, job: bytes, key: bytes, _: Party, store: Store) -> Done:
    card = card_of(store.vault)
    card.approve(card.job(job), person, PINS[person])
    return _at_card(store, Approved(person, job, key))


def _certify(job: bytes, public: PublicKey, _: Party, store: Store) -> Done:
    """Whoever has the card's computer may ask for that."""
    return _at_card(store, Certified(card_of(store.vault).certify(job, public)))


def _install(certificate: bytes, party: Party, store: Store) -> Done:
    if not isinstance(party, CentralParty):
        raise UsageError("not a central system", who="check")
    party.program(store).install(certificate)
    store.vault.draw_as("rest")
    return Done(None, store)


@lru_cache(maxsize=4096)
def _jobs(record: bytes) -> tuple[Job, ...]:
    """The jobs that are open at a card, for central systems."""
    jobs = decode_record(CardRecord, record, **RECORD_LIMITS).jobs
    return tuple(job for job in jobs if job.role is CardRole.CENTRAL)


_read_request: Final = lru_cache(maxsize=64)(read_request)
"""Of the same few requests."""


@lru_cache(maxsize=4096)
def asked_of(record: bytes) -> tuple[tuple[bytes, tuple[str, ...], bytes], ...]:
    """What a card has signed for central systems, or was about to: job, approvers, what was signed."""
    log = [entry.what for entry in log_of(decode_record(CardRecord, record, **RECORD_LIMITS))]
    mine = (what for what in log if isinstance(what, Intent) and what.role == Role.CENTRAL.value)
    return tuple((what.job, what.approvers, what.to_be_signed) for what in mine)


# What must hold --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeenEnrolling(SeenState):
    """A state, for the invariants."""

    scenario: MutualEnrolling

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        """In the registry."""
        return self.scenario.issuers(self.state)


def l14_only_the_card_that_was_meant_is_entered(seen: SeenEnrolling) -> str:
    """L14, S11: by certificate and seal, so that the central system itself goes by it."""
    if not seen.issuers:
        return ""
    meant = card_of(seen.scenario.start.units[BANKS[0]].vault.fork()).customer
    if [issuer.certificate for issuer in seen.issuers] != [meant.der]:
        return "a signing key is entered that nobody was told of"
    trusted = [each.der for each in seen.scenario.central(seen.state).issuers()]
    return "" if trusted == [meant.der] else "what was entered the central system does not know again"


def l14_the_card_said_so_in_that_channel(seen: SeenEnrolling) -> str:
    """L14, S10: its authentication key signed that this signing key is meant, for this channel and central system."""
    said = {fact[1] for fact in seen.facts if fact[0] == "said"}
    needed = {fact[1] for fact in seen.facts if fact[0] == "needed"}
    return "a signing key is entered without its card's word for it" if needed - said else ""


def l14_who_is_told_that_it_is_enrolled_is(seen: SeenEnrolling) -> str:
    """L14: what the card tells is so, as long as nobody else has the central system's key."""
    told = any(fact[0] == "asked" for fact in seen.facts) and Stolen.HOST not in seen.scenario.stolen
    return "the card tells that it is enrolled, and it is not" if told and not seen.issuers else ""


def l14_a_side_is_where_it_says(seen: SeenEnrolling) -> str:
    """L14: FAILED says that nothing was entered, UNCONFIRMED that it may have been, ENROLLED that it was."""
    return seen.untrue_end


def l14_people_are_asked_for_the_key_that_was_meant(seen: SeenEnrolling) -> str:
    """L14: whoever is at the line, they are asked to have that key certified that they were told of, and no other."""
    asked = [fact[1] for fact in seen.facts if fact[0] == "asked"]
    for request in asked:
        if not isinstance(request, bytes) or _read_request(request).public != seen.scenario.host:
            return "people are asked to have another key certified"
    return ""


def s6_two_people_approved_each_certificate_for_a_central_system(seen: SeenEnrolling) -> str:
    """S6, L13: as the log has it and as they did it; for the key that they meant, once for each job."""
    approved = {fact[1:] for fact in seen.facts if fact[0] == "approved"}
    issued = seen.scenario.issued(seen.state)
    for job, approvers, signed in issued:
        if len({person for person in approvers if (person, job, compress(seen.scenario.host)) in approved}) < 2:
            return "a certificate for a central system that two people did not approve"
        if seen.scenario.host.data not in signed:
            return "a certificate for another key than people approved"
    return "two certificates for one approved job" if len({job for job, *_ in issued}) < len(issued) else ""


def l14_what_is_installed_the_card_made(seen: SeenEnrolling) -> str:
    """L14, L9: the central system shows no other certificate than one of the card's that it trusts, for its own key."""
    installed = seen.scenario.central(seen.state).record.certificate
    made = {fact[1] for fact in seen.facts if fact[0] == "certified"}
    return "a certificate is installed that the card did not make" if installed and installed not in made else ""


def l14_what_was_entered_stays(before: SeenEnrolling, move: Move, after: SeenEnrolling) -> str:
    """L14: the same card again, a cut or a crash changes nothing of it."""
    return "what was entered has changed" if before.issuers and after.issuers != before.issuers else ""


OF_A_STATE: Final = (
    l14_only_the_card_that_was_meant_is_entered,
    l14_the_card_said_so_in_that_channel,
    l14_who_is_told_that_it_is_enrolled_is,
    l14_a_side_is_where_it_says,
    l14_people_are_asked_for_the_key_that_was_meant,
    s6_two_people_approved_each_certificate_for_a_central_system,
    l14_what_is_installed_the_card_made,
)
OF_A_MOVE: Final = (l14_what_was_entered_stays,)


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    return state.stores, state.facts
