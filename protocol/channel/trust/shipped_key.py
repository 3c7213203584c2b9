"""Trust option "shipped-key" (A5): a random key of this one module, whose twin travels in the accompanying documents.

Both sides use fresh keys for the handshake and then prove to each other, in the channel, that they hold the shipped
key (`mutual.py`). It has 128 bits, so that a MAC gives nothing away. Whoever reads the documents can pose to either
side: they are worth as much as the envelope they travel in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...engine import KeyHandle, SecretHandle
from ...messages import TrustOption
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from ..proofs import Side
from .mutual import mutual_stage
from .stage import ProofStage
from .terms import anybody, fresh_credential, named

SHIPPED: Final = "shipped"
"""Label of the key at the module, from manufacture on."""
SHIPPED_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class ByShippedKey:
    """Either side.

    Attributes:
        side: which one.
        serial: the module's own serial number, or the one that the job is for.
        secret: the shipped key, in key memory.
        own: a claims set around `key`, with the module's serial number or the unit's name.
        key: a fresh pair, made for this session.

    """

    side: Side
    serial: str
    secret: SecretHandle
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.SHIPPED_KEY
    method: int = Method.STATIC

    @classmethod
    def module(cls, serial: str, key: KeyHandle, secret: SecretHandle) -> ByShippedKey:
        """The terms of the module `serial`."""
        return cls(Side.MODULE, serial, secret, fresh_credential(serial, key), key)

    @classmethod
    def unit(cls, name: str, key: KeyHandle, secret: SecretHandle, serial: str) -> ByShippedKey:
        """The terms of the unit called `name` for the module `serial`."""
        return cls(Side.UNIT, serial, secret, fresh_credential(name, key), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Anybody for now, but no module of another serial number; the proof follows in the channel.

        Raises:
            ProtocolError: another kind of credential, or another module's.

        """
        return anybody(claim) if self.side is Side.MODULE else named(claim, self.serial)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """The mutual proof."""
        return mutual_stage(self.side, self.option, self.serial, self.secret)
