"""The engine that knows coverage: the same targets and mutator under atheris (extra `fuzz`), in its own process.

atheris has to see the product as it is imported, and never returns from its loop: so a child process runs it, and
what it found is examined once more here, by code that nothing slows down. Without the package there is no such engine,
and none is claimed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

from ..protocol.engine import EnvironmentFault, UsageError
from .engine import EMPTY_SHARE, Examiner, Report, replay
from .findings import PACKAGE, Finding
from .mutation import LONGEST, Mutator
from .target import TARGETS, Target

SLACK: Final = 8.0
"""How much more time an input may take where every branch is counted; what is found is timed again without that."""
OWN_WAY: Final = 0.2
"""Share of the mutations that are left to libFuzzer's own, which know nothing of the shape."""
LAUNCH: Final = f"""
import sys, atheris
with atheris.instrument_imports(include=[{PACKAGE!r}], exclude=sys.argv[2:], enable_loader_override=False):
    from {PACKAGE}.fuzz import guided
guided.child(sys.argv[1])
"""
GRACE: Final = 120.0
"""Seconds that the child may take beyond its time: it loads and instruments everything first."""


def is_there() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def fuzz_guided(
    target: Target,
    *,
    seconds: float | None = None,
    runs: int | None = None,
    seed: int = 0,
    corpus: Sequence[bytes] = (),
    grows: Path | None = None,
    found: Callable[[Finding], None] = lambda finding: None,
) -> Report:
    """As `fuzz`, guided by coverage; the same seed does not give the same inputs for long.

    Args:
        target: one of TARGETS.
        seconds: wall clock, the loading not counted; None: no limit.
        runs: inputs; None: no limit.
        seed: of libFuzzer.
        corpus: inputs to begin with; empty: the target's own seeds.
        grows: directory that gets the inputs that reach new code.
        found: gets each finding that stands up to being examined again, once for each kind.

    Raises:
        UsageError: atheris is not installed.
        EnvironmentFault: it did not do its work.

    """
    if not is_there():
        expected = f"the extra fuzz (pip install '{PACKAGE}[fuzz]')"
        raise UsageError("no atheris", who="fuzz", expected=expected, got="--engine atheris")
    report = Report(target.name, "atheris", seed)
    empty = None if seconds is None else seconds * EMPTY_SHARE
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        seeds = place / "seeds"
        seeds.mkdir()
        for data in corpus or target.seeds():
            (seeds / sha256(data).hexdigest()).write_bytes(data)
        limit = None if seconds is None or empty is None else seconds - empty
        ran = _child(place / "run", target, seeds, grows, limit, runs, seed, is_empty=False)
        nothing = _child(place / "empty", target, seeds, None, empty or 0.5, None, seed, is_empty=True)
        report.runs, report.seconds = ran["runs"], ran["seconds"]
        report.processor_seconds = ran["processor_seconds"]
        report.outcomes = Counter(ran["outcomes"])
        report.empty_per_second = nothing["runs"] / max(nothing["seconds"], 1e-9)
        suspects = sorted(path for path in (place / "run").iterdir() if path.name != "result")
        confirmed = (replay(target, path.read_bytes()) for path in suspects)
        report.findings = list({each.kind: each for each in confirmed if isinstance(each, Finding)}.values())
    for finding in report.findings:
        found(finding)
    return report


def _child(
    place: Path,
    target: Target,
    seeds: Path,
    grows: Path | None,
    seconds: float | None,
    runs: int | None,
    seed: int,
    *,
    is_empty: bool,
) -> dict[str, Any]:
    place.mkdir()
    kept = place.with_name(f"{place.name}-kept")
    kept.mkdir()
    files = place.with_name(f"{place.name}-files")  # of targets: libFuzzer ends the process without a goodbye
    files.mkdir()
    order = {
        "target": target.name,
        "place": str(place),
        "directories": [str(kept if grows is None else grows), str(seeds)],
        "seconds": seconds,
        "runs": runs,
        "seed": seed,
        "empty": is_empty,
    }
    timeout = None if seconds is None else seconds + GRACE
    command = [sys.executable, "-c", LAUNCH, json.dumps(order), *_ours()]
    try:
        ran = subprocess.run(  # noqa: S603 - ourselves
            command, capture_output=True, timeout=timeout, check=False, env=os.environ | {"TMPDIR": str(files)}
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFault("atheris does not end", who="fuzz", expected=f"its end after {seconds} s") from None
    result = place / "result"
    if not result.exists():
        last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise EnvironmentFault("atheris gave up", who="fuzz", expected="a result", got=last[0])
    answer: dict[str, Any] = json.loads(result.read_text())
    return answer


def _ours() -> list[str]:
    """The modules of the fuzzing itself, whose branches say nothing of the product."""
    package = f"{PACKAGE}.fuzz"
    return [package, *(module.name for module in pkgutil.walk_packages([str(Path(__file__).parent)], f"{package}."))]


# In the child ------------------------------------------------------------------------------------------------


def child(order: str) -> None:
    """Run atheris as `order` says; ends the process."""
    import atheris

    wanted = json.loads(order)
    watched = _Watched(wanted)
    target = TARGETS[wanted["target"]]
    splice: list[bytes] = [path.read_bytes() for path in Path(wanted["directories"][1]).iterdir()]

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = Random(seed)  # noqa: S311 - it is to repeat
        if chance.random() < OWN_WAY:
            return bytes(atheris.Mutate(data, most))
        return Mutator(target.shape, chance).mutate(data, splice)[:most]

    arguments = [
        PACKAGE,
        *wanted["directories"],
        f"-seed={wanted['seed'] or 1}",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={wanted['place']}/",
        "-timeout=60",
        "-rss_limit_mb=4096",
        "-verbosity=0",
    ]
    atheris.Setup(arguments, watched.take, custom_mutator=mutate)
    watched.begin()
    atheris.Fuzz()


class _Watched:
    """Takes inputs from atheris, and ends the process when it is time."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._place = Path(wanted["place"])
        self._seconds: float | None = wanted["seconds"]
        self._most: int | None = wanted["runs"]
        self._examiner = None if wanted["empty"] else Examiner(TARGETS[wanted["target"]], slack=SLACK)
        self._outcomes: Counter[str] = Counter()
        self._kinds: set[tuple[str, str]] = set()
        self._runs = 0
        self._begun, self._worked = time.monotonic(), time.process_time()

    def begin(self) -> None:
        """The clocks start."""
        self._begun, self._worked = time.monotonic(), time.process_time()

    def take(self, data: bytes) -> None:
        """One input."""
        if self._examiner is not None:
            outcome = self._examiner.examine(data)
            if isinstance(outcome, str):
                self._outcomes[outcome] += 1
            elif outcome.kind not in self._kinds:
                self._kinds.add(outcome.kind)
                (self._place / outcome.digest).write_bytes(data)
        self._runs += 1
        spent = time.monotonic() - self._begun
        if self._runs == self._most or (self._seconds is not None and spent >= self._seconds):
            facts = {
                "runs": self._runs,
                "seconds": spent,
                "processor_seconds": time.process_time() - self._worked,
                "outcomes": self._outcomes,
            }
            (self._place / "result").write_text(json.dumps(facts))
            os._exit(0)
