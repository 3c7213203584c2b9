"""A card enrols at a central system (L14), or brings it its log (L12): what both knew beforehand is all they trust.

People tell each side one fingerprint beforehand, over another path than the link: the card's side that of the central
system's key, the central system's side that of the certificate of the card's signing key. The central system has no
certificate yet, since this card is to make it; the card has one for its authentication key, by the signing key and
under four eyes, so that no signature by the signing key is needed here (L13). A card that brings its log meets a
central system whose key it knows, be it from its own log; the other way round, it is one of those that enrolled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from ...engine import KeyHandle, KeyKind, ProtocolError
from ...keys.certificates import (
    CertificateRefused,
    Role,
    VerifiedCertificate,
    check_time,
    fingerprint_text,
    key_digest,
    verify_issued,
)
from ...keys.port import check_certificate_matches
from ...keys.revocation import VerifiedCrl, check_unrevoked
from ...messages import TrustOption
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from .operating import SKEW_SECONDS
from .stage import ProofStage
from .terms import anybody, chain_of, fresh_credential


@dataclass(frozen=True, slots=True)
class CardEnrolling:
    """The card's side.

    Attributes:
        central: SHA-256 of the SubjectPublicKeyInfo of the central system's key, 32 bytes, as people were told.

    """

    central: bytes
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.CERTIFICATES
    method: int = Method.SIGNATURES

    @classmethod
    def of(
        cls, customer: VerifiedCertificate, unit: bytes, key: KeyHandle, central: bytes, *, now: int
    ) -> CardEnrolling:
        """The terms of a card.

        Args:
            customer: of its signing key.
            unit: the certificate of its authentication key, DER.
            key: its authentication key.
            central: see the class.
            now: unix seconds at which both certificates must be valid.

        Raises:
            CertificateRefused, KeyMismatch: a certificate does not hold, or is not for this key.

        """
        check_time(customer, now)
        check_certificate_matches(key, verify_issued(unit, customer, Role.UNIT, now=now))
        return cls(central, Credential.x5chain((unit, customer.der), key.public), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """The central system whose key has the fingerprint; `at` plays no part, since nothing is certified.

        Raises:
            ProtocolError: another key.

        """
        credential, peer = anybody(claim)
        if peer.public.kind is not KeyKind.P256 or key_digest(peer.public) != self.central:
            raise ProtocolError(
                "key of the central system",
                who="card",
                expected=fingerprint_text(self.central),
                got=fingerprint_text(key_digest(peer.public)) if peer.public.kind is KeyKind.P256 else "another kind",
            )
        return credential, peer

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides."""
        return None


@dataclass(frozen=True, slots=True)
class CentralEnrolling:
    """The central system's side.

    Attributes:
        root: the manufacturer's, whose fingerprint people compared.
        customer: SHA-256 of the certificate of the card's signing key, 32 bytes, as people were told.
        crl: the manufacturer's revocation list, as far as there is one (S5).

    """

    root: VerifiedCertificate
    customer: bytes
    own: Credential = field(repr=False)
    key: KeyHandle
    crl: VerifiedCrl | None = None
    option: TrustOption = TrustOption.CERTIFICATES
    method: int = Method.SIGNATURES

    @classmethod
    def of(
        cls, name: str, key: KeyHandle, root: VerifiedCertificate, customer: bytes, *, crl: VerifiedCrl | None = None
    ) -> CentralEnrolling:
        """The terms of the central system called `name`, with the pair `key`; for the others see the class."""
        return cls(root, customer, fresh_credential(name, key), key, crl)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """The card whose signing key is expected, if need be with a clock that is a little ahead.

        Raises:
            ProtocolError: another's, one that does not hold, has expired or is revoked.

        """
        unit_der, customer_der = chain_of(claim, 2, "central")
        shown = sha256(customer_der).digest()
        if shown != self.customer:
            raise CertificateRefused(
                "fingerprint",
                "certificate of a card's signing key",
                expected=fingerprint_text(self.customer),
                got=fingerprint_text(shown),
            )
        customer = verify_issued(customer_der, self.root, Role.CUSTOMER, now=at)
        check_unrevoked(customer, self.crl)
        return _card(unit_der, customer, at)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides."""
        return None


@dataclass(frozen=True, slots=True)
class CentralSyncing:
    """The central system's side for a card that brings its log.

    Attributes:
        customers: the certificates of the signing keys that are known here. Whether one of them is lost by now, the
            registry knows, and the central system's table asks it.

    """

    customers: tuple[VerifiedCertificate, ...]
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.CERTIFICATES
    method: int = Method.SIGNATURES

    @classmethod
    def of(cls, name: str, key: KeyHandle, customers: tuple[VerifiedCertificate, ...]) -> CentralSyncing:
        """The terms of the central system called `name`, with the pair `key`; for the others see the class."""
        return cls(customers, fresh_credential(name, key), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """One of the cards, if need be with a clock that is a little ahead.

        Raises:
            ProtocolError: another's, one that does not hold or has expired.

        """
        unit_der, customer_der = chain_of(claim, 2, "central")
        for customer in self.customers:
            if customer.der == customer_der:
                check_time(customer, at)
                return _card(unit_der, customer, at)
        got = fingerprint_text(sha256(customer_der).digest())
        raise CertificateRefused(
            "fingerprint", "certificate of a card's signing key", expected="one that is known here", got=got
        )

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides."""
        return None


def _card(unit_der: bytes, customer: VerifiedCertificate, at: int) -> tuple[Credential, Peer]:
    """The holder of the authentication key that this signing key has certified."""
    unit = verify_issued(unit_der, customer, Role.UNIT, now=None)
    check_time(unit, max(at, min(unit.not_before, at + SKEW_SECONDS)))
    peer = Peer(unit.subject, Role.UNIT, unit.public, (unit, customer))
    return Credential.x5chain((unit_der, customer.der), unit.public), peer
