"""The messages on the wire: CBOR sequences to objects and back (RFC 9528 sections 5 and 6). No cryptography."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from ...engine import Fault, ProtocolError
from ...messages.codec import DecodeError, Item, decode_sequence, encode, kind_of
from ..cose import octets
from .credentials import IdCred, read_id_cred
from .ead import Ead, read_ead
from .identifiers import decode_identifier, encode_identifier
from .stages import WHO


@dataclass(frozen=True, slots=True)
class Message1:
    """message_1 = (METHOD, SUITES_I, G_X, C_I, ? EAD_1) (section 5.2.1).

    Attributes:
        method: number of the method, known or not.
        suites: SUITES_I, most preferred first; the last one is the one selected.
        g_x: the initiator's ephemeral key.
        c_i: the initiator's connection identifier.
        ead: EAD_1 without padding.
        encoded: the whole message.

    """

    method: int
    suites: tuple[int, ...]
    g_x: bytes = field(repr=False)
    c_i: bytes
    ead: tuple[Ead, ...]
    encoded: bytes = field(repr=False)


def write_message_1(method: int, suites: Sequence[int], g_x: bytes, c_i: bytes, ead_1: bytes) -> bytes:
    """message_1; `ead_1` is encoded."""
    return encode(int(method)) + write_suites(suites) + encode(g_x) + encode_identifier(c_i) + ead_1


def read_message_1(data: bytes) -> Message1:
    """message_1 from its bytes.

    Raises:
        DecodeError: not one.

    """
    items = decode_sequence(data)
    if len(items) < 4:
        raise DecodeError("message_1", expected="at least 4 items", got=len(items))
    method, suites, g_x, c_i, *ead = items
    if type(method) is not int:
        raise DecodeError("METHOD", expected="an integer", got=kind_of(method))
    if type(g_x) is not bytes:
        raise DecodeError("G_X", expected="a byte string", got=kind_of(g_x))
    return Message1(method, read_suites(suites), g_x, decode_identifier(c_i, "C_I"), read_ead(ead)[0], data)


def write_suites(suites: Sequence[int]) -> bytes:
    """SUITES_I or SUITES_R: an integer where it is one only."""
    return encode(suites[0] if len(suites) == 1 else tuple(suites))


def read_suites(item: Item) -> tuple[int, ...]:
    """The numbers in SUITES_I or SUITES_R.

    Raises:
        DecodeError: neither an integer nor an array of two or more.

    """
    if type(item) is int:
        return (item,)
    if type(item) is tuple and len(item) > 1 and all(type(each) is int for each in item):
        return item  # type: ignore[return-value]
    raise DecodeError("cipher suites", expected="an integer or an array of at least two", got=kind_of(item))


_HEAD_BYTES: Final = {0x58: 2, 0x59: 3}
"""Length of the head of a byte string, by its first byte, where it is not 1 (RFC 8949 section 3)."""


def read_octets(data: bytes, name: str) -> bytes:
    """The byte string that message_2, message_3 and message_4 each consist of.

    Raises:
        DecodeError: anything else.

    """
    head = _HEAD_BYTES.get(data[0], 1) if data else 0
    content = data[head:]
    if octets(content) == data:  # the one encoding that it has
        return content
    items = decode_sequence(data)
    got = kind_of(items[0]) if len(items) == 1 else f"{len(items)} items"
    raise DecodeError(name, expected="one byte string", got=got)


@dataclass(frozen=True, slots=True)
class Plaintext:
    """What PLAINTEXT_2 and PLAINTEXT_3 hold after C_R (sections 5.3.2 and 5.4.2).

    Attributes:
        id_cred: which credential the sender proves itself with.
        proof: Signature_or_MAC.
        ead: the EAD items without padding.
        ead_encoded: the whole EAD field.

    """

    id_cred: IdCred
    proof: bytes = field(repr=False)
    ead: tuple[Ead, ...]
    ead_encoded: bytes = field(repr=False)


def read_plaintext_2(data: bytes) -> tuple[bytes, Plaintext]:
    """C_R and the rest of PLAINTEXT_2.

    Raises:
        DecodeError: not one.

    """
    items = decode_sequence(data)
    if not items:
        raise DecodeError("PLAINTEXT_2", expected="at least 3 items", got="none")
    return decode_identifier(items[0], "C_R"), _plaintext(items[1:], "PLAINTEXT_2")


def read_plaintext_3(data: bytes) -> Plaintext:
    """PLAINTEXT_3.

    Raises:
        DecodeError: not one.

    """
    return _plaintext(decode_sequence(data), "PLAINTEXT_3")


def _plaintext(items: Sequence[Item], name: str) -> Plaintext:
    if len(items) < 2:
        raise DecodeError(name, expected="ID_CRED and Signature_or_MAC", got=f"{len(items)} items")
    id_cred, proof, *ead = items
    if type(proof) is not bytes:
        raise DecodeError(name, expected="Signature_or_MAC as a byte string", got=kind_of(proof))
    return Plaintext(read_id_cred(id_cred), proof, *read_ead(ead))


class ErrorCode(IntEnum):
    """ERR_CODE (section 6)."""

    UNSPECIFIED = 1
    WRONG_SUITE = 2
    UNKNOWN_CREDENTIAL = 3


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """error = (ERR_CODE, ERR_INFO) (section 6). Never authenticated, so never believed further than to stop.

    Attributes:
        code: an ErrorCode, or a number that is unknown here.
        text: what code 1 says; for the log.
        suites: what code 2 says: SUITES_R.

    """

    code: int
    text: str = ""
    suites: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """The message."""
        match self.code:
            case ErrorCode.WRONG_SUITE:
                return encode(int(self.code)) + write_suites(self.suites)
            case ErrorCode.UNKNOWN_CREDENTIAL:
                return encode(int(self.code)) + encode(True)
        return encode(int(ErrorCode.UNSPECIFIED)) + encode(self.text)


RESERVED: Final = 0
"""ERR_CODE that never crosses (section 6.1); here: an error message that makes no sense."""
_FIRST_BYTE_STRING: Final = 0x40
"""Lesser first bytes are those of integers: so begin message_1 and errors, all other messages do not."""
_ERROR_CODES: Final = frozenset(ErrorCode)
MAX_TEXT: Final = 256
"""So much of the other side's text is kept, characters."""


def read_error(data: bytes) -> ErrorMessage | None:
    """The error message in `data`; None if it is none; with code RESERVED if it is one that makes no sense."""
    if not data or data[0] >= _FIRST_BYTE_STRING:
        return None
    try:
        code, detail = decode_sequence(data)
    except (DecodeError, ValueError):  # not two items
        return None
    match code, detail:
        case ErrorCode.UNSPECIFIED, str():
            return ErrorMessage(ErrorCode.UNSPECIFIED, text=detail[:MAX_TEXT])
        case ErrorCode.WRONG_SUITE, int() | tuple():
            try:
                return ErrorMessage(ErrorCode.WRONG_SUITE, suites=read_suites(detail))
            except DecodeError:
                return ErrorMessage(RESERVED)
        case ErrorCode.UNKNOWN_CREDENTIAL, True:
            return ErrorMessage(ErrorCode.UNKNOWN_CREDENTIAL)
        case int(number), _ if number not in _ERROR_CODES:
            return ErrorMessage(number)
    return ErrorMessage(RESERVED)


class PeerRefused(ProtocolError):
    """The other side ended the handshake with an error message.

    Attributes:
        message: what it said.

    """

    def __init__(self, message: ErrorMessage) -> None:
        self.message = message
        said = message.text or (f"supports suites {message.suites}" if message.suites else "nothing more")
        super().__init__(
            "the other side refused the handshake", who=WHO, got=f"code {message.code}: {said}", fault=Fault.UNEXPECTED
        )
