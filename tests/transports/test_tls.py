"""TLS links with certificates on both sides: who is admitted, who is not, and what is said of it."""

from __future__ import annotations

import os
import ssl
from contextlib import asynccontextmanager

import pytest
import trio
from tls_files import Authority
from trio.testing import check_two_way_stream, wait_all_tasks_blocked

from insitu.transports import tcp, tls
from insitu.transports.errors import AddressError, LinkBroken, PeerRefused, Unreachable
from insitu.transports.links import Address, Link, open_link, serve_links

HERE = "127.0.0.1"


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


async def echo(link: Link) -> None:
    try:
        while data := await link.stream.receive_some():
            await link.stream.send_all(data)
    except trio.BrokenResourceError:
        return


@asynccontextmanager
async def serving(options: str, handler=echo):
    async with trio.open_nursery() as nursery:
        (where,) = await nursery.start(serve_links, f"tls:{HERE}:0?{options}", handler)
        yield where.port
        nursery.cancel_scope.cancel()


async def say(port: int, options: str) -> Link:
    async with await open_link(f"tls:{HERE}:{port}?{options}") as link:
        await link.stream.wait_send_all_might_not_block()
        await link.stream.send_all(b"hello")
        assert await link.stream.receive_some() == b"hello"
        return link


async def test_both_ends_prove_themselves(authority):
    async with serving(authority.options("server")) as port:
        link = await say(port, authority.options("client"))
        assert (link.kind, link.attests_wired, link.numeric_comparison) == ("tls", False, False)
        assert str(port) in link.description


async def test_is_a_stream(authority):
    address = Address.parse(f"tls:{HERE}:0?{authority.options('server')}")
    assert address.tls is not None
    options, context = address.tls, tls.check(address.tls, serves=True)

    async def make():
        (listener,) = await tcp.listen(HERE, 0)
        ends = []

        async def accept() -> None:
            ends.append(await tls.answer(await listener.accept(), context, options))

        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            caller = await tls.connect(HERE, listener.socket.getsockname()[1], options)
        return caller, ends[0]

    await check_two_way_stream(make, None)


async def test_nothing_older_than_1_3_and_no_resumption(authority):
    certificate, key, _ = authority.issue("end")
    for serves in (False, True):
        context = tls.check(tls.TlsOptions(str(authority.file), str(certificate), str(key)), serves=serves)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname is not serves
    assert context.num_tickets == 0


async def test_an_older_version_is_refused(authority):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_verify_locations(authority.file)
    async with serving(authority.options("server")) as port:
        stream = trio.SSLStream(await trio.open_tcp_stream(HERE, port), old, server_hostname=HERE)
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        await trio.aclose_forcefully(stream)
        await say(port, authority.options("client"))


async def test_a_server_of_another_authority(authority, tmp_path):
    (tmp_path / "others").mkdir()
    other = Authority(tmp_path / "others", "others")
    async with serving(other.options("server", trusts=authority)) as port:
        with pytest.raises(PeerRefused, match="certificate is refused") as caught:
            await say(port, authority.options("client"))
    assert caught.value.exit_code == 3
    assert f"tls {HERE}:{port}" in str(caught.value)


async def test_a_client_of_another_authority_reaches_no_handler(authority, tmp_path):
    (tmp_path / "others").mkdir()
    other = Authority(tmp_path / "others", "others")
    reached = []

    async def note(link: Link) -> None:
        reached.append(link)

    async with serving(authority.options("server"), note) as port:
        with pytest.raises(LinkBroken, match=r"may not trust|lost"):
            await say(port, other.options("client", trusts=authority))
    assert reached == []


async def test_a_client_without_a_certificate_reaches_no_handler(authority):
    reached = []

    async def note(link: Link) -> None:
        reached.append(link)

    bare = ssl.create_default_context(cafile=str(authority.file))
    async with serving(authority.options("server"), note) as port:
        stream = trio.SSLStream(await trio.open_tcp_stream(HERE, port), bare, server_hostname=HERE)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await trio.aclose_forcefully(stream)
    assert reached == []


async def test_the_name_in_the_certificate_counts(authority):
    client = authority.options("client")
    async with serving(authority.options("elsewhere")) as port:
        with pytest.raises(PeerRefused, match="certificate is refused"):
            await say(port, client)
        await say(port, f"{client}&name=elsewhere")


async def test_a_pinned_certificate_counts_instead_of_the_name(authority):
    client = authority.options("client")
    certificate, key, fingerprint = authority.issue("elsewhere")
    async with serving(f"ca={authority.file}&certificate={certificate}&key={key}") as port:
        await say(port, f"{client}&fingerprint={fingerprint}")
        with pytest.raises(PeerRefused, match="another certificate") as caught:
            await say(port, f"{client}&fingerprint={'00' * 32}")
    assert caught.value.got == fingerprint


async def test_a_peer_that_says_that_it_refuses(authority):
    error = trio.BrokenResourceError()
    error.__cause__ = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] alert")
    error.__cause__.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    told = tls._explained(error, "tls here")
    assert isinstance(told, PeerRefused)
    assert "the peer refuses this end" in str(told)
    assert "certificate required" in told.got


async def test_a_pinned_client(authority):
    certificate, key, fingerprint = authority.issue("client")
    client = f"ca={authority.file}&certificate={certificate}&key={key}"
    async with serving(f"{authority.options('server')}&fingerprint={fingerprint}") as port:
        await say(port, client)
        with pytest.raises((LinkBroken, PeerRefused)):
            await say(port, authority.options("another"))


async def test_a_cut_is_no_end(authority):
    async def cut(link: Link) -> None:
        assert isinstance(link.stream, tls.TlsStream)
        await trio.aclose_forcefully(link.stream._inner.transport_stream)

    client = authority.options("client")
    async with (
        serving(authority.options("server"), cut) as port,
        await open_link(f"tls:{HERE}:{port}?{client}") as link,
    ):
        with pytest.raises(LinkBroken, match="left without a word"):
            await link.stream.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await link.stream.send_all(b"x")


async def test_a_peer_that_speaks_something_else(authority):
    (listener,) = await tcp.listen(HERE, 0)
    async with listener, trio.open_nursery() as nursery:

        async def greet() -> None:
            async with await listener.accept() as stream:
                await stream.send_all(b"220 mail.example ready\r\n")
                await stream.receive_some()

        nursery.start_soon(greet)
        with pytest.raises(PeerRefused, match="speaks no TLS"):
            await say(listener.socket.getsockname()[1], authority.options("client"))


async def test_a_peer_that_says_nothing(authority, autojump_clock):
    (listener,) = await tcp.listen(HERE, 0)
    options = Address.parse(f"tls:{HERE}:1?{authority.options('client')}").tls
    assert options is not None
    async with listener:
        with pytest.raises(Unreachable, match="handshake within 3 s"):
            await tls.connect(HERE, listener.socket.getsockname()[1], options, timeout=3)
        context = tls.check(options, serves=True)
        async with await tcp.connect(HERE, listener.socket.getsockname()[1]):
            await (await listener.accept()).aclose()
            silent = await listener.accept()
            with pytest.raises(Unreachable):
                await tls.answer(silent, context, options, timeout=3)


async def test_cancelled_in_the_handshake_leaves_nothing_open(authority):
    (listener,) = await tcp.listen(HERE, 0)
    options = Address.parse(f"tls:{HERE}:1?{authority.options('client')}").tls
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(tls.connect, HERE, listener.socket.getsockname()[1], options)
        async with await listener.accept() as stream:
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                while await stream.receive_some():
                    pass


# Files -------------------------------------------------------------------------------------------------------


def refused(options: tls.TlsOptions) -> str:
    for serves in (False, True):
        with pytest.raises(AddressError) as caught:
            tls.check(options, serves=serves)
        assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_key_that_others_may_read(authority):
    certificate, key, _ = authority.issue("end")
    options = tls.TlsOptions(str(authority.file), str(certificate), str(key))
    for mode in (0o644, 0o640, 0o700):
        key.chmod(mode)
        assert f"expected 0600 or 0400, got {mode:04o}" in refused(options)
    key.chmod(0o400)
    tls.check(options, serves=False)


def test_a_key_of_somebody_else(authority, monkeypatch):
    certificate, key, _ = authority.issue("end")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert "owner of key file" in refused(tls.TlsOptions(str(authority.file), str(certificate), str(key)))


def test_files_that_will_not_do(authority, tmp_path):
    certificate, key, _ = authority.issue("end")
    _, other_key, _ = authority.issue("other")
    alias = tmp_path / "alias"
    alias.symlink_to(key)
    junk = tmp_path / "junk"
    junk.write_text("junk")
    junk.chmod(0o600)
    ca, mine, secret = str(authority.file), str(certificate), str(key)
    for options, says in (
        (tls.TlsOptions(ca, mine, str(alias)), "a symbolic link"),
        (tls.TlsOptions(ca, mine, str(tmp_path)), "a regular file"),
        (tls.TlsOptions(ca, mine, str(tmp_path / "none")), "No such file"),
        (tls.TlsOptions(ca, mine, str(junk)), "private key"),
        (tls.TlsOptions(ca, mine, str(other_key)), "MISMATCH"),
        (tls.TlsOptions(ca, str(tmp_path / "none"), secret), "No such file"),
        (tls.TlsOptions(str(junk), mine, secret), "certificates that are trusted"),
        (tls.TlsOptions(str(tmp_path / "none"), mine, secret), "No such file"),
    ):
        assert says in refused(options)


def test_an_encrypted_key_is_refused_and_nobody_is_asked(authority):
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    certificate, key, _ = authority.issue("end")
    loaded = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    assert "not encrypted" in refused(tls.TlsOptions(str(authority.file), str(certificate), str(key)))


async def test_a_list_of_revoked_certificates(authority):
    """By the end that calls, too; and a list that is none, or by somebody else, lets nobody in."""
    certificate, key, _ = authority.issue("server")
    server = f"ca={authority.file}&certificate={certificate}&key={key}"
    crl = authority.revoke()
    client = f"{authority.options('client')}&crl={crl}"
    assert str(Address.parse(f"tls:{HERE}:1?{client}")) == f"tls:{HERE}:1?{client}"
    async with serving(server) as port:
        await say(port, client)
        authority.revoke(certificate)
        with pytest.raises(PeerRefused, match="revoked"):
            await say(port, client)
        (authority.place / "others").mkdir()
        Authority(authority.place / "others").revoke().replace(crl)
        with pytest.raises(PeerRefused, match="certificate is refused"):
            await say(port, client)
        crl.write_text("nothing")
        with pytest.raises(AddressError, match="a revocation list"):
            await say(port, client)
