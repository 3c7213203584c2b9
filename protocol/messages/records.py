"""Durable records: what each party keeps between sessions, in the same strict encoding as the messages.

Declarations only. A record holds no private key; those lie beside it in the same sealed file. Rules are shared with
the messages; the CDDL of every record is in its docstring.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha256
from typing import Annotated, Final

from .fields import Key, Secret, Size, Within
from .personalization import Certificate, Fingerprint, ModuleCondition
from .wire import record

NAME: Final = Size(1, 64)
RECORD_LIMITS: Final = {"max_bytes": 16 << 20, "max_items": 16 << 20}
"""Arguments for `decode_record`: a sealed file is authenticated and may be larger than a frame."""


@record
class ModuleRecord:
    """What a module keeps, beside its key pairs (L1, L4-L8).

    Attributes:
        serial: serial number, as the manufacturer entered it.
        root: the manufacturer's root certificate, entered at manufacture; every path must end here (L6).
        condition: delivered, operating or reset.
        epoch: how many resets the module has seen; never falls.
        latest: the latest time seen in a verified message, unix seconds; the clock is never behind it.
        identity: the manufacturer's certificate for the identity key; None for a module without one.
        key: label of the operating key pair, while there is one.
        module, customer, central: the operating certificate, its issuer, the pinned central system's.

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

    @property
    def fingerprint(self) -> bytes | None:
        """SHA-256 of the operating certificate, 32 bytes; None where there is none."""
        return None if self.module is None else sha256(self.module).digest()


@record
class ManufacturerRecord:
    """What the manufacturer keeps: its root certificate and the books (L1).

    CDDL::

        ManufacturerRecord = {
          1: tstr .size (1..64),    ; name
          2: certificate,           ; root
          3: [* tstr .size (1..64)],  ; serials of the modules with an identity
          4: [* tstr .size (1..64)],  ; customers
        }
    """

    name: Annotated[str, Key(1), NAME]
    root: Annotated[Certificate, Key(2)]
    serials: Annotated[tuple[Annotated[str, NAME], ...], Key(3), Size(0, 1 << 20)]
    customers: Annotated[tuple[Annotated[str, NAME], ...], Key(4), Size(0, 1 << 20)]


@record
class ModuleEntry:
    """What the central system knows of one module (L9, S4).

    Attributes:
        serial: the module's serial number.
        epoch: the latest epoch that the module told or was commanded from.
        fingerprint: SHA-256 of the one certificate that is accepted in this epoch.
        valid: False from the moment a reset is ordered; only a newer epoch makes it True again. Until then the module
            may do one thing, be reset.
        last_contact: unix seconds.
        last_number: the highest number of an authorization that was answered; never falls (S10).
        retired: fingerprints of the certificates of earlier epochs, which are never accepted again.
        issued: when the accepted certificate was made, unix seconds; that of a newer epoch is not older.

    CDDL::

        ModuleEntry = {
          1: tstr .size (1..64),  ; serial
          2: epoch,
          3: bstr .size 32,       ; fingerprint
          4: bool,                ; valid
          5: unix-time,           ; last contact
          6: uint,                ; last number
          7: [* bstr .size 32],   ; retired
          8: unix-time,           ; issued
        }

    """

    serial: Annotated[str, Key(1), NAME]
    epoch: Annotated[int, Key(2)]
    fingerprint: Annotated[Fingerprint, Key(3)]
    valid: Annotated[bool, Key(4)]
    last_contact: Annotated[int, Key(5)]
    last_number: Annotated[int, Key(6)]
    retired: Annotated[tuple[Fingerprint, ...], Key(7), Size(0, 1 << 12)]
    issued: Annotated[int, Key(8)]


@record
class CentralRecord:
    """What the central system keeps: its name and certificate, trusted customers, and its modules.

    Attributes:
        name: of the central system.
        certificate: signed by a customer's card; None until it is there.
        root: the manufacturer's root under which the customers were checked; None until a customer is trusted.
        customers: certificates whose modules are admitted, entered over an integrity-controlled path (L9).
        modules: the registry.

    CDDL::

        CentralRecord = {
          1: tstr .size (1..64),  ; name
          ? 2: certificate,
          ? 3: certificate,       ; root
          4: [* certificate],     ; customers
          5: [* ModuleEntry],
        }

    """

    name: Annotated[str, Key(1), NAME]
    customers: Annotated[tuple[Certificate, ...], Key(4), Size(0, 1024)]
    modules: Annotated[tuple[ModuleEntry, ...], Key(5), Size(0, 1 << 20)]
    certificate: Annotated[Certificate | None, Key(2)] = None
    root: Annotated[Certificate | None, Key(3)] = None


class CardRole(IntEnum):
    """What a card's job is to certify.

    CDDL::

        card-role = &(
          module: 0,
          unit: 1,
          central: 2,
        )
    """

    MODULE = 0
    UNIT = 1
    CENTRAL = 2


@record
class Person:
    """Somebody who may approve; two different ones must, for each signature (L13).

    Attributes:
        name: of the person.
        salt: of the verifier, 16 random bytes.
        verifier: scrypt of the PIN, 32 bytes.
        failures: wrong PINs in a row; at five the person is locked.

    CDDL::

        Person = {
          1: tstr .size (1..64),  ; name
          2: bstr .size 16,       ; salt
          3: bstr .size 32,       ; verifier
          4: 0..255,              ; failures
        }

    """

    name: Annotated[str, Key(1), NAME]
    salt: Annotated[bytes, Key(2), Size(16)]
    verifier: Annotated[bytes, Key(3), Size(32), Secret()]
    failures: Annotated[int, Key(4), Within(0, 255)]


@record
class Job:
    """One certificate that is to be made: exactly this, for a limited time, once (L13, S6).

    Attributes:
        number: 16 random bytes that name the job.
        role: what the certificate is for.
        subject: serial number of the module, or name of the unit or central system.
        salt: the modifier for the module's key pair, 32 random bytes (L3).
        days: validity of the certificate.
        expires: unix seconds after which approvals count no more.
        approvals: names of the people who approved.
        public_key: compressed P-256 point that is to be certified; None for a module, whose key does not exist yet.

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
class CardRecord:
    """What a software card keeps beside its two key pairs (L12, L13).

    Attributes:
        name: the customer's name, subject of the signing key's certificate.
        people: who may approve.
        jobs: what is to be certified and was not yet.
        log: the entries of the log, oldest first, each as stores/card_log.py encodes it.
        root, customer: the manufacturer's certificates; None until the manufacturer has signed.
        unit: the certificate of the authentication key; None until two people had it made.

    CDDL::

        CardRecord = {
          1: tstr .size (1..64),   ; name
          2: [2*16 Person],
          3: [* Job],
          4: [* bstr],             ; log
          ? 5: certificate,        ; root
          ? 6: certificate,        ; customer
          ? 7: certificate,        ; unit
        }

    """

    name: Annotated[str, Key(1), NAME]
    people: Annotated[tuple[Person, ...], Key(2), Size(2, 16)]
    jobs: Annotated[tuple[Job, ...], Key(3), Size(0, 4096)]
    log: Annotated[tuple[bytes, ...], Key(4), Size(0, 1 << 18)]
    root: Annotated[Certificate | None, Key(5)] = None
    customer: Annotated[Certificate | None, Key(6)] = None
    unit: Annotated[Certificate | None, Key(7)] = None
