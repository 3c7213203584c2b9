"""Terms: what one side pins before the link opens, and how it judges who turns up. One strategy a trust option.

A strategy is data: option, method, its own credential, and a pure `judge`. What the handshake does with them is
in `../handshake.py`; which option a person chooses, and over which links, is for the layers above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from ...engine import KeyHandle, ProtocolError
from ...keys.certificates import CertificateRefused, VerifiedCertificate
from ...keys.profile import NAME_RULE, is_name, time_text
from ...messages import TrustOption, decode
from ..edhoc.credentials import Credential, IdCred, Kccs, X5Chain, write_ccs
from ..opened import ChannelOpened, Peer
from .stage import ProofStage

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

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """What is to be proved in the channel, which stands, before the party hears of it; None: nothing."""
        ...


_CLAIM_SUB: Final = 2


def fresh_credential(name: str, key: KeyHandle) -> Credential:
    """A claims set by value around `key`, a pair made for one session, for who says that its name is `name`."""
    return Credential.kccs(write_ccs(key.public, subject=name))


def anybody(claim: IdCred) -> tuple[Credential, Peer]:
    """Whoever brings a claims set with a name (RFC 9528 appendix D.5): nothing is proved but a fresh key.

    Raises:
        ProtocolError: another kind of credential, or no name.

    """
    if not isinstance(claim, Kccs):
        raise ProtocolError("credential", who="channel", expected="kccs", got=type(claim).__name__)
    credential = Credential.kccs(claim.ccs)
    claims = decode(claim.ccs)
    name = claims.get(_CLAIM_SUB) if isinstance(claims, dict) else None
    if not isinstance(name, str) or not is_name(name):
        raise ProtocolError(
            "subject of a claims set", who="channel", expected=NAME_RULE, got="another" if name else "none"
        )
    return credential, Peer(name, None, credential.public)


def named(claim: IdCred, serial: str) -> tuple[Credential, Peer]:
    """The same, of a module that says at least that it is the one that the job is for.

    Raises:
        ProtocolError: it says something else.

    """
    credential, peer = anybody(claim)
    if peer.name != serial:
        raise ProtocolError("serial number", who="unit", expected=serial, got=peer.name)
    return credential, peer


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
