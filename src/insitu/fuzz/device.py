"""A party on somebody else's machine, held against what can be seen from outside.

Nothing of it needs to be ours: it is reached over a stream, say a serial port, and spoken to by a puppet with real
keys. What holds is: it answers with messages of the protocol, with one code at most, never with a secret, it ends the
link in its time, and afterwards a good session works as before.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeAlias

import trio

from ..protocol.engine import EnvironmentFault, InsituError, KeyKind, PublicKey
from ..protocol.keys.certificates import Role, draft_certificate
from ..protocol.messages import DecodeError, decode_message
from ..protocol.ports import Ports
from ..transports.errors import TransportError
from .cast import Cast
from .engine import Report
from .findings import Finding
from .mutation import Mutator, cut, joined
from .puppet import Played, Puppet, play
from .scene import NOW, CopiedVault
from .target import Shape
from .targets.keys import customer

Connect: TypeAlias = Callable[[], Awaitable[trio.abc.Stream]]
MOST_HEARD: Final = 1 << 20
"""Bytes of one session at most; no party says as much to a unit."""
AS_IT_IS: Final = 0.1
"""Share of sessions in which the message is said as it is, and something else after it."""


@dataclass(frozen=True)
class Device:
    """A party under test.

    Attributes:
        name: for findings.
        connect: opens a new link to it, for one session.
        play: a new puppet and its ports, for one session.
        reach: how many messages the puppet says by itself in a good session, which then is broken off; nothing that
            lasts may have come of it.
        now: unix seconds.
        since: how many messages it says before it may turn: those in which a wrong word costs something that lasts,
            say one of few attempts at a secret.
        patience: seconds for each part of a session: for a link and good messages, and for the device to end the link
            once nothing more is said to it.
        secrets: what it must never send, not even enciphered.
        pause: seconds that the device is given between two sessions.

    """

    name: str
    connect: Connect
    play: Callable[[], Cast]
    reach: int
    now: Callable[[], int]
    since: int = 0
    patience: float = 40.0
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    pause: float = 0.02


@dataclass(frozen=True)
class Session:
    """One session with the device: when the puppet turns, and what it says then."""

    turn: int
    says: tuple[bytes, ...]

    @classmethod
    def read(cls, data: bytes) -> Session:
        """What `data` describes: the turn as the first frame, then what is said."""
        first, *says = cut(data) or [b""]
        return cls(first[0] if first else 0, tuple(frame for frame in says if frame))

    @property
    def data(self) -> bytes:
        """As the input of a finding."""
        return joined([bytes((self.turn,)), *self.says])


async def drive(
    device: Device,
    *,
    seconds: float | None = None,
    runs: int | None = None,
    seed: int = 0,
    alive_every: int = 10,
    found: Callable[[Finding], None] = lambda finding: None,
) -> Report:
    """Hold sessions with a device, each with messages that are not as they should be.

    Args:
        device: the party under test. It is spoken to in good order first.
        seconds: wall clock; None: no limit.
        runs: sessions; None: no limit.
        seed: of what is said; what the puppet says before depends on fresh keys and differs.
        alive_every: after so many sessions, and after each finding, a good session must work.
        found: gets each finding as it is made, once for each kind.

    Raises:
        EnvironmentFault: the device does not even do a good session at the beginning.

    """
    report = Report(device.name, "built-in", seed)
    chance = Random(f"{device.name}/{seed}")  # noqa: S311 - it is to repeat
    if why := await _is_dead(device):
        expected = "one in which nothing is said wrongly, to begin with"
        raise EnvironmentFault("no good session", who=device.name, expected=expected, got=why)
    begun, kinds = time.monotonic(), set[tuple[str, str]]()
    last: Session | None = None

    def note(finding: Finding) -> None:
        if finding.kind not in kinds:
            kinds.add(finding.kind)
            report.findings.append(finding)
            found(finding)

    while (runs is None or report.runs < runs) and (seconds is None or time.monotonic() - begun < seconds):
        turn = chance.randint(device.since, device.reach)
        puppet, ports = device.play()
        puppet.turn, puppet.twist = turn, _twist(chance)
        before = len(report.findings)
        outcome = await _speak(device, puppet, ports)
        report.runs += 1
        last = Session(turn, puppet.says)
        if isinstance(outcome, str):
            report.outcomes[outcome] += 1
        else:
            note(Finding(device.name, last.data, outcome[0]))
        if (report.runs % alive_every == 0 or len(report.findings) > before) and (why := await _is_dead(device)):
            note(Finding(device.name, last.data, f"no good session any more: {why}"))
            break
    report.seconds = time.monotonic() - begun
    return report


async def replay_on(device: Device, data: bytes) -> str | Finding:
    """Hold the session that a finding describes; its outcome, or what is wrong."""
    session = Session.read(data)
    puppet, ports = device.play()
    puppet.turn, puppet.says = session.turn, session.says
    outcome = await _speak(device, puppet, ports)
    if not isinstance(outcome, str):
        return Finding(device.name, data, outcome[0])
    why = await _is_dead(device)
    return Finding(device.name, data, f"no good session any more: {why}") if why else outcome


def by_a_stranger(serial: str) -> Callable[[PublicKey], bytes]:
    """Makes certificates for the module `serial` with a signature that no issuer made: no module takes them."""
    vault = CopiedVault("stranger")
    pair = vault.generate("stranger", KeyKind.P256, b"")

    def certify(public: PublicKey) -> bytes:
        times = {"not_before": NOW - 100_000_000, "not_after": NOW}
        draft = draft_certificate(Role.MODULE, serial, public, customer(), random=bytes(range(16)), **times)
        return draft.assemble(vault.sign(pair, draft.to_be_signed))

    return certify


def _twist(chance: Random) -> Callable[[bytes], tuple[bytes, ...]]:
    mutator = Mutator(Shape.CBOR, chance)

    def twist(payload: bytes) -> tuple[bytes, ...]:
        other = mutator.mutate(payload, [payload])
        return (payload, other) if chance.random() < AS_IT_IS else (other,)

    return twist


async def _speak(device: Device, puppet: Puppet[Any, Any], ports: Ports) -> str | tuple[str]:
    """Hold one session; its outcome, or in a tuple what is wrong."""
    played, wire = await _held(device, puppet, ports)
    if wire is None:
        return (f"no link any more: {played.error}",)
    if wire.flooded:
        return (f"more than {MOST_HEARD >> 20} MiB was said",)
    if not puppet.turned:
        return (f"no session up to message {puppet.turn}: {_why(device, puppet, played)}",)
    if not played.ended:
        return (f"the link did not end in {device.patience:g} s",)
    return _judged(device, puppet, wire.received)


async def _held(device: Device, puppet: Puppet[Any, Any], ports: Ports) -> tuple[Played, _Heard | None]:
    """Hold one session, and end it in its time; how it went, and what was heard if there was a link."""
    await trio.sleep(device.pause)
    played, wire = Played(), None
    with trio.move_on_after(device.patience) as scope:
        try:
            wire = _Heard(await device.connect())
            await play(puppet, wire, ports, now=device.now, linger=device.patience, played=played, until_turned=scope)
        except (TransportError, InsituError, OSError) as error:
            played.error = error
    if wire is None and played.error is None:
        played.error = TimeoutError(f"no link in {device.patience:g} s")
    return played, wire


def _why(device: Device, puppet: Puppet[Any, Any], played: Played) -> str:
    """A session that came to nothing."""
    if played.error is None and puppet.error is None:
        return "the link ended" if played.ended else f"nothing in {device.patience:g} s"
    return str(played.error or puppet.error)


def _judged(device: Device, puppet: Puppet[Any, Any], raw: bytes) -> str | tuple[str]:
    if any(secret in raw or secret in b"".join(puppet.heard) for secret in device.secrets):
        return ("a secret was sent",)
    for payload in puppet.heard:
        try:
            decode_message(payload)
        except DecodeError as error:
            return (f"an answer that is no message: {error.summary}",)
    if len(puppet.faults) > 1:
        return ("more than one code was told",)
    told = ",".join(type(message).__name__ for message in puppet.told) or "nothing"
    return f"{told}, code {puppet.faults[0]}" if puppet.faults else told


async def _is_dead(device: Device) -> str:
    """Why a good session does not work; empty where it does."""
    puppet, ports = device.play()
    puppet.turn = device.reach
    played, wire = await _held(device, puppet, ports)
    if wire is not None and wire.flooded:
        return f"more than {MOST_HEARD >> 20} MiB was said"
    return "" if puppet.turned else _why(device, puppet, played)


class _Heard(trio.abc.HalfCloseableStream):
    """A stream that remembers what came over it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._received = bytearray()

    @property
    def received(self) -> bytes:
        """All of it."""
        return bytes(self._received)

    @property
    def flooded(self) -> bool:
        """It was more than anybody says."""
        return len(self._received) > MOST_HEARD

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See Stream."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See Stream."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """See Stream; over a link that cannot be closed by halves nothing happens."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See Stream."""
        came = await self._stream.receive_some(max_bytes)
        self._received += came
        return b"" if self.flooded else came

    async def aclose(self) -> None:
        """See Stream."""
        await self._stream.aclose()
