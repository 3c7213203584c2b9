"""Both sides agree on a key by a secret that may be short, and prove then that they have the same one (A6, A7).

What must hold (formal/tan.pv, and what its ideal PAKE stands for): the exporter value, the option, the serial number
and the roles enter the exchange as its identities, and the proofs that follow (mutual.py), so that a man in the middle,
who is in two channels, can pass nothing on. What crosses before the proofs says nothing of the secret. The
module proves first; the unit answers only if that proof holds: so whoever does not know the secret gets one guess
a session, and learns but whether it was right. Before a side sends what another can try a guess on, it has the
attempt counted durably (attempts.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from ...engine import (
    Close,
    Consult,
    Effects,
    Fault,
    FinishPake,
    KeyOperationFailed,
    LookUp,
    PakeFinished,
    PakeStarted,
    SecretHandle,
    SecretUsed,
    Send,
    StartPake,
    StartTimer,
    StopTimer,
    Table,
    given,
    row,
)
from ...messages import PakeShare, Proof, TrustOption
from .. import proofs
from ..opened import ChannelOpened
from ..proofs import Side
from .attempts import (
    ATTEMPT,
    AttemptAdmitted,
    AttemptBarred,
    AttemptBegun,
    AttemptRight,
    AttemptsForgotten,
    SecretDenied,
    SecretEntered,
    SecretNeeded,
)
from .mutual import (
    D,
    MutualData,
    accept,
    answer,
    check,
    give_up,
    refuse,
    send_and_accept,
    send_and_wait,
    the_mac_is_right,
)
from .stage import PROOF_SECONDS, PROOF_TIMER, ProofStage

AGREED: Final = "agreed"
"""Label of the exchange and of the key that it leads to; never committed."""
PERSON_SECONDS: Final = 600.0
"""How long a person at the module may take to enter the secret."""


class ModulePakeState(Enum):
    """Where an exchange and its proofs can be at a module."""

    OPENED = auto()
    ASKING = auto()
    OFFERING = auto()
    AWAITING_SHARE = auto()
    COUNTING = auto()
    AGREEING = auto()
    PROVING = auto()
    AWAITING_PROOF = auto()
    CHECKING = auto()
    SETTLING = auto()
    PROVED = auto()
    REFUSED = auto()


class UnitPakeState(Enum):
    """Where they can be at a unit."""

    OPENED = auto()
    AWAITING_SHARE = auto()
    COUNTING = auto()
    OFFERING = auto()
    AGREEING = auto()
    AWAITING_PROOF = auto()
    CHECKING = auto()
    SETTLING = auto()
    PROVING = auto()
    PROVED = auto()
    REFUSED = auto()


M = ModulePakeState
U = UnitPakeState


@dataclass(frozen=True, slots=True)
class PakeData(MutualData):
    """What one side knows, besides what a mutual proof is about.

    Attributes:
        password: what is to be known, in key memory; None at a module whose operator has yet to enter it, and at a
            unit that looks it up as it has the attempt counted.
        patience: how long the unit waits for the module's share, seconds.
        own, theirs: the two shares.

    """

    password: SecretHandle | None = None
    patience: float = PROOF_SECONDS
    own: bytes = field(default=b"", repr=False)
    theirs: bytes = field(default=b"", repr=False)

    def begin(self) -> StartPake:
        """The module is side A."""
        binding = given(self.opened).binding
        a, b = (proofs.exchange_identity(binding, self.option.text, side, self.serial) for side in Side)
        return StartPake(AGREED, given(self.password), self.side is Side.MODULE, (a, b))


# Guards ------------------------------------------------------------------------------------------------------


def the_secret_is_here(data: PakeData, event: ChannelOpened) -> bool:
    """Nobody has to enter it."""
    return data.password is not None


# Actions -----------------------------------------------------------------------------------------------------


def offer(data: PakeData, event: ChannelOpened) -> tuple[PakeData, Effects]:
    """The module begins."""
    known = replace(data, opened=event)
    return known, [known.begin()]


def ask(data: PakeData, event: ChannelOpened) -> tuple[PakeData, Effects]:
    """The person at the module has it."""
    question = SecretNeeded(data.option, data.serial, event.peer.name)
    return replace(data, opened=event), [StartTimer(PROOF_TIMER, PERSON_SECONDS), Consult(question)]


def offer_what_was_entered(data: PakeData, event: SecretEntered) -> tuple[PakeData, Effects]:
    """Now the module begins."""
    known = replace(data, password=event.secret)
    return known, [StopTimer(PROOF_TIMER), known.begin()]


def give_up_asking(data: PakeData, event: SecretDenied) -> tuple[PakeData, Effects]:
    """Nobody is there, or nobody wants."""
    return data, [Close(Fault.UNAVAILABLE, event.reason)]


def send_share(data: PakeData, event: PakeStarted) -> tuple[PakeData, Effects]:
    """The module's, which says nothing."""
    return replace(data, own=event.share), [Send(PakeShare(event.share)), StartTimer(PROOF_TIMER, PROOF_SECONDS)]


def await_share(data: PakeData, event: ChannelOpened) -> tuple[PakeData, Effects]:
    """The unit waits for the module, or for the person at the module."""
    return replace(data, opened=event), [StartTimer(PROOF_TIMER, data.patience)]


def count(data: PakeData, event: PakeShare) -> tuple[PakeData, Effects]:
    """Before this side says anything more: one attempt, durably (formal: a TAN is burnt right or wrong)."""
    question = AttemptBegun(data.option, data.serial)
    return replace(data, theirs=event.share), [StopTimer(PROOF_TIMER), LookUp(ATTEMPT, question)]


def bar(data: D, event: AttemptBarred) -> tuple[D, Effects]:
    """Nothing was said that a guess could be tried on, and nothing is."""
    return data, [Close(Fault.UNAVAILABLE, event.reason)]


def begin(data: PakeData, event: AttemptAdmitted) -> tuple[PakeData, Effects]:
    """The unit's own half."""
    known = data if event.secret is None else replace(data, password=event.secret)
    return known, [known.begin()]


def agree_with_own(data: PakeData, event: PakeStarted) -> tuple[PakeData, Effects]:
    """The unit has both shares."""
    return replace(data, own=event.share), [FinishPake(AGREED, data.theirs)]


def agree(data: PakeData, _: AttemptAdmitted) -> tuple[PakeData, Effects]:
    """The module has both shares."""
    return data, [FinishPake(AGREED, data.theirs)]


def prove(data: PakeData, event: PakeFinished) -> tuple[PakeData, Effects]:
    """The module shows its key first."""
    known = replace(data, secret=event.key)
    return known, [known.prove(known.side)]


def send_share_and_wait(data: PakeData, event: PakeFinished) -> tuple[PakeData, Effects]:
    """The unit's share and nothing else: a proof beside it would let the module's side try guesses at leisure."""
    send = Send(PakeShare(data.own))
    return replace(data, secret=event.key), [send, StartTimer(PROOF_TIMER, PROOF_SECONDS)]


def settle(data: D, _: SecretUsed) -> tuple[D, Effects]:
    """The other side knew it."""
    return data, [LookUp(ATTEMPT, AttemptRight(data.option, data.serial))]


# The tables --------------------------------------------------------------------------------------------------

MODULE_PAKE: Final = Table[ModulePakeState, PakeData](
    "pake-module",
    ModulePakeState,
    M.OPENED,
    [
        # in, on, if, do, then
        row(M.OPENED, ChannelOpened, the_secret_is_here, offer, M.OFFERING),
        row(M.OPENED, ChannelOpened, None, ask, M.ASKING),
        row(M.ASKING, SecretEntered, None, offer_what_was_entered, M.OFFERING),
        row(M.ASKING, SecretDenied, None, give_up_asking, M.REFUSED),
        row(M.OFFERING, PakeStarted, None, send_share, M.AWAITING_SHARE),
        row(M.AWAITING_SHARE, PakeShare, None, count, M.COUNTING),
        row(M.COUNTING, AttemptAdmitted, None, agree, M.AGREEING),
        row(M.COUNTING, AttemptBarred, None, bar, M.REFUSED),
        row(M.AGREEING, PakeFinished, None, prove, M.PROVING),
        row(M.PROVING, SecretUsed, None, send_and_wait, M.AWAITING_PROOF),
        row(M.AWAITING_PROOF, Proof, None, check, M.CHECKING),
        row(M.CHECKING, SecretUsed, the_mac_is_right, settle, M.SETTLING),
        row(M.CHECKING, SecretUsed, None, refuse, M.REFUSED),
        row(M.SETTLING, AttemptsForgotten, None, accept, M.PROVED),
        row((M.OFFERING, M.AGREEING, M.PROVING, M.CHECKING), KeyOperationFailed, None, give_up, M.REFUSED),
    ],
)

UNIT_PAKE: Final = Table[UnitPakeState, PakeData](
    "pake-unit",
    UnitPakeState,
    U.OPENED,
    [
        # in, on, if, do, then
        row(U.OPENED, ChannelOpened, None, await_share, U.AWAITING_SHARE),
        row(U.AWAITING_SHARE, PakeShare, None, count, U.COUNTING),
        row(U.COUNTING, AttemptAdmitted, None, begin, U.OFFERING),
        row(U.COUNTING, AttemptBarred, None, bar, U.REFUSED),
        row(U.OFFERING, PakeStarted, None, agree_with_own, U.AGREEING),
        row(U.AGREEING, PakeFinished, None, send_share_and_wait, U.AWAITING_PROOF),
        row(U.AWAITING_PROOF, Proof, None, check, U.CHECKING),
        row(U.CHECKING, SecretUsed, the_mac_is_right, settle, U.SETTLING),
        row(U.CHECKING, SecretUsed, None, refuse, U.REFUSED),
        row(U.SETTLING, AttemptsForgotten, None, answer, U.PROVING),
        row(U.PROVING, SecretUsed, None, send_and_accept, U.PROVED),
        row((U.OFFERING, U.AGREEING, U.PROVING, U.CHECKING), KeyOperationFailed, None, give_up, U.REFUSED),
    ],
)


def pake_stage(
    side: Side, option: TrustOption, serial: str, password: SecretHandle | None, *, patience: float = PROOF_SECONDS
) -> ProofStage:
    """The exchange and the proofs of `side`, about the module `serial`.

    Args:
        side: which one.
        option: of the pin.
        serial: of the module.
        password: the secret, in key memory; None: the person at the module is asked.
        patience: how long the unit waits for the module's share, seconds.

    """
    data = PakeData(side, option, serial, password=password, patience=patience)
    if side is Side.MODULE:
        return ProofStage(MODULE_PAKE, M.OPENED, data)
    return ProofStage(UNIT_PAKE, U.OPENED, data)
