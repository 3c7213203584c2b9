"""All messages there are, and the two functions through which they enter and leave the wire.

CDDL::

    Message = GenerateKeyPair / ModuleKey / Certificates / Personalized / Status
            / Authorize / PayOut / ResetRequest / ResetChallenge / ResetCommand / ResetDone
            / Greeting / Welcome / Payload / Outcome / Received / Instruct / LoadKey / KeyLoaded / Declined
            / Proof / PakeShare / Ticket / ApprovalAwaited
            / NumberWanted / Number / NumberSettled / Conveyance / Verdict / Passage
            / FaultNotice / Revocations / Beat / TimeTold / CallReported / Enroll / Enrolled
            / LogOffered / LogWanted / LogPart / LogRead
"""

from __future__ import annotations

from typing import Final, TypeAlias, cast, get_args

import cbor2

from ..engine import UsageError
from .business import (
    Beat,
    Declined,
    Greeting,
    Instruct,
    KeyLoaded,
    LoadKey,
    Outcome,
    Payload,
    Received,
    Revocations,
    TimeTold,
    Welcome,
)
from .codec import DecodeError, Item, decode, kind_of
from .conveyed import CallReported, Conveyance, Number, NumberSettled, NumberWanted, Passage, Verdict
from .enrollment import Enroll, Enrolled, LogOffered, LogPart, LogRead, LogWanted
from .fields import shown
from .notice import FaultNotice
from .operating import Authorize, PayOut, ResetChallenge, ResetCommand, ResetDone, ResetRequest
from .personalization import ApprovalAwaited, Certificates, GenerateKeyPair, ModuleKey, Personalized, Status
from .trust import PakeShare, Proof, Ticket
from .wire import NUMBER_KEY, Layout, layout_of

Message: TypeAlias = (
    GenerateKeyPair
    | ModuleKey
    | Certificates
    | Personalized
    | Status
    | Authorize
    | PayOut
    | ResetRequest
    | ResetChallenge
    | ResetCommand
    | ResetDone
    | Greeting
    | Welcome
    | Payload
    | Outcome
    | Received
    | Instruct
    | LoadKey
    | KeyLoaded
    | Declined
    | Proof
    | PakeShare
    | Ticket
    | ApprovalAwaited
    | NumberWanted
    | Number
    | NumberSettled
    | Conveyance
    | Verdict
    | Passage
    | FaultNotice
    | Revocations
    | Beat
    | TimeTold
    | CallReported
    | Enroll
    | Enrolled
    | LogOffered
    | LogWanted
    | LogPart
    | LogRead
)

MESSAGES: Final[tuple[type[Message], ...]] = get_args(Message)
"""The message classes, in the order of their numbers."""

MESSAGE_DEPTH: Final = 2
MESSAGE_ITEMS: Final = 64

_LAYOUTS: Final[dict[object, Layout]] = {layout_of(cls).number: layout_of(cls) for cls in MESSAGES}


def encode_message(message: Message) -> bytes:
    """The deterministic encoding of `message`.

    Raises:
        UsageError: it is not one of MESSAGES.

    """
    layout = layout_of(type(message))
    if _LAYOUTS.get(layout.number) is not layout:
        raise UsageError("not a message", who="codec", expected="a class of MESSAGES", got=type(message).__name__)
    return cbor2.dumps(layout.to_item(message))


def decode_message(data: bytes | bytearray | memoryview) -> Message:
    """The message that `data` is the deterministic encoding of.

    Raises:
        DecodeError: the data is not that of any message.

    """
    item = decode(data, max_depth=MESSAGE_DEPTH, max_items=MESSAGE_ITEMS)
    return cast("Message", _layout_for(item).from_item(item))


def _layout_for(item: Item) -> Layout:
    if type(item) is not dict:
        raise DecodeError("not a message", expected="a map", got=kind_of(item))
    number = item.get(NUMBER_KEY)
    if type(number) is int and number in _LAYOUTS:
        return _LAYOUTS[number]
    got = "none" if number is None else shown(number)
    raise DecodeError("not a message", expected="a known message number under key 0", got=got)
