"""Trust option "physical" (A1): Diffie-Hellman without authentication, on a wired local link only.

Each side uses a fresh key for the session as a CWT claims set by value (RFC 9528 appendix D.5). It protects against
listeners and against nobody who can cut the wire: what the person sees is what has to make up for that, the
cable and the fingerprints. The serial number in the claims set is the module's word, checked against the job.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...engine import KeyHandle, UsageError
from ...messages import TrustOption
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from .stage import ProofStage
from .terms import anybody, fresh_credential


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
        return cls(fresh_credential(name, key), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Anybody with a key of its own; `at` plays no part, since nothing is certified."""
        credential, peer = anybody(claim)
        return credential, replace(peer, wired=True)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """People compare, later."""
        return None
