"""How a handshake ends without a session: actions that both tables share.

What the other side learns is little: which kind of fault while everything is public, one word afterwards, so
that nobody can probe what is inside an encrypted message (SECURITY: one code before authentication).
"""

from __future__ import annotations

from typing import Final

from ...engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Effects,
    EnvironmentFault,
    Fault,
    InsituError,
    KeyOperationFailed,
    ProtocolError,
    Send,
    reason_of,
)
from .established import Failed
from .events import CredentialUnknown, ErrorReceived, HandshakeFailed
from .messages import ErrorCode, ErrorMessage, PeerRefused
from .stages import WHO, Stage

REFUSED: Final = "refused"
"""The text of every error message after message_1."""


def abort(data: Stage, event: HandshakeFailed) -> tuple[Stage, Effects]:
    """Tell the other side that it is over, and end."""
    text = event.error.fault.name.lower() if data.public else REFUSED
    return _tell(data, ErrorMessage(ErrorCode.UNSPECIFIED, text=text), event.error, event.error.fault)


def give_up(data: Stage, event: KeyOperationFailed) -> tuple[Stage, Effects]:
    """Key memory did not do what was asked: nobody's fault at the other end."""
    message = ErrorMessage(ErrorCode.UNSPECIFIED, text=Fault.UNAVAILABLE.name.lower())
    return _tell(data, message, EnvironmentFault(event.reason, who=WHO), Fault.UNAVAILABLE)


def disown(data: Stage, event: CredentialUnknown, *, by_value: bool) -> tuple[Stage, Effects]:
    """The credential is unknown, which the other side may mend, or not trusted (RFC 9528 section 6.4)."""
    unknown = ErrorMessage(ErrorCode.UNKNOWN_CREDENTIAL)
    message = ErrorMessage(ErrorCode.UNSPECIFIED, text=REFUSED) if by_value else unknown
    error = ProtocolError(event.reason, who=WHO)
    return _tell(data, message, error, error.fault)


def stop(data: Stage, event: ErrorReceived) -> tuple[Stage, Effects]:
    """The other side ended it; an error message is never answered."""
    refused = PeerRefused(event.message)
    return _end(data, refused, refused.fault)


def forget(data: Stage, event: ChannelLost | DeadlinePassed) -> tuple[Stage, Effects]:
    """Nobody is there any more."""
    return _end(data, ProtocolError(reason_of(event), who=WHO, fault=Fault.TIMEOUT), Fault.TIMEOUT)


def _tell(data: Stage, message: ErrorMessage, error: InsituError, fault: Fault) -> tuple[Stage, Effects]:
    failed, effects = _end(data, error, fault)
    return failed, (Send(message.encode()), *effects)


def _end(data: Stage, error: InsituError, fault: Fault) -> tuple[Stage, Effects]:
    data.discard()
    return Failed(error), (Close(fault, str(error)),)
