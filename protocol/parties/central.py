"""The central system's side of one session with one module: contact, authorization, reset by command.

What it decides about money is not here: a LookUp asks the host, and the answer comes back as an event. What it
knows about the module is its registry entry, persisted before anything that depends on it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..channel import proofs
from ..channel.opened import ChannelOpened, Peer
from ..engine import (
    STAY,
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    Fault,
    KeyHandle,
    KeyOperationFailed,
    LookUp,
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
from ..keys.certificates import Role
from ..messages import (
    Authorize,
    ModuleCondition,
    ModuleEntry,
    PayOut,
    Purpose,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    ResetRequest,
    Status,
)

MACHINE_SECONDS: Final = 30.0
"""How long the central system waits for a module's answer (SECURITY: resource limits)."""


class CentralState(Enum):
    """Where a session with one module can be."""

    LISTENING = auto()
    GREETING = auto()
    ONLINE = auto()
    DECIDING = auto()
    RESETTING = auto()
    COMMANDING = auto()
    COMMANDED = auto()
    ENDED = auto()


S = CentralState


@dataclass(frozen=True, slots=True)
class Decided:
    """The host's answer to LookUp("decision"): what to instruct the module."""

    instruction: PayOut


@dataclass(frozen=True, slots=True)
class ResetOrdered:
    """The operator of the central system wants this module reset."""


@dataclass(frozen=True, slots=True)
class ModuleContacted:
    """A module proved itself; its entry in the registry."""

    entry: ModuleEntry


@dataclass(frozen=True, slots=True)
class ModuleReset:
    """The module erased its keys and said so."""

    serial: str
    epoch: int


@dataclass(frozen=True, slots=True)
class CentralData:
    """What the central system knows in one session.

    Attributes:
        key: its own key pair.
        entries: the registry's entries by serial number, as they were when the session began.
        entry: that of the module in this session.
        peer, at: of the open channel.
        asked: the authorization that is being decided.

    """

    key: KeyHandle
    entries: tuple[ModuleEntry, ...] = field(default=(), repr=False)
    entry: ModuleEntry | None = None
    peer: Peer | None = None
    at: int = 0
    asked: Authorize | None = None


# Guards ------------------------------------------------------------------------------------------------------


def module_is_certified(_: CentralData, event: ChannelOpened) -> bool:
    """A trusted customer certified this key as a module's (L9)."""
    return event.intent.purpose is Purpose.OPERATE and event.peer.role is Role.MODULE


def nothing_is_older_than_we_know(data: CentralData, event: Status) -> bool:
    """The module's word agrees with its certificate, and neither is from before a reset that we know of (S4).

    What the card signed decides: a certificate that was made after the one that we know takes its place, whatever
    epoch the module tells (a card never back-dates). Made in the same second, it needs a newer epoch.
    """
    if not _word_agrees(data, event):
        return False
    known, certificate = data.entry, given(data.peer).chain[0]
    if known is None:
        return True
    if certificate.fingerprint == known.fingerprint:
        return event.epoch == known.epoch and known.valid
    age = (certificate.not_before, event.epoch if certificate.not_before == known.issued else 0)
    newer = age > (known.issued, known.epoch if certificate.not_before == known.issued else 0)
    return newer and certificate.fingerprint not in known.retired


def a_reset_is_due(data: CentralData, event: Status) -> bool:
    """The module is as it was when its reset was ordered: that is all it may still do."""
    known = data.entry
    if known is None or known.valid or not _word_agrees(data, event):
        return False
    return event.epoch == known.epoch and event.fingerprint == known.fingerprint


def _word_agrees(data: CentralData, event: Status) -> bool:
    shown = given(data.peer).chain[0].fingerprint
    return event.condition is ModuleCondition.OPERATING and event.fingerprint == shown


def number_is_new(data: CentralData, event: Authorize) -> bool:
    """No authorization of this module has had this number or a later one (S10)."""
    return event.number > given(data.entry).last_number


def it_answers_the_module(data: CentralData, event: Decided) -> bool:
    """The host decided about the authorization that the module waits for, and about no other."""
    return event.instruction.number == given(data.asked).number


def challenge_is_for_this_epoch(data: CentralData, event: ResetChallenge) -> bool:
    """The module answers the request that we made."""
    return event.epoch == given(data.entry).epoch


def a_new_epoch_began(data: CentralData, event: ResetDone) -> bool:
    """The module counted the reset."""
    return event.epoch == given(data.entry).epoch + 1


# Actions -----------------------------------------------------------------------------------------------------

_AWAIT_MODULE: Final = StartTimer("module", MACHINE_SECONDS)


def greet(data: CentralData, event: ChannelOpened) -> tuple[CentralData, Effects]:
    """Wait for the module to say how things stand."""
    entry = next((known for known in data.entries if known.serial == event.peer.name), None)
    return replace(data, entry=entry, entries=(), peer=event.peer, at=event.at), [_AWAIT_MODULE]


def register(data: CentralData, event: Status) -> tuple[CentralData, Effects]:
    """Note the contact; a newer epoch makes the older certificate worthless."""
    known, fingerprint = data.entry, given(event.fingerprint)
    retired = () if known is None else known.retired
    if known is not None and fingerprint != known.fingerprint:
        retired = (*retired, known.fingerprint)
    entry = ModuleEntry(
        serial=given(data.peer).name,
        epoch=event.epoch,
        fingerprint=fingerprint,
        valid=True,
        last_contact=data.at,
        last_number=0 if known is None else known.last_number,
        retired=retired,
        issued=given(data.peer).chain[0].not_before,
    )
    return replace(data, entry=entry), [StopTimer("module"), Persist(entry), Show(ModuleContacted(entry))]


def have_it_decided(data: CentralData, event: Authorize) -> tuple[CentralData, Effects]:
    """Remember the number for good, then ask the host: whatever is lost after that, it decides once (S10)."""
    entry = replace(given(data.entry), last_number=event.number)
    return replace(data, entry=entry, asked=event), [Persist(entry), LookUp("decision", event)]


def instruct(data: CentralData, event: Decided) -> tuple[CentralData, Effects]:
    """Instruct the module (L10)."""
    return replace(data, asked=None), [Send(event.instruction)]


def decline(data: CentralData, event: Authorize) -> tuple[CentralData, Effects]:
    """Nothing is paid out any more: the authorization crossed our request for a reset."""
    entry = replace(given(data.entry), last_number=event.number)
    no = PayOut(number=event.number, approved=False, amount=0, reference="")
    return replace(data, entry=entry), [Persist(entry), Send(no)]


def request_reset(data: CentralData, _: ResetOrdered) -> tuple[CentralData, Effects]:
    """Ask the module for a challenge. From here on its certificate is good for nothing but that (S4)."""
    entry = replace(given(data.entry), valid=False)
    return replace(data, entry=entry), [Persist(entry), Send(ResetRequest(entry.epoch)), _AWAIT_MODULE]


def insist(data: CentralData, event: Status) -> tuple[CentralData, Effects]:
    """Ask again: the reset was ordered before this session."""
    return data, [Send(ResetRequest(event.epoch)), _AWAIT_MODULE]


def sign_command(data: CentralData, event: ResetChallenge) -> tuple[CentralData, Effects]:
    """Sign for this module, this epoch, this challenge (L8)."""
    command = proofs.reset_command(given(data.entry).serial, event.epoch, event.challenge)
    return data, [StopTimer("module"), Sign(data.key, command)]


def command_reset(data: CentralData, event: Signed) -> tuple[CentralData, Effects]:
    """Hand the module the command."""
    return data, [Send(ResetCommand(event.signature)), _AWAIT_MODULE]


def strike_off(data: CentralData, event: ResetDone) -> tuple[CentralData, Effects]:
    """The module has erased its keys."""
    result = ModuleReset(given(data.entry).serial, event.epoch)
    return data, [StopTimer("module"), Show(result), Close()]


def part(data: CentralData, event: object) -> tuple[CentralData, Effects]:
    """End the session."""
    fault = {DeadlinePassed: Fault.TIMEOUT, KeyOperationFailed: Fault.UNAVAILABLE}.get(type(event))
    return data, [StopTimer("module"), Close(fault, reason_of(event))]


# The table ---------------------------------------------------------------------------------------------------

OPEN: Final = (S.GREETING, S.ONLINE, S.DECIDING, S.RESETTING, S.COMMANDING, S.COMMANDED)

CENTRAL: Final = Table[CentralState, CentralData](
    "central",
    CentralState,
    S.LISTENING,
    [
        # in, on, if, do, then
        row(S.LISTENING, ChannelOpened, module_is_certified, greet, S.GREETING),
        row(S.GREETING, Status, nothing_is_older_than_we_know, register, S.ONLINE),
        row(S.GREETING, Status, a_reset_is_due, insist, S.RESETTING),
        row(S.ONLINE, Authorize, number_is_new, have_it_decided, S.DECIDING),
        row(S.DECIDING, Decided, it_answers_the_module, instruct, S.ONLINE),
        row(S.ONLINE, ResetOrdered, None, request_reset, S.RESETTING),
        row(S.RESETTING, Authorize, number_is_new, decline, STAY),
        row(S.RESETTING, ResetChallenge, challenge_is_for_this_epoch, sign_command, S.COMMANDING),
        row(S.COMMANDING, Signed, None, command_reset, S.COMMANDED),
        row(S.COMMANDED, ResetDone, a_new_epoch_began, strike_off, S.ENDED),
        row((S.LISTENING, *OPEN), ChannelLost, None, part, S.ENDED),
        row((S.GREETING, S.RESETTING, S.COMMANDED), DeadlinePassed, None, part, S.ENDED),
        row(S.COMMANDING, KeyOperationFailed, None, part, S.ENDED),
    ],
)
