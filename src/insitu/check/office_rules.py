"""What must hold at the desks of a card and of a manufacturer, in the worlds of office.py.

Most of it is looked at in each answer of a desk: what was there before, what was asked, what is there afterwards. That
is counted anew from the records and the entries of the log; the tables' own guards are not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from ..protocol.engine import given
from ..protocol.keys.certificates import Role, trusted_root, verify_circular, verify_issued
from ..protocol.keys.profile import SERIAL_NUMBER_BYTES
from ..protocol.keys.requests import read_request
from ..protocol.keys.revocation import read_crl
from ..protocol.messages import CardRecord, CardRole, ManufacturerRecord, Person
from ..protocol.parties.card_data import (
    SIGNING,
    AnyJob,
    Approve,
    CertificateWanted,
    Certified,
    ListWanted,
    PinRefused,
    StandingWanted,
    StandingWithdrawn,
    TicketDeclined,
    TicketPresented,
    TicketsWanted,
    TicketTaken,
)
from ..protocol.parties.card_people_data import ApprovalsOutlived, HalvesTaken, PeopleWanted, PinChanged
from ..protocol.parties.card_record import all_jobs, digest_of, log_of
from ..protocol.stores.card_log import (
    Intent,
    ListIntent,
    PeopleChanged,
    StandingBegun,
    StandingEnded,
    TicketsOrdered,
    TicketUsed,
)
from .memory import CheckedVault
from .office import CARD, Asked, Office, books_of, knows, record_of
from .parties import Done
from .seen import SeenState
from .state import State

LOCKED: Final = 5
"""Wrong PINs in a row (L13)."""
_BY_TOKEN: Final = ("unlock", "reset")
"""What the log calls it where the token itself says that both people are there."""
Wants = CertificateWanted, ListWanted, StandingWanted, TicketsWanted, PeopleWanted
"""What takes two people."""


@dataclass(frozen=True)
class Answer:
    """What a desk of a card did with what it was asked. `before`, `after`: what it kept; None: it was blank."""

    asked: Asked
    before: CardRecord | None
    after: CardRecord | None
    vault: CheckedVault

    @property
    def event(self) -> object:
        """What was asked."""
        return self.asked.order.event

    @property
    def people(self) -> Iterator[tuple[Person, Person]]:
        """Those who were there and are there, as they were and as they are."""
        if self.before is not None and self.after is not None:
            after = {each.name: each for each in self.after.people}
            yield from ((each, after[each.name]) for each in self.before.people if each.name in after)

    @property
    def who(self) -> Person | None:
        """Whose PIN was said, if that person is there."""
        if self.before is None or not isinstance(self.event, (Approve, PinChanged)):
            return None
        name = self.event.person
        return next((each for each in self.before.people if each.name == name), None)

    @property
    def is_right(self) -> bool:
        """Whether the PIN that was said is the right one, and counts."""
        event = self.event
        assert isinstance(event, (Approve, PinChanged))  # noqa: S101 - asked of those only
        who = self.who
        return who is not None and who.failures < LOCKED and knows(given(self.before), who.name, event.pin)


def _of_a_card(done: Done) -> Answer | None:
    asked = _asked(done)
    if asked is None or asked.order.place != CARD:
        return None
    return Answer(asked, record_of(asked.before), record_of(done.store.vault.record), done.store.vault)


def _asked(done: Done) -> Asked | None:
    return next((note for note in done.notes if isinstance(note, Asked)), None)


def _jobs(record: CardRecord | None) -> dict[bytes, AnyJob]:
    every: tuple[AnyJob, ...] = () if record is None else all_jobs(record)
    return {each.number: each for each in every}


# Of each answer ----------------------------------------------------------------------------------------------------


def what_must_not_be_is_refused(done: Done, _: Mapping[str, bytes]) -> str:
    """L13, L6, S5, S6, A4: a desk refuses what is wrong as things stand, whoever asks."""
    asked = _asked(done)
    if asked is None or not asked.order.wrong or asked.refused:
        return ""
    return f"{asked.order.text}: admitted, though {asked.order.wrong}"


def what_is_refused_leaves_no_trace(done: Done, _: Mapping[str, bytes]) -> str:
    """L7: a desk that refuses leaves what is durable as it was; it says why, and blames no key memory that works."""
    asked = _asked(done)
    if asked is None or not asked.refused:
        return ""
    if asked.is_fault:
        return "" if asked.fails else f"{asked.order.text}: refused as if key memory had failed: {asked.refused}"
    vault = done.store.vault
    is_same = (vault.record, vault.durable) == (asked.before, asked.durable)
    return "" if is_same else f"{asked.order.text}: refused, and something has changed"


def l13_an_approval_is_given_by_who_knows_the_pin(done: Done, _: Mapping[str, bytes]) -> str:
    """L13: for exactly what the person was shown, in time, by the right PIN, each once, two at most."""
    answer = _of_a_card(done)
    if answer is None:
        return ""
    before, event = _jobs(answer.before), answer.event
    for number, job in _jobs(answer.after).items():
        known = before.get(number)
        gained = (
            list(job.approvals) if known is None else [each for each in job.approvals if each not in known.approvals]
        )
        if not gained and len(set(job.approvals)) == len(job.approvals):
            continue
        is_so = (
            isinstance(event, Approve)
            and known is not None
            and gained == [event.person]
            and event.digest == digest_of(replace(known, approvals=()))
            and event.at <= known.expires
            and answer.is_right
        )
        if not is_so:
            return f"an approval of {' and '.join(gained)} that nobody gave like that"
    return ""


def l13_a_wrong_pin_is_counted(done: Done, _: Mapping[str, bytes]) -> str:
    """L13: each is, before anybody is told, and no right one; five in a row lock; nothing else forgives them."""
    answer = _of_a_card(done)
    if answer is None:
        return ""
    event, who = answer.event, answer.who
    is_counted = any(isinstance(note, PinRefused) for note in answer.asked.notes)
    for person, after in answer.people:
        if isinstance(event, (PeopleWanted, HalvesTaken)) and (answer.asked.is_fault or not answer.asked.refused):
            continue  # also without a signed head of the log
        said = person is who and isinstance(event, (Approve, PinChanged)) and not answer.asked.refused
        expected = person.failures if not said else 0 if answer.is_right else person.failures + 1
        if after.failures != expected or expected > LOCKED:
            return f"{after.failures} wrong PINs of {person.name}, and it ought to be {expected}"
        if said and is_counted is answer.is_right:
            return "a wrong PIN is told, and the right one was said, or the other way round"
    return "a wrong PIN that nobody counts" if _is_uncounted(answer) else ""


def _is_uncounted(answer: Answer) -> bool:
    """Whether a wrong PIN was refused of somebody who may try: for an open job, as it was shown."""
    event, who = answer.event, answer.who
    if not isinstance(event, Approve) or not answer.asked.refused or who is None or who.failures >= LOCKED:
        return False
    job = _jobs(answer.before).get(event.number)
    if job is None or answer.is_right or len(job.approvals) > 1 or who.name in job.approvals:
        return False
    return event.at <= job.expires and event.digest == digest_of(replace(job, approvals=()))


def l13_nothing_that_takes_two_is_done_by_one(done: Done, _: Mapping[str, bytes]) -> str:
    """L13, S6: two different people approved exactly that, in time; for the key that they were shown."""
    answer = _of_a_card(done)
    if answer is None or answer.asked.refused or not isinstance(answer.event, Wants):
        return ""
    job = _jobs(answer.before).get(answer.event.number)
    if job is None or len(set(job.approvals)) < 2 or answer.event.at > job.expires:
        return f"{answer.asked.order.text}: done, and two people did not agree to it in time"
    if job.number in _jobs(answer.after):
        return f"{answer.asked.order.text}: done, and the approvals are still there"
    if isinstance(answer.event, CertificateWanted):
        return _of_another(answer, answer.event)
    return ""


def _of_another(answer: Answer, event: CertificateWanted) -> str:
    note = next((each for each in answer.asked.notes if isinstance(each, Certified)), None)
    if note is None:
        return "a certificate was made, and nobody has it"
    role = {CardRole.MODULE: Role.MODULE, CardRole.UNIT: Role.UNIT, CardRole.CENTRAL: Role.CENTRAL}[note.job.role]
    record = given(answer.after)
    customer = verify_issued(given(record.customer), trusted_root(given(record.root)), Role.CUSTOMER, now=None)
    made = verify_issued(note.certificate, customer, role, now=None, subject=note.job.subject)
    return "" if made.public == event.public else "a certificate for another key"


def l13_people_change_by_two_or_each_his_own_pin(done: Done, _: Mapping[str, bytes]) -> str:
    """L13: who may approve, and by which PIN; after a change two can, whose names differ when they are said aloud."""
    answer = _of_a_card(done)
    if answer is None or answer.after is None:
        return ""
    spoken = {"".join(filter(str.isalnum, each.name)).lower() for each in answer.after.people}
    if len(spoken) < max(2, len(answer.after.people)):
        return "people whose names sound alike, or too few"
    if answer.after.signing is not None and (len(spoken) != 2 or answer.after.policy is not None):
        return "a token's PIN that not two people hold, or consent without them"
    if answer.before is None:
        return ""
    was, now = (
        {each.name: (each.salt, each.verifier) for each in record.people} for record in (answer.before, answer.after)
    )
    if was == now:
        return ""
    if isinstance(answer.event, PinChanged):
        other = {name: kept for name, kept in now.items() if name != answer.event.person}
        is_own = answer.is_right and other.items() <= was.items() and was.keys() == now.keys()
        return "" if is_own else "a PIN was changed by who does not know it"
    if not isinstance(answer.event, (PeopleWanted, HalvesTaken)):
        return "people changed, and nobody wanted that"
    able = sum(each.failures < LOCKED for each in answer.after.people)
    return "" if able >= 2 else "a change left one who can approve"


def l13_what_is_withdrawn_counts_no_more(done: Done, _: Mapping[str, bytes]) -> str:
    """L13: one is enough to stop something, and a session with a token outlives no approval."""
    answer = _of_a_card(done)
    if answer is None or answer.asked.refused:
        return ""
    if isinstance(answer.event, ApprovalsOutlived):
        return "approvals outlived a session" if any(job.approvals for job in _jobs(answer.after).values()) else ""
    if isinstance(answer.event, StandingWithdrawn):
        number = answer.event.number
        if number in _jobs(answer.after) or number in _standing(given(answer.after)):
            return "a standing approval that was withdrawn is still there"
    return ""


def _standing(record: CardRecord) -> set[bytes]:
    found = set[bytes]()
    for entry in log_of(record):
        match entry.what:
            case StandingBegun(job=number):
                found.add(number)
            case StandingEnded(number):
                found.discard(number)
            case _:
                pass
    return found


def a4_a_ticket_is_one_modules(done: Done, _: Mapping[str, bytes]) -> str:
    """A4: whose it is the log says from the first time on; a wrong one is turned down, and nothing used up for it."""
    answer = _of_a_card(done)
    if answer is None or not isinstance(answer.event, TicketPresented) or answer.asked.refused:
        return ""
    claim, before, after = answer.event.claim, _used(answer.before), _used(answer.after)
    genuine = claim.mac != bytes(len(claim.mac))
    taken = next((each for each in answer.asked.notes if isinstance(each, TicketTaken)), None)
    if taken is None:
        declined = any(isinstance(each, TicketDeclined) for each in answer.asked.notes)
        return "" if not genuine and declined and before == after else "a good ticket is turned down"
    if not genuine or taken.anew == (claim.number in before):
        return "a wrong ticket is taken, or a used one as a new one"
    return "" if after.get(claim.number) == claim.serial else "a ticket is taken, and the log says that it is another's"


def _used(record: CardRecord | None) -> dict[int, str]:
    return {
        entry.what.ticket: entry.what.serial for entry in log_of(given(record)) if isinstance(entry.what, TicketUsed)
    }


OF_AN_ANSWER: Final[tuple[Callable[[Done, Mapping[str, bytes]], str], ...]] = (
    what_must_not_be_is_refused,
    what_is_refused_leaves_no_trace,
    l13_an_approval_is_given_by_who_knows_the_pin,
    l13_a_wrong_pin_is_counted,
    l13_nothing_that_takes_two_is_done_by_one,
    l13_people_change_by_two_or_each_his_own_pin,
    l13_what_is_withdrawn_counts_no_more,
    a4_a_ticket_is_one_modules,
)


# Of a state --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeenAtDesks(SeenState):
    """A state, for the invariants."""

    scenario: Office

    @property
    def card(self) -> CheckedVault:
        """Of the card."""
        return self.scenario.desks(self.state).card

    @property
    def record(self) -> CardRecord | None:
        """What the card keeps."""
        return record_of(self.card.record)

    @property
    def books(self) -> ManufacturerRecord | None:
        """The manufacturer's."""
        return books_of(self.scenario.desks(self.state).maker.record)


def l6_a_card_is_certified_for_its_own_key(seen: SeenAtDesks) -> str:
    """L6, L12: root or central system stand behind name and signing key of this card, and its keys are there."""
    record = seen.record
    if record is None:
        return f"a blank card holds {', '.join(sorted(seen.card.durable))}" if seen.card.durable else ""
    signing = given(seen.card.find(SIGNING)).public
    return "" if record.customer is None else _certified(record, signing.data)


@lru_cache(maxsize=1024)
def _certified(record: CardRecord, signing: bytes) -> str:
    certificate = given(record.customer)
    if record.central is not None:
        central = read_request(record.central)
        customer = verify_circular(certificate, central.subject, central.public, subject=record.name)
    else:
        customer = verify_issued(
            certificate, trusted_root(given(record.root)), Role.CUSTOMER, now=None, subject=record.name
        )
    return "" if customer.public.data == signing else "a card is certified for another's key"


def s6_what_is_in_the_log_two_people_approved(seen: SeenAtDesks) -> str:
    """S6, L13: by what people did, also where the power failed: each entry that takes consent has that of two, once."""
    if seen.record is None:
        return ""
    first = seen.scenario.first
    given_by = {(fact[1], fact[2]) for fact in seen.facts if fact[0] == "approves"}
    jobs: list[bytes] = []
    for entry in log_of(seen.record):
        what = entry.what
        if not isinstance(what, (Intent, ListIntent, TicketsOrdered, StandingBegun, PeopleChanged)):
            continue
        jobs.append(what.job)
        by_token = isinstance(what, PeopleChanged) and seen.record.signing and what.change in _BY_TOKEN
        if entry.line in first or by_token:
            continue
        if len(set(what.approvers)) < 2 or any((each, what.job) not in given_by for each in what.approvers):
            return f"{what.kind} in the log to which two people did not agree"
    return "" if len(set(jobs)) == len(jobs) else "an approval was used twice"


def s5_a_list_has_all_that_is_revoked_and_none_is_older(seen: SeenAtDesks) -> str:
    """S5: the card's and the manufacturer's: numbers that go up, all that was revoked, signed by who makes it."""
    books = seen.books
    if books is not None and books.crl is not None:
        listed = read_crl(books.crl, trusted_root(books.root))
        if listed.number != books.lists or not _in(listed.revoked) <= {each.number for each in books.revoked}:
            return "the manufacturer's list is another one than its books say"
    record = seen.record
    if record is not None and record.crl is not None and record.root is not None:
        customer = verify_issued(given(record.customer), trusted_root(record.root), Role.CUSTOMER, now=None)
        listed = read_crl(record.crl, customer)
        intents = [entry.what for entry in log_of(record) if isinstance(entry.what, ListIntent)]
        signed = intents[: listed.number]
        if _in(listed.revoked) != {number for each in signed for number in each.added}:
            return "the card's list is another one than its log says"
        added = [number for each in intents for number in each.added]
        if len(set(added)) != len(added):
            return "a certificate was revoked twice"
    return ""


def _in(revoked: Mapping[int, int]) -> set[bytes]:
    return {number.to_bytes(SERIAL_NUMBER_BYTES, "big") for number in revoked}


def l1_the_books_have_everything_once(seen: SeenAtDesks) -> str:
    """L1, A4, S5: each module under a number of its own, each order of tickets once, revoked what is ours, once."""
    books = seen.books
    if books is None:
        return ""
    subjects = [booked.subject for booked in books.identities]
    ours = {booked.number for booked in (*books.identities, *books.customers)}
    revoked = [each.number for each in books.revoked]
    once = all(len(set(each)) == len(each) for each in (subjects, books.orders, revoked, books.tickets))
    return "" if once and ours.issuperset(revoked) else "the books have something twice, or what is not theirs"


def s5_a_card_keeps_the_newest_list_that_it_was_given(before: SeenAtDesks, move: object, after: SeenAtDesks) -> str:
    """S5: of those of the manufacturer, in whichever order they come, and whatever is cut short."""
    was, now = before.record, after.record
    if was is None or now is None or now.root is None:
        return ""
    root = trusted_root(now.root)
    if was.heard is not None and (
        now.heard is None or read_crl(now.heard, root).number < read_crl(was.heard, root).number
    ):
        return "an older list of the manufacturer's took the place of a newer"
    return ""


def what_is_in_the_log_stays(before: SeenAtDesks, move: object, after: SeenAtDesks) -> str:
    """L12: a card's log only grows."""
    was, now = before.record, after.record
    if was is None:
        return ""
    return "" if now is not None and now.log[: len(was.log)] == was.log else "an entry of the log is gone"


OF_A_STATE: Final = (
    l6_a_card_is_certified_for_its_own_key,
    s6_what_is_in_the_log_two_people_approved,
    s5_a_list_has_all_that_is_revoked_and_none_is_older,
    l1_the_books_have_everything_once,
)
OF_A_MOVE: Final = (s5_a_card_keeps_the_newest_list_that_it_was_given, what_is_in_the_log_stays)


def depends(state: State) -> Hashable:
    """What of a state these look at."""
    return state.stores, state.facts
