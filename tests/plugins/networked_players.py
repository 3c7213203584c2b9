"""A unit in the network before a module, TANs on both sides, and the mobile's side of its call, to be learned.

What people do between two messages is a letter of the unit's own side: it is there only while a session waits for it.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import Any

from black_box import LOST, SILENCE, Letter, Player
from intruder import Intruder, Trap
from networked import approve_queued, in_force, look, service, with_policy
from proof_players import ModuleKnowsSecret, UnitKnowsSecret
from pump import Side
from wire_players import STREAM, UnitBeforeModule
from wire_players import holds as guards
from world import SERIAL, Beginning, Seeded, World

from insitu.protocol.channel.trust import ByTan, ModuleByIdentity, UnitCalled
from insitu.protocol.channel.trust.calling import by_key
from insitu.protocol.engine import KeyKind, StateError
from insitu.protocol.keys.certificates import key_digest
from insitu.protocol.keys.tans import read_tan
from insitu.protocol.messages import Conveyance, TrustOption, Verdict
from insitu.protocol.parties.mobile_call import CALLING
from insitu.shell.far_link import ByChannel

BINDING = bytes(range(32))
CONVEYANCE = Conveyance(serial=SERIAL, binding=BINDING, random=bytes(range(16)))
VOUCHED = Verdict(serial=SERIAL, binding=BINDING)

# The unit in the network -------------------------------------------------------------------------------------


class UnitWithQueue(UnitBeforeModule):
    """A unit that listens, with the module on its job list: people are asked once the module's key is known."""

    def __init__(self) -> None:
        Player.__init__(self)
        self.world = World()
        self.own = None
        self.here = service(self.world, jobs=[SERIAL])

    def meet(self) -> Trap:
        """A real module's end."""
        vault, identity = self.world.vault(SERIAL), self.world.vault(SERIAL).find("identity")
        assert identity is not None
        terms = ModuleByIdentity.of(self.world.module.record, identity)
        return Trap(Side("unit", self.here.meet(STREAM)), Intruder(terms, vault, self.purpose))

    def waiting(self) -> None:
        """Make sure that somebody does."""
        if not len(self.here.queue):
            raise StateError("no session waits for people")

    def approve(self) -> None:
        """Both people agree."""
        self.waiting()
        approve_queued(self.world)
        look(self.here)

    def strike_off(self) -> None:
        """The module is on the job list no more."""
        self.waiting()
        self.here._rules.jobs.listed.clear()  # type: ignore[union-attr]
        look(self.here)

    letters = (
        *UnitBeforeModule.letters[:1],
        Letter("my key", "ModuleKey", guards("people_are_to_approve_it"), UnitBeforeModule.letters[1].say),
        UnitBeforeModule.letters[2],
        Letter("people approve", "JobApproved", do=lambda me: me.approve(), own=True),  # type: ignore[attr-defined]
        Letter("it is struck off", "JobDropped", do=lambda me: me.strike_off(), own=True),  # type: ignore[attr-defined]
        *UnitBeforeModule.letters[3:5],
        LOST,
        SILENCE,
    )


class UnitWithStandingApproval(UnitWithQueue):
    """A unit whose people agreed to this module beforehand: nobody is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(begun=_standing())
        self.here = service(self.world)

    letters = UnitBeforeModule.letters


@cache
def _standing() -> Beginning:
    world = World()
    in_force(with_policy(world, most=5), most=2)
    return Beginning.of(world)


# TANs --------------------------------------------------------------------------------------------------------


class _OnEnvelope:
    """A peer that knows the TAN."""

    option = TrustOption.TAN
    way = ByTan
    world: World
    serial: str

    def password(self) -> bytes:
        """What stands on the envelope."""
        return read_tan(self.world.envelopes[self.serial]).encode()


class UnitAwaitsTan(_OnEnvelope, UnitKnowsSecret):
    """A unit that issued a TAN, before the module; the attempt burns the TAN, right or wrong."""


class ModuleTakesTan(_OnEnvelope, ModuleKnowsSecret):
    """A module whose operator has the envelope, and enters the TAN as it meets the unit."""

    holds = MappingProxyType({"DELIVERED": ModuleKnowsSecret.holds["DELIVERED"] - {"the_secret_is_here"}})
    letters = (
        Letter("meet", "ChannelOpened", answers=MappingProxyType({"Consult": "SecretEntered"})),
        *ModuleKnowsSecret.letters[1:],
    )


# The mobile calls --------------------------------------------------------------------------------------------


class MobileCalls(Player):
    """A mobile with a conveyance, before the unit that people told it of, once."""

    table = CALLING

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def meet(self) -> Trap:
        """A real unit's end."""
        card, vault = self.world.card, self.world.vault("phone")
        key = vault.generate("mobile", KeyKind.P256, b"")
        about: dict[str, Any] = {"entropy": Seeded("mobile"), "now": self.world.clock}
        far = ByChannel(_dialled, "mobile", key, vault, key_digest(card.authentication.public), **about)
        near: Any = None
        terms = UnitCalled.of("Bank", card.authentication, frozenset({by_key(key.public)}))
        return Trap(Side("mobile", far.ask(CONVEYANCE, near)), Intruder(terms, card.keys))

    letters = (
        Letter("call", "ChannelOpened", guards("it_is_a_call")),
        Letter("its word", "Verdict", say=lambda _: VOUCHED),
        Letter("its refusal", "Verdict", say=lambda _: Verdict(serial=SERIAL)),
        Letter("a mobile's message", "Conveyance", say=lambda _: CONVEYANCE),
        LOST,
        SILENCE,
    )


async def _dialled(_: object) -> Any:
    return STREAM


QUEUED = (UnitWithQueue, UnitWithStandingApproval)
BY_TAN = (UnitAwaitsTan, ModuleTakesTan)
