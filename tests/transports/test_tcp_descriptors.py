"""Connections leave descriptors to the rest of the program: whoever connects, stores can be written."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from insitu.transports.tcp import RESERVE, PeerGate, PeerLimits


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (RESERVE + 64, hard))
    yield RESERVE + 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_more_are_asked_of_the_system(few_descriptors: int):
    PeerGate(PeerLimits(peers=200))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == RESERVE + 200


async def test_what_the_system_does_not_give_is_not_promised_to_peers(
    few_descriptors: int, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    gate = PeerGate(PeerLimits(peers=2000))
    assert gate._slots.value == few_descriptors - RESERVE
