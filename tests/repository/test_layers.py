"""Imports go down only. The contracts stand in pyproject.toml; this runs them as any other test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lint(*options: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-logo", *options], cwd=ROOT, capture_output=True, text=True)


def test_every_contract_is_kept():
    done = lint("--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_contracts_can_break(tmp_path: Path):
    """The layers upside down: if this passed, the test above would prove nothing."""
    rules = tmp_path / "upside-down.toml"
    rules.write_text(
        '[tool.importlinter]\nroot_package = "insitu"\n[[tool.importlinter.contracts]]\nname = "upside down"\n'
        'type = "layers"\nlayers = ["insitu.protocol.engine", "insitu.protocol.messages"]\n'
    )
    done = lint("--no-cache", "--config", str(rules))
    assert done.returncode == 1
    assert "1 broken" in done.stdout


def test_simulated_worlds_have_no_circle_among_types_either():
    """The contracts do not look at imports for type checkers; in a part that has none, they see every circle."""
    files = list((ROOT / "src/insitu/simulate").glob("*.py"))
    assert len(files) > 20
    assert [each.name for each in files if "TYPE_CHECKING" in each.read_text()] == []
