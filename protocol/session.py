"""A session: one party over one link, without I/O. Frames, answers and timeouts in; effects out.

The loop of whoever runs it (driver.py does, with trio; any other loop can):

1. perform the effects of `start(at)` in order: Transmit to the link, Persist, Show and key operations to the
   ports (`ports.perform`), timers to the clock;
2. give the event that a port returned to `answer(event, at)`, a frame to `receive(frame, at)`, an expired timer to
   `expire(timer, at)`, the end of the link to `lost(reason)`; perform what they return, in order. Where a port
   fails, drop the rest and give the error to `undone(error)`;
3. stop when `closed`; `error` then says why, or is None if the session ended in good order.

A peer's fault ends the session for good: the peer is told one code, the party's table is told ChannelLost, and
whatever arrives later changes nothing. The handshake's own states are in channel/edhoc; where the trust option has
something to prove in the channel, that has a table of its own (channel/trust/stage.py); the party's table begins to
see events when both are through.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Generic, Protocol, Self, TypeAlias, TypeVar, cast

from .channel.handshake import Handshake
from .channel.opened import ChannelOpened
from .channel.records import Records
from .channel.trust import ProofStage
from .engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Effect,
    Fault,
    InsituError,
    ProtocolError,
    Send,
    Show,
    StartTimer,
    StateError,
    StopTimer,
    Table,
    given,
)
from .messages import FaultNotice, Message, decode_message, encode_message
from .progress import MessageReceived, MessageSent, Secured, SessionEnded, StateEntered

S = TypeVar("S", bound=Enum)
D = TypeVar("D")

HANDSHAKE_SECONDS: Final = 30.0
"""How long the whole handshake may take (SECURITY: resource limits)."""
HANDSHAKE_TIMER: Final = "handshake"
HANDSHAKE_FRAME: Final = 10_240
"""Bytes of the longest frame before the channel stands: two certificates of 4,096 bytes and what is around them."""
SEND_SECONDS: Final = 60.0
"""How long a peer may leave one flight unread before whoever runs the session says that it is `lost`."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """Put these frames on the link, in this order. Frames of adjacent Transmits belong to one flight."""

    frames: tuple[bytes, ...] = field(repr=False)


Outcome: TypeAlias = list[Effect | Transmit]


class Timed(Protocol):
    """Data of a party whose table wants to know how late it is."""

    @property
    def at(self) -> int:
        """The time of the last event, unix seconds."""
        ...

    def at_time(self, at: int) -> Self:
        """The same, at `at` (unix seconds)."""
        ...


class Session(Generic[S, D]):
    """One party over one link.

    Args:
        table, state, data: the party, in the state in which it takes part.
        handshake: this side of the handshake, with what was pinned before the link opened.
        handshake_seconds: deadline for the whole handshake.

    Attributes:
        state, data: of the party, always as after its last completed step.
        closed: nothing more is accepted.
        error: why the session ended; None while it runs and when it ended in good order.

    """

    __slots__ = (
        "_before",
        "_handshake",
        "_handshake_seconds",
        "_opened",
        "_records",
        "_sent",
        "_stage",
        "_table",
        "_timed",
        "closed",
        "data",
        "error",
        "state",
    )

    def __init__(
        self,
        table: Table[S, D],
        state: S,
        data: D,
        handshake: Handshake,
        *,
        handshake_seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        self._table = table
        self.state = state
        self.data = data
        self.closed = False
        self.error: InsituError | None = None
        self._handshake: Handshake | None = handshake
        self._handshake_seconds = handshake_seconds
        self._records: Records | None = None
        self._stage: ProofStage | None = None
        self._opened: ChannelOpened | None = None
        self._before = state, data
        self._sent = False
        self._timed = hasattr(data, "at_time")

    def __repr__(self) -> str:
        return f"<Session {self._table.party} {self.state.name}{' closed' if self.closed else ''}>"

    def begin_anew(self, state: S, data: D) -> None:
        """The party has changed while handshake or stage of proof run: what it did elsewhere counts when it begins.

        Raises:
            StateError: the party has heard of the channel, or the session is over.

        """
        if self.closed or (self._records is not None and self._stage is None):
            raise StateError("the session is under way", who=self.party, expected="a handshake or a proof")
        self.state, self.data = state, data
        self._before = state, data

    def inform(self, data: D) -> None:
        """Something beside this session has changed what the party knows: from the next event on, that counts."""
        self.data = data

    @property
    def is_open(self) -> bool:
        """Whether the channel stands, so that the other side is known."""
        return self._records is not None

    @property
    def party(self) -> str:
        """The name of the party."""
        return self._table.party

    def rest(self) -> None:
        """Whoever waits lets go of what is past or easily made again: many sessions wait, and most for long."""
        if self._records is not None:
            self._records.rest()
            if self._stage is None:
                self._handshake = self._opened = None
                self._before = self.state, self.data

    def start(self, at: int) -> Outcome:
        """The link is up. `at`: unix seconds, here and below."""
        begun: Outcome = [StartTimer(HANDSHAKE_TIMER, self._handshake_seconds)]
        return begun + self._shake(given(self._handshake).start(at), at)

    def receive(self, frame: bytes, at: int) -> Outcome:
        """A frame arrived."""
        if self.closed:
            return []
        try:
            if self._records is None:
                note = MessageReceived(self.party, "handshake", len(frame))
                return [Show(note), *self._shake(given(self._handshake).receive(frame, at), at)]
            payload = self._records.open(frame)
            if payload is None:
                return []
            message = decode_message(payload)
            if isinstance(message, FaultNotice):
                raise PeerRefusedError(self.party, message.code)
            note = MessageReceived(self.party, type(message).__name__, len(frame))
            return [Show(note), *self._step(message, at)]
        except InsituError as error:
            return self.fail(error)

    def answer(self, event: object, at: int) -> Outcome:
        """A port answered a key operation or a look-up."""
        if self.closed:
            return []
        try:
            if self._records is None:
                return self._shake(given(self._handshake).answer(event, at), at)
            return self._step(event, at)
        except InsituError as error:
            return self.fail(error)

    def submit(self, event: object, at: int) -> Outcome:
        """A local event: something that this side's person or program wants.

        Raises:
            StateError: the channel does not stand, or the party's state has no place for the event.

        """
        if self.closed or self._records is None:
            got = "a closed one" if self.closed else "a handshake"
            raise StateError(f"{type(event).__name__} needs an open channel", who=self.party, got=got)
        try:
            return self._step(event, at)
        except ProtocolError as error:
            raise StateError(error.summary, who=self.party, expected=error.expected, got=error.got) from error

    def expire(self, timer: str, at: int) -> Outcome:
        """A timer ran out."""
        if self.closed:
            return []
        late = ProtocolError("no answer in time", who=self.party, expected=timer, fault=Fault.TIMEOUT)
        if timer == HANDSHAKE_TIMER:
            return self.fail(late) if self._records is None else []
        if self._stage is not None or DeadlinePassed not in self._table.accepts(self.state):
            return self.fail(late)
        self.error = late
        try:
            out = self._step(DeadlinePassed(timer), at)
        except InsituError:
            return self.fail(late)
        if not self.closed:  # the party lives with it, as with a beat
            self.error = None
        return out

    def lost(self, reason: str) -> Outcome:
        """The link ended, or nothing more can be sent over it."""
        if self.closed:
            return []
        lost = ProtocolError("link lost", who=self.party, got=reason, fault=Fault.TIMEOUT)
        return self.fail(lost, tell=False)

    def undone(self, error: InsituError) -> Outcome:
        """A port failed, and what came after it in the outcome is not done either: the step does not count.

        The party is as before that step, told that its channel is lost. The peer is told the code, unless a message
        of the step was sealed already: what does not arrive in order does not open.
        """
        if self.closed and self.error is not None:
            return []
        self.state, self.data = self._before
        self.closed = False
        return self.fail(error, tell=not self._sent)

    def fail(self, error: InsituError, *, tell: bool = True) -> Outcome:
        """End the session for good: the peer is told the code of `error`, the party that the channel is lost."""
        if self.closed:
            return []
        self.closed = True
        self.error = error
        fault = error.fault if isinstance(error, ProtocolError) else Fault.UNAVAILABLE
        out: Outcome = []
        if tell and not isinstance(error, PeerRefusedError):
            out += self._farewell(fault)
        if ChannelLost in self._table.accepts(self.state):
            step = self._table.step(self.state, self.data, ChannelLost(str(error)))
            self.state, self.data = step.state, step.data
            out += [effect for effect in step.effects if not isinstance(effect, (Send, Close))]
            out.append(Show(StateEntered(self.party, self.state.name, "ChannelLost")))
        return [*out, Show(SessionEnded(self.party, str(error))), Close(fault, str(error))]

    def _farewell(self, fault: Fault) -> Outcome:
        if self._records is None:
            return [Transmit((frame,)) for frame in given(self._handshake).farewell(fault)]
        try:
            return [Transmit(tuple(self._records.seal(encode_message(FaultNotice(fault)))))]
        except InsituError:
            return []

    def _shake(self, effects: Iterable[Effect], at: int) -> Outcome:
        handshake = given(self._handshake)
        out: Outcome = []
        for effect in effects:
            if isinstance(effect, Send):
                frame = effect.message
                if not isinstance(frame, bytes):
                    raise TypeError("the handshake sends frames")
                out += [Transmit((frame,)), Show(MessageSent(self.party, "handshake", len(frame)))]
            elif isinstance(effect, Close):
                return out + self.fail(handshake.error, tell=False)
            else:
                out.append(effect)
        if handshake.opened is not None:
            opened, facts = handshake.opened, handshake.facts
            self._records = handshake.records()
            secured = Secured(self.party, opened.peer.name, opened.intent, int(facts.method), facts.suite.number)
            out += [StopTimer(HANDSHAKE_TIMER), Show(secured)]
            self._opened, self._stage = opened, handshake.stage()
            try:
                out += self._step(opened, at)
            except InsituError as error:  # after message_4, without which the peer could not read why
                out += self.fail(error)
        return out

    def _step(self, event: object, at: int) -> Outcome:
        """One step of the stage of proof or of the party; if a message cannot be sealed, nothing has changed."""
        if self._stage is not None:
            return self._prove(self._stage, event, at)
        if self._timed and (timed := cast("Timed", self.data)).at != at:
            self.data = cast("D", timed.at_time(at))
        step = self._table.step(self.state, self.data, event)
        out, close = self._sealed(step.effects)
        self._before = self.state, self.data
        self._sent = any(isinstance(effect, Send) for effect in step.effects)
        self.state, self.data = step.state, step.data
        out.insert(0, Show(StateEntered(self.party, step.state.name, type(event).__name__)))
        return out if close is None else out + self._close(close)

    def _prove(self, stage: ProofStage, event: object, at: int) -> Outcome:
        """One step of the stage of proof; the party hears of the channel when it is through."""
        effects = stage.step(event)
        out, close = self._sealed(effects)
        self._sent = any(isinstance(effect, Send) for effect in effects)
        out.insert(0, Show(StateEntered(stage.name, stage.state.name, type(event).__name__)))
        if close is not None:
            return out + self.fail(_told(close, self.party))
        if stage.proved is not None and self._opened is not None:
            self._stage = None
            out += self._step(replace(self._opened, peer=stage.proved), at)
        return out

    def _sealed(self, effects: Iterable[Effect]) -> tuple[Outcome, Close | None]:
        """The effects with messages sealed, and without the Close, which comes last."""
        out: Outcome = []
        close: Close | None = None
        for effect in effects:
            if isinstance(effect, Send):
                out += self._send(effect.message)
            elif isinstance(effect, Close):
                close = effect
            else:
                out.append(effect)
        return out, close

    def _send(self, message: object) -> Outcome:
        if self._records is None:
            raise TypeError("no channel to send over")
        frames = self._records.seal(encode_message(cast("Message", message)))
        size = sum(map(len, frames))
        return [Transmit(tuple(frames)), Show(MessageSent(self.party, type(message).__name__, size))]

    def _close(self, effect: Close) -> Outcome:
        self.closed = True
        out: Outcome = []
        if effect.fault is not None:
            if self.error is None:
                self.error = StateError(effect.reason, who=self.party)
            out += self._farewell(effect.fault)
        reason = "" if self.error is None else str(self.error)
        return [*out, Show(SessionEnded(self.party, reason)), effect]


def _told(close: Close, party: str) -> ProtocolError:
    return ProtocolError(close.reason, who=party, fault=close.fault or Fault.UNTRUSTED)


class PeerRefusedError(ProtocolError):
    """The other side ended the session and told its code.

    Attributes:
        fault: the code that it told.

    """

    def __init__(self, party: str, fault: Fault) -> None:
        super().__init__("the other side refused", who=party, got=fault.name.lower(), fault=fault)
