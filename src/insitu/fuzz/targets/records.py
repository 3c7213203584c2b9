"""Protected records on an open channel, from a peer that has the keys and from one that has not."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...protocol.channel.records import IV_BYTES, KEY_BYTES, MAX_RECORD, TO_RESPONDER, Kind, Records
from ...protocol.engine import ProtocolError
from ..mutation import cut, joined
from ..target import Shape, check, outcome_of, target

MOST: Final = 40
"""Records of one input that are looked at."""


class Source:
    """Keys of a channel, as an exporter would give them; everybody knows them here."""

    def __init__(self, generation: bytes = b"") -> None:
        self._generation = generation

    def exporter(self, label: int, context: bytes, length: int) -> bytes:
        """See KeySource."""
        return sha256(self._generation + label.to_bytes(4, "big") + context).digest()[:length]

    def key_update(self, context: bytes) -> Source:
        """See KeySource."""
        return Source(sha256(self._generation + b"next" + context).digest())


class Sender:
    """A peer that seals whatever it likes, with the keys of a channel."""

    def __init__(self) -> None:
        self._source, self._updates, self._number = Source(), 0, 0

    def seal(self, plaintext: bytes) -> bytes:
        """A record with this plaintext, whatever it is; after one that says so, the next key is used."""
        material = self._source.exporter(TO_RESPONDER, b"", KEY_BYTES + IV_BYTES)
        nonce = bytes(a ^ b for a, b in zip(material[KEY_BYTES:], self._number.to_bytes(IV_BYTES, "big"), strict=True))
        self._number += 1
        record = AESGCM(material[:KEY_BYTES]).encrypt(nonce, plaintext, None)
        if plaintext == bytes((Kind.KEY_UPDATE,)):
            self._updates += 1
            self._source, self._number = self._source.key_update(self._updates.to_bytes(4, "big")), 0
        return record


def record_seeds() -> Iterator[bytes]:
    """Plaintexts of records, one a frame: kind, then a piece. A first byte of 128 or more: sent as it is, unsealed."""
    yield joined([b"\x00\xa1\x00\x01"])
    yield joined([b"\x01piece", b"\x01more", b"\x00last", b"\x00another"])
    yield joined([b"\x02", b"\x00after an update", b"\x01a", b"\x02", b"\x00b"])
    yield joined([b"\x02"] * 9)
    yield joined([b"\x00" + bytes(300), b"\x80" + bytes(20)])
    yield joined([b"\x01", b"\x03", b""])


@target("records", Shape.FRAMES, record_seeds, seconds=0.5)
def records(data: bytes) -> str:
    """A channel gives just the payloads that were sealed, in order, and after the first record that breaks a rule none.

    ProtocolError is the only error.
    """
    sender, channel = Sender(), Records(Source(), initiator=False)
    pieces, broken, given, ahead = b"", "", 0, 0
    for plaintext in cut(data)[:MOST]:
        is_raw = plaintext[:1] >= b"\x80"
        try:
            payload = channel.open(plaintext[1:] if is_raw else sender.seal(plaintext[: MAX_RECORD - 16]))
        except ProtocolError as error:
            broken = broken or outcome_of(error)
            continue
        check(not broken, "a broken channel went on")
        check(not is_raw, "a record was accepted that nobody sealed")
        kind, piece = plaintext[0], plaintext[1:]
        check(kind in (0, 1, 2), "a kind that there is not")
        ahead += kind == Kind.KEY_UPDATE
        check(ahead <= 8, "updates without end were accepted")
        if kind != Kind.KEY_UPDATE:
            pieces += piece
        check((payload is not None) == (kind == Kind.LAST), "a payload at the wrong time")
        if payload is not None:
            check(payload == pieces, "another payload came out")
            pieces, given = b"", given + 1
    return f"{min(given, 3)} payloads, {broken or 'whole'}"


def payload_seeds() -> Iterator[bytes]:
    """Payloads; every other one goes the other way."""
    yield joined([b"there", b"back", b""])
    yield joined([bytes(1_000), b"\x02", b"x"])


@target("record-payloads", Shape.FRAMES, payload_seeds, seconds=0.5)
def record_payloads(data: bytes) -> str:
    """Whatever payloads both sides seal, with key updates between them, come out on the other side as they went in."""
    here, there = Records(Source(), initiator=True), Records(Source(), initiator=False)
    updates, number = 0, -1
    for number, payload in enumerate(cut(data)[:MOST]):
        sender, receiver = (here, there) if number % 2 == 0 else (there, here)
        if payload[:1] == b"\x02" and updates < 2 * MOST:
            updates += 1
            for record in sender.update_keys():
                check(receiver.open(record) is None, "an update brought a payload")
        sealed = sender.seal(payload)
        opened = [receiver.open(record) for record in sealed]
        check(opened[-1] == payload and not any(opened[:-1]), "another payload came out")
    return f"{min(number + 1, 5)} payloads, {min(updates, 3)} updates"
