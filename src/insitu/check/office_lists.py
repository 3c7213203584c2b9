"""What is asked of a card that certifies, revokes and gives out tickets, and of the manufacturer (office.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from ..protocol.channel.trust import TICKETS, TicketClaim
from ..protocol.engine import given
from ..protocol.keys.profile import SERIAL_NUMBER_BYTES, serial_number
from ..protocol.keys.public import compress
from ..protocol.keys.requests import draft_request
from ..protocol.messages import IDENTITY, CardRecord, CardRole, Job, ListJob, StandingJob, TicketInStock
from ..protocol.parties.card_data import (
    Approve,
    CertificateWanted,
    JobProposed,
    ListHeard,
    ListProposed,
    ListWanted,
    StandingProposed,
    StandingWanted,
    StandingWithdrawn,
    TicketPresented,
    TicketsWanted,
)
from ..protocol.parties.card_log_data import HeadWanted, ReceiptCame
from ..protocol.parties.card_record import customer_of, digest_of, job_of, log_of
from ..protocol.parties.log_heads import LogHead, LogReceipt, message_to_sign, signed
from ..protocol.parties.manufacturer import (
    CustomerRequested,
    Establish,
    IdentityRequested,
    ListRequested,
    Revoke,
    TicketRequested,
    TicketsReceived,
)
from ..protocol.stores.card_log import Intent, last_list, last_ticket, standing_in
from ..shell.module import Module
from .memory import CheckedVault, fresh_pair
from .office import MAKER, Asking, Desks, Order, approvals, numbered, pin_of
from .office_people import LATE
from .world import BANKS, DAY, NOW, PINS, SERIAL, STOLEN, Beginning, Maker, now

_KEY: Final = fresh_pair("a module at the desk")[1].public
_OTHER: Final = fresh_pair("somebody at the desk")[1].public
_THEIRS: Final = fresh_pair("a central system at the desk")[1].public


_STANDING: Final = StandingJob(numbered("standing"), ("SN-*",), 1, NOW + 1000, 365, NOW + DAY, approvals=())


def _established(start: Beginning) -> CheckedVault:
    """The card of the first bank, which certified its unit and has a job for SN-1 approved."""
    return start.networked.vault.fork()


def _job(role: CardRole, subject: str, public: bytes | None = None) -> Job:
    number = numbered(f"{role.name} {subject} {public is None}")
    return Job(number, role, subject, bytes(32), 365, NOW + DAY, approvals=(), public_key=public)


def _receipt(seen: Desks) -> ReceiptCame:
    """For as many entries as there are, of which the last is another."""
    host, key = fresh_pair("a central system at the desk")
    record = given(seen.record)
    receipt = LogReceipt("Host", customer_of(record).fingerprint, len(record.log), bytes(31) + b"\1", NOW)
    return ReceiptCame(signed(receipt.payload, host.sign(key, message_to_sign(receipt.payload))), key.public)


def _approved_by_all(job: Job | ListJob, proposed: object, record: CardRecord, ask: Callable[[Order], Desks]) -> None:
    """It is proposed, and both people approve it."""
    ask(Order("clerk", "proposed, at the end", proposed))
    for name in PINS:
        approved = Approve(job.number, digest_of(job), name, pin_of(record, name), NOW)
        ask(Order(name, f"{name}, at the end", approved))


@dataclass(frozen=True)
class Certifying:
    """A card certifies a module and a central system, and has a standing approval, which is withdrawn."""

    def begins(self, start: Beginning) -> tuple[CheckedVault, CheckedVault]:
        """See Business."""
        return _established(start), start.office.fork().vault

    def orders(self, seen: Desks) -> Iterator[Order]:
        """See Business."""
        record = given(seen.record)
        begun = {entry.what.job for entry in log_of(record) if isinstance(entry.what, Intent)}
        for job in (_job(CardRole.MODULE, "SN-5"), _job(CardRole.CENTRAL, "Host", compress(_THEIRS))):
            called = f"{job.role.name} {job.subject}"
            waiting = job_of(record, job.number)
            if waiting is None:
                if job.number not in begun:
                    yield Order("clerk", f"a job for {called}", JobProposed(job, NOW), step=Asking.PROPOSED)
                continue
            yield Order("thief", f"a job for {called} again", JobProposed(job, NOW), wrong="its number is taken")
            if waiting.approvals:
                twin = replace(job, number=numbered(f"another {called}"))
                yield Order("thief", f"another job for {called}", JobProposed(twin, NOW), wrong="one is approved")
            yield from approvals(record, job.number, called)
            key = _KEY if job.public_key is None else _THEIRS
            yield Order("clerk", f"the certificate of {called}", CertificateWanted(job.number, key, NOW))
            late = CertificateWanted(job.number, key, LATE)
            yield Order("clerk", f"the certificate of {called}, too late", late, wrong="out of date")
            if job.public_key is not None:
                other = CertificateWanted(job.number, _OTHER, NOW)
                yield Order("thief", f"the certificate of {called}", other, wrong="for another key")
        approved = replace(_job(CardRole.MODULE, "SN-6"), approvals=tuple(PINS))
        for text, job in (
            ("whose approvals he wrote himself", approved),
            ("for a central system of any key", _job(CardRole.CENTRAL, "Host")),
            ("for more tickets than there may be", _job(CardRole.TICKETS, "many")),
        ):
            yield Order("thief", f"a job {text}", JobProposed(job, NOW), wrong=text)
        nothing = CertificateWanted(numbered("nothing"), _OTHER, NOW)
        yield Order("thief", "a certificate of no job", nothing, wrong="nobody was asked")
        yield from self._by_standing(seen)
        yield Order("clerk", "the head of the log", HeadWanted(NOW))
        yield Order("thief", "a receipt for another log", _receipt(seen), wrong="it is for another log")

    def _by_standing(self, seen: Desks) -> Iterator[Order]:
        record, job = given(seen.record), _STANDING
        number = job.number
        if job_of(record, number) is not None:
            yield from approvals(record, number, "the standing approval")
            yield Order("clerk", "the standing approval is to count", StandingWanted(number, NOW))
        elif number not in standing_in(log_of(record)) and not any(
            number.hex().encode() in line for line in record.log
        ):
            yield Order("clerk", "a standing approval", StandingProposed(job, NOW), step=Asking.PROPOSED)
        if job_of(record, number) is not None or number in standing_in(log_of(record)):
            withdrawn = StandingWithdrawn(number, NOW)
            yield Order("bob", "bob withdraws the standing approval", withdrawn, step=Asking.WITHDRAWN)
        else:
            yield Order("bob", "bob withdraws nothing", StandingWithdrawn(number, NOW), wrong="it is not there")

    def ends_well(self, seen: Desks, ask: Callable[[Order], Desks]) -> str:
        """See Business."""
        record = given(ask(Order("clerk", "the head of the log, at the end", HeadWanted(NOW))).record)
        if record.log and LogHead.read(given(record.head), None).entries < len(record.log):
            return "the head of the log is signed no more"
        job = _job(CardRole.UNIT, "at the end", compress(_OTHER))
        _approved_by_all(job, JobProposed(job, NOW), record, ask)
        wanted = CertificateWanted(job.number, _OTHER, NOW)
        after = given(ask(Order("clerk", "a certificate, at the end", wanted)).record)
        return "" if len(after.log) == len(record.log) + 2 else "the card cannot certify any more"


@dataclass(frozen=True)
class Revoking:
    """A card revokes what it certified, and is given the manufacturer's lists, in any order."""

    def begins(self, start: Beginning) -> tuple[CheckedVault, CheckedVault]:
        """See Business."""
        assert len(start.lists) > 1  # noqa: S101 - made here, once
        _foreign_list()
        return _established(start), start.office.fork().vault

    def orders(self, seen: Desks) -> Iterator[Order]:
        """See Business."""
        record = given(seen.record)
        log = log_of(record)
        issued = sorted(
            serial_number(entry.what.job).to_bytes(SERIAL_NUMBER_BYTES, "big")
            for entry in log
            if isinstance(entry.what, Intent)
        )
        following = last_list(log) + 1
        job = self._list(following, tuple(issued[:1]) if following == 1 else ())
        called = f"list {following}"
        if job_of(record, job.number) is None:
            yield Order("clerk", f"{called}", ListProposed(job, NOW), step=Asking.PROPOSED)
        else:
            yield from approvals(record, job.number, called)
            yield Order("clerk", f"{called} is to be signed", ListWanted(job.number, NOW))
            yield Order(
                "clerk", f"{called} is to be signed, too late", ListWanted(job.number, LATE), wrong="out of date"
            )
        other = replace(job, number=numbered("another list"))
        for text, refused in (
            ("whose approvals he wrote himself", replace(other, approvals=tuple(PINS))),
            ("of the number after the next", replace(other, list_number=following + 1)),
            ("of what the card never made", replace(other, added=(bytes(15) + b"\1",))),
            ("of one certificate twice", replace(other, added=(issued[1], issued[1]))),
        ):
            yield Order("thief", f"a list {text}", ListProposed(refused, NOW), wrong=text)
        if following > 1:
            again = replace(other, added=tuple(issued[:1]))
            yield Order("thief", "a list of what is revoked", ListProposed(again, NOW), wrong="it is revoked")
        yield Order("thief", "a list that is no job", ListWanted(numbered("nothing"), NOW), wrong="nobody was asked")
        for number, crl in enumerate(seen.start.lists[:2], 1):
            wrong = "a newer one is here" if number == 1 and record.heard == seen.start.lists[1] else ""
            yield Order("clerk", f"the manufacturer's list {number}", ListHeard(crl), wrong=wrong)
        yield Order("thief", "another manufacturer's list", ListHeard(_foreign_list()), wrong="it is another's")

    @staticmethod
    def _list(number: int, added: tuple[bytes, ...]) -> ListJob:
        return ListJob(numbered(f"list {number}"), number, added, 90, NOW + DAY, approvals=())

    def ends_well(self, seen: Desks, ask: Callable[[Order], Desks]) -> str:
        """See Business."""
        record = given(seen.record)
        number = last_list(log_of(record)) + 1
        job = replace(self._list(number, ()), number=numbered(f"list {number} at the end"), days=30)
        _approved_by_all(job, ListProposed(job, NOW), record, ask)
        after = given(ask(Order("clerk", "it is signed, at the end", ListWanted(job.number, NOW))).record)
        return "" if after.crl not in (None, record.crl) else "the card cannot revoke any more"


@lru_cache(maxsize=1)
def _foreign_list() -> bytes:
    return Maker("Other Modules").program.sign_list()


@dataclass(frozen=True)
class Ticketing:
    """A card gives out tickets, and modules show theirs, or what they say are theirs."""

    def begins(self, start: Beginning) -> tuple[CheckedVault, CheckedVault]:
        """See Business."""
        claims(start)
        return _established(start), start.office.fork().vault

    def orders(self, seen: Desks) -> Iterator[Order]:
        """See Business."""
        record = given(seen.record)
        log = log_of(record)
        job = _job(CardRole.TICKETS, "2")
        if job_of(record, job.number) is not None:
            yield from approvals(record, job.number, "two tickets")
            yield Order("clerk", "the two tickets", TicketsWanted(job.number, NOW))
            yield Order("clerk", "the two tickets, too late", TicketsWanted(job.number, LATE), wrong="out of date")
        elif last_ticket(log) < 5:
            yield Order("clerk", "a job for two tickets", JobProposed(job, NOW), step=Asking.PROPOSED)
        yield Order("thief", "tickets of no job", TicketsWanted(numbered("nothing"), NOW), wrong="nobody was asked")
        main = given(seen.card.find_secret(TICKETS))
        for text, claim in claims(seen.start).items():
            wrong = "never given out" if claim.number > last_ticket(log) else ""
            yield Order("module", f"{text} is shown", TicketPresented(claim, main, NOW), wrong=wrong, step=Asking.DONE)

    def ends_well(self, seen: Desks, ask: Callable[[Order], Desks]) -> str:
        """See Business: SN-1 may show its ticket, again and again, if nobody was first."""
        before, main = given(seen.record), given(seen.card.find_secret(TICKETS))
        shown = TicketPresented(claims(seen.start)[OWN], main, NOW)
        after = given(ask(Order("module", "at the end", shown)).record)
        is_logged = len(after.log) > len(before.log) or any(b'"kind":"ticket"' in line for line in before.log)
        job = replace(_job(CardRole.TICKETS, "1"), number=numbered("tickets at the end"))
        _approved_by_all(job, JobProposed(job, NOW), after, ask)
        ordered = given(ask(Order("clerk", "a ticket, at the end", TicketsWanted(job.number, NOW))).record)
        is_ordered = last_ticket(log_of(ordered)) > last_ticket(log_of(after))
        return "" if is_logged and is_ordered else "a good ticket is worth nothing, or there are no more"


OWN: Final = "the ticket of SN-1"


@lru_cache(maxsize=1)
def _claims(start: Beginning) -> dict[str, TicketClaim]:
    module = Module(start.module.vault.fork(), now=now).record
    ticket, public = given(module.ticket), given(start.module.vault.find(IDENTITY)).public
    office = start.office.fork()
    office.program.certify_identity(STOLEN, _OTHER)
    twin = office.ticket(STOLEN, _OTHER)
    mine = TicketClaim(ticket.number, SERIAL, public, ticket.mac)
    return {
        OWN: mine,
        "the same with a wrong MAC": replace(mine, mac=bytes(len(mine.mac))),
        "the same ticket of SN-2": TicketClaim(twin.number, STOLEN, _OTHER, twin.mac),
        "a ticket of a number to come": replace(mine, number=9),
    }


def claims(start: Beginning) -> dict[str, TicketClaim]:
    """What modules show; the manufacturer has made two with one key."""
    return _claims(start)


@dataclass(frozen=True)
class Books:
    """A manufacturer is established, certifies, revokes, lists, and takes in tickets."""

    def begins(self, start: Beginning) -> tuple[CheckedVault, CheckedVault]:
        """See Business."""
        _requests()
        return _established(start), CheckedVault("a manufacturer at its desk")

    def orders(self, seen: Desks) -> Iterator[Order]:
        """See Business."""
        books = seen.books
        yield self._order("it is established", Establish("Third Modules", bytes(15) + b"\1", NOW))
        genuine, forged = _requests()
        yield self._order("a customer", CustomerRequested(genuine, numbered("customer"), NOW), step=Asking.DONE)
        yield self._order("a forged request", CustomerRequested(forged, numbered("forged"), NOW), "it is not genuine")
        identities = () if books is None else tuple(booked.subject for booked in books.identities)
        used = "the number is used" if SERIAL in identities else ""
        identity = IdentityRequested(SERIAL, _KEY, numbered("identity"), NOW)
        twin = IdentityRequested(SERIAL, _OTHER, numbered("twin"), NOW)
        yield self._order("module SN-1", identity, used, Asking.DONE)
        yield self._order("another module SN-1", twin, used, Asking.DONE)
        stock = TicketInStock(BANKS[0], numbered("order"), 1)
        received = TicketsReceived(stock.order, (stock,))
        again = "it was taken in" if books is not None and stock.order in books.orders else ""
        yield self._order("tickets", received, again, Asking.DONE)
        if books is None:
            return
        revoked = {each.number for each in books.revoked}
        ours = [each.number for each in (*books.identities, *books.customers)]
        for number in ours[:1]:
            wrong = "it is revoked" if number in revoked else ""
            yield self._order(f"{number[:2].hex()} is revoked", Revoke((number,), NOW), wrong)
            yield self._order(f"{number[:2].hex()} twice", Revoke((number, number), NOW), "each once")
        yield self._order("what is not ours is revoked", Revoke((bytes(15) + b"\7",), NOW), "it is not ours")
        yield self._order("a list", ListRequested(90, NOW), step=Asking.DONE)
        key = seen.maker.find_secret(stock.label)
        if key is not None:
            for serial, wrong in ((SERIAL, "" if SERIAL in identities else "no module"), (STOLEN, "no module of ours")):
                wrong = wrong or ("" if stock in books.tickets else "it is used")
                yield self._order(f"a ticket for {serial}", TicketRequested(serial, _KEY, stock, key), wrong)

    @staticmethod
    def _order(text: str, event: object, wrong: str = "", step: Asking | None = None) -> Order:
        return Order("thief" if wrong else "clerk", text, event, MAKER, wrong, step)

    def ends_well(self, seen: Desks, ask: Callable[[Order], Desks]) -> str:
        """See Business."""
        if seen.books is None:
            seen = ask(self._order("it is established, at the end", Establish("Third Modules", bytes(15) + b"\1", NOW)))
        if seen.books is None:
            return "the manufacturer cannot be established"
        before = seen.books
        identity = IdentityRequested("SN-8", _KEY, numbered("at the end"), NOW)
        ask(self._order("a module, at the end", identity))
        ask(
            self._order(
                "a customer, at the end", CustomerRequested(_requests()[0], numbered("customer at the end"), NOW)
            )
        )
        after = given(ask(self._order("a list, at the end", ListRequested(90, NOW))).books)
        is_so = len(after.identities) > len(before.identities) and len(after.customers) > len(before.customers)
        is_so = is_so and after.lists == before.lists + 1
        return "" if is_so else "the manufacturer cannot certify or list any more"


@lru_cache(maxsize=1)
def _requests() -> tuple[bytes, bytes]:
    """A customer's, and one for a key of somebody else."""
    vault, key = fresh_pair("a customer at the desk")
    own, forged = draft_request("Bank East", key.public), draft_request("Bank East", _OTHER)
    return own.assemble(vault.sign(key, own.to_be_signed)), forged.assemble(vault.sign(key, forged.to_be_signed))
