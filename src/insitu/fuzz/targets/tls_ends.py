"""Both ends of a TLS link, before a hostile peer and behind a handshake with one that has its certificate.

TLS itself is OpenSSL's; ours is when an end gives up, what it says of it, and that it lets go of the peer.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zlib import crc32

import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ...transports.errors import TransportError
from ...transports.memory import memory_pair
from ...transports.tls import HANDSHAKE_TIMEOUT, TlsOptions, TlsStream, answer, connect_over
from ...transports.tls import check as checked
from ..scene import Named
from ..scratch import scratch
from ..target import Shape, check, outcome_of, target

NAME: Final = "end.example"
ROOM: Final = 1 << 20
MOST_SAID: Final = 1 << 16
"""Bytes that an end may say to a stranger."""
SAID: Final = b"said in the channel"
MOST_HEARD: Final = 1 << 18
"""Bytes of an input that are sent."""

Begin = Callable[[trio.abc.Stream], Awaitable[TlsStream]]


@cache
def _options() -> TlsOptions:
    """An authority that is its own only peer: both ends appear by one certificate, and trust it."""
    place = scratch()
    authority, key = (ec.derive_private_key(int.from_bytes(Named("tls")(31)) + each, ec.SECP256R1()) for each in (1, 2))
    for name, owner, public in (("ca", "authority", authority), ("certificate", NAME, key)):
        certificate = _certificate(owner, public.public_key(), authority, ca=name == "ca")
        (place / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file = place / "key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return TlsOptions(str(place / "ca"), str(place / "certificate"), str(key_file))


def _certificate(
    owner: str, public: ec.EllipticCurvePublicKey, authority: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (owner, "authority"))
    now, by = datetime.now(UTC), authority.public_key()
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
    usage = {"content_commitment": False, "key_encipherment": False, "data_encipherment": False, "key_agreement": False}
    usage |= {"digital_signature": not ca, "key_cert_sign": ca, "crl_sign": ca}
    usage |= {"encipher_only": False, "decipher_only": False}
    for extension, critical in (
        (x509.BasicConstraints(ca=ca, path_length=0 if ca else None), True),
        (x509.KeyUsage(**usage), True),
        (x509.SubjectAlternativeName([x509.DNSName(owner)]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(by), False),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(authority, SHA256())


@cache
def _server() -> ssl.SSLContext:
    return checked(_options(), serves=True)


async def _answer(stream: trio.abc.Stream) -> TlsStream:
    return await answer(stream, _server(), _options())


async def _connect(stream: trio.abc.Stream) -> TlsStream:
    return await connect_over(stream, NAME, _options())


# Before the handshake ------------------------------------------------------------------------------------------


async def _before(begin: Begin, data: bytes, *, hangs_up: bool) -> tuple[str, int, float]:
    """How it ended, how much was said to the peer, and after how many seconds of its own."""
    here, there = memory_pair(ROOM)
    said, outcome = 0, "open"

    async def end() -> None:
        nonlocal outcome
        try:
            await begin(here)
        except TransportError as error:
            outcome = outcome_of(error)

    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        try:
            await there.send_all(data[:MOST_HEARD])
            if hangs_up:
                await there.send_eof()
            while came := await there.receive_some():
                said += len(came)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
    return outcome, said, trio.current_time() - begun


def _stranger(begin: Begin, data: bytes) -> str:
    clock = trio.testing.MockClock(autojump_threshold=0)
    hangs_up = bool(crc32(data) % 2)
    outcome, said, seconds = trio.run(lambda: _before(begin, data, hangs_up=hangs_up), clock=clock)
    check(outcome != "open", "a stranger was taken for the peer")
    check(seconds <= HANDSHAKE_TIMEOUT, f"it held out for {seconds:g} s")
    check(said <= MOST_SAID, f"{said} bytes were said to a stranger")
    return f"{outcome} after {'some' if said else 'no'} words"


def _vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size) + data


def _extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2) + _vector(data, 2)


def _handshake(kind: int, data: bytes) -> bytes:
    message = bytes((kind,)) + _vector(data, 3)
    return b"\x16\x03\x01" + _vector(message, 2)


SHARE: Final = b"\x00\x17" + _vector(
    bytes.fromhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    ),
    2,
)
"""A key share on P-256 (RFC 8446 section 4.2.8): the curve's base point, whose private key everybody knows."""


def client_seeds() -> Iterator[bytes]:
    """What a client says first: hellos of TLS 1.3 and 1.2, cut ones, and what is no TLS."""
    for version, more in ((b"\x03\x04", _extension(51, _vector(SHARE, 2))), (b"\x03\x03", b"")):
        extensions = _extension(43, _vector(version, 1)) + _extension(10, _vector(b"\x00\x17", 2))
        extensions += _extension(13, _vector(b"\x04\x03\x08\x04", 2)) + more
        session = _vector(bytes(range(32)), 1)
        suites = _vector(b"\x13\x01\x13\x02\xc0\x2b", 2)
        body = b"\x03\x03" + bytes(range(32)) + session + suites + _vector(b"\x00", 1) + _vector(extensions, 2)
        hello = _handshake(1, body)
        yield hello
        yield hello + b"\x14\x03\x03\x00\x01\x01" + b"\x17\x03\x03" + _vector(bytes(40), 2)
    yield hello[:50]
    yield b"\x15\x03\x03\x00\x02\x02\x28"
    yield b"GET / HTTP/1.1\r\n\r\n"


@target("tls-server", Shape.BYTES, client_seeds, seconds=0.5)
def tls_server(data: bytes) -> str:
    """Whatever a stranger says, the TLS end that is called refuses it in time with an error of links, and lets go."""
    return _stranger(_answer, data)


def server_seeds() -> Iterator[bytes]:
    """What a server says first: hellos, another key share wanted, an alert, and what is no TLS."""
    retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    for random, share in ((bytes(range(32)), SHARE), (retry, b"\x00\x17")):
        extensions = _extension(43, b"\x03\x04") + _extension(51, share)
        body = b"\x03\x03" + random + _vector(b"", 1) + b"\x13\x01\x00" + _vector(extensions, 2)
        yield _handshake(2, body) + b"\x17\x03\x03" + _vector(bytes(40), 2)
    yield b"\x15\x03\x03\x00\x02\x02\x28"
    yield b"\x16\x03\x03\x40\x00" + bytes(100)
    yield b"SSH-2.0-x\r\n"


@target("tls-client", Shape.BYTES, server_seeds, seconds=0.5)
def tls_client(data: bytes) -> str:
    """Whatever a stranger answers, the TLS end that calls refuses it in time with an error of links, and lets go."""
    return _stranger(_connect, data)


# Behind the handshake ------------------------------------------------------------------------------------------


async def _behind(data: bytes) -> tuple[bytes, str]:
    """What was taken of a peer that said one thing by its right, and then these bytes instead of records."""
    here, there = memory_pair(ROOM)
    taken, ended = bytearray(), "good end"

    async def peer() -> None:
        nonlocal ended
        try:
            async with await _connect(there) as secured:
                await secured.send_all(SAID)
                await there.send_all(data[:MOST_HEARD])
                await there.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the other end has left

    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer)
        async with await _answer(here) as secured:
            try:
                while came := await secured.receive_some():
                    taken += came
            except TransportError as error:
                ended = outcome_of(error)
            await trio.aclose_forcefully(here)
    return bytes(taken), ended


def record_seeds() -> Iterator[bytes]:
    """Records that are none of this channel's: data, an alert in the clear, a handshake, a record that is too long."""
    yield b"\x17\x03\x03" + _vector(bytes(40), 2)
    yield b"\x15\x03\x03\x00\x02\x01\x00"
    yield b"\x14\x03\x03\x00\x01\x01"
    yield b"\x17\x03\x03\x48\x00" + bytes(64)
    yield b""


@target("tls-records", Shape.BYTES, record_seeds, seconds=0.5)
def tls_records(data: bytes) -> str:
    """Behind the handshake nothing is taken but what the peer's TLS has sealed, and a cut is never a good end."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    taken, ended = trio.run(lambda: _behind(data), clock=clock)
    check(taken == SAID, "something else was taken")
    check(ended != "good end", "what nobody ended ended well")
    return ended
