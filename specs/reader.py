"""What a stranger makes of protocol.md: reads recorded sessions, knowing the module's private keys of the session.

Nothing of insitu may be imported here. The bytes are taken apart, decrypted and checked with general libraries only
(CBOR, hashes, P-256, AES), as protocol.md says; so that what it says is enough to write another implementation. Where
a check of protocol.md fails, reading ends with an AssertionError or the library's own error.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from zlib import crc32

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

INTENT = 0xFF01
TO_RESPONDER, TO_INITIATOR, BINDING = 0x8001, 0x8002, 0x8003
X5CHAIN, X5T, KCCS = 33, 34, 14
METHOD_OF = {0: 3, 1: 0}
"""EDHOC method of each trust option."""

Write = tuple[str, Sequence[bytes]]
"""Who put these frames on the link in one go: "module" or the name of the other party."""


def expect(holds: object, what: str) -> None:
    """Refuse a session in which `what` does not hold."""
    if not holds:
        raise AssertionError(what)


# Derivation (RFC 5869, RFC 9528 section 4.1.2) ---------------------------------------------------------------


def extract(salt: bytes, secret: bytes) -> bytes:
    """HKDF-Extract with SHA-256."""
    return hmac.digest(salt, secret, "sha256")


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256."""
    out = block = b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes((number,)), "sha256")
        out += block
    return out[:length]


def kdf(key: bytes, label: int, context: bytes, length: int) -> bytes:
    """EDHOC_KDF: label, context as a byte string, and length, in CBOR, are HKDF's info."""
    return expand(key, sequence(label, context, length), length)


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def sequence(*items: object) -> bytes:
    """A CBOR sequence."""
    return b"".join(map(cbor2.dumps, items))


def items_of(data: bytes) -> list[Any]:
    """The items of a CBOR sequence."""
    stream, items = BytesIO(data), []
    while stream.tell() < len(data):
        items.append(cbor2.load(stream))
    return items


# P-256 -------------------------------------------------------------------------------------------------------


def scalar(seed_bits: bytes) -> int:
    """A private key from 40 random bytes (FIPS 186-5 A.2.1)."""
    order = ec.SECP256R1().group_order
    return int.from_bytes(seed_bits, "big") % (order - 1) + 1


def ephemeral(entropy: bytes, side: str) -> int:
    """The ephemeral private key that insitu makes of the 64 bytes drawn for a session; any other way serves as well."""
    label = f"insitu edhoc ephemeral {side} P-256 0".encode()
    return scalar(hmac.digest(entropy, label + b"\x01", "sha512")[:40])


def agree(private: int, public: ec.EllipticCurvePublicKey) -> bytes:
    """The x-coordinate of the shared point."""
    return ec.derive_private_key(private, ec.SECP256R1()).exchange(ec.ECDH(), public)


def point(compressed: bytes) -> ec.EllipticCurvePublicKey:
    """The point behind a compressed SEC 1 encoding."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), compressed)


def uncompressed(public: ec.EllipticCurvePublicKey) -> bytes:
    """The 65 bytes of a public key."""
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def verify(public: ec.EllipticCurvePublicKey, protected: object, external: bytes, payload: bytes, raw: bytes) -> bytes:
    """Check a signature r || s over the Sig_structure of COSE_Sign1; what was signed."""
    signed = cbor2.dumps(["Signature1", cbor2.dumps(protected), external, payload])
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    return signed


ES256 = {1: -7}
"""Protected header of the statements that are signed outside the handshake."""


def certified(der: bytes, issuer: bytes) -> tuple[str, ec.EllipticCurvePublicKey]:
    """Name and key in a certificate, its signature checked under its issuer's."""
    holder, authority = x509.load_der_x509_certificate(der), x509.load_der_x509_certificate(issuer)
    holder.verify_directly_issued_by(authority)
    public = holder.public_key()
    expect(isinstance(public, ec.EllipticCurvePublicKey), "certificates are for P-256 keys")
    return holder.subject.rfc4514_string().removeprefix("CN="), public  # type: ignore[return-value]


# Sessions ----------------------------------------------------------------------------------------------------


@dataclass
class Message:
    """A message that crossed in records: who sent it, its CBOR, its content."""

    sender: str
    encoded: bytes
    content: Mapping[int, Any]


@dataclass
class Reading:
    """All that there is to read in a session.

    Attributes:
        values: the intermediate values by their names in RFC 9528 and protocol.md, in order of their derivation.
        messages: what crossed in the channel.
        signed: the bytes under each signature, by the statement's name.

    """

    values: dict[str, bytes] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    signed: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Recorded:
    """A recorded session, with what the reader has to know beside it.

    Attributes:
        writes: everything that crossed.
        entropy: the 64 bytes that the module drew for its handshake.
        root: the manufacturer's root certificate, DER.
        static: private key behind the module's claims set; for option physical only.
        customer: the customer's certificate, which vouches for module and central in operation.
        central: the certificate that the module has pinned; in operation only.

    """

    writes: Sequence[Write]
    entropy: bytes
    root: bytes
    static: int | None = None
    customer: bytes = b""
    central: bytes = b""


class _Handshake:
    """The four EDHOC messages, read with the module's private keys."""

    def __init__(self, recorded: Recorded, frames: Sequence[bytes], reading: Reading) -> None:
        self.recorded = recorded
        self.values = reading.values
        self.signed = reading.signed
        self.private = ephemeral(recorded.entropy, "initiator")
        self.serial = ""
        self.read_message_1(frames[0])
        self.read_message_2(frames[1])
        self.read_message_3(frames[2])
        self.read_message_4(frames[3])

    def read_message_1(self, frame: bytes) -> None:
        method, suite, g_x, c_i, label, value = items_of(frame)
        version, self.purpose, self.option = cbor2.loads(value)
        expect((suite, c_i, label, version) == (3, 0, -INTENT, 1), "suite 3, C_I 0, one critical EAD item, version 1")
        expect(method == METHOD_OF[self.option], "the method that belongs to the option")
        own = ec.derive_private_key(self.private, ec.SECP256R1()).public_key()
        expect(g_x == uncompressed(own)[1:33], "G_X of the module's ephemeral key")
        self.signs = method == 0
        self.values |= {"X": self.private.to_bytes(32, "big"), "G_X": g_x, "H(message_1)": sha256(frame)}

    def read_message_2(self, frame: bytes) -> None:
        (content,) = items_of(frame)
        g_y, ciphertext = content[:32], content[32:]
        self.g_y = point(b"\x02" + g_y)
        g_xy = agree(self.private, self.g_y)
        self.th_2 = sha256(sequence(g_y, self.values["H(message_1)"]))
        prk_2e = extract(self.th_2, g_xy)
        stream = kdf(prk_2e, 0, self.th_2, len(ciphertext))
        plaintext = bytes(a ^ b for a, b in zip(ciphertext, stream, strict=True))
        c_r, id_cred, proof = items_of(plaintext)
        expect(c_r == 1, "C_R is 1")
        cred, public = self.responder(id_cred)
        self.values |= {"G_Y": g_y, "G_XY": g_xy, "TH_2": self.th_2, "PRK_2e": prk_2e, "PLAINTEXT_2": plaintext}
        self.prk_3e2m = prk_2e if self.signs else extract(kdf(prk_2e, 1, self.th_2, 32), agree(self.private, public))
        bound = sequence(self.th_2) + cred
        self.prove(2, self.prk_3e2m, cbor2.dumps(c_r), id_cred, bound, public, proof)
        self.th_3 = sha256(sequence(self.th_2) + plaintext + cred)
        self.values |= {"PRK_3e2m": self.prk_3e2m, "TH_3": self.th_3}

    def read_message_3(self, frame: bytes) -> None:
        (ciphertext,) = items_of(frame)
        plaintext = self.unseal(self.prk_3e2m, (3, 4), self.th_3, ciphertext)
        id_cred, proof = items_of(plaintext)
        cred, public = self.initiator(id_cred)
        self.prk_4e3m = self.prk_3e2m
        if self.recorded.static is not None:
            g_iy = agree(self.recorded.static, self.g_y)
            self.prk_4e3m = extract(kdf(self.prk_3e2m, 5, self.th_3, 32), g_iy)
        self.prove(3, self.prk_4e3m, b"", id_cred, sequence(self.th_3) + cred, public, proof)
        self.th_4 = sha256(sequence(self.th_3) + plaintext + cred)
        self.values |= {"PLAINTEXT_3": plaintext, "PRK_4e3m": self.prk_4e3m, "TH_4": self.th_4}

    def read_message_4(self, frame: bytes) -> None:
        (ciphertext,) = items_of(frame)
        expect(self.unseal(self.prk_4e3m, (8, 9), self.th_4, ciphertext) == b"", "message_4 carries nothing")
        prk_out = kdf(self.prk_4e3m, 7, self.th_4, 32)
        exporter = kdf(prk_out, 10, b"", 32)
        self.values |= {"PRK_out": prk_out, "PRK_exporter": exporter, "binding": kdf(exporter, BINDING, b"", 32)}
        for name, label in (("module to peer", TO_RESPONDER), ("peer to module", TO_INITIATOR)):
            material = kdf(exporter, label, b"", 28)
            self.values |= {f"key, {name}": material[:16], f"IV, {name}": material[16:]}

    @staticmethod
    def unseal(prk: bytes, labels: tuple[int, int], th: bytes, ciphertext: bytes) -> bytes:
        key, nonce = kdf(prk, labels[0], th, 16), kdf(prk, labels[1], th, 13)
        return AESCCM(key, tag_length=16).decrypt(nonce, ciphertext, cbor2.dumps(["Encrypt0", b"", th]))

    def prove(
        self,
        number: int,
        prk: bytes,
        first: bytes,
        id_cred: object,
        bound: bytes,
        public: ec.EllipticCurvePublicKey,
        proof: bytes,
    ) -> None:
        """Signature_or_MAC_2 and _3."""
        context = first + cbor2.dumps(id_cred) + bound
        mac = kdf(prk, {2: 2, 3: 6}[number], context, 32 if self.signs else 16)
        self.values[f"MAC_{number}"] = mac
        if self.signs:
            self.signed[f"message_{number}"] = verify(public, id_cred, bound, mac, proof)
        else:
            expect(hmac.compare_digest(mac, proof), f"MAC_{number}")

    def responder(self, id_cred: Mapping[int, Any]) -> tuple[bytes, ec.EllipticCurvePublicKey]:
        """CRED_R and its key."""
        recorded = self.recorded
        if not self.signs:
            return self.claims_set(id_cred)[:2]
        if self.purpose == 1:
            expect(id_cred == {X5T: [-15, sha256(recorded.central)[:8]]}, "the pinned certificate's hash")
            return cbor2.dumps(recorded.central), certified(recorded.central, recorded.customer)[1]
        unit, customer = id_cred[X5CHAIN]
        certified(customer, recorded.root)
        return cbor2.dumps(unit), certified(unit, customer)[1]

    def initiator(self, id_cred: Mapping[int, Any]) -> tuple[bytes, ec.EllipticCurvePublicKey]:
        """CRED_I and its key."""
        if not self.signs:
            cred, public, self.serial = self.claims_set(id_cred)
            return cred, public
        module = id_cred[X5CHAIN]
        self.serial, public = certified(module, self.recorded.customer if self.purpose == 1 else self.recorded.root)
        return cbor2.dumps(module), public

    @staticmethod
    def claims_set(id_cred: Mapping[int, Any]) -> tuple[bytes, ec.EllipticCurvePublicKey, str]:
        claims = id_cred[KCCS]
        key = claims[8][1]
        expect((key[1], key[-1]) == (2, 1), "an EC2 key on P-256")
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key[-2] + key[-3])
        return cbor2.dumps(claims), public, claims[2]


def read(recorded: Recorded) -> Reading:
    """Read a session without key update: check every proof in it, and open every record."""
    reading = Reading()
    crossed = [(sender, frame) for sender, frames in recorded.writes for frame in frames]
    handshake = _Handshake(recorded, [frame for _, frame in crossed[:4]], reading)
    values = reading.values
    numbers = {"module to peer": 0, "peer to module": 0}
    for sender, frame in crossed[4:]:
        way = "module to peer" if sender == "module" else "peer to module"
        nonce = int.from_bytes(values[f"IV, {way}"], "big") ^ numbers[way]
        numbers[way] += 1
        record = AESGCM(values[f"key, {way}"]).decrypt(nonce.to_bytes(12, "big"), frame, None)
        expect(record[0] == 0, "every message here fits one record")
        reading.messages.append(Message(sender, record[1:], cbor2.loads(record[1:])))
    _check_statements(recorded, reading, handshake.serial)
    return reading


def _check_statements(recorded: Recorded, reading: Reading, serial: str) -> None:
    binding = reading.values["binding"]
    by_number = {message.content[0]: message.content for message in reading.messages}
    if 2 in by_number:
        public = point(by_number[2][1])
        statement = cbor2.dumps(["insitu possession", serial, uncompressed(public)])
        reading.signed["possession"] = verify(public, ES256, binding, statement, by_number[2][2])
        handed = by_number[3]
        customer = handed.get(3) or _chain(reading)[1]
        certified(customer, recorded.root)
        expect(certified(handed[1], customer) == (serial, public), "the module's certificate is for its new key")
        certified(handed[2], customer)
        digest = sha256(cbor2.dumps([serial, handed[1], customer, handed[2]]))
        statement = cbor2.dumps(["insitu confirmation", digest])
        reading.signed["confirmation"] = verify(public, ES256, binding, statement, by_number[4][1])
    if 19 in by_number:
        challenge = sha256(b"insitu reset challenge" + binding)
        expect(by_number[19][2] == challenge, "the challenge is made of the channel's binding value")
        statement = cbor2.dumps(["insitu reset", serial, by_number[19][1]])
        central = certified(recorded.central, recorded.customer)[1]
        reading.signed["reset"] = verify(central, ES256, challenge, statement, by_number[20][1])


def _chain(reading: Reading) -> Sequence[bytes]:
    """The unit's chain, from PLAINTEXT_2."""
    chain: Sequence[bytes] = items_of(reading.values["PLAINTEXT_2"])[1][X5CHAIN]
    return chain


def flights(writes: Iterable[Write]) -> list[Write]:
    """Writes of one side without an answer between them, as one."""
    merged: list[Write] = []
    for sender, frames in writes:
        if merged and merged[-1][0] == sender:
            merged[-1] = (sender, [*merged[-1][1], *frames])
        else:
            merged.append((sender, list(frames)))
    return merged


# Serial line -------------------------------------------------------------------------------------------------


def read_line(line: bytes, *, from_caller: bool, session: int) -> tuple[int, int, int, int, bytes]:
    """Kind, number, next, held and body of one link frame, its check compared."""
    expect(line.endswith(b"\0") and len(line) <= 64, "at most 64 bytes, the last one zero")
    content = unstuffed(line[:-1])
    covered, check = content[:-4], content[-4:]
    mark = (b"C" if from_caller else b"A") + session.to_bytes(8, "big")
    expect(crc32(mark + covered) == int.from_bytes(check, "big"), "CRC-32 over mark, word and body")
    word = int.from_bytes(covered[:2], "big")
    return word >> 14, word >> 10 & 15, word >> 6 & 15, word & 63, covered[2:]


def unstuffed(stuffed: bytes) -> bytes:
    """What COBS made of the bytes, undone; for frames of this length every group ends in a zero but the last."""
    groups, place = [], 0
    while place < len(stuffed):
        length = stuffed[place]
        groups.append(stuffed[place + 1 : place + length])
        place += length
    return b"\0".join(groups)
