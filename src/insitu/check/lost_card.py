"""The worlds in which a thief has the first bank's card and its PINs, so that it certifies what he likes (S5).

They are those of operating.py once the operator has said since when the card is lost. Before and after, the thief dates
his certificates before the loss: for SN-1, and for a module that nobody knows. What the central system knew before the
loss goes on where policy keeps it, and nothing else. That he works as SN-1 until somebody notices must be found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from ..protocol.engine import given
from ..protocol.messages import Greeting, Message
from . import work_invariants as work
from .channel import CheckedSession
from .intruder import Sayings, issued
from .intruder_at_work import IntruderAtWork
from .liveness import Liveness
from .operating import Budget, Operating
from .state import State
from .work_invariants import SeenAtWork
from .world import BANKS, SERIAL, Beginning, Loot, Store

UNKNOWN: Final = "SN-7"


class _Thief(IntruderAtWork):
    """The intruder, with such certificates.

    Attributes:
        forged: their fingerprints.

    """

    def __init__(self, start: Beginning, module: Store, stolen: bytes) -> None:
        super().__init__(start, module, stolen)
        card, key = start.units[BANKS[0]].vault.fork(), self.own.key
        made = {name: issued(card, "the lost card", key.public, name) for name in (SERIAL, UNKNOWN)}
        self.forged = frozenset(sha256(der).digest() for der in made.values())
        self.loot = [
            Loot(f"a certificate for {name} by the lost card", self.own.vault, key, (der,))
            for name, der in made.items()
        ]

    def sayings(self, victim: CheckedSession, known: frozenset[Message]) -> Sayings:
        """See Intruder."""
        yield from super().sayings(victim, known)
        if Greeting in victim.accepted:
            for fingerprint in sorted(self.forged):
                yield "with the fingerprint of his certificate", Greeting(0, fingerprint, 1000, 0)


class LostCard(Operating):
    """A module at work, and a thief who has the card that certified it.

    Args:
        budget, runs, talk: see Operating.
        kept: what was known before the loss stays admitted; None: nobody has noticed the loss.

    """

    def __init__(
        self, budget: Mapping[Budget, int], *, kept: bool | None, runs: tuple[int, int, int] = (1, 1, 0), talk: int = 2
    ) -> None:
        super().__init__(budget, runs=runs, talk=talk)
        self.intruder = self.thief = _Thief(self.start, self.module, self.stolen)
        self._kept = kept

    def initial(self) -> State:
        """See Scenario: the module was online once, and the operator has disabled the issuer."""
        first = super().initial()
        if self._kept is None:
            return first
        settled = Liveness(self).settled(given(self.joined(first, 1)))
        assert isinstance(settled, State)  # noqa: S101 - the ordinary course
        lost = given(self.after_the_loss(self.closed(settled), keep_known=self._kept))
        return lost._replace(slots=first.slots)

    def ends_well(self, state: State, settle: Callable[[State], State | str]) -> str:
        """See Scenario: what was known goes on working where policy keeps it, and does not where it does not."""
        if self._kept is None:
            return super().ends_well(state, settle)
        why = self.works(self.closed(state), settle)
        if self._kept:
            return why
        return "" if why else "a module works whose issuer is lost"


def s5_what_a_thief_certified_is_refused(seen: SeenAtWork) -> str:
    """S5: by a card that is known to be lost, nobody comes to work who was not known before, whatever a date says."""
    assert isinstance(seen.scenario, LostCard)  # noqa: S101 - for whose worlds it is
    for place in (1, 2):
        entry = seen.business(place)
        if entry is not None and entry.fingerprint in seen.scenario.thief.forged:
            return f"{entry.serial} works by a certificate that a thief made"
    return ""


_BY_NAME: Final = work.who_works_with_whom_proved_it
"""Of which another takes the place: the handshake goes by certificates, and what counts only the registry knows."""
OF_A_STATE: Final = (
    *(each for each in work.OF_A_STATE if each is not _BY_NAME),
    s5_what_a_thief_certified_is_refused,
)
