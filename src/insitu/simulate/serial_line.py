"""A serial line of a simulated world: the product's serial link over two bare ports with noise between them."""

from __future__ import annotations

from functools import partial
from typing import Final

import trio

from ..transports.errors import LinkBroken
from ..transports.faulty import Faults, FaultyStream
from ..transports.memory import MemoryStream, memory_pair
from ..transports.serial.arq import Timing
from ..transports.serial.link import SerialLink, SerialListener
from .chance import Chance
from .machine import Machine
from .plan import Trouble
from .surroundings import Surroundings

TIMING: Final = Timing(baud=115_200)
LARGEST: Final = (1 << 32) - 1


async def lay_serial_line(
    world: Surroundings, caller: Machine, called: Machine, chance: Chance
) -> tuple[trio.abc.Stream, trio.abc.Stream]:
    """Call the other end over a new line; the end here, the end there.

    Raises:
        TransportError: the noise lets nobody through.

    """
    here, there = memory_pair()
    faults = _faults(world, caller)
    line = FaultyStream(here, sending=faults, receiving=faults, seed=chance.whole(0, LARGEST))
    for machine in (caller, called):
        machine.at_power_cut(partial(_hang_up, here, there))
    listener = SerialListener(there, timing=TIMING, number=chance.whole(1, LARGEST))
    number = chance.whole(1, LARGEST)
    accepted: list[SerialLink] = []

    async def accept() -> None:
        try:
            accepted.append(await listener.accept())
        except LinkBroken:
            return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        try:
            link = await SerialLink.call(line, timing=TIMING, number=number)
        except BaseException:
            _hang_up(here, there)
            raise
        with trio.move_on_after(TIMING.limit) as patience:
            while not accepted:
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    if patience.cancelled_caught:
        _hang_up(here, there)
        raise LinkBroken("nobody took the call", who="serial line")
    return link, accepted[0]


def _faults(world: Surroundings, caller: Machine) -> Faults:
    rate = 0.0 if world.calm else world.plan.of(Trouble.NOISE)
    if not rate:
        return Faults()
    world.count(Trouble.NOISE, caller.name)
    return Faults(bit_errors=rate, losses=rate, doubles=rate / 2, bursts=rate / 10)


def _hang_up(*ends: MemoryStream) -> None:
    for end in ends:
        end.close()
