"""From frames to events and from events to steps: the two calls that whoever runs a handshake needs."""

from __future__ import annotations

from typing import Any, TypeAlias

from ...engine import ProtocolError, Step, Table
from ...messages.codec import DecodeError
from .events import (
    ErrorReceived,
    HandshakeFailed,
    Message1Received,
    Message2Received,
    Message3Received,
    Message4Received,
)
from .initiator import INITIATOR, InitiatorState
from .messages import read_error, read_message_1, read_octets
from .responder import RESPONDER, ResponderState
from .stages import Stage

State: TypeAlias = InitiatorState | ResponderState
FrameEvent: TypeAlias = (
    Message1Received | Message2Received | Message3Received | Message4Received | ErrorReceived | HandshakeFailed
)

_AFTER_MESSAGE_3 = frozenset((InitiatorState.COMMITTED, InitiatorState.ESTABLISHED))


def classify(state: State, frame: bytes) -> FrameEvent:
    """What the arrival of `frame` means in `state`. Pure; never raises: what is no message is a HandshakeFailed.

    An error message is told by its shape; anything else is taken for the message that the state waits for,
    or, where it waits for none, for the one that it had or would have had next.
    """
    try:
        if state is ResponderState.LISTENING:
            return _opening(frame)
        if (error := read_error(frame)) is not None:
            return ErrorReceived(error)
        if isinstance(state, ResponderState):
            return Message3Received(read_octets(frame, "message_3"))
        if state in _AFTER_MESSAGE_3:
            return Message4Received(read_octets(frame, "message_4"))
        return Message2Received(read_octets(frame, "message_2"))
    except DecodeError as error:
        return HandshakeFailed(error)


def _opening(frame: bytes) -> Message1Received | ErrorReceived:
    try:
        return Message1Received(read_message_1(frame))
    except DecodeError:
        if (error := read_error(frame)) is None:
            raise
        return ErrorReceived(error)


def advance(state: State, data: Stage, event: object) -> Step[State, Stage]:
    """One step of either table, in which a refusal is a way to end and not an exception.

    What a step refuses with a ProtocolError is fed back as HandshakeFailed, so that the other side is told and
    the state is FAILED.

    Raises:
        UsageError: data that was used before, or that does not belong to the state; nothing has changed.
        Refused: an event after the handshake has ended.

    """
    table: Table[Any, Stage] = INITIATOR if isinstance(state, InitiatorState) else RESPONDER
    try:
        return table.step(state, data, event)
    except ProtocolError as error:
        if HandshakeFailed not in table.accepts(state):
            raise
        failed = HandshakeFailed(error)
    return table.step(state, data, failed)
