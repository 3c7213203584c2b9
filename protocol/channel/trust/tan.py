"""Trust option "tan" (A7, A8): a one-off number for exactly one module, from a sealed envelope, keyed in at the module.

It goes as `secret.py` does, but for where the secret comes from and what becomes of it. The unit issued it and keeps it
sealed; the person at the module is asked for it, once the channel stands, and has minutes. It is burnt at the unit
with the first attempt, right or wrong, before the unit says anything that depends on it; so of two sessions one wins.
A module with an identity proves that first, else anybody in the network could burn the TANs of others.

Nobody need key in one that lies in a token plugged in at the module. There it may be a key that never leaves
the token: no guessing finds it, so the token proves it by a MAC, without an exchange (`token.py`). Which of both it is,
the unit knows from its book.

What it does not protect against: whoever reads the envelope, or looks over the operator's shoulder, before the TAN is
used; and one guess in as many as there are TANs for whoever reaches the unit in the module's name.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...engine import SecretUsage
from ...messages import TrustOption
from ..opened import ChannelOpened
from .pake import PERSON_SECONDS, pake_stage
from .secret import BySecret
from .stage import ProofStage
from .token import token_stage


@dataclass(frozen=True, slots=True)
class ByTan(BySecret):
    """Either side; the module has no password yet, where its operator is to key it in."""

    option: TrustOption = TrustOption.TAN

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """The exchange and the proofs, with patience for a person; the proofs alone, with a key that is in a token."""
        if self.password is not None and self.password.usage is SecretUsage.PROOF:
            return token_stage(self.side, self.option, self.serial, self.password)
        return pake_stage(self.side, self.option, self.serial, self.password, patience=PERSON_SECONDS)
