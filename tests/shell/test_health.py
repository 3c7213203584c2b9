"""The port for health: whoever is slow, says nothing, too much or comes too often costs no more than a short while.

Real sockets and real time, since the library's server knows no other.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from insitu.shell import health
from insitu.shell.health import CLIENTS, LARGEST_REQUEST, Metrics, serving_health
from insitu.transports.links import Address

QUESTION = b"GET /alive HTTP/1.0\r\n\r\n"
SHORT = 0.4


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where it is answered; a request may take SHORT seconds."""
    monkeypatch.setattr(health, "SECONDS", SHORT)
    with serving_health(Address.parse("tcp:127.0.0.1:0"), Metrics(lambda: 0), lambda: True) as at:
        yield int(at.rpartition(":")[2])


def call(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 5)


def answer(connection: socket.socket) -> bytes:
    """All that comes; nothing from one who closes."""
    said = b""
    with suppress(ConnectionError):
        while piece := connection.recv(4096):
            said += piece
    return said


def asked(port: int) -> bytes:
    with call(port) as connection:
        connection.sendall(QUESTION)
        return answer(connection)


def test_a_request_in_pieces(port: int):
    with call(port) as connection:
        for byte in QUESTION:
            connection.sendall(bytes([byte]))
        assert answer(connection).endswith(b"alive\n")


@pytest.mark.parametrize("says", [b"", b"GET /al"], ids=["nothing", "half a request"])
def test_a_byte_now_and_then_gives_no_more_time(port: int, says: bytes):
    began = time.monotonic()
    with call(port) as connection:
        connection.sendall(says)
        over = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                while not over.wait(SHORT / 10):
                    connection.send(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        said = answer(connection)
        over.set()
        thread.join()
    assert said == b""
    assert time.monotonic() - began < 4 * SHORT


def test_a_request_without_end(port: int):
    with call(port) as connection:
        with suppress(ConnectionError):
            connection.sendall(b"GET /" + b"x" * (1 << 20))
        assert b"200" not in answer(connection)
    assert asked(port).endswith(b"alive\n")
    assert len(QUESTION) < LARGEST_REQUEST


def test_only_so_many_at_once_and_not_for_long(port: int):
    """Those above the limit are closed at once, and hold no thread; a while later everybody is answered again."""
    threads = threading.active_count()
    with ExitStack() as stack:
        many = [stack.enter_context(call(port)) for _ in range(3 * CLIENTS)]
        closed = sum(not answer(each) for each in many[2 * CLIENTS :])
        assert closed == CLIENTS
        assert threading.active_count() <= threads + CLIENTS
    deadline = time.monotonic() + 10 * SHORT
    while not asked(port) and time.monotonic() < deadline:
        time.sleep(SHORT / 10)
    assert asked(port).endswith(b"alive\n")
