"""The house rule on skips, tried on small test files of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).parents[1] / "plugins"
WAYS_TO_SKIP = {
    "mark": "@pytest.mark.skip(reason='because')\ndef test(): pass",
    "call": "def test(): pytest.skip('because')",
    "fixture": "@pytest.fixture\ndef f(): pytest.skip('because')\ndef test(f): pass",
    "module": "pytest.skip('because', allow_module_level=True)",
}
NO_SKIP = "@pytest.mark.xfail(reason='because')\ndef test(): assert False\ndef test_passing(): pass"


def run(directory: Path, ci: str) -> tuple[int, str]:
    for name, source in {**WAYS_TO_SKIP, "none": NO_SKIP}.items():
        (directory / f"test_{name}.py").write_text(f"import pytest\n{source}\n")
    options = ["-q", "-p", "no:cacheprovider", "-p", "house_plugin", "--continue-on-collection-errors"]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(PLUGINS)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=directory, env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout


def test_every_way_to_skip_fails_the_run_in_ci(tmp_path: Path):
    code, output = run(tmp_path, ci="true")
    assert code == 1
    assert output.splitlines()[-1].startswith("1 failed, 1 passed, 1 xfailed, 3 errors")
    for way in WAYS_TO_SKIP:
        assert re.search(rf"test_{way}\.py.*: a skip is a failure in CI \(Skipped: because\)", output)


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path):
    code, output = run(tmp_path, ci="")
    assert code == 0
    assert output.splitlines()[-1].startswith("1 passed, 4 skipped, 1 xfailed")
