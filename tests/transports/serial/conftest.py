"""A simulated serial line: two link endpoints and the wires between them, without trio, a clock or an operating system.

Time is a number that jumps from event to event, so an hour of line costs seconds and every run replays from its seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

import pytest

from insitu.transports.faulty import CLEAN, Damage, Faults
from insitu.transports.serial.arq import Session, Timing
from insitu.transports.serial.endpoint import Endpoint


@dataclass
class Side:
    endpoint: Endpoint
    damage: Any
    peer: Side | None = None
    free_at: float = 0.0
    line_bytes: int = 0
    most_ahead: float = 0.0
    pieces: list[bytes] = field(default_factory=list)
    to_send: bytes = b""
    end: Callable[[Session, float], None] | None = None
    received: bytearray = field(default_factory=bytearray)
    session: Session | None = None
    reads: bool = True


class Simulation:
    """`caller` calls at time 0; each side sends its `to_send`, then `end`s (or nothing), and reads all that comes."""

    def __init__(
        self,
        timing: Timing | None = None,
        *,
        to_answerer: Faults = CLEAN,
        to_caller: Faults = CLEAN,
        seed: int | str = 0,
        latency: float = 0.002,
    ) -> None:
        timing = timing or Timing()
        self.now = 0.0
        self.timing = timing
        self.latency = latency
        numbers = Random(f"{seed}/numbers")
        caller, answerer = (
            Endpoint(timing, caller=is_caller, number=1 + numbers.getrandbits(31)) for is_caller in (True, False)
        )
        self.caller = Side(caller, Damage(to_answerer, f"{seed}/a"))
        self.answerer = Side(answerer, Damage(to_caller, f"{seed}/c"))
        self.caller.peer, self.answerer.peer = self.answerer, self.caller
        self.sides = (self.caller, self.answerer)
        self._arrivals: list[tuple[float, int, Side, bytes]] = []
        self._count = 0
        self._standstill = 0
        self.caller.endpoint.call(self.now)

    def run(self, until: Callable[[], bool] = lambda: False, limit: float = 3600.0) -> None:
        """Go on until the condition holds, nothing is left to happen, or `limit` seconds of line time have passed."""
        while not until():
            for side in self.sides:
                self._turn(side)
            wake = min(side.endpoint.wake_at() for side in self.sides)
            if self._arrivals:
                wake = min(wake, self._arrivals[0][0])
            if wake == inf or wake > limit:
                return
            self._standstill = 0 if wake > self.now else self._standstill + 1
            assert self._standstill < 100, "an endpoint asks to be woken at once but has nothing to do"
            self.now = max(self.now, wake)
            self._arrive()

    def _turn(self, side: Side) -> None:
        endpoint = side.endpoint
        side.session = endpoint.session or side.session
        session = endpoint.session
        if session is not None:
            if side.reads:
                side.received += session.read(None, self.now)
            side.to_send = side.to_send[session.write(side.to_send) :] if not session.failure else b""
            if not side.to_send and side.end is not None:
                side.end(session, self.now)
                side.end = None
        for _ in range(100):
            data = endpoint.transmit(self.now)
            if not data:
                break
            self._put(side, data)
        endpoint.expire(self.now)

    def _put(self, side: Side, data: bytes) -> None:
        assert side.peer is not None
        side.line_bytes += len(data)
        side.pieces.append(data)
        side.free_at = max(self.now, side.free_at) + len(data) * self.timing.byte
        side.most_ahead = max(side.most_ahead, side.free_at - self.now)
        arriving = side.damage.apply(data)
        self._count += 1
        heapq.heappush(self._arrivals, (side.free_at + self.latency, self._count, side.peer, arriving))

    def _arrive(self) -> None:
        while self._arrivals and self._arrivals[0][0] <= self.now:
            _, _, side, data = heapq.heappop(self._arrivals)
            side.endpoint.receive(data, self.now)


@pytest.fixture
def simulation() -> type[Simulation]:
    return Simulation
