"""Trust option "certificates-one-way" (A3): the module proves its identity; the unit is a fresh key at set-up.

The unit need not authenticate, since what it hands over is checked: its customer's certificate must end at the root
that the module holds since manufacture, which is load-bearing here (formal/oneway.pv). What that leaves open: anybody
may open a channel to the module and learn its identity and a new public key; and of two units of customers of one
manufacturer the module takes whichever comes, with certificates that the customer's card made for exactly this key.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...engine import KeyHandle
from ...keys.certificates import VerifiedCertificate
from ...keys.revocation import VerifiedCrl
from ...messages import ModuleRecord, TrustOption
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from .certificates import ModuleByIdentity, identity_of
from .stage import ProofStage
from .terms import anybody, fresh_credential


@dataclass(frozen=True, slots=True)
class ModuleOneWay:
    """The module's side: its identity certificate against whoever is there."""

    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.CERTIFICATES_ONE_WAY
    method: int = Method.SIGNATURE_THEN_STATIC

    @classmethod
    def of(cls, record: ModuleRecord, key: KeyHandle | None) -> ModuleOneWay:
        """The terms of a delivered module whose identity pair is `key`.

        Raises:
            UsageError: the module has no identity.
            KeyMismatch: identity certificate and key pair do not belong together.

        """
        mutual = ModuleByIdentity.of(record, key)
        return cls(mutual.own, mutual.key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Anybody with a key of its own: the certificates that come later are what counts."""
        return anybody(claim)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides the handshake."""
        return None


@dataclass(frozen=True, slots=True)
class UnitOneWay:
    """The unit's side: a fresh key against the identity of exactly one module.

    Attributes:
        root: the manufacturer's, as it came with the customer's certificate.
        serial: the only module that is admitted.
        key: a fresh pair, made for this session.
        crl: the manufacturer's revocation list, as far as there is one (S5).

    """

    root: VerifiedCertificate
    serial: str
    own: Credential = field(repr=False)
    key: KeyHandle
    crl: VerifiedCrl | None = None
    option: TrustOption = TrustOption.CERTIFICATES_ONE_WAY
    method: int = Method.SIGNATURE_THEN_STATIC

    @classmethod
    def of(
        cls, root: VerifiedCertificate, name: str, key: KeyHandle, serial: str, *, crl: VerifiedCrl | None = None
    ) -> UnitOneWay:
        """The terms of the unit called `name` for the module `serial`."""
        return cls(root, serial, fresh_credential(name, key), key, crl)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """The identity of the module that the job is for, and no other (formal: load-bearing).

        Raises:
            ProtocolError: another's, one that does not hold, has expired or is revoked.

        """
        return identity_of(claim, self.root, self.serial, self.crl, at)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides the handshake."""
        return None
