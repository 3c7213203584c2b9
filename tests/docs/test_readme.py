"""Every command and example in the README is run here, and what it shows is compared with what is shown."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from insitu.protocol.engine import Table
from insitu.protocol.parties.module import MODULE, roll_back
from insitu.protocol.parties.module_data import ModuleState

LASTING = {ModuleState.BLANK, ModuleState.DELIVERED, ModuleState.OPERATING, ModuleState.ONLINE, ModuleState.RESET}


@pytest.fixture(scope="module")
def readme(request: pytest.FixtureRequest) -> str:
    return (request.config.rootpath / "README.md").read_text()


def block(readme: str, mark: str, language: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n```{language}\n(.*?)```", readme, re.DOTALL)
    assert found, f"no {mark} in the README"
    return found[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def walked(readme: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The walk-through, acted in an empty directory: where, and what it printed."""
    place = tmp_path_factory.mktemp("walk")
    script = block(readme, "walk-through", "sh").replace("4711", str(free_port()))
    done = subprocess.run(
        ["bash", "-euc", script], cwd=place, env=environment(), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place, done.stdout


def test_walk_through(walked: tuple[Path, str]) -> None:
    place, output = walked
    assert "module SM-0001 is personalized: certificate" in output
    assert "module.pem: OK" in output
    assert "epoch 1 begins" in output
    assert (place / "card-log.jsonl").read_bytes().count(b"\n") == 6


def test_embedding(readme: str, walked: tuple[Path, str]) -> None:
    place, _ = walked
    insitu = [sys.executable, "-m", "insitu"]
    port, link_port = free_port(), free_port()
    for person in ("alice", "bob"):
        approve = f"card approve --store card.insitu --passphrase-file card.pass --person {person} --module SM-0001"
        subprocess.run(
            [*insitu, *approve.split(), f"--pin-file={person}={person}.pin"], cwd=place, check=True, timeout=30
        )
    link = f"tcp:127.0.0.1:{link_port}"
    run = f"module run --store module.insitu --passphrase-file module.pass --link {link} --once"
    module = subprocess.Popen([*insitu, *run.split()], cwd=place, stdout=subprocess.DEVNULL)
    unit = f"unit personalize --card card.insitu --passphrase-file card.pass --link {link} --wait 20 --serial SM-0001"
    subprocess.run([*insitu, *unit.split(), "--central", "central.pem"], cwd=place, check=True, timeout=60)
    assert module.wait(timeout=30) == 0
    serve = f"central serve --store central.insitu --passphrase-file central.pass --listen tcp:127.0.0.1:{port}"
    host = subprocess.Popen([*insitu, *serve.split(), "--limit", "9999"], cwd=place, stdout=subprocess.PIPE, text=True)
    try:
        assert host.stdout is not None
        assert host.stdout.readline().startswith("ready")
        program = block(readme, "embedding", "python").replace("4712", str(port))
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=place, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout == "pay out 5000 SM-0001/1\n", done.stderr
    finally:
        host.terminate()
        host.wait(timeout=30)
        host.stdout.close()  # type: ignore[union-attr]


def test_make_targets(readme: str, request: pytest.FixtureRequest) -> None:
    targets = set(re.findall(r"(?:^|`)make ([a-z]+)", readme, re.MULTILINE))
    assert {"demo", "test", "help", "bench"} <= targets
    for target in sorted(targets):
        subprocess.run(
            ["make", "--dry-run", target], cwd=request.config.rootpath, check=True, capture_output=True, timeout=30
        )


def test_make_demo_shows_what_the_readme_shows(readme: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        ["make", "demo", f"OUT={tmp_path}"],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = {shape(line) for line in done.stdout.splitlines()}
    missing = [line for line in block(readme, "demo output", "text").splitlines() if shape(line) not in shown]
    assert not missing, f"after {time.monotonic() - began:.0f} s"
    assert (tmp_path / "serial" / "module.pem").exists()
    assert (tmp_path / "tcp" / "module.pem").exists()


def shape(line: str) -> str:
    """A line without what differs from run to run: times, sizes that depend on a signature, digests."""
    line = re.sub(r"^ *[0-9.]+s", "", line)
    line = re.sub(r"\b([0-9A-F]{4} ){15}[0-9A-F]{4}", "DIGEST", line)
    return re.sub(r"\d+ bytes", "N bytes", line)


def test_picture_of_the_life_is_that_of_the_table(readme: str) -> None:
    picture = re.search(r"## A module's life\n\n```mermaid\n(.*?)```", readme, re.DOTALL)
    assert picture
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)", picture[1], re.MULTILINE))
    assert drawn == {(one.name, other.name) for one, other in lasting_ways(MODULE)}


def lasting_ways(table: Table[ModuleState, object]) -> set[tuple[ModuleState, ModuleState]]:
    """From each lasting state, the other lasting states that can come next, transient ones passed over.

    A roll-back leads to where the module came from, which its guards see to (tests/protocol/parties/test_module.py).
    """
    ways = set()
    for state in LASTING:
        seen, todo = {state}, [state]
        while todo:
            at = todo.pop()
            for arrow in table.arrows:
                if arrow.source is at and arrow.target not in seen and arrow.row.do is not roll_back:
                    seen.add(arrow.target)
                    if arrow.target in LASTING:
                        ways.add((state, arrow.target))
                    else:
                        todo.append(arrow.target)
    return {way for way in ways if way[0] is not way[1]}
