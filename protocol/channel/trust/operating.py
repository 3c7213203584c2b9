"""Module and central system at work (L9): what personalization left is all they trust.

The module shows the certificate that the card made; the central system's certificate was pinned in the module, so
that its hash is enough to name it and the whole of it is bound into the transcript (S11).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...engine import KeyHandle, ProtocolError, UsageError, given
from ...keys.certificates import (
    CertificateRefused,
    Role,
    VerifiedCertificate,
    check_time,
    is_circular,
    trusted_root,
    verify_circle,
    verify_issued,
)
from ...keys.port import KeyMissing, check_certificate_matches
from ...messages import ModuleCondition, ModuleRecord, TrustOption
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from .stage import ProofStage
from .terms import chain_of

SKEW_SECONDS: Final = 300
"""How far a unit's clock may be ahead of the central system's."""


@dataclass(frozen=True, slots=True)
class ModuleAtWork:
    """The module's side.

    Attributes:
        central: the pinned certificate, verified up to the manufacturer's root, or by its circle (L6).

    """

    central: VerifiedCertificate
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.CERTIFICATES
    method: int = Method.SIGNATURES

    @classmethod
    def of(cls, record: ModuleRecord, key: KeyHandle | None) -> ModuleAtWork:
        """The terms of an operating module whose operating pair is `key`; checks S2 before anything is sent.

        Raises:
            UsageError: the module does not operate.
            KeyMissing, KeyMismatch, CertificateRefused: record and key memory do not belong together.

        """
        if record.condition is not ModuleCondition.OPERATING:
            raise UsageError(
                "the module is not personalized", who="module", expected="operating", got=record.condition.name.lower()
            )
        if key is None:
            raise KeyMissing("operating key pair", who="module", expected=record.key, got="nothing")
        customer, central = _pinned(record)
        module_der = given(record.module)
        module = verify_issued(module_der, customer, Role.MODULE, now=None, subject=record.serial)
        check_certificate_matches(key, module)
        return cls(central, Credential.x5chain((module_der,), key.public), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """The pinned central system and nobody else."""
        credential = Credential.x5t(self.central.der, self.central.public)
        if claim != credential.id_cred:
            raise ProtocolError(
                "credential", who="module", expected="the pinned central system", got=type(claim).__name__
            )
        return credential, Peer(self.central.subject, Role.CENTRAL, self.central.public, (self.central,))

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides the handshake."""
        return None


@dataclass(frozen=True, slots=True)
class CentralAtWork:
    """The central system's side.

    Attributes:
        customers: whose modules are known here; entered over an integrity-controlled path (L9). Whether one of them
            is lost by now, the registry knows, and the central system's table asks it.
        certificate: its own, verified up to one of them.

    """

    customers: tuple[VerifiedCertificate, ...]
    certificate: VerifiedCertificate
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.CERTIFICATES
    method: int = Method.SIGNATURES

    @classmethod
    def of(cls, certificate: bytes, customers: tuple[VerifiedCertificate, ...], key: KeyHandle) -> CentralAtWork:
        """The terms of a central system with `certificate` for its pair `key`.

        Raises:
            UsageError: no customer is trusted.
            CertificateRefused, KeyMismatch: the certificate is not ours.

        """
        if not customers:
            raise UsageError("no customer is trusted", who="central", expected="a customer's certificate", got="none")
        own, _ = _issued_by_one_of(certificate, customers, Role.CENTRAL)
        check_certificate_matches(key, own)
        return cls(customers, own, Credential.x5t(certificate, key.public), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """A module that one of the trusted customers certified, if need be with a clock that is a little ahead."""
        (module_der,) = chain_of(claim, 1, "central")
        module, customer = _issued_by_one_of(module_der, self.customers, Role.MODULE)
        check_time(customer, at)
        check_time(module, max(at, min(module.not_before, at + SKEW_SECONDS)))
        return Credential.x5chain((module_der,), module.public), Peer(
            module.subject, Role.MODULE, module.public, (module, customer)
        )

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides the handshake."""
        return None


def _pinned(record: ModuleRecord) -> tuple[VerifiedCertificate, VerifiedCertificate]:
    """Customer and central system, as personalization left them."""
    customer_der, central_der = given(record.customer), given(record.central)
    if record.circular and is_circular(customer_der):
        return verify_circle(customer_der, central_der)
    customer = verify_issued(customer_der, trusted_root(record.root), Role.CUSTOMER, now=None)
    return customer, verify_issued(central_der, customer, Role.CENTRAL, now=None)


def _issued_by_one_of(
    der: bytes, customers: tuple[VerifiedCertificate, ...], role: Role
) -> tuple[VerifiedCertificate, VerifiedCertificate]:
    """The certificate and its issuer; times are for the caller to judge."""
    refused: CertificateRefused | None = None
    for customer in customers:
        try:
            return verify_issued(der, customer, role, now=None), customer
        except CertificateRefused as error:
            refused = error
    if refused is not None and len(customers) == 1:
        raise refused
    raise ProtocolError(
        f"{role.value} certificate",
        who="central",
        expected=f"by one of {len(customers)} trusted customers",
        got="another",
    ) from refused
