"""The manufacturer: holds the root key, certifies module identities and customers' signing keys (L1, L6).

Works on its own premises without a channel; requests come as files or from a module on the bench.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..engine import (
    Close,
    Effects,
    Fault,
    GenerateKey,
    KeyHandle,
    KeyKind,
    KeyOperationFailed,
    KeyPairMade,
    Persist,
    PublicKey,
    Show,
    Sign,
    Signed,
    Table,
    given,
    row,
)
from ..keys.certificates import Draft, Role, draft_certificate, trusted_root
from ..keys.requests import read_request
from ..messages import ManufacturerRecord

ROOT: Final = "root"
YEAR: Final = 365 * 24 * 3600
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
class Issued:
    """A certificate was signed and entered in the books, DER."""

    role: Role
    subject: str
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """A certificate that waits for its signature."""

    role: Role
    subject: str
    draft: Draft


@dataclass(frozen=True, slots=True)
class ManufacturerData:
    """Durable record, the root key's handle once it exists, and the certificate that waits for its signature."""

    record: ManufacturerRecord | None = None
    key: KeyHandle | None = None
    wish: Establish | None = None
    pending: Pending | None = field(default=None, repr=False)


def request_is_genuine(_: ManufacturerData, event: CustomerRequested) -> bool:
    """The request is signed by the key that it presents."""
    read_request(event.request)
    return True


def serial_is_unused(data: ManufacturerData, event: IdentityRequested) -> bool:
    """No module has been delivered under this serial number."""
    return event.serial not in given(data.record).serials


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
    pending = Pending(Role.MANUFACTURER, wish.name, draft)
    return replace(data, key=event.key, pending=pending), [Sign(event.key, draft.to_be_signed)]


def establish(data: ManufacturerData, event: Signed) -> tuple[ManufacturerData, Effects]:
    """Keep root key and certificate."""
    pending = given(data.pending)
    name, root = pending.subject, pending.draft.assemble(event.signature)
    record = ManufacturerRecord(name=name, root=root, serials=(), customers=())
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
    return replace(data, pending=Pending(role, subject, draft)), [Sign(given(data.key), draft.to_be_signed)]


def issue(data: ManufacturerData, event: Signed) -> tuple[ManufacturerData, Effects]:
    """Enter it in the books, then hand it out."""
    record, pending = given(data.record), given(data.pending)
    if pending.role is Role.IDENTITY:
        record = replace(record, serials=(*record.serials, pending.subject))
    else:
        record = replace(record, customers=(*record.customers, pending.subject))
    issued = Issued(pending.role, pending.subject, pending.draft.assemble(event.signature))
    return replace(data, record=record, pending=None), [Persist(record), Show(issued)]


def give_up(data: ManufacturerData, event: KeyOperationFailed) -> tuple[ManufacturerData, Effects]:
    """Nothing was issued."""
    return replace(data, pending=None, wish=None), [Close(Fault.UNAVAILABLE, event.reason)]


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
        row((S.KEYING, S.ROOTING), KeyOperationFailed, None, give_up, S.BLANK),
        row(S.SIGNING, KeyOperationFailed, None, give_up, S.READY),
    ],
    entries=(S.READY,),
)
