"""A module is personalized over a bad V.24 line: wrong bits, lost and doubled bytes, at 9600 baud (K1).

The clock jumps, so the seconds are those of the line and not of the test.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock
from world import SERIAL, World

from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import ModulePersonalized
from insitu.shell.unit import Unit
from insitu.transports.faulty import Faults, relay
from insitu.transports.memory import memory_pair
from insitu.transports.serial.arq import Timing
from insitu.transports.serial.frames import MAX_LINE
from insitu.transports.serial.link import SerialLink, SerialListener
from insitu.transports.tap import Tap

BAUD = 9600
TIMING = Timing(BAUD)
FEWEST_BYTES_WITH_ERRORS = 2700


def line(bit_errors: float = 0.0, losses: float = 0.0, doubles: float = 0.0) -> Faults:
    return Faults(bit_errors=bit_errors, losses=losses, doubles=doubles, baud=BAUD)


async def personalize(world: World, faults: Faults, option: TrustOption, seed: int) -> tuple[float, Tap, Tap]:
    """One personalization over that line: its seconds, and both ends of the bare line."""
    card = world.card
    job = card.propose(CardRole.MODULE, SERIAL)
    for person, pin in (("alice", b"2580-alice"), ("bob", b"1470-bob")):
        card.approve(job, person, pin)
    unit = Unit(card, world.central_certificate, compare=lambda _: True, now=world.clock)
    module_end, left = memory_pair()
    right, unit_end = memory_pair()
    module_line, unit_line = Tap(module_end), Tap(unit_end)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(relay, left, right, to_right=faults, to_left=faults, seed=seed))
        listener = SerialListener(module_line, timing=TIMING)

        async def attend() -> None:
            await world.module.meet_unit(await listener.accept(), option, wired=True)

        nursery.start_soon(attend)
        began = trio.current_time()
        link = await SerialLink.call(unit_line, timing=TIMING, timeout=60, number=seed + 1)
        result = await unit.personalize(link, SERIAL, option, wired=True)
        seconds = trio.current_time() - began
        assert isinstance(result, ModulePersonalized)
        while world.module.state is not ModuleState.OPERATING:
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    return seconds, module_line, unit_line


@pytest.mark.parametrize(
    ("faults", "most_seconds"),
    [
        pytest.param(line(), 6, id="clean"),
        pytest.param(line(bit_errors=1e-4), 10, id="bit errors 1e-4"),
        pytest.param(line(bit_errors=1e-3), 40, id="bit errors 1e-3"),
        pytest.param(line(losses=2e-3, doubles=2e-3), 40, id="lost and doubled bytes"),
        pytest.param(line(bit_errors=1e-3, losses=1e-3, doubles=1e-3), 60, id="all at once"),
    ],
)
@pytest.mark.parametrize("option", [TrustOption.CERTIFICATES, TrustOption.PHYSICAL])
async def test_personalized_over_a_bad_line(
    faults: Faults, most_seconds: float, option: TrustOption, autojump_clock: MockClock
) -> None:
    world = World()
    carried: list[int] = []
    for seed in range(2):
        seconds, module_line, unit_line = await personalize(world, faults, option, seed)
        assert world.module.state is ModuleState.OPERATING
        assert seconds < most_seconds
        carried.append(module_line.sent + unit_line.sent)
        world.module.reset_by_hand()
    if faults.bit_errors >= 1e-3:
        assert max(carried) > FEWEST_BYTES_WITH_ERRORS  # the line was as bad as it should have been


async def test_frames_on_the_line_are_short(autojump_clock: MockClock) -> None:
    seen: list[bytes] = []
    observe: Callable[..., None] = lambda way, data: seen.append(data) if way == "sent" else None  # noqa: E731
    world = World()
    original = Tap.__init__

    def observed(self: Tap, stream: trio.abc.Stream, observer: object = None) -> None:
        original(self, stream, observe)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tap, "__init__", observed)
        await personalize(world, line(), TrustOption.CERTIFICATES, 7)
    frames = [frame for frame in b"".join(seen).split(b"\0") if frame]
    assert max(map(len, frames)) < MAX_LINE <= 64
