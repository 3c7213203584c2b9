"""Trust option "certificates" (A2): both sides prove certificates that end at the manufacturer's root.

What must hold (SECURITY.md, formal/certificates.pv): every path ends at the root that was there before the link
opened, a session never brings its own; the unit pins the serial number; the whole transcript with both whole
credentials is signed, which EDHOC method 0 with x5chain does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from ...engine import KeyHandle, UsageError
from ...keys.certificates import Role, VerifiedCertificate, check_time, trusted_root, verify_issued
from ...keys.port import check_certificate_matches
from ...keys.revocation import VerifiedCrl, check_unrevoked, read_crl
from ...messages import ModuleRecord, TrustOption
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from .stage import ProofStage
from .terms import chain_of, check_unexpired


@lru_cache(maxsize=16)
def _own_identity(root: bytes, identity: bytes, serial: str) -> tuple[VerifiedCertificate, VerifiedCertificate]:
    """A module's own chain, verified once and not for every session."""
    trusted = trusted_root(root)
    return trusted, verify_issued(identity, trusted, Role.IDENTITY, now=None, subject=serial)


@lru_cache(maxsize=16)
def own_unit(unit: bytes, customer: VerifiedCertificate) -> VerifiedCertificate:
    """A unit's own certificate, verified once and not for every session."""
    return verify_issued(unit, customer, Role.UNIT, now=None)


@dataclass(frozen=True, slots=True)
class ModuleByIdentity:
    """The module's side: its identity certificate against unit and customer certificate.

    Attributes:
        root: the manufacturer's, as entered at manufacture.
        latest: no certificate is judged at an earlier time, unix seconds.
        crl: the manufacturer's revocation list, as far as the central system sent one (S5).

    """

    root: VerifiedCertificate
    latest: int
    own: Credential = field(repr=False)
    key: KeyHandle
    crl: VerifiedCrl | None = None
    option: TrustOption = TrustOption.CERTIFICATES
    method: int = Method.SIGNATURES

    @classmethod
    def of(cls, record: ModuleRecord, key: KeyHandle | None) -> ModuleByIdentity:
        """The terms of a delivered module whose identity pair is `key`.

        Raises:
            UsageError: the module has no identity.
            KeyMismatch: identity certificate and key pair do not belong together.

        """
        if record.identity is None or key is None:
            raise UsageError(
                "this module has no identity", who="module", expected="trust option physical", got="certificates"
            )
        root, identity = _own_identity(record.root, record.identity, record.serial)
        check_certificate_matches(key, identity)
        crl = None if record.crl is None else read_crl(record.crl, root)
        return cls(root, record.latest, Credential.x5chain((record.identity,), key.public), key, crl)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """A unit, certified by a customer whom our manufacturer certified (L6).

        Raises:
            ProtocolError: no such chain, or one that does not hold, has expired or is revoked.

        """
        unit_der, customer_der = chain_of(claim, 2, "module")
        customer = verify_issued(customer_der, self.root, Role.CUSTOMER, now=None)
        check_unrevoked(customer, self.crl)
        unit = verify_issued(unit_der, customer, Role.UNIT, now=None)
        check_unexpired((self.root, customer, unit), max(at, self.latest))
        peer = Peer(unit.subject, Role.UNIT, unit.public, (unit, customer))
        return Credential.x5chain((unit_der, customer_der), unit.public), peer

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides the handshake."""
        return None


@dataclass(frozen=True, slots=True)
class UnitByCertificate:
    """The unit's side: its certificate and its customer's against the identity of exactly one module.

    Attributes:
        root: the manufacturer's, as it came with the customer's certificate.
        serial: the only module that is admitted.
        crl: the manufacturer's revocation list, as far as there is one (S5).

    """

    root: VerifiedCertificate
    serial: str
    own: Credential = field(repr=False)
    key: KeyHandle
    crl: VerifiedCrl | None = None
    option: TrustOption = TrustOption.CERTIFICATES
    method: int = Method.SIGNATURES

    @classmethod
    def of(
        cls,
        root: VerifiedCertificate,
        customer: VerifiedCertificate,
        unit_der: bytes,
        key: KeyHandle,
        serial: str,
        *,
        now: int | None = None,
        crl: VerifiedCrl | None = None,
    ) -> UnitByCertificate:
        """The terms of a unit with the authentication key `key`, for the module `serial`.

        Args:
            root: the manufacturer's.
            customer: the unit's issuer, below `root`.
            unit_der: the unit's certificate.
            key: the pair that it is for.
            serial: the only module that is admitted.
            now: unix seconds at which our own certificates must be valid; None where there is no clock to ask.
            crl: the manufacturer's revocation list; whether it is current, the caller has judged.

        Raises:
            CertificateRefused, KeyMismatch: the unit's certificate does not hold, or is not for this key.

        """
        unit = own_unit(unit_der, customer)
        if now is not None:
            check_time(customer, now)
            check_time(unit, now)
        check_certificate_matches(key, unit)
        return cls(root, serial, Credential.x5chain((unit_der, customer.der), key.public), key, crl)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """The identity of the module that the job is for, and no other (formal model: load-bearing).

        Raises:
            ProtocolError: another's, one that does not hold, has expired or is revoked.

        """
        return identity_of(claim, self.root, self.serial, self.crl, at)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides the handshake."""
        return None


def identity_of(
    claim: IdCred, root: VerifiedCertificate, serial: str, crl: VerifiedCrl | None, at: int
) -> tuple[Credential, Peer]:
    """The identity of the module `serial`, and no other.

    Raises:
        ProtocolError: another's, one that does not hold, has expired or is revoked.

    """
    (identity_der,) = chain_of(claim, 1, "unit")
    identity = verify_issued(identity_der, root, Role.IDENTITY, now=at, subject=serial)
    check_unrevoked(identity, crl)
    peer = Peer(identity.subject, Role.IDENTITY, identity.public, (identity,))
    return Credential.x5chain((identity_der,), identity.public), peer
