"""A TAN that is a key in a token, which it never leaves (A8): both sides prove it, and it is burnt before the answer.

What must hold is what mutual.py says of its proofs: role, option, serial number and exporter value stand in both MACs,
the module proves first, and the unit answers only a proof that holds. Besides, the attempt is counted and the
TAN burnt durably once a proof is there, right or wrong, before the unit has it checked (attempts.py). The module's side
is that of mutual.py: nothing is counted there, since nobody guesses 32 random bytes.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import Final

from ...engine import Effects, KeyOperationFailed, LookUp, SecretHandle, SecretUsed, StopTimer, Table, row
from ...messages import Proof, TrustOption
from ..opened import ChannelOpened
from ..proofs import Side
from .attempts import ATTEMPT, AttemptAdmitted, AttemptBarred, AttemptBegun, AttemptsForgotten
from .mutual import (
    MutualData,
    answer,
    await_proof,
    give_up,
    mutual_stage,
    refuse,
    send_and_accept,
    the_mac_is_right,
)
from .pake import bar, settle
from .stage import PROOF_TIMER, ProofStage


class UnitTokenState(Enum):
    """Where such a proof can be at a unit."""

    OPENED = auto()
    AWAITING_PROOF = auto()
    COUNTING = auto()
    CHECKING = auto()
    SETTLING = auto()
    PROVING = auto()
    PROVED = auto()
    REFUSED = auto()


U = UnitTokenState


def count(data: MutualData, event: Proof) -> tuple[MutualData, Effects]:
    """Before anything comes of it: one attempt, durably."""
    question = AttemptBegun(data.option, data.serial)
    return replace(data, claimed=event.mac), [StopTimer(PROOF_TIMER), LookUp(ATTEMPT, question)]


def check(data: MutualData, _: AttemptAdmitted) -> tuple[MutualData, Effects]:
    """Have key memory make the MAC that the module must have sent."""
    return data, [data.prove(data.other)]


UNIT_TOKEN: Final = Table[UnitTokenState, MutualData](
    "token-unit",
    UnitTokenState,
    U.OPENED,
    [
        # in, on, if, do, then
        row(U.OPENED, ChannelOpened, None, await_proof, U.AWAITING_PROOF),
        row(U.AWAITING_PROOF, Proof, None, count, U.COUNTING),
        row(U.COUNTING, AttemptAdmitted, None, check, U.CHECKING),
        row(U.COUNTING, AttemptBarred, None, bar, U.REFUSED),
        row(U.CHECKING, SecretUsed, the_mac_is_right, settle, U.SETTLING),
        row(U.CHECKING, SecretUsed, None, refuse, U.REFUSED),
        row(U.SETTLING, AttemptsForgotten, None, answer, U.PROVING),
        row(U.PROVING, SecretUsed, None, send_and_accept, U.PROVED),
        row((U.CHECKING, U.PROVING), KeyOperationFailed, None, give_up, U.REFUSED),
    ],
)


def token_stage(side: Side, option: TrustOption, serial: str, key: SecretHandle) -> ProofStage:
    """The proof of `side`, about the module `serial`, by the key in its token or book."""
    if side is Side.MODULE:
        return mutual_stage(side, option, serial, key)
    return ProofStage(UNIT_TOKEN, U.OPENED, MutualData(side, option, serial, key))
