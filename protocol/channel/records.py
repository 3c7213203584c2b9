"""Records: protected payloads on an open channel. AES-GCM with keys from the EDHOC exporter, one chain a direction.

A record is the GCM ciphertext of one kind byte and a piece of payload. Its nonce is never sent: it is the
direction's exporter IV XORed with the record's number (as in RFC 8446 section 5.3), so a record that is lost,
doubled, reordered or reflected does not open. The first one that does not ends the channel for good.

EDHOC_KeyUpdate (RFC 9528 appendix H) moves both sides in step: whoever has to or wants to says so in the last record
under its old key; the other side, once it has read that, does the same before it sends anything else. So each
direction changes at a place that both ends know, whatever is under way in the other.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..engine import Fault, ProtocolError, UsageError

TO_RESPONDER: Final = 0x8001
"""Exporter label (private use, RFC 9528 section 10.1) of key and IV from Initiator to Responder."""
TO_INITIATOR: Final = 0x8002
"""Exporter label of key and IV from Responder to Initiator."""
BINDING: Final = 0x8003
"""Exporter label of the value that proofs are bound to."""
WRAPPING: Final = 0x8004
"""Exporter label of the key under which symmetric keys cross the channel (L11)."""

KEY_BYTES: Final = 16
IV_BYTES: Final = 12
TAG_BYTES: Final = 16
MAX_RECORD: Final = 65_535
"""Bytes of one record: what a frame takes."""
MAX_PAYLOAD: Final = 1 << 20
"""Bytes of one payload over all its records."""
MAX_RECORDS: Final = 1 << 24
"""Records under one key; the sender updates before, the receiver accepts no more."""

MAX_AHEAD: Final = 8
"""Key updates that one side may make while the other sends nothing."""

_PIECE: Final = MAX_RECORD - TAG_BYTES - 1


class Kind(IntEnum):
    """The first byte of every record."""

    LAST = 0
    """The payload ends with this record."""
    MORE = 1
    """The payload goes on in the next record."""
    KEY_UPDATE = 2
    """No payload; the next record in this direction is under the next key. May stand between pieces of a payload."""


class KeySource(Protocol):
    """Where the keys come from: an established EDHOC session."""

    def exporter(self, label: int, context: bytes, length: int) -> bytes:
        """EDHOC_Exporter (RFC 9528 section 4.2.1)."""
        ...

    def key_update(self, context: bytes) -> KeySource:
        """The session after EDHOC_KeyUpdate (RFC 9528 appendix H); this one is used up."""
        ...


class _Generations:
    """The keys of both directions, generation by generation; each key is handed out once."""

    __slots__ = ("_newest", "_source", "_waiting")

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._newest = 0
        self._waiting: dict[tuple[int, int], bytes] = {}
        self._derive()

    def _derive(self) -> None:
        for label in (TO_RESPONDER, TO_INITIATOR):
            material = self._source.exporter(label, b"", KEY_BYTES + IV_BYTES)
            self._waiting[self._newest, label] = material

    def take(self, generation: int, label: int) -> bytes:
        """Key and IV of this direction in this generation."""
        while self._newest < generation:
            self._newest += 1
            self._source = self._source.key_update(self._newest.to_bytes(4, "big"))
            self._derive()
        return self._waiting.pop((generation, label))


class _Direction:
    """Key, IV and record number of one direction."""

    __slots__ = ("_aead", "_generations", "_iv", "_key", "_label", "generation", "number")

    def __init__(self, generations: _Generations, label: int) -> None:
        self._generations = generations
        self._label = label
        self._aead: AESGCM | None = None
        self.generation = -1
        self.update()

    @property
    def aead(self) -> AESGCM:
        """The cipher under the key of now."""
        if self._aead is None:
            self._aead = AESGCM(self._key)
        return self._aead

    def rest(self) -> None:
        """Let go of the cipher, which holds some kilobytes; the key stays."""
        self._aead = None

    def nonce(self) -> bytes:
        """The nonce of the next record; each is given out once."""
        nonce = (self._iv ^ self.number).to_bytes(IV_BYTES, "big")
        self.number += 1
        return nonce

    def update(self) -> None:
        """Move to the next key."""
        self.generation += 1
        material = self._generations.take(self.generation, self._label)
        self._key = material[:KEY_BYTES]
        self._aead = None
        self._iv = int.from_bytes(material[KEY_BYTES:], "big")
        self.number = 0


class Records:
    """Both directions of one channel, seen from one side.

    Args:
        source: the established EDHOC session.
        initiator: whether this side is the Initiator.
        max_records: records under one key; smaller in tests only.

    """

    def __init__(self, source: KeySource, *, initiator: bool, max_records: int = MAX_RECORDS) -> None:
        ours, theirs = (TO_RESPONDER, TO_INITIATOR) if initiator else (TO_INITIATOR, TO_RESPONDER)
        generations = _Generations(source)
        self._sending = _Direction(generations, ours)
        self._receiving = _Direction(generations, theirs)
        self._max_records = max_records
        self._pieces: list[bytes] = []
        self._pieces_size = 0
        self._broken = False

    def __repr__(self) -> str:
        return f"<Records sent={self._sending.number} received={self._receiving.number} broken={self._broken}>"

    def __reduce__(self) -> str:
        raise UsageError("a channel cannot be copied or stored", who="channel")

    def rest(self) -> None:
        """Let go of what is easily made again, for as long as nothing crosses."""
        self._sending.rest()
        self._receiving.rest()

    def seal(self, payload: bytes) -> list[bytes]:
        """The records, each at most 65,535 bytes, that carry `payload` (at most 1 MiB).

        Raises:
            UsageError: the payload is too long, or the channel is broken.

        """
        if self._broken:
            raise UsageError("the channel is closed for good", who="channel")
        if len(payload) > MAX_PAYLOAD:
            raise UsageError("payload too long", who="channel", expected=f"<= {MAX_PAYLOAD} bytes", got=len(payload))
        records: list[bytes] = []
        while self._receiving.generation > self._sending.generation:
            records += self.update_keys()
        if len(payload) <= _PIECE:
            return records + self._seal(b"\x00" + payload)
        for start in range(0, len(payload), _PIECE):
            kind = Kind.LAST if start + _PIECE >= len(payload) else Kind.MORE
            records += self._seal(bytes((kind,)) + payload[start : start + _PIECE])
        return records

    def update_keys(self) -> list[bytes]:
        """Move our sending direction to its next key, at the application's word; the record that says so.

        Raises:
            UsageError: the channel is broken, or the other side owes too many updates.

        """
        if self._broken or self._sending.generation - self._receiving.generation >= MAX_AHEAD:
            raise UsageError("no key update now", who="channel", expected="the other side's first")
        way = self._sending
        record = way.aead.encrypt(way.nonce(), bytes((Kind.KEY_UPDATE,)), None)
        way.update()
        return [record]

    def _seal(self, plaintext: bytes) -> list[bytes]:
        way = self._sending
        if way.number < self._max_records - 1:
            return [way.aead.encrypt(way.nonce(), plaintext, None)]
        try:
            update = self.update_keys()
        except UsageError:
            self._broken = True  # earlier pieces of the payload may be sealed, and will never be sent
            raise
        return [*update, way.aead.encrypt(way.nonce(), plaintext, None)]

    def open(self, record: bytes) -> bytes | None:
        """The payload that `record` completes; None if more is to come or the record only moved a key.

        Raises:
            ProtocolError: the record does not open, or breaks a rule; the channel is then broken for good.

        """
        if self._broken:
            raise ProtocolError("the channel is closed for good", who="channel", fault=Fault.UNEXPECTED)
        way = self._receiving
        if way.number >= self._max_records:
            raise self._break("a key update", "more records under one key")
        try:
            plaintext = way.aead.decrypt(way.nonce(), record, None)
        except InvalidTag:
            raise self._break(f"record {way.number - 1} of this channel", f"{len(record)} bytes that are not") from None
        kind = plaintext[0] if plaintext else -1
        if kind == Kind.LAST:
            if not self._pieces:
                return plaintext[1:]
            self._take(plaintext)
            payload = b"".join(self._pieces)
            self._pieces, self._pieces_size = [], 0
            return payload
        if kind == Kind.MORE and len(plaintext) > 1:
            self._take(plaintext)
        elif kind == Kind.KEY_UPDATE and len(plaintext) == 1 and self._is_in_step():
            way.update()
        else:
            raise self._break("a record kind with what belongs to it", f"kind {kind}, {len(plaintext)} bytes")
        return None

    def _is_in_step(self) -> bool:
        """Whether the other side may move now: it is not further ahead than we can owe it an update."""
        return self._receiving.generation - self._sending.generation < MAX_AHEAD

    def _take(self, plaintext: bytes) -> None:
        self._pieces_size += len(plaintext) - 1
        if self._pieces_size > MAX_PAYLOAD:
            raise self._break(f"at most {MAX_PAYLOAD} bytes of payload", "more")
        self._pieces.append(plaintext[1:])

    def _break(self, expected: str, got: str) -> ProtocolError:
        self._broken = True
        return ProtocolError("record refused", who="channel", expected=expected, got=got, fault=Fault.MALFORMED)
