"""What the central system is and knows in one session with one module: states, data, answers of registry and host.

No decisions: those are in `central.py`, with the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ..channel.opened import Peer
from ..engine import KeyHandle, given
from ..messages import Authorize, Greeting, KeyOrder, Outcome, PayOut
from ..stores.registry import Command, Known, ModuleEntry, Transaction

MACHINE_SECONDS: Final = 30.0
"""How long the central system waits for a module's answer (SECURITY: resource limits)."""
SILENCE_SECONDS: Final = 180.0
"""How long a module may say nothing; it says that it is there every BEAT_SECONDS."""


class CentralState(Enum):
    """Where a session with one module can be."""

    LISTENING = auto()
    GREETING = auto()
    RECOGNIZING = auto()
    ONLINE = auto()
    CHECKING = auto()
    DECIDING = auto()
    SETTLING = auto()
    WRAPPING = auto()
    RESETTING = auto()
    COMMANDING = auto()
    COMMANDED = auto()
    ENDED = auto()


# Answers to a LookUp ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModuleQuery:
    """The argument of LookUp("module"), answered by ModuleFound."""

    serial: str
    fingerprint: bytes
    certificate_number: int
    issuer: bytes


@dataclass(frozen=True, slots=True)
class ModuleFound:
    """What the registry knows of the module."""

    known: Known


@dataclass(frozen=True, slots=True)
class TransactionFound:
    """The answer to LookUp("transaction", (serial, number))."""

    transaction: Transaction | None


@dataclass(frozen=True, slots=True)
class CommandFound:
    """The answer to LookUp("command", serial): what waits for the module.

    Attributes:
        command: the first one; None: nothing waits.
        order: of a LOAD_KEY, what is in it.

    """

    command: Command | None
    order: KeyOrder | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The host's answer to LookUp("decision", Question): what to instruct the module."""

    instruction: PayOut


@dataclass(frozen=True, slots=True)
class Question:
    """What the host decides about. It is asked once for each serial and number, whatever fails (S10)."""

    serial: str
    asked: Authorize


# What the operator's programs tell a session -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttentionCalled:
    """Something about this module changed in the registry, or something waits there for it."""


# What a session shows ----------------------------------------------------------------------------------------------


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
class TransactionDecided:
    """An authorization was answered."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class CommandConcluded:
    """A command waits no more."""

    serial: str
    number: int
    outcome: str


# Data --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CentralData:
    """What the central system knows in one session.

    Attributes:
        key: its own key pair.
        entry: of the module in the registry, as last read or written.
        peer, wrapping: of the open channel; the peer's chain is the module's certificate and its issuer's.
        at: the time of the last event.
        greeting: what the module said of itself.
        asked: the authorization that is being looked at.
        transaction: what the registry holds of it.
        outcome: the outcome that is being entered.
        command: what was sent to the module and is not acknowledged.
        order: what is in it, where it is a key.
        grace: seconds that a certificate may work which its card's log does not have yet; None: nobody asks for logs.
        unlogged: the module works on such time.

    """

    key: KeyHandle
    entry: ModuleEntry | None = None
    peer: Peer | None = None
    wrapping: bytes = field(default=b"", repr=False)
    at: int = 0
    greeting: Greeting | None = None
    asked: Authorize | None = None
    transaction: Transaction | None = None
    outcome: Outcome | None = None
    command: Command | None = None
    order: KeyOrder | None = None
    grace: int | None = None
    unlogged: bool = False

    def at_time(self, at: int) -> CentralData:
        """The same, later."""
        return replace(self, at=at)

    @property
    def held(self) -> ModuleEntry:
        """The entry of a module that was let in."""
        return given(self.entry)

    @property
    def query(self) -> ModuleQuery:
        """The question who the module is."""
        module, issuer = given(self.peer).chain
        return ModuleQuery(module.subject, module.fingerprint, module.serial_number, issuer.fingerprint)
