"""Trust option "ticket" (A4, after US 7,203,316): a MAC instead of a certificate for the module's identity key.

The customer's card derives a key k_n for each ticket from a main key that never leaves it, and gives (n, k_n) to the
manufacturer, who makes one MAC with it, over a module's identity key, serial number and n. The module signs the
handshake with that identity key and shows its ticket in the channel; the card recomputes k_n, checks, and consumes n,
durably, for exactly this module. As in option "certificates-one-way" the unit is a fresh key at set-up: what it hands
over must end at the root that the module holds since manufacture, which is load-bearing (formal/ticket.pv).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ...engine import (
    Close,
    Effects,
    Fault,
    KeyHandle,
    LookUp,
    PublicKey,
    Send,
    Show,
    StartTimer,
    StopTimer,
    Table,
    UsageError,
    given,
    row,
)
from ...messages import ModuleRecord, ModuleTicket, Ticket, TrustOption
from ...progress import PeerProved
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from ..proofs import Side
from .stage import PROOF_SECONDS, PROOF_TIMER, ProofStage, by_proof
from .terms import anybody, fresh_credential, named

TICKETS: Final = "tickets"
"""Label of the main key at the card; there once tickets were ordered."""


@dataclass(frozen=True, slots=True)
class TicketClaim:
    """The argument of LookUp("ticket"): what the card is asked to check and to consume.

    Attributes:
        number: of the ticket.
        serial: of the module that the job is for, never from the wire.
        public: the identity key that signed the handshake.
        mac: what the module showed.

    """

    number: int
    serial: str
    public: PublicKey
    mac: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TicketAccepted:
    """The card's answer: the ticket is good, and is this module's from now on."""


@dataclass(frozen=True, slots=True)
class TicketRefused:
    """The card's other answer. `fault`: what the module is told."""

    reason: str
    fault: Fault = Fault.UNTRUSTED


# The tables --------------------------------------------------------------------------------------------------


class ShowingState(Enum):
    """Where the module can be."""

    OPENED = auto()
    SHOWN = auto()


class CheckingState(Enum):
    """Where the unit can be."""

    OPENED = auto()
    AWAITING_TICKET = auto()
    CHECKING = auto()
    PROVED = auto()
    REFUSED = auto()


S = CheckingState


@dataclass(frozen=True, slots=True)
class ShowingData:
    """What the module has to show, and who is there: anybody, as before."""

    ticket: ModuleTicket
    proved: Peer | None = None


def show_ticket(data: ShowingData, event: ChannelOpened) -> tuple[ShowingData, Effects]:
    """The unit decides what it is worth."""
    return replace(data, proved=event.peer), [Send(Ticket(data.ticket.number, data.ticket.mac))]


TICKET_MODULE: Final = Table[ShowingState, ShowingData](
    "ticket-module",
    ShowingState,
    ShowingState.OPENED,
    [row(ShowingState.OPENED, ChannelOpened, None, show_ticket, ShowingState.SHOWN)],
)


@dataclass(frozen=True, slots=True)
class CheckingData:
    """What the unit knows: the module of the job, who is there, and who it is once the card has said so."""

    serial: str
    peer: Peer | None = None
    proved: Peer | None = None


def await_ticket(data: CheckingData, event: ChannelOpened) -> tuple[CheckingData, Effects]:
    """The module shows it first."""
    return replace(data, peer=event.peer), [StartTimer(PROOF_TIMER, PROOF_SECONDS)]


def ask_the_card(data: CheckingData, event: Ticket) -> tuple[CheckingData, Effects]:
    """It alone can tell whether the ticket is its own."""
    claim = TicketClaim(event.number, data.serial, given(data.peer).public, event.mac)
    return data, [StopTimer(PROOF_TIMER), LookUp("ticket", claim)]


def accept(data: CheckingData, _: TicketAccepted) -> tuple[CheckingData, Effects]:
    """The manufacturer vouched for the identity key that signed the handshake."""
    peer = by_proof(given(data.peer), TrustOption.TICKET)
    return replace(data, proved=peer), [Show(PeerProved(Side.UNIT.value, peer.name, TrustOption.TICKET))]


def refuse(data: CheckingData, event: TicketRefused) -> tuple[CheckingData, Effects]:
    """Not ours, not for this module, or another's."""
    return data, [Close(event.fault, event.reason)]


TICKET_UNIT: Final = Table[CheckingState, CheckingData](
    "ticket-unit",
    CheckingState,
    S.OPENED,
    [
        # in, on, if, do, then
        row(S.OPENED, ChannelOpened, None, await_ticket, S.AWAITING_TICKET),
        row(S.AWAITING_TICKET, Ticket, None, ask_the_card, S.CHECKING),
        row(S.CHECKING, TicketAccepted, None, accept, S.PROVED),
        row(S.CHECKING, TicketRefused, None, refuse, S.REFUSED),
    ],
)


# Both sides' terms -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModuleByTicket:
    """The module's side: its identity key, by value, against whoever is there."""

    ticket: ModuleTicket
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.TICKET
    method: int = Method.SIGNATURE_THEN_STATIC

    @classmethod
    def of(cls, record: ModuleRecord, key: KeyHandle | None) -> ModuleByTicket:
        """The terms of a delivered module whose identity pair is `key`.

        Raises:
            UsageError: the module has no ticket.

        """
        if record.ticket is None or key is None:
            raise UsageError("this module has no ticket", who="module", expected="another trust option", got="ticket")
        return cls(record.ticket, fresh_credential(record.serial, key), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Anybody with a key of its own: the certificates that come later are what counts."""
        return anybody(claim)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Show the ticket."""
        return ProofStage(TICKET_MODULE, ShowingState.OPENED, ShowingData(self.ticket))


@dataclass(frozen=True, slots=True)
class UnitByTicket:
    """The unit's side: a fresh key against the module of one serial number, which has a ticket of our card.

    Attributes:
        serial: the only module that is admitted.
        key: a fresh pair, made for this session.

    """

    serial: str
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.TICKET
    method: int = Method.SIGNATURE_THEN_STATIC

    @classmethod
    def of(cls, name: str, key: KeyHandle, serial: str) -> UnitByTicket:
        """The terms of the unit called `name` for the module `serial`."""
        return cls(serial, fresh_credential(name, key), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Whoever says that it is the module of the job; the ticket follows in the channel.

        Raises:
            ProtocolError: another kind of credential, or another module's.

        """
        return named(claim, self.serial)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Have the card check the ticket."""
        return ProofStage(TICKET_UNIT, S.OPENED, CheckingData(self.serial))
