"""Somebody floods the ports of programs that serve: whoever is meant still gets through, and the programs go on."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from command_processes import Process, running
from commands import AUTHORIZE, SERIAL, Estate, done

MANY = 1000
"""Connections of somebody who means no good."""


def silent(_: int) -> bytes:
    """Nothing."""
    return b""


def half_open(number: int) -> bytes:
    """The beginning of a frame."""
    return b"\x00" if number % 2 else b"\x00\x40\x01"


def garbage(number: int) -> bytes:
    """A frame that is no message."""
    return bytes([0, 30]) + bytes([number % 256]) * 30


@contextmanager
def descriptors() -> Iterator[None]:
    """Room for them in this process, and in those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def flood(address: str, says: Callable[[int], bytes], count: int = MANY, every: float = 0) -> Iterator[None]:
    """So many connections from another address of this machine, each of which says that, and a byte now and then."""
    host, _, port = address.removeprefix("tcp:").rpartition(":")
    over = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(descriptors())
        made = [
            stack.enter_context(socket.create_connection((host, int(port)), 10, source_address=("127.0.0.2", 0)))
            for _ in range(count)
        ]
        for number, each in enumerate(made):
            with suppress(OSError):
                each.sendall(says(number))

        def drip() -> None:
            while every and not over.wait(every):
                for each in made:
                    with suppress(OSError):
                        each.send(b"\x01")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def pays(module: Process) -> None:
    module.ask(authorize=AUTHORIZE)
    assert module.note("PayOutInstructed")["approved"]


@pytest.mark.parametrize(
    ("says", "every"), [(silent, 0), (half_open, 1), (garbage, 0)], ids=["silent", "a byte a second", "garbage"]
)
def test_the_port_of_the_central_system(bank: Estate, says: Callable[[int], bytes], every: float):
    """A thousand who do not go on with their handshake: one module stays online, and another one comes in."""
    bank.deliver("SM-78", "other")
    with running(*bank.serve()) as host, ExitStack() as stack:
        at = host.note("Ready")["at"]
        modules = {}
        for serial, name in ((SERIAL, "module"), ("SM-78", "other")):
            words = ["module", "run", *bank.unsealed(name), "--link", "tcp:127.0.0.1:0", "--json", "--requests"]
            modules[serial] = stack.enter_context(running(*words, "--central", at))
            bank.approved("--module", serial)
        here, there = modules.values()
        done(*bank.personalize(here.note("Ready")["at"]))
        here.note("StateEntered", state="ONLINE")
        with flood(at, says, every=every):
            pays(here)
            done(*bank.personalize(there.note("Ready")["at"], serial="SM-78"))
            there.note("StateEntered", state="ONLINE")
            pays(there)
            pays(here)
        assert here.out.count('"event": "Welcome"') == 1
        for process in (here, there, host):
            assert process.end().code == 0


@pytest.mark.parametrize("every", [0, 1], ids=["silent", "a byte a second"])
def test_the_port_of_a_module(bank: Estate, every: float):
    """A thousand who want to be served first, from another machine: the unit has its turn."""
    bank.approved("--module", SERIAL)
    with running(*bank.run_module()) as module:
        at = module.note("Ready")["at"]
        with flood(at, half_open, every=every):
            done(*bank.personalize(at))
        module.note("StateEntered", state="OPERATING")
        assert module.end().code == 0
