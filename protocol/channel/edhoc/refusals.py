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
    Fault,
    KeyOperationFailed,
    Send,
    reason_of,
)
from .established import Failed, Failure
from .events import CredentialUnknown, ErrorReceived, HandshakeFailed
from .messages import ErrorCode, ErrorMessage, PeerRefused
from .stages import Stage

REFUSED: Final = "refused"
"""The text of every error message after message_1."""


def abort(data: Stage, event: HandshakeFailed) -> tuple[Stage, Effects]:
    """Tell the other side that it is over, and end."""
    text = event.error.fault.name.lower() if data.public else REFUSED
    return _tell(data, ErrorMessage(ErrorCode.UNSPECIFIED, text=text), event.error.fault, str(event.error))


def give_up(data: Stage, event: KeyOperationFailed) -> tuple[Stage, Effects]:
    """Key memory did not do what was asked: nobody's fault at the other end."""
    message = ErrorMessage(ErrorCode.UNSPECIFIED, text=Fault.UNAVAILABLE.name.lower())
    return _tell(data, message, Fault.UNAVAILABLE, event.reason)


def disown(data: Stage, event: CredentialUnknown, *, by_value: bool) -> tuple[Stage, Effects]:
    """The credential is unknown, which the other side may mend, or not trusted (RFC 9528 section 6.4)."""
    unknown = ErrorMessage(ErrorCode.UNKNOWN_CREDENTIAL)
    message = ErrorMessage(ErrorCode.UNSPECIFIED, text=REFUSED) if by_value else unknown
    return _tell(data, message, Fault.UNTRUSTED, event.reason)


def stop(data: Stage, event: ErrorReceived) -> tuple[Stage, Effects]:
    """The other side ended it; an error message is never answered."""
    refused = PeerRefused(event.message)
    return _end(data, refused.fault, str(refused))


def forget(data: Stage, event: ChannelLost | DeadlinePassed) -> tuple[Stage, Effects]:
    """Nobody is there any more."""
    return _end(data, Fault.TIMEOUT, reason_of(event))


def _tell(data: Stage, message: ErrorMessage, fault: Fault, reason: str) -> tuple[Stage, Effects]:
    failed, effects = _end(data, fault, reason)
    return failed, (Send(message.encode()), *effects)


def _end(data: Stage, fault: Fault, reason: str) -> tuple[Stage, Effects]:
    if not data.spent:
        data.spend()
    return Failed(Failure(fault, reason)), (Close(fault, reason),)
