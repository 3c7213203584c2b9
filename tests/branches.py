"""Does every part's own test folder take every branch of it, and every row of its tables? `make coverage` (minutes).

`python tests/branches.py [PART ...] [--jobs J] [--json]`; without PART all of them. Which tests are a part's own,
plugins/own_tests.py says; of those, the ones are left out in which Hypothesis draws examples or a learner finds words
(and the long ones), since what only luck takes, no test has asked for. Prints the figures of each part and names what
no test took; the answer is 1 if there is anything, or if a test fails. With --json one line of JSON for each part, for
specs/assurance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import coverage

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "plugins"))

from own_tests import PARTS, Part  # noqa: E402

ASKED = ("-m", "not long and not hypothesis", "-k", "not learned")
"""The second mark is Hypothesis's own; the learner of test_learned*.py finds its words by itself."""
ROWS = re.compile(r"^(\d+) of (\d+) rows were taken$", re.MULTILINE)


def looked_at(name: str, part: Part, data: Path) -> tuple[dict[str, Any], list[str]]:
    """Run the part's own tests: the figures, and what is to be said besides."""
    command = [sys.executable, "-m", "coverage", "run", f"--data-file={data}"]
    rows = ["-p", "rows_taken", "--rows-of", f"insitu.protocol.{name}"] if name in ("channel", "parties") else []
    begun = time.monotonic()
    ran = subprocess.run(
        [*command, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ASKED, *rows, *part.tests],
        cwd=ROOT,
        env={**os.environ, "CI": "1"},  # a skip is a failure
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    seen = coverage.Coverage(data_file=str(data))
    seen.load()
    figures = {"files": 0, "statements": 0, "branches": 0, "missed": 0}
    said: list[str] = []
    for path in part.files:
        numbers = seen._analyze(str(path)).numbers
        figures["files"] += 1
        figures["statements"] += numbers.n_statements
        figures["branches"] += numbers.n_branches
        figures["missed"] += numbers.n_missing + numbers.n_missing_branches
        if numbers.n_missing or numbers.n_missing_branches:
            said.append(f"{path.relative_to(ROOT)}: lines {seen.analysis2(str(path))[4] or 'taken one way only'}")
    there = figures["statements"] + figures["branches"]
    taken = ROWS.search(ran.stdout)
    report = {
        "part": name,
        **figures,
        "percent": round(100 * (there - figures["missed"]) / there, 2),
        "rows": int(taken[2]) if taken else 0,
        "rows_taken": int(taken[1]) if taken else 0,
        "seconds": round(time.monotonic() - begun),
    }
    if ran.returncode:
        said.append(ran.stdout)
    return report, said


def main() -> int:
    """All parts, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--jobs", type=int, default=1, help="so many parts at once")
    parser.add_argument("--json", action="store_true", help="one line of JSON a part; the rest to stderr")
    given = parser.parse_args()
    if unknown := [name for name in given.parts if name not in PARTS]:
        parser.error(f"no part: {', '.join(unknown)}")
    names = given.parts or list(PARTS)
    well = True
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(given.jobs) as pool:
        for report, said in pool.map(lambda name: looked_at(name, PARTS[name], Path(place) / name), names):
            rows = f", {report['rows_taken']} of {report['rows']} rows of tables" if report["rows"] else ""
            line = (
                f"{report['part']}: {report['percent']} % of {report['statements']} statements and "
                f"{report['branches']} branches{rows}, {report['seconds']} s"
            )
            print("\n".join([line, *said]), file=sys.stderr if given.json else sys.stdout, flush=True)
            if given.json:
                print(json.dumps(report), flush=True)
            well = well and not said
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
