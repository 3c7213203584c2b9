"""What the chip card decides about tickets (A4): which may leave, and whether one that is shown is good for a module.

The rows are in the table of `card.py`. Whoever holds the key of a ticket can vouch for one module, as whoever signs a
certificate can: so tickets leave with the approval of two different people for exactly this order and an entry in the
log, though no signature is made (L13, S6). The main key never leaves key memory; keys of tickets leave it once.

A ticket is some module's from the first time on that it is shown with a right MAC: the log says whose. The same module,
with the same identity key, may show it again, after a lost session or a reset; nobody else ever can, so that of two
modules that a dishonest manufacturer made with one key the second is refused (formal/ticket.pv: n consumed).
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from hmac import compare_digest

from ..channel import proofs
from ..channel.trust.ticket import TICKETS, TicketClaim
from ..engine import (
    Close,
    Effects,
    Fault,
    KeyOperationFailed,
    ProtocolError,
    ProveDerived,
    SecretUsed,
    Show,
    UseSecret,
    given,
)
from ..keys.profile import encode_key
from ..messages import MOST_TICKETS, CardRole, Job
from ..stores.card_log import TicketsOrdered, TicketUsed, last_ticket, used_tickets
from .card_data import (
    AUTHENTICATION,
    SIGNING,
    CardData,
    TicketDeclined,
    TicketPresented,
    TicketsLogged,
    TicketsWanted,
    TicketTaken,
)
from .card_heads import entered
from .card_record import at_rest, known_log, signing_time
from .card_room import check_promise, check_room

# Guards ------------------------------------------------------------------------------------------------------


def is_ticket_count(text: str) -> bool:
    """How many tickets a job may be for, in decimal digits."""
    return text.isascii() and text.isdigit() and str(int(text[:8])) == text and 1 <= int(text) <= MOST_TICKETS


def two_people_ordered_exactly_these(data: CardData, event: TicketsWanted) -> bool:
    """Two different people approved this order, in time (S6)."""
    job = _order(data, event.number)
    return job is not None and len(set(job.approvals)) >= 2 and event.at <= job.expires


def the_ticket_is_free_or_its_own(data: CardData, event: TicketPresented) -> bool:
    """We gave it out, and it is no other module's (formal: n consumed, bound to the module).

    Raises:
        ProtocolError: else.

    """
    claim, log = event.claim, known_log(data)
    if claim.number > (last := last_ticket(log)):
        raise ProtocolError("ticket", who="card", expected=f"one up to {last}", got=claim.number)
    used = used_tickets(log).get(claim.number)
    if used is not None and used != _use(claim):
        raise ProtocolError(
            f"ticket {claim.number} is used", who="card", expected="the module that used it", got="another"
        )
    return True


def the_mac_is_right(data: CardData, event: SecretUsed) -> bool:
    """The manufacturer made it with this ticket, for this identity key and the serial number of the job."""
    return compare_digest(event.result, given(data.presented).claim.mac)


def it_was_taken_before(data: CardData, event: SecretUsed) -> bool:
    """The MAC is right, and the log has this module's use of it."""
    return the_mac_is_right(data, event) and given(data.presented).claim.number in used_tickets(known_log(data))


# Actions -----------------------------------------------------------------------------------------------------


def enter_order(data: CardData, event: TicketsWanted) -> tuple[CardData, Effects]:
    """Use up the approvals and the numbers, durably, before the keys leave. The same write keeps the main key.

    Raises:
        UsageError: the clock is behind the log; the approvals are still there.
        StateError: the card has no room for so many; likewise.

    """
    check_promise(data, event.at, tickets=int(given(_order(data, event.number)).subject))
    job, log = given(_order(data, event.number)), known_log(data)
    order = TicketsOrdered(job.number, last_ticket(log) + 1, int(job.subject), tuple(sorted(job.approvals)))
    jobs = tuple(each for each in data.held.jobs if each is not job)
    at, keep = signing_time(log, event.at), frozenset({SIGNING, AUTHENTICATION, TICKETS})
    return entered(replace(data, log=log), order, at, Show(TicketsLogged(order)), keep=keep, jobs=jobs)


def check_ticket(data: CardData, event: TicketPresented) -> tuple[CardData, Effects]:
    """Have key memory make the MAC that the manufacturer must have made.

    Raises:
        StateError: the card is too full for the module's certificate; the ticket is not used up for nothing.

    """
    check_room(data)
    claim = event.claim
    statement = proofs.ticket(claim.number, claim.serial, claim.public)
    operation = ProveDerived(proofs.ticket_path(claim.number), statement)
    return replace(data, presented=event), [UseSecret(event.main, operation)]


def take_ticket(data: CardData, _: SecretUsed) -> tuple[CardData, Effects]:
    """It is this module's from now on: durable before anybody acts on it."""
    event, log = given(data.presented), known_log(data)
    taken = Show(TicketTaken(event.claim.number, event.claim.serial, anew=True))
    return entered(replace(data, log=log), _use(event.claim), signing_time(log, event.at), taken)


def take_ticket_again(data: CardData, _: SecretUsed) -> tuple[CardData, Effects]:
    """It is its own."""
    claim = given(data.presented).claim
    return at_rest(data), [Show(TicketTaken(claim.number, claim.serial, anew=False))]


def turn_ticket_down(data: CardData, _: SecretUsed) -> tuple[CardData, Effects]:
    """Nothing is consumed: anybody may send a wrong MAC."""
    claim = given(data.presented).claim
    return at_rest(data), [Show(TicketDeclined(claim.number, claim.serial))]


def give_no_verdict(data: CardData, event: KeyOperationFailed) -> tuple[CardData, Effects]:
    """Key memory does not do its work."""
    return at_rest(data), [Close(Fault.UNAVAILABLE, event.reason)]


def _order(data: CardData, number: bytes) -> Job | None:
    jobs = (job for job in data.held.jobs if job.role is CardRole.TICKETS)
    return next((job for job in jobs if job.number == number), None)


def _use(claim: TicketClaim) -> TicketUsed:
    return TicketUsed(claim.number, claim.serial, sha256(encode_key(claim.public)).digest())
