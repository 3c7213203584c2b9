"""A cash machine of a simulated world as those see it who stand before it, or whom it calls."""

from __future__ import annotations

from ..protocol.messages import TrustOption
from ..shell.module import Module
from ..transports.links import Address
from .machine import Machine
from .surroundings import SECRET_WORDS
from .world import World


class Terminal:
    """A cash machine, from outside.

    Attributes:
        serial: of the module in it.
        option: its trust option.
        port: where a mobile is plugged in.
        impostor_place: where somebody else's machine with its serial number stands.
        module: as its program has it now.
        envelope: the last TAN that came, as it stands in it.
        displayed: the key that the module shows to people, an uncompressed point.
        may_call: it calls a unit in the network, if one listens under its option.
        is_racing: and a technician comes as well.
        shipped_key, secret: what its module and the technician have in common, under some options.

    """

    def __init__(self, world: World, serial: str) -> None:
        self.world = world
        self.serial = serial
        self.machine = Machine(world, serial)
        self.chance = self.machine.chance.of("controller")
        self.option: TrustOption = self.chance.one_of(world.plan.options)
        self.port = Address("memory", f"{serial}/port")
        self.impostor_place = f"{serial}/impostor"
        self.module: Module | None = None
        self.envelope = ""
        self.displayed = b""
        place = self.chance.of("place")
        self.may_call = place.happens(world.plan.networked)
        self.is_racing = place.happens(world.plan.racing)
        self.secret = f"{SECRET_WORDS}{serial}".encode()
        self.shipped_key = b""
