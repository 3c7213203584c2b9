"""What one personalization puts on the wire, against mutual TLS 1.3 that carries the same messages; and the line time.

On a serial line at 9600 baud these bytes are the time: 960 of them take a second.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import tls
import trio
import trio.testing
from measuring import Result
from parties import SERIAL, Parties
from pumping import driven_by_hand

from insitu.protocol import session
from insitu.protocol.channel.edhoc import X5Chain
from insitu.protocol.keys import certificates
from insitu.protocol.messages import Certificates, TrustOption
from insitu.transports.faulty import Faults, relay
from insitu.transports.framing import encode_frame
from insitu.transports.memory import memory_pair
from insitu.transports.serial.arq import Timing
from insitu.transports.serial.link import SerialLink, SerialListener

GOAL: Final = 0.7
FLIGHTS: Final = 7
BAUD: Final = 9600
BYTES_A_SECOND: Final = BAUD / 10


@dataclass
class Crossing:
    """What one personalization did.

    Attributes:
        frames: sender (0 module, 1 unit) and size on the wire of each frame, its length field included.
        payloads: sender and encoding of each message on the channel.
        certificates: DER of each certificate that crossed, as often as it did.
        verified: side and DER for each verification of a certificate.

    """

    frames: list[tuple[int, int]] = field(default_factory=list)
    payloads: list[tuple[int, bytes]] = field(default_factory=list)
    certificates: list[bytes] = field(default_factory=list)
    verified: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes on the wire, both ways."""
        return sum(size for _, size in self.frames)

    @property
    def flights(self) -> int:
        """How often the direction changes, and once more."""
        return len(list(groupby(side for side, _ in self.frames)))


async def measure(line_seconds: float) -> list[Result]:
    """Bytes, flights, and what happened twice; `line_seconds`: of the real serial link, from `over_serial`."""
    ours = _personalized()
    with tls.contexts() as contexts:
        handshake, records = await _over_tls(contexts, ours.payloads)
    peer = handshake + records
    seconds = [f"{size / BYTES_A_SECOND:.2f} s" for size in (ours.size, peer)]
    bytes_note = f"{ours.size} / ({handshake} + {records}) bytes; at {BAUD} baud {seconds[0]} / {seconds[1]}"
    line_note = "framing, CRC, acknowledgements, opening and closing included"
    sent, checked = ours.certificates, ours.verified
    return [
        Result("wire.tls", "bytes of a personalization / TLS with its messages", ours.size / peer, GOAL, bytes_note),
        Result("wire.flights", "flights", ours.flights, FLIGHTS, _directions(ours)),
        Result("wire.sent_twice", "certificates sent twice", _repeated(sent), 0, f"{len(sent)} sent"),
        Result("wire.verified_twice", "certificates verified twice", _repeated(checked), 0, f"{len(checked)} verified"),
        Result("wire.serial", f"seconds over the serial link at {BAUD} baud", line_seconds, note=line_note),
    ]


def _personalized() -> Crossing:
    parties, crossing = Parties(), Crossing()
    parties.set_back()
    for terms in parties.terms():
        assert isinstance(terms.own.id_cred, X5Chain)
        crossing.certificates += terms.own.id_cred.certificates

    def watch(side: int, frames: tuple[bytes, ...]) -> None:
        crossing.frames.extend((side, len(encode_frame(frame))) for frame in frames)

    def encode(message: Any) -> bytes:
        payload = encode_message(message)
        crossing.payloads.append((pump.at_work, payload))
        if isinstance(message, Certificates):
            crossing.certificates += filter(None, (message.module, message.central, message.customer))
        return payload

    def verify(data: bytes, *args: Any, **options: Any) -> object:
        crossing.verified.append((pump.at_work, data))
        return verify_issued(data, *args, **options)

    pump = parties.personalization(watch)
    encode_message, verify_issued = session.encode_message, certificates.verify_issued
    with driven_by_hand(), _everywhere(encode_message, encode), _everywhere(verify_issued, verify):
        pump.run()
    return crossing


@contextmanager
def _everywhere(function: Callable[..., object], instead: Callable[..., object]) -> Iterator[None]:
    """The function replaced in each of our modules that has imported it."""
    name = function.__name__
    holders = [m for key, m in sys.modules.items() if key.startswith("insitu.") and getattr(m, name, None) is function]
    for holder in holders:
        setattr(holder, name, instead)
    try:
        yield
    finally:
        for holder in holders:
            setattr(holder, name, function)


def _repeated(things: list[Any]) -> int:
    return sum(count - 1 for count in Counter(things).values())


def _directions(crossing: Crossing) -> str:
    flights = [(side, sum(size for _, size in frames)) for side, frames in groupby(crossing.frames, key=lambda f: f[0])]
    return ", ".join(f"{'<' if side else '>'} {size}" for side, size in flights)


async def _over_tls(contexts: tls.Contexts, payloads: list[tuple[int, bytes]]) -> tuple[int, int]:
    """Bytes of the handshake, and of the records that carry these messages."""
    ends, taps = tls.tapped_ends(contexts)
    await tls.shake_hands(*ends)
    handshake = sum(tap.sent for tap in taps)
    for side, payload in payloads:
        await ends[side].send_all(payload)
    return handshake, sum(tap.sent for tap in taps) - handshake


async def over_serial() -> float:
    """Seconds of a personalization over the serial link at 9600 baud, from call to close. Wants a clock that jumps."""
    parties = Parties()
    parties.set_back()
    timing, faults, option = Timing(BAUD), Faults(baud=BAUD), TrustOption.CERTIFICATES
    module_end, left = memory_pair()
    right, unit_end = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: relay(left, right, to_right=faults, to_left=faults))
        listener = SerialListener(module_end, timing=timing)

        async def attend() -> None:
            await parties.module.meet_unit(await listener.accept(), option)

        nursery.start_soon(attend)
        began = trio.current_time()
        link = await SerialLink.call(unit_end, timing=timing)
        await parties.unit.personalize(link, SERIAL, option)
        seconds = trio.current_time() - began
        nursery.cancel_scope.cancel()
    return seconds


def serial_seconds() -> float:
    """The same, with that clock."""
    return trio.run(over_serial, clock=trio.testing.MockClock(autojump_threshold=0))
