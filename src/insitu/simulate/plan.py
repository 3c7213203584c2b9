"""What may go wrong in one world, and how often: drawn from its seed, so that each world is bad in its own way.

Where everything goes wrong at once, little ever gets far enough to go wrong in an interesting way. So each seed picks
which troubles there are and how strong ("swarm testing", Groce et al., 2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

from ..protocol.engine import UsageError
from ..protocol.messages import TrustOption
from .chance import Chance

LEVELS: Final = ("none", "some", "all")
"""Of troubles: none; those that the seed picks, each as strong as it says; every one."""


class Trouble(Enum):
    """What can go wrong. The values are what reports and options call them."""

    LOSS = "loss"
    """A message is lost, over a link with somebody in it."""
    REPLAY = "replay"
    """A message comes again: at once, or one of another session."""
    REORDER = "reorder"
    """A message overtakes the one before."""
    DAMAGE = "damage"
    """A bit of a message is another one."""
    REFLECTION = "reflection"
    """A message goes back to whoever sent it."""
    FORGERY = "forgery"
    """A message that nobody sent."""
    CUT = "cut"
    """A link breaks while it is used."""
    STALL = "stall"
    """A link takes nothing any more, without any sign."""
    DELAY = "delay"
    """A message takes seconds."""
    PARTITION = "partition"
    """A machine is cut off from all others for minutes."""
    NOISE = "noise"
    """Bytes on a serial line are damaged, lost or doubled."""
    WRITE_ERROR = "write error"
    """A disk refuses a write, or says only afterwards that something was wrong."""
    POWER_CUT = "power cut"
    """Power goes within a write: what was not synced is torn, old or gone; or the program is killed in it."""
    LOST_WRITE = "lost write"
    """A disk says that something is on the medium that is not."""
    STRAY_WRITE = "stray write"
    """A disk writes one file's content into another file."""
    CRASH = "crash"
    """A program ends at any moment, and comes up again from its store."""
    CLOCK = "clock"
    """A machine's clock jumps, forward or back."""
    CARD_REMOVED = "card removed"
    """The card is taken out of its unit."""
    REGISTRY_AWAY = "registry away"
    """The central system's database does not answer."""
    WRONG_PIN = "wrong pin"
    """Somebody mistypes a PIN."""
    WRONG_SECRET = "wrong secret"  # noqa: S105 - a name
    """A TAN is mistyped."""
    SAME_SALT = "same salt"
    """A card's random numbers give all modules the same salt."""
    IMPATIENCE = "impatience"
    """A technician goes on although people did not approve."""
    IMPOSTOR = "impostor"
    """Somebody else's machine turns up with the module's serial number."""
    OLD_COPY = "old copy"
    """Somebody puts an older copy of a module's store back."""
    RESET_BY_HAND = "reset by hand"
    RESET_ORDERED = "reset ordered"
    MODULE_REVOKED = "module revoked"
    """Its certificates come on the revocation list of the card that made them."""
    IDENTITY_REVOKED = "identity revoked"
    """The manufacturer's list has a module, which nobody may personalize any more."""
    MODULE_DISABLED = "module disabled"
    CARD_LOST = "card lost"
    """A customer's card is disabled, and another takes its place."""


MOST: Final[Mapping[Trouble, float]] = {
    # for each message, over a link with somebody in it
    Trouble.LOSS: 0.30,
    Trouble.REPLAY: 0.50,
    Trouble.REORDER: 0.30,
    Trouble.DAMAGE: 0.10,
    Trouble.REFLECTION: 0.10,
    Trouble.FORGERY: 0.10,
    Trouble.DELAY: 0.20,
    # for each link
    Trouble.CUT: 0.30,
    Trouble.STALL: 0.10,
    # of all bits
    Trouble.NOISE: 0.001,
    # for each write of a store
    Trouble.WRITE_ERROR: 0.02,
    Trouble.POWER_CUT: 0.02,
    # of all disks
    Trouble.LOST_WRITE: 0.20,
    Trouble.STRAY_WRITE: 0.10,
    # for each machine, in an hour
    Trouble.PARTITION: 1.0,
    Trouble.CRASH: 4.0,
    Trouble.CLOCK: 1.0,
    Trouble.CARD_REMOVED: 2.0,
    Trouble.OLD_COPY: 4.0,
    # for each look into the database
    Trouble.REGISTRY_AWAY: 0.01,
    # for each time that somebody keys something in
    Trouble.WRONG_PIN: 0.05,
    Trouble.WRONG_SECRET: 0.30,
    # of all cards
    Trouble.SAME_SALT: 0.5,
    # for each approval that fails
    Trouble.IMPATIENCE: 0.5,
    # for each visit
    Trouble.IMPOSTOR: 0.10,
    # for each module, in an hour
    Trouble.RESET_BY_HAND: 30.0,
    Trouble.RESET_ORDERED: 30.0,
    Trouble.MODULE_DISABLED: 0.5,
    Trouble.MODULE_REVOKED: 2.0,
    Trouble.IDENTITY_REVOKED: 0.5,
    # for each customer, in an hour
    Trouble.CARD_LOST: 0.3,
}
"""How much of it there may be, by kind; what of, says the line above."""

EVERYDAY: Final = {Trouble.RESET_BY_HAND: 12.0, Trouble.RESET_ORDERED: 12.0}
"""Part of every module's life, where nothing goes wrong, too."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One world.

    Attributes:
        seed: from which everything else is drawn.
        modules: how many there are.
        hours: how long troubles last, in simulated hours; then all must finish.
        faults: one of LEVELS.
        without: troubles that there are none of, whatever the seed says: to find out which one it takes.
        strengths: how much there is of each trouble.
        hostile: share of the links with somebody in them.
        options: trust options of the modules.
        sealed: share of the modules whose store is a sealed file on a simulated disk.
        guarded: share of these that have a monotonic counter.
        serial: share of the modules whose local link is a serial line.
        networked: share of the banks with a unit in the network, and of their modules that call it.
        racing: share of these that a technician visits as well.
        shared: share of the hosts that serve two banks, each with a card of its own.
        paired: share of the hosts beside which stands another with the same registry.

    """

    seed: int
    modules: int
    hours: float
    faults: str
    without: frozenset[Trouble] = frozenset()
    strengths: Mapping[Trouble, float] = field(default_factory=dict)
    hostile: float = 0.0
    options: tuple[TrustOption, ...] = ()
    sealed: float = 0.0
    guarded: float = 0.0
    serial: float = 0.0
    networked: float = 0.0
    racing: float = 0.0
    shared: float = 0.0
    paired: float = 0.0

    @classmethod
    def drawn(
        cls, seed: int, *, modules: int, hours: float, faults: str = "some", without: frozenset[Trouble] = frozenset()
    ) -> Self:
        """The world of this seed.

        Raises:
            UsageError: no such world.

        """
        if faults not in LEVELS:
            raise UsageError("faults", who="simulation", expected=" or ".join(LEVELS), got=faults)
        if modules < 1 or hours <= 0:
            raise UsageError("size of the world", who="simulation", expected="a module and some time")
        chance = Chance(f"plan/{seed}")
        strengths = {trouble: _strength(trouble, faults, chance.of(trouble.value)) for trouble in Trouble}
        options = tuple(TrustOption)
        return cls(
            seed,
            modules,
            hours,
            faults,
            without,
            {trouble: 0.0 if trouble in without else strength for trouble, strength in strengths.items()},
            hostile=chance.one_of((0.02, 0.1, 0.3)),
            options=tuple(chance.some_of(options, chance.whole(1, len(options)))),
            sealed=chance.one_of((0.0, 0.2, 1.0)),
            guarded=chance.one_of((0.0, 0.5, 1.0)),
            serial=chance.one_of((0.0, 0.1, 0.3)),
            networked=chance.one_of((0.0, 0.5, 1.0)),
            racing=chance.one_of((0.0, 0.5, 1.0)),
            shared=chance.one_of((0.0, 0.0, 1.0)),
            paired=chance.one_of((0.0, 0.0, 1.0)),
        )

    def of(self, trouble: Trouble) -> float:
        """How much there is of this trouble; see MOST for what of."""
        return self.strengths.get(trouble, 0.0)


def _strength(trouble: Trouble, faults: str, chance: Chance) -> float:
    is_on, share = chance.happens(0.5), chance.between(0.05, 1.0) ** 2
    if faults == "none" or (faults == "some" and not is_on):
        return EVERYDAY.get(trouble, 0.0)
    return max(MOST[trouble] * share, EVERYDAY.get(trouble, 0.0))
