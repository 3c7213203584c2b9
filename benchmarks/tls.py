"""The peer that we are held against: mutual TLS 1.3 as trio.SSLStream runs it, over trio's streams in memory.

Made to cost it as little as Python's `ssl` allows: P-256 throughout, no session tickets, contexts made once, chains of
a leaf and its issuer. The certificates hold what ours hold and no more: the same names, the same fields, key
identifiers and serial numbers of the same size, the role as a critical extended key usage beside the one that OpenSSL
insists on. Key files are temporary, `ssl` takes no others.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from insitu.protocol.keys.profile import KEY_USE, Role
from insitu.transports.tap import Tap

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Holder:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Contexts:
    """Both sides, ready for any number of handshakes; each demands a certificate of the other."""

    client: ssl.SSLContext
    server: ssl.SSLContext


@contextmanager
def contexts() -> Iterator[Contexts]:
    """A manufacturer's root, a customer below it, and two leaves below that; key files live as long as this."""
    root = _issue("Example Modules", None)
    customer = _issue("Example Bank", root, path_length=0)
    with tempfile.TemporaryDirectory() as folder:
        module = _leaf("SM-000001", customer, ExtendedKeyUsageOID.CLIENT_AUTH, KEY_USE[Role.IDENTITY])
        unit = _leaf("Unit 1", customer, ExtendedKeyUsageOID.SERVER_AUTH, KEY_USE[Role.UNIT])
        client = _context(ssl.PROTOCOL_TLS_CLIENT, module, customer, root, Path(folder))
        server = _context(ssl.PROTOCOL_TLS_SERVER, unit, customer, root, Path(folder))
        yield Contexts(client, server)


def _context(protocol: int, own: Holder, issuer: Holder, root: Holder, folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ecdh_curve("prime256v1")
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=root.certificate.public_bytes(Encoding.DER))
    file = folder / f"{protocol}.pem"
    key = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(key + b"".join(each.certificate.public_bytes(Encoding.PEM) for each in (own, issuer)))
    context.load_cert_chain(file)
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    return context


def _leaf(name: str, issuer: Holder, *uses: x509.ObjectIdentifier) -> Holder:
    return _issue(name, issuer, usage=x509.ExtendedKeyUsage(uses))


def _issue(
    name: str, issuer: Holder | None, *, path_length: int = 1, usage: x509.ExtendedKeyUsage | None = None
) -> Holder:
    """A certificate with the fields of our profile (protocol/keys/profile.py)."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC).replace(microsecond=0)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest[-8:]
    by = own if issuer is None else _key_identifier(issuer)
    builder = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number() >> 33 | 1 << 126)
        .subject_name(_name(name))
        .issuer_name(_name(name) if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 365 * _DAY)
    )
    if usage is None:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        builder = builder.add_extension(_key_usage(ca=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier(own), critical=False)
    else:
        builder = builder.add_extension(_key_usage(ca=False), critical=True)
        builder = builder.add_extension(usage, critical=True)
    if issuer is not None:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(by, None, None), critical=False)
    return Holder(builder.sign(key if issuer is None else issuer.key, SHA256()), key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_identifier(holder: Holder) -> bytes:
    return holder.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


Ends = tuple[trio.SSLStream[Any], trio.SSLStream[Any]]
"""Client and server."""


def ends(both: Contexts) -> Ends:
    """Both ends over a pair of streams in memory, handshake not done."""
    return _around(both, *trio.testing.memory_stream_pair())


def tapped_ends(both: Contexts) -> tuple[Ends, tuple[Tap, Tap]]:
    """The same, with what counts the bytes that each sends."""
    left, right = (Tap(stream) for stream in trio.testing.memory_stream_pair())
    return _around(both, left, right), (left, right)


def _around(both: Contexts, left: trio.abc.Stream, right: trio.abc.Stream) -> Ends:
    return trio.SSLStream(left, both.client), trio.SSLStream(right, both.server, server_side=True)


async def shake_hands(client: trio.SSLStream[Any], server: trio.SSLStream[Any]) -> None:
    """Both sides to the end of the handshake."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        await server.do_handshake()
