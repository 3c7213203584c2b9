"""The personalization unit: orders the key pair, has the card certify it, hands over, waits for confirmation.

The unit holds no signing key (REQUIREMENTS: parties): the card is asked by a LookUp and answers with an event.
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
    Consult,
    DeadlinePassed,
    Effects,
    Fault,
    KeyKind,
    LookUp,
    PublicKey,
    Send,
    Show,
    StartTimer,
    StopTimer,
    Table,
    given,
    reason_of,
    row,
)
from ..keys.certificates import Role
from ..keys.public import decompress
from ..messages import (
    ApprovalAwaited,
    Certificates,
    GenerateKeyPair,
    KeyPolicy,
    ModuleKey,
    Personalized,
    Purpose,
    Status,
)
from ..progress import PeopleAwaited

MACHINE_SECONDS: Final = 30.0
"""How long the unit waits for the module (SECURITY: resource limits)."""
PERSON_SECONDS: Final = 240.0
"""How long it waits for the person who compares: less than the module does, so that the module learns of it."""


class UnitState(Enum):
    """Where one personalization can be, seen from the unit."""

    READY = auto()
    AWAITING_KEY = auto()
    COMPARING = auto()
    QUEUING = auto()
    APPROVING = auto()
    CERTIFYING = auto()
    AWAITING_CONFIRMATION = auto()
    PERSONALIZED = auto()
    UNCONFIRMED = auto()
    AWAITING_STATUS = auto()
    REPORTED = auto()
    FAILED = auto()


S = UnitState


@dataclass(frozen=True, slots=True)
class CertificateNeeded:
    """The argument of LookUp("certificate"): what the card is asked to certify."""

    job: bytes
    serial: str
    public: PublicKey
    at: int


@dataclass(frozen=True, slots=True)
class ApprovalNeeded:
    """The argument of LookUp("approval"): the job that people are to approve, now that its key is known."""

    job: bytes
    serial: str
    public: PublicKey


@dataclass(frozen=True, slots=True)
class JobQueued:
    """The card's answer: people can see it, and have so many seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class JobApproved:
    """Two people have approved exactly this job, with this key."""


@dataclass(frozen=True, slots=True)
class JobDropped:
    """Nobody will approve it any more: the module came again, or it is to be personalized no more."""

    reason: str


@dataclass(frozen=True, slots=True)
class ComparisonNeeded:
    """The question of a Consult: does the module show the fingerprint of this key? Only a person at both can tell."""

    public: PublicKey


@dataclass(frozen=True, slots=True)
class FingerprintsAgree:
    """The person compared: module and unit show the same."""


@dataclass(frozen=True, slots=True)
class FingerprintsDiffer:
    """The person compared, or would not: somebody may sit between module and unit."""

    reason: str = "the fingerprints were not found equal"


@dataclass(frozen=True, slots=True)
class ModuleCertified:
    """The card's answer: the module's certificate, DER."""

    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CardRefused:
    """The card's other answer: it does not do this. `fault`: what the module is told."""

    reason: str
    fault: Fault = Fault.UNAVAILABLE


@dataclass(frozen=True, slots=True)
class KeyPresented:
    """For the person who compares fingerprints: the key that the module proved to hold."""

    public: PublicKey


@dataclass(frozen=True, slots=True)
class ModulePersonalized:
    """The module confirmed, with its new key, what it keeps."""

    serial: str
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModuleTurnedAway:
    """The module is not personalized now: what it was told, and why."""

    serial: str
    fault: Fault
    reason: str


@dataclass(frozen=True, slots=True)
class ModuleReported:
    """The module already operates, or refuses to be personalized: how things stand in its own words."""

    serial: str
    status: Status


@dataclass(frozen=True, slots=True)
class UnitData:
    """What the unit knows of one personalization.

    Attributes:
        job: the job's number, 16 bytes; None where the module is only asked how things stand.
        serial: the module that the job is for; known before the link opens (A2, A1), never from the wire.
        salt: the modifier prescribed for the key pair, 32 bytes (L3).
        policy: whether a key pair made at manufacture is admitted.
        queued: people are asked once the module's key is known; else the job is approved, or needs no asking.
        customer, central: DER of the certificates to hand over.
        peer, binding, at: of the open channel.
        presented: the certificates that the module saw in the handshake, DER.
        public: the key that the module presented.
        certificate: what the card made of it, DER.

    """

    job: bytes | None
    serial: str
    salt: bytes
    policy: KeyPolicy
    customer: bytes = field(repr=False)
    central: bytes = field(repr=False)
    queued: bool = False
    peer: Peer | None = None
    binding: bytes = field(default=b"", repr=False)
    at: int = 0
    presented: tuple[bytes, ...] = field(default=(), repr=False)
    public: PublicKey | None = None
    certificate: bytes | None = field(default=None, repr=False)


# Guards ------------------------------------------------------------------------------------------------------


def module_is_the_expected_one(data: UnitData, event: ChannelOpened) -> bool:
    """The serial number is the job's; a certified peer is a module's identity (formal: load-bearing)."""
    return event.peer.name == data.serial and event.peer.role in (None, Role.IDENTITY)


def it_wants_personalization(data: UnitData, event: ChannelOpened) -> bool:
    """The expected module, in a state in which it can be personalized."""
    wants = event.intent.purpose is Purpose.PERSONALIZE and data.job is not None
    return wants and module_is_the_expected_one(data, event)


def there_is_no_job_for_it(data: UnitData, event: ChannelOpened) -> bool:
    """The expected module wants to be personalized, and nobody approved that."""
    return event.intent.purpose is Purpose.PERSONALIZE and data.job is None and module_is_the_expected_one(data, event)


def it_only_reports(data: UnitData, event: ChannelOpened) -> bool:
    """The expected module, already at work."""
    return event.intent.purpose is Purpose.STATUS and module_is_the_expected_one(data, event)


def possession_is_proved(data: UnitData, event: ModuleKey) -> bool:
    """The module signed this channel's exporter value with the key that it presents."""
    public = decompress(KeyKind.P256, event.public_key)
    return verify_signature(ES256, public, proofs.possession(data.binding, data.serial, public), event.proof)


def a_known_module_proves_possession(data: UnitData, event: ModuleKey) -> bool:
    """A certificate or proof vouches for the module, so nobody has to compare; and it holds the key."""
    return given(data.peer).is_known and possession_is_proved(data, event)


def people_are_to_approve_it(data: UnitData, event: ModuleKey) -> bool:
    """The same, and nobody has approved the job yet."""
    return data.queued and a_known_module_proves_possession(data, event)


def the_new_key_confirms(data: UnitData, event: Personalized) -> bool:
    """The new key signed the digest of exactly the certificates that we handed over."""
    kept = (given(data.certificate), data.customer, data.central)
    statement = proofs.confirmation(data.binding, data.serial, kept)
    return verify_signature(ES256, given(data.public), statement, event.signature)


# Actions -----------------------------------------------------------------------------------------------------

_AWAIT_MODULE: Final = StartTimer("module", MACHINE_SECONDS)


def order_key_pair(data: UnitData, event: ChannelOpened) -> tuple[UnitData, Effects]:
    """Prescribe salt, policy and time; crosses in one flight with message_4."""
    order = GenerateKeyPair(job=given(data.job), salt=data.salt, policy=data.policy, time=event.at)
    presented = event.presented
    known = replace(data, peer=event.peer, binding=event.binding, at=event.at, presented=presented)
    return known, [Send(order), _AWAIT_MODULE]


def have_it_certified(data: UnitData, event: ModuleKey) -> tuple[UnitData, Effects]:
    """Show the key and ask the card."""
    public = decompress(KeyKind.P256, event.public_key)
    known = replace(data, public=public)
    return known, [StopTimer("module"), Show(KeyPresented(public)), _ask_card(known, public)]


def have_it_approved(data: UnitData, event: ModuleKey) -> tuple[UnitData, Effects]:
    """Show the key, and let people see the job with it."""
    public = decompress(KeyKind.P256, event.public_key)
    question = ApprovalNeeded(given(data.job), data.serial, public)
    known = replace(data, public=public)
    return known, [StopTimer("module"), Show(KeyPresented(public)), LookUp("approval", question)]


def await_people(data: UnitData, event: JobQueued) -> tuple[UnitData, Effects]:
    """They have minutes; the module is told, so that it waits as well."""
    note = Show(PeopleAwaited("unit", data.serial, event.seconds))
    return data, [Send(ApprovalAwaited(event.seconds)), StartTimer("person", event.seconds), note]


def have_it_compared(data: UnitData, event: ModuleKey) -> tuple[UnitData, Effects]:
    """Show the key and have a person compare it with what the module shows, before anything is signed (A1)."""
    public = decompress(KeyKind.P256, event.public_key)
    shown = Show(KeyPresented(public))
    await_person = StartTimer("person", PERSON_SECONDS)
    return replace(data, public=public), [StopTimer("module"), await_person, shown, Consult(ComparisonNeeded(public))]


def have_the_key_certified(data: UnitData, _: object) -> tuple[UnitData, Effects]:
    """The people agree: ask the card."""
    return data, [StopTimer("person"), _ask_card(data, given(data.public))]


def _ask_card(data: UnitData, public: PublicKey) -> LookUp:
    return LookUp("certificate", CertificateNeeded(given(data.job), data.serial, public, data.at))


def hand_over(data: UnitData, event: ModuleCertified) -> tuple[UnitData, Effects]:
    """Send what the module does not have yet: the customer's certificate crossed if the handshake used it."""
    customer = None if data.customer in data.presented else data.customer
    message = Certificates(module=event.certificate, central=data.central, customer=customer)
    return replace(data, certificate=event.certificate), [Send(message), _AWAIT_MODULE]


def finish(data: UnitData, _: Personalized) -> tuple[UnitData, Effects]:
    """Done: the module operates."""
    result = ModulePersonalized(data.serial, given(data.certificate))
    return data, [StopTimer("module"), Show(result), Close()]


def decline(data: UnitData, _: ChannelOpened) -> tuple[UnitData, Effects]:
    """Say that the approvals are missing."""
    return _turned_away(data, Fault.UNAVAILABLE, f"{data.serial} waits for its personalization, which nobody approved")


def turn_away(data: UnitData, event: CardRefused | JobDropped) -> tuple[UnitData, Effects]:
    """The card does not do it, or nobody approves it: the module is told which, and comes again."""
    fault = event.fault if isinstance(event, CardRefused) else Fault.UNAVAILABLE
    return _turned_away(data, fault, event.reason)


def _turned_away(data: UnitData, fault: Fault, reason: str) -> tuple[UnitData, Effects]:
    note = Show(ModuleTurnedAway(data.serial, fault, reason))
    return data, [StopTimer("person"), note, Close(fault, reason)]


def await_status(data: UnitData, event: ChannelOpened) -> tuple[UnitData, Effects]:
    """Let the module say how things stand."""
    return replace(data, peer=event.peer, binding=event.binding, at=event.at), [_AWAIT_MODULE]


def take_note(data: UnitData, event: Status) -> tuple[UnitData, Effects]:
    """Show it to the person."""
    return data, [StopTimer("module"), Show(ModuleReported(data.serial, event)), Close()]


def give_up(data: UnitData, event: object) -> tuple[UnitData, Effects]:
    """End without result."""
    faults = {DeadlinePassed: Fault.TIMEOUT, FingerprintsDiffer: Fault.UNTRUSTED}
    fault = faults.get(type(event))
    return data, [StopTimer("module"), Close(fault, reason_of(event))]


# The table ---------------------------------------------------------------------------------------------------

ASKING: Final = (S.COMPARING, S.QUEUING, S.APPROVING, S.CERTIFYING)
BEFORE_CERTIFICATES: Final = (S.READY, S.AWAITING_KEY, *ASKING, S.AWAITING_STATUS)

UNIT: Final = Table[UnitState, UnitData](
    "unit",
    UnitState,
    S.READY,
    [
        # in, on, if, do, then
        row(S.READY, ChannelOpened, it_wants_personalization, order_key_pair, S.AWAITING_KEY),
        row(S.READY, ChannelOpened, it_only_reports, await_status, S.AWAITING_STATUS),
        row(S.READY, ChannelOpened, there_is_no_job_for_it, decline, S.FAILED),
        row(S.AWAITING_KEY, ModuleKey, people_are_to_approve_it, have_it_approved, S.QUEUING),
        row(S.AWAITING_KEY, ModuleKey, a_known_module_proves_possession, have_it_certified, S.CERTIFYING),
        row(S.AWAITING_KEY, ModuleKey, possession_is_proved, have_it_compared, S.COMPARING),
        row(S.COMPARING, FingerprintsAgree, None, have_the_key_certified, S.CERTIFYING),
        row(S.COMPARING, FingerprintsDiffer, None, give_up, S.FAILED),
        row(S.QUEUING, JobQueued, None, await_people, S.APPROVING),
        row(S.APPROVING, JobApproved, None, have_the_key_certified, S.CERTIFYING),
        row(S.APPROVING, JobDropped, None, turn_away, S.FAILED),
        row(S.CERTIFYING, ModuleCertified, None, hand_over, S.AWAITING_CONFIRMATION),
        row((S.QUEUING, S.CERTIFYING), CardRefused, None, turn_away, S.FAILED),
        row(S.AWAITING_CONFIRMATION, Personalized, the_new_key_confirms, finish, S.PERSONALIZED),
        row(S.AWAITING_STATUS, Status, None, take_note, S.REPORTED),
        # the module may or may not have kept what we sent: its status tells at the next contact
        row(S.AWAITING_CONFIRMATION, ChannelLost, None, give_up, S.UNCONFIRMED),
        row(S.AWAITING_CONFIRMATION, DeadlinePassed, None, give_up, S.UNCONFIRMED),
        row(BEFORE_CERTIFICATES, ChannelLost, None, give_up, S.FAILED),
        row((S.AWAITING_KEY, S.COMPARING, S.APPROVING, S.AWAITING_STATUS), DeadlinePassed, None, give_up, S.FAILED),
    ],
)
