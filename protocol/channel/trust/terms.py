"""Terms: what one side pins before the link opens, and how it judges who turns up. One strategy a trust option.

A strategy is data: option, method, its own credential, and a pure `judge`. What the handshake does with them is
in `../handshake.py`; which option a person chooses, and over which links, is for the layers above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from ...engine import KeyHandle, ProtocolError
from ...keys.certificates import CertificateRefused, VerifiedCertificate
from ...keys.profile import time_text
from ...messages import TrustOption
from ..edhoc.credentials import Credential, IdCred, X5Chain
from ..opened import Peer

SUITES: Final = (3, 2)
"""EDHOC cipher suites in order of preference: both P-256 and ES256, 3 with tags of 16 bytes (RFC 9528 section 3.6)."""


class Terms(Protocol):
    """One side of one trust option.

    Attributes:
        option: travels in EAD_1 and is bound into the transcript (S13).
        method: the only EDHOC method that this side takes part in.
        own: the credential that this side uses.
        key: the key pair behind it.

    """

    @property
    def option(self) -> TrustOption:
        """See the class."""
        ...

    @property
    def method(self) -> int:
        """See the class."""
        ...

    @property
    def own(self) -> Credential:
        """See the class."""
        ...

    @property
    def key(self) -> KeyHandle:
        """See the class."""
        ...

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Who the other side says it is, as far as that can be said before it proves possession of the key.

        Args:
            claim: ID_CRED of the other side.
            at: unix seconds.

        Raises:
            ProtocolError: a credential that these terms do not admit.

        """
        ...


def chain_of(claim: IdCred, length: int, who: str) -> tuple[bytes, ...]:
    """The certificates of an x5chain of exactly `length`, end entity first.

    Raises:
        ProtocolError: another kind of credential or another number of certificates.

    """
    if not isinstance(claim, X5Chain) or len(claim.certificates) != length:
        got = f"{len(claim.certificates)}" if isinstance(claim, X5Chain) else type(claim).__name__
        raise ProtocolError("credential", who=who, expected=f"x5chain of {length}", got=got)
    return claim.certificates


def check_unexpired(certificates: Sequence[VerifiedCertificate], at: int) -> None:
    """That none of these has expired, judged by a clock that may be behind: that of a module.

    A certificate that holds and begins later than `at` shows that the clock is behind, by that much at least: whoever
    signed it had one, too. So a module whose clock stopped can be personalized, and one whose clock is right need not
    wait until the second has passed in which its certificate was made.

    Args:
        certificates: verified before; all of them are looked at.
        at: unix seconds.

    Raises:
        CertificateRefused: one has.

    """
    at = max(at, *(certificate.not_before for certificate in certificates))
    for certificate in certificates:
        if at > certificate.not_after:
            raise CertificateRefused(
                "validity",
                f"{certificate.role.value} certificate has expired",
                expected=f"a time until {time_text(certificate.not_after)}",
                got=time_text(at),
            )
