"""Terms of a unit that does not know beforehand which module will call: it learns that in the handshake, and pins it.

Option, method and the unit's own credential are fixed before the link opens, as in the field. What the module claims,
by its identity certificate or by its name, decides for which serial number the unit's terms then judge it and, where
the option has a proof in the channel, have it prove itself. Nothing else ever comes from the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from ..protocol.channel.edhoc.credentials import Credential, IdCred, X5Chain
from ..protocol.channel.opened import ChannelOpened, Peer
from ..protocol.channel.trust import BySecret, UnitByCertificate, UnitByConveyed, UnitByTicket, UnitOneWay
from ..protocol.channel.trust.stage import ProofStage
from ..protocol.channel.trust.terms import anybody, chain_of
from ..protocol.engine import KeyHandle
from ..protocol.keys.certificates import Role, VerifiedCertificate, verify_issued
from ..protocol.messages import TrustOption

Pinnable: TypeAlias = UnitByCertificate | UnitOneWay | UnitByTicket | BySecret | UnitByConveyed
"""Terms of a unit that name their module by nothing but `serial`."""


class ForWhoever:
    """Terms for whichever module calls.

    Args:
        terms: as they are but for the serial number.
        root: the manufacturer's.
        found: is told the serial number that is pinned, before the module has proved anything.

    """

    def __init__(self, terms: Pinnable, root: VerifiedCertificate, found: Callable[[str], None]) -> None:
        self._terms = terms
        self._root = root
        self._found = found

    @property
    def option(self) -> TrustOption:
        """See Terms."""
        return self._terms.option

    @property
    def method(self) -> int:
        """See Terms."""
        return self._terms.method

    @property
    def own(self) -> Credential:
        """See Terms."""
        return self._terms.own

    @property
    def key(self) -> KeyHandle:
        """See Terms."""
        return self._terms.key

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Pin the module that this says it is, and judge it as that.

        Raises:
            ProtocolError: no module of our manufacturer's, or one that these terms do not admit.

        """
        serial = self._claimed(claim, at)
        self._terms = replace(self._terms, serial=serial)
        judged = self._terms.judge(claim, at)
        self._found(serial)
        return judged

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """See Terms."""
        return self._terms.stage(opened)

    def _claimed(self, claim: IdCred, at: int) -> str:
        if isinstance(claim, X5Chain):
            (identity,) = chain_of(claim, 1, "unit")
            return verify_issued(identity, self._root, Role.IDENTITY, now=at).subject
        return anybody(claim)[1].name
