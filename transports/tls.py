"""TLS 1.3 with certificates on both sides, over TCP (REQUIREMENTS K4, A9: the mobile's long-distance link).

It protects the link; whether module and unit trust each other the protocol decides above it, as over any other link.
Both ends name a file of certificates that they trust, their own certificate and its private key. There is no resumption
and no way to do without the peer's certificate. TLS has no closing by halves that Python offers.
"""

from __future__ import annotations

import errno
import hmac
import os
import ssl
import stat
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import trio

from . import tcp
from .errors import AddressError, LinkBroken, PeerRefused, TransportError, Unreachable

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds for the peer's part of the handshake."""

_SAFE_MODES: Final = (0o600, 0o400)


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Whom one end trusts, and as whom it appears.

    Attributes:
        ca: file of the certificates (PEM) that the peer's certificate must lead to; nothing of the system's is added.
        certificate: file of this end's certificate (PEM), with those between it and the peer's `ca`.
        key: file of its private key (PEM, not encrypted), of mode 0600 or 0400, ours, no symbolic link.
        name: the host name or IP address in the peer's certificate, where that is not the host that is called.
        fingerprint: SHA-256 of the peer's certificate in 64 hexadecimal digits; stands in for the name, and is the one
            way to pin a peer that calls.
        crl: file of the list (PEM) by `ca` of certificates that it revoked; who waits for peers reads it for each.

    """

    ca: str
    certificate: str
    key: str
    name: str = ""
    fingerprint: str = ""
    crl: str = ""


class TlsStream(trio.abc.Stream):
    """Bytes inside TLS. An end that nobody announced (a cut) is an error here, never the end of the stream."""

    def __init__(self, inner: trio.SSLStream[trio.abc.Stream], who: str) -> None:
        self._inner = inner
        self._who = who
        self._heard = False

    @property
    def certificate(self) -> bytes:
        """The peer's, which it proved the key of; DER."""
        return self._inner.getpeercert(binary_form=True) or b""

    @property
    def socket(self) -> trio.socket.SocketType:
        """Of the connection beneath, where that is one."""
        beneath = self._inner.transport_stream
        if not isinstance(beneath, trio.SocketStream):
            raise AddressError("no connection of this machine's", who=self._who, expected="TCP beneath")
        return beneath.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send.

        Raises:
            LinkBroken: the connection is lost.
            PeerRefused: the peer does not take this end's certificate.

        """
        try:
            await self._inner.send_all(data)
        except trio.BrokenResourceError as error:
            raise _explained(error, self._who) from error

    async def wait_send_all_might_not_block(self) -> None:
        """As trio's SSLStream."""
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """What has arrived; empty when the peer ended the connection in good order.

        Raises:
            LinkBroken: the connection is lost or was cut. In TLS 1.3 the end that calls knows only by the first bytes
                that its certificate was taken; a peer that refuses it may leave without a word.
            PeerRefused: the peer says that it does not take this end's certificate.

        """
        try:
            data = await self._inner.receive_some(max_bytes)
        except trio.BrokenResourceError as error:
            explained = _explained(error, self._who)
            if isinstance(explained, LinkBroken) and not self._heard:
                explained = LinkBroken(
                    "the peer left without a word; it may not trust this end's certificate",
                    who=self._who,
                    got=explained.got,
                )
            raise explained from error
        self._heard = True
        return data

    async def aclose(self) -> None:
        """Tell the peer and close."""
        await self._inner.aclose()


def check(options: TlsOptions, *, serves: bool) -> ssl.SSLContext:
    """The settings of an end, with its files read.

    Raises:
        AddressError: a file that cannot be read, does not fit or that others may read.

    """
    _refuse_unsafe(Path(options.key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if serves else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = not serves and not options.fingerprint
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if serves:
        context.num_tickets = 0  # no resumption: each session proves itself
    try:
        context.load_verify_locations(options.ca)
    except (OSError, ValueError) as error:
        raise _bad_file(options.ca, "certificates that are trusted (PEM)", error) from None
    if options.crl:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF  # without a list that is in time, nobody is trusted
        try:
            context.load_verify_locations(options.crl)
        except (OSError, ValueError) as error:
            raise _bad_file(options.crl, "a revocation list (PEM)", error) from None
    try:
        # without a function OpenSSL would ask at the terminal
        context.load_cert_chain(options.certificate, options.key, password=lambda: "")
    except (OSError, ValueError) as error:
        what = "a certificate (PEM) and its private key, not encrypted"
        raise _bad_file(f"{options.certificate}, {options.key}", what, error) from None
    return context


async def connect(host: str, port: int, options: TlsOptions, *, timeout: float = HANDSHAKE_TIMEOUT) -> TlsStream:
    """Connect, and have the peer prove itself.

    Raises:
        AddressError: no such address, or unusable files.
        PeerRefused: its certificate is not trusted, or is another's.
        LinkError: why there is no connection, as `tcp.connect`.

    """
    context = check(options, serves=False)
    stream = await tcp.connect(host, port, timeout=timeout)
    return await _shaken(stream, context, options, f"tls {tcp.place(host, port)}", options.name or host, timeout)


async def connect_over(
    stream: trio.abc.Stream, host: str, options: TlsOptions, *, timeout: float = HANDSHAKE_TIMEOUT
) -> TlsStream:
    """As `connect`, over a stream that leads there; it is closed if the peer cannot prove itself.

    Raises:
        AddressError: unusable files.
        PeerRefused: its certificate is not trusted, or is another's.
        LinkError: it left, or did not answer in time.

    """
    return await _shaken(stream, check(options, serves=False), options, f"tls {host}", options.name or host, timeout)


async def answer(
    stream: trio.abc.Stream, context: ssl.SSLContext, options: TlsOptions, *, timeout: float = HANDSHAKE_TIMEOUT
) -> TlsStream:
    """The other end of `connect` and `connect_over`: have a peer that called prove itself; else close the stream.

    Raises:
        PeerRefused: its certificate is not trusted, or is another's.
        LinkError: it left, or did not answer in time.

    """
    who = f"tls {tcp.end_of(stream.socket, peer=True)}" if isinstance(stream, trio.SocketStream) else "tls"
    return await _shaken(stream, context, options, who, None, timeout)


async def _shaken(
    stream: trio.abc.Stream,
    context: ssl.SSLContext,
    options: TlsOptions,
    who: str,
    name: str | None,
    timeout: float,
) -> TlsStream:
    inner = trio.SSLStream(stream, context, server_hostname=name, server_side=name is None)
    try:
        with trio.fail_after(timeout):
            await inner.do_handshake()
        if options.fingerprint:
            _check_fingerprint(inner.getpeercert(binary_form=True), options.fingerprint, who)
    except trio.TooSlowError:
        await trio.aclose_forcefully(stream)
        raise Unreachable("no answer", who=who, expected=f"a TLS handshake within {timeout:g} s") from None
    except trio.BrokenResourceError as error:
        await trio.aclose_forcefully(stream)
        raise (error if isinstance(error, TransportError) else _explained(error, who)) from error.__cause__
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return TlsStream(inner, who)


def _check_fingerprint(certificate: bytes | None, expected: str, who: str) -> None:
    got = sha256(certificate or b"").hexdigest()
    if not hmac.compare_digest(got, expected):
        raise PeerRefused("the peer has another certificate", who=who, expected=expected, got=got)


def _explained(error: trio.BrokenResourceError, who: str) -> TransportError:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return PeerRefused("the peer's certificate is refused", who=who, got=cause.verify_message)
    if isinstance(cause, ssl.SSLEOFError) or not isinstance(cause, ssl.SSLError):
        return LinkBroken("the connection is lost", who=who, got=cause or "")
    reason = (cause.reason or str(cause)).replace("_", " ").lower()
    if "alert" in reason:
        return PeerRefused("the peer refuses this end", who=who, expected="a certificate that it trusts", got=reason)
    return PeerRefused("the peer speaks no TLS 1.3 as it must", who=who, got=reason)


def _refuse_unsafe(path: Path) -> None:
    """As for passphrase files: a regular file, ours, that nobody else reads; on Windows only that it is there."""
    who = "tls"
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(file)
        finally:
            os.close(file)
    except OSError as error:
        got = "a symbolic link" if error.errno in (errno.ELOOP, errno.EMLINK) else error.strerror
        raise AddressError(f"key file {path}", who=who, expected="a file that can be read", got=got) from None
    if not stat.S_ISREG(status.st_mode):
        raise AddressError(f"key file {path}", who=who, expected="a regular file", got=stat.filemode(status.st_mode))
    if sys.platform == "win32":
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode not in _SAFE_MODES:
        raise AddressError(f"mode of key file {path}", who=who, expected="0600 or 0400", got=f"{mode:04o}")
    if status.st_uid != os.geteuid():
        expected = f"user {os.geteuid()}"
        raise AddressError(f"owner of key file {path}", who=who, expected=expected, got=f"user {status.st_uid}")


def _bad_file(name: str, expected: str, error: Exception) -> AddressError:
    got = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return AddressError(f"file {name}", who="tls", expected=expected, got=got)
