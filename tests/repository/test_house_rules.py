"""Rules that every file of the repository keeps: size, nothing unfinished, nothing that ties it to one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOREIGN = ("specs/vectors/", "tests/fuzz/corpus/", "tests/fuzz/regressions/")
"""Test vectors of others are kept as they came, and inputs of the fuzzer are bytes."""


def repository_files() -> list[str]:
    """Tracked files and new ones that are not ignored, without links, deleted ones and the vectors of others."""
    listed = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(
        {name for name in names if name and not name.startswith(FOREIGN)}
        & {name for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink()}
    )


FILES = repository_files()
PYTHON = [name for name in FILES if name.endswith(".py")]
PARTIES = [name for name in PYTHON if name.startswith("protocol/parties/")]

# Spelled in pieces, so that this file keeps the rules that it checks.
UNFINISHED = re.compile(r"\b({}DO|{}ME|XX{})\b".format("TO", "FIX", "X"))
ONE_MACHINE = re.compile(r"/{}rk/|/{}ot/|/{}me/\w|[A-Z]:\\{}ers\\".format("wo", "ro", "ho", "Us"))
REGISTRY = re.compile(r"{}\.org|{}hosted\.|{}js\.|{}\.debian\.|{}-url".format("pypi", "python", "npm", "deb", "index"))


def lines_of(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def found(pattern: re.Pattern[str], names: list[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in names
        for number, line in enumerate(lines_of(name), 1)
        if pattern.search(line)
    ]


def test_the_files_are_found():
    assert {"pyproject.toml", "Makefile", "requirements.lock", "protocol/engine/table.py"} <= set(FILES)
    assert "tests/repository/test_house_rules.py" in PYTHON


@pytest.mark.parametrize(("names", "limit"), [(PYTHON, 600), (PARTIES, 400)], ids=["files", "party files"])
def test_no_file_is_too_long(names: list[str], limit: int):
    assert [f"{name}: {len(lines_of(name))} lines" for name in names if len(lines_of(name)) > limit] == []


@pytest.mark.parametrize("pattern", [UNFINISHED, ONE_MACHINE, REGISTRY], ids=["unfinished", "one machine", "registry"])
def test_nothing_says(pattern: re.Pattern[str]):
    assert found(pattern, FILES) == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_is_pinned_by_version_and_hash(name: str):
    pinned = re.compile(r"[\w.-]+(\[[\w,]+\])?==[\w.]+.* --hash=sha256:[0-9a-f]{64}")
    packages = (ROOT / name).read_text().replace("\\\n", "").splitlines()
    assert len(packages) > 5
    assert [package for package in packages if not pinned.match(package)] == []


def test_links_carry_the_packages_into_the_distribution():
    """And the type checker is told of each: it does not follow links by itself."""
    links = [path for path in (ROOT / "src" / "insitu").iterdir() if path.is_symlink()]
    assert {path.name: path.readlink().as_posix() for path in links} == {
        "protocol": "../../protocol",
        "transports": "../../transports",
    }
    configuration = (ROOT / "pyproject.toml").read_text()
    assert [path.name for path in links if f'"src/insitu/{path.name}"' not in configuration] == []
