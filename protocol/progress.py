"""Progress: what a session shows while it runs, as types, for people, programs and statistics. Never a secret."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Intent, TrustOption


@dataclass(frozen=True, slots=True)
class StateEntered:
    """`party` took `event` and is in `state` (names as in its table)."""

    party: str
    state: str
    event: str


@dataclass(frozen=True, slots=True)
class Secured:
    """The channel stands: with whom, for what, by which EDHOC method and cipher suite."""

    party: str
    peer: str
    intent: Intent
    method: int
    suite: int


@dataclass(frozen=True, slots=True)
class PeerProved:
    """The other side proved, to this `party` in the channel, what the trust option asks for: it is `peer` (A5)."""

    party: str
    peer: str
    option: TrustOption


@dataclass(frozen=True, slots=True)
class MobileAwaited:
    """`party` waits until a mobile has conveyed the number for the module `serial`, so many seconds at most (A9)."""

    party: str
    serial: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PeopleAwaited:
    """`party` waits until two people have approved the key of module `serial`, so many seconds at most (L13)."""

    party: str
    serial: str
    seconds: float


@dataclass(frozen=True, slots=True)
class KeysAwaited:
    """The operator at the pad of `party` is to key in a TAN for `peer`; so many seconds at most for each key (A7)."""

    party: str
    peer: str
    seconds: float


@dataclass(frozen=True, slots=True)
class KeysRefused:
    """What was entered is no TAN; `left` more attempts. Nothing of it is in `reason`."""

    party: str
    reason: str
    left: int


@dataclass(frozen=True, slots=True)
class MobileHeard:
    """`mobile` brought the unit something for the module `serial`; whether that agrees with a channel of ours (A9)."""

    party: str
    serial: str
    mobile: str
    agrees: bool


@dataclass(frozen=True, slots=True)
class MessageSent:
    """A message left: its name and the bytes of its frames, without the frames' length fields."""

    party: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message arrived: its name and the bytes of its last frame, without the frame's length field."""

    party: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The session is over; `reason` is empty when it ended in good order."""

    party: str
    reason: str
