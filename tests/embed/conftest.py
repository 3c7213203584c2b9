"""A personalized module in a sealed file, and its host: a thread that serves over TCP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from world import SERIAL, Stored, World

from insitu.protocol.keys.vault import SealedVault
from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.stores.sealed import Cost, StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.shell.central_program import CentralProgram
from insitu.transports.links import Address
from insitu.transports.memory import memory_pair


@pytest.fixture
def world() -> World:
    world = World()

    async def personalize() -> None:
        world.approved(CardRole.MODULE, SERIAL)
        here, there = memory_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(world.module.meet_unit, here, TrustOption.CERTIFICATES))
            await world.new_unit().personalize(there, SERIAL, TrustOption.CERTIFICATES)

    trio.run(personalize)
    return world


@pytest.fixture
def host(world: World) -> Iterator[str]:
    """The central system in another thread; where it listens."""
    place: list[str] = []
    listening = threading.Event()
    scope: list[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def serve() -> None:
        with trio.CancelScope() as cancelled:
            scope.append((trio.lowlevel.current_trio_token(), cancelled))
            program = CentralProgram(world.central, Address.parse("tcp:127.0.0.1:0"), tell=lambda _: None)

            def ready(at: str) -> None:
                place.append(at)
                listening.set()

            await program.run(ready=ready)

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    assert listening.wait(10)
    yield place[0]
    token, cancelled = scope[0]
    token.run_sync_soon(cancelled.cancel)
    thread.join(10)


@pytest.fixture
def store(world: World, tmp_path: Path) -> dict[str, Any]:
    """The module's sealed file, with its passphrase."""
    kept = Stored.of(world.vault(SERIAL))
    passphrase = tmp_path / "module.pass"
    passphrase.touch(mode=0o600)
    passphrase.write_text("a passphrase")
    path = tmp_path / "module.insitu"
    secret = Secret(b"a passphrase")
    with SealedVault.create(path, StoreKind.MODULE, secret, entropy=bytes, cost=Cost(n=2)) as vault:
        for label, (kind, private) in kept.keys.items():
            vault._keys.restore_sealed(label, kind, private)  # type: ignore[arg-type]
        vault.commit(kept.record or b"", vault.labels())
    return {"store": path, "passphrase_file": passphrase}
