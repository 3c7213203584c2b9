"""A stage of proof: what a trust option does in the channel before the party hears of it. One small table a side.

The session (session.py) runs it as it runs the party's own table: messages and answers in, effects out. When it has
proved who is at the other end, the party's table is told ChannelOpened with that peer; where it does not come to
that, the party never hears of the channel, so no table of a party knows which option was chosen (V2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Any, Final, Protocol

from ...engine import Effect, Table
from ...messages import TrustOption
from ..opened import Peer

PROOF_TIMER: Final = "proof"
"""Of every wait for the other side; whoever lets it pass ends the session."""
PROOF_SECONDS: Final = 30.0
"""How long a machine may take (SECURITY: resource limits)."""


class Verdict(Protocol):
    """The data of a stage, as far as the session cares."""

    @property
    def proved(self) -> Peer | None:
        """Who is at the other end, once that is proved; None before."""
        ...


class ProofStage:
    """One side's proof in one channel; used once.

    Args:
        table, state, data: as of a party.

    """

    def __init__(self, table: Table[Any, Any], state: Enum, data: Verdict) -> None:
        self._table = table
        self._data = data
        self.state = state

    @property
    def name(self) -> str:
        """The name of the table."""
        return self._table.party

    @property
    def proved(self) -> Peer | None:
        """Who is at the other end, once that is proved; None before."""
        return self._data.proved

    @property
    def data(self) -> Verdict:
        """What this side knows."""
        return self._data

    @property
    def accepts(self) -> tuple[type, ...]:
        """The event types that the present state has a row for."""
        return self._table.accepts(self.state)

    def fork(self) -> ProofStage:
        """The same once more, from here, for whoever explores what may happen (insitu.check)."""
        return ProofStage(self._table, self.state, self._data)

    def step(self, event: object) -> Sequence[Effect]:
        """One step; on any error nothing has changed.

        Raises:
            ProtocolError: the event has no place here.

        """
        step = self._table.step(self.state, self._data, event)
        self.state, self._data = step.state, step.data
        return step.effects


def by_proof(peer: Peer, option: TrustOption) -> Peer:
    """The same peer, for whom the proof of `option` vouches."""
    return replace(peer, proved=option)
