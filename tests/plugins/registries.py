"""Registries of every make, with one issuer and one module in them, for tests of their rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import Server, running_server

from insitu.protocol.stores.memory_registry import MemoryRegistry
from insitu.protocol.stores.registry import Change, Issuer, ModuleEntry, Registry, Standing
from insitu.registry import open_registry

ISSUER = Issuer(b"i" * 32, b"certificate", "Bank", (1 << 126) + 5, b"r" * 32, b"s" * 64)
ENTRY = ModuleEntry(
    serial="SM-1",
    owner="Bank",
    issuer=ISSUER.fingerprint,
    epoch=0,
    fingerprint=b"f" * 32,
    certificate_number=(1 << 126) + 9,
    issued=100,
    first_seen=200,
    standing=Standing.OPERATING,
    last_contact=200,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    made: Registry
    if request.param == "memory":
        made = MemoryRegistry()
    elif request.param == "sqlite":
        made = open_registry(str(tmp_path / "registry.db"))
    else:
        made = open_registry(request.getfixturevalue("server").database())
    yield made
    made.close()


@pytest.fixture
def known(registry: Registry) -> Registry:
    """One issuer, one module."""
    registry.trust(ISSUER, actor="alice", at=1)
    registry.commit(Change(ENTRY, note=("registered", "")), at=2)
    return registry


def about(registry: Registry, entry: ModuleEntry = ENTRY) -> Any:
    return registry.known(entry.serial, entry.fingerprint, entry.certificate_number, entry.issuer)
