"""EDHOC (RFC 9528): the handshake as two tables, one a side, with everything they are made of.

How to run one: take `begin_initiator` or `begin_responder` for the data and READY or LISTENING for the state;
turn each frame into an event with `classify`, and each event into a step with `advance`; perform the effects in
order (Send carries the bytes of one message; LookUp asks a CredentialQuery; Sign and Agree are for key memory;
Close ends it) and feed the answers back. In ESTABLISHED the data is an `Established`.
"""

from .config import EphemeralSource, InitiatorConfig, ResponderConfig
from .credentials import X5T, Credential, IdCred, Kccs, Kid, X5Chain, read_ccs, write_ccs
from .ead import Ead
from .established import ChannelKeys, Established, Facts, Failed, Side
from .events import (
    CREDENTIAL,
    CredentialFound,
    CredentialQuery,
    CredentialUnknown,
    ErrorReceived,
    HandshakeFailed,
    Message1Received,
    Message2Received,
    Message3Received,
    Message4Received,
)
from .frames import advance, classify
from .initiator import INITIATOR, InitiatorState, begin_initiator
from .messages import ErrorCode, ErrorMessage, PeerRefused
from .responder import RESPONDER, ResponderState, begin_responder
from .stages import Stage
from .suites import SUITES, Method, Suite

__all__ = [
    "CREDENTIAL",
    "INITIATOR",
    "RESPONDER",
    "SUITES",
    "X5T",
    "ChannelKeys",
    "Credential",
    "CredentialFound",
    "CredentialQuery",
    "CredentialUnknown",
    "Ead",
    "EphemeralSource",
    "ErrorCode",
    "ErrorMessage",
    "ErrorReceived",
    "Established",
    "Facts",
    "Failed",
    "HandshakeFailed",
    "IdCred",
    "InitiatorConfig",
    "InitiatorState",
    "Kccs",
    "Kid",
    "Message1Received",
    "Message2Received",
    "Message3Received",
    "Message4Received",
    "Method",
    "PeerRefused",
    "ResponderConfig",
    "ResponderState",
    "Side",
    "Stage",
    "Suite",
    "X5Chain",
    "advance",
    "begin_initiator",
    "begin_responder",
    "classify",
    "read_ccs",
    "write_ccs",
]
