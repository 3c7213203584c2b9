"""Whether looking a module up stays as quick with a million registered modules as with a thousand.

What a session asks of the registry as a module greets (`known`), for serial numbers drawn at random, and what the
program asks every second (`attention`). A registry for each size, asked by turns.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from measuring import Result, Sample, batch, medians
from sqlalchemy import insert

from insitu.protocol.stores.registry import ModuleEntry, Standing
from insitu.registry import open_registry
from insitu.registry.schema import MODULES
from insitu.registry.sql import SqlRegistry, _values

GOAL: Final = 2.0
LOOKS: Final = 20
"""Modules looked up in one sample."""
CHUNK: Final = 10_000
ISSUER: Final = bytes(31) + b"\x01"


async def measure(repeats: int, sizes: tuple[int, ...], *, with_postgres: bool) -> list[Result]:
    """The slowest size against the quickest, for each database there is."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        results.append(await _measured("sqlite", lambda size: f"{folder}/{size}.db", repeats, sizes))
    if with_postgres:
        with _postgres() as new_database:
            if new_database is not None:
                results.append(await _measured("postgres", lambda _: new_database(), repeats, sizes))
    return results


async def _measured(name: str, url: Callable[[int], str], repeats: int, sizes: tuple[int, ...]) -> Result:
    with ExitStack() as stack:
        samples: dict[str, Sample] = {}
        for size in sizes:
            registry: Any = stack.enter_context(closing(open_registry(url(size))))
            _fill(registry, size)
            samples[f"{size}"] = batch(_looking_up(registry, size), LOOKS)
            samples[f"{size} attention"] = batch(registry.attention)
        found = await medians(samples, repeats)
    looks = [found[f"{size}"] for size in sizes]
    watching = [found[f"{size} attention"] for size in sizes]
    note = ", ".join(f"{size}: {seconds * 1e6:.0f} us" for size, seconds in zip(sizes, looks, strict=True))
    note += f"; what concerns open sessions {max(watching) / min(watching):.2f}"
    what = f"look-up with {sizes[-1]} modules at most, slowest / quickest"
    return Result(f"lookup.{name}", what, max(looks) / min(looks), GOAL, note)


def _looking_up(registry: SqlRegistry, size: int) -> Callable[[], None]:
    chosen = random.Random(size)  # noqa: S311 - which modules are asked for is no secret

    def look() -> None:
        for _ in range(LOOKS):
            number = chosen.randrange(size)
            known = registry.known(_serial(number), _fingerprint(number), number + 1, ISSUER)
            assert known.entry is not None

    return look


def _fill(registry: SqlRegistry, size: int) -> None:
    rows = (_values(_entry(number)) for number in range(size))
    with registry._engine.execution_options(writes=True).begin() as connection:
        while some := list(islice(rows, CHUNK)):
            connection.execute(insert(MODULES), some)
    if registry._engine.dialect.name == "postgresql":
        with registry._engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE modules")


def _entry(number: int) -> ModuleEntry:
    return ModuleEntry(
        serial=_serial(number),
        owner="Example Bank",
        issuer=ISSUER,
        epoch=0,
        fingerprint=_fingerprint(number),
        certificate_number=number + 1,
        issued=0,
        first_seen=0,
        standing=Standing.OPERATING,
        last_contact=0,
        last_number=0,
        generation=1,
        version=0,
    )


def _serial(number: int) -> str:
    return f"SM-{number:07}"


def _fingerprint(number: int) -> bytes:
    return number.to_bytes(32, "big")


@contextmanager
def _postgres() -> Iterator[Callable[[], str] | None]:
    """New databases on a server of our own, as the tests start it; None where PostgreSQL is not installed."""
    plugins = Path(__file__).parent.parent / "tests" / "plugins"
    if not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        yield None
        return
    sys.path.insert(0, str(plugins))
    from postgres_server import running_server

    with running_server() as server:
        yield server.database
