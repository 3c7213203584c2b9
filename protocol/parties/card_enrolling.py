"""The card's side of its enrollment at a central system (L14), which its computer speaks for; LAST its table.

The signing key signs nothing here (L13): its certificate crossed in the handshake, with that of the authentication key,
which it made under four eyes. The authentication key says, in this channel and in no other, that this is meant.
Nothing durable changes on this side, so that whatever is cut can be done again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..channel import proofs
from ..channel.opened import ChannelOpened, Peer
from ..engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    Fault,
    KeyHandle,
    KeyOperationFailed,
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
from ..keys.requests import read_request
from ..messages import Enroll, Enrolled, Purpose

MACHINE_SECONDS: Final = 30.0
"""How long the card waits for the central system (SECURITY: resource limits)."""


class CardEnrollingState(Enum):
    """Where one enrollment can be, seen from the card. UNCONFIRMED: done or not; doing it again is harmless."""

    READY = auto()
    PROVING = auto()
    AWAITING_CENTRAL = auto()
    ENROLLED = auto()
    UNCONFIRMED = auto()
    FAILED = auto()


S = CardEnrollingState


@dataclass(frozen=True, slots=True)
class CardEnrolled:
    """The central system entered our signing key, and would have its own certified.

    Attributes:
        central: its name.
        request: PKCS#10, DER; for the key whose fingerprint people were told.

    """

    central: str
    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CardEnrollingData:
    """What the card knows of one enrollment.

    Attributes:
        key: its authentication key.
        customer: the certificate of its signing key, DER.
        peer: of the open channel.

    """

    key: KeyHandle
    customer: bytes = field(repr=False)
    peer: Peer | None = None


# Guards ------------------------------------------------------------------------------------------------------


def central_is_the_one_that_was_meant(_: CardEnrollingData, event: ChannelOpened) -> bool:
    """The handshake admits no key but the pinned one; here only the purpose is left to be looked at."""
    return event.intent.purpose is Purpose.ENROLL and event.peer.role is None


def request_is_for_its_key(data: CardEnrollingData, event: Enrolled) -> bool:
    """The request is signed by the key that the channel is with, under the name that it goes by there.

    Raises:
        CertificateRefused: it is no request.

    """
    request, peer = read_request(event.request), given(data.peer)
    return request.public == peer.public and request.subject == peer.name


# Actions -----------------------------------------------------------------------------------------------------


def prove(data: CardEnrollingData, event: ChannelOpened) -> tuple[CardEnrollingData, Effects]:
    """State, for this channel, which signing key and which central system are meant."""
    statement = proofs.enrollment(event.binding, data.customer, event.peer.public)
    return replace(data, peer=event.peer), [Sign(data.key, statement)]


def enrol(data: CardEnrollingData, event: Signed) -> tuple[CardEnrollingData, Effects]:
    """Send it."""
    return data, [Send(Enroll(event.signature)), StartTimer("central", MACHINE_SECONDS)]


def finish(data: CardEnrollingData, event: Enrolled) -> tuple[CardEnrollingData, Effects]:
    """Done; what the central system asks for is for two people to approve."""
    note = CardEnrolled(given(data.peer).name, event.request)
    return data, [StopTimer("central"), Show(note), Close()]


def give_up(data: CardEnrollingData, event: object) -> tuple[CardEnrollingData, Effects]:
    """End without result."""
    fault = {DeadlinePassed: Fault.TIMEOUT, KeyOperationFailed: Fault.UNAVAILABLE}.get(type(event))
    return data, [StopTimer("central"), Close(fault, reason_of(event))]


# The table ---------------------------------------------------------------------------------------------------

CARD_ENROLLING: Final = Table[CardEnrollingState, CardEnrollingData](
    "card-enrolling",
    CardEnrollingState,
    S.READY,
    [
        # in, on, if, do, then
        row(S.READY, ChannelOpened, central_is_the_one_that_was_meant, prove, S.PROVING),
        row(S.PROVING, Signed, None, enrol, S.AWAITING_CENTRAL),
        row(S.AWAITING_CENTRAL, Enrolled, request_is_for_its_key, finish, S.ENROLLED),
        row(S.PROVING, KeyOperationFailed, None, give_up, S.FAILED),
        row((S.READY, S.PROVING), ChannelLost, None, give_up, S.FAILED),
        # the central system may or may not have entered the key
        row(S.AWAITING_CENTRAL, ChannelLost, None, give_up, S.UNCONFIRMED),
        row(S.AWAITING_CENTRAL, DeadlinePassed, None, give_up, S.UNCONFIRMED),
    ],
)
