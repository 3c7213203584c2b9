"""Health and metrics of a program that serves, over HTTP: /alive, /ready, /metrics. Nothing in them is a customer's.

For a monitoring system on the same machine or network of machines: whoever reaches the port may read it. The standard
library's server answers from threads of its own, so that a session never waits for it. There are few of them, and none
waits for long, so that nobody at this port takes threads and descriptors from the others.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import BoundedSemaphore, Lock, Thread
from typing import Any, Final

from ..protocol.engine import EnvironmentFault, UsageError
from ..protocol.parties.central_data import CommandConcluded, ModuleContacted, ModuleReset, TransactionDecided
from ..protocol.parties.unit import ModulePersonalized, ModuleTurnedAway
from ..protocol.progress import SessionEnded
from ..transports.links import Address

SECONDS: Final = 10.0
"""How long a client may take for its whole request, and how long for the answer."""
CLIENTS: Final = 16
"""How many are answered at once; further ones are closed at once."""
LARGEST_REQUEST: Final = 4096
"""Bytes of a request."""

Gauges = Mapping[str, tuple[str, Callable[[], int]]]
"""What is measured when somebody asks, by name: what it is, and how many."""


class Metrics:
    """Counts what sessions show.

    Args:
        gauges: what else there is to be told.

    """

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def note(self, note: object) -> None:
        """A note of a session."""
        match note:
            case TransactionDecided(transaction):
                counted = ("transactions", "approved" if transaction.approved else "refused")
            case ModuleContacted():
                counted = ("sessions", "begun")
            case SessionEnded("unit", reason):
                counted = ("unit_sessions", "failed" if reason else "ended")
            case SessionEnded(reason=reason):
                counted = ("sessions", "failed" if reason else "ended")
            case ModulePersonalized():
                counted = ("personalizations", "done")
            case ModuleTurnedAway(fault=fault):
                counted = ("refusals", fault.name.lower())
            case CommandConcluded():
                counted = ("commands", "concluded")
            case ModuleReset():
                counted = ("resets", "done")
            case _:
                return
        with self._lock:
            self._counts[counted] += 1

    def text(self, *, ready: bool) -> bytes:
        """All of it in the text format of Prometheus."""
        from prometheus_client import CollectorRegistry, Gauge, generate_latest
        from prometheus_client import Counter as Count

        registry = CollectorRegistry()
        for name, (about, count) in self._gauges.items():
            Gauge(f"insitu_{name}", about, registry=registry).set(count())
        Gauge("insitu_ready", "Whether what it depends on answers", registry=registry).set(ready)
        told: dict[str, Count] = {}
        with self._lock:
            counts = dict(self._counts)
        for (name, outcome), number in sorted(counts.items()):
            if name not in told:
                about = f"{name.replace('_', ' ').capitalize()} since the program began"
                told[name] = Count(f"insitu_{name}", about, ["outcome"], registry=registry)
            told[name].labels(outcome).inc(number)
        return generate_latest(registry)


@contextmanager
def serving_health(address: Address, metrics: Metrics, lacks: Callable[[], str]) -> Iterator[str]:
    """Answer while the context lasts; where.

    Args:
        address: tcp:HOST:PORT.
        metrics: for /metrics.
        lacks: what keeps the program from working, for /ready; empty: nothing.

    Raises:
        UsageError: not such an address, or the package for metrics is not installed.
        EnvironmentFault: the port cannot be had.

    """
    try:
        import prometheus_client  # noqa: F401 - to say so if it is missing
    except ImportError:
        raise UsageError("the package for metrics is missing", who="health", expected="insitu[central]") from None
    if address.kind != "tcp":
        raise UsageError("address for health", who="health", expected="tcp:HOST:PORT", got=str(address))

    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS  # for the answer
        server_version = "insitu"
        sys_version = ""

        def setup(self) -> None:
            """Have the whole request here before any of it is looked at."""
            super().setup()
            self.rfile.close()
            self.rfile = BytesIO(_request(self.connection))
            self.connection.settimeout(SECONDS)

        def do_GET(self) -> None:
            """One of the three."""
            lacking = lacks()
            match self.path:
                case "/alive":
                    self._answer(HTTPStatus.OK, b"alive\n")
                case "/ready" if lacking:
                    self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{lacking}\n".encode())
                case "/ready":
                    self._answer(HTTPStatus.OK, b"ready\n")
                case "/metrics":
                    self._answer(HTTPStatus.OK, metrics.text(ready=not lacking))
                case _:
                    self._answer(HTTPStatus.NOT_FOUND, b"/alive, /ready or /metrics\n")

        def _answer(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Nobody wants to read of each visit."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        places = BoundedSemaphore(CLIENTS)

        def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's
            """A thread for whoever finds a place."""
            if self.places.acquire(blocking=False):
                super().process_request(request, client_address)
            else:
                self.shutdown_request(request)

        def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's
            """Answer, and make room."""
            try:
                super().process_request_thread(request, client_address)
            finally:
                self.places.release()

        def handle_error(self, request: object, client_address: object) -> None:
            """Who leaves in the middle of his request is nobody's concern."""

    try:
        server = Server((address.place, address.port), Handler)
    except OSError as error:
        raise EnvironmentFault(f"cannot listen at {address}", who="health", got=error.strerror) from None
    thread = Thread(target=server.serve_forever, name="insitu health", daemon=True)
    thread.start()
    try:
        yield f"tcp:{address.place}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(SECONDS)


def _request(connection: socket.socket) -> bytes:
    """All of a request, or what came of it in time: whoever sends a byte now and then has no longer than others."""
    deadline, request = time.monotonic() + SECONDS, b""
    while b"\r\n\r\n" not in request and len(request) < LARGEST_REQUEST:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            piece = connection.recv(LARGEST_REQUEST)
        except OSError:
            return b""
        if not piece:
            break
        request += piece
    return request
