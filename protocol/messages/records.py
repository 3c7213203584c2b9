"""Durable records: what each party keeps between sessions, in the same strict encoding as the messages.

Declarations only. A record holds no private key; those lie beside it in the same sealed file. Rules are shared with
the messages; the CDDL of every record is in its docstring.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from hashlib import sha256
from typing import Annotated, Any, Final

from .business import CRL_MAX, CheckValue, PayloadBytes
from .fields import Key, Secret, Size, Within
from .people import MOST_CHANGES, MOST_PEOPLE, PeopleJob, Person
from .personalization import Certificate, ModuleCondition
from .standing import MOST_STANDING, StandingJob, StandingPolicy
from .tickets import MOST_TICKETS, ModuleTicket, TicketInStock
from .wire import array, record

NAME: Final = Size(1, 64)
MOST_OPEN: Final = 64
"""Transactions, outgoing messages and instructions that a module keeps at a time, of each."""
MOST_REVOKED: Final = 1024
"""Certificates of one issuer that are revoked; a list that is read holds some 900 (keys/revocation.py)."""
LARGEST_LIST_NUMBER: Final = (1 << 63) - 1
MOST_LOG_ENTRIES: Final = 1 << 18
"""Entries of a card's log."""
SIGNED_LOG_MAX: Final = 512
"""The longest head or receipt of a card's log, in bytes."""
MOST_LISTS: Final = 16
"""Revocation lists that wait for approval on a card at a time."""
IDENTITY: Final = "identity"
"""Label of a module's identity key pair."""
RECORD_LIMITS: Final = {"max_bytes": 16 << 20, "max_items": 16 << 20}
"""Arguments for `decode_record`: a sealed file is authenticated and may be larger than a frame."""


@record
class OpenTransaction:
    """An authorization that is not settled: asked for, or instructed and not yet reported (L10).

    Attributes:
        number: of the Authorize.
        instructed: what the central system had paid out, in minor units; None while it has not answered.

    CDDL::

        OpenTransaction = {
          1: message-number,
          ? 2: minor-units,   ; instructed
        }

    """

    number: Annotated[int, Key(1)]
    instructed: Annotated[int | None, Key(2)] = None


@record
class HeldInstruction:
    """Bytes from the host that the ATM controller has not taken yet (L10).

    CDDL::

        HeldInstruction = {
          1: message-number,
          2: payload,
        }

    """

    number: Annotated[int, Key(1)]
    content: Annotated[PayloadBytes, Key(2)]


@record
class HeldKey:
    """What a module keeps beside a symmetric key: what ends its life (L11, S8).

    Attributes:
        label: of the key in key memory.
        number: of the LoadKey that brought it.
        not_after: unix seconds after which it is not used.
        left: how often it may still be used.
        seen: the latest time at which it was used, unix seconds; no clock is believed that is behind it.

    CDDL::

        HeldKey = {
          1: tstr .size (1..64),  ; label
          2: message-number,
          3: unix-time,           ; not after
          4: count,               ; uses left
          5: unix-time,           ; seen
        }

    """

    label: Annotated[str, Key(1), NAME]
    number: Annotated[int, Key(2)]
    not_after: Annotated[int, Key(3)]
    left: Annotated[int, Key(4)]
    seen: Annotated[int, Key(5)]


@record
class ModuleRecord:
    """What a module keeps, beside its keys (L1, L4-L8, L10, L11).

    Attributes:
        serial: serial number, as the manufacturer entered it.
        root: the manufacturer's root certificate, entered at manufacture; every path must end here (L6).
        condition: delivered, operating or reset.
        epoch: how many resets the module has seen; never falls.
        latest: the latest time seen in a verified message, unix seconds; the clock is never behind it.
        identity: the manufacturer's certificate for the identity key; None for a module without one.
        key: label of the operating key pair, while there is one.
        module, customer, central: the operating certificate, its issuer, the pinned central system's.
        generation: how often this record was written; never falls (S4).
        last: the highest message number given; never falls, and no number is given twice (S10).
        heard: the highest message number of the central system that was taken in; never falls.
        open: authorizations that are not settled, ascending.
        outbox: messages that the central system has not received yet, as they go over the channel, ascending.
        inbox: instructions that the ATM controller has not taken yet, ascending.
        crl: the manufacturer's certificate revocation list, as far as one came (S5).
        keys: symmetric keys, at most one for each usage.
        shared: labels of the keys for proofs that came at manufacture, and of a shared secret; they outlast
            every reset (A5, A6).
        wrong: attempts at the shared secret since the last right one; None for none (A6).
        ticket: by which a customer's card knows the identity key (A4).
        circular: True: a customer whom only its own central system certified is admitted over a cable (L6).

    CDDL::

        ModuleRecord = {
          1: tstr .size (1..64),  ; serial
          2: certificate,         ; root
          3: module-condition,
          4: epoch,
          5: unix-time,           ; latest
          ? 6: certificate,       ; identity
          ? 7: tstr .size (1..64),  ; key
          ? 8: certificate,       ; module
          ? 9: certificate,       ; customer
          ? 10: certificate,      ; central
          11: count,              ; generation
          12: count,              ; last message number
          13: count,              ; heard
          14: [*64 OpenTransaction],
          15: [*64 bstr],                ; outbox, each a Message
          16: [*64 HeldInstruction],     ; inbox
          ? 17: bstr .size (1..32768),   ; CRL
          18: [*8 HeldKey],
          19: [*4 tstr .size (1..64)],   ; labels of shared keys
          ? 20: 1..5,                    ; wrong attempts
          ? 21: ModuleTicket,
          ? 22: bool,             ; circular customers are admitted
        }

    """

    serial: Annotated[str, Key(1), NAME]
    root: Annotated[Certificate, Key(2)]
    condition: Annotated[ModuleCondition, Key(3)]
    epoch: Annotated[int, Key(4)]
    latest: Annotated[int, Key(5)]
    identity: Annotated[Certificate | None, Key(6)] = None
    key: Annotated[str | None, Key(7), NAME] = None
    module: Annotated[Certificate | None, Key(8)] = None
    customer: Annotated[Certificate | None, Key(9)] = None
    central: Annotated[Certificate | None, Key(10)] = None
    generation: Annotated[int, Key(11)] = 0
    last: Annotated[int, Key(12)] = 0
    heard: Annotated[int, Key(13)] = 0
    open: Annotated[tuple[OpenTransaction, ...], Key(14), Size(0, MOST_OPEN)] = ()
    outbox: Annotated[tuple[bytes, ...], Key(15), Size(0, MOST_OPEN), Secret()] = ()
    inbox: Annotated[tuple[HeldInstruction, ...], Key(16), Size(0, MOST_OPEN)] = ()
    crl: Annotated[bytes | None, Key(17), Size(1, CRL_MAX)] = None
    keys: Annotated[tuple[HeldKey, ...], Key(18), Size(0, 8)] = ()
    shared: Annotated[tuple[Annotated[str, NAME], ...], Key(19), Size(0, 4)] = ()
    wrong: Annotated[int | None, Key(20), Within(1, 5)] = None
    ticket: Annotated[ModuleTicket | None, Key(21)] = None
    circular: Annotated[bool | None, Key(22)] = None

    @property
    def fingerprint(self) -> bytes | None:
        """SHA-256 of the operating certificate, 32 bytes; None where there is none."""
        return None if self.module is None else sha256(self.module).digest()

    @property
    def labels(self) -> frozenset[str]:
        """The labels of all keys that belong to this record once the module operates."""
        own = (self.key, *(held.label for held in self.keys))
        return self.lasting.union(label for label in own if label is not None)

    @property
    def lasting(self) -> frozenset[str]:
        """The labels of the keys and secrets that outlast every reset."""
        return frozenset((IDENTITY, *self.shared) if self.identity else self.shared)

    def written(self, **changes: Any) -> ModuleRecord:  # noqa: ANN401 - fields of the record
        """The record of the next generation, with these changes."""
        return replace(self, generation=self.generation + 1, **changes)


@array
class Booked:
    """A certificate that was issued, as the books name it.

    Attributes:
        subject: serial number of a module, or name of a customer.
        number: serial number of the certificate, 16 bytes, by which it is revoked.

    CDDL::

        Booked = [
          subject: tstr .size (1..64),
          number: bstr .size 16,
        ]

    """

    subject: Annotated[str, Key(0), NAME]
    number: Annotated[bytes, Key(1), Size(16)]


@array
class Revoked:
    """A certificate that counts no more (S5).

    Attributes:
        number: serial number of the certificate, 16 bytes.
        since: unix seconds.

    CDDL::

        Revoked = [
          number: bstr .size 16,
          since: unix-time,
        ]

    """

    number: Annotated[bytes, Key(0), Size(16)]
    since: Annotated[int, Key(1)]


@record
class ManufacturerRecord:
    """What the manufacturer keeps: its root certificate, the books (L1), and what it has revoked (S5).

    Attributes:
        name: of the manufacturer.
        root: its certificate.
        identities: of modules, each under its serial number; as many as surely fit into a sealed file.
        customers: certificates of customers' signing keys; a customer with several cards has several.
        revoked: which of both count no more.
        lists: the number of the last revocation list; 0 for none.
        crl: that list, DER.
        tickets: of customers, not used yet (A4).
        orders: numbers of the ticket orders that were taken in, 16 bytes each; none is taken in twice.

    CDDL::

        ManufacturerRecord = {
          1: tstr .size (1..64),  ; name
          2: certificate,         ; root
          3: [*131072 Booked],    ; identities
          4: [*4096 Booked],      ; customers
          5: [*1024 Revoked],
          6: count,               ; number of the last list
          ? 7: bstr .size (1..32768),  ; CRL
          8: [*4096 TicketInStock],
          9: [*4096 bstr .size 16],    ; ticket orders
        }

    """

    name: Annotated[str, Key(1), NAME]
    root: Annotated[Certificate, Key(2)]
    identities: Annotated[tuple[Booked, ...], Key(3), Size(0, 1 << 17)] = ()
    customers: Annotated[tuple[Booked, ...], Key(4), Size(0, 1 << 12)] = ()
    revoked: Annotated[tuple[Revoked, ...], Key(5), Size(0, MOST_REVOKED)] = ()
    lists: Annotated[int, Key(6)] = 0
    crl: Annotated[bytes | None, Key(7), Size(1, CRL_MAX)] = None
    tickets: Annotated[tuple[TicketInStock, ...], Key(8), Size(0, MOST_TICKETS)] = ()
    orders: Annotated[tuple[Annotated[bytes, Size(16)], ...], Key(9), Size(0, 1 << 12)] = ()


@record
class CentralRecord:
    """What the central system keeps in its sealed file; its registry is elsewhere (stores/registry.py).

    Attributes:
        name: of the central system.
        certificate: signed by a customer's card; None until it is there.
        root: the manufacturer's root under which customers are checked; None until it was entered.

    CDDL::

        CentralRecord = {
          1: tstr .size (1..64),  ; name
          ? 2: certificate,
          ? 3: certificate,       ; root
        }

    """

    name: Annotated[str, Key(1), NAME]
    certificate: Annotated[Certificate | None, Key(2)] = None
    root: Annotated[Certificate | None, Key(3)] = None


@record
class KeyOrder:
    """A symmetric key that waits for a module at the central system (L11).

    Attributes:
        block: TR-31 version D key block under the central system's storage key.
        not_after: unix seconds after which the module must not use it.
        uses: how often it may be used.
        check_value: what the module must answer.

    CDDL::

        KeyOrder = {
          1: tstr .size (16..1024),  ; key block
          2: unix-time,              ; not after
          3: 1..4294967295,          ; uses
          4: check-value,
        }

    """

    block: Annotated[str, Key(1), Size(16, 1024), Secret()]
    not_after: Annotated[int, Key(2)]
    uses: Annotated[int, Key(3), Within(1, (1 << 32) - 1)]
    check_value: Annotated[CheckValue, Key(4)]


class CardRole(IntEnum):
    """What a card's job is to certify; or tickets that it is to give out (A4).

    CDDL::

        card-role = &(
          module: 0,
          unit: 1,
          central: 2,
          tickets: 3,
        )
    """

    MODULE = 0
    UNIT = 1
    CENTRAL = 2
    TICKETS = 3


@record
class Job:
    """One certificate or order of tickets that is to be made: exactly this, for a limited time, once (L13, S6).

    Attributes:
        number: 16 random bytes that name the job.
        role: what the certificate is for.
        subject: serial number of the module, or name of the unit or central system; of tickets, how many.
        salt: the modifier for the module's key pair, 32 random bytes (L3).
        days: validity of the certificate.
        expires: unix seconds after which approvals count no more.
        approvals: names of the people who approved.
        public_key: compressed P-256 point that is to be certified; None for tickets, and for a module whose key does
            not exist yet.

    CDDL::

        Job = {
          1: bstr .size 16,       ; number
          2: card-role,
          3: tstr .size (1..64),  ; subject
          4: bstr .size 32,       ; salt
          5: 1..36500,            ; days
          6: unix-time,           ; expires
          7: [*2 tstr .size (1..64)],  ; approvals
          ? 8: bstr .size 33,     ; public key
        }

    """

    number: Annotated[bytes, Key(1), Size(16)]
    role: Annotated[CardRole, Key(2)]
    subject: Annotated[str, Key(3), NAME]
    salt: Annotated[bytes, Key(4), Size(32)]
    days: Annotated[int, Key(5), Within(1, 36500)]
    expires: Annotated[int, Key(6)]
    approvals: Annotated[tuple[Annotated[str, NAME], ...], Key(7), Size(0, 2)]
    public_key: Annotated[bytes | None, Key(8), Size(33)] = None


@record
class ListJob:
    """A revocation list that is to be signed: all that the one before has, and exactly these besides (S5, L13, S6).

    Attributes:
        number: 16 random bytes that name the job.
        list_number: of the list; one more than that of the list before.
        added: serial numbers of the certificates, 16 bytes each, ascending; none where the list is only renewed.
        days: until its next update.
        expires: unix seconds after which approvals count no more.
        approvals: names of the people who approved.

    CDDL::

        ListJob = {
          1: bstr .size 16,             ; number
          2: 1..9223372036854775807,    ; list number
          3: [*1024 bstr .size 16],     ; added
          4: 1..3650,                   ; days
          5: unix-time,                 ; expires
          6: [*2 tstr .size (1..64)],   ; approvals
        }

    """

    number: Annotated[bytes, Key(1), Size(16)]
    list_number: Annotated[int, Key(2), Within(1, LARGEST_LIST_NUMBER)]
    added: Annotated[tuple[Annotated[bytes, Size(16)], ...], Key(3), Size(0, MOST_REVOKED)]
    days: Annotated[int, Key(4), Within(1, 3650)]
    expires: Annotated[int, Key(5)]
    approvals: Annotated[tuple[Annotated[str, NAME], ...], Key(6), Size(0, 2)]


@record
class CardRecord:
    """What a software card keeps beside its two key pairs (L12, L13).

    Attributes:
        name: the customer's name, subject of the signing key's certificate.
        people: who may approve.
        jobs: what is to be certified and was not yet.
        log: the entries of the log, oldest first, each as stores/card_log.py encodes it.
        root, customer: the manufacturer's certificates; None until the manufacturer has signed.
        unit: the certificate of the authentication key; None until two people had it made.
        lists: revocation lists that wait for approval; what is revoked stands in the log.
        crl: the last list that was signed, DER.
        heard: the manufacturer's newest list, DER; modules on it are not personalized.
        central: the request (DER) of the central system that signed `customer` in the manufacturer's place, so that
            there is no root (L6).
        standing: standing approvals that wait for people; those in force stand in the log.
        policy: what standing approvals there may be; None: none.
        head: the last head of the log that the authentication key signed, COSE_Sign1 (parties/log_heads.py).
        receipt: the last one by which a central system says how far it has read the log, COSE_Sign1.
        changes: of the people, that wait for approval.
        signing: PKCS#11 URI of the token with the signing key, whose PIN two people hold together; None: the key is
            where this record is.
        asks: whether that token itself asks for the PIN at each signature, as it said when the key was made; None: it
            was not looked at, or there is none.

    CDDL::

        CardRecord = {
          1: tstr .size (1..64),   ; name
          2: [2*16 Person],
          3: [* Job],
          4: [* bstr],             ; log
          ? 5: certificate,        ; root
          ? 6: certificate,        ; customer
          ? 7: certificate,        ; unit
          8: [*16 ListJob],
          ? 9: bstr .size (1..32768),   ; CRL
          ? 10: bstr .size (1..32768),  ; the manufacturer's CRL
          ? 11: certificate,       ; the central system's request
          12: [*16 StandingJob],
          ? 13: StandingPolicy,
          ? 14: bstr .size (1..512),    ; head of the log
          ? 15: bstr .size (1..512),    ; receipt for the log
          16: [*16 PeopleJob],
          ? 17: tstr .size (1..512),    ; token with the signing key
          ? 18: bool,              ; it asks for the PIN at each signature
        }

    """

    name: Annotated[str, Key(1), NAME]
    people: Annotated[tuple[Person, ...], Key(2), Size(2, MOST_PEOPLE)]
    jobs: Annotated[tuple[Job, ...], Key(3), Size(0, 4096)]
    log: Annotated[tuple[bytes, ...], Key(4), Size(0, MOST_LOG_ENTRIES)]
    root: Annotated[Certificate | None, Key(5)] = None
    customer: Annotated[Certificate | None, Key(6)] = None
    unit: Annotated[Certificate | None, Key(7)] = None
    lists: Annotated[tuple[ListJob, ...], Key(8), Size(0, MOST_LISTS)] = ()
    crl: Annotated[bytes | None, Key(9), Size(1, CRL_MAX)] = None
    heard: Annotated[bytes | None, Key(10), Size(1, CRL_MAX)] = None
    central: Annotated[Certificate | None, Key(11)] = None
    standing: Annotated[tuple[StandingJob, ...], Key(12), Size(0, MOST_STANDING)] = ()
    policy: Annotated[StandingPolicy | None, Key(13)] = None
    head: Annotated[bytes | None, Key(14), Size(1, SIGNED_LOG_MAX)] = None
    receipt: Annotated[bytes | None, Key(15), Size(1, SIGNED_LOG_MAX)] = None
    changes: Annotated[tuple[PeopleJob, ...], Key(16), Size(0, MOST_CHANGES)] = ()
    signing: Annotated[str | None, Key(17), Size(1, 512)] = None
    asks: Annotated[bool | None, Key(18)] = None
