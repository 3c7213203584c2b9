import subprocess
import sys
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from insitu.transports import links
from insitu.transports.errors import (
    AddressError,
    AddressInUse,
    ConnectionRefused,
    LinkBroken,
    NoAnswer,
    PortNotFound,
)
from insitu.transports.links import Address, Link, open_link, serve_links
from insitu.transports.memory import memory_pair
from insitu.transports.serial.link import SerialLink
from insitu.transports.serial.ptypair import PtyPair
from insitu.transports.tcp import origin_of
from insitu.transports.tls import TlsOptions


@pytest.fixture
def pty_clock():
    return MockClock(autojump_threshold=0.003)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp:127.0.0.1:4711", Address("tcp", "127.0.0.1", port=4711)),
        ("tcp:bank.example:1", Address("tcp", "bank.example", port=1)),
        ("tcp:[::1]:65535", Address("tcp", "::1", port=65535)),
        ("tcp:*:0", Address("tcp", "*", port=0)),
        ("serial:/dev/ttyS0", Address("serial", "/dev/ttyS0", baud=9600)),
        ("serial:/dev/ttyUSB0?baud=115200", Address("serial", "/dev/ttyUSB0", baud=115_200)),
        ("serial:COM3", Address("serial", "COM3", baud=9600)),
        ("serial:loop://", Address("serial", "loop://", baud=9600)),
        ("serial:socket://box.example:4000", Address("serial", "socket://box.example:4000", baud=9600)),
        ("serial:rfc2217://[::1]:4000?baud=38400", Address("serial", "rfc2217://[::1]:4000", baud=38_400)),
        ("device:/dev/i2c-bridge", Address("device", "/dev/i2c-bridge", baud=9600)),
        ("device:/dev/ircomm0?baud=115200", Address("device", "/dev/ircomm0", baud=115_200)),
        ("bluetooth:aa:BB:cc:00:11:22/3", Address("bluetooth", "AA:BB:CC:00:11:22", port=3)),
        (
            "bluetooth:*/30?pairing=numeric-comparison",
            Address("bluetooth", "*", port=30, numeric_comparison=True),
        ),
        (
            "tls:[::1]:4711?ca=a.pem&certificate=b.pem&key=c.key",
            Address("tls", "::1", port=4711, tls=TlsOptions("a.pem", "b.pem", "c.key")),
        ),
        (
            "tls:*:0?key=c%26%20%25&certificate=/b/b.pem&ca=a.pem&name=unit.example",
            Address("tls", "*", tls=TlsOptions("a.pem", "/b/b.pem", "c& %", name="unit.example")),
        ),
        (
            "tls:host:1?ca=a&certificate=b&key=c&fingerprint=" + "AB:" * 31 + "AB",
            Address("tls", "host", port=1, tls=TlsOptions("a", "b", "c", fingerprint="ab" * 32)),
        ),
        ("memory:", Address("memory", "")),
        ("memory:unit:1", Address("memory", "unit:1")),
    ],
)
def test_addresses(text, address):
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp",
        "tcp:",
        "tcp:4711",
        "tcp:host:",
        "tcp:host:-1",
        "tcp:host:65536",
        "tcp:host:1x",
        "tcp:host:\u0661",
        "tcp:host:" + "9" * 5000,
        "tcp:::1:4711",
        "tcp:[]:1",
        "serial:",
        "serial:/dev/ttyS0?",
        "serial:/dev/ttyS0?baud=",
        "serial:/dev/ttyS0?baud=0",
        "serial:/dev/ttyS0?baud=fast",
        "serial:/dev/ttyS0?parity=even",
        "serial:/dev/ttyS0?baud=9600&baud=1",
        "serial:/dev/tty\0S0",
        "serial:socket://",
        "serial:socket://host",
        "serial:socket://host:0",
        "serial:socket://host:65536",
        "serial:socket://user@host:1",
        "serial:socket://host:1/path",
        "serial:socket://host:1?logging=debug",
        "serial:rfc2217://host:1x",
        "serial:loop://there",
        "serial:spy:///dev/ttyS0",
        "serial:hwgrep://usb",
        "device:",
        "device:/dev/i2c?baud=0",
        "device:/dev/i2c?speed=1",
        "bluetooth:00:11:22",
        "bluetooth:00:11:22:33:44:55",
        "bluetooth:00:11:22:33:44:55/0",
        "bluetooth:00:11:22:33:44:55/31",
        "bluetooth:00:11:22:33:44:5g/1",
        "bluetooth:00:11:22:33:44:55/1?",
        "bluetooth:00:11:22:33:44:55/1?pairing=just-works",
        "tls:host:1",
        "tls:host:1?",
        "tls:host?ca=a&certificate=b&key=c",
        "tls:host:65536?ca=a&certificate=b&key=c",
        "tls:host:1?ca=a&certificate=b",
        "tls:host:1?ca=a&certificate=b&key=",
        "tls:host:1?ca=a&certificate=b&key=c&key=d",
        "tls:host:1?ca=a&certificate=b&key=c&verify=no",
        "tls:host:1?ca=a&certificate=b&key=c%00",
        "tls:host:1?ca=a&certificate=b&key=c&fingerprint=abcd",
        "tls:host:1?ca=a&certificate=b&key=c&name=d&fingerprint=" + "00" * 32,
        "/dev/ttyS0",
        "memory",
    ],
)
def test_what_is_no_address(text):
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert caught.value.expected
    assert caught.value.exit_code == 2


PREFIXES = [
    *("tcp:", "serial:", "memory:", "device:", "serial:socket://", "bluetooth:00:11:22:33:44:55/", "tls:host:1?"),
    "tls:host:1?ca=a&certificate=b&key=",
]


@given(st.one_of(st.text(), st.sampled_from(PREFIXES).flatmap(lambda k: st.text().map(k.__add__))))
def test_any_text_is_an_address_or_an_error(text):
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert Address.parse(str(address)) == address


async def greet(link: Link) -> None:
    """A service: tells the kind of link, then echoes until the end."""
    await link.stream.send_all(link.kind.encode())
    while data := await link.stream.receive_some():
        await link.stream.send_all(data)


async def conversation(link: Link) -> None:
    assert await link.stream.receive_some(len(link.kind)) == link.kind.encode()
    await link.stream.send_all(b"echo")
    assert await link.stream.receive_some(4) == b"echo"


async def test_tcp():
    async with trio.open_nursery() as nursery:
        (address,) = await nursery.start(serve_links, "tcp:127.0.0.1:0", greet)
        assert address.port > 0
        for _ in range(2):
            async with await open_link(address) as link:
                await conversation(link)
                assert (link.kind, link.attests_wired) == ("tcp", False)
                assert str(address.port) in link.description
        nursery.cancel_scope.cancel()


async def test_memory():
    async with trio.open_nursery() as nursery:
        assert await nursery.start(serve_links, "memory:unit", greet) == [Address("memory", "unit")]
        async with await open_link("memory:unit") as one, await open_link("memory:unit") as two:
            await conversation(one)
            await conversation(two)
            assert one.attests_wired
        with pytest.raises(AddressInUse):
            await serve_links("memory:unit", greet)
        with pytest.raises(ConnectionRefused):
            await open_link("memory:other")
        nursery.cancel_scope.cancel()
    with pytest.raises(ConnectionRefused):
        await open_link("memory:unit")
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_links, "memory:unit", greet)
        nursery.cancel_scope.cancel()


async def test_every_address_of_this_machine():
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(serve_links, "tcp:*:0", greet)
        (port,) = [address.port for address in addresses if address.place == "0.0.0.0"]
        async with await open_link(f"tcp:127.0.0.1:{port}") as link:
            await conversation(link)
        nursery.cancel_scope.cancel()


def test_memory_links_end_with_their_program():
    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_links, "memory:", greet)
            nursery.cancel_scope.cancel()

    trio.run(serve)
    trio.run(serve)


async def test_serial_over_terminals_session_after_session(pty_clock):
    pair = PtyPair()
    seen = []

    async def attend(link: Link) -> None:
        seen.append(link)
        await greet(link)

    async with trio.open_nursery() as nursery:
        await nursery.start(pair.run)
        right = f"serial:{pair.right}?baud=115200"
        await nursery.start(
            lambda task_status: serve_links(right, attend, declared_wired=True, task_status=task_status)
        )
        for declared in (False, True):
            left = f"serial:{pair.left}?baud=115200"
            async with await open_link(left, declared_wired=declared) as link:
                await conversation(link)
                assert isinstance(link.stream, SerialLink)
                assert link.attests_wired is declared
                assert ("declared wired" if declared else "not attested") in link.description
        nursery.cancel_scope.cancel()
    assert [link.attests_wired for link in seen] == [True, True]


async def test_serving_ends_with_the_line(pty_clock):
    pair = PtyPair()
    async with trio.open_nursery() as nursery:
        await nursery.start(pair.run)

        async def serve(task_status: trio.TaskStatus[list[Address]]) -> None:
            with pytest.raises(LinkBroken, match=r"hung up|lost"):
                await serve_links(f"serial:{pair.right}", greet, task_status=task_status)

        await nursery.start(serve)
        pair.close()


async def test_nobody_at_the_other_end_of_the_line(pty_clock):
    pair = PtyPair()
    async with trio.open_nursery() as nursery:
        await nursery.start(pair.run)
        with pytest.raises(NoAnswer, match="within 2 s"):
            await open_link(f"serial:{pair.left}", timeout=2)
        # the port is free again
        with pytest.raises(NoAnswer):
            await open_link(f"serial:{pair.left}", timeout=1)
        nursery.cancel_scope.cancel()


async def test_no_such_port():
    for attempt in (open_link("serial:/dev/tty-nowhere"), serve_links("serial:/dev/tty-nowhere", greet)):
        with pytest.raises(PortNotFound):
            await attempt


async def test_a_network_cannot_be_declared_wired():
    for attempt in (
        open_link("tcp:127.0.0.1:1", declared_wired=True),
        serve_links("tcp:127.0.0.1:0", greet, declared_wired=True),
    ):
        with pytest.raises(AddressError, match="never a wired local port"):
            await attempt


async def test_a_wired_port_attests_itself(pty_clock, monkeypatch):
    monkeypatch.setattr("insitu.transports.serial.port.is_wired", lambda *_: True)
    pair = PtyPair()
    async with trio.open_nursery() as nursery:
        await nursery.start(pair.run)
        await nursery.start(serve_links, f"serial:{pair.right}", greet)
        async with await open_link(f"serial:{pair.left}") as link:
            assert link.attests_wired
            assert link.description == f"serial {pair.left} at 9600 baud"
            assert "attests wired" in repr(link)
        nursery.cancel_scope.cancel()


async def test_what_a_handler_leaves_open_is_closed():
    async def leave(link: Link) -> None:
        await link.stream.send_all(b"bye")

    async with trio.open_nursery() as nursery:
        for address in ("tcp:127.0.0.1:0", "memory:"):
            (where,) = await nursery.start(serve_links, address, leave)
            async with await open_link(where) as link:
                assert await link.stream.receive_some() == b"bye"
                assert await link.stream.receive_some() == b""
        nursery.cancel_scope.cancel()


def test_a_declaration_is_all_that_can_change_an_attestation():
    link = Link("tcp", "tcp somewhere", attests_wired=False, stream=memory_pair()[0])
    with pytest.raises(AttributeError):
        link.attests_wired = True


def test_importing_needs_nothing_that_only_posix_has():
    missing = ["termios", "tty", "pty", "fcntl", "serial"]
    code = (
        f"import sys\nfor name in {missing}: sys.modules[name] = None\n"
        "import trio\n"
        "from insitu.transports import bluetooth, errors, faulty, framing, links, memory, ports, tap, tcp, tls\n"
        "from insitu.transports.serial import device, infrared, link, port, ptypair, threaded\n"
        "async def talk():\n"
        "    here, there = memory.memory_pair()\n"
        "    await framing.FrameChannel(here).send_frame(b'x')\n"
        "    assert await framing.FrameChannel(there).receive_frame() == b'x'\n"
        "trio.run(talk)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_calling_a_service_that_is_just_ending():
    booth, calls = trio.open_memory_channel(0)
    await calls.aclose()
    links._listening()["ending"] = booth
    with pytest.raises(ConnectionRefused, match="any more"):
        await open_link("memory:ending")


@pytest.mark.parametrize(
    ("there", "origin"),
    [
        ("192.0.2.7:50123", "192.0.2.7"),
        ("[2001:db8:1:2:3:4:5:6]:50123", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:1", "2001:db8:1:2::/64"),
        ("[::ffff:192.0.2.7]:50123", "192.0.2.7"),
        ("[fe80::1%eth0]:50123", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_origin_is_what_nobody_changes_at_will(there, origin):
    assert origin_of(there) == origin


async def test_a_link_says_where_it_comes_from():
    places = []

    async def attend(link: Link) -> None:
        places.append(link.origin)

    async with trio.open_nursery() as nursery:
        (place,) = await nursery.start(partial(serve_links, "tcp:127.0.0.1:0", attend))
        async with await open_link(place) as link:
            assert link.origin == "127.0.0.1"
            await link.stream.receive_some()
        nursery.cancel_scope.cancel()
    assert places == ["127.0.0.1"]
