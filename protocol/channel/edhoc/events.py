"""Events of a handshake that `protocol/engine` does not know, and the question that a look-up answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...engine import ProtocolError
from .credentials import Credential, IdCred
from .ead import Ead
from .messages import ErrorMessage, Message1
from .suites import Method

CREDENTIAL: Final = "credential"
"""`what` of the LookUp effect that carries a CredentialQuery."""


@dataclass(frozen=True, slots=True)
class CredentialQuery:
    """Whose credential is it, and is it to be trusted? Nothing in it is proved yet.

    Attributes:
        id_cred: how the other side identified its credential, or the credential itself.
        ead: EAD_2 (asked by the initiator) or EAD_3 (asked by the responder), without padding.
        ead_1: EAD_1, for the responder's answer to depend on.
        method: of this handshake.
        suite: number of the suite of this handshake.

    """

    id_cred: IdCred
    ead: tuple[Ead, ...]
    ead_1: tuple[Ead, ...]
    method: Method
    suite: int


@dataclass(frozen=True, slots=True)
class CredentialFound:
    """The credential that was meant is trusted, provided that the other side proves to hold its key.

    Attributes:
        credential: the whole of it.
        ead: items to send in the next message, once the proof holds: EAD_3 or EAD_4.

    """

    credential: Credential
    ead: tuple[Ead, ...] = ()


@dataclass(frozen=True, slots=True)
class CredentialUnknown:
    """There is no such credential, or it is not to be trusted; `reason` is for this side's log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Message1Received:
    """message_1 arrived, well-formed."""

    message: Message1


@dataclass(frozen=True, slots=True)
class Message2Received:
    """message_2 arrived: G_Y and CIPHERTEXT_2."""

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message3Received:
    """message_3 arrived: CIPHERTEXT_3."""

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message4Received:
    """message_4 arrived: CIPHERTEXT_4."""

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ErrorReceived:
    """The other side stopped with an error message; unauthenticated."""

    message: ErrorMessage


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """Something came that this side cannot accept: what a step or the parser refused, made an event."""

    error: ProtocolError
