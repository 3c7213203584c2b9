"""What things cost: `make bench`. Prints a table, and writes bench.json: a list of {id, value, goal, met}.

Every ratio is measured side by side in this one run. A goal that is missed is reported as missed, with the profile
that says why. An entry without a goal has null there and counts as met.

    python benchmarks/run.py [--quick] [--out bench.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import ssl
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import business
import engine
import lookups
import records
import scale
import sessions
import storage
import tokens
import trio
import wire
from measuring import Result

REPEATS = {"sessions": 300, "records": 60, "engine": 60, "storage": 100, "tokens": 40, "business": 60, "lookups": 60}
QUICK = dict.fromkeys(REPEATS, 3)
SCALE = {"sessions": 10_000, "half_open": 1_000, "transactions": 2_000}
QUICK_SCALE = dict.fromkeys(SCALE, 10)
SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (100, 1_000)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything, tell it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repeats: to see that it runs, not what things cost")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="where to write the results")
    options = parser.parse_args(arguments)
    line_seconds = wire.serial_seconds()
    results = trio.run(_measure, options.quick, line_seconds)
    options.out.write_text(json.dumps([result.as_json() for result in results], indent=1) + "\n")
    _tell(results)


async def _measure(quick: bool, line_seconds: float) -> list[Result]:
    repeats = QUICK if quick else REPEATS
    return [
        *await sessions.measure(repeats["sessions"]),
        *await wire.measure(line_seconds),
        *await records.measure(repeats["records"]),
        *await engine.measure(repeats["engine"]),
        *await storage.measure(repeats["storage"]),
        *await business.measure(repeats["business"]),
        *await lookups.measure(repeats["lookups"], QUICK_SIZES if quick else SIZES, with_postgres=not quick),
        *await scale.measure(**(QUICK_SCALE if quick else SCALE)),
        *await tokens.measure(repeats["tokens"]),  # last: SoftHSM leaves an error behind in this process's OpenSSL
    ]


def _tell(results: list[Result]) -> None:
    print(
        f"Python {platform.python_version()}, cryptography {version('cryptography')}, ssl {ssl.OPENSSL_VERSION},"
        f" trio {version('trio')}, {platform.machine()}; medians of interleaved repeats, processor time"
    )
    for result in results:
        goal = "no goal" if result.goal is None else f"goal {result.goal:4.2f} {'met   ' if result.met else 'MISSED'}"
        print(f"{result.id:<23} {result.what:<54} {result.value:8.3f}  {goal:<17} {result.note}")
    for result in results:
        if not result.met and result.why:
            print(f"\nWhy {result.id} misses its goal:\n{result.why}")
    missed = sum(not result.met for result in results)
    print(f"\n{sum(result.goal is not None for result in results)} goals, {missed} missed")


if __name__ == "__main__":
    main()
