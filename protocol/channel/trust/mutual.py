"""Both sides prove that they hold the same key, module first: HMACs over role, option, serial number and exporter.

What must hold (formal/shipped.pv): the exporter value stands in both MACs, else whoever splits the Diffie-Hellman
exchange relays them; there is one in each direction, else the module takes an intruder's certificates; and the role
stands in them, else one is sent back to its author. The unit answers only after it has checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from hmac import compare_digest
from typing import Final, TypeVar

from ...engine import (
    Close,
    Effects,
    Fault,
    KeyOperationFailed,
    Prove,
    SecretHandle,
    SecretUsed,
    Send,
    Show,
    StartTimer,
    StopTimer,
    Table,
    UseSecret,
    given,
    reason_of,
    row,
)
from ...messages import Proof, TrustOption
from ...progress import PeerProved
from .. import proofs
from ..opened import ChannelOpened, Peer
from ..proofs import Side
from .stage import PROOF_SECONDS, PROOF_TIMER, ProofStage, by_proof


class ProofState(Enum):
    """Where a mutual proof can be."""

    OPENED = auto()
    PROVING = auto()
    AWAITING_PROOF = auto()
    CHECKING = auto()
    PROVED = auto()
    REFUSED = auto()


S = ProofState
D = TypeVar("D", bound="MutualData")
"""Other stages, which come to the key in another way, go on with the actions here."""


@dataclass(frozen=True, slots=True)
class MutualData:
    """What one side knows.

    Attributes:
        side: which one.
        option: of the pin.
        serial: the module's serial number: its own, or the job's, never from the wire.
        secret: the key, in key memory; None where a stage has to come to one first.
        opened: the channel.
        claimed: the MAC that the other side sent.
        proved: who it is, once that holds.

    """

    side: Side
    option: TrustOption
    serial: str
    secret: SecretHandle | None = None
    opened: ChannelOpened | None = None
    claimed: bytes = field(default=b"", repr=False)
    proved: Peer | None = None

    @property
    def other(self) -> Side:
        """The other side."""
        return Side.UNIT if self.side is Side.MODULE else Side.MODULE

    def prove(self, side: Side) -> UseSecret:
        """Have key memory make the MAC of `side`."""
        return UseSecret(given(self.secret), Prove(self.statement(side)))

    def statement(self, side: Side) -> bytes:
        """What `side` makes its MAC over."""
        return proofs.possession_of_secret(given(self.opened).binding, self.option.text, side, self.serial)


# Guards ------------------------------------------------------------------------------------------------------


def the_mac_is_right(data: MutualData, event: SecretUsed) -> bool:
    """The other side made its MAC with the same key, over this channel and its own role (formal: load-bearing)."""
    return compare_digest(event.result, data.claimed)


# Actions -----------------------------------------------------------------------------------------------------

_AWAIT: Final = StartTimer(PROOF_TIMER, PROOF_SECONDS)


def make_own(data: D, event: ChannelOpened) -> tuple[D, Effects]:
    """The module's MAC."""
    known = replace(data, opened=event)
    return known, [known.prove(known.side)]


def await_proof(data: D, event: ChannelOpened) -> tuple[D, Effects]:
    """The module proves itself first."""
    return replace(data, opened=event), [_AWAIT]


def send_and_wait(data: D, event: SecretUsed) -> tuple[D, Effects]:
    """Ours, and the other side's is awaited."""
    return data, [Send(Proof(event.result)), _AWAIT]


def check(data: D, event: Proof) -> tuple[D, Effects]:
    """Have key memory make the MAC that the other side must have sent."""
    return replace(data, claimed=event.mac), [StopTimer(PROOF_TIMER), data.prove(data.other)]


def answer(data: D, _: object) -> tuple[D, Effects]:
    """The module's holds: now ours."""
    return data, [data.prove(data.side)]


def accept(data: D, _: object) -> tuple[D, Effects]:
    """Both hold, as the module sees it."""
    return _proved(data, [])


def send_and_accept(data: D, event: SecretUsed) -> tuple[D, Effects]:
    """Both hold, as the unit sees it, once the module has ours."""
    return _proved(data, [Send(Proof(event.result))])


def _proved(data: D, first: list[Send]) -> tuple[D, Effects]:
    peer = by_proof(given(data.opened).peer, data.option)
    note = Show(PeerProved(data.side.value, peer.name, data.option))
    return replace(data, proved=peer), [*first, note]


def refuse(data: D, _: SecretUsed) -> tuple[D, Effects]:
    """Whoever that is holds another key, or none."""
    return data, [Close(Fault.UNTRUSTED, f"the other side does not hold what {data.option.text} asks for")]


def give_up(data: D, event: KeyOperationFailed) -> tuple[D, Effects]:
    """Key memory does not do its work."""
    return data, [Close(Fault.UNAVAILABLE, reason_of(event))]


# The tables --------------------------------------------------------------------------------------------------

MODULE_PROOF: Final = Table[ProofState, MutualData](
    "proof-module",
    ProofState,
    S.OPENED,
    [
        # in, on, if, do, then
        row(S.OPENED, ChannelOpened, None, make_own, S.PROVING),
        row(S.PROVING, SecretUsed, None, send_and_wait, S.AWAITING_PROOF),
        row(S.AWAITING_PROOF, Proof, None, check, S.CHECKING),
        row(S.CHECKING, SecretUsed, the_mac_is_right, accept, S.PROVED),
        row(S.CHECKING, SecretUsed, None, refuse, S.REFUSED),
        row((S.PROVING, S.CHECKING), KeyOperationFailed, None, give_up, S.REFUSED),
    ],
)

UNIT_PROOF: Final = Table[ProofState, MutualData](
    "proof-unit",
    ProofState,
    S.OPENED,
    [
        # in, on, if, do, then
        row(S.OPENED, ChannelOpened, None, await_proof, S.AWAITING_PROOF),
        row(S.AWAITING_PROOF, Proof, None, check, S.CHECKING),
        row(S.CHECKING, SecretUsed, the_mac_is_right, answer, S.PROVING),
        row(S.CHECKING, SecretUsed, None, refuse, S.REFUSED),
        row(S.PROVING, SecretUsed, None, send_and_accept, S.PROVED),
        row((S.PROVING, S.CHECKING), KeyOperationFailed, None, give_up, S.REFUSED),
    ],
)


def mutual_stage(side: Side, option: TrustOption, serial: str, secret: SecretHandle) -> ProofStage:
    """The proof of `side`, about the module `serial`, by the key `secret`."""
    table = MODULE_PROOF if side is Side.MODULE else UNIT_PROOF
    return ProofStage(table, S.OPENED, MutualData(side, option, serial, secret))
