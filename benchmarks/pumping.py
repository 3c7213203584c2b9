"""Both sides of a session in one process, without I/O and without a scheduler: frames go from hand to hand.

The sessions are those that the shell makes: its coroutines run until they would hand the session to the driver, are
pumped here, and run on to their end.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from insitu.protocol.channel.handshake import Handshake
from insitu.protocol.engine import Agree, Close, Effect, GenerateKey, Send, Sign, StartTimer, StopTimer
from insitu.protocol.keys.port import KeyStore
from insitu.protocol.ports import Ports, operate, perform
from insitu.protocol.session import Outcome, Session, Transmit
from insitu.shell import module as module_shell
from insitu.shell import unit as unit_shell


@dataclass(frozen=True, slots=True)
class Handed:
    """A session that has not started, and its surroundings."""

    session: Session[Any, Any]
    ports: Ports
    now: Callable[[], int]


@types.coroutine
def _until_resumed(handed: Handed) -> Generator[Handed, None, None]:
    yield handed


async def _hand_over(session: Session[Any, Any], _stream: object, ports: Ports, *, now: Any, **_: object) -> Any:
    await _until_resumed(Handed(session, ports, now))
    if session.error is not None:
        raise session.error
    return session


class Nowhere:
    """What the shell is given for a stream; it only ever closes it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@contextmanager
def driven_by_hand() -> Iterator[None]:
    """The shell hands its sessions over instead of running them."""
    kept = module_shell.run, unit_shell.run
    module_shell.run = unit_shell.run = _hand_over  # type: ignore[assignment]
    try:
        yield
    finally:
        module_shell.run, unit_shell.run = kept


Watch = Callable[[int, tuple[bytes, ...]], None]
"""Called with the side (0 module, 1 the other) and the frames that it sends in one go."""


class Pump:
    """Two of the shell's calls, the module's first.

    Attributes:
        at_work: the side whose code is running: 0 or 1.

    """

    def __init__(self, *calls: Coroutine[Any, Any, Any], watch: Watch | None = None) -> None:
        self._calls = calls
        self._watch = watch
        self._queues: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self._sides: list[Handed] = []
        self.at_work = 0

    def run(self) -> None:
        """From the opening of the link to the end of both calls; an error of either is raised."""
        for side, call in enumerate(self._calls):
            self.at_work = side
            self._sides.append(call.send(None))
        for side, handed in enumerate(self._sides):
            self._perform(side, handed.session.start(handed.now()))
        while any(self._queues):
            for side, queue in enumerate(self._queues):
                handed = self._sides[side]
                while queue:
                    self._perform(side, handed.session.receive(queue.popleft(), handed.now()))
        for side, call in enumerate(self._calls):
            self.at_work = side
            with suppress(StopIteration):
                call.send(None)

    def _perform(self, side: int, outcome: Outcome) -> None:
        self.at_work = side
        handed = self._sides[side]
        queue = deque(outcome)
        while queue:
            effect = queue.popleft()
            match effect:
                case Transmit(frames):
                    if self._watch is not None:
                        self._watch(side, frames)
                    self._queues[1 - side].extend(frames)
                case StartTimer() | StopTimer() | Close() | Send():
                    pass
                case _:
                    answer = perform(effect, handed.ports)
                    if answer is not None:
                        queue.extend(handed.session.answer(answer, handed.now()))


def shake_hands(module: Handshake, unit: Handshake, keys: tuple[KeyStore, KeyStore], at: int) -> None:
    """EDHOC alone, from message_1 to message_4."""
    sides = (module, unit)
    queues: tuple[deque[bytes], deque[bytes]] = (deque(), deque())

    def follow(side: int, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, (GenerateKey, Sign, Agree)):
                follow(side, sides[side].answer(operate(effect, keys[side]), at))
            elif isinstance(effect, Send):
                assert isinstance(effect.message, bytes)
                queues[1 - side].append(effect.message)

    follow(0, module.start(at))
    while any(queues):
        for side, queue in enumerate(queues):
            while queue:
                follow(side, sides[side].receive(queue.popleft(), at))
    assert module.opened is not None
    assert unit.opened is not None
