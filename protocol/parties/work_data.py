"""What a module at work is and knows: its states, its data, what the ATM controller wants of it, what it shows.

No decisions: those are in `work.py`, with the table. How a module comes to work is in `module.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..channel.opened import Peer
from ..engine import SecretHandle, SecretOperation, SecretUsage, given
from ..messages import Authorize, HeldInstruction, HeldKey, LoadKey, Message, ModuleRecord, decode_message

BEAT_SECONDS: Final = 60.0
"""How often a module that is online tells the central system that it is still there."""


class WorkState(Enum):
    """Where a module can be that has been personalized. OPERATING and RESET are durable."""

    OPERATING = auto()
    CALLING = auto()
    ONLINE = auto()
    LOADING = auto()
    CHALLENGED = auto()
    RESET = auto()


# What the ATM controller wants. `tag` is the caller's own, and comes back in the note that answers. -----------


@dataclass(frozen=True, slots=True)
class AuthorizationWanted:
    """May this card draw this amount? Fields as in Authorize; the number is the module's to give."""

    tag: int
    card: str = field(repr=False)
    account: str = field(repr=False)
    amount: int
    currency: str

    def numbered(self, number: int) -> Authorize:
        """The message. Raises UsageError where a field cannot travel."""
        return Authorize(number, self.card, self.account, self.amount, self.currency)


@dataclass(frozen=True, slots=True)
class TransactionSettled:
    """The customer got `paid` (minor units), or nothing and never will: 0."""

    number: int
    paid: int


@dataclass(frozen=True, slots=True)
class PayloadGiven:
    """Bytes for the host, at most PAYLOAD_MAX."""

    tag: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class InstructionTaken:
    """The ATM controller is done with the instruction of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class SecretWanted:
    """Use the symmetric key for `usage`; `at` and `steady` as in TimePassed."""

    tag: int
    usage: SecretUsage
    operation: SecretOperation = field(repr=False)
    at: int
    steady: int


@dataclass(frozen=True, slots=True)
class TimePassed:
    """What has expired goes.

    Attributes:
        at: what the module's clock shows, unix seconds.
        steady: what a clock shows that nobody can set, seconds from whenever it likes; it says how much has passed.

    """

    at: int
    steady: int


@dataclass(frozen=True, slots=True)
class ResetByHand:
    """A person at the module confirmed its reset (L8)."""


# What a module at work shows -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuthorizationAsked:
    """The authorization has this number, for good."""

    tag: int
    number: int


@dataclass(frozen=True, slots=True)
class PayOutInstructed:
    """The central system's answer to an authorization, for the ATM controller; shown once in a life of the store."""

    number: int
    approved: bool
    amount: int
    reference: str


@dataclass(frozen=True, slots=True)
class OutcomeWanted:
    """A pay-out was instructed before the program began, and nobody has told yet what the customer got."""

    number: int
    amount: int


@dataclass(frozen=True, slots=True)
class PayloadKept:
    """The payload is durable, has this number, and reaches the host sooner or later, once."""

    tag: int
    number: int


@dataclass(frozen=True, slots=True)
class PayloadReceived:
    """The host has the payload or outcome with this number and all before it."""

    number: int


@dataclass(frozen=True, slots=True)
class InstructionCame:
    """An instruction of the host waits to be taken; it may be shown again after a restart."""

    number: int
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """A symmetric key came and can be used."""

    key: SecretHandle
    not_after: int
    uses: int


@dataclass(frozen=True, slots=True)
class KeyDeclined:
    """A symmetric key came that this module does not take."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class KeyExpired:
    """A symmetric key is erased: its time is over, or it was used as often as it may be."""

    usage: SecretUsage
    check_value: str


@dataclass(frozen=True, slots=True)
class SecretAnswered:
    """What SecretWanted was for: a MAC or an encrypted PIN block; None where it could not be, with the reason."""

    tag: int
    result: bytes | None = field(repr=False)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class KeysErased:
    """Operating key, certificates and symmetric keys are gone; `epoch` resets have happened.

    Attributes:
        epoch: the one that begins.
        dropped: messages to the host and instructions from it that went with them.

    """

    epoch: int
    dropped: int = 0


# Data --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What is known of the time since the program began, beyond what is durable (S8).

    Attributes:
        told: the latest time that the central system told, unix seconds.
        steady: what the steady clock showed at the last look.
        times: what time it was then for each symmetric key, by label, unix seconds. One a key, so that a clock that was
            ahead harms none that comes after.

    """

    told: int = 0
    steady: int = 0
    times: Mapping[str, int] = field(default_factory=dict)

    def joined(self, other: Reckoning) -> Reckoning:
        """What both know: from the later look, and the later word of the central system."""
        later = max(other, self, key=lambda each: each.steady)
        return replace(later, told=max(self.told, other.told))


@dataclass(frozen=True, slots=True)
class WorkData:
    """What a module at work knows.

    Attributes:
        record: durable state, as last persisted.
        secrets: the symmetric keys in key memory that the record speaks of.
        vouched: somebody vouches that the record is no old copy: a monotonic counter, or the central system since
            the program began (S8).
        legacy: TDES and PIN blocks of formats 0 and 3 are admitted, by explicit policy (L11).
        asked: authorizations without an answer, ascending; they outlive the session, but not the program, since a
            card number is kept nowhere (S9).
        reckoning: what is known of the time; it outlives the session, but not the program.
        peer, binding, wrapping, at: of the open channel; `at` is the time of the last event on it.
        loading: the message that brought the key which is being unwrapped.
        using: tag of the use of a key that is under way.

    """

    record: ModuleRecord
    secrets: tuple[SecretHandle, ...] = ()
    vouched: bool = False
    legacy: bool = False
    asked: tuple[Authorize, ...] = ()
    reckoning: Reckoning = Reckoning()
    peer: Peer | None = None
    binding: bytes = field(default=b"", repr=False)
    wrapping: bytes = field(default=b"", repr=False)
    at: int = 0
    loading: LoadKey | None = None
    using: int | None = None

    def at_time(self, at: int) -> WorkData:
        """The same, later."""
        return replace(self, at=at)

    @property
    def at_rest(self) -> WorkData:
        """Without all that belongs to a session."""
        return WorkData(self.record, self.secrets, self.vouched, self.legacy, self.asked, self.reckoning)

    @property
    def outgoing(self) -> tuple[Message, ...]:
        """What the central system has not answered yet, in the order of the numbers."""
        waiting: list[Message] = [decode_message(line) for line in self.record.outbox]
        return tuple(sorted((*waiting, *self.asked), key=lambda message: int(message.number)))  # type: ignore[union-attr]

    def secret_for(self, usage: SecretUsage) -> tuple[SecretHandle, HeldKey] | None:
        """The key for this usage and what is kept of it."""
        for secret in self.secrets:
            if secret.usage is usage:
                return secret, self.held(secret.label)
        return None

    def held(self, label: str) -> HeldKey:
        """What is kept of the key with this label."""
        return given(next((held for held in self.record.keys if held.label == label), None))

    def instruction(self, number: int) -> HeldInstruction | None:
        """The instruction in the inbox with this number."""
        return next((held for held in self.record.inbox if held.number == number), None)


def answer_timer(number: int) -> str:
    """The timer of one authorization: others that are answered do not prolong its wait."""
    return f"authorization {number}"


def secret_label(number: int) -> str:
    """The label of the symmetric key that the message `number` brings; never used twice."""
    return f"secret-{number}"
