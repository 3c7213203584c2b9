"""Trust option "secret" (A6): a short secret of this one module that both sides were told, never exposed to guessing.

Both sides agree on a key by the secret and prove it (`pake.py`). A module with an identity proves that in the handshake
first: so nobody in a network uses up the attempts at the unit in its name. The unit is a fresh key until its proof;
whoever reaches the module can use up the attempts there, and an operator must then unlock it.

What it does not protect against: whoever learns the secret can pose to either side, for as long as it is used; and one
guess a session, five in a row, are open to anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from ...engine import KeyHandle, SecretHandle
from ...keys.certificates import VerifiedCertificate
from ...keys.revocation import VerifiedCrl
from ...messages import ModuleRecord, TrustOption
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from ..proofs import Side
from .certificates import ModuleByIdentity, identity_of
from .pake import pake_stage
from .stage import ProofStage
from .terms import anybody, fresh_credential, named

SECRET: Final = "secret"  # noqa: S105 - a label
"""Label of the secret at the module."""


@dataclass(frozen=True, slots=True)
class BySecret:
    """Either side.

    Attributes:
        side: which one.
        serial: the module's own serial number, or the one that the job is for.
        password: the secret, in key memory.
        own: the module's identity, or a claims set around `key`, with the module's serial number or the unit's name.
        key: the identity's pair, or a fresh one, made for this session.
        root: at the unit, where the module must prove an identity: the manufacturer's root.
        crl: at the unit, the manufacturer's revocation list, as far as there is one (S5).

    """

    side: Side
    serial: str
    password: SecretHandle | None
    own: Credential = field(repr=False)
    key: KeyHandle
    root: VerifiedCertificate | None = None
    crl: VerifiedCrl | None = None
    option: TrustOption = TrustOption.SECRET
    method: int = Method.SIGNATURE_THEN_STATIC

    @classmethod
    def module(cls, record: ModuleRecord, identity: KeyHandle, password: SecretHandle | None) -> Self:
        """The terms of a module with an identity.

        Raises:
            KeyMismatch: identity certificate and key pair do not belong together.

        """
        proved = ModuleByIdentity.of(record, identity)
        return cls(Side.MODULE, record.serial, password, proved.own, proved.key)

    @classmethod
    def bare_module(cls, serial: str, key: KeyHandle, password: SecretHandle | None) -> Self:
        """The terms of a module that has none."""
        own = fresh_credential(serial, key)
        return cls(Side.MODULE, serial, password, own, key, method=Method.STATIC)

    @classmethod
    def unit(
        cls,
        name: str,
        key: KeyHandle,
        password: SecretHandle | None,
        serial: str,
        *,
        root: VerifiedCertificate | None,
        crl: VerifiedCrl | None = None,
    ) -> Self:
        """The terms of the unit called `name` for the module `serial`; `root` None: one without an identity.

        `password` None: it comes as the attempt is admitted, once it is known for which module.
        """
        method = Method.STATIC if root is None else Method.SIGNATURE_THEN_STATIC
        own = fresh_credential(name, key)
        return cls(Side.UNIT, serial, password, own, key, root, crl, method=method)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """At the unit, the identity of the module of the job, or its name; at the module, anybody: the proof follows.

        Raises:
            ProtocolError: another kind of credential, another module's, or one that does not hold.

        """
        if self.side is Side.MODULE:
            return anybody(claim)
        if self.root is None:
            return named(claim, self.serial)
        return identity_of(claim, self.root, self.serial, self.crl, at)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """The exchange and the proofs."""
        return pake_stage(self.side, self.option, self.serial, self.password)
