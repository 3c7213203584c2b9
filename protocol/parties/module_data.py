"""What a security module is and knows: its states, its data, the events besides messages, what it shows.

No decisions: those are in `module.py`, with the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from ..channel.opened import Peer
from ..engine import KeyHandle, UsageError, given
from ..keys.profile import checked_name
from ..messages import ModuleCondition, ModuleRecord, ModuleTicket, Status

MANUFACTURED: Final = "manufactured"
PERSON_SECONDS: Final = 300.0
"""How long the module waits while people compare fingerprints (physical option)."""
MACHINE_SECONDS: Final = 30.0
"""How long the module waits for another machine (SECURITY: resource limits)."""


class ModuleState(Enum):
    """Where a module can be. DELIVERED, OPERATING and RESET are durable, the others last for a session."""

    BLANK = auto()
    IDENTIFYING = auto()
    PREPARING = auto()
    IDENTIFIED = auto()
    DELIVERED = auto()
    SECURED = auto()
    KEYING = auto()
    PROVING = auto()
    KEYED = auto()
    WAITING = auto()
    CONFIRMING = auto()
    OPERATING = auto()
    RESET = auto()


S = ModuleState


# What happens to a module besides messages -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Initialize:
    """The manufacturer begins delivery (L1).

    Attributes:
        serial: the module's serial number.
        root: DER of the manufacturer's root certificate.
        identity: make an identity key pair, to be certified by the manufacturer.
        manufactured_key: also make the key pair that the first personalization may use by policy (L3).
        shared: labels of keys for proofs that were put into key memory, to be kept.
        circular: a customer whom only its own central system certified may personalize over a cable (L6).

    Raises:
        UsageError: no certificate could name this serial number; a key pair at manufacture without an identity.

    """

    serial: str
    root: bytes = field(repr=False)
    identity: bool = True
    manufactured_key: bool = False
    shared: tuple[str, ...] = ()
    circular: bool = False

    def __post_init__(self) -> None:
        checked_name(self.serial)
        if self.manufactured_key and not self.identity:
            raise UsageError(
                "a key pair made at manufacture", who="module", expected="a module with identity", got="none"
            )


@dataclass(frozen=True, slots=True)
class IdentityCertified:
    """The manufacturer's answer to IdentityMade: the identity certificate, DER, and a ticket if it is to have one."""

    certificate: bytes = field(repr=False)
    ticket: ModuleTicket | None = None


# What a module shows -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IdentityMade:
    """The identity key pair exists; its public half is to be certified for `serial`."""

    serial: str
    key: KeyHandle


@dataclass(frozen=True, slots=True)
class KeyMade:
    """The operating key pair of this personalization, for the person who compares fingerprints."""

    key: KeyHandle


@dataclass(frozen=True, slots=True)
class CircleAdmitted:
    """What the module keeps is vouched for by nobody but its senders: a plausibility check only (L6).

    Attributes:
        customer, central: names out of two certificates that only certify each other.

    """

    customer: str
    central: str


# Data --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModuleData:
    """What a module knows. Everything but `record` and `made` is forgotten when a session ends.

    Attributes:
        record: durable state, as last persisted; None before delivery.
        made: the key pair made at manufacture, while it may still be used.
        wish: what the manufacturer asked for, during delivery.
        peer, binding, at: of the open channel; `at` never lies before the latest time seen.
        told: the unit's time; only this is kept, nobody vouches for the module's own clock.
        key: the key pair that this session is about.
        staged: certificates that hold and wait for the commit: module, customer, central (DER).
        circle: the names in them, where the customer's is a circular one (L6).

    """

    record: ModuleRecord | None = None
    made: KeyHandle | None = None
    wish: Initialize | None = None
    peer: Peer | None = None
    binding: bytes = field(default=b"", repr=False)
    at: int = 0
    told: int = 0
    key: KeyHandle | None = None
    staged: tuple[bytes, bytes, bytes] | None = field(default=None, repr=False)
    circle: CircleAdmitted | None = None

    @property
    def held(self) -> ModuleRecord:
        """The durable record of a module that has been delivered."""
        return given(self.record)

    @property
    def status(self) -> Status:
        """How things stand, for whoever is at the other end."""
        return Status(self.held.condition, self.held.epoch, self.held.fingerprint)

    @property
    def at_rest(self) -> ModuleData:
        """Without all that belongs to a session."""
        return ModuleData(record=self.record, made=self.made)


def resting_state(record: ModuleRecord | None) -> ModuleState:
    """The state in which a module wakes up, given its durable record."""
    if record is None:
        return S.BLANK
    return {
        ModuleCondition.DELIVERED: S.DELIVERED,
        ModuleCondition.OPERATING: S.OPERATING,
        ModuleCondition.RESET: S.RESET,
    }[record.condition]


def operating_label(epoch: int) -> str:
    """The label of the operating key pair; a new one after each reset, so that no two are ever confused."""
    return f"operating-{epoch}"
