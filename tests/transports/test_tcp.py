import errno
import socket

import pytest
import trio
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

from insitu.transports import tcp
from insitu.transports.errors import (
    AddressError,
    AddressInUse,
    ConnectionRefused,
    LinkError,
    NameUnknown,
    PortDenied,
    Unreachable,
)
from insitu.transports.tcp import PeerGate, PeerLimits

HERE = "127.0.0.1"


async def listener_and_port():
    (listener,) = await tcp.listen(HERE, 0)
    return listener, listener.socket.getsockname()[1]


async def make():
    listener, port = await listener_and_port()
    async with listener:
        caller = await tcp.connect(HERE, port)
        return caller, await listener.accept()


async def make_clogged():
    one, two = await make()
    for stream in (one, two):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    for stream in (one, two):
        with trio.move_on_after(0.02):
            while True:
                await stream.send_all(bytes(65_536))
    return one, two


async def test_is_a_half_closeable_stream():
    # no clogged maker: how much two kernels buffer between them is theirs to choose; trio's own suite covers it
    await check_half_closeable_stream(make, None)


async def test_no_delay_at_either_end():
    for stream in await make():
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await stream.aclose()


async def test_nobody_listens():
    listener, port = await listener_and_port()
    await listener.aclose()
    with pytest.raises(ConnectionRefused, match="nobody listens there") as caught:
        await tcp.connect(HERE, port)
    assert caught.value.who == f"tcp {HERE}:{port}"


async def test_an_unknown_name():
    class Resolver(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *_: object, **__: object):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        async def getnameinfo(self, *_: object):
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Resolver())
    for attempt in (tcp.connect, tcp.listen):
        with pytest.raises(NameUnknown, match=r"central\.example:99.*Name or service"):
            await attempt("central.example", 99)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "central..example"])
async def test_what_is_no_host_name(host):
    with pytest.raises(AddressError, match="not a host name"):
        await tcp.connect(host, 99)


@pytest.mark.parametrize("port", [-1, 65_536])
async def test_no_such_port(port):
    for attempt in (tcp.connect, tcp.listen):
        with pytest.raises(AddressError, match="0 to 65535"):
            await attempt(HERE, port)


async def test_no_answer(autojump_clock, monkeypatch):
    async def never(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", never)
    with pytest.raises(Unreachable, match="within 3 s"):
        await tcp.connect(HERE, 99, timeout=3)
    assert trio.current_time() == pytest.approx(3)


async def test_the_port_is_in_use():
    listener, port = await listener_and_port()
    async with listener:
        with pytest.raises(AddressInUse):
            await tcp.listen(HERE, port)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, PortDenied),
        (errno.EADDRNOTAVAIL, Unreachable),
        (errno.EHOSTUNREACH, Unreachable),
        (errno.EPROTO, LinkError),
    ],
)
async def test_every_refusal_of_the_system_has_its_error(monkeypatch, number, kind):
    async def refuse(*_: object, **__: object) -> None:
        cause = OSError(number, "refused")
        raise OSError("all attempts failed") from ExceptionGroup("attempts", [cause])

    monkeypatch.setattr(trio, "open_tcp_stream", refuse)
    monkeypatch.setattr(trio, "open_tcp_listeners", refuse)
    for attempt in (tcp.connect, tcp.listen):
        with pytest.raises(kind):
            await attempt(HERE, 99)


async def test_further_peers_wait_until_one_leaves():
    listener, port = await listener_and_port()
    gate = PeerGate(PeerLimits(peers=2))
    inside = 0
    most = 0

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b""
        inside -= 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.serve, listener, handle)
        streams = [await tcp.connect(HERE, port) for _ in range(5)]
        for stream in streams:
            assert await stream.receive_some() == b"hello"
            await stream.aclose()
        nursery.cancel_scope.cancel()
    assert most == 2
    assert gate.turned_away == 0
    assert not gate._hosts, "nothing is kept of peers that have left"


async def test_a_host_beyond_its_share_is_turned_away():
    listener, port = await listener_and_port()
    gate = PeerGate(PeerLimits(per_host=1))

    async def handle(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello")
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.serve, listener, handle)
        first = await tcp.connect(HERE, port)
        assert await first.receive_some() == b"hello"
        second = await tcp.connect(HERE, port)
        assert await second.receive_some() == b""
        await first.aclose()
        await wait_all_tasks_blocked()
        third = await tcp.connect(HERE, port)
        assert await third.receive_some() == b"hello"
        for stream in (second, third):
            await stream.aclose()
        nursery.cancel_scope.cancel()
    assert gate.turned_away == 1


async def test_a_system_out_of_descriptors_is_waited_for(autojump_clock):
    class Listener:
        calls = 0

        async def accept(self):
            self.calls += 1
            if self.calls == 1:
                raise OSError(errno.EMFILE, "too many open files")
            if self.calls == 2:
                raise OSError(errno.EINVAL, "something else")
            raise AssertionError

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

    gate = PeerGate()

    async def handle(stream: object) -> None:
        raise AssertionError

    with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="something else")):
        await gate.serve(Listener(), handle)
    assert gate.starved == 1
    assert trio.current_time() > 0


@pytest.mark.parametrize("limits", [PeerLimits(peers=0), PeerLimits(per_host=0)])
def test_limits_that_admit_nobody(limits):
    with pytest.raises(AddressError):
        PeerGate(limits)


def test_places_as_people_write_them():
    assert tcp.place("bank.example", 1) == "bank.example:1"
    assert tcp.place("::1", 1) == "[::1]:1"


async def test_the_end_of_a_connection_that_is_gone():
    with trio.socket.socket() as sock:
        assert tcp.end_of(sock, peer=True) == "unknown"
