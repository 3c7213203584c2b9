"""Searches all that the tables can do among attacker, faults and people, with SPIN: every state, none guessed.

`python specs/spin/search.py` is the small form (seconds); `--whole` goes on to more channels and more units (minutes);
`--json` writes what was found as one JSON object a line.
Needs the Debian packages `spin` and `gcc` (`make system`). Ends with 1 if a claim does not hold, and then prints the
steps that lead there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from promela import MODEL, tables

SAFETY: Final = ("s1", "s2", "s3", "s4", "agreement")
"""Claims of life.pml about what never happens; `safety` is all of them in one."""
LIVENESS: Final = ("no_limbo", "liveness")

SMALL: Final[dict[str, dict[str, int]]] = {"two channels": {"LINKS": 2}}
WHOLE: Final[dict[str, dict[str, int]]] = {
    "three channels": {"LINKS": 3},
    "two units and business": {"LINKS": 2, "UNITS": 2, "WISHES": 1},
}


@dataclass(frozen=True, slots=True)
class Found:
    """What one search found.

    Attributes:
        claim: which one was searched for a run that breaks it.
        holds: there is none.
        states: that were stored, all different.
        depth: of the longest run, in steps.
        seconds: that it took.
        trace: the steps of the run that breaks it; empty where it holds.

    """

    claim: str
    holds: bool
    states: int
    depth: int
    seconds: float
    trace: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        """One line."""
        told = "holds" if self.holds else "DOES NOT HOLD"
        return f"{self.claim:10} {told}: {self.states:,} states, depth {self.depth:,}, {self.seconds:.1f} s"

    def facts(self, world: str) -> dict[str, object]:
        """It, for programs."""
        return {
            "world": world,
            "claim": self.claim,
            "holds": self.holds,
            "states": self.states,
            "depth": self.depth,
            "seconds": round(self.seconds, 1),
            "trace": self.trace,
        }


class Search:
    """The model, compiled for one world.

    Args:
        directory: for what SPIN and the compiler write.
        world: the constants of life.pml that differ from its own.
        text: tables.pml; by default that of the tables as they are.
        lively: whether it is to search for endless runs too, which costs memory.

    Raises:
        OSError: there is no `spin` or no `gcc`.
        subprocess.CalledProcessError: the model is wrong.

    """

    def __init__(
        self, directory: Path, world: Mapping[str, int], text: str | None = None, *, lively: bool = False
    ) -> None:
        self._directory = directory
        self._world = [f"-D{name}={value}" for name, value in world.items()]
        self._lively = lively
        (directory / "tables.pml").write_text(tables() if text is None else text, encoding="utf-8")
        (directory / "life.pml").write_text(MODEL.read_text(encoding="utf-8"), encoding="utf-8")
        self._call("spin", "-a", *self._world, "life.pml")
        kind = "-DNFAIR=4" if lively else "-DSAFETY"
        self._call("gcc", "-O0", "-w", "-DCOLLAPSE", "-DVECTORSZ=2048", kind, "-o", "pan", "pan.c")

    def of(self, claim: str) -> Found:
        """Search for a run that breaks the claim."""
        begun = time.monotonic()
        how = ("-a", "-f") if self._lively else ()
        said = self._call("./pan", *how, "-m1000000", "-w22", "-N", claim)
        seconds = time.monotonic() - begun
        errors, states, depth = (
            int(_number(pattern, said)) for pattern in (r"errors: (\d+)", r"(\d+) states, stored", r"reached (\d+)")
        )
        if not errors and ("Search not completed" in said or "max search depth too small" in said):
            raise RuntimeError(f"{claim}: the search was not exhaustive")
        return Found(claim, errors == 0, states, depth, seconds, self._trace() if errors else ())

    def _trace(self) -> tuple[str, ...]:
        """What happened, without the steps that only clear a variable."""
        said = self._call("spin", "-t", "-p", *self._world, "life.pml")
        steps = (re.search(r"proc +\d+ \((\w+):.*\[(.*)\]", line) for line in said.splitlines())
        told = (f"{step[1]}: {step[2]}" for step in steps if step)
        return tuple(step for step in told if not re.search(r" = 0$|\[?\(1\)|: else$|: goto|:(:init:|b\d)", step))

    def _call(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self._directory, check=True, capture_output=True, text=True)
        return done.stdout


def _number(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    if found is None:
        raise RuntimeError(f"SPIN said something else than expected: {said[-500:]}")
    return found[1]


def searched(
    worlds: Mapping[str, Mapping[str, int]], safety: Iterable[str], liveness: Iterable[str], *, as_json: bool = False
) -> bool:
    """Search them all and print what was found; whether everything holds."""
    fine = True
    for name, world in worlds.items():
        for claims, lively in ((tuple(safety), False), (tuple(liveness), True)):
            if not claims:
                continue
            with tempfile.TemporaryDirectory() as directory:
                search = Search(Path(directory), world, lively=lively)
                for claim in claims:
                    found = search.of(claim)
                    told = (json.dumps(found.facts(name)),) if as_json else (f"{name}: {found}", *found.trace)
                    print(*told, sep="\n  ", flush=True)
                    fine = fine and found.holds
    return fine


def main(arguments: list[str]) -> int:
    """Small, or whole."""
    if not set(arguments) <= {"--whole", "--json"}:
        print(__doc__, file=sys.stderr)
        return 2
    as_json = "--json" in arguments
    fine = searched(SMALL, SAFETY, LIVENESS, as_json=as_json)
    if "--whole" in arguments:
        fine = searched(WHOLE, ("safety",), (), as_json=as_json) and fine
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
