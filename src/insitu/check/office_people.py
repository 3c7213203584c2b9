"""What is asked of a card's desk: to take it into use, to change its people, and where its signing key is in a token.

Part of the worlds of office.py: the businesses in which no certificate for others and no list is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from ..protocol.engine import KeyHandle, given
from ..protocol.keys.certificates import draft_circular
from ..protocol.keys.requests import draft_request
from ..protocol.messages import CardRecord, PeopleChange, PeopleJob, Person
from ..protocol.parties.card_data import (
    MAX_FAILURES,
    SIGNING,
    Approve,
    CircleClosed,
    CustomerCertified,
    Furnish,
)
from ..protocol.parties.card_people_data import (
    ApprovalsOutlived,
    ApprovalWithdrawn,
    HalvesTaken,
    PeopleProposed,
    PeopleWanted,
    PinChanged,
)
from ..protocol.parties.card_record import digest_of, job_of
from .memory import CheckedVault, fresh_pair
from .office import NEW_PINS, Asking, Desks, Order, approvals, knows, numbered, person, pin_of
from .world import BANKS, DAY, NOW, PINS, POLICY, Beginning, Maker, card_of

NAME: Final = BANKS[0]
SIGNER: Final = "pkcs11:token=signing"
"""Where the signing key is, where it is not with the record."""
HOST: Final = "Host"
_WRONG_PIN: Final = b"0000-wrong"
LATE: Final = NOW + 2 * DAY
"""When every job is out of date."""
_BOTH: Final = tuple(person(name, pin) for name, pin in PINS.items())
_CAROL: Final = person("carol", NEW_PINS["carol"])
_GUESSED: Final = PinChanged("bob", _WRONG_PIN, person("bob", NEW_PINS["bob"]))


def furnished(name: str, people: tuple[Person, ...], signing: str | None = None) -> CheckedVault:
    """A card that people have taken into use, and that waits for its certificate."""
    vault = CheckedVault(f"card of {name} at the desk")
    card_of(vault).ask(Furnish(name, people, None if signing else POLICY, signing))
    vault.restart()
    return vault


@lru_cache(maxsize=1)
def _another() -> CheckedVault:
    """A card that is not ours, and waits under any name."""
    return furnished("Bank South", _BOTH)


def certificate(vault: CheckedVault, maker: Maker, name: str = NAME) -> CustomerCertified:
    """What a manufacturer answers to the request of this card."""
    signing = given(vault.find(SIGNING))
    return CustomerCertified(maker.root, _customer(maker.name, signing, vault, name))


_MADE: Final[dict[tuple[str, bytes, str], bytes]] = {}


def _customer(maker: str, signing: KeyHandle, vault: CheckedVault, name: str) -> bytes:
    about = maker, signing.public.data, name
    if about not in _MADE:
        draft = draft_request(name, signing.public)
        request = draft.assemble(vault.fork().sign(signing, draft.to_be_signed))
        _MADE[about] = _makers()[maker].fork().program.sign_customer(request)
    return _MADE[about]


@lru_cache(maxsize=1)
def _makers() -> dict[str, Maker]:
    return {name: Maker(name) for name in ("Acme Modules", "Other Modules")}


def _circle(vault: CheckedVault, name: str = NAME, *, key: str = "host of the bank") -> CircleClosed:
    """What our own central system makes in the manufacturer's place; `key`: whose it says it is."""
    host, own = fresh_pair(key)
    request = draft_request(HOST, own.public)
    mine, theirs = given(vault.find(SIGNING)).public, fresh_pair("host of the bank")[1].public
    draft = draft_circular(name, mine, HOST, theirs, random=bytes(16), not_before=NOW, not_after=NOW + 100 * DAY)
    signed = draft.assemble(host.sign(own, draft.to_be_signed))
    return CircleClosed(request.assemble(host.sign(own, request.to_be_signed)), signed)


@dataclass(frozen=True)
class Furnishing:
    """A blank card is taken into use, and certified by the manufacturer or by its own central system."""

    def begins(self, start: Beginning) -> tuple[CheckedVault, CheckedVault]:
        """See Business."""
        card = furnished(NAME, _BOTH)
        assert list(self._certified(card))  # noqa: S101 - made here, once
        return CheckedVault("card at the desk"), start.office.fork().vault

    def orders(self, seen: Desks) -> Iterator[Order]:
        """See Business."""
        yield from self._taken_into_use()
        if seen.record is not None:
            yield from self._certified(seen.card)

    def _taken_into_use(self) -> Iterator[Order]:
        alone, twice = _BOTH[:1], (_BOTH[0], person("Alice ", b"2580-again"))
        yield Order("clerk", "alice and bob take it into use", Furnish(NAME, _BOTH, POLICY))
        yield Order("clerk", "both hold a token's PIN", Furnish(NAME, _BOTH, None, SIGNER))
        for text, people, policy, token in (
            ("one alone", alone, POLICY, None),
            ("one person under two names", twice, POLICY, None),
            ("three with a token", (*_BOTH, _CAROL), None, SIGNER),
            ("a token and a standing policy", _BOTH, POLICY, SIGNER),
        ):
            yield Order("thief", f"to be taken into use: {text}", Furnish(NAME, people, policy, token), wrong=text)

    def _certified(self, card: CheckedVault) -> Iterator[Order]:
        maker, other = _makers().values()
        yield Order("clerk", "the manufacturer's certificate", certificate(card, maker))
        yield Order("clerk", "the central system's certificate", _circle(card))
        mixed = replace(certificate(card, maker), root=other.root)
        another = _another()
        for wrong, event in (
            ("a certificate that this root did not make", mixed),
            ("a certificate under another name", certificate(card, maker, "Rival Bank")),
            ("the certificate of another card of this name", certificate(another, maker)),
            ("a circle under another name", _circle(card, "Rival Bank")),
            ("a circle with the key of another", _circle(card, key="host of the thief")),
            ("the circle of another card of this name", _circle(another)),
        ):
            yield Order("thief", f"to be certified by {wrong}", event, wrong=wrong)

    def ends_well(self, seen: Desks, ask: Callable[[Order], Desks]) -> str:
        """See Business."""
        if seen.record is None:
            seen = ask(next(self._taken_into_use()))
            if seen.record is None:
                return "the card cannot be taken into use"
        if seen.record.customer is None:
            seen = ask(next(self._certified(seen.card)))
        return "" if given(seen.record).customer is not None else "the card cannot be certified"


def change(kind: PeopleChange, who: str, new: Person | None = None) -> PeopleJob:
    """A change of the people, as somebody proposes it."""
    return PeopleJob(numbered(f"{kind.name} {who}"), kind, who, NOW + DAY, approvals=(), new=new)


def _renewed(name: str) -> PeopleJob:
    return change(PeopleChange.RENEW, name, person(name, NEW_PINS[name]))


@dataclass(frozen=True)
class People:
    """Three people, of whom one forgets his PIN; they change who may approve, and each his own PIN.

    Attributes:
        changes: that are proposed, by what they are called.

    """

    changes: tuple[str, ...] = ("UNLOCK bob", "REMOVE bob", "ADD dave", "REPLACE bob", "RENEW alice")

    def begins(self, start: Beginning) -> tuple[CheckedVault, CheckedVault]:
        """See Business: bob has said so many wrong PINs that two more lock him."""
        maker = _makers()["Acme Modules"]
        card = furnished(NAME, (*_BOTH, _CAROL))
        card_of(card).ask(certificate(card, maker))
        for _ in range(MAX_FAILURES - 2):
            card_of(card).ask(_GUESSED)
        card.restart()
        return card, start.office.fork().vault

    def orders(self, seen: Desks) -> Iterator[Order]:
        """See Business."""
        record = given(seen.record)
        yield from self._proposed(record)
        for job in record.changes:
            called = f"{job.change.name} {job.person}"
            yield from approvals(record, job.number, called)
            yield from self._mistaken(record, job, called)
            yield Order("clerk", f"{called} is to count", PeopleWanted(job.number, NOW))
            yield Order("clerk", f"{called} is to count, too late", PeopleWanted(job.number, LATE), wrong="out of date")
        yield from self._pins(record)
        yield Order("clerk", "an earlier session is over", ApprovalsOutlived(), wrong="no token is here")
        halves = HalvesTaken(numbered("halves"), "alice", record.people, by_officer=False, at=NOW)
        yield Order("thief", "halves of a token's PIN", halves, wrong="no token is here")

    def _proposed(self, record: CardRecord) -> Iterator[Order]:
        jobs = (
            change(PeopleChange.UNLOCK, "bob"),
            change(PeopleChange.REMOVE, "bob"),
            change(PeopleChange.ADD, "dave", person("dave", NEW_PINS["dave"])),
            change(PeopleChange.REPLACE, "bob", person("dave", NEW_PINS["dave"])),
            _renewed("alice"),
        )
        for job in jobs:
            called = f"{job.change.name} {job.person}"
            if called not in self.changes:
                continue
            if job_of(record, job.number) is None:
                yield Order("clerk", f"to {called}", PeopleProposed(job, NOW), step=Asking.PROPOSED)
            else:
                yield Order("thief", f"to {called} again", PeopleProposed(job, NOW), wrong="its number is taken")
        approved = replace(jobs[2], number=numbered("approved before"), approvals=("alice", "carol"))
        twin = change(PeopleChange.ADD, "Bob.", person("Bob.", b"1470-twin"))
        bare = change(PeopleChange.RENEW, "alice")
        present = {each.name for each in record.people}
        for text, job, is_wrong in (
            ("whose approvals he wrote himself", approved, True),
            ("by which one person has two names", twin, "bob" in present),
            ("that brings nobody a PIN", bare, True),
            ("of somebody who is not there", change(PeopleChange.UNLOCK, "eve"), True),
            ("that leaves only one who can approve", change(PeopleChange.REMOVE, "carol"), _is_one_of_two(record)),
        ):
            if is_wrong:
                yield Order("thief", f"a change {text}", PeopleProposed(job, NOW), wrong=text)

    def _mistaken(self, record: CardRecord, job: PeopleJob, called: str) -> Iterator[Order]:
        yield Order(
            "bob", f"bob approves {called} by a wrong PIN", _approval(job, "bob", _WRONG_PIN), step=Asking.WRONG
        )
        other = replace(job, expires=job.expires + 1)
        for wrong, event in (
            ("something else was shown", _approval(other, "alice", pin_of(record, "alice"))),
            ("out of date", replace(_approval(job, "alice", pin_of(record, "alice")), at=LATE)),
            ("nobody of that name", _approval(job, "eve", _WRONG_PIN)),
        ):
            yield Order("thief", f"approval of {called}: {wrong}", event, wrong=wrong)
        for name in (each.name for each in record.people):
            if name in job.approvals:
                wrong, step = "", Asking.WITHDRAWN
            else:
                wrong, step = "did not approve it", None
            withdrawn = ApprovalWithdrawn(job.number, name)
            yield Order(name, f"{name} withdraws from {called}", withdrawn, wrong=wrong, step=step)

    def _pins(self, record: CardRecord) -> Iterator[Order]:
        mine, new = pin_of(record, "alice"), person("alice", NEW_PINS["alice"])
        if not knows(record, "alice", NEW_PINS["alice"]):
            changed = PinChanged("alice", mine, new)
            yield Order("alice", "alice takes another PIN", changed, step=Asking.DONE)
        as_another = PinChanged("alice", mine, person("carol", NEW_PINS["alice"]))
        yield Order("alice", "alice takes the PIN of carol", as_another, wrong="it is for another person")
        nobody = PinChanged("eve", mine, person("eve", _WRONG_PIN))
        yield Order("thief", "eve takes another PIN", nobody, wrong="nobody of that name")
        if any(each.name == "bob" for each in record.people):
            yield Order("thief", "bob's PIN is changed by a wrong one", _GUESSED, step=Asking.WRONG)

    def ends_well(self, seen: Desks, ask: Callable[[Order], Desks]) -> str:
        """See Business: whoever is not locked unlocks the others, or all may rest."""
        record = given(seen.record)
        able = [each.name for each in record.people if each.failures < MAX_FAILURES]
        if len(able) < 2:
            return "only one person can approve any more"
        job = replace(change(PeopleChange.UNLOCK, able[0]), number=numbered("at the end"))
        ask(Order("clerk", "at the end", PeopleProposed(job, NOW)))
        for name in able[:2]:
            ask(Order(name, f"{name}, at the end", _approval(job, name, pin_of(record, name))))
        after = given(ask(Order("clerk", "it counts, at the end", PeopleWanted(job.number, NOW))).record)
        return "" if len(after.log) > len(record.log) else "two people cannot change anything any more"


def _approval(job: PeopleJob, name: str, pin: bytes) -> Approve:
    return Approve(job.number, digest_of(job), name, pin, NOW)


def _is_one_of_two(record: CardRecord) -> bool:
    """Whether carol is one of the two who are left that can approve."""
    able = [each.name for each in record.people if each.failures < MAX_FAILURES]
    return "carol" in able and len(able) == 2


@dataclass(frozen=True)
class Token:
    """A card whose signing key is in a token of its own, of whose PIN two people hold a half each."""

    def begins(self, start: Beginning) -> tuple[CheckedVault, CheckedVault]:
        """See Business."""
        card = furnished(NAME, _BOTH, SIGNER)
        card_of(card).ask(certificate(card, _makers()["Acme Modules"]))
        card.restart()
        return card, start.office.fork().vault

    def orders(self, seen: Desks) -> Iterator[Order]:
        """See Business."""
        record = given(seen.record)
        job = _renewed("alice")
        open_job = next((each for each in record.changes if each.number == job.number), None)
        if open_job is None:
            yield Order("clerk", "to renew alice", PeopleProposed(job, NOW), step=Asking.PROPOSED)
        else:
            yield from approvals(record, job.number, "it")
            yield Order("bob", "bob, by a wrong half", _approval(open_job, "bob", _WRONG_PIN), step=Asking.WRONG)
            yield Order("clerk", "it is to count", PeopleWanted(job.number, NOW))
        yield Order("clerk", "an earlier session is over", ApprovalsOutlived())
        halves = tuple(person(name, NEW_PINS[name]) for name in PINS)
        numbers = [number for number in map(numbered, ("halves", "more halves")) if not _is_logged(record, number)]
        for number in numbers[:1]:
            taken = HalvesTaken(number, "bob", halves, by_officer=False, at=NOW)
            yield Order("clerk", f"the token took both, {number[:2].hex()}", taken, step=Asking.DONE)
        taken = HalvesTaken(numbered("wrong halves"), "bob", halves, by_officer=True, at=NOW)
        for wrong, event in (
            ("somebody else holds a half", replace(taken, people=(halves[0], _CAROL))),
            ("somebody is locked all the same", replace(taken, people=(halves[0], replace(halves[1], failures=5)))),
            ("nobody of them is concerned", replace(taken, person="eve")),
        ):
            yield Order("thief", f"halves: {wrong}", event, wrong=wrong)
        removed = change(PeopleChange.REMOVE, "bob")
        yield Order("thief", "to remove bob", PeopleProposed(removed, NOW), wrong="both hold the token's PIN")
        alone = PinChanged("alice", pin_of(record, "alice"), person("alice", NEW_PINS["alice"]))
        yield Order("alice", "alice takes another PIN alone", alone, wrong="it is half of the token's")

    def ends_well(self, seen: Desks, ask: Callable[[Order], Desks]) -> str:
        """See Business: the token's own PIN unlocks both, whatever happened."""
        record = given(seen.record)
        event = HalvesTaken(numbered("at the end"), "bob", _BOTH, by_officer=True, at=NOW)
        after = given(ask(Order("clerk", "both halves, at the end", event)).record)
        return "" if len(after.log) > len(record.log) else "the two people of a token cannot go on"


def _is_logged(record: CardRecord, number: bytes) -> bool:
    return any(number.hex().encode() in line for line in record.log)
