"""Messages: frozen dataclasses and their deterministic CBOR; the strict codec below them."""

from .catalogue import MESSAGES, Message, decode_message, encode_message
from .codec import DecodeError, Item, decode, decode_sequence, encode
from .fields import Key, Matches, RefusedAs, Secret, Size, Within
from .intent import VERSION, Intent, Purpose, TrustOption, decode_intent, encode_intent
from .notice import FaultNotice
from .operating import Authorize, PayOut, ResetChallenge, ResetCommand, ResetDone, ResetRequest
from .personalization import (
    Certificates,
    GenerateKeyPair,
    KeyPolicy,
    ModuleCondition,
    ModuleKey,
    Personalized,
    Status,
)
from .records import (
    RECORD_LIMITS,
    CardRecord,
    CardRole,
    CentralRecord,
    Job,
    ManufacturerRecord,
    ModuleEntry,
    ModuleRecord,
    Person,
)
from .wire import FieldError, array, decode_record, encode_record, message, record

__all__ = [
    "MESSAGES",
    "RECORD_LIMITS",
    "VERSION",
    "Authorize",
    "CardRecord",
    "CardRole",
    "CentralRecord",
    "Certificates",
    "DecodeError",
    "FaultNotice",
    "FieldError",
    "GenerateKeyPair",
    "Intent",
    "Item",
    "Job",
    "Key",
    "KeyPolicy",
    "ManufacturerRecord",
    "Matches",
    "Message",
    "ModuleCondition",
    "ModuleEntry",
    "ModuleKey",
    "ModuleRecord",
    "PayOut",
    "Person",
    "Personalized",
    "Purpose",
    "RefusedAs",
    "ResetChallenge",
    "ResetCommand",
    "ResetDone",
    "ResetRequest",
    "Secret",
    "Size",
    "Status",
    "TrustOption",
    "Within",
    "array",
    "decode",
    "decode_intent",
    "decode_message",
    "decode_record",
    "decode_sequence",
    "encode",
    "encode_intent",
    "encode_message",
    "encode_record",
    "message",
    "record",
]
