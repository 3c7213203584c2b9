"""External authorization data: items that ride along in the messages (RFC 9528 section 3.8).

EDHOC carries and binds them; what an item means is for the application. Padding goes no further than here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...engine import Fault, ProtocolError, UsageError
from ...messages.codec import DecodeError, Item, encode, kind_of
from .stages import WHO

PADDING: Final = 0


@dataclass(frozen=True, slots=True)
class Ead:
    """One item.

    Attributes:
        label: what it is, in the registry of EAD labels; PADDING only to lengthen a message that is sent.
        value: its content; None where the item has none.
        critical: whether a side that does not understand it must refuse (it crosses as the negative label).

    """

    label: int
    value: bytes | None = field(default=None, repr=False)
    critical: bool = False

    def __post_init__(self) -> None:
        if self.label < (1 if self.critical else 0):
            raise UsageError("EAD label", who=WHO, expected="a positive integer", got=self.label)

    def encode(self) -> bytes:
        """The item as a CBOR sequence."""
        head = encode(-self.label if self.critical else self.label)
        return head if self.value is None else head + encode(self.value)


def encode_ead(items: Iterable[Ead]) -> bytes:
    """EAD_x as it stands in a message: empty without items."""
    return b"".join([item.encode() for item in items])


def read_ead(items: Sequence[Item]) -> tuple[tuple[Ead, ...], bytes]:
    """The items of an EAD field without the padding, and the field's encoding, which is what gets bound.

    Raises:
        DecodeError: not pairs of an integer label and an optional byte string.

    """
    if not items:
        return (), b""
    found: list[Ead] = []
    encoded = b"".join([encode(item) for item in items])
    position = 0
    while position < len(items):
        label = items[position]
        if type(label) is not int:
            raise DecodeError("EAD item", expected="an integer label", got=kind_of(label))
        position += 1
        value = None
        if position < len(items):
            following = items[position]
            if type(following) is bytes:
                value = following
                position += 1
        if label != PADDING:
            found.append(Ead(abs(label), value, critical=label < 0))
    return tuple(found), encoded


def check_understood(items: Iterable[Ead], labels: frozenset[int]) -> None:
    """Refuse a critical item whose label the application does not process.

    Raises:
        ProtocolError: there is one.

    """
    for item in items:
        if item.critical and item.label not in labels:
            raise ProtocolError(
                "critical EAD item that is not understood",
                who=WHO,
                expected=sorted(labels) or "no critical item",
                got=item.label,
                fault=Fault.UNSUPPORTED,
            )
