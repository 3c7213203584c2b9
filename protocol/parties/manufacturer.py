"""The manufacturer: holds the root key, certifies module identities and customers' signing keys (L1, L6), revokes (S5).

Works on its own premises without a channel; requests come as files or from a module on the bench.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..channel import proofs
from ..engine import (
    STAY,
    Close,
    Effects,
    Fault,
    GenerateKey,
    KeyHandle,
    KeyKind,
    KeyOperationFailed,
    KeyPairMade,
    Persist,
    ProtocolError,
    Prove,
    PublicKey,
    SecretHandle,
    SecretUsed,
    Show,
    Sign,
    Signed,
    Table,
    UsageError,
    UseSecret,
    given,
    row,
)
from ..keys.certificates import Draft, Role, draft_certificate, trusted_root
from ..keys.profile import SERIAL_NUMBER_BYTES, serial_number, time_text
from ..keys.requests import read_request
from ..keys.revocation import draft_crl, read_crl
from ..messages import Booked, ManufacturerRecord, ModuleTicket, Revoked, TicketInStock

ROOT: Final = "root"
DAY: Final = 24 * 3600
YEAR: Final = 365 * DAY
ROOT_SECONDS: Final = 20 * YEAR
CUSTOMER_SECONDS: Final = 10 * YEAR
IDENTITY_SECONDS: Final = 15 * YEAR


class ManufacturerState(Enum):
    """BLANK and READY are durable."""

    BLANK = auto()
    KEYING = auto()
    ROOTING = auto()
    READY = auto()
    SIGNING = auto()
    LISTING = auto()
    TICKETING = auto()


S = ManufacturerState


@dataclass(frozen=True, slots=True)
class Establish:
    """Found the manufacturer. `random`: 16 random bytes for the root's serial number; `at`: unix seconds."""

    name: str
    random: bytes
    at: int


@dataclass(frozen=True, slots=True)
class CustomerRequested:
    """A customer's signing key is to be certified: a PKCS#10 request (DER), 16 random bytes, unix seconds."""

    request: bytes = field(repr=False)
    random: bytes
    at: int


@dataclass(frozen=True, slots=True)
class IdentityRequested:
    """A module on the bench presents its identity key."""

    serial: str
    public: PublicKey
    random: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """Certificates of ours count no more. `numbers`: their serial numbers, 16 bytes each; `at`: unix seconds."""

    numbers: tuple[bytes, ...]
    at: int


@dataclass(frozen=True, slots=True)
class ListRequested:
    """A revocation list is to be made of all that is revoked. `days`: until its next update; `at`: unix seconds."""

    days: int
    at: int


@dataclass(frozen=True, slots=True)
class TicketsReceived:
    """A customer's tickets came, and their keys are in key memory (A4). `order`: 16 bytes."""

    order: bytes
    tickets: tuple[TicketInStock, ...]


@dataclass(frozen=True, slots=True)
class TicketRequested:
    """A module on the bench is to have this ticket, whose key is `key`, for its identity key (A4)."""

    serial: str
    public: PublicKey
    ticket: TicketInStock
    key: SecretHandle


@dataclass(frozen=True, slots=True)
class Ticketed:
    """A ticket was used up for a module."""

    serial: str
    ticket: ModuleTicket


@dataclass(frozen=True, slots=True)
class Listed:
    """A revocation list was signed and entered in the books, DER."""

    number: int
    crl: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate was signed and entered in the books, DER."""

    role: Role
    subject: str
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """A certificate that waits for its signature. `number`: its serial number, 16 bytes."""

    role: Role
    subject: str
    number: bytes
    draft: Draft


@dataclass(frozen=True, slots=True)
class ManufacturerData:
    """Durable record, the root key's handle once it exists, and what waits for its signature."""

    record: ManufacturerRecord | None = None
    key: KeyHandle | None = None
    wish: Establish | None = None
    pending: Pending | None = field(default=None, repr=False)
    listing: Draft | None = field(default=None, repr=False)
    ticketing: TicketRequested | None = None


# Guards ------------------------------------------------------------------------------------------------------


def request_is_genuine(_: ManufacturerData, event: CustomerRequested) -> bool:
    """The request is signed by the key that it presents."""
    read_request(event.request)
    return True


def serial_is_unused(data: ManufacturerData, event: IdentityRequested) -> bool:
    """No module has been delivered under this serial number."""
    return all(event.serial != booked.subject for booked in given(data.record).identities)


def they_are_ours_and_count(data: ManufacturerData, event: Revoke) -> bool:
    """The books name all of these certificates, each once, and none is revoked."""
    record = given(data.record)
    ours = {booked.number for booked in (*record.identities, *record.customers)}
    ours -= {revoked.number for revoked in record.revoked}
    return 0 < len(event.numbers) == len(set(event.numbers)) and ours.issuperset(event.numbers)


def they_came_for_the_first_time(data: ManufacturerData, event: TicketsReceived) -> bool:
    """No ticket is made use of twice: an order that was taken in once is not taken in again.

    Raises:
        ProtocolError: it was.

    """
    if event.order in given(data.record).orders:
        raise ProtocolError(
            "ticket order", who="manufacturer", expected="one not taken in before", got=event.order.hex()
        )
    return True


def it_is_for_a_module_of_ours(data: ManufacturerData, event: TicketRequested) -> bool:
    """The ticket was not used, and we certified the identity of a module of this serial number."""
    record = given(data.record)
    return event.ticket in record.tickets and any(event.serial == booked.subject for booked in record.identities)


# Actions -----------------------------------------------------------------------------------------------------


def make_root_key(data: ManufacturerData, event: Establish) -> tuple[ManufacturerData, Effects]:
    """Make the root key pair."""
    return replace(data, wish=event), [GenerateKey(ROOT, KeyKind.P256, b"")]


def sign_root(data: ManufacturerData, event: KeyPairMade) -> tuple[ManufacturerData, Effects]:
    """Certify the root key by itself."""
    wish = given(data.wish)
    draft = draft_certificate(
        Role.MANUFACTURER,
        wish.name,
        event.key.public,
        None,
        random=wish.random,
        not_before=wish.at,
        not_after=wish.at + ROOT_SECONDS,
    )
    pending = Pending(Role.MANUFACTURER, wish.name, _number(wish.random), draft)
    return replace(data, key=event.key, pending=pending), [Sign(event.key, draft.to_be_signed)]


def establish(data: ManufacturerData, event: Signed) -> tuple[ManufacturerData, Effects]:
    """Keep root key and certificate."""
    pending = given(data.pending)
    name, root = pending.subject, pending.draft.assemble(event.signature)
    record = ManufacturerRecord(name=name, root=root)
    done = ManufacturerData(record=record, key=data.key)
    return done, [Persist(record, frozenset({ROOT})), Show(Issued(Role.MANUFACTURER, name, root))]


def sign_customer(data: ManufacturerData, event: CustomerRequested) -> tuple[ManufacturerData, Effects]:
    """Certify a customer's signing key as a CA below the root, path length 0."""
    request = read_request(event.request)
    return _sign(data, Role.CUSTOMER, request.subject, request.public, event.random, event.at, CUSTOMER_SECONDS)


def sign_identity(data: ManufacturerData, event: IdentityRequested) -> tuple[ManufacturerData, Effects]:
    """Certify a module's identity key."""
    return _sign(data, Role.IDENTITY, event.serial, event.public, event.random, event.at, IDENTITY_SECONDS)


def _sign(
    data: ManufacturerData, role: Role, subject: str, public: PublicKey, random: bytes, at: int, seconds: int
) -> tuple[ManufacturerData, Effects]:
    root = trusted_root(given(data.record).root)
    end = min(at + seconds, root.not_after)
    draft = draft_certificate(role, subject, public, root, random=random, not_before=at, not_after=end)
    pending = Pending(role, subject, _number(random), draft)
    return replace(data, pending=pending), [Sign(given(data.key), draft.to_be_signed)]


def _number(random: bytes) -> bytes:
    return serial_number(random).to_bytes(SERIAL_NUMBER_BYTES, "big")


def issue(data: ManufacturerData, event: Signed) -> tuple[ManufacturerData, Effects]:
    """Enter it in the books, then hand it out."""
    record, pending = given(data.record), given(data.pending)
    booked = Booked(pending.subject, pending.number)
    if pending.role is Role.IDENTITY:
        record = replace(record, identities=(*record.identities, booked))
    else:
        record = replace(record, customers=(*record.customers, booked))
    issued = Issued(pending.role, pending.subject, pending.draft.assemble(event.signature))
    return replace(data, record=record, pending=None), [Persist(record), Show(issued)]


def note_revocation(data: ManufacturerData, event: Revoke) -> tuple[ManufacturerData, Effects]:
    """Enter it in the books; every list from now on has it.

    Raises:
        UsageError: the list would be longer than anybody reads.

    """
    record = given(data.record)
    revoked = (*record.revoked, *(Revoked(number, event.at) for number in event.numbers))
    record = replace(record, revoked=revoked)
    _draft(record, event.at, days=1)
    return replace(data, record=record), [Persist(record)]


def sign_list(data: ManufacturerData, event: ListRequested) -> tuple[ManufacturerData, Effects]:
    """Draw up the next list.

    It is never dated before the last one. A clock that is more than a day behind that is wrong now or was wrong then.

    Raises:
        UsageError: it is.

    """
    record = given(data.record)
    latest = 0 if record.crl is None else read_crl(record.crl, trusted_root(record.root)).this_update
    if event.at < latest - DAY:
        raise UsageError("clock", who="manufacturer", expected=f"{time_text(latest)} or later", got=time_text(event.at))
    draft = _draft(record, max(event.at, latest), event.days)
    return replace(data, listing=draft), [Sign(given(data.key), draft.to_be_signed)]


def _draft(record: ManufacturerRecord, at: int, days: int) -> Draft:
    return draft_crl(
        trusted_root(record.root),
        {int.from_bytes(each.number, "big"): each.since for each in record.revoked},
        number=record.lists + 1,
        this_update=at,
        next_update=at + days * DAY,
    )


def keep_list(data: ManufacturerData, event: Signed) -> tuple[ManufacturerData, Effects]:
    """Enter the list and its number in the books, then hand it out."""
    record, crl = given(data.record), given(data.listing).assemble(event.signature)
    record = replace(record, lists=record.lists + 1, crl=crl)
    return replace(data, record=record, listing=None), [Persist(record), Show(Listed(record.lists, crl))]


def keep_tickets(data: ManufacturerData, event: TicketsReceived) -> tuple[ManufacturerData, Effects]:
    """Keep them, and their keys, until modules get them."""
    record = given(data.record)
    record = replace(record, tickets=(*record.tickets, *event.tickets), orders=(*record.orders, event.order))
    return replace(data, record=record), [Persist(record, _labels(record))]


def make_ticket(data: ManufacturerData, event: TicketRequested) -> tuple[ManufacturerData, Effects]:
    """The MAC over number, serial number and identity key."""
    statement = proofs.ticket(event.ticket.number, event.serial, event.public)
    return replace(data, ticketing=event), [UseSecret(event.key, Prove(statement))]


def use_ticket_up(data: ManufacturerData, event: SecretUsed) -> tuple[ManufacturerData, Effects]:
    """Destroy its key, durably, before the module gets it."""
    record, wish = given(data.record), given(data.ticketing)
    record = replace(record, tickets=tuple(each for each in record.tickets if each != wish.ticket))
    done = Ticketed(wish.serial, ModuleTicket(wish.ticket.number, event.result))
    return replace(data, record=record, ticketing=None), [Persist(record, _labels(record)), Show(done)]


def _labels(record: ManufacturerRecord) -> frozenset[str]:
    return frozenset((ROOT, *(ticket.label for ticket in record.tickets)))


def give_up(data: ManufacturerData, event: KeyOperationFailed) -> tuple[ManufacturerData, Effects]:
    """Nothing was issued."""
    return replace(data, pending=None, listing=None, ticketing=None, wish=None), [
        Close(Fault.UNAVAILABLE, event.reason)
    ]


# The table ---------------------------------------------------------------------------------------------------

MANUFACTURER: Final = Table[ManufacturerState, ManufacturerData](
    "manufacturer",
    ManufacturerState,
    S.BLANK,
    [
        # in, on, if, do, then
        row(S.BLANK, Establish, None, make_root_key, S.KEYING),
        row(S.KEYING, KeyPairMade, None, sign_root, S.ROOTING),
        row(S.ROOTING, Signed, None, establish, S.READY),
        row(S.READY, CustomerRequested, request_is_genuine, sign_customer, S.SIGNING),
        row(S.READY, IdentityRequested, serial_is_unused, sign_identity, S.SIGNING),
        row(S.SIGNING, Signed, None, issue, S.READY),
        row(S.READY, Revoke, they_are_ours_and_count, note_revocation, STAY),
        row(S.READY, ListRequested, None, sign_list, S.LISTING),
        row(S.LISTING, Signed, None, keep_list, S.READY),
        row(S.READY, TicketsReceived, they_came_for_the_first_time, keep_tickets, STAY),
        row(S.READY, TicketRequested, it_is_for_a_module_of_ours, make_ticket, S.TICKETING),
        row(S.TICKETING, SecretUsed, None, use_ticket_up, S.READY),
        row((S.KEYING, S.ROOTING), KeyOperationFailed, None, give_up, S.BLANK),
        row((S.SIGNING, S.LISTING, S.TICKETING), KeyOperationFailed, None, give_up, S.READY),
    ],
    entries=(S.READY,),
)
