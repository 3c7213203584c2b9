"""Trust option "physical" (A1): Diffie-Hellman without authentication, on a wired local link only.

Each side uses a fresh key for the session as a CWT claims set by value (RFC 9528 appendix D.5). It protects against
listeners and against nobody who can cut the wire: what the person sees is what has to make up for that, the
cable and the fingerprints. The serial number in the claims set is the module's word, checked against the job.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...engine import KeyHandle, ProtocolError, UsageError
from ...keys.profile import NAME_RULE, is_name
from ...messages import TrustOption, decode
from ..edhoc.credentials import Credential, IdCred, Kccs, write_ccs
from ..edhoc.suites import Method
from ..opened import Peer

_CLAIM_SUB = 2


@dataclass(frozen=True, slots=True)
class ByCable:
    """Either side.

    Attributes:
        own: a claims set around `key`, with the module's serial number or the unit's name.
        key: a fresh pair, made for this session.

    """

    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.PHYSICAL
    method: int = Method.STATIC

    @classmethod
    def of(cls, name: str, key: KeyHandle, *, wired: bool) -> ByCable:
        """The terms of the side called `name`.

        Args:
            name: serial number of the module, name of the unit.
            key: made for this session.
            wired: whether the link attests that it is a wired local one, or its operator declared so.

        Raises:
            UsageError: the link is not wired.

        """
        if not wired:
            raise UsageError(
                "trust option physical is for a wired local link only",
                expected="a serial port, or a cable declared as such",
                got="a link that attests no wire",
            )
        return cls(Credential.kccs(write_ccs(key.public, subject=name)), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Anybody with a key of its own; `at` plays no part, since nothing is certified."""
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
