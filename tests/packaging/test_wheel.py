"""The built wheel: what is in it, and that it works from an empty directory without this repository.

Nothing is downloaded: the wheel is built with the setuptools of this environment and finds its dependencies there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]


def run(*command: str | Path, directory: Path, **environment: str) -> str:
    """Standard output; a failure shows both streams."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=directory, env={**clean, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git would hand out: tracked and new files, without what a build left behind."""
    tree = tmp_path_factory.mktemp("source")
    listed = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in run(*listed, directory=ROOT).split("\0")[:-1]:
        origin, copy = ROOT / name, tree / name
        if name.startswith(("src/", "protocol/", "transports/")) or "/" not in name:
            copy.parent.mkdir(parents=True, exist_ok=True)
            if origin.is_symlink() or origin.is_file():
                shutil.copy2(origin, copy, follow_symlinks=False)
    return tree


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", directory]
    run(sys.executable, "-m", "pip", "wheel", *options, source, directory=directory)
    (built,) = directory.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new virtual environment that holds the wheel and borrows its dependencies from this one.

    A folder named in a .pth file is searched, but .pth files inside it are not read: the editable install of the
    project in this environment stays out of sight.
    """
    home = tmp_path_factory.mktemp("home")
    run(sys.executable, "-m", "venv", "--without-pip", "new", directory=home)
    programs = home / "new" / "bin"
    find_site = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(programs / "python", "-c", find_site, directory=home).strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", programs / "python"]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, directory=home)
    return programs


def test_wheel_is_pure_python_of_this_version(wheel: Path):
    assert wheel.name == f"insitu-{VERSION}-py3-none-any.whl"


def test_everything_in_the_wheel_lies_under_insitu(wheel: Path, source: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {PurePosixPath(name).parts[0] for name in names}
    assert tops == {"insitu", f"insitu-{VERSION}.dist-info"}
    assert "insitu/py.typed" in names
    for package in ("protocol", "transports"):
        files = {path.relative_to(source).as_posix() for path in (source / package).rglob("*.py")}
        assert files
        assert {f"insitu/{file}" for file in files} == {name for name in names if name.startswith(f"insitu/{package}/")}
    assert f"insitu-{VERSION}.dist-info/licenses/LICENSE" in names


def test_metadata_names_what_is_needed_and_no_more(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        metadata = HeaderParser().parsestr(archive.read(f"insitu-{VERSION}.dist-info/METADATA").decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(needed) == len(PROJECT["dependencies"])


def test_installed_wheel_imports_from_an_empty_directory(installed: Path, tmp_path: Path):
    """And top-level `protocol` and `transports`, names that belong to others, are not taken."""
    code = (
        "import insitu.protocol.engine, insitu.transports, importlib.util; "
        "print(insitu.protocol.engine.__file__); "
        "print(importlib.util.find_spec('protocol'), importlib.util.find_spec('transports'))"
    )
    origin, spared = run(installed / "python", "-W", "error", "-c", code, directory=tmp_path).splitlines()
    assert Path(origin).is_relative_to(installed.parent)
    assert spared == "None None"


def test_installed_command_tells_its_version(installed: Path, tmp_path: Path):
    assert VERSION in run(installed / "insitu", "--version", directory=tmp_path, PYTHONWARNINGS="error")
