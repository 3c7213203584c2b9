"""The central system's side of a card's enrollment (L14): how a signing key gets into the registry; LAST its table.

Which card is meant was pinned before the link opened. What is entered is written in one step, before the card is told:
a cut leaves the registry as it was or with the issuer in it, and the same card again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..channel import proofs
from ..channel.cose import ES256, verify_signature
from ..channel.opened import ChannelOpened, Peer
from ..engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    Fault,
    KeyHandle,
    KeyOperationFailed,
    Persist,
    Send,
    Show,
    Sign,
    Signed,
    StartTimer,
    StopTimer,
    Table,
    given,
    reason_of,
    row,
)
from ..keys.certificates import Draft, Role, VerifiedCertificate
from ..keys.requests import draft_request
from ..messages import Enroll, Enrolled, Purpose
from ..stores.registry import Issuer

MACHINE_SECONDS: Final = 30.0
"""How long the central system waits for the card (SECURITY: resource limits)."""


class CentralEnrollingState(Enum):
    """Where one enrollment can be, seen from the central system."""

    LISTENING = auto()
    AWAITING_CARD = auto()
    SEALING = auto()
    REQUESTING = auto()
    ENROLLED = auto()
    FAILED = auto()


S = CentralEnrollingState


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What is to be entered, in one step: the issuer, and for the audit trail how it came."""

    issuer: Issuer
    how: str


@dataclass(frozen=True, slots=True)
class IssuerEnrolled:
    """A card's signing key was entered in the registry."""

    issuer: Issuer


@dataclass(frozen=True, slots=True)
class CentralEnrollingData:
    """What the central system knows of one enrollment.

    Attributes:
        name: its own.
        key: its own.
        peer, binding: of the open channel; the peer's chain is the certificates of the card's two keys.
        seal: its signature over the issuer's certificate.
        draft: of its request, which waits for its signature.

    """

    name: str
    key: KeyHandle
    peer: Peer | None = None
    binding: bytes = field(default=b"", repr=False)
    seal: bytes = field(default=b"", repr=False)
    draft: Draft | None = field(default=None, repr=False)


# Guards ------------------------------------------------------------------------------------------------------


def card_is_the_one_that_was_meant(_: CentralEnrollingData, event: ChannelOpened) -> bool:
    """The handshake admits no signing key but the pinned one, and the key at the other end is one it certified."""
    return event.intent.purpose is Purpose.ENROLL and event.peer.role is Role.UNIT


def card_means_us(data: CentralEnrollingData, event: Enroll) -> bool:
    """The authentication key signed, for this channel, that its signing key is to be entered here and nowhere else."""
    peer = given(data.peer)
    _, customer = peer.chain
    statement = proofs.enrollment(data.binding, customer.der, data.key.public)
    return verify_signature(ES256, peer.public, statement, event.proof)


# Actions -----------------------------------------------------------------------------------------------------


def await_card(data: CentralEnrollingData, event: ChannelOpened) -> tuple[CentralEnrollingData, Effects]:
    """Let it say what it wants."""
    return replace(data, peer=event.peer, binding=event.binding), [StartTimer("card", MACHINE_SECONDS)]


def seal(data: CentralEnrollingData, _event: Enroll) -> tuple[CentralEnrollingData, Effects]:
    """Sign the certificate, to know it again whoever writes into the database (M1)."""
    _, customer = given(data.peer).chain
    return data, [StopTimer("card"), Sign(data.key, proofs.trusted_issuer(customer.der))]


def ask_for_certificate(data: CentralEnrollingData, event: Signed) -> tuple[CentralEnrollingData, Effects]:
    """Draw up the request for our own certificate."""
    draft = draft_request(data.name, data.key.public)
    return replace(data, seal=event.signature, draft=draft), [Sign(data.key, draft.to_be_signed)]


def enter(data: CentralEnrollingData, event: Signed) -> tuple[CentralEnrollingData, Effects]:
    """Enter the issuer, then say so and hand over the request."""
    unit, customer = given(data.peer).chain
    issuer = sealed_issuer(customer, data.seal)
    how = f"enrolled by the card itself, unit {unit.subject}, certificate {unit.fingerprint.hex()}"
    request = given(data.draft).assemble(event.signature)
    persist, note = Persist(Enrollment(issuer, how)), Show(IssuerEnrolled(issuer))
    return data, [persist, Send(Enrolled(request)), note, Close()]


def sealed_issuer(customer: VerifiedCertificate, seal: bytes) -> Issuer:
    """A customer's signing key as the registry keeps it, with our signature `seal` over its certificate."""
    return Issuer(
        fingerprint=customer.fingerprint,
        certificate=customer.der,
        owner=customer.subject,
        certificate_number=customer.serial_number,
        root=customer.issuer_fingerprint,
        seal=seal,
    )


def give_up(data: CentralEnrollingData, event: object) -> tuple[CentralEnrollingData, Effects]:
    """End; nothing was entered."""
    fault = {DeadlinePassed: Fault.TIMEOUT, KeyOperationFailed: Fault.UNAVAILABLE}.get(type(event))
    return data, [StopTimer("card"), Close(fault, reason_of(event))]


# The table ---------------------------------------------------------------------------------------------------

CENTRAL_ENROLLING: Final = Table[CentralEnrollingState, CentralEnrollingData](
    "central-enrolling",
    CentralEnrollingState,
    S.LISTENING,
    [
        # in, on, if, do, then
        row(S.LISTENING, ChannelOpened, card_is_the_one_that_was_meant, await_card, S.AWAITING_CARD),
        row(S.AWAITING_CARD, Enroll, card_means_us, seal, S.SEALING),
        row(S.SEALING, Signed, None, ask_for_certificate, S.REQUESTING),
        row(S.REQUESTING, Signed, None, enter, S.ENROLLED),
        row((S.SEALING, S.REQUESTING), KeyOperationFailed, None, give_up, S.FAILED),
        row(S.AWAITING_CARD, DeadlinePassed, None, give_up, S.FAILED),
        row((S.LISTENING, S.AWAITING_CARD, S.SEALING, S.REQUESTING), ChannelLost, None, give_up, S.FAILED),
    ],
)
