"""Every command and example in the README is run here, and what it shows is compared with what is shown."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from insitu.protocol.engine import Table
from insitu.protocol.parties.module import MODULE, roll_back
from insitu.protocol.parties.work import WORK

LASTING = {"BLANK", "DELIVERED", "OPERATING", "ONLINE", "RESET"}


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
    assert (place / "card-log.jsonl").read_bytes().count(b"\n") == 7, "six entries and the head"


def test_a_tan(readme: str, walked: tuple[Path, str], tmp_path: Path) -> None:
    place = shutil.copytree(walked[0], tmp_path / "walk")
    script = block(readme, "tan", "sh").replace("4714", str(free_port()))
    script = f"umask 077\n{script}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=place, env=environment(), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("module SM-0001 is personalized: certificate") == 2
    assert not re.search(r"^SM-0001: TAN", done.stdout, re.MULTILINE)


def test_what_was_made_at_manufacture(readme: str, walked: tuple[Path, str], tmp_path: Path) -> None:
    place = shutil.copytree(walked[0], tmp_path / "walk")
    script = f"umask 077\n{block(readme, 'manufacture', 'sh')}".replace("4714", str(free_port()))
    done = subprocess.run(
        ["bash", "-euc", script], cwd=place, env=environment(), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("module SM-0003 is personalized: certificate") == 2


def test_a_conveyed_number(readme: str, walked: tuple[Path, str], tmp_path: Path) -> None:
    place = shutil.copytree(walked[0], tmp_path / "walk")
    script = block(readme, "conveyed", "sh")
    for port in ("4715", "4716", "4717"):
        script = script.replace(port, str(free_port()))
    done = subprocess.run(
        ["bash", "-euc", f"umask 077\n{script}"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "module SM-0001 is personalized: certificate" in done.stdout
    assert "mobile       the unit vouches for SM-0001" in done.stdout


@pytest.mark.timeout(200)
def test_network(readme: str, walked: tuple[Path, str], tmp_path: Path) -> None:
    place = shutil.copytree(walked[0], tmp_path / "walk")
    script = block(readme, "network", "sh")
    for port in ("4712", "4715", "4716", "4717"):
        script = script.replace(port, str(free_port()))
    done = subprocess.run(
        ["bash", "-euc", f"umask 077\n{script}"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    key = re.search(r"module       made its key pair    ([0-9A-F ]+)", done.stdout)
    assert key
    assert done.stdout.count(f"  key       {key[1]}") == 3, "in the queue, and before either approval"
    assert "approved by alice, 1 approval missing" in done.stdout
    assert "approved by alice and bob, the module is personalized" in done.stdout
    assert re.search(r"[0-9a-f]{32}: 1 of 5 certificates for SM-00\* until", done.stdout)
    assert done.stdout.count("unit         SM-0001 personalized, certificate") == 3


def test_enrollment(readme: str, walked: tuple[Path, str]) -> None:
    place, _ = walked
    script = block(readme, "enrollment", "sh").replace("4713", str(free_port()))
    done = subprocess.run(
        ["bash", "-euc", script], cwd=place, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "card         enrolled at Second Host" in done.stdout
    assert "trusted Example Bank: " in done.stdout
    assert "enrolled by the card itself, unit unit-1" in done.stdout
    certificate = (place / "host2" / "central.pem").read_bytes()
    assert "Second Host" in x509.load_pem_x509_certificate(certificate).subject.rfc4514_string()


@pytest.mark.timeout(300)
def test_a_lost_card(request: pytest.FixtureRequest, walked: tuple[Path, str], tmp_path: Path) -> None:
    """docs/lost-card.md, step by step: the list says each time what the host does, and in the end nobody is on it."""
    place = shutil.copytree(walked[0], tmp_path / "walk")
    text = (request.config.rootpath / "docs" / "lost-card.md").read_text()
    steps = re.findall(r"<!-- ([\w ]+) -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in steps] == [
        "scene", "report", "list", "another card", "reset", "port", "again", "end",
    ]  # fmt: skip
    script = "".join(f"echo '# {name}'\n{commands}" for name, commands in steps)
    for port in ("4711", "4712", "4713", "4714"):
        script = script.replace(port, str(free_port()))
    key = re.search(r"^key\(\).*$", (request.config.rootpath / "README.md").read_text(), re.MULTILINE)
    assert key
    done = subprocess.run(
        ["bash", "-euc", f"trap 'kill $(jobs -p) || true' EXIT\n{key[0]}\n{script}"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(re.findall(r"^# ([\w ]+)\n(.*?)(?=^# |\Z)", done.stdout, re.DOTALL | re.MULTILINE))
    assert re.search(r"^SM-0001  kept: certified .*, here since .*; known before the loss", said["list"], re.MULTILINE)
    assert re.search(r"^SM-0002  refused: certified .*, here since .*; reset it", said["list"], re.MULTILINE)
    assert "2 modules by this key, 1 to be personalized again; no other card of Example Bank is trusted" in said["list"]
    assert "module SM-0002 is personalized" in said["again"]
    assert "SM-0002  " not in said["again"]
    assert "1 modules by this key, 0 to be personalized again" in said["again"]
    assert "0 modules by this key, 0 to be personalized again" in said["end"]
    assert "the manufacturer's list waits for 2 modules" in said["end"]
    assert len(re.findall(r"^SM-000[12]  operating, epoch [12], of Example Bank", said["end"], re.MULTILINE)) == 2


@pytest.fixture(scope="module")
def lived(readme: str, walked: tuple[Path, str]) -> tuple[Path, str]:
    """The operating life, acted after the walk-through in the same directory."""
    place, _ = walked
    script = block(readme, "operating life", "sh")
    for port in ("4711", "4712", "4713"):
        script = script.replace(port, str(free_port()))
    done = subprocess.run(
        ["bash", "-euc", script], cwd=place, env=environment(), capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place, done.stdout


@pytest.mark.timeout(300)
def test_operating_life(lived: tuple[Path, str]) -> None:
    place, output = lived
    assert "1  5000 EUR, card ..7899: approved, paid 5000" in output
    assert "1  5000 EUR, card ..7899: approved, paid 2000" in output
    assert "instruction 1 waits for module SM-0001" in output
    assert re.search(r"key KCV\(CMAC\)=[0-9A-F]{10} waits for module SM-0001, number 2", output)
    assert "module SM-0002 is disabled" in output
    assert output.count("module SM-0001 is personalized") == 1
    assert output.count("module SM-0002 is personalized") == 2
    assert re.search(r"SM-0001  operating, epoch 1, of Example Bank", output)
    assert re.search(r"SM-0002  operating, epoch 1, of Example Bank", output)
    assert "modules: 2 operating" in output
    assert re.search(r"list 1 of [0-9A-F ]+: 1 certificates revoked", output)
    assert "the manufacturer's list waits for 2 modules" in output
    assert "SM-0002.pem: OK" in output
    assert "error stolen.pem: verification failed" in output
    assert "audit trail: " in output
    assert (place / "atm-1.log").read_text().count('"event": "Welcome"') == 1, "SM-0001 was never disturbed"


@pytest.mark.timeout(300)
def test_embedding(readme: str, lived: tuple[Path, str]) -> None:
    place, _ = lived
    insitu = [sys.executable, "-m", "insitu"]
    port = free_port()
    serve = f"central serve --store central.insitu --passphrase-file central.pass --listen tcp:127.0.0.1:{port}"
    host = subprocess.Popen([*insitu, *serve.split(), "--limit", "9999"], cwd=place, stdout=subprocess.PIPE, text=True)
    try:
        assert host.stdout is not None
        assert host.stdout.readline().startswith("ready")
        for mark, shows in (
            ("embedding", r"pay out 5000 SM-0001/\d+\n"),
            ("embedding without trio", r"True 2000 OPERATING\n"),
        ):
            program = block(readme, mark, "python").replace("4712", str(port))
            done = subprocess.run(
                [sys.executable, "-c", program], cwd=place, capture_output=True, text=True, timeout=60, check=False
            )
            assert re.fullmatch(shows, done.stdout), done.stdout + done.stderr
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
    assert drawn == lasting_ways(MODULE, WORK)


def lasting_ways(*tables: Table[Any, Any]) -> set[tuple[str, str]]:
    """From each lasting state, the other lasting states that can come next, transient ones passed over.

    A roll-back leads to where the module came from, which its guards see to (tests/protocol/parties/test_module.py).
    """
    arrows = [arrow for table in tables for arrow in table.arrows if arrow.row.do is not roll_back]
    ways = set()
    for state in LASTING:
        seen, todo = {state}, [state]
        while todo:
            at = todo.pop()
            for arrow in arrows:
                target = arrow.target.name
                if arrow.source.name == at and target not in seen:
                    seen.add(target)
                    if target in LASTING:
                        ways.add((state, target))
                    else:
                        todo.append(target)
    return ways
